"""Settlement: books target minus booked, per ingest batch as trades arrive and per day when asked or proved.

Exactly once by construction: the claim row, the lines, the postings and the end of the job are one transaction. A
second run finds nothing left to book; a corrected trade, a changed rule, tree or referral books its difference. Days are
locked against each other (`ib.locks`), so target and booked are always compared at rest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise
from backoffice.core.services import outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound, Retryable
from ib.engine import booking, target
from ib.engine.booking import BookedSum
from ib.engine.partitions import ensure_line_partitions
from ib.engine.target import Scope
from ib.locks import SETTLEMENT_LOCK_TIMEOUT_MS, limit_waiting, lock_days
from ib.models import RateCardVersion, SettlementBatch
from ib.rules import money_text
from ib.services import posting, quarantine
from ib.services.card import ensure_current_card, facts_of_card, pin_current_card
from ib.services.shards import SETTLE_DAY, enqueue_days, work_off
from ib.types import SettlementResult

ATTEMPTS = 4
"""Tries of one settlement when the rate card was replaced or a line appeared under it."""
MAXIMUM_DAYS = 4_000
UNIQUE_VIOLATION = "23505"
TRIAL_BATCH = -1
"""The settlement batch that trial bookings name; none of them is ever committed."""

crash_points.declare(
    "ib.settle.after_claim", "ib.settle.after_lines", "ib.settle.after_postings", "ib.settle.before_finish"
)

Finish = Callable[[dict[str, Any]], None]


class CardOutdatedError(Exception):
    """The set-up changed since the rate card was compiled; it is compiled outside, and the settlement starts again."""


@dataclass(slots=True)
class _Booking:
    """What one settlement transaction did so far."""

    batch: SettlementBatch
    card: RateCardVersion
    actor: Actor
    trades: int = 0
    sums: list[BookedSum] = field(default_factory=list)


class _Work(Protocol):
    """Writes the lines of a claimed batch. `compare_all` asks it to trust nothing and compare with what was booked."""

    def __call__(self, state: _Booking, *, compare_all: bool) -> None: ...


ScopeOf = Callable[[], Scope]
"""The whole of what a settlement compares, under the locks that it takes; asked only when it was refused."""


def settle_ingest_batch(*, ingest_batch_id: int, actor: Actor, finish: Finish | None = None) -> SettlementResult:
    """Books what the trades of an ingest batch earn. A batch that was settled is left alone and its result returned.

    *finish* is called with the result inside the settlement's transaction, so that a job ends with its work or not at all.
    """
    authorise(actor, "ib.settle_commissions")
    days = _days_of_batch(ingest_batch_id)

    def work(state: _Booking, *, compare_all: bool) -> None:
        _book_ingest_batch(state, ingest_batch_id=ingest_batch_id, compare_all=compare_all)

    claim = SettlementBatch(
        purpose=SettlementBatch.Purpose.INGEST,
        scope_key=str(ingest_batch_id),
        ingest_batch_id=ingest_batch_id,
        cause=f"batch:{ingest_batch_id}",
        actor=actor.label,
    )
    return _settle(
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

    def work(state: _Booking, *, compare_all: bool) -> None:
        _book_day(state, day=day)

    claim = SettlementBatch(
        purpose=SettlementBatch.Purpose.RANGE, scope_key=scope_key, day=day, cause=cause, actor=actor.label
    )
    return _settle(claim=claim, days=[day], work=work, scope=lambda: _scope_of_day(day), actor=actor, finish=finish)


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
    trades, lines, booked = 0, 0, dict[str, Decimal]()
    for batch in SettlementBatch.objects.filter(purpose=SettlementBatch.Purpose.RANGE, scope_key__in=keys):
        trades += batch.trades
        lines += batch.lines
        for currency, amount in batch.booked.items():
            booked[currency] = booked.get(currency, Decimal(0)) + Decimal(amount)
    return SettlementResult(
        trades=trades,
        lines=lines,
        booked={currency: money_text(booked[currency], currency) for currency in sorted(booked)},
        seconds=_seconds_since(started),
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


def _settle(
    *, claim: SettlementBatch, days: list[date], work: _Work, scope: ScopeOf, actor: Actor, finish: Finish | None
) -> SettlementResult:
    """Runs the transaction, again when the rate card was replaced under it, a line it took for new exists already, or
    trades that the books refuse were set aside."""
    started = time.monotonic()
    compare_all = False
    for _ in range(ATTEMPTS):
        ensure_line_partitions(days)
        try:
            return _settle_once(
                claim=claim, work=work, actor=actor, finish=finish, started=started, compare_all=compare_all
            )
        except CardOutdatedError:
            ensure_current_card(actor=actor)
        except Conflict as error:
            # The day was closed, or an account frozen, between looking and posting; the next look sees it.
            if error.code not in {"day_closed", "account_frozen"}:
                raise
        except quarantine.REFUSED as error:
            if _is_line_conflict(error):
                compare_all = True
            elif not _set_refused_aside(claim=claim, scope=scope, actor=actor):
                raise
    raise Retryable("The rate card or the trades changed during every attempt.", code="settlement_busy")


@transaction.atomic(durable=True)
def _settle_once(
    *, claim: SettlementBatch, work: _Work, actor: Actor, finish: Finish | None, started: float, compare_all: bool
) -> SettlementResult:
    limit_waiting(SETTLEMENT_LOCK_TIMEOUT_MS)
    card = pin_current_card(actor=actor)
    if card is None:
        raise CardOutdatedError
    batch = _claim(claim, card)
    if batch is None:
        result = _result_of(claim)
    else:
        crash_points.reach("ib.settle.after_claim")
        state = _Booking(batch=batch, card=card, actor=actor)
        work(state, compare_all=compare_all)
        crash_points.reach("ib.settle.after_lines")
        batch.entity_ids = posting.post_sums(batch=batch, sums=state.sums, actor=actor)
        crash_points.reach("ib.settle.after_postings")
        result = _conclude(state, started=started)
    crash_points.reach("ib.settle.before_finish")
    if finish is not None:
        finish(result.as_dict())
    return result


@transaction.atomic(durable=True)
def _set_refused_aside(*, claim: SettlementBatch, scope: ScopeOf, actor: Actor) -> bool:
    """Finds the trades that are refused by themselves and sets them aside; False when it is none of them alone."""
    limit_waiting(SETTLEMENT_LOCK_TIMEOUT_MS)
    card = pin_current_card(actor=actor)
    if card is None:
        return True  # the set-up changed meanwhile, and may have mended it
    whole = scope()
    books = posting.booking_days(whole.days)
    batch = copy(claim)
    batch.pk, batch.card = TRIAL_BATCH, card

    def trial(trade_ids: Sequence[int]) -> None:
        with _pinned_plan(len(trade_ids)):
            sums = booking.book_differences(
                scope=target.narrowed(whole, trade_ids), facts=facts_of_card(card), booking=books, batch_id=TRIAL_BATCH
            )
        posting.post_sums(batch=batch, sums=sums, actor=actor)

    guilty = quarantine.guilty_trades(trade_ids=_trades_in(whole), trial=trial)
    quarantine.set_aside(guilty=guilty, cause=f"{claim.purpose}:{claim.scope_key}", actor=actor)
    return bool(guilty)


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


def _trades_in(scope: Scope) -> list[int]:
    """Every trade that the scope values or has lines of."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT t.id FROM platform_ops_trade AS t WHERE {scope.trades}"  # noqa: S608 - own text
            f" UNION SELECT l.trade_id FROM ib_commissionline AS l WHERE {scope.booked} ORDER BY 1",
            {"days": list(scope.days), **scope.parameters},
        )
        return [row[0] for row in cursor.fetchall()]


def _claim(claim: SettlementBatch, card: RateCardVersion) -> SettlementBatch | None:
    """Inserts the batch row; None if the same work was claimed before. Waits for a claim that is not decided yet."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO ib_settlementbatch
                (purpose, scope_key, ingest_batch_id, day, cause, actor, card_id, trades, lines, booked, line_digest,
                 entity_ids, created_at)
            VALUES (%s, %s, %s, %s, %s, %s, %s, 0, 0, '{}', '', '{}', %s)
            ON CONFLICT (purpose, scope_key) DO NOTHING RETURNING id
            """,
            [
                claim.purpose,
                claim.scope_key,
                claim.ingest_batch_id,
                claim.day,
                claim.cause,
                claim.actor,
                card.pk,
                claim.created_at,
            ],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    batch = copy(claim)
    batch.pk, batch.card = row[0], card
    batch._state.adding = False
    return batch


def _book_day(state: _Booking, *, day: date) -> None:
    lock_days(shared=[], exclusive=[day])
    state.trades = _count("business_day = %s AND NOT is_cancelled", [day])
    with _pinned_plan(max(state.trades, _count_booked(day))):
        state.sums = booking.book_differences(
            scope=target.scope_of_day(day, held=quarantine.held_trades([day])),
            facts=facts_of_card(state.card),
            booking=posting.booking_days([day]),
            batch_id=state.batch.pk,
        )


def _book_ingest_batch(state: _Booking, *, ingest_batch_id: int, compare_all: bool) -> None:
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
    with _pinned_plan(state.trades):
        if state.trades > len(changed):
            state.sums += booking.book_new_lines(
                scope=target.scope_of_new_trades(batch_id=ingest_batch_id, except_ids=[*changed, *held], days=days),
                facts=facts_of_card(state.card),
                booking=books,
                batch_id=state.batch.pk,
            )
        if changed:
            state.sums += booking.book_differences(
                scope=target.scope_of_trades(trade_ids=changed, days=all_days),
                facts=facts_of_card(state.card),
                booking=books,
                batch_id=state.batch.pk,
            )


def _conclude(state: _Booking, *, started: float) -> SettlementResult:
    """Writes the control totals and tells who wants to know."""
    batch = state.batch
    totals: dict[str, Decimal] = {}
    for item in state.sums:
        totals[item.currency] = totals.get(item.currency, Decimal(0)) + item.amount
    batch.trades = state.trades
    batch.lines = sum(item.lines for item in state.sums)
    batch.booked = {currency: money_text(totals[currency], currency) for currency in sorted(totals)}
    batch.line_digest = str(sum((item.digest for item in state.sums), Decimal(0)))
    batch.save(update_fields=["trades", "lines", "booked", "line_digest", "entity_ids"])
    if batch.lines:
        outbox.publish(topic="ib.commissions_settled", payload={"settlement_batch_id": batch.pk})
    return SettlementResult(batch.trades, batch.lines, batch.booked, _seconds_since(started))


def _result_of(claim: SettlementBatch) -> SettlementResult:
    """The result of work that was booked before: its figures, in no time."""
    batch = SettlementBatch.objects.get(purpose=claim.purpose, scope_key=claim.scope_key)
    return SettlementResult(batch.trades, batch.lines, batch.booked, Decimal(0))


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


@contextmanager
def _pinned_plan(trades: int) -> Iterator[None]:
    booking.pin_plan(trades)
    yield
    booking.free_plan()


def _is_line_conflict(error: Exception) -> bool:
    """Whether a line of that key exists: the unique violation of a partition of the lines."""
    cause = error.__cause__
    table = str(getattr(getattr(cause, "diag", None), "table_name", ""))
    return getattr(cause, "pgcode", "") == UNIQUE_VIOLATION and table.startswith("ib_line")


def _seconds_since(started: float) -> Decimal:
    return Decimal(str(time.monotonic() - started)).quantize(Decimal("0.001"))
