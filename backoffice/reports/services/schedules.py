"""Reports that are issued by themselves once a business day is proved."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from django.apps import apps
from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.models import Job, LegalEntity
from backoffice.core.services import audit, jobs
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput, NotFound
from backoffice.reports import rules
from backoffice.reports.models import IssuedReport, ReportSchedule
from backoffice.reports.registry import get_definition
from backoffice.reports.renderers.pdf import ReportTooLong, check_length
from backoffice.reports.services.issue import build_report, keep_report
from backoffice.reports.types import BuiltReport

STEP_ORDER = 60
PDF_JOB_KIND = "reports.issue_pdf"


def set_schedule(
    *,
    entity_id: int,
    definition: str,
    format: str,
    is_enabled: bool,
    actor: Actor,
) -> ReportSchedule:
    """Says whether a report is issued in a format after each business day of an entity. Saying it again changes nothing."""
    authorise(actor, "reports.manage_schedule")
    entity = LegalEntity.objects.filter(pk=entity_id).first()
    if entity is None or not (actor.is_system or entity.pk in actor.entity_ids):
        raise NotFound("No such legal entity, or it is not yours to see.", entity_id=entity_id)
    get_definition(definition)
    if format not in IssuedReport.Format.values:
        raise InvalidInput(f"Reports are CSV or PDF, not {format!r}.", field="format", value=format)
    with transaction.atomic():
        schedule, is_new = ReportSchedule.objects.select_for_update().get_or_create(
            entity=entity, definition=definition, format=format, defaults={"is_enabled": is_enabled}
        )
        if not is_new and schedule.is_enabled == is_enabled:
            return schedule
        was = None if is_new else schedule.is_enabled
        schedule.is_enabled = is_enabled
        schedule.save(update_fields=["is_enabled"])
        audit.record(
            actor=actor, action="reports.set_schedule", target=schedule, changes={"is_enabled": [was, is_enabled]}
        )
    return schedule


def issue_scheduled(business_day: Any) -> dict[str, Any]:
    """The last step of the business day: issues the scheduled reports of the entity, once all its servers got there.

    A report whose rows were issued before for this day is not issued again, so a repeat is harmless, and a day that a late
    server changes is issued anew. A PDF that would be too long is named in the record and does not hold the day.
    """
    actor = Actor.system("business_day")
    waiting = servers_not_ready(
        entity_id=business_day.entity_id, day=business_day.day, except_server_id=business_day.server_id
    )
    if waiting:
        return {"issued": [], "waits_for_servers": waiting}
    issued: list[str] = []
    refused: list[str] = []
    rendering: list[str] = []
    built: dict[str, BuiltReport] = {}
    for schedule in ReportSchedule.objects.filter(entity_id=business_day.entity_id, is_enabled=True):
        if schedule.definition not in built:
            built[schedule.definition] = build_report(
                definition=schedule.definition,
                entity_id=schedule.entity_id,
                as_of=business_day.day,
                recorded_until=None,
                actor=actor,
            )
        report = built[schedule.definition]
        if schedule.format == IssuedReport.Format.PDF:
            try:
                check_length(report)
            except ReportTooLong as error:
                refused.append(f"{schedule.definition} {schedule.format}: {error.message}")
                continue
            rendering.append(_enqueue_pdf(schedule, report))
            continue
        issued.append(keep_report(report=report, format=schedule.format, actor=actor, unless_issued=True).file_name)
        _mark_issued(schedule.pk, business_day.day)
    return {
        "issued": issued,
        **({"rendering": rendering} if rendering else {}),
        **({"refused": refused} if refused else {}),
    }


def _enqueue_pdf(schedule: ReportSchedule, report: BuiltReport) -> str:
    """Has the document rendered by the workers that are there for it, of exactly what was recorded by now.

    The key holds the digest of the rows: the same rows are rendered once, a day that changed is rendered anew.
    """
    digest = rules.rows_digest(report)
    jobs.enqueue(
        kind=PDF_JOB_KIND,
        key=f"{schedule.pk}:{report.as_of.isoformat()}:{digest[:32]}",
        payload={
            "schedule_id": schedule.pk,
            "as_of": report.as_of.isoformat(),
            "recorded_until": report.recorded_until.isoformat(),
        },
    )
    return f"{schedule.definition} {schedule.format}"


def run_pdf_job(job: Job, owner: str) -> dict[str, Any]:
    """Renders and issues the document of a job. A second run finds it issued and returns the same."""
    schedule = ReportSchedule.objects.get(pk=job.payload["schedule_id"])
    day = date.fromisoformat(job.payload["as_of"])
    actor = Actor.system("business_day")
    report = build_report(
        definition=schedule.definition,
        entity_id=schedule.entity_id,
        as_of=day,
        recorded_until=datetime.fromisoformat(job.payload["recorded_until"]),
        actor=actor,
    )
    issued = keep_report(report=report, format=schedule.format, actor=actor, unless_issued=True)
    _mark_issued(schedule.pk, day)
    return {"issued": issued.file_name}


def register_work() -> None:
    """Documents are rendered by workers of their own queue, whose memory is given back."""
    jobs.register_runner(PDF_JOB_KIND, run_pdf_job, queue="pdf")


def servers_not_ready(*, entity_id: int, day: date, except_server_id: int) -> list[str]:
    """Codes of the entity's other servers whose business day has begun and has a step before the reports not done."""
    steps = apps.get_model("platform_ops", "BusinessDayStep")
    return list(
        steps.objects.filter(
            business_day__entity_id=entity_id,
            business_day__day=day,
            order__lt=STEP_ORDER,
        )
        .exclude(business_day__server_id=except_server_id)
        .exclude(state="done")
        .order_by("business_day__server__code")
        .values_list("business_day__server__code", flat=True)
        .distinct()
    )


def _mark_issued(schedule_id: int, day: date) -> None:
    """The newest day that was issued; running an old day again does not turn it back."""
    with transaction.atomic():
        schedule = ReportSchedule.objects.select_for_update().get(pk=schedule_id)
        if schedule.last_business_day is None or schedule.last_business_day < day:
            schedule.last_business_day = day
            schedule.save(update_fields=["last_business_day"])
