"""How values are written and digested."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from backoffice.reports.rules import cell_text, decimal_text, rows_digest, shown_rate, shown_text
from backoffice.reports.types import BuiltReport, Column, ColumnType, Section, Subject

D = Decimal


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        ("1", 2, "1.00"),
        ("1.50000000", 2, "1.50"),
        ("-0.00", 2, "0.00"),
        ("1E+3", 0, "1000"),
        ("0.00000001", 2, "0.00000001"),
        ("-1234567.891", 2, "-1234567.891"),
        ("100", 0, "100"),
    ],
)
def test_decimals_are_written_whole(value, digits, text):
    assert decimal_text(D(value), digits) == text


@pytest.mark.parametrize(
    ("rate", "shown"), [("4218.94132052", "4218.9413"), ("0.00596816820", "0.0059681682"), ("1", "1.0000000")]
)
def test_rates_are_stated_in_eight_significant_digits(rate, shown):
    assert str(shown_rate(D(rate))) == shown


def section(*rows) -> Section:
    columns = (
        Column("currency", "Currency"),
        Column("amount", "Amount", ColumnType.AMOUNT, currency_column="currency"),
        Column("base", "Amount, EUR", ColumnType.AMOUNT, currency="EUR"),
        Column("day", "Day", ColumnType.DATE),
    )
    return Section("money", "Money", columns, tuple(rows))


def report(*rows, **more) -> BuiltReport:
    subject = Subject(1, "nova", "Nova", "CY", "", "", "EUR")
    values = {
        "definition": "daily",
        "title": "Daily",
        "subject": subject,
        "as_of": date(2026, 3, 2),
        "recorded_until": datetime(2026, 3, 3, tzinfo=UTC),
        "sections": (section(*rows),),
    }
    return BuiltReport(**{**values, **more})


def test_amounts_have_the_digits_of_their_currency():
    found = section(("JPY", D("-1234567"), D("-7654.3"), date(2026, 3, 2)), ("BHD", D("1.5"), None, None))
    exact = [[cell_text(found, row, column) for column in found.columns] for row in found.rows]
    paper = [[shown_text(found, row, column) for column in found.columns] for row in found.rows]
    assert exact == [["JPY", "-1234567", "-7654.30", "2026-03-02"], ["BHD", "1.500", "", ""]]
    assert paper == [["JPY", "−1,234,567", "−7,654.30", "2026-03-02"], ["BHD", "1.500", "", ""]]


def test_the_digest_covers_what_is_said_and_not_when():
    row = ("USD", D("1.50"), D("1.2"), None)
    digest = rows_digest(report(row))
    assert digest == rows_digest(report(("USD", D("1.5000"), D("1.20"), None)))
    assert digest == rows_digest(report(row, recorded_until=datetime(2027, 1, 1, tzinfo=UTC), remarks=("Preliminary",)))
    assert digest != rows_digest(report(("USD", D("1.51"), D("1.2"), None)))
    assert digest != rows_digest(report(row, as_of=date(2026, 3, 3)))
    assert digest != rows_digest(report(row, row))
