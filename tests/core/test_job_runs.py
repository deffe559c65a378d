"""Scheduled runs, heartbeats, and what beat sends."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from celery import current_app

from backoffice.core import schedule, tasks
from backoffice.core.beat import HeartbeatScheduler
from backoffice.core.models import Job, JobRun, OutboxEvent
from backoffice.core.services import heartbeats, job_runs, jobs
from backoffice.core.services.job_runs import run_slot
from backoffice.kernel.errors import Misconfigured
from backoffice.kernel.registry import Registry

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[time_machine.Traveller]:
    """Noon, until a test moves on."""
    with time_machine.travel(NOON, tick=False) as traveller:
        yield traveller


def test_a_slot_runs_once() -> None:
    runs: list[int] = []

    def execute() -> dict[str, Any]:
        runs.append(1)
        return {"rows": 3}

    assert run_slot(job="reports", slot="2026-03-02", execute=execute)
    assert not run_slot(job="reports", slot="2026-03-02", execute=execute)
    assert run_slot(job="reports", slot="2026-03-03", execute=execute)

    assert len(runs) == 2
    run = JobRun.objects.get(slot="2026-03-02")
    assert (run.outcome, run.finished_at, run.attempts, run.error) == ({"rows": 3}, NOON, 1, "")


def test_a_failed_slot_is_noted_and_taken_up_again_later(clock: time_machine.Traveller) -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("no prices")

    with pytest.raises(RuntimeError):
        run_slot(job="reports", slot="d", execute=fail)

    run = JobRun.objects.get()
    assert (run.error, run.finished_at) == ("RuntimeError: no prices", None)
    assert not run_slot(job="reports", slot="d", execute=dict)
    clock.shift(timedelta(seconds=1))
    assert run_slot(job="reports", slot="d", execute=dict)
    assert JobRun.objects.get().error == ""


def test_a_slot_that_always_fails_is_given_up(clock: time_machine.Traveller) -> None:
    def fail() -> dict[str, Any]:
        raise RuntimeError("never")

    for _ in range(job_runs.MAX_ATTEMPTS):
        with pytest.raises(RuntimeError):
            run_slot(job="reports", slot="d", execute=fail)
        clock.shift(timedelta(hours=1))

    assert not run_slot(job="reports", slot="d", execute=fail)
    assert JobRun.objects.get().attempts == job_runs.MAX_ATTEMPTS


def test_a_run_that_died_is_taken_up_again(clock: time_machine.Traveller) -> None:
    """Nothing but the started row is left of a killed process; its lock went with its connection."""
    JobRun.objects.create(job="reports", slot="d", attempts=1, run_after=NOON + timedelta(seconds=1))

    assert not run_slot(job="reports", slot="d", execute=dict)
    clock.shift(timedelta(seconds=1))
    assert run_slot(job="reports", slot="d", execute=dict)


def test_a_heartbeat_tells_its_age(clock: time_machine.Traveller) -> None:
    assert heartbeats.age_of("worker") is None
    heartbeats.beat("worker", {"pid": 1})
    clock.shift(timedelta(seconds=7))
    assert heartbeats.age_of("worker") == timedelta(seconds=7)
    heartbeats.beat("worker")
    assert heartbeats.age_of("worker") == timedelta(0)


def test_every_scheduled_task_exists_and_expires_within_its_period() -> None:
    entries = schedule.beat_schedule()
    assert {"core.heartbeat", "core.outbox", "core.jobs", "core.reaper", "core.audit_seal"} <= entries.keys()

    current_app.loader.import_default_modules()
    assert [entry["task"] for entry in entries.values() if entry["task"] not in current_app.tasks] == []
    assert [name for name, entry in entries.items() if entry["options"]["expires"] > max(entry["schedule"], 5)] == []


def test_beat_takes_over_the_registered_ticks_and_says_that_it_lives() -> None:
    beat = HeartbeatScheduler(current_app, schedule={}, lazy=True)
    beat.setup_schedule()
    assert set(schedule.beat_schedule()) <= set(beat.schedule)

    beat._beat()

    assert heartbeats.age_of("beat") == timedelta(0)


def test_a_period_must_be_positive_and_a_name_is_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "_periodics", Registry("test periodics"))
    schedule.register_periodic("a", "some.task", 5, {"kind": "x"})

    assert schedule.beat_schedule() == {
        "a": {"task": "some.task", "schedule": 5, "kwargs": {"kind": "x"}, "options": {"expires": 5}}
    }
    with pytest.raises(Misconfigured):
        schedule.register_periodic("a", "some.task", 5)
    with pytest.raises(Misconfigured):
        schedule.register_periodic("b", "some.task", 0)


def test_the_tasks_do_their_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_runners", Registry("test runners"))
    jobs.register_runner("k", lambda job, owner: {"owner": owner})
    jobs.enqueue(kind="k", key="1")
    OutboxEvent.objects.create(topic="nobody.listens")

    tasks.beat_heartbeat()
    tasks.deliver_outbox()
    tasks.reap_expired_jobs()
    tasks.run_ready_jobs("k")
    tasks.seal_audit_trail()
    tasks.forget_delivered_events()
    tasks.clear_expired_sessions()

    assert heartbeats.age_of("worker") == timedelta(0)
    assert OutboxEvent.objects.get().delivered_at == NOON
    assert Job.objects.get().result == {"owner": tasks.process_name()}


def test_a_kind_with_ready_jobs_is_sent_to_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_runners", Registry("test runners"))
    for kind in ("a", "b", "c"):
        jobs.register_runner(kind, lambda job, owner: {})
    jobs.enqueue(kind="a", key="1")
    jobs.enqueue(kind="b", key="1", run_after=NOON + timedelta(seconds=1))
    jobs.enqueue(kind="no runner", key="1")
    sent: list[dict[str, Any]] = []
    monkeypatch.setattr(tasks.run_ready_jobs, "apply_async", lambda **options: sent.append(options["kwargs"]))

    tasks.dispatch_ready_jobs()

    assert sent == [{"kind": "a"}]
