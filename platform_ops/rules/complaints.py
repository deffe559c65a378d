"""Deciding a price complaint: which quote counted, what the trade would have made at it, and what follows. Pure.

Prices are as quoted, amounts in the account's currency. What a client is proposed is never less than nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import divide
from backoffice.kernel.errors import IllegalTransition, InvalidInput
from backoffice.kernel.money import round_money
from platform_ops.gateways.types import SymbolTerms
from platform_ops.rules.trading import FOREX_MODES, ClosedVolume, profit_in_symbol_currency
from platform_ops.types import Side

ANSWER_WITHIN = timedelta(days=5)
TICKS_BEFORE_SECONDS = 60
TICKS_AFTER_SECONDS = 60
QUOTE_MAY_BE_OLD = timedelta(seconds=30)
"""A quote older than this at the moment of the trade proves no price."""


class Disputed(StrEnum):
    """Which of the trade's prices."""

    OPENING = "opening"
    CLOSING = "closing"


class ComplaintState(StrEnum):
    """Where a complaint stands."""

    OPEN = "open"
    INVESTIGATED = "investigated"
    PROPOSED = "proposed"
    APPROVED = "approved"
    CLOSED = "closed"


class Decision(StrEnum):
    """What is done about it."""

    REJECT = "reject"
    COMPENSATE = "compensate"
    CANCEL = "cancel"


class Cause(StrEnum):
    """What was behind it, for the statistics."""

    BAD_TICK = "bad_tick"
    STALE_PRICE = "stale_price"
    WIDE_SPREAD = "wide_spread"
    SLIPPAGE = "slippage"
    SLOW_EXECUTION = "slow_execution"
    MARKET_GAP = "market_gap"
    NOTHING_WRONG = "nothing_wrong"
    OTHER = "other"


_C = ComplaintState
TRANSITIONS: dict[tuple[ComplaintState, str], ComplaintState] = {
    (_C.OPEN, "investigate"): _C.INVESTIGATED,
    (_C.INVESTIGATED, "investigate"): _C.INVESTIGATED,
    (_C.INVESTIGATED, "propose"): _C.PROPOSED,
    (_C.PROPOSED, "withdraw"): _C.INVESTIGATED,
    (_C.PROPOSED, "approve"): _C.APPROVED,
    (_C.APPROVED, "close"): _C.CLOSED,
}


def next_state(state: str, step: str) -> ComplaintState:
    """The state after a step. Raises IllegalTransition."""
    found = TRANSITIONS.get((ComplaintState(state), step))
    if found is None:
        raise IllegalTransition(f"A complaint that is {state} cannot be taken to “{step}”.", state=state)
    return found


@dataclass(frozen=True, slots=True)
class QuoteSeen:
    """A quote around the trade, as the price desk judged it."""

    at: datetime
    bid: Decimal
    ask: Decimal
    is_accepted: bool


def client_buys(side: Side, disputed: Disputed) -> bool:
    """Whether the disputed deal was a purchase by the client: it pays the ask then, and gets the bid otherwise."""
    return (side is Side.BUY) == (disputed is Disputed.OPENING)


def price_in_force(
    quotes: Sequence[QuoteSeen], *, at: datetime, buys: bool, may_be_old: timedelta = QUOTE_MAY_BE_OLD
) -> Decimal | None:
    """The price of the last accepted quote at or before *at*; None where there is none that is fresh enough."""
    known = [quote for quote in quotes if quote.is_accepted and quote.at <= at]
    if not known:
        return None
    last = max(known, key=lambda quote: quote.at)
    if at - last.at > may_be_old:
        return None
    return last.ask if buys else last.bid


@dataclass(frozen=True, slots=True)
class TradeFacts:
    """What of a trade decides its result, and what was booked of it in the account's currency.

    `fallback_rate` (profit currency to the account's) counts only where the trade does not tell the rate it was booked at.
    """

    terms: SymbolTerms
    side: Side
    open_price: Decimal
    close_price: Decimal
    volume_lots: Decimal
    profit: Decimal
    currency: str
    fallback_rate: Decimal | None = None


def result_at(facts: TradeFacts, *, disputed: Disputed, price: Decimal) -> Decimal | None:
    """What the trade had made with the disputed price replaced, rounded once to the account's digits.

    Converted as the server converted the trade: at the close itself where the pair contains the account's currency, else at
    the rate that the booked profit tells. None where neither it nor a fallback is known.
    """
    opened = price if disputed is Disputed.OPENING else facts.open_price
    closed = price if disputed is Disputed.CLOSING else facts.close_price
    raw = _raw(facts, opened, closed)
    account = Currency.of(facts.currency)
    if facts.terms.profit_currency == account.code:
        return round_money(raw, account.digits)
    is_own_pair = facts.terms.base_currency == account.parent.code and not facts.terms.converts_by_market
    if is_own_pair and facts.terms.calculation_mode in FOREX_MODES:
        return round_money(divide(raw * account.per_parent, closed), account.digits)
    booked = _raw(facts, facts.open_price, facts.close_price)
    if booked and facts.profit and (booked > 0) == (facts.profit > 0):
        return round_money(divide(raw * facts.profit, booked), account.digits)
    return None if facts.fallback_rate is None else round_money(raw * facts.fallback_rate, account.digits)


def proposed_amount(facts: TradeFacts, *, disputed: Disputed, price: Decimal) -> Decimal | None:
    """What the client lost by the disputed price: the result at the right one minus the result as booked, never below 0."""
    if price <= 0:
        raise InvalidInput("A price is above zero.", field="correct_price", value=str(price))
    result = result_at(facts, disputed=disputed, price=price)
    return None if result is None else max(result - facts.profit, Decimal(0))


def _raw(facts: TradeFacts, opened: Decimal, closed: Decimal) -> Decimal:
    return profit_in_symbol_currency(
        terms=facts.terms,
        closed=ClosedVolume(side=facts.side, open_price=opened, close_price=closed, lots=facts.volume_lots),
    )[0]
