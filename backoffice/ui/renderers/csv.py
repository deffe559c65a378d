"""Rows as CSV (UTF-8 with a byte order mark, so that spreadsheets read it right), streamed.

A text cell that a spreadsheet would take for a formula gets an apostrophe in front; numbers stay numbers.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

BYTE_ORDER_MARK = "\ufeff"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def safe_text(value: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{value}" if value.startswith(FORMULA_STARTS) else value


def csv_cell(value: Any) -> str:
    """A value as a CSV cell: decimals exact and without exponent, times in UTC and ISO 8601."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat() if value.tzinfo else value.isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    return safe_text(str(value))


class _Echo:
    """Hands back what the writer writes."""

    def write(self, value: str) -> str:
        return value


def stream_csv(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    """The file in pieces, one per row."""
    writer = csv.writer(_Echo())
    yield (BYTE_ORDER_MARK + writer.writerow([safe_text(heading) for heading in headings])).encode()
    for row in rows:
        yield writer.writerow([csv_cell(value) for value in row]).encode()


def render_csv(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> bytes:
    """The whole file."""
    return b"".join(stream_csv(headings, rows))
