"""Finance issues the daily report on the desk and takes it home as CSV and PDF."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from playwright.sync_api import expect

from backoffice.core.models import AuditRecord
from backoffice.core.types import Role
from backoffice.reports.models import IssuedReport
from funding.services.trading_results import post_trading_results
from ib.services.settlement import settle_range
from tests.e2e.browser import Visitor
from tests.e2e.conftest import Arrive
from tests.e2e.world import MONDAY, SYSTEM, World

pytestmark = [pytest.mark.e2e, pytest.mark.django_db(transaction=True)]


def _issue(visitor: Visitor, file_format: str) -> None:
    page = visitor.page
    visitor.open("/desk/")
    visitor.choose("Reports", "Issued reports")
    page.get_by_role("link", name="Issue a report").click()
    page.locator("#id_definition").select_option(label="Daily finance report")
    page.get_by_label("Legal entity").select_option(label="Northgate Markets Ltd (northgate-cy)")
    page.get_by_label("Business day").fill(MONDAY.isoformat())
    page.get_by_label("Format").select_option(file_format)
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("body")).to_contain_text("The report was issued.")


def _download(visitor: Visitor, file_format: str, folder: Path) -> bytes:
    with visitor.page.expect_download() as started:
        visitor.page.get_by_role("link", name="Download " + file_format.upper(), exact=True).click()
    path = folder / started.value.suggested_filename
    started.value.save_as(path)
    return path.read_bytes()


def test_finance_issues_the_daily_report_and_downloads_it_as_csv_and_pdf(
    arrive: Arrive, world: World, tmp_path: Path
) -> None:
    # given a day whose results are posted and whose commissions are settled
    post_trading_results(business_day=MONDAY, server_id=world.server.pk, actor=SYSTEM)
    settle_range(from_day=MONDAY, to_day=MONDAY, actor=SYSTEM)
    visitor = arrive()
    visitor.sign_in_as(world.person(Role.FINANCE))
    files = {}
    for file_format in ("csv", "pdf"):
        # when finance issues it in each format and downloads it
        _issue(visitor, file_format)
        files[file_format] = _download(visitor, file_format, tmp_path)
    # then what they have is what was issued, to the byte, and the audit says that it left the house
    for file_format, data in files.items():
        issued = IssuedReport.objects.get(format=file_format)
        assert hashlib.sha256(data).hexdigest() == issued.sha256
        assert issued.as_of == MONDAY
    assert files["pdf"].startswith(b"%PDF-")
    assert AuditRecord.objects.filter(action="reports.download_report").count() == 2
    # and the CSV tells the day: 15,000 arrived, 36.75 USD went to introducing brokers
    table = files["csv"].decode("utf-8-sig")
    assert "Northgate Markets Ltd" in table
    assert "36.75" in table
