"""Links of partners at the desk: the list, making one for a partner, ending one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery, Sum
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import link_column, moment_column, number_column, object_link, state_column
from backoffice.ui.forms import ReasonForm
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from ib.admin.tables import table
from ib.models import LinkDay, Partner, PartnerLink
from ib.permissions import KEEP_LINKS
from ib.services import links

PANEL_ROWS = 20


class LinkForm(forms.Form):
    """A link for a partner."""

    partner: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None)
    campaign = forms.CharField(max_length=80)
    landing_path = forms.CharField(
        max_length=200, initial="/", label="Leads to", help_text="A path on the brand's site."
    )
    code = forms.CharField(max_length=32, required=False, help_text="Empty: one is drawn.")


class CreateLink(DeskActionView):
    """Makes a link for a partner."""

    slug, title, button, capability = "make", "New link", "New link", KEEP_LINKS
    success_message = "The link counts from now on."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the partners that the actor sees."""
        form = LinkForm(data)
        partners = Partner.objects.exclude(status=Partner.Status.CLOSED)
        form.fields["partner"].queryset = visible_to(partners, actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whose, where to."""
        return [
            ("Partner", str(data["partner"])),
            ("Campaign", data["campaign"]),
            ("Leads to", data["landing_path"]),
            ("Code", data["code"] or "is drawn"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Makes it."""
        given = dict(data)
        return links.create_link(partner_id=given.pop("partner").pk, actor=actor, **given)


class EndLink(DeskActionView):
    """Ends a link."""

    slug, title, capability, tone = "end", "End the link", KEEP_LINKS, "danger"
    form_class = ReasonForm
    explanation = "Its code counts no more, and is never given to anybody else."
    success_message = "Ended."

    @classmethod
    def is_offered(cls, target: PartnerLink, actor: Actor) -> bool:
        """While it counts."""
        return target.is_active

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which."""
        return [("Code", self.target.code), ("Partner", str(self.target.partner)), ("What happens", self.explanation)]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Ends it."""
        return links.end_link(link_id=self.target.pk, reason=data["reason"], actor=actor)


@admin.register(PartnerLink)
class PartnerLinkAdmin(DeskModelAdmin):
    """Links and codes of partners, with how often they were followed."""

    view_capability = "ib.view_partners"
    list_display = (
        "code",
        "partner_shown",
        "campaign",
        "landing_path",
        "state_shown",
        "clicks_shown",
        "visitors_shown",
        "created_shown",
    )
    list_select_related = ("partner",)
    list_filter = ("partner__entity", "partner__brand", "created_at", ("ended_at", admin.EmptyFieldListFilter))
    search_fields = ("code", "campaign", "partner__reference", "partner__name")
    object_actions = (EndLink,)
    list_actions = (CreateLink,)
    empty_text = "No partner has a link yet. The first one comes with the approval of an application."

    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    state_shown = state_column(
        lambda row: "Active" if row.is_active else "Ended",
        title="State",
        tones={"Active": "good", "Ended": "quiet"},
        order="ended_at",
    )
    clicks_shown = number_column("clicks", title="Clicks", digits=0, order="clicks")
    visitors_shown = number_column("visitors", title="Visitors", digits=0, order="visitors")
    created_shown = moment_column("created_at", title="Since", order="created_at")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """With the sums of its days."""
        days = LinkDay.objects.filter(link=OuterRef("pk")).order_by().values("link")
        return (
            super()
            .get_queryset(request)
            .annotate(
                clicks=Coalesce(Subquery(days.annotate(total=Sum("clicks")).values("total")), 0),
                visitors=Coalesce(Subquery(days.annotate(total=Sum("visitors")).values("total")), 0),
            )
        )


def links_panel(partner: Partner, actor: Actor) -> str:
    """A partner's links."""
    rows = visible_to(PartnerLink.objects.filter(partner=partner), actor).order_by("-pk")[:PANEL_ROWS]
    shown = [[object_link(row, row.code), row.campaign, "Active" if row.is_active else "Ended"] for row in rows]
    return table(["Code", "Campaign", "State"], shown)


def register_panels() -> None:
    """Adds the panel of a partner's page."""
    register_panel("ib.Partner", "ib.links", "Links", links_panel, order=46, capability="ib.view_partners")
