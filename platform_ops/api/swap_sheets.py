"""The swap desk over HTTP: a provider's sheet comes in as rows, text or file, is worked on as a grid, and is handed in."""

from __future__ import annotations

import csv
import io
from typing import Any, ClassVar

from django.db.models import Count
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.services.files import read_upload
from backoffice.kernel.errors import MissingRate
from backoffice.ui.api_fields import AmountField, IdField, MomentField, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.shared import (
    FIGURE,
    ROW_MODE_NAMES,
    ROW_MODES,
    SHEET_MODES,
    SUBMIT_HELP,
    SWAP_MODES,
    DraftedChangeSerializer,
    NamedField,
    TakesFiles,
)
from platform_ops.gateways.types import SwapMode
from platform_ops.models import AccountGroup, SwapSheet, Symbol, SymbolGroup
from platform_ops.permissions import MANAGE_SWAPS, VIEW_SWAP_DESK
from platform_ops.rules.swap_desk import MAX_EXPLANATION
from platform_ops.rules.swap_sheets import MAX_NAME, MAX_ROWS, Column, DecimalMark, Reading, SignOf
from platform_ops.services.swap_desk import editing, proposing, sheets
from platform_ops.services.swap_desk.editing import CellEdit
from platform_ops.services.swap_desk.figures import NightFigures, night_of
from platform_ops.services.swap_desk.grid import Grid, GridRow, grid_of

MAX_TEXT = 400_000
MAX_COLUMN = 15


class SwapProblemSerializer(serializers.Serializer[Any]):
    """What is wrong with a sheet, and where; row null: with the sheet as a whole."""

    row = serializers.IntegerField(allow_null=True)
    field = serializers.CharField()
    message = serializers.CharField()
    value = serializers.CharField(allow_blank=True)
    symbol = serializers.CharField(allow_blank=True)
    code = serializers.CharField()


class SwapSheetSerializer(serializers.ModelSerializer[SwapSheet]):
    """A provider's sheet on its way to becoming rates. Of a refused one nothing is used; `problems` says why."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    rows = serializers.SerializerMethodField()
    problems = SwapProblemSerializer(many=True, read_only=True)
    left_out = serializers.ListField(child=serializers.CharField(), read_only=True)
    change = serializers.UUIDField(source="change.public_id", read_only=True, allow_null=True, default=None)

    class Meta:
        model = SwapSheet
        fields = [
            "id", "provider", "state", "rows", "problems", "left_out", "change", "version", "made_by", "created_at", "closed_at",
        ]  # fmt: skip
        read_only_fields = fields

    def get_rows(self, sheet: SwapSheet) -> int:
        """How many rows its grid has."""
        counted = getattr(sheet, "row_count", None)
        return sheet.rows.count() if counted is None else int(counted)


class SheetColumnsSerializer(StrictSerializer):
    """Which column (0 is the first) means what, only where headings do not tell."""

    def get_fields(self) -> dict[str, Any]:
        """One field for each meaning."""
        return {
            column.value: serializers.IntegerField(min_value=0, max_value=MAX_COLUMN, required=False)
            for column in Column
        }


class ReadingSerializer(StrictSerializer):
    """How a sheet is to be read."""

    sign_of = serializers.ChoiceField(
        choices=[sign.value for sign in SignOf],
        default=SignOf.CLIENT.value,
        help_text="client: negative is paid by who holds the position. cost: positive is.",
    )
    mode = NamedField(SwapMode, SHEET_MODES, default=SwapMode.POINTS, help_text="Stated in.")
    leaves_out_unknown = serializers.BooleanField(
        default=False, help_text="Names that are none of our symbols are left out, not refused."
    )


class TextReadingSerializer(ReadingSerializer):
    """How text or a file is to be read."""

    decimal_mark = serializers.ChoiceField(
        choices=[mark.value for mark in DecimalMark], default=DecimalMark.EITHER.value
    )
    columns = SheetColumnsSerializer(required=False)


class SheetLineSerializer(StrictSerializer):
    """One symbol of a sheet; figures in the sign that `sign_of` says."""

    symbol = serializers.CharField(max_length=MAX_NAME)
    long = serializers.DecimalField(max_digits=20, decimal_places=8)
    short = serializers.DecimalField(max_digits=20, decimal_places=8)
    mode = serializers.ChoiceField(choices=ROW_MODE_NAMES, required=False, help_text="Else that of the sheet.")
    group = serializers.CharField(max_length=120, required=False, help_text="Name of an account group; else everybody.")


class NewSheetSerializer(ReadingSerializer):
    """A sheet as rows. Problems name the row by its place, from 1."""

    provider = serializers.CharField(max_length=80)
    rows = serializers.ListField(child=SheetLineSerializer(), min_length=1, max_length=MAX_ROWS)


class PastedSheetSerializer(TextReadingSerializer):
    """A sheet as text, as out of a spreadsheet or a mail: symbol, long, short; headings help."""

    provider = serializers.CharField(max_length=80)
    text = serializers.CharField(max_length=MAX_TEXT, trim_whitespace=False)


class UploadedSheetSerializer(TextReadingSerializer):
    """A sheet as a file."""

    provider = serializers.CharField(max_length=80)
    file = serializers.FileField(max_length=255, help_text="CSV or XLSX, at most 2 MB.")
    columns = None  # type: ignore[assignment]


class StandingSheetSerializer(StrictSerializer):
    """Of which symbols; without a group of all that have a rate."""

    symbol_group = VisibleField(slug_field="code", queryset=SymbolGroup.objects.all(), required=False)


class CellSerializer(StrictSerializer):
    """A new value of one cell of the grid."""

    row = IdField(help_text="`id` of the grid's row.")
    field = serializers.ChoiceField(choices=list(editing.FIELDS))
    value = serializers.CharField(max_length=MAX_EXPLANATION, allow_blank=True, help_text="Decimal text; empty: none.")
    was = serializers.CharField(
        max_length=MAX_EXPLANATION,
        allow_blank=True,
        required=False,
        help_text="What stood there: 409 cell_moved when it is another by now.",
    )


class CellsSerializer(StrictSerializer):
    """Cells that are written together, all or none."""

    edits = serializers.ListField(child=CellSerializer(), min_length=1, max_length=editing.MAX_EDITS)


class KeptRowsSerializer(StrictSerializer):
    """Rows that keep today's rate."""

    rows = serializers.ListField(child=IdField(), min_length=1, max_length=editing.MAX_EDITS)


class AddedRowSerializer(StrictSerializer):
    """A symbol, for everybody or for one group of accounts."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all())
    group = VisibleField(slug_field="id", queryset=AccountGroup.objects.all(), required=False)


class RemovedRowSerializer(StrictSerializer):
    """A row that somebody added."""

    row = IdField()


class DiscardSerializer(StrictSerializer):
    """Why."""

    reason = serializers.CharField(max_length=400, required=False, allow_blank=True, default="")


class ProposeSheetSerializer(StrictSerializer):
    """From when the rates count, and why. A time that lies ahead is also when they are applied and pushed."""

    valid_from = MomentField(required=False, allow_null=True, default=None, help_text="Null: once it is approved.")
    reason = serializers.CharField(max_length=400)
    submit = serializers.BooleanField(default=True, help_text=SUBMIT_HELP)


class FindingSerializer(serializers.Serializer[Any]):
    """Something that a person should look at; what has the weight `block` must be explained."""

    code = serializers.CharField(source="code.value")
    weight = serializers.CharField(source="weight.value")
    side = serializers.CharField(allow_blank=True, help_text="long, short, or empty for both.")
    message = serializers.CharField()


class NightSerializer(serializers.Serializer[NightFigures]):
    """What a night is worth to clients, in the currency beside it; negative is paid by them."""

    positions = serializers.IntegerField()
    lots = AmountField()
    now = AmountField()
    then = AmountField()
    change = AmountField()


class GridRowSerializer(serializers.Serializer[GridRow]):
    """A row: the provider's figures, today's, the proposed ones, what is suspicious, what a night costs."""

    id = serializers.IntegerField(source="row.pk")
    symbol = code_of("row.symbol.code")
    server = code_of("row.group.server.code", allow_null=True, default=None)
    group = code_of("row.group.name", allow_null=True, default=None)
    line = serializers.IntegerField(source="row.line", allow_null=True)
    mode = NamedField(SwapMode, SWAP_MODES, source="row.mode", read_only=True)
    markup = serializers.CharField(source="row.markup")
    provider_long = serializers.DecimalField(source="row.lp_long", **FIGURE)
    provider_short = serializers.DecimalField(source="row.lp_short", **FIGURE)
    today_long = serializers.DecimalField(source="today.long", **FIGURE)
    today_short = serializers.DecimalField(source="today.short", **FIGURE)
    long = serializers.DecimalField(source="row.long", **FIGURE)
    short = serializers.DecimalField(source="row.short", **FIGURE)
    change_long = serializers.SerializerMethodField(help_text="Per cent, unsigned; null where that cannot be said.")
    change_short = serializers.SerializerMethodField()
    state = serializers.ChoiceField(
        choices=["missing", "blocked", "explained", "flagged", "changed", "same"], read_only=True
    )
    findings = FindingSerializer(source="found", many=True)
    problem = serializers.CharField(allow_blank=True)
    explanation = serializers.CharField(source="row.explanation", allow_blank=True)
    night = NightSerializer(allow_null=True)

    def get_change_long(self, row: GridRow) -> str | None:
        """See the field."""
        return _percent(row, "long")

    def get_change_short(self, row: GridRow) -> str | None:
        """As the other side."""
        return _percent(row, "short")


def _percent(row: GridRow, side: str) -> str | None:
    change = row.change_of(side)
    return None if change is None else f"{change:.2f}"


class GridSerializer(serializers.Serializer[Grid]):
    """The grid of a sheet. Without a price or a rate there is no night, and `cost_problem` says which is missing."""

    currency = serializers.CharField()
    cost_problem = serializers.CharField(allow_blank=True)
    total = NightSerializer()
    rows = GridRowSerializer(many=True)


class NightBySerializer(NightSerializer):
    """A night by a name within a grouping."""

    by = serializers.CharField()
    name = serializers.CharField()


class ImpactSerializer(serializers.Serializer[Any]):
    """What a night costs with the rates that a sheet proposes, by server, symbol, book, client, group and partner."""

    currency = serializers.CharField()
    problem = serializers.CharField(allow_blank=True)
    total = NightSerializer()
    rows = NightBySerializer(many=True)


class SwapSheetFilter(filters.FilterSet):
    """Which sheets."""

    provider = filters.CharFilter(field_name="provider", lookup_expr="icontains")

    class Meta:
        model = SwapSheet
        fields = ["state"]


class SwapSheetViewSet(TakesFiles, ScopedReadOnlyViewSet):
    """Sheets of liquidity providers. What a provider charges concerns every legal entity: for who sees them all."""

    capability = VIEW_SWAP_DESK
    queryset = SwapSheet.objects.select_related("change").annotate(row_count=Count("rows"))
    serializer_class = SwapSheetSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = SwapSheetFilter
    file_actions: ClassVar[frozenset[str]] = frozenset({"upload"})

    @use_case(
        capability=MANAGE_SWAPS, input=NewSheetSerializer, output=SwapSheetSerializer, status=201,
        operation_id="swap_sheets_open",
        description="Takes a sheet in. One with a mistake is kept as refused, every mistake named by row and field.",
    )  # fmt: skip
    def create(self, call: Call) -> SwapSheet:
        """The sheet, open or refused."""
        given = dict(call.data)
        reading = Reading(
            columns={column: place for place, column in enumerate(Column)}, mode=given["mode"],
            sign_of=SignOf(given["sign_of"]), decimal_mark=DecimalMark.POINT,
        )  # fmt: skip
        return sheets.open_sheet(
            provider=given["provider"], data=_as_text(given["rows"]), file_name="rows.csv", reading=reading,
            leaves_out_unknown=given["leaves_out_unknown"], actor=call.actor,
        )  # fmt: skip

    @use_case(
        capability=MANAGE_SWAPS, input=PastedSheetSerializer, output=SwapSheetSerializer, status=201, route="paste",
        detail=False, operation_id="swap_sheets_paste", description="The same with a sheet as text.",
    )  # fmt: skip
    def paste(self, call: Call) -> SwapSheet:
        """The sheet, open or refused."""
        return _open(call, call.data["text"].encode(), sheets.PASTED_NAME)

    @use_case(
        capability=MANAGE_SWAPS, input=UploadedSheetSerializer, output=SwapSheetSerializer, status=201, route="upload",
        detail=False, operation_id="swap_sheets_upload", description="The same with a sheet as a file.",
    )  # fmt: skip
    def upload(self, call: Call) -> SwapSheet:
        """The sheet, open or refused."""
        upload = call.data["file"]
        return _open(call, read_upload(upload, purpose=sheets.SHEET_PURPOSE), upload.name)

    @use_case(
        capability=MANAGE_SWAPS, input=StandingSheetSerializer, output=SwapSheetSerializer, status=201, route="from-today",
        detail=False, operation_id="swap_sheets_from_today",
        description="A grid of the rates in force, to be edited. Nothing changes until it is proposed and approved.",
    )  # fmt: skip
    def from_today(self, call: Call) -> SwapSheet:
        """The sheet, open."""
        group = call.data.get("symbol_group")
        return sheets.sheet_of_standing(actor=call.actor, symbol_group_id=group.pk if group else None)

    @extend_schema(responses=GridSerializer, operation_id="swap_sheets_grid")
    @action(detail=True, methods=["get"])
    def grid(self, request: Request, public_id: Any = None) -> Response:
        """Every row with change against today, what is suspicious, and what a night costs."""
        return Response(GridSerializer(grid_of(self.get_object(), actor=self.actor)).data)

    @extend_schema(responses=ImpactSerializer, operation_id="swap_sheets_impact")
    @action(detail=True, methods=["get"])
    def impact(self, request: Request, public_id: Any = None) -> Response:
        """What a night costs with the proposed rates, by name within each grouping, the largest change first."""
        grid = grid_of(self.get_object(), actor=self.actor)
        drafts = [row.draft for row in grid.changed if row.draft is not None]
        found: dict[str, Any] = {
            "currency": grid.currency, "problem": grid.cost_problem, "total": NightFigures(), "rows": [],
        }  # fmt: skip
        try:
            night = night_of(drafts=drafts, actor=self.actor) if drafts else None
        except MissingRate as error:
            night, found["problem"] = None, error.message
        if night is not None:
            found["total"] = night.total
            found["rows"] = [
                {"by": label, "name": name, **NightSerializer(figures).data}
                for label, named in night.groupings.items()
                for name, figures in named
            ]
        return Response(ImpactSerializer(found).data)

    @use_case(
        capability=MANAGE_SWAPS, input=CellsSerializer, output=GridSerializer, route="edit", operation_id="swap_sheets_edit",
        description="Writes cells of an open sheet, all or none. A figure that changes takes its row's explanation away.",
    )  # fmt: skip
    def edit(self, call: Call) -> Grid:
        """The grid as it is now."""
        edits = [CellEdit(cell["row"], cell["field"], cell["value"], cell.get("was")) for cell in call.data["edits"]]
        sheet = editing.edit_cells(sheet_id=call.target.pk, edits=edits, actor=call.actor)
        return grid_of(sheet, actor=call.actor)

    @use_case(
        capability=MANAGE_SWAPS, input=KeptRowsSerializer, output=GridSerializer, route="keep-todays",
        operation_id="swap_sheets_keep_todays", description="Puts today's rate into rows that a provider left out.",
    )  # fmt: skip
    def keep_todays(self, call: Call) -> Grid:
        """The grid as it is now."""
        sheet = editing.keep_todays(sheet_id=call.target.pk, row_ids=call.data["rows"], actor=call.actor)
        return grid_of(sheet, actor=call.actor)

    @use_case(
        capability=MANAGE_SWAPS, input=AddedRowSerializer, output=GridSerializer, route="add-row", status=201,
        operation_id="swap_sheets_add_row", description="Adds a symbol with today's rate.",
    )  # fmt: skip
    def add_row(self, call: Call) -> Grid:
        """The grid as it is now."""
        group = call.data.get("group")
        editing.add_row(
            sheet_id=call.target.pk, symbol_id=call.data["symbol"].pk, group_id=group.pk if group else None,
            actor=call.actor,
        )  # fmt: skip
        return grid_of(call.target, actor=call.actor)

    @use_case(
        capability=MANAGE_SWAPS, input=RemovedRowSerializer, output=GridSerializer, route="remove-row",
        operation_id="swap_sheets_remove_row", description="Takes a row out that was added by hand.",
    )  # fmt: skip
    def remove_row(self, call: Call) -> Grid:
        """The grid as it is now."""
        editing.remove_row(sheet_id=call.target.pk, row_id=call.data["row"], actor=call.actor)
        return grid_of(call.target, actor=call.actor)

    @use_case(
        capability=MANAGE_SWAPS, input=TextReadingSerializer, output=SwapSheetSerializer, status=201, route="read-again",
        operation_id="swap_sheets_read_again",
        description="Reads the kept file of a refused sheet in another way, as a sheet of its own.",
    )  # fmt: skip
    def read_again(self, call: Call) -> SwapSheet:
        """The new sheet."""
        return sheets.read_again(
            sheet_id=call.target.pk, reading=_reading(call.data), leaves_out_unknown=call.data["leaves_out_unknown"],
            actor=call.actor,
        )  # fmt: skip

    @use_case(
        capability=MANAGE_SWAPS, output=SwapSheetSerializer, status=201, route="copy", operation_id="swap_sheets_copy",
        description="A new draft with the same rows; explanations are given anew.",
    )  # fmt: skip
    def copy(self, call: Call) -> SwapSheet:
        """The new sheet."""
        return sheets.copy_sheet(sheet_id=call.target.pk, actor=call.actor)

    @use_case(
        capability=MANAGE_SWAPS, input=DiscardSerializer, output=SwapSheetSerializer, route="discard",
        operation_id="swap_sheets_discard", description="Puts a draft away; no rate changes.",
    )  # fmt: skip
    def discard(self, call: Call) -> SwapSheet:
        """The sheet, discarded."""
        return sheets.discard_sheet(sheet_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=MANAGE_SWAPS, input=ProposeSheetSerializer, output=DraftedChangeSerializer, status=201, route="propose",
        operation_id="swap_sheets_propose",
        description=(
            "Hands the rows that change something in for another person's approval. 409 sheet_incomplete or sheet_blocked "
            "(what a night would cost is told) hands nothing in."
        ),
    )  # fmt: skip
    def propose(self, call: Call) -> Any:
        """The change request."""
        return proposing.propose_sheet(sheet_id=call.target.pk, actor=call.actor, **call.data)


def _open(call: Call, data: bytes, file_name: str) -> SwapSheet:
    return sheets.open_sheet(
        provider=call.data["provider"], data=data, file_name=file_name, reading=_reading(call.data),
        leaves_out_unknown=call.data["leaves_out_unknown"], actor=call.actor,
    )  # fmt: skip


def _reading(given: dict[str, Any]) -> Reading:
    return Reading(
        columns={Column(name): place for name, place in (given.get("columns") or {}).items()},
        mode=given["mode"],
        sign_of=SignOf(given["sign_of"]),
        decimal_mark=DecimalMark(given["decimal_mark"]),
    )


def _as_text(rows: list[dict[str, Any]]) -> bytes:
    """Rows as the file that is kept of them, in the order of the columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for row in rows:
        mode = ROW_MODES[row["mode"]] if "mode" in row else ""
        writer.writerow([row["symbol"], f"{row['long']:f}", f"{row['short']:f}", mode, row.get("group", "")])
    return text.getvalue().encode()


def register() -> None:
    """Puts the sheets on the API."""
    register_router("swap-sheets", SwapSheetViewSet, "swap-sheet")
