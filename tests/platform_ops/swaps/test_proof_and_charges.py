"""What a server charged is proved position by position; what we charge follows the lines; freedom, fees, dividends."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest

from backoffice.core.models import AuditRecord, WorkItem
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from platform_ops.gateways.types import GatewayPosition
from platform_ops.models import (
    BalanceOperation,
    DividendEvent,
    SwapBreak,
    SwapCharge,
    SwapFreePolicy,
    SwapRate,
    SwapSetting,
    TradingServer,
)
from platform_ops.rules.swaps import RateDraft
from platform_ops.services.business_day import open_business_day
from platform_ops.services.day_steps import collect_swaps
from platform_ops.services.swaps import dividends, policies
from platform_ops.services.swaps.charges import charge_day
from platform_ops.services.swaps.checks import (
    charges_follow_lines,
    every_open_position_has_its_line,
    lines_follow_rules,
)
from platform_ops.services.swaps.proof import accept_swap_break, observe_swaps, reconcile_swaps
from platform_ops.services.swaps.rates import rates_in_force, set_swap_rates
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.services.swaps.settings import set_swap_setting
from platform_ops.types import DealEntry, DealKind, Side
from tests.factories import platform
from tests.platform_ops.swaps.ground import (
    EARLY,
    SYSTEM,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    at,
    deal,
    ingest,
    lines,
    rate,
    server,
    symbol,
)  # fmt: skip

pytestmark = pytest.mark.django_db
MONDAY = TUESDAY - timedelta(days=1)


def setting(live: TradingServer, **more: object) -> SwapSetting:
    values = {"mode": "prove", "cut": "server_midnight", "channel": "books", "starts_on": MONDAY} | more
    return set_swap_setting(server_id=live.pk, actor=SYSTEM, reason="test", **values)  # type: ignore[arg-type]


def all_swap_proofs_hold() -> bool:
    return lines_follow_rules().ok and every_open_position_has_its_line().ok and charges_follow_lines().ok


def out(account, ticket, moment, swap, **more):  # type: ignore[no-untyped-def]
    return deal(
        account, ticket + 100, moment, side=Side.SELL, entry=DealEntry.OUT, position=ticket, swap=Decimal(swap), **more
    )


def test_what_the_server_charged_is_proved_and_a_break_lives_until_it_is_explained() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    setting(live)
    ingest(
        live,
        [
            deal(account, 1, at(TUESDAY, 9)), out(account, 1, at(THURSDAY, 9), "-40"),
            deal(account, 2, at(TUESDAY, 9)), out(account, 2, at(THURSDAY, 9), "-20"),
            deal(account, 3, at(TUESDAY, 9), lots="2"),
            replace(out(account, 3, at(THURSDAY, 9), "-30"), volume_lots=Decimal(1)),
            deal(account, 4, at(date(2026, 2, 20), 9)), out(account, 4, at(THURSDAY, 9), "-99"),
        ],
    )  # fmt: skip
    for day in (MONDAY, TUESDAY, WEDNESDAY, THURSDAY):
        run_rollover(server_id=live.pk, day=day, actor=SYSTEM)
    proof = reconcile_swaps(server_id=live.pk, day=THURSDAY, actor=SYSTEM)
    # Position 1 agrees, 2 lacks a triple night, 3 is still open and unobserved, 4 began before the first day.
    assert (proof.examined, proof.uncovered, proof.agreeing, proof.breaks) == (3, 1, 1, 1)
    found = SwapBreak.objects.get()
    assert (found.position_ticket, found.ours, found.theirs, found.difference) == (2, -40, -20, 20)
    item = WorkItem.objects.get(kind="platform.swap_break")
    assert item.state != WorkItem.State.CLOSED
    assert item.evidence["symbol"] == "EURUSD"

    again = reconcile_swaps(server_id=live.pk, day=THURSDAY, actor=SYSTEM)
    assert (again.opened, SwapBreak.objects.count()) == (0, 1)
    with pytest.raises(Denied):
        accept_swap_break(break_id=found.pk, actor=platform.staff(Role.SALES, entities=[live.entity]), reason="x")
    with pytest.raises(InvalidInput):
        accept_swap_break(break_id=found.pk, actor=SYSTEM, reason=" ")
    accept_swap_break(break_id=found.pk, actor=SYSTEM, reason="Agreed with the client")
    assert WorkItem.objects.get(kind="platform.swap_break").state == WorkItem.State.CLOSED
    assert reconcile_swaps(server_id=live.pk, day=THURSDAY, actor=SYSTEM).breaks == 0
    # The server corrects its deal: the difference is gone, and the break with it.
    ingest(live, [out(account, 2, at(THURSDAY, 9), "-40")], as_of=at(THURSDAY, 12))
    assert reconcile_swaps(server_id=live.pk, day=THURSDAY, actor=SYSTEM).cleared == 1
    assert SwapBreak.objects.get().state == SwapBreak.State.CLEARED


def test_an_open_position_is_proved_by_what_the_server_says_has_accrued() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    setting(live)
    ingest(live, [deal(account, 1, at(TUESDAY, 9), lots="2"),
                  replace(out(account, 1, at(WEDNESDAY, 9), "-10"), volume_lots=Decimal(1))])  # fmt: skip
    for day in (TUESDAY, WEDNESDAY):
        run_rollover(server_id=live.pk, day=day, actor=SYSTEM)
    stated = GatewayPosition(
        ticket=1, login=account.login, symbol="EURUSD", side=Side.BUY, volume_lots=Decimal(1), open_price=Decimal("1.1"),
        current_price=Decimal("1.1"), opened_at=at(TUESDAY, 9), profit=Decimal(0), swap=Decimal(-40),
    )  # fmt: skip
    with pytest.raises(InvalidInput):
        observe_swaps(server_id=live.pk, day=WEDNESDAY, positions=[stated], observed_at=at(WEDNESDAY, 9), actor=SYSTEM)
    observe_swaps(server_id=live.pk, day=WEDNESDAY, positions=[stated], observed_at=at(WEDNESDAY, 23), actor=SYSTEM)
    assert reconcile_swaps(server_id=live.pk, day=WEDNESDAY, actor=SYSTEM).agreeing == 1
    wrong = replace(stated, swap=Decimal("-39.99"))
    observe_swaps(server_id=live.pk, day=WEDNESDAY, positions=[wrong], observed_at=at(WEDNESDAY, 23), actor=SYSTEM)
    assert reconcile_swaps(server_id=live.pk, day=WEDNESDAY, actor=SYSTEM).breaks == 1
    setting(live, tolerance=Decimal("0.01"))
    assert reconcile_swaps(server_id=live.pk, day=WEDNESDAY, actor=SYSTEM).cleared == 1


def test_posting_charges_once_and_corrections_charge_the_difference() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    setting(live, mode="post")
    ingest(live, [deal(account, 1, at(TUESDAY, 9)), deal(account, 2, at(TUESDAY, 9))])
    for _ in range(2):
        charge_day(run=run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM), actor=SYSTEM)
    operation = BalanceOperation.objects.get()
    assert (operation.amount, operation.kind, operation.business_day) == (Decimal(-20), DealKind.INTEREST, TUESDAY)
    assert SwapCharge.objects.get().state == SwapCharge.State.DONE
    rate(eurusd, "-12")
    charge_day(run=run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM), actor=SYSTEM)
    assert [row.amount for row in BalanceOperation.objects.order_by("ticket")] == [Decimal(-20), Decimal(-4)]
    assert all_swap_proofs_hold()


def test_a_swap_free_account_pays_a_fee_after_its_nights_and_its_swaps_after_abuse() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    setting(live)
    policies.set_swap_free_policy(
        name="free", valid_from=EARLY, account_id=account.pk, grace_nights=1, fee_per_lot=Decimal("1.5"), actor=SYSTEM,
        reason="asked for",
    )  # fmt: skip
    ingest(live, [deal(account, 1, at(TUESDAY, 9), lots="2")])
    for day in (TUESDAY, WEDNESDAY):
        charge_day(run=run_rollover(server_id=live.pk, day=day, actor=SYSTEM), actor=SYSTEM)
    assert [(line.swap, line.fee, line.cause) for line in lines()] == [(0, 0, "swap_free"), (0, -9, "fee")]
    assert [(row.amount, row.kind) for row in BalanceOperation.objects.all()] == [(-9, DealKind.CHARGE)]

    policies.reapply_swaps(account_id=account.pk, from_day=TUESDAY, to_day=WEDNESDAY, actor=SYSTEM, reason="arbitrage")
    for day in (TUESDAY, WEDNESDAY):
        charge_day(run=run_rollover(server_id=live.pk, day=day, actor=SYSTEM), actor=SYSTEM)
    assert sum(line.swap for line in lines()) == -80
    assert sum(line.fee for line in lines()) == 0
    assert (
        sum(row.amount for row in BalanceOperation.objects.all()) == 0
    )  # the fee was given back; the server charges swaps


def test_policies_are_narrowest_first_and_never_two_of_the_same() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    common = {"valid_from": EARLY, "actor": SYSTEM, "reason": "x", "account_id": account.pk}
    policies.set_swap_free_policy(name="all", **common)  # type: ignore[arg-type]
    with pytest.raises(Conflict):
        policies.set_swap_free_policy(name="again", **common)  # type: ignore[arg-type]
    policies.set_swap_free_policy(
        name="of its group",
        symbol_group_id=eurusd.group_id,
        after_grace="swap",
        grace_nights=0,
        **common,  # type: ignore[arg-type]
    )
    rate(eurusd, "-10")
    ingest(live, [deal(account, 1, at(TUESDAY, 9))])
    run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert lines()[0].swap == -10
    assert SwapFreePolicy.objects.count() == 2


def test_a_dividend_needs_two_people_and_is_adjusted_the_day_before() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10", "3")
    one, other = (platform.staff(Role.PLATFORM_OPERATIONS, entities=[live.entity], user_id=number) for number in (1, 2))
    ingest(live, [deal(account, 1, at(TUESDAY, 9)), deal(account, 2, at(TUESDAY, 9), side=Side.SELL)])
    event = dividends.propose_dividend(symbol_id=eurusd.pk, ex_date=THURSDAY, amount_long=Decimal("0.0002"), actor=one)
    run_rollover(server_id=live.pk, day=WEDNESDAY, actor=SYSTEM)
    assert [line.dividend for line in lines()] == [0, 0]
    with pytest.raises(Denied):
        dividends.approve_dividend(event_id=event.pk, actor=one, reason="mine")
    assert DividendEvent.objects.get().state == DividendEvent.State.PROPOSED
    dividends.approve_dividend(event_id=event.pk, actor=other, reason="as published")
    run_rollover(server_id=live.pk, day=WEDNESDAY, actor=SYSTEM)
    assert [(line.seq, line.dividend) for line in lines()] == [(0, 0), (1, 20), (0, 0), (1, -20)]
    with pytest.raises(Conflict):
        dividends.propose_dividend(symbol_id=eurusd.pk, ex_date=THURSDAY, amount_long=Decimal(1), actor=one)


def test_the_step_of_the_business_day_computes_proves_and_can_wait() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    ingest(live, [deal(account, 1, at(TUESDAY, 9)), out(account, 1, at(WEDNESDAY, 9), "-9")])
    assert "swap_lines" not in collect_swaps(open_business_day(server_id=live.pk, day=TUESDAY))
    setting(live, blocks_day=True)
    assert collect_swaps(open_business_day(server_id=live.pk, day=TUESDAY))["swap_lines"] == 1
    with pytest.raises(Conflict) as caught:
        collect_swaps(open_business_day(server_id=live.pk, day=WEDNESDAY))
    assert caught.value.code == "swap_breaks"
    accept_swap_break(break_id=SwapBreak.objects.get().pk, actor=SYSTEM, reason="known")
    figures = collect_swaps(open_business_day(server_id=live.pk, day=WEDNESDAY))
    assert (figures["swap_lines"], figures["swap_breaks"]) == (0, 0)


def test_rates_are_set_by_approval_and_dated() -> None:
    eurusd = symbol()
    person = platform.staff(Role.PLATFORM_OPERATIONS)
    draft = RateDraft(symbol_id=eurusd.pk, long=Decimal(-1))
    with pytest.raises(Denied):
        set_swap_rates(rates=[draft], valid_from=EARLY, approval=None, actor=person)
    assert not SwapRate.objects.exists()
    set_swap_rates(rates=[draft], valid_from=EARLY, approval=None, actor=SYSTEM)
    set_swap_rates(rates=[replace(draft, long=Decimal(-2))], valid_from=at(TUESDAY, 0), approval=None, actor=SYSTEM)
    assert rates_in_force(at=at(MONDAY, 12))[(eurusd.pk, None)].long == -1
    assert rates_in_force(at=at(TUESDAY, 12))[(eurusd.pk, None)].long == -2
    assert AuditRecord.objects.filter(action="platform.set_swap_rate").count() == 2
    for bad, field in (
        (replace(draft, long=Decimal("NaN")), "long"),
        (replace(draft, multipliers=(Decimal(1),) * 6), "multipliers"),
        (replace(draft, year_days=300), "year_days"),
    ):
        with pytest.raises(InvalidInput) as caught:
            set_swap_rates(rates=[bad], valid_from=EARLY, approval=None, actor=SYSTEM)
        assert caught.value.details["field"] == field
        assert eurusd.code in caught.value.message
    with pytest.raises(InvalidInput):
        set_swap_rates(rates=[draft, draft], valid_from=EARLY, approval=None, actor=SYSTEM)
    assert SwapRate.objects.count() == 2
