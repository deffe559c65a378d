"""Making sections: rows with a total that sums what is known."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

from backoffice.reports.types import Cell, Column, ColumnType, Section

ZERO = Decimal(0)


def make_section(
    code: str,
    title: str,
    columns: tuple[Column, ...],
    rows: Iterable[tuple[Cell, ...]],
    *,
    total_of: frozenset[str] | set[str] = frozenset(),
    notes: tuple[str, ...] = (),
    empty_text: str = "Nothing on this day.",
) -> Section:
    """A section; with *total_of* (keys of columns) and at least one row it ends in a total of those columns."""
    found = tuple(rows)
    totals = (total_row(columns, found, total_of),) if total_of and found else ()
    return Section(code, title, columns, found, totals, notes, empty_text)


def total_row(
    columns: tuple[Column, ...], rows: Iterable[tuple[Cell, ...]], keys: frozenset[str] | set[str]
) -> tuple[Cell, ...]:
    """A row that says Total and sums the named columns over what is known; amounts of several currencies are never summed."""
    rows = list(rows)
    cells: list[Cell] = ["Total"]
    for place, column in enumerate(columns[1:], start=1):
        cells.append(_sum(column, [row[place] for row in rows]) if column.key in keys else None)
    return tuple(cells)


def totals_by_currency(
    columns: tuple[Column, ...], rows: Iterable[tuple[Cell, ...]], *, currency_column: str
) -> tuple[tuple[Cell, ...], ...]:
    """A total of every numeric column for each currency that the rows are in."""
    rows = list(rows)
    keys = [column.key for column in columns]
    place = keys.index(currency_column)
    numeric = {column.key for column in columns if column.type.is_numeric}
    totals = []
    for currency in sorted({str(row[place]) for row in rows}):
        total = total_row(columns, [row for row in rows if row[place] == currency], numeric)
        totals.append((*total[:place], currency, *total[place + 1 :]))
    return tuple(totals)


def _sum(column: Column, values: list[Cell]) -> Cell:
    if column.type is ColumnType.INTEGER:
        return sum(value for value in values if isinstance(value, int))
    return sum((value for value in values if isinstance(value, Decimal)), ZERO)
