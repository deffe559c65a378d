"""The bytes of a liquidity provider's swap sheet as lines of cells: pasted text, CSV, or the first sheet of a workbook.

Knows files, knows nothing about swaps; what the cells mean is decided by `platform_ops.rules.swap_sheets`.
"""

from __future__ import annotations

import csv
import io
from decimal import Decimal

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements.encoding import decode_text
from platform_ops.gateways.statements.fields import read_number
from platform_ops.gateways.statements.workbook import is_archive, read_first_sheet
from platform_ops.rules.swap_sheets import MAX_ROWS, Cell, Line

MAX_BYTES = 2 * 1024 * 1024
MAX_COLUMNS = 16
MAX_LINES = MAX_ROWS + 100
MAX_CELL = 200
_DELIMITERS = ("\t", ";", "|", ",")
_SAMPLE_LINES = 20


def read_lines(data: bytes) -> list[Line]:
    """The lines of a sheet that hold something. Raises InvalidInput for what is too large or is no sheet."""
    if len(data) > MAX_BYTES:
        raise InvalidInput(f"A sheet has at most {MAX_BYTES // 2**20} MB.", row=None, field="sheet")
    if is_archive(data):
        lines = [Line(row.number, tuple(_cell(value) for value in row.values)) for row in read_first_sheet(data)]
    else:
        text, finish = decode_text(data)
        if "\x00" in text:
            raise InvalidInput("This is no sheet: neither text nor a workbook.", row=None, field="sheet")
        lines = _text_lines(finish(text))
    if len(lines) > MAX_LINES:
        raise InvalidInput(f"A sheet has at most {MAX_ROWS:,} rows.", row=MAX_ROWS, field="sheet")
    return lines


def read_figure(value: Cell, row: int, label: str) -> Decimal:
    """An exact number out of a cell. Raises InvalidInput with its row and field."""
    return read_number(value, row=row, field=label)


def _cell(value: object) -> Cell:
    return value if value is None or isinstance(value, Decimal) else str(value)[:MAX_CELL]


def _text_lines(text: str) -> list[Line]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text), strict=True)
    lines = []
    try:
        for cells in reader:
            if len(cells) > MAX_COLUMNS:
                raise InvalidInput(
                    f"A sheet has at most {MAX_COLUMNS} columns.",
                    row=reader.line_num,
                    field="sheet",
                    value=str(len(cells)),
                )
            if any(cell.strip() for cell in cells):
                lines.append(Line(reader.line_num, tuple(cell.strip()[:MAX_CELL] for cell in cells)))
            if len(lines) > MAX_LINES:
                break
    except csv.Error as error:
        raise InvalidInput(f"This is no sheet: {error}.", row=reader.line_num, field="sheet") from error
    return lines


def _delimiter(text: str) -> str:
    """What parts the cells: the mark that most lines have, and as often as each other. A comma comes last, for it may
    be the decimal mark."""
    sample = [line for line in text.splitlines() if line.strip()][:_SAMPLE_LINES]
    if not sample:
        return ","
    for mark in _DELIMITERS:
        if sum(line.count(mark) >= 1 for line in sample) * 2 > len(sample):
            return mark
    return ","
