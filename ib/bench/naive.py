"""The rivals that a programmer writes first: the ORM trade by trade, and cached dictionaries with bulk inserts.

Both know the four measures and the hybrids of the bench's plans. They write lines only: no ledger, no balances, no control totals, no claim; what ours does beside the lines is given to
them for nothing. They do a sample of the trades, spread evenly, and are compared per trade.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.models import F

from backoffice.kernel.decimals import EXACT
from backoffice.kernel.money import round_money
from ib.engine.fx import RATE_DECIMALS
from ib.models import Agreement, ClientReferral, CommissionLine, PartnerEdge, PlanRule, PlanVersion
from ib.rules.amounts import QUANTITY_DECIMALS, Rounding, reward
from platform_ops.rules.economics import MONEY_DECIMALS

BULK_SIZE = 2_000
_NO_CARD = 0
_RATE_STEP = Decimal(1).scaleb(-RATE_DECIMALS)

PROFIT_CURRENCY, BASE_ASSET, CONTRACT_SIZE = "USD", "EUR", Decimal(100_000)
COMPONENTS = ("main", "extra")
MILLION = Decimal(1_000_000)
_ROUNDING = Rounding(2)

PerEuro = Callable[[date, str], Decimal]
Rule = tuple[int, Decimal, str, str]
"""Its id, rate, currency and basis."""


def settle_with_the_orm(trade_ids: Sequence[int]) -> None:
    """For each trade: load it, climb the tree, look up agreement, plan and rule of each level, save the line."""
    Trade = apps.get_model("platform_ops", "Trade")
    for trade_id in trade_ids:
        with transaction.atomic():
            trade = Trade.objects.select_related("account", "server_symbol__symbol").get(pk=trade_id)
            _settle_trade(trade)


def _settle_trade(trade: Any) -> None:
    at = trade.closed_at
    referral = (
        ClientReferral.objects.filter(client_id=trade.account.client_id, validity__contains=at)
        .select_related("partner")
        .first()
    )
    partner, level = (referral.partner if referral else None), 1
    while partner is not None:
        for part, component in enumerate(COMPONENTS):
            rule = _rule_of(partner, component, level, trade.server_symbol.symbol.group_id, at)
            if rule is not None and rule.rate > 0:
                line = _line(
                    trade_id=trade.pk, day=trade.business_day, lots=trade.volume_lots, profit=trade.profit,
                    price=trade.close_price, account_currency=trade.currency, partner_id=partner.pk, part=part,
                    currency=partner.currency, level=level, rule=(rule.pk, rule.rate, rule.currency, rule.basis),
                    per_euro=_per_euro_of_database,
                )  # fmt: skip
                if line is not None:
                    line.save(force_insert=True)
        edge = PartnerEdge.objects.filter(child=partner, validity__contains=at).select_related("parent").first()
        partner, level = (edge.parent if edge else None), level + 1


def _rule_of(partner: Any, component: str, level: int, group_id: int, at: datetime) -> PlanRule | None:
    agreement = Agreement.objects.filter(partner=partner, validity__contains=at).first()
    if agreement is None:
        return None
    version = PlanVersion.objects.filter(
        plan_id=agreement.plan_id, state=PlanVersion.State.PUBLISHED, validity__contains=at
    ).first()
    if version is None:
        return None
    rules = PlanRule.objects.filter(version=version, component=component, level=level)
    return (
        (rules.filter(symbol_group_id=group_id) | rules.filter(symbol_group__isnull=True))
        .order_by(F("symbol_group").asc(nulls_last=True))
        .first()
    )


def _per_euro_of_database(day: date, currency: str) -> Decimal:
    if currency == "EUR":
        return Decimal(1)
    rates = apps.get_model("platform_ops", "FxReferenceRate").objects
    return rates.filter(source="ECB", currency=currency, date__lte=day).latest("date").per_euro  # type: ignore[no-any-return]


def _line(
    *,
    trade_id: int,
    day: date,
    lots: Decimal,
    profit: Decimal,
    price: Decimal,
    account_currency: str,
    partner_id: int,
    part: int,
    currency: str,
    level: int,
    rule: Rule,
    per_euro: PerEuro,
) -> CommissionLine | None:
    """The line, or None where a share is taken of nothing."""
    rule_id, rate, rate_currency, basis = rule
    quantity = lots
    if basis == "points":
        # A point of a lot of the bench's symbols (100,000 units at five digits) is worth one unit of their money.
        rate_currency = PROFIT_CURRENCY
    elif basis == "client_profit_share":
        quantity, rate_currency = profit, account_currency
        if profit <= 0:
            return None
    elif basis == "notional_per_million":
        quantity, rate_currency = _millions(day, lots, price, account_currency, per_euro), account_currency
    fx_rate = _rate(day, rate_currency, currency, per_euro)
    amount = reward(basis=basis, quantity=quantity, rate=rate, fx_rate=fx_rate, rounding=_ROUNDING)
    return CommissionLine(
        partner_id=partner_id, trade_id=trade_id, part=part, seq=0, day=day, batch_id=0, card_entry_id=_NO_CARD, rule_id=rule_id,
        level=level, quantity=quantity, rate=rate, rate_currency=rate_currency, fx_rate=fx_rate,
        fx_date=day, target=amount, amount=amount, currency=currency, booked_day=day,
    )  # fmt: skip


def _rate(day: date, given: str, into: str, per_euro: PerEuro) -> Decimal:
    if given == into:
        return Decimal(1)
    return EXACT.divide(per_euro(day, into), per_euro(day, given)).quantize(_RATE_STEP, context=EXACT)


def _millions(day: date, lots: Decimal, price: Decimal, account_currency: str, per_euro: PerEuro) -> Decimal:
    """What was traded, in millions of the account's money: euros are what the bench's symbols are bought in."""
    notional = lots * CONTRACT_SIZE
    if account_currency != BASE_ASSET:
        rate = _rate(day, PROFIT_CURRENCY, account_currency, per_euro)
        notional = round_money(EXACT.multiply(notional * price, rate), MONEY_DECIMALS)
    return round_money(notional / MILLION, QUANTITY_DECIMALS)


class CachedTables:
    """Everything but the trades, held in dictionaries; filling them is not timed."""

    def __init__(self) -> None:
        self.client = _pairs("platform_ops", "TradingAccount", "pk", "client_id")
        self.group = _pairs("platform_ops", "ServerSymbol", "pk", "symbol__group_id")
        self.currency = _pairs("ib", "Partner", "pk", "currency")
        self.referrals = _dated(ClientReferral.objects.values_list("client_id", "partner_id", "validity"))
        self.parents = _dated(PartnerEdge.objects.values_list("child_id", "parent_id", "validity"))
        self.plans = _dated(Agreement.objects.values_list("partner_id", "plan_id", "validity"))
        published = PlanVersion.objects.filter(state=PlanVersion.State.PUBLISHED)
        self.versions = _dated(published.values_list("plan_id", "pk", "validity"))
        self.rules: dict[tuple[int, str, int | None, int | None], Rule] = {
            (version, component, level, group): (pk, amount, currency, basis)
            for pk, version, component, level, group, amount, currency, basis in PlanRule.objects.values_list(
                "pk", "version_id", "component", "level", "symbol_group_id", "rate", "currency", "basis"
            )
        }
        rates = apps.get_model("platform_ops", "FxReferenceRate").objects
        self.rates = {(day, code): rate for day, code, rate in rates.values_list("date", "currency", "per_euro")}

    def per_euro(self, day: date, currency: str) -> Decimal:
        """Units of the currency for one euro; the bench has a fixing on every day."""
        return Decimal(1) if currency == "EUR" else self.rates[day, currency]


def settle_with_dictionaries(tables: CachedTables, trade_ids: Sequence[int]) -> None:
    """Reads the trades once, works in Python, writes lines two thousand at a time."""
    trades = apps.get_model("platform_ops", "Trade").objects.filter(pk__in=trade_ids)
    columns = ("pk", "account_id", "server_symbol_id", "volume_lots", "profit", "close_price", "currency", "closed_at",
               "business_day")  # fmt: skip
    lines: list[CommissionLine] = []
    with transaction.atomic():
        for trade_id, account_id, symbol_id, lots, profit, price, money, at, day in trades.values_list(
            *columns
        ).iterator():
            partner, level = _at(tables.referrals, tables.client[account_id], at), 1
            while partner is not None:
                for part, component in enumerate(COMPONENTS):
                    rule = _cached_rule(tables, partner, component, level, tables.group[symbol_id], at)
                    if rule is not None and rule[1] > 0:
                        line = _line(
                            trade_id=trade_id, day=day, lots=lots, profit=profit, price=price, account_currency=money,
                            partner_id=partner, part=part, level=level, rule=rule, currency=tables.currency[partner],
                            per_euro=tables.per_euro,
                        )  # fmt: skip
                        lines += [line] if line is not None else []
                partner, level = _at(tables.parents, partner, at), level + 1
        CommissionLine.objects.bulk_create(lines, batch_size=BULK_SIZE)


def _cached_rule(
    tables: CachedTables, partner: int, component: str, level: int, group: int, at: datetime
) -> Rule | None:
    plan = _at(tables.plans, partner, at)
    version = None if plan is None else _at(tables.versions, plan, at)
    if version is None:
        return None
    found = tables.rules.get((version, component, level, group))
    return found or tables.rules.get((version, component, level, None))


def _pairs(app: str, model: str, key: str, value: str) -> dict[int, Any]:
    return dict(apps.get_model(app, model).objects.values_list(key, value))


Dated = dict[int, list[tuple[datetime | None, datetime | None, int]]]


def _dated(rows: Iterable[tuple[int, int, Any]]) -> Dated:
    found: Dated = defaultdict(list)
    for key, value, validity in rows:
        found[key].append((validity.lower, validity.upper, value))
    return found


def _at(dated: Dated, key: int, at: datetime) -> int | None:
    for start, end, value in dated.get(key, ()):
        if (start is None or start <= at) and (end is None or at < end):
            return value
    return None
