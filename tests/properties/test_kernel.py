"""What holds for every amount, rate, range, instant and identifier."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from hypothesis import example, given
from hypothesis import strategies as st

from backoffice.kernel.business_day import (
    ServerZone,
    business_day_of,
    day_bounds,
    is_business_day,
    next_business_day,
    previous_business_day,
)
from backoffice.kernel.currency import Currency
from backoffice.kernel.fx import CurrencyPair, FxRate, Side
from backoffice.kernel.ids import uuid7
from backoffice.kernel.lots import Lots
from backoffice.kernel.money import Money, round_money
from backoffice.kernel.profit import ProfitMode, TradeSide, profit_in_profit_currency
from backoffice.kernel.ranges import TimeRange

CURRENCIES = st.sampled_from([Currency.of(code) for code in ("USD", "JPY", "BHD", "BTC")])
HOUR = timedelta(hours=1)


@st.composite
def booked_money(draw: st.DrawFn) -> Money:
    currency = draw(CURRENCIES)
    units = draw(st.integers(-(10**15), 10**15))
    return Money(Decimal(units).scaleb(-currency.digits), currency)


WEIGHTS = st.lists(
    st.decimals(0, 1_000_000, places=4, allow_nan=False, allow_infinity=False), min_size=1, max_size=20
).filter(any)

INSTANTS = st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))
DATES = st.dates(date(2000, 1, 1), date(2035, 1, 1))


@given(booked_money(), WEIGHTS)
def test_parts_of_an_allocation_sum_to_the_whole_and_lie_within_one_unit(whole: Money, weights: list[Decimal]) -> None:
    parts = whole.allocate(weights)
    assert sum(parts, Money.zero(whole.currency)) == whole
    assert len(parts) == len(weights)
    unit = Decimal(1).scaleb(-whole.currency.digits)
    total = sum(weights)
    for part, weight in zip(parts, weights, strict=True):
        assert part.quantized() == part
        assert abs(part.amount * total - whole.amount * weight) < unit * total
        assert weight or not part
    assert (-whole).allocate(weights) == [-part for part in parts]


@given(st.decimals(-(10**12), 10**12, places=9, allow_nan=False, allow_infinity=False), st.integers(0, 8))
def test_rounding_is_symmetric_and_never_off_by_more_than_half_a_unit(value: Decimal, digits: int) -> None:
    rounded = round_money(value, digits)
    assert rounded == -round_money(-value, digits)
    assert abs(rounded - value) * 2 <= Decimal(1).scaleb(-digits)
    assert round_money(rounded, digits) == rounded


@given(booked_money(), st.integers(1, 10**9))
def test_conversion_there_and_back_gives_the_booked_amount(money: Money, rate_units: int) -> None:
    rate = FxRate(
        CurrencyPair(money.currency, Currency.of("EUR")),
        Decimal(rate_units).scaleb(-4),
        Side.BID,
        "test",
        date(2026, 1, 5),
    )
    assert rate.inverse().convert(rate.convert(money)).quantized() == money
    assert rate.inverse().inverse().side is Side.BID


@given(st.integers(1, 10**7), st.integers(1, 10**7), st.integers(1, 10_000), st.sampled_from(list(ProfitMode)))
def test_a_sell_earns_what_a_buy_loses(opened: int, closed: int, volume: int, mode: ProfitMode) -> None:
    def profit(side: TradeSide) -> Decimal:
        return profit_in_profit_currency(
            side=side,
            open_price=Decimal(opened).scaleb(-5),
            close_price=Decimal(closed).scaleb(-5),
            lots=Lots.from_mt4_volume(volume),
            contract_size=100_000,
            digits=2,
            mode=mode,
        )

    assert profit(TradeSide.BUY) == -profit(TradeSide.SELL)
    assert (profit(TradeSide.BUY) > 0) == (closed > opened)


@st.composite
def day_ranges(draw: st.DrawFn) -> TimeRange[date]:
    start = draw(st.integers(0, 30))
    length = draw(st.none() | st.integers(1, 15))
    first = date(2026, 1, 1) + timedelta(days=start)
    return TimeRange(first, None if length is None else first + timedelta(days=length))


@given(day_ranges(), day_ranges())
def test_subtraction_and_intersection_divide_a_range(whole: TimeRange[date], other: TimeRange[date]) -> None:
    left, common = whole.subtract(other), whole.intersect(other)
    assert common == other.intersect(whole)
    assert (common is not None) == whole.overlaps(other) == other.overlaps(whole)
    pieces = [*left, *([common] if common else [])]
    for step in range(60):
        day = date(2026, 1, 1) + timedelta(days=step)
        assert sum(piece.contains(day) for piece in pieces) == whole.contains(day)
        assert any(piece.contains(day) for piece in left) == (whole.contains(day) and not other.contains(day))


@given(INSTANTS)
@example(datetime(2026, 3, 8, 7, tzinfo=UTC))
@example(datetime(2026, 11, 1, 6, tzinfo=UTC))
@example(datetime(2026, 3, 29, 1, tzinfo=UTC))
@example(datetime(2026, 10, 25, 1, tzinfo=UTC))
def test_server_clocks_go_there_and_back(at: datetime) -> None:
    for code in ("UTC", "FIXED+03:00", "FIXED-09:30"):
        zone = ServerZone.parse(code)
        assert zone.to_utc(zone.to_local(at)) == at
    for code in ("EET_US", "EET_EU"):
        zone = ServerZone.parse(code)
        shown = zone.to_local(at)
        back = zone.to_utc(shown)
        # The second pass of the repeated hour reads as the first; every other instant comes back as it was.
        assert zone.to_local(back) == shown
        assert back == at or (at - back == HOUR and zone.to_local(at - HOUR) == shown)
        assert shown - at.replace(tzinfo=None) in (2 * HOUR, 3 * HOUR)


@given(st.datetimes(datetime(2000, 1, 1), datetime(2035, 1, 1)))
@example(datetime(2026, 3, 8, 9, 30))
@example(datetime(2026, 3, 29, 3, 30))
def test_every_shown_time_means_an_instant_that_shows_it_or_an_hour_later(shown: datetime) -> None:
    for code in ("EET_US", "EET_EU"):
        zone = ServerZone.parse(code)
        assert zone.to_local(zone.to_utc(shown)) - shown in (timedelta(0), HOUR)


@given(INSTANTS)
def test_every_instant_lies_within_the_bounds_of_its_business_day(at: datetime) -> None:
    day = business_day_of(at)
    start, end = day_bounds(day)
    assert is_business_day(day)
    assert start <= at < end


@given(DATES)
def test_business_days_follow_each_other_without_gap(day: date) -> None:
    following = next_business_day(day)
    assert is_business_day(following) and following > day
    assert day_bounds(previous_business_day(following))[1] == day_bounds(following)[0]
    if is_business_day(day):
        assert previous_business_day(following) == day
        assert business_day_of(day_bounds(day)[0]) == day
        assert business_day_of(day_bounds(day)[1]) == following


@given(st.integers(1, 200))
def test_identifiers_rise_in_the_order_they_are_made(count: int) -> None:
    made = [uuid7() for _ in range(count)]
    assert made == sorted(made)
    assert [identifier.bytes for identifier in made] == sorted(identifier.bytes for identifier in made)
    assert {identifier.version for identifier in made} == {7}
    assert len(set(made)) == count
