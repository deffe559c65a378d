"""Issuing reports: built in one snapshot, rendered, kept as bytes with digest and signature, and compared with a re-run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import date, datetime
from itertools import islice

import structlog
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit, outbox
from backoffice.core.services.numbering import issue_number
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput, NotFound
from backoffice.kernel.ids import uuid7
from backoffice.reports import rules
from backoffice.reports.models import IssuedReport, SigningKey
from backoffice.reports.registry import get_definition
from backoffice.reports.renderers.csv import render_csv
from backoffice.reports.renderers.pdf import render_pdf
from backoffice.reports.selectors import get_issued, issued_bytes, snapshot
from backoffice.reports.signing import Signer, current_signer
from backoffice.reports.types import BuiltReport, Comparison, Stamp, Subject

MOST_DIFFERENCES_SHOWN = 100
REPORT_ISSUED = "reports.report_issued"
"""A report left the house; payload: report_id."""
DOCUMENT_KIND = "reports.issued_report"

_RENDERERS: dict[str, Callable[[BuiltReport, Stamp], bytes]] = {
    IssuedReport.Format.CSV: render_csv,
    IssuedReport.Format.PDF: render_pdf,
}


def issue_report(
    *,
    definition: str,
    entity_id: int,
    as_of: date,
    format: str,
    actor: Actor,
    recorded_until: datetime | None = None,
) -> IssuedReport:
    """Builds a report about a business day and keeps the bytes, their SHA-256 and their signature for ever.

    *recorded_until* (default: now) leaves out what was recorded later. Raises `InvalidInput` for a day in the future or
    an unknown format, `ReportTooLong` when a PDF would have too many rows; nothing is kept then.
    """
    authorise(actor, "reports.issue_report")
    report = build_report(
        definition=definition, entity_id=entity_id, as_of=as_of, recorded_until=recorded_until, actor=actor
    )
    return keep_report(report=report, format=format, actor=actor)


def build_report(
    *, definition: str, entity_id: int, as_of: date, recorded_until: datetime | None, actor: Actor
) -> BuiltReport:
    """The content of a report, read in one snapshot. The caller has authorised the verb; the entity is checked here."""
    wanted = get_definition(definition)
    entity = LegalEntity.objects.filter(pk=entity_id).first()
    if entity is None or not (actor.is_system or entity.pk in actor.entity_ids):
        raise NotFound("No such legal entity, or it is not yours to see.", entity_id=entity_id)
    now = clock.now()
    if as_of > clock.today_business_day():
        raise InvalidInput(f"The day {as_of} has not begun yet.", field="as_of", value=str(as_of))
    if recorded_until is not None and recorded_until > now:
        raise InvalidInput("What will be recorded is not known yet.", field="recorded_until")
    subject = Subject(
        entity_id=entity.pk,
        code=entity.code,
        name=entity.name,
        country=entity.country,
        regulator=entity.regulator,
        licence_number=entity.licence_number,
        base_currency=entity.base_currency,
    )
    until = recorded_until or now
    with snapshot():
        built = wanted.build(subject, as_of, until)
    return BuiltReport(
        definition=wanted.code,
        title=wanted.title,
        subject=subject,
        as_of=as_of,
        recorded_until=until,
        sections=built.sections,
        remarks=built.remarks,
    )


def keep_report(
    *,
    report: BuiltReport,
    format: str,
    actor: Actor,
    unless_issued: bool = False,
) -> IssuedReport:
    """Renders a built report, stores the bytes and records what was issued.

    With *unless_issued*, a report of the same definition, entity, day and format whose rows are the same is returned
    instead of a second one. Files are written outside of the transaction; what could not be recorded is removed again.
    """
    if format not in _RENDERERS:
        raise InvalidInput(f"Reports are CSV or PDF, not {format!r}.", field="format", value=format)
    digest = rules.rows_digest(report)
    if unless_issued and (known := _issued_already(report, format, digest)):
        return known
    signer = current_signer()
    stamp = Stamp(generated_at=clock.now(), generated_by=actor.label, rows_digest=digest, signing_key_id=signer.key_id)
    data = _RENDERERS[format](report, stamp)
    issued = _unsaved(report, format, digest, data, signer, actor)
    issued.stored_path = default_storage.save(issued.stored_path, ContentFile(data))
    try:
        return _record(issued, signer, actor)
    except BaseException:
        default_storage.delete(issued.stored_path)
        raise


def compare_report(*, report_id: int, actor: Actor) -> Comparison:
    """Runs an issued report again, twice: with what was recorded by then, and with all that is recorded now.

    `reproduces` says that the first equals what was issued; `unchanged_since` that the second does. The differences are
    between the two, and tell what was recorded since.
    """
    authorise(actor, "reports.compare_report")
    issued = get_issued(report_id=report_id, actor=actor)
    then, now = (
        build_report(
            definition=issued.definition,
            entity_id=issued.entity_id,
            as_of=issued.as_of,
            recorded_until=until,
            actor=actor,
        )
        for until in (issued.recorded_until, None)
    )
    found = list(rules.differences(then, now))
    comparison = Comparison(
        reproduces=rules.rows_digest(then) == issued.rows_digest,
        unchanged_since=rules.rows_digest(now) == issued.rows_digest,
        differences=tuple(islice(found, MOST_DIFFERENCES_SHOWN)),
        difference_count=len(found),
    )
    with transaction.atomic():
        audit.record(
            actor=actor,
            action="reports.compare_report",
            target=issued,
            changes={"reproduces": comparison.reproduces, "unchanged_since": comparison.unchanged_since},
        )
    return comparison


def download_report(*, report_id: int, actor: Actor, what: str = "file") -> tuple[IssuedReport, bytes]:
    """The bytes of an issued report, or its detached signature (`what="signature"`), written down in the audit."""
    authorise(actor, "reports.download_report")
    issued = get_issued(report_id=report_id, actor=actor)
    data = bytes(issued.signature) if what == "signature" else issued_bytes(issued)
    with transaction.atomic():
        audit.record(actor=actor, action="reports.download_report", target=issued, changes={"what": what})
    return issued, data


def _issued_already(report: BuiltReport, format: str, digest: str) -> IssuedReport | None:
    return IssuedReport.objects.filter(
        definition=report.definition,
        entity_id=report.subject.entity_id,
        as_of=report.as_of,
        format=format,
        rows_digest=digest,
    ).first()


def _unsaved(
    report: BuiltReport,
    format: str,
    digest: str,
    data: bytes,
    signer: Signer,
    actor: Actor,
) -> IssuedReport:
    public_id = uuid7()
    name = rules.file_name(report, format)
    return IssuedReport(
        public_id=public_id,
        entity_id=report.subject.entity_id,
        definition=report.definition,
        as_of=report.as_of,
        recorded_until=report.recorded_until,
        format=format,
        stored_path=f"reports/{report.definition}/{report.as_of:%Y/%m}/{public_id}.{format}",
        file_name=name,
        size_bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        signature=signer.sign(data),
        signing_key_id=signer.key_id,
        row_count=report.row_count,
        rows_digest=digest,
        issued_by=actor.label,
        issued_by_user_id=actor.user_id,
    )


@transaction.atomic
def _record(issued: IssuedReport, signer: Signer, actor: Actor) -> IssuedReport:
    SigningKey.objects.bulk_create(
        [SigningKey(key_id=signer.key_id, public_key=signer.public_key)], ignore_conflicts=True
    )
    # The number stands in the register, not in the bytes: these were rendered before the transaction, so that no counter
    # is locked while a page is laid out.
    issued.document_number = issue_number(
        entity_id=issued.entity_id,
        kind=DOCUMENT_KIND,
        on=clock.today_business_day(),
        subject=f"report {issued.public_id}",
        actor=actor,
    ).reference
    issued.save(force_insert=True)
    audit.record(
        actor=actor,
        action="reports.issue_report",
        target=issued,
        changes={
            "number": issued.document_number,
            "sha256": issued.sha256,
            "rows_digest": issued.rows_digest,
            "rows": issued.row_count,
        },
    )
    outbox.publish(topic=REPORT_ISSUED, payload={"report_id": issued.pk})
    # The log leaves the machine: a copy of the digest that nobody can alter together with file and row.
    structlog.get_logger(__name__).info("report_issued", file=issued.file_name, sha256=issued.sha256)
    return issued
