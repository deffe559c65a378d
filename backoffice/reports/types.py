"""What a report is made of: typed columns, sections of rows with totals, and the built report with its two times."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

Cell = str | int | Decimal | date | None


class ColumnType(StrEnum):
    """How a column's values are written; numbers stand to the right."""

    TEXT = "text"
    INTEGER = "integer"
    DATE = "date"
    AMOUNT = "amount"
    LOTS = "lots"
    PRICE = "price"
    RATE = "rate"

    @property
    def is_numeric(self) -> bool:
        """Whether values are numbers."""
        return self not in (ColumnType.TEXT, ColumnType.DATE)


@dataclass(frozen=True, slots=True)
class Column:
    """A column. An amount's currency is the fixed one, or stands in the column named by `currency_column`.

    Text columns together name a row, by which two runs are compared; `names_row` False leaves one out.
    """

    key: str
    title: str
    type: ColumnType = ColumnType.TEXT
    currency: str = ""
    currency_column: str = ""
    names_row: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """A table of the report. `totals` are rows of the same columns; `notes` say what the reader must know."""

    code: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    totals: tuple[tuple[Cell, ...], ...] = ()
    notes: tuple[str, ...] = ()
    empty_text: str = "Nothing on this day."

    def value(self, row: tuple[Cell, ...], key: str) -> Cell:
        """The value of a column in a row."""
        return row[[column.key for column in self.columns].index(key)]


@dataclass(frozen=True, slots=True)
class Subject:
    """The legal entity that a report is about, as it is printed."""

    entity_id: int
    code: str
    name: str
    country: str
    regulator: str
    licence_number: str
    base_currency: str


@dataclass(frozen=True, slots=True)
class BuiltReport:
    """A report's content before it has a format.

    `as_of` is the business day that it is about (valid time); `recorded_until` the moment after which nothing that was
    recorded is in it (recorded time). `remarks` stand at its head, such as that the day is not closed yet.
    """

    definition: str
    title: str
    subject: Subject
    as_of: date
    recorded_until: datetime
    sections: tuple[Section, ...]
    remarks: tuple[str, ...] = field(default=())

    @property
    def row_count(self) -> int:
        """Rows of all sections, totals apart."""
        return sum(len(section.rows) for section in self.sections)

    def section(self, code: str) -> Section:
        """The section of a code."""
        return next(section for section in self.sections if section.code == code)


@dataclass(frozen=True, slots=True)
class Built:
    """What a definition's `build` returns: its sections and remarks."""

    sections: tuple[Section, ...]
    remarks: tuple[str, ...] = ()


Build = Callable[[Subject, date, datetime], Built]


@dataclass(frozen=True, slots=True)
class ReportDefinition:
    """A report that can be issued. `build(subject, as_of, recorded_until)` reads within one snapshot."""

    code: str
    title: str
    build: Build
    description: str = ""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the issuing adds to the content: when, by whom, and how a reader can check it."""

    generated_at: datetime
    generated_by: str
    rows_digest: str
    signing_key_id: str


@dataclass(frozen=True, slots=True)
class Difference:
    """A cell, or a whole row, that a re-run tells otherwise."""

    section: str
    row: str
    column: str
    then: str
    now: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """A re-run of an issued report: with what was recorded by then, and with what is recorded now."""

    reproduces: bool
    unchanged_since: bool
    differences: tuple[Difference, ...]
    difference_count: int


@dataclass(frozen=True, slots=True)
class Verification:
    """What is true of a file's bytes: whether they carry a valid signature, and which issued report they are."""

    is_authentic: bool
    sha256: str
    signing_key_id: str
    message: str
    report: str = ""
