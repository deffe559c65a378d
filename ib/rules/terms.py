"""What a rule of a plan may say: every refusal names the field. The database refuses the same (`models.rule_checks`)."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import InvalidInput
from ib.types import RuleTerms, VersionTerms

AMOUNT_DECIMALS = 8
USUAL_DIGITS = 2
"""Decimals of most currencies, and the most of a plan whose reward is in each partner's own."""
HIGHEST_RATE = Decimal(1_000_000)
HIGHEST_SHARE = Decimal(1_000)
HIGHEST_BOUND = Decimal(10) ** 15
DEEPEST_LEVEL = 100
MAXIMUM_TIERS = 50

RANK_BONUS = "rank_bonus"
AMOUNTS = frozenset({"per_lot", "cpa", "per_active_client", RANK_BONUS})
CLIENT_BASES = frozenset({"net_revenue_share", "cpa", "per_active_client"})
"""What clients brought in a period."""
PERIOD_BASES = CLIENT_BASES | {RANK_BONUS}
SHARE_BASES = frozenset(
    {"spread_share", "markup_share", "platform_commission_share", "client_profit_share", "net_revenue_share"}
)
TRADE_BASES = frozenset({"per_lot", "points", "notional_per_million"}) | SHARE_BASES - {"net_revenue_share"}
CHOICES: dict[str, frozenset[str]] = {
    "basis": TRADE_BASES | PERIOD_BASES,
    "distribution": frozenset({"absolute", "difference", "allocation", "pass_up", "override"}),
    "override_of": frozenset({"", "direct", "all"}),
    "funded_by": frozenset({"", "broker", "downline"}),
    "bonus_for": frozenset({"", "reached", "kept"}),
    "spread_sides": frozenset({"", "entry", "half_half"}),
    "side": frozenset({"", "buy", "sell"}),
    "tier_measure": frozenset({"", "lots", "notional", "revenue", "active_clients", "deposits"}),
    "tier_mode": frozenset({"", "marginal", "retroactive"}),
    "tier_window": frozenset({"", "this", "prior"}),
    "tier_scope": frozenset({"", "own", "team"}),
}
BOUNDS = [
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
]
OF_TRADES = [
    "minimum_hold_seconds",
    "maximum_hold_seconds",
    "minimum_points",
    "minimum_lots",
    "side",
    "only_profitable",
    "hedged_once",
    "uses_credit_coefficient",
    "cap_per_order",
    "cap_client_day",
    "cap_client_lifetime",
    "cap_partner_period",
]
OF_PERIODS = [
    "window_hours",
    "minimum_deposit",
    "minimum_lots_total",
    "minimum_revenue",
    "qualify_days",
    "clawback_days",
    "minimum_active_clients",
    "base_cap",
    "minimum_amount",
]
OF_CLIENTS = [
    "symbol_id",
    "symbol_group_id",
    "account_group_id",
    "account_type_id",
    "country",
    "campaign",
    "dimension",
    "level",
    "tier_measure",
]
"""What a bonus for a rank, which is the partner's own, cannot be chosen by."""
OF_CPA = ("window_hours", "qualify_days", "clawback_days")


def check_terms(terms: RuleTerms) -> None:
    """Raises InvalidInput, naming the field, for a rule that says nothing, or two things at once."""
    for field, choices in CHOICES.items():
        if getattr(terms, field) not in choices:
            _refuse(field, getattr(terms, field), f"It must be one of {', '.join(sorted(choices - {''}))}.")
    _check_rate(terms)
    _check_selectors(terms)
    _check_distribution(terms)
    _check_conditions(terms)
    _check_tiers(terms)


def _check_rate(terms: RuleTerms) -> None:
    rate = exact_decimal(terms.rate, field="rate")
    is_percent = terms.distribution in {"allocation", "override"}
    highest = HIGHEST_SHARE if is_percent or terms.basis in SHARE_BASES else HIGHEST_RATE
    highest = Decimal(100) if terms.distribution == "allocation" else highest
    if not 0 <= rate <= highest or rate != round(rate, AMOUNT_DECIMALS):
        _refuse("rate", rate, f"The rate must lie between 0 and {highest}, with at most {AMOUNT_DECIMALS} decimals.")
    needs_currency = terms.basis in AMOUNTS and not is_percent
    if needs_currency:
        Currency.of(terms.currency)
    elif terms.currency and not (terms.distribution == "override" and terms.basis in AMOUNTS):
        _refuse("currency", terms.currency, "It has the currency of what it measures; leave this empty.")


def _check_selectors(terms: RuleTerms) -> None:
    if terms.symbol_id is not None and terms.symbol_group_id is not None:
        _refuse("symbol_group", terms.symbol_group_id, "A rule names a symbol or a group, not both.")
    if terms.level is not None and not 0 <= terms.level <= DEEPEST_LEVEL:
        _refuse("level", terms.level, f"The level must lie between 0 and {DEEPEST_LEVEL}.")
    if bool(terms.dimension) != bool(terms.dimension_value):
        _refuse("dimension_value", terms.dimension_value, "A dimension and its value go together.")
    if not terms.component.strip():
        _refuse("component", terms.component, "A rule needs a component.")


def _check_distribution(terms: RuleTerms) -> None:
    is_override = terms.distribution == "override"
    for field in ("override_of", "funded_by"):
        if bool(getattr(terms, field)) != is_override:
            _refuse(field, getattr(terms, field), "An override says of whom and who pays it; other rules do not.")
    if terms.cumulative and (terms.distribution != "difference" or not terms.rank):
        _refuse("cumulative", True, "Only differences between ranks are added up.")
    if terms.same_rank_percent is not None and (
        terms.distribution != "difference" or not 0 < terms.same_rank_percent <= 100
    ):
        _refuse("same_rank_percent", terms.same_rank_percent, "Percent, above 0 and up to 100, of a difference.")
    if terms.basis in PERIOD_BASES and terms.distribution not in {"absolute", "override"}:
        _refuse("distribution", terms.distribution, "What is settled by the period is paid in full or as an override.")
    if terms.basis in PERIOD_BASES and terms.funded_by == "downline" and terms.rate > 100:
        _refuse("rate", terms.rate, "Those below cannot give more than they have: at most 100 percent.")
    if terms.basis in CLIENT_BASES and terms.rank:
        _refuse("rank", terms.rank, "Ranks share what is settled by the trade, or have a bonus.")
    _check_bonus(terms)


def _check_bonus(terms: RuleTerms) -> None:
    if terms.basis != RANK_BONUS:
        if terms.bonus_for:
            _refuse("bonus_for", terms.bonus_for, "Only a bonus for a rank has this.")
        return
    if terms.distribution != "absolute":
        _refuse(
            "distribution", terms.distribution, "A bonus for a rank is paid in full; nobody above has a part of it."
        )
    if not terms.rank:
        _refuse("rank", terms.rank, "Say for which rank the bonus is.")
    if not terms.bonus_for:
        _refuse(
            "bonus_for", terms.bonus_for, "Say whether reaching the rank is paid once, or each month that keeps it."
        )
    for field in OF_CLIENTS:
        if getattr(terms, field) not in (None, ""):
            _refuse(field.removesuffix("_id"), getattr(terms, field), "A rank is the partner's own: leave this empty.")


def _check_conditions(terms: RuleTerms) -> None:
    for field in BOUNDS:
        value = getattr(terms, field)
        if value is not None and not 0 < exact_decimal(value, field=field) <= HIGHEST_BOUND:
            _refuse(field, value, "It must be above zero.")
    if terms.basis != "spread_share" and (
        terms.spread_cap_points is not None or terms.average_spread_points is not None
    ):
        _refuse("spread_cap_points", terms.spread_cap_points, "Only a share of the spread has this.")
    if terms.spread_sides and terms.basis not in CLIENT_BASES | {"spread_share"}:
        _refuse("spread_sides", terms.spread_sides, "Only a share of the spread has this.")
    foreign = OF_TRADES if terms.basis in PERIOD_BASES else OF_PERIODS
    if terms.basis == RANK_BONUS:
        for field in OF_PERIODS:
            if getattr(terms, field) is not None:
                _refuse(field, getattr(terms, field), "Only a rule about clients has this.")
    kind = "trade" if foreign is OF_TRADES else "period"
    for field in foreign:
        if getattr(terms, field) not in (None, "", False):
            _refuse(field, getattr(terms, field), f"Only a rule that is settled by the {kind} has this.")
    if terms.basis in PERIOD_BASES and not terms.pays_negative_balance:
        _refuse("pays_negative_balance", False, "Only a rule that is settled by the trade has this.")
    for field in OF_CPA:
        if terms.basis != "cpa" and getattr(terms, field) is not None:
            _refuse(field, getattr(terms, field), "Only a reward for a client has this.")
    shortest, longest = terms.minimum_hold_seconds, terms.maximum_hold_seconds
    if shortest is not None and longest is not None and shortest > longest:
        _refuse("maximum_hold_seconds", longest, "The longest time is shorter than the shortest.")


def _check_tiers(terms: RuleTerms) -> None:
    given = [bool(getattr(terms, name)) for name in ("tier_measure", "tier_mode", "tier_window", "tier_scope")]
    if any(given) != all(given):
        _refuse("tier_measure", terms.tier_measure, "Tiers need a measure, a mode, a window and a scope.")
    if any(given) != bool(terms.tiers):
        _refuse("tiers", len(terms.tiers), "Tiers and what they are measured by go together.")
    if any(given) and terms.distribution != "absolute":
        _refuse("distribution", terms.distribution, "A rule with tiers is paid in full.")
    if terms.tier_window == "prior" and terms.tier_mode != "retroactive":
        _refuse("tier_mode", terms.tier_mode, "The period before gives one rate to everything.")
    by_trade = terms.basis in TRADE_BASES
    if by_trade and terms.tier_mode == "marginal" and terms.tier_measure not in {"", "lots", "notional"}:
        _refuse("tier_mode", terms.tier_mode, "By the trade, only lots and turnover have a part that lies above.")
    starts = [exact_decimal(start, field="tiers") for start, _ in terms.tiers]
    if len(starts) > MAXIMUM_TIERS or len(set(starts)) != len(starts) or any(start <= 0 for start in starts):
        _refuse("tiers", len(starts), f"At most {MAXIMUM_TIERS} tiers, each from another value above zero.")
    for _, rate in terms.tiers:
        if not 0 <= exact_decimal(rate, field="tiers") <= HIGHEST_RATE:
            _refuse("tiers", rate, "A rate must not be negative.")


def check_version_terms(terms: VersionTerms) -> None:
    """Raises InvalidInput, naming the field, for a policy of money that cannot be."""
    if terms.reward_currency:
        Currency.of(terms.reward_currency)
    for field, choices in {
        "rounding_stage": {"line", "step"},
        "rounding_mode": {"half_up", "half_even", "down"},
        "carry_over": {"none", "plan", "partner", "group"},
    }.items():
        if getattr(terms, field) not in choices:
            _refuse(field, getattr(terms, field), f"It must be one of {', '.join(sorted(choices))}.")
    check_decimals(reward_currency=terms.reward_currency, decimals=terms.rounding_decimals)
    if terms.depth_limit is not None and not 1 <= terms.depth_limit <= DEEPEST_LEVEL:
        _refuse("depth_limit", terms.depth_limit, f"Between 1 and {DEEPEST_LEVEL}.")
    share = terms.maximum_share_of_revenue
    if share is not None and not 0 < share <= HIGHEST_SHARE - 1:
        _refuse("maximum_share_of_revenue", share, "Percent, above zero.")
    if terms.carry_over == "none" and (terms.carry_cap is not None or terms.carry_reset_months is not None):
        _refuse("carry_over", terms.carry_over, "What is not carried over has no bound.")
    if terms.carry_cap is not None and not 0 < terms.carry_cap <= HIGHEST_BOUND:
        _refuse("carry_cap", terms.carry_cap, "It must be above zero.")
    if terms.carry_reset_months is not None and terms.carry_reset_months < 1:
        _refuse("carry_reset_months", terms.carry_reset_months, "At least one month.")


def check_decimals(*, reward_currency: str, decimals: int | None) -> None:
    """Raises InvalidInput (`finer_than_currency`) for more decimals than the books have of the reward's currency.

    Where the reward has each partner's own currency, two are the most: a currency with more has to be stated.
    """
    if decimals is None:
        return
    digits = Currency.of(reward_currency).digits if reward_currency else USUAL_DIGITS
    if decimals < 0:
        _refuse("rounding_decimals", decimals, "It must not be negative.")
    if decimals > digits:
        whose = f"{reward_currency} has" if reward_currency else "Without a stated currency of the reward a plan has"
        raise InvalidInput(
            f"{whose} at most {digits} decimals; finer amounts cannot be booked.",
            code="finer_than_currency",
            field="rounding_decimals",
            value=str(decimals),
        )


def _refuse(field: str, value: Any, message: str) -> None:
    raise InvalidInput(message, field=field, value=str(value))
