"""The trial balance: what it sums, as of when, and whose."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backoffice.core.types import Role
from backoffice.kernel.errors import Denied
from funding.ledger.selectors import books_of, trial_balance, trial_balance_totals
from tests.factories.platform import SYSTEM, make_entity, staff
from tests.funding.ledger_help import day, open_account, post

pytestmark = pytest.mark.django_db


def shown(rows: list) -> list[tuple]:  # type: ignore[type-arg]
    """The figures of the rows."""
    return [
        (row.kind.value, row.currency, row.accounts, row.debits, row.credits, row.debit_balance, row.credit_balance)
        for row in rows
    ]


def test_it_sums_accounts_of_a_kind_in_the_order_of_the_chart() -> None:
    entity = make_entity()
    bank, fees = open_account(entity, "bank"), open_account(entity, "fee_income")
    wallets = [open_account(entity, "client_wallet", owner=number) for number in (1, 2)]
    open_account(entity, "rounding")
    post(entity, (bank, "D", "100"), (wallets[0], "C", "60"), (wallets[1], "C", "40"))
    post(entity, (wallets[0], "D", "5"), (fees, "C", "5"))

    rows = trial_balance(actor=SYSTEM, entity_id=entity.pk)

    assert shown(rows) == [
        ("bank", "USD", 1, 100, 0, 100, 0),
        ("client_wallet", "USD", 2, 5, 100, 0, 95),
        ("fee_income", "USD", 1, 0, 5, 0, 5),
    ]
    (total,) = trial_balance_totals(rows)
    assert (total.debits, total.credits, total.debit_balance, total.credit_balance) == (105, 105, 100, 100)
    assert total.agrees


def test_as_of_a_day_counts_what_is_dated_up_to_it() -> None:
    entity = make_entity()
    bank, suspense = open_account(entity, "bank"), open_account(entity, "suspense")
    for offset, amount in ((0, "1"), (1, "2"), (2, "4")):
        post(entity, (bank, "D", amount), (suspense, "C", amount), business_day=day(offset))

    debits = [trial_balance(actor=SYSTEM, entity_id=entity.pk, as_of=day(offset))[0].debits for offset in (0, 1, 2)]

    assert debits == [Decimal(1), Decimal(3), Decimal(7)]
    assert shown(trial_balance(actor=SYSTEM, entity_id=entity.pk, as_of=day(2))) == shown(
        trial_balance(actor=SYSTEM, entity_id=entity.pk)
    )


def test_currencies_are_kept_apart() -> None:
    entity = make_entity()
    for currency, amount in (("USD", "1.25"), ("JPY", "300")):
        bank, suspense = (open_account(entity, kind, currency=currency) for kind in ("bank", "suspense"))
        post(entity, (bank, "D", amount), (suspense, "C", amount))

    totals = trial_balance_totals(trial_balance(actor=SYSTEM, entity_id=entity.pk))

    assert [(total.currency, total.debits) for total in totals] == [("JPY", 300), ("USD", Decimal("1.25"))]
    assert {row.currency for row in trial_balance(actor=SYSTEM, currency="JPY")} == {"JPY"}


def test_people_see_the_books_of_their_entities_only() -> None:
    ours, theirs = make_entity(), make_entity()
    for entity in (ours, theirs):
        post(entity, (open_account(entity, "bank"), "D", "1"), (open_account(entity, "suspense"), "C", "1"))
    auditor = staff(Role.AUDITOR, entities=[ours])

    assert {row.entity_id for row in trial_balance(actor=auditor)} == {ours.pk}
    assert trial_balance(actor=auditor, entity_id=theirs.pk) == []
    assert books_of(actor=auditor) == ([(ours.pk, ours.name)], ["USD"])
    with pytest.raises(Denied):
        trial_balance(actor=staff(Role.SALES, entities=[ours]))
