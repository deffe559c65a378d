"""Forms of the plan editor. Each works without script; a script hides what makes no sense for the chosen basis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any

from django import forms
from django.forms.models import fields_for_model
from django.forms.utils import flatatt
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import InvalidInput
from ib.admin.forms import RULE_FIELDS, DraftRuleForm
from ib.models import PlanRule, PlanVersion
from ib.models.rank_rules import RankMeasure, RankScope, RankWindow
from ib.rules.terms import AMOUNTS, CLIENT_BASES, OF_CPA, OF_PERIODS, OF_TRADES, RANK_BONUS, TRADE_BASES
from ib.types import VersionTerms

EMPTY_ROWS = 4
MOST_ROWS = 50
CONDITIONS = 3


class GridInput(forms.Widget):
    """A small table of pairs. Text such as "500: 5; 1000: 6" is read as well."""

    template_name = ""

    def __init__(self, headings: tuple[str, str], attrs: dict[str, Any] | None = None) -> None:
        super().__init__(attrs)
        self.headings = headings

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        """The rows that are filled in and some empty ones."""
        rows = _pairs(value)
        cells = format_html_join(
            "",
            '<tr><td><input class="bo-input" inputmode="decimal" name="{0}_{1}_from" value="{2}" aria-label="{4}, row {5}"></td>'
            '<td><input class="bo-input" inputmode="decimal" name="{0}_{1}_rate" value="{3}" aria-label="{6}, row {5}"></td></tr>',
            (
                (name, index, start, rate, self.headings[0], index + 1, self.headings[1])
                for index, (start, rate) in enumerate([*rows, *[("", "")] * EMPTY_ROWS])
            ),
        )
        return format_html(
            '<table class="pe-grid" id="{}" data-grid{}><thead><tr><th scope="col">{}</th><th scope="col">{}</th></tr></thead>'
            "<tbody>{}</tbody></table>",
            (attrs or {}).get("id", f"id_{name}"),
            flatatt({key: found for key, found in self.attrs.items() if key.startswith("data-")}),
            *self.headings,
            cells,
        )

    def value_from_datadict(self, data: Any, files: Any, name: str) -> Any:
        """The pairs as text, a row each."""
        if data.get(name):
            return data.get(name)
        rows = [(data.get(f"{name}_{row}_from", ""), data.get(f"{name}_{row}_rate", "")) for row in range(MOST_ROWS)]
        return "; ".join(f"{start}: {rate}" for start, rate in rows if start.strip() or rate.strip())

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        """Never: no row is no tier."""
        return False


def _pairs(value: Any) -> list[tuple[str, str]]:
    if not value:
        return []
    if isinstance(value, str):
        parts = [part.partition(":") for part in value.split(";") if part.strip()]
        return [(start.strip(), rate.strip()) for start, _, rate in parts]
    return [(f"{start.normalize():f}", f"{rate.normalize():f}") for start, rate in value]


SPREAD_ONLY = ("spread_cap_points", "average_spread_points")
SHOWN_FOR: dict[str, tuple[frozenset[str] | None, frozenset[str] | None]] = {
    **dict.fromkeys((*OF_TRADES, "pays_close_by", "refuses_negative_balance"), (TRADE_BASES, None)),
    **dict.fromkeys(OF_PERIODS, (CLIENT_BASES, None)),
    **dict.fromkeys(OF_CPA, (frozenset({"cpa"}), None)),
    **dict.fromkeys(SPREAD_ONLY, (frozenset({"spread_share"}), None)),
    "spread_sides": (CLIENT_BASES | {"spread_share"}, None),
    "currency": (AMOUNTS, frozenset({"absolute", "difference", "pass_up", "override"})),
    "override_of": (None, frozenset({"override"})),
    "funded_by": (None, frozenset({"override"})),
    "cumulative": (None, frozenset({"difference"})),
    "same_rank_percent": (None, frozenset({"difference"})),
    "rank": (TRADE_BASES | {RANK_BONUS}, None),
    "bonus_for": (frozenset({RANK_BONUS}), None),
    **dict.fromkeys(
        (
            "level",
            "symbol",
            "symbol_group",
            "account_group",
            "account_type",
            "country",
            "campaign",
            "dimension",
            "dimension_value",
        ),
        (TRADE_BASES | CLIENT_BASES, None),
    ),
    **dict.fromkeys(
        ("tier_measure", "tier_mode", "tier_window", "tier_scope", "tiers"),
        (TRADE_BASES | CLIENT_BASES, frozenset({"absolute"})),
    ),
}
"""For which bases and which ways of sharing a field is shown; None: for all."""

LABELS = {
    "component": "Part of the plan",
    "rate": "Rate",
    "distribution": "How it is shared",
    "override_of": "Whose commission",
    "funded_by": "Who pays it",
    "same_rank_percent": "Percent to the same rank above",
    "cumulative": "Add the ranks up",
    "bonus_for": "The bonus is for",
    "pays_close_by": "Pay trades closed by an opposite one",
    "hedged_once": "Pay hedged volume once",
    "uses_credit_coefficient": "Leave out the part of credit",
    "refuses_negative_balance": "Not below a balance of zero",
    "base_cap": "Highest base",
    "tiers": "Tiers",
    "symbol_group": "Symbol group",
    "account_group": "Account group",
    "account_type": "Account type",
    "country": "Client's country",
    "dimension_value": "Value of the dimension",
    "minimum_hold_seconds": "Held at least, seconds",
    "maximum_hold_seconds": "Held at most, seconds",
    "minimum_points": "Moved at least, points",
    "minimum_lots": "At least, lots",
    "only_profitable": "Profitable trades only",
    "cap_per_order": "Most for an order",
    "cap_client_day": "Most for a client and day",
    "cap_client_lifetime": "Most for a client for ever",
    "cap_partner_period": "Most for a month",
    "tier_measure": "Tiers by",
    "tier_mode": "A tier's rate is for",
    "tier_window": "Tiers look at",
    "tier_scope": "Tiers count",
    "spread_sides": "Spread is taken",
    "spread_cap_points": "Spread counts at most, points",
    "average_spread_points": "Average spread, points",
    "window_hours": "First deposit within, hours",
    "minimum_deposit": "Deposits of at least",
    "minimum_lots_total": "Traded at least, lots",
    "minimum_revenue": "Revenue of at least",
    "qualify_days": "Qualifies within, days",
    "clawback_days": "Taken back within, days",
    "minimum_active_clients": "At least so many active clients",
    "minimum_amount": "Paid from, amount",
}
HELP = {
    "component": "Rules of one part compete, the first that matches pays; parts add up.",
    "distribution": "In full, as a difference, as a part of the rate above, passed up, or on the commission of those below.",
    "currency": "Of an amount; leave it empty for shares and points.",
    "tiers": "From which measure on another rate holds.",
    "rank": "A rank of this version; empty: every rank.",
    "bonus_for": "By what the months earn: a rank given by hand has no bonus. A month decided otherwise later is corrected.",
    "funded_by": "Those below give it up from what they are paid, in their currency. Of what is settled by the period only "
    "what is left after their losses, the nearest one above first, and at most all of it.",
}


class RuleForm(DraftRuleForm):
    """A rule of a draft. Fields that make no sense for the chosen basis are hidden by script, and refused by name."""

    @classmethod
    def for_version(cls, version: PlanVersion, data: Any = None, *, rule: PlanRule | None = None) -> RuleForm:
        """Everything that a rule may say, filled from a rule that is edited."""
        form = cls(data, initial=_said(rule) if rule is not None else {"level": 1, "currency": "USD"})
        form.fields |= fields_for_model(PlanRule, fields=RULE_FIELDS)
        for name in set(RULE_FIELDS) - {"rate"}:
            form.fields[name].required = False
        form.fields["component"].initial = "main"
        ranks = [("", "Every rank"), *version.ranks.values_list("code", "name")]
        form.fields["rank"] = forms.ChoiceField(choices=ranks, required=False)
        entity = version.plan.entity_id
        choices: Any = form.fields
        choices["account_type"].queryset = choices["account_type"].queryset.filter(entity_id=entity)
        choices["account_group"].queryset = choices["account_group"].queryset.filter(server__entity_id=entity)
        form.fields["tiers"].widget = GridInput(("From", "Rate"))
        form.order_fields(ORDER)
        for name, field in form.fields.items():
            field.label = LABELS.get(name, field.label)
            field.help_text = HELP.get(name, field.help_text)
            _open_choice(field)
            bases, ways = SHOWN_FOR.get(name, (None, None))
            if bases is not None:
                field.widget.attrs["data-bases"] = " ".join(sorted(bases))
            if ways is not None:
                field.widget.attrs["data-ways"] = " ".join(sorted(ways))
        return form


def _open_choice(field: forms.Field) -> None:
    """A choice that is left open says so in our words."""
    if isinstance(field, forms.TypedChoiceField):
        field.choices = [(value, "–" if value == "" else label) for value, label in field.choices]  # type: ignore[union-attr,misc]


ORDER = [
    "basis",
    "rate",
    "currency",
    "distribution",
    "level",
    "rank",
    "symbol_group",
    "symbol",
    *(name for name in RULE_FIELDS if name not in {"basis", "rate", "currency", "distribution", "level", "rank"}),
    "refuses_negative_balance",
    "tiers",
]


def _said(rule: PlanRule) -> dict[str, Any]:
    values = {name: getattr(rule, name) for name in RULE_FIELDS}
    for name in ("symbol", "symbol_group", "account_group", "account_type"):
        values[name] = getattr(rule, f"{name}_id")
    values = {name: _plain(value) for name, value in values.items()}
    values["refuses_negative_balance"] = not rule.pays_negative_balance
    values["tiers"] = [(tier.from_value, tier.rate) for tier in rule.tiers.order_by("from_value")]
    return values


def _plain(value: Any) -> Any:
    return f"{value.normalize():f}" if isinstance(value, Decimal) else value


MONEY_LABELS = {
    "reward_currency": "Currency of the reward",
    "rounding_stage": "Rounded",
    "rounding_mode": "A half is rounded",
    "rounding_decimals": "Decimals",
    "depth_limit": "Levels that are paid",
    "pays_own_trades": "Pay a partner for own trades",
    "maximum_share_of_revenue": "All payouts of a trade, at most percent of its revenue",
    "carry_over": "Losses of a month",
    "carry_cap": "At most this much is carried",
    "carry_reset_months": "Forgotten after months",
}


class MoneyForm(forms.Form):
    """How a version treats money, and how far up it pays."""

    @classmethod
    def for_version(cls, version: PlanVersion, data: Any = None) -> MoneyForm:
        """Filled with what stands."""
        names = [field.name for field in fields(VersionTerms)]
        form = cls(data, initial={name: _plain(getattr(version, name)) for name in names})
        form.fields |= fields_for_model(PlanVersion, fields=names)
        for name in names:
            form.fields[name].label = MONEY_LABELS[name]
            form.fields[name].required = False
        return form


def money_terms_of(data: Mapping[str, Any]) -> VersionTerms:
    """What was filled in; what was left empty is as usual."""
    given = {name: value for name, value in data.items() if value not in (None, "")}
    return VersionTerms(**given)


class NewRankForm(forms.Form):
    """A rank to add, above those that there are."""

    code = forms.SlugField(max_length=40, help_text="Short and lower case, such as silver.")
    name = forms.CharField(max_length=80)


class RankForm(forms.Form):
    """What a rank is called and what earns it: up to three conditions, all of which must hold."""

    name = forms.CharField(max_length=80, required=False, label="Name", help_text="Empty: as it is.")
    keep_months = forms.IntegerField(
        min_value=0,
        max_value=120,
        required=False,
        label="Kept for months",
        help_text="How many months in a row below its conditions are forgiven before it is lost.",
    )

    @classmethod
    def for_version(cls, version: PlanVersion, data: Any = None) -> RankForm:
        """With the ranks of the draft and rows for conditions."""
        form = cls(data)
        ranks = [(rank.code, rank.name) for rank in version.ranks.all()]
        form.fields["rank"] = forms.ChoiceField(choices=[("", "Choose …"), *ranks], label="Rank")
        for row in range(1, CONDITIONS + 1):
            form.fields |= _condition_fields(row)
        form.order_fields(["rank", "name", *(name for name in form.fields if name.startswith("condition"))])
        return form

    def conditions(self) -> list[dict[str, Any]]:
        """The rows that are filled in."""
        rows = []
        for row in range(1, CONDITIONS + 1):
            given = {part: self.cleaned_data.get(f"condition_{row}_{part}") for part in CONDITION_PARTS}
            if given["measure"]:
                rows.append(given)
        return rows

    def clean(self) -> dict[str, Any]:
        """A condition with a measure says how much."""
        data = super().clean() or {}
        for row in range(1, CONDITIONS + 1):
            if data.get(f"condition_{row}_measure") and data.get(f"condition_{row}_threshold") is None:
                self.add_error(f"condition_{row}_threshold", "Say at least how much.")
        return data


CONDITION_PARTS = ("measure", "threshold", "scope", "window", "currency")


def _condition_fields(row: int) -> dict[str, forms.Field]:
    empty = [("", "No condition")]
    return {
        f"condition_{row}_measure": forms.ChoiceField(
            choices=[*empty, *RankMeasure.choices], required=False, label=f"Condition {row}: what"
        ),
        f"condition_{row}_threshold": forms.DecimalField(
            required=False, min_value=0, max_digits=24, decimal_places=8, label=f"Condition {row}: at least"
        ),
        f"condition_{row}_scope": forms.ChoiceField(
            choices=RankScope.choices, required=False, initial="team", label=f"Condition {row}: whose clients"
        ),
        f"condition_{row}_window": forms.ChoiceField(
            choices=RankWindow.choices, required=False, initial="month", label=f"Condition {row}: over"
        ),
        f"condition_{row}_currency": forms.CharField(
            max_length=5, required=False, label=f"Condition {row}: currency", help_text="Of deposits only."
        ),
    }


class WeightForm(forms.Form):
    """By how much volume counts in a symbol group, or of an account group."""

    weight = forms.DecimalField(max_digits=12, decimal_places=6, min_value=0, help_text="0.5 counts half, 0 nothing.")

    @classmethod
    def for_version(cls, version: PlanVersion, data: Any = None) -> WeightForm:
        """With the account groups of the entity."""
        form = cls(data)
        form.fields |= fields_for_model(PlanRule, fields=["symbol_group", "account_group"])
        groups: Any = form.fields["account_group"]
        groups.queryset = groups.queryset.filter(server__entity_id=version.plan.entity_id)
        for name in ("symbol_group", "account_group"):
            form.fields[name].required = False
        form.order_fields(["symbol_group", "account_group", "weight"])
        return form


def decimal_or_none(text: str, *, field: str) -> Decimal | None:
    """An amount from text; None for nothing. Raises InvalidInput, naming the field."""
    if not text.strip():
        return None
    try:
        return exact_decimal(text.strip(), field=field)
    except InvalidInput as error:
        raise InvalidInput("This is no amount.", field=field, value=text) from error


def chain_rows(text: str) -> Sequence[list[str]]:
    """Lines of a chain: a partner each, as "rank, rate"."""
    return [[part.strip() for part in line.split(",")] for line in text.splitlines() if line.strip()]
