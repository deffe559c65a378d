"""Plans of several kinds: per lot, ranks, a share of the spread, tiers, a hybrid, and rewards for clients."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from backoffice.core.types import Actor
from ib.services import agreed_rates, plans
from ib.types import RuleTerms, VersionTerms

RANKS = (("bronze", "Bronze", "5.00"), ("silver", "Silver", "6.50"), ("gold", "Gold", "8.00"))
LEVELS = ("1.50", "0.80", "0.40", "0.20")
KINDS = ("ranks", "spread", "tiers", "hybrid", "clients")
REBATE = Decimal(20)
"""Percent of the introducer's share that goes back to some clients."""


def _per_lot(rate: str, **fields: object) -> RuleTerms:
    values: dict[str, object] = {"currency": "USD", "pays_close_by": True, **fields}
    return RuleTerms(rate=Decimal(rate), **values)  # type: ignore[arg-type]


def _upper_levels() -> list[RuleTerms]:
    return [_per_lot(rate, level=level) for level, rate in enumerate(LEVELS, start=2)]


def _rules() -> dict[str, list[RuleTerms]]:
    tiers = tuple((Decimal(start), Decimal(rate)) for start, rate in (("50", "6.00"), ("200", "7.50")))
    spread = RuleTerms(
        basis="spread_share",
        rate=Decimal(20),
        spread_cap_points=Decimal(35),
        level=1,
        component="spread",
        pays_close_by=True,
        minimum_hold_seconds=60,
    )
    return {
        "ranks": [_per_lot(rate, rank=code, distribution="difference") for code, _, rate in RANKS],
        # A statement tells no market price: there the share is excluded with that reason, and the small amount is paid.
        "spread": [_per_lot("2.00", level=1), *_upper_levels(), spread],
        "tiers": [
            _per_lot(
                "5.00",
                level=1,
                tier_measure="lots",
                tier_mode="marginal",
                tier_window="this",
                tier_scope="own",
                tiers=tiers,
                cap_client_day=Decimal(2_000),
            ),
            *_upper_levels(),
        ],
        "hybrid": [
            _per_lot("3.00", level=1),
            *_upper_levels(),
            RuleTerms(
                basis="notional_per_million", rate=Decimal(15), component="turnover", level=1, pays_close_by=True
            ),
        ],
        # What other desks tell about clients counts here: deposits bring the reward, bonuses and fees lessen the share.
        "clients": [
            _per_lot("1.50", level=1),
            *_upper_levels(),
            RuleTerms(
                basis="cpa",
                rate=Decimal(150),
                currency="USD",
                component="reward",
                level=1,
                minimum_deposit=Decimal(100),
                window_hours=24,
                clawback_days=90,
            ),
            RuleTerms(basis="net_revenue_share", rate=Decimal(10), component="revenue", level=1),
        ],
    }


TITLES = {
    "ranks": "Ranks by difference",
    "spread": "Share of the spread",
    "tiers": "Volume tiers",
    "hybrid": "Per lot and turnover",
    "clients": "Clients and net revenue",
}


def create_plans(*, entity_id: int, valid_from: datetime, actor: Actor) -> dict[str, int]:
    """Creates and publishes the plans; their ids by kind."""
    made = {}
    for kind, rules in _rules().items():
        plan = plans.create_plan(entity_id=entity_id, code=kind, name=TITLES[kind], actor=actor)
        version = plans.draft_version(plan_id=plan.pk, actor=actor)
        if kind == "clients":
            carried = VersionTerms(carry_over="plan", carry_cap=Decimal(5_000))
            plans.set_version_terms(version_id=version.pk, terms=carried, actor=actor)
        if kind == "ranks":
            for code, name, _ in RANKS:
                plans.add_rank(version_id=version.pk, code=code, name=name, actor=actor)
        for terms in rules:
            plans.add_rule(version_id=version.pk, terms=terms, actor=actor)
        plans.publish_version(version_id=version.pk, valid_from=valid_from, actor=actor)
        made[kind] = plan.pk
    return made


def kind_of(number: int) -> str | None:
    """Of ten partners five stay with amounts per lot; each of the others is on another kind of plan."""
    place = number % 10
    return KINDS[place] if place < len(KINDS) else None


def give_rank(*, partner_id: int, number: int, valid_from: datetime, actor: Actor) -> None:
    """A rank for a partner on the plan of ranks; who came first stands higher."""
    code = RANKS[2 if number < 10 else 1 if number < 20 else 0][0]
    agreed_rates.give_rank(
        partner_id=partner_id, rank=code, valid_from=valid_from, actor=actor, reason="by volume", is_automatic=True
    )
