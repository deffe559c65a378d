"""Settlement work as job rows: one per day or ingest batch. Whoever runs them, the totals are the same."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable
from datetime import date, datetime
from typing import Any

from django.db import connection

from backoffice.core.models import Job
from backoffice.core.services import jobs
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Retryable
from backoffice.kernel.ids import uuid7

SETTLE_DAY = "ib.settle_day"
"""A day of a run that somebody asked for; the run waits for its jobs and reports what they booked."""
RESETTLE_DAY = "ib.resettle_day"
"""A day that a change of the past touched; nobody waits for it."""
SETTLE_BATCH = "ib.settle_batch"

LONGEST_RUN_SECONDS = 3_600
ATTEMPTS_WAITED_FOR = 4
PAUSE_SECONDS = 0.05
"""Between two looks at shards that other workers have."""


def enqueue_days(*, days: Iterable[date], cause: str, actor: Actor, kind: str = RESETTLE_DAY) -> list[str]:
    """Enqueues the settlement of days; the keys of the jobs. A day asked for again gets a job of its own.

    *cause* says why (`referral:12`) and is kept with the settlement batch.
    """
    run_id = uuid7()
    keys = []
    for day in sorted(set(days)):
        key = f"{day.isoformat()}:{run_id}"
        jobs.enqueue(kind=kind, key=key, payload={"day": day.isoformat(), "cause": cause, "requested_by": actor.label})
        keys.append(key)
    return keys


def enqueue_batch(*, ingest_batch_id: int) -> None:
    """Enqueues the settlement of an ingest batch, once for ever."""
    jobs.enqueue(kind=SETTLE_BATCH, key=str(ingest_batch_id), payload={"ingest_batch_id": ingest_batch_id})


def work_off(*, kind: str, keys: list[str]) -> None:
    """Works until the jobs of these keys are done, by this process or by others.

    Raises Conflict (`settlement_failed`) when one failed for good or several times, Retryable when they take longer than the bound.
    """
    owner = f"run:{socket.gethostname()}:{os.getpid()}:{uuid7()}"
    deadline = time.monotonic() + LONGEST_RUN_SECONDS
    while time.monotonic() < deadline:
        jobs.run_ready(kind=kind, owner=owner)
        pending = list(Job.objects.filter(kind=kind, key__in=keys).exclude(state=Job.State.DONE))
        failed = [job for job in pending if job.state == Job.State.FAILED or _keeps_failing(job)]
        if failed:
            raise Conflict(
                f"{len(failed)} of {len(keys)} days could not be settled: {failed[0].last_error}",
                code="settlement_failed",
                days=[job.payload["day"] for job in failed],
            )
        if not pending:
            return
        jobs.reap_expired()
        time.sleep(PAUSE_SECONDS)
    raise Retryable("The settlement took too long; what is done is done, run it again.", code="settlement_slow")


def days_of_client(*, client_id: int, since: datetime | None = None) -> list[date]:
    """Days on which accounts of the client closed trades, from an instant on."""
    return _days("account.client_id = %s AND (%s::timestamptz IS NULL OR t.closed_at >= %s)", [client_id, since, since])


def days_between(*, first: date, last: date) -> list[date]:
    """Days of a range on which trades were closed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT series.moment::date FROM generate_series(%s::date, %s::date, interval '1 day') AS series(moment)"
            " WHERE EXISTS (SELECT 1 FROM platform_ops_trade AS t WHERE t.business_day = series.moment::date) ORDER BY 1",
            [first, last],
        )
        return [row[0] for row in cursor.fetchall()]


def days_of_account(*, account_id: int) -> list[date]:
    """Days on which the account closed trades."""
    return _days("t.account_id = %s", [account_id])


def days_of_accounts(*, account_ids: list[int]) -> list[date]:
    """Days on which any of the accounts closed trades."""
    return _days("t.account_id = ANY(%s)", [account_ids])


def days_of_server_symbol(*, server_symbol_id: int) -> list[date]:
    """Days on which trades in a server's symbol were closed."""
    return _days("t.server_symbol_id = %s", [server_symbol_id])


def _keeps_failing(job: Job) -> bool:
    """Whether the shard waits for another try after several; workers go on trying, but nobody should wait for it."""
    return job.state == Job.State.READY and bool(job.last_error) and job.attempts >= ATTEMPTS_WAITED_FOR


_DAYS = """
SELECT DISTINCT t.business_day
FROM platform_ops_trade AS t JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
WHERE {condition}
ORDER BY t.business_day
"""


def _days(condition: str, parameters: list[Any]) -> list[date]:
    with connection.cursor() as cursor:
        cursor.execute(_DAYS.format(condition=condition), parameters)
        return [row[0] for row in cursor.fetchall()]
