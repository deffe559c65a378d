"""Net exposure from open positions: pure arithmetic, on exact decimals.

Sign: everything is the clients' side. Clients long one lot EURUSD are +100,000 EUR and −100,000 × price USD; the broker
stands on the other side, until covered.

Price: exposure (notional, currency legs) is marked to market at the mid. Floating profit is what clients would realise
now: longs close at the bid, shorts at the ask, as their terminals show it.

Worth: a lot is valued by the symbol's calculation mode through the platform's own rules (`platform_ops.rules.trading`): contract
size × price, of futures price × tick value ÷ tick size, of bonds a share of the face value. The units of a position are what it
is worth at a price of one.

Rounding: floating profit is rounded in the profit currency the way the symbol's calculation mode says (forex rounds the value
of each leg, every other mode only the difference), once per symbol, book and side; then once more after conversion to the report
currency. Notional is rounded once, units to eight decimal places. Nothing is a booking.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, divide, exact_decimal, round_decimal
from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.profit import TradeSide
from platform_ops.rules import trading
from platform_ops.types import Side
from risk.types import (
    CurrencyExposure,
    NetExposure,
    PositionGroup,
    Reason,
    ReportRate,
    SymbolExposure,
    SymbolPrice,
    SymbolTerms,
)

AVERAGE_PRICE_DIGITS = 10
UNITS_DIGITS = 8
RATE_DIGITS = 10
MOST_GIVEN_PRICES = 10_000
ZERO = Decimal(0)
ONE = Decimal(1)


def net_exposure(
    groups: Iterable[PositionGroup],
    *,
    terms: Mapping[str, SymbolTerms],
    prices: Mapping[str, SymbolPrice],
    rates: Mapping[str, ReportRate],
    report_currency: str,
) -> NetExposure:
    """Exposure by symbol and by currency of the given groups (one book, or all).

    `rates` holds what is known of the needed currencies; a symbol that lacks a price, a specification or a rate keeps
    its lots, gets None for money and says why. Its legs are left out of the currencies where they cannot be said.
    """
    by_symbol: dict[str, list[PositionGroup]] = defaultdict(list)
    for group in groups:
        by_symbol[group.symbol].append(group)
    digits = Currency.of(report_currency).digits
    symbols = [
        _symbol_exposure(code, by_symbol[code], terms[code], prices.get(code), rates, digits)
        for code in sorted(by_symbol)
    ]
    return NetExposure(symbols=tuple(symbols), currencies=_currency_exposures(symbols, terms, rates, digits))


def plain_decimal(value: Decimal) -> str:
    """A decimal as text without superfluous zeros or an exponent."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def read_prices(document: Any) -> dict[str, SymbolPrice]:
    """Prices that somebody gives: symbol → a price, or → {"bid", "ask"}; optionally under "prices" beside "as_of".

    Numbers are text, integers or decimals, never floats. Raises `InvalidInput` naming the symbol.
    """
    at = None
    if isinstance(document, dict) and isinstance(document.get("prices"), dict):
        at = _read_moment(document.get("as_of"))
        document = document["prices"]
    if not isinstance(document, dict) or len(document) > MOST_GIVEN_PRICES:
        raise InvalidInput(
            f"Prices are an object of at most {MOST_GIVEN_PRICES} symbols and their price.", field="prices"
        )
    return {str(symbol): _read_price(str(symbol), value, at) for symbol, value in document.items()}


def _read_price(symbol: str, value: Any, at: datetime | None) -> SymbolPrice:
    sides: tuple[Any, Any] = (value.get("bid"), value.get("ask")) if isinstance(value, dict) else (value, value)
    try:
        bid, ask = (exact_decimal(side, field="price") for side in sides)
    except InvalidInput as error:
        raise InvalidInput(f"The price of {symbol} cannot be read: {error.message}", field=symbol) from error
    if bid <= 0 or ask < bid:
        raise InvalidInput(f"The price of {symbol} must be above zero, its ask not below its bid.", field=symbol)
    return SymbolPrice(bid, ask, at)


def _read_moment(value: Any) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError as error:
        raise InvalidInput(f"{value!r} is not a time.", field="as_of", value=str(value)) from error
    if moment.utcoffset() is None:
        raise InvalidInput(f"The time {value} needs a zone, such as +00:00.", field="as_of", value=str(value))
    return moment


def floating_of_side(
    *, terms: SymbolTerms, side: TradeSide, lots: Decimal, lots_times_price: Decimal, price: SymbolPrice
) -> Decimal:
    """What one side's positions would realise if closed now, in the profit currency, rounded to its digits."""
    result = trading.result_of_sum(
        terms=terms.trading,
        side=Side(side.sign),
        lots=lots,
        lots_times_price=lots_times_price,
        close_price=price.bid if side is TradeSide.BUY else price.ask,
    )
    return result if result else ZERO


def value_of(terms: SymbolTerms, lots: Decimal, price: Decimal) -> Decimal:
    """The worth of net lots (negative: short) at a price in the profit currency, exact, by the symbol's calculation mode."""
    worth = trading.notional(terms=terms.trading, lots=abs(lots), price=price)
    return worth if lots >= 0 else -worth


def _symbol_exposure(
    code: str,
    groups: list[PositionGroup],
    terms: SymbolTerms,
    price: SymbolPrice | None,
    rates: Mapping[str, ReportRate],
    digits: int,
) -> SymbolExposure:
    long_lots, long_cost = _sum_side(groups, TradeSide.BUY)
    short_lots, short_cost = _sum_side(groups, TradeSide.SELL)
    net_lots = long_lots - short_lots
    units = value_of(terms, net_lots, ONE) if terms.is_known else None
    rate = rates.get(terms.profit_currency)
    reason = _reason(terms, price, rate)
    notional = floating = None
    if reason is None and units is not None and price is not None and rate is not None:
        notional = round_decimal(EXACT.multiply(value_of(terms, net_lots, price.mid), rate.rate), digits)
        floating = round_decimal(EXACT.multiply(_floating(groups, terms, price), rate.rate), digits)
    return SymbolExposure(
        symbol=code,
        positions=sum(group.positions for group in groups),
        long_lots=long_lots,
        short_lots=short_lots,
        net_lots=net_lots,
        net_units=None if units is None else round_decimal(units, UNITS_DIGITS),
        average_price_long=_average(long_cost, long_lots),
        average_price_short=_average(short_cost, short_lots),
        price=price,
        notional=notional,
        floating=floating,
        reason=reason,
    )


def _reason(terms: SymbolTerms, price: SymbolPrice | None, rate: ReportRate | None) -> Reason | None:
    if not terms.is_known:
        return Reason.NO_SPECIFICATION
    if price is None:
        return Reason.NO_PRICE
    return Reason.NO_RATE if rate is None else None


def _floating(groups: list[PositionGroup], terms: SymbolTerms, price: SymbolPrice) -> Decimal:
    """Both sides together, in the profit currency."""
    total = ZERO
    for side in TradeSide:
        lots, lots_times_price = _sum_side(groups, side)
        if lots:
            total += floating_of_side(terms=terms, side=side, lots=lots, lots_times_price=lots_times_price, price=price)
    return total


def _sum_side(groups: list[PositionGroup], side: TradeSide) -> tuple[Decimal, Decimal]:
    """(lots, lots × open price) of a side."""
    lots = cost = ZERO
    for group in groups:
        if group.side is side:
            lots, cost = EXACT.add(lots, group.lots), EXACT.add(cost, group.lots_times_price)
    return lots, cost


def _average(cost: Decimal, lots: Decimal) -> Decimal | None:
    """The volume-weighted price at which a side was opened."""
    return round_decimal(divide(cost, lots), AVERAGE_PRICE_DIGITS) if lots else None


def _currency_exposures(
    symbols: list[SymbolExposure], terms: Mapping[str, SymbolTerms], rates: Mapping[str, ReportRate], digits: int
) -> tuple[CurrencyExposure, ...]:
    """The legs of all symbols, netted per currency or asset.

    A leg in a currency with a reference rate is valued at that rate, the same for all symbols. A leg in anything else
    (ounces, contracts, coins) is valued at the mid of the symbol that it came from.
    """
    units: dict[str, Decimal] = defaultdict(lambda: ZERO)
    positions: dict[str, int] = defaultdict(int)
    marked: dict[str, Decimal | None] = {}
    for row in symbols:
        if row.net_units is None or row.price is None:
            continue
        term = terms[row.symbol]
        asset = term.asset_of(row.symbol)
        money = value_of(term, row.net_lots, row.price.mid)
        units[asset] = EXACT.add(units[asset], row.net_units)
        units[term.profit_currency] = EXACT.subtract(units[term.profit_currency], money)
        positions[asset] += row.positions
        positions[term.profit_currency] += row.positions
        rate, so_far = rates.get(term.profit_currency), marked.get(asset, ZERO)
        if rate is None:
            # Neither leg can be valued: the money leg has no rate, and the other one is worth that money.
            marked[asset] = marked[term.profit_currency] = None
        elif so_far is not None:
            marked[asset] = EXACT.add(so_far, EXACT.multiply(money, rate.rate))
    return tuple(
        _currency_exposure(code, positions[code], units[code], rates.get(code), marked.get(code), digits)
        for code in sorted(units)
    )


def _currency_exposure(
    code: str, positions: int, units: Decimal, rate: ReportRate | None, marked: Decimal | None, digits: int
) -> CurrencyExposure:
    if rate is not None:
        value: Decimal | None = EXACT.multiply(units, rate.rate)
        shown_rate: Decimal | None = round_decimal(rate.rate, RATE_DIGITS)
    else:
        value = marked
        shown_rate = round_decimal(divide(marked, units), RATE_DIGITS) if marked is not None and units else None
    return CurrencyExposure(
        currency=code,
        positions=positions,
        net_units=round_decimal(units, UNITS_DIGITS),
        rate=shown_rate,
        notional=None if value is None else round_decimal(value, digits),
    )
