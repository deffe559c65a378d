"""Jobs: leased to one worker, finished with their work, freed when the worker is gone, failed after bounded attempts."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import transaction
from django.utils import timezone

from backoffice.core.models import IdempotencyRecord, Job
from backoffice.core.services import jobs
from backoffice.core.services.backoff import delay_after
from backoffice.core.services.jobs import claim, enqueue, fail, finish, reap_expired, run_ready
from backoffice.kernel.errors import Conflict, InvalidInput, Misconfigured, Retryable
from backoffice.kernel.registry import Registry

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """Noon, until a test moves on; leases run by the database's own clock."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> Registry[jobs.JobRunner]:
    """Runners of this test only."""
    registry: Registry[jobs.JobRunner] = Registry("test runners")
    monkeypatch.setattr(jobs, "_runners", registry)
    return registry


def claimed(kind: str = "k", owner: str = "me") -> Job:
    """The next job, leased."""
    job = claim(kind=kind, owner=owner)
    assert job is not None
    return job


def let_lease_run_out(job: Job) -> None:
    """As if the worker had been silent for a minute."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(days=3650))


def test_enqueuing_the_same_key_again_changes_nothing() -> None:
    enqueue(kind="k", key="1", payload={"n": 1})
    enqueue(kind="k", key="1", payload={"n": 2})

    job = Job.objects.get()
    assert (job.payload, job.state, job.run_after) == ({"n": 1}, Job.State.READY, NOON)


def test_jobs_are_claimed_in_their_order_and_only_when_due() -> None:
    enqueue(kind="k", key="later", run_after=NOON + timedelta(seconds=1))
    enqueue(kind="k", key="b")
    enqueue(kind="k", key="a", run_after=NOON - timedelta(seconds=1))
    enqueue(kind="other", key="c")

    assert [claimed().key, claimed().key, claim(kind="k", owner="me")] == ["a", "b", None]


def test_a_claimed_job_is_nobody_elses() -> None:
    enqueue(kind="k", key="1")
    job = claimed(owner="first")

    assert claim(kind="k", owner="second") is None
    assert (job.state, job.lease_owner, job.attempts) == (Job.State.LEASED, "first", 1)


def test_finishing_stores_the_result() -> None:
    enqueue(kind="k", key="1")
    job = claimed()

    finish(job=job, owner="me", result={"lines": 3})

    done = Job.objects.get()
    assert (done.state, done.result, done.finished_at, done.lease_until) == (Job.State.DONE, {"lines": 3}, NOON, None)


@pytest.mark.django_db(transaction=True)
def test_finishing_outside_of_the_works_transaction_is_refused() -> None:
    enqueue(kind="k", key="1")
    job = claimed()

    with pytest.raises(Misconfigured):
        finish(job=job, owner="me")

    assert Job.objects.get().state == Job.State.LEASED


@pytest.mark.django_db(transaction=True)
def test_a_lost_lease_takes_the_work_back_with_it() -> None:
    enqueue(kind="k", key="1")
    job = claimed(owner="slow")
    let_lease_run_out(job)
    reap_expired()
    claimed(owner="quick")

    with pytest.raises(Conflict) as refused, transaction.atomic():
        IdempotencyRecord.objects.create(scope="work", key="done", request_hash=b"")
        finish(job=job, owner="slow")

    assert refused.value.code == "lease_lost"
    assert not IdempotencyRecord.objects.exists()
    assert Job.objects.get().lease_owner == "quick"


def test_an_owner_cannot_finish_for_its_older_self() -> None:
    enqueue(kind="k", key="1")
    old = claimed(owner="me")
    let_lease_run_out(old)
    reap_expired()
    claimed(owner="me")

    with pytest.raises(Conflict):
        finish(job=old, owner="me")


def test_the_reaper_frees_only_what_ran_out() -> None:
    enqueue(kind="k", key="dead")
    enqueue(kind="k", key="alive")
    dead, alive = claimed(owner="dead worker"), claimed()
    let_lease_run_out(dead)

    assert reap_expired() == 1
    assert reap_expired() == 0

    freed = Job.objects.get(pk=dead.pk)
    assert (freed.state, freed.lease_owner, freed.lease_until) == (Job.State.READY, "", None)
    assert freed.last_error == "The worker dead worker stopped without finishing."
    assert Job.objects.get(pk=alive.pk).state == Job.State.LEASED


def test_a_job_that_keeps_killing_its_worker_is_failed() -> None:
    enqueue(kind="k", key="1")
    for _ in range(jobs.MAX_ATTEMPTS):
        let_lease_run_out(claimed())
        reap_expired()

    assert claim(kind="k", owner="me") is None
    job = Job.objects.get()
    assert (job.state, job.attempts, job.finished_at) == (Job.State.FAILED, jobs.MAX_ATTEMPTS, NOON)


def test_a_failed_attempt_is_repeated_after_growing_pauses_and_then_given_up(clock: time_machine.Traveller) -> None:
    enqueue(kind="k", key="1")
    for attempt in range(1, jobs.MAX_ATTEMPTS):
        assert fail(job=claimed(), owner="me", error="no", retry=True)
        job = Job.objects.get()
        assert job.state == Job.State.READY
        assert job.run_after - datetime.now(UTC) == delay_after(attempt)
        clock.shift(delay_after(attempt))
    fail(job=claimed(), owner="me", error="no, finally", retry=True)

    job = Job.objects.get()
    assert (job.state, job.last_error) == (Job.State.FAILED, "no, finally")


def test_failing_for_good_does_not_retry() -> None:
    enqueue(kind="k", key="1")
    fail(job=claimed(), owner="me", error="wrong input", retry=False)

    assert Job.objects.get().state == Job.State.FAILED


def test_failing_a_job_that_was_lost_changes_nothing() -> None:
    enqueue(kind="k", key="1")
    job = claimed(owner="slow")
    let_lease_run_out(job)
    reap_expired()
    claimed(owner="quick")

    assert not fail(job=job, owner="slow", error="x", retry=False)
    assert Job.objects.get().state == Job.State.LEASED


def test_running_works_off_what_is_due(runners: Registry[jobs.JobRunner]) -> None:
    seen: list[str] = []

    def run(job: Job, owner: str) -> dict[str, Any]:
        seen.append(job.key)
        with transaction.atomic():
            finish(job=job, owner=owner, result={"key": job.key})
        return {}

    jobs.register_runner("k", run)
    for key in ("1", "2", "3"):
        enqueue(kind="k", key=key)
    enqueue(kind="unknown", key="4")

    assert jobs.ready_kinds() == ["k"]
    assert run_ready(kind="k", owner="me", limit=2) == 2
    assert run_ready(kind="k", owner="me") == 1
    assert seen == ["1", "2", "3"]
    assert [job.result["key"] for job in Job.objects.filter(state="done").order_by("id")] == ["1", "2", "3"]
    assert jobs.ready_kinds() == []


def test_a_runner_without_one_transaction_is_finished_afterwards(runners: Registry[jobs.JobRunner]) -> None:
    jobs.register_runner("k", lambda job, owner: {"n": 5})
    enqueue(kind="k", key="1")

    assert run_ready(kind="k", owner="me") == 1
    assert Job.objects.get().result == {"n": 5}


@pytest.mark.parametrize(
    ("error", "state", "text"),
    [
        (InvalidInput("Bad row."), Job.State.FAILED, "invalid_input: Bad row."),
        (Retryable("The lock is held."), Job.State.READY, "retryable: The lock is held."),
        (ZeroDivisionError("a bug"), Job.State.READY, "ZeroDivisionError: a bug"),
    ],
)
def test_a_failure_is_kept_with_the_job_and_stops_no_other(
    runners: Registry[jobs.JobRunner], error: Exception, state: str, text: str
) -> None:
    def run(job: Job, owner: str) -> dict[str, Any]:
        if job.key == "bad":
            raise error
        return {}

    jobs.register_runner("k", run)
    enqueue(kind="k", key="bad")
    enqueue(kind="k", key="good")

    assert run_ready(kind="k", owner="me") == 1

    bad = Job.objects.get(key="bad")
    assert (bad.state, bad.last_error) == (state, text)
    assert Job.objects.get(key="good").state == Job.State.DONE


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_keeps_a_lease_from_another_connection() -> None:
    enqueue(kind="k", key="1")
    job = claimed()
    let_lease_run_out(job)

    lease = jobs.Lease(job_id=job.pk, owner="me", attempt=job.attempts)
    assert jobs._renew(lease, 5)

    assert reap_expired() == 0
    assert Job.objects.get().lease_until > job.lease_until - timedelta(seconds=5)


@pytest.mark.django_db(transaction=True)
def test_the_heartbeat_tells_when_the_lease_is_gone() -> None:
    enqueue(kind="k", key="1")
    job = claimed()
    let_lease_run_out(job)
    reap_expired()

    with jobs.lease_heartbeat(job, "me", lease_seconds=0) as lease:
        assert lease.lost.wait(timeout=10)


def test_the_pauses_double_and_end_at_ten_minutes() -> None:
    assert [delay_after(number).total_seconds() for number in (0, 1, 2, 3, 4, 10, 11, 500)] == [
        0,
        1,
        2,
        4,
        8,
        512,
        600,
        600,
    ]
