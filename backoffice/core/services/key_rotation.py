"""Moves every sealed text to the current encryption key, so that an old key can be taken out of the settings.

The order of a change of keys: (1) every process gets the new key *behind* the old one, so that all can open it;
(2) the new key comes first, everything new is sealed with it; (3) `rotate_keys` reseals what is left; (4) the old key goes.

Rows are taken in batches under their row lock, each text is resealed, opened again and compared before it is written,
and written only over the very text that was read. So writes may go on, a killed run is simply started again, and a
second run finds nothing to do. Rows that do not open are counted and named, never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import structlog
from allauth.mfa.models import Authenticator
from django.apps import apps
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection, models, transaction
from django.db.models import Q
from django.db.models.functions import Cast

from backoffice.core import crash_points
from backoffice.core.locks import advisory_key, release_session_lock, try_session_lock
from backoffice.core.models import ProcessHeartbeat
from backoffice.core.sealing.fields import BlindIndexField, EncryptedTextField, SealedText
from backoffice.core.sealing.secrets import current_key_id, key_of, parse_keys, seal, unseal
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Misconfigured
from backoffice.kernel.registry import Registry

BATCH = 200
MAX_NAMED = 50
PREFIX = "v1"
_LOCK = advisory_key("core", "key rotation")
crash_points.declare("core.rotate_keys.after_batch")


@dataclass(frozen=True, slots=True)
class SealedPlace:
    """Where sealed texts stand.

    `rows()` are all that hold one, `under(key id)` the condition for those whose texts (and indexes) name the key.
    `texts(row)` gives each sealed text with its purpose, by name; `store(row, texts)` writes them back.
    """

    name: str
    rows: Callable[[], models.QuerySet[Any]]
    under: Callable[[str], Q]
    texts: Callable[[Any], dict[str, tuple[str, str]]]
    store: Callable[[Any, dict[str, str]], None]
    opened_by: Callable[[str], Q]


@dataclass(slots=True)
class PlaceReport:
    """What was done in one place."""

    name: str
    moved: int = 0
    left: int = 0
    unreadable: list[str] = field(default_factory=list)
    unreadable_count: int = 0


_places: Registry[SealedPlace] = Registry("places of sealed texts")


def register_sealed_place(place: SealedPlace) -> None:
    """Adds a place that is no `EncryptedTextField`, such as a text inside of JSON."""
    _places.register(place.name, place)


def sealed_places() -> Iterator[SealedPlace]:
    """Every place: the registered ones, and each sealed column of each model."""
    yield from (pair[1] for pair in _places.items())
    for model in apps.get_models():
        if model._meta.proxy or not model._meta.managed:
            continue
        for column in model._meta.local_fields:
            if isinstance(column, EncryptedTextField):
                yield _place_of(model, column)


def _place_of(model: type[models.Model], column: EncryptedTextField) -> SealedPlace:
    name = column.attname
    indexes = [
        each
        for each in model._meta.local_fields
        if isinstance(each, BlindIndexField) and each.source in (column.name, name)
    ]

    def texts(row: Any) -> dict[str, tuple[str, str]]:
        return {name: (row.__dict__[name].raw, column.purpose_of(row))}

    def store(row: Any, sealed: dict[str, str]) -> None:
        # The index is made of the text, under the same new key.
        plain = unseal(sealed[name], purpose=column.purpose_of(row))
        found = {index.attname: index.candidates(plain)[0] for index in indexes}
        model._base_manager.filter(pk=row.pk).update(**{name: SealedText(sealed[name])}, **found)

    def opened_by(key_id: str) -> Q:
        return Q(_sealed__startswith=f"{PREFIX}:{key_id}:")

    def under(key_id: str) -> Q:
        condition = opened_by(key_id)
        for index in indexes:
            condition &= Q(**{f"{index.attname}__startswith": f"{key_id}:"}) | Q(**{index.attname: ""})
        return condition

    def rows() -> models.QuerySet[Any]:
        raw = Cast(models.F(name), models.TextField())
        return model._base_manager.annotate(_sealed=raw).exclude(_sealed="").filter(_sealed__isnull=False)

    return SealedPlace(f"{model._meta.db_table}.{column.column}", rows, under, texts, store, opened_by)


def rotate_keys(
    *, actor: Actor, batch: int = BATCH, progress: Callable[[str, int], None] | None = None
) -> list[PlaceReport]:
    """Reseals everything that does not stand under the current key; returns what was done, place by place.

    Raises Conflict while another rotation runs.
    """
    if not try_session_lock(_LOCK):
        raise Conflict("Another rotation of keys is running.", code="rotation_running")
    try:
        reports = [_rotate(place, batch, progress) for place in sealed_places()]
    finally:
        release_session_lock(_LOCK)
    _record(reports, actor)
    return reports


def _rotate(place: SealedPlace, batch: int, progress: Callable[[str, int], None] | None) -> PlaceReport:
    report, last = PlaceReport(place.name), 0
    key_id = current_key_id()
    while True:
        with transaction.atomic():
            rows = list(
                place.rows()
                .select_for_update(of=("self",))
                .filter(~place.under(key_id), pk__gt=last)
                .order_by("pk")[:batch]
            )
            for row in rows:
                _move(place, row, report)
        if not rows:
            break
        last = rows[-1].pk
        crash_points.reach("core.rotate_keys.after_batch")
        if progress is not None:
            progress(place.name, report.moved)
    report.left = place.rows().exclude(place.under(key_id)).count()
    return report


def _move(place: SealedPlace, row: Any, report: PlaceReport) -> None:
    """Reseals the texts of one row, after proving that the new ones open to the same."""
    resealed: dict[str, str] = {}
    try:
        for name, (sealed, purpose) in place.texts(row).items():
            plain = unseal(sealed, purpose=purpose)
            resealed[name] = seal(plain, purpose=purpose)
            if unseal(resealed[name], purpose=purpose) != plain:
                raise Misconfigured("A resealed text does not open to what it was.")
    except Misconfigured:
        report.unreadable_count += 1
        if len(report.unreadable) < MAX_NAMED:
            report.unreadable.append(str(row.pk))
        return
    place.store(row, resealed)
    report.moved += 1


def _record(reports: list[PlaceReport], actor: Actor) -> None:
    figures = {report.name: {"moved": report.moved, "left": report.left} for report in reports if report.moved}
    with transaction.atomic():
        audit.record(
            actor=actor,
            action="core.rotate_keys",
            target=ProcessHeartbeat(name="key_rotation"),
            changes={"key": current_key_id(), **figures},
        )


def missing_keys() -> dict[str, list[str]]:
    """The places that hold texts under keys that are not configured, with the ids of some of those keys."""
    missing: dict[str, list[str]] = {}
    for place in sealed_places():
        foreign = place.rows()
        for key_id in parse_keys(settings.ENCRYPTION_KEYS):
            foreign = foreign.exclude(place.opened_by(key_id))
        found = {key_of(sealed) or "damaged" for row in foreign[:MAX_NAMED] for sealed, _ in place.texts(row).values()}
        if found:
            missing[place.name] = sorted(found)
    return missing


def refuse_to_start_without_keys() -> None:
    """Called by every process that serves or works. Raises Misconfigured when stored texts need a key that is missing.

    A database that does not answer, or is not migrated yet, is not this question's business.
    """
    try:
        missing = missing_keys()
    except DatabaseFailure:
        structlog.get_logger(__name__).warning("encryption_keys_not_checked")
        return
    finally:
        connection.close()  # a server that forks its workers must not hand them an open connection
    if missing:
        places = "; ".join(f"{place} needs {', '.join(ids)}" for place, ids in sorted(missing.items()))
        raise Misconfigured(f"Encryption keys are missing: {places}.", code="encryption_key_missing")


def _register_authenticators() -> None:
    """One-time code secrets and recovery codes, which allauth keeps sealed inside of JSON."""
    purpose = "mfa.authenticator.data"

    def sealed_of(row: Authenticator) -> dict[str, tuple[str, str]]:
        return {name: (value, purpose) for name, value in row.data.items() if isinstance(value, str) and key_of(value)}

    def store(row: Authenticator, sealed: dict[str, str]) -> None:
        Authenticator.objects.filter(pk=row.pk).update(data={**row.data, **sealed})

    def rows() -> models.QuerySet[Any]:
        text = Cast("data", models.TextField())
        found: models.QuerySet[Any] = Authenticator.objects.annotate(_sealed=text)
        return found.filter(_sealed__contains=f'"{PREFIX}:')

    def under(key_id: str) -> Q:
        return Q(_sealed__contains=f'"{PREFIX}:{key_id}:')

    register_sealed_place(SealedPlace("mfa_authenticator.data", rows, under, sealed_of, store, under))


_register_authenticators()
