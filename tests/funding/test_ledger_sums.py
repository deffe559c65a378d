"""Booking many owners' sums by one statement: the same entries, keys and refusals as booking their lines."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from backoffice.core.models import LegalEntity
from backoffice.kernel.errors import Conflict, IdempotencyMismatch, InvalidInput
from funding.ledger.chart import AccountKind
from funding.ledger.models import JournalEntry, LedgerAccount, Posting
from funding.ledger.services import entries, periods
from funding.ledger.services.accounts import freeze_account, get_account
from funding.ledger.services.sums import OwnerSums, post_owner_sums
from funding.ledger.types import PostingLine
from tests.factories.platform import MONDAY, SYSTEM, make_entity
from tests.funding.ledger_help import balances, draft

pytestmark = pytest.mark.django_db


def owed(entity: LegalEntity, amounts: dict[int, str], **fields: Any) -> OwnerSums:
    """What partners gain against the entity's commission expense."""
    return OwnerSums(
        entry=replace(draft(entity, **fields), kind="commission"),
        kind=AccountKind.PARTNER_ACCRUED,
        owner_type="partner",
        contra=AccountKind.COMMISSION_EXPENSE,
        currency=fields.pop("currency", "USD"),
        amounts={owner: Decimal(amount) for owner, amount in amounts.items()},
    )


def account_of(entity: LegalEntity, owner: int) -> LedgerAccount:
    return get_account(
        entity_id=entity.pk, kind="partner_accrued", currency="USD", owner_type="partner", owner_id=owner
    )


def test_sums_are_the_entry_that_their_lines_would_be() -> None:
    # Given sums of three owners, one of whom gives something back
    entity = make_entity()
    sums = owed(entity, {1: "1200.00", 2: "-0.50", 3: "7.25"}, reason='Späte "Tage"')

    # When they are booked
    assert post_owner_sums(drafts=[sums], actor=SYSTEM) == 1

    # Then the postings are those of the lines, and booking the lines under the key is the same request
    expense = get_account(entity_id=entity.pk, kind="commission_expense", currency="USD")
    owners = [account_of(entity, owner) for owner in (1, 2, 3)]
    lines = [
        PostingLine(owners[0].pk, "C", Decimal(1200), "USD"),
        PostingLine(owners[1].pk, "D", Decimal("0.5"), "USD"),
        PostingLine(owners[2].pk, "C", Decimal("7.25"), "USD"),
        PostingLine(expense.pk, "D", Decimal("1206.75"), "USD"),
    ]
    assert set(Posting.objects.values_list("account_id", "side", "amount", "currency")) == {
        (line.account_id, line.side, line.amount, line.currency) for line in lines
    }
    assert entries.post_entry(draft=replace(sums.entry, lines=lines), actor=SYSTEM) == JournalEntry.objects.get()
    # And a repeat books nothing
    assert post_owner_sums(drafts=[sums], actor=SYSTEM) == 0
    assert Posting.objects.count() == 4


def test_sums_that_cancel_out_need_no_other_side() -> None:
    entity = make_entity()

    post_owner_sums(drafts=[owed(entity, {1: "5", 2: "-5"})], actor=SYSTEM)

    assert sorted(Posting.objects.values_list("account__owner_id", "side")) == [(1, "C"), (2, "D")]


@pytest.mark.parametrize("amount", ["0", "1.234", "NaN", "Infinity"])
def test_an_amount_that_cannot_be_booked_is_refused_with_all_the_others(amount: str) -> None:
    entity = make_entity()

    with pytest.raises(InvalidInput):
        post_owner_sums(drafts=[owed(entity, {1: "1"}), owed(entity, {1: "1", 2: amount})], actor=SYSTEM)

    assert not JournalEntry.objects.exists()


def test_a_key_that_stands_for_other_sums_is_refused() -> None:
    entity = make_entity()
    sums = owed(entity, {1: "10"})
    post_owner_sums(drafts=[sums], actor=SYSTEM)
    before = balances()

    with pytest.raises(IdempotencyMismatch):
        post_owner_sums(drafts=[replace(sums, amounts={1: Decimal(11)})], actor=SYSTEM)
    with pytest.raises(InvalidInput):
        post_owner_sums(drafts=[sums, sums], actor=SYSTEM)

    assert balances() == before


def test_a_frozen_owner_gives_nothing_back_and_a_closed_day_takes_nothing() -> None:
    entity = make_entity()
    post_owner_sums(drafts=[owed(entity, {1: "10"})], actor=SYSTEM)
    freeze_account(account_id=account_of(entity, 1).pk, actor=SYSTEM, reason="Looked into.")
    before = balances()

    with pytest.raises(Conflict) as frozen:
        post_owner_sums(drafts=[owed(entity, {1: "-1", 2: "3"})], actor=SYSTEM)
    assert frozen.value.code == "account_frozen"

    periods.close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM)
    with pytest.raises(Conflict) as closed:
        post_owner_sums(drafts=[owed(entity, {2: "3"})], actor=SYSTEM)
    assert closed.value.code == "day_closed"
    assert {account: row for account, row in balances().items() if account in before} == before
