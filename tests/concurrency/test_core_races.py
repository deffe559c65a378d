"""Two callers at the same instant, each in real transactions: work is done once, keys take effect once."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backoffice.core.models import IdempotencyRecord, Job, JobRun, OutboxEvent
from backoffice.core.services import jobs, outbox
from backoffice.core.services.idempotency import run_once
from backoffice.core.services.job_runs import run_slot
from backoffice.kernel.errors import IdempotencyMismatch
from backoffice.kernel.registry import Registry
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runners of this test only."""
    monkeypatch.setattr(jobs, "_runners", Registry("test runners"))


@pytest.fixture
def subscribers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Subscriptions of this test only."""
    monkeypatch.setattr(outbox, "_subscribers", {})


def publish(*numbers: int, key: str = "") -> None:
    """Events with these numbers."""
    with transaction.atomic():
        for number in numbers:
            outbox.publish(topic="t.happened", payload={"n": number}, shard_key=key)


def test_two_workers_never_get_the_same_job() -> None:
    for number in range(12):
        jobs.enqueue(kind="k", key=str(number))

    def take(owner: str) -> list[int]:
        taken = []
        while (job := jobs.claim(kind="k", owner=owner)) is not None:
            taken.append(job.pk)
        return taken

    first, second, third = at_once(lambda: take("a"), lambda: take("b"), lambda: take("c"))

    assert sorted(first + second + third) == sorted(Job.objects.values_list("pk", flat=True))
    assert set(Job.objects.values_list("attempts", flat=True)) == {1}


def test_claiming_passes_over_locked_rows_instead_of_waiting() -> None:
    jobs.enqueue(kind="k", key="1")

    with CaptureQueriesContext(connection) as queries:
        jobs.claim(kind="k", owner="me")

    assert "FOR UPDATE SKIP LOCKED" in queries[0]["sql"]


def test_the_same_job_enqueued_by_two_exists_once() -> None:
    at_once(*[lambda: jobs.enqueue(kind="k", key="1") for _ in range(6)])

    assert Job.objects.count() == 1


def test_two_workers_do_every_job_once(runners: None) -> None:
    done: list[str] = []

    def run(job: Job, owner: str) -> dict[str, Any]:
        with transaction.atomic():
            IdempotencyRecord.objects.create(scope="work", key=job.key, request_hash=b"")
            jobs.finish(job=job, owner=owner)
        done.append(job.key)
        return {}

    jobs.register_runner("k", run)
    for number in range(20):
        jobs.enqueue(kind="k", key=str(number))

    counts = at_once(lambda: jobs.run_ready(kind="k", owner="a"), lambda: jobs.run_ready(kind="k", owner="b"))

    assert sum(counts) == 20
    assert sorted(done, key=int) == [str(number) for number in range(20)]
    assert IdempotencyRecord.objects.count() == 20


def test_the_reaper_leaves_a_job_that_is_just_being_finished() -> None:
    """The lease has run out, but the work is done and about to commit: nobody may start it again."""
    jobs.enqueue(kind="k", key="1")
    job = jobs.claim(kind="k", owner="me")
    assert job is not None
    Job.objects.update(lease_until=timezone.now() - timedelta(hours=1))
    finishing, reaped = threading.Barrier(2, timeout=30), threading.Barrier(2, timeout=30)

    def finish() -> None:
        with transaction.atomic():
            jobs.finish(job=job, owner="me")
            finishing.wait()
            reaped.wait()

    def reap() -> int:
        finishing.wait()
        count = jobs.reap_expired()
        reaped.wait()
        return count

    assert at_once(finish, reap)[1] == 0
    assert Job.objects.get().state == Job.State.DONE


def test_the_heartbeat_does_not_wait_for_a_job_that_is_being_finished() -> None:
    jobs.enqueue(kind="k", key="1")
    job = jobs.claim(kind="k", owner="me")
    assert job is not None
    finishing, renewed = threading.Barrier(2, timeout=30), threading.Barrier(2, timeout=30)

    def finish() -> None:
        with transaction.atomic():
            jobs.finish(job=job, owner="me")
            finishing.wait()
            renewed.wait()

    def renew() -> bool:
        finishing.wait()
        held = jobs._renew(jobs.Lease(job_id=job.pk, owner="me", attempt=1), 5)
        renewed.wait()
        return held

    assert at_once(finish, renew)[1] is True


def test_two_reapers_free_a_job_once() -> None:
    for number in range(8):
        jobs.enqueue(kind="k", key=str(number))
        jobs.claim(kind="k", owner="dead")
    Job.objects.update(lease_until=timezone.now() - timedelta(hours=1))

    assert sum(at_once(jobs.reap_expired, jobs.reap_expired, jobs.reap_expired)) == 8


def test_an_event_is_handled_once_by_two_deliverers(subscribers: None) -> None:
    seen: list[int] = []
    outbox.subscribe("t.happened", "a", lambda payload, event: seen.append(payload["n"]))
    publish(*range(15))

    at_once(outbox.deliver_due, outbox.deliver_due, outbox.deliver_due)
    outbox.deliver_due()

    assert sorted(seen) == list(range(15))
    assert OutboxEvent.objects.filter(delivered_at__isnull=True).count() == 0


def test_events_of_one_key_keep_their_order_between_two_deliverers(subscribers: None) -> None:
    seen: list[int] = []
    outbox.subscribe("t.happened", "a", lambda payload, event: seen.append(payload["n"]))
    publish(*range(15), key="account 1")

    while OutboxEvent.objects.filter(delivered_at__isnull=True).exists():
        at_once(outbox.deliver_due, outbox.deliver_due)

    assert seen == list(range(15))


def test_the_same_key_sent_twice_at_once_executes_once() -> None:
    runs: list[int] = []

    def send() -> dict[str, Any]:
        def execute() -> dict[str, Any]:
            runs.append(1)
            return {"id": len(runs)}

        return run_once(scope="s", key="k", request={"amount": "5"}, execute=execute)

    results = at_once(*[send for _ in range(8)])

    assert runs == [1]
    assert results == [{"id": 1}] * 8


def test_the_same_key_with_different_input_at_once_takes_one_of_them() -> None:
    def send(amount: str) -> Any:
        return run_once(scope="s", key="k", request={"amount": amount}, execute=lambda: {"amount": amount})

    results = at_once(lambda: send("1"), lambda: send("2"))

    refused = [result for result in results if isinstance(result, IdempotencyMismatch)]
    assert len(refused) == 1
    assert IdempotencyRecord.objects.get().result in results


def test_two_schedulers_start_a_slot_once() -> None:
    runs: list[int] = []
    started, may_end = threading.Event(), threading.Event()

    def execute() -> dict[str, Any]:
        runs.append(1)
        started.set()
        may_end.wait(30)
        return {}

    def first() -> bool:
        return run_slot(job="reports", slot="d", execute=execute)

    def second() -> bool:
        started.wait(30)
        try:
            return run_slot(job="reports", slot="d", execute=execute)
        finally:
            may_end.set()

    assert at_once(first, second) == [True, False]
    assert runs == [1]
    assert JobRun.objects.get().attempts == 1
