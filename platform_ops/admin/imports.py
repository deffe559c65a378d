"""Statement files on the desk: upload, preview, progress, results, quarantine, and the originals."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.files.storage import default_storage
from django.http import FileResponse, HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import holds, visible_to
from backoffice.core.services.jobs import register_runner
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput, NotFound
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    computed_column,
    link_column,
    moment_column,
    money_column,
    state_column,
    text_column,
)
from backoffice.ui.formats import currency_digits, format_decimal
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskPage, register_desk_page
from platform_ops.models import StatementImport, TradingServer
from platform_ops.permissions import DOWNLOAD_STATEMENTS, IMPORT_STATEMENTS, VIEW_PLATFORM
from platform_ops.selectors.imports import FIGURES, import_progress, unmatched_symbols
from platform_ops.services import uploads
from platform_ops.types import IMPORT_JOB_KIND

STATE_TONES = {"previewed": "quiet", "queued": "info", "running": "info", "stored": "good", "refused": "bad"}
REFRESH_MILLISECONDS = 700
_COUNTS = frozenset({"closed_trades", "open_positions", "cancelled_orders", "balance_operations"})


class SeveralFilesInput(forms.ClearableFileInput):
    """A file field that takes several files."""

    allow_multiple_selected = True


class SeveralFilesField(forms.FileField):
    """Several uploaded files; the cleaned value is their list."""

    widget = SeveralFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[Any]:
        """Each file on its own."""
        files = data if isinstance(data, (list, tuple)) else [data]
        if len(files) > uploads.MAX_FILES_AT_ONCE:
            raise forms.ValidationError(f"At most {uploads.MAX_FILES_AT_ONCE} files at once.")
        return [super(SeveralFilesField, self).clean(file, initial) for file in files or [None]]


class UploadForm(forms.Form):
    """Which files, and of which server."""

    server = forms.ModelChoiceField(TradingServer.objects.none(), required=False, label="Trading server")
    new_server = forms.SlugField(
        max_length=40,
        required=False,
        label="Or the code of a new server",
        help_text="It is registered with the first file; its clock is GMT+2, GMT+3 by New York's summer time.",
    )
    statements = SeveralFilesField(
        label="Statements",
        help_text="MT4 Statement or DetailedStatement (.htm), MT5 history report (.xlsx, .html), MT5 client API export (.xlsx), CSV.",
    )

    def clean(self) -> dict[str, Any]:
        """Exactly one server."""
        data = super().clean() or {}
        if bool(data.get("server")) == bool(data.get("new_server")):
            raise forms.ValidationError("Choose a server, or name a new one.")
        return data


class UploadStatements(DeskActionView):
    """Reads files and shows what is in them; nothing is booked yet."""

    slug, title, capability = "upload", "Import statements", IMPORT_STATEMENTS
    template_name = "platform_ops/upload.html"
    needs_confirmation = False
    success_message = "Read. Nothing is booked until you confirm."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only servers that the actor sees."""
        form = UploadForm(data, files)
        form.fields["server"].queryset = visible_to(TradingServer.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> list[StatementImport]:
        """Previews each file."""
        code = data["server"].code if data["server"] else data["new_server"]
        for file in data["statements"]:
            if file.size > uploads.MAX_UPLOAD_BYTES:
                raise InvalidInput(
                    f"{file.name} is larger than {uploads.MAX_UPLOAD_BYTES // 2**20} MB.", field="statements"
                )
        return [
            uploads.preview_upload(server_code=code, data=file.read(), file_name=file.name, actor=actor)
            for file in data["statements"]
        ]

    def success_url(self, result: list[StatementImport]) -> str:
        """On to the preview."""
        return ConfirmImports.url(ids=_ids_in_url(result))


class ImportsPage(DeskPage):
    """What the pages about one upload share: the imports that its address names, through the door."""

    desk = "platform_ops"
    capability = IMPORT_STATEMENTS

    def imports(self) -> list[StatementImport]:
        """The imports in the order given. Raises NotFound unless all are there and visible."""
        numbers = [int(part) for part in self.kwargs["ids"].split(",") if part.isdecimal()][: uploads.MAX_FILES_AT_ONCE]
        rows = StatementImport.objects.select_related("server", "account").filter(pk__in=numbers)
        found = {row.pk: row for row in visible_to(rows, self.actor)}
        if not numbers or set(numbers) != found.keys():
            raise NotFound("No such import, or it is not yours to see.")
        return [found[number] for number in dict.fromkeys(numbers)]

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the list of imports."""
        return [*super().breadcrumbs(), ("Imports", reverse("admin:platform_ops_statementimport_changelist"))]


@register_desk_page
class ConfirmImports(ImportsPage, DeskActionView):
    """What the files hold, and the button that books them."""

    slug, title, route = "confirm-imports", "Check before importing", "imports/<str:ids>/confirm/"
    template_name = "platform_ops/confirm_imports.html"
    needs_confirmation = False
    button = "Import"
    success_message = "The import runs."

    def page(self, context: Mapping[str, Any], *, template: str = "", status: int = 200) -> Any:
        """With the table of files."""
        imports = self.imports()
        ready = [imported for imported in imports if imported.state == StatementImport.State.PREVIEWED]
        more = {
            "imports": [(imported, unmatched_symbols(imported)) for imported in imports],
            "ready": len(ready),
            "new_rows": sum(imported.new_deals for imported in ready),
        }
        return super().page({**context, **more}, template=template, status=status)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> list[StatementImport]:
        """Queues what can be imported."""
        ready = [row.pk for row in self.imports() if row.state != StatementImport.State.REFUSED]
        if not ready:
            raise InvalidInput("None of the files can be imported.")
        uploads.confirm_uploads(import_ids=ready, actor=actor)
        return self.imports()

    def success_url(self, result: list[StatementImport]) -> str:
        """On to the progress."""
        return ImportProgress.url(ids=_ids_in_url(result))


@register_desk_page
class ImportProgress(ImportsPage):
    """How far the files are; asks the server until all are done."""

    slug, title, route = "import-progress", "Importing", "imports/<str:ids>/"
    template_name = "platform_ops/import_progress.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """The files as they stand, for a page that also works without script."""
        imports = self.imports()
        return {
            "imports": [(imported, import_progress(imported)) for imported in imports],
            "state_url": ImportState.url(ids=self.kwargs["ids"]),
            "refresh": REFRESH_MILLISECONDS,
        }


@register_desk_page
class ImportState(ImportsPage):
    """The same as data."""

    slug, title, route = "import-state", "State of imports", "imports/<str:ids>/state/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """One object per file."""
        return JsonResponse({"imports": [import_progress(imported) for imported in self.imports()]})


@register_desk_page
class OriginalFile(DeskPage):
    """The bytes as they were given; every download stands in the audit."""

    desk, slug, title, route = "platform_ops", "original", "Original file", "imports/<int:import_id>/original/"
    capability = DOWNLOAD_STATEMENTS

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """As an attachment that no browser interprets."""
        name, path = uploads.take_original(import_id=kwargs["import_id"], actor=self.actor)
        return FileResponse(
            default_storage.open(path, "rb"),
            as_attachment=True,
            filename=name,
            content_type="application/octet-stream",
        )


class DiscardPreview(DeskActionView):
    """Forgets a preview."""

    slug, title, capability, tone = "discard", "Discard the preview", IMPORT_STATEMENTS, "danger"
    explanation = "The preview is forgotten. Nothing was booked from it."
    success_message = "Discarded."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Until it is confirmed."""
        return bool(target.state == StatementImport.State.PREVIEWED)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Discards it."""
        uploads.discard_upload(import_id=self.target.pk, actor=actor)

    def success_url(self, result: Any) -> str:
        """Back to the list: the page of the preview is gone."""
        return reverse("admin:platform_ops_statementimport_changelist")


class AgreementFilter(admin.SimpleListFilter):
    """Whether the books agree with the file."""

    title = "agreement"
    parameter_name = "agrees"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Two kinds."""
        return [("yes", "Agrees with its summary"), ("no", "Disagrees")]

    def queryset(self, request: Any, queryset: Any) -> Any:
        """Filters."""
        return queryset.filter(matches_statement=self.value() == "yes") if self.value() in {"yes", "no"} else queryset


@admin.register(StatementImport)
class StatementImportAdmin(DeskModelAdmin):
    """Every file that was given: stored, refused into quarantine, or on its way."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "file_name",
        "server_shown",
        "account_shown",
        "state_shown",
        "agrees",
        "new_deals",
        "corrected_deals",
        "problem",
        "given_shown",
    )
    list_select_related = ("server", "account")
    list_filter = ("state", AgreementFilter, "server", "format")
    search_fields = ("file_name", "account__login", "sha256")
    list_actions = (UploadStatements,)
    object_actions = (DiscardPreview,)
    empty_text = "No statement has been imported yet."
    fields: ClassVar[tuple[str, ...]] = (
        "file_name",
        "server",
        "account",
        "state",
        "format",
        "as_of",
        "covers_from",
        "opening_shown",
        "stated_shown",
        "matches_statement",
        "rows_total",
        "new_deals",
        "corrected_deals",
        "stale_deals",
        "repeats",
        "size_bytes",
        "sha256",
        "uploaded_by",
        "created_at",
        "finished_at",
    )

    server_shown = text_column("server", title="Server", order="server__code")
    account_shown = link_column("account", title="Account", label="login", order="account__login")
    state_shown = badge_column("state", title="State", tones=STATE_TONES, order="state")
    agrees = state_column(
        lambda imported: {True: "Agrees", False: "Disagrees"}.get(imported.matches_statement, ""),
        title="Summary",
        tones={"Agrees": "good", "Disagrees": "bad"},
    )
    opening_shown = money_column("opening_balance", currency="account__currency", title="Opening balance")
    stated_shown = money_column("stated_balance", currency="account__currency", title="Stated balance")
    problem = computed_column(lambda imported: imported.error.get("message", ""), title="Problem")
    given_shown = moment_column("created_at", title="Given", order="id")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything."""
        return self.fields


def figures_panel(imported: StatementImport, actor: Actor) -> SafeString | str:
    """What the file holds, as recomputed from what is stored."""
    if not imported.figures:
        return ""
    currency = imported.account.currency if imported.account else imported.figures.get("currency", "")
    rows = [
        (name.replace("_", " ").capitalize().replace(" pl", " P/L"), _shown(name, imported.figures[name], currency))
        for name in FIGURES
    ]
    if missing := unmatched_symbols(imported):
        rows.append(("Without a canonical symbol", ", ".join(missing)))
    return _facts(rows)


def differences_panel(imported: StatementImport, actor: Actor) -> SafeString | str:
    """Where the file's own summary says something else."""
    if not imported.differences:
        return ""
    body = format_html_join(
        "",
        '<tr><td>{}</td><td class="bo-right"><span class="bo-num">{}</span></td>'
        '<td class="bo-right"><span class="bo-num">{}</span></td></tr>',
        (
            (found["field"].replace("_", " ").capitalize(), found["stated"], found["recomputed"])
            for found in imported.differences
        ),
    )
    return format_html(
        '<table class="bo-table"><thead><tr><th scope="col">Figure</th><th scope="col" class="bo-right">The file states'
        '</th><th scope="col" class="bo-right">Its rows give</th></tr></thead><tbody>{}</tbody></table>',
        body,
    )


def refusal_panel(imported: StatementImport, actor: Actor) -> SafeString | str:
    """Why a file stands in quarantine, with the row and field."""
    if not imported.error:
        return ""
    place = [("Row", imported.error.get("row")), ("Field", imported.error.get("field"))]
    return _facts(
        [("Reason", imported.error["message"]), *((label, str(value)) for label, value in place if value is not None)]
    )


def original_panel(imported: StatementImport, actor: Actor) -> SafeString | str:
    """The link to the bytes."""
    if not imported.stored_path or not holds(actor, DOWNLOAD_STATEMENTS):
        return ""
    return format_html(
        '<p><a class="bo-link" href="{}" download>Download {}</a></p><p class="bo-note">Each download is written down.</p>',
        OriginalFile.url(import_id=imported.pk),
        imported.file_name,
    )


def waiting_files(actor: Actor) -> int:
    """Files that somebody previewed and nobody confirmed, or that are on their way."""
    states = [StatementImport.State.PREVIEWED, StatementImport.State.QUEUED, StatementImport.State.RUNNING]
    return visible_to(StatementImport.objects.filter(state__in=states), actor).count()


def register() -> None:
    """Menu entry, panels and the runner of the imports; called when the application starts."""
    register_page(
        "platform_ops",
        "Statement imports",
        "admin:platform_ops_statementimport_changelist",
        VIEW_PLATFORM,
        10,
        icon="upload_file",
        badge=waiting_files,
    )
    model = "platform_ops.StatementImport"
    register_panel(model, "refusal", "Why it was refused", refusal_panel, order=10)
    register_panel(model, "figures", "Figures", figures_panel, order=20)
    register_panel(model, "differences", "Differences from the file's own summary", differences_panel, order=30)
    register_panel(model, "original", "Original file", original_panel, order=40)
    register_runner(IMPORT_JOB_KIND, uploads.run_import_job)


def _facts(rows: list[tuple[str, str]]) -> SafeString:
    return format_html('<dl class="bo-facts">{}</dl>', format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", rows))


def _shown(name: str, value: Any, currency: str) -> SafeString | str:
    if name in _COUNTS:
        return str(value)
    shown = format_decimal(Decimal(value), currency_digits(currency))
    return format_html('<span class="bo-num">{} <span class="bo-ccy">{}</span></span>', shown, currency)


def _ids_in_url(imports: list[StatementImport]) -> str:
    return ",".join(str(imported.pk) for imported in imports)
