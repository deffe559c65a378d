"""The database refuses for a while: work is tried again, a bounded number of times, and what fails for good is seen."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier, Event, Thread

import pytest
from django.db import OperationalError, connection, transaction

from backoffice.core.models import IdempotencyRecord, Job
from backoffice.core.services import jobs, outbox
from backoffice.kernel.errors import Retryable
from backoffice.kernel.registry import Registry
from funding.ledger.models import JournalEntry
from funding.ledger.selectors import balance_of
from funding.ledger.services import entries
from ib.locks import lock_days
from ib.models import CommissionLine, SettlementBatch
from ib.services import settling
from ib.services.shards import SETTLE_BATCH
from tests.factories.platform import MONDAY, SYSTEM, make_entity
from tests.faults.harness import OwnServers, connected_to, database_url, work_until_idle
from tests.faults.world import FaultWorld, assert_books_hold, assert_paid
from tests.funding.ledger_help import draft, open_account, post

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> Registry[jobs.JobRunner]:
    """Only the kinds of jobs that a test names."""
    registry: Registry[jobs.JobRunner] = Registry("job runners")
    monkeypatch.setattr(jobs, "_runners", registry)
    return registry


@contextmanager
def elsewhere(hold: Callable[[], object]) -> Iterator[None]:
    """Another connection has done something in a transaction that stays open for the block."""
    holding, done = Event(), Event()

    def run() -> None:
        with transaction.atomic():
            hold()
            holding.set()
            done.wait(timeout=60)
        connection.close()

    thread = Thread(target=run)
    thread.start()
    assert holding.wait(timeout=30)
    try:
        yield
    finally:
        done.set()
        thread.join()


def settled_deals(world: FaultWorld) -> None:
    """Deals are in, and the job of their batch is enqueued."""
    world.feed(world.deals(per_day=1))
    outbox.deliver_due()


def try_now(job: Job) -> Job:
    """Lets the pause of a job be over, and has a worker try it."""
    Job.objects.filter(pk=job.pk, state=Job.State.READY).update(run_after=job.created_at)
    jobs.run_ready(kind=job.kind, owner="worker", limit=1)
    job.refresh_from_db()
    return job


def test_a_lock_that_is_not_free_in_time_fails_the_job_for_now_and_after_ten_tries_for_all_to_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given somebody who holds the lock of a day
    monkeypatch.setattr(settling, "SETTLEMENT_LOCK_TIMEOUT_MS", 20)
    world = FaultWorld()
    settled_deals(world)
    job = Job.objects.get(kind=SETTLE_BATCH)
    with elsewhere(lambda: lock_days(shared=[], exclusive=[MONDAY])):
        # When workers try, then each try is bounded, noted, and followed by a longer pause
        pauses = []
        for attempt in range(1, jobs.MAX_ATTEMPTS + 1):
            before = job.run_after
            job = try_now(job)
            assert job.attempts == attempt
            assert "lock timeout" in job.last_error
            pauses.append(job.run_after - before)
            assert not CommissionLine.objects.exists()
        assert job.state == Job.State.FAILED
        # And what is given up is not tried any more, and stays in sight
        assert try_now(job).attempts == jobs.MAX_ATTEMPTS
    assert not SettlementBatch.objects.exists()
    assert_books_hold()
    # When a person sends it again, it is done
    Job.objects.filter(pk=job.pk).update(state=Job.State.READY, attempts=0, run_after=job.created_at)
    work_until_idle()
    assert_paid(world, trades=4)


def test_a_statement_that_takes_too_long_is_tried_again() -> None:
    world = FaultWorld()
    settled_deals(world)
    job = Job.objects.get(kind=SETTLE_BATCH)
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN PERFORM pg_sleep(5); RETURN NEW; END $$;"
            "CREATE TRIGGER dawdle BEFORE INSERT ON ib_commissionline FOR EACH ROW EXECUTE FUNCTION dawdle()"
        )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SET statement_timeout = 300")
        job = try_now(job)
    finally:
        with connection.cursor() as cursor:
            cursor.execute(
                "SET statement_timeout = 0; DROP TRIGGER dawdle ON ib_commissionline; DROP FUNCTION dawdle()"
            )
    assert (job.state, job.attempts) == (Job.State.READY, 1)
    assert "statement timeout" in job.last_error
    assert not CommissionLine.objects.exists()
    assert try_now(job).state == Job.State.DONE
    work_until_idle()
    assert_paid(world, trades=4)


def test_the_victim_of_a_deadlock_is_tried_again(runners: Registry[jobs.JobRunner]) -> None:
    # Given two jobs that lock the same two rows in opposite orders
    for key in ("a", "b"):
        IdempotencyRecord.objects.create(scope="row", key=key, request_hash=b"")
        jobs.enqueue(kind="crossed", key=key)
    both_have_one = Barrier(2, timeout=20)
    met: set[str] = set()

    def run(job: Job, owner: str) -> dict[str, object]:
        with transaction.atomic():
            for key in (job.key, "b" if job.key == "a" else "a"):
                row = IdempotencyRecord.objects.select_for_update().get(scope="row", key=key)
                row.result = {"passes": row.result.get("passes", 0) + 1}
                row.save()
                if job.key not in met:
                    met.add(job.key)
                    both_have_one.wait()
            jobs.finish(job=job, owner=owner)
        return {}

    jobs.register_runner("crossed", run)
    threads = [
        Thread(target=lambda name=name: (jobs.run_ready(kind="crossed", owner=name, limit=1), connection.close()))
        for name in ("one", "two")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Then one is done, the other waits for its next try and says why
    waiting = Job.objects.exclude(state=Job.State.DONE).get()
    assert "deadlock" in waiting.last_error
    assert try_now(waiting).state == Job.State.DONE
    assert [row.result["passes"] for row in IdempotencyRecord.objects.all()] == [2, 2]


def test_a_serialization_failure_is_tried_again(runners: Registry[jobs.JobRunner]) -> None:
    row = IdempotencyRecord.objects.create(scope="row", key="a", request_hash=b"", result={"passes": 0})
    interfere = [True]

    def add_one() -> None:
        IdempotencyRecord.objects.filter(pk=row.pk).update(result={"passes": 10})
        connection.close()

    def run(job: Job, owner: str) -> dict[str, object]:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            found = IdempotencyRecord.objects.get(pk=row.pk)
            if interfere:
                interfere.clear()
                thread = Thread(target=add_one)
                thread.start()
                thread.join()
            found.result = {"passes": found.result["passes"] + 1}
            found.save()
            jobs.finish(job=job, owner=owner)
        return {}

    jobs.register_runner("isolated", run)
    jobs.enqueue(kind="isolated", key="1")
    job = try_now(Job.objects.get())
    assert (job.state, job.attempts) == (Job.State.READY, 1)
    assert "could not serialize" in job.last_error
    assert try_now(job).state == Job.State.DONE
    assert IdempotencyRecord.objects.get().result == {"passes": 11}


def test_a_wallet_that_is_locked_too_long_refuses_with_a_reason_and_changes_nothing() -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "100"), (wallet, "C", "100"))
    withdrawal = draft(entity, (wallet, "D", "30"), (bank, "C", "30"))

    def hold() -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM ledger_accountbalance WHERE account_id = %s FOR UPDATE", [wallet.pk])

    with elsewhere(hold), pytest.raises(Retryable):
        entries.post_entry(draft=withdrawal, actor=SYSTEM)
    assert (JournalEntry.objects.count(), balance_of(wallet)) == (1, 100)
    entries.post_entry(draft=withdrawal, actor=SYSTEM)
    assert (JournalEntry.objects.count(), balance_of(wallet)) == (2, 70)


@pytest.fixture
def small_disk(own_servers: OwnServers) -> Iterator[Path]:
    """A file system of 4 MB that the server can write to."""
    folder = Path(tempfile.mkdtemp(prefix="backoffice-small-"))
    folder.chmod(0o711)
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m,mode=0777", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        shutil.rmtree(folder)
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    space = disk / "space"
    space.mkdir(mode=0o777)
    identity = own_servers.layout.identity
    if identity is not None:
        shutil.chown(space, identity.uid, identity.gid)
    yield space
    # The checkpoint has a later recovery begin behind the tablespace: it would look for a folder that is gone.
    for statement in (
        "DROP DATABASE IF EXISTS full_disk WITH (FORCE)",
        "DROP TABLESPACE IF EXISTS small",
        "CHECKPOINT",
    ):
        own_servers.execute(statement)
    subprocess.run(["umount", "-l", disk], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_full_disk_fails_the_batch_whole_and_it_resumes_when_there_is_room(
    own_servers: OwnServers, small_disk: Path
) -> None:
    # Given lines that are kept on a disk of 4 MB
    own_servers.copy_database(database_url(), "full_disk")
    own_servers.execute(f"CREATE TABLESPACE small LOCATION '{small_disk}'")
    with connected_to(HOST=str(own_servers.sockets), PORT="", NAME="full_disk", USER="backoffice"):
        world = FaultWorld()
        settled_deals(world)
        job = Job.objects.get(kind=SETTLE_BATCH)
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE ib_settlementbatch SET TABLESPACE small")
            cursor.execute("CREATE TABLE ballast (text text STORAGE PLAIN) TABLESPACE small")
        # When the disk is full, then the batch fails as a whole and says so
        fill_the_disk()
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE FUNCTION needs_room() RETURNS trigger LANGUAGE plpgsql AS"
                " $$ BEGIN INSERT INTO ballast SELECT repeat(md5(random()::text), 200) FROM generate_series(1, 100);"
                " RETURN NULL; END $$;"
                "CREATE TRIGGER needs_room AFTER INSERT ON ib_commissionline"
                " FOR EACH STATEMENT EXECUTE FUNCTION needs_room()"
            )
        job = try_now(job)
        assert (job.state, job.attempts) == (Job.State.READY, 1)
        assert "No space left on device" in job.last_error
        assert not CommissionLine.objects.exists()
        assert not SettlementBatch.objects.exists()
        assert_books_hold()
        # When there is room again, then it resumes
        with connection.cursor() as cursor:
            cursor.execute("TRUNCATE ballast")
        assert try_now(job).state == Job.State.DONE
        work_until_idle()
        assert_paid(world, trades=4)


def fill_the_disk() -> None:
    """Writes ballast until the server has no room for more."""
    for _ in range(200):
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "INSERT INTO ballast SELECT repeat(md5(random()::text), 200) FROM generate_series(1, 100)"
                )
        except OperationalError as error:
            assert "No space left" in str(error)
            return
    raise AssertionError("the disk did not fill up")
