"""Poisoned set-up and trades that come and go: what cannot be is refused or excluded with its reason, the rest is paid."""

from __future__ import annotations

import re
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import IntegrityError, transaction

from backoffice.core.books import check_names, verify_books
from backoffice.kernel.errors import Conflict
from ib.models import Agreement, ClientReferral, CommissionLine, PartnerEdge
from ib.selectors import coverage
from ib.services.proof import prove_range
from ib.services.settlement import settle_range
from ib.services.tree import place_partner
from ib.types import Coverage, Exclusion
from tests.factories import ib as factory
from tests.factories.platform import MONDAY, SYSTEM, correct_trade, make_account, make_trade

pytestmark = [pytest.mark.django_db, pytest.mark.faults]


def assert_books_of_the_desk() -> None:
    found = verify_books([name for name in check_names() if name.startswith(("ib.", "ledger."))])
    assert [check for check in found["checks"] if not check["ok"]] == []


def settle() -> int:
    return settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM).lines


def test_what_cannot_be_is_refused_or_excluded_with_the_reason_and_the_rest_is_paid() -> None:
    # Given a chain of eleven, a plan that pays all of them, and a partner in a currency without a rate
    broker = factory.Broker()
    plan = factory.make_plan(broker.entity, *((None, level, "1", "USD") for level in range(1, 12)))
    chain = [broker.partner(plan=plan)]
    for _ in range(10):
        chain.append(broker.partner(plan=plan, parent=chain[-1]))
    lonely = broker.partner(plan=plan, currency="GBP")
    # When a circle is asked for, and dates that overlap, then the database and the service refuse
    with pytest.raises(Conflict) as refused, transaction.atomic():
        place_partner(partner_id=chain[0].pk, parent_id=chain[-1].pk, valid_from=factory.LONG_AGO, actor=SYSTEM)
    assert refused.value.code == "tree_cycle"
    account = broker.client_of(chain[-1])
    for model, holds in (
        (PartnerEdge, {"child_id": chain[1].pk}),
        (Agreement, {"partner_id": chain[0].pk}),
        (ClientReferral, {"client_id": account.client_id}),
    ):
        row = model.objects.get(**holds)
        row.pk = None
        with pytest.raises(IntegrityError, match="overlap"), transaction.atomic():
            row.save(force_insert=True)
    # And trades come of which some cannot be paid
    make_trade(account, lots="2", server_symbol=broker.eurusd)
    make_trade(broker.client_of(lonely), server_symbol=broker.eurusd)
    make_trade(account, server_symbol=broker.map("UNKNOWN", None))
    make_trade(broker.client_of(None), server_symbol=broker.eurusd)
    make_trade(make_account(broker.server, client=None), server_symbol=broker.eurusd)
    settle()
    # Then all eleven are paid, and each other trade has its reason
    assert [factory.booked(partner) for partner in chain] == [Decimal(2)] * 11
    fates = {(row.status, row.reason): row.trades for row in coverage(actor=SYSTEM, from_day=MONDAY, to_day=MONDAY)}
    assert fates == {
        (Coverage.PAID, None): 1,
        (Coverage.EXCLUDED, Exclusion.MISSING_RATE): 1,
        (Coverage.EXCLUDED, Exclusion.SYMBOL_NOT_MAPPED): 1,
        (Coverage.EXCLUDED, Exclusion.CLIENT_NOT_REFERRED): 1,
        (Coverage.EXCLUDED, Exclusion.ACCOUNT_NOT_ASSIGNED): 1,
    }
    assert_books_of_the_desk()


def test_a_trade_taken_away_and_put_back_leaves_what_it_was() -> None:
    broker = factory.Broker()
    partner = broker.partner()
    made = make_trade(broker.client_of(partner), lots="1.5", server_symbol=broker.eurusd)
    settle()
    first = CommissionLine.objects.get()
    for cancelled, amount in (
        (True, Decimal(0)),
        (False, Decimal("10.50")),
        (True, Decimal(0)),
        (False, Decimal("10.50")),
    ):
        correct_trade(made, is_cancelled=cancelled)
        assert settle() == 1
        assert factory.booked(partner) == amount
        assert settle() == 0
    newest = CommissionLine.objects.order_by("-seq")[0]
    assert (newest.seq, newest.target, newest.quantity, newest.rate) == (4, first.target, first.quantity, first.rate)
    assert sum(line.amount for line in CommissionLine.objects.all()) == first.amount
    assert prove_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM).rows == ()
    assert_books_of_the_desk()


def test_every_test_that_the_table_of_faults_names_is_there() -> None:
    folder = Path(__file__).parent
    named = re.findall(r"`([\w./]+\.py)::(\w+)`", (folder / "README.md").read_text("utf-8"))
    assert len(named) >= 20
    for file, name in named:
        assert f"def {name}(" in (folder / file).read_text("utf-8"), f"{file} has no {name}"
