"""The server's own arithmetic: rounding, profit, margin, swap. Pure, exact (fractions until the one rounding), float-free.

Written from the platform's published rules, apart from the product's rules, so that one can be held against the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from backoffice.devstack.trading_server.terms import SymbolTerms

FOREX, FUTURES, CFD, CFD_INDEX, CFD_LEVERAGE, FOREX_NO_LEVERAGE = 0, 1, 2, 3, 4, 5
STOCKS, EXCHANGE_FUTURES, COLLATERAL = 32, 33, 64
FOREX_MODES = frozenset({FOREX, FOREX_NO_LEVERAGE})
FUTURES_MODES = frozenset({FUTURES, EXCHANGE_FUTURES})
DIVIDED_BY_LEVERAGE = frozenset({FOREX, CFD_LEVERAGE})
PRICED_MARGIN = frozenset({CFD, CFD_INDEX, CFD_LEVERAGE, STOCKS})
SWAP_NONE, SWAP_POINTS, SWAP_BASE, SWAP_MARGIN, SWAP_DEPOSIT, SWAP_CURRENT, SWAP_OPEN = range(7)
SWAP_REOPEN_CLOSE, SWAP_REOPEN_BID, SWAP_PROFIT = 7, 8, 9
NOTHING = Fraction(0)

Rate = Callable[[str, str, bool], Fraction]
"""Units of the second currency for one of the first, at the ask when the flag is set, at the bid otherwise."""


class Leg(Protocol):
    """What margin needs to know of a position."""

    is_buy: bool
    lots: Decimal
    open_price: Decimal
    margin_rate: Decimal


def rounded(value: Fraction, digits: int) -> Decimal:
    """Half away from zero, to *digits* decimals."""
    scaled = abs(value) * 10**digits
    whole = int(scaled + Fraction(1, 2))
    return Decimal(-whole if value < 0 else whole).scaleb(-digits)


def raw_profit(terms: SymbolTerms, *, is_buy: bool, lots: Decimal, opened: Decimal, closed: Decimal) -> Decimal:
    """What closing earns, in the profit currency."""
    sign = 1 if is_buy else -1
    digits = terms.profit_digits
    size = Fraction(terms.contract_size) * Fraction(lots)
    if terms.calculation in FOREX_MODES:
        legs = rounded(Fraction(closed) * size, digits) - rounded(Fraction(opened) * size, digits)
        return sign * legs
    moved = (Fraction(closed) - Fraction(opened)) * sign
    if terms.calculation in FUTURES_MODES:
        return rounded(moved * Fraction(lots) * _tick_worth(terms), digits)
    if terms.calculation == COLLATERAL:
        return Decimal(0)
    return rounded(moved * size, digits)


def profit_rate(
    terms: SymbolTerms, *, account_currency: str, is_buy: bool, raw: Decimal, closed: Decimal, rate: Rate
) -> Fraction:
    """Profit currency → account currency when a position of that side closes at *closed*."""
    if terms.profit_currency == account_currency:
        return Fraction(1)
    by_deal = terms.calculation in FOREX_MODES and not terms.profit_by_market
    if by_deal and terms.base == account_currency and closed > 0:
        return 1 / Fraction(closed)
    return rate(terms.profit_currency, account_currency, is_buy if by_deal else raw < 0)


def _tick_worth(terms: SymbolTerms) -> Fraction:
    """What one whole price unit is worth for one lot, by tick size and value."""
    if terms.tick_size <= 0 or terms.tick_value <= 0:
        return Fraction(terms.contract_size)
    return Fraction(terms.tick_value) / Fraction(terms.tick_size)


def _lot_margin(terms: SymbolTerms, *, size: Fraction, price: Fraction, leverage: int) -> Fraction:
    """Margin of one lot by formula, in the margin currency, before the symbol's margin rate."""
    value = size
    if terms.calculation in PRICED_MARGIN:
        value *= price
    if terms.calculation == CFD_INDEX:
        value *= _tick_worth(terms) / Fraction(terms.contract_size)
    if terms.calculation in DIVIDED_BY_LEVERAGE:
        value /= leverage
    return NOTHING if terms.calculation == COLLATERAL else value


def order_margin(
    terms: SymbolTerms, *, is_buy: bool, lots: Decimal, price: Decimal, leverage: int, margin_rate: Fraction
) -> Fraction:
    """What opening so much would take by itself, unrounded, in the account's currency."""
    fixed = Fraction(terms.margin_initial)
    if fixed:
        unit = fixed / leverage if terms.calculation in DIVIDED_BY_LEVERAGE else fixed
    else:
        size = Fraction(terms.contract_size)
        unit = _lot_margin(terms, size=size, price=Fraction(price), leverage=leverage)
    factor = Fraction(terms.margin_rate_buy if is_buy else terms.margin_rate_sell)
    return unit * Fraction(lots) * margin_rate * factor


def symbol_margin(terms: SymbolTerms, legs: Iterable[Leg], *, leverage: int) -> Fraction:
    """Margin of all positions of one account in one symbol, unrounded, in the account's currency."""
    legs = list(legs)
    buys, sells = [leg for leg in legs if leg.is_buy], [leg for leg in legs if not leg.is_buy]
    if terms.by_larger_leg and buys and sells:
        return max(_leg_margin(terms, buys, leverage=leverage), _leg_margin(terms, sells, leverage=leverage))
    bought, sold = _lots(buys), _lots(sells)
    covered = min(bought, sold)
    larger = buys if bought >= sold else sells
    if not covered:
        return _leg_margin(terms, larger, leverage=leverage) if larger else NOTHING
    uncovered = _leg_margin(terms, larger, leverage=leverage) * (abs(bought - sold) / _lots(larger))
    return uncovered + _covered_margin(terms, legs, buys, sells, covered, leverage=leverage)


def _leg_margin(terms: SymbolTerms, legs: list[Leg], *, leverage: int) -> Fraction:
    """One side's margin: its volume at its weighted average price and rate."""
    lots = _lots(legs)
    fixed = Fraction(terms.margin_maintenance or terms.margin_initial)
    if fixed:
        unit = fixed / leverage if terms.calculation in DIVIDED_BY_LEVERAGE else fixed
    else:
        unit = _lot_margin(terms, size=Fraction(terms.contract_size), price=_price(legs), leverage=leverage)
    factor = Fraction(terms.margin_rate_buy if legs[0].is_buy else terms.margin_rate_sell)
    return unit * lots * _rate(legs) * factor


def _covered_margin(
    terms: SymbolTerms, legs: list[Leg], buys: list[Leg], sells: list[Leg], covered: Fraction, *, leverage: int
) -> Fraction:
    """The hedged part, margined by the hedged size at the price of all and the mean of both rates."""
    hedged = Fraction(terms.margin_hedged)
    if terms.margin_initial or terms.margin_maintenance:
        unit = hedged / leverage if terms.calculation in DIVIDED_BY_LEVERAGE else hedged
    else:
        unit = _lot_margin(terms, size=hedged, price=_price(legs), leverage=leverage)
    factor = Fraction(terms.margin_rate_buy + terms.margin_rate_sell) / 2
    return unit * covered * (_rate(buys) + _rate(sells)) / 2 * factor


def _lots(legs: Iterable[Leg]) -> Fraction:
    return sum((Fraction(leg.lots) for leg in legs), NOTHING)


def _price(legs: list[Leg]) -> Fraction:
    return sum((Fraction(leg.open_price) * Fraction(leg.lots) for leg in legs), NOTHING) / _lots(legs)


def _rate(legs: list[Leg]) -> Fraction:
    return sum((Fraction(leg.margin_rate) * Fraction(leg.lots) for leg in legs), NOTHING) / _lots(legs)


def night_swap(
    terms: SymbolTerms, *, is_buy: bool, lots: Decimal, opened: Decimal, current: Decimal, nights: Decimal,
    account_currency: str, digits: int, rate: Rate,
) -> Decimal:  # fmt: skip
    """What holding a position over the close of a day costs (negative) or earns, in the account's currency."""
    value = Fraction(terms.swap_long if is_buy else terms.swap_short)
    if not value or not nights or terms.swap_mode in {SWAP_NONE, SWAP_REOPEN_CLOSE, SWAP_REOPEN_BID}:
        return Decimal(0)
    count = Fraction(nights)

    def convert(currency: str, at_ask: bool) -> Fraction:
        return Fraction(1) if currency == account_currency else rate(currency, account_currency, at_ask)

    pays = value < 0
    if terms.swap_mode == SWAP_POINTS:
        unit = _tick_worth(terms) if terms.calculation in FUTURES_MODES else Fraction(terms.contract_size)
        point = unit * Fraction(lots) * Fraction(terms.point) * convert(terms.profit_currency, pays)
        return rounded(Fraction(rounded(point, digits)) * value * count, digits)
    if terms.swap_mode in {SWAP_CURRENT, SWAP_OPEN}:
        price = Fraction(current if terms.swap_mode == SWAP_CURRENT else opened)
        cost, currency = _cost_of_lot(terms, price)
        yearly = cost * Fraction(lots) * value / 100
        return rounded(yearly / terms.swap_year_days * count * convert(currency, not is_buy), digits)
    currency = {
        SWAP_BASE: terms.base,
        SWAP_MARGIN: terms.margin_currency,
        SWAP_DEPOSIT: account_currency,
        SWAP_PROFIT: terms.profit_currency,
    }[terms.swap_mode]
    return rounded(value * Fraction(lots) * count * convert(currency, pays), digits)


def _cost_of_lot(terms: SymbolTerms, price: Fraction) -> tuple[Fraction, str]:
    """What one lot is worth, and in which currency, for swap by interest."""
    if terms.calculation in FOREX_MODES:
        return Fraction(terms.contract_size), terms.base
    if terms.calculation in FUTURES_MODES:
        return price * _tick_worth(terms), terms.profit_currency
    return Fraction(terms.contract_size) * price, terms.profit_currency
