"""Money on accounts: moved once, whatever becomes of the answer, and counted when the deal comes back."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine
from django.db import IntegrityError, transaction

from backoffice.core.models import AuditRecord
from backoffice.core.services import changes, outbox, switches
from backoffice.core.services.switches import Switch, SwitchedOff
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IdempotencyMismatch, IllegalTransition, InvalidInput, NotFound
from platform_ops.models import BalanceOperation, OperationLimit, ServerOperation
from platform_ops.rules.operations import SETTLES_AFTER
from platform_ops.services.account_operations import (
    cancel_operation,
    carry_out,
    carry_out_due,
    propose_balance_operation,
    request_balance_operation,
    set_operation_limit,
    why_approval_is_needed,
)
from platform_ops.types import DealKind
from tests.factories.platform import SYSTEM, make_account, make_operation
from tests.platform_ops.account_operations.ground import Ground, key, states

pytestmark = pytest.mark.django_db


def deposit(ground: Ground, amount: str = "250.00", **more: object) -> ServerOperation:
    values = {"kind": DealKind.BALANCE, "reason": "Deposit", "idempotency_key": key(), "actor": ground.operator()}
    return request_balance_operation(account_id=ground.account.pk, amount=Decimal(amount), **(values | more))


def test_a_deposit_is_booked_on_the_server_and_counted_when_its_deal_comes_back(ground: Ground) -> None:
    before = ground.balance()
    operation = deposit(ground)
    assert (operation.state, operation.attempts) == ("requested", 0)

    outcome = carry_out(operation_id=operation.pk, actor=ground.operator())

    assert outcome.operation.state == "done", outcome.text
    (deal,) = ground.money_deals(operation.reference)
    assert outcome.operation.deal_ticket == deal.ticket
    assert ground.balance() == before + Decimal("250.00")
    # The books do not move before the server's own history tells of it, and then once
    assert not BalanceOperation.objects.exists()
    ground.sync()
    ground.sync()
    outbox.deliver_due()
    told = BalanceOperation.objects.get(ticket=deal.ticket)
    assert (told.amount, told.is_cancelled) == (Decimal(250), False)
    operation.refresh_from_db()
    assert operation.recognised_at is not None
    assert states(operation) == ["requested", "sending", "done"]
    assert set(AuditRecord.objects.filter(
            object_type="platform_ops.serveroperation", object_id=str(operation.pk)
        ).values_list("action", flat=True)) == {
        "platform.request_move_money", "platform.operation_done",
    }  # fmt: skip


def test_the_same_key_moves_money_once_and_other_input_under_it_is_refused(ground: Ground) -> None:
    same = key()
    first = deposit(ground, idempotency_key=same)
    carry_out(operation_id=first.pk)
    assert deposit(ground, "250", idempotency_key=same).pk == first.pk
    with pytest.raises(IdempotencyMismatch):
        deposit(ground, "251.00", idempotency_key=same)
    carry_out(operation_id=first.pk)
    assert len(ground.money_deals(first.reference)) == 1
    assert ServerOperation.objects.count() == 1


@pytest.mark.parametrize("fault", ["drop_after", "cut_answer"])
def test_an_operation_whose_answer_is_lost_is_found_and_never_sent_again(ground: Ground, fault: str) -> None:
    ground.live.fault(fault, commands="TRADE_BALANCE", times=1)
    operation = deposit(ground)

    outcome = carry_out(operation_id=operation.pk)

    assert outcome.operation.state == "found"
    assert states(operation) == ["requested", "sending", "uncertain", "found"]
    (deal,) = ground.money_deals(operation.reference)
    assert outcome.operation.deal_ticket == deal.ticket
    assert outcome.operation.attempts == 1


def test_what_never_reached_the_server_is_sent_again_only_after_its_time(ground: Ground) -> None:
    ground.live.fault("drop_before", commands="TRADE_BALANCE", times=1)
    operation = deposit(ground)
    with time_machine.travel(clock.now(), tick=False) as now:
        assert carry_out(operation_id=operation.pk).operation.state == "uncertain"
        # A second press changes nothing: it is still looked up, not sent
        assert carry_out(operation_id=operation.pk, is_forced=True).operation.state == "uncertain"
        assert ground.money_deals(operation.reference) == []
        with pytest.raises(IllegalTransition):
            cancel_operation(operation_id=operation.pk, actor=ground.operator(), reason="I am tired of waiting")
        now.shift(SETTLES_AFTER + timedelta(seconds=1))
        carry_out_due()
    operation.refresh_from_db()
    assert operation.state == "done"
    assert operation.attempts == 2
    assert states(operation) == ["requested", "sending", "uncertain", "not_found", "sending", "done"]
    assert len(ground.money_deals(operation.reference)) == 1


def test_one_that_took_effect_late_is_found_by_the_last_look_before_it_is_sent_again(ground: Ground) -> None:
    ground.live.fault("drop_before", commands="TRADE_BALANCE", times=1)
    operation = deposit(ground)
    carry_out(operation_id=operation.pk)
    ServerOperation.objects.filter(pk=operation.pk).update(state="not_found", next_try_at=clock.now())
    login = int(ground.account.login)
    ground.live.call(lambda: ground.live.dealing.money(login, 2, Decimal(250), operation.reference))

    assert carry_out(operation_id=operation.pk).operation.state == "found"
    assert len(ground.money_deals(operation.reference)) == 1


def test_the_history_settles_a_lost_answer_too(ground: Ground) -> None:
    ground.live.fault("drop_after", commands="TRADE_BALANCE", times=1)
    ground.live.fault("drop_before", commands="DEAL_GET*", times=50)
    operation = deposit(ground)
    assert carry_out(operation_id=operation.pk).operation.state == "uncertain"
    ground.live.lift()
    ground.sync()
    outbox.deliver_due()
    operation.refresh_from_db()
    assert operation.state == "found"
    assert operation.recognised_at is not None


def test_a_deal_with_the_reference_and_another_amount_is_left_to_a_person(ground: Ground) -> None:
    ground.live.fault("drop_before", commands="TRADE_BALANCE", times=1)
    operation = deposit(ground)
    carry_out(operation_id=operation.pk)
    login = int(ground.account.login)
    ground.live.call(lambda: ground.live.dealing.money(login, 2, Decimal(99), operation.reference))
    outcome = carry_out(operation_id=operation.pk, is_forced=True)
    assert outcome.operation.state == "uncertain"
    assert "99" in outcome.operation.problem
    assert len(ground.money_deals(operation.reference)) == 1


def test_a_server_that_is_gone_leaves_the_request_waiting_and_it_is_done_later(ground: Ground) -> None:
    operation = deposit(ground)
    ground.live.fault("drop_before", commands="*")
    assert carry_out(operation_id=operation.pk).operation.state == "requested"
    ground.live.lift()
    ServerOperation.objects.filter(pk=operation.pk).update(next_try_at=clock.now())
    assert carry_out_due() == 1
    operation.refresh_from_db()
    assert operation.state == "done"


def test_the_clock_of_the_server_an_hour_off_hides_nothing(ground: Ground) -> None:
    ground.live.clock(-3600)
    ground.live.fault("drop_after", commands="TRADE_BALANCE", times=1)
    operation = deposit(ground)
    assert carry_out(operation_id=operation.pk).operation.state == "found"


def test_more_than_the_free_margin_is_refused_by_the_server_with_words(ground: Ground) -> None:
    before = ground.balance()
    OperationLimit.objects.update(alone_up_to=10**9, alone_per_day=10**9)
    operation = deposit(ground, "-90000000.00")
    outcome = carry_out(operation_id=operation.pk)
    assert (outcome.operation.state, outcome.operation.server_code) == ("refused", "10019")
    assert "free margin" in outcome.operation.problem
    assert ground.balance() == before


@pytest.mark.parametrize(
    ("kind", "amount", "field"),
    [
        (DealKind.BALANCE, "0", "amount"),
        (DealKind.BALANCE, "1.005", "amount"),
        (DealKind.BALANCE, "NaN", "amount"),
        (DealKind.BALANCE, "Infinity", "amount"),
        (DealKind.BUY, "10", "kind"),
        (DealKind.CHARGE, "10", "amount"),
        (DealKind.BONUS, "-10", "amount"),
        (DealKind.BALANCE, "99.99", "amount"),
    ],
)
def test_what_cannot_be_booked_is_refused_before_anything_is_written(
    ground: Ground, kind: DealKind, amount: str, field: str
) -> None:
    with pytest.raises(InvalidInput) as refused:
        deposit(ground, amount, kind=kind)
    assert refused.value.details["field"] == field
    assert not ServerOperation.objects.exists()


def test_the_minimum_holds_for_the_first_deposit_alone(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    assert deposit(ground, "5.00").state == "requested"


def test_above_the_limit_a_second_person_agrees_and_then_it_is_done_and_proved(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    with pytest.raises(Denied) as denied:
        deposit(ground, "1000.01")
    assert denied.value.code == "approval_needed"
    same = key()
    proposal = {
        "account_id": ground.account.pk, "kind": DealKind.CREDIT, "amount": Decimal("1000.01"),
        "actor": ground.operator(), "reason": "Promised by the head of desk", "idempotency_key": same,
    }  # fmt: skip
    change = propose_balance_operation(**proposal)
    assert propose_balance_operation(**proposal).pk == change.pk
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=ground.operator(), reason="My own")
    assert not ServerOperation.objects.exists()

    changes.approve_change(change_id=change.pk, actor=ground.finance(), reason="Agreed")
    changes.apply_change(change_id=change.pk, actor=ground.finance())
    operation = ServerOperation.objects.get()
    assert operation.state == "requested"
    carry_out_due()

    change.refresh_from_db()
    operation.refresh_from_db()
    assert (operation.state, change.state) == ("done", "verified")
    assert ground.money_deals(operation.reference)[0].money == Decimal("1000.01")


def test_small_amounts_add_up_to_the_limit_of_the_day(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    for _ in range(2):
        deposit(ground, "1000.00")
    deposit(ground, "500.00")
    with pytest.raises(Denied):
        deposit(ground, "0.01")
    # Somebody else has a day of their own
    deposit(ground, "0.01", actor=ground.operator(2))


def test_without_a_limit_every_amount_needs_a_second_person_and_jobs_do_not(ground: Ground) -> None:
    OperationLimit.objects.all().delete()
    account = make_account(ground.server, currency="USC", client=ground.client)
    assert why_approval_is_needed(account=account, amount=Decimal("0.01"), actor=ground.operator())
    assert not why_approval_is_needed(account=account, amount=Decimal("0.01"), actor=SYSTEM)
    # A limit in dollars holds for cents of the dollar, a hundredfold
    set_operation_limit(
        entity_id=ground.entity.pk, currency="USD", alone_up_to=Decimal(10), alone_per_day=Decimal(10),
        actor=ground.finance(), reason="House rule",
    )  # fmt: skip
    assert not why_approval_is_needed(account=account, amount=Decimal("1000.00"), actor=ground.operator())
    assert why_approval_is_needed(account=account, amount=Decimal("1000.01"), actor=ground.operator())


def test_an_application_that_nobody_approved_is_no_approval(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    change = propose_balance_operation(
        account_id=ground.account.pk, kind=DealKind.BALANCE, amount=Decimal(5000), actor=ground.operator(),
        reason="Large", idempotency_key=key(),
    )  # fmt: skip
    with pytest.raises(Denied), transaction.atomic():
        deposit(ground, "5000.00", approval=change)
    assert not ServerOperation.objects.exists()


def test_a_stop_of_pushes_or_withdrawals_holds_money_back(ground: Ground) -> None:
    make_operation(ground.account, amount="100")
    waiting = deposit(ground, "-50.00")
    switches.stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="Investigation", entity_id=ground.entity.pk)
    with pytest.raises(SwitchedOff):
        deposit(ground, "-50.00")
    assert carry_out(operation_id=waiting.pk).operation.state == "requested"
    assert ground.money_deals(waiting.reference) == []
    paid_in = deposit(ground, "50.00")
    switches.stop(switch=Switch.SERVER_PUSHES, actor=SYSTEM, reason="Release", entity_id=ground.entity.pk)
    with pytest.raises(SwitchedOff):
        deposit(ground, "50.00")
    assert carry_out(operation_id=paid_in.pk).operation.state == "requested"
    assert ground.money_deals(paid_in.reference) == []


def test_what_was_not_sent_can_be_given_up_and_then_never_is(ground: Ground) -> None:
    operation = deposit(ground)
    cancel_operation(operation_id=operation.pk, actor=ground.operator(), reason="Wrong account")
    assert carry_out(operation_id=operation.pk, is_forced=True).operation.state == "cancelled"
    assert ground.money_deals(operation.reference) == []


def test_who_may_not_and_who_does_not_see_moves_nothing(ground: Ground) -> None:
    stranger = make_account()
    for actor in (ground.dealer(), ground.trader()):
        with pytest.raises(Denied):
            deposit(ground, actor=actor)
    with pytest.raises(NotFound):
        request_balance_operation(
            account_id=stranger.pk, kind=DealKind.BALANCE, amount=Decimal(100), actor=ground.operator(), reason="x",
            idempotency_key=key(),
        )  # fmt: skip
    operation = deposit(ground)
    with pytest.raises(Denied):
        carry_out(operation_id=operation.pk, actor=ground.dealer())
    assert ground.money_deals(operation.reference) == []


def test_a_closed_account_takes_nothing_in(ground: Ground) -> None:
    ground.account.status = "closed"
    ground.account.save()
    with pytest.raises(Conflict):
        deposit(ground)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "done"},
        {"state": "nowhere"},
        {"deal_ticket": 5},
        {"amount": Decimal(0)},
        {"reference": "BO-1"},
        {"currency": ""},
        {"attempts": 1},
    ],
)
def test_the_database_refuses_rows_that_cannot_be(ground: Ground, wrong: dict[str, object]) -> None:
    operation = deposit(ground)
    with pytest.raises(IntegrityError), transaction.atomic():
        ServerOperation.objects.filter(pk=operation.pk).update(**wrong)


def test_two_operations_never_claim_one_deal(ground: Ground) -> None:
    first, second = deposit(ground), deposit(ground)
    carry_out(operation_id=first.pk)
    carry_out(operation_id=second.pk)
    first.refresh_from_db()
    with pytest.raises(IntegrityError), transaction.atomic():
        ServerOperation.objects.filter(pk=second.pk).update(deal_ticket=first.deal_ticket)
