"""MT5 ReportHistory as the terminal saves it in HTML: the same report as the spreadsheet, its rows brought to its columns.

Cells that the report hides (a comment between type and volume) are left out. A cell covers as many columns as it says;
rows of labels and values outside the lists stand where the spreadsheet has them, whatever the label's width is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from decimal import Decimal

from platform_ops.gateways.statements.fields import decimals_of, read_number, refuse
from platform_ops.gateways.statements.html_rows import HtmlCell, HtmlRow, read_rows
from platform_ops.gateways.statements.workbook import MAX_COLUMNS, CellValue, SheetRow

_ACCOUNT_LINE = re.compile(r"\d{1,18}(?:&nbsp;|\s)*\([A-Za-z]{3,5}\s*,")
_NUMBER = re.compile(r"[+-]? ?\d{1,3}( \d{3})+(\.\d+)?|[+-]? ?\d+(\.\d+)?")
_VALUES_OF_PAIRS = {1: (3,), 2: (3, 9), 3: (3, 7, 11)}
_LABELS_OF_PAIRS = {1: (0,), 2: (0, 6), 3: (0, 4, 8)}
_RESULT_PAIRS = {1: (3,), 2: (3, 7), 3: (3, 7, 11)}
_RESULT_LABELS = {1: (0,), 2: (0, 4), 3: (0, 4, 8)}


def looks_like_mt5_html(text: str) -> bool:
    """Whether it is a page with a table and the account line of an MT5 report."""
    head = text[:20_000]
    return "<table" in head.lower() and _ACCOUNT_LINE.search(head) is not None


def rows_of_html(text: str, finish: Callable[[str], str]) -> list[SheetRow]:
    """The rows of the report as the spreadsheet would have them. Raises InvalidInput for a page that was cut."""
    table = read_rows(text, finish)
    if not table.is_complete:
        refuse("the page ends before its end: it was cut", row=len(table.rows), field="file")
    rows: list[SheetRow] = []
    lists = 0
    under_title = False
    for row in table.rows:
        cells = [cell for cell in row.cells if not cell.is_hidden]
        filled = [cell for cell in cells if cell.text]
        if not filled:
            continue
        is_labelled = _is_label(filled[0].text)
        if len(filled) == 1 and not is_labelled:
            under_title = True
        elif not is_labelled:
            under_title, lists = False, lists + 1
        # Labels directly under a title, behind the lists, are the results; their columns are narrower.
        placed = _pairs(row, cells, has_results=under_title and lists > 0) if is_labelled else None
        rows.append(placed or _spread(row, cells))
    return rows


def _pairs(row: HtmlRow, cells: Sequence[HtmlCell], *, has_results: bool) -> SheetRow | None:
    """A row of labels and their values; None for any other row."""
    told = [cell for cell in cells if cell.text]
    labels = [place for place, cell in enumerate(told) if _is_label(cell.text)]
    if not labels or len(labels) > 3:
        return None
    values: list[CellValue] = [None] * MAX_COLUMNS
    names = _RESULT_LABELS if has_results else _LABELS_OF_PAIRS
    places = _RESULT_PAIRS if has_results else _VALUES_OF_PAIRS
    starts_later = not cells[0].text
    for number, place in enumerate(labels):
        column = number + 1 if starts_later and has_results and len(labels) < 3 else number
        layout = 3 if starts_later and has_results and len(labels) < 3 else len(labels)
        values[names[layout][column]] = told[place].text
        if place + 1 < len(told) and place + 1 not in labels:
            values[places[layout][column]] = _value(told[place + 1].text)
    return SheetRow(row.number, tuple(values), (None,) * MAX_COLUMNS)


def _spread(row: HtmlRow, cells: Sequence[HtmlCell]) -> SheetRow:
    """Cells in the columns that they begin in; what lies beyond the sheet must be empty."""
    values: list[CellValue] = [None] * MAX_COLUMNS
    decimals: list[int | None] = [None] * MAX_COLUMNS
    column = 0
    for cell in cells:
        if cell.text:
            if column >= MAX_COLUMNS:
                refuse("the row has more columns than a report", row=row.number, field="row")
            value = _value(cell.text)
            values[column] = value
            decimals[column] = decimals_of(value) if isinstance(value, Decimal) else None
        column += max(1, cell.span)
    return SheetRow(row.number, tuple(values), tuple(decimals))


def _value(text: str) -> CellValue:
    """A printed number as a number, anything else as it stands."""
    return read_number(text, row=None, field="cell") if _NUMBER.fullmatch(text) and len(text) < 24 else text


def _is_label(text: str) -> bool:
    return text.endswith((":", "\uff1a"))
