"""Exposure by sums equals a naive walk over every single position."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from backoffice.kernel.profit import TradeSide
from platform_ops.gateways.types import CalculationMode
from platform_ops.gateways.types import SymbolTerms as TradingTerms
from platform_ops.rules.trading import ClosedVolume, profit_in_symbol_currency, result_of_sum
from platform_ops.types import Side
from risk.rules import net_exposure
from risk.types import PositionGroup, ReportRate, SymbolPrice, SymbolTerms

D = Decimal
CENT = D("0.01")
TERMS = {
    "EURUSD": SymbolTerms("EUR", "USD", D(100_000), CalculationMode.FOREX),
    "USDJPY": SymbolTerms("USD", "JPY", D(100_000), CalculationMode.FOREX),
    "EURGBP": SymbolTerms("EUR", "GBP", D(100_000), CalculationMode.FOREX),
    "XAUUSD": SymbolTerms("XAU", "USD", D(100), CalculationMode.CFD_LEVERAGE),
    "XAUEUR": SymbolTerms("XAU", "EUR", D(100), CalculationMode.CFD_LEVERAGE),
}
PER_UNIT_IN_EUR = {"EUR": D(1), "USD": D("0.9"), "JPY": D("0.006"), "GBP": D("1.15")}
RATES = {code: ReportRate(value, date(2026, 11, 17), "ECB") for code, value in PER_UNIT_IN_EUR.items()}

lots = st.decimals("0.01", "50", places=2)
price = st.decimals("0.5", "3000", places=5)
position = st.tuples(st.sampled_from(sorted(TERMS)), st.sampled_from(list(TradeSide)), lots, price)


@given(
    positions=st.lists(position, min_size=1, max_size=40),
    mids=st.tuples(*[price] * len(TERMS)),
    spread=st.decimals("0", "0.5", places=5),
)
def test_sums_equal_a_walk_over_every_position(positions, mids, spread):
    # given
    prices = {code: SymbolPrice(mid, mid + spread) for code, mid in zip(sorted(TERMS), mids, strict=True)}
    sums: dict[tuple, list] = defaultdict(lambda: [D(0), D(0), 0])
    for code, side, volume, opened in positions:
        entry = sums[code, side]
        entry[0] += volume
        entry[1] += volume * opened
        entry[2] += 1
    groups = [PositionGroup(code, side, "B", *entry) for (code, side), entry in sums.items()]

    # when
    found = net_exposure(groups, terms=TERMS, prices=prices, rates=RATES, report_currency="EUR")

    # then: the naive walk, one position after the other
    units: dict[str, Decimal] = defaultdict(D)
    notional: dict[str, Decimal] = defaultdict(D)
    floating: dict[str, Decimal] = defaultdict(D)
    worth: dict[str, Decimal] = defaultdict(D)
    for code, side, volume, opened in positions:
        term, quoted = TERMS[code], prices[code]
        size = volume * term.contract_size * side.sign
        closing = quoted.bid if side is TradeSide.BUY else quoted.ask
        to_eur = PER_UNIT_IN_EUR[term.profit_currency]
        units[code] += size
        notional[code] += size * quoted.mid * to_eur
        floating[code] += (closing - opened) * size * to_eur
        worth[term.profit_currency] -= size * quoted.mid * to_eur
        worth[term.base_asset] += size * PER_UNIT_IN_EUR.get(term.base_asset, quoted.mid * to_eur)
    for row in found.symbols:
        assert row.net_units == units[row.symbol]
        assert abs(row.notional - notional[row.symbol]) <= CENT / 2
        # Two sides, each rounded once per leg in the profit currency, and once after conversion.
        tolerance = 2 * _smallest(TERMS[row.symbol]) * PER_UNIT_IN_EUR[TERMS[row.symbol].profit_currency] + CENT / 2
        assert abs(row.floating - floating[row.symbol]) <= tolerance
    for leg in found.currencies:
        assert abs(leg.notional - worth[leg.currency]) <= CENT / 2


@given(positions=st.lists(position, min_size=1, max_size=20))
def test_the_other_side_is_the_exact_opposite(positions):
    """Turning every position round turns every net figure round: the broker's side is the clients' with another sign."""
    # given
    prices = {code: SymbolPrice(D("1.5"), D("1.5")) for code in TERMS}

    def exposure(turned: bool):
        groups = []
        for code, side, volume, opened in positions:
            if turned:
                side = TradeSide.SELL if side is TradeSide.BUY else TradeSide.BUY
            groups.append(PositionGroup(code, side, "B", volume, volume * opened, 1))
        return net_exposure(groups, terms=TERMS, prices=prices, rates=RATES, report_currency="EUR")

    # when
    clients, broker = exposure(False), exposure(True)
    # then
    for ours, theirs in zip(broker.symbols, clients.symbols, strict=True):
        assert (ours.net_units, ours.notional, ours.floating) == (-theirs.net_units, -theirs.notional, -theirs.floating)
    for ours, theirs in zip(broker.currencies, clients.currencies, strict=True):
        assert (ours.net_units, ours.notional) == (-theirs.net_units, -theirs.notional)


def _smallest(term: SymbolTerms) -> Decimal:
    return D(1) if term.profit_currency == "JPY" else CENT


@given(
    mode=st.sampled_from(list(CalculationMode)), side=st.sampled_from(list(Side)), volume=lots, opened=price, closes=price,
    tick=st.sampled_from(["0.25", "3", "0.01"]),
)  # fmt: skip
def test_a_sum_of_one_position_is_the_result_of_its_closing(mode, side, volume, opened, closes, tick):
    terms = TradingTerms(
        digits=5, contract_size=D(100), base_currency="X", profit_currency="USD", margin_currency="USD",
        calculation_mode=mode, tick_size=D(tick), tick_value=D("12.5"), face_value=D(1000), accrued_interest=D("0.7"),
    )  # fmt: skip
    closed = ClosedVolume(side=side, open_price=opened, close_price=closes, lots=volume)
    expected = profit_in_symbol_currency(terms=terms, closed=closed)[0]
    summed = result_of_sum(terms=terms, side=side, lots=volume, lots_times_price=volume * opened, close_price=closes)
    assert summed == expected
