"""Turns refusals of the database into domain errors, once, for every service of the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.db import Error, transaction

from backoffice.core.triggers import IMMUTABLE_SQLSTATE
from backoffice.kernel.errors import (
    Conflict,
    CurrencyMismatch,
    Denied,
    DomainError,
    InsufficientFunds,
    InvalidInput,
    Retryable,
)

_BY_SQLSTATE: dict[str, Callable[[str], DomainError]] = {
    "23L01": lambda text: InvalidInput(f"{text}.", code="entry_does_not_balance"),
    "23L02": lambda text: InvalidInput(f"{text}.", code="empty_entry"),
    "23L03": lambda text: Conflict(f"{text}.", code="late_posting"),
    "23L04": lambda text: Conflict(f"{text}.", code="append_only"),
    "23L05": lambda text: CurrencyMismatch(f"{text}."),
    "23L06": lambda text: InvalidInput(f"{text}.", code="entity_mismatch"),
    "23L07": lambda text: Conflict(f"{text}.", code="day_closed"),
    "23L08": lambda text: Conflict(f"{text}.", code="account_frozen"),
    "23L09": lambda text: Conflict(f"{text}.", code="illegal_transition"),
    "23L11": lambda text: Conflict(f"{text}.", code="day_not_closed"),
    "23L12": lambda text: Retryable(f"{text}; try again."),
    "23L10": lambda text: Conflict(f"{text}.", code="append_only"),
    IMMUTABLE_SQLSTATE: lambda text: Conflict(f"{text}.", code="append_only"),
    "55P03": lambda text: Retryable("The account is busy; try again in a moment."),
    "40P01": lambda text: Retryable("Two bookings waited for each other; try again."),
    "40001": lambda text: Retryable("The books changed meanwhile; try again."),
}

_BY_CONSTRAINT: dict[str, Callable[[str], DomainError]] = {
    "ledger_balance_floor": lambda text: InsufficientFunds("The balance that would pay is smaller than the amount."),
    "ledger_journalentry_reverses_id_key": lambda text: Conflict(
        "The entry is reversed already.", code="already_reversed"
    ),
    "ledger_account_follows_chart": lambda text: InvalidInput("The chart knows no such account.", field="kind"),
    "ledger_reopening_once_at_a_time": lambda text: Conflict("These days are open again already.", code="already_open"),
    "ledger_reopening_by_two_people": lambda text: Denied("Another person approves.", code="same_person"),
    "ledger_account_owner_whole": lambda text: InvalidInput("An owner has a type and an id.", field="owner_type"),
}


@contextmanager
def book() -> Iterator[None]:
    """A savepoint in which the database's refusals come out as `DomainError`, and the transaction stays usable."""
    try:
        with transaction.atomic():
            yield
    except Error as error:
        refusal = _refusal(error)
        if refusal is None:
            raise
        raise refusal from error


def _refusal(error: Error) -> DomainError | None:
    cause = error.__cause__
    sqlstate = getattr(cause, "pgcode", None) or ""
    diagnosis = getattr(cause, "diag", None)
    text = getattr(diagnosis, "message_primary", None) or str(error)
    constraint = getattr(diagnosis, "constraint_name", None) or ""
    make = _BY_CONSTRAINT.get(constraint) or _BY_SQLSTATE.get(sqlstate)
    return make(text[:1].upper() + text[1:]) if make else None
