"""What a rate card is compiled from: the set-up as it stands in this transaction, read in a few statements, frozen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.db import connection

from ib.models import PlanRank, PlanRule, PlanVersion, PlanWeight
from ib.rules.rates import Negotiated, RateRule, VersionRules
from ib.rules.terms import TRADE_BASES

MINIMUM = datetime.min.replace(tzinfo=UTC)
MAXIMUM = datetime.max.replace(tzinfo=UTC)
ACCOUNT_GROUP, ACCOUNT_TYPE, COUNTRY, CAMPAIGN, DIMENSION = (
    "account group",
    "account type",
    "country",
    "campaign",
    "dimension",
)

Attributes = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Span:
    """Something that holds during a time, [since, until)."""

    since: datetime
    until: datetime
    value: Any


@dataclass(frozen=True, slots=True)
class Money:
    """How a version treats money, and by how much volume counts: by symbol group, and by account group.

    `guard` is the most percent of a trade's revenue that may be paid.
    """

    reward_currency: str
    decimals: int | None
    mode: str
    stage: str
    group_weights: Mapping[int, Decimal]
    account_weights: Mapping[str, Decimal]
    guard: Decimal | None = None


@dataclass(frozen=True, slots=True)
class PartnerFacts:
    """What of a partner the card depends on."""

    partner_id: int
    currency: str
    is_trader: bool
    is_client: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole set-up. Symbols and attributes of accounts are those that some rule names."""

    partners: Mapping[int, PartnerFacts]
    parents: Mapping[int, tuple[Span, ...]]
    promises: Mapping[int, tuple[Span, ...]]
    ranks: Mapping[int, tuple[Span, ...]]
    negotiated: Mapping[int, tuple[Span, ...]]
    versions: Mapping[int, VersionRules]
    money: Mapping[int, Money]
    symbol_groups: tuple[int, ...]
    symbols: tuple[tuple[int, int], ...]
    classes: tuple[tuple[int, Attributes], ...]
    rules: Mapping[int, PlanRule]


def required_attributes(rule: PlanRule) -> Attributes:
    """What a rule asks of the account and its client."""
    pairs = [
        (ACCOUNT_GROUP, str(rule.account_group_id) if rule.account_group_id is not None else ""),
        (ACCOUNT_TYPE, str(rule.account_type_id) if rule.account_type_id is not None else ""),
        (COUNTRY, rule.country),
        (CAMPAIGN, rule.campaign),
        (f"{DIMENSION} {rule.dimension}", rule.dimension_value),
    ]
    return frozenset(pair for pair in pairs if pair[1])


def named_attributes() -> Attributes:
    """Every attribute that a rule by the trade or a weight names, of drafts too, so that a preview finds its classes."""
    rules = PlanRule.objects.filter(basis__in=TRADE_BASES)
    named = {pair for rule in rules for pair in required_attributes(rule)}
    weighed = PlanWeight.objects.exclude(account_group=None).values_list("account_group_id", flat=True)
    return frozenset(named | {(ACCOUNT_GROUP, str(group)) for group in weighed})


def read_snapshot(classes: Iterable[tuple[int, Attributes]]) -> Snapshot:
    """Reads the set-up; *classes* are the account classes that exist."""
    published = PlanVersion.objects.filter(state=PlanVersion.State.PUBLISHED, validity__isempty=False)
    rules = {rule.pk: rule for rule in PlanRule.objects.filter(version__in=published, basis__in=TRADE_BASES)}
    ranks: dict[int, list[str]] = defaultdict(list)
    for version_id, code in PlanRank.objects.order_by("position").values_list("version_id", "code"):
        ranks[version_id].append(code)
    by_version: dict[int, list[RateRule]] = defaultdict(list)
    for rule in sorted(rules.values(), key=lambda rule: (rule.component, rule.position, rule.pk)):
        by_version[rule.version_id].append(rate_rule(rule))
    versions = {
        version.pk: VersionRules(
            version.pk,
            tuple(by_version[version.pk]),
            tuple(ranks[version.pk]),
            version.depth_limit,
            version.pays_own_trades,
        )
        for version in published
    }
    return Snapshot(
        partners={
            row[0]: PartnerFacts(row[0], row[1], row[2] == "trader", row[3] is not None)
            for row in _rows("SELECT id, currency, kind, client_id FROM ib_partner")
        },
        parents=_spans(
            "SELECT child_id, lower(validity), upper(validity), parent_id FROM ib_partneredge WHERE NOT isempty(validity)"
        ),
        promises=_spans(_PROMISES),
        ranks=_spans(
            "SELECT partner_id, lower(validity), upper(validity), rank FROM ib_partnerrank WHERE NOT isempty(validity)"
        ),
        negotiated=_spans(_NEGOTIATED, _negotiated),
        versions=versions,
        money=_money(published),
        symbol_groups=tuple(row[0] for row in _rows("SELECT id FROM platform_ops_symbolgroup ORDER BY id")),
        symbols=tuple(_rows(_SYMBOLS)),
        classes=tuple(classes),
        rules=rules,
    )


def rate_rule(rule: PlanRule) -> RateRule:
    """What of a rule decides who earns at which rate."""
    return RateRule(
        rule_id=rule.pk,
        component=rule.component,
        position=rule.position,
        basis=rule.basis,
        rate=rule.rate,
        currency=rule.currency,
        symbol_id=rule.symbol_id,
        symbol_group_id=rule.symbol_group_id,
        requires=required_attributes(rule),
        level=rule.level,
        rank=rule.rank,
        distribution=rule.distribution,
        cumulative=rule.cumulative,
        override_of=rule.override_of,
        funded_by=rule.funded_by,
        same_rank_percent=rule.same_rank_percent,
        needs_period=needs_period(rule),
    )


def needs_period(rule: PlanRule) -> bool:
    """Whether what a trade earns depends on the trades before it."""
    caps = (rule.cap_client_day, rule.cap_client_lifetime, rule.cap_partner_period)
    return bool(rule.tier_measure) or rule.hedged_once or any(cap is not None for cap in caps)


_PROMISES = """
SELECT agreement.partner_id, lower(agreement.validity * version.validity), upper(agreement.validity * version.validity),
       version.id
FROM ib_agreement AS agreement
JOIN ib_planversion AS version
  ON version.plan_id = agreement.plan_id AND version.state = 'published' AND version.validity && agreement.validity
"""
_NEGOTIATED = """
SELECT partner_id, lower(validity), upper(validity), component, rate, allocation_percent
FROM ib_negotiatedrate WHERE NOT isempty(validity)
"""
_SYMBOLS = """
SELECT symbol.id, symbol.group_id FROM platform_ops_symbol AS symbol
WHERE symbol.id IN (SELECT symbol_id FROM ib_planrule WHERE symbol_id IS NOT NULL) ORDER BY symbol.id
"""


def _negotiated(row: tuple[Any, ...]) -> Negotiated:
    return Negotiated(component=row[0], rate=row[1], percent=row[2])


def _spans(sql: str, value: Any = lambda row: row[0]) -> dict[int, tuple[Span, ...]]:
    found: dict[int, list[Span]] = defaultdict(list)
    for row in _rows(sql):
        found[row[0]].append(Span(row[1] or MINIMUM, row[2] or MAXIMUM, value(row[3:])))
    return {key: tuple(sorted(spans, key=lambda span: span.since)) for key, spans in found.items()}


def _money(versions: Iterable[PlanVersion]) -> dict[int, Money]:
    groups: dict[int, dict[int, Decimal]] = defaultdict(dict)
    accounts: dict[int, dict[str, Decimal]] = defaultdict(dict)
    for weight in PlanWeight.objects.all():
        if weight.symbol_group_id is not None:
            groups[weight.version_id][weight.symbol_group_id] = weight.weight
        else:
            accounts[weight.version_id][str(weight.account_group_id)] = weight.weight
    return {
        version.pk: Money(
            reward_currency=version.reward_currency,
            decimals=version.rounding_decimals,
            mode=version.rounding_mode,
            stage=version.rounding_stage,
            group_weights=groups[version.pk],
            account_weights=accounts[version.pk],
            guard=version.maximum_share_of_revenue,
        )
        for version in versions
    }


def _rows(sql: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())
