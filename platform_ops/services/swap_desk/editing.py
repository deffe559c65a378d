"""Working on the grid of an open sheet: a block of cells at once, all of them or none."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import IntegrityError, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.organisation.scope import require_stands_for
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.gateways.swap_sheets import read_figure
from platform_ops.gateways.types import SwapMode
from platform_ops.models import AccountGroup, SwapSheet, SwapSheetRow, Symbol
from platform_ops.permissions import MANAGE_SWAPS
from platform_ops.rules.swap_desk import MAX_EXPLANATION, check_rate
from platform_ops.services.swap_desk.sheets import MAX_GRID_ROWS
from platform_ops.services.swap_desk.standing import Standing

MAX_EDITS = 1_000
FIELDS = ("long", "short", "explanation")
_FIGURES = ("long", "short")


@dataclass(frozen=True, slots=True)
class CellEdit:
    """A new value of one cell. `was` is what the editor saw there; None does not ask."""

    row_id: int
    field: str
    value: str
    was: str | None = None


@transaction.atomic
def edit_cells(*, sheet_id: int, edits: Sequence[CellEdit], actor: Actor) -> SwapSheet:
    """Writes cells of an open sheet. A figure that changes takes its row's explanation away, for it explained another.

    Raises InvalidInput naming symbol and field, Conflict (`cell_moved`) where somebody else changed a cell meanwhile;
    nothing is written then.
    """
    if not edits or len(edits) > MAX_EDITS:
        raise InvalidInput(f"One to {MAX_EDITS:,} cells at once.", field="edits")
    sheet = locked_open_sheet(sheet_id, actor)
    wanted = {edit.row_id for edit in edits}
    rows = {row.pk: row for row in sheet.rows.select_related("symbol", "group").filter(pk__in=wanted)}
    if len(rows) != len(wanted):
        raise NotFound("No such row in this sheet.")
    explained = {edit.row_id for edit in edits if edit.field == "explanation"}
    for edit in edits:
        _write(rows[edit.row_id], edit, keeps_explanation=edit.row_id in explained)
    now = clock.now()
    for row in rows.values():
        row.edited_by, row.edited_at = actor.label[:200], now
    SwapSheetRow.objects.bulk_update(rows.values(), [*FIELDS, "edited_by", "edited_at"])
    return _bump(sheet)


@transaction.atomic
def keep_todays(*, sheet_id: int, row_ids: Sequence[int], actor: Actor) -> SwapSheet:
    """Puts today's rate into rows, for symbols that a provider left out. Raises Conflict where there is none."""
    if not row_ids or len(row_ids) > MAX_EDITS:
        raise InvalidInput(f"One to {MAX_EDITS:,} rows at once.", field="rows")
    sheet = locked_open_sheet(sheet_id, actor)
    rows = list(sheet.rows.select_related("symbol").filter(pk__in=row_ids))
    if len(rows) != len(set(row_ids)):
        raise NotFound("No such row in this sheet.")
    standing = Standing(at=clock.now(), symbol_ids=[row.symbol_id for row in rows])
    now = clock.now()
    for row in rows:
        today = standing.counts((row.symbol_id, row.group_id))
        if today is None:
            raise Conflict(f"{row} has no rate today that could be kept.", code="no_rate", symbol=row.symbol.code)
        row.mode, row.long, row.short, row.explanation = int(today.mode), today.long, today.short, ""
        row.edited_by, row.edited_at = actor.label[:200], now
    SwapSheetRow.objects.bulk_update(rows, ["mode", "long", "short", "explanation", "edited_by", "edited_at"])
    return _bump(sheet)


@transaction.atomic
def add_row(*, sheet_id: int, symbol_id: int, actor: Actor, group_id: int | None = None) -> SwapSheetRow:
    """Adds a symbol (for everybody or for one account group) with today's rate, or without figures where it has none."""
    sheet = locked_open_sheet(sheet_id, actor)
    symbol = Symbol.objects.filter(pk=symbol_id).first()
    if symbol is None:
        raise InvalidInput("No such symbol.", field="symbol")
    if group_id is not None and not AccountGroup.objects.filter(pk=group_id).exists():
        raise InvalidInput("No such account group.", field="group")
    if sheet.rows.count() >= MAX_GRID_ROWS:
        raise Conflict(f"A grid has at most {MAX_GRID_ROWS:,} rows.", code="too_many_rows")
    today = Standing(at=clock.now(), symbol_ids=[symbol_id]).counts((symbol_id, group_id))
    try:
        with transaction.atomic():
            row = SwapSheetRow.objects.create(
                sheet=sheet,
                symbol=symbol,
                group_id=group_id,
                mode=int(today.mode if today is not None else SwapMode.POINTS),
                long=today.long if today is not None else None,
                short=today.short if today is not None else None,
                edited_by=actor.label[:200],
                edited_at=clock.now(),
            )
    except IntegrityError as error:
        raise Conflict(f"{symbol} stands in the grid already.", code="row_exists") from error
    _bump(sheet)
    return row


@transaction.atomic
def remove_row(*, sheet_id: int, row_id: int, actor: Actor) -> None:
    """Takes a row out that somebody added by hand. Rows of the sheet, and missing ones, stay."""
    sheet = locked_open_sheet(sheet_id, actor)
    row = sheet.rows.filter(pk=row_id).first()
    if row is None:
        raise NotFound("No such row in this sheet.")
    if row.line is not None or any(problem.get("symbol") == row.symbol.code for problem in sheet.problems):
        raise Conflict("What the sheet says, or lacks, stays in the grid: keep today's rate instead.", code="row_stays")
    row.delete()
    _bump(sheet)


def locked_open_sheet(sheet_id: int, actor: Actor) -> SwapSheet:
    """The sheet, if the actor may work on it and it is open, locked until the transaction ends."""
    authorise(actor, MANAGE_SWAPS)
    require_stands_for(actor, None)
    seen = get_visible(SwapSheet.objects.all(), actor, pk=sheet_id)
    sheet = SwapSheet.objects.select_for_update(of=("self",)).get(pk=seen.pk)
    if sheet.state != SwapSheet.State.OPEN:
        raise Conflict(
            f"The sheet is {sheet.get_state_display().lower()}: its rows do not change.", code="sheet_closed"
        )
    return sheet


def _bump(sheet: SwapSheet) -> SwapSheet:
    sheet.version += 1
    sheet.save(update_fields=["version"])
    return sheet


def _write(row: SwapSheetRow, edit: CellEdit, *, keeps_explanation: bool) -> None:
    if edit.field not in FIELDS:
        raise InvalidInput("Only long, short and the explanation are edited.", field="field", value=edit.field)
    if edit.field == "explanation":
        row.explanation = _explanation(row, edit.value)
        return
    before = getattr(row, edit.field)
    if edit.was is not None and _read(row, edit.field, edit.was) != before:
        shown = "empty" if before is None else format(before.normalize(), "f")
        raise Conflict(
            f"{row}, {edit.field}: {row.edited_by or 'somebody'} made it {shown} meanwhile.",
            code="cell_moved", field=edit.field, symbol=row.symbol.code, row=row.pk,
        )  # fmt: skip
    value = _read(row, edit.field, edit.value)
    if value != before:
        setattr(row, edit.field, value)
        if not keeps_explanation:
            row.explanation = ""


def _read(row: SwapSheetRow, field: str, text: str) -> Decimal | None:
    given = text.strip()
    if not given:
        return None
    try:
        return check_rate(read_figure(given, row.pk, field), mode=SwapMode(row.mode), field=field)
    except InvalidInput as error:
        raise InvalidInput(
            f"{row}, {field}: “{given[:40]}” is no swap.", field=field, symbol=row.symbol.code, value=given[:40],
            row=row.pk, why=error.message,
        ) from error  # fmt: skip


def _explanation(row: SwapSheetRow, text: str) -> str:
    kept = " ".join("".join(letter if unicodedata.category(letter)[0] != "C" else " " for letter in text).split())
    if len(kept) > MAX_EXPLANATION:
        raise InvalidInput(
            f"{row}: an explanation has at most {MAX_EXPLANATION} letters.", field="explanation", row=row.pk
        )
    return kept
