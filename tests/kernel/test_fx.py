"""Conversion: exact figures of the euro reference rates, sides, crosses, halves."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import CurrencyMismatch, InvalidInput, MissingRate
from backoffice.kernel.fx import CurrencyPair, FxRate, PerEuroRateProvider, Side
from backoffice.kernel.money import Money
from tests.kernel.ecb import reference_rates, reference_table

EUR, USD, GBP, JPY = (Currency.of(code) for code in ("EUR", "USD", "GBP", "JPY"))
DAY = date(2026, 10, 30)


def rate_of(pair: str, rate: str, side: Side = Side.MID, at: date = DAY, source: str = "test") -> FxRate:
    return FxRate(CurrencyPair.parse(pair), Decimal(rate), side, source, at)


@pytest.mark.parametrize(
    ("day", "code", "expected"),
    [
        (date(1999, 1, 4), "USD", "1.1789"),
        (date(1999, 1, 4), "JPY", "133.73"),
        (date(1999, 1, 4), "GBP", "0.7111"),
        (date(2015, 1, 15), "CHF", "1.028"),
        (date(2019, 2, 4), "USD", "1.1445"),
        (date(2022, 3, 1), "RUB", "117.201"),
        (date(2026, 10, 30), "USD", "1.1172"),
        (date(2026, 10, 30), "JPY", "175.68"),
        (date(2026, 10, 30), "GBP", "0.8338"),
        (date(2026, 10, 30), "CHF", "0.9194"),
        (date(2026, 10, 30), "TRY", "55.8015"),
    ],
)
def test_published_euro_rates_come_back_as_published(day: date, code: str, expected: str) -> None:
    found = reference_rates().rate(base=EUR, quote=Currency.of(code), on=day)
    assert found.rate == Decimal(expected)
    assert (found.at, found.source, found.side) == (day, "ECB", Side.MID)


def test_the_history_is_whole_and_every_currency_in_it_is_known() -> None:
    table = reference_table()
    assert len(table) == 7126
    assert (min(table), max(table)) == (date(1999, 1, 4), DAY)
    codes = {code for quotes in table.values() for code in quotes}
    assert len(codes) == 41
    assert all(Currency.is_known(code) for code in codes)


def test_cross_rate_goes_through_the_euro() -> None:
    found = reference_rates().rate(base=GBP, quote=USD, on=DAY)
    assert found.pair == CurrencyPair(GBP, USD)
    assert found.rate == Decimal("1.339889661789397937155193091868554")
    assert found.convert(Money.of("1000000", "GBP")).quantized() == Money.of("1339889.66", "USD")


def test_weekend_takes_friday_and_says_so() -> None:
    found = reference_rates().rate(base=EUR, quote=USD, on=date(2026, 11, 1))
    assert (found.rate, found.at) == (Decimal("1.1172"), DAY)


def test_suspended_currency_keeps_its_last_quote_then_has_none() -> None:
    rub = Currency.of("RUB")
    provider = reference_rates()
    for day in (date(2022, 3, 2), date(2022, 3, 11)):
        found = provider.rate(base=USD, quote=rub, on=day)
        assert found.at == date(2022, 3, 1)
        # Both legs are of the last common day, although the dollar has newer quotes.
        assert found.convert(Money.of("1.1162", "USD")).quantized() == Money.of("117.20", "RUB")
    with pytest.raises(MissingRate) as refusal:
        provider.rate(base=USD, quote=rub, on=date(2022, 3, 12))
    assert refusal.value.code == "missing_rate"
    assert refusal.value.http_status == 422
    assert refusal.value.details == {"pair": "USD/RUB", "on": "2022-03-12", "max_age_days": 10}


def test_age_bound_is_inclusive_and_the_future_is_never_used() -> None:
    table = {date(2026, 1, 5): {"USD": Decimal("1.1")}}
    provider = PerEuroRateProvider(table, "test", max_age_days=2)
    assert provider.rate(base=EUR, quote=USD, on=date(2026, 1, 7)).at == date(2026, 1, 5)
    for day in (date(2026, 1, 8), date(2026, 1, 4)):
        with pytest.raises(MissingRate):
            provider.rate(base=EUR, quote=USD, on=day)


def test_currency_against_itself_is_one_without_any_table() -> None:
    provider = PerEuroRateProvider({}, "test")
    found = provider.rate(base=JPY, quote=JPY, on=DAY, side=Side.ASK)
    assert (found.rate, found.side, found.at) == (Decimal(1), Side.ASK, DAY)


def test_middle_rates_do_not_pose_as_bid_or_ask() -> None:
    with pytest.raises(MissingRate):
        reference_rates().rate(base=EUR, quote=USD, on=DAY, side=Side.BID)


@pytest.mark.parametrize("text", ["EURUSD", "EUR/USD", "eurusd"])
def test_pairs_are_read_with_and_without_slash(text: str) -> None:
    pair = CurrencyPair.parse(text)
    assert (pair.base, pair.quote, str(pair)) == (EUR, USD, "EUR/USD")
    assert CurrencyPair.parse("BTC/USDT").quote == Currency.of("USDT")


@pytest.mark.parametrize("text", ["", "EURUS", "EURUSD.m", "EUR/", "EUR/XYZ", "EUR/USD/GBP"])
def test_what_is_no_pair_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        CurrencyPair.parse(text)


def test_inverse_turns_bid_into_ask() -> None:
    inverse = rate_of("EURUSD", "1.25", Side.BID).inverse()
    assert (str(inverse.pair), inverse.rate, inverse.side) == ("USD/EUR", Decimal("0.8"), Side.ASK)


@pytest.mark.parametrize(
    ("first", "second", "pair", "rate"),
    [
        ("EURUSD", "USDJPY", "EUR/JPY", "125"),
        ("EURUSD", "GBPUSD", "EUR/GBP", "0.0125"),
        ("EURUSD", "EURJPY", "USD/JPY", "80"),
        ("USDEUR", "JPYUSD", "EUR/JPY", "0.008"),
    ],
)
def test_cross_keeps_the_currencies_that_are_not_shared(first: str, second: str, pair: str, rate: str) -> None:
    crossed = rate_of(first, "1.25").cross(rate_of(second, "100"))
    assert (str(crossed.pair), crossed.rate) == (pair, Decimal(rate))


def test_cross_is_as_old_as_its_older_leg_and_names_both_sources() -> None:
    instant = datetime(2026, 10, 30, 12, tzinfo=UTC)
    crossed = rate_of("EURUSD", "1.1", at=instant, source="feed").cross(
        rate_of("USDJPY", "150", at=DAY - timedelta(days=1), source="ECB")
    )
    assert (crossed.at, crossed.source) == (date(2026, 10, 29), "feed × ECB")
    later = rate_of("USDJPY", "150", at=instant + timedelta(seconds=1))
    assert later.cross(rate_of("EURUSD", "1.1", at=instant)).at == instant


def test_cross_never_mixes_a_bid_with_an_ask() -> None:
    bid = rate_of("EURUSD", "1.1", Side.BID)
    assert bid.cross(rate_of("USDJPY", "150", Side.BID)).side is Side.BID
    # Seen from the dollar, an ask of GBP/USD is a bid of USD/GBP.
    assert bid.cross(rate_of("GBPUSD", "1.3", Side.ASK)).side is Side.BID
    with pytest.raises(InvalidInput):
        bid.cross(rate_of("GBPUSD", "1.3", Side.BID))
    with pytest.raises(InvalidInput):
        bid.cross(rate_of("USDJPY", "150", Side.MID))


@pytest.mark.parametrize("second", ["GBPJPY", "EURUSD", "USDEUR"])
def test_cross_needs_exactly_one_shared_currency(second: str) -> None:
    with pytest.raises(CurrencyMismatch):
        rate_of("EURUSD", "1.1").cross(rate_of(second, "100"))


def test_convert_takes_only_the_base_currency() -> None:
    rate = rate_of("EURUSD", "1.1")
    assert rate.convert(Money.of("10.01", "EUR")) == Money.of("11.011", "USD")
    for code in ("USD", "GBP"):
        with pytest.raises(CurrencyMismatch):
            rate.convert(Money.of("10", code))


@pytest.mark.parametrize(("yen", "dollars"), [("3", "0.03"), ("-3", "-0.03"), ("9", "0.08"), ("15", "0.13")])
def test_an_exact_half_stays_a_half_through_an_inverse_rate(yen: str, dollars: str) -> None:
    # 3 JPY at 120 are 0.025 USD, although 1/120 has no end.
    inverse = rate_of("USDJPY", "120").inverse()
    assert inverse.convert(Money.of(yen, "JPY")).quantized() == Money.of(dollars, "USD")


@pytest.mark.parametrize(
    ("amount", "pair", "rate", "expected"),
    [
        ("-11.00 GBP", "GBPUSD", "1.27886", "-14.07 USD"),  # a server's own booking
        ("2850 EUR", "EURUSD", "1.07213", "3055.57 USD"),  # MG-07
        ("20000 USD", "GBPUSD", "1.25", "16000.00 GBP"),  # TR-02
        ("400 JPY", "USDJPY", "118.878", "3.36 USD"),  # SP-X1, the true figure
        ("1000 JPY", "USDJPY", "157.577", "6.35 USD"),
        ("1279 USD", "EURUSD", "1.2790", "1000.00 EUR"),
    ],
)
def test_published_conversions(amount: str, pair: str, rate: str, expected: str) -> None:
    number, code = amount.split()
    money = Money.of(number, code)
    quoted = rate_of(pair, rate)
    used = quoted if quoted.pair.base == money.currency else quoted.inverse()
    assert str(used.convert(money).quantized()) == expected


def test_double_conversion_differs_by_where_it_rounds() -> None:
    # FX-01: a fee of 24 EUR, paid through dollars, rounded at each step or only at the end.
    fee = Money.of(24, "EUR")
    way_in, way_out = rate_of("EURUSD", "1.27151"), rate_of("EURUSD", "1.3333").inverse()
    share = Decimal("0.15")
    in_dollars = way_in.convert(fee).quantized()
    assert in_dollars == Money.of("30.52", "USD")
    paid = (in_dollars * share).quantized()
    assert paid == Money.of("4.58", "USD")
    assert way_out.convert(paid).quantized() == Money.of("3.44", "EUR")
    unrounded = way_out.convert(way_in.convert(fee) * share)
    assert unrounded.quantized(6) == Money.of("3.433163", "EUR")
    assert unrounded.quantized() == Money.of("3.43", "EUR")


@pytest.mark.parametrize("rate", ["0", "-1", "NaN", "Infinity"])
def test_a_rate_is_a_finite_number_above_zero(rate: str) -> None:
    with pytest.raises(InvalidInput):
        rate_of("EURUSD", rate)


def test_rates_refuse_floats_naive_times_and_false_ones() -> None:
    pair = CurrencyPair.parse("EURUSD")
    with pytest.raises(InvalidInput):
        FxRate(pair, 1.1, Side.MID, "test", DAY)  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        FxRate(pair, Decimal("1.1"), Side.MID, "test", datetime(2026, 10, 30, 12))
    with pytest.raises(InvalidInput):
        rate_of("USDUSD", "1.01")
