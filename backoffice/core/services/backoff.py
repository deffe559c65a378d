"""How long work that failed waits before it is tried again."""

from __future__ import annotations

from datetime import timedelta

FIRST_DELAY_SECONDS = 1
MAX_DELAY_SECONDS = 600


def delay_after(attempts: int) -> timedelta:
    """The pause after the given number of failed attempts: 1 s, doubled each time, at most ten minutes."""
    if attempts < 1:
        return timedelta(0)
    doublings = min(attempts - 1, 16)
    return timedelta(seconds=min(FIRST_DELAY_SECONDS * 2**doublings, MAX_DELAY_SECONDS))
