"""Rows as an XLSX workbook, written row by row to disk so that memory stays flat."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import IO, Any

import xlsxwriter

# A double holds 15 significant decimal digits: a longer amount is written as text, so that no digit is invented.
EXACT_DIGITS = 15
HEADING_WIDTH = 16
SHEET_NAME_LIMIT = 31


def write_xlsx(headings: Sequence[str], rows: Iterable[Sequence[Any]], *, sheet: str = "Export") -> IO[bytes]:
    """A temporary file, positioned at its start, that vanishes when closed. Nothing in it is read as a formula."""
    file = tempfile.TemporaryFile(suffix=".xlsx")  # noqa: SIM115 - handed to the caller, who closes it
    book = xlsxwriter.Workbook(
        file,
        {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False},
    )
    page = book.add_worksheet(sheet[:SHEET_NAME_LIMIT])
    bold = book.add_format({"bold": True, "bottom": 1})
    as_time = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
    as_day = book.add_format({"num_format": "yyyy-mm-dd"})
    page.freeze_panes(1, 0)
    page.set_column(0, max(len(headings) - 1, 0), HEADING_WIDTH)
    for column, heading in enumerate(headings):
        page.write_string(0, column, heading, bold)
    for line, row in enumerate(rows, start=1):
        for column, value in enumerate(row):
            if isinstance(value, dt.datetime):
                naive = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
                page.write_datetime(line, column, naive, as_time)
            elif isinstance(value, dt.date):
                page.write_datetime(line, column, dt.datetime.combine(value, dt.time()), as_day)
            else:
                _write_plain(page, line, column, value)
    book.close()
    file.seek(0)
    return file


def _write_plain(page: Any, line: int, column: int, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, bool):
        page.write_string(line, column, "yes" if value else "no")
    elif isinstance(value, int | Decimal):
        exact = format(Decimal(value), "f")
        if len(exact.strip("-").replace(".", "").lstrip("0")) <= EXACT_DIGITS:
            page.write_number(line, column, value)
        else:
            page.write_string(line, column, exact)
    else:
        page.write_string(line, column, str(value))
