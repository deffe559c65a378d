"""Figures for Prometheus at /metrics: what an operator must be woken for, read from the database at the moment of asking.

Desks add their own with `register_gauge`. Nothing here names people, clients or money. Nobody may read the page unless a
token or addresses are set; who may not is told that there is no such page.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.db import connection
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from backoffice.core.addresses import client_address
from backoffice.core.models import Job, JobRun, OutboxEvent, ProcessHeartbeat
from backoffice.core.services import book_checks, jobs, outbox
from backoffice.core.services.audit import unsealed_count
from backoffice.kernel import clock
from backoffice.kernel.registry import Registry

PREFIX = "backoffice_"
MULTIPROCESS_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
MAXIMUM_LABELS = 200
STATEMENT_TIMEOUT_MS = 5_000

Reading = float | dict[str, float]


@dataclass(frozen=True, slots=True)
class Gauge:
    """A figure and what it means. `read` gives a number, or a number by the value of *label*."""

    text: str
    read: Callable[[], Reading]
    label: str = ""


_gauges: Registry[Gauge] = Registry("metrics")


def register_gauge(name: str, text: str, read: Callable[[], Reading], *, label: str = "") -> None:
    """Adds `backoffice_<name>`; *text* says what it means and in which unit."""
    _gauges.register(name, Gauge(text=text, read=read, label=label))


def gauge_names() -> list[str]:
    """Every figure's name as Prometheus knows it."""
    return [PREFIX + name for name, _ in _gauges.items()]


class OperatorFigures(Collector):
    """Reads every registered figure once, each bounded in time; one that fails is left out and the others are told."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The figures, and which could not be read."""
        failed = 0
        for name, gauge in _gauges.items():
            try:
                reading = gauge.read()
            except DatabaseFailure:
                structlog.get_logger(__name__).warning("metric_not_read", metric=name)
                failed += 1
                continue
            family = GaugeMetricFamily(PREFIX + name, gauge.text, labels=[gauge.label] if gauge.label else [])
            readings = reading if isinstance(reading, dict) else {"": reading}
            for value in sorted(readings)[:MAXIMUM_LABELS]:
                family.add_metric([value] if gauge.label else [], readings[value])
            yield family
        yield GaugeMetricFamily(PREFIX + "metrics_unreadable", "Figures that could not be read just now.", value=failed)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Everything, for who may read it."""
    if not may_read(request):
        raise Http404
    return HttpResponse(_processes() + _operators(), content_type=CONTENT_TYPE_LATEST)


def may_read(request: HttpRequest) -> bool:
    """Whether the caller shows the token, or calls from one of the addresses. Neither is set: nobody."""
    if settings.METRICS_TOKEN:
        shown = request.headers.get("Authorization", "")
        if hmac.compare_digest(shown.encode(), f"Bearer {settings.METRICS_TOKEN}".encode()):
            return True
    return bool(settings.METRICS_ADDRESSES) and str(client_address(request)) in settings.METRICS_ADDRESSES


def _processes() -> bytes:
    """Requests and their durations: of all web processes where they share a folder, else of the one that answers."""
    if os.environ.get(MULTIPROCESS_VARIABLE):
        together = CollectorRegistry()
        MultiProcessCollector(together)
        return generate_latest(together)
    return generate_latest(REGISTRY)


def _operators() -> bytes:
    own = CollectorRegistry()
    own.register(OperatorFigures())
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', %s, false)", [str(STATEMENT_TIMEOUT_MS)])
        return generate_latest(own)
    except DatabaseFailure:
        return f"{PREFIX}metrics_unreadable {len(_gauges.items())}\n".encode()
    finally:
        # The connection goes back to pages that may take longer.
        _without_timeout()


def _without_timeout() -> None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('statement_timeout', '0', false)")
    except DatabaseFailure:
        connection.close()


def _seconds(age: timedelta | None) -> float:
    return -1.0 if age is None else age.total_seconds()


def _heartbeat_ages() -> dict[str, float]:
    now = clock.now()
    rows = ProcessHeartbeat.objects.values_list("name", "beat_at")[:MAXIMUM_LABELS]
    return {name: (now - beat_at).total_seconds() for name, beat_at in rows}


def _jobs_by_state() -> dict[str, float]:
    counts = dict.fromkeys((Job.State.READY.value, Job.State.LEASED.value, Job.State.FAILED.value), 0.0)
    for state in counts:
        counts[state] = float(Job.objects.filter(state=state).count())
    return counts


def _failing_runs() -> float:
    return float(JobRun.objects.filter(finished_at__isnull=True, attempts__gt=0).exclude(error="").count())


def _open_streams() -> float:
    row = ProcessHeartbeat.objects.filter(name="streams").first()
    return float(row.detail.get("streams", 0)) if row is not None else 0.0


def register_own() -> None:
    """The figures of the ground."""
    register_gauge(
        "outbox_lag_seconds", "How long the oldest due event has been waiting.", lambda: _seconds(outbox.lag())
    )
    register_gauge(
        "outbox_waiting",
        "Events that are not delivered yet.",
        lambda: float(OutboxEvent.objects.filter(delivered_at__isnull=True, dead_at__isnull=True).count()),
    )
    register_gauge("outbox_dead", "Events that were given up.", lambda: float(outbox.dead_count()))
    register_gauge("jobs", "Jobs by state; done ones are not counted.", _jobs_by_state, label="state")
    register_gauge(
        "jobs_oldest_waiting_seconds",
        "How long the oldest due job has been waiting for a worker.",
        lambda: _seconds(jobs.oldest_waiting()),
    )
    register_gauge("runs_failing", "Scheduled runs whose last attempt failed.", _failing_runs)
    register_gauge(
        "heartbeat_age_seconds",
        "How long ago each long-running process said that it lives.",
        _heartbeat_ages,
        label="process",
    )
    register_gauge("streams_open", "Live streams that browsers hold open.", _open_streams)
    register_gauge("audit_unsealed", "Audit records that wait for the sealer.", lambda: float(unsealed_count()))
    register_gauge(
        "books_check_age_seconds",
        "How long ago the books were proved; -1 when never.",
        lambda: _seconds(book_checks.age_of_last()),
    )
    register_gauge(
        "books_check_failing", "Checks of the books that did not hold at the last proof.", book_checks.failing_at_last
    )
