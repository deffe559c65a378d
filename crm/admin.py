"""The list of clients, and the Client 360: one page on which every desk shows what it knows of a client."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join

from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.client_views import ViewAsClient
from backoffice.ui.columns import badge_column, link_column, moment_column
from backoffice.ui.formats import format_plain, format_time
from backoffice.ui.panels import register_panel
from crm.documents import RecordConsent, UploadDocument
from crm.models import Client, ClientFact

FACT_LIMIT = 40


@admin.register(Client)
class ClientAdmin(DeskModelAdmin):
    """Clients that the viewer may see: their own, their team's, or those of their legal entities."""

    view_capability = "crm.view_clients"
    export_capability = "crm.export_client"
    list_display = (
        "reference",
        "full_name",
        "email",
        "country",
        "stage_shown",
        "owner_shown",
        "team_shown",
        "entity_shown",
        "registered_shown",
    )
    list_display_links = ("reference", "full_name")
    object_actions = (UploadDocument, RecordConsent, ViewAsClient)
    list_select_related = ("owner", "team", "entity", "brand")
    list_filter = (
        "stage",
        ("entity", admin.RelatedOnlyFieldListFilter),
        ("team", admin.RelatedOnlyFieldListFilter),
        ("owner", admin.RelatedOnlyFieldListFilter),
        "country",
    )
    search_fields = ("reference", "full_name", "email", "phone")
    ordering = ("-registered_at", "-id")
    fieldsets = (
        (None, {"fields": (("full_name", "reference", "stage_shown"), ("email", "phone"), ("country", "language"))}),
        ("Belongs to", {"fields": (("entity_shown", "brand_shown"), ("owner_shown", "team_shown"))}),
        ("Record", {"fields": (("registered_shown", "created_shown"), "public_id"), "classes": ("collapse",)}),
    )
    empty_text = "No client is yours to see yet."
    stage_shown = badge_column(
        "stage",
        title="Stage",
        tones={"lead": "quiet", "registered": "info", "verified": "info", "funded": "good", "active": "good"}
        | {"dormant": "warn", "closed": "bad"},
        order="stage",
    )
    owner_shown = link_column("owner", title="Owner", order="owner__full_name")
    team_shown = link_column("team", title="Team", order="team__name")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    brand_shown = link_column("brand", title="Brand")
    registered_shown = moment_column("registered_at", title="Registered (UTC)", order="registered_at")
    created_shown = moment_column("created_at", title="First contact (UTC)")


def facts_panel(client: Any, actor: Actor) -> str:
    """What desks have written down of the client: the facts that segments read."""
    facts = ClientFact.objects.filter(client=client).order_by("fact")[:FACT_LIMIT]
    if not facts:
        return ""
    rows = format_html_join(
        "",
        '<div><dt>{}</dt><dd title="As of {} UTC">{}</dd></div>',
        ((row.fact.replace("_", " ").capitalize(), format_time(row.as_of), format_plain(row.value)) for row in facts),
    )
    return format_html('<dl class="bo-summary">{}</dl>', rows)


register_panel("crm.Client", "facts", "At a glance", facts_panel, order=0)
