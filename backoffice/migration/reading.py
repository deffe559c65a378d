"""Reading the rows of a file, one at a time: CSV in its dialects, or JSON Lines. Bounded, whatever the file holds."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from backoffice.migration.formats import Content
from backoffice.migration.types import Problems

MAXIMUM_LINE_BYTES = 64 * 1024
MAXIMUM_ROWS = 20_000_000


@dataclass(frozen=True, slots=True)
class RawRow:
    """A row as it stands in the file: its number (the first data row is 1) and its values as text."""

    number: int
    values: dict[str, str]


class BrokenFileError(Exception):
    """A file that cannot be read on: the row, a stable code, what is wrong, how to mend it."""

    def __init__(self, code: str, message: str, mend: str, *, row: int | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.mend, self.row = code, message, mend, row


def read_rows(path: Path, content: Content, delimiter: str, problems: Problems) -> Iterator[RawRow]:
    """The rows of a file. What is wrong with a row becomes a problem, and reading goes on; a broken file ends it."""
    reader = _json_rows if path.suffix == ".jsonl" else _csv_rows
    with path.open("rb") as file:
        try:
            yield from reader(file, content, delimiter, problems, path.name)
        except BrokenFileError as error:
            problems.add(path.name, error.code, error.message, error.mend, row=error.row)


def _lines(file: BinaryIO) -> Iterator[str]:
    """The lines as text, without a byte order mark. Raises BrokenFileError for what is not UTF-8, or endless."""
    number = 0
    while line := file.readline(MAXIMUM_LINE_BYTES + 1):
        if len(line) > MAXIMUM_LINE_BYTES:
            raise BrokenFileError(
                "line_too_long",
                f"Line {number + 1} is longer than {MAXIMUM_LINE_BYTES} bytes.",
                "Look for a missing quote.",
            )
        try:
            text = line.decode("utf-8-sig" if number == 0 else "utf-8")
        except UnicodeDecodeError:
            raise BrokenFileError(
                "not_utf8", f"Line {number + 1} is not UTF-8 text.", "Save the file as UTF-8, with or without a mark."
            ) from None
        number += 1
        yield text


def _csv_rows(file: BinaryIO, content: Content, delimiter: str, problems: Problems, name: str) -> Iterator[RawRow]:
    lines = _lines(file)
    first = next(lines, "")
    chosen = delimiter or (";" if first.count(";") > first.count(",") else ",")
    header = _parsed([first], chosen, 0)
    columns = next(header, None) or []
    if not _header_fits(content, columns, problems, name):
        return
    number = 0
    for values in _parsed(lines, chosen, None):
        if not values:
            continue
        number += 1
        if number > MAXIMUM_ROWS:
            raise BrokenFileError("too_many_rows", f"More than {MAXIMUM_ROWS} rows.", "Split the package.", row=number)
        if len(values) != len(columns):
            problems.add(
                name,
                "wrong_width",
                f"The row has {len(values)} values; the header has {len(columns)}.",
                "Put values that hold the delimiter into double quotes.",
                row=number,
            )
            yield RawRow(number, {})
            continue
        yield RawRow(number, dict(zip(columns, values, strict=True)))


def _parsed(lines: Any, delimiter: str, row: int | None) -> Iterator[list[str]]:
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    while True:
        try:
            values = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise BrokenFileError(
                "bad_csv",
                f"Line {reader.line_num} is not CSV: {error}.",
                "Look for a quote that is not closed or not doubled.",
                row=row if row is not None else max(reader.line_num - 1, 1),
            ) from None
        yield values


def _header_fits(content: Content, columns: list[str], problems: Problems, name: str) -> bool:
    known = [column.name for column in content.columns]
    count = problems.count
    for unknown in sorted(set(columns) - set(known)):
        problems.add(
            name,
            "unknown_column",
            "The format has no such column.",
            f"The columns are: {', '.join(known)}.",
            field=unknown,
            value=unknown,
        )
    for column in content.columns:
        if column.name not in columns and (column.required or column.name in content.key):
            problems.add(name, "missing_column", "The column is missing.", "Add it to the header.", field=column.name)
    for column_name in sorted({item for item in columns if columns.count(item) > 1}):
        problems.add(name, "column_twice", "The column stands in the header twice.", "Keep one.", field=column_name)
    return problems.count == count


def _json_rows(file: BinaryIO, content: Content, delimiter: str, problems: Problems, name: str) -> Iterator[RawRow]:
    known = {column.name for column in content.columns}
    number = 0
    for line in _lines(file):
        if not line.strip():
            continue
        number += 1
        if number > MAXIMUM_ROWS:
            raise BrokenFileError("too_many_rows", f"More than {MAXIMUM_ROWS} rows.", "Split the package.", row=number)
        values = _object(line, number, known, problems, name)
        yield RawRow(number, values)


def _object(line: str, number: int, known: set[str], problems: Problems, name: str) -> dict[str, str]:
    """The values of a line as text; nothing for a line that is no flat object of texts."""
    try:
        found = json.loads(line, parse_float=_Number, parse_int=_Number, parse_constant=_Number)
    except (json.JSONDecodeError, RecursionError, ValueError) as error:
        problems.add(name, "bad_json", f"The line is not JSON: {error}.", "One object a line.", row=number)
        return {}
    if not isinstance(found, dict):
        problems.add(name, "bad_json", "The line is not an object.", "One object a line.", row=number)
        return {}
    values: dict[str, str] = {}
    fits = True
    for key, value in found.items():
        if key not in known:
            problems.add(
                name,
                "unknown_column",
                "The format has no such column.",
                "Take it out.",
                row=number,
                field=key,
                value=key,
            )
            fits = False
        elif isinstance(value, str):
            values[key] = value
        elif value is None:
            values[key] = ""
        else:
            problems.add(
                name,
                "not_text",
                "The value is not text in quotes.",
                'Write every value in quotes, numbers too: "12.30", "yes".',
                row=number,
                field=key,
                value=value,
            )
            fits = False
    return values if fits else {}


class _Number:
    """A bare number of JSON, as it was written: it may have passed through a float before it came here."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text
