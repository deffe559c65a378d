"""Legal entities, brands and teams. Entities and brands change rarely and by administrators; the audit keeps the change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib import admin
from django.template.loader import render_to_string
from django.utils.html import format_html

from backoffice.core.access import visible_to
from backoffice.core.models import (
    Brand,
    DocumentCounter,
    DocumentNumber,
    DocumentSeries,
    EntityBankAccount,
    LegalEntity,
    Team,
    TeamMembership,
    TermsVersion,
)
from backoffice.core.organisation.document_kinds import document_kinds
from backoffice.core.organisation.permissions import VIEW_NUMBERS
from backoffice.core.services.entities import VIEW_BANK_ACCOUNTS
from backoffice.core.types import Actor
from backoffice.desk.admin.organisation_actions import (
    AddBankAccount,
    CloseBankAccount,
    DraftTerms,
    EditTerms,
    PublishTerms,
    RevealNumber,
    SetCurrencies,
    SetLogo,
    SetNumberPattern,
)
from backoffice.ui.admin import DeskModelAdmin, DeskTabularInline
from backoffice.ui.columns import (
    badge_column,
    computed,
    computed_column,
    link_column,
    moment_column,
    state,
    state_column,
    text,
    text_column,
)
from backoffice.ui.panels import register_panel

PANEL_ROWS = 100
VIEW_TERMS = "core.view_terms"


@admin.register(LegalEntity)
class LegalEntityAdmin(DeskModelAdmin):
    """The licensed companies whose data the viewer sees. A new one is set up by command, with its books."""

    view_capability = "core.view_organisation"
    change_capability = "core.manage_organisation"
    list_display = ("code", "name", "country", "regulator", "licence_number", "base_currency", "currencies_shown")
    search_fields = ("code", "name")
    object_actions = (SetCurrencies, AddBankAccount, DraftTerms, SetNumberPattern)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "code",
                    "name",
                    ("country", "base_currency"),
                    ("regulator", "licence_number"),
                    "currencies_shown",
                )
            },
        ),
        ("Record", {"fields": ("public_id", "created_at")}),
    )
    readonly_fields = ("code", "base_currency", "public_id", "created_at")
    empty_text = "No legal entity is yours to see."
    currencies_shown = computed_column(
        lambda entity: ", ".join(entity.currencies) or "not limited", title="Accounts in"
    )


@admin.register(Brand)
class BrandAdmin(DeskModelAdmin):
    """Names under which an entity meets its clients."""

    view_capability = "core.view_organisation"
    change_capability = "core.manage_organisation"
    add_capability = "core.manage_organisation"
    object_actions = (SetLogo,)
    list_display = ("code", "name", "entity_shown", "support_email")
    list_select_related = ("entity",)
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter),)
    search_fields = ("code", "name")
    fieldsets = (
        (None, {"fields": ("entity", ("code", "name"), ("support_email", "accent_colour"), ("host", "site"))}),
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


@admin.register(EntityBankAccount)
class EntityBankAccountAdmin(DeskModelAdmin):
    """Accounts of the entity at banks. Numbers are encrypted; who needs one says why."""

    view_capability = VIEW_BANK_ACCOUNTS
    list_display = ("name", "entity_shown", "purpose_shown", "currency", "bank_name", "number_shown", "state_shown")
    list_select_related = ("entity",)
    list_filter = ("purpose", "currency", ("entity", admin.RelatedOnlyFieldListFilter))
    search_fields = ("name", "bank_name")
    object_actions = (RevealNumber, CloseBankAccount)
    empty_text = "No bank account yet. It is added on the page of the legal entity."
    fieldsets = (
        (None, {"fields": (("name", "entity_shown"), ("purpose_shown", "currency"), ("bank_name", "bic"))}),
        ("Number", {"fields": (("number_shown", "is_iban"), ("state_shown", "opened_shown"))}),
    )
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    purpose_shown = badge_column("purpose", title="Purpose", tones={"client_money": "info", "own_money": "quiet"})
    number_shown = text_column("masked_number", title="Number")
    opened_shown = moment_column("opened_at", title="Added (UTC)")
    state_shown = state_column(
        lambda account: "Open" if account.closed_at is None else "Closed",
        title="State",
        tones={"Open": "good", "Closed": "quiet"},
    )


@admin.register(TermsVersion)
class TermsVersionAdmin(DeskModelAdmin):
    """Documents that clients and partners agree to, version by version."""

    view_capability = VIEW_TERMS
    list_display = ("kind_shown", "number", "language", "title", "entity_shown", "state_shown", "validity_shown")
    list_display_links = ("kind_shown", "title")
    list_select_related = ("entity",)
    list_filter = ("kind", "language", ("entity", admin.RelatedOnlyFieldListFilter))
    search_fields = ("title",)
    object_actions = (EditTerms, PublishTerms)
    empty_text = "No terms yet. They are drafted on the page of the legal entity."
    fieldsets = (
        (None, {"fields": (("kind_shown", "number"), ("title", "language"), ("entity_shown", "state_shown"))}),
        ("Text", {"fields": ("body_shown",)}),
        ("Record", {"fields": (("validity_shown", "published_by"), ("drafted_by", "sha256"))}),
    )
    kind_shown = text_column("get_kind_display", title="Document", order="kind")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    validity_shown = computed_column(lambda terms: _days(terms), title="Counts")
    state_shown = state_column(
        lambda terms: "Draft" if terms.published_at is None else "Published",
        title="State",
        tones={"Draft": "warn", "Published": "good"},
    )

    @admin.display(description="Text")
    def body_shown(self, terms: TermsVersion) -> str:
        """The text with its lines."""
        return format_html('<div style="white-space:pre-wrap">{}</div>', terms.body)


@admin.register(DocumentNumber)
class DocumentNumberAdmin(DeskModelAdmin):
    """Numbers that were issued, and for what."""

    view_capability = VIEW_NUMBERS
    list_display = ("reference", "kind_shown", "entity_shown", "subject", "issued_shown", "issued_by")
    list_select_related = ("entity",)
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter), "kind")
    search_fields = ("reference", "subject")
    empty_text = "No number has been issued yet."
    fieldsets = (
        (None, {"fields": (("reference", "kind_shown"), ("entity_shown", "subject"), ("issued_shown", "issued_by"))}),
    )
    kind_shown = computed_column(lambda number: _kind_label(number.kind), title="Document")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    issued_shown = moment_column("issued_at", title="Issued (UTC)", order="id")


def _kind_label(kind: str) -> str:
    return next((known.label for known in document_kinds() if known.kind == kind), kind)


def _days(terms: TermsVersion) -> str:
    if terms.validity is None:
        return "not yet"
    return f"from {terms.validity.lower}" + (f" until {terms.validity.upper}" if terms.validity.upper else "")


_BRANDS = (text("name", title="Brand"), text("code", title="Code"), text("support_email", title="Support"))
_ACCOUNTS = (
    text("name", title="Account"),
    text("get_purpose_display", title="Purpose"),
    text("currency", title="Currency"),
    text("bank_name", title="Bank"),
    text("masked_number", title="Number"),
    state(lambda account: "Open" if account.closed_at is None else "Closed", title="State", tones={"Open": "good"}),
)
_TERMS = (
    text("get_kind_display", title="Document"),
    text("number", title="Version"),
    text("language", title="Language"),
    computed(lambda terms: _days(terms), title="Counts"),
    state(
        lambda terms: "Draft" if terms.published_at is None else "Published",
        title="State",
        tones={"Draft": "warn", "Published": "good"},
    ),
)
_NUMBERS = (
    text("label", title="Document"),
    text("pattern", title="Pattern"),
    text("year", title="Year"),
    text("last_number", title="Last number"),
)


def _table(columns: Sequence[Any], rows: Sequence[Any], label: str) -> str:
    if not rows:
        return ""
    table = [[column.html(row) for column in columns] for row in rows]
    context = {"columns": columns, "table_rows": table, "label": label, "title": label}
    return render_to_string("desk/parts/table.html", context)


def brands_panel(entity: LegalEntity, actor: Actor) -> str:
    """The entity's brands."""
    return _table(_BRANDS, list(visible_to(Brand.objects.filter(entity=entity), actor)[:PANEL_ROWS]), "Brands")


def accounts_panel(entity: LegalEntity, actor: Actor) -> str:
    """The entity's bank accounts."""
    rows = visible_to(EntityBankAccount.objects.filter(entity=entity), actor)
    return _table(_ACCOUNTS, list(rows[:PANEL_ROWS]), "Bank accounts")


def terms_panel(entity: LegalEntity, actor: Actor) -> str:
    """The entity's documents."""
    rows = visible_to(TermsVersion.objects.filter(entity=entity), actor)
    return _table(_TERMS, list(rows.defer("body")[:PANEL_ROWS]), "Terms")


def numbers_panel(entity: LegalEntity, actor: Actor) -> str:
    """How the entity numbers its documents, and how far."""
    known = {series.kind: series for series in visible_to(DocumentSeries.objects.filter(entity=entity), actor)}
    rows: list[dict[str, Any]] = []
    for kind in document_kinds():
        series = known.get(kind.kind)
        counters = list(DocumentCounter.objects.filter(series=series)[:5]) if series else []
        pattern = series.pattern if series else kind.pattern
        rows += [
            {"label": kind.label, "pattern": pattern, "year": counter.year or "", "last_number": counter.last_number}
            for counter in counters
        ] or [{"label": kind.label, "pattern": pattern, "year": "", "last_number": 0}]
    return _table(_NUMBERS, rows, "Document numbers")


register_panel("core.LegalEntity", "brands", "Brands", brands_panel, order=10)
register_panel(
    "core.LegalEntity", "bank_accounts", "Bank accounts", accounts_panel, order=20, capability=VIEW_BANK_ACCOUNTS
)
register_panel("core.LegalEntity", "terms", "Terms", terms_panel, order=30, capability=VIEW_TERMS)
register_panel("core.LegalEntity", "numbers", "Document numbers", numbers_panel, order=40, capability=VIEW_NUMBERS)
