"""Whether the process lives (`/healthz`) and whether the whole installation can work (`/readyz`).

Both are open to load balancers, so they tell ages and counts, and nothing about people, money, names or addresses.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from celery import current_app
from django.db import Error as DatabaseFailure
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError as BrokerFailure

from backoffice.core.services import heartbeats, outbox
from backoffice.kernel.errors import Misconfigured

MAX_BEAT_AGE = timedelta(seconds=30)
# A worker's heartbeat queues behind its tasks; tasks are short, but a minute of work is no reason to alarm.
MAX_WORKER_AGE = timedelta(seconds=90)
MAX_OUTBOX_LAG = timedelta(minutes=2)
BROKER_TIMEOUT_SECONDS = 2

Check = Callable[[], dict[str, Any]]


@require_safe
@never_cache
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers."""
    return JsonResponse({"alive": True})


@require_safe
@never_cache
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when everything that the work needs is there, else 503; which part is missing stands in the answer."""
    checks = {name: _guarded(check) for name, check in _CHECKS.items()}
    ready = all(check["ok"] for check in checks.values())
    return JsonResponse({"ready": ready, "checks": checks}, status=200 if ready else 503)


def register_readiness(name: str, check: Check) -> None:
    """Adds a part to the readiness page; it says `ok` and counts, and nothing about people, money, names or addresses."""
    if _CHECKS.setdefault(name, check) is not check:
        raise Misconfigured(f"The readiness page has a part {name!r} already.", name=name)


def _guarded(check: Check) -> dict[str, Any]:
    try:
        return check()
    except (DatabaseFailure, BrokerFailure, OSError):
        return {"ok": False, "problem": "unreachable"}


def _database() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {"ok": True}


def _broker() -> dict[str, Any]:
    with current_app.connection_for_write(connect_timeout=BROKER_TIMEOUT_SECONDS) as broker:
        broker.ensure_connection(max_retries=1, interval_start=0, timeout=BROKER_TIMEOUT_SECONDS)
    return {"ok": True}


def _heartbeat(name: str, max_age: timedelta) -> Check:
    def check() -> dict[str, Any]:
        age = heartbeats.age_of(name)
        if age is None:
            return {"ok": False, "problem": "never seen"}
        return {"ok": age <= max_age, "age_seconds": round(age.total_seconds(), 1)}

    return check


def _outbox() -> dict[str, Any]:
    lag = outbox.lag()
    return {"ok": lag <= MAX_OUTBOX_LAG, "lag_seconds": round(lag.total_seconds(), 1), "dead": outbox.dead_count()}


_CHECKS: dict[str, Check] = {
    "database": _database,
    "broker": _broker,
    "beat": _heartbeat("beat", MAX_BEAT_AGE),
    "worker": _heartbeat("worker", MAX_WORKER_AGE),
    "outbox": _outbox,
}
