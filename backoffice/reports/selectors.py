"""Reads of reports: what was issued, and the bytes of it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

from django.core.files.storage import default_storage
from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, NotFound
from backoffice.reports.models import IssuedReport, SigningKey


@contextmanager
def snapshot() -> Iterator[None]:
    """One snapshot for all reads inside, so that the sections of a report agree with each other while books go on.

    Inside another transaction that has already read, that transaction's own rules hold.
    """
    outermost = not connection.in_atomic_block
    with transaction.atomic():
        if outermost:
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


def get_issued(*, report_id: int, actor: Actor) -> IssuedReport:
    """An issued report that the actor may see."""
    authorise(actor, "reports.view_report")
    return get_visible(IssuedReport.objects.select_related("entity"), actor, pk=report_id)


def issued_bytes(report: IssuedReport) -> bytes:
    """The bytes as they were issued. Raises `NotFound` when the file is gone, `Conflict` when it was altered."""
    if not default_storage.exists(report.stored_path):
        raise NotFound("The file of this report is missing.", code="file_missing", path=report.stored_path)
    with default_storage.open(report.stored_path, "rb") as file:
        data = bytes(file.read())
    if hashlib.sha256(data).hexdigest() != report.sha256:
        raise Conflict("The file of this report was altered since it was issued.", code="file_altered")
    return data


def signing_keys() -> list[SigningKey]:
    """Every key that signed a report, the newest first. Public knowledge."""
    return list(SigningKey.objects.order_by("-first_used_at", "key_id"))
