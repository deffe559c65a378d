"""What a closed trade was worth to the house: point value, spread, mark-up, platform commission, notional, holding time.

The pure form of `selectors.trade_economics`, which computes the same in SQL for any number of trades; a property test
holds the two together. A figure whose data is lacking is None with the reason, never a zero. Amounts are rounded to
MONEY_DECIMALS places, halves away from zero; whoever pays by them rounds once more, to a currency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from enum import StrEnum
from fractions import Fraction

from backoffice.kernel.decimals import EXACT
from backoffice.kernel.prices import point_size
from platform_ops.gateways.types import CalculationMode, SymbolTerms
from platform_ops.rules.trading import FUTURES_MODES, move_value
from platform_ops.types import DealEntry, Side

MONEY_DECIMALS = 12
"""Finer than any currency, coarse enough to be stored beside a line as it is."""

MODES_WITHOUT_UNITS = FUTURES_MODES | {CalculationMode.EXCHANGE_BONDS, CalculationMode.COLLATERAL}
"""Modes whose contract size is no number of units of the base asset."""


class Missing(StrEnum):
    """Why a figure is not known."""

    SYMBOL = "symbol_not_matched"
    SPECIFICATION = "no_specification"
    OPENING_PRICE = "no_opening_price"
    MARKET_PRICE = "no_market_price"
    GATEWAY_PRICE = "no_gateway_price"
    OPENING = "opening_unknown"
    RATE = "no_rate"


MISSING_WORDS = {
    Missing.SYMBOL: "the server's symbol is not matched to one of ours",
    Missing.SPECIFICATION: "the symbol had no specification when the trade was closed",
    Missing.OPENING_PRICE: "no opening price",
    Missing.MARKET_PRICE: "no market price",
    Missing.GATEWAY_PRICE: "no price of the liquidity provider",
    Missing.OPENING: "the deals that opened the position are not all known",
    Missing.RATE: "no reference rate",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The market at a deal, as far as it is known."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    gateway_price: Decimal | None = None

    @property
    def distance(self) -> Decimal | None:
        """Ask minus bid; None where either is not known, and where they are crossed, which is no market price."""
        if self.bid is None or self.ask is None or self.ask < self.bid:
            return None
        return EXACT.subtract(self.ask, self.bid)


NO_MARKET = Market()


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionDeal:
    """A deal of a position: `volume_lots` is negative for a sell; a deal that was cancelled has no place here."""

    entry: DealEntry
    volume_lots: Decimal
    price: Decimal
    commission: Decimal
    market: Market = NO_MARKET


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedTrade:
    """A trade with the deals around it.

    `before` are the position's deals before the closing one, in their order, as far as the books have them. `is_ticket`
    says that opening and closing are one ticket, as MetaTrader 4 has it: the closing then carries all the money and
    `before` is its own opening, if known. `closing_lots` is the closing deal's volume; a reversal's is more than it
    closed. `commission` is the closing deal's, negative where the client paid.
    """

    side: Side
    lots: Decimal
    open_price: Decimal | None
    close_price: Decimal
    opened_at: datetime | None
    closed_at: datetime
    closing_lots: Decimal
    commission: Decimal
    account_currency: str
    is_ticket: bool = False
    is_close_by: bool = False
    market: Market = NO_MARKET
    before: Sequence[PositionDeal] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TradeEconomics:
    """The figures of one trade. Every figure that is None has its reason beside it.

    `point_value` is what one point is worth for the trade's lots; it, the spreads and the mark-up are in
    `profit_currency`. The spread of an end is the whole spread there, in points and for the trade's lots. `markup_money`
    is what the house earned on both ends between the client's prices and the provider's. `platform_commission` is what
    the client paid (positive) for the round trip, in `account_currency`. `notional_base` is units of `base_asset`;
    the other notionals are at the closing price.
    """

    account_currency: str
    profit_currency: str | None = None
    base_asset: str | None = None
    terms_reason: Missing | None = None
    pip_points: Decimal | None = None
    point_value: Decimal | None = None
    points: Decimal | None = None
    points_reason: Missing | None = None
    hold_seconds: Decimal | None = None
    is_close_by: bool = False
    spread_entry_points: Decimal | None = None
    spread_entry_money: Decimal | None = None
    spread_entry_reason: Missing | None = None
    spread_exit_points: Decimal | None = None
    spread_exit_money: Decimal | None = None
    spread_exit_reason: Missing | None = None
    markup_entry_money: Decimal | None = None
    markup_exit_money: Decimal | None = None
    markup_money: Decimal | None = None
    markup_reason: Missing | None = None
    platform_commission: Decimal | None = None
    commission_reason: Missing | None = None
    notional_base: Decimal | None = None
    notional_profit: Decimal | None = None
    notional_account: Decimal | None = None
    notional_reason: Missing | None = None


def trade_economics(
    *, trade: ClosedTrade, terms: SymbolTerms | None, pip_size: Decimal | None = None, rate: Decimal | None = None,
    without_terms: Missing = Missing.SPECIFICATION,
) -> TradeEconomics:  # fmt: skip
    """The figures of a trade under its symbol's terms at the closing.

    *rate* turns the profit currency into the account's on the trade's business day, None where there is none;
    *without_terms* says why there are no terms, where there are none.
    """
    opening = _opening(trade)
    commission = _platform_commission(trade, opening)
    hold = (
        None if trade.opened_at is None else Decimal((trade.closed_at - trade.opened_at) // timedelta(microseconds=1))
    )
    own = {
        "account_currency": trade.account_currency,
        "hold_seconds": None if hold is None else hold / 1_000_000,
        "is_close_by": trade.is_close_by,
        "platform_commission": commission,
        "commission_reason": Missing.OPENING if commission is None else None,
    }
    if terms is None or pip_size is None:
        reasons = dict.fromkeys(
            ("terms_reason", "points_reason", "spread_entry_reason", "spread_exit_reason", "markup_reason",
             "notional_reason"), without_terms,
        )  # fmt: skip
        return TradeEconomics(**own, **reasons)  # type: ignore[arg-type]
    figures = _points(trade, terms) | _spreads(trade, terms, opening) | _markup(trade, terms, opening)
    point = point_size(terms.digits)
    return TradeEconomics(
        **own,  # type: ignore[arg-type]
        **figures,  # type: ignore[arg-type]
        **_notionals(trade, terms, rate),  # type: ignore[arg-type]
        profit_currency=terms.profit_currency,
        base_asset=terms.base_currency,
        pip_points=pip_size / point,
        point_value=_worth(terms, Fraction(point), trade.lots),
    )


@dataclass(frozen=True, slots=True)
class _Held:
    """What is open of a position: signed volume, and for each lot of it commission, spread and mark-up on average."""

    volume: Fraction
    commission: Fraction
    spread: Fraction | None
    markup: Fraction | None


def _opening(trade: ClosedTrade) -> _Held | None:
    """What was held just before the closing; None where the books do not have all of it."""
    held: _Held | None = None
    for deal in trade.before:
        held = _step(held, deal)
    if held is None or not held.volume * int(trade.side) > 0 or abs(held.volume) < Fraction(trade.lots):
        return None
    return held


def _step(held: _Held | None, deal: PositionDeal) -> _Held | None:
    volume = Fraction(deal.volume_lots)
    if not volume:
        return held
    before = held.volume if held is not None else Fraction(0)
    if deal.entry.closes and deal.entry is not DealEntry.INOUT:
        if before * volume >= 0:
            return held
        rest = before + volume
        return None if rest * before <= 0 else _with(held, rest)
    sign = 1 if volume > 0 else -1
    distance, gateway = deal.market.distance, deal.market.gateway_price
    new = _Held(
        volume,
        Fraction(deal.commission) / abs(volume),
        None if distance is None else Fraction(distance),
        None if gateway is None else sign * (Fraction(deal.price) - Fraction(gateway)),
    )
    if held is None or before == 0:
        return new
    rest = before + volume
    if before * volume > 0:
        return _Held(
            rest,
            _average(held.commission, before, new.commission, volume) or Fraction(0),
            _average(held.spread, before, new.spread, volume),
            _average(held.markup, before, new.markup, volume),
        )
    if rest == 0:
        return None
    return _with(held, rest) if rest * before > 0 else _with(new, rest)


def _with(held: _Held | None, volume: Fraction) -> _Held | None:
    if held is None:
        return None
    return _Held(volume, held.commission, held.spread, held.markup)


def _average(old: Fraction | None, old_volume: Fraction, new: Fraction | None, new_volume: Fraction) -> Fraction | None:
    if old is None or new is None:
        return None
    return (old * old_volume + new * new_volume) / (old_volume + new_volume)


def _platform_commission(trade: ClosedTrade, opening: _Held | None) -> Decimal | None:
    lots = Fraction(trade.lots)
    closing = Fraction(trade.commission)
    if trade.closing_lots != trade.lots:
        closing = closing * lots / Fraction(trade.closing_lots)
    if trade.is_ticket:
        return _rounded(-closing)
    if opening is None:
        return None
    return _rounded(-(closing + opening.commission * lots))


def _points(trade: ClosedTrade, terms: SymbolTerms) -> dict[str, object]:
    if trade.open_price is None:
        return {"points_reason": Missing.OPENING_PRICE}
    rise = (Fraction(trade.close_price) - Fraction(trade.open_price)) * int(trade.side)
    return {"points": _rounded(rise / Fraction(point_size(terms.digits)))}


def _spreads(trade: ClosedTrade, terms: SymbolTerms, opening: _Held | None) -> dict[str, object]:
    leaving = trade.market.distance
    ends = {
        "entry": opening.spread if opening is not None else None,
        "exit": None if leaving is None else Fraction(leaving),
    }
    point = Fraction(point_size(terms.digits))
    figures: dict[str, object] = {}
    for end, distance in ends.items():
        if distance is None:
            figures[f"spread_{end}_reason"] = Missing.MARKET_PRICE
        else:
            figures[f"spread_{end}_points"] = _rounded(distance / point)
            figures[f"spread_{end}_money"] = _worth(terms, distance, trade.lots)
    return figures


def _markup(trade: ClosedTrade, terms: SymbolTerms, opening: _Held | None) -> dict[str, object]:
    figures: dict[str, object] = {}
    entry = opening.markup if opening is not None else None
    if entry is not None:
        figures["markup_entry_money"] = _worth(terms, entry, trade.lots)
    if trade.market.gateway_price is not None:
        leaving = (Fraction(trade.market.gateway_price) - Fraction(trade.close_price)) * int(trade.side)
        figures["markup_exit_money"] = _worth(terms, leaving, trade.lots)
    if len(figures) < 2:
        return figures | {"markup_reason": Missing.GATEWAY_PRICE}
    return figures | {"markup_money": figures["markup_entry_money"] + figures["markup_exit_money"]}  # type: ignore[operator]


def _notionals(trade: ClosedTrade, terms: SymbolTerms, rate: Decimal | None) -> dict[str, object]:
    units = Fraction(trade.lots) * Fraction(terms.contract_size)
    worth = _worth(terms, Fraction(trade.close_price), trade.lots)
    figures: dict[str, object] = {"notional_base": _rounded(units), "notional_profit": worth}
    if terms.base_currency == trade.account_currency and terms.calculation_mode not in MODES_WITHOUT_UNITS:
        return figures | {"notional_account": _rounded(units)}
    if terms.profit_currency == trade.account_currency:
        return figures | {"notional_account": worth}
    if rate is None:
        return figures | {"notional_reason": Missing.RATE}
    return figures | {"notional_account": _rounded(Fraction(worth) * Fraction(rate))}


def _worth(terms: SymbolTerms, distance: Fraction, lots: Decimal) -> Decimal:
    """A distance in money of the profit currency. A distance is linear in every mode, so one unit of it will do."""
    unit = move_value(terms=terms, distance=Decimal(1), lots=lots)[0]
    return _rounded(distance * Fraction(unit))


def _rounded(value: Fraction) -> Decimal:
    scaled = value * 10**MONEY_DECIMALS
    whole, rest = divmod(abs(scaled.numerator), scaled.denominator)
    if 2 * rest >= scaled.denominator:
        whole += 1
    number = Decimal(whole if scaled >= 0 else -whole).scaleb(-MONEY_DECIMALS, context=EXACT)
    return number.quantize(Decimal(1).scaleb(-MONEY_DECIMALS), rounding=ROUND_HALF_UP, context=EXACT)
