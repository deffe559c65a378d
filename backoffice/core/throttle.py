"""Counting calls in Valkey, atomically: one script counts and answers, so that no two processes both take the last call.

When Valkey cannot be asked, calls are let through uncounted: the limits protect the machine from eager callers, not the
data from thieves (keys are 256 random bits and are not found by trying), and a back office that stops answering because
a counter is away would harm more than it protects. It is logged, readiness shows it, and for a few seconds Valkey is not
asked again, so that its absence does not slow every call.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from functools import cache

import redis
import structlog
from django.conf import settings
from redis.backoff import NoBackoff
from redis.retry import Retry

ANSWER_WITHIN_SECONDS = 0.25
REST_SECONDS = 5.0
# One window per name: its count starts with the first call and ends with the window. The expiry is set in the same
# script as the count, so a counter without an end cannot come to be.
_COUNT = """
local count = redis.call('INCR', KEYS[1])
local left = redis.call('PTTL', KEYS[1])
if left < 0 then
  redis.call('PEXPIRE', KEYS[1], ARGV[1])
  left = tonumber(ARGV[1])
end
return {count, left}
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a limit."""

    limit: int
    remaining: int
    reset_seconds: int
    is_exceeded: bool


class _Rest:
    """Until when Valkey is left alone after it failed."""

    def __init__(self) -> None:
        self.until = 0.0
        self.lock = threading.Lock()


_rest = _Rest()


@cache
def _valkey(url: str) -> redis.Redis:
    return redis.Redis.from_url(
        url,
        socket_timeout=ANSWER_WITHIN_SECONDS,
        socket_connect_timeout=ANSWER_WITHIN_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def take(name: str, *, limit: int, window_seconds: int) -> Allowance | None:
    """Counts one call under *name* and tells what is left of *limit* in its window; None when nobody could count."""
    if time.monotonic() < _rest.until:
        return None
    try:
        count, left = _valkey(settings.CACHE_URL).eval(_COUNT, 1, f"backoffice:throttle:{name}", window_seconds * 1000)
    except (redis.RedisError, OSError) as error:
        with _rest.lock:
            _rest.until = time.monotonic() + REST_SECONDS
        structlog.get_logger(__name__).error("throttle_not_counted", error=type(error).__name__)
        return None
    return Allowance(
        limit=limit,
        remaining=max(0, limit - int(count)),
        reset_seconds=-(-int(left) // 1000),
        is_exceeded=int(count) > limit,
    )
