"""What every connector reads, it reads whole, once, in order and in the right types."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, cast

import pytest

from platform_ops.gateways.errors import GatewayRefused, NotOffered
from platform_ops.gateways.fix.drop_copy import DropCopyGateway, Numbers, Received
from platform_ops.gateways.types import Ability, GatewayDeal, ReadingGateway, TradingGateway
from platform_ops.services.connections import WRITING
from platform_ops.types import DealKind, Side
from tests.platform_ops.conformance.worlds import UNKNOWN_LOGIN, World


def needs(world: World, ability: Ability) -> None:
    if ability not in world.gateway.abilities:
        pytest.skip(f"it does not offer {ability}")


def all_deals(world: World, **more: Any) -> list[GatewayDeal]:
    return list(world.gateway.deals(**{"from_time": world.start, "to_time": world.end, **more}))


def name_of(deal: GatewayDeal) -> tuple[int, int]:
    return deal.ticket, deal.leg


def test_it_keeps_the_protocol_of_its_abilities(world: World) -> None:
    assert isinstance(world.gateway, ReadingGateway)
    assert world.gateway.abilities <= frozenset(Ability)
    if world.gateway.abilities & WRITING:
        assert isinstance(world.gateway, TradingGateway)


READINGS: dict[Ability, Callable[[World], Any]] = {
    Ability.TIME: lambda world: world.gateway.clock(),
    Ability.DEALS: lambda world: list(world.gateway.deals(from_time=world.start, to_time=world.end)),
    Ability.ORDERS: lambda world: list(world.gateway.orders(from_time=world.start, to_time=world.end)),
    Ability.POSITIONS: lambda world: list(world.gateway.positions()),
    Ability.ACCOUNTS: lambda world: list(world.gateway.accounts()),
    Ability.GROUPS: lambda world: list(world.gateway.groups()),
    Ability.SYMBOLS: lambda world: list(world.gateway.symbols()),
    Ability.TICKS: lambda world: list(world.gateway.last_ticks(symbols=sorted(world.symbols) or ["EURUSD"]).values()),
}


@pytest.mark.parametrize("ability", READINGS, ids=str)
def test_what_it_cannot_read_it_refuses_and_what_it_can_it_answers(world: World, ability: Ability) -> None:
    if ability not in world.gateway.abilities:
        with pytest.raises(NotOffered):
            READINGS[ability](world)
        return
    assert READINGS[ability](world)


@pytest.mark.parametrize("ability", READINGS, ids=str)
def test_records_hold_no_float_and_no_time_without_a_zone(world: World, ability: Ability) -> None:
    needs(world, ability)
    read = READINGS[ability](world)
    for record in read if isinstance(read, list) else [read]:
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            assert not isinstance(value, float), field.name
            if isinstance(value, Decimal):
                assert value.is_finite(), field.name
            if isinstance(value, datetime) and field.name != "local":
                assert value.tzinfo is UTC, field.name


def test_the_clock_is_utc_by_the_servers_zone(world: World) -> None:
    needs(world, Ability.TIME)
    clock = world.gateway.clock()

    assert clock.local.tzinfo is None
    assert abs(clock.utc - datetime.now(UTC)) < timedelta(seconds=30)


def test_deals_come_once_and_in_order(world: World) -> None:
    needs(world, Ability.DEALS)
    deals = all_deals(world)

    assert len({name_of(deal) for deal in deals}) == len(deals) >= 4
    assert [(deal.at, deal.ticket) for deal in deals] == sorted((deal.at, deal.ticket) for deal in deals)
    assert all(world.start <= deal.at < world.end for deal in deals)
    assert {deal.login for deal in deals} <= world.logins


def test_a_trade_has_what_a_trade_needs(world: World) -> None:
    needs(world, Ability.DEALS)
    for deal in all_deals(world):
        if deal.kind.is_trade:
            assert deal.symbol
            assert deal.volume_lots > 0
            assert deal.price is not None and deal.price > 0
            assert deal.entry is not None
            assert deal.position_ticket > 0
        elif deal.kind is DealKind.BALANCE:
            assert deal.money != 0


def test_two_windows_tell_what_one_tells(world: World) -> None:
    needs(world, Ability.DEALS)
    deals = all_deals(world)
    # The middle falls on a deal: it belongs to the later window, and to that one alone.
    middle = deals[len(deals) // 2].at

    earlier, later = all_deals(world, to_time=middle), all_deals(world, from_time=middle)

    assert earlier + later == deals
    assert all(deal.at < middle for deal in earlier)


def test_an_empty_window_and_a_window_of_no_length_tell_nothing(world: World) -> None:
    needs(world, Ability.DEALS)
    long_ago = datetime(1995, 1, 2, tzinfo=UTC)

    assert all_deals(world, from_time=long_ago, to_time=long_ago + timedelta(hours=1)) == []
    assert all_deals(world, to_time=world.start) == []


def test_asked_twice_it_says_the_same(world: World) -> None:
    needs(world, Ability.DEALS)

    assert all_deals(world) == all_deals(world)


def test_logins_choose_the_deals(world: World) -> None:
    needs(world, Ability.DEALS)
    deals = all_deals(world)
    chosen = min(world.logins)

    assert all_deals(world, logins=[chosen]) == [deal for deal in deals if deal.login == chosen]
    assert all_deals(world, logins=[chosen, chosen, UNKNOWN_LOGIN]) == [deal for deal in deals if deal.login == chosen]
    assert all_deals(world, logins=[UNKNOWN_LOGIN]) == []
    assert all_deals(world, logins=[]) == []


def test_orders_are_ended_within_the_window_and_come_once(world: World) -> None:
    needs(world, Ability.ORDERS)
    orders = list(world.gateway.orders(from_time=world.start, to_time=world.end))

    assert len({order.ticket for order in orders}) == len(orders) > 0
    for order in orders:
        assert order.done_at is not None
        assert world.start <= order.done_at < world.end
        assert order.placed_at <= order.done_at
        assert 0 <= order.volume_filled_lots <= order.volume_initial_lots


def test_positions_are_what_the_deals_left_open(world: World) -> None:
    needs(world, Ability.POSITIONS)
    positions = list(world.gateway.positions())

    assert len({position.ticket for position in positions}) == len(positions) > 0
    assert all(position.volume_lots > 0 and position.side in Side for position in positions)
    if world.has_whole_history and Ability.DEALS in world.gateway.abilities:
        open_lots: dict[int, Decimal] = {}
        for deal in all_deals(world):
            if deal.kind.is_trade:
                signed = deal.volume_lots if deal.kind is DealKind.BUY else -deal.volume_lots
                open_lots[deal.position_ticket] = open_lots.get(deal.position_ticket, Decimal(0)) + signed
        told = {position.ticket: position.volume_lots * position.side for position in positions}
        assert told == {ticket: lots for ticket, lots in open_lots.items() if lots}


def test_positions_of_one_login(world: World) -> None:
    needs(world, Ability.POSITIONS)
    positions = list(world.gateway.positions())
    chosen = positions[0].login

    assert list(world.gateway.positions(logins=[chosen])) == [row for row in positions if row.login == chosen]
    assert list(world.gateway.positions(logins=[UNKNOWN_LOGIN])) == []


def test_accounts_come_once_and_unknown_ones_are_left_out(world: World) -> None:
    needs(world, Ability.ACCOUNTS)
    accounts = list(world.gateway.accounts())

    assert {account.login for account in accounts} == world.logins
    assert len(accounts) == len(world.logins)
    assert all(len(account.currency) >= 3 for account in accounts)
    chosen = accounts[0].login
    assert [account.login for account in world.gateway.accounts(logins=[chosen, UNKNOWN_LOGIN])] == [chosen]


def test_balances_are_the_sum_of_what_the_deals_moved(world: World) -> None:
    needs(world, Ability.ACCOUNTS)
    needs(world, Ability.DEALS)
    if not world.has_whole_history:
        pytest.skip("its window does not hold the whole history")
    balances: dict[str, Decimal] = dict.fromkeys(world.logins, Decimal(0))
    for deal in all_deals(world):
        if not deal.kind.is_credit:
            balances[deal.login] += deal.money

    assert {account.login: account.balance for account in world.gateway.accounts()} == balances


def test_groups_have_names_and_currencies(world: World) -> None:
    needs(world, Ability.GROUPS)
    groups = list(world.gateway.groups())

    assert len({group.name for group in groups}) == len(groups) > 0
    assert {account.group for account in world.gateway.accounts()} <= {group.name for group in groups}


def test_symbols_come_whole(world: World) -> None:
    needs(world, Ability.SYMBOLS)
    symbols = {symbol.name: symbol.terms for symbol in world.gateway.symbols()}

    assert set(symbols) == world.symbols
    for terms in symbols.values():
        assert terms.contract_size > 0
        assert 0 < terms.lots_minimum <= terms.lots_maximum
        assert len(terms.swap_multipliers) == len(terms.trade_sessions) == len(terms.quote_sessions) == 7


def test_quotes_are_of_the_symbols_that_were_asked_for(world: World) -> None:
    needs(world, Ability.TICKS)
    wanted = sorted(world.symbols)[:2]

    ticks = world.gateway.last_ticks(symbols=[*wanted, "NOSUCHSYMBOL"])

    assert set(ticks) == set(wanted)
    assert all(0 < tick.bid <= tick.ask for tick in ticks.values())
    assert world.gateway.last_ticks(symbols=[]) == {}


def test_executions_come_in_the_order_of_their_numbers_and_numbers_that_were_used_are_refused(world: World) -> None:
    needs(world, Ability.EXECUTIONS)
    gateway = cast(DropCopyGateway, world.gateway)

    def told() -> list[tuple[int, str, Decimal | None, datetime]]:
        kept: list[Received] = []
        standing = gateway.follow(numbers=Numbers(), keep=kept.append, seconds=0.5)
        while standing.gap_to:
            standing = gateway.follow(numbers=standing.numbers, keep=kept.append, seconds=0.5)
        gateway.close()
        messages = [message for received in kept for message in received.messages]
        assert [message.sequence for message in messages] == sorted({message.sequence for message in messages})
        return [(one.sequence, one.get(17), one.number(32), one.moment(60)) for one in messages]

    first = told()
    assert len(first) == 5
    assert all(at.tzinfo is UTC for *_, at in first)
    # A session that forgot its own numbers would double or lose messages: the provider does not take it.
    with pytest.raises(GatewayRefused, match="too low"):
        told()


def test_nothing_can_be_changed_by_a_connector_that_only_reads(world: World) -> None:
    if world.gateway.abilities & WRITING:
        pytest.skip("it can write")
    assert not isinstance(world.gateway, TradingGateway)
