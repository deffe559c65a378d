"""The first sheet of an XLSX file, as rows of exact values. Knows spreadsheets, knows nothing about trading.

A spreadsheet keeps numbers in binary; the noise after its own fifteen digits is dropped here, once, and nothing
behind this module sees anything but Decimal, text and times.
"""

from __future__ import annotations

import io
import re
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from openpyxl import load_workbook

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements.fields import CELL_SIGNIFICANT_DIGITS, clean_text, refuse

MAX_ROWS = 500_000
MAX_COLUMNS = 32
MAX_ARCHIVE_FILES = 200
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
MAX_COMPRESSION_RATIO = 200
"""Reports shrink ten- to thirtyfold; what shrinks more is made to burst."""
RATIO_CHECKED_FROM_BYTES = 4 * 1024 * 1024

CellValue = Decimal | str | datetime | None

_FIXED_DECIMALS = re.compile(r"0(?:\.(0+))?(?![.,#0])")
# What zipfile, the XML parser and openpyxl raise on damaged or hostile content (ParseError is a SyntaxError).
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
)


@dataclass(frozen=True, slots=True)
class SheetRow:
    """`number` is the row of the sheet; `decimals` says how many decimals each number cell is shown with."""

    number: int
    values: tuple[CellValue, ...]
    decimals: tuple[int | None, ...]

    @property
    def filled(self) -> frozenset[int]:
        return frozenset(index for index, value in enumerate(self.values) if value is not None)

    def text(self, index: int) -> str:
        return clean_text(self.values[index])


def is_archive(data: bytes) -> bool:
    """Whether the bytes begin as a ZIP archive, which every XLSX file is."""
    return data.startswith(b"PK\x03\x04")


def read_first_sheet(data: bytes) -> list[SheetRow]:
    """Every row of the first sheet that has content. Raises InvalidInput for damage and for what is too large."""
    try:
        _check_archive(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # missing default styles and the like concern nobody here
            workbook = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            sheet = workbook.worksheets[0]
            sheet.reset_dimensions()
            return list(_rows(sheet))
    except InvalidInput:
        raise
    except _DAMAGE as error:
        raise InvalidInput(
            f"The spreadsheet is damaged ({type(error).__name__}).", row=None, field="file", value=None
        ) from error


def _check_archive(data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        files = archive.infolist()
        unpacked = sum(file.file_size for file in files)
        packed = max(1, sum(file.compress_size for file in files))
        if len(files) > MAX_ARCHIVE_FILES:
            refuse(f"the archive holds more than {MAX_ARCHIVE_FILES} files", row=None, field="file")
        if unpacked > MAX_UNPACKED_BYTES:
            refuse(f"the archive unpacks to more than {MAX_UNPACKED_BYTES} bytes", row=None, field="file")
        if unpacked > RATIO_CHECKED_FROM_BYTES and unpacked > packed * MAX_COMPRESSION_RATIO:
            refuse("the archive unpacks to far more than a report does", row=None, field="file")
        broken = archive.testzip()
        if broken is not None:
            refuse("a part of the archive is damaged", row=None, field="file", value=broken)


def _rows(sheet: object) -> Iterator[SheetRow]:
    for number, cells in enumerate(sheet.iter_rows(max_col=MAX_COLUMNS), start=1):  # type: ignore[attr-defined]
        if number > MAX_ROWS:
            refuse(f"the sheet has more than {MAX_ROWS} rows", row=number, field="file")
        values = tuple(_value(cell.value) for cell in cells)
        if any(value is not None for value in values):
            values += (None,) * (MAX_COLUMNS - len(values))
            decimals = tuple(
                _shown_decimals(cell.number_format) if isinstance(value, Decimal) else None
                for cell, value in zip(cells, values, strict=False)
            )
            yield SheetRow(number, values, decimals + (None,) * (MAX_COLUMNS - len(decimals)))


def _value(value: object) -> CellValue:
    if isinstance(value, bool):
        return str(value)
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(format(value, f".{CELL_SIGNIFICANT_DIGITS}g"))
    if isinstance(value, datetime):
        return value
    return (str(value).strip() or None) if value is not None else None


def _shown_decimals(number_format: str | None) -> int | None:
    """Decimals of a fixed format such as `# ##0.00000`; None for General and whatever else says nothing."""
    positive = (number_format or "").split(";")[0]
    match = _FIXED_DECIMALS.search(positive.replace("\\", "").replace(" ", ""))
    if match is None or "%" in positive or "E" in positive:
        return None
    return len(match.group(1) or "")
