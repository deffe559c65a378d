"""Exposure at the end of a past day, rebuilt from the deals as they were recorded by a given time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from backoffice.kernel.business_day import day_bounds
from platform_ops.gateways.types import CalculationMode
from platform_ops.models import Symbol
from platform_ops.rules.trading import ClosedVolume, notional, profit_in_symbol_currency
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.types import Side
from risk.services.exposure import measure_day_end_exposure, measure_exposure
from risk.types import ALL_BOOKS
from tests.risk import world

pytestmark = pytest.mark.django_db
D = Decimal
DAY = world.NOW.date() - timedelta(days=1)
STARTS, ENDS = day_bounds(DAY)
BUY, SELL, IN, OUT, INOUT = 0, 1, 0, 1, 2


@pytest.fixture
def setting():
    entity = world.make_entity()
    server = world.make_server(entity)
    symbol = world.make_symbol("EURUSD", "EUR", "USD")
    world.fix_price(symbol, DAY, "1.10")
    world.rate("USD", "1.12", DAY)
    return entity, world.make_account(server, book="B"), world.named(server, symbol)


def exposure(entity, recorded_until=world.NOW):
    measured = measure_day_end_exposure(
        entity_id=entity.pk, day=DAY, recorded_until=recorded_until, report_currency="USD"
    )
    return {row.symbol: row for row in measured.by_book[ALL_BOOKS].symbols}


def test_what_was_opened_and_not_closed_by_the_end_of_the_day(setting):
    # given: 3 lots opened, 1 closed that day, the rest closed an hour after its end; one opened after it
    entity, account, named = setting
    at = STARTS + timedelta(hours=2)
    world.deal(account, named, ticket=1, position=1, kind=BUY, entry=IN, lots="3", price="1.09", at=at)
    world.deal(account, named, ticket=2, position=1, kind=SELL, entry=OUT, lots="1", price="1.1", at=at)
    world.deal(account, named, ticket=3, position=1, kind=SELL, entry=OUT, lots="2", price="1.1", at=ENDS)
    world.deal(account, named, ticket=4, position=4, kind=BUY, entry=IN, lots="9", price="1.1", at=ENDS)
    # when
    row = exposure(entity)["EURUSD"]
    # then
    assert (row.long_lots, row.short_lots, row.positions) == (D(2), D(0), 1)
    assert row.notional == D("220000.00")
    assert row.floating == D("2000.00")


def test_a_netting_account_that_turned_round_is_short_from_the_turn_on(setting):
    # given: long 1, then 2 more at another price, then a reversal by selling 5
    entity, account, named = setting
    for ticket, (kind, entry, lots, price) in enumerate(
        [(BUY, IN, "1", "1.08"), (BUY, IN, "2", "1.11"), (SELL, INOUT, "5", "1.12")], start=1
    ):
        at = STARTS + timedelta(hours=ticket)
        world.deal(account, named, ticket=ticket, position=7, kind=kind, entry=entry, lots=lots, price=price, at=at)
    # when
    row = exposure(entity)["EURUSD"]
    # then
    assert (row.long_lots, row.short_lots) == (D(0), D(2))
    assert row.average_price_short == D("1.12")
    assert row.floating == D("4000.00")


def test_added_lots_have_their_weighted_price(setting):
    # given
    entity, account, named = setting
    at = STARTS + timedelta(hours=1)
    world.deal(account, named, ticket=1, position=7, kind=BUY, entry=IN, lots="1", price="1.08", at=at)
    world.deal(account, named, ticket=2, position=7, kind=BUY, entry=IN, lots="3", price="1.12", at=at)
    # then
    assert exposure(entity)["EURUSD"].average_price_long == D("1.11")


def test_a_correction_counts_from_when_it_was_recorded(setting):
    # given: 3 lots, corrected to 2 a day later
    entity, account, named = setting
    at = STARTS + timedelta(hours=2)
    corrected_at = world.NOW + timedelta(days=1)
    world.deal(account, named, ticket=1, position=1, kind=BUY, entry=IN, lots="3", price="1.09", at=at)
    world.deal(
        account,
        named,
        ticket=1,
        position=1,
        kind=BUY,
        entry=IN,
        lots="2",
        price="1.09",
        at=at,
        revision=1,
        recorded_at=corrected_at,
    )
    # then
    assert exposure(entity)["EURUSD"].long_lots == D(3)
    assert exposure(entity, corrected_at)["EURUSD"].long_lots == D(2)
    assert exposure(entity, at - timedelta(seconds=1)) == {}


def test_a_cancelled_deal_opens_nothing(setting):
    # given
    entity, account, named = setting
    at = STARTS + timedelta(hours=2)
    world.deal(account, named, ticket=1, position=1, kind=BUY, entry=IN, lots="3", price="1.09", at=at)
    world.deal(account, named, ticket=1, position=1, kind=13, entry=IN, lots="3", price="1.09", at=at, revision=1)
    # then
    assert exposure(entity) == {}


MODES = {
    # code: (base asset, terms, opened at, closes at)
    "ES": ("US500", {"calculation_mode": CalculationMode.FUTURES, "tick_size": D("0.25"), "tick_value": D("12.5")}, "5000.25", "5010.50"),
    "RTS": ("USD", {"calculation_mode": CalculationMode.EXCHANGE_FUTURES, "tick_size": D(3), "tick_value": D(10)}, "110001", "110333"),
    "BOND": ("BOND", {"calculation_mode": CalculationMode.EXCHANGE_BONDS, "face_value": D(1000), "accrued_interest": D("1.25")}, "99.5", "98.75"),
    "STOCK": ("STOCK", {"calculation_mode": CalculationMode.EXCHANGE_STOCKS}, "181.25", "179.5"),
    "DEPOSIT": ("DEPOSIT", {"calculation_mode": CalculationMode.COLLATERAL}, "1", "2"),
    "GBPUSD": ("GBP", {"calculation_mode": CalculationMode.FOREX_NO_LEVERAGE}, "1.25005", "1.26001"),
}  # fmt: skip


def test_every_mode_is_valued_by_the_platforms_own_rules_now_and_at_the_end_of_the_day(time_machine):
    """Futures by tick value ÷ tick size, whatever their contract size says; the same live, from deals, and in SQL."""
    # given: long 3 lots and short 1 lot of each, by positions as by deals
    time_machine.move_to(world.NOW, tick=False)
    entity = world.make_entity()
    server = world.make_server(entity)
    account = world.make_account(server, book="B")
    world.rate("USD", "1.12", DAY)
    ticket = 100
    for code, (base, more, opened, closes) in MODES.items():
        symbol = world.make_symbol(
            code, base, "USD", contract_size="10", asset_class="index", digits=5, margin_initial=D(100), **more
        )
        world.quote(symbol, closes)
        world.fix_price(symbol, DAY, closes)
        named = world.named(server, symbol)
        for side, kind, lots in ((1, BUY, "3"), (-1, SELL, "1")):
            ticket += 1
            world.open_position(account, named, side, lots, opened, at=STARTS)
            world.deal(
                account, named, ticket=ticket, position=ticket, kind=kind, entry=IN, lots=lots, price=opened, at=STARTS
            )
    # when
    now = measure_exposure(entity_ids=[entity.pk], report_currency="USD")
    then = measure_day_end_exposure(entity_id=entity.pk, day=DAY, recorded_until=world.NOW, report_currency="USD")
    # then
    known = {symbol.code: terms_in_force(symbol_id=symbol.pk, at=world.NOW) for symbol in Symbol.objects.all()}
    for measured in (now, then):
        rows = {row.symbol: row for row in measured.by_book[ALL_BOOKS].symbols}
        assert set(rows) == set(MODES)
        for code, (_, _, opened, closes) in MODES.items():
            terms, row = known[code], rows[code]
            floating = sum(
                profit_in_symbol_currency(
                    terms=terms,
                    closed=ClosedVolume(side=side, open_price=D(opened), close_price=D(closes), lots=D(lots)),
                )[0]
                for side, lots in ((Side.BUY, "3"), (Side.SELL, "1"))
            )
            assert (row.reason, row.floating) == (None, floating), code
            assert row.notional == round(notional(terms=terms, lots=D(2), price=D(closes)), 2), code
            assert row.notional == round(move_value_in_sql(terms, distance=D(closes), lots=D(2)), 2), code
    rows = {row.symbol: row for row in now.by_book[ALL_BOOKS].symbols}
    # 10.25 index points are 41 ticks of 12.50, on two lots; by contract size it would have been 205
    assert (rows["ES"].floating, rows["ES"].notional) == (D("1025.00"), D("501050.00"))
    assert rows["ES"].net_units == D(100)
    # A future "of dollars" is no dollars held: its leg is its own
    legs = {row.currency: row for row in now.by_book[ALL_BOOKS].currencies}
    assert legs["RTS"].notional == rows["RTS"].notional
    assert legs["USD"].notional == -sum(row.notional for row in rows.values())


def move_value_in_sql(terms, *, distance, lots):
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT platform_move_value(%s::smallint, %s, %s, %s, %s, %s, %s)",
            [
                int(terms.calculation_mode), terms.contract_size, terms.tick_size, terms.tick_value, terms.face_value,
                distance, lots,
            ],
        )  # fmt: skip
        return cursor.fetchone()[0]
