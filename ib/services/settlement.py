"""Settlement: books target minus booked, per ingest batch as trades arrive and per day when asked or proved.

Exactly once by construction: the claim row, the lines, the postings and the end of the job are one transaction. A
second run finds nothing left to book; a corrected trade, a changed rule, tree or referral books its difference. Days are
locked against each other (`ib.locks`), so target and booked are always compared at rest.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.core.access import authorise
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput, NotFound
from ib.engine import booking, target
from ib.engine.card.building import CardFacts
from ib.engine.ordered import mark_periods, month_of
from ib.engine.target import Scope
from ib.locks import lock_days
from ib.models import SettlementBatch
from ib.rules import money_text
from ib.services import ordered, posting, quarantine
from ib.services.card import ensure_current_card, facts_of_card
from ib.services.settling import Booking, Finish, pinned_plan, seconds_since, settle_claim
from ib.services.shards import SETTLE_DAY, enqueue_days, work_off
from ib.types import SettlementResult

MAXIMUM_DAYS = 4_000


def settle_ingest_batch(*, ingest_batch_id: int, actor: Actor, finish: Finish | None = None) -> SettlementResult:
    """Books what the trades of an ingest batch earn. A batch that was settled is left alone and its result returned.

    *finish* is called with the result inside the settlement's transaction, so that a job ends with its work or not at all.
    """
    authorise(actor, "ib.settle_commissions")
    days = _days_of_batch(ingest_batch_id)

    def work(state: Booking, *, compare_all: bool) -> None:
        _book_ingest_batch(state, ingest_batch_id=ingest_batch_id, compare_all=compare_all)

    claim = SettlementBatch(
        purpose=SettlementBatch.Purpose.INGEST,
        scope_key=str(ingest_batch_id),
        ingest_batch_id=ingest_batch_id,
        cause=f"batch:{ingest_batch_id}",
        actor=actor.label,
    )
    return settle_claim(
        claim=claim,
        days=days,
        work=work,
        scope=lambda: _scope_of_batch(ingest_batch_id),
        actor=actor,
        finish=finish,
    )


def settle_day(
    *, day: date, scope_key: str, cause: str, actor: Actor, finish: Finish | None = None
) -> SettlementResult:
    """Books the difference between what a day's trades are worth and what was booked for that day."""
    authorise(actor, "ib.settle_commissions")

    def work(state: Booking, *, compare_all: bool) -> None:
        _book_day(state, day=day)

    claim = SettlementBatch(
        purpose=SettlementBatch.Purpose.RANGE, scope_key=scope_key, day=day, cause=cause, actor=actor.label
    )
    return settle_claim(
        claim=claim, days=[day], work=work, scope=lambda: _scope_of_day(day), actor=actor, finish=finish
    )


def settle_range(*, from_day: date, to_day: date, actor: Actor) -> SettlementResult:
    """Settles every day of a range, a shard each, and returns what this run booked.

    The shards are job rows: this process works them off, and any worker that is free helps. A shard whose worker died is
    freed and done here. Raises Conflict (`settlement_failed`) when a shard was refused for good.
    """
    authorise(actor, "ib.settle_commissions")
    started = time.monotonic()
    days = days_to_settle(from_day=from_day, to_day=to_day)
    ensure_current_card(actor=actor)
    keys = enqueue_days(days=days, cause="range", actor=actor, kind=SETTLE_DAY)
    work_off(kind=SETTLE_DAY, keys=keys)
    batches = SettlementBatch.objects.filter(purpose=SettlementBatch.Purpose.RANGE, scope_key__in=keys)
    results = [SettlementResult(batch.trades, batch.lines, batch.booked, Decimal(0)) for batch in batches]
    trades = sum(result.trades for result in results)
    results += ordered.settle_due(actor=actor, periods={month_of(day) for day in days})
    lines, booked = sum(result.lines for result in results), dict[str, Decimal]()
    for result in results:
        for currency, amount in result.booked.items():
            booked[currency] = booked.get(currency, Decimal(0)) + Decimal(amount)
    return SettlementResult(
        trades=trades,
        lines=lines,
        booked={currency: money_text(booked[currency], currency) for currency in sorted(booked)},
        seconds=seconds_since(started),
    )


def days_to_settle(*, from_day: date, to_day: date) -> list[date]:
    """The days of the range on which a trade was closed or a line booked. Raises InvalidInput for a bad range."""
    if to_day < from_day:
        raise InvalidInput("The range ends before it begins.", field="to_day", value=to_day.isoformat())
    if (to_day - from_day).days >= MAXIMUM_DAYS:
        raise InvalidInput(f"At most {MAXIMUM_DAYS} days at once.", field="to_day", value=to_day.isoformat())
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT series.moment::date FROM generate_series(%s::date, %s::date, interval '1 day') AS series(moment)
            WHERE EXISTS (SELECT 1 FROM platform_ops_trade AS t WHERE t.business_day = series.moment::date)
               OR EXISTS (SELECT 1 FROM ib_commissionline AS l WHERE l.day = series.moment::date)
            ORDER BY series.moment
            """,
            [from_day, to_day],
        )
        return [row[0] for row in cursor.fetchall()]


def _scope_of_day(day: date) -> Scope:
    lock_days(shared=[], exclusive=[day])
    return target.scope_of_day(day, held=quarantine.held_trades([day]))


def _scope_of_batch(ingest_batch_id: int) -> Scope:
    _, days, _, changed_days = _sort_trades(ingest_batch_id)
    all_days = sorted({*days, *changed_days})
    lock_days(shared=[], exclusive=all_days)
    held = set(quarantine.held_trades(all_days))
    trade_ids = [trade_id for trade_id in _trades_of(ingest_batch_id, days) if trade_id not in held]
    return target.scope_of_trades(trade_ids=trade_ids, days=all_days)


def _book_day(state: Booking, *, day: date) -> None:
    lock_days(shared=[], exclusive=[day])
    state.trades = _count("business_day = %s AND NOT is_cancelled", [day])
    scope = target.scope_of_day(day, held=quarantine.held_trades([day]))
    facts = facts_of_card(state.card, trades=(scope.trades, scope.parameters))
    _mark(state, scope, facts)
    with pinned_plan(max(state.trades, _count_booked(day)), facts.of_stage(ordered=False)):
        state.sums = booking.book_differences(
            scope=scope,
            facts=facts,
            booking=posting.booking_days([day]),
            batch_id=state.batch.pk,
        )


def _book_ingest_batch(state: Booking, *, ingest_batch_id: int, compare_all: bool) -> None:
    """New trades get their first lines without looking for earlier ones; changed trades are compared with the books."""
    state.trades, days, changed, changed_days = _sort_trades(ingest_batch_id)
    lock_days(shared=days, exclusive=changed_days)
    compared = days if compare_all else _days_settled_before(days)
    if compared:
        changed = sorted({*changed, *_trades_of(ingest_batch_id, compared)})
    all_days = sorted({*days, *changed_days})
    books = posting.booking_days(all_days)
    held = quarantine.held_trades(all_days)
    changed = [trade_id for trade_id in changed if trade_id not in held]
    facts = facts_of_card(state.card, trades=("t.batch_id = %(batch)s", {"batch": ingest_batch_id}))
    with pinned_plan(state.trades, facts.of_stage(ordered=False)) as are_few:
        if state.trades > len(changed):
            scope = _scope_of_new(ingest_batch_id, days, apart={*changed, *held}, are_few=are_few)
            state.sums += booking.book_new_lines(
                scope=scope, facts=facts, booking=books, batch_id=state.batch.pk, keeps_plan=are_few
            )
            _mark(state, scope, facts)
        if changed:
            scope = target.scope_of_trades(trade_ids=changed, days=all_days)
            state.sums += booking.book_differences(scope=scope, facts=facts, booking=books, batch_id=state.batch.pk)
            _mark(state, scope, facts)


def _scope_of_new(ingest_batch_id: int, days: list[date], *, apart: set[int], are_few: bool) -> Scope:
    if not are_few:
        return target.scope_of_new_trades(batch_id=ingest_batch_id, except_ids=sorted(apart), days=days)
    trade_ids = [trade_id for trade_id in _trades_of(ingest_batch_id, days) if trade_id not in apart]
    return target.scope_of_few_new_trades(batch_id=ingest_batch_id, trade_ids=trade_ids, days=days)


def _mark(state: Booking, scope: Scope, facts: CardFacts) -> None:
    """Has the months valued whose trades are paid in their order; in this transaction, so that none is forgotten."""
    if mark_periods(scope, facts, cause=f"settlement:{state.batch.pk}"):
        ordered.enqueue_due(key=f"settlement:{state.batch.pk}")


def _days_of_batch(ingest_batch_id: int) -> list[date]:
    """The days whose partitions the batch may need. Days on which its trades were before have theirs already."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT t.business_day FROM platform_ops_ingestbatch AS batch"
            " LEFT JOIN platform_ops_trade AS t ON t.batch_id = batch.id WHERE batch.id = %s",
            [ingest_batch_id],
        )
        rows = cursor.fetchall()
    if not rows:
        raise NotFound("No such ingest batch.", ingest_batch_id=ingest_batch_id)
    return sorted(row[0] for row in rows if row[0] is not None)


# A trade is new in its batch if that batch made its row: nobody can have settled it before. The deals are not asked:
# looking up a deal for every trade took as long as writing the lines.
_SORT_TRADES = """
SELECT t.business_day, count(*) FILTER (WHERE NOT t.is_cancelled), array_agg(t.id) FILTER (WHERE t.first_batch_id IS DISTINCT FROM t.batch_id)
FROM platform_ops_trade AS t
WHERE t.batch_id = %s
GROUP BY t.business_day ORDER BY t.business_day
"""
_EARLIER_DAYS = """
SELECT DISTINCT platform_business_day(deal.at)
FROM platform_ops_trade AS t
JOIN platform_ops_deal AS deal ON deal.server_id = t.server_id AND deal.ticket = t.ticket AND deal.leg = t.leg
WHERE t.id = ANY(%s)
"""


def _sort_trades(ingest_batch_id: int) -> tuple[int, list[date], list[int], list[date]]:
    """(number of trades, days of the batch, trades that existed before it, every day those have ever closed on)."""
    with connection.cursor() as cursor:
        cursor.execute(_SORT_TRADES, [ingest_batch_id])
        rows = cursor.fetchall()
        trades, days = sum(row[1] for row in rows), [row[0] for row in rows]
        changed = sorted(trade_id for row in rows for trade_id in row[2] or [])
        if not changed:
            return trades, days, [], []
        cursor.execute(_EARLIER_DAYS, [changed])
        earlier = {row[0] for row in cursor.fetchall()}
    return trades, days, changed, sorted(earlier | {row[0] for row in rows if row[2]})


def _days_settled_before(days: Iterable[date]) -> list[date]:
    """Days that were settled as a whole at some time: a settlement of the day may have booked the batch's trades."""
    found = SettlementBatch.objects.filter(day__in=list(days)).order_by().values_list("day", flat=True).distinct()
    return sorted(day for day in found if day is not None)


def _trades_of(ingest_batch_id: int, days: list[date]) -> list[int]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM platform_ops_trade WHERE batch_id = %s AND business_day = ANY(%s)", [ingest_batch_id, days]
        )
        return [row[0] for row in cursor.fetchall()]


def _count(condition: str, parameters: list[Any]) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM platform_ops_trade WHERE {condition}", parameters)  # noqa: S608 - own text
        return int(cursor.fetchone()[0])


def _count_booked(day: date) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ib_commissionline WHERE day = %s", [day])
        return int(cursor.fetchone()[0])
