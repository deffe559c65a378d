"""Charging accounts for what a day's lines say: target minus charged, one operation per account, day and kind.

Where we only prove what the server charges, it still charges no administration fee: that one is ours in either mode. A
charge moves no books by itself: its deal does, which comes back from the server (`sending.py` takes it there), or is booked
here where the server takes no operations.
"""

# ruff: noqa: S608 -- the SQL is built from constants
from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds, is_business_day, next_business_day
from platform_ops.locks import lock_rollover
from platform_ops.models import SwapCharge, SwapRun, SwapSetting, TradingServer
from platform_ops.permissions import RUN_ROLLOVER
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.swaps.settings import setting_of
from platform_ops.types import DealKind

FIRST_BOOK_TICKET = 8_000_000_000_000_000_000
"""Deals that are booked here have tickets from here on, which no server's count reaches."""
MAXIMUM_CHARGES = 200_000
_FEE_KINDS = f"{DealKind.CHARGE.value}, {DealKind.CORRECTION.value}"
A_SECOND = timedelta(seconds=1)

crash_points.declare("platform.swap_charges.after_rows")

# A fee that is given back is a correction: servers take a charge only out of an account.
_TARGETS = {
    "swap": f"SELECT account_id, {DealKind.INTEREST.value} AS kind, sum(swap) AS amount FROM lines GROUP BY account_id",
    "dividend": f"SELECT account_id, {DealKind.DIVIDEND.value} AS kind, sum(dividend) AS amount FROM lines GROUP BY account_id",
    "fee": f"SELECT account_id, {DealKind.CHARGE.value} AS kind, sum(fee) AS amount FROM lines GROUP BY account_id",
}

_DIFFERENCES = """
WITH lines AS (
    SELECT line.account_id, line.swap, line.dividend, line.fee
      FROM platform_ops_swapline line
      JOIN platform_ops_tradingaccount account ON account.id = line.account_id
     WHERE line.day = %(day)s AND account.server_id = %(server)s
), target AS ({targets}), charged AS (
    SELECT charge.account_id, CASE WHEN charge.kind = {correction} THEN {fee} ELSE charge.kind END AS kind,
           sum(charge.amount) AS amount, max(charge.seq) AS seq
      FROM platform_ops_swapcharge charge
      JOIN platform_ops_tradingaccount account ON account.id = charge.account_id
     WHERE charge.day = %(day)s AND account.server_id = %(server)s AND charge.state <> 'refused' AND {kinds}
     GROUP BY 1, 2
), last AS (
    SELECT account_id, max(seq) AS seq FROM platform_ops_swapcharge WHERE day = %(day)s GROUP BY account_id
)
INSERT INTO platform_ops_swapcharge
    (run_id, account_id, day, kind, seq, amount, currency, reference, state, problem, attempts, created_at)
SELECT %(run)s, found.account_id, %(day)s,
       CASE WHEN found.kind = {fee} AND found.amount > 0 THEN {correction} ELSE found.kind END,
       found.seq, found.amount, account.currency,
       'SW' || to_char(%(day)s::date, 'YYMMDD') || '-' || found.account_id || '-' || found.kind || '-' || found.seq,
       'due', '', 0, %(now)s
  FROM (
    SELECT account_id, kind, coalesce(target.amount, 0) - coalesce(charged.amount, 0) AS amount,
           coalesce(last.seq + 1, 0) AS seq
      FROM target FULL JOIN charged USING (account_id, kind) LEFT JOIN last USING (account_id)
  ) found
  JOIN platform_ops_tradingaccount account ON account.id = found.account_id
 WHERE found.amount <> 0
"""


def charge_day(*, run: SwapRun, actor: Actor) -> int:
    """Writes the charges that a run's day still lacks and, where they are booked here, books them; how many are new."""
    authorise(actor, RUN_ROLLOVER)
    server = TradingServer.objects.get(pk=run.server_id)
    setting = setting_of(server)
    written = _write_charges(run=run, setting=setting)
    if setting.channel == SwapSetting.Channel.BOOKS:
        book_charges(server_id=server.pk, day=run.day)
    return written


@transaction.atomic
def _write_charges(*, run: SwapRun, setting: SwapSetting) -> int:
    lock_rollover(run.server_id)
    parts = list(_TARGETS.values()) if setting.mode == SwapSetting.Mode.POST else [_TARGETS["fee"]]
    statement = _DIFFERENCES.format(
        targets=" UNION ALL ".join(parts),
        kinds="TRUE" if setting.mode == SwapSetting.Mode.POST else f"charge.kind IN ({_FEE_KINDS})",
        correction=DealKind.CORRECTION.value,
        fee=DealKind.CHARGE.value,
    )
    values: dict[str, Any] = {"day": run.day, "server": run.server_id, "run": run.pk, "now": clock.now()}
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return int(cursor.rowcount)


@transaction.atomic(durable=True)
def book_charges(*, server_id: int, day: date) -> int:
    """Books the due charges of a day as deals of our own, where the server takes no operations; how many.

    Deals and states change in one transaction; a repeat finds nothing due.
    """
    lock_rollover(server_id)
    due = list(
        SwapCharge.objects.select_for_update(of=("self",))
        .filter(account__server_id=server_id, day=day, state=SwapCharge.State.DUE)
        .select_related("account")
        .order_by("pk")[:MAXIMUM_CHARGES]
    )
    if not due:
        return 0
    moment = _moment_of(day)
    ingest_records(
        server_id=server_id,
        source="rollover",
        as_of=max(moment, clock.now()),
        records=[
            IngestRecord(
                ticket=FIRST_BOOK_TICKET + charge.pk,
                account_id=charge.account_id,
                kind=DealKind(charge.kind),
                at=moment,
                profit=charge.amount,
                currency=charge.currency,
                comment=charge.reference,
            )
            for charge in due
        ],
    )
    crash_points.reach("platform.swap_charges.after_rows")
    now = clock.now()
    for charge in due:
        charge.state, charge.deal_ticket, charge.done_at = SwapCharge.State.DONE, FIRST_BOOK_TICKET + charge.pk, now
        charge.attempts += 1
    SwapCharge.objects.bulk_update(due, ["state", "deal_ticket", "done_at", "attempts"], batch_size=2_000)
    return len(due)


def _moment_of(day: date) -> Any:
    """When a charge of a server's day is booked: in the last second of the business day that takes it in."""
    return day_bounds(day if is_business_day(day) else next_business_day(day))[1] - A_SECOND
