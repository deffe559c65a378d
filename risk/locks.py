"""The lock of the risk desk."""

from __future__ import annotations

from django.db import OperationalError, connection

from backoffice.kernel.errors import Retryable

LOCK_TIMEOUT_MILLISECONDS = 3000
_EXPOSURE_LOCK = 7_301
"""First key of the advisory lock; the second is the entity."""


def lock_exposure(entity_id: int) -> None:
    """One calculation of an entity at a time, until the transaction ends, so that the newest run is the newest snapshot.

    Raises `Retryable` when another one has not ended within three seconds.
    """
    with connection.cursor() as cursor:
        cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MILLISECONDS}")
        try:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_EXPOSURE_LOCK, entity_id])
        except OperationalError as error:
            raise Retryable("The exposure is being calculated by somebody else.", entity_id=entity_id) from error
