"""What a worker does with the desk's job rows: one use case each, finished in that use case's own transaction."""

from __future__ import annotations

from datetime import date
from typing import Any

from backoffice.core.models import Job
from backoffice.core.services import jobs
from backoffice.core.types import Actor
from ib.services import ordered, settlement
from ib.services.shards import RESETTLE_DAY, SETTLE_BATCH, SETTLE_DAY


def run_day_job(job: Job, owner: str) -> dict[str, Any]:
    """Settles the day of a job and finishes the job in the same transaction."""
    result = settlement.settle_day(
        day=date.fromisoformat(job.payload["day"]),
        scope_key=job.key,
        cause=job.payload["cause"],
        actor=Actor(label=job.payload["requested_by"]),
        finish=lambda outcome: jobs.finish(job=job, owner=owner, result=outcome),
    )
    return result.as_dict()


def run_batch_job(job: Job, owner: str) -> dict[str, Any]:
    """Settles the ingest batch of a job and finishes the job in the same transaction."""
    result = settlement.settle_ingest_batch(
        ingest_batch_id=job.payload["ingest_batch_id"],
        actor=Actor.system("ib.settlement"),
        finish=lambda outcome: jobs.finish(job=job, owner=owner, result=outcome),
    )
    return result.as_dict()


def register() -> None:
    """Names the runners of the desk's kinds of jobs."""
    jobs.register_runner(SETTLE_BATCH, run_batch_job)
    jobs.register_runner(SETTLE_DAY, run_day_job)
    jobs.register_runner(RESETTLE_DAY, run_day_job)
    jobs.register_runner(ordered.SETTLE_ORDERED, ordered.run_due_job)
