"""Amounts: exact reading, rounding away from zero, refusal of floats and of mixed currencies."""

from __future__ import annotations

import decimal
import pickle
from decimal import ROUND_DOWN, Decimal

import pytest

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import CurrencyMismatch, InvalidInput
from backoffice.kernel.money import Money, round_money


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        ("2.345", 2, "2.35"),
        ("-2.345", 2, "-2.35"),
        ("2.344999999999", 2, "2.34"),
        ("-2.344999999999", 2, "-2.34"),
        ("0.005", 2, "0.01"),
        ("-0.005", 2, "-0.01"),
        ("2.5", 0, "3"),
        ("-2.5", 0, "-3"),
        ("1.2345", 3, "1.235"),
        ("0.123456785", 8, "0.12345679"),
        ("-0.004", 2, "0.00"),
        ("12345678901234567890.125", 2, "12345678901234567890.13"),
    ],
)
def test_half_is_rounded_away_from_zero(value: str, digits: int, expected: str) -> None:
    assert str(round_money(Decimal(value), digits)) == expected


def test_rounding_mode_is_the_callers_when_it_says_so() -> None:
    assert round_money(Decimal("-2.349"), 2, ROUND_DOWN) == Decimal("-2.34")
    assert Money.of("9.999", "USD").quantized(mode=ROUND_DOWN) == Money.of("9.99", "USD")


@pytest.mark.parametrize(
    ("code", "amount", "expected"),
    [
        ("USD", "-14.0675", "-14.07 USD"),
        ("JPY", "4999.5", "5000 JPY"),
        ("JPY", "-4999.5", "-5000 JPY"),
        ("BHD", "1.2345", "1.235 BHD"),
        ("KWD", "-1.2345", "-1.235 KWD"),
        ("BTC", "0.000000005", "0.00000001 BTC"),
    ],
)
def test_money_is_quantised_to_its_currencys_digits(code: str, amount: str, expected: str) -> None:
    assert str(Money.of(amount, code).quantized()) == expected


@pytest.mark.parametrize(
    ("codes", "digits"),
    [
        ("JPY KRW VND CLP ISK PYG UGX XAF XOF XPF", 0),
        ("USD EUR GBP CHF AUD TRY ZAR RUB PLN AED USDT USDC XAU XAG CNH", 2),
        ("BHD KWD JOD OMR TND IQD LYD", 3),
        ("BTC ETH LTC", 8),
    ],
)
def test_currency_digits(codes: str, digits: int) -> None:
    assert {Currency.of(code).digits for code in codes.split()} == {digits}


def test_currency_register_is_strict() -> None:
    assert Currency.of("usd") is Currency.of("USD")
    assert Currency.of(Currency.of("USD")) == Currency("USD", 2)
    assert [str(currency) for currency in Currency.all()[:3]] == ["AED", "AFN", "ALL"]
    for code in ("", "US", "XYZ", " USD", "USD "):
        with pytest.raises(InvalidInput) as refusal:
            Currency.of(code)
        assert refusal.value.details["field"] == "currency"
    for code, digits in (("USD", 3), ("XYZ", 2)):
        with pytest.raises(InvalidInput):
            Currency(code, digits)


@pytest.mark.parametrize("value", [1.1, 0.0, True, None, float("nan")])
def test_no_float_becomes_money(value: object) -> None:
    with pytest.raises(InvalidInput):
        Money.of(value, "USD")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput):
        Money(value, Currency.of("USD"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["", "1,000.00", "1 000", " 1", "1_000", "NaN", "Infinity", "-inf", "1.2.3", "٣", "1e", "12 USD"]
)
def test_what_is_no_plain_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as refusal:
        Money.of(text, "USD")
    assert refusal.value.details["field"] == "amount"


def test_arithmetic_is_exact() -> None:
    total = Money.of("0.1", "USD") + Money.of("0.2", "USD")
    assert total == Money.of("0.3", "USD")
    assert total - Money.of("0.31", "USD") == Money.of("-0.01", "USD")
    assert -total == Money.of("-0.30", "USD")
    assert abs(-total) == total
    assert total * Decimal("0.333") == Money.of("0.0999", "USD")
    assert 3 * total == Money.of("0.9", "USD")
    assert sum([total, total], Money.zero("USD")) == Money.of("0.6", "USD")


def test_arithmetic_does_not_depend_on_the_threads_decimal_context() -> None:
    with decimal.localcontext(decimal.Context(prec=3)):
        assert Money.of("123456.78", "USD") + Money.of("0.01", "USD") == Money.of("123456.79", "USD")
        assert Money.of("123456.78", "USD") * Decimal("1.01") == Money.of("124691.3478", "USD")
        assert Money.of("123456.785", "USD").quantized() == Money.of("123456.79", "USD")


def test_factors_are_exact_numbers_only() -> None:
    for factor in (1.5, True, "2", Money.of(1, "USD")):
        with pytest.raises(TypeError):
            Money.of(1, "USD") * factor  # type: ignore[operator]


def test_currencies_do_not_mix() -> None:
    dollars, euros = Money.of(1, "USD"), Money.of(1, "EUR")
    assert dollars != euros
    for mixed in (
        lambda: dollars + euros,
        lambda: dollars - euros,
        lambda: dollars < euros,
        lambda: dollars <= euros,
        lambda: dollars > euros,
        lambda: dollars >= euros,
    ):
        with pytest.raises(CurrencyMismatch) as refusal:
            mixed()
        assert refusal.value.details == {"left": "USD", "right": "EUR"}


def test_order_within_one_currency() -> None:
    small, large = Money.of("-1", "USD"), Money.of("1.00", "USD")
    assert small < large and large > small and large <= Money.of(1, "USD") and large >= Money.of(1, "USD")
    assert hash(large) == hash(Money.of(1, "USD"))
    assert bool(large) and not Money.zero("JPY")


def test_zero_has_no_sign() -> None:
    for zero in (Money.of("-0.00", "USD"), -Money.zero("USD"), Money.of("-0.001", "USD").quantized()):
        assert str(zero) == "0.00 USD"
    assert str(Money.zero("BHD")) == "0.000 BHD"


def test_allocation_gives_the_rest_to_the_largest_fractions() -> None:
    def shares(amount: str, code: str, *weights: Decimal | int) -> list[str]:
        return [str(part.amount) for part in Money.of(amount, code).allocate(weights)]

    assert shares("100", "USD", 1, 1, 1) == ["33.34", "33.33", "33.33"]
    assert shares("-100", "USD", 1, 1, 1) == ["-33.34", "-33.33", "-33.33"]
    assert shares("0.05", "USD", 3, 7) == ["0.02", "0.03"]
    assert shares("10", "JPY", 1, 1, 1) == ["4", "3", "3"]
    assert shares("1", "BHD", 1, 2) == ["0.333", "0.667"]
    assert shares("10", "USD", Decimal("0.7"), Decimal("0.3")) == ["7.00", "3.00"]
    assert shares("10", "USD", 0, 5, 0) == ["0.00", "10.00", "0.00"]
    # Finer than a cent: nothing is lost, the parts are as fine as the whole.
    assert shares("10.005", "USD", 1, 1) == ["5.003", "5.002"]


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1], [Decimal("-0.1")]])
def test_allocation_refuses_weights_without_meaning(weights: list[Decimal | int]) -> None:
    with pytest.raises(InvalidInput):
        Money.of(1, "USD").allocate(weights)


def test_money_survives_a_trip_to_another_process() -> None:
    amount = Money.of("12.30", "USD")
    assert pickle.loads(pickle.dumps(amount)) == amount
