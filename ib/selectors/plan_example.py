"""The live example of a plan: an imagined trade, through an imagined or a real chain of partners, by the engine's functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import cache

from django.apps import apps

from backoffice.core.access import authorise, get_visible
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import InvalidInput, NotFound
from backoffice.kernel.prices import point_size
from ib.engine.card.chains import chain_at, rules_of_version
from ib.engine.card.snapshot import ACCOUNT_GROUP, ACCOUNT_TYPE, CAMPAIGN, COUNTRY, DIMENSION
from ib.models import Partner, PlanRule, PlanVersion
from ib.rules.amounts import ONE
from ib.rules.example import ExampleMoney, ExamplePartner, ExampleResult, ExampleTrade, value_example
from ib.rules.rates import Negotiated, Node, TradeClass
from ib.selectors.plans import RELATED, rate_between
from ib.services.negotiated_rates import above
from platform_ops.models import SymbolSpec
from platform_ops.rules.economics import ClosedTrade, Market, PositionDeal, TradeEconomics, trade_economics
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.types import DealEntry, Side

MOST_PARTNERS = 12
MOST_LOTS = Decimal(100_000)
MOST_PRICE = Decimal(10) ** 9


@dataclass(frozen=True, slots=True)
class ExampleStep:
    """A partner of the imagined chain: its rank, and what was agreed instead of the plan's rate."""

    rank: str = ""
    rate: Decimal | None = None
    allocation_percent: Decimal | None = None
    is_trader: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExampleQuery:
    """What is imagined. Spreads and mark-ups are points at each end; `commission` is what the client paid for the round
    trip. With `partner_id` the chain is that partner's own as it stands now, by this version instead of the plan's."""

    version_id: int
    symbol_id: int
    lots: Decimal
    open_price: Decimal
    close_price: Decimal
    side: str = "buy"
    spread_points: Decimal | None = None
    markup_points: Decimal | None = None
    commission: Decimal = Decimal(0)
    currency: str = "USD"
    held_seconds: int = 3_600
    is_close_by: bool = False
    chain: tuple[ExampleStep, ...] = (ExampleStep(),)
    partner_id: int | None = None
    reward_currency: str = "USD"
    account_group_id: int | None = None
    account_type_id: int | None = None
    country: str = ""
    campaign: str = ""
    dimension: str = ""
    dimension_value: str = ""
    measure_before: Decimal = Decimal(0)


def example_of(*, actor: Actor, query: ExampleQuery) -> ExampleResult:
    """What every partner would get, and why. Raises InvalidInput, naming the field, NotFound for what is not the actor's."""
    authorise(actor, "ib.view_plans")
    version = get_visible(PlanVersion.objects.select_related("plan"), actor, pk=query.version_id)
    symbol = apps.get_model("platform_ops", "Symbol")._default_manager.select_related("group").get(pk=query.symbol_id)
    now = clock.now()
    economics = _economics(query, symbol.pk, now)
    chain, versions = _chain(query, version, symbol.group_id, actor, now)
    rules = {
        rule.pk: rule
        for rule in PlanRule.objects.filter(version__in=versions).select_related(*RELATED).prefetch_related("tiers")
    }
    today = business_day_of(now)

    @cache
    def fx(given: str, into: str) -> Decimal | None:
        return rate_between(given, into, today)

    named = {rule.symbol_id for rule in rules.values()}
    trade = ExampleTrade(
        trade_class=TradeClass(symbol.pk if symbol.pk in named else 0, symbol.group_id, _attributes(query)),
        economics=economics,
        symbol=symbol.code,
        symbol_group=symbol.group.name if symbol.group is not None else "",
        side=1 if query.side == "buy" else -1,
        lots=query.lots,
        profit=_profit(economics, fx(symbol.profit_currency, query.currency)),
        currency=query.currency,
        profit_currency=symbol.profit_currency,
        closed_at=now,
        day=today,
        opened_at=now - timedelta(seconds=query.held_seconds),
    )
    return value_example(chain, trade, rules=rules, fx=fx, measure_before=query.measure_before)


def checked_query(query: ExampleQuery) -> ExampleQuery:
    """The query, if it can be. Raises InvalidInput, naming the field."""
    bounds = (("lots", MOST_LOTS), ("open_price", MOST_PRICE), ("close_price", MOST_PRICE))
    for name, most in bounds:
        if not 0 < exact_decimal(getattr(query, name), field=name) <= most:
            raise InvalidInput(f"Above zero, and at most {most}.", field=name, value=str(getattr(query, name)))
    for name in ("spread_points", "commission", "measure_before", "held_seconds"):
        value = getattr(query, name)
        if value is not None and value < 0:
            raise InvalidInput("Not below zero.", field=name, value=str(value))
    if query.side not in {"buy", "sell"}:
        raise InvalidInput("Buy or sell.", field="side", value=query.side)
    if not 1 <= len(query.chain) <= MOST_PARTNERS:
        raise InvalidInput(f"From 1 to {MOST_PARTNERS} partners.", field="chain", value=len(query.chain))
    return replace(
        query, currency=Currency.of(query.currency).code, reward_currency=Currency.of(query.reward_currency).code
    )


def _economics(query: ExampleQuery, symbol_id: int, at: datetime) -> TradeEconomics:
    """What the imagined trade was worth to the house: the platform's own function on deals made up from the figures."""
    try:
        terms = terms_in_force(symbol_id=symbol_id, at=at)
    except NotFound as error:
        raise InvalidInput("The symbol has no specification yet.", field="symbol") from error
    pip_size = SymbolSpec.objects.get(symbol_id=symbol_id, validity__contains=at).pip_size
    point = point_size(terms.digits)
    side = Side.BUY if query.side == "buy" else Side.SELL
    sign = int(side)
    opening = PositionDeal(
        entry=DealEntry.IN,
        volume_lots=query.lots * sign,
        price=query.open_price,
        commission=Decimal(0),
        market=_market(query, query.open_price, point, is_buy=sign > 0, towards=-sign),
    )
    trade = ClosedTrade(
        side=side,
        lots=query.lots,
        open_price=query.open_price,
        close_price=query.close_price,
        opened_at=at - timedelta(seconds=query.held_seconds),
        closed_at=at,
        closing_lots=query.lots,
        commission=-query.commission,
        account_currency=query.currency,
        is_close_by=query.is_close_by,
        market=_market(query, query.close_price, point, is_buy=sign < 0, towards=sign),
        before=(opening,),
    )
    rate = rate_between(terms.profit_currency, query.currency, business_day_of(at))
    return trade_economics(trade=trade, terms=terms, pip_size=pip_size, rate=rate)


def _market(query: ExampleQuery, price: Decimal, point: Decimal, *, is_buy: bool, towards: int) -> Market:
    """The market at an end: who buys pays the ask. The provider's price is better for the house by the mark-up."""
    spread = query.spread_points * point if query.spread_points is not None else None
    gateway = price + towards * query.markup_points * point if query.markup_points is not None else None
    if spread is None:
        return Market(gateway_price=gateway)
    bid, ask = (price - spread, price) if is_buy else (price, price + spread)
    return Market(bid=bid, ask=ask, gateway_price=gateway)


def _profit(economics: TradeEconomics, rate: Decimal | None) -> Decimal:
    if economics.points is None or economics.point_value is None or rate is None:
        return Decimal(0)
    return economics.points * economics.point_value * rate


def _chain(
    query: ExampleQuery, version: PlanVersion, group_id: int, actor: Actor, at: datetime
) -> tuple[list[ExamplePartner], list[int]]:
    """The partners, from the introducer up, and the versions that their rules come from."""
    own = rules_of_version(version)
    if query.partner_id is None:
        money = _money(version, query.reward_currency, group_id, query.account_group_id)
        found = [
            ExamplePartner(
                name=f"Partner {number}" + (f" ({step.rank})" if step.rank else ""),
                node=Node(version=own, rank=step.rank, is_trader=step.is_trader, negotiated=_agreed(step)),
                money=money,
            )
            for number, step in enumerate(query.chain, start=1)
        ]
        return found, [version.pk]
    partner = get_visible(Partner.objects.all(), actor, pk=query.partner_id)
    path = [partner.pk, *above(partner, at)][:MOST_PARTNERS]
    partners = Partner.objects.in_bulk(path)
    versions = {version.pk: version}
    found = []
    for partner_id, node in zip(path, chain_at(path, at, is_own=False), strict=True):
        standing = PlanVersion.objects.get(pk=node.version.version_id) if node.version is not None else None
        if standing is not None and standing.plan_id == version.plan_id:
            standing, node = version, replace(node, version=own)
        if standing is not None:
            versions[standing.pk] = standing
        currency = partners[partner_id].currency
        money_now = _money(standing, currency, group_id, query.account_group_id) if standing is not None else None
        found.append(ExamplePartner(str(partners[partner_id]), node, money_now))
    return found, list(versions)


def _agreed(step: ExampleStep) -> tuple[Negotiated, ...]:
    if step.rate is None and step.allocation_percent is None:
        return ()
    return (Negotiated("main", step.rate, step.allocation_percent if step.rate is None else None),)


def _money(version: PlanVersion, currency: str, group_id: int, account_group_id: int | None) -> ExampleMoney:
    reward = version.reward_currency or currency
    digits = Currency.of(reward).digits
    weight = ONE
    for row in version.weights.all():
        if row.symbol_group_id == group_id or (
            account_group_id is not None and row.account_group_id == account_group_id
        ):
            weight *= row.weight
    return ExampleMoney(
        plan=version.plan.name,
        number=version.number,
        currency=reward,
        decimals=digits if version.rounding_decimals is None else min(version.rounding_decimals, digits),
        mode=version.rounding_mode,
        stage=version.rounding_stage,
        weight=weight,
        guard=version.maximum_share_of_revenue,
    )


def _attributes(query: ExampleQuery) -> frozenset[tuple[str, str]]:
    pairs: Sequence[tuple[str, str]] = (
        (ACCOUNT_GROUP, str(query.account_group_id or "")),
        (ACCOUNT_TYPE, str(query.account_type_id or "")),
        (COUNTRY, query.country),
        (CAMPAIGN, query.campaign),
        (f"{DIMENSION} {query.dimension}", query.dimension_value),
    )
    return frozenset(pair for pair in pairs if pair[1])
