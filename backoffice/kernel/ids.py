"""Identifiers that are shown outside.

Owns UUID version 7 (RFC 9562): 48 bits of milliseconds, then 12 bits of the fraction of that millisecond,
then 62 random bits. Ids made later sort later within one process, also when many are made in one
microsecond.
"""

from __future__ import annotations

import os
import threading
from datetime import UTC, datetime, timedelta
from uuid import UUID

from backoffice.kernel import clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TICKS_PER_MILLISECOND = 1 << 12
_MAX_STEP_BACK = 10_000 * _TICKS_PER_MILLISECOND
"""A clock set back by less than ten seconds does not break the order; after that, the new time counts."""


class _Ticker:
    """Strictly rising ticks of 1/4096 millisecond since 1970, shared by the threads of a process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def next(self) -> int:
        microseconds = (clock.now() - _EPOCH) // _MICROSECOND
        ticks = microseconds * _TICKS_PER_MILLISECOND // 1000
        with self._lock:
            if self._last - _MAX_STEP_BACK < ticks <= self._last:
                ticks = self._last + 1
            self._last = ticks
            return ticks

    def forget_lock(self) -> None:
        """After a fork: the thread that may have held the lock does not exist in the child."""
        self._lock = threading.Lock()


_ticker = _Ticker()
os.register_at_fork(after_in_child=_ticker.forget_lock)


def uuid7() -> UUID:
    """A new identifier; sorts after every one this process made before."""
    ticks = _ticker.next()
    milliseconds, fraction = divmod(ticks, _TICKS_PER_MILLISECOND)
    random_bits = int.from_bytes(os.urandom(8)) >> 2
    return UUID(int=(milliseconds & ((1 << 48) - 1)) << 80 | 0x7 << 76 | fraction << 64 | 0b10 << 62 | random_bits)
