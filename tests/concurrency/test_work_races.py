"""Two callers at the same instant: one item for both, a stop that is honoured, one owner, one close."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection, transaction

from backoffice.core.models import OutboxEvent, Switch, SwitchStop, WorkItem
from backoffice.core.services import switches, work_items, work_sweep
from backoffice.core.services.switches import SwitchedOff, require_open, resume, stop
from backoffice.core.types import Actor
from backoffice.core.work.kinds import WorkCondition
from backoffice.kernel.errors import Conflict
from funding.ledger.models import JournalEntry
from funding.services.deposits import pay_withdrawal
from tests.core.work_help import ALARM, FLAPPING, READABLE, alarm, kinds, person, standing
from tests.factories.platform import MONDAY, make_account
from tests.logins import make_actor
from tests.threads import at_once

__all__ = ["kinds"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("kinds")]

SYSTEM = Actor.system("test")


def test_two_that_see_the_same_thing_open_one_item_with_two_occurrences() -> None:
    first, second = at_once(lambda: alarm(evidence={"by": 1}), lambda: alarm(evidence={"by": 2}))

    item = WorkItem.objects.get()
    assert first.pk == second.pk == item.pk
    assert item.occurrences == 2
    assert item.events.count() == 1
    assert OutboxEvent.objects.filter(topic="work.item_opened").count() == 1


def test_opening_waits_for_the_other_transaction_and_counts_on_its_item() -> None:
    opened, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            alarm()
            opened.set()
            may_end.wait(10)

    def second() -> int:
        opened.wait(10)
        threading.Timer(0.1, may_end.set).start()
        return alarm().occurrences

    assert at_once(first, second) == [None, 2]


def test_loads_that_open_the_same_items_in_another_order_do_not_wait_in_a_circle() -> None:
    keys = [f"k{number:02}" for number in range(40)]

    def load(order: list[str]) -> int:
        conditions = [WorkCondition(group_key=key, title="T") for key in order]
        return sum(len(work_items.open_items(kind=ALARM, conditions=conditions)) for _ in range(5))

    assert at_once(lambda: load(keys), lambda: load(keys[::-1]), lambda: load(keys[20:] + keys[:20])) == [200] * 3
    assert set(WorkItem.objects.values_list("occurrences", flat=True)) == {15}


def test_two_that_take_the_same_item_one_gets_it() -> None:
    item = alarm()
    ann, bob = (make_actor(person("finance", name=name)) for name in ("ann", "bob"))

    results = at_once(
        lambda: work_items.take_item(item_id=item.pk, actor=ann),
        lambda: work_items.take_item(item_id=item.pk, actor=bob),
    )

    assert [isinstance(result, Conflict) for result in results].count(True) == 1
    assert item.events.filter(kind="taken").count() == 1


def test_a_repeat_and_the_closing_of_a_cleared_item_never_lose_the_alarm() -> None:
    for number in range(8):
        key = f"k{number}"
        work_items.open_item(kind=FLAPPING, group_key=key, title="T")
        work_items.clear_item(kind=FLAPPING, group_key=key, reason="Quiet.")
        WorkItem.objects.filter(group_key=key).update(clears_at=WorkItem.objects.get(group_key=key).clearing_since)

        at_once(
            lambda key=key: work_items.open_item(kind=FLAPPING, group_key=key, title="T"),
            work_sweep.close_what_stayed_clear,
        )

        # Either the item was reopened in time, or it closed and a new one is open
        assert WorkItem.objects.filter(group_key=key, clears_at__isnull=True).exclude(state="closed").count() == 1


def test_several_sweeps_at_once_do_everything_once() -> None:
    for number in range(5):
        standing[f"k{number}"] = WorkCondition(group_key=f"k{number}", title="T")
    at_once(*[work_sweep.sweep] * 3)
    assert WorkItem.objects.filter(kind=READABLE).count() == 5
    assert OutboxEvent.objects.filter(topic="work.item_opened", payload__kind=READABLE).count() == 5


# Switches


@pytest.fixture
def short_drain(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A stop that waits a tenth of a second only."""
    monkeypatch.setattr(switches, "DRAIN_MILLISECONDS", 100)
    yield


def pay(account: Any) -> JournalEntry:
    """A withdrawal of five dollars."""
    return pay_withdrawal(
        amount=Decimal(5),
        currency="USD",
        method="psp",
        reference="PSP-1",
        actor=SYSTEM,
        idempotency_key="pay",
        account_id=account.pk,
        business_day=MONDAY,
    )


def test_a_stop_waits_for_the_payment_that_had_passed_the_question() -> None:
    passed, order = threading.Event(), []

    def payment() -> None:
        with transaction.atomic():
            require_open(Switch.WITHDRAWALS)
            passed.set()
            # The stop is pressed while this transaction is open, and must be seen to wait for it
            _wait_until_somebody_waits()
            order.append("paid")

    def press() -> bool:
        passed.wait(10)
        result = stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="x")
        order.append("stopped")
        return result.is_drained

    assert at_once(payment, press) == [None, True]
    assert order == ["paid", "stopped"]


def test_a_stop_committed_before_the_question_is_honoured_though_the_transaction_began_earlier() -> None:
    account = make_account()
    began, stopped = threading.Event(), threading.Event()

    def late_payment() -> Any:
        with transaction.atomic():
            # The transaction is under way and has read, before the stop
            JournalEntry.objects.count()
            began.set()
            stopped.wait(10)
            require_open(Switch.WITHDRAWALS, entity_id=account.server.entity_id)

    def press() -> None:
        began.wait(10)
        stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="x")
        stopped.set()

    refused, _ = at_once(late_payment, press)
    assert isinstance(refused, SwitchedOff)


def test_a_stop_takes_effect_at_once_even_while_a_slow_payment_holds_it_up(short_drain: None) -> None:
    account = make_account()
    passed, done = threading.Event(), threading.Event()

    def slow() -> None:
        with transaction.atomic():
            require_open(Switch.WITHDRAWALS)
            passed.set()
            done.wait(10)

    def press() -> tuple[bool, Any]:
        passed.wait(10)
        result = stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="x")
        try:
            pay(account)
        except SwitchedOff as error:
            return result.is_drained, error
        finally:
            done.set()
        return result.is_drained, None

    _, (is_drained, refused) = at_once(slow, press)
    assert (is_drained, isinstance(refused, SwitchedOff)) == (False, True)
    assert not JournalEntry.objects.exists()


def test_payments_never_wait_for_each_other_at_the_switch() -> None:
    together = threading.Barrier(2, timeout=10)

    def payment() -> str:
        with transaction.atomic():
            require_open(Switch.WITHDRAWALS)
            together.wait()
        return "paid"

    assert at_once(payment, payment) == ["paid", "paid"]


def test_every_payment_that_is_booked_was_booked_before_the_stop_returned() -> None:
    accounts = [make_account() for _ in range(4)]

    def attempt(number: int) -> Any:
        return pay_withdrawal(
            amount=Decimal(5), currency="USD", method="psp", reference="P", actor=SYSTEM,
            idempotency_key=f"pay {number}", account_id=accounts[number].pk, business_day=MONDAY,
        )  # fmt: skip

    def press() -> int:
        assert stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="x").is_drained
        return JournalEntry.objects.count()

    *results, seen = at_once(*(lambda number=number: attempt(number) for number in range(4)), press)
    assert JournalEntry.objects.count() == seen == sum(isinstance(result, JournalEntry) for result in results)


def test_two_that_press_at_once_make_one_stop_and_one_lets_it_go_on() -> None:
    first, second = at_once(*[lambda: stop(switch=Switch.SENDS, actor=SYSTEM, reason="x")] * 2)
    assert {first.is_new, second.is_new} == {True, False}
    assert SwitchStop.objects.count() == 1

    results = at_once(*[lambda: resume(switch=Switch.SENDS, actor=SYSTEM, reason="x")] * 2)
    assert sorted(type(result).__name__ for result in results) == ["Conflict", "SwitchStop"]


def _wait_until_somebody_waits() -> None:
    """Returns once another session waits for an advisory lock; bounded."""
    for _ in range(500):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            if cursor.fetchone()[0]:
                return
        threading.Event().wait(0.01)
    raise AssertionError("nobody waits")
