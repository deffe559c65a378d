"""Scheduled runs: the clock ticks in beat, but the database decides whether a run is due."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from backoffice.core.locks import advisory_key, release_session_lock, try_session_lock
from backoffice.core.models import JobRun
from backoffice.core.services.backoff import delay_after
from backoffice.kernel import clock

MAX_ATTEMPTS = 8
MAX_ERROR_LENGTH = 4000
KEEP_RUNS = timedelta(days=400)
MAX_FORGOTTEN_AT_ONCE = 10_000


def run_slot(*, job: str, slot: str, execute: Callable[[], dict[str, Any] | None]) -> bool:
    """Runs *execute* for this slot (a day, an hour, …) unless that was done; returns whether it ran now.

    Two schedulers start it once: the run holds a lock that its process loses when it dies, and the next tick takes
    the slot up again. An error is noted with the slot and raised; later ticks try again after growing pauses, a
    bounded number of times. *execute* may use any number of transactions, and says in its result what came of it.
    """
    JobRun.objects.bulk_create([JobRun(job=job, slot=slot)], ignore_conflicts=True)
    key = advisory_key("core.job_run", job, slot)
    if not try_session_lock(key):
        return False
    try:
        run = JobRun.objects.get(job=job, slot=slot)
        now = clock.now()
        if run.finished_at is not None or run.attempts >= MAX_ATTEMPTS or run.run_after > now:
            return False
        _start(run)
        try:
            outcome = execute() or {}
        except BaseException as error:
            _note_failure(run, error)
            raise
        JobRun.objects.filter(pk=run.pk).update(finished_at=clock.now(), outcome=outcome, error="")
        return True
    finally:
        release_session_lock(key)


def _start(run: JobRun) -> None:
    """Counts the attempt before it begins, so that a run which kills its process is bounded too."""
    run.attempts += 1
    run.started_at = clock.now()
    run.run_after = run.started_at + delay_after(run.attempts)
    run.save(update_fields=["attempts", "started_at", "run_after"])


def _note_failure(run: JobRun, error: BaseException) -> None:
    message = f"{type(error).__name__}: {error}"[:MAX_ERROR_LENGTH]
    JobRun.objects.filter(pk=run.pk).update(error=message, run_after=clock.now() + delay_after(run.attempts))


def forget_old() -> int:
    """Removes runs that finished more than 400 days ago, a bounded number at a time; returns how many.

    A slot names its time, so nobody asks for one of that age again.
    """
    old = JobRun.objects.filter(finished_at__lte=clock.now() - KEEP_RUNS).order_by("id")
    removed, _ = JobRun.objects.filter(pk__in=old.values("pk")[:MAX_FORGOTTEN_AT_ONCE]).delete()
    return removed
