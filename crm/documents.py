"""Papers and consents of a client on the desk: panels of the client's page and the buttons that add to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import declare_capability
from backoffice.core.files.kinds import CSV, DOCUMENTS, IMAGES, MEGABYTE, XLSX, FilePurpose, register_file_purpose
from backoffice.core.models import StoredFile
from backoffice.core.services import consents, files
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.columns import badge_html
from backoffice.ui.formats import format_time
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView

PURPOSE = "crm.client_document"
VIEW, UPLOAD = "crm.view_client_documents", "crm.upload_client_document"
KEPT_DAYS = 7 * 366
"""Five years after the end of a relation are the rule; seven years from the upload cover what is usual."""
MAX_SHOWN = 50
_TONES = {"clean": "good", "refused": "bad", "quarantined": "info"}


class DocumentForm(forms.Form):
    """A paper of the client's."""

    document = forms.FileField(
        label="File", max_length=255, help_text="PDF, JPEG, PNG or WebP, at most 15 MB; tables as CSV or XLSX."
    )


class UploadDocument(DeskActionView):
    """Takes a paper of the client's and checks it."""

    slug, title, button, capability = "document", "Add a document", "Add a document", UPLOAD
    form_class = DocumentForm
    needs_confirmation = False
    explanation = (
        "The file is checked before anybody can open it. Pictures are written anew, without the place where they were "
        "taken; documents with scripts, passwords or files inside are refused."
    )

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the file."""
        return DocumentForm(data, files)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> StoredFile:
        """A refused file is kept apart and told with its reason."""
        upload = data["document"]
        stored = files.store_file(
            purpose=PURPOSE,
            data=files.read_upload(upload, purpose=PURPOSE),
            file_name=upload.name,
            actor=actor,
            entity_id=self.target.entity_id,
            owner=self.target,
        )
        if stored.state == StoredFile.State.REFUSED:
            raise InvalidInput(f"The file was refused. {stored.reason}", code=stored.reason_code, field="document")
        return stored

    def success_text(self, result: StoredFile) -> str:
        """Where the file stands."""
        is_clean = result.state == StoredFile.State.CLEAN
        return "The document was checked and added." if is_clean else "The document waits for the virus scanner."


class ConsentForm(forms.Form):
    """The person's will, and how it is known."""

    is_given = forms.ChoiceField(
        label="Marketing by mail", choices=[("yes", "Agrees"), ("no", "Takes consent back")], widget=forms.RadioSelect
    )
    evidence = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}),
        max_length=300,
        help_text="How it is known: the form that was signed, the call and its date.",
    )


class RecordConsent(DeskActionView):
    """Writes down whether the client wants marketing."""

    slug, title, button, capability = "consent", "Consent to marketing", "Record consent", "core.record_consent"
    form_class = ConsentForm
    success_message = "The client's will was recorded."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What follows."""
        is_given = data["is_given"] == "yes"
        follows = "News and offers may be sent." if is_given else "News and offers stop at once, queued ones included."
        return [("Client", str(self.target)), ("What happens", follows), ("Evidence", data["evidence"])]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """The same word twice is one entry."""
        return consents.record_consent(
            person=self.target,
            category="marketing",
            is_given=data["is_given"] == "yes",
            evidence=data["evidence"],
            actor=actor,
        )


def documents_panel(client: Any, actor: Actor) -> str:
    """The client's papers, newest first."""
    found = files.files_of(owner=client, actor=actor)[:MAX_SHOWN]
    rows = format_html_join("", "{}", ((_document_row(stored),) for stored in found))
    if not rows:
        return format_html('<p class="bo-empty">{}</p>', "No document yet.")
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Document", "State", "Given (UTC)", "By", ""))
    return format_html(
        '<div class="bo-table-wrap"><table class="bo-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        SafeString(head),
        rows,
    )


def _document_row(stored: StoredFile) -> SafeString:
    state = badge_html(stored.get_state_display(), _TONES[stored.state])
    reason = format_html('<br><span class="bo-note">{}</span>', stored.reason) if stored.reason else ""
    return format_html(
        "<tr><td>{}</td><td>{}{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        stored.original_name,
        state,
        reason,
        format_time(stored.created_at),
        stored.uploaded_by or "",
        _links(stored),
    )


def _links(stored: StoredFile) -> SafeString | str:
    if stored.state != StoredFile.State.CLEAN:
        return ""
    url = reverse("stored_file", args=[stored.public_id])
    save = format_html('<a class="bo-link" href="{}">Save</a>', url)
    if stored.content_type not in IMAGES:
        return save
    show = format_html('<a class="bo-link" href="{}?show=1" target="_blank" rel="noopener">Show</a>', url)
    return format_html("{} · {}", show, save)


def consents_panel(client: Any, actor: Actor) -> str:
    """What the client said about marketing, newest first."""
    entries = consents.consents_of(person=client, actor=actor)
    standing = consents.suppressions_of(entity_id=client.entity_id, address=client.email) if client.email else {}
    stopped = [
        badge_html(f"{entry.get_scope_display()} stopped: {entry.get_source_display().lower()}", "warn")
        for entry in standing.values()
    ]
    if not entries and not stopped:
        return format_html('<p class="bo-empty">{}</p>', "The client was not asked yet; no marketing is sent.")
    rows = format_html_join(
        "",
        "<div><dt>{} UTC</dt><dd>{} · {} ({})</dd></div>",
        (
            (format_time(entry.at), "Agreed" if entry.is_given else "Took it back", entry.evidence, entry.actor)
            for entry in entries
        ),
    )
    return format_html(
        '{}<dl class="bo-facts">{}</dl>', format_html_join(" ", "{}", ((each,) for each in stopped)), rows
    )


def register() -> None:
    """Declares who sees and gives papers; adds the panels. Called once, when the process starts."""
    seeing = (
        Role.ADMINISTRATOR,
        Role.AUDITOR,
        Role.COMPLIANCE,
        Role.FINANCE,
        Role.SALES,
        Role.RETENTION,
    )
    declare_capability(VIEW, seeing)
    declare_capability(UPLOAD, (Role.ADMINISTRATOR, Role.COMPLIANCE, Role.SALES, Role.RETENTION))
    register_file_purpose(
        FilePurpose(
            purpose=PURPOSE,
            label="Client document",
            content_types=DOCUMENTS | {CSV, XLSX},
            view_capability=VIEW,
            upload_capability=UPLOAD,
            max_bytes=15 * MEGABYTE,
            retain_days=KEPT_DAYS,
        )
    )
    register_panel("crm.Client", "documents", "Documents", documents_panel, order=60, capability=VIEW)
    register_panel("crm.Client", "consents", "Consent to marketing", consents_panel, order=70)
