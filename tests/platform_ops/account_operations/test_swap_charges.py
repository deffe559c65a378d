"""Charges of swaps, fees and dividends on channel `server`: carried out once over the socket, counted once when they return."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from backoffice.core.models import WorkItem
from backoffice.core.services import outbox, switches
from backoffice.core.services.switches import Switch
from backoffice.kernel import clock
from funding.models import TradingResultLine
from funding.services.trading_results import post_trading_results
from platform_ops.models import (
    BalanceOperation,
    ServerOperation,
    SwapCharge,
    SwapRate,
    SwapRun,
    SwapSetting,
    TradingAccount,
)
from platform_ops.rules.operations import SETTLES_AFTER
from platform_ops.services.account_operations import cancel_operation, carry_out_due
from platform_ops.services.swaps import policies
from platform_ops.services.swaps.charges import charge_day
from platform_ops.services.swaps.checks import charges_are_carried_out, charges_follow_lines
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.services.swaps.sending import send_due_charges
from platform_ops.services.swaps.settings import set_swap_setting
from platform_ops.types import DealKind
from tests.factories.platform import SYSTEM
from tests.platform_ops.account_operations.ground import Ground
from tests.platform_ops.swaps.ground import EARLY, TUESDAY, at, deal, ingest, rate, symbol

pytestmark = pytest.mark.django_db


@pytest.fixture
def charged(ground: Ground) -> Ground:
    """The account has two lots open since Tuesday, and we charge ten dollars a lot and night on the server."""
    rate(symbol(), "-10")
    setting(ground)
    ingest(ground.server, [deal(ground.account, 1, at(TUESDAY, 9)), deal(ground.account, 2, at(TUESDAY, 9))])
    return ground


def setting(ground: Ground, **more: object) -> SwapSetting:
    values = {"mode": "post", "cut": "server_midnight", "channel": "server", "starts_on": TUESDAY} | more
    return set_swap_setting(server_id=ground.server.pk, actor=SYSTEM, reason="test", **values)  # type: ignore[arg-type]


def roll(ground: Ground) -> int:
    """The rollover of Tuesday, and what it charges."""
    return charge_day(run=run_rollover(server_id=ground.server.pk, day=TUESDAY, actor=SYSTEM), actor=SYSTEM)


def charges() -> list[tuple[Decimal, str]]:
    return [(charge.amount, charge.state) for charge in SwapCharge.objects.order_by("pk")]


def swap_deals(ground: Ground) -> list[tuple[int, Decimal]]:
    """What the server booked under the references of this test's operations, as (kind, amount)."""
    references = set(ServerOperation.objects.values_list("reference", flat=True))
    return [
        (deal.action, deal.profit)
        for deal in ground.live.deals(int(ground.account.login))
        if deal.comment.partition(" ")[0] in references
    ]


def assert_proved() -> None:
    """Nothing is charged twice, or lost; also once the time for writing things down is over."""
    SwapRun.objects.update(created_at=clock.now() - timedelta(hours=1))
    for check in (charges_are_carried_out, charges_follow_lines):
        assert check().ok, check().rows


def test_a_charge_is_carried_out_once_counted_once_and_its_correction_paid_back(charged: Ground) -> None:
    before = charged.balance()
    assert roll(charged) == 1
    assert charges() == [(Decimal(-20), "due")]
    for _ in range(3):
        send_due_charges()
    charge = SwapCharge.objects.get()
    assert (charge.state, charge.operation.reason) == ("done", f"{charge.reference}: interest of 2026-03-03")
    assert swap_deals(charged) == [(DealKind.INTEREST, Decimal(-20))]
    assert charged.balance() == before - 20
    # The books do not move by our own word
    assert not BalanceOperation.objects.exists()
    for _ in range(2):
        charged.sync()
        outbox.deliver_due()
        post_trading_results(business_day=clock.today_business_day(), server_id=charged.server.pk, actor=SYSTEM)
    told = BalanceOperation.objects.get(ticket=charge.deal_ticket)
    assert (told.kind, told.amount) == (DealKind.INTEREST, Decimal(-20))
    booked = TradingResultLine.objects.filter(account=charged.account, amount=Decimal(-20))
    assert booked.count() == 1
    assert ServerOperation.objects.get().recognised_at is not None

    # The rate had been wrong: target minus charged is given back, by an operation of its own
    SwapRate.objects.all().delete()
    rate(charge.account.server.symbols.get().symbol, "-8")
    assert roll(charged) == 1
    send_due_charges()
    assert charges() == [(Decimal(-20), "done"), (Decimal(4), "done")]
    assert swap_deals(charged) == [(DealKind.INTEREST, Decimal(-20)), (DealKind.INTEREST, Decimal(4))]
    assert roll(charged) == 0
    assert_proved()


def test_fees_of_the_swap_free_go_as_charges_and_come_back_as_corrections(charged: Ground) -> None:
    setting(charged, mode="prove")
    policies.set_swap_free_policy(
        name="free", valid_from=EARLY, account_id=charged.account.pk, grace_nights=0, fee_per_lot=Decimal("1.5"),
        actor=SYSTEM, reason="asked for",
    )  # fmt: skip
    roll(charged)
    send_due_charges()
    policies.reapply_swaps(
        account_id=charged.account.pk, from_day=TUESDAY, to_day=TUESDAY, actor=SYSTEM, reason="arbitrage"
    )
    roll(charged)
    send_due_charges()
    # In the mode that proves, the swaps themselves stay the server's
    assert swap_deals(charged) == [(DealKind.CHARGE, Decimal(-3)), (DealKind.CORRECTION, Decimal(3))]
    assert_proved()


@pytest.mark.parametrize("fault", ["drop_after", "cut_answer"])
def test_a_lost_answer_is_looked_up_and_nobody_is_charged_twice(charged: Ground, fault: str) -> None:
    charged.live.fault(fault, commands="TRADE_BALANCE", times=1)
    roll(charged)
    for _ in range(2):
        send_due_charges()
    assert charges() == [(Decimal(-20), "done")]
    assert ServerOperation.objects.get().state == "found"
    assert swap_deals(charged) == [(DealKind.INTEREST, Decimal(-20))]
    assert_proved()


def test_a_command_that_was_lost_is_sent_again_only_after_its_time(charged: Ground) -> None:
    charged.live.fault("drop_before", commands="TRADE_BALANCE", times=1)
    roll(charged)
    with time_machine.travel(clock.now(), tick=False) as now:
        for _ in range(3):
            send_due_charges()
        assert charges() == [(Decimal(-20), "sending")]
        assert swap_deals(charged) == []
        # A later run of the day sees it as charged
        assert roll(charged) == 0
        assert_proved()
        now.shift(SETTLES_AFTER + timedelta(seconds=1))
        carry_out_due()
        outbox.deliver_due()
    assert charges() == [(Decimal(-20), "done")]
    assert swap_deals(charged) == [(DealKind.INTEREST, Decimal(-20))]


def test_a_stop_of_pushes_keeps_charges_due_and_one_of_withdrawals_does_not(charged: Ground) -> None:
    roll(charged)
    entity = charged.entity.pk
    switches.stop(switch=Switch.SERVER_PUSHES, actor=SYSTEM, reason="Release", entity_id=entity)
    send_due_charges()
    assert charges() == [(Decimal(-20), "due")]
    assert "stopped" in SwapCharge.objects.get().problem
    assert not ServerOperation.objects.exists()
    assert_proved()
    switches.resume(switch=Switch.SERVER_PUSHES, actor=SYSTEM, reason="Done", entity_id=entity)
    switches.stop(switch=Switch.WITHDRAWALS, actor=SYSTEM, reason="Investigation", entity_id=entity)
    send_due_charges()
    assert charges() == [(Decimal(-20), "done")]


def test_a_server_that_is_gone_keeps_the_rest_due_and_says_so(charged: Ground) -> None:
    other = TradingAccount.objects.create(server=charged.server, login="5002", currency="USD", client=charged.client)
    ingest(charged.server, [deal(other, 3, at(TUESDAY, 9))])
    roll(charged)
    charged.live.fault("drop_before")
    send_due_charges()
    assert sorted(charges()) == [(Decimal(-20), "sending"), (Decimal(-10), "due")]
    assert ServerOperation.objects.get().state == "requested"
    assert not WorkItem.objects.filter(kind="platform.swap_charge_waits").exists()
    SwapCharge.objects.update(created_at=clock.now() - timedelta(hours=1))
    send_due_charges()
    item = WorkItem.objects.get(kind="platform.swap_charge_waits")
    assert (item.evidence["count"], item.evidence["amounts"]) == (2, ["-30.00 USD"])
    assert_proved()

    charged.live.lift()
    ServerOperation.objects.update(next_try_at=clock.now())
    carry_out_due()
    send_due_charges()
    assert {state for _, state in charges()} == {"done"}
    item.refresh_from_db()
    assert item.state == WorkItem.State.CLOSED


def test_what_the_server_refuses_is_told_and_charged_anew_and_the_others_go_on(charged: Ground) -> None:
    unknown = TradingAccount.objects.create(server=charged.server, login="1", currency="USD", client=charged.client)
    SwapCharge.objects.all().delete()
    ingest(charged.server, [deal(unknown, 3, at(TUESDAY, 9))])
    roll(charged)
    send_due_charges()
    assert sorted(charges()) == [(Decimal(-20), "done"), (Decimal(-10), "refused")]
    item = WorkItem.objects.get(kind="platform.swap_charge_waits")
    assert item.evidence["refused"] == 1
    assert_proved()
    assert roll(charged) == 1
    assert SwapCharge.objects.filter(account=unknown).values_list("state", "seq").order_by("seq").last() == ("due", 1)


def test_a_closed_account_is_paid_nothing_until_a_person_decides(charged: Ground) -> None:
    SwapRate.objects.all().delete()
    rate(charged.server.symbols.get().symbol, "7")
    roll(charged)
    TradingAccount.objects.filter(pk=charged.account.pk).update(status=TradingAccount.Status.CLOSED)
    send_due_charges()
    charge = SwapCharge.objects.get()
    assert (charge.amount, charge.state, charge.attempts) == (Decimal(14), "due", 1)
    assert "closed" in charge.problem
    assert swap_deals(charged) == []


def test_one_that_was_given_up_and_happened_after_all_is_paid_back(charged: Ground) -> None:
    charged.live.fault("drop_before", commands="TRADE_BALANCE", times=1)
    roll(charged)
    send_due_charges()
    operation = ServerOperation.objects.get()
    ServerOperation.objects.update(state="not_found", next_try_at=None)
    cancel_operation(operation_id=operation.pk, actor=charged.operator(), reason="It never arrived")
    outbox.deliver_due()
    assert charges() == [(Decimal(-20), "refused")]
    # Charged anew; and then the first one turns up
    roll(charged)
    send_due_charges()
    login = int(charged.account.login)
    charged.live.call(
        lambda: charged.live.dealing.money(login, int(DealKind.INTEREST), Decimal(-20), operation.reference)
    )
    charged.sync()
    for _ in range(3):
        outbox.deliver_due()
    assert charges() == [(Decimal(-20), "done"), (Decimal(-20), "done")]
    SwapRun.objects.update(created_at=clock.now() - timedelta(hours=1))
    assert not charges_are_carried_out().ok
    assert roll(charged) == 1
    send_due_charges()
    assert sum(amount for _, amount in swap_deals(charged)) == -20
    assert_proved()


def test_the_proof_sees_what_is_charged_otherwise_than_due(charged: Ground) -> None:
    run_rollover(server_id=charged.server.pk, day=TUESDAY, actor=SYSTEM)
    assert charges_are_carried_out().ok  # it is just being charged
    SwapRun.objects.update(created_at=clock.now() - timedelta(hours=1))
    (row,) = charges_are_carried_out().rows
    assert (row["problem"], Decimal(row["due"])) == ("neither charged nor waiting", -20)
    roll(charged)
    send_due_charges()
    assert_proved()
    SwapCharge.objects.update(amount=Decimal(-21))
    problems = {row["problem"] for row in charges_are_carried_out().rows}
    assert problems == {"neither charged nor waiting", "its operation does something else"}
