"""A naive second opinion: walks every trade by itself, in Python, over the rows of the set-up, with the kernel's money.

It shares nothing with the engine: no rate card, no SQL, none of its formulas. Tests hold the two together to the cent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, localcontext
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import MissingRate
from backoffice.kernel.fx import PerEuroRateProvider
from ib.models import (
    Agreement,
    ClientReferral,
    NegotiatedRate,
    Partner,
    PartnerEdge,
    PartnerRank,
    PlanRule,
    PlanVersion,
)
from platform_ops.models import FxReferenceRate, Trade

Worth = dict[tuple[int, int], Decimal]
"""(partner, trade) → amount in the partner's currency."""
MODES = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}
ZERO = Decimal(0)


def localcontext_of_60_digits(function: Callable[[], Worth]) -> Callable[[], Worth]:
    """Products keep all their digits."""

    def exact() -> Worth:
        with localcontext(prec=60):
            return function()

    return exact


@dataclass
class Step:
    """A partner on the way up from a client, as things stood when the trade was closed."""

    partner: Partner
    level: int
    version: PlanVersion | None
    rank: str
    negotiated: dict[str, NegotiatedRate]
    rules: dict[str, PlanRule] = field(default_factory=dict)
    full: dict[str, Decimal] = field(default_factory=dict)
    terms: dict[str, PlanRule] = field(default_factory=dict)
    shared_from: dict[str, Step] = field(default_factory=dict)
    earns: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))


@localcontext_of_60_digits
def worth_of_all_trades() -> Worth:
    """What every partner should have earned on every trade, by the set-up as it stands."""
    table: dict[date, dict[str, Decimal]] = defaultdict(dict)
    for rate in FxReferenceRate.objects.all():
        table[rate.date][rate.currency] = rate.per_euro
    rates = PerEuroRateProvider(table, "ECB")
    worth: Worth = defaultdict(Decimal)
    lots: dict[tuple[int, Any], Decimal] = defaultdict(Decimal)
    paid: dict[tuple[Any, ...], Decimal] = defaultdict(Decimal)
    for trade in Trade.objects.select_related("account", "server_symbol__symbol").order_by(
        "closed_at", "server_id", "ticket", "leg"
    ):
        chain = _chain(trade)
        month = trade.business_day.replace(day=1)
        before = {step.partner.pk: lots[step.partner.pk, month] for step in chain if step.level <= 1}
        for step in chain:
            if step.level <= 1:
                lots[step.partner.pk, month] += trade.volume_lots
        if trade.server_symbol.symbol is None:
            continue
        for step in _shared(chain, trade):
            for component in step.terms:
                amount = _amount(step, component, trade, rates, before.get(step.partner.pk, ZERO))
                if amount is None:
                    continue
                cap = step.terms[component].cap_client_day
                if cap is not None:
                    key = step.partner.pk, step.terms[component].pk, trade.account.client_id, trade.business_day
                    amount = min(amount, max(cap - paid[key], ZERO))
                    paid[key] += amount
                worth[step.partner.pk, trade.pk] += amount
    return dict(worth)


def _chain(trade: Trade) -> list[Step]:
    if trade.is_cancelled or trade.account.is_demo or trade.account.client_id is None:
        return []
    referral = _at(ClientReferral.objects.filter(client_id=trade.account.client_id), trade.closed_at)
    chain: list[Step] = []
    partner = referral.partner if referral else None
    while partner is not None:
        level = sum(step.partner.kind != "trader" for step in chain) + 1
        agreement = _at(Agreement.objects.filter(partner=partner), trade.closed_at)
        versions = PlanVersion.objects.filter(plan=agreement.plan, state="published") if agreement else []
        rank = _at(PartnerRank.objects.filter(partner=partner), trade.closed_at)
        agreed = {
            component: _at(NegotiatedRate.objects.filter(partner=partner, component=component), trade.closed_at)
            for component in ("main", "extra")
        }
        chain.append(
            Step(
                partner,
                0 if partner.kind == "trader" else level,
                _at(versions, trade.closed_at),
                rank.rank if rank else "",
                {component: row for component, row in agreed.items() if row is not None},
            )
        )
        edge = _at(PartnerEdge.objects.filter(child=partner), trade.closed_at)
        partner = edge.parent if edge else None
    return chain


def _shared(chain: list[Step], trade: Trade) -> list[Step]:
    for component in ("main", "extra"):
        for index in reversed(range(len(chain))):
            _state(chain, index, component, trade)
        for index, step in enumerate(chain):
            _take(chain[:index], step, component)
    return chain


def _state(chain: list[Step], index: int, component: str, trade: Trade) -> None:
    step = chain[index]
    if step.version is not None and step.version.depth_limit is not None and step.level > step.version.depth_limit:
        return
    for rule in step.version.rules.filter(component=component).order_by("position") if step.version else []:
        group = rule.symbol_group_id in (None, trade.server_symbol.symbol.group_id)
        if group and rule.level in (None, step.level) and rule.rank in ("", step.rank):
            step.rules[component] = rule
            break
    rule, agreed = step.rules.get(component), step.negotiated.get(component)
    above = next((other for other in chain[index + 1 :] if component in other.full), None)
    if rule is not None and rule.distribution in ("override", "pass_up"):
        return
    if rule is not None and rule.distribution != "allocation":
        rate, ceiling = rule.rate, rule.rate
        if above is not None and _like(above.terms[component], rule):
            ceiling = above.full[component]
        if agreed is not None:
            rate = min(agreed.rate, ceiling) if agreed.rate is not None else ceiling * agreed.allocation_percent / 100
        step.full[component], step.terms[component] = rate, rule
    elif above is not None and (rule is not None or agreed is not None):
        part = above.full[component] * (agreed.allocation_percent or 0 if agreed else rule.rate) / 100
        rate = min(agreed.rate, above.full[component]) if agreed is not None and agreed.rate is not None else part
        step.full[component], step.terms[component], step.shared_from[component] = rate, above.terms[component], above


def _take(below: list[Step], step: Step, component: str) -> None:
    rule = step.rules.get(component)
    earning = [other for other in below if other.earns[component] > 0]
    if component in step.full:
        like = [
            other
            for other in below
            if component in other.terms and _like(other.terms[component], step.terms[component])
        ]
        if rule is not None and rule.distribution == "difference":
            given = sum((other.earns[component] for other in like), ZERO)
        else:
            given = sum((other.full[component] for other in below if other.shared_from.get(component) is step), ZERO)
        step.earns[component] = max(step.full[component] - given, ZERO)
    elif rule is not None and earning:
        nearest = earning[-1]
        if rule.distribution == "pass_up" and _like(nearest.terms[component], rule):
            taken = min(rule.rate, nearest.earns[component])
            nearest.earns[component] -= taken
            step.earns[component], step.terms[component] = taken, nearest.terms[component]
        elif rule.distribution == "override":
            bases = [nearest] if rule.override_of == "direct" else earning
            bases = [other for other in bases if _like(other.terms[component], nearest.terms[component])]
            for other in bases:
                part = other.earns[component] * rule.rate / 100
                step.earns[component] += part
                if rule.funded_by == "downline":
                    other.earns[component] -= part
            step.terms[component] = nearest.terms[component]


def _amount(step: Step, component: str, trade: Trade, rates: PerEuroRateProvider, before: Decimal) -> Decimal | None:
    terms, rate = step.terms[component], step.earns[component]
    if rate <= 0:
        return None
    if terms.minimum_lots is not None and trade.volume_lots < terms.minimum_lots:
        return None
    measured, currency = trade.volume_lots, terms.currency
    if terms.basis == "client_profit_share":
        if trade.profit <= 0:
            return None
        measured, currency, rate = trade.profit, trade.currency, rate / 100
    worth = measured * rate
    tiers = [(tier.from_value, tier.rate) for tier in terms.tiers.order_by("from_value")]
    if tiers and step.rules.get(component) == terms:
        steps = [(ZERO, terms.rate), *tiers]
        ends = [start for start, _ in tiers] + [before + measured]
        parts = [
            (max(min(end, before + measured) - max(start, before), ZERO), tier)
            for (start, tier), end in zip(steps, ends, strict=True)
        ]
        # The last tier has no end; one that begins later than the measure ends holds nothing.
        average = sum((part * tier for part, tier in parts), ZERO) / measured
        worth = measured * max(average - (terms.rate - rate), ZERO)
    version = step.version or terms.version
    reward = Currency.of(version.reward_currency or step.partner.currency)
    try:
        fx = rates.rate(base=Currency.of(currency), quote=reward, on=trade.business_day)
    except MissingRate:
        return None
    digits = reward.digits if version.rounding_decimals is None else min(version.rounding_decimals, reward.digits)
    product = (worth * fx.rate).quantize(Decimal(1).scaleb(-18))
    return product.quantize(Decimal(1).scaleb(-digits), MODES[version.rounding_mode])


def _like(one: PlanRule, other: PlanRule) -> bool:
    return (one.basis, one.currency) == (other.basis, other.currency)


def _at(rows: Any, moment: datetime) -> Any:
    """The row that is valid at the moment: from its start, up to and without its end."""
    for row in rows:
        if row.validity.isempty:
            continue
        started = row.validity.lower is None or row.validity.lower <= moment
        if started and (row.validity.upper is None or moment < row.validity.upper):
            return row
    return None
