"""A rule of a plan in words, and as plain data: what people approve."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ib.rules.references import plain

MEASURES = {
    "spread_share": "the spread",
    "markup_share": "the mark-up",
    "platform_commission_share": "the platform's commission",
    "client_profit_share": "the client's profit",
    "net_revenue_share": "net revenue",
}
AMOUNTS = {
    "per_lot": "per lot",
    "notional_per_million": "per million of turnover",
    "cpa": "for a client",
    "per_active_client": "per active client",
    "rank_bonus": "as a bonus",
}
OVERRIDDEN = {
    "net_revenue_share": "the net revenue shares",
    "cpa": "the rewards for clients",
    "per_active_client": "the amounts for active clients",
}
"""What an override by the period is a part of; by the trade it is the commission."""
BONUS_FOR = {"reached": "once, for reaching it", "kept": "for each month that earns or keeps it"}
DISTRIBUTIONS = {
    "difference": "as the difference to those below",
    "allocation": "as a part of the rate of the partner above",
    "pass_up": "passed up by the partner below",
}
TIER_MEASURES = {
    "lots": "lots",
    "notional": "of turnover",
    "revenue": "of revenue",
    "active_clients": "active clients",
    "deposits": "of deposits",
}
SELECTORS = ("symbol", "symbol_group", "account_group", "account_type", "country", "campaign", "level", "rank")


def sentence(rule: Any, *, tiers: Sequence[Any] = ()) -> str:
    """A rule as people say it: "7.00 USD per lot on Majors to level 1".

    *rule* has the fields of `ib.models.PlanRule`.
    """
    return ", ".join(
        [" ".join(word for word in (_how_much(rule), _on_what(rule), _to_whom(rule)) if word), *_rest(rule, tiers)]
    )


def heading(rule: Any) -> str:
    """What a rule applies to, as a title: "Majors, level 1"."""
    where = _on_what(rule).removeprefix("on ") or "every client"
    part = f"{rule.component}: " if rule.component != "main" else ""
    return part + f"{where[:1].upper()}{where[1:]}, {_to_whom(rule).removeprefix('to ')}"


def promise(rule: Any, *, tiers: Sequence[Any] = ()) -> str:
    """What a rule pays, without what it applies to."""
    return ", ".join([_how_much(rule), *_rest(rule, tiers)])


def _rest(rule: Any, tiers: Sequence[Any]) -> list[str]:
    words = [DISTRIBUTIONS[rule.distribution]] if rule.distribution in DISTRIBUTIONS else []
    words += [BONUS_FOR[rule.bonus_for]] if rule.bonus_for in BONUS_FOR else []
    words += _conditions(rule) + _qualification(rule) + _caps(rule) + _tiers(rule, tiers)
    return [word for word in words if word]


def _how_much(rule: Any) -> str:
    rate = plain(rule.rate)
    if rule.distribution == "override":
        whose = "everybody below" if rule.override_of == "all" else "the next one below"
        funds = ", taken from them" if rule.funded_by == "downline" else ""
        return f"{rate} % of {OVERRIDDEN.get(rule.basis, 'the commission')} of {whose}{funds}"
    if rule.distribution == "allocation":
        return f"{rate} % of the rate"
    if rule.basis in MEASURES:
        return f"{rate} % of {MEASURES[rule.basis]}{_spread(rule)}"
    if rule.basis == "points":
        return f"{rate} points"
    return f"{_two_places(rule.rate)} {rule.currency} {AMOUNTS[rule.basis]}".replace("  ", " ")


def _spread(rule: Any) -> str:
    if rule.basis != "spread_share":
        return ""
    words = " at entry" if rule.spread_sides != "half_half" else ", half at entry and half at exit"
    if rule.spread_cap_points is not None:
        words += f", at most {plain(rule.spread_cap_points)} points"
    if rule.average_spread_points is not None:
        words += f", reduced above {plain(rule.average_spread_points)} points"
    return words


def _on_what(rule: Any) -> str:
    if rule.symbol is not None:
        where = f"on {rule.symbol}"
    else:
        where = f"on {rule.symbol_group}" if rule.symbol_group is not None else "on all symbols"
    if rule.basis in {"cpa", "per_active_client", "rank_bonus"}:
        where = "" if rule.symbol is None and rule.symbol_group is None else where
    limits = [
        f"accounts in {rule.account_group}" if rule.account_group is not None else "",
        f"{rule.account_type} accounts" if rule.account_type is not None else "",
        f"clients from {rule.country}" if rule.country else "",
        f"campaign {rule.campaign}" if rule.campaign else "",
        f"{rule.dimension} {rule.dimension_value}" if rule.dimension else "",
    ]
    return ", ".join(word for word in [where, *limits] if word)


def _to_whom(rule: Any) -> str:
    if rule.basis == "rank_bonus":
        return f"to partners of rank {rule.rank}"
    rank = f" of rank {rule.rank}" if rule.rank else ""
    return f"to {f'level {rule.level}' if rule.level is not None else 'every level'}{rank}"


def _conditions(rule: Any) -> list[str]:
    return [
        "rates of the ranks added up" if rule.cumulative else "",
        f"{plain(rule.same_rank_percent)} % of it to the same rank above" if rule.same_rank_percent is not None else "",
        f"held for at least {rule.minimum_hold_seconds} seconds" if rule.minimum_hold_seconds is not None else "",
        f"held for at most {rule.maximum_hold_seconds} seconds" if rule.maximum_hold_seconds is not None else "",
        f"moved at least {plain(rule.minimum_points)} points" if rule.minimum_points is not None else "",
        f"at least {plain(rule.minimum_lots)} lots" if rule.minimum_lots is not None else "",
        f"{rule.side} only" if rule.side else "",
        "profitable trades only" if rule.only_profitable else "",
        "hedged volume once" if rule.hedged_once else "",
        "no negative balance" if not rule.pays_negative_balance else "",
        "less the part of credit" if rule.uses_credit_coefficient else "",
    ]


def _qualification(rule: Any) -> list[str]:
    return [
        f"first deposit within {rule.window_hours} hours" if rule.window_hours is not None else "",
        f"deposits of at least {plain(rule.minimum_deposit)}" if rule.minimum_deposit is not None else "",
        f"at least {plain(rule.minimum_lots_total)} lots traded" if rule.minimum_lots_total is not None else "",
        f"revenue of at least {plain(rule.minimum_revenue)}" if rule.minimum_revenue is not None else "",
        f"within {rule.qualify_days} days" if rule.qualify_days is not None else "",
        f"taken back within {rule.clawback_days} days" if rule.clawback_days is not None else "",
        f"at least {rule.minimum_active_clients} active clients" if rule.minimum_active_clients is not None else "",
    ]


def _caps(rule: Any) -> list[str]:
    named = [
        ("cap_per_order", "an order"),
        ("cap_client_day", "a client and day"),
        ("cap_client_lifetime", "a client for ever"),
        ("cap_partner_period", "a period"),
        ("base_cap", "of the base"),
    ]
    caps = [(getattr(rule, name), words) for name, words in named]
    found = [f"at most {plain(cap)} {words}" for cap, words in caps if cap is not None]
    return [*found, f"at least {plain(rule.minimum_amount)}" if rule.minimum_amount is not None else ""]


def _tiers(rule: Any, tiers: Sequence[Any]) -> list[str]:
    if not rule.tier_measure:
        return []
    steps = "; ".join(
        f"from {plain(tier.from_value)} {TIER_MEASURES[rule.tier_measure]} {plain(tier.rate)}" for tier in tiers
    )
    window = "the period before" if rule.tier_window == "prior" else "the period"
    whose = "with everybody below" if rule.tier_scope == "team" else "of own clients"
    mode = "only on what lies above" if rule.tier_mode == "marginal" else "on everything"
    return [f"by {window} {whose}: {steps}, {mode}"]


def _two_places(rate: Decimal) -> str:
    text = plain(rate)
    places = len(text.partition(".")[2])
    return text if places >= 2 else f"{rate:.2f}"


TERM_FIELDS = [
    "component",
    "position",
    "country",
    "campaign",
    "dimension",
    "dimension_value",
    "level",
    "rank",
    "basis",
    "rate",
    "currency",
    "distribution",
    "cumulative",
    "override_of",
    "funded_by",
    "same_rank_percent",
    "bonus_for",
    "spread_sides",
    "spread_cap_points",
    "average_spread_points",
    "minimum_hold_seconds",
    "maximum_hold_seconds",
    "minimum_points",
    "minimum_lots",
    "side",
    "only_profitable",
    "pays_close_by",
    "hedged_once",
    "pays_negative_balance",
    "uses_credit_coefficient",
    "cap_per_order",
    "cap_client_day",
    "cap_client_lifetime",
    "cap_partner_period",
    "base_cap",
    "minimum_amount",
    "window_hours",
    "minimum_deposit",
    "minimum_lots_total",
    "minimum_revenue",
    "qualify_days",
    "clawback_days",
    "minimum_active_clients",
    "tier_measure",
    "tier_mode",
    "tier_window",
    "tier_scope",
]


def rule_terms(rule: Any, *, tiers: Sequence[Any] = ()) -> dict[str, Any]:
    """A rule as plain data: the same rule gives the same data, however many zeros its amounts were stored with."""
    terms: dict[str, Any] = {
        "symbol": rule.symbol.code if rule.symbol is not None else None,
        "symbol_group": rule.symbol_group.code if rule.symbol_group is not None else None,
        "account_group": str(rule.account_group) if rule.account_group is not None else None,
        "account_type": rule.account_type.code if rule.account_type is not None else None,
    }
    for name in TERM_FIELDS:
        value = getattr(rule, name)
        terms[name] = plain(value) if isinstance(value, Decimal) else value
    terms["tiers"] = [[plain(tier.from_value), plain(tier.rate)] for tier in tiers]
    terms |= {"heading": heading(rule), "promise": promise(rule, tiers=tiers)}
    return terms
