"""Issued reports: kept bytes, digest, signature, immutability, comparison, and who may."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, transaction

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, Misconfigured, NotFound
from backoffice.reports import signing
from backoffice.reports.checks import signing_key_is_set
from backoffice.reports.models import IssuedReport, SigningKey
from backoffice.reports.renderers import pdf
from backoffice.reports.renderers.pdf import ReportTooLong
from backoffice.reports.selectors import issued_bytes
from backoffice.reports.services.issue import compare_report, download_report, issue_report
from backoffice.reports.services.verify import verify_file, verify_signature
from tests.factories import platform
from tests.factories.platform import MONDAY, SYSTEM
from tests.reports import world

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def frozen(time_machine):
    time_machine.move_to(world.TUESDAY_MORNING, tick=False)
    return time_machine


@pytest.fixture
def broker():
    broker = world.make_broker()
    world.trade_monday(broker)
    return broker


def issue(broker, actor=SYSTEM, format="csv", **more) -> IssuedReport:
    return issue_report(
        **{
            "definition": "daily_finance",
            "entity_id": broker.entity.pk,
            "as_of": MONDAY,
            "format": format,
            "actor": actor,
            **more,
        }
    )


def files() -> list[str]:
    root = Path(default_storage.path("reports"))
    return [str(path) for path in root.rglob("*") if path.is_file()] if root.exists() else []


def test_what_is_issued_is_kept_with_digest_and_signature(broker):
    # when
    issued = issue(broker, world.finance(broker.entity))
    # then
    data = issued_bytes(issued)
    assert hashlib.sha256(data).hexdigest() == issued.sha256
    assert (issued.size_bytes, issued.as_of, issued.issued_by) == (len(data), MONDAY, "finance@broker.example")
    key = SigningKey.objects.get(pk=issued.signing_key_id)
    assert hashlib.sha256(bytes(key.public_key)).hexdigest()[:16] == key.key_id
    assert verify_signature(data=data, signature=bytes(issued.signature), public_key=bytes(key.public_key)).is_authentic
    record = AuditRecord.objects.get(action="reports.issue_report")
    assert (record.object_id, record.changes["sha256"]) == (str(issued.pk), issued.sha256)


def test_csv_is_utf8_with_unix_lines_and_equal_width(broker):
    # when
    data = issued_bytes(issue(broker))
    # then
    assert not data.startswith(b"\xef\xbb\xbf")
    assert b"\r" not in data
    assert data.endswith(b"\n")

    assert len({len(line) for line in csv.reader(io.StringIO(data.decode()))}) == 1
    meta = {name: value for item in world.read_csv(data)["meta"] for name, value in item.items()}
    assert meta["business_day"] == "2026-03-02"
    assert meta["recorded_until"] == "2026-03-03T10:00:00+00:00"
    assert meta["rows_digest"] == IssuedReport.objects.get().rows_digest


def test_text_that_looks_like_a_formula_stays_text(broker):
    # given
    partner = world.make_partner(broker, name='=HYPERLINK("http://x")')
    world.accrue(broker, partner, "1.00")
    # then
    assert "'=HYPERLINK" in issued_bytes(issue(broker)).decode()


@pytest.mark.parametrize("change", ["update", "delete"])
def test_an_issued_report_never_changes(broker, change):
    # given
    issued = issue(broker)
    # then
    with pytest.raises(DatabaseError), transaction.atomic():
        if change == "update":
            IssuedReport.objects.update(sha256="0" * 64)
        else:
            IssuedReport.objects.all().delete()
    assert IssuedReport.objects.get().sha256 == issued.sha256


def test_the_same_again_is_another_document_with_the_same_rows(broker, frozen):
    # given
    first = issue(broker)
    frozen.move_to(world.TUESDAY_MORNING + timedelta(minutes=1), tick=False)
    # when
    second = issue(broker)
    # then
    assert first.pk != second.pk
    assert first.rows_digest == second.rows_digest
    assert first.sha256 != second.sha256  # another moment of printing


def test_both_formats_of_a_moment_have_the_same_rows(broker):
    assert issue(broker).rows_digest == issue(broker, format="pdf").rows_digest


def test_comparison_reproduces_and_tells_what_was_recorded_since(broker, frozen):
    # given
    issued = issue(broker)
    actor = world.finance(broker.entity)
    assert compare_report(report_id=issued.pk, actor=actor).unchanged_since
    # when: a deposit of Monday arrives on Tuesday noon
    frozen.move_to(world.TUESDAY_MORNING + timedelta(hours=2), tick=False)
    platform.make_operation(broker.euros, amount="100")
    found = compare_report(report_id=issued.pk, actor=actor)
    # then
    assert (found.reproduces, found.unchanged_since) == (True, False)
    told = {(item.section, item.row, item.column): (item.then, item.now) for item in found.differences}
    assert told["Deposits and withdrawals", "EUR", "Deposits"] == ("2000.00", "2100.00")
    assert found.difference_count == len(found.differences)
    assert AuditRecord.objects.filter(action="reports.compare_report").count() == 2


def test_an_altered_or_missing_file_is_noticed(broker):
    # given
    issued = issue(broker)
    path = Path(default_storage.path(issued.stored_path))
    assert verify_books(["reports.issued_reports_intact"])["ok"]
    # when
    path.write_bytes(path.read_bytes().replace(b"1500.00", b"1600.00"))
    # then
    with pytest.raises(Conflict, match="altered"):
        issued_bytes(issued)
    report = verify_books(["reports.issued_reports_intact"])
    assert report["checks"][0]["rows"][0]["file"] == issued.file_name
    path.unlink()
    with pytest.raises(NotFound):
        download_report(report_id=issued.pk, actor=world.finance(broker.entity))


def test_a_file_is_authentic_byte_for_byte_or_not_at_all(broker):
    # given
    data = issued_bytes(issue(broker))
    # then
    assert verify_file(data=data).is_authentic
    assert not verify_file(data=data + b"\n").is_authentic


def test_only_finance_and_administrators_of_the_entity_issue(broker):
    # given
    other = platform.make_entity()
    for actor, refusal in (
        (world.finance(broker.entity, Role.SALES), Denied),
        (world.finance(broker.entity, Role.AUDITOR), Denied),
        (world.finance(broker.entity, Role.DEALING), Denied),
        (world.finance(other), NotFound),
    ):
        with pytest.raises(refusal):
            issue(broker, actor)
    assert not IssuedReport.objects.exists()
    assert files() == []


def test_reading_and_comparing_follow_role_and_entity(broker):
    # given
    issued = issue(broker)
    stranger = world.finance(platform.make_entity())
    # then
    assert download_report(report_id=issued.pk, actor=world.finance(broker.entity, Role.AUDITOR))[1]
    assert AuditRecord.objects.filter(action="reports.download_report").count() == 1
    for use in (download_report, compare_report):
        with pytest.raises(NotFound):
            use(report_id=issued.pk, actor=stranger)
        with pytest.raises(Denied):
            use(report_id=issued.pk, actor=world.finance(broker.entity, Role.SALES))
    assert AuditRecord.objects.filter(action="reports.download_report").count() == 1


@pytest.mark.parametrize(
    "more",
    [
        {"as_of": MONDAY + timedelta(days=2)},
        {"format": "docx"},
        {"recorded_until": world.TUESDAY_MORNING + timedelta(seconds=1)},
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_kept(broker, more):
    with pytest.raises(InvalidInput):
        issue(broker, **more)
    assert not IssuedReport.objects.exists()
    assert files() == []


def test_a_report_too_long_for_paper_is_refused_and_names_csv(broker, monkeypatch):
    # given
    monkeypatch.setattr(pdf, "PDF_ROW_LIMIT", 5)
    # then
    with pytest.raises(ReportTooLong, match=r"a PDF holds at most 5\. Issue it as CSV\."):
        issue(broker, format="pdf")
    assert not IssuedReport.objects.exists()
    assert files() == []
    assert issue(broker).row_count > 5


def test_a_file_whose_record_cannot_be_written_is_removed_again(broker, monkeypatch):
    # given
    def fail(*args, **kwargs):
        raise RuntimeError("audit is away")

    monkeypatch.setattr("backoffice.reports.services.issue.audit.record", fail)
    # then
    with pytest.raises(RuntimeError):
        issue(broker)
    assert not IssuedReport.objects.exists()
    assert files() == []


# --- keys ------------------------------------------------------------------------------------------------------------


def test_the_key_made_on_the_spot_is_readable_by_its_owner_only_and_stays():
    # when
    first, second = signing.current_signer(), signing.current_signer()
    # then
    assert first.key_id == second.key_id
    path = Path(default_storage.path(signing.KEY_FILE))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_key_of_the_environment_wins_and_old_reports_stay_verifiable(broker, settings):
    # given
    old = issue(broker)
    settings.REPORT_SIGNING_KEY = base64.b64encode(bytes(range(32))).decode()
    # when
    new = issue(broker)
    # then
    assert new.signing_key_id != old.signing_key_id
    assert verify_file(data=issued_bytes(old)).is_authentic
    assert verify_file(data=issued_bytes(new)).is_authentic


@pytest.mark.parametrize("text", ["not base64!", base64.b64encode(b"short").decode()])
def test_a_key_that_cannot_be_one_is_a_mistake_of_the_installation(settings, text):
    settings.REPORT_SIGNING_KEY = text
    with pytest.raises(Misconfigured):
        signing.current_signer()


# --- commands --------------------------------------------------------------------------------------------------------


def run(*arguments: str) -> tuple[str, str]:
    out, errors = io.StringIO(), io.StringIO()
    call_command(*arguments, stdout=out, stderr=errors)
    return out.getvalue(), errors.getvalue()


@pytest.mark.parametrize("format", ["csv", "pdf"])
def test_run_report_writes_the_very_bytes_that_are_kept(broker, tmp_path, format):
    # when
    out = tmp_path / f"report.{format}"
    run("run_report", "daily_finance", "--as-of", "2026-03-02", "--format", format, "--out", str(out))
    # then
    issued = IssuedReport.objects.get()
    assert out.read_bytes() == issued_bytes(issued)
    assert "AUTHENTIC" in run("verify_report", str(out))[0]


def test_run_report_asks_for_the_entity_where_there_are_several(broker, tmp_path):
    platform.make_entity(code="other")
    out = str(tmp_path / "r.csv")
    arguments = ["run_report", "daily_finance", "--as-of", "2026-03-02", "--format", "csv", "--out", out]
    with pytest.raises(CommandError, match="Name one with --entity: nova, other"):
        run(*arguments)
    with pytest.raises(CommandError, match="no legal entity nobody"):
        run(*arguments, "--entity", "nobody")
    run(*arguments, "--entity", "nova")
    assert IssuedReport.objects.count() == 1


def test_verify_report_fails_for_an_altered_file_and_works_offline(broker, tmp_path):
    # given
    issued = issue(broker)
    file, signature, key = tmp_path / "r.csv", tmp_path / "r.sig", tmp_path / "key.pem"
    file.write_bytes(issued_bytes(issued))
    signature.write_bytes(bytes(issued.signature))
    key.write_text(signing.public_key_pem(bytes(SigningKey.objects.get().public_key)))
    offline = ["verify_report", str(file), "--signature", str(signature), "--public-key", str(key), "--json"]
    # then
    assert json.loads(run(*offline)[0])["authentic"] is True
    # when
    file.write_bytes(file.read_bytes() + b" ")
    # then
    for arguments in (offline, ["verify_report", str(file)]):
        with pytest.raises(SystemExit) as exit_status:
            run(*arguments)
        assert exit_status.value.code == 1
    with pytest.raises(CommandError):
        run("verify_report", str(file), "--signature", str(signature))


def test_a_deployment_without_its_own_key_is_refused(settings):
    settings.REPORT_SIGNING_KEY = ""
    assert [message.id for message in signing_key_is_set(None)] == ["reports.E001"]
    settings.REPORT_SIGNING_KEY = base64.b64encode(bytes(32)).decode()
    assert signing_key_is_set(None) == []
