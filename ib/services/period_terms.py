"""The rules by the period that bind a partner, as pure terms with the time during which each is in force."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.db import connection

from backoffice.kernel.currency import Currency
from ib.engine.period_facts import Selectors
from ib.models import Partner, PlanRule
from ib.rules.periods import (
    ActiveTerms,
    CarryScope,
    CarryTerms,
    CpaTerms,
    Money,
    ShareTerms,
    Tier,
)

NET_REVENUE, CPA, PER_ACTIVE_CLIENT = "net_revenue_share", "cpa", "per_active_client"
RANK_BONUS = "rank_bonus"
PERIOD_BASES = (NET_REVENUE, CPA, PER_ACTIVE_CLIENT, RANK_BONUS)
OVERRIDE = "override"


@dataclass(frozen=True, slots=True)
class RuleTerms:
    """A rule of a published version, and when it binds the partner: `windows` are spans [from, to) in their order."""

    rule_id: int
    plan_id: int
    component: str
    position: int
    basis: str
    selectors: Selectors
    rate: Decimal
    currency: str
    money: Money
    share: ShareTerms
    tier_measure: str
    tier_prior: bool
    tier_team: bool
    cpa: CpaTerms
    active: ActiveTerms
    minimum_active_clients: int | None
    rank: str
    bonus_for: str
    spread_sides: str
    is_override: bool
    override_direct: bool
    is_funded_below: bool
    stated_decimals: int | None
    carry: CarryTerms
    windows: tuple[tuple[datetime | None, datetime | None], ...]
    earlier: tuple[Selectors, ...] = ()

    @property
    def multirange(self) -> str:
        """The windows as the text of a multirange."""
        spans = (f"[{_instant(start)},{_instant(end)})" for start, end in self.windows)
        return "{" + ",".join(spans) + "}"

    def binds_at(self, at: datetime) -> bool:
        """Whether the rule is in force at the moment."""
        return any((start is None or start <= at) and (end is None or at < end) for start, end in self.windows)


_IN_FORCE = """
SELECT version.id, lower(agreement.validity * version.validity), upper(agreement.validity * version.validity)
FROM ib_agreement AS agreement
JOIN ib_planversion AS version
  ON version.plan_id = agreement.plan_id AND version.state = 'published' AND version.validity && agreement.validity
WHERE agreement.partner_id = %s
ORDER BY 2 NULLS FIRST
"""


def rules_of(partner: Partner) -> list[RuleTerms]:
    """Every rule by the period that ever binds the partner, in the order of precedence within its component."""
    spans: dict[int, list[tuple[datetime | None, datetime | None]]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_IN_FORCE, [partner.pk])
        for version_id, start, end in cursor.fetchall():
            spans[version_id].append((start, end))
    rows = (
        PlanRule.objects.filter(version_id__in=spans, basis__in=PERIOD_BASES)
        .select_related("version")
        .prefetch_related("tiers")
        .order_by("version_id", "component", "position", "pk")
    )
    found: list[RuleTerms] = []
    before: dict[tuple[int, str], list[Selectors]] = defaultdict(list)
    for row in rows:
        terms = terms_of(row, partner, tuple(spans[row.version_id]))
        group = before[row.version_id, row.component]
        found.append(replace(terms, earlier=_competing(terms.selectors, group)))
        if terms.basis != RANK_BONUS:  # a rank is the partner's own: no client is taken from another rule
            group.append(terms.selectors)
    return found


def terms_of(
    row: PlanRule, partner: Partner, windows: tuple[tuple[datetime | None, datetime | None], ...] = ()
) -> RuleTerms:
    """A stored rule as pure terms, for a partner's money."""
    version = row.version
    currency = version.reward_currency or partner.currency
    digits = Currency.of(currency).digits
    decimals = digits if version.rounding_decimals is None else min(version.rounding_decimals, digits)
    tiers = tuple(Tier(tier.from_value, tier.rate) for tier in row.tiers.all())
    is_prior = row.tier_window == "prior"
    return RuleTerms(
        rule_id=row.pk,
        plan_id=version.plan_id,
        component=row.component,
        position=row.position,
        basis=row.basis,
        selectors=Selectors(
            level=row.level,
            deepest=version.depth_limit,
            symbol_id=row.symbol_id,
            symbol_group_id=row.symbol_group_id,
            account_group_id=row.account_group_id,
            account_type_id=row.account_type_id,
            country=row.country,
            campaign=row.campaign,
            dimension=row.dimension,
            dimension_value=row.dimension_value,
        ),
        rate=row.rate,
        currency=row.currency or currency,
        money=Money(currency, decimals, version.rounding_mode),
        share=ShareTerms(
            rate=row.rate,
            tiers=tiers,
            marginal=row.tier_mode == "marginal",
            measures_base=row.tier_measure == "revenue" and not is_prior and row.tier_scope != "team",
            base_cap=row.base_cap,
            minimum=row.minimum_amount,
        ),
        tier_measure=row.tier_measure,
        tier_prior=is_prior,
        tier_team=row.tier_scope == "team",
        cpa=CpaTerms(
            window_hours=row.window_hours,
            minimum_deposit=row.minimum_deposit,
            minimum_lots=row.minimum_lots_total,
            minimum_revenue=row.minimum_revenue,
            qualify_days=row.qualify_days,
            clawback_days=row.clawback_days,
        ),
        active=ActiveTerms(
            minimum_lots=row.minimum_lots_total,
            minimum_deposit=row.minimum_deposit,
            minimum_revenue=row.minimum_revenue,
        ),
        minimum_active_clients=row.minimum_active_clients,
        rank=row.rank,
        bonus_for=row.bonus_for,
        spread_sides=row.spread_sides or "entry",
        is_override=row.distribution == OVERRIDE,
        override_direct=row.override_of == "direct",
        is_funded_below=row.funded_by == "downline",
        stated_decimals=version.rounding_decimals,
        carry=CarryTerms(CarryScope(version.carry_over), version.carry_cap, version.carry_reset_months),
        windows=windows,
    )


def _competing(own: Selectors, before: Sequence[Selectors]) -> tuple[Selectors, ...]:
    """The rules before that could take something from this one: not those of another level."""
    return tuple(other for other in before if own.level is None or other.level is None or own.level == other.level)


def _instant(at: datetime | None) -> str:
    return f'"{at.isoformat()}"' if at is not None else ""
