"""/metrics: denied by default, and true figures for who may read them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client as Browser

from backoffice.core.models import Job, JobRun, OutboxEvent
from backoffice.core.observing.metrics import gauge_names
from backoffice.core.services import book_checks, heartbeats, job_runs, jobs
from backoffice.core.services.audit import seal_audit, unsealed_count
from backoffice.kernel import clock
from ib.services.upkeep import settlement_lag
from tests.factories.ib import Broker
from tests.factories.platform import make_batch
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db

TOKEN = "t" * 40


def figures(text: str) -> dict[str, float]:
    """The readings by name, with their labels."""
    return {
        match[1]: float(match[2])
        for match in re.finditer(r"^(backoffice_[a-z_]+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)
    }


def test_nobody_may_read_unless_something_is_set(client: Browser, settings: Any) -> None:
    settings.METRICS_TOKEN, settings.METRICS_ADDRESSES = "", []
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    log_in(client, make_user("boss@house.test", "administrator", entities=(make_entity(),)))
    assert client.get("/metrics").status_code == 404


def test_the_token_or_the_address_opens_and_nothing_like_them(client: Browser, settings: Any) -> None:
    settings.METRICS_TOKEN, settings.METRICS_ADDRESSES = TOKEN, ["10.1.2.3"]
    wrong = ["", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x", TOKEN, f"Basic {TOKEN}", "Bearer ünicode"]
    assert {client.get("/metrics", headers={"Authorization": text}).status_code for text in wrong} == {404}
    assert client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert client.get("/metrics", REMOTE_ADDR="10.1.2.4").status_code == 404
    # A header that anybody may write opens nothing, as long as no proxy is trusted.
    assert client.get("/metrics", headers={"X-Forwarded-For": "10.1.2.3"}).status_code == 404
    assert client.post("/metrics", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405


def test_the_figures_say_what_waits_what_failed_and_who_was_seen_when(client: Browser, settings: Any) -> None:
    settings.METRICS_TOKEN = TOKEN
    # Given an event that waits for two minutes, a dead one, a job that waits, one that failed, and a heartbeat
    now = clock.now()
    make_batch(Broker().server, changed_trades=3)
    OutboxEvent.objects.all().delete()
    OutboxEvent.objects.create(topic="t", run_after=now - timedelta(seconds=120))
    OutboxEvent.objects.create(topic="t", dead_at=now)
    Job.objects.create(kind="k", key="1", run_after=now - timedelta(seconds=60))
    Job.objects.create(kind="k", key="2", state=Job.State.FAILED)
    JobRun.objects.create(job="j", slot="1", attempts=2, error="broken")
    heartbeats.beat("streams", {"streams": 17})
    # When the page is read
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    found = figures(answer.content.decode())
    # Then
    assert answer.headers["Content-Type"].startswith("text/plain")
    assert 119 < found["backoffice_outbox_lag_seconds"] < 180
    assert (found["backoffice_outbox_waiting"], found["backoffice_outbox_dead"]) == (1, 1)
    assert 59 < found["backoffice_jobs_oldest_waiting_seconds"] < 120
    assert found['backoffice_jobs{state="failed"}'] == 1
    assert found['backoffice_jobs{state="ready"}'] >= 1
    assert found["backoffice_runs_failing"] == 1
    assert 0 <= found['backoffice_heartbeat_age_seconds{process="streams"}'] < 60
    assert found["backoffice_streams_open"] == 17
    assert found["backoffice_books_check_age_seconds"] == -1
    assert found["backoffice_settlement_lag_seconds"] >= 0
    assert found["backoffice_metrics_unreadable"] == 0
    # And every figure that is registered is there, with a word on what it means, and requests are counted too
    text = answer.content.decode()
    assert all(f"# HELP {name} " in text for name in gauge_names())
    assert "django_http_requests" in text


def test_the_lag_of_settlement_is_the_age_of_the_oldest_batch_without_one() -> None:
    assert settlement_lag() == 0
    make_batch(Broker().server, changed_trades=3, created_at=clock.now() - timedelta(seconds=90))
    assert 89 < settlement_lag() < 150


def test_the_books_are_proved_once_in_four_hours() -> None:
    assert book_checks.age_of_last() is None
    assert book_checks.prove_when_due()
    assert not book_checks.prove_when_due()
    age = book_checks.age_of_last()
    assert age is not None
    assert age < timedelta(minutes=1)
    assert book_checks.failing_at_last() == 0
    assert JobRun.objects.get(job=book_checks.JOB).outcome["failing"] == []


def test_done_jobs_and_old_runs_are_forgotten_and_failed_ones_stay() -> None:
    long_ago = clock.now() - timedelta(days=401)
    for number, state in enumerate((Job.State.DONE, Job.State.FAILED)):
        Job.objects.create(kind="old", key=str(number), state=state, finished_at=long_ago)
    Job.objects.create(kind="new", key="1", state=Job.State.DONE, finished_at=clock.now())
    JobRun.objects.create(job="old", slot="1", finished_at=long_ago)
    JobRun.objects.create(job="new", slot="1", finished_at=clock.now())
    JobRun.objects.create(job="unfinished", slot="1")

    assert (jobs.forget_done(), job_runs.forget_old()) == (1, 1)
    assert sorted(Job.objects.values_list("kind", "state")) == [("new", "done"), ("old", "failed")]
    assert sorted(JobRun.objects.values_list("job", flat=True)) == ["new", "unfinished"]
    assert (jobs.forget_done(), job_runs.forget_old()) == (0, 0)


def test_what_beat_sends_and_where_it_goes() -> None:
    from backoffice.core.schedule import beat_schedule

    tasks = {entry["task"] for entry in beat_schedule().values()}
    assert {"backoffice.core.tasks.forget_done_jobs", "backoffice.core.tasks.prove_books"} <= tasks
    assert jobs.queue_of("anything") == "celery"
    while seal_audit() is not None:
        pass
    assert unsealed_count() >= 0
