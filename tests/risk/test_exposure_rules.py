"""Worked figures of net exposure, and the sign and rounding that they follow."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest

from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.profit import TradeSide
from platform_ops.gateways.types import CalculationMode
from risk.rules import floating_of_side, net_exposure, read_prices
from risk.types import PositionGroup, Reason, ReportRate, SymbolPrice, SymbolTerms

D = Decimal
EURUSD = SymbolTerms("EUR", "USD", D(100_000), CalculationMode.FOREX)
USDJPY = SymbolTerms("USD", "JPY", D(100_000), CalculationMode.FOREX)
XAUUSD = SymbolTerms("XAU", "USD", D(100), CalculationMode.CFD_LEVERAGE)
DAY = date(2026, 11, 17)


def group(symbol: str, side: TradeSide, lots: str, price: str, *, positions: int = 1, book: str = "B") -> PositionGroup:
    return PositionGroup(symbol, side, book, D(lots), D(lots) * D(price), positions)


def at_rate(value: str) -> ReportRate:
    return ReportRate(D(value), DAY, "ECB")


USD_ONLY = {"USD": at_rate("1")}


def test_one_lot_long_is_its_units_long_and_its_value_short():
    """1 lot EURUSD long at a mid of 1.10: +100,000 EUR and −110,000 USD, from the clients' side."""
    # when
    found = net_exposure(
        [group("EURUSD", TradeSide.BUY, "1", "1.0900")],
        terms={"EURUSD": EURUSD},
        prices={"EURUSD": SymbolPrice(D("1.0999"), D("1.1001"))},
        rates={"USD": at_rate("1"), "EUR": at_rate("1.12")},
        report_currency="USD",
    )
    # then
    (row,) = found.symbols
    assert (row.long_lots, row.short_lots, row.net_lots) == (D(1), D(0), D(1))
    assert row.net_units == D(100_000)
    assert row.notional == D("110000.00")
    # Longs close at the bid: (1.0999 − 1.0900) × 100,000.
    assert row.floating == D("990.00")
    legs = {leg.currency: (leg.net_units, leg.rate, leg.notional) for leg in found.currencies}
    assert legs == {
        "EUR": (D(100_000), D("1.12"), D("112000.00")),
        "USD": (D("-110000"), D(1), D("-110000.00")),
    }


def test_shorts_close_at_the_ask_and_net_against_longs():
    # when
    found = net_exposure(
        [group("EURUSD", TradeSide.BUY, "3", "1.1000", positions=2), group("EURUSD", TradeSide.SELL, "5", "1.1050")],
        terms={"EURUSD": EURUSD},
        prices={"EURUSD": SymbolPrice(D("1.1010"), D("1.1012"))},
        rates=USD_ONLY,
        report_currency="USD",
    )
    # then
    (row,) = found.symbols
    assert row.net_lots == D(-2)
    assert row.net_units == D(-200_000)
    assert row.notional == D("-220220.00")  # −200,000 × 1.1011
    assert row.floating == D("2200.00")  # 3 × 100 + 5 × 380, in USD
    assert (row.average_price_long, row.average_price_short) == (D("1.1000"), D("1.1050"))
    assert row.positions == 3


def test_average_price_is_weighted_by_lots():
    # given
    groups = [
        PositionGroup("EURUSD", TradeSide.BUY, "B", D("4"), D("1") * D("1.10") + D("3") * D("1.20"), 2),
    ]
    # when
    found = net_exposure(groups, terms={"EURUSD": EURUSD}, prices={}, rates=USD_ONLY, report_currency="USD")
    # then
    assert found.symbols[0].average_price_long == D("1.1750")
    assert found.symbols[0].average_price_short is None


def test_profit_in_another_currency_is_converted_at_the_reference_rate():
    """2 lots USDJPY short at 150, now 149.00/149.02: 2 × 100,000 × 0.98 = 196,000 JPY."""
    # when
    found = net_exposure(
        [group("USDJPY", TradeSide.SELL, "2", "150.00")],
        terms={"USDJPY": USDJPY},
        prices={"USDJPY": SymbolPrice(D("149.00"), D("149.02"))},
        rates={"JPY": at_rate("0.0067"), "USD": at_rate("1")},
        report_currency="USD",
    )
    # then
    (row,) = found.symbols
    assert row.floating == D("1313.20")
    assert row.notional == D("-199673.40")  # −200,000 × 149.01 × 0.0067
    assert {leg.currency: leg.net_units for leg in found.currencies} == {"JPY": D(29_802_000), "USD": D(-200_000)}


def test_ounces_are_worth_the_price_of_their_symbol():
    # when
    found = net_exposure(
        [group("XAUUSD", TradeSide.BUY, "0.5", "2400")],
        terms={"XAUUSD": XAUUSD},
        prices={"XAUUSD": SymbolPrice(D("2410.10"), D("2410.30"))},
        rates=USD_ONLY,
        report_currency="USD",
    )
    # then
    legs = {leg.currency: (leg.net_units, leg.rate, leg.notional) for leg in found.currencies}
    assert legs == {
        "USD": (D("-120510"), D(1), D("-120510.00")),
        "XAU": (D(50), D("2410.2"), D("120510.00")),
    }


def test_forex_rounds_each_leg_and_cfd_only_the_difference():
    """0.01 lots of 100,000: 1.234565 and 1.234575 are 1234.565 and 1234.575 money; both legs round up, the rise is 0.01."""
    # given
    figures = {
        "side": TradeSide.BUY,
        "lots": D("0.01"),
        "lots_times_price": D("0.01") * D("1.234564"),
        "price": SymbolPrice(D("1.234566"), D("1.234566")),
    }
    # then
    assert floating_of_side(terms=EURUSD, **figures) == D("0.01")
    assert floating_of_side(terms=replace(EURUSD, calculation_mode=CalculationMode.CFD_LEVERAGE), **figures) == D(
        "0.00"
    )


def test_what_cannot_be_said_is_named_and_never_zero():
    # given
    terms = {
        "EURUSD": EURUSD,
        "GBPUSD": SymbolTerms("GBP", "USD", None, CalculationMode.FOREX),
        "USDJPY": USDJPY,
        "USDSEK": SymbolTerms("USD", "SEK", D(100_000), CalculationMode.FOREX),
    }
    # when
    found = net_exposure(
        [group(symbol, TradeSide.BUY, "1", "1") for symbol in terms],
        terms=terms,
        prices={"EURUSD": SymbolPrice(D("1.1"), D("1.1")), "USDSEK": SymbolPrice(D(10), D(10))},
        rates={"USD": at_rate("1"), "EUR": at_rate("1.1")},
        report_currency="USD",
    )
    # then
    reasons = {row.symbol: row.reason for row in found.symbols}
    assert reasons == {
        "EURUSD": None,
        "GBPUSD": Reason.NO_SPECIFICATION,
        "USDJPY": Reason.NO_PRICE,
        "USDSEK": Reason.NO_RATE,
    }
    for row in found.symbols:
        if row.reason is not None:
            assert (row.notional, row.floating) == (None, None)
            assert row.long_lots == D(1)
    assert {leg.currency: leg.notional for leg in found.currencies} == {
        "EUR": D("110000.00"),
        "SEK": None,  # known in units, not in money
        "USD": D("-10000.00"),
    }


def test_report_currency_without_decimals_is_rounded_to_whole_units():
    # when
    found = net_exposure(
        [group("EURUSD", TradeSide.BUY, "0.01", "1.10001")],
        terms={"EURUSD": EURUSD},
        prices={"EURUSD": SymbolPrice(D("1.10002"), D("1.10002"))},
        rates={"USD": at_rate("149.50")},
        report_currency="JPY",
    )
    # then
    assert found.symbols[0].notional == D("164453")  # 1,000 × 1.10002 × 149.50 = 164,452.99


def test_given_prices_are_read_exactly():
    # when
    prices = read_prices({"EURUSD": "1.10", "XAUUSD": {"bid": D("2400.1"), "ask": "2400.4"}})
    # then
    assert prices["EURUSD"] == SymbolPrice(D("1.10"), D("1.10"))
    assert prices["XAUUSD"].mid == D("2400.25")
    assert read_prices({"as_of": "2026-11-18T12:00:00+00:00", "prices": {"EURUSD": 1}})["EURUSD"].at is not None


@pytest.mark.parametrize(
    "document",
    [
        [],
        {"EURUSD": 1.1},
        {"EURUSD": "0"},
        {"EURUSD": "NaN"},
        {"EURUSD": {"bid": "1.2", "ask": "1.1"}},
        {"EURUSD": {"bid": "1.2"}},
        {"as_of": "2026-11-18T12:00:00", "prices": {"EURUSD": "1"}},
    ],
)
def test_a_price_that_cannot_be_meant_is_refused(document):
    with pytest.raises(InvalidInput):
        read_prices(document)
