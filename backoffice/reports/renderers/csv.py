"""A report as one CSV file: UTF-8, LF, exact decimals, every line with the same number of fields.

Layout (docs/formats/report-csv.md): field 1 is the section, field 2 the kind of line, the rest belongs to the section.
Kinds: `meta` (name, value; before all sections, section empty), `title`, `columns` (names for machines, which stay),
`header` (titles for people), `row`, `total`, `note`.
"""

from __future__ import annotations

import csv
import io

from backoffice.reports.rules import cell_text
from backoffice.reports.types import BuiltReport, Section, Stamp
from backoffice.ui.renderers.csv import safe_text

LEADING_FIELDS = 2


def render_csv(report: BuiltReport, stamp: Stamp) -> bytes:
    """The whole file."""
    width = LEADING_FIELDS + max(2, *(len(section.columns) for section in report.sections))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    for line in _lines(report, stamp):
        writer.writerow(line + [""] * (width - len(line)))
    return out.getvalue().encode()


def _lines(report: BuiltReport, stamp: Stamp) -> list[list[str]]:
    lines = [["", "meta", name, safe_text(value)] for name, value in meta(report, stamp)]
    for section in report.sections:
        lines.append([section.code, "title", section.title])
        lines.append([section.code, "columns", *(column.key for column in section.columns)])
        lines.append([section.code, "header", *(column.title for column in section.columns)])
        lines += _cells(section)
        notes = section.notes if section.rows else (section.empty_text, *section.notes)
        lines += [[section.code, "note", safe_text(note)] for note in notes]
    return lines


def _cells(section: Section) -> list[list[str]]:
    return [
        [section.code, kind, *_row(section, row)]
        for kind, rows in (("row", section.rows), ("total", section.totals))
        for row in rows
    ]


def _row(section: Section, row: tuple[object, ...]) -> list[str]:
    """Numbers stay numbers, also below zero; text that a spreadsheet would take for a formula is marked as text."""
    cells = []
    for column in section.columns:
        text = cell_text(section, row, column)  # type: ignore[arg-type]
        cells.append(text if column.type.is_numeric else safe_text(text))
    return cells


def meta(report: BuiltReport, stamp: Stamp) -> list[tuple[str, str]]:
    """What the head of every format says, as pairs of name and value."""
    subject = report.subject
    return [
        ("report", report.definition),
        ("title", report.title),
        ("entity", subject.name),
        ("entity_code", subject.code),
        ("country", subject.country),
        ("regulator", subject.regulator),
        ("licence", subject.licence_number),
        ("base_currency", subject.base_currency),
        ("business_day", report.as_of.isoformat()),
        ("recorded_until", report.recorded_until.isoformat()),
        ("generated_at", stamp.generated_at.isoformat()),
        ("generated_by", stamp.generated_by),
        ("rows_digest", stamp.rows_digest),
        ("signing_key", stamp.signing_key_id),
        *(("remark", remark) for remark in report.remarks),
    ]
