"""The desk's pages of packages: give one, read what its check found, ask for its application, follow it, its history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe

from backoffice.core.access import get_visible
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput, NotFound
from backoffice.migration.models import MigrationPackage
from backoffice.migration.permissions import GIVE_PACKAGE, VIEW_PACKAGES
from backoffice.migration.services import packages
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed_column, moment_column, number_column, text_column
from backoffice.ui.formats import currency_digits, format_decimal
from backoffice.ui.panels import register_panel
from backoffice.ui.renderers.csv import render_csv
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page
from funding.ledger.chart import AccountKind

STATE_TONES = {
    "given": "info",
    "refused": "bad",
    "checked": "good",
    "queued": "info",
    "applied": "good",
    "failed": "bad",
}
PROBLEMS_SHOWN = 100
PROBLEM_COLUMNS = ("file", "row", "field", "value", "message", "mend", "code")


class PackageForm(forms.Form):
    """The file."""

    package = forms.FileField(
        label="Package",
        help_text="A zip with manifest.json and the files that it lists; the formats are described in docs/formats.",
        widget=forms.ClearableFileInput(attrs={"accept": ".zip,application/zip"}),
    )


class GivePackage(DeskActionView):
    """Keeps a package and has it checked."""

    slug, title, capability = "give", "Bring a package in", GIVE_PACKAGE
    template_name = "platform_ops/upload.html"
    form_class = PackageForm
    needs_confirmation = False
    explanation = (
        "The package is checked by doing all of its work and undoing it. Nothing is kept until a colleague has let it "
        "through."
    )
    success_message = "Kept. The check runs; its report appears on this page."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> MigrationPackage:
        """Hands the bytes over."""
        file = data["package"]
        if file.size > packages.MAX_UPLOAD_BYTES:
            raise InvalidInput(
                f"The file is larger than {packages.MAX_UPLOAD_BYTES // 2**20} MB; larger ones come in by command.",
                field="package",
            )
        return packages.give_package(data=file.read(), file_name=file.name, actor=actor)

    def success_url(self, result: MigrationPackage) -> str:
        """On to the package."""
        return reverse("admin:migration_migrationpackage_change", args=[result.pk])


class RequestForm(forms.Form):
    """Why."""

    reason = forms.CharField(label="Reason", widget=forms.Textarea(attrs={"rows": 2}), max_length=2_000)


class RequestApplication(DeskActionView):
    """Asks a colleague to let the package through."""

    slug, title, capability = "request", "Ask for its application", GIVE_PACKAGE
    form_class = RequestForm
    success_message = "Submitted. A colleague decides on it under changes."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Once the check found no problem."""
        return bool(target.state == MigrationPackage.State.CHECKED)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> list[tuple[str, str]]:
        """What the colleague will be asked."""
        created = sum(item["created"] for item in self.target.report.get("files", []))
        updated = sum(item["updated"] for item in self.target.report.get("files", []))
        return [
            ("Package", f"{self.target.file_name}, SHA-256 {self.target.digest}"),
            ("What it does", f"{created} rows created, {updated} updated in {self.target.entity}"),
            ("Who decides", "A colleague of administration or finance, never you."),
            ("Afterwards", "It is applied whole or not at all, and checked again before anything is kept."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Submits the change request."""
        return packages.request_application(package_id=self.target.pk, reason=data["reason"], actor=actor)


class CheckAgain(DeskActionView):
    """Runs the check once more."""

    slug, title, capability = "check-again", "Check again", GIVE_PACKAGE
    explanation = "The package is checked once more against what the back office holds now."
    success_message = "The check runs."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While nothing else is done with it."""
        return target.state in (
            MigrationPackage.State.CHECKED,
            MigrationPackage.State.REFUSED,
            MigrationPackage.State.FAILED,
        )

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Queues it."""
        return packages.check_again(package_id=self.target.pk, actor=actor)


@register_desk_page
class PackageReport(DeskPage):
    """The report as a file: all of it as JSON, or its problems as CSV."""

    desk, slug, title, capability = "migration", "report", "Report of a package", VIEW_PACKAGES
    route = "report/<int:package_id>/<str:kind>/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """An attachment."""
        package = get_visible(MigrationPackage.objects.all(), self.actor, pk=kwargs["package_id"])
        if kwargs["kind"] == "json":
            text = json.dumps(package.report, indent=2, ensure_ascii=False)
            return _attachment(text.encode(), f"package-{package.pk}-report.json", "application/json")
        if kwargs["kind"] == "csv":
            problems = package.report.get("problems", [])
            rows = [[problem.get(column) for column in PROBLEM_COLUMNS] for problem in problems]
            return _attachment(
                render_csv(PROBLEM_COLUMNS, rows),
                f"package-{package.pk}-problems.csv",
                "text/csv; charset=utf-8",
            )
        raise NotFound("There is no such form of a report.")


def _attachment(data: bytes, name: str, content_type: str) -> HttpResponse:
    response = HttpResponse(data, content_type=content_type)
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    response.headers["Cache-Control"] = "private, no-store"
    return response


@admin.register(MigrationPackage)
class MigrationPackageAdmin(DeskModelAdmin):
    """Every package that was given, and what became of it."""

    view_capability = VIEW_PACKAGES
    list_display = (
        "file_name",
        "entity_shown",
        "form_shown",
        "state_shown",
        "rows_shown",
        "problems_shown",
        "given_shown",
    )
    list_select_related = ("entity", "given_by", "confirmed_by")
    list_filter = ("state", "entity")
    search_fields = ("file_name", "digest")
    list_actions = (GivePackage,)
    object_actions = (RequestApplication, CheckAgain)
    empty_text = "No package has been brought in yet. An example stands in docs/formats/migration-example."
    fields: ClassVar[tuple[str, ...]] = (
        "file_name",
        "entity",
        "form",
        "state",
        "rows",
        "problems",
        "digest",
        "size_bytes",
        "given_by",
        "confirmed_by",
        "created_at",
        "checked_at",
        "finished_at",
    )

    entity_shown = text_column("entity", title="Legal entity", order="entity__name")
    form_shown = computed_column(lambda package: package.get_form_display(), title="Form")
    state_shown = badge_column("state", title="State", tones=STATE_TONES, order="state")
    rows_shown = number_column("rows", title="Rows", digits=0)
    problems_shown = number_column("problems", title="Problems", digits=0)
    given_shown = moment_column("created_at", title="Given", order="id")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything."""
        return self.fields


def _balances(report: Mapping[str, Any]) -> list[dict[str, str]]:
    """The balances that the package moves, as people read them."""
    titles = dict(AccountKind.choices)
    rows = []
    for item in report.get("balances", []):
        if item["before"] == item["after"] or not report.get("ok"):
            continue
        digits = currency_digits(item["currency"])
        before, after = Decimal(item["before"]), Decimal(item["after"])
        rows.append(
            {
                "title": str(titles.get(item["kind"], item["kind"])),
                "currency": item["currency"],
                "before": format_decimal(before, digits),
                "after": format_decimal(after, digits),
                "difference": format_decimal(after - before, digits),
            }
        )
    return rows


def report_panel(package: MigrationPackage, actor: Actor) -> SafeString | str:
    """What the check or the application said, or how far it is."""
    report = package.report or {}
    context = {
        "package": package,
        "report": report,
        "problems": report.get("problems", [])[:PROBLEMS_SHOWN],
        "shown": PROBLEMS_SHOWN,
        "balances": _balances(report),
        "is_running": package.state in ("given", "queued"),
        "progress": packages.progress_of(package.pk) if package.state in ("given", "queued") else {},
        "json_url": PackageReport.url(package_id=package.pk, kind="json"),
        "csv_url": PackageReport.url(package_id=package.pk, kind="csv"),
    }
    return mark_safe(render_to_string("migration/report.html", context))  # noqa: S308 -- a template that escapes


def register_panels() -> None:
    """The report stands on the package's page; called once when the application starts."""
    register_panel("migration.MigrationPackage", "report", "Report", report_panel, order=10)
