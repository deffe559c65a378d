"""Published worked figures of swaps and dividends, by their own numbers: rules that anybody can look up."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import CalculationMode, SwapMode
from platform_ops.rules.swaps import (
    Applies,
    Cause,
    Conversion,
    Freedom,
    Money,
    RateDraft,
    SymbolFacts,
    broker_result,
    cut_of,
    days_of,
    dividend_day,
    make_term,
    mode_of_mt4,
    money_of,
    nightly_value,
    nights_on,
    opening_bound,
    reopen_price,
)
from platform_ops.types import Side

D = Decimal
OPENED = datetime(2026, 3, 2, tzinfo=UTC)
FX = SymbolFacts(
    digits=5, contract_size=D(100_000), calculation_mode=CalculationMode.FOREX, base_currency="EUR",
    profit_currency="USD", margin_currency="EUR",
)  # fmt: skip
INDEX = SymbolFacts(
    digits=2, contract_size=D(10), calculation_mode=CalculationMode.CFD_INDEX, base_currency="US100",
    profit_currency="USD", margin_currency="USD",
)  # fmt: skip
FRIDAY_TRIPLE = tuple(D(n) for n in (0, 1, 1, 1, 1, 3, 0))
WEDNESDAY_TRIPLE = tuple(D(n) for n in (0, 1, 1, 3, 1, 1, 0))


def night(
    mode: SwapMode,
    value: str,
    *,
    lots: str = "1",
    side: Side = Side.BUY,
    facts: SymbolFacts = FX,
    nights: str = "1",
    digits: int = 2,
    open_price: str = "1.1",
    **more: object,
) -> Money:
    rate = RateDraft(
        symbol_id=1,
        mode=mode,
        long=D(value),
        short=D(value),
        year_days=int(more.pop("year_days", 360)),  # type: ignore[call-overload]
    )
    term = make_term(rate=rate, facts=facts, side=side, digits=digits, nights=D(nights), **more)  # type: ignore[arg-type]
    return money_of(term, lots=D(lots), open_price=D(open_price), opened_at=OPENED)


def test_points_round_the_value_of_a_point_first_or_not() -> None:
    lira = Conversion(bid=D("0.2274587"), ask=D("0.2274587"))
    assert night(SwapMode.POINTS, "-11.35", lots="5", conversion=lira).swap == D("-12.94")
    assert night(SwapMode.POINTS, "-11.35", lots="5", conversion=lira, rounds_point_value_first=False).swap == D(
        "-12.91"
    )
    # A micro lot's point can round to nothing.
    assert night(SwapMode.POINTS, "-11.35", lots="0.01", conversion=lira).swap == 0


def test_sw03_currency_is_value_times_lots_rounded() -> None:
    assert night(SwapMode.DEPOSIT_CURRENCY, "1").swap == 1
    assert night(SwapMode.DEPOSIT_CURRENCY, "-11.3195").swap == D("-11.32")


def test_sw05_three_formulas() -> None:
    assert night(SwapMode.POINTS, "-7.2", lots="2", nights="3").swap == D("-43.20")
    assert night(SwapMode.PROFIT_CURRENCY, "-7.2", lots="2", nights="3").swap == D("-43.20")
    share = night(SwapMode.INTEREST_CURRENT_PRICE, "-5.4", lots="3", nights="2", facts=INDEX, price=D("18000.25"))
    # −5.4 / 100 / 360 × 18 000.25 × 10 × 3 × 2
    assert share.swap == D("-162.00")


def test_sw06_five_trading_nights_are_seven_swaps() -> None:
    monday = date(2026, 3, 2)
    week = [nights_on(monday + timedelta(days=n), multipliers=WEDNESDAY_TRIPLE) for n in range(7)]
    assert week == [1, 1, 3, 1, 1, 0, 0]
    assert sum(week) == 7


def test_sw_x1_the_page_that_counts_five_nights_is_wrong() -> None:
    opened, closed = date(2026, 3, 3), date(2026, 3, 5)
    days = [opened + timedelta(days=n) for n in range((closed - opened).days)]
    counted = [nights_on(day, multipliers=WEDNESDAY_TRIPLE) for day in days]
    assert counted == [1, 3]
    money = [night(SwapMode.DEPOSIT_CURRENCY, "-13.472", nights=str(n)).swap for n in counted]
    assert sum(money) == D("-53.89")


def test_interest_of_a_future_is_of_its_tick_value() -> None:
    future = SymbolFacts(
        digits=2, contract_size=D(1), calculation_mode=CalculationMode.FUTURES, base_currency="X", profit_currency="USD",
        margin_currency="USD", tick_size=D("0.1"), tick_value=D("3.3"),
    )  # fmt: skip
    # One lot costs 1 000 × 3.3 ÷ 0.1 = 33 000; 3.6 % of it over 360 days is 3.30 a night.
    assert night(SwapMode.INTEREST_CURRENT_PRICE, "-3.6", facts=future, price=D(1000)).swap == D("-3.30")


def test_interest_of_forex_needs_no_price_and_is_converted_by_side() -> None:
    euro = Conversion(bid=D("1.10"), ask=D("1.20"))
    buy = night(SwapMode.INTEREST_CURRENT_PRICE, "-3.6", conversion=euro)
    sell = night(SwapMode.INTEREST_CURRENT_PRICE, "-3.6", side=Side.SELL, conversion=euro)
    assert (buy.swap, sell.swap) == (D("-11.00"), D("-12.00"))
    assert night(SwapMode.INTEREST_CURRENT_PRICE, "-3.65", year_days=365, conversion=euro).swap == D("-11.00")


def test_interest_on_the_opening_price() -> None:
    money = night(SwapMode.INTEREST_OPEN_PRICE, "-3.6", facts=INDEX, open_price="18000")
    assert money.swap == D("-18.00")


def test_money_modes_are_converted_at_the_side_worse_for_the_client() -> None:
    euro = Conversion(bid=D("1.10"), ask=D("1.20"))
    assert night(SwapMode.BASE_CURRENCY, "-10", conversion=euro).swap == D("-12.00")
    assert night(SwapMode.BASE_CURRENCY, "10", conversion=euro).swap == D("11.00")


@pytest.mark.parametrize(("digits", "expected"), [(0, "-1"), (2, "-1.24"), (3, "-1.235")])
def test_money_has_the_digits_of_the_account(digits: int, expected: str) -> None:
    assert night(SwapMode.DEPOSIT_CURRENCY, "-1.235", digits=digits).swap == D(expected)


def test_halves_go_away_from_zero_on_both_sides() -> None:
    assert night(SwapMode.DEPOSIT_CURRENCY, "0.005").swap == D("0.01")
    assert night(SwapMode.DEPOSIT_CURRENCY, "-0.005").swap == D("-0.01")


def test_reopening_moves_the_price_and_charges_nothing() -> None:
    money = night(SwapMode.REOPEN_BID, "-5")
    assert (money.swap, money.cause) == (0, Cause.REOPENED)
    shifted = {
        side: reopen_price(
            mode=SwapMode.REOPEN_BID, side=side, close_price=D(9), bid=D("1.10000"), value=D(-5), nights=D(3),
            point=D("0.00001"),
        )
        for side in Side
    }  # fmt: skip
    assert shifted == {Side.BUY: D("1.10015"), Side.SELL: D("1.09985")}


def test_metatrader_4_numbers_its_modes_otherwise() -> None:
    assert [mode_of_mt4(number) for number in range(4)] == [
        SwapMode.POINTS, SwapMode.BASE_CURRENCY, SwapMode.INTEREST_CURRENT_PRICE, SwapMode.MARGIN_CURRENCY,
    ]  # fmt: skip
    with pytest.raises(InvalidInput):
        mode_of_mt4(4)


def test_dv01_and_dv02_dividends_by_price() -> None:
    for side, sign in ((Side.BUY, 1), (Side.SELL, -1)):
        index = night(SwapMode.POINTS, "0", lots="2.5", side=side, facts=INDEX, dividend_price=sign * D("2.11"))
        assert index.dividend == sign * D("52.75")
    twenty = SymbolFacts(
        digits=3, contract_size=D(20), calculation_mode=CalculationMode.CFD_INDEX, base_currency="A50",
        profit_currency="USD", margin_currency="USD",
    )  # fmt: skip
    assert night(SwapMode.POINTS, "0", facts=twenty, dividend_price=D("15.272")).dividend == D("305.44")


def test_dv03_dividend_through_the_swap() -> None:
    rate = RateDraft(symbol_id=1, mode=SwapMode.DEPOSIT_CURRENCY, long=D(-25), short=D(8))
    nightly = {side: nightly_value(value=rate.value(side), dividend=side.value * D(20), nights=D(1)) for side in Side}
    assert nightly == {Side.BUY: D(-5), Side.SELL: D(-12)}
    term = make_term(rate=rate, facts=INDEX, side=Side.SELL, digits=2, nights=D(1), dividend_in_swap=D(-20))
    assert money_of(term, lots=D(2), open_price=D(1), opened_at=OPENED).swap == D(-24)


def test_dv04_ex_monday_is_a_third_a_night_before_a_friday_of_three() -> None:
    friday = dividend_day(date(2026, 3, 9))
    assert friday == date(2026, 3, 6)
    nights = nights_on(friday, multipliers=FRIDAY_TRIPLE)
    rate = RateDraft(symbol_id=1, mode=SwapMode.DEPOSIT_CURRENCY, long=D(-25), short=D(8))
    per_night = {
        side: nightly_value(value=rate.value(side), dividend=side.value * D(30), nights=nights) for side in Side
    }
    assert per_night == {Side.BUY: D(-15), Side.SELL: D(-2)}
    charged = {
        side: money_of(
            make_term(
                rate=rate, facts=INDEX, side=side, digits=2, nights=nights, dividend_in_swap=side.value * D(30)
            ),
            lots=D(1), open_price=D(1), opened_at=OPENED,
        ).swap
        for side in Side
    }  # fmt: skip
    assert charged == {Side.BUY: D(-45), Side.SELL: D(-6)}


@pytest.mark.parametrize(
    ("long", "short", "dividend", "expected"),
    [
        ("-0.6575", "-0.5801", "5.471", ("4.8135", "-6.0511")),  # DV-06 FTSE100
        ("-2.9569", "-1.8503", "10.023", ("7.0661", "-11.8733")),  # DV-08 HSI
        ("-3", "-1", "20", ("17", "-21")),  # DV-09
    ],
)
def test_dv06_to_dv09(long: str, short: str, dividend: str, expected: tuple[str, str]) -> None:
    assert nightly_value(value=D(long), dividend=D(dividend), nights=D(1)) == D(expected[0])
    assert nightly_value(value=D(short), dividend=-D(dividend), nights=D(1)) == D(expected[1])


def test_sf01_free_for_fourteen_days_then_due_to_be_closed() -> None:
    zone = ServerZone.parse("EET_US")
    rate = RateDraft(symbol_id=1, mode=SwapMode.DEPOSIT_CURRENCY, long=D(-9))
    opened = cut_of(date(2026, 3, 2), zone=zone) - timedelta(hours=3)
    causes = {}
    for number in (13, 14):
        day = date(2026, 3, 2) + timedelta(days=number)
        bound = opening_bound(day, grace_nights=14, zone=zone)
        term = make_term(
            rate=rate, facts=FX, side=Side.BUY, digits=2, nights=D(1), freedom=Freedom(grace_start=bound, after="close")
        )
        money = money_of(term, lots=D(1), open_price=D(1), opened_at=opened)
        assert money.total == 0
        causes[number + 1] = money.cause
    assert causes == {14: Cause.SWAP_FREE, 15: Cause.CLOSE_DUE}


def test_the_administration_fee_comes_after_the_free_nights_and_counts_nights() -> None:
    zone = ServerZone.parse("EET_US")
    wednesday = date(2026, 3, 4)
    rate = RateDraft(symbol_id=1, mode=SwapMode.DEPOSIT_CURRENCY, long=D(-9))
    freedom = Freedom(grace_start=opening_bound(wednesday, grace_nights=2, zone=zone), fee_per_lot=D("1.5"))
    term = make_term(rate=rate, facts=FX, side=Side.BUY, digits=2, nights=D(3), freedom=freedom)
    assert term.swap_applies is Applies.NEVER
    old = money_of(
        term, lots=D("0.5"), open_price=D(1), opened_at=cut_of(date(2026, 3, 2), zone=zone) - timedelta(seconds=1)
    )
    new = money_of(term, lots=D("0.5"), open_price=D(1), opened_at=cut_of(date(2026, 3, 2), zone=zone))
    assert (old.swap, old.fee, old.cause) == (0, D("-2.25"), Cause.FEE)
    assert (new.swap, new.fee, new.cause) == (0, 0, Cause.SWAP_FREE)


def test_the_broker_keeps_what_is_left_of_the_providers_swap() -> None:
    assert broker_result(client=D("-12.94"), lp=D("-10.00")) == D("2.94")
    assert broker_result(client=D("3"), lp=D("4")) == D("1")


# Holidays, and the calendar


def test_a_holidays_night_is_charged_the_day_before() -> None:
    wednesday = date(2026, 3, 4)
    counted = [
        nights_on(
            wednesday + timedelta(days=n), multipliers=WEDNESDAY_TRIPLE, holidays={wednesday}, considers_holidays=True
        )
        for n in (-1, 0, 1)
    ]
    assert counted == [4, 0, 1]
    assert nights_on(wednesday, multipliers=WEDNESDAY_TRIPLE, holidays={wednesday}) == 3


@pytest.mark.parametrize(
    "holidays",
    [
        {date(2026, 3, 9)},  # a Monday: charged on the Friday before
        {date(2026, 3, 6), date(2026, 3, 9)},  # both sides of a week-end: on Thursday
        {date(2026, 3, 4), date(2026, 3, 5), date(2026, 3, 6)},
        {date(2026, 3, 7)},  # a Saturday on which nothing counts anyway
    ],
)
def test_no_night_is_lost_or_charged_twice_over_holidays(holidays: set[date]) -> None:
    days = [date(2026, 3, 2) + timedelta(days=n) for n in range(14)]
    with_holidays = [
        nights_on(day, multipliers=WEDNESDAY_TRIPLE, holidays=holidays, considers_holidays=True) for day in days
    ]
    assert sum(with_holidays) == sum(nights_on(day, multipliers=WEDNESDAY_TRIPLE) for day in days)
    assert all(nights == 0 for day, nights in zip(days, with_holidays, strict=True) if day in holidays)


def test_a_thursday_triple_is_a_table_entry() -> None:
    thursday = tuple(D(n) for n in (0, 1, 1, 1, 3, 1, 0))
    assert nights_on(date(2026, 3, 5), multipliers=thursday) == 3
    crypto = tuple(D(1) for _ in range(7))
    assert nights_on(date(2026, 3, 7), multipliers=crypto) == 1


def test_monday_takes_in_the_weekend() -> None:
    assert days_of(date(2026, 3, 9)) == [date(2026, 3, 7), date(2026, 3, 8), date(2026, 3, 9)]
    assert days_of(date(2026, 3, 10)) == [date(2026, 3, 10)]


@pytest.mark.parametrize("year_day", [date(2026, 3, 6), date(2026, 3, 9), date(2026, 10, 30), date(2026, 11, 2)])
def test_server_midnight_is_seventeen_new_york_over_both_switches(year_day: date) -> None:
    zone = ServerZone.parse("EET_US")
    assert cut_of(year_day, zone=zone) == cut_of(year_day, zone=zone, at_new_york_close=True)
    european = ServerZone.parse("EET_EU")
    apart = cut_of(year_day, zone=european) - cut_of(year_day, zone=european, at_new_york_close=True)
    assert apart == timedelta(hours=1 if year_day in (date(2026, 3, 9), date(2026, 10, 30)) else 0)
