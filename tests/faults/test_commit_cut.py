"""The connection is lost exactly at COMMIT: nobody can know whether it happened, and a retry gives one effect."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import Error as DatabaseFailure
from django.db import connection

from backoffice.core.models import IdempotencyRecord, Job
from backoffice.core.services import jobs, outbox
from backoffice.core.services.idempotency import run_once
from funding.ledger.models import JournalEntry
from funding.ledger.selectors import balance_of
from funding.ledger.services import entries
from ib.models import CommissionLine, SettlementBatch
from ib.services.settlement import settle_ingest_batch
from ib.services.shards import SETTLE_BATCH
from platform_ops.models import Deal, IngestBatch
from tests.factories.platform import SYSTEM, make_entity
from tests.faults.harness import CommitCutter, connected_to, free_leases, work_until_idle
from tests.faults.world import FaultWorld, assert_books_hold, assert_paid
from tests.funding.ledger_help import draft, open_account, post

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

BOTH = pytest.mark.parametrize("mode", ["lose_answer", "lose_request"])
"""The server has committed and the answer is lost; or the COMMIT itself is lost, which looks the same from here."""


@pytest.fixture
def cutter(transactional_db: None) -> Iterator[CommitCutter]:
    """This process speaks to its database through the proxy."""
    known = connection.settings_dict
    proxy = CommitCutter(str(Path(known["HOST"]) / f".s.PGSQL.{known['PORT'] or 5432}"))
    with connected_to(HOST="127.0.0.1", PORT=str(proxy.port)):
        yield proxy
    proxy.close()


@BOTH
def test_an_entry_is_booked_once(cutter: CommitCutter, mode: str) -> None:
    # Given a wallet with 100
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    post(entity, (bank, "D", "100"), (wallet, "C", "100"))
    withdrawal = draft(entity, (wallet, "D", "30"), (bank, "C", "30"))
    # When the connection is lost at the commit of a withdrawal
    cutter.arm(mode, "ledger_journalentry")
    with pytest.raises(DatabaseFailure):
        entries.post_entry(draft=withdrawal, actor=SYSTEM)
    connection.close()
    assert cutter.cuts == 1
    happened = JournalEntry.objects.filter(idempotency_key=withdrawal.idempotency_key).exists()
    assert happened is (mode == "lose_answer")
    # Then the caller who does not know sends it again, and it is booked once
    first = entries.post_entry(draft=withdrawal, actor=SYSTEM)
    again = entries.post_entry(draft=withdrawal, actor=SYSTEM)
    assert first.pk == again.pk
    assert JournalEntry.objects.count() == 2
    assert balance_of(wallet) == 70
    assert_books_hold()


@BOTH
def test_a_request_with_a_key_takes_effect_once(cutter: CommitCutter, mode: str) -> None:
    entity = make_entity()
    bank, wallet = open_account(entity, "bank"), open_account(entity, "client_wallet", owner=1)
    runs: list[int] = []

    def execute() -> dict:
        runs.append(1)
        return {"entry": post(entity, (bank, "D", "50"), (wallet, "C", "50")).pk}

    def request() -> dict:
        return run_once(scope="deposit", key="k-1", request={"amount": "50"}, execute=execute)

    cutter.arm(mode, "core_idempotencyrecord")
    with pytest.raises(DatabaseFailure):
        request()
    connection.close()

    assert request() == request()
    assert len(runs) == (1 if mode == "lose_answer" else 2)
    assert IdempotencyRecord.objects.count() == 1
    assert balance_of(wallet) == 50
    assert_books_hold()


@BOTH
def test_deals_are_taken_in_once(cutter: CommitCutter, mode: str) -> None:
    world = FaultWorld()
    deals = world.deals()

    cutter.arm(mode, "platform_ingest_stage")
    with pytest.raises(DatabaseFailure):
        world.feed(deals)
    connection.close()
    assert Deal.objects.exists() is (mode == "lose_answer")
    world.feed(deals)

    assert Deal.objects.count() == len(deals)
    assert IngestBatch.objects.count() == 1
    work_until_idle()
    assert_paid(world, trades=len(deals) // 2)


@BOTH
def test_a_batch_is_settled_once(cutter: CommitCutter, mode: str) -> None:
    world = FaultWorld()
    deals = world.deals()
    world.feed(deals)
    batch = IngestBatch.objects.get()

    cutter.arm(mode, "INSERT INTO ib_commissionline")
    with pytest.raises(DatabaseFailure):
        settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)
    connection.close()
    assert SettlementBatch.objects.exists() is (mode == "lose_answer")
    assert CommissionLine.objects.exists() is (mode == "lose_answer")
    result = settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)

    assert result.lines == len(deals)
    work_until_idle()
    assert_paid(world, trades=len(deals) // 2)


@BOTH
def test_a_workers_job_is_done_once_and_never_left_behind(cutter: CommitCutter, mode: str) -> None:
    # Given a worker whose connection is lost at the commit of its job
    world = FaultWorld()
    deals = world.deals()
    world.feed(deals)
    outbox.deliver_due()
    cutter.arm(mode, "INSERT INTO ib_commissionline")
    # When it works, then it goes on with a connection that is new, and tries again what it cannot know
    jobs.run_ready(kind=SETTLE_BATCH, owner="worker")
    job = Job.objects.get(kind=SETTLE_BATCH)
    assert cutter.cuts == 1
    assert job.state in {Job.State.DONE, Job.State.LEASED, Job.State.READY}
    assert (job.state == Job.State.DONE) is (mode == "lose_answer")
    free_leases()
    Job.objects.filter(state=Job.State.READY).update(run_after=job.created_at)
    work_until_idle()
    assert_paid(world, trades=len(deals) // 2)
    assert Job.objects.get(kind=SETTLE_BATCH).attempts == (1 if mode == "lose_answer" else 2)


def hear_until_ready(wire: socket.socket) -> None:
    """Reads what the server says until it waits for the next command."""
    said = b""
    while said[-6:-1] != b"Z\0\0\0\5":
        part = wire.recv(65536)
        assert part, "the server is gone"
        said += part


def test_the_proxy_sees_a_commit_of_the_extended_protocol_too(cutter: CommitCutter) -> None:
    """A driver that prepares its statements would commit by Parse, Bind and Execute; these bytes say just that."""

    def message(kind: bytes, body: bytes) -> bytes:
        return kind + struct.pack("!i", len(body) + 4) + body

    def prepared(text: bytes) -> bytes:
        return (
            message(b"P", b"\0" + text + b"\0" + struct.pack("!h", 0))
            + message(b"B", b"\0\0" + struct.pack("!hhh", 0, 0, 0))
            + message(b"E", b"\0" + struct.pack("!i", 0))
            + message(b"S", b"")
        )

    known = connection.settings_dict
    start = struct.pack("!i", 3 << 16) + b"user\0" + known["USER"].encode() + b"\0database\0" + known["NAME"].encode()
    start += b"\0\0"
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS extended_trace; CREATE TABLE extended_trace (number int)")
    cutter.arm("lose_answer", "INSERT INTO extended_trace")
    wire = socket.create_connection(("127.0.0.1", cutter.port))
    wire.settimeout(30)
    wire.sendall(struct.pack("!i", len(start) + 4) + start)
    hear_until_ready(wire)
    for text in (b"BEGIN", b"INSERT INTO extended_trace VALUES (1)"):
        wire.sendall(prepared(text))
        # A server that cannot send the answer to the insert would not come to the commit at all.
        hear_until_ready(wire)
    wire.sendall(prepared(b"COMMIT"))
    while wire.recv(65536):
        pass
    wire.close()
    # The answer is lost, not the commit; the server may still be at it.
    deadline = time.monotonic() + 10
    with connection.cursor() as cursor:
        while True:
            cursor.execute("SELECT count(*) FROM extended_trace")
            found = cursor.fetchone()
            if found == (1,) or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        assert found == (1,)
        cursor.execute("DROP TABLE extended_trace")
    assert cutter.cuts == 1
