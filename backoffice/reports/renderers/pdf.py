"""A report as a PDF: the house's print style, with what a reader needs to check it."""

from __future__ import annotations

from dataclasses import dataclass

from backoffice.kernel.errors import InvalidInput
from backoffice.reports.rules import cell_text, shown_text
from backoffice.reports.types import BuiltReport, Cell, Section, Stamp
from backoffice.ui.formats import EMPTY

PDF_ROW_LIMIT = 2_000
"""More rows take minutes to lay out and nobody reads them on paper."""


class ReportTooLong(InvalidInput):
    """The report has more rows than paper can take."""

    default_code = "report_too_long"


@dataclass(frozen=True, slots=True)
class PaperCell:
    """A cell with the classes that place and colour it."""

    text: str
    classes: str


@dataclass(frozen=True, slots=True)
class PaperSection:
    """A section as the template draws it."""

    code: str
    title: str
    headings: tuple[PaperCell, ...]
    rows: tuple[tuple[PaperCell, ...], ...]
    totals: tuple[tuple[PaperCell, ...], ...]
    notes: tuple[str, ...]
    empty_text: str
    is_short: bool


DIGEST_SHOWN = 16
"""Digits of the rows digest in the foot of every page; the whole digest stands at the end."""

SHORT_TABLE_ROWS = 8
"""A table with at most so many rows is kept on one page together with its heading."""


def check_length(report: BuiltReport) -> None:
    """Raises `ReportTooLong` when the report has more than `PDF_ROW_LIMIT` rows."""
    if report.row_count > PDF_ROW_LIMIT:
        raise ReportTooLong(
            f"The report has {report.row_count:,} rows; a PDF holds at most {PDF_ROW_LIMIT:,}. Issue it as CSV.",
            rows=report.row_count,
            limit=PDF_ROW_LIMIT,
        )


def render_pdf(report: BuiltReport, stamp: Stamp) -> bytes:
    """The document. Raises `ReportTooLong` when the report has more than `PDF_ROW_LIMIT` rows."""
    check_length(report)
    # Loading the layout engine takes half a second, which no process should pay that never prints.
    from backoffice.ui.renderers import pdf

    subject = report.subject
    licence = " · ".join(
        part
        for part in (subject.regulator, f"licence {subject.licence_number}" if subject.licence_number else "")
        if part
    )
    context = {
        "report": report,
        "stamp": stamp,
        "licence": licence,
        "sections": [_on_paper(section) for section in report.sections],
    }
    return pdf.render_pdf(
        "reports/report.html",
        context,
        title=f"{report.title}, {report.as_of}",
        brand=subject.name,
        entity=" · ".join(
            part for part in (subject.name, licence, f"digest {stamp.rows_digest[:DIGEST_SHOWN]}") if part
        ),
    )


def _on_paper(section: Section) -> PaperSection:
    return PaperSection(
        code=section.code,
        title=section.title,
        headings=tuple(PaperCell(column.title, "num" if column.type.is_numeric else "") for column in section.columns),
        rows=tuple(_row(section, row, nothing=EMPTY) for row in section.rows),
        totals=tuple(_row(section, row) for row in section.totals),
        notes=section.notes,
        empty_text=section.empty_text,
        is_short=len(section.rows) + len(section.totals) <= SHORT_TABLE_ROWS,
    )


def _row(section: Section, row: tuple[Cell, ...], *, nothing: str = "") -> tuple[PaperCell, ...]:
    """Cells of a row; *nothing* stands where a number is not known, so that nobody takes a blank for zero."""
    cells = []
    for column in section.columns:
        text = shown_text(section, row, column)
        classes = "num" if column.type.is_numeric else ""
        if column.type.is_numeric and cell_text(section, row, column).startswith("-"):
            classes += " neg"
        cells.append(PaperCell(text or (nothing if classes else ""), classes))
    return tuple(cells)
