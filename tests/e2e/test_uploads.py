"""A statement given on the desk: read, checked, imported, seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from backoffice.core.services import jobs
from backoffice.core.types import Role
from platform_ops.models import StatementImport
from tests.logins import make_entity, make_user
from tests.platform_ops.statements import Ticket, open_ticket, statement_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]


def test_a_statement_is_uploaded_checked_and_imported(arrive, tmp_path: Path) -> None:
    # given: an operator on the upload page, with a sound and a damaged file
    good, bad = tmp_path / "statement.htm", tmp_path / "damaged.htm"
    good.write_bytes(statement_of(*(Ticket(number) for number in range(10, 30)), open_ticket(30)))
    bad.write_bytes(statement_of(Ticket(40, lots="abc")))
    visitor = arrive()
    visitor.sign_in_as(make_user("ops@house.test", Role.PLATFORM_OPERATIONS, entities=(make_entity(),)))
    visitor.open("/desk/platform_ops/statementimport/")
    visitor.page.get_by_role("link", name="Import statements").click()
    visitor.page.get_by_label("Or the code of a new server").fill("live")
    visitor.page.get_by_label("Statements").set_input_files([good, bad])
    assert visitor.barriers() == []

    # when: the files are read
    visitor.page.get_by_role("button", name="Continue").click()

    # then: the sound one can be imported, the damaged one is refused with its place
    visitor.page.get_by_text("1 file to import on live, 42 new rows").wait_for()
    visitor.page.get_by_text("Refused", exact=True).wait_for()
    assert visitor.barriers() == []

    # when: it is confirmed, and a worker takes the job up
    visitor.page.get_by_role("button", name="Import").click()
    visitor.page.get_by_text("1 of 2 files are done.").wait_for()
    assert visitor.barriers() == []
    assert jobs.run_ready(kind="platform.import_statement", owner="test") == 1

    # then: the page notices by itself, and the import's page shows its figures
    visitor.page.get_by_text("2 of 2 files are done.").wait_for()
    visitor.page.get_by_role("link", name="statement.htm").click()
    visitor.page.get_by_text("Closed P/L").wait_for()
    assert visitor.barriers() == []
    with visitor.page.expect_download() as download:
        visitor.page.get_by_role("link", name="Download statement.htm").click()
    assert Path(download.value.path()).read_bytes() == good.read_bytes()
    assert StatementImport.objects.get(state="stored").matches_statement
    assert visitor.complaints == []
