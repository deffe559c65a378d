"""The locks of the ground, written once."""

from __future__ import annotations

import hashlib

from django.db import connection


def advisory_key(*names: str) -> int:
    """A signed 64-bit lock number that follows from the names alone, the same in every process."""
    digest = hashlib.sha256("\x1f".join(names).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


_AUDIT_CHAIN_KEY = advisory_key("core", "audit chain")


def lock_audit_chain() -> None:
    """Waits until no other sealer adds to the chain; held until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_AUDIT_CHAIN_KEY])


_ADMINISTRATORS_KEY = advisory_key("core", "administrators")


def lock_administrators() -> None:
    """Waits until nobody else changes who administers logins; held until the transaction ends."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_ADMINISTRATORS_KEY])


def try_session_lock(key: int) -> bool:
    """Takes the lock for this connection unless another one has it. A dead process loses it with its connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        return bool(cursor.fetchone()[0])


def release_session_lock(key: int) -> None:
    """Gives a lock of `try_session_lock` back."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
