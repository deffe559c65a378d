"""Plans and their versions: rules as sentences, drafts that are edited and published from a day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Count
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, link_column, number_column, object_link, text_column
from backoffice.ui.formats import format_day
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from ib.admin.forms import ChangeFromDayForm, CreatePlanForm, start_of
from ib.admin.plan_pages import (
    AddRank,
    AddRule,
    CopyVersion,
    OnDraft,
    RemoveRank,
    RemoveWeight,
    SetMoney,
    SetRank,
    SetWeight,
)
from ib.admin.plan_panels import register_version_panels
from ib.admin.studies import StudyVersion
from ib.admin.tables import table
from ib.models import Plan, PlanVersion
from ib.services import plans, requests

STATE_TONES = {"draft": "warn", "published": "good"}


class CreatePlan(DeskActionView):
    """Begins a plan."""

    slug, title, capability = "create", "Create a plan", "ib.manage_plans"
    success_message = "Created, with an empty draft. Add rules and publish it."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the actor's entities."""
        form = CreatePlanForm(data)
        form.fields["entity"].queryset = visible_to(LegalEntity.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is begun."""
        return [("Plan", f"{data['name']} ({data['code']})"), ("Legal entity", str(data["entity"]))]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Creates."""
        return plans.create_plan(entity_id=data["entity"].pk, code=data["code"], name=data["name"], actor=actor)


class DraftVersion(DeskActionView):
    """Begins the next version."""

    slug, title, capability = "draft", "Draft a new version", "ib.manage_plans"
    explanation = "A draft with the rules of the latest version is made, if there is none. Nothing is paid by a draft."
    needs_confirmation = False

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts."""
        return plans.draft_version(plan_id=self.target.pk, actor=actor)

    def success_url(self, result: Any) -> str:
        """To the draft."""
        return reverse("admin:ib_planversion_change", args=[result.pk])


class PublishVersion(OnDraft):
    """Asks for a draft to become the valid version."""

    slug, title, capability = "publish", "Publish", "ib.manage_plans"
    form_class = ChangeFromDayForm
    needs_confirmation = True
    success_message = "Drafted. Look at what it changes, and hand it in: another person approves it."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """From today."""
        return {"valid_from": clock.today_business_day()}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """The rules in words, and what ends."""
        agreements = self.target.plan.agreements.filter(validity__contains=start_of(data["valid_from"])).count()
        return [
            ("Plan", str(self.target)),
            ("Valid from", f"{data['valid_from']} 00:00 UTC, until further notice; the version before ends then"),
            ("Partners on this plan then", str(agreements)),
            *(("Rule", str(rule)) for rule in self.target.rules.all()),
            (
                "What happens",
                "A change request is drafted, with a preview of who gains and who loses. Nothing is paid yet.",
            ),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts the change request."""
        return requests.request_publication(
            version_id=self.target.pk,
            valid_from=start_of(data["valid_from"]),
            reason=data["reason"],
            actor=actor,
            submit=False,
        )

    def success_url(self, result: Any) -> str:
        """To the request, with its diff and its impact."""
        return reverse("admin:core_changerequest_change", args=[result.pk])


@admin.register(Plan)
class PlanAdmin(DeskModelAdmin):
    """Commission plans."""

    view_capability = "ib.view_plans"
    list_display = ("name", "code", "entity_shown", "versions_shown", "agreements_shown")
    list_select_related = ("entity",)
    list_filter = ("entity",)
    search_fields = ("code", "name")
    list_actions = (CreatePlan,)
    object_actions = (DraftVersion,)
    empty_text = "No plan yet. Create one, add rules and publish it."

    entity_shown = text_column("entity", title="Legal entity")
    versions_shown = number_column("version_count", title="Versions", digits=0)
    agreements_shown = number_column("agreement_count", title="Agreements", digits=0)

    def get_queryset(self, request: HttpRequest) -> Any:
        """With the counts."""
        rows = super().get_queryset(request)
        return rows.annotate(
            version_count=Count("versions", distinct=True), agreement_count=Count("agreements", distinct=True)
        )


@admin.register(PlanVersion)
class PlanVersionAdmin(DeskModelAdmin):
    """Versions of plans."""

    view_capability = "ib.view_plans"
    list_display = ("version_shown", "plan_shown", "state_shown", "from_shown", "to_shown", "published_by")
    list_select_related = ("plan",)
    list_filter = ("state", "plan")
    fieldsets = ((None, {"fields": ("plan", "number", "state", "validity", "published_at", "published_by")}),)
    search_fields = ("plan__name", "plan__code")
    object_actions = (
        AddRule,
        SetMoney,
        AddRank,
        SetRank,
        RemoveRank,
        SetWeight,
        RemoveWeight,
        CopyVersion,
        StudyVersion,
        PublishVersion,
    )

    version_shown = text_column("number", title="Version", order="number")
    plan_shown = link_column("plan", title="Plan", order="plan__name")
    state_shown = badge_column("state", title="State", tones=STATE_TONES, order="state")
    from_shown = text_column("validity__lower", title="From")
    to_shown = text_column("validity__upper", title="Until")


def register_panels() -> None:
    """What a plan's and a version's page show."""
    register_panel("ib.Plan", "versions", "Versions", _versions, order=10, capability="ib.view_plans")
    register_version_panels()


def _versions(plan: Plan, actor: Actor) -> SafeString:
    rows = []
    for version in plan.versions.prefetch_related("rules__symbol_group", "rules__tiers"):
        validity = version.validity
        rows.append(
            [
                object_link(version, f"Version {version.number}"),
                version.get_state_display(),
                _day(validity, "lower"),
                _day(validity, "upper"),
                format_html_join("", "{}<br>", ((str(rule),) for rule in version.rules.all())) or "no rules",
            ]
        )
    return table(["Version", "State", "From", "Until", "Rules"], rows)


def _day(validity: Any, end: str) -> str:
    moment = getattr(validity, end) if validity is not None and not validity.isempty else None
    return format_day(moment.date() if moment else None)
