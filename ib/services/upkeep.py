"""What keeps settlement going by itself: partitions ahead of time, and batches whose event got lost."""

from __future__ import annotations

from datetime import timedelta

from django.db import connection

from backoffice.kernel import clock
from ib.engine.partitions import ensure_line_partitions
from ib.services.shards import enqueue_batch

DAYS_AHEAD = 7
GRACE_SECONDS = 60
"""An ingest batch is looked after when its event has had this long to be delivered."""
BATCHES_AT_ONCE = 500
LAG_DAYS = 7
"""Older batches that wait are no lag but a failed job, which is told as such."""


def make_partitions_ahead() -> int:
    """Makes the partitions of today and the coming days; how many were missing."""
    today = clock.today_business_day()
    return ensure_line_partitions(today + timedelta(days=number) for number in range(DAYS_AHEAD + 1))


def enqueue_unsettled_batches() -> int:
    """Enqueues ingest batches that have trades and neither a settlement nor a job; how many were found."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT batch.id FROM platform_ops_ingestbatch AS batch
            WHERE batch.changed_trades > 0 AND batch.created_at < %s
              AND NOT EXISTS (SELECT 1 FROM ib_settlementbatch AS settled
                              WHERE settled.purpose = 'ingest' AND settled.scope_key = batch.id::text)
              AND NOT EXISTS (SELECT 1 FROM core_job AS job WHERE job.kind = 'ib.settle_batch' AND job.key = batch.id::text)
            ORDER BY batch.id LIMIT %s
            """,
            [clock.now() - timedelta(seconds=GRACE_SECONDS), BATCHES_AT_ONCE],
        )
        found = [row[0] for row in cursor.fetchall()]
    for batch_id in found:
        enqueue_batch(ingest_batch_id=batch_id)
    return len(found)


def settlement_lag() -> float:
    """Seconds since the oldest ingest batch came in that has trades and no settlement yet; zero when there is none."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT min(batch.created_at) FROM platform_ops_ingestbatch AS batch
            WHERE batch.changed_trades > 0 AND batch.created_at > %s
              AND NOT EXISTS (SELECT 1 FROM ib_settlementbatch AS settled
                              WHERE settled.purpose = 'ingest' AND settled.scope_key = batch.id::text)
            """,
            [clock.now() - timedelta(days=LAG_DAYS)],
        )
        oldest = cursor.fetchone()[0]
    return 0.0 if oldest is None else max((clock.now() - oldest).total_seconds(), 0.0)
