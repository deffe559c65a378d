"""Proves that rows and bytes of files belong together, and tidies up: both directions, bounded.

An object without a row is what a process left behind that died between the two; it is removed after a day. A row
without its object is a loss; it is never repaired silently but shown by `verify_books`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import structlog

from backoffice.core.books import CheckOutcome, register_check
from backoffice.core.files.storage import StoredObject, delete_object, objects_below, store
from backoffice.core.models import StoredFile
from backoffice.core.services import files
from backoffice.kernel import clock

GRACE = timedelta(days=1)
MAX_OBJECTS = 1_000_000
MAX_STRAYS_AT_ONCE = 5_000
IDS_PER_QUERY = 1_000
State = StoredFile.State


@dataclass(frozen=True, slots=True)
class Sweep:
    """What a sweep found: strays removed (or found, in a dry run), and files whose bytes are missing or differ."""

    objects: int
    strays: int
    missing: list[dict[str, Any]]


def sweep(*, dry_run: bool = False) -> Sweep:
    """Compares the store with the rows. Objects that no row needs, older than a day, are removed unless *dry_run*."""
    seen, strays = 0, 0
    for folder in (files.FOLDER, files.QUARANTINE):
        batch: list[StoredObject] = []
        for found in objects_below(folder):
            seen += 1
            if seen > MAX_OBJECTS or strays >= MAX_STRAYS_AT_ONCE:
                break
            batch.append(found)
            if len(batch) == IDS_PER_QUERY:
                strays += _remove_strays(batch, folder, dry_run)
                batch = []
        strays += _remove_strays(batch, folder, dry_run)
    if strays:
        structlog.get_logger(__name__).warning("stray_files", count=strays, removed=not dry_run)
    return Sweep(objects=seen, strays=strays, missing=missing_bytes())


def _remove_strays(batch: list[StoredObject], folder: str, dry_run: bool) -> int:
    limit = clock.now() - GRACE
    old = [found for found in batch if found.modified < limit]
    numbers = {found.name: _number(found.name) for found in old}
    rows = StoredFile.objects.filter(public_id__in=[number for number in numbers.values() if number])
    needed = {row.public_id for row in rows if _needs(row, folder)}
    strays = [found.name for found in old if numbers[found.name] not in needed]
    if not dry_run:
        for name in strays:
            delete_object(name)
    return len(strays)


def _needs(row: StoredFile, folder: str) -> bool:
    """Whether the row's bytes lie in this folder."""
    if row.erased_at is not None:
        return False
    return (row.state == State.CLEAN) == (folder == files.FOLDER)


def _number(name: str) -> UUID | None:
    try:
        return UUID(name.rpartition("/")[2])
    except ValueError:
        return None


def missing_bytes() -> list[dict[str, Any]]:
    """The files whose bytes are not in the store, or have another size; of every entity."""
    sizes = {
        folder: {found.name: found.size for found in objects_below(folder)}
        for folder in (files.FOLDER, files.QUARANTINE)
    }
    return list(_missing(sizes))


def _missing(sizes: dict[str, dict[str, int]]) -> Iterable[dict[str, Any]]:
    for row in StoredFile.objects.filter(erased_at__isnull=True).order_by("id").iterator(chunk_size=IDS_PER_QUERY):
        problem = _problem(row, sizes)
        if problem:
            yield {"file": str(row.public_id), "purpose": row.purpose, "state": row.state, "problem": problem}


def _problem(row: StoredFile, sizes: dict[str, dict[str, int]]) -> str:
    is_clean = row.state == State.CLEAN
    folder, wanted = (files.FOLDER, row.size_bytes) if is_clean else (files.QUARANTINE, row.given_size)
    name = files.object_name(row, folder)
    found = sizes[folder].get(name)
    if found == wanted:
        return ""
    if found is None:
        # The store was listed a moment earlier; a file may have come, or been decided about, in between.
        if store().exists(name) or (
            row.state == State.QUARANTINED and store().exists(files.object_name(row, files.FOLDER))
        ):
            return ""
        return "missing"
    return "other size"


def _check() -> CheckOutcome:
    missing = missing_bytes()
    return CheckOutcome.of(missing)


def register_proof() -> None:
    """Its share of verify_books."""
    register_check("core.files_are_kept", _check)


def tidy() -> None:
    """The periodic round: files whose time is over first, then strays."""
    files.erase_expired()
    sweep()
