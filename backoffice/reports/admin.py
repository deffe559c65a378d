"""The desk's pages of reports: what was issued, downloads, comparison with a re-run, and the schedules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.access import holds
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import previous_business_day
from backoffice.kernel.errors import NotFound
from backoffice.reports.models import IssuedReport, ReportSchedule
from backoffice.reports.registry import definitions, get_definition
from backoffice.reports.selectors import get_issued
from backoffice.reports.services.issue import compare_report, download_report, issue_report
from backoffice.reports.services.schedules import set_schedule
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed_column, link_column, moment_column, number_column
from backoffice.ui.formats import format_decimal
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page

CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "pdf": "application/pdf"}
FORMAT_TONES = {"csv": "info", "pdf": "quiet"}


def definition_title(code: str) -> str:
    """The title of a definition; its code where the definition is gone."""
    try:
        return get_definition(code).title
    except NotFound:
        return code


class EntityChoice(forms.ModelChoiceField):
    """A legal entity by its name."""

    def label_from_instance(self, obj: Any) -> str:
        """Name and code."""
        return f"{obj.name} ({obj.code})"


class ReportForm(forms.Form):
    """Which report of which entity."""

    entity = EntityChoice(queryset=LegalEntity.objects.none(), label="Legal entity")
    definition = forms.ChoiceField(label="Report")
    format = forms.ChoiceField(choices=IssuedReport.Format.choices)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        entities = LegalEntity.objects.filter(pk__in=actor.entity_ids).order_by("code")
        self.fields["entity"].queryset = entities  # type: ignore[attr-defined]
        if len(actor.entity_ids) == 1:
            self.fields["entity"].initial = entities.first()
        self.fields["definition"].choices = [(item.code, item.title) for item in definitions()]  # type: ignore[attr-defined]


class IssueForm(ReportForm):
    """A report about a day."""

    as_of = forms.DateField(label="Business day", widget=forms.DateInput)

    field_order = ("definition", "entity", "as_of", "format")


class ScheduleForm(ReportForm):
    """A report after each day, or not."""

    is_enabled = forms.BooleanField(label="Issue after each business day", required=False, initial=True)

    field_order = ("definition", "entity", "format", "is_enabled")


class IssueReport(DeskActionView):
    """Issues a report now."""

    slug, title, capability = "issue", "Issue a report", "reports.issue_report"
    explanation = (
        "The report is built from what is recorded now. Its bytes are kept for ever, with digest and signature."
    )
    success_message = "The report was issued."
    needs_confirmation = False

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Entities are those of the actor."""
        return IssueForm(data, files, initial=self.initial(actor), actor=actor)

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The last day that is over."""
        return {"as_of": previous_business_day(clock.today_business_day()), "format": "pdf"}

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> IssuedReport:
        """Calls the use case."""
        return issue_report(
            definition=data["definition"],
            entity_id=data["entity"].pk,
            as_of=data["as_of"],
            format=data["format"],
            actor=actor,
        )

    def success_url(self, result: Any) -> str:
        """The issued document."""
        return reverse("admin:reports_issuedreport_change", args=[result.pk])


class SetSchedule(DeskActionView):
    """Says whether a report is issued after each day."""

    slug, title, button, capability = "set", "Set a schedule", "Set a schedule", "reports.manage_schedule"
    success_message = "The schedule is set."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Entities are those of the actor."""
        return ScheduleForm(data, files, initial=self.initial(actor), actor=actor)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What will be issued, or no more."""
        report = f"{definition_title(data['definition'])} as {data['format'].upper()} for {data['entity'].name}"
        what = "Issued as the last step of each business day." if data["is_enabled"] else "Not issued any more."
        return [("Report", report), ("What happens", what)]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> ReportSchedule:
        """Calls the use case."""
        return set_schedule(
            entity_id=data["entity"].pk,
            definition=data["definition"],
            format=data["format"],
            is_enabled=data["is_enabled"],
            actor=actor,
        )


class SwitchSchedule(DeskActionView):
    """Switches one schedule on or off."""

    slug, title, button, capability = "switch", "Switch the schedule", "Switch on or off", "reports.manage_schedule"
    success_message = "The schedule is switched."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """The state it will have."""
        return [
            ("Report", str(self.target)),
            ("What happens", "Switched off." if self.target.is_enabled else "Switched on."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> ReportSchedule:
        """Calls the use case with the opposite of what is."""
        return set_schedule(
            entity_id=self.target.entity_id,
            definition=self.target.definition,
            format=self.target.format,
            is_enabled=not self.target.is_enabled,
            actor=actor,
        )


def _download_link(report: IssuedReport) -> str:
    return format_html(
        '<a class="bo-link" href="{}">{}</a>', DownloadReport.url(report_id=report.pk, what="file"), "Download"
    )


@admin.register(IssuedReport)
class IssuedReportAdmin(DeskModelAdmin):
    """Documents that left the house. Never changed."""

    view_capability = "reports.view_report"
    list_display = (
        "file_name",
        "document_number",
        "download_shown",
        "report_shown",
        "as_of_shown",
        "entity_shown",
        "format_shown",
        "rows_shown",
        "size_shown",
        "issued_shown",
        "issued_by",
    )
    list_select_related = ("entity",)
    list_filter = ("definition", "format", ("entity", admin.RelatedOnlyFieldListFilter), "as_of")
    search_fields = ("document_number", "file_name", "sha256", "rows_digest", "issued_by")
    date_hierarchy = "as_of"
    ordering = ("-id",)
    list_actions = (IssueReport,)
    fieldsets = (
        (
            None,
            {
                "fields": (
                    ("report_shown", "entity_shown"),
                    ("as_of_shown", "recorded_shown"),
                    ("format_shown", "file_name"),
                    ("document_number",),
                )
            },
        ),
        ("Issued", {"fields": (("issued_shown", "issued_by"), ("rows_shown", "size_shown"))}),
        ("Proof", {"fields": ("sha256", "rows_digest", ("signing_key_id", "public_id"))}),
    )
    empty_text = "No report has been issued yet."
    report_shown = computed_column(lambda report: definition_title(report.definition), title="Report")
    as_of_shown = moment_column("as_of", title="Business day", order="as_of")
    recorded_shown = moment_column("recorded_until", title="Recorded until (UTC)")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    format_shown = badge_column("format", title="Format", tones=FORMAT_TONES, order="format")
    rows_shown = number_column("row_count", title="Rows")
    size_shown = computed_column(
        lambda report: f"{format_decimal(-(-report.size_bytes // 1024))} kB", title="Size", is_numeric=True
    )
    issued_shown = moment_column("issued_at", title="Issued (UTC)", order="id")

    @admin.display(description="File")
    def download_shown(self, report: IssuedReport) -> str:
        """A link to the bytes."""
        return _download_link(report)


@admin.register(ReportSchedule)
class ReportScheduleAdmin(DeskModelAdmin):
    """Reports that are issued by themselves."""

    view_capability = "reports.view_schedule"
    list_display = ("report_shown", "entity_shown", "format_shown", "state_shown", "last_shown")
    list_select_related = ("entity",)
    list_filter = ("definition", "is_enabled", ("entity", admin.RelatedOnlyFieldListFilter))
    list_actions = (SetSchedule,)
    object_actions = (SwitchSchedule,)
    fieldsets = ((None, {"fields": (("report_shown", "entity_shown"), ("format_shown", "state_shown"), "last_shown")}),)
    empty_text = "No report is issued by itself yet."
    report_shown = computed_column(lambda schedule: definition_title(schedule.definition), title="Report")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    format_shown = badge_column("format", title="Format", tones=FORMAT_TONES)
    state_shown = badge_column("is_enabled", title="After each day", tones={True: "good", False: "quiet"})
    last_shown = moment_column("last_business_day", title="Last business day")


@register_desk_page
class DownloadReport(DeskPage):
    """The bytes of an issued report, or its detached signature."""

    desk, slug, title, capability = "reports", "download", "Download", "reports.download_report"
    route = "issued/<int:report_id>/<str:what>/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """As an attachment, never shown inside the desk."""
        what = kwargs["what"]
        if what not in ("file", "signature"):
            raise NotFound("There is no such part of a report.")
        report, data = download_report(report_id=kwargs["report_id"], actor=self.actor, what=what)
        is_file = what == "file"
        response = HttpResponse(
            data, content_type=CONTENT_TYPES[report.format] if is_file else "application/octet-stream"
        )
        name = report.file_name if is_file else f"{report.file_name}.sig"
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        response.headers["Cache-Control"] = "private, no-store"
        return response


@register_desk_page
class CompareReport(DeskPage):
    """An issued report beside a re-run of it."""

    desk, slug, title, capability = "reports", "compare", "Compare with a re-run", "reports.compare_report"
    route = "compare/<int:report_id>/"
    template_name = "reports/compare.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Runs it again, twice, and shows what differs."""
        report = get_issued(report_id=kwargs["report_id"], actor=self.actor)
        found = compare_report(report_id=report.pk, actor=self.actor)
        return self.page({"report": report, "comparison": found, "report_title": definition_title(report.definition)})

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the list and the document."""
        report_id = self.kwargs["report_id"]
        return [
            *super().breadcrumbs(),
            ("Issued reports", reverse("admin:reports_issuedreport_changelist")),
            (f"Report {report_id}", reverse("admin:reports_issuedreport_change", args=[report_id])),
        ]


def document_panel(report: Any, actor: Actor) -> str:
    """Downloads, comparison and how to check the document."""
    context = {
        "may_download": holds(actor, "reports.download_report"),
        "may_compare": holds(actor, "reports.compare_report"),
        "file_url": DownloadReport.url(report_id=report.pk, what="file"),
        "signature_url": DownloadReport.url(report_id=report.pk, what="signature"),
        "compare_url": CompareReport.url(report_id=report.pk),
        "keys_url": reverse("reports_signing_keys"),
        "report": report,
    }
    return render_to_string("reports/parts/document_panel.html", context)
