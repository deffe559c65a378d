"""What a trade earns and costs under a symbol's terms: profit, the worth of a pip or point, spread, mark-up, slippage.

The figures are those a MetaTrader-like server books. Amounts in the profit currency are rounded to its digits where the
server rounds them, converted by the rate of the booking, and rounded once more to the account's digits, halves away from
zero. Must never guess a rate: without one there is `MissingRate`. Margin is in `rules.margin`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, divide, exact_decimal, round_decimal
from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.fx import Side as QuoteSide
from backoffice.kernel.lots import Lots
from backoffice.kernel.prices import point_size, price_to_points
from backoffice.kernel.profit import ProfitMode, TradeSide, profit_in_profit_currency
from platform_ops.gateways.types import CalculationMode, SymbolTerms
from platform_ops.rules.conversion import ONE, SAME, ConversionQuotes, ConversionRate, profit_side
from platform_ops.rules.worked import Step, Worked, bracketed, plain
from platform_ops.types import Side

FOREX_MODES = frozenset({CalculationMode.FOREX, CalculationMode.FOREX_NO_LEVERAGE})
FUTURES_MODES = frozenset({CalculationMode.FUTURES, CalculationMode.EXCHANGE_FUTURES})
HUNDRED = Decimal(100)
ZERO = Decimal(0)
NO_QUOTES = ConversionQuotes({})


class SpreadShare(StrEnum):
    """To which end of a trade a spread is attributed: all of it to the opening, or half to each end."""

    WHOLE = "whole"
    HALF = "half"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedVolume:
    """What was closed: side of the position, opening and closing price, lots."""

    side: Side
    open_price: Decimal
    close_price: Decimal
    lots: Decimal


def profit(
    *, terms: SymbolTerms, closed: ClosedVolume, account_currency: str, quotes: ConversionQuotes = NO_QUOTES
) -> Worked:
    """What the closed volume earned (negative: lost), in the account's currency.

    Raises InvalidInput for terms that nothing can be computed by, MissingRate where the profit currency cannot be
    converted.
    """
    raw, step = profit_in_symbol_currency(terms=terms, closed=closed)
    rate = profit_rate(
        terms=terms,
        closes=closed.side,
        is_profit=raw >= 0,
        close_price=closed.close_price,
        account_currency=account_currency,
        quotes=quotes,
    )
    return _converted(raw, (step,), rate, account_currency)


def profit_in_symbol_currency(*, terms: SymbolTerms, closed: ClosedVolume) -> tuple[Decimal, Step]:
    """The result in the symbol's profit currency, rounded to its digits, and the formula with the numbers put in."""
    digits = Currency.of(terms.profit_currency).digits
    mode = terms.calculation_mode
    if mode is CalculationMode.COLLATERAL:
        return ZERO, Step("Result", "a collateral has no result", "0", ZERO, terms.profit_currency)
    if mode in FUTURES_MODES or mode is CalculationMode.EXCHANGE_BONDS:
        return _result_of_move(terms, closed, digits)
    is_forex = mode in FOREX_MODES
    result = profit_in_profit_currency(
        side=TradeSide.BUY if closed.side is Side.BUY else TradeSide.SELL,
        open_price=closed.open_price,
        close_price=closed.close_price,
        lots=Lots.of(closed.lots),
        contract_size=terms.contract_size,
        digits=digits,
        mode=ProfitMode.FOREX if is_forex else ProfitMode.CFD,
    )
    opened, done = bracketed(closed.open_price), bracketed(closed.close_price)
    units = f"{plain(terms.contract_size)} × {plain(closed.lots)}"
    first, second = (done, opened) if closed.side is Side.BUY else (opened, done)
    if is_forex:
        words = "R(close × contract size × lots) - R(open × contract size × lots)"
        numbers = f"R({first} × {units}, {digits}) - R({second} × {units}, {digits})"
    else:
        words = "R((close - open) × contract size × lots)"
        numbers = f"R(({first} - {second}) × {units}, {digits})"
    if closed.side is Side.SELL:
        words = words.replace("close", "\0").replace("open", "close").replace("\0", "open")
    return result, Step("Result in the profit currency", words, numbers, result, terms.profit_currency)


def result_of_sum(
    *, terms: SymbolTerms, side: Side, lots: Decimal, lots_times_price: Decimal, close_price: Decimal
) -> Decimal:
    """What positions of one side, summed, would realise at a price, in the profit currency, rounded as one closing is.

    Of a single position the same as `profit_in_symbol_currency`: a result is linear in the lots and in the prices.
    """
    digits = Currency.of(terms.profit_currency).digits
    worth_now = EXACT.multiply(close_price, lots)
    if terms.calculation_mode in FOREX_MODES:
        now, opened = (
            round_decimal(move_value(terms=terms, distance=worth, lots=ONE)[0], digits)
            for worth in (worth_now, lots_times_price)
        )
        return _signed(now - opened, side)
    rise = EXACT.subtract(worth_now, lots_times_price)
    value = move_value(terms=terms, distance=rise, lots=ONE)[0]
    if terms.calculation_mode is CalculationMode.EXCHANGE_BONDS and terms.accrued_interest:
        units = EXACT.multiply(lots, terms.contract_size)
        value = EXACT.add(value, EXACT.multiply(units, terms.accrued_interest))
    return round_decimal(_signed(value, side), digits)


def profit_rate(
    *,
    terms: SymbolTerms,
    closes: Side,
    is_profit: bool,
    close_price: Decimal,
    account_currency: str,
    quotes: ConversionQuotes = NO_QUOTES,
) -> ConversionRate:
    """The rate from the profit currency to the account's currency at which the closing is booked.

    A forex pair that contains the account's currency (or the one that its cents are of) converts by its own closing price.
    """
    if terms.profit_currency == account_currency:
        return SAME
    by_market = terms.converts_by_market or terms.calculation_mode not in FOREX_MODES
    if not by_market and terms.base_currency == Currency.of(account_currency).parent.code:
        return _own_price(close_price, account_currency)
    side = profit_side(closes=closes, is_profit=is_profit, by_market=by_market)
    return quotes.rate(base=terms.profit_currency, quote=account_currency, side=side)


def move_value(*, terms: SymbolTerms, distance: Decimal, lots: Decimal) -> tuple[Decimal, str, str]:
    """What a price distance is worth in the profit currency, exact; the formula, and it with the numbers put in."""
    move = exact_decimal(distance, field="distance")
    volume = Lots.of(lots)
    mode = terms.calculation_mode
    if mode is CalculationMode.COLLATERAL:
        return ZERO, "a collateral has no result", "0"
    if mode in FUTURES_MODES:
        tick_size, tick_value = tick_terms(terms)
        value = divide(EXACT.multiply(EXACT.multiply(move, tick_value), volume.value), tick_size)
        words = "distance × tick value × lots ÷ tick size"
        return value, words, f"{bracketed(move)} × {plain(tick_value)} × {plain(lots)} ÷ {plain(tick_size)}"
    value = EXACT.multiply(move, volume.units(terms.contract_size))
    words = "distance × contract size × lots"
    numbers = f"{bracketed(move)} × {plain(terms.contract_size)} × {plain(lots)}"
    if mode is CalculationMode.EXCHANGE_BONDS:
        value = divide(EXACT.multiply(value, face_value(terms)), HUNDRED)
        return value, f"{words} × face value ÷ 100", f"{numbers} × {plain(terms.face_value)} ÷ 100"
    return value, words, numbers


def pip_value(
    *,
    terms: SymbolTerms,
    pip_size: Decimal,
    lots: Decimal,
    account_currency: str,
    price: Decimal | None = None,
    quotes: ConversionQuotes = NO_QUOTES,
) -> Worked:
    """What one pip is worth in the account's currency. *price* is the symbol's own, where that converts."""
    if exact_decimal(pip_size, field="pip_size") <= 0:
        raise InvalidInput(f"A pip size is above zero, not {pip_size}.", field="pip_size", value=str(pip_size))
    return _worth("Value of a pip", pip_size, terms, lots, account_currency, price, quotes)


def point_value(
    *,
    terms: SymbolTerms,
    lots: Decimal,
    account_currency: str,
    price: Decimal | None = None,
    quotes: ConversionQuotes = NO_QUOTES,
) -> Worked:
    """What one point, a one in the last digit of the quote, is worth in the account's currency."""
    return _worth("Value of a point", point_size(terms.digits), terms, lots, account_currency, price, quotes)


def spread_cost(
    *,
    terms: SymbolTerms,
    bid: Decimal,
    ask: Decimal,
    lots: Decimal,
    account_currency: str,
    share: SpreadShare = SpreadShare.WHOLE,
    quotes: ConversionQuotes = NO_QUOTES,
) -> Worked:
    """What the spread costs the client, in the account's currency: the whole round trip's, or the half of one end."""
    if exact_decimal(ask, field="ask") < exact_decimal(bid, field="bid"):
        raise InvalidInput(f"The ask {ask} is below the bid {bid}.", field="ask", value=str(ask))
    distance = EXACT.subtract(ask, bid)
    if share is SpreadShare.HALF:
        distance = divide(distance, Decimal(2))
    middle = divide(EXACT.add(bid, ask), Decimal(2))
    return _worth("Cost of the spread", distance, terms, lots, account_currency, middle, quotes)


def markup_revenue(*, terms: SymbolTerms, side: Side, price: Decimal, gateway_price: Decimal, lots: Decimal) -> Decimal:
    """What the broker earned between the client's price and the liquidity provider's, in the profit currency, exact."""
    return move_value(terms=terms, distance=_signed(EXACT.subtract(price, gateway_price), side), lots=lots)[0]


def slippage_points(*, side: Side, requested: Decimal, filled: Decimal, digits: int) -> Decimal:
    """How many points better (negative: worse) than asked for the client was filled when opening on this side."""
    return price_to_points(_signed(EXACT.subtract(requested, filled), side), digits).value


def notional(*, terms: SymbolTerms, lots: Decimal, price: Decimal) -> Decimal:
    """The worth of a volume at a price in the profit currency, exact; of a forex pair too."""
    return move_value(terms=terms, distance=price, lots=lots)[0]


def turnover_fee(*, terms: SymbolTerms, lots: Decimal, price: Decimal, percent: Decimal) -> Worked:
    """A fee of so many per cent of the notional, in the profit currency, rounded to its digits."""
    value, words, numbers = move_value(terms=terms, distance=price, lots=lots)
    digits = Currency.of(terms.profit_currency).digits
    fee = round_decimal(divide(EXACT.multiply(value, percent), HUNDRED), digits)
    words = words.replace("distance", "price")
    step = Step(
        "Fee on the turnover",
        f"R({words} × per cent ÷ 100)",
        f"R({numbers} × {plain(percent)} ÷ 100, {digits})",
        fee,
        terms.profit_currency,
    )
    return Worked(fee, terms.profit_currency, (step,))


def tick_terms(terms: SymbolTerms) -> tuple[Decimal, Decimal]:
    """(tick size, tick value). Raises InvalidInput unless both are above zero."""
    for name in ("tick_size", "tick_value"):
        if getattr(terms, name) <= 0:
            raise InvalidInput(
                f"{name.replace('_', ' ').capitalize()} is needed above zero in this calculation mode.",
                field=name,
                value=str(getattr(terms, name)),
            )
    return terms.tick_size, terms.tick_value


def face_value(terms: SymbolTerms) -> Decimal:
    """The bond's face value. Raises InvalidInput unless it is above zero."""
    if terms.face_value <= 0:
        raise InvalidInput("A bond's face value is above zero.", field="face_value", value=str(terms.face_value))
    return terms.face_value


def _result_of_move(terms: SymbolTerms, closed: ClosedVolume, digits: int) -> tuple[Decimal, Step]:
    rise = EXACT.subtract(closed.close_price, closed.open_price)
    value, words, numbers = move_value(terms=terms, distance=rise, lots=closed.lots)
    words = words.replace("distance", "(close - open)")
    if terms.calculation_mode is CalculationMode.EXCHANGE_BONDS and terms.accrued_interest:
        units = Lots.of(closed.lots).units(terms.contract_size)
        value = EXACT.add(value, EXACT.multiply(units, terms.accrued_interest))
        words = f"{words} + accrued interest × contract size × lots"
        numbers = f"{numbers} + {plain(terms.accrued_interest)} × {plain(terms.contract_size)} × {plain(closed.lots)}"
    result = round_decimal(_signed(value, closed.side), digits)
    sign = "" if closed.side is Side.BUY else "(-1) × "
    words, numbers = f"R({sign}({words}))", f"R({sign}({numbers}), {digits})"
    return result, Step("Result in the profit currency", words, numbers, result, terms.profit_currency)


def _signed(number: Decimal, side: Side) -> Decimal:
    return EXACT.multiply(number, Decimal(int(side)))


def _own_price(price: Decimal, account_currency: str) -> ConversionRate:
    if price <= 0:
        raise InvalidInput("The symbol's own price is needed to convert, above zero.", field="price", value=str(price))
    units = Decimal(Currency.of(account_currency).per_parent)
    return ConversionRate(units, price, f"{plain(units)} ÷ the symbol's own price")


def _worth(
    label: str,
    distance: Decimal,
    terms: SymbolTerms,
    lots: Decimal,
    account_currency: str,
    price: Decimal | None,
    quotes: ConversionQuotes,
) -> Worked:
    """The worth of a distance in the account's currency; the middle of the market converts, for nothing is booked."""
    value, words, numbers = move_value(terms=terms, distance=distance, lots=lots)
    step = Step(label, words, numbers, value, terms.profit_currency)
    if terms.profit_currency == account_currency:
        rate = SAME
    elif (
        price is not None
        and terms.calculation_mode in FOREX_MODES
        and terms.base_currency == Currency.of(account_currency).parent.code
    ):
        rate = _own_price(price, account_currency)
    else:
        rate = quotes.rate(base=terms.profit_currency, quote=account_currency, side=QuoteSide.MID)
    return _converted(value, (step,), rate, account_currency)


def _converted(raw: Decimal, steps: tuple[Step, ...], rate: ConversionRate, currency: str) -> Worked:
    """The raw amount by the rate, rounded to the currency's digits, as one more step."""
    digits = Currency.of(currency).digits
    amount = round_decimal(rate.convert(raw), digits)
    words, numbers = "R(amount)", f"R({bracketed(raw)}, {digits})"
    if rate.numerator != ONE or rate.denominator != ONE:
        words = f"R(amount × rate), rate {rate.route}" if rate.route else "R(amount × rate)"
        factor = "" if rate.numerator == ONE else f" × {plain(rate.numerator)}"
        divisor = "" if rate.denominator == ONE else f" ÷ {plain(rate.denominator)}"
        numbers = f"R({bracketed(raw)}{factor}{divisor}, {digits})"
    return Worked(amount, currency, (*steps, Step(f"In {currency}", words, numbers, amount, currency)))
