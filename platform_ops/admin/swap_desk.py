"""The swap desk's pages: sheets, the grid with its cells, the impact, proposing, rates in force and their history.

Thin: every page calls one selector or one use case of `services/swap_desk`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.db.models import Count
from django.http import HttpRequest, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.access import get_visible, holds, visible_to
from backoffice.core.services.files import read_upload
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, InvalidInput
from backoffice.ui.columns import Column, badge, computed, moment, number, text
from backoffice.ui.exports import export_response
from backoffice.ui.formats import format_decimal, format_time
from backoffice.ui.views import DeskActionView, DeskPage, DeskTablePage, register_desk_page
from platform_ops.admin.swap_forms import NewSheetForm, ReadAgainForm
from platform_ops.admin.swap_links import change_link, sheet_link
from platform_ops.gateways.types import SwapMode
from platform_ops.models import AccountGroup, SwapSheet, Symbol, SymbolGroup
from platform_ops.permissions import MANAGE_SWAPS, VIEW_SWAP_DESK
from platform_ops.rules.swap_desk import mode_words
from platform_ops.rules.swap_sheets import plain
from platform_ops.services.swap_desk import editing, proposing, sheets
from platform_ops.services.swap_desk.editing import CellEdit
from platform_ops.services.swap_desk.figures import NightFigures
from platform_ops.services.swap_desk.grid import Grid, GridRow, grid_of

DESK = "platform_ops"
STATE_TONES = {"open": "info", "proposed": "good", "refused": "bad", "discarded": "quiet"}
MAX_BODY_BYTES = 300_000


class _SheetView(DeskActionView):
    """An act on the sheet that the address names."""

    desk = DESK

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Remembers which sheet."""
        super().setup(request, *args, **kwargs)
        self.sheet_id: int = kwargs["sheet_id"]

    def sheet(self) -> SwapSheet:
        """The sheet, through the door."""
        return get_visible(SwapSheet.objects.all(), self.actor, pk=self.sheet_id)

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The form, for a sheet that is there."""
        self.sheet()
        return super().get(request, *args, **kwargs)

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the desk and the sheet."""
        return [
            ("Desk", reverse("admin:index")),
            ("Swap desk", SwapDeskPage.url()),
            (str(self.sheet()), GridPage.url(sheet_id=self.sheet_id)),
        ]

    def success_url(self, result: Any) -> str:
        """Back to the grid of whatever sheet came of it."""
        found = result if isinstance(result, SwapSheet) else None
        return GridPage.url(sheet_id=found.pk if found else self.sheet_id)


@register_desk_page
class NewSheet(DeskActionView):
    """Takes a provider's sheet in."""

    desk, slug, title, capability = DESK, "swap_sheet_new", "New swap sheet", MANAGE_SWAPS
    template_name = "platform_ops/swap_upload.html"
    form_class = NewSheetForm
    needs_confirmation = False
    success_message = "Read."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> SwapSheet:
        """Keeps and reads it."""
        form = NewSheetForm(self.request.POST, self.request.FILES)
        form.is_valid()
        upload = data["file"]
        given = read_upload(upload, purpose=sheets.SHEET_PURPOSE) if upload else data["pasted"].encode()
        return sheets.open_sheet(
            provider=data["provider"],
            data=given,
            file_name=upload.name if upload else sheets.PASTED_NAME,
            reading=form.reading(),
            leaves_out_unknown=data["leaves_out_unknown"],
            actor=actor,
        )

    def success_url(self, result: SwapSheet) -> str:
        """On to the grid."""
        return GridPage.url(sheet_id=result.pk)

    def success_text(self, result: SwapSheet) -> str:
        """How it went."""
        if result.state == SwapSheet.State.REFUSED:
            return "The sheet was not taken: see what is wrong, row by row. Nothing of it is used."
        return f"Read: {result.rows.count():,} rows."

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the desk."""
        return [("Desk", reverse("admin:index")), ("Swap desk", SwapDeskPage.url())]


class StandingForm(forms.Form):
    """Which symbols."""

    symbol_group = forms.ModelChoiceField(
        SymbolGroup.objects.order_by("name"), required=False, label="Symbol group", empty_label="All symbols"
    )


@register_desk_page
class StandingSheet(DeskActionView):
    """Begins with the rates that are in force."""

    desk, slug, title, capability = DESK, "swap_sheet_standing", "Edit today's rates", MANAGE_SWAPS
    form_class = StandingForm
    needs_confirmation = False
    explanation = "A grid of today's rates to be edited by hand. Nothing changes until it is proposed and approved."
    success_message = "Today's rates are in the grid."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> SwapSheet:
        """Makes the grid."""
        group = data["symbol_group"]
        return sheets.sheet_of_standing(actor=actor, symbol_group_id=group.pk if group else None)

    def success_url(self, result: SwapSheet) -> str:
        """On to the grid."""
        return GridPage.url(sheet_id=result.pk)

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the desk."""
        return [("Desk", reverse("admin:index")), ("Swap desk", SwapDeskPage.url())]


class SheetFilter(forms.Form):
    """Which sheets."""

    state = forms.ChoiceField(required=False, choices=[("", "Any state"), *SwapSheet.State.choices], label="State")
    provider = forms.CharField(required=False, max_length=80, label="Provider")


@register_desk_page
class SwapDeskPage(DeskTablePage):
    """All sheets, the newest first."""

    desk, slug, title, capability = DESK, "swap_desk", "Swap desk", VIEW_SWAP_DESK
    subtitle = (
        "A provider's sheet becomes a draft, the draft a change that another person approves, then rates and servers."
    )
    template_name = "platform_ops/swap_table.html"
    empty_text = "No sheet yet. Take a provider's sheet in with the button above, or edit today's rates."
    filter_form = SheetFilter
    actions = (NewSheet, StandingSheet)
    columns = (
        computed(lambda sheet: sheet_link(sheet), title="Sheet"),
        badge("state", title="State", tones=STATE_TONES),
        number("row_count", title="Rows"),
        computed(lambda sheet: len(sheet.problems), title="Problems", is_numeric=True),
        computed(lambda sheet: change_link(sheet.change), title="Change request"),
        text("made_by", title="Taken in by"),
        moment("created_at", title="At"),
    )

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Any:
        """Those that the actor may see."""
        found = visible_to(SwapSheet.objects.select_related("change").annotate(row_count=Count("rows")), actor)
        if filters.get("state"):
            found = found.filter(state=filters["state"])
        if filters.get("provider"):
            found = found.filter(provider__icontains=filters["provider"])
        return found.order_by("-pk")


GRID_COLUMNS: tuple[Column, ...] = (
    text("row__symbol", title="Symbol"),
    computed(lambda row: row.row.group.name if row.row.group else "", title="Account group"),
    number("row__line", title="Row of the sheet"),
    computed(lambda row: mode_words(SwapMode(row.row.mode)), title="Stated in"),
    number("row__lp_long", title="Provider long"),
    number("row__lp_short", title="Provider short"),
    number("today__long", title="Today long"),
    number("today__short", title="Today short"),
    number("row__long", title="New long"),
    number("row__short", title="New short"),
    number("night__positions", title="Open"),
    number("night__lots", title="Lots"),
    number("night__now", title="A night now"),
    number("night__then", title="A night then"),
    computed(lambda row: row.state, title="State"),
    computed(lambda row: " ".join(finding.message for finding in row.found), title="Findings"),
    text("row__explanation", title="Explanation"),
)


@register_desk_page
class GridPage(DeskPage):
    """The grid of one sheet."""

    desk, slug, title, capability = DESK, "swap_grid", "Swap grid", VIEW_SWAP_DESK
    route = "swap-grid/<int:sheet_id>/"
    template_name = "platform_ops/swap_grid.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The grid, or its file."""
        sheet = get_visible(SwapSheet.objects.select_related("change", "file"), self.actor, pk=kwargs["sheet_id"])
        grid = grid_of(sheet, actor=self.actor)
        if kind := request.GET.get("export"):
            try:
                return export_response(
                    request,
                    name=f"swaps-{sheet.pk}",
                    columns=GRID_COLUMNS,
                    rows=grid.rows,
                    count=len(grid.rows),
                    file_format=kind,
                )
            except InvalidInput as error:
                messages.error(request, error.message)
                return HttpResponseRedirect(request.path)
        may_edit = sheet.state == SwapSheet.State.OPEN and holds(self.actor, MANAGE_SWAPS)
        wanted = request.GET.get("show", "")
        shown = [row for row in grid.rows if not wanted or _is_shown(row, wanted)]
        return self.page(
            {
                "content_title": f"{sheet.provider}, sheet {sheet.pk}",
                "sheet": sheet,
                "state_tone": STATE_TONES[sheet.state],
                "rows": [cells_of(row) for row in shown],
                "summary": summary_of(grid),
                "grid": grid,
                "show": wanted,
                "filters": (("", "All"), ("look", "To look at"), ("changed", "Changed"), ("open", "With positions")),
                "may_edit": may_edit,
                "cells_url": GridCells.url(sheet_id=sheet.pk),
                "keep_url": KeepTodays.url(sheet_id=sheet.pk),
                "impact_url": reverse("admin:platform_ops_swap_impact", kwargs={"sheet_id": sheet.pk}),
                "export_urls": {"CSV": "?export=csv", "XLSX": "?export=xlsx"} if grid.rows else {},
                "change_shown": change_link(sheet.change),
                "buttons": self._buttons(sheet, may_edit),
            }
        )

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the desk."""
        return [*super().breadcrumbs(), ("Swap desk", SwapDeskPage.url())]

    def _buttons(self, sheet: SwapSheet, may_edit: bool) -> list[dict[str, str]]:
        views: list[type[DeskActionView]] = []
        if may_edit:
            views = [ProposeSheet, AddRow, DiscardSheet]
        elif holds(self.actor, MANAGE_SWAPS):
            views = [ReadAgain] if sheet.state == SwapSheet.State.REFUSED else [CopySheet]
        return [{"title": view.label(), "url": view.url(sheet_id=sheet.pk), "tone": view.tone} for view in views]


def _is_shown(row: GridRow, wanted: str) -> bool:
    if wanted == "look":
        return row.state in ("missing", "blocked", "explained", "flagged")
    if wanted == "changed":
        return row.is_changed or row.is_missing
    return row.night is not None and row.night.positions > 0


@register_desk_page
class GridCells(DeskPage):
    """Takes a block of edited cells as JSON and answers with the rows as they are now."""

    desk, slug, title, capability = DESK, "swap_grid_cells", "Cells of a swap grid", MANAGE_SWAPS
    route = "swap-grid/<int:sheet_id>/cells/"
    http_method_names = ("post",)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """All cells, or none with the one that is wrong."""
        try:
            edits = _edits(request.body)
            sheet = editing.edit_cells(sheet_id=kwargs["sheet_id"], edits=edits, actor=self.actor)
        except DomainError as error:
            body = {
                "message": error.message,
                "code": error.code,
                "row": error.details.get("row"),
                "field": error.details.get("field"),
            }
            return JsonResponse(body, status=error.http_status)
        whole = grid_of(sheet, actor=self.actor)
        symbols = {row.row.symbol_id for row in whole.rows if row.row.pk in {edit.row_id for edit in edits}}
        rows = [cells_of(row) for row in whole.rows if row.row.symbol_id in symbols]
        return JsonResponse({"rows": rows, "summary": summary_of(whole)})


def _edits(body: bytes) -> list[CellEdit]:
    if len(body) > MAX_BODY_BYTES:
        raise InvalidInput("Too many cells at once.", field="edits")
    try:
        data = json.loads(body)
        given = data["edits"]
        return [
            CellEdit(
                int(row["row"]),
                str(row["field"]),
                str(row["value"]),
                None if row.get("was") is None else str(row["was"]),
            )
            for row in given
        ]
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidInput("These are no cells.", field="edits") from error


def cells_of(row: GridRow) -> dict[str, Any]:
    """What a row shows, as text; the same for the first drawing and for every answer."""
    stored, today, night = row.row, row.today, row.night
    return {
        "id": stored.pk,
        "symbol": stored.symbol.code,
        "name": str(stored),
        "group": stored.group.name if stored.group else "",
        "server": stored.group.server.code if stored.group else "",
        "line": stored.line or "",
        "sheet_name": stored.sheet_name if stored.sheet_name != stored.symbol.code else "",
        "mode": mode_words(SwapMode(stored.mode)),
        "markup": stored.markup,
        "lp_long": _plain(stored.lp_long),
        "lp_short": _plain(stored.lp_short),
        "today_long": _plain(today.long if today else None),
        "today_short": _plain(today.short if today else None),
        "long": _plain(stored.long),
        "short": _plain(stored.short),
        "change_long": _percent(row.change_of("long"), row, "long"),
        "change_short": _percent(row.change_of("short"), row, "short"),
        "positions": "" if night is None else f"{night.positions:,}" if night.positions else "",
        "lots": "" if night is None or not night.positions else format_decimal(night.lots, 2),
        "now": _money(night, "now"),
        "then": _money(night, "then"),
        "change": _money(night, "change"),
        "is_worse": night is not None and night.change < 0,
        "state": row.state,
        "state_words": STATE_WORDS[row.state],
        "findings": [finding.as_data() for finding in row.found]
        + (
            [{"code": "no_specification", "weight": "block", "side": "", "message": row.problem}] if row.problem else []
        ),
        "explanation": stored.explanation,
        "needs_explanation": row.state in ("blocked", "explained") and not row.is_missing,
    }


STATE_WORDS = {
    "missing": "Missing",
    "blocked": "Blocked",
    "explained": "Explained",
    "flagged": "Look",
    "changed": "Changed",
    "same": "As today",
}


def summary_of(grid: Grid) -> dict[str, Any]:
    """The line above the grid."""
    total = grid.total
    return {
        "rows": f"{len(grid.rows):,}",
        "changed": f"{grid.count('changed', 'flagged', 'blocked', 'explained'):,}",
        "blocked": grid.count("blocked"),
        "missing": grid.count("missing"),
        "flagged": grid.count("flagged", "explained"),
        "now": format_decimal(total.now, 2),
        "then": format_decimal(total.then, 2),
        "change": ("+" if total.change > 0 else "") + format_decimal(total.change, 2),
        "currency": grid.currency,
        "cost_problem": grid.cost_problem,
    }


def _plain(value: Decimal | None) -> str:
    return "" if value is None else plain(value)


def _percent(value: Decimal | None, row: GridRow, side: str) -> str:
    if value is None or row.draft is None or row.today is None:
        return ""
    if not value:
        return ""
    sign = "+" if getattr(row.draft, side) > getattr(row.today, side) else "\u2212"
    return f"{sign}{value:,.1f} %" if value < 10_000 else f"{sign}>9,999 %"


def _money(night: NightFigures | None, name: str) -> str:
    if night is None or not night.positions:
        return ""
    return format_decimal(getattr(night, name), 2)


@register_desk_page
class KeepTodays(DeskPage):
    """Puts today's rates into rows."""

    desk, slug, title, capability = DESK, "swap_grid_keep", "Keep today's rates", MANAGE_SWAPS
    route = "swap-grid/<int:sheet_id>/keep/"
    http_method_names = ("post",)

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """For the rows that the form names."""
        back = HttpResponseRedirect(GridPage.url(sheet_id=kwargs["sheet_id"]))
        rows = [int(value) for value in request.POST.getlist("row") if value.isdigit()]
        try:
            editing.keep_todays(sheet_id=kwargs["sheet_id"], row_ids=rows, actor=self.actor)
        except DomainError as error:
            messages.error(request, error.message)
            return back
        messages.success(request, f"Today's rates are kept in {len(rows):,} {'row' if len(rows) == 1 else 'rows'}.")
        return back


class ProposeForm(forms.Form):
    """From when, and why."""

    valid_from = forms.SplitDateTimeField(
        required=False,
        label="From (UTC)",
        help_text="Empty: at once, when it is approved. Else it is applied and pushed at that time.",
        widget=forms.SplitDateTimeWidget(date_attrs={"type": "date"}, time_attrs={"type": "time"}),
    )
    reason = forms.CharField(max_length=400, label="Reason", help_text="For the person who approves, and the audit.")


@register_desk_page
class ProposeSheet(_SheetView):
    """Hands the grid in for approval."""

    slug, title, capability = "swap_sheet_propose", "Propose these rates", MANAGE_SWAPS
    route = "swap-grid/<int:sheet_id>/propose/"
    button = "Propose"
    form_class = ProposeForm
    success_message = "Handed in: another person approves it now."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is handed in, and what a night of it costs."""
        grid = grid_of(self.sheet(), actor=actor)
        total = grid.total
        night = grid.cost_problem or f"{total.now:,.2f} → {total.then:,.2f} {grid.currency}, {total.change:+,.2f}"
        return [
            ("Rates that change", f"{len(grid.changed):,}"),
            ("Flagged", f"{grid.count('flagged', 'explained'):,}"),
            ("A night, for the clients", night),
            ("From", format_time(data["valid_from"]) + " UTC" if data["valid_from"] else "its approval"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Proposes it."""
        moment = data["valid_from"]
        return proposing.propose_sheet(
            sheet_id=self.sheet_id,
            actor=actor,
            reason=data["reason"],
            valid_from=moment.astimezone(UTC) if moment else None,
        )

    def success_url(self, result: Any) -> str:
        """The change request."""
        return reverse("admin:core_changerequest_change", args=[result.pk])


@register_desk_page
class DiscardSheet(_SheetView):
    """Puts the draft away."""

    slug, title, capability = "swap_sheet_discard", "Discard this sheet", MANAGE_SWAPS
    route = "swap-grid/<int:sheet_id>/discard/"
    button, tone = "Discard", "danger"
    explanation = "The draft is put away; its rows and its file can still be read. No rate changes."
    success_message = "Discarded."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> SwapSheet:
        """Discards it."""
        return sheets.discard_sheet(sheet_id=self.sheet_id, actor=actor)


@register_desk_page
class CopySheet(_SheetView):
    """Begins anew with the rows of an earlier sheet."""

    slug, title, capability = "swap_sheet_copy", "Begin again from this sheet", MANAGE_SWAPS
    route = "swap-grid/<int:sheet_id>/copy/"
    button = "Begin again from it"
    needs_confirmation = False
    explanation = "A new draft with the same rows. Explanations are given anew."
    success_message = "A new draft with the same rows."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> SwapSheet:
        """Copies it."""
        return sheets.copy_sheet(sheet_id=self.sheet_id, actor=actor)


@register_desk_page
class ReadAgain(_SheetView):
    """Reads the kept file of a refused sheet in another way."""

    slug, title, capability = "swap_sheet_read_again", "Read it again", MANAGE_SWAPS
    route = "swap-grid/<int:sheet_id>/read-again/"
    form_class = ReadAgainForm
    needs_confirmation = False
    explanation = (
        "The kept file is read in another way, as a sheet of its own. What is wrong in it is mended in a new file."
    )
    success_message = "Read again."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> SwapSheet:
        """Reads it."""
        form = ReadAgainForm(self.request.POST)
        form.is_valid()
        return sheets.read_again(
            sheet_id=self.sheet_id, reading=form.reading(), leaves_out_unknown=data["leaves_out_unknown"], actor=actor
        )


class AddRowForm(forms.Form):
    """Which symbol, for whom."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"), label="Symbol")
    group = forms.ModelChoiceField(
        AccountGroup.objects.none(), required=False, label="Account group", empty_label="Everybody"
    )


@register_desk_page
class AddRow(_SheetView):
    """Adds a symbol to the grid."""

    slug, title, capability = "swap_sheet_add_row", "Add a row", MANAGE_SWAPS
    route = "swap-grid/<int:sheet_id>/add-row/"
    needs_confirmation = False
    explanation = (
        "A symbol that the sheet does not have, or rates of its own for a group of accounts. It begins with today's."
    )
    success_message = "Added."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only groups that the actor sees."""
        form = AddRowForm(data)
        groups = visible_to(AccountGroup.objects.select_related("server"), actor)
        form.fields["group"].queryset = groups  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds it."""
        return editing.add_row(
            sheet_id=self.sheet_id,
            symbol_id=data["symbol"].pk,
            group_id=data["group"].pk if data["group"] else None,
            actor=actor,
        )
