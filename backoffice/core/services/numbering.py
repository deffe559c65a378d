"""Numbers of documents: gapless per legal entity, kind and year, because the law asks for it.

A number is issued in the transaction of the document that carries it, behind the lock of its counter: a document that is
rolled back gives its number back, and the next one waits until it is known. So issue it late, and do little afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

from django.db import Error, connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import DocumentCounter, DocumentNumber, DocumentSeries, LegalEntity
from backoffice.core.organisation.document_kinds import check_pattern, get_document_kind, render_reference
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput, Misconfigured, Retryable

LOCK_TIMEOUT_MILLISECONDS = 3000
_LOCK_NOT_AVAILABLE = "55P03"


def issue_number(*, entity_id: int, kind: str, on: date, subject: str, actor: Actor) -> DocumentNumber:
    """The next number of a kind of document of an entity, dated *on*, for *subject* (what will carry it).

    Must run in the transaction that writes the document. The caller has authorised the actor. Raises `Retryable` when
    another document holds the counter longer than three seconds, `Conflict` when a changed pattern gives a reference that
    exists already.
    """
    if not connection.in_atomic_block:
        raise Misconfigured("A number is issued in the transaction of its document.", kind=kind)
    series = _series(entity_id, kind)
    year = on.year if series.is_yearly else 0
    DocumentCounter.objects.bulk_create([DocumentCounter(series=series, year=year)], ignore_conflicts=True)
    with _bounded_wait(kind):
        counter = DocumentCounter.objects.select_for_update(no_key=True).get(series=series, year=year)
    # The pattern as it stands behind the lock: a change of pattern waits for numbers under way.
    series.refresh_from_db()
    number = counter.last_number + 1
    code = LegalEntity.objects.values_list("code", flat=True).get(pk=entity_id)
    reference = render_reference(series.pattern, entity_code=code, year=on.year, number=number)
    if DocumentNumber.objects.filter(entity_id=entity_id, kind=kind, reference=reference).exists():
        raise Conflict(
            f"The pattern of {kind} gives {reference}, which exists already.",
            code="reference_taken",
            reference=reference,
        )
    counter.last_number = number
    counter.save(update_fields=["last_number"])
    return DocumentNumber.objects.create(
        entity_id=entity_id,
        counter=counter,
        kind=kind,
        number=number,
        reference=reference,
        subject=subject[:160],
        issued_by=actor.label[:200],
    )


@transaction.atomic
def set_number_pattern(*, entity_id: int, kind: str, pattern: str, actor: Actor, reason: str) -> DocumentSeries:
    """Gives a kind of document of an entity another pattern, from the next number on. Numbers go on where they stand."""
    authorise(actor, "core.manage_organisation")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    series = DocumentSeries.objects.select_for_update().get(pk=_series(entity.pk, kind).pk)
    check_pattern(pattern, is_yearly=series.is_yearly)
    if series.pattern == pattern:
        return series
    before, series.pattern = series.pattern, pattern
    series.save(update_fields=["pattern"])
    audit.record(
        actor=actor,
        action="core.set_number_pattern",
        target=series,
        reason=reason.strip(),
        changes={"pattern": [before, pattern]},
        entity_id=entity.pk,
    )
    return series


def _series(entity_id: int, kind: str) -> DocumentSeries:
    known = DocumentSeries.objects.filter(entity_id=entity_id, kind=kind).first()
    if known is not None:
        return known
    defaults = get_document_kind(kind)
    DocumentSeries.objects.bulk_create(
        [DocumentSeries(entity_id=entity_id, kind=kind, pattern=defaults.pattern, is_yearly=defaults.is_yearly)],
        ignore_conflicts=True,
    )
    return DocumentSeries.objects.get(entity_id=entity_id, kind=kind)


@contextmanager
def _bounded_wait(kind: str) -> Iterator[None]:
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{LOCK_TIMEOUT_MILLISECONDS}ms"])
            yield
    except Error as error:
        if getattr(error.__cause__, "pgcode", "") != _LOCK_NOT_AVAILABLE:
            raise
        raise Retryable("Another document of this kind is being numbered; try again in a moment.", kind=kind) from error
