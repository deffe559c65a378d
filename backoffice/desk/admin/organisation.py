"""Legal entities, brands and teams. Entities and brands change rarely and by administrators; the audit keeps the change."""

from __future__ import annotations

from django.contrib import admin

from backoffice.core.models import Brand, LegalEntity, Team, TeamMembership
from backoffice.ui.admin import DeskModelAdmin, DeskTabularInline
from backoffice.ui.columns import computed_column, link_column


@admin.register(LegalEntity)
class LegalEntityAdmin(DeskModelAdmin):
    """The licensed companies whose data the viewer sees. A new one is set up by command, with its books."""

    view_capability = "core.view_organisation"
    change_capability = "core.manage_organisation"
    list_display = ("code", "name", "country", "regulator", "licence_number", "base_currency")
    search_fields = ("code", "name")
    fieldsets = (
        (None, {"fields": ("code", "name", ("country", "base_currency"), ("regulator", "licence_number"))}),
        ("Record", {"fields": ("public_id", "created_at")}),
    )
    readonly_fields = ("code", "base_currency", "public_id", "created_at")
    empty_text = "No legal entity is yours to see."


@admin.register(Brand)
class BrandAdmin(DeskModelAdmin):
    """Names under which an entity meets its clients."""

    view_capability = "core.view_organisation"
    change_capability = "core.manage_organisation"
    add_capability = "core.manage_organisation"
    list_display = ("code", "name", "entity_shown", "support_email")
    list_select_related = ("entity",)
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter),)
    search_fields = ("code", "name")
    fieldsets = (
        (None, {"fields": ("entity", ("code", "name"), ("support_email", "accent_colour"))}),
        ("Record", {"fields": ("public_id", "created_at")}),
    )
    readonly_fields = ("public_id", "created_at")
    entity_shown = link_column("entity", title="Legal entity", order="entity__name")
    empty_text = "No brand yet. An administrator adds one for each name the entity trades under."


class MembershipInline(DeskTabularInline):
    """Who is in a team."""

    model = TeamMembership
    verbose_name = "member"
    verbose_name_plural = "members"


@admin.register(Team)
class TeamAdmin(DeskModelAdmin):
    """Groups of staff. Who is in a team decides whose clients they see, so every change is in the audit."""

    view_capability = "core.view_organisation"
    change_capability = "core.manage_organisation"
    add_capability = "core.manage_organisation"
    list_display = ("name", "entity_shown", "members_shown")
    list_select_related = ("entity",)
    list_prefetch_related = ("members",)
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter),)
    search_fields = ("name",)
    fieldsets = ((None, {"fields": ("entity", "name")}),)
    inlines = (MembershipInline,)
    entity_shown = link_column("entity", title="Legal entity", order="entity__name")
    members_shown = computed_column(lambda team: ", ".join(str(user) for user in team.members.all()), title="Members")
    empty_text = "No team yet."
