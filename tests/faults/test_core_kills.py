"""Workers killed with -9 at a named point: what they held is freed, and what they did happened once or not at all."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import pytest
from django.db import transaction

from backoffice.core.models import IdempotencyRecord, Job, OutboxEvent
from backoffice.core.services import jobs, outbox
from tests.faults.harness import run_child

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


def work(name: str) -> None:
    """What the jobs and the subscriber do: one row, so that doing it twice is refused."""
    IdempotencyRecord.objects.create(scope="work", key=name, request_hash=b"")


def run(job: Job, owner: str) -> dict[str, object]:
    with transaction.atomic():
        work(job.key)
        jobs.finish(job=job, owner=owner)
    return {}


def run_worker(action: Callable[[], object], crash_at: str = "") -> int:
    """Runs the action in a process of its own on the test's database; returns its exit status."""

    def worker() -> None:
        jobs.register_runner("k", run)
        outbox.subscribe("t.happened", "worker", lambda payload, event: work(payload["name"]))
        action()

    return run_child(worker, crash_at=crash_at)


def free_dead_workers_jobs() -> None:
    """Waits, a bounded time, until the reaper frees the killed worker's lease of one second."""
    for _ in range(120):
        if jobs.reap_expired():
            return
        time.sleep(0.1)
    pytest.fail("the lease did not run out")


@pytest.mark.parametrize("point", ["core.jobs.after_claim", "core.jobs.before_finish"])
def test_a_killed_workers_job_is_freed_in_seconds_and_done_once(point: str) -> None:
    jobs.enqueue(kind="k", key="shard 1")

    status = run_worker(lambda: jobs.run_ready(kind="k", owner="doomed", lease_seconds=1), crash_at=point)

    assert status == -signal.SIGKILL
    assert Job.objects.get().lease_owner == "doomed"
    assert not IdempotencyRecord.objects.exists()
    killed_at = time.monotonic()
    free_dead_workers_jobs()
    assert time.monotonic() - killed_at < 2 * jobs.LEASE_SECONDS
    assert run_worker(lambda: jobs.run_ready(kind="k", owner="next")) == 0
    job = Job.objects.get()
    assert (job.state, job.attempts) == (Job.State.DONE, 2)
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["shard 1"]


def test_a_crash_point_counts_its_passes() -> None:
    for number in range(3):
        jobs.enqueue(kind="k", key=str(number))

    status = run_worker(
        lambda: jobs.run_ready(kind="k", owner="doomed", lease_seconds=1), crash_at="core.jobs.before_finish:3"
    )

    assert status == -signal.SIGKILL
    assert Job.objects.filter(state=Job.State.DONE).count() == 2
    assert IdempotencyRecord.objects.count() == 2


@pytest.mark.parametrize("point", ["core.outbox.before_commit", "core.outbox.after_commit"])
def test_an_event_whose_deliverer_is_killed_is_handled_once(point: str) -> None:
    OutboxEvent.objects.create(topic="t.happened", payload={"name": "event 1"})

    assert run_worker(outbox.deliver_due, crash_at=point) == -signal.SIGKILL
    assert run_worker(outbox.deliver_due) == 0

    assert OutboxEvent.objects.get().delivered_at is not None
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["event 1"]
