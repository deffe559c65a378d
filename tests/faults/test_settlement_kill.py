"""Workers killed with -9 in the middle of a settlement: their shards are freed in seconds, and the totals are as if nothing had happened."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from random import Random

import pytest
from django.core.management import call_command

from backoffice.core.books import verify_books
from backoffice.core.models import Job
from backoffice.core.services import jobs
from ib.models import CommissionLine, SettlementBatch
from ib.services.settlement import settle_range
from ib.services.shards import SETTLE_BATCH, enqueue_batch
from tests.factories.ib import Broker, booked
from tests.factories.platform import MONDAY, SYSTEM, make_batch, make_trade
from tests.faults.harness import kill_child, run_child, start_child

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

POINTS = [
    "ib.settle.after_claim",
    "ib.settle.after_lines",
    "ib.settle.after_postings",
    "ib.settle.before_finish",
    "core.jobs.after_claim",
    "core.jobs.before_finish",
]
DAYS = [MONDAY + timedelta(days=number) for number in range(4)]
RANGE = ["--from", MONDAY.isoformat(), "--to", DAYS[-1].isoformat(), "--json"]


def settle() -> None:
    """The command, as an operator would start it."""
    call_command("settle_commissions", *RANGE)


def work_as(owner: str) -> Callable[[], object]:
    """What a worker of that name does."""
    return lambda: jobs.run_ready(kind=SETTLE_BATCH, owner=owner)


def small_broker() -> tuple[Broker, list]:
    """Two levels of partners, and one trade on each of four days."""
    broker = Broker()
    top = broker.partner()
    direct = broker.partner(parent=top)
    account = broker.client_of(direct)
    for day in DAYS:
        make_trade(account, day=day, lots="1", server_symbol=broker.eurusd)
    return broker, [direct, top]


def assert_settled_as_if_nothing_had_happened(partners: list) -> None:
    assert [booked(partner) for partner in partners] == [Decimal("28.00"), Decimal("8.00")]
    assert CommissionLine.objects.count() == 8
    found = verify_books()
    broken = [check for check in found["checks"] if not check["ok"]]
    assert broken == []


@pytest.mark.parametrize("point", POINTS)
def test_a_run_killed_at_any_point_leaves_nothing_half_done_and_the_next_run_completes_it(point: str) -> None:
    # Given a run that dies at the second pass of the point, in the middle of its days
    _, partners = small_broker()
    assert run_child(settle, crash_at=f"{point}:2") == -signal.SIGKILL
    # Then each day is booked whole or not at all
    assert CommissionLine.objects.count() in {0, 2}
    assert SettlementBatch.objects.count() == CommissionLine.objects.count() // 2
    assert verify_books()["ok"]
    # When the next run comes, then it is complete
    settle_range(from_day=MONDAY, to_day=DAYS[-1], actor=SYSTEM)
    assert_settled_as_if_nothing_had_happened(partners)


def test_the_reaper_frees_a_dead_workers_shard_in_seconds_and_another_worker_finishes_it() -> None:
    # Given a worker that dies with the lines of an ingest batch written and not committed
    broker = Broker()
    direct = broker.partner()
    batch = make_batch(broker.server)
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd, batch=batch)
    enqueue_batch(ingest_batch_id=batch.pk)
    assert run_child(work_as("doomed"), crash_at="ib.settle.after_lines") == -signal.SIGKILL
    assert not CommissionLine.objects.exists()
    job = Job.objects.get(kind=SETTLE_BATCH)
    assert job.state == Job.State.LEASED
    # When the reaper looks, again and again
    killed_at = time.monotonic()
    while not jobs.reap_expired():
        assert time.monotonic() - killed_at < 3 * jobs.LEASE_SECONDS
        time.sleep(0.05)
    # Then the shard is free in seconds, and the next worker does it once
    assert run_child(work_as("next")) == 0
    job.refresh_from_db()
    assert (job.state, job.attempts) == (Job.State.DONE, 2)
    assert booked(direct) == Decimal("7.00")
    assert verify_books()["ok"]


@pytest.mark.parametrize("seed", [11])
def test_two_runs_killed_at_random_moments_end_with_the_totals_of_a_clean_run(seed: int) -> None:
    _, partners = small_broker()
    random = Random(seed)
    print(f"seed {seed}")
    for _ in range(3):
        runs = [start_child(settle) for _ in range(2)]
        time.sleep(random.uniform(0.01, 0.3))
        for pid in runs:
            kill_child(pid)
    settle_range(from_day=MONDAY, to_day=DAYS[-1], actor=SYSTEM)
    assert_settled_as_if_nothing_had_happened(partners)
