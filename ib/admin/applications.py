"""Applications at the desk: the board by state, the list, and everything about one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    computed_column,
    link_column,
    moment_column,
    number_column,
    object_link,
    state_column,
)
from backoffice.ui.dashboards import Card
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskPage, register_desk_page
from ib.admin.application_acts import (
    AnswerForApplicant,
    Approve,
    DecideIdentity,
    EnterApplication,
    GiveDocument,
    Refuse,
    TakeApplication,
    WantInformation,
    Withdraw,
)
from ib.admin.tables import table
from ib.models import PartnerApplication
from ib.permissions import VIEW_APPLICATIONS
from ib.services import applications

State = PartnerApplication.State
TONES = {
    "Draft": "quiet",
    "Submitted": "warn",
    "In review": "info",
    "More information wanted": "info",
    "Approved": "good",
    "Refused": "bad",
    "Withdrawn": "quiet",
}
BOARD = (State.SUBMITTED, State.IN_REVIEW, State.INFORMATION, State.DRAFT)
ENDED = (State.APPROVED, State.REFUSED, State.WITHDRAWN)
SHOWN_BY_STATE = 25


class StateFilter(admin.SimpleListFilter):
    """Where an application stands."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What is open first."""
        return [("open", "Open"), *State.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By state."""
        value = self.value()
        if value == "open":
            return queryset.exclude(state__in=ENDED)
        return queryset.filter(state=value) if value else queryset


@admin.register(PartnerApplication)
class PartnerApplicationAdmin(DeskModelAdmin):
    """Who wants to become a partner."""

    class Media:
        css = {"all": ("ib/board.css",)}

    view_capability = VIEW_APPLICATIONS
    list_display = (
        "reference",
        "name",
        "kind",
        "country",
        "state_shown",
        "identity_shown",
        "brand_shown",
        "lots_shown",
        "owner_shown",
        "submitted_shown",
    )
    fields = (
        "reference",
        "state_shown",
        "brand_shown",
        "applicant",
        "name",
        "contact_name",
        "company_number",
        "email",
        "phone",
        "country",
        "website",
        "kind",
        "currency",
        "promised_clients",
        "lots_shown",
        "promotion",
        "parent_shown",
        "client_shown",
        "entered_by",
        "submitted_shown",
        "owner_shown",
    )
    list_select_related = ("brand", "owner", "parent", "client")
    list_filter = (StateFilter, "kind", "applicant", "country", "brand", "submitted_at")
    search_fields = ("reference", "name", "contact_name", "email", "company_number")
    object_actions = (
        TakeApplication,
        WantInformation,
        AnswerForApplicant,
        DecideIdentity,
        GiveDocument,
        Approve,
        Refuse,
        Withdraw,
    )
    list_actions = (EnterApplication,)
    empty_text = "Nobody has applied yet. The form stands in the portal under apply; you may enter somebody yourself."

    state_shown = state_column(lambda row: row.get_state_display(), title="State", tones=TONES, order="state")
    identity_shown = computed_column(lambda row: row.get_identity_display(), title="Identity", order="identity")
    brand_shown = link_column("brand", title="Brand")
    parent_shown = link_column("parent", title="Brought by")
    client_shown = link_column("client", title="Client")
    lots_shown = number_column("promised_lots", title="Lots a month", digits=0, order="promised_lots")
    owner_shown = computed_column(lambda row: str(row.owner) if row.owner else "nobody yet", title="In hand of")
    submitted_shown = moment_column("submitted_at", title="Submitted", order="submitted_at")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        """What was asked and decided stands there once it was."""
        more: list[str] = []
        if obj is not None and obj.question:
            more += ["question", "answer"]
        if obj is not None and obj.decided_at:
            more += ["decision_reason", "letter", "decided_by", "decided_at"]
        return (*self.fields, *more)


@register_desk_page
class ApplicationBoard(DeskPage):
    """Applications by state, with counts."""

    desk, slug, title, capability = "ib", "applications_board", "Applications by state", VIEW_APPLICATIONS
    template_name = "ib/applications_board.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """A column for each open state, and how those that ended did."""
        rows = visible_to(PartnerApplication.objects.all(), actor)
        counts = dict(rows.order_by().values_list("state").annotate(count=Count("pk")))
        columns = [
            {
                "title": state.label,
                "count": counts.get(state.value, 0),
                "rows": list(
                    rows.filter(state=state).select_related("owner").order_by("submitted_at", "pk")[:SHOWN_BY_STATE]
                )
                if counts.get(state.value)
                else [],
                "url": f"{reverse('admin:ib_partnerapplication_changelist')}?state={state.value}",
            }
            for state in BOARD
        ]
        listing = reverse("admin:ib_partnerapplication_changelist")
        return {
            "columns": columns,
            "ended": [(state.label, counts.get(state.value, 0), f"{listing}?state={state.value}") for state in ENDED],
            "list_url": listing,
            "total": sum(counts.values()),
        }


def identity_panel(application: PartnerApplication, actor: Actor) -> SafeString:
    """What an approval needs: identity, agreement; and who else has the same address."""
    is_known, why = applications.identity_of(application)
    accepted = [
        [str(item.terms), f"{item.accepted_at:%Y-%m-%d %H:%M} UTC", item.address or "not known", f"{item.sha256[:16]}…"]
        for item in application.acceptances.select_related("terms")
    ]
    missing = applications.missing_for_approval(application) if application.is_open else []
    return render_to_string(
        "ib/application_checks.html",
        {
            "is_known": is_known,
            "why": why,
            "missing": missing,
            "accepted": table(["Document", "Accepted", "From", "Digest"], accepted, empty="Nothing was accepted yet."),
        },
    )


def duplicates_panel(application: PartnerApplication, actor: Actor) -> SafeString:
    """Who else has the same mail address or company number."""
    rows = []
    for item in applications.duplicates_of(application):
        name = "partnerapplication" if item.application_id else "partner"
        url = reverse(f"admin:ib_{name}_change", args=[item.application_id or item.partner_id])
        rows.append([format_html('<a class="bo-link" href="{}">{}</a>', url, item.label), item.why, item.state])
    return table(["Also there", "Why", "State"], rows) if rows else SafeString("")


def documents_panel(application: PartnerApplication, actor: Actor) -> SafeString:
    """The documents, to be opened on record."""
    rows = [
        [
            format_html(
                '<a class="bo-link" href="{}">{}</a>', reverse("stored_file", args=[item.public_id]), item.original_name
            )
            if item.state == item.State.CLEAN
            else item.original_name,
            item.get_state_display(),
            f"{item.created_at:%Y-%m-%d %H:%M} UTC",
        ]
        for item in visible_to(applications.documents_of(application), actor)
    ]
    return table(["Document", "State", "Given"], rows, empty="No document was given yet.")


def outcome_panel(application: PartnerApplication, actor: Actor) -> SafeString:
    """The partner who came of it."""
    if application.partner is None:
        return SafeString("")
    return format_html("<p>{}</p>", object_link(application.partner))


def applications_card(actor: Actor) -> Card | None:
    """How many wait for the desk."""
    rows = visible_to(PartnerApplication.objects.exclude(state__in=ENDED), actor)
    counts = dict(rows.order_by().values_list("state").annotate(count=Count("pk")))
    if not counts:
        return None
    waiting = counts.get(State.SUBMITTED, 0) + counts.get(State.IN_REVIEW, 0)
    return Card(
        title="Applications of partners",
        figure=f"{waiting:,}",
        note="wait for the desk",
        rows=tuple((state.label, f"{counts[state]:,}") for state in BOARD if state in counts),
        url=reverse("admin:ib_applications_board"),
    )


def register_panels() -> None:
    """Adds the panels."""
    label = "ib.PartnerApplication"
    register_panel(label, "ib.outcome", "Partner", outcome_panel, order=5)
    register_panel(label, "ib.checks", "What an approval needs", identity_panel, order=10)
    register_panel(label, "ib.duplicates", "Perhaps the same", duplicates_panel, order=15)
    register_panel(label, "ib.documents", "Documents", documents_panel, order=20)
