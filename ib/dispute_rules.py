"""Pure rules of disputes about commission: which steps there are, how long each cause may take, and what a person may do."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db.models import TextChoices

from backoffice.core.work.kinds import due_from
from backoffice.kernel.errors import IllegalTransition


class DisputeSubject(TextChoices):
    """What a dispute is about."""

    TRADE_LINE = "trade_line", "Line of a trade"
    PERIOD_LINE = "period_line", "Line of a period"
    UNPAID_TRADE = "unpaid_trade", "Trade that paid nothing"


class DisputeCause(TextChoices):
    """What the partner thinks is wrong."""

    RATE = "rate", "Rate or rule of the plan"
    TREE = "tree", "Level or place in the tree"
    REFERRAL = "referral", "Whose client it is"
    TRADE = "trade", "Volume, price or time of the trade"
    CONVERSION = "conversion", "Conversion or rounding"
    LIMITS = "limits", "Tier, cap or filter"
    NOT_PAID = "not_paid", "Trade was not paid"
    TAKEN_BACK = "taken_back", "Amount taken back"
    OTHER = "other", "Something else"


class DisputeState(TextChoices):
    """Where a dispute stands."""

    RECEIVED = "received", "Received"
    IN_WORK = "in_work", "In work"
    ASKED = "asked", "Waits for the partner"
    CORRECTING = "correcting", "Being corrected"
    CLOSED = "closed", "Closed"


class DisputeDecision(TextChoices):
    """What was decided."""

    REJECT = "reject", "The amount stands"
    CORRECT = "correct", "Corrected"
    GOODWILL = "goodwill", "Goodwill"
    WITHDRAW = "withdraw", "Withdrawn"


class Correction(TextChoices):
    """Where the mistake is corrected. What follows from it is settled again and posted as a difference."""

    PLAN = "plan", "Rule of the plan"
    TREE = "tree", "Partner tree"
    REFERRAL = "referral", "Referral of the client"
    RATE = "agreed_rate", "Rank or agreed rate"
    TRADE = "trade", "Trade or account"
    MARKET = "market", "Prices or conversion rates"


class DisputeStep(TextChoices):
    """What happened, on the timeline."""

    OPENED = "opened", "Opened"
    TAKEN = "taken", "Taken in hand"
    ASKED = "asked", "Question to the partner"
    ANSWERED = "answered", "Answer of the partner"
    WROTE = "wrote", "Message"
    NOTED = "noted", "Internal note"
    DECIDED = "decided", "Decided"
    RETURNED = "returned", "Back in work"
    RESUMED = "resumed", "Clock goes on"
    REMINDED = "reminded", "Reminder"
    CLOSED = "closed", "Closed"
    APPEALED = "appealed", "Appeal"


DUE_HOURS: dict[DisputeCause, int] = {
    DisputeCause.RATE: 48,
    DisputeCause.TREE: 48,
    DisputeCause.REFERRAL: 72,
    DisputeCause.TRADE: 72,
    DisputeCause.CONVERSION: 24,
    DisputeCause.LIMITS: 48,
    DisputeCause.NOT_PAID: 24,
    DisputeCause.TAKEN_BACK: 48,
    DisputeCause.OTHER: 72,
}
"""Hours of open market within which a dispute of the cause is decided."""
APPEAL_HOURS = 72
"""The same for an appeal, which somebody else decides."""
ANSWER_DAYS = 14
"""How long the clock stands still for a partner who does not answer."""
REMIND_AFTER = timedelta(days=3)
"""When a partner who was asked is reminded, once."""
APPEAL_DAYS = 30
"""How long after a decision it may be appealed against."""
NEEDS_CHANGE_REQUEST = frozenset({Correction.PLAN, Correction.TREE})
"""Corrections that a person never carries out alone."""

_STEPS: dict[str, tuple[frozenset[DisputeState], DisputeState]] = {
    "take": (frozenset({DisputeState.RECEIVED, DisputeState.IN_WORK}), DisputeState.IN_WORK),
    "ask": (frozenset({DisputeState.RECEIVED, DisputeState.IN_WORK}), DisputeState.ASKED),
    "answer": (frozenset({DisputeState.ASKED}), DisputeState.IN_WORK),
    "reject": (frozenset({DisputeState.RECEIVED, DisputeState.IN_WORK, DisputeState.ASKED}), DisputeState.CLOSED),
    "correct": (frozenset({DisputeState.RECEIVED, DisputeState.IN_WORK, DisputeState.ASKED}), DisputeState.CORRECTING),
    "return": (frozenset({DisputeState.CORRECTING}), DisputeState.IN_WORK),
    "finish": (frozenset({DisputeState.CORRECTING}), DisputeState.CLOSED),
    "withdraw": (frozenset({DisputeState.RECEIVED, DisputeState.IN_WORK, DisputeState.ASKED}), DisputeState.CLOSED),
    "appeal": (frozenset({DisputeState.CLOSED}), DisputeState.RECEIVED),
}


def next_state(step: str, state: str) -> DisputeState:
    """The state after a step. Raises IllegalTransition where there is no such step."""
    before, after = _STEPS[step]
    if DisputeState(state) not in before:
        raise IllegalTransition(
            f"This cannot be done with a dispute that is {DisputeState(state).label.lower()}.", state=state, step=step
        )
    return after


def may_step(step: str, state: str) -> bool:
    """Whether the step is possible now."""
    return DisputeState(state) in _STEPS[step][0]


def due_of(cause: str, at: datetime) -> datetime:
    """By when a dispute of the cause that came at a moment is decided."""
    return due_from(at, DUE_HOURS[DisputeCause(cause)])


def due_after_pause(due_at: datetime, *, asked_at: datetime, now: datetime) -> datetime:
    """The due time moved on by how long the clock stood still; never into a weekend."""
    return due_from(due_at + (now - asked_at), 0)


def appeal_until(decided_at: datetime) -> datetime:
    """The last moment for an appeal."""
    return decided_at + timedelta(days=APPEAL_DAYS)


CAUSES_OF_SUBJECT: dict[DisputeSubject, tuple[DisputeCause, ...]] = {
    DisputeSubject.TRADE_LINE: tuple(cause for cause in DisputeCause if cause is not DisputeCause.NOT_PAID),
    DisputeSubject.PERIOD_LINE: tuple(cause for cause in DisputeCause if cause is not DisputeCause.NOT_PAID),
    DisputeSubject.UNPAID_TRADE: (
        DisputeCause.NOT_PAID,
        DisputeCause.REFERRAL,
        DisputeCause.RATE,
        DisputeCause.LIMITS,
        DisputeCause.TRADE,
        DisputeCause.OTHER,
    ),
}
"""What can be wrong with which subject."""
