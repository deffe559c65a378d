"""Workers killed with -9 at a named point: what they held is freed, and what they did happened once or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from backoffice.core.models import IdempotencyRecord, Job, OutboxEvent
from backoffice.core.services import jobs

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

WORKER = """
    import django
    django.setup()
    from django.db import transaction
    from backoffice.core.models import IdempotencyRecord
    from backoffice.core.services import jobs, outbox

    def work(name):
        IdempotencyRecord.objects.create(scope="work", key=name, request_hash=b"")

    def run(job, owner):
        with transaction.atomic():
            work(job.key)
            jobs.finish(job=job, owner=owner)
        return {}

    jobs.register_runner("k", run)
    outbox.subscribe("t.happened", "worker", lambda payload, event: work(payload["name"]))
"""


def run_worker(action: str, crash_at: str = "") -> int:
    """Runs the action in a process of its own on the test's database; returns its exit status."""
    database = connection.settings_dict
    url = f"postgresql://{database['USER']}@/{database['NAME']}?host={database['HOST']}"
    environment = {
        **os.environ,
        "DATABASE_URL": url if not database["PORT"] else url.replace("@/", f"@{database['HOST']}:{database['PORT']}/"),
        "DJANGO_SETTINGS_MODULE": "backoffice.settings.test",
    }
    environment.pop("CRASH_AT", None)
    if crash_at:
        environment["CRASH_AT"] = crash_at
    code = textwrap.dedent(WORKER) + action
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=Path(settings.BASE_DIR), timeout=60, check=False).returncode


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

    status = run_worker("jobs.run_ready(kind='k', owner='doomed', lease_seconds=1)", crash_at=point)

    assert status == -signal.SIGKILL
    assert Job.objects.get().lease_owner == "doomed"
    assert not IdempotencyRecord.objects.exists()
    killed_at = time.monotonic()
    free_dead_workers_jobs()
    assert time.monotonic() - killed_at < 2 * jobs.LEASE_SECONDS
    assert run_worker("jobs.run_ready(kind='k', owner='next')") == 0
    job = Job.objects.get()
    assert (job.state, job.attempts) == (Job.State.DONE, 2)
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["shard 1"]


def test_a_crash_point_counts_its_passes() -> None:
    for number in range(3):
        jobs.enqueue(kind="k", key=str(number))

    status = run_worker(
        "jobs.run_ready(kind='k', owner='doomed', lease_seconds=1)", crash_at="core.jobs.before_finish:3"
    )

    assert status == -signal.SIGKILL
    assert Job.objects.filter(state=Job.State.DONE).count() == 2
    assert IdempotencyRecord.objects.count() == 2


@pytest.mark.parametrize("point", ["core.outbox.before_commit", "core.outbox.after_commit"])
def test_an_event_whose_deliverer_is_killed_is_handled_once(point: str) -> None:
    OutboxEvent.objects.create(topic="t.happened", payload={"name": "event 1"})

    assert run_worker("outbox.deliver_due()", crash_at=point) == -signal.SIGKILL
    assert run_worker("outbox.deliver_due()") == 0

    assert OutboxEvent.objects.get().delivered_at is not None
    assert list(IdempotencyRecord.objects.values_list("key", flat=True)) == ["event 1"]
