"""Shards of work that survive the death of the process that works on them.

A worker claims a ready row under a lease, keeps the lease alive from a thread with a connection of its own, and
finishes the row in the same transaction that writes the work's result, so that both happen or neither does. When the
worker dies, the lease runs out and the reaper makes the row ready within seconds.

Leases are measured by the database's clock: workers on several machines need not agree on the time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.db import Error as DatabaseFailure
from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.models import Job
from backoffice.core.services.backoff import delay_after
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, DomainError, Misconfigured, Retryable
from backoffice.kernel.registry import Registry

MAX_ATTEMPTS = 10
"""After so many attempts, whether they failed or their worker died, a job is failed and waits for a person."""
MAX_REAPED_AT_ONCE = 1000
MAX_ERROR_LENGTH = 4000
LEASE_SECONDS = 5
DEFAULT_QUEUE = "celery"
KEEP_DONE = timedelta(days=30)
MAX_FORGOTTEN_AT_ONCE = 10_000
RENEWALS_PER_LEASE = 3

JobRunner = Callable[[Job, str], dict[str, Any]]
_runners: Registry[JobRunner] = Registry("job runners")
_queues: dict[str, str] = {}
crash_points.declare("core.jobs.after_claim", "core.jobs.before_finish")


@dataclass(slots=True)
class Lease:
    """A held lease. `lost` is set once the row turns out to be somebody else's; the work may then stop early."""

    job_id: int
    owner: str
    attempt: int
    lost: threading.Event = field(default_factory=threading.Event)


def enqueue(*, kind: str, key: str, payload: dict[str, Any] | None = None, run_after: datetime | None = None) -> None:
    """Makes a job ready from *run_after* on (now, if not given). A job of that kind and key that exists is left alone."""
    job = Job(kind=kind, key=key, payload=payload or {}, run_after=run_after or clock.now())
    Job.objects.bulk_create([job], ignore_conflicts=True)


def claim(*, kind: str, owner: str, lease_seconds: int = LEASE_SECONDS) -> Job | None:
    """Leases the next due job of the kind to *owner*, or returns None. Two callers never get the same one.

    Call it outside of any transaction: a lease that nobody else can see protects nothing.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE core_job SET state = 'leased', attempts = attempts + 1, lease_owner = %s,
                   lease_until = clock_timestamp() + make_interval(secs => %s)
            WHERE id = (SELECT id FROM core_job WHERE kind = %s AND state = 'ready' AND run_after <= %s
                        ORDER BY run_after, id LIMIT 1 FOR UPDATE SKIP LOCKED)
            RETURNING id
            """,
            [owner, lease_seconds, kind, clock.now()],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    crash_points.reach("core.jobs.after_claim")
    return Job.objects.get(pk=row[0])


def finish(*, job: Job, owner: str, result: dict[str, Any] | None = None) -> None:
    """Marks the job as done, inside the transaction that writes its result. Raises Conflict if the lease was lost.

    The row stays locked until that transaction ends, so the reaper cannot hand the job out in between.
    """
    if not connection.in_atomic_block:
        raise Misconfigured("A job is finished inside the transaction of its work.", job=str(job))
    crash_points.reach("core.jobs.before_finish")
    done = {"state": Job.State.DONE, "lease_owner": "", "lease_until": None, "finished_at": clock.now()}
    updated = _held(job, owner).update(**done, result=result or {}, last_error="")
    if updated != 1:
        raise Conflict(f"The lease of job {job} was lost to another worker.", code="lease_lost", job_id=job.pk)
    job.state = Job.State.DONE
    job.result = result or {}


def fail(*, job: Job, owner: str, error: str, retry: bool) -> bool:
    """Gives the job back after a failure: ready again after a pause while attempts are left and *retry*, else failed.

    Returns False, changing nothing, when the lease was already lost.
    """
    again = retry and job.attempts < MAX_ATTEMPTS
    now = clock.now()
    changes: dict[str, Any] = (
        {"state": Job.State.READY, "run_after": now + delay_after(job.attempts)}
        if again
        else {"state": Job.State.FAILED, "finished_at": now}
    )
    released = {"lease_owner": "", "lease_until": None, "last_error": error[:MAX_ERROR_LENGTH]}
    updated: int = _held(job, owner).update(**changes, **released)
    return updated == 1


def _held(job: Job, owner: str) -> Any:
    """The row, if this very attempt of this owner still holds it (the attempt fences off an owner's older self)."""
    return Job.objects.filter(pk=job.pk, state=Job.State.LEASED, lease_owner=owner, attempts=job.attempts)


def reap_expired() -> int:
    """Frees the jobs whose lease ran out, and returns how many. Those out of attempts are failed.

    A row that its worker is just finishing is locked, and skipped.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE core_job SET
                state = CASE WHEN attempts >= %s THEN 'failed' ELSE 'ready' END,
                finished_at = CASE WHEN attempts >= %s THEN %s::timestamptz END,
                last_error = 'The worker ' || lease_owner || ' stopped without finishing.',
                lease_owner = '', lease_until = NULL
            WHERE id IN (SELECT id FROM core_job WHERE state = 'leased' AND lease_until < clock_timestamp()
                         ORDER BY lease_until LIMIT %s FOR UPDATE SKIP LOCKED)
            """,
            [MAX_ATTEMPTS, MAX_ATTEMPTS, clock.now(), MAX_REAPED_AT_ONCE],
        )
        return int(cursor.rowcount)


def forget_done() -> int:
    """Removes jobs that were done thirty days ago or earlier, a bounded number at a time; returns how many.

    A kind whose key stands for work that must never be done twice keeps that in its own tables. Failed jobs stay until
    somebody has looked at them.
    """
    old = Job.objects.filter(state=Job.State.DONE, finished_at__lte=clock.now() - KEEP_DONE).order_by("id")
    removed, _ = Job.objects.filter(pk__in=old.values("pk")[:MAX_FORGOTTEN_AT_ONCE]).delete()
    return removed


def failed_count() -> int:
    """How many jobs were given up and wait for a person."""
    return Job.objects.filter(state=Job.State.FAILED).count()


def oldest_waiting() -> timedelta:
    """How long the oldest due job has been waiting for a worker; zero when none waits."""
    now = clock.now()
    oldest = Job.objects.filter(state=Job.State.READY, run_after__lte=now).order_by("run_after").first()
    return max(now - oldest.run_after, timedelta(0)) if oldest else timedelta(0)


@contextmanager
def lease_heartbeat(job: Job, owner: str, lease_seconds: int = LEASE_SECONDS) -> Iterator[Lease]:
    """Renews the lease while the block runs, from a thread with its own connection, opened at the first renewal."""
    lease = Lease(job_id=job.pk, owner=owner, attempt=job.attempts)
    stop = threading.Event()
    thread = threading.Thread(
        target=_renew_until, args=(lease, stop, lease_seconds), name=f"lease of job {job.pk}", daemon=True
    )
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join()


def _renew_until(lease: Lease, stop: threading.Event, lease_seconds: int) -> None:
    """Runs in the heartbeat's thread; `connection` is that thread's own."""
    try:
        while not stop.wait(lease_seconds / RENEWALS_PER_LEASE):
            try:
                state = _renew(lease, lease_seconds)
            except DatabaseFailure:
                # The next round opens a new connection; if that comes too late, the lease is lost, which is safe.
                structlog.get_logger(__name__).warning("lease_renewal_failed", job_id=lease.job_id)
                connection.close()
                continue
            if not state:
                lease.lost.set()
                return
    finally:
        connection.close()


def _renew(lease: Lease, lease_seconds: int) -> bool:
    """Moves the lease's end. A row locked by its worker's `finish` is passed over: the work is about to commit."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE core_job SET lease_until = clock_timestamp() + make_interval(secs => %s)
            WHERE id = (SELECT id FROM core_job WHERE id = %s AND state = 'leased' AND lease_owner = %s
                        AND attempts = %s FOR UPDATE SKIP LOCKED)
            """,
            [lease_seconds, lease.job_id, lease.owner, lease.attempt],
        )
        if cursor.rowcount == 1:
            return True
        cursor.execute(
            "SELECT 1 FROM core_job WHERE id = %s AND state = 'leased' AND lease_owner = %s AND attempts = %s",
            [lease.job_id, lease.owner, lease.attempt],
        )
        return cursor.fetchone() is not None


def register_runner(kind: str, run: JobRunner, *, queue: str = DEFAULT_QUEUE) -> None:
    """Names the function that works on jobs of a kind: `run(job, owner)` returns the job's result.

    *queue* names the workers that take the kind up: `pdf` for what renders documents.

    It calls `finish(job=job, owner=owner, result=...)` as the last statement of its own transaction. A runner that
    has no such single transaction may leave that out; the job is then finished after it returned.
    """
    _runners.register(kind, run)
    _queues[kind] = queue


def queue_of(kind: str) -> str:
    """The Celery queue whose workers run jobs of the kind."""
    return _queues.get(kind, DEFAULT_QUEUE)


def runner_kinds() -> list[str]:
    """The kinds that have a runner."""
    return [kind for kind, _ in _runners.items()]


def ready_kinds() -> list[str]:
    """The kinds that have a runner and a job that is due."""
    kinds = Job.objects.filter(state=Job.State.READY, run_after__lte=clock.now(), kind__in=runner_kinds())
    return sorted(kinds.order_by().values_list("kind", flat=True).distinct())


def run_ready(*, kind: str, owner: str, limit: int = 1000, lease_seconds: int = LEASE_SECONDS) -> int:
    """Works off up to *limit* due jobs of the kind, one after the other; returns how many were done.

    A refusal by a rule fails its job for good; a lock, a time-out or an unknown error is tried again later, a
    bounded number of times.
    """
    run = _runners.get(kind)
    done = 0
    for _ in range(limit):
        job = claim(kind=kind, owner=owner, lease_seconds=lease_seconds)
        if job is None:
            break
        done += _run_one(job, run, owner, lease_seconds)
    return done


def _run_one(job: Job, run: JobRunner, owner: str, lease_seconds: int) -> bool:
    log = structlog.get_logger(__name__).bind(job_id=job.pk, kind=job.kind, key=job.key, attempt=job.attempts)
    try:
        with lease_heartbeat(job, owner, lease_seconds):
            result = run(job, owner)
            if job.state != Job.State.DONE:
                with transaction.atomic():
                    finish(job=job, owner=owner, result=result)
    except DomainError as error:
        retry = isinstance(error, Retryable) or error.code == "lease_lost"
        log.warning("job_refused", code=error.code, error=error.message, retry=retry)
        fail(job=job, owner=owner, error=f"{error.code}: {error.message}", retry=retry)
        return False
    except Exception as error:
        log.exception("job_failed")
        _give_back(job, owner, error)
        return False
    return True


def _give_back(job: Job, owner: str, error: Exception) -> None:
    """Notes a failure; on a new connection, if the old one was lost with the work.

    Where the database is away altogether, the lease runs out and the reaper gives the job back. Where the commit had
    happened before the connection was lost, the job is done, and this changes nothing.
    """
    try:
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()
        fail(job=job, owner=owner, error=f"{type(error).__name__}: {error}", retry=True)
    except DatabaseFailure:
        connection.close()
        structlog.get_logger(__name__).warning("job_not_given_back", job_id=job.pk)
