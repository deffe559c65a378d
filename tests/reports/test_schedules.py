"""Reports issued by themselves as the last step of a business day."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backoffice.core.models import AuditRecord
from backoffice.core.services import jobs
from backoffice.core.types import Role
from backoffice.kernel.errors import Denied, InvalidInput, NotFound
from backoffice.reports.models import IssuedReport, ReportSchedule
from backoffice.reports.renderers import pdf
from backoffice.reports.services.schedules import PDF_JOB_KIND, issue_scheduled, set_schedule
from platform_ops.models import BusinessDay, BusinessDayStep
from platform_ops.services.business_day import step_definitions
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


def day_of(server, *, done: bool = True) -> BusinessDay:
    day = BusinessDay.objects.create(server=server, entity=server.entity, day=MONDAY)
    for order, step in ((10, "deals_complete"), (50, "commissions")):
        BusinessDayStep.objects.create(
            business_day=day, order=order, step=step, state="done" if done or order == 10 else "waiting"
        )
    BusinessDayStep.objects.create(business_day=day, order=60, step="reports")
    return day


def schedule(broker, format="csv", is_enabled=True, actor=SYSTEM):
    return set_schedule(
        entity_id=broker.entity.pk, definition="daily_finance", format=format, is_enabled=is_enabled, actor=actor
    )


def test_the_reports_are_the_last_step_of_the_day():
    assert step_definitions()[-1].name == "reports"


def test_each_scheduled_format_is_issued_once(broker):
    # given
    schedule(broker)
    schedule(broker, "pdf")
    day = day_of(broker.server)
    # when
    outcome, again = issue_scheduled(day), issue_scheduled(day)
    # then: the document is left to the workers that render, once
    assert len(outcome["issued"]) == 1
    assert outcome["rendering"] == ["daily_finance pdf"]
    assert again == outcome
    assert jobs.queue_of(PDF_JOB_KIND) == "pdf"
    assert jobs.run_ready(kind=PDF_JOB_KIND, owner="pdf worker") == 1
    assert jobs.run_ready(kind=PDF_JOB_KIND, owner="pdf worker") == 0
    assert issue_scheduled(day) == outcome
    assert jobs.run_ready(kind=PDF_JOB_KIND, owner="pdf worker") == 0
    assert IssuedReport.objects.count() == 2
    assert {report.rows_digest for report in IssuedReport.objects.all()} == {IssuedReport.objects.first().rows_digest}
    assert set(ReportSchedule.objects.values_list("last_business_day", flat=True)) == {MONDAY}


def test_a_day_that_changed_is_issued_anew(broker, frozen):
    # given
    schedule(broker)
    day = day_of(broker.server)
    issue_scheduled(day)
    # when
    frozen.move_to(world.TUESDAY_MORNING + timedelta(hours=1), tick=False)
    platform.make_operation(broker.euros, amount="5")
    issue_scheduled(day)
    # then
    assert IssuedReport.objects.count() == 2


def test_nothing_is_issued_before_every_server_of_the_entity_is_proved(broker):
    # given
    schedule(broker)
    late = platform.make_server(broker.entity, code="nova-mt4")
    day, late_day = day_of(broker.server), day_of(late, done=False)
    # then
    assert issue_scheduled(day) == {"issued": [], "waits_for_servers": ["nova-mt4"]}
    assert not IssuedReport.objects.exists()
    # when
    late_day.steps.update(state="done")
    issue_scheduled(late_day)
    # then
    assert IssuedReport.objects.count() == 1


def test_what_is_switched_off_or_of_another_entity_is_not_issued(broker):
    # given
    schedule(broker, is_enabled=False)
    other = platform.make_entity()
    set_schedule(entity_id=other.pk, definition="daily_finance", format="csv", is_enabled=True, actor=SYSTEM)
    # then
    assert issue_scheduled(day_of(broker.server)) == {"issued": []}
    assert not IssuedReport.objects.exists()


def test_a_pdf_that_is_too_long_is_named_and_does_not_hold_the_day(broker, monkeypatch):
    # given
    monkeypatch.setattr(pdf, "PDF_ROW_LIMIT", 3)
    schedule(broker)
    schedule(broker, "pdf")
    # when
    outcome = issue_scheduled(day_of(broker.server))
    # then
    assert len(outcome["issued"]) == 1
    assert outcome["refused"][0].startswith("daily_finance pdf: The report has")
    assert [report.format for report in IssuedReport.objects.all()] == ["csv"]


def test_an_older_day_does_not_turn_the_schedule_back(broker):
    # given
    made = schedule(broker)
    ReportSchedule.objects.filter(pk=made.pk).update(last_business_day=MONDAY + timedelta(days=1))
    # when
    issue_scheduled(day_of(broker.server))
    # then
    made.refresh_from_db()
    assert made.last_business_day == MONDAY + timedelta(days=1)


def test_schedules_are_set_by_finance_and_written_down(broker):
    # when
    actor = world.finance(broker.entity)
    schedule(broker, actor=actor)
    schedule(broker, actor=actor)
    schedule(broker, is_enabled=False, actor=actor)
    # then: the repetition is no act
    assert [record.changes["is_enabled"] for record in AuditRecord.objects.order_by("id")] == [
        [None, True],
        [True, False],
    ]


def test_who_may_not_changes_nothing(broker):
    with pytest.raises(Denied):
        schedule(broker, actor=world.finance(broker.entity, Role.AUDITOR))
    with pytest.raises(NotFound):
        schedule(broker, actor=world.finance(platform.make_entity()))
    with pytest.raises(InvalidInput):
        schedule(broker, "docx")
    with pytest.raises(NotFound):
        set_schedule(entity_id=broker.entity.pk, definition="no_such", format="csv", is_enabled=True, actor=SYSTEM)
    assert not ReportSchedule.objects.exists()
