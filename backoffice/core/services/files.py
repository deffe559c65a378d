"""Files that people give us: kept in quarantine, checked, then handed out to who may see them, each time on record.

    stored = store_file(purpose="crm.client_document", data=data, file_name=name, actor=actor,
                        entity_id=client.entity_id, owner=client)
    stored.state      # clean, or refused with stored.reason; quarantined while a virus scanner is still to be asked

The bytes are in the store before their row is, and a job that checks them is written with the row: whatever dies in
between leaves either an object without a row, which the sweep removes, or a row whose job goes on.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable
from datetime import timedelta
from pathlib import PurePath
from typing import Any
from uuid import UUID

import structlog
from django.apps import apps
from django.core.files.uploadedfile import UploadedFile
from django.db import models, transaction
from django.db.models import QuerySet

from backoffice.core import crash_points
from backoffice.core.access import authorise, holds, visible_to
from backoffice.core.file_checks import CheckedFile, Refusal, inspect
from backoffice.core.files.kinds import ENDINGS, file_purpose, file_purposes
from backoffice.core.files.storage import delete_object, read_object, write_object
from backoffice.core.models import Job, StoredFile
from backoffice.core.services import audit, jobs, virus_scan
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from backoffice.kernel.ids import uuid7

CHECK_JOB_KIND = "core.check_file"
FOLDER, QUARANTINE = "files", "quarantine"
MAX_NAME_LENGTH = 255
MAX_LISTED = 200
KEEP_REFUSED = timedelta(days=30)
MAX_ERASED_AT_ONCE = 500
crash_points.declare("core.files.after_bytes", "core.files.after_row", "core.files.before_verdict")


def read_upload(upload: UploadedFile, *, purpose: str) -> bytes:
    """The bytes of a form's file, reading no further than the purpose allows. Raises InvalidInput beyond that."""
    limit = file_purpose(purpose).max_bytes
    parts, total = [], 0
    for chunk in upload.chunks():
        total += len(chunk)
        if total > limit:
            raise _too_large(limit)
        parts.append(chunk)
    return b"".join(parts)


def store_file(
    *, purpose: str, data: bytes, file_name: str, actor: Actor, entity_id: int, owner: models.Model | None = None
) -> StoredFile:
    """Keeps a file and checks it; the result is clean, or refused with a reason, or waits for the virus scanner.

    Raises Denied without the purpose's upload capability or for another entity, NotFound for an owner that the actor
    does not see, InvalidInput for a file that is empty or too large: of those, nothing is kept.
    """
    kind = file_purpose(purpose)
    if kind.upload_capability:
        authorise(actor, kind.upload_capability)
    _check_place(actor, entity_id, owner)
    if not data:
        raise InvalidInput("The file is empty.", code="empty_file", field="file")
    if len(data) > kind.max_bytes:
        raise _too_large(kind.max_bytes)
    now = clock.now()
    stored = StoredFile(
        public_id=uuid7(),
        purpose=purpose,
        entity_id=entity_id,
        owner_type=owner._meta.label_lower if owner is not None else "",
        owner_id=owner.pk if owner is not None else None,
        original_name=shown_name(file_name),
        given_sha256=hashlib.sha256(data).hexdigest(),
        given_size=len(data),
        uploaded_by_id=actor.user_id or None,
        created_at=now,
        keep_until=None if kind.retain_days is None else now + timedelta(days=kind.retain_days),
    )
    write_object(object_name(stored, QUARANTINE), data)
    crash_points.reach("core.files.after_bytes")
    with transaction.atomic():
        stored.save(force_insert=True)
        audit.record(
            actor=actor,
            action="core.store_file",
            target=stored,
            changes={"purpose": purpose, "sha256": stored.given_sha256, "size": stored.given_size},
        )
        jobs.enqueue(kind=CHECK_JOB_KIND, key=str(stored.public_id), payload={"file_id": stored.pk})
    crash_points.reach("core.files.after_row")
    # Asking a scanner takes a network; that is the job's business. Everything else is known at once.
    return stored if virus_scan.is_configured() else check_file(file_id=stored.pk)


def _check_place(actor: Actor, entity_id: int, owner: models.Model | None) -> None:
    """Whether the actor may put a file there."""
    if owner is not None:
        if not visible_to(type(owner)._default_manager.filter(pk=owner.pk), actor).exists():
            raise NotFound("No such owner of a file, or it is not yours to see.")
        if getattr(owner, "entity_id", entity_id) != entity_id:
            raise InvalidInput("The owner belongs to another legal entity.", field="entity")
    elif not actor.is_system and entity_id not in actor.entity_ids:
        raise Denied("This legal entity is not yours.", entity_id=entity_id)


def _too_large(limit: int) -> InvalidInput:
    return InvalidInput(f"The file is larger than {limit // 2**20} MB.", code="too_large", field="file")


def shown_name(file_name: str) -> str:
    """The last part of a name as somebody gave it, without what does not print or turns the reading direction."""
    name = PurePath(file_name.replace("\\", "/")).name
    kept = "".join(letter for letter in name if unicodedata.category(letter)[0] != "C")
    return " ".join(kept.split())[-MAX_NAME_LENGTH:] or "file"


def object_name(stored: StoredFile, folder: str) -> str:
    """Where the bytes of a file lie: named by our own number, spread over folders by its random end."""
    number = stored.public_id.hex
    return f"{folder}/{number[-2:]}/{number[-4:-2]}/{number}"


def check_file(*, file_id: int) -> StoredFile:
    """Decides about a file in quarantine. A file that was decided before is returned as it is.

    Raises Retryable while a configured virus scanner does not answer; the file then stays in quarantine.
    """
    stored = StoredFile.objects.get(pk=file_id)
    if stored.state != StoredFile.State.QUARANTINED:
        return stored
    data = read_object(object_name(stored, QUARANTINE))
    try:
        checked: CheckedFile | Refusal = _look_into(stored, data)
    except Refusal as refusal:
        checked = refusal
    if isinstance(checked, CheckedFile):
        write_object(object_name(stored, FOLDER), checked.data)
    crash_points.reach("core.files.before_verdict")
    return _decide(file_id, checked)


def _look_into(stored: StoredFile, data: bytes) -> CheckedFile:
    if hashlib.sha256(data).hexdigest() != stored.given_sha256:
        raise Refusal("altered_in_store", "The bytes in quarantine are not those that were given.")
    if virus_scan.is_configured() and (found := virus_scan.scan(data)):
        raise Refusal("virus_found", f"The virus scanner found {found[:80]}.")
    return inspect(data, file_name=stored.original_name, purpose=file_purpose(stored.purpose))


def _decide(file_id: int, checked: CheckedFile | Refusal) -> StoredFile:
    with transaction.atomic():
        stored = StoredFile.objects.select_for_update().get(pk=file_id)
        if stored.state != StoredFile.State.QUARANTINED:
            return stored
        stored.checked_at = now = clock.now()
        if isinstance(checked, Refusal):
            stored.state = StoredFile.State.REFUSED
            stored.reason_code, stored.reason = checked.code, checked.reason
            limit = now + KEEP_REFUSED
            stored.keep_until = min(stored.keep_until or limit, limit)
        else:
            stored.state = StoredFile.State.CLEAN
            stored.content_type = checked.content_type
            stored.sha256 = hashlib.sha256(checked.data).hexdigest()
            stored.size_bytes = len(checked.data)
            stored.width, stored.height = checked.width, checked.height
            # Only once it is certain that the clean bytes stand behind the row.
            transaction.on_commit(lambda: delete_object(object_name(stored, QUARANTINE)))
        stored.save()
    log = structlog.get_logger(__name__)
    log.info("file_checked", file_id=stored.pk, purpose=stored.purpose, state=stored.state, code=stored.reason_code)
    return stored


def run_check_job(job: Job, owner: str) -> dict[str, Any]:
    """Checks the file of a job; repeating it is harmless."""
    return {"state": check_file(file_id=job.payload["file_id"]).state}


def find_file(*, file_id: int | UUID, actor: Actor) -> StoredFile:
    """The file, if the actor may see it. Raises NotFound alike for one that does not exist and one of other people."""
    lookup = {"public_id": file_id} if isinstance(file_id, UUID) else {"pk": file_id}
    stored = StoredFile.objects.filter(**lookup).first()
    if stored is None or not _may_see(stored, actor):
        raise NotFound("No such file, or it is not yours to see.", code="file_not_found")
    return stored


def _may_see(stored: StoredFile, actor: Actor) -> bool:
    """The capability of the purpose, and the owner through the access door; without an owner, the legal entity."""
    if actor.is_system:
        return True
    if not holds(actor, file_purpose(stored.purpose).view_capability):
        return False
    if actor.is_staff and stored.entity_id not in actor.entity_ids:
        return False
    if not stored.owner_type:
        return actor.is_staff
    owner_model = apps.get_model(stored.owner_type)
    return visible_to(owner_model._default_manager.filter(pk=stored.owner_id), actor).exists()


def read_file(*, file_id: int | UUID, actor: Actor) -> tuple[StoredFile, bytes]:
    """The file and its bytes; that somebody looked stands in the audit.

    Raises NotFound for files of other people and for erased ones, Conflict (file_not_clean) for one that waits or was
    refused, Conflict (file_altered) when the bytes in the store are not those that were kept.
    """
    stored = find_file(file_id=file_id, actor=actor)
    if stored.erased_at is not None:
        raise NotFound("This file was erased.", code="file_erased")
    if stored.state != StoredFile.State.CLEAN:
        raise Conflict("Only a checked file can be opened.", code="file_not_clean", state=stored.state)
    data = read_object(object_name(stored, FOLDER))
    if hashlib.sha256(data).hexdigest() != stored.sha256:
        structlog.get_logger(__name__).error("stored_file_altered", file_id=stored.pk)
        raise Conflict("The stored bytes of this file were altered.", code="file_altered")
    with transaction.atomic():
        audit.record(actor=actor, action="core.view_file", target=stored, changes={"sha256": stored.sha256})
    return stored, data


def download_name(stored: StoredFile) -> str:
    """What the file is called when it is handed out: the given name with the ending of its content."""
    stem = PurePath(stored.original_name).stem or "file"
    endings = ENDINGS.get(stored.content_type, (".bin",))
    given = PurePath(stored.original_name).suffix.lower()
    return f"{stem}{given if given in endings else endings[0]}"


def files_of(*, owner: models.Model, actor: Actor, purposes: Iterable[str] = ()) -> QuerySet[StoredFile]:
    """The files of an owner, newest first, as far as the actor may see them."""
    found = StoredFile.objects.filter(owner_type=owner._meta.label_lower, owner_id=owner.pk, erased_at__isnull=True)
    if not visible_to(type(owner)._default_manager.filter(pk=owner.pk), actor).exists():
        return found.none()
    seen = [
        purpose.purpose
        for purpose in file_purposes()
        if holds(actor, purpose.view_capability) and (not purposes or purpose.purpose in set(purposes))
    ]
    return found.filter(purpose__in=seen).select_related("uploaded_by").order_by("-id")


def erase_file(*, file_id: int | UUID, actor: Actor, reason: str) -> StoredFile:
    """Forgets the bytes of a file for good; the row stays and says who asked and why. Erasing twice changes nothing."""
    authorise(actor, "core.erase_file")
    stored = find_file(file_id=file_id, actor=actor)
    if not reason.strip():
        raise InvalidInput("Say why the file is erased.", field="reason")
    return _erase(stored.pk, actor, reason)


def _erase(file_id: int, actor: Actor, reason: str) -> StoredFile:
    with transaction.atomic():
        stored = StoredFile.objects.select_for_update().get(pk=file_id)
        if stored.erased_at is not None:
            return stored
        if stored.state == StoredFile.State.QUARANTINED:
            raise Conflict("The file is still being checked.", code="file_not_checked")
        stored.erased_at = clock.now()
        stored.save(update_fields=["erased_at"])
        audit.record(
            actor=actor, action="core.erase_file", target=stored, reason=reason, changes={"sha256": stored.given_sha256}
        )
        transaction.on_commit(lambda: _forget_bytes(stored))
    return stored


def _forget_bytes(stored: StoredFile) -> None:
    """What a process that dies right here leaves behind, the sweep finds: objects of an erased row are strays."""
    delete_object(object_name(stored, FOLDER))
    delete_object(object_name(stored, QUARANTINE))


def erase_expired() -> int:
    """Erases the files whose time is over, a bounded number; returns how many."""
    due = StoredFile.objects.filter(erased_at__isnull=True, keep_until__lte=clock.now()).exclude(
        state=StoredFile.State.QUARANTINED
    )
    numbers = list(due.order_by("keep_until").values_list("pk", flat=True)[:MAX_ERASED_AT_ONCE])
    for number in numbers:
        _erase(number, Actor.system("retention"), "The time for which such files are kept is over.")
    return len(numbers)
