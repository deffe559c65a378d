"""Files that leave the house."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from io import BytesIO

import pytest
from django.test import Client as Browser
from django.urls import reverse
from openpyxl import load_workbook
from pypdf import PdfReader
from weasyprint.urls import FatalURLFetchingError

from backoffice.core.models import AuditRecord, Brand
from backoffice.core.types import Role
from backoffice.kernel.errors import InvalidInput
from backoffice.ui import exports
from backoffice.ui.renderers.csv import render_csv
from backoffice.ui.renderers.pdf import render_pdf
from backoffice.ui.renderers.printing import BundledFetcher
from backoffice.ui.renderers.xlsx import write_xlsx
from tests.logins import log_in, make_entity, make_user

NASTY = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "plain", ""]


def test_no_text_cell_of_a_csv_is_a_formula() -> None:
    lines = render_csv(["=heading"], [[text] for text in NASTY]).decode("utf-8-sig").split("\r\n")
    assert lines[:5] == ["'=heading", "'=1+1", "'+1", "'-1", "'@SUM(A1)"]
    assert all(not line.strip('"').startswith(("=", "+", "-", "@", "\t", "\r")) for line in lines)


def test_numbers_and_times_of_a_csv_are_exact() -> None:
    row = [
        Decimal("-1234.50"),
        Decimal("1E+3"),
        7,
        True,
        None,
        dt.datetime(2026, 3, 2, 21, tzinfo=dt.UTC),
        dt.date(2026, 3, 2),
    ]
    line = render_csv([], [row]).decode().split("\r\n")[1]
    assert line == "-1234.50,1000,7,yes,,2026-03-02T21:00:00+00:00,2026-03-02"


def test_no_cell_of_a_workbook_is_a_formula_and_no_digit_is_invented() -> None:
    # when
    long = Decimal("12345678901234.56789")
    with write_xlsx(["A", "B"], [[text, Decimal("-1.5")] for text in NASTY[:6]] + [["long", long]]) as file:
        sheet = load_workbook(file).active

    # then
    cells = list(sheet.iter_rows(min_row=2))
    assert [row[0].data_type for row in cells] == ["s"] * 7
    assert cells[0][0].value == "=1+1"
    assert cells[0][1].value == -1.5
    assert cells[6][1].value == "12345678901234.56789"


def test_a_pdf_has_its_brand_title_and_page_numbers() -> None:
    # when
    data = render_pdf("ui/print.html", {}, title="Daily finance", brand="Nova Markets", entity="Nova Ltd, licence 1")

    # then
    text = PdfReader(BytesIO(data)).pages[0].extract_text()
    assert "Nova Markets" in text
    assert "Daily finance" in text
    assert "Page 1 of 1" in text
    assert "Nova Ltd, licence 1" in text


def test_a_colour_that_is_none_never_reaches_the_style_of_a_document() -> None:
    with pytest.raises(InvalidInput):
        render_pdf("ui/print.html", {}, title="x", brand="x", accent="red; background: url(http://x)")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1/x.png", "https://example.com/x.css", "file:///etc/passwd", "bundled:../settings/desk.py"]
)
def test_a_pdf_loads_nothing_from_anywhere(url: str) -> None:
    with pytest.raises(FatalURLFetchingError):
        BundledFetcher().fetch(url)


def test_a_pdf_may_load_bundled_files_and_data() -> None:
    assert BundledFetcher().fetch("bundled:ui/print.css").read().startswith(b"/* Finance documents")
    assert BundledFetcher().fetch("data:text/plain;base64,aGk=").read() == b"hi"


@pytest.mark.django_db
def test_an_export_follows_the_filter_and_is_written_down(client: Browser) -> None:
    # given: two brands, of which the search finds one
    entity = make_entity()
    Brand.objects.create(entity=entity, code="first", name="=First")
    Brand.objects.create(entity=entity, code="second", name="Second")
    user = make_user("boss@house.test", Role.ADMINISTRATOR, entities=(entity,))
    log_in(client, user)

    # when
    answer = client.get(reverse("admin:core_brand_export", args=["csv"]), {"q": "first"})
    text = b"".join(answer.streaming_content).decode("utf-8-sig")

    # then
    assert text.split("\r\n") == ["Code,Name,Legal entity,Support email", "first,'=First,Nova Markets Ltd,", ""]
    record = AuditRecord.objects.get(action="desk.export")
    assert record.actor == user.email
    assert record.changes == {"page": "core-brand", "rows": 1, "format": "csv", "filter": "q=first"}


@pytest.mark.django_db
def test_an_export_that_is_too_long_is_refused_before_it_is_read(
    client: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    entity = make_entity()
    Brand.objects.create(entity=entity, code="first", name="First")
    monkeypatch.setattr(exports, "EXPORT_ROW_LIMIT", 0)
    log_in(client, make_user("boss@house.test", Role.ADMINISTRATOR, entities=(entity,)))

    # when
    answer = client.get(reverse("admin:core_brand_export", args=["xlsx"]), follow=True)

    # then
    assert "An export holds at most 0 rows" in answer.content.decode()
    assert not AuditRecord.objects.filter(action="desk.export").exists()
