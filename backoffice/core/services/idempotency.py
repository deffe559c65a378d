"""A request that carries a key takes effect once, however often it is sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from backoffice.core.models import IdempotencyRecord
from backoffice.kernel.errors import IdempotencyMismatch, InvalidInput

MAX_KEY_LENGTH = 200


def run_once(*, scope: str, key: str, request: dict[str, Any], execute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result of *execute* for this (scope, key): executed the first time, looked up from then on.

    Key, result and all that *execute* writes belong to one transaction. A second caller with the same key waits for
    the first; if that one fails, the second executes. Raises IdempotencyMismatch when *request* differs from the one
    the key first came with. The result is what JSON makes of it, the first time as well.
    """
    if not key or len(key) > MAX_KEY_LENGTH:
        raise InvalidInput(
            f"An idempotency key has 1 to {MAX_KEY_LENGTH} characters.", field="idempotency_key", value=key
        )
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


def request_hash(request: dict[str, Any]) -> bytes:
    """SHA-256 of the request's canonical JSON: the order of keys does not matter, every value does."""
    return hashlib.sha256(_canonical(request).encode()).digest()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder, allow_nan=False)
