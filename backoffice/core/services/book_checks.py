"""The books are proved by the clock, not only when somebody thinks of it; what came of it is kept with the run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import structlog

from backoffice.core.books import verify_books
from backoffice.core.models import JobRun
from backoffice.core.services.job_runs import run_slot
from backoffice.kernel import clock

JOB = "core.verify_books"
HOURS_BETWEEN = 4


def prove_when_due() -> bool:
    """Runs every check once in each four hours (UTC); whether it ran now. A failing check is an alarm, not an error."""
    now = clock.now()
    slot = f"{now:%Y-%m-%d}T{now.hour // HOURS_BETWEEN * HOURS_BETWEEN:02}"
    return run_slot(job=JOB, slot=slot, execute=_prove)


def _prove() -> dict[str, Any]:
    found = verify_books()
    failing = [check["name"] for check in found["checks"] if not check["ok"]]
    if failing:
        structlog.get_logger(__name__).error("books_do_not_prove", checks=failing)
    return {"checks": len(found["checks"]), "failing": failing}


def _last() -> JobRun | None:
    return JobRun.objects.filter(job=JOB, finished_at__isnull=False).order_by("-finished_at").first()


def age_of_last() -> timedelta | None:
    """How long ago the books were proved; None if never."""
    last = _last()
    return None if last is None or last.finished_at is None else clock.now() - last.finished_at


def failing_at_last() -> float:
    """How many checks did not hold at the last proof."""
    last = _last()
    return 0.0 if last is None else float(len(last.outcome.get("failing", [])))
