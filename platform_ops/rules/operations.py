"""How an operation on a server goes on: its states, what may follow what, and when a lost answer is settled. Pure.

An operation is written down before anything is sent. A command whose answer is lost is *uncertain*: what happened is
looked up by the operation's reference, and only after the server had time to finish is *not found* believed.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from backoffice.kernel.errors import IllegalTransition, InvalidInput
from platform_ops.types import DealKind

REFERENCE_PATTERN = r"BO-[0-9A-HJKMNP-TV-Z]{12}"
"""Fixed length, so that no reference is part of another one; digits and letters that nobody confuses."""
REFERENCE_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
REFERENCE_LENGTH = 15
COMMENT_LENGTH = 32

MAXIMUM_ATTEMPTS = 5
SETTLES_AFTER = timedelta(seconds=45)
"""How long after it was sent a command may still take effect on the server, at least."""
SETTLING_MARGIN = timedelta(seconds=15)
"""How much longer than a connection waits for an answer."""
RETRY_AFTER = timedelta(seconds=5)
LONGEST_RETRY = timedelta(minutes=10)
CLOCK_SLACK = timedelta(days=1)
"""How far a server's clock may be off when an operation is looked up by its time."""

MONEY_KINDS = frozenset(
    {
        DealKind.BALANCE,
        DealKind.CREDIT,
        DealKind.CHARGE,
        DealKind.CORRECTION,
        DealKind.BONUS,
        DealKind.COMMISSION,
        DealKind.INTEREST,
        DealKind.DIVIDEND,
        DealKind.TAX,
        DealKind.SO_COMPENSATION,
    }
)
ALWAYS_OUT = frozenset({DealKind.CHARGE, DealKind.TAX})
ALWAYS_IN = frozenset({DealKind.BONUS, DealKind.SO_COMPENSATION})

OWED = frozenset({DealKind.CHARGE, DealKind.COMMISSION, DealKind.INTEREST, DealKind.DIVIDEND, DealKind.TAX})
"""What an account owes for its trading: taken from it, but paid out to nobody."""


class OperationKind(StrEnum):
    """What is done on the server."""

    OPEN_ACCOUNT = "open_account"
    MOVE_MONEY = "move_money"
    CHANGE_GROUP = "change_group"
    CHANGE_LEVERAGE = "change_leverage"
    CHANGE_ACCESS = "change_access"
    CHANGE_PASSWORD = "change_password"  # noqa: S105 -- the name of a kind


class OperationState(StrEnum):
    """Where an operation stands."""

    REQUESTED = "requested"
    SENDING = "sending"
    UNCERTAIN = "uncertain"
    NOT_FOUND = "not_found"
    DONE = "done"
    FOUND = "found"
    REFUSED = "refused"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing follows any more."""
        return self in FINAL

    @property
    def took_effect(self) -> bool:
        """Whether the server has done it."""
        return self in EFFECTIVE


FINAL = frozenset({OperationState.DONE, OperationState.FOUND, OperationState.REFUSED, OperationState.CANCELLED})
EFFECTIVE = frozenset({OperationState.DONE, OperationState.FOUND})


class Step(StrEnum):
    """What moves an operation on."""

    SEND = "send"
    KEEP_BACK = "keep_back"
    CONFIRM = "confirm"
    REFUSE = "refuse"
    LOSE = "lose"
    FIND = "find"
    MISS = "miss"
    CANCEL = "cancel"


_S = OperationState
TRANSITIONS: dict[tuple[OperationState, Step], OperationState] = {
    (_S.REQUESTED, Step.SEND): _S.SENDING,
    (_S.REQUESTED, Step.CANCEL): _S.CANCELLED,
    # The server could not be reached, so nothing was sent: it waits as before.
    (_S.SENDING, Step.KEEP_BACK): _S.REQUESTED,
    (_S.SENDING, Step.CONFIRM): _S.DONE,
    (_S.SENDING, Step.REFUSE): _S.REFUSED,
    (_S.SENDING, Step.LOSE): _S.UNCERTAIN,
    (_S.UNCERTAIN, Step.FIND): _S.FOUND,
    (_S.UNCERTAIN, Step.MISS): _S.NOT_FOUND,
    # It was sent before, and may have taken effect late: looked up once more before it is sent again.
    (_S.NOT_FOUND, Step.SEND): _S.SENDING,
    (_S.NOT_FOUND, Step.FIND): _S.FOUND,
    (_S.NOT_FOUND, Step.CANCEL): _S.CANCELLED,
    # The server's own history tells of it after a person gave it up.
    (_S.CANCELLED, Step.FIND): _S.FOUND,
}


def next_state(state: str, step: Step) -> OperationState:
    """The state after a step. Raises IllegalTransition for a step that cannot follow."""
    present = OperationState(state)
    found = TRANSITIONS.get((present, step))
    if found is None:
        raise IllegalTransition(f"An operation that is {present} cannot {step.replace('_', ' ')}.", state=state)
    return found


def can(state: str, step: Step) -> bool:
    """Whether the step may follow."""
    return (OperationState(state), step) in TRANSITIONS


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts."""
    return min(RETRY_AFTER * 2 ** min(attempts, 10), LONGEST_RETRY)


def settles_at(*, sent_at: datetime, longest_answer: timedelta = timedelta(0)) -> datetime:
    """When what was sent has had its time: it has taken effect by then, or never will."""
    return sent_at + max(SETTLES_AFTER, longest_answer + SETTLING_MARGIN)


def comment_of(reference: str, text: str = "") -> str:
    """The comment that travels with an operation: the reference first, then as much of the text as fits, plainly written."""
    plain = "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in "|=\\" else " " for letter in text
    )
    return f"{reference} {' '.join(plain.split())}"[:COMMENT_LENGTH].rstrip()


def references_in(comment: str) -> list[str]:
    """The references that a comment holds."""
    return re.findall(rf"(?<![0-9A-Z-]){REFERENCE_PATTERN}(?![0-9A-Z])", comment)


def check_money(kind: DealKind, amount: Decimal, digits: int) -> None:
    """Raises InvalidInput unless the amount can be booked as the kind on an account with that many digits."""
    if kind not in MONEY_KINDS:
        raise InvalidInput("This is no kind of money operation.", field="kind", value=str(kind))
    if not isinstance(amount, Decimal) or not amount.is_finite() or amount == 0:
        raise InvalidInput("The amount is a number other than zero.", field="amount", value=str(amount))
    if amount != round(amount, digits):
        raise InvalidInput(f"The amount has at most {digits} decimals.", field="amount", value=str(amount))
    if abs(amount) >= Decimal(10) ** 12:
        raise InvalidInput("The amount is out of all proportion.", field="amount", value=str(amount))
    if (kind in ALWAYS_OUT and amount > 0) or (kind in ALWAYS_IN and amount < 0):
        direction = "taken from" if kind in ALWAYS_OUT else "given to"
        raise InvalidInput(f"Such an amount is always {direction} the account.", field="amount", value=str(amount))


def is_paid_out(kind: int, amount: Decimal) -> bool:
    """Whether the operation takes out money that leaves the house, which a stop of withdrawals holds back."""
    return amount < 0 and DealKind(kind) not in OWED


def reasons_for_approval(
    *, amount: Decimal, alone_up_to: Decimal, alone_per_day: Decimal, alone_today: Decimal
) -> list[str]:
    """Why a second person must agree; empty where the maker may act alone. All amounts are sizes without a sign."""
    reasons = []
    if abs(amount) > alone_up_to:
        reasons.append(f"above {alone_up_to:,.2f}, what one person may move alone")
    elif alone_today + abs(amount) > alone_per_day:
        reasons.append(f"with {alone_today:,.2f} moved alone today it is above {alone_per_day:,.2f} a day")
    return reasons
