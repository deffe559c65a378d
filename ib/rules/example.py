"""What an imagined trade would pay to an imagined chain of partners: the engine's own functions on figures typed by hand.

Nothing is decided here that a settlement decides otherwise: rates come from `rules.rates`, amounts from `rules.amounts`
and `rules.ordered`, the guard from `rules.guard`, words from `rules.explaining`; the trade's figures from the platform's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, round_decimal
from ib.rules.amounts import (
    ONE,
    QUANTITY_DECIMALS,
    ZERO,
    Rounding,
    SpreadTerms,
    credit_factor,
    news_factor,
    spread_money,
)
from ib.rules.explaining import explain
from ib.rules.guard import Payout, part_of_revenue, parts_of_share
from ib.rules.ordered import Measures, OrderedTerms, OrderedTrade, Valued, value_in_order
from ib.rules.rates import Earning, Node, TradeClass, chain_rates, lost_rules
from ib.rules.sentences import sentence
from ib.types import EXCLUSION_TEXTS, Exclusion, ExplainedStep, LineFacts
from platform_ops.rules.economics import TradeEconomics

Fx = Callable[[str, str], Decimal | None]
"""The rate from one currency to another; None where there is none."""
MILLIONTH = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class ExampleMoney:
    """How the plan of a partner treats money; `guard` is the most percent of a trade's revenue that may be paid."""

    plan: str
    number: int
    currency: str
    decimals: int
    mode: str
    stage: str
    weight: Decimal = ONE
    guard: Decimal | None = None


@dataclass(frozen=True, slots=True)
class ExamplePartner:
    """A place in the imagined chain, from the one who introduced the client up."""

    name: str
    node: Node
    money: ExampleMoney | None


@dataclass(frozen=True, slots=True)
class ExampleTrade:
    """The imagined trade: its class, what it was worth to the house, and what filters look at."""

    trade_class: TradeClass
    economics: TradeEconomics
    symbol: str
    symbol_group: str
    side: int
    lots: Decimal
    profit: Decimal
    currency: str
    profit_currency: str
    closed_at: datetime
    day: Any
    opened_at: datetime | None
    equity: Decimal | None = None
    credit: Decimal = ZERO


@dataclass(frozen=True, slots=True)
class ExampleLine:
    """What one partner gets for one component, or why nothing."""

    partner: str
    component: str
    level: int
    rule: str
    amount: Decimal
    currency: str
    excluded: str = ""
    steps: tuple[ExplainedStep, ...] = ()
    agrees: bool = True


@dataclass(frozen=True, slots=True)
class ExampleResult:
    """Every line, the rules that lost by partner, and the trade's revenue where it is known."""

    lines: tuple[ExampleLine, ...]
    lost: tuple[tuple[str, tuple[str, ...]], ...]
    revenue: Decimal | None
    revenue_currency: str
    total_percent: Decimal | None = None


@dataclass(slots=True)
class _Valued:
    """A line on its way."""

    earning: Earning
    terms: Any
    money: ExampleMoney
    quantity: Decimal
    rate_currency: str
    factor: Decimal | None
    fx_rate: Decimal
    rate: Decimal = ZERO
    tier_before: Decimal | None = None
    cap_left: Decimal | None = None
    amount: Decimal = ZERO
    exclusion: str = ""
    is_cut: bool = False
    used_factor: Decimal | None = field(default=None)


def value_example(
    chain: Sequence[ExamplePartner],
    trade: ExampleTrade,
    *,
    rules: Mapping[int, Any],
    fx: Fx,
    measure_before: Decimal = ZERO,
) -> ExampleResult:
    """What everybody on the chain gets. *rules* are rows of rules with their tiers, by id; *measure_before* is what tiers
    had counted before the trade."""
    nodes = [partner.node for partner in chain]
    found = [
        _value(earning, _money_of(chain, earning, rules), trade, rules, fx, measure_before)
        for earning in chain_rates(nodes, trade.trade_class)
    ]
    revenue = _revenue(trade, trade.currency, fx)
    _guard(found, trade, fx)
    lost: dict[int, list[str]] = {}
    for item in lost_rules(nodes, trade.trade_class):
        lost.setdefault(item.index, []).append(f"{rules[item.rule_id]}: {item.why}")
    return ExampleResult(
        lines=tuple(_line(item, chain, trade, rules, tuple(lost.get(item.earning.index, ()))) for item in found),
        lost=tuple((chain[index].name, tuple(lost[index])) for index in sorted(lost)),
        revenue=revenue,
        revenue_currency=trade.currency,
        total_percent=_total_percent(found, trade, fx),
    )


def measured(terms: Any, trade: ExampleTrade) -> tuple[Decimal | None, str, str]:
    """The quantity of a rule's basis, the currency it is in, and why the trade does not count (empty: it does)."""
    figures, basis = trade.economics, terms.basis
    spread = spread_money(
        SpreadTerms(terms.spread_sides or "entry", terms.spread_cap_points, terms.average_spread_points),
        point_value=figures.point_value or ZERO,
        entry_points=figures.spread_entry_points,
        exit_points=figures.spread_exit_points,
    )
    notional = figures.notional_account
    quantities: dict[str, tuple[Decimal | None, str, object]] = {
        "per_lot": (trade.lots, terms.currency, None),
        "points": (figures.point_value, trade.profit_currency, figures.terms_reason),
        "spread_share": (spread, trade.profit_currency, figures.spread_entry_reason or figures.spread_exit_reason),
        "markup_share": (figures.markup_money, trade.profit_currency, figures.markup_reason),
        "platform_commission_share": (figures.platform_commission, trade.currency, figures.commission_reason),
        "notional_per_million": (
            EXACT.multiply(notional, MILLIONTH) if notional is not None else None,
            trade.currency,
            figures.notional_reason,
        ),
        "client_profit_share": (trade.profit, trade.currency, None),
    }
    quantity, currency, reason = quantities[basis]
    refused = _filtered(terms, trade)
    if refused:
        return quantity, currency, refused
    if quantity is None:
        return None, currency, str(reason or Exclusion.NO_MARKET_PRICE)
    if basis != "per_lot" and quantity <= 0:
        return quantity, currency, str(Exclusion.NOTHING_TO_SHARE)
    return round_decimal(quantity, QUANTITY_DECIMALS), currency, ""


def _filtered(terms: Any, trade: ExampleTrade) -> str:
    """The first filter that refuses the trade, in the settlement's order."""
    held = (trade.closed_at - trade.opened_at).total_seconds() if trade.opened_at is not None else None
    asks_hold = terms.minimum_hold_seconds is not None or terms.maximum_hold_seconds is not None
    points = trade.economics.points
    checks = (
        (trade.economics.is_close_by and not terms.pays_close_by, Exclusion.CLOSED_BY),
        (held is None and asks_hold, Exclusion.HOLD_UNKNOWN),
        (_below(held, terms.minimum_hold_seconds), Exclusion.HELD_TOO_SHORT),
        (_below(terms.maximum_hold_seconds, held), Exclusion.HELD_TOO_LONG),
        (_below(trade.lots, terms.minimum_lots), Exclusion.TOO_FEW_LOTS),
        ((terms.side == "buy" and trade.side < 0) or (terms.side == "sell" and trade.side > 0), Exclusion.OTHER_SIDE),
        (terms.only_profitable and trade.profit <= 0, Exclusion.NOT_PROFITABLE),
        (terms.minimum_points is not None and points is None, Exclusion.NO_OPENING_PRICE),
        (_below(abs(points) if points is not None else None, terms.minimum_points), Exclusion.TOO_FEW_POINTS),
        (terms.basis == "client_profit_share" and trade.profit <= 0, Exclusion.NOT_PROFITABLE),
        (
            not terms.pays_negative_balance and trade.equity is not None and trade.equity < 0,
            Exclusion.NEGATIVE_BALANCE,
        ),
    )
    return next((str(why) for refuses, why in checks if refuses), "")


def _below(one: Any, other: Any) -> bool:
    return one is not None and other is not None and one < other


def _value(
    earning: Earning,
    money: ExampleMoney,
    trade: ExampleTrade,
    rules: Mapping[int, Any],
    fx: Fx,
    measure_before: Decimal,
) -> _Valued:
    terms = rules[earning.terms.rule_id]
    quantity, currency, exclusion = measured(terms, trade)
    rate = fx(currency, money.currency)
    if not exclusion and rate is None:
        exclusion = str(Exclusion.MISSING_RATE)
    found = _Valued(
        earning,
        terms,
        money,
        quantity if quantity is not None else ZERO,
        currency,
        _factor(terms, money, trade),
        rate if rate is not None else ONE,
        rate=earning.rate,
        exclusion=exclusion,
    )
    if not exclusion:
        valued = _in_order(found, trade, measure_before)
        found.amount, found.rate = valued.target, valued.rate
        found.tier_before, found.cap_left, found.used_factor = valued.tier_before, valued.cap_left, valued.factor
        found.exclusion = valued.exclusion
    return found


def _in_order(item: _Valued, trade: ExampleTrade, measure_before: Decimal) -> Valued:
    """Valued as the only trade of its period after what was measured before it."""
    terms = item.terms
    tiers = tuple((tier.from_value, tier.rate) for tier in sorted(terms.tiers.all(), key=lambda tier: tier.from_value))
    ordered = OrderedTrade(
        trade_id=0,
        part=item.earning.part,
        closed_at=trade.closed_at,
        day=trade.day,
        client_id=0,
        symbol_id=0,
        side=trade.side,
        lots=trade.lots,
        terms_rule_id=item.earning.terms.rule_id,
        own_rate=item.earning.rule is not None and item.earning.rule.rule_id == item.earning.terms.rule_id,
        basis=terms.basis,
        quantity=item.quantity,
        factor=item.factor,
        rate=item.earning.rate,
        fx_rate=item.fx_rate,
        rate_digits=Currency.of(item.rate_currency).digits,
        rounding=Rounding(item.money.decimals, item.money.mode, item.money.stage),
    )
    rule = OrderedTerms(
        rule_id=ordered.terms_rule_id,
        rate=terms.rate,
        tiers=tiers,
        is_marginal=terms.tier_mode == "marginal",
        hedged_once=terms.hedged_once,
        cap_per_order=terms.cap_per_order,
        cap_client_day=terms.cap_client_day,
        cap_client_lifetime=terms.cap_client_lifetime,
        cap_partner_period=terms.cap_partner_period,
    )
    added = {"lots": trade.lots, "notional": trade.economics.notional_account or ZERO}.get(terms.tier_measure, ZERO)
    is_this = terms.tier_window == "this"
    whole = EXACT.add(measure_before, added) if is_this else measure_before
    measures = Measures(before={0: (measure_before, added)}, whole=whole)
    return value_in_order([ordered], terms={rule.rule_id: rule}, measures={rule.rule_id: measures})[0]


def _factor(terms: Any, money: ExampleMoney, trade: ExampleTrade) -> Decimal | None:
    factor = money.weight
    if terms.average_spread_points is not None:
        news = news_factor(
            SpreadTerms(average_points=terms.average_spread_points), entry_points=trade.economics.spread_entry_points
        )
        factor = EXACT.multiply(factor, news if news is not None else ONE)
    if terms.uses_credit_coefficient and trade.equity is not None:
        factor = EXACT.multiply(factor, credit_factor(equity=trade.equity, credit=trade.credit))
    factor = round_decimal(factor, QUANTITY_DECIMALS)
    return None if factor == 1 else factor


def _money_of(chain: Sequence[ExamplePartner], earning: Earning, rules: Mapping[int, Any]) -> ExampleMoney:
    """The own plan's policy; without a plan of its own that of the partner whose rate is shared."""
    own = chain[earning.index].money
    if own is not None:
        return own
    wanted = rules[earning.terms.rule_id].version_id
    return next(
        partner.money
        for partner in chain
        if partner.money is not None and partner.node.version is not None and partner.node.version.version_id == wanted
    )


def revenue_of(economics: TradeEconomics) -> tuple[Decimal | None, Decimal | None]:
    """The spread, half at each end, in the profit currency, and the commission in the account's; None where not known."""
    ends = (economics.spread_entry_money, economics.spread_exit_money)
    known = [end for end in ends if end is not None]
    spread = EXACT.multiply(EXACT.add(known[0], known[1]), Decimal("0.5")) if len(known) == 2 else None
    return spread, economics.platform_commission


def _revenue(trade: ExampleTrade, currency: str, fx: Fx) -> Decimal | None:
    spread, commission = revenue_of(trade.economics)
    rates = fx(trade.profit_currency, currency), fx(trade.currency, currency)
    if spread is None or commission is None or rates[0] is None or rates[1] is None:
        return None
    return EXACT.add(EXACT.multiply(spread, rates[0]), EXACT.multiply(commission, rates[1]))


def _guard(found: Sequence[_Valued], trade: ExampleTrade, fx: Fx) -> None:
    """Cuts what is paid down to the narrowest guard of the plans that pay."""
    paid = [item for item in found if not item.exclusion]
    guards = [item.money.guard for item in paid if item.money.guard is not None]
    if not guards:
        return
    taken = ZERO
    for group in (
        [item for item in paid if not item.earning.terms.needs_period],
        [item for item in paid if item.earning.terms.needs_period],
    ):
        payouts = [Payout(item.amount, _revenue(trade, item.money.currency, fx), item.money.decimals) for item in group]
        for item, left in zip(group, parts_of_share(payouts, min(guards), taken=taken), strict=True):
            if left is not None:
                item.cap_left, item.amount, item.is_cut = left, min(item.amount, left), True
        taken = sum(
            (part_of_revenue(item.amount, payout.revenue) for item, payout in zip(group, payouts, strict=True)), taken
        )


def _total_percent(found: Sequence[_Valued], trade: ExampleTrade, fx: Fx) -> Decimal | None:
    total = ZERO
    for item in found:
        revenue = _revenue(trade, item.money.currency, fx)
        if revenue is None or revenue <= 0:
            return None
        total += item.amount * 100 / revenue
    return round_decimal(total, 2)


def _line(
    item: _Valued,
    chain: Sequence[ExamplePartner],
    trade: ExampleTrade,
    rules: Mapping[int, Any],
    lost: tuple[str, ...],
) -> ExampleLine:
    earning, partner = item.earning, chain[item.earning.index]
    own = rules[earning.rule.rule_id] if earning.rule is not None else None
    said = sentence(own, tiers=list(own.tiers.all())) if own is not None else ""
    common = {
        "partner": partner.name,
        "component": earning.component,
        "level": earning.level,
        "rule": said or "A rate agreed on, out of the rate of the partner above",
        "currency": item.money.currency,
    }
    if item.exclusion:
        return ExampleLine(**common, amount=ZERO, excluded=EXCLUSION_TEXTS[Exclusion(item.exclusion)])  # type: ignore[arg-type]
    facts = _facts(item, partner, trade, said, tuple(one.name for one in chain[: earning.index + 1]), lost)
    explanation = explain(facts)
    return ExampleLine(**common, amount=item.amount, steps=explanation.steps, agrees=explanation.agrees)  # type: ignore[arg-type]


def _facts(
    item: _Valued, partner: ExamplePartner, trade: ExampleTrade, rule: str, path: tuple[str, ...], lost: tuple[str, ...]
) -> LineFacts:
    return LineFacts(
        reference="",
        partner=partner.name,
        trade_ticket=0,
        server="the example",
        symbol=trade.symbol,
        symbol_group=trade.symbol_group,
        closed_at=trade.closed_at,
        trade_lots=trade.lots,
        day=trade.day,
        booked_day=trade.day,
        level=item.earning.level,
        path=path,
        rule=rule,
        plan=item.money.plan,
        plan_version=item.money.number,
        quantity=item.quantity,
        rate=item.rate,
        rate_currency=item.rate_currency,
        fx_rate=item.fx_rate,
        fx_date=None,
        fx_source="ECB",
        currency=item.money.currency,
        target=item.amount,
        booked_before=ZERO,
        amount=item.amount,
        cause="batch",
        basis=item.terms.basis,
        component=item.earning.component,
        factor=item.used_factor,
        tier_before=item.tier_before,
        cap_left=item.cap_left,
        is_share_of_revenue=item.is_cut,
        rounding_mode=item.money.mode,
        rounding_stage=item.money.stage,
        decimals=item.money.decimals,
        card_rate=item.terms.rate,
        weight=item.money.weight,
        tiers=tuple((tier.from_value, tier.rate) for tier in item.terms.tiers.all()),
        lost=lost,
    )
