"""Statement files through the desk: a preview first, then confirmed, then booked by a job; originals handed out again.

An upload is a StatementImport from its first moment, so nothing that was given is ever lost from sight: previewed,
queued, running, then stored or refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import Job
from backoffice.core.services import audit, jobs
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.gateways.files import keep_file, read_file
from platform_ops.gateways.statements import Statement, read_statement, summarise_statement
from platform_ops.models import CurrentDeal, StatementImport, TradingAccount
from platform_ops.permissions import DOWNLOAD_STATEMENTS, IMPORT_STATEMENTS
from platform_ops.services.imports import (
    STATEMENTS_FOLDER,
    GivenFile,
    ensure_server,
    process_file,
    refuse_file,
    stored_twin,
    told_account,
)
from platform_ops.services.statement_figures import KEYS_PER_QUERY, differences_of, figures_of
from platform_ops.types import IMPORT_JOB_KIND

MAX_FILES_AT_ONCE = 50
MAX_UPLOAD_BYTES = 30 * 1024 * 1024


def preview_upload(*, server_code: str, data: bytes, file_name: str, actor: Actor) -> StatementImport:
    """Reads a file and keeps it, booking nothing: figures, differences and how many of its rows would be new.

    A file that cannot be read is refused at once and stands in quarantine. Raises Denied and InvalidInput for the server
    or a file that is too large.
    """
    authorise(actor, IMPORT_STATEMENTS)
    if len(data) > MAX_UPLOAD_BYTES:
        raise InvalidInput(f"{file_name} is larger than {MAX_UPLOAD_BYTES // 2**20} MB.", field="statements")
    server = ensure_server(code=server_code, actor=actor)
    given = GivenFile.of(server=server, file_name=file_name, data=data)
    try:
        statement = told_account(server, read_statement(data, filename=given.name))
        Currency.of(statement.currency)
    except InvalidInput as error:
        return refuse_file(given=given, error=error, actor=actor, queued_id=None)
    path = keep_file(folder=STATEMENTS_FOLDER, server_code=server.code, file_name=given.name, data=data)
    return _keep_preview(given=given, statement=statement, path=path, actor=actor)


def _keep_preview(*, given: GivenFile, statement: Statement, path: str, actor: Actor) -> StatementImport:
    zone = ServerZone.parse(given.server.zone)
    summary = summarise_statement(statement, currency_digits=Currency.of(statement.currency).digits)
    differences = differences_of(statement.summary, summary)
    return StatementImport.objects.create(
        server=given.server,
        account=TradingAccount.objects.filter(server=given.server, login=statement.account).first(),
        file_name=given.name,
        stored_path=path,
        sha256=given.digest,
        size_bytes=len(given.data),
        format=statement.format.value,
        state=StatementImport.State.PREVIEWED,
        as_of=zone.to_utc(statement.as_of),
        rows_total=len(statement.deals),
        new_deals=0 if stored_twin(given) else _count_new(given, statement),
        matches_statement=not differences,
        figures=figures_of(statement, summary) | {"account": statement.account, "currency": statement.currency},
        differences=differences,
        uploaded_by_id=actor.user_id,
    )


def _count_new(given: GivenFile, statement: Statement) -> int:
    """How many rows of the file the server's deals do not have yet."""
    keys = {(deal.ticket, deal.leg) for deal in statement.deals}
    tickets = sorted({ticket for ticket, _ in keys})
    known = 0
    for start in range(0, len(tickets), KEYS_PER_QUERY):
        rows = CurrentDeal.objects.filter(server=given.server, ticket__in=tickets[start : start + KEYS_PER_QUERY])
        known += sum((ticket, leg) in keys for ticket, leg in rows.values_list("ticket", "leg"))
    return len(keys) - known


@transaction.atomic(durable=True)
def confirm_uploads(*, import_ids: Sequence[int], actor: Actor) -> list[StatementImport]:
    """Queues previewed files for import. Those that are queued or done already are left alone."""
    authorise(actor, IMPORT_STATEMENTS)
    imports = _locked(import_ids, actor)
    for waiting in imports:
        if waiting.state != StatementImport.State.PREVIEWED:
            continue
        waiting.state = StatementImport.State.QUEUED
        waiting.new_deals = 0
        waiting.save(update_fields=["state", "new_deals"])
        audit.record(
            actor=actor,
            action="platform.queue_statement",
            target=waiting,
            changes={"sha256": waiting.sha256},
            entity_id=waiting.server.entity_id,
        )
        jobs.enqueue(kind=IMPORT_JOB_KIND, key=str(waiting.pk), payload={"import_id": waiting.pk})
    return imports


@transaction.atomic(durable=True)
def discard_upload(*, import_id: int, actor: Actor) -> None:
    """Forgets a preview that nobody wants to import. Raises Conflict once it was confirmed."""
    authorise(actor, IMPORT_STATEMENTS)
    (preview,) = _locked([import_id], actor)
    if preview.state != StatementImport.State.PREVIEWED:
        raise Conflict("Only a preview can be discarded.", code="not_a_preview")
    audit.record(
        actor=actor,
        action="platform.discard_preview",
        target=preview,
        changes={"sha256": preview.sha256},
        entity_id=preview.server.entity_id,
    )
    preview.delete()


def _locked(import_ids: Sequence[int], actor: Actor) -> list[StatementImport]:
    if len(import_ids) > MAX_FILES_AT_ONCE:
        raise InvalidInput(f"At most {MAX_FILES_AT_ONCE} files at once.", field="statements")
    visible = visible_to(StatementImport.objects.filter(pk__in=import_ids), actor).values("pk")
    imports = list(
        StatementImport.objects.select_for_update(of=("self",))
        .select_related("server")
        .filter(pk__in=visible)
        .order_by("pk")
    )
    if len(imports) != len(set(import_ids)):
        raise NotFound("No such import, or it is not yours to see.")
    return imports


def run_import_job(job: Job, owner: str) -> dict[str, Any]:
    """Books the queued file of a job. Repeating it is harmless: a stored or refused import is left as it is."""
    queued = StatementImport.objects.select_related("server", "uploaded_by").get(pk=job.payload["import_id"])
    if queued.state in (StatementImport.State.QUEUED, StatementImport.State.RUNNING):
        uploader = queued.uploaded_by
        label = f"system:{IMPORT_JOB_KIND}" if uploader is None else uploader.email
        given = GivenFile.of(server=queued.server, file_name=queued.file_name, data=read_file(queued.stored_path))
        queued = process_file(given=given, actor=Actor(label=label, user_id=queued.uploaded_by_id), queued=queued)
    return {"import_id": queued.pk, "state": queued.state, "finished_at": clock.now().isoformat()}


@transaction.atomic(durable=True)
def take_original(*, import_id: int, actor: Actor) -> tuple[str, str]:
    """Hands out the bytes that were given: their name and path. Each handing out stands in the audit."""
    authorise(actor, DOWNLOAD_STATEMENTS)
    imported = get_visible(StatementImport.objects.select_related("server"), actor, pk=import_id)
    if not imported.stored_path:
        raise NotFound("The file of this import was not kept.")
    audit.record(
        actor=actor,
        action="platform.download_statement",
        target=imported,
        changes={"sha256": imported.sha256},
        entity_id=imported.server.entity_id,
    )
    return imported.file_name, imported.stored_path
