"""One settlement as one transaction: the card pinned, the work claimed, lines written, sums posted, the job ended.

What is settled (a batch, a day, a partner's period) hands in its claim and its work; this knows how it is done once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any, Protocol

from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.services import outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Retryable
from ib.engine import booking, target
from ib.engine.booking import BookedSum
from ib.engine.card.building import CardFacts
from ib.engine.partitions import ensure_line_partitions
from ib.engine.target import Scope
from ib.locks import SETTLEMENT_LOCK_TIMEOUT_MS, limit_waiting
from ib.models import RateCardVersion, SettlementBatch
from ib.rules import money_text
from ib.services import posting, quarantine
from ib.services.card import ensure_current_card, facts_of_card, pin_current_card
from ib.types import SettlementResult

ATTEMPTS = 4
"""Tries of one settlement when the rate card was replaced or a line appeared under it."""
UNIQUE_VIOLATION = "23505"
TRIAL_BATCH = -1
"""The settlement batch that trial bookings name; none of them is ever committed."""

crash_points.declare(
    "ib.settle.after_claim", "ib.settle.after_lines", "ib.settle.after_postings", "ib.settle.before_finish"
)

Finish = Callable[[dict[str, Any]], None]
ScopeOf = Callable[[], Scope]
"""The whole of what a settlement compares, under the locks that it takes; asked only when it was refused."""


class CardOutdatedError(Exception):
    """The set-up changed since the rate card was compiled; it is compiled outside, and the settlement starts again."""


@dataclass(slots=True)
class Booking:
    """What one settlement transaction did so far."""

    batch: SettlementBatch
    card: RateCardVersion
    actor: Actor
    trades: int = 0
    sums: list[BookedSum] = field(default_factory=list)


class Work(Protocol):
    """Writes the lines of a claimed batch. `compare_all` asks it to trust nothing and compare with what was booked."""

    def __call__(self, state: Booking, *, compare_all: bool) -> None: ...


def settle_claim(
    *, claim: SettlementBatch, days: list[date], work: Work, scope: ScopeOf, actor: Actor, finish: Finish | None
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
    *, claim: SettlementBatch, work: Work, actor: Actor, finish: Finish | None, started: float, compare_all: bool
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
        state = Booking(batch=batch, card=card, actor=actor)
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
        with pinned_plan(len(trade_ids)):
            sums = booking.book_differences(
                scope=target.narrowed(whole, trade_ids), facts=facts_of_card(card), booking=books, batch_id=TRIAL_BATCH
            )
        posting.post_sums(batch=batch, sums=sums, actor=actor)

    guilty = quarantine.guilty_trades(trade_ids=_trades_in(whole), trial=trial)
    quarantine.set_aside(guilty=guilty, cause=f"{claim.purpose}:{claim.scope_key}", actor=actor)
    return bool(guilty)


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


def _conclude(state: Booking, *, started: float) -> SettlementResult:
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
    return SettlementResult(batch.trades, batch.lines, batch.booked, seconds_since(started))


def _result_of(claim: SettlementBatch) -> SettlementResult:
    """The result of work that was booked before: its figures, in no time."""
    batch = SettlementBatch.objects.get(purpose=claim.purpose, scope_key=claim.scope_key)
    return SettlementResult(batch.trades, batch.lines, batch.booked, Decimal(0))


@contextmanager
def pinned_plan(trades: int, facts: CardFacts | None = None) -> Iterator[bool]:
    """Joins are chosen by the number of trades in the block; gives whether these are few."""
    yield booking.pin_plan(trades, facts)
    booking.free_plan()


def _is_line_conflict(error: Exception) -> bool:
    """Whether a line of that key exists: the unique violation of a partition of the lines."""
    cause = error.__cause__
    table = str(getattr(getattr(cause, "diag", None), "table_name", ""))
    return getattr(cause, "pgcode", "") == UNIQUE_VIOLATION and table.startswith("ib_line")


def seconds_since(started: float) -> Decimal:
    return Decimal(str(time.monotonic() - started)).quantize(Decimal("0.001"))
