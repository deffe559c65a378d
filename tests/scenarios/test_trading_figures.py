"""The worked figures of margin, profit, pip and fee that brokers publish, and those that real statements print."""

from __future__ import annotations

import re
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from backoffice.kernel.decimals import EXACT, round_decimal
from backoffice.kernel.errors import InvalidInput, MissingRate
from backoffice.kernel.fx import Side as QuoteSide
from platform_ops.gateways.statements.reader import read_statement
from platform_ops.gateways.types import CalculationMode, SymbolTerms
from platform_ops.rules import margin, trading
from platform_ops.rules.conversion import BidAsk, ConversionQuotes
from platform_ops.rules.margin import Averaging, Band, LeverageTiers, MarginLeg, TierMeasure, TierReach, TierVolume
from platform_ops.rules.trading import ClosedVolume, SpreadShare
from platform_ops.rules.worked import Worked
from platform_ops.types import DealEntry, Side

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
FOREX = CalculationMode.FOREX
NO_LEVERAGE = CalculationMode.FOREX_NO_LEVERAGE
CFD, INDEX, CFD_LEVERAGE = CalculationMode.CFD, CalculationMode.CFD_INDEX, CalculationMode.CFD_LEVERAGE
FUTURES = CalculationMode.FUTURES


def terms(pair: str = "EURUSD", mode: CalculationMode = FOREX, size: str = "100000", **fields: object) -> SymbolTerms:
    """Terms of a symbol whose name says its currencies."""
    base, quote = pair[:3], pair[3:]
    digits = 3 if quote == "JPY" else 5
    given = {"digits": digits, "margin_currency": base if mode in (FOREX, NO_LEVERAGE) else quote} | fields
    return SymbolTerms(contract_size=D(size), base_currency=base, profit_currency=quote, calculation_mode=mode, **given)  # type: ignore[arg-type]


def leg(side: Side, lots: str, price: str = "1", rate: str = "1") -> MarginLeg:
    """An open position."""
    return MarginLeg(side=side, lots=D(lots), price=D(price), rate=D(rate))


def closed(side: Side, opened: str, done: str, lots: str = "1") -> ClosedVolume:
    """A closed position."""
    return ClosedVolume(side=side, open_price=D(opened), close_price=D(done), lots=D(lots))


def market(**pairs: str) -> ConversionQuotes:
    """Quotes such as EURUSD="1.1840" or "1.1/1.2"."""
    return ConversionQuotes({pair: BidAsk(D(q.split("/")[0]), D(q.split("/")[-1])) for pair, q in pairs.items()})


def bound(symbol: SymbolTerms, *legs: MarginLeg, currency: str = "USD", **rules: object) -> Decimal:
    """The margin of legs, after its steps were computed again from what they say."""
    worked = margin.margin_of_symbol(terms=symbol, legs=legs, account_currency=currency, **rules)  # type: ignore[arg-type]
    says_what_it_computes(worked)
    return worked.amount


def earned(
    symbol: SymbolTerms, what: ClosedVolume, currency: str = "USD", quotes: ConversionQuotes | None = None
) -> Decimal:
    """The profit, after its steps were computed again from what they say."""
    worked = trading.profit(terms=symbol, closed=what, account_currency=currency, quotes=quotes or market())
    says_what_it_computes(worked)
    return worked.amount


def says_what_it_computes(worked: Worked) -> None:
    """Every step's numbers, typed into a calculator, give its value; the last is the figure itself."""
    assert worked.steps[-1].value == worked.amount
    for step in worked.steps:
        assert re.fullmatch(r"[0-9.,+\-×÷() R|max]*", step.numbers), step.numbers
        text = re.sub(r"\d+(\.\d+)?", lambda number: f"D('{number[0]}')", step.numbers)
        text = text.replace("×", "*").replace("÷", "/")
        again = eval(text, {"D": D, "R": lambda value, digits: round_decimal(value, int(digits)), "max": max})
        assert abs(again - step.value) < D("1e-9"), step


def tiers(*bands: tuple[str | None, int], **rules: object) -> LeverageTiers:
    """Bands as (upper end, leverage)."""
    return LeverageTiers(
        bands=tuple(Band(D(upper) if upper else None, D(leverage)) for upper, leverage in bands), **rules
    )  # type: ignore[arg-type]


SIX_BANDS = tiers(("5", 2000), ("10", 1000), ("20", 500), ("50", 200), ("100", 100), (None, 50))
MONEY_BANDS = tiers(("1000000", 500), ("2000000", 200), (None, 100), measure=TierMeasure.NOTIONAL)


def test_mg_01_margin_of_forex() -> None:
    assert bound(terms(), leg(BUY, "20", "1.09", "1.09"), leverage=500) == D("4360.00")


@pytest.mark.parametrize(
    ("lots", "expected"),
    [
        ("5", "344.04"),
        ("10", "1032.11"),
        ("20", "3784.41"),
        ("50", "24426.66"),
        ("100", "93234.16"),
        ("110", "120757.16"),
    ],
)
def test_mg_06_six_bands_count_like_income_tax(lots: str, expected: str) -> None:
    assert bound(terms("GBPUSD"), leg(BUY, lots, "1.37615", "1.37615"), tiers=SIX_BANDS) == D(expected)


def test_mg_07_bands_in_an_account_of_the_base_currency() -> None:
    bands = tiers(("3", 2000), ("10", 1000), (None, 500))
    assert bound(terms(), leg(BUY, "20"), currency="EUR", tiers=bands) == D("2850.00")
    assert bound(terms(), leg(BUY, "20", "1.07213", "1.07213"), tiers=bands) == D("3055.57")


def test_mg_08_bands_of_money_over_positions_of_different_prices() -> None:
    first, second, third = (
        leg(BUY, lots, price, price) for lots, price in (("7", "1.2312"), ("5", "1.2350"), ("20", "1.2400"))
    )
    assert bound(terms(), first, tiers=MONEY_BANDS) == D("1723.68")
    assert bound(terms(), first, second, tiers=MONEY_BANDS) == D("4396.70")
    assert bound(terms(), first, second, third, tiers=MONEY_BANDS) == D("26593.40")


def test_bands_for_all_volume_and_for_gross_volume_say_something_else() -> None:
    pair = terms("GBPUSD", margin_hedged=D(100_000))
    retroactive = tiers(("5", 2000), (None, 1000), reach=TierReach.RETROACTIVE)
    assert bound(pair, leg(BUY, "10", "1", "1.37615"), tiers=retroactive) == D("1376.15")
    net, gross = (tiers(("5", 2000), (None, 1000), volume=volume) for volume in TierVolume)
    hedged = leg(BUY, "6", "1", "1.37615"), leg(SELL, "4", "1", "1.37615")
    assert bound(pair, *hedged, tiers=net) == D("412.85")  # 2 and 4 covered lots, all in the first band
    assert bound(pair, *hedged, tiers=gross) == D("1032.11")  # ten lots, five of them in each band


def test_mg_09_a_buy_is_margined_at_the_ask_and_a_sell_at_the_bid() -> None:
    assert bound(terms("GBPUSD"), leg(BUY, "0.5", "1.38730", "1.38730"), leverage=100) == D("693.65")
    assert bound(terms("GBPUSD"), leg(SELL, "0.5", "1.38700", "1.38700"), leverage=100) == D("693.50")


def test_mg_10_margin_in_the_base_currency_needs_no_price() -> None:
    assert [bound(terms("USDCHF"), leg(side, "0.3", "0.9"), leverage=100) for side in Side] == [D(300), D(300)]


def test_margin_of_every_calculation_mode() -> None:
    assert bound(terms(), leg(BUY, "1"), currency="EUR", leverage=100) == D("1000.00")
    assert bound(terms(), leg(BUY, "1", "1.2790", "1.2790"), leverage=100) == D("1279.00")
    rated = terms(margin_rate_buy=D("1.15"))
    assert bound(rated, leg(BUY, "1", "1.2790", "1.2790"), leverage=100) == D("1470.85")
    assert bound(terms(mode=NO_LEVERAGE), leg(BUY, "1"), currency="EUR", leverage=100) == D("100000.00")
    assert bound(terms("AAAUSD", CFD, "100"), leg(BUY, "1", "33"), leverage=100) == D("3300.00")
    assert bound(terms("AAAUSD", CFD_LEVERAGE, "100"), leg(BUY, "1", "33"), leverage=100) == D("33.00")
    assert bound(terms("AAAUSD", CalculationMode.EXCHANGE_STOCKS, "100"), leg(SELL, "2", "33"), leverage=100) == D(
        "6600.00"
    )
    index = terms("AAAUSD", INDEX, "1", tick_size=D("0.5"), tick_value=D("5"))
    assert bound(index, leg(BUY, "2", "4000"), leverage=100) == D("80000.00")
    future = terms("AAAUSD", FUTURES, "1000", margin_initial=D(1500), margin_maintenance=D(1200))
    assert bound(future, leg(BUY, "2", "70"), leverage=100) == D("2400.00")
    assert bound(future, leg(BUY, "2", "70"), leverage=100, is_initial=True) == D("3000.00")
    assert bound(terms("AAAUSD", CalculationMode.COLLATERAL, "1"), leg(BUY, "2", "70")) == D("0.00")
    bond = terms("AAAUSD", CalculationMode.EXCHANGE_BONDS, "1", face_value=D(1000))
    assert bound(bond, leg(BUY, "3", "98.5")) == D("2955.00")


def test_fixed_margin_is_divided_by_leverage_in_leveraged_modes_only() -> None:
    for mode, expected in ((FOREX, "10.00"), (CFD_LEVERAGE, "10.00"), (CFD, "1000.00"), (NO_LEVERAGE, "1000.00")):
        fixed = terms("AAAUSD" if mode in (CFD, CFD_LEVERAGE) else "EURUSD", mode, margin_initial=D(1000))
        assert bound(fixed, leg(BUY, "1", "33"), leverage=100) == D(expected), mode


def test_fixed_margin_of_hedged_positions() -> None:
    fixed = terms("AAAUSD", CFD, "1", margin_initial=D(1000), margin_maintenance=D(500), margin_hedged=D(500))
    bought, sold = leg(BUY, "1", "10"), leg(SELL, "2", "10")
    assert bound(fixed, bought) == D("500.00")
    assert margin.margin_of_order(terms=fixed, leg=sold, account_currency="USD").amount == D("2000.00")
    assert bound(fixed, bought, sold) == D("1000.00")


def test_hedged_volume_at_average_price_and_mean_rate() -> None:
    hedged = terms(mode=CFD_LEVERAGE, margin_hedged=D(100_000))
    legs = [leg(SELL, "1", "1.11943", "4") for _ in range(3)] + [leg(BUY, "1", "1.11953", "2") for _ in range(2)]
    assert bound(hedged, *legs, leverage=500) == D("2238.91")  # 1343.364 covered and 895.544 uncovered


def test_hedged_margin_of_nothing_and_of_the_whole_contract() -> None:
    both = leg(BUY, "1"), leg(SELL, "1")
    for hedged, expected in (("0", "0.00"), ("50000", "500.00"), ("100000", "1000.00")):
        assert bound(terms(margin_hedged=D(hedged)), *both, currency="EUR", leverage=100) == D(expected)


def test_metatrader_4_takes_one_average_price_for_all_legs() -> None:
    pair = terms("GBPUSD", CFD_LEVERAGE, margin_hedged=D(100_000))
    legs = leg(BUY, "0.5", "1.70450"), leg(BUY, "1.4", "1.70610"), leg(SELL, "0.8", "1.70200")
    worked = margin.margin_of_symbol(
        terms=pair, legs=legs, account_currency="USD", leverage=500, averaging=Averaging.ALL_LEGS
    )
    says_what_it_computes(worked)
    assert [step.value for step in worked.steps[:2]] == [D("272.7344"), D("375.0098")]
    assert worked.amount == D("647.74")


def test_the_larger_leg_counts_where_the_symbol_says_so() -> None:
    pair = terms(is_hedged_by_larger_leg=True, margin_hedged=D(50_000))
    assert bound(pair, leg(BUY, "1", "1", "1.1"), leg(SELL, "2", "1", "1.2"), leverage=100) == D("2400.00")


def test_ml_02_equity_at_stop_out() -> None:
    assert [margin.equity_at_level(margin=D(300), percent=D(level)) for level in (20, 50)] == [D(60), D(150)]
    assert margin.is_stopped_out(equity=D(60), margin=D(300), stop_out_percent=D(20))
    assert not margin.is_stopped_out(equity=D("60.01"), margin=D(300), stop_out_percent=D(20))
    assert not margin.is_stopped_out(equity=D(-5), margin=D(0), stop_out_percent=D(20))


def test_stop_out_comment_of_a_real_account() -> None:
    assert round_decimal(margin.margin_level(equity=D("0.94"), margin=D("5.00")), 2) == D("18.80")
    assert margin.margin_level(equity=D(100), margin=D(0)) == 0


def test_pl_01_02_profit() -> None:
    assert earned(terms(), closed(BUY, "1.2500", "1.2570", "4")) == D("2800.00")
    assert earned(terms("USDJPY"), closed(BUY, "110.00", "110.05")) == D("45.43")
    assert earned(terms(), closed(BUY, "1.2000", "1.2050")) == D("500.00")
    assert earned(terms(), closed(SELL, "1.2000", "1.2050")) == D("-500.00")


def test_pl_03_a_cross_converts_by_its_way_over_the_euro() -> None:
    quotes = market(EURUSD="1.1840", EURGBP="0.6750")
    assert earned(terms("EURGBP"), closed(SELL, "0.6760", "0.6750"), quotes=quotes) == D("175.41")


def test_the_side_of_the_conversion_depends_on_what_is_closed_or_on_the_sign() -> None:
    quotes = market(GBPUSD="1.2500/1.2600")
    by_deal, by_market = terms("EURGBP"), terms("EURGBP", converts_by_market=True)
    won, lost = closed(BUY, "0.8500", "0.8510"), closed(BUY, "0.8510", "0.8500")
    sold_well, sold_badly = closed(SELL, "0.8510", "0.8500"), closed(SELL, "0.8500", "0.8510")
    assert [earned(by_deal, deal, quotes=quotes) for deal in (won, lost)] == [D(126), D(-126)]
    assert [earned(by_deal, deal, quotes=quotes) for deal in (sold_well, sold_badly)] == [D(125), D(-125)]
    assert [earned(by_market, deal, quotes=quotes) for deal in (won, lost)] == [D(125), D(-126)]
    inverse = market(USDCHF="0.8900/0.9000")  # the ask of CHFUSD is one over the bid of USDCHF
    assert earned(terms("EURCHF"), closed(BUY, "0.9500", "0.9510"), quotes=inverse) == D("112.36")
    assert earned(terms("EURCHF"), closed(SELL, "0.9510", "0.9500"), quotes=inverse) == D("111.11")


def test_cent_accounts_show_hundredths() -> None:
    assert earned(terms(), closed(BUY, "1.2000", "1.2050", "0.01"), currency="USC") == D("500.00")
    assert earned(terms("USDJPY"), closed(BUY, "110.00", "110.05"), currency="USC") == D("4543.39")
    assert earned(terms("EURGBP"), closed(SELL, "0.6760", "0.6750"), "EUC", market(EURGBP="0.6750")) == D("14814.81")
    pip = trading.pip_value(terms=terms(), pip_size=D("0.0001"), lots=D("0.01"), account_currency="USC")
    assert pip.amount == D("10.00")
    to_cents = market(EURUSD="1.09").rate(base="EUR", quote="USC", side=QuoteSide.ASK)
    assert bound(terms(), leg(BUY, "20", "1.09", str(to_cents.rate)), currency="USC", leverage=500) == D("436000.00")


def test_a_currency_without_a_way_is_never_guessed() -> None:
    with pytest.raises(MissingRate):
        earned(terms("EURGBP"), closed(BUY, "0.85", "0.86"))


@pytest.mark.parametrize(
    ("symbol", "field"),
    [
        (terms("AAAUSD", FUTURES, tick_value=D(1)), "tick_size"),
        (terms("AAAUSD", CalculationMode.EXCHANGE_BONDS), "face_value"),
        (terms(size="0"), "contract_size"),
    ],
)
def test_terms_that_nothing_can_be_computed_by_name_the_field(symbol: SymbolTerms, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        trading.profit(terms=symbol, closed=closed(BUY, "1", "2"), account_currency="USD")
    assert refused.value.details["field"] == field


def test_profit_of_futures_goes_by_tick_value_and_not_by_contract() -> None:
    oil = terms("OILCNY", FUTURES, "1000", digits=2, tick_size=D("0.1"), tick_value=D(500))
    assert earned(oil, closed(BUY, "70.0", "70.3", "2"), currency="CNY") == D("3000.00")
    assert earned(oil, closed(SELL, "70.0", "70.3", "2"), currency="CNY") == D("-3000.00")
    bond = terms("BNDUSD", CalculationMode.EXCHANGE_BONDS, "1", face_value=D(1000), accrued_interest=D("2.5"))
    assert earned(bond, closed(BUY, "98.5", "99.0", "10")) == D("75.00")


def test_forex_rounds_each_leg_and_a_contract_for_difference_the_difference() -> None:
    assert earned(terms(size="1", digits=3), closed(BUY, "1.005", "1.014")) == D("0.00")
    assert earned(terms("AAAUSD", CFD, "1", digits=3), closed(BUY, "1.005", "1.014")) == D("0.01")


def test_booked_rate_of_a_real_deal() -> None:
    rate = D("1.27886")
    assert earned(
        terms("EURGBP"), closed(BUY, "0.8511", "0.8500", "0.1"), quotes=market(GBPUSD="1.27886")
    ) == round_decimal(EXACT.multiply(D("-11.00"), rate), 2)


def test_pv_02_03_value_of_a_pip() -> None:
    def pip(symbol: SymbolTerms, size: str, currency: str, **known: object) -> Decimal:
        worked = trading.pip_value(terms=symbol, pip_size=D(size), lots=D(1), account_currency=currency, **known)  # type: ignore[arg-type]
        says_what_it_computes(worked)
        return worked.amount

    assert pip(terms(), "0.0001", "USD") == D("10.00")
    assert pip(terms("USDCHF"), "0.0001", "CHF") == D("10.00")
    assert pip(terms("EURJPY"), "0.01", "JPY") == D("1000")
    assert pip(terms("XAUUSD", CFD, "100", digits=2), "0.1", "USD") == D("10.00")
    assert pip(terms("USDJPY"), "0.01", "USD", price=D("157.577")) == D("6.35")
    assert pip(terms("EURGBP"), "0.0001", "USD", quotes=market(GBPUSD="1.25")) == D("12.50")
    assert pip(terms("WTIUSD", CFD, "1000", digits=2), "0.01", "USD") == D("10.00")


def test_point_value_of_the_swap_example() -> None:
    lira = terms("USDTRY", digits=5)
    worked = trading.point_value(terms=lira, lots=D(5), account_currency="USD", quotes=market(TRYUSD="0.2274587"))
    assert worked.amount == D("1.14")


def test_sp_04_05_cost_of_the_spread() -> None:
    def cost(symbol: SymbolTerms, bid: str, ask: str, lots: str, share: SpreadShare = SpreadShare.WHOLE) -> Decimal:
        worked = trading.spread_cost(
            terms=symbol, bid=D(bid), ask=D(ask), lots=D(lots), account_currency="USD", share=share
        )
        says_what_it_computes(worked)
        return worked.amount

    assert cost(terms(), "1.17521", "1.17525", "3") == D("12.00")
    halves = [
        cost(terms(), *quote, "3", SpreadShare.HALF) for quote in (("1.17521", "1.17525"), ("1.17612", "1.17616"))
    ]
    assert [D("0.35") * half for half in halves] == [D("2.10"), D("2.10")]
    assert D("0.5") * cost(terms("XAUUSD", CFD, "100", digits=2), "4581.23", "4581.39", "1") == D("8.00")


def test_sp_x1_a_point_of_a_yen_pair_is_not_a_dollar() -> None:
    worked = trading.spread_cost(
        terms=terms("USDJPY"), bid=D("118.868"), ask=D("118.888"), lots=D(1), account_currency="USD"
    )
    assert round_decimal(D("0.2") * worked.amount, 2) == D("3.36")


def test_cm_01_02_fees_on_the_turnover() -> None:
    oil, bitcoin = terms("XTIUSD", CFD, "1000", digits=2), terms("BTCUSD", CFD, "1", digits=2)
    fees = [
        trading.turnover_fee(terms=oil, lots=D(2), price=D("47.17"), percent=D("0.005")),
        trading.turnover_fee(terms=bitcoin, lots=D("0.5"), price=D(60_000), percent=D("0.1")),
    ]
    assert [fee.amount for fee in fees] == [D("4.72"), D("30.00")]
    for fee in fees:
        says_what_it_computes(fee)


def test_markup_and_slippage_have_the_sign_of_who_gains() -> None:
    for side, price, gateway in ((BUY, "1.10012", "1.10010"), (SELL, "1.10008", "1.10010")):
        given = {"terms": terms(), "side": side, "price": D(price), "gateway_price": D(gateway), "lots": D(1)}
        assert trading.markup_revenue(**given) == D("2.00")  # type: ignore[arg-type]
    for side, filled, points in ((BUY, "1.10015", "-5"), (SELL, "1.10015", "5")):
        assert trading.slippage_points(side=side, requested=D("1.10010"), filled=D(filled), digits=5) == D(points)


# ------------------------------------------------------------------------------------------ margins that statements print


def test_margin_of_hedged_and_single_positions_on_real_mt4_accounts() -> None:
    gold = terms("XAUUSD", CFD_LEVERAGE, "100", digits=2)
    sells = [
        leg(SELL, lots, price)
        for lots, price in (("0.03", "2702.74"), ("0.01", "2702.53"), ("0.03", "2727.61"), ("0.03", "2752.79"))
    ]
    yen = bound(terms("USDJPY"), leg(BUY, "0.01", "150"), leverage=500)
    assert bound(gold, *sells, leverage=500) + yen == D("56.50")
    franc = bound(terms("USDCHF"), leg(BUY, "1.03", "0.99"), leverage=1000)
    assert franc == D("103.00")
    assert bound(terms("CHFJPY"), leg(BUY, "0.01", "113"), currency="CHF", leverage=1000) == D("1.00")
    jpy = [leg(BUY, "0.01", "108.043", "108.043"), leg(BUY, "0.02", "107.140", "107.140")]
    assert bound(terms("USDJPY"), *jpy, currency="JPY", leverage=100) == D("3223")


def test_margin_of_real_mt5_accounts() -> None:
    assert bound(terms("NZDUSD"), leg(BUY, "0.01", "0.5888", "0.5888"), leverage=400) == D("1.47")
    assert bound(terms(), leg(BUY, "0.01", "0.98445", "0.98445"), leverage=100) == D("9.84")
    assert bound(terms("USDJPY"), leg(BUY, "0.11", "150"), leverage=30) == D("366.67")
    assert bound(terms("XTIUSD", CFD_LEVERAGE, "1000"), leg(BUY, "0.04", "67.37"), leverage=10) == D("269.48")
    assert bound(terms("XAUUSD", CFD_LEVERAGE, "100"), leg(BUY, "0.01", "5175.69"), leverage=20) == D("258.78")


def sample(folder: str, name: str) -> bytes:
    """A real file, or none."""
    path = Path(settings.SAMPLE_DATA_DIR) / folder / name
    if not path.exists():
        pytest.skip(f"no sample data at {path}")
    return path.read_bytes()


@pytest.mark.sample_data
def test_hedged_margin_that_a_real_statement_prints() -> None:
    statement = read_statement(sample("statements_mt4", "patrick_20171018_detailed.htm"), filename="a.htm")
    legs = [leg(mark.side, str(mark.volume_lots), str(mark.open_price), "1.1758") for mark in statement.open_positions]
    pair = terms("EURGBP", margin_hedged=D(50_000))
    assert bound(pair, *legs, leverage=statement.leverage or 1000) == statement.summary.margin == D("58.79")


@pytest.mark.sample_data
def test_margin_of_a_real_cross_at_its_opening_rate() -> None:
    statement = read_statement(sample("statements_mt4", "petro_20190402_1740_detailed.htm"), filename="a.htm")
    (mark,) = statement.open_positions
    held = leg(mark.side, str(mark.volume_lots), str(mark.open_price), "1.12406")
    assert bound(terms("EURCHF"), held, leverage=100) == statement.summary.margin == D("562.03")


@pytest.mark.sample_data
@pytest.mark.parametrize(
    ("folder", "name", "least"),
    [
        ("statements_mt4", "sujay_20260528_detailed.htm", 400),
        ("statements_mt4", "petro_20190402_1655_detailed.htm", 60),
        ("statements_mt4", "ty_20200516_detailed.htm", 600),
        ("statements_mt5", "darwinex_3000090143_demo_hedge.xlsx", 100),
        ("statements_mt5", "fxpro_5500995_netting.xlsx", 15),
        ("statements_mt5", "mq_5006391922_hedge.xlsx", 15),
    ],
)
def test_every_profit_that_follows_from_its_own_prices_is_what_the_server_booked(
    folder: str, name: str, least: int
) -> None:
    """Pairs that contain the account's currency, and gold: no other rate is needed, so the print can be told exactly."""
    statement = read_statement(sample(folder, name), filename=name)
    checked, wrong = defaultdict(int), []
    for deal in statement.deals:
        if deal.entry not in (DealEntry.OUT, DealEntry.OUT_BY) or deal.open_price is None or deal.price is None:
            continue
        found = re.match(r"(?i)#?([A-Z]{3})[/]?([A-Z]{3})", deal.symbol)
        if not found or statement.currency not in (found[1].upper(), found[2].upper()):
            continue
        pair = (found[1] + found[2]).upper()
        if pair[:3] == "XAG" or pair[:3] in ("XTI", "XBR"):
            continue
        size = "100" if pair[:3] == "XAU" else "100000"
        symbol = terms(pair, CFD_LEVERAGE if pair[:3] == "XAU" else FOREX, size)
        side = BUY if deal.kind.name == "SELL" else SELL
        what = ClosedVolume(side=side, open_price=deal.open_price, close_price=deal.price, lots=deal.volume_lots)
        computed = trading.profit(terms=symbol, closed=what, account_currency=statement.currency).amount
        checked[pair] += 1
        if computed != deal.profit:
            wrong.append((deal.ticket, pair, computed, deal.profit))
    assert not wrong
    assert sum(checked.values()) >= least
