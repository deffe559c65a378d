"""Deciding a price complaint: which quote counted, what the trade would have made at it, and what follows. Pure.

Prices are as quoted, amounts in the account's currency. What a client is proposed is never less than nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from backoffice.kernel.decimals import divide
from backoffice.kernel.errors import IllegalTransition, InvalidInput
from backoffice.kernel.money import round_money
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
    """What of a trade decides its result; `rate` turns the profit currency into the account's.

    `converts_at_close`: the account's currency is the pair's own base, so that the close itself converts (USDJPY in USD).
    """

    side: Side
    open_price: Decimal
    close_price: Decimal
    volume_lots: Decimal
    contract_size: Decimal
    profit: Decimal
    rate: Decimal
    digits: int
    converts_at_close: bool = False


def result_at(facts: TradeFacts, *, disputed: Disputed, price: Decimal) -> Decimal:
    """What the trade had made with the disputed price replaced, rounded once to the account's digits."""
    opened = price if disputed is Disputed.OPENING else facts.open_price
    closed = price if disputed is Disputed.CLOSING else facts.close_price
    moved = (closed - opened) * int(facts.side) * facts.contract_size * facts.volume_lots
    return round_money(divide(moved, closed) if facts.converts_at_close else moved * facts.rate, facts.digits)


def proposed_amount(facts: TradeFacts, *, disputed: Disputed, price: Decimal) -> Decimal:
    """What the client lost by the disputed price: the result at the right one minus the result as booked, never below 0."""
    if price <= 0:
        raise InvalidInput("A price is above zero.", field="correct_price", value=str(price))
    return max(result_at(facts, disputed=disputed, price=price) - facts.profit, Decimal(0))


def rate_of_trade(facts_without_rate: TradeFacts) -> Decimal | None:
    """The conversion that the server used, told by the trade's own profit; None where the price did not move."""
    moved = (facts_without_rate.close_price - facts_without_rate.open_price) * int(facts_without_rate.side)
    in_profit_currency = moved * facts_without_rate.contract_size * facts_without_rate.volume_lots
    if in_profit_currency == 0 or facts_without_rate.profit == 0:
        return None
    rate = facts_without_rate.profit / in_profit_currency
    return rate if rate > 0 else None
