"""Deals told twice, too late, in any order or by many at once: the books are those of sorted input."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from itertools import count
from random import Random

import pytest
from django.db import connection

from funding.ledger.models import JournalEntry
from funding.ledger.services.periods import close_day
from ib.models import CommissionLine
from platform_ops.models import Deal, IngestBatch, Trade
from tests.factories.ib import booked
from tests.factories.platform import MONDAY, SYSTEM
from tests.faults.harness import run_child, start_child, wait_for_child, work_until_idle
from tests.faults.world import DAYS, FaultWorld, assert_books_hold, assert_nothing_is_lost, assert_paid

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]

SEEDS = (1, 2, 3)


def test_twice_overlapping_and_shuffled_is_the_same_as_sorted_once() -> None:
    # Given what sorted input, told once, comes to
    sorted_world = FaultWorld()
    deals = sorted_world.deals(per_day=5)
    sorted_world.feed(deals)
    work_until_idle()
    expected = figures(sorted_world)
    assert expected["trades"] == 5 * len(DAYS)
    for seed in SEEDS:
        # When the same deals come shuffled, in overlapping parts, some of them twice in one part
        random = Random(seed)
        world = FaultWorld()
        shuffled = world.deals(per_day=5)
        random.shuffle(shuffled)
        for start in range(0, len(shuffled), 8):
            part = shuffled[max(start - 5, 0) : start + 8]
            world.feed([*part, *random.sample(part, 2)])
            if random.random() < 0.5:
                work_until_idle()
        world.feed(shuffled)
        work_until_idle()
        # Then trades, lines and balances are the same, and nothing is counted twice
        assert figures(world) == expected, f"seed {seed}"
        assert Deal.objects.filter(server=world.broker.server).count() == len(deals)
    assert_nothing_is_lost()
    assert_books_hold()


def figures(world: FaultWorld) -> dict[str, object]:
    """What one world's books say, without anything that only numbers rows."""
    trades = Trade.objects.filter(server=world.broker.server, is_cancelled=False)
    lines = CommissionLine.objects.filter(partner_id__in=[world.direct.pk, world.top.pk], amount__gt=0)
    by_day = sorted((line.day, line.level, line.amount) for line in lines)
    return {
        "trades": trades.count(),
        "closed": sorted(trades.values_list("ticket", "volume_lots", "closed_at", "profit", "business_day")),
        "by_day": [row for row in by_day if row],
        "booked": [booked(world.direct), booked(world.top)],
    }


def test_a_closing_that_is_told_before_its_opening_and_a_deal_of_yesterday_are_paid_like_any_other() -> None:
    world = FaultWorld()
    opening, closing = world.deals(per_day=1, days=[MONDAY])
    world.feed([closing])
    work_until_idle()
    world.feed(world.deals(per_day=1, days=[MONDAY + timedelta(days=2)], first=100))
    work_until_idle()
    world.feed([opening])
    work_until_idle()
    assert_paid(world, trades=2)


def test_a_deal_older_than_a_closed_month_books_its_difference_in_the_current_period() -> None:
    # Given books that are closed through Wednesday
    world = FaultWorld()
    world.feed(world.deals(per_day=1))
    work_until_idle()
    for day in DAYS[:3]:
        close_day(entity_id=world.broker.entity.pk, business_day=day, actor=SYSTEM)
    before = JournalEntry.objects.filter(business_day__lte=DAYS[2]).count()
    # When a deal of Monday arrives
    at = datetime.combine(MONDAY, clock_time(10), tzinfo=UTC)
    world.feed(world.round_trip(ticket=5001, at=at, account=world.accounts[0], lots="3"))
    work_until_idle()
    # Then it is paid on Thursday, referring back, and the closed days are as they were
    late = JournalEntry.objects.get(refers_to_day=MONDAY, source_type="ib.settlement_batch")
    assert late.business_day == DAYS[3]
    assert JournalEntry.objects.filter(business_day__lte=DAYS[2]).count() == before
    lines = CommissionLine.objects.filter(day=MONDAY, booked_day=DAYS[3])
    assert sorted(lines.values_list("amount", flat=True)) == [Decimal(6), Decimal(21)]
    assert_paid(world, trades=5, lots=4 + 3)


def test_eight_writers_that_commit_out_of_order_lose_nothing() -> None:
    # Given eight connectors, each with deals of its own, that commit whenever they like, while a worker settles
    writers, loads = 8, 5
    world = FaultWorld()
    tickets = count(1, 1000)
    parts = [[world.deals(per_day=1, first=next(tickets)) for _ in range(loads)] for _ in range(writers)]

    def write(number: int) -> None:
        random = Random(number)
        for part in parts[number]:
            world.feed(part)
            time.sleep(random.uniform(0, 0.02))

    pids = [start_child(lambda number=number: write(number)) for number in range(writers)]  # type: ignore[misc]
    pids.append(start_child(lambda: [work_until_idle() for _ in range(10)]))
    assert [wait_for_child(pid) for pid in pids] == [0] * (writers + 1)
    work_until_idle()
    assert IngestBatch.objects.count() == writers * loads
    assert_paid(world, trades=writers * loads * len(DAYS))


def test_two_workers_on_the_same_jobs_and_a_job_delivered_again_pay_once() -> None:
    # Given a batch, and two workers that are told to settle it at once, again and again
    world = FaultWorld()
    world.feed(world.deals(per_day=3))
    pids = [start_child(lambda: [work_until_idle() for _ in range(3)]) for _ in range(2)]
    assert [wait_for_child(pid) for pid in pids] == [0, 0]
    # When the queue delivers the same work once more, as after its visibility timeout
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE core_outboxevent SET delivered_at = NULL, handled_by = '{}' WHERE topic LIKE 'platform.%'"
        )
    assert run_child(work_until_idle) == 0
    # Then each trade is paid once
    assert_paid(world, trades=3 * len(DAYS))
