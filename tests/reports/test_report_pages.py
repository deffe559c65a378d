"""Reports in the desk: issued, downloaded and compared by who may, written down; the keys are everybody's."""

from __future__ import annotations

import hashlib

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord
from backoffice.core.types import Role
from backoffice.reports.models import IssuedReport, ReportSchedule
from backoffice.reports.services.issue import issue_report
from tests.factories import platform
from tests.factories.platform import MONDAY, SYSTEM
from tests.logins import log_in, make_user
from tests.reports import world

pytestmark = pytest.mark.django_db
LIST = "admin:reports_issuedreport_changelist"


@pytest.fixture(autouse=True)
def frozen(time_machine):
    time_machine.move_to(world.TUESDAY_MORNING, tick=True)


@pytest.fixture
def broker():
    broker = world.make_broker()
    world.trade_monday(broker)
    return broker


@pytest.fixture
def issued(broker) -> IssuedReport:
    return issue_report(
        definition="daily_finance", entity_id=broker.entity.pk, as_of=MONDAY, format="csv", actor=SYSTEM
    )


def sign_in(client: Browser, entity, role: str = Role.FINANCE) -> None:
    log_in(client, make_user("person@house.test", role, entities=(entity,)))


def download(report: IssuedReport, what: str = "file") -> str:
    return reverse("admin:reports_download", kwargs={"report_id": report.pk, "what": what})


def test_a_report_is_issued_from_the_desk(client: Browser, broker):
    # given
    sign_in(client, broker.entity)
    form = {"definition": "daily_finance", "entity": broker.entity.pk, "as_of": "2026-03-02", "format": "csv"}
    # when
    answer = client.post(reverse("admin:reports_issuedreport_issue"), form)
    # then
    issued = IssuedReport.objects.get()
    assert answer.url == reverse("admin:reports_issuedreport_change", args=[issued.pk])
    assert issued.issued_by == "person@house.test"
    page = client.get(answer.url).content.decode()
    assert issued.sha256 in page
    assert download(issued) in page


def test_a_refusal_is_shown_in_the_form_and_nothing_is_issued(client: Browser, broker):
    sign_in(client, broker.entity)
    form = {"definition": "daily_finance", "entity": broker.entity.pk, "as_of": "2026-03-09", "format": "csv"}
    answer = client.post(reverse("admin:reports_issuedreport_issue"), form)
    assert "has not begun yet" in answer.content.decode()
    assert not IssuedReport.objects.exists()


def test_a_download_gives_the_very_bytes_and_is_written_down(client: Browser, broker, issued):
    # given
    sign_in(client, broker.entity, Role.AUDITOR)
    # when
    file, signature = client.get(download(issued)), client.get(download(issued, "signature"))
    # then
    assert hashlib.sha256(file.content).hexdigest() == issued.sha256
    assert file.headers["Content-Disposition"] == f'attachment; filename="{issued.file_name}"'
    assert signature.content == bytes(issued.signature)
    told = AuditRecord.objects.filter(action="reports.download_report").order_by("id")
    assert [(record.actor, record.changes["what"]) for record in told] == [
        ("person@house.test", "file"),
        ("person@house.test", "signature"),
    ]
    assert client.get(download(issued, "else")).status_code == 404


def test_another_entitys_reports_are_not_there(client: Browser, issued):
    sign_in(client, platform.make_entity())
    assert issued.file_name not in client.get(reverse(LIST)).content.decode()
    assert client.get(download(issued)).status_code == 404
    assert client.get(reverse("admin:reports_compare", kwargs={"report_id": issued.pk})).status_code == 404
    assert not AuditRecord.objects.filter(action="reports.download_report").exists()


@pytest.mark.parametrize("role", [Role.SALES, Role.DEALING, Role.PARTNER_MANAGER])
def test_other_roles_neither_list_nor_download(client: Browser, broker, issued, role):
    sign_in(client, broker.entity, role)
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(download(issued)).status_code == 403
    assert client.get(reverse("admin:reports_compare", kwargs={"report_id": issued.pk})).status_code == 403


def test_a_comparison_shows_what_was_recorded_since(client: Browser, broker, issued):
    # given
    platform.make_operation(broker.euros, amount="100")
    sign_in(client, broker.entity)
    # when
    page = client.get(reverse("admin:reports_compare", kwargs={"report_id": issued.pk})).content.decode()
    # then
    assert "Yes, row by row" in page
    assert "later records changed it" in page
    assert "2100.00" in page


def test_a_schedule_is_set_and_switched_in_the_desk(client: Browser, broker):
    # given
    sign_in(client, broker.entity)
    form = {"definition": "daily_finance", "entity": broker.entity.pk, "format": "pdf", "is_enabled": "on"}
    # when
    client.post(reverse("admin:reports_reportschedule_set"), form | {"confirmed": "yes"})
    # then
    schedule = ReportSchedule.objects.get()
    assert schedule.is_enabled
    # when
    client.post(reverse("admin:reports_reportschedule_switch", args=[schedule.pk]), {"confirmed": "yes"})
    # then
    schedule.refresh_from_db()
    assert not schedule.is_enabled


def test_the_public_keys_are_published_to_everybody(client: Browser, issued):
    page = client.get("/reports/keys/")
    key = client.get(f"/reports/keys/{issued.signing_key_id}.pem")
    assert issued.signing_key_id in page.content.decode()
    assert key.content.startswith(b"-----BEGIN PUBLIC KEY-----")
    assert client.get("/reports/keys/0000000000000000.pem").status_code == 404
