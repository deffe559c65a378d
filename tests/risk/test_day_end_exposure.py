"""Exposure at the end of a past day, rebuilt from the deals as they were recorded by a given time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from backoffice.kernel.business_day import day_bounds
from risk.services.exposure import measure_day_end_exposure
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
