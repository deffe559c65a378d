"""The commissions step of the business day: settles the day, proves that nothing is left to book, and says what was paid."""

from __future__ import annotations

from datetime import date
from typing import Any, Protocol

from backoffice.core.books import register_check
from backoffice.core.models import OutboxEvent
from backoffice.core.services import outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict
from ib.selectors import coverage
from ib.services import day_proof
from ib.services.settlement import settle_range
from ib.types import Coverage
from platform_ops.services.business_day import register_step

STEP_ORDER = 50
ACTOR = Actor.system("business_day")


class Day(Protocol):
    """What the step needs of a business day."""

    @property
    def day(self) -> date: ...


def settle_business_day(business_day: Day) -> dict[str, Any]:
    """Settles, settles again to see zero, and counts what became of every trade.

    Raises Conflict (`commissions_not_proved`) when the second settlement still books, or a trade is unmatched.
    """
    day = business_day.day
    first = settle_range(from_day=day, to_day=day, actor=ACTOR)
    second = settle_range(from_day=day, to_day=day, actor=ACTOR)
    if second.lines:
        raise Conflict(
            f"A second settlement of {day} booked {second.lines} more lines.",
            code="commissions_not_proved",
            booked=second.booked,
        )
    fates = coverage(actor=ACTOR, from_day=day, to_day=day)
    unmatched = sum(row.trades for row in fates if row.status is Coverage.UNMATCHED)
    if unmatched:
        raise Conflict(
            f"{unmatched} trades of {day} are not paid as they should be.",
            code="commissions_not_proved",
            unmatched=unmatched,
        )
    return {
        "trades": first.trades,
        "lines": first.lines,
        "booked": first.booked,
        "paid": sum(row.trades for row in fates if row.status is Coverage.PAID),
        "excluded": {str(row.reason): row.trades for row in fates if row.status is Coverage.EXCLUDED},
        "payouts": day_proof.payouts_of_day(day),
    }


def on_step_done(payload: dict[str, Any], event: OutboxEvent) -> None:
    """The proof of a day is kept: what it found becomes somebody's work."""
    if payload["step"] == day_proof.STEP:
        day_proof.note_payouts()


def register() -> None:
    """Hooks the step into the business day, with the proof of the last days and the work that comes of it."""
    day_proof.register_work()
    register_check("ib.trades_accounted", day_proof.trades_accounted)
    outbox.subscribe("platform.day_step_done", "ib.note_payouts", on_step_done)
    register_step("commissions", STEP_ORDER, settle_business_day, title="Partner commissions settled and proved")
