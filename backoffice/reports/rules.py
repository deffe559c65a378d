"""How report values are written, digested and compared: pure, the same for every format.

A value is written by one function for CSV and paper, so that both agree to the last digit; paper only adds thousands
separators and a true minus sign. The digest covers the content (definition, entity, day, sections, rows, totals), not the
moment of printing: two runs that say the same have the same digest.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.reports.types import BuiltReport, Cell, Column, ColumnType, Difference, Section

LOTS_DIGITS = 2
RATE_DIGITS = 4
SIGNIFICANT_RATE_DIGITS = 8


def cell_text(section: Section, row: tuple[Cell, ...], column: Column) -> str:
    """The value of a row's column as exact text: no exponent, no separators; empty for nothing."""
    value = section.value(row, column.key)
    if value is None:
        return ""
    if isinstance(value, Decimal):
        return decimal_text(value, _least_digits(section, row, column))
    return value.isoformat() if isinstance(value, date) else str(value)


def decimal_text(value: Decimal, least_digits: int) -> str:
    """All significant decimal places, and at least the given number; zero has no sign."""
    text = f"{value if value else abs(value):f}"
    whole, _, places = text.partition(".")
    places = places.rstrip("0").ljust(least_digits, "0")
    return f"{whole}.{places}" if places else whole


def shown_text(section: Section, row: tuple[Cell, ...], column: Column) -> str:
    """The same value as paper shows it: thousands apart, a true minus sign."""
    text = cell_text(section, row, column)
    if not text or not column.type.is_numeric:
        return text
    whole, point, places = text.removeprefix("-").partition(".")
    grouped = f"{int(whole):,}{point}{places}"
    return f"\u2212{grouped}" if text.startswith("-") else grouped


def shown_rate(value: Decimal) -> Decimal:
    """A rate in eight significant digits, as reports state it; what was converted with it used all of them."""
    return value.quantize(Decimal(1).scaleb(value.adjusted() - SIGNIFICANT_RATE_DIGITS + 1)) if value else value


def _least_digits(section: Section, row: tuple[Cell, ...], column: Column) -> int:
    match column.type:
        case ColumnType.AMOUNT:
            code = column.currency or (section.value(row, column.currency_column) if column.currency_column else "")
            return Currency.of(str(code)).digits if code else 2
        case ColumnType.LOTS:
            return LOTS_DIGITS
        case ColumnType.RATE:
            return RATE_DIGITS
        case _:
            return 0


def rows_digest(report: BuiltReport) -> str:
    """SHA-256 over what the report says, as text in a fixed order."""
    content: list[Any] = [report.definition, report.subject.code, report.as_of.isoformat()]
    for section in report.sections:
        content.append([section.code, [column.key for column in section.columns]])
        content.extend(
            [kind, *(cell_text(section, row, column) for column in section.columns)]
            for kind, rows in (("row", section.rows), ("total", section.totals))
            for row in rows
        )
    encoded = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return hashlib.sha256(encoded).hexdigest()


def differences(then: BuiltReport, now: BuiltReport) -> Iterator[Difference]:
    """Every cell that two builds of a report tell differently; rows are matched by their text columns."""
    titles = {section.code: section.title for section in (*now.sections, *then.sections)}
    for code, title in titles.items():
        before, after = _texts(then, code), _texts(now, code)
        for key in dict.fromkeys([*before, *after]):
            old, new = before.get(key), after.get(key)
            if old is None or new is None:
                yield Difference(title, key, "", "–" if old is None else "present", "–" if new is None else "present")
                continue
            for column in dict.fromkeys([*old, *new]):
                if old.get(column, "") != new.get(column, ""):
                    yield Difference(title, key, column, old.get(column, ""), new.get(column, ""))


def _texts(report: BuiltReport, code: str) -> dict[str, dict[str, str]]:
    """Rows of a section by what names them: their text columns, and a count where those repeat."""
    section = next((section for section in report.sections if section.code == code), None)
    if section is None:
        return {}
    found: dict[str, dict[str, str]] = {}
    seen: Counter[str] = Counter()
    for row in (*section.rows, *section.totals):
        texts = {column.title: cell_text(section, row, column) for column in section.columns}
        names = [
            texts[column.title] for column in section.columns if column.type is ColumnType.TEXT and column.names_row
        ]
        key = " · ".join(name for name in names if name) or "row"
        seen[key] += 1
        found[key if seen[key] == 1 else f"{key} ({seen[key]})"] = texts
    return found


def file_name(report: BuiltReport, extension: str) -> str:
    """A name that sorts by report, entity, day and time of recording."""
    moment = f"{report.recorded_until:%Y%m%dT%H%M%SZ}"
    return f"{report.definition.replace('_', '-')}_{report.subject.code}_{report.as_of}_{moment}.{extension}"
