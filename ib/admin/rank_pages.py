"""Ranks and agreed rates at the desk: what a partner stands at, what was decided each month, what is given by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import admin_column, badge_column, computed, link_column, number_column, text_column
from backoffice.ui.formats import format_day, format_decimal
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from ib.admin.forms import day_field, start_of
from ib.admin.tables import table
from ib.models import NegotiatedRate, Partner, PartnerRank, PlanRank, RankEvaluation
from ib.selectors.ranks import evaluations_of, rank_progress
from ib.services import rank_requests

MANAGE, VIEW = "ib.manage_partners", "ib.view_partners"
OUTCOME_TONES = {
    "raised": "good",
    "lowered": "bad",
    "spared": "warn",
    "asked": "warn",
    "by_hand": "info",
    "unchanged": "quiet",
    "corrected": "info",
}


class _RankForm(forms.Form):
    """A rank by hand."""

    rank = forms.ChoiceField()
    valid_from = day_field(
        "From", help_text="From midnight UTC. A day in the past is asked for, and approved by another."
    )
    until = day_field(
        "Until", required=False, help_text="Empty: until further notice. After it the plan decides again."
    )
    reason = forms.CharField(max_length=300, widget=forms.Textarea(attrs={"rows": 2}))


class GiveRank(DeskActionView):
    """Gives a rank by hand, with an end if there is one."""

    slug, title, capability = "give-rank", "Give a rank", MANAGE

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the ranks of the partner's plan."""
        form = _RankForm(data, initial={"valid_from": clock.today_business_day()})
        known = PlanRank.objects.filter(
            version__plan__agreements__partner=self.target,
            version__plan__agreements__validity__contains=clock.now(),
            version__state="published",
            version__validity__contains=clock.now(),
        )
        ranks = list(known.order_by("position").values_list("code", "name").distinct())
        form.fields["rank"] = forms.ChoiceField(choices=[("", "Choose …"), *ranks])
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What it replaces, and whether it is asked for first."""
        until = f"{data['until']} 00:00 UTC" if data["until"] else "further notice"
        is_past = start_of(data["valid_from"]) < clock.now() - rank_requests.BEGINS_NOW
        happens = (
            "The time has begun: a change request is drafted, with a preview of what is booked again."
            if is_past
            else "It holds at once. Until it ends, the plan's conditions change nothing."
        )
        return [
            ("Partner", str(self.target)),
            ("Rank", data["rank"]),
            ("From", f"{data['valid_from']} 00:00 UTC until {until}"),
            ("What happens", happens),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Gives it, or drafts the request."""
        return rank_requests.give_or_request_rank(
            partner_id=self.target.pk,
            rank=data["rank"],
            valid_from=start_of(data["valid_from"]),
            until=start_of(data["until"]) if data["until"] else None,
            reason=data["reason"],
            actor=actor,
            submit=False,
        )

    def success_url(self, result: Any) -> str:
        """To the request, if there is one."""
        if result is None:
            return super().success_url(result)
        return reverse("admin:core_changerequest_change", args=[result.pk])

    def success_text(self, result: Any) -> str:
        """What became of it."""
        return (
            "Given."
            if result is None
            else "Drafted. Look at what it changes, and hand it in: another person approves it."
        )


class _RateForm(forms.Form):
    """A rate of the desk."""

    rate = forms.DecimalField(
        required=False, min_value=0, max_digits=24, decimal_places=8, help_text="In the measure of the rate above."
    )
    allocation_percent = forms.DecimalField(
        required=False, min_value=0, max_value=100, max_digits=7, decimal_places=4, label="Or percent of the rate above"
    )
    component = forms.SlugField(initial="main", label="Part of the plan")
    valid_from = day_field("From")
    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 2}))


class AgreeRate(DeskActionView):
    """Asks for a rate of the desk instead of the plan's, or of what the partner above gave."""

    slug, title, capability = "agree-rate", "Agree on a rate", MANAGE
    explanation = "It is paid out of the rate of the partner above and never exceeds it. Another person approves it."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """From today."""
        return _RateForm(data, initial={"valid_from": clock.today_business_day(), "component": "main"})

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is asked for."""
        said = (
            format_decimal(data["rate"])
            if data["rate"] is not None
            else f"{data['allocation_percent']} % of the rate above"
        )
        return [
            ("Partner", str(self.target)),
            ("Rate", said),
            ("From", f"{data['valid_from']} 00:00 UTC, until further notice"),
            ("What happens", "A change request is drafted, with a preview of who gains and who loses."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts the request."""
        return rank_requests.request_rate(
            partner_id=self.target.pk,
            rate=data["rate"],
            allocation_percent=data["allocation_percent"],
            component=data["component"],
            valid_from=start_of(data["valid_from"]),
            reason=data["reason"],
            actor=actor,
            submit=False,
        )

    def success_url(self, result: Any) -> str:
        """To the request."""
        return reverse("admin:core_changerequest_change", args=[result.pk])


@admin.register(PartnerRank)
class PartnerRankAdmin(DeskModelAdmin):
    """Which rank which partner holds, and when."""

    view_capability = VIEW
    list_display = ("partner_shown", "rank", "source_shown", "from_shown", "to_shown", "reason")
    list_select_related = ("partner",)
    list_filter = ("source", "rank")
    search_fields = ("partner__reference", "partner__name", "rank")
    empty_text = "No partner holds a rank. They follow from the conditions of a plan's ranks, or are given by hand."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    source_shown = badge_column("source", title="Given", tones={"manual": "info", "automatic": "quiet"})
    from_shown = text_column("validity__lower", title="From")
    to_shown = text_column("validity__upper", title="Until")


@admin.register(RankEvaluation)
class RankEvaluationAdmin(DeskModelAdmin):
    """What every partner's month earned."""

    view_capability = VIEW
    list_display = (
        "period_shown",
        "partner_shown",
        "held",
        "earned",
        "follows",
        "outcome_shown",
        "misses_shown",
        "change_reference",
    )
    list_select_related = ("partner",)
    list_filter = ("outcome", "period")
    search_fields = ("partner__reference", "partner__name", "change_reference")
    empty_text = "No month was decided yet. That happens by itself some hours after a month is over."

    period_shown = admin_column(computed(lambda row: f"{row.period:%Y-%m}", title="Month"))
    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    outcome_shown = badge_column("outcome", title="What follows", tones=OUTCOME_TONES, order="outcome")
    misses_shown = number_column("misses", title="Months missed", digits=0)


@admin.register(NegotiatedRate)
class NegotiatedRateAdmin(DeskModelAdmin):
    """Rates that were agreed on, by the desk or by the partner above."""

    view_capability = VIEW
    list_display = ("partner_shown", "component", "rate_shown", "set_by_shown", "from_shown", "to_shown")
    list_select_related = ("partner", "set_by")
    search_fields = ("partner__reference", "partner__name", "component")
    empty_text = "No rate was agreed on: every partner has the plan's."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    rate_shown = admin_column(computed(lambda row: rate_words(row), title="Rate"))
    set_by_shown = admin_column(computed(lambda row: str(row.set_by or "The desk"), title="Agreed by"))
    from_shown = text_column("validity__lower", title="From")
    to_shown = text_column("validity__upper", title="Until")


def rate_words(row: NegotiatedRate) -> str:
    """An agreed rate in words."""
    if row.rate is not None:
        return format_decimal(row.rate)
    return f"{format_decimal(row.allocation_percent or 0)} % of the rate above"


def register_panels() -> None:
    """Called once, when the process starts."""
    register_panel("ib.Partner", "rank", "Rank", _standing, order=34, capability=VIEW)


def _standing(partner: Partner, actor: Actor) -> SafeString:
    progress = rank_progress(actor=actor, partner=partner)
    if progress is None:
        return SafeString("")
    how = f" by hand until {format_day(progress.by_hand_until.date())}" if progress.by_hand_until else ""
    how = how or (" by hand" if progress.is_by_hand else "")
    ahead = f"{progress.period:%B %Y} so far earns: {progress.earned_name}."
    lead = format_html("<p><strong>{}</strong>{}. {}</p>", progress.held_name.capitalize(), how, ahead)
    rows = [
        [item.text, format_decimal(item.reached), format_decimal(item.needed), format_decimal(item.left)]
        for item in progress.missing
    ]
    wanted = format_html("<p>To {}:</p>", progress.next_name) if rows else SafeString("")
    months = [
        [
            f"{row.period:%Y-%m}",
            row.held or "none",
            row.earned or "none",
            row.follows or "none",
            row.get_outcome_display(),
            row.change_reference or "–",
        ]
        for row in evaluations_of(actor=actor, partner=partner, limit=12)
    ]
    headings = ["Month", "Held", "Earned", "Next month", "What follows", "Change request"]
    return (
        lead
        + wanted
        + table(["Condition", "Reached", "Needed", "Missing"], rows, numeric_from=1)
        + table(headings, months, empty="No month was decided yet.")
    )
