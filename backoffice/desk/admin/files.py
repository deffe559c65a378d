"""The list of private files: what was given, what was found, and the button that erases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.files.kinds import file_purposes
from backoffice.core.models import StoredFile
from backoffice.core.services import files
from backoffice.core.types import Actor
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed_column, link_column, moment_column, state_column
from backoffice.ui.navigation import register_page
from backoffice.ui.views import DeskActionView

TONES = {"Checked": "good", "Refused": "bad", "Waiting for its check": "info", "Erased": "quiet"}


class EraseForm(forms.Form):
    """Why the bytes go."""

    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=500, help_text="Kept in the audit.")


class EraseFile(DeskActionView):
    """Forgets the bytes for good."""

    slug, title, button, capability = "erase", "Erase the file", "Erase", "core.erase_file"
    tone = "danger"
    form_class = EraseForm
    explanation = "The content is gone for good. The row stays and says who erased it, when and why."
    success_message = "The file was erased."

    @classmethod
    def is_offered(cls, target: StoredFile, actor: Actor) -> bool:
        """Once, and not while it is being checked."""
        return target.erased_at is None and target.state != StoredFile.State.QUARANTINED

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which file."""
        return [
            ("File", self.target.original_name),
            ("What happens", self.explanation),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Erasing twice is erasing once."""
        return files.erase_file(file_id=self.target.pk, actor=actor, reason=data["reason"])


def purpose_label(stored: StoredFile) -> str:
    """What the file is for, in words."""
    labels = {purpose.purpose: purpose.label for purpose in file_purposes()}
    return labels.get(stored.purpose, stored.purpose)


def shown_state(stored: StoredFile) -> str:
    """Where the file stands, in words."""
    return "Erased" if stored.erased_at else stored.get_state_display()


def size_shown(stored: StoredFile) -> str:
    """The size in kilobytes."""
    return f"{max(1, round((stored.size_bytes or stored.given_size) / 1024)):,} KB".replace(",", "\u202f")


def _open_link(stored: StoredFile) -> SafeString | str:
    if stored.state != StoredFile.State.CLEAN or stored.erased_at:
        return ""
    return format_html('<a class="bo-link" href="{}">Save</a>', reverse("stored_file", args=[stored.public_id]))


@admin.register(StoredFile)
class StoredFileAdmin(DeskModelAdmin):
    """What people gave us. Opening a file asks for its own capability and its owner."""

    view_capability = "core.view_files"
    exports = False
    list_display = (
        "original_name",
        "purpose_shown",
        "state_shown",
        "reason",
        "size_shown",
        "entity_shown",
        "uploaded_shown",
        "created_shown",
        "open_shown",
    )
    list_select_related = ("entity", "uploaded_by")
    list_filter = ("state", "purpose", ("entity", admin.RelatedOnlyFieldListFilter))
    search_fields = ("original_name", "sha256", "given_sha256")
    object_actions = (EraseFile,)
    fieldsets = (
        (
            None,
            {"fields": (("original_name", "purpose_shown"), ("state_shown", "reason"), ("size_shown", "open_shown"))},
        ),
        ("Origin", {"fields": (("entity_shown", "uploaded_shown", "created_shown"), ("owner_type", "owner_id"))}),
        (
            "Content",
            {"fields": (("content_type", "width", "height"), "sha256", "given_sha256", ("keep_until", "erased_at"))},
        ),
    )
    purpose_shown = computed_column(purpose_label, title="For")
    state_shown = state_column(shown_state, title="State", tones=TONES)
    size_shown = computed_column(size_shown, title="Size", is_numeric=True)
    entity_shown = link_column("entity", title="Legal entity", label="code")
    uploaded_shown = link_column("uploaded_by", title="Given by")
    created_shown = moment_column("created_at", title="Given (UTC)", order="id")
    open_shown = computed_column(_open_link, title="Open")
    empty_text = "Nobody has given a file yet."


def register() -> None:
    """Its place in the menu."""
    register_page("organisation", "Files", "admin:core_storedfile_changelist", "core.view_files", 55)
