"""Trades in: the one door through which deals enter, whatever their source.

A source yields `IngestRecord`s (or CSV). They are copied into a staging table and checked; then, as the server's only
writer, merged into `Deal`, and trades, open positions and balance operations follow, all in one transaction with the
event that tells the other desks. Re-delivery, re-ordering and overlap change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.services import outbox
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput, NotFound
from platform_ops.events import TRADES_CHANGED
from platform_ops.locks import lock_server
from platform_ops.models import Deal, IngestBatch, StatementImport, TradingServer
from platform_ops.services.markets import merge_markets
from platform_ops.services.merging import MergeOutcome, merge_stage, relink_positions
from platform_ops.services.openings import refresh_openings
from platform_ops.services.projections import Projected, project_batch
from platform_ops.services.staging import STAGE, CsvSource, IngestRecord, pinned_plans, stage_csv, stage_records
from platform_ops.services.work import note_unmatched_symbols

__all__ = ["IngestOutcome", "IngestRecord", "ingest_csv", "ingest_records", "ingest_statement_records"]

MAX_CLOCK_AHEAD = timedelta(days=1)
"""How far a deal may lie after the moment at which its source told of it: clocks differ, zones are mistaken."""

crash_points.declare("platform.ingest.after_merge", "platform.ingest.before_commit")


@dataclass(frozen=True, slots=True)
class IngestOutcome:
    """What a load did. The batch has no id when nothing changed; then nothing was written."""

    batch: IngestBatch
    merged: MergeOutcome


def ingest_records(
    *,
    server_id: int,
    source: str,
    records: Iterable[IngestRecord],
    as_of: datetime,
    statement: StatementImport | None = None,
) -> IngestBatch:
    """Books deals of a server, of any number of accounts, as *source* told them at *as_of*.

    All or nothing: raises InvalidInput with row and field (the first record is row 1), Retryable when another load of
    the server takes too long. Returns the batch with its counts; without a change it is unsaved (`pk` None) and no
    event is published.
    """
    return _ingest(
        server_id=server_id, source=source, as_of=as_of, statement=statement, stage=lambda: stage_records(records)
    ).batch


def ingest_csv(
    *, server_id: int, source: str, stream: CsvSource, as_of: datetime, markets: CsvSource | None = None
) -> IngestBatch:
    """Like `ingest_records`, from CSV in the order of `staging.STAGE_COLUMNS`: no Python touches a row.

    *markets* are the market prices of some of the deals, in the order of `staging.MARKET_COLUMNS`.
    """
    return _ingest(
        server_id=server_id,
        source=source,
        as_of=as_of,
        statement=None,
        stage=lambda: stage_csv(stream, markets=markets),
    ).batch


def ingest_statement_records(
    *, statement: StatementImport, records: Iterable[IngestRecord], roots: dict[int, int]
) -> IngestOutcome:
    """Books the deals of a stored statement; *roots* moves positions that the file shows to be part of another one."""
    assert statement.as_of is not None
    return _ingest(
        server_id=statement.server_id,
        source="statement",
        as_of=statement.as_of,
        statement=statement,
        stage=lambda: stage_records(records),
        roots=roots,
    )


@transaction.atomic
def _ingest(
    *,
    server_id: int,
    source: str,
    as_of: datetime,
    statement: StatementImport | None,
    stage: Callable[[], int],
    roots: dict[int, int] | None = None,
) -> IngestOutcome:
    if not TradingServer.objects.filter(pk=server_id).exists():
        raise NotFound("No such trading server.", server_id=server_id)
    # Copying and checking needs no lock: the staging table is this connection's own.
    staged = stage()
    _refuse_future(as_of)
    lock_server(server_id)
    batch_id, low = _start_batch()
    relinked = 0
    if roots and statement is not None and statement.account_id is not None:
        relinked = relink_positions(account_id=statement.account_id, batch_id=batch_id, roots=roots)
    with pinned_plans(staged):
        merged = merge_stage(server_id=server_id, batch_id=batch_id, as_of=as_of, staged=staged)
        merge_markets(server_id=server_id, batch_id=batch_id, as_of=as_of)
    crash_points.reach("platform.ingest.after_merge")
    rows = merged.new_deals + merged.corrected_deals + relinked
    projected = Projected(trades=0, positions=0, operations=0)
    if rows:
        with pinned_plans(rows):
            projected = project_batch(batch_id=batch_id, low=low, rows=rows, has_corrections=rows > merged.new_deals)
    openings = _refresh_openings(
        server_id=server_id, batch_id=batch_id, low=low, statement=statement, has_rows=bool(rows)
    )
    batch = IngestBatch(
        server_id=server_id,
        statement=statement,
        source=source,
        new_deals=merged.new_deals,
        corrected_deals=merged.corrected_deals,
        stale_deals=len(merged.stale),
        changed_trades=projected.trades,
        changed_positions=projected.positions,
        changed_operations=projected.operations + openings,
    )
    if rows or openings:
        batch.pk = batch_id
        batch.save(force_insert=True)
        outbox.publish(
            topic=TRADES_CHANGED,
            payload={"batch_id": batch_id, "server_id": server_id},
            shard_key=f"server:{server_id}",
        )
    note_unmatched_symbols(server_id=server_id, batch_id=batch_id if rows else None)
    crash_points.reach("platform.ingest.before_commit")
    return IngestOutcome(batch=batch, merged=merged)


def _start_batch() -> tuple[int, int]:
    """The number that the batch will have, and the highest deal id before it."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT nextval(pg_get_serial_sequence('platform_ops_ingestbatch', 'id')), "
            "(SELECT coalesce(max(id), 0) FROM platform_ops_deal)"
        )
        batch_id, low = cursor.fetchone()
    return int(batch_id), int(low)


def _refuse_future(as_of: datetime) -> None:
    """A deal from after the moment of telling is a mistaken clock or zone; it would fall into the wrong day."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT ticket, at FROM {STAGE} WHERE at > %s ORDER BY at DESC LIMIT 1",  # noqa: S608 -- a constant table
            [min(as_of, clock.now()) + MAX_CLOCK_AHEAD],
        )
        if late := cursor.fetchone():
            raise InvalidInput(
                f"Deal {late[0]} is dated {late[1]:%Y-%m-%d %H:%M}, after it was told of.",
                field="at",
                value=late[1].isoformat(),
                ticket=late[0],
            )


def _refresh_openings(
    *, server_id: int, batch_id: int, low: int, statement: StatementImport | None, has_rows: bool
) -> int:
    """Openings of the accounts that have statements and that this load touched."""
    accounts = set() if statement is None else {statement.account_id}
    if has_rows:
        told = StatementImport.objects.filter(
            server_id=server_id, state=StatementImport.State.STORED, repeats__isnull=True
        )
        with_files = sorted(set(told.values_list("account_id", flat=True)) - accounts - {None})
        if with_files:
            touched = Deal.objects.filter(pk__gt=low, batch_id=batch_id, account_id__in=with_files)
            accounts |= set(touched.values_list("account_id", flat=True).distinct())
    return sum(
        refresh_openings(account_id=account_id, batch_id=batch_id)
        for account_id in sorted(account for account in accounts if account is not None)
    )
