"""What the database refuses of a rule: combinations that say nothing, or two things at once."""

from __future__ import annotations

from django.db.models import CheckConstraint, Q

AMOUNTS = ["per_lot", "cpa", "per_active_client", "rank_bonus"]
"""Bases whose rate is an amount in a stated currency; the others take the currency of what they measure."""
BY_TRADE = [
    "per_lot",
    "points",
    "spread_share",
    "markup_share",
    "platform_commission_share",
    "notional_per_million",
    "client_profit_share",
]
SHARES = [
    "spread_share",
    "markup_share",
    "platform_commission_share",
    "client_profit_share",
    "net_revenue_share",
]


def _empty(*names: str) -> Q:
    return Q(**{f"{name}__isnull": True for name in names})


def _positive(name: str) -> CheckConstraint:
    return CheckConstraint(condition=_empty(name) | Q(**{f"{name}__gt": 0}), name=f"ib_planrule_{name}")


_BY_TRADE_ONLY = _empty(
    "minimum_hold_seconds",
    "maximum_hold_seconds",
    "minimum_points",
    "minimum_lots",
    "cap_per_order",
    "cap_client_day",
    "cap_client_lifetime",
    "cap_partner_period",
) & Q(side="", only_profitable=False, hedged_once=False, uses_credit_coefficient=False, pays_negative_balance=True)

RULE_CHECKS = [
    CheckConstraint(condition=Q(level__isnull=True) | Q(level__lte=100), name="ib_planrule_level_bounded"),
    CheckConstraint(condition=Q(rate__gte=0), name="ib_planrule_amount_not_negative"),
    CheckConstraint(condition=_empty("symbol") | _empty("symbol_group"), name="ib_planrule_symbol_or_group"),
    CheckConstraint(
        condition=Q(dimension="", dimension_value="") | ~Q(dimension="") & ~Q(dimension_value=""),
        name="ib_planrule_dimension_whole",
    ),
    # The part of another's rate, what is passed up and what is taken on a commission have the money of those.
    CheckConstraint(
        condition=Q(distribution__in=["allocation", "override"], currency="")
        | ~Q(distribution__in=["allocation", "override"])
        & (Q(basis__in=AMOUNTS) & ~Q(currency="") | ~Q(basis__in=AMOUNTS) & Q(currency=""))
        | Q(distribution="override", basis__in=AMOUNTS),
        name="ib_planrule_currency_of_amount",
    ),
    CheckConstraint(
        condition=Q(rate__lte=1000)
        | Q(basis__in=["cpa", "per_active_client"])
        | ~Q(basis__in=SHARES) & ~Q(distribution__in=["allocation", "override"]),
        name="ib_planrule_share_bounded",
    ),
    CheckConstraint(condition=~Q(distribution="allocation") | Q(rate__lte=100), name="ib_planrule_part_of_whole"),
    CheckConstraint(
        condition=Q(distribution="override") & ~Q(override_of="") & ~Q(funded_by="")
        | ~Q(distribution="override") & Q(override_of="", funded_by=""),
        name="ib_planrule_override_whole",
    ),
    CheckConstraint(
        condition=Q(cumulative=False) | Q(distribution="difference") & ~Q(rank=""), name="ib_planrule_cumulative"
    ),
    CheckConstraint(
        condition=_empty("same_rank_percent")
        | Q(distribution="difference", same_rank_percent__gt=0, same_rank_percent__lte=100),
        name="ib_planrule_same_rank",
    ),
    CheckConstraint(
        condition=Q(basis__in=BY_TRADE)
        | Q(basis="rank_bonus", distribution="absolute")
        | Q(distribution__in=["absolute", "override"], rank="", same_rank_percent__isnull=True)
        & ~Q(basis="rank_bonus"),
        name="ib_planrule_period_distribution",
    ),
    # A bonus is for a rank of the partner, whatever the clients traded; nothing else is.
    CheckConstraint(
        condition=~Q(basis="rank_bonus") & Q(bonus_for="") | Q(basis="rank_bonus") & ~Q(bonus_for="") & ~Q(rank=""),
        name="ib_planrule_bonus_whole",
    ),
    CheckConstraint(
        condition=~Q(basis="rank_bonus")
        | _empty(
            "symbol",
            "symbol_group",
            "account_group",
            "account_type",
            "level",
            "minimum_deposit",
            "minimum_lots_total",
            "minimum_revenue",
            "minimum_active_clients",
            "base_cap",
            "minimum_amount",
        )
        & Q(country="", campaign="", dimension="", tier_measure=""),
        name="ib_planrule_bonus_selects_nobody",
    ),
    # Those below cannot give more than they have.
    CheckConstraint(
        condition=~Q(funded_by="downline") | Q(basis__in=BY_TRADE) | Q(rate__lte=100),
        name="ib_planrule_downline_has_enough",
    ),
    CheckConstraint(
        condition=Q(spread_sides="") | Q(basis__in=["spread_share", "net_revenue_share", "cpa", "per_active_client"]),
        name="ib_planrule_spread_sides",
    ),
    CheckConstraint(
        condition=Q(basis="spread_share") | _empty("spread_cap_points", "average_spread_points"),
        name="ib_planrule_spread_options",
    ),
    CheckConstraint(condition=Q(basis__in=BY_TRADE) | _BY_TRADE_ONLY, name="ib_planrule_trade_conditions"),
    CheckConstraint(
        condition=~Q(basis__in=BY_TRADE)
        | _empty(
            "window_hours",
            "minimum_deposit",
            "minimum_lots_total",
            "minimum_revenue",
            "qualify_days",
            "clawback_days",
            "minimum_active_clients",
            "base_cap",
            "minimum_amount",
        ),
        name="ib_planrule_period_conditions",
    ),
    CheckConstraint(
        condition=Q(basis="cpa") | _empty("window_hours", "qualify_days", "clawback_days"),
        name="ib_planrule_cpa_conditions",
    ),
    CheckConstraint(
        condition=_empty("minimum_hold_seconds")
        | _empty("maximum_hold_seconds")
        | Q(maximum_hold_seconds__gte=0, minimum_hold_seconds__lte=2_000_000_000),
        name="ib_planrule_hold_bounded",
    ),
    CheckConstraint(
        condition=Q(tier_measure="", tier_mode="", tier_window="", tier_scope="")
        | ~Q(tier_measure="") & ~Q(tier_mode="") & ~Q(tier_window="") & ~Q(tier_scope=""),
        name="ib_planrule_tiers_whole",
    ),
    # Which rate a trade has by tiers is known after those below were divided with, so such a rule divides with nobody.
    CheckConstraint(condition=Q(tier_measure="") | Q(distribution="absolute"), name="ib_planrule_tiers_in_full"),
    CheckConstraint(condition=~Q(tier_window="prior") | Q(tier_mode="retroactive"), name="ib_planrule_prior_is_whole"),
    *(
        _positive(name)
        for name in (
            "spread_cap_points",
            "average_spread_points",
            "minimum_points",
            "minimum_lots",
            "cap_per_order",
            "cap_client_day",
            "cap_client_lifetime",
            "cap_partner_period",
            "base_cap",
            "minimum_amount",
            "minimum_deposit",
            "minimum_lots_total",
            "minimum_revenue",
        )
    ),
]
