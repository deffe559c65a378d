"""Packages on the desk: given and checked by a job, let through by a second person, applied by a job.

The bytes are kept before anything is read of them. A job that dies is taken up by the next worker from the beginning: its
one transaction either was committed together with the job's end, or nothing of it was.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import redis
import structlog
from django.core.cache import cache
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.actors import actor_of_user
from backoffice.core.models import Job, LegalEntity
from backoffice.core.services import audit, changes, jobs
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from backoffice.migration.models import MigrationPackage
from backoffice.migration.package import open_package
from backoffice.migration.permissions import GIVE_PACKAGE
from backoffice.migration.services.takeover import apply_takeover
from backoffice.migration.types import CHANGE_KIND, MIGRATION_JOB_KIND, TAKEOVER, Report

MAX_UPLOAD_BYTES = 30 * 1024 * 1024
MAX_UNPACKED_BYTES = 512 * 1024 * 1024
PROGRESS_SECONDS = 3_600
FOLDER = "migration"
State = MigrationPackage.State


def give_package(*, data: bytes, file_name: str, actor: Actor) -> MigrationPackage:
    """Keeps a zip of a take-over and has it checked by a dry run; nothing is applied.

    Raises InvalidInput for what is no package or too large, NotFound for an entity that is not the actor's.
    """
    authorise(actor, GIVE_PACKAGE)
    if len(data) > MAX_UPLOAD_BYTES:
        raise InvalidInput(
            f"The file is larger than {MAX_UPLOAD_BYTES // 2**20} MB; larger ones come in by the command migrate_in.",
            field="package",
        )
    with TemporaryDirectory(prefix="backoffice-given-") as folder:
        path = Path(folder) / "package.zip"
        path.write_bytes(data)
        with open_package(path, most_bytes=MAX_UNPACKED_BYTES) as package:
            if package.form != TAKEOVER:
                raise InvalidInput(
                    "A whole broker is rebuilt in an empty database, by the command migrate_in.", field="package"
                )
            entity = get_visible(LegalEntity.objects.all(), actor, code=package.entity)
            digest, size = package.digest, package.size_bytes
    stored = f"{FOLDER}/{hashlib.sha256(data).hexdigest()}.zip"
    if not default_storage.exists(stored):
        stored = default_storage.save(stored, ContentFile(data))
    with transaction.atomic():
        given = MigrationPackage.objects.create(
            entity=entity,
            form=TAKEOVER,
            file_name=_clean(file_name),
            stored_path=stored,
            size_bytes=size,
            digest=digest,
            state=State.GIVEN,
            given_by_id=actor.user_id,
        )
        audit.record(
            actor=actor,
            action="migration.give_package",
            target=given,
            changes={"digest": digest, "bytes": len(data)},
            entity_id=entity.pk,
        )
        _enqueue(given, "check")
    return given


def check_again(*, package_id: int, actor: Actor) -> MigrationPackage:
    """Has a package checked once more, after what it was refused for was mended on the desk."""
    authorise(actor, GIVE_PACKAGE)
    with transaction.atomic():
        package = _locked(package_id, actor)
        if package.state not in (State.CHECKED, State.REFUSED, State.FAILED):
            raise Conflict("The package is being worked on, or applied already.", code="not_checkable")
        package.state = State.GIVEN
        package.attempt += 1
        package.save(update_fields=["state", "attempt"])
        audit.record(actor=actor, action="migration.check_package", target=package, entity_id=package.entity_id)
        _enqueue(package, "check")
    return package


def request_application(*, package_id: int, reason: str, actor: Actor) -> Any:
    """Asks a second person to let a checked package be applied; returns the submitted change request."""
    authorise(actor, GIVE_PACKAGE)
    package = get_visible(MigrationPackage.objects.all(), actor, pk=package_id)
    if package.state != State.CHECKED:
        raise Conflict("Only a package whose check found no problem can be applied.", code="not_checked")
    draft = changes.draft_change(
        kind=CHANGE_KIND,
        payload={"package_id": package.pk, "digest": package.digest},
        actor=actor,
        reason=reason,
        entity_id=package.entity_id,
        target=package,
    )
    return changes.submit_change(change_id=draft.pk, actor=actor)


def queue_application(*, package_id: int, actor: Actor, request: Any) -> MigrationPackage:
    """Queues an approved package. Raises Denied without an approved change request for these very bytes."""
    package = MigrationPackage.objects.select_for_update(of=("self",)).filter(pk=package_id).first()
    if package is None:
        raise NotFound("No such package.", package_id=package_id)
    changes.require_approved(request, kind=CHANGE_KIND, package_id=package.pk, digest=package.digest)
    if package.state in (State.QUEUED, State.APPLIED):
        return package
    if package.state != State.CHECKED:
        raise Conflict("Only a package whose check found no problem can be applied.", code="not_checked")
    package.state = State.QUEUED
    package.attempt += 1
    package.confirmed_by_id = request.checker_id if request.checker_id != package.given_by_id else None
    package.save(update_fields=["state", "attempt", "confirmed_by"])
    _enqueue(package, "apply", request_id=request.pk)
    return package


def run_package_job(job: Job, owner: str) -> dict[str, Any]:
    """Checks or applies the package of a job; repeating it is harmless."""
    package = MigrationPackage.objects.select_related("given_by", "confirmed_by").get(pk=job.payload["package_id"])
    is_dry_run = job.payload["mode"] == "check"
    if package.state != (State.GIVEN if is_dry_run else State.QUEUED):
        return {"package_id": package.pk, "state": package.state}

    def finish(report: Report) -> None:
        jobs.finish(job=job, owner=owner, result={"package_id": package.pk, "state": State.APPLIED.value})

    with TemporaryDirectory(prefix="backoffice-job-") as folder:
        path = Path(folder) / "package.zip"
        with default_storage.open(package.stored_path, "rb") as stored, path.open("wb") as file:
            for chunk in stored.chunks():
                file.write(chunk)
        with open_package(path, most_bytes=MAX_UNPACKED_BYTES) as opened:
            report = apply_takeover(
                package=opened,
                actor=_actor(package, is_dry_run=is_dry_run),
                is_dry_run=is_dry_run,
                record=package,
                progress=lambda content, rows: _tell(package.pk, content, rows),
                finish=None if is_dry_run else finish,
            )
    if is_dry_run or not report.ok:
        _keep_report(package, report, is_dry_run=is_dry_run)
    return {"package_id": package.pk, "state": package.state, "problems": report.problem_count}


def _actor(package: MigrationPackage, *, is_dry_run: bool) -> Actor:
    """A check is done with the giver's eyes. An application stands on its approval, whatever became of the people."""
    if is_dry_run and package.given_by is not None:
        return actor_of_user(package.given_by)
    checker = package.confirmed_by.email if package.confirmed_by else "a policy"
    giver = package.given_by.email if package.given_by else "a command"
    return Actor.system(f"package of {giver}, let through by {checker}"[:190])


def _keep_report(package: MigrationPackage, report: Report, *, is_dry_run: bool) -> None:
    refused = State.REFUSED if is_dry_run else State.FAILED
    package.state = State.CHECKED if report.ok else refused
    package.report = report.as_dict()
    package.rows = sum(counts.rows for counts in report.files)
    package.problems = report.problem_count
    package.checked_at = clock.now()
    package.save(update_fields=["state", "report", "rows", "problems", "checked_at"])


def progress_of(package_id: int) -> dict[str, Any]:
    """How far the work on a package is; nothing when nobody works on it. Never the record of anything."""
    try:
        found = cache.get(_progress_key(package_id))
    except redis.RedisError:
        return {}
    return found if isinstance(found, dict) else {}


def _tell(package_id: int, content: str, rows: int) -> None:
    try:
        cache.set(_progress_key(package_id), {"content": content, "rows": rows}, PROGRESS_SECONDS)
    except redis.RedisError as error:
        structlog.get_logger(__name__).warning("migration_progress_lost", error=type(error).__name__)


def _progress_key(package_id: int) -> str:
    return f"migration:progress:{package_id}"


def _enqueue(package: MigrationPackage, mode: str, **more: Any) -> None:
    key = f"{package.pk}:{mode}:{package.attempt}"
    jobs.enqueue(kind=MIGRATION_JOB_KIND, key=key, payload={"package_id": package.pk, "mode": mode, **more})


def _locked(package_id: int, actor: Actor) -> MigrationPackage:
    visible = get_visible(MigrationPackage.objects.all(), actor, pk=package_id)
    return MigrationPackage.objects.select_for_update(of=("self",)).get(pk=visible.pk)


def _clean(file_name: str) -> str:
    name = Path(file_name.replace("\\", "/")).name
    return "".join(letter for letter in name if letter.isprintable())[-255:] or "package.zip"
