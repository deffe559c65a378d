"""A request that carries a key takes effect once, however often it is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from backoffice.core.locks import advisory_key, release_session_lock, try_session_lock
from backoffice.core.models import IdempotencyRecord
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, IdempotencyMismatch, InvalidInput

MAX_KEY_LENGTH = 200
MAX_FORGOTTEN_AT_ONCE = 10_000
API_SCOPE = "api:"
KEEP_ANSWERS = timedelta(days=7)
"""How long a repeated call of the API is answered alike. What money use cases booked is known for ever by their own key."""


def run_once(*, scope: str, key: str, request: dict[str, Any], execute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of *execute* for this (scope, key): executed the first time, looked up from then on.

    Key, result and all that *execute* writes belong to one transaction. A second caller with the same key waits for
    the first; if that one fails, the second executes. Raises IdempotencyMismatch when *request* differs from the one
    the key first came with. The result is what JSON makes of it, the first time as well.
    """
    _check_key(key)
    wanted_hash = request_hash(request)
    with transaction.atomic():
        # Whoever inserts the row first goes on; a second caller waits here until the first one's transaction ends.
        claimed = IdempotencyRecord(scope=scope, key=key, request_hash=wanted_hash)
        IdempotencyRecord.objects.bulk_create([claimed], ignore_conflicts=True)
        known = IdempotencyRecord.objects.select_for_update().get(scope=scope, key=key)
        if bytes(known.request_hash) != wanted_hash:
            raise IdempotencyMismatch("This key was used before with other input.", scope=scope, key=key)
        if not known.executed:
            known.result = json.loads(_canonical(execute()))
            known.executed = True
            known.save(update_fields=["result", "executed"])
        return dict(known.result)


def run_once_apart(
    *, scope: str, key: str, request: dict[str, Any], execute: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Like `run_once`, for use cases that commit on their own and cannot run inside another transaction.

    While one caller executes, another with the same key gets Conflict (`request_in_progress`) and changes nothing. The
    record is written after *execute* has committed: a process that dies in between leaves the effect without its
    record, so *execute* must itself take effect once for this key, as money use cases do with the key they are given.
    """
    _check_key(key)
    wanted_hash = request_hash(request)
    lock = advisory_key("core.idempotency", scope, key)
    if not try_session_lock(lock):
        raise Conflict("The same request is being worked on.", code="request_in_progress", retry_after=1)
    try:
        known = IdempotencyRecord.objects.filter(scope=scope, key=key).first()
        if known is not None:
            if bytes(known.request_hash) != wanted_hash:
                raise IdempotencyMismatch("This key was used before with other input.", scope=scope, key=key)
            return dict(known.result)
        result: dict[str, Any] = json.loads(_canonical(execute()))
        IdempotencyRecord.objects.create(scope=scope, key=key, request_hash=wanted_hash, result=result, executed=True)
        return result
    finally:
        release_session_lock(lock)


def forget_old(*, scope_prefix: str, older_than: timedelta) -> int:
    """Removes records whose scope starts so and that are older, a bounded number at a time; returns how many."""
    old = IdempotencyRecord.objects.filter(
        scope__startswith=scope_prefix, created_at__lte=clock.now() - older_than
    ).order_by("created_at")
    removed, _ = IdempotencyRecord.objects.filter(pk__in=old.values("pk")[:MAX_FORGOTTEN_AT_ONCE]).delete()
    return removed


def _check_key(key: str) -> None:
    if not key or len(key) > MAX_KEY_LENGTH:
        raise InvalidInput(
            f"An idempotency key has 1 to {MAX_KEY_LENGTH} characters.", field="idempotency_key", value=key
        )


def request_hash(request: dict[str, Any]) -> bytes:
    """SHA-256 of the request's canonical JSON: the order of keys does not matter, every value does."""
    return hashlib.sha256(_canonical(request).encode()).digest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder, allow_nan=False)
