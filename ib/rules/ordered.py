"""What trades earn whose worth depends on the trades before them: tiers, caps and hedged volume, in the trades' order.

The order is that of closing, then of the servers' tickets; in what order they came in does not matter.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from backoffice.kernel.decimals import EXACT, divide, round_decimal
from ib.rules.amounts import ONE, QUANTITY_DECIMALS, RATE_DECIMALS, ZERO, Rounding, reward

HEDGED = "hedged"
_RATE_STEP = Decimal(1).scaleb(-RATE_DECIMALS)


@dataclass(frozen=True, slots=True)
class OrderedTerms:
    """What of a rule looks at other trades. `rate` is the rule's own; `tiers` are (from which measure on, rate).

    Rules of one `family` are the same rule in versions of a plan: they go on with what the others have counted.
    """

    rule_id: int
    rate: Decimal
    tiers: tuple[tuple[Decimal, Decimal], ...] = ()
    is_marginal: bool = False
    hedged_once: bool = False
    cap_per_order: Decimal | None = None
    cap_client_day: Decimal | None = None
    cap_client_lifetime: Decimal | None = None
    cap_partner_period: Decimal | None = None
    family: Hashable = None


@dataclass(frozen=True, slots=True)
class OrderedTrade:
    """A trade that an entry of the card values. `own_rate` says that the rule is the beneficiary's own, not a shared one.

    `ticket` orders trades of one moment: server, ticket and leg, which do not hang on when a trade came in.
    """

    trade_id: int
    part: int
    closed_at: datetime
    day: object
    client_id: int
    symbol_id: int
    side: int
    lots: Decimal
    terms_rule_id: int
    own_rate: bool
    basis: str
    quantity: Decimal
    factor: Decimal | None
    rate: Decimal
    fx_rate: Decimal
    rate_digits: int
    rounding: Rounding
    ticket: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Valued:
    """What a trade is worth in its order, and what explains it; `exclusion` says why it is worth nothing at all."""

    trade: OrderedTrade
    rate: Decimal
    factor: Decimal | None
    tier_before: Decimal | None
    cap_left: Decimal | None
    target: Decimal
    exclusion: str = ""


@dataclass(slots=True)
class Measures:
    """What the tiers of a rule look at: before each trade (marginal), or as a whole."""

    before: Mapping[int, tuple[Decimal, Decimal]] = field(default_factory=dict)
    """By trade: the measure before it, and what it adds."""
    whole: Decimal = ZERO


@dataclass(slots=True)
class _Paid:
    """What caps have counted so far, by family of rules."""

    by_day: dict[tuple[Hashable, int, object], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    by_client: dict[tuple[Hashable, int], Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    by_rule: dict[Hashable, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    sides: dict[tuple[Hashable, int, int], dict[int, Decimal]] = field(default_factory=dict)


def value_in_order(
    trades: Iterable[OrderedTrade],
    *,
    terms: Mapping[int, OrderedTerms],
    measures: Mapping[int, Measures],
    paid_before: Mapping[tuple[Hashable, int], Decimal] | None = None,
) -> list[Valued]:
    """Values a partner's trades of a period. *paid_before* is by family of rules and client what earlier periods paid."""
    paid = _Paid()
    paid.by_client.update(paid_before or {})
    found = []
    for trade in sorted(trades, key=lambda item: (item.closed_at, item.ticket, item.trade_id, item.part)):
        rule = terms[trade.terms_rule_id]
        family = _family(rule)
        weight = _unhedged(trade, rule, paid)
        if weight == 0:
            found.append(Valued(trade, trade.rate, trade.factor, None, None, ZERO, HEDGED))
            continue
        factor = round_decimal(EXACT.multiply(trade.factor or ONE, weight), QUANTITY_DECIMALS)
        rate, tier_before = _rate(trade, rule, measures.get(rule.rule_id, Measures()))
        left = _left(trade, rule, paid)
        target = reward(
            basis=trade.basis,
            quantity=trade.quantity,
            rate=rate,
            factor=factor,
            fx_rate=trade.fx_rate,
            rate_digits=trade.rate_digits,
            rounding=trade.rounding,
            cap_left=left,
        )
        paid.by_day[family, trade.client_id, trade.day] += target
        paid.by_client[family, trade.client_id] += target
        paid.by_rule[family] += target
        found.append(Valued(trade, rate, None if factor == 1 else factor, tier_before, left, target))
    return found


def _family(rule: OrderedTerms) -> Hashable:
    return rule.rule_id if rule.family is None else rule.family


def tier_rate_at(rule: OrderedTerms, measure: Decimal) -> Decimal:
    """The rate that a measure reaches: that of the highest tier at or below it, else the rule's own."""
    reached = [rate for start, rate in rule.tiers if start <= measure]
    return reached[-1] if reached else rule.rate


def marginal_rate(rule: OrderedTerms, *, before: Decimal, added: Decimal) -> Decimal:
    """The average rate of what a trade adds to a measure, each slice at the rate of its own tier."""
    if added <= 0:
        return tier_rate_at(rule, before)
    total, at, end = ZERO, before, EXACT.add(before, added)
    for start, _ in (*rule.tiers, (end, ZERO)):
        edge = min(start, end)
        if edge > at:
            total = EXACT.add(total, EXACT.multiply(EXACT.subtract(edge, at), tier_rate_at(rule, at)))
            at = edge
    if end > at:
        total = EXACT.add(total, EXACT.multiply(EXACT.subtract(end, at), tier_rate_at(rule, at)))
    return EXACT.quantize(EXACT.divide(total, added), _RATE_STEP)


def _rate(trade: OrderedTrade, rule: OrderedTerms, measures: Measures) -> tuple[Decimal, Decimal | None]:
    """The rate by tiers, and the measure it comes of. What others take of the rule's rate they take of the tier's too."""
    if not rule.tiers or not trade.own_rate:
        return trade.rate, None
    taken = EXACT.subtract(rule.rate, trade.rate)
    if rule.is_marginal:
        before, added = measures.before.get(trade.trade_id, (ZERO, ZERO))
        rate = marginal_rate(rule, before=before, added=added)
    else:
        before = measures.whole
        rate = tier_rate_at(rule, before)
    return max(EXACT.subtract(rate, taken), ZERO), before


def _unhedged(trade: OrderedTrade, rule: OrderedTerms, paid: _Paid) -> Decimal:
    """Of a client's buys and sells of a symbol the larger side counts: how much of this trade raises it."""
    if not rule.hedged_once:
        return ONE
    sides = paid.sides.setdefault((_family(rule), trade.client_id, trade.symbol_id), {1: ZERO, -1: ZERO})
    before = max(sides.values())
    sides[trade.side] = EXACT.add(sides[trade.side], trade.lots)
    gained = EXACT.subtract(max(sides.values()), before)
    return divide(gained, trade.lots) if trade.lots else ZERO


def _left(trade: OrderedTrade, rule: OrderedTerms, paid: _Paid) -> Decimal | None:
    """What the narrowest cap leaves; None without caps."""
    family = _family(rule)
    caps = [
        (rule.cap_per_order, ZERO),
        (rule.cap_client_day, paid.by_day[family, trade.client_id, trade.day]),
        (rule.cap_client_lifetime, paid.by_client[family, trade.client_id]),
        (rule.cap_partner_period, paid.by_rule[family]),
    ]
    left = [max(EXACT.subtract(cap, counted), ZERO) for cap, counted in caps if cap is not None]
    return min(left) if left else None
