"""Payouts killed with -9 between their steps, and two at once: the money moves once, by whoever comes next."""

from __future__ import annotations

import signal
from decimal import Decimal
from functools import partial

import pytest

from backoffice.core.books import verify_books
from backoffice.core.models import DocumentNumber
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict
from funding.ledger.models import JournalEntry
from ib.models import PaymentFile, Payout
from ib.services.payment_files import export_payments
from ib.services.payouts import follow_payouts, pay_statement
from platform_ops.models import ServerOperation
from tests.faults.harness import run_child
from tests.ib.test_payouts import PaidWorld
from tests.threads import at_once

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


def assert_books_are_right() -> None:
    assert [check for check in verify_books()["checks"] if not check["ok"]] == []


@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("wallet", "ib.payout.after_posting"),
        ("trading_account", "ib.payout.after_hold"),
        ("trading_account", "ib.payout.after_operation"),
    ],
)
def test_killed_while_it_is_asked_for_nothing_is_left_and_the_next_ones_pay_once(kind: str, point: str) -> None:
    # Given a statement to pay, and a process that dies on the way
    world = PaidWorld()
    if kind == "trading_account":
        world.use(kind, account_id=world.own_account().pk)
    pay = partial(pay_statement, statement_id=world.statement.pk, actor=world.one)
    assert run_child(partial(pay, idempotency_key="k"), crash_at=point) == -signal.SIGKILL
    assert not Payout.objects.exists() and not ServerOperation.objects.exists()
    assert world.left() == (Decimal(70), Decimal(0))
    # When two come with its key and one with another key, at once
    answers = at_once(
        partial(pay, idempotency_key="k"), partial(pay, idempotency_key="k"), partial(pay, idempotency_key="o")
    )
    # Then there is one payout, and who came too late is told so
    assert Payout.objects.count() == 1
    assert {type(answer) for answer in answers} <= {Payout, Conflict}
    assert ServerOperation.objects.count() == (1 if kind == "trading_account" else 0)
    assert_books_are_right()


def test_killed_while_it_books_what_the_server_did_it_is_booked_once() -> None:
    world = PaidWorld()
    world.use("trading_account", account_id=world.own_account().pk)
    world.pay()
    now = clock.now()
    ServerOperation.objects.update(
        state="done", attempts=1, first_sent_at=now, sent_at=now, finished_at=now, deal_ticket=4711
    )
    assert run_child(follow_payouts, crash_at="ib.payout.after_posting") == -signal.SIGKILL
    assert (Payout.objects.get().state, world.left()) == ("under_way", (Decimal(70), Decimal(70)))
    at_once(follow_payouts, follow_payouts, follow_payouts)
    assert (Payout.objects.get().state, world.left()) == ("paid", (Decimal(0), Decimal(0)))
    assert JournalEntry.objects.filter(source_type="ib.payout").count() == 1
    assert_books_are_right()


def test_a_file_killed_on_the_way_gives_its_number_back_and_a_payment_is_in_one_file() -> None:
    world = PaidWorld()
    world.use_bank()
    world.pay()
    export = partial(
        export_payments, bank_account_id=world.bank_account().pk, execution_day=clock.now().date(), actor=world.one
    )
    assert run_child(export, crash_at="ib.payment_file.after_payouts") == -signal.SIGKILL
    assert not PaymentFile.objects.exists()
    at_once(export, export)
    assert [file.payments for file in PaymentFile.objects.all()] == [1]
    assert list(DocumentNumber.objects.filter(kind="ib.payment_file").values_list("number", flat=True)) == [1]
    assert_books_are_right()
