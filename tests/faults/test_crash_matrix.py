"""Every named crash point is passed, and whoever dies there leaves nothing that the next worker does not put right.

The points of the work in `SCENARIOS` are killed at here, one after the other. Whoever declares points of other work kills at
them in tests of their own, which are looked for: a point that no test names fails by its name.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from backoffice.core import crash_points
from backoffice.core.models import OutboxEvent
from ib.models import CommissionLine, SettlementBatch
from platform_ops.models import Trade
from tests.faults import ground_work
from tests.faults.harness import free_leases, kill_child, run_child, start_child, work_until_idle
from tests.faults.world import DAYS, FaultWorld, assert_books_hold, assert_paid

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

ROUNDS = int(os.environ.get("FAULT_ROUNDS", "6"))
SEED = int(os.environ.get("FAULT_SEED", "20260302"))
TRADES = 2 * len(DAYS)


def trades_in_and_paid(world: FaultWorld) -> None:
    """Deals come in by two loads, their events are delivered, their batches settled."""
    deals = world.deals()
    world.feed(deals[: len(deals) // 2])
    world.feed(deals)
    work_until_idle()


def with_trades(work: Callable[[], object]) -> Callable[[FaultWorld], None]:
    """Other work of the ground, and then the trades as always."""

    def both(world: FaultWorld) -> None:
        work()
        trades_in_and_paid(world)

    return both


SCENARIOS: list[tuple[str, Callable[[FaultWorld], None]]] = [
    ("core.files.", with_trades(ground_work.keep_a_file)),
    ("core.messages.", with_trades(ground_work.send_a_message)),
    ("core.rotate_keys.", with_trades(ground_work.change_the_key)),
    *((prefix, trades_in_and_paid) for prefix in ("core.jobs.", "core.outbox.", "platform.ingest.", "ib.settle.")),
]
"""(prefix of the point's name, work that passes it); the first that fits."""


def scenario_of(point: str) -> Callable[[FaultWorld], None] | None:
    """The work that passes the point; None for points of work that is killed elsewhere."""
    return next((work for prefix, work in SCENARIOS if point.startswith(prefix)), None)


def test_every_other_point_is_killed_at_by_a_test_that_names_it() -> None:
    tests = Path(__file__).resolve().parents[1]
    texts = [path.read_text("utf-8") for path in tests.rglob("test_*.py") if path != Path(__file__).resolve()]
    elsewhere = sorted(point for point in crash_points.POINTS if scenario_of(point) is None)
    assert [point for point in elsewhere if not any(point in text for text in texts)] == []


def test_there_are_points() -> None:
    assert {name.rpartition(".")[0] for name in crash_points.POINTS} >= {
        "core.jobs",
        "core.outbox",
        "platform.ingest",
        "ib.settle",
    }


@pytest.mark.parametrize("point", sorted(point for point in crash_points.POINTS if scenario_of(point)))
def test_a_process_killed_at_a_named_point_leaves_nothing_half_done_and_the_next_one_completes_it(point: str) -> None:
    # Given work that dies at the point
    world = FaultWorld()
    work = scenario_of(point)
    assert work is not None
    status = run_child(lambda: work(world), crash_at=point)
    assert status == -signal.SIGKILL, f"{point} was not reached: add work to SCENARIOS that passes it"
    # Then each unit is there whole or not at all
    assert Trade.objects.count() in {0, TRADES // 2, TRADES}
    assert CommissionLine.objects.count() in {0, TRADES, 2 * TRADES}
    assert (SettlementBatch.objects.count() > 0) == CommissionLine.objects.exists()
    assert_books_hold()
    # When a second process dies at the same point, as a machine with a defect does
    free_leases()
    assert run_child(lambda: work(world), crash_at=point) in {-signal.SIGKILL, 0}
    assert_books_hold()
    # And the next one lives, then everything is as if nothing had happened
    free_leases()
    work(world)
    assert_paid(world, trades=TRADES)


def test_two_workers_killed_at_random_moments_end_with_the_totals_of_a_clean_run() -> None:
    world = FaultWorld()
    deals = world.deals(per_day=12)
    random = Random(SEED)
    print(f"FAULT_SEED={SEED} FAULT_ROUNDS={ROUNDS}")
    parts = [deals[number::ROUNDS] for number in range(ROUNDS)]
    for part in parts:
        workers = [
            start_child(lambda part=part: (world.feed(part), work_until_idle())),  # type: ignore[misc]
            start_child(work_until_idle),
        ]
        time.sleep(random.uniform(0.01, 0.35))
        for pid in workers:
            kill_child(pid)
        assert_books_hold()
        free_leases()
    # A connector that is not sure sends everything again
    world.feed(deals)
    work_until_idle()
    assert_paid(world, trades=12 * len(DAYS))
    assert not OutboxEvent.objects.filter(dead_at__isnull=False).exists()
