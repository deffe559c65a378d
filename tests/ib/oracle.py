"""A naive second opinion: walks every trade by itself, in Python, over the rows of the set-up, with the kernel's money.

It shares nothing with the engine: no rate card, no SQL, no formula. Tests hold the two together to the cent.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import MissingRate
from backoffice.kernel.fx import PerEuroRateProvider
from backoffice.kernel.money import Money
from ib.models import Agreement, ClientReferral, Partner, PartnerEdge, PlanRule, PlanVersion
from platform_ops.models import FxReferenceRate, Trade

Worth = dict[tuple[int, int], Decimal]
"""(partner, trade) → amount in the partner's currency."""


def worth_of_all_trades() -> Worth:
    """What every partner should have earned on every trade, by the set-up as it stands."""
    table: dict[date, dict[str, Decimal]] = defaultdict(dict)
    for rate in FxReferenceRate.objects.all():
        table[rate.date][rate.currency] = rate.per_euro
    rates = PerEuroRateProvider(table, "ECB")
    worth: Worth = {}
    for trade in Trade.objects.select_related("account", "server_symbol__symbol"):
        for partner, amount in _walk(trade, rates):
            worth[partner.pk, trade.pk] = amount
    return worth


def _walk(trade: Trade, rates: PerEuroRateProvider) -> list[tuple[Partner, Decimal]]:
    if trade.is_cancelled or trade.account.is_demo or trade.account.client_id is None:
        return []
    if trade.server_symbol.symbol is None:
        return []
    referral = _at(ClientReferral.objects.filter(client_id=trade.account.client_id), trade.closed_at)
    found = []
    partner, level = (referral.partner, 1) if referral else (None, 0)
    while partner is not None:
        rule = _rule(partner, trade, level)
        if rule is not None:
            amount = _amount(rule, partner, trade, rates)
            if amount is not None:
                found.append((partner, amount))
        edge = _at(PartnerEdge.objects.filter(child=partner), trade.closed_at)
        partner, level = (edge.parent if edge else None), level + 1
    return found


def _rule(partner: Partner, trade: Trade, level: int) -> PlanRule | None:
    agreement = _at(Agreement.objects.filter(partner=partner), trade.closed_at)
    if agreement is None:
        return None
    version = _at(PlanVersion.objects.filter(plan=agreement.plan, state="published"), trade.closed_at)
    if version is None:
        return None
    rules = {rule.symbol_group_id: rule for rule in version.rules.filter(level=level)}
    rule = rules.get(trade.server_symbol.symbol.group_id) or rules.get(None)
    return rule if rule is not None and rule.rate else None


def _amount(rule: PlanRule, partner: Partner, trade: Trade, rates: PerEuroRateProvider) -> Decimal | None:
    earned = Money.of(trade.volume_lots * rule.rate, rule.currency)
    try:
        rate = rates.rate(base=earned.currency, quote=Currency.of(partner.currency), on=trade.business_day)
    except MissingRate:
        return None
    return rate.convert(earned).quantized().amount


def _at(rows: Any, moment: datetime) -> Any:
    """The row that is valid at the moment: from its start, up to and without its end."""
    for row in rows:
        if row.validity.isempty:
            continue
        started = row.validity.lower is None or row.validity.lower <= moment
        if started and (row.validity.upper is None or moment < row.validity.upper):
            return row
    return None
