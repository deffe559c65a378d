"""What the page of a plan's version shows: rules as sentences with what can be done, checks, money, ranks and weights."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import holds
from backoffice.core.types import Actor
from backoffice.ui.columns import money_html
from backoffice.ui.formats import format_decimal
from backoffice.ui.panels import register_panel
from ib.admin.plan_forms import MONEY_LABELS
from ib.admin.tables import table
from ib.models import PlanVersion
from ib.selectors.plans import RELATED, checks_of
from ib.types import VersionTerms

MANAGE, VIEW = "ib.manage_plans", "ib.view_plans"
FINDING_WORDS = {
    "never_paid": "Never pays",
    "overlap": "Overlap",
    "unknown_rank": "Unknown rank",
    "gap": "Gap",
    "rank_by_hand": "By hand only",
    "guard": "Guard",
    "guard_kept": "Guard",
    "guard_unknown": "Guard",
    "guard_without_effect": "Guard",
}


def register_version_panels() -> None:
    """Called once, when the process starts."""
    panels = (
        ("rules", "Rules", _rules, 10),
        ("checks", "Checks", _checks, 20),
        ("money", "Money and limits", _money, 30),
        ("ranks", "Ranks", _ranks, 40),
        ("weights", "Weights", _weights, 50),
    )
    for key, title, render, order in panels:
        register_panel("ib.PlanVersion", key, title, render, order=order, capability=VIEW)


def _rules(version: PlanVersion, actor: Actor) -> SafeString:
    is_open = version.state == PlanVersion.State.DRAFT and holds(actor, MANAGE)
    rules = version.rules.select_related(*RELATED).prefetch_related("tiers").order_by("component", "position")
    rows = [[rule.component, f"{rule.position}", str(rule), *([_acts(rule.pk)] if is_open else [])] for rule in rules]
    headings = ["Part", "Position", "Rule", *(["Change"] if is_open else [])]
    empty = "No rules yet: this version would pay nobody. Add one with the button above."
    links = format_html(
        '<p><a class="bo-link" href="{}">Compare with the version before</a> · <a class="bo-link" href="{}">Example of a'
        " trade</a></p>",
        reverse("admin:ib_plan_diff", args=[version.pk]),
        reverse("admin:ib_plan_example", args=[version.pk]),
    )
    note = SafeString("")
    if version.state == PlanVersion.State.PUBLISHED:
        note = format_html(
            '<p class="bo-note">A published version never changes. To change the plan,'
            ' <a class="bo-link" href="{}">draft a copy</a>.</p>',
            reverse("admin:ib_planversion_copy", args=[version.pk]),
        )
    return table(headings, rows, empty=empty) + links + note


def _acts(rule_id: int) -> SafeString:
    acts = (("edit", "Edit"), ("move", "Move"), ("remove", "Remove"))
    return format_html_join(
        " · ",
        '<a class="bo-link" href="{}">{}</a>',
        ((reverse(f"admin:ib_planrule_{slug}", args=[rule_id]), title) for slug, title in acts),
    )


def _checks(version: PlanVersion, actor: Actor) -> SafeString:
    if not version.rules.exists():
        return SafeString("")
    found = checks_of(version)
    items = format_html_join(
        "",
        '<p><span class="bo-badge bo-badge-{}">{}</span> {}</p>',
        (
            (
                "bad" if item.is_fatal else "good" if item.kind == "guard_kept" else "warn",
                FINDING_WORDS[item.kind],
                item.text,
            )
            for item in found.findings
        ),
    ) or format_html('<p><span class="bo-badge bo-badge-good">Sound</span> {}</p>', "No gap and no overlap was found.")
    fatal = len(found.fatal)
    if fatal:
        items = (
            format_html("<p>{}</p>", f"{fatal} {'stands' if fatal == 1 else 'stand'} in the way of a publication.")
            + items
        )
    rows = [
        [
            case.group,
            case.chain,
            money_html(case.payout, case.currency) if case.currency else format_decimal(case.payout),
            money_html(case.revenue, case.currency) if case.revenue is not None else "not known",
            f"{format_decimal(case.percent)} %" if case.percent is not None else "–",
        ]
        for case in found.worst
        if case.payout
    ]
    headings = ["Symbol group", "Chain that is paid most", "Most for a lot", "A lot brings in", "Share"]
    note = format_html('<p class="bo-note">{}</p>', found.assumption)
    return SafeString(items) + table(headings, rows, numeric_from=2) + note


def _money(version: PlanVersion, actor: Actor) -> SafeString:
    usual = {field.name: field.default for field in fields(VersionTerms)}
    rows = []
    for name in usual:
        shown = getattr(version, f"get_{name}_display", None)
        value: Any = shown() if shown is not None else getattr(version, name)
        rows.append([MONEY_LABELS[name], _words(name, value)])
    return table(["What", "Set to"], rows)


EMPTY_WORDS = {
    "reward_currency": "The partner's own",
    "rounding_decimals": "Those of the currency",
    "depth_limit": "Without limit",
    "maximum_share_of_revenue": "No guard",
    "carry_cap": "Without limit",
    "carry_reset_months": "Never",
}


def _words(name: str, value: Any) -> str:
    if value in (None, ""):
        return EMPTY_WORDS.get(name, "–")
    if isinstance(value, bool):
        return "Yes" if value else "No"
    return f"{format_decimal(value)} %" if name == "maximum_share_of_revenue" else str(value)


def _ranks(version: PlanVersion, actor: Actor) -> SafeString:
    rows = [
        [
            f"{rank.position}",
            rank.name,
            rank.code,
            "; ".join(str(item) for item in rank.conditions.all()) or "No condition",
            _patience(rank.keep_months),
        ]
        for rank in version.ranks.prefetch_related("conditions")
    ]
    headings = ["From the lowest", "Rank", "Code", "What earns it", "Below its conditions"]
    return table(headings, rows, empty="No ranks: partners are told apart by level only.")


def _patience(months: int) -> str:
    return f"Kept for {months} month{'' if months == 1 else 's'}" if months else "Lost at once"


def _weights(version: PlanVersion, actor: Actor) -> SafeString:
    rows = [
        [str(weight.symbol_group or weight.account_group), format_decimal(weight.weight)]
        for weight in version.weights.select_related("symbol_group", "account_group")
    ]
    return table(["Group", "Counts"], rows, numeric_from=1, empty="All volume counts whole.")
