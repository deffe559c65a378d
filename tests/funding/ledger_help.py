"""Shorthand for tests of the ledger."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from itertools import count
from typing import Any

from backoffice.core.models import LegalEntity
from funding.ledger.models import AccountBalance, JournalEntry, LedgerAccount
from funding.ledger.services import entries
from funding.ledger.services.accounts import get_account
from funding.ledger.types import EntryDraft, PostingLine
from tests.factories.platform import MONDAY, SYSTEM

_keys = count(1)


def open_account(entity: LegalEntity, kind: str, *, currency: str = "USD", owner: int = 0) -> LedgerAccount:
    """An account of the chart; with an owner number, a client's."""
    return get_account(
        entity_id=entity.pk,
        kind=kind,
        currency=currency,
        owner_type="client" if owner else "",
        owner_id=owner,
    )


def lines(*parts: tuple[LedgerAccount, str, str]) -> list[PostingLine]:
    """Lines from (account, side, amount)."""
    return [
        PostingLine(account_id=account.pk, side=side, amount=Decimal(amount), currency=account.currency)  # type: ignore[arg-type]
        for account, side, amount in parts
    ]


def draft(entity: LegalEntity, *parts: tuple[LedgerAccount, str, str], **fields: Any) -> EntryDraft:
    """A draft of these lines; its key is new unless given."""
    values: dict[str, Any] = {
        "entity_id": entity.pk,
        "kind": JournalEntry.Kind.TRANSFER,
        "business_day": MONDAY,
        "description": "Test booking",
        "lines": lines(*parts),
        "idempotency_key": f"test:{next(_keys)}",
    }
    return EntryDraft(**{**values, **fields})


def post(entity: LegalEntity, *parts: tuple[LedgerAccount, str, str], **fields: Any) -> JournalEntry:
    """Books these lines."""
    return entries.post_entry(draft=draft(entity, *parts, **fields), actor=SYSTEM)


def balances() -> dict[int, tuple[Decimal, Decimal]]:
    """(balance, held) of every account: compared before and after to see that nothing changed."""
    return {row.pk: (row.balance, row.held) for row in AccountBalance.objects.all()}


def day(offset: int) -> date:
    """The business day *offset* days after the Monday of the tests (0 to 4)."""
    return date.fromordinal(MONDAY.toordinal() + offset)
