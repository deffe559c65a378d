"""What an ended order says about its execution: fill time, slippage, and why it was turned down. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from platform_ops.gateways.types import DealReason, GatewayOrder, OrderState
from platform_ops.types import Side

MARKET_TYPES = frozenset({0, 1})
PRICED_TYPES = frozenset(range(8))
ENDED_STATES = frozenset(
    {OrderState.CANCELED, OrderState.PARTIAL, OrderState.FILLED, OrderState.REJECTED, OrderState.EXPIRED}
)
CLIENT_REASONS = frozenset({DealReason.CLIENT, DealReason.EXPERT, DealReason.SIGNAL, DealReason.MOBILE, DealReason.WEB})
"""Orders that a client sent; stops, stop-outs and rollovers are the server's own and say nothing of its service."""

LONGEST_FILL_MILLISECONDS = 600_000
"""Beyond ten minutes an order was not being filled but waiting, or a clock was wrong."""

LONGEST_REASON = 64
_REQUOTE = re.compile(r"\brequote", re.IGNORECASE)
_REASON_UNKNOWN = "not told"
_POINTS = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class ExecutionFigures:
    """What is worked out of one order."""

    slippage_points: Decimal | None
    fill_milliseconds: int | None
    requotes: int
    reject_reason: str


def is_ended(order: GatewayOrder) -> bool:
    """Whether nothing more happens to the order; only such are kept."""
    return order.state in ENDED_STATES and order.done_at is not None


def figures_of(order: GatewayOrder, *, point: Decimal) -> ExecutionFigures:
    """The figures of an ended order. *point* is the symbol's smallest step."""
    rejected = order.state is OrderState.REJECTED
    requotes = max(order.requotes, 1 if rejected and _REQUOTE.search(order.comment) else 0)
    return ExecutionFigures(
        slippage_points=slippage_points(order, point=point),
        fill_milliseconds=fill_milliseconds(order),
        requotes=requotes,
        reject_reason=(order.comment.strip() or _REASON_UNKNOWN)[:LONGEST_REASON] if rejected else "",
    )


def slippage_points(order: GatewayOrder, *, point: Decimal) -> Decimal | None:
    """Points by which the client got a better price than they asked for; below zero, a worse one."""
    asked, got = order.requested_price, order.filled_price
    if order.volume_filled_lots <= 0 or order.type not in PRICED_TYPES or point <= 0 or not asked or not got:
        return None
    better = asked - got if order.side is Side.BUY else got - asked
    return (better / point).quantize(_POINTS)


def fill_milliseconds(order: GatewayOrder) -> int | None:
    """From the server's taking a market order to its being filled; None where waiting was meant."""
    if order.type not in MARKET_TYPES or order.volume_filled_lots <= 0 or order.done_at is None:
        return None
    taken = order.done_at - order.placed_at
    milliseconds = taken.days * 86_400_000 + taken.seconds * 1000 + taken.microseconds // 1000
    return milliseconds if 0 <= milliseconds <= LONGEST_FILL_MILLISECONDS else None


def written_point(*prices: Decimal | None) -> Decimal:
    """The step that prices are written in, where nobody knows the symbol: the finest decimals that say something."""
    decimals = [-int(price.normalize().as_tuple().exponent) for price in prices if price is not None]
    return Decimal(1).scaleb(-max([0, *decimals]))
