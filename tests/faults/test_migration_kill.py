"""A take-over killed with -9 in the middle: nothing half-applied, and the next worker applies it once."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord, Job, OutboxEvent
from backoffice.core.services import jobs
from backoffice.migration.models import MigrationKey, MigrationPackage
from backoffice.migration.package import read_package
from backoffice.migration.services.packages import _enqueue
from backoffice.migration.types import MIGRATION_JOB_KIND
from crm.models import Client
from funding.ledger.models import JournalEntry
from ib.models import Partner
from platform_ops.models import Deal, IngestBatch, TradingAccount
from tests.faults.harness import run_child
from tests.migration.packages import example, house, write
from tests.migration.test_desk import zipped

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

POINTS = ["migration.takeover.after_staging", "migration.takeover.after_openings", "migration.takeover.before_commit"]


def run_worker(crash_at: str = "") -> int:
    """A worker in a process of its own on the test's database; its exit status."""
    return run_child(
        lambda: jobs.run_ready(kind=MIGRATION_JOB_KIND, owner="worker", lease_seconds=1), crash_at=crash_at
    )


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_take_over_leaves_nothing_and_is_done_once_by_the_next_worker(tmp_path: Path, point: str) -> None:
    # given: an approved package whose worker dies
    entity = house()
    folder = write(tmp_path, example())
    package = MigrationPackage.objects.create(
        entity=entity,
        form="takeover",
        file_name="p.zip",
        stored_path=default_storage.save("migration/p.zip", ContentFile(zipped(folder))),
        digest=read_package(folder).digest,
        state="queued",
    )
    _enqueue(package, "apply")
    # when
    assert run_worker(crash_at=point) == -signal.SIGKILL
    # then: nothing of it stands
    for model in (Client, Partner, TradingAccount, Deal, IngestBatch, JournalEntry, MigrationKey, OutboxEvent):
        assert not model.objects.exists(), model
    assert not AuditRecord.objects.filter(action="migration.apply_package").exists()
    package.refresh_from_db()
    assert package.state == "queued"
    # and when the lease ran out, the next worker does it
    for _ in range(100):
        if jobs.reap_expired():
            break
        time.sleep(0.05)
    assert run_worker() == 0
    package.refresh_from_db()
    assert package.state == "applied"
    assert Client.objects.count() == 3
    assert Job.objects.get(kind=MIGRATION_JOB_KIND).state == Job.State.DONE
    assert AuditRecord.objects.filter(action="migration.apply_package").count() == 1
    assert verify_books()["ok"]
