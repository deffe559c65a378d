"""A journal as rows that people typed or uploaded: every account found by what they wrote, every fault named by row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q

from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from funding import journal_rules
from funding.journal_rules import MAXIMUM_FAULTS, JournalLine
from funding.ledger.models import LedgerAccount
from funding.services.manual_journals import bookable_accounts

MAXIMUM_CHOICES = 20


def lines_of_file(*, data: bytes, entity_id: int, actor: Actor) -> list[JournalLine]:
    """The lines of a CSV file. Raises `InvalidInput` with every faulty row in `rows` (row number, field, message)."""
    return lines_of_rows(rows=journal_rules.read_file(data), entity_id=entity_id, actor=actor)


def lines_of_rows(*, rows: Sequence[tuple[int, dict[str, str]]], entity_id: int, actor: Actor) -> list[JournalLine]:
    """The lines of rows with the columns account, debit, credit and currency; all of them, or the faults of all."""
    faults: list[dict[str, Any]] = []
    lines = []
    for number, row in rows:
        try:
            side, amount = journal_rules.side_and_amount(row["debit"], row["credit"])
            currency = journal_rules.checked_currency(row["currency"]) if row["currency"] else ""
            account = find_account(text=row["account"], currency=currency, entity_id=entity_id, actor=actor)
            lines.append(JournalLine(account.pk, side, amount, account.currency))
        except InvalidInput as error:
            faults.append({"row": number, "field": error.details.get("field", ""), "message": error.message})
    if faults:
        raise InvalidInput(
            "; ".join(f"Row {fault['row']}, {fault['field']}: {fault['message']}" for fault in faults[:5]),
            code="rows_refused",
            field="lines",
            rows=faults[:MAXIMUM_FAULTS],
        )
    return lines


def find_account(*, text: str, currency: str, entity_id: int, actor: Actor) -> LedgerAccount:
    """The one account that people mean: by number (`#12`), by kind and currency, or by a name that fits only one."""
    wanted = text.strip()
    if not wanted:
        raise InvalidInput("Name an account.", field="account")
    accounts = bookable_accounts(actor=actor, entity_id=entity_id)
    number = wanted.partition(" ")[0].removeprefix("#")
    if wanted.startswith("#") and number.isascii() and number.isdecimal() and len(number) < 19:
        accounts = accounts.filter(pk=int(number))
    else:
        by_name = Q(name__iexact=wanted) | Q(kind=wanted.lower(), owner_type="")
        exact = accounts.filter(by_name)
        exact = exact.filter(currency=currency) if currency else exact
        accounts = exact if exact.exists() else accounts.filter(name__icontains=wanted)
    found = list((accounts.filter(currency=currency) if currency else accounts).order_by("name")[: MAXIMUM_CHOICES + 1])
    if not found:
        raise InvalidInput("There is no such account that you may book on by hand.", field="account", value=wanted)
    if len(found) > 1:
        names = ", ".join(f"#{account.pk} {account.name}" for account in found[:3])
        raise InvalidInput(f"Which one: {names}{' …' if len(found) > 3 else ''}?", field="account", value=wanted)
    account: LedgerAccount = found[0]
    return account


def search_accounts(*, text: str, entity_id: int, actor: Actor) -> list[LedgerAccount]:
    """Accounts to choose from while somebody types."""
    accounts = bookable_accounts(actor=actor, entity_id=entity_id)
    words = text.strip().removeprefix("#")
    match = Q(name__icontains=words) | Q(kind__icontains=words)
    if words.isascii() and words.isdecimal() and len(words) < 19:
        match |= Q(pk=int(words))
    return list(accounts.filter(match).order_by("name")[:MAXIMUM_CHOICES])
