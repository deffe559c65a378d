"""Manual journals on the desk: proposing them line by line or by file, and the journals that were booked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import link, link_column, moment_column, money, text
from backoffice.ui.formats import format_amount
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from funding.admin.parts import EntityForm, LinesField, change_url, panel_table
from funding.ledger.models import Posting
from funding.models import ManualJournal
from funding.permissions import VIEW_JOURNALS
from funding.services import journal_files
from funding.services import manual_journals as journals

MAXIMUM_SUGGESTIONS = 200
PANEL_LINES = 500
CSV_HELP = (
    "Columns account, debit, credit, currency; one line each with either a debit or a credit. An account is #number, its kind "
    "(bank, bank_charges) or its name."
)


class JournalForm(EntityForm):
    """A journal, line by line."""

    business_day = forms.DateField(label="Business day", widget=forms.DateInput)
    description = forms.CharField(max_length=200, label="What it is")
    lines = LinesField(
        label="Lines",
        help_text="Choose an account, or type its #number, kind or part of its name. Each currency balances by itself.",
    )
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}), label="Reason")

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, actor=actor, **kwargs)
        accounts = journals.bookable_accounts(actor=actor).filter(owner_type__in=["", "external_account"])
        self.fields["lines"].widget.suggestions = [  # type: ignore[attr-defined]
            f"#{account.pk} {account.name}" for account in accounts.order_by("name")[:MAXIMUM_SUGGESTIONS]
        ]


class JournalFileForm(EntityForm):
    """A journal as a file."""

    business_day = forms.DateField(label="Business day", widget=forms.DateInput)
    description = forms.CharField(max_length=200, label="What it is")
    file = forms.FileField(label="CSV file", help_text=CSV_HELP)
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}), label="Reason")


class ProposeJournal(DeskActionView):
    """Hands a journal in for approval."""

    slug, title, capability = "propose", "Propose a journal", journals.PROPOSE
    explanation = "Nothing is booked until another person approves. Partners', platform and revaluation accounts follow from elsewhere and are not booked by hand."
    success_message = "The journal waits for another person's approval."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Entities and accounts are those of the actor."""
        return JournalForm(data, files, initial=self.initial(actor), actor=actor)

    def initial(self, actor: Actor) -> dict[str, Any]:
        """Today."""
        return {"business_day": clock.today_business_day()}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Every account before and after."""
        lines = self._lines(actor, data)
        payload = {
            "entity_id": data["entity"].pk,
            "business_day": data["business_day"].isoformat(),
            "description": data["description"],
            "lines": [line.as_json() for line in lines],
            "attachments": [],
        }
        moves = journals.preview_moves(journals.check_journal(payload, actor=actor))
        return [
            ("Legal entity", data["entity"].name),
            ("Business day", data["business_day"].isoformat()),
            ("What it is", data["description"]),
            *(
                (
                    f"{'Debit' if move.side == 'D' else 'Credit'} {move.account.name}",
                    f"{format_amount(move.amount, move.account.currency)}: from "
                    f"{format_amount(move.before, move.account.currency)} to "
                    f"{format_amount(move.after, move.account.currency)}",
                )
                for move in moves
            ),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Proposes it."""
        return journals.propose_journal(
            entity_id=data["entity"].pk,
            business_day=data["business_day"],
            description=data["description"],
            reason=data["reason"],
            lines=self._lines(actor, data),
            actor=actor,
            idempotency_key=idempotency_key,
        )

    def success_url(self, result: Any) -> str:
        """The change request."""
        return change_url(result)

    def _lines(self, actor: Actor, data: Mapping[str, Any]) -> list[journals.JournalLine]:
        return journal_files.lines_of_rows(rows=data["lines"], entity_id=data["entity"].pk, actor=actor)


class UploadJournal(ProposeJournal):
    """Hands a journal in as a file."""

    slug, title = "upload", "Upload a journal"
    needs_confirmation = False
    explanation = "The whole file is one journal. It waits for another person's approval, who sees every balance before and after."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With a file instead of lines."""
        return JournalFileForm(data, files, initial=self.initial(actor), actor=actor)

    def _lines(self, actor: Actor, data: Mapping[str, Any]) -> list[journals.JournalLine]:
        file = data["file"]
        if file.size > journal_files.journal_rules.MAXIMUM_FILE_BYTES:
            raise InvalidInput("The file is too large.", field="file", code="file_too_large")
        try:
            return journal_files.lines_of_file(data=file.read(), entity_id=data["entity"].pk, actor=actor)
        except InvalidInput as error:
            raise InvalidInput(error.message, **{**error.details, "code": error.code, "field": "file"}) from error


class ReverseJournalForm(forms.Form):
    """On which day, and why."""

    business_day = forms.DateField(label="Business day of the reversal", widget=forms.DateInput)
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}), label="Reason")


class ReverseJournal(DeskActionView):
    """Hands a reversal in for approval."""

    slug, title, capability = "reverse", "Propose its reversal", journals.PROPOSE
    form_class = ReverseJournalForm
    tone = "danger"
    explanation = "A booked journal never changes. Its reversal books the opposite once another person approves."
    success_message = "The reversal waits for another person's approval."

    @classmethod
    def is_offered(cls, target: ManualJournal, actor: Actor) -> bool:
        """While it can be reversed."""
        return target.reverses_id is None and target.reversal is None

    def initial(self, actor: Actor) -> dict[str, Any]:
        """Today."""
        return {"business_day": clock.today_business_day()}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What will be booked."""
        return [
            ("Journal", f"{self.target.reference}: {self.target.description}"),
            ("Business day", data["business_day"].isoformat()),
            *(
                (
                    f"{'Credit' if posting.side == Posting.Side.DEBIT else 'Debit'} {posting.account.name}",
                    format_amount(posting.amount, posting.currency),
                )
                for posting in self.target.entry.postings.select_related("account")[:20]
            ),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Proposes it."""
        return journals.propose_reversal(
            journal_id=self.target.pk,
            business_day=data["business_day"],
            reason=data["reason"],
            actor=actor,
            idempotency_key=idempotency_key,
        )

    def success_url(self, result: Any) -> str:
        """The change request."""
        return change_url(result)


@admin.register(ManualJournal)
class ManualJournalAdmin(DeskModelAdmin):
    """Journals that were approved and booked; what waits is among the change requests."""

    view_capability = VIEW_JOURNALS
    list_display = (
        "reference",
        "business_day",
        "description",
        "entity_shown",
        "made_by",
        "approved_by",
        "entry_shown",
        "reversed_shown",
    )
    list_display_links = ("reference", "description")
    list_select_related = ("entity", "entry", "reversed_by")
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter), "business_day")
    search_fields = ("reference", "description", "reason", "made_by", "approved_by")
    list_actions = (ProposeJournal, UploadJournal)
    object_actions = (ReverseJournal,)
    empty_text = "No journal has been booked by hand yet. A proposed one waits among the change requests."
    fieldsets = (
        (None, {"fields": (("reference", "business_day"), ("description", "entity_shown"), "reason")}),
        ("Four eyes", {"fields": (("made_by", "approved_by"), ("booked_shown", "change_request_id"))}),
        ("Books", {"fields": (("entry_shown", "public_id"), ("reverses_shown", "reversed_shown"))}),
    )
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    entry_shown = link_column("entry", title="Entry", label="pk", order="entry_id")
    booked_shown = moment_column("booked_at", title="Booked (UTC)", order="id")
    reverses_shown = link_column("reverses", title="Reverses")
    reversed_shown = link_column("reversal", title="Reversed by")


_LINES = (
    link("account", title="Account"),
    text("account__get_kind_display", title="Kind"),
    money("debit", currency="currency", title="Debit"),
    money("credit", currency="currency", title="Credit"),
)


def lines_panel(journal: ManualJournal, actor: Actor) -> str:
    """The lines as booked."""
    rows = Posting.objects.filter(entry=journal.entry_id).select_related("account").order_by("-side", "account__kind")
    return panel_table(_LINES, list(rows[:PANEL_LINES]), "Lines")


register_panel("funding.ManualJournal", "lines", "Lines", lines_panel, order=10, capability=VIEW_JOURNALS)
