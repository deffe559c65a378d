"""A version of a plan looked at before anybody is paid by it: what is wrong with it, what changed, what a trade would pay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.apps import apps
from django.db import connection

from backoffice.core.access import authorise, get_visible
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.decimals import EXACT, divide
from backoffice.kernel.errors import MissingRate
from ib.engine.card.chains import rules_of_version
from ib.engine.card.snapshot import rate_rule
from ib.engine.period_facts import rates
from ib.models import PlanRule, PlanVersion
from ib.rules import plain, rule_terms
from ib.rules.plan_checks import Checked, Finding, TypicalLot, WorstCase, check_version, worst_cases
from ib.rules.rates import RateRule
from ib.services.plans import selectors_of
from ib.services.requests import version_terms_of
from platform_ops.selectors.trade_economics import Part, trade_economics_select

TYPICAL_DAYS = 30
TYPICAL_TRADES = 5_000
"""The newest trades that the assumption about a lot is taken from, at most."""
RELATED = ("symbol", "symbol_group", "account_group", "account_type")


@dataclass(frozen=True, slots=True)
class VersionCheck:
    """What was found, what the worst case of each symbol group is, and what that rests on."""

    findings: tuple[Finding, ...]
    worst: tuple[WorstCase, ...]
    assumption: str

    @property
    def fatal(self) -> tuple[Finding, ...]:
        """What stands in the way of a publication."""
        return tuple(item for item in self.findings if item.is_fatal)


@dataclass(frozen=True, slots=True)
class DiffRow:
    """A rule of one version beside that of another: `kind` is same, changed, added or removed."""

    kind: str
    component: str
    old: str
    new: str
    fields: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """Two versions side by side: rule by rule, and how they treat money, ranks and weights."""

    old: str
    new: str
    rules: tuple[DiffRow, ...]
    terms: tuple[tuple[str, str, str], ...]


def check_plan_version(*, actor: Actor, version_id: int) -> VersionCheck:
    """What is wrong, doubtful or missing in a version, and the most that it can pay for a lot."""
    authorise(actor, "ib.view_plans")
    version = get_visible(PlanVersion.objects.select_related("plan__entity"), actor, pk=version_id)
    return checks_of(version)


def checks_of(version: PlanVersion) -> VersionCheck:
    """The same for a version that the caller may see."""
    currency = version.reward_currency or "USD"
    today = clock.today_business_day()
    typical = typical_lots(entity_id=version.plan.entity_id, currency=currency, today=today)
    checked = _checked(version, currency, today)
    first = today - timedelta(days=TYPICAL_DAYS)
    lots = sum((item.lots for item in typical.values()), Decimal(0))
    assumption = (
        f"Spread and commission of a lot are those of {plain(lots)} lots closed since {first}, in {currency}."
        if lots
        else f"No trade was closed since {first}: what a lot brings in is not known."
    )
    return VersionCheck(
        tuple(check_version(checked, typical=typical)), tuple(worst_cases(checked, typical)), assumption
    )


def unsound_in(version: PlanVersion) -> tuple[Finding, ...]:
    """What stands in the way of a publication, whoever publishes. What trades brought in matters to a guard only."""
    currency = version.reward_currency or "USD"
    today = clock.today_business_day()
    typical: Mapping[int, TypicalLot] = {}
    if version.maximum_share_of_revenue is not None:
        typical = typical_lots(entity_id=version.plan.entity_id, currency=currency, today=today)
    found = check_version(_checked(version, currency, today), typical=typical)
    return tuple(item for item in found if item.is_fatal)


def compare_versions(*, actor: Actor, version_id: int, with_id: int | None = None) -> VersionDiff:
    """A version beside an earlier one (the one before it, unless another is named)."""
    authorise(actor, "ib.view_plans")
    versions = PlanVersion.objects.select_related("plan")
    new = get_visible(versions, actor, pk=version_id)
    if with_id is not None:
        old: PlanVersion | None = get_visible(versions, actor, pk=with_id)
    else:
        old = versions.filter(plan_id=new.plan_id, number__lt=new.number).order_by("-number").first()
    before, after = (_rules_by_selectors(version) if version is not None else {} for version in (old, new))
    keys = [*after, *(key for key in before if key not in after)]
    rows = [_diff_row(before.get(key), after.get(key)) for key in keys]
    old_terms = version_terms_of(old) if old is not None else {}
    return VersionDiff(
        str(old) if old is not None else "nothing",
        str(new),
        tuple(rows),
        _differences(old_terms, version_terms_of(new)),
    )


def _rules_by_selectors(version: PlanVersion) -> dict[tuple[Any, ...], PlanRule]:
    rules = version.rules.select_related(*RELATED).prefetch_related("tiers").order_by("component", "position")
    return {(rule.component, selectors_of(rule)): rule for rule in rules}


def _diff_row(old: PlanRule | None, new: PlanRule | None) -> DiffRow:
    before, after = (str(rule) if rule is not None else "" for rule in (old, new))
    if old is None or new is None:
        present = new or old
        assert present is not None, "the key came from one of both"
        return DiffRow("added" if old is None else "removed", present.component, before, after)
    fields = _differences(rule_terms(old, tiers=list(old.tiers.all())), rule_terms(new, tiers=list(new.tiers.all())))
    changed = tuple(item for item in fields if item[0] not in {"Heading", "Promise"})
    return DiffRow("changed" if changed else "same", new.component, before, after, changed)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    names = [*new, *(name for name in old if name not in new)]
    return tuple(
        (name.replace("_", " ").capitalize(), _text(old.get(name)), _text(new.get(name)))
        for name in names
        if _text(old.get(name)) != _text(new.get(name))
    )


def _text(value: Any) -> str:
    if value is None or value == "" or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return "; ".join(f"{key}: {', '.join(map(str, item)) or 'nothing'}" for key, item in value.items())
    if isinstance(value, list):
        return "; ".join(" ".join(map(str, item)) if isinstance(item, list) else str(item) for item in value)
    return str(value)


def _checked(version: PlanVersion, currency: str, today: date) -> Checked:
    rows = list(
        version.rules.select_related(*RELATED).prefetch_related("tiers").order_by("component", "position", "pk")
    )
    known = _rates_into(currency, {rule.currency for rule in rows if rule.currency}, today)
    rules = [_in_money(rate_rule(rule), known) for rule in rows]
    of_trades = rules_of_version(version)
    ids = {rule.rule_id for rule in of_trades.rules}
    conditions = {rank.code: bool(rank.conditions.all()) for rank in version.ranks.prefetch_related("conditions")}
    lowest = of_trades.ranks[:1]
    symbols = apps.get_model("platform_ops", "Symbol")._default_manager
    named = [rule.symbol_id for rule in rows if rule.symbol_id is not None]
    return Checked(
        version=replace(of_trades, rules=tuple(rule for rule in rules if rule.rule_id in ids)),
        rules=tuple(rules),
        sentences={rule.pk: str(rule) for rule in rows},
        group_names=dict(apps.get_model("platform_ops", "SymbolGroup")._default_manager.values_list("pk", "name")),
        group_of_symbol=dict(symbols.filter(pk__in=named).values_list("pk", "group_id")),
        maximum_share=version.maximum_share_of_revenue,
        highest_tiers={
            rule.pk: max(tier.rate for tier in rule.tiers.all()) * known.get(rule.currency, Decimal(1))
            for rule in rows
            if rule.tiers.all()
        },
        by_hand_only=tuple(
            code for code, has in conditions.items() if not has and code not in lowest and any(conditions.values())
        ),
        earned_ranks=tuple(
            code for code, has in conditions.items() if has or (code in lowest and any(conditions.values()))
        ),
        lifetime_caps=tuple(rule.pk for rule in rows if rule.cap_client_lifetime is not None),
    )


def _in_money(rule: RateRule, known: Mapping[str, Decimal]) -> RateRule:
    """With an amount in the money that is compared in; which money it is in stays said, so that shares stay apart."""
    if not rule.currency or rule.currency not in known:
        return rule
    return replace(rule, rate=EXACT.multiply(rule.rate, known[rule.currency]))


def _rates_into(currency: str, given: set[str], today: date) -> dict[str, Decimal]:
    found = rates((today, code, currency) for code in sorted(given))
    return {code: rate for (_, code, _), (rate, _) in found.items() if rate is not None}


_TYPICAL = """
SELECT symbol.group_id, coalesce(economics.profit_currency, t.currency), t.currency, sum(t.volume_lots),
       sum((economics.spread_entry_money + economics.spread_exit_money) / 2),
       sum(t.volume_lots) FILTER (WHERE economics.spread_entry_money + economics.spread_exit_money IS NOT NULL),
       sum(economics.markup_money), sum(t.volume_lots) FILTER (WHERE economics.markup_money IS NOT NULL),
       sum(economics.platform_commission), sum(t.volume_lots) FILTER (WHERE economics.platform_commission IS NOT NULL),
       sum(economics.notional_account), sum(t.volume_lots) FILTER (WHERE economics.notional_account IS NOT NULL),
       sum(economics.point_value), sum(t.volume_lots) FILTER (WHERE economics.point_value IS NOT NULL)
FROM platform_ops_trade AS t
JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
JOIN ({economics}) AS economics ON economics.trade_id = t.id
WHERE t.id = ANY(%(trades)s) AND t.volume_lots > 0
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
"""
_NEWEST = """
SELECT t.id FROM platform_ops_trade AS t
JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id AND NOT account.is_demo
JOIN platform_ops_tradingserver AS server ON server.id = t.server_id
WHERE server.entity_id = %(entity)s AND t.business_day BETWEEN %(first)s AND %(today)s AND NOT t.is_cancelled
ORDER BY t.closed_at DESC, t.id DESC LIMIT %(limit)s
"""


def typical_lots(*, entity_id: int, currency: str, today: date) -> dict[int, TypicalLot]:
    """What a lot of each symbol group brought in on average, by the newest trades of the entity's clients."""
    first = today - timedelta(days=TYPICAL_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(_NEWEST, {"entity": entity_id, "first": first, "today": today, "limit": TYPICAL_TRADES})
        trades = [row[0] for row in cursor.fetchall()]
        if not trades:
            return {}
        economics = trade_economics_select(
            "t.id = ANY(%(trades)s)", parts=[Part.MARKET, Part.COMMISSION, Part.ACCOUNT_NOTIONAL]
        )
        cursor.execute(_TYPICAL.format(economics=economics), {"trades": trades})
        rows = cursor.fetchall()
    known = _rates_into(currency, {code for row in rows for code in row[1:3] if code}, today)
    return {
        group: _lot([row for row in rows if row[0] == group], currency, known) for group in {row[0] for row in rows}
    }


def _lot(rows: Sequence[tuple[Any, ...]], currency: str, known: Mapping[str, Decimal]) -> TypicalLot:
    """The averages of a group; spread, mark-up and points are in the symbol's money, the rest in the account's."""
    columns = {"spread": (4, 1), "markup": (6, 1), "commission": (8, 2), "notional": (10, 2), "point_value": (12, 1)}
    averages = {name: _average(rows, place, money, known) for name, (place, money) in columns.items()}
    return TypicalLot(currency, sum((row[3] for row in rows), Decimal(0)), **averages)


def _average(rows: Sequence[tuple[Any, ...]], place: int, money: int, known: Mapping[str, Decimal]) -> Decimal | None:
    total, lots = Decimal(0), Decimal(0)
    for row in rows:
        if row[place] is not None and row[money] in known:
            total, lots = total + row[place] * known[row[money]], lots + row[place + 1]
    return divide(total, lots) if lots else None


def rate_between(given: str, into: str, on: date) -> Decimal | None:
    """The reference rate of a day; None where there is none."""
    if given == into:
        return Decimal(1)
    try:
        return rates([(on, given, into)])[on, given, into][0]
    except MissingRate:
        return None
