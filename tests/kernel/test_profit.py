"""Profit and pip values: published worked figures."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.fx import CurrencyPair, FxRate, Side
from backoffice.kernel.lots import Lots
from backoffice.kernel.money import Money
from backoffice.kernel.prices import pip_size
from backoffice.kernel.profit import ProfitMode, TradeSide, pip_value, profit_in_profit_currency


def profit(
    side: str, opened: str, closed: str, lots: str, size: int, digits: int, mode: ProfitMode = ProfitMode.FOREX
) -> Decimal:
    return profit_in_profit_currency(
        side=TradeSide(side),
        open_price=Decimal(opened),
        close_price=Decimal(closed),
        lots=Lots.of(lots),
        contract_size=size,
        digits=digits,
        mode=mode,
    )


def quote(pair: str, rate: str) -> FxRate:
    return FxRate(CurrencyPair.parse(pair), Decimal(rate), Side.MID, "test", date(2026, 10, 30))


@pytest.mark.parametrize(
    ("side", "opened", "closed", "lots", "size", "digits", "expected"),
    [
        ("buy", "1.2000", "1.2050", "1", 100_000, 2, "500.00"),
        ("sell", "1.2000", "1.2050", "1", 100_000, 2, "-500.00"),
        ("buy", "1.2500", "1.2570", "4", 100_000, 2, "2800.00"),  # PL-01
        ("buy", "110.00", "110.05", "1", 100_000, 0, "5000"),  # PL-02, before conversion
        ("sell", "0.6760", "0.6750", "1", 100_000, 2, "100.00"),  # PL-03, before conversion
        ("sell", "1.2010", "1.2000", "1", 100_000, 2, "100.00"),  # PL-X1
        ("buy", "4581.23", "4581.39", "1", 100, 2, "16.00"),  # SP-05, the full spread
        ("buy", "1.10000", "1.10000", "0.01", 100_000, 2, "0.00"),
    ],
)
def test_forex_profit(side: str, opened: str, closed: str, lots: str, size: int, digits: int, expected: str) -> None:
    assert str(profit(side, opened, closed, lots, size, digits)) == expected


def test_forex_rounds_each_leg_and_cfd_the_difference() -> None:
    # 0.015 lots of EURUSD: 1650.0015 and 1650.0300 are booked as 1650.00 and 1650.03; the difference alone is 0.0285.
    assert profit("buy", "1.100001", "1.100020", "0.015", 100_000, 2) == Decimal("0.03")
    # 1.005 and 1.014 per unit are 1.01 and 1.01; their difference is 0.009.
    assert profit("buy", "1.005", "1.014", "1", 1, 2) == Decimal("0.00")
    assert profit("buy", "1.005", "1.014", "1", 1, 2, ProfitMode.CFD) == Decimal("0.01")
    assert profit("sell", "1.005", "1.014", "1", 1, 2, ProfitMode.CFD) == Decimal("-0.01")
    # Yen have no decimals: 1 230.5 and 1 231.4 are 1 231 and 1 231.
    assert profit("buy", "123.05", "123.14", "1", 10, 0) == Decimal("0")
    assert profit("buy", "123.05", "123.14", "1", 10, 0, ProfitMode.CFD) == Decimal("1")


def test_zero_profit_has_no_sign() -> None:
    assert str(profit("sell", "1.1", "1.1", "1", 100_000, 2)) == "0.00"
    assert str(profit("sell", "1.005", "1.014", "1", 1, 2)) == "0.00"


def test_oil_below_zero() -> None:
    assert profit("buy", "10.00", "-37.63", "1", 1000, 2, ProfitMode.CFD) == Decimal("-47630.00")
    assert profit("sell", "10.00", "-37.63", "1", 1000, 2) == Decimal("47630.00")


def test_profit_by_its_own_closing_price() -> None:
    # PL-02: 5 000 JPY at the closing price of USDJPY.
    raw = Money.of(profit("buy", "110.00", "110.05", "1", 100_000, 0), "JPY")
    assert quote("USDJPY", "110.05").inverse().convert(raw).quantized() == Money.of("45.43", "USD")


def test_profit_through_a_cross() -> None:
    # PL-03: 100 GBP; GBPUSD is known only as EURUSD over EURGBP.
    raw = Money.of(profit("sell", "0.6760", "0.6750", "1", 100_000, 2), "GBP")
    cross = quote("EURGBP", "0.6750").cross(quote("EURUSD", "1.1840"))
    assert str(cross.pair) == "GBP/USD"
    assert cross.convert(raw).quantized() == Money.of("175.41", "USD")


@pytest.mark.parametrize(
    ("pip", "size", "expected"),
    [
        ("0.0001", 100_000, "10"),  # PV-02 EURUSD in dollars, USDCHF in francs
        ("0.01", 100_000, "1000"),  # PV-02 EURJPY in yen
        ("0.1", 100, "10"),  # PV-03 gold
        ("0.01", 100, "1"),  # gold by the cent
        ("0.01", 1000, "10"),  # crude oil
        ("1", 10, "10"),  # an index by the point
    ],
)
def test_pip_value_per_lot(pip: str, size: int, expected: str) -> None:
    assert pip_value(pip=Decimal(pip), lots=Lots.of(1), contract_size=size) == Decimal(expected)


def test_pip_value_in_the_account_currency() -> None:
    yen = Money(pip_value(pip=pip_size(3), lots=Lots.of(1), contract_size=100_000), quote("USDJPY", "1").pair.quote)
    assert quote("USDJPY", "157.577").inverse().convert(yen).quantized() == Money.of("6.35", "USD")


def test_spread_of_a_round_trip_in_money() -> None:
    # SP-04: 3 lots, 4 points at each end, 35 % of it, half at the open and half at the close.
    paid = [
        profit("buy", bid, ask, "3", 100_000, 2) * Decimal("0.35") / 2
        for bid, ask in (("1.17521", "1.17525"), ("1.17612", "1.17616"))
    ]
    assert paid == [Decimal("2.10"), Decimal("2.10")]


def test_profit_refuses_floats_and_contracts_without_size() -> None:
    with pytest.raises(InvalidInput):
        profit_in_profit_currency(
            side=TradeSide.BUY,
            open_price=1.1,  # type: ignore[arg-type]
            close_price=Decimal("1.2"),
            lots=Lots.of(1),
            contract_size=100_000,
            digits=2,
        )
    for size in (0, -1):
        with pytest.raises(InvalidInput):
            profit("buy", "1.1", "1.2", "1", size, 2)
    for pip in ("0", "-0.0001"):
        with pytest.raises(InvalidInput):
            pip_value(pip=Decimal(pip), lots=Lots.of(1), contract_size=100_000)
