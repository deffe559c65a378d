"""The audit trail, for reading only."""

from __future__ import annotations

from django.contrib import admin

from backoffice.core.models import AuditRecord, AuditSeal
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed_column, link_column, moment_column, number_column
from backoffice.ui.formats import EMPTY


@admin.register(AuditRecord)
class AuditRecordAdmin(DeskModelAdmin):
    """What was done, by whom and why."""

    view_capability = "core.view_audit"
    list_display = ("at_shown", "actor", "action", "object_label", "object_type", "entity_shown", "reason_shown")
    list_display_links = ("at_shown",)
    list_select_related = ("entity",)
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter),)
    search_fields = ("actor", "action", "object_label", "object_id", "trace_id")
    date_hierarchy = None
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (("at_shown", "actor"), ("action", "entity_shown"), "reason")}),
        ("Object", {"fields": (("object_type", "object_id"), "object_label")}),
        ("Changes", {"fields": ("changes",)}),
        ("Record", {"fields": (("trace_id", "id"),)}),
    )
    at_shown = moment_column("at", title="When (UTC)", order="id")
    entity_shown = link_column("entity", title="Legal entity")
    reason_shown = computed_column(lambda record: record.reason[:80] or EMPTY, title="Reason")
    empty_text = "Nothing was recorded yet."


@admin.register(AuditSeal)
class AuditSealAdmin(DeskModelAdmin):
    """The links of the chain; `verify_audit` proves them."""

    view_capability = "core.view_audit"
    list_display = ("number", "sealed_shown", "records_shown", "digest_shown")
    ordering = ("-number",)
    exports = False
    fieldsets = (
        (None, {"fields": (("number", "sealed_shown"), ("first_xid", "end_xid"), "records_shown")}),
        ("Chain", {"fields": ("previous_shown", "digest_shown")}),
    )
    sealed_shown = moment_column("sealed_at", title="Sealed (UTC)")
    records_shown = number_column("record_count", title="Records")
    digest_shown = computed_column(lambda seal: bytes(seal.digest).hex(), title="Digest")
    previous_shown = computed_column(lambda seal: bytes(seal.previous_digest).hex(), title="Digest before")
    empty_text = "Nothing was sealed yet; the sealer runs every few minutes."
