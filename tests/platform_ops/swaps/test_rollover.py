"""The rollover: every position open at the cut exactly once, money right to the cent, a repeat harmless."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from backoffice.kernel.errors import Conflict, Denied, MissingRate
from platform_ops.models import SwapLine, SwapRun, SwapTerm
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.types import DealEntry, Side
from tests.factories import platform
from tests.platform_ops.swaps.ground import (
    FRIDAY,
    SYSTEM,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    at,
    close,
    deal,
    ingest,
    lines,
    rate,
    server,
    symbol,
)  # fmt: skip

pytestmark = pytest.mark.django_db


def test_a_week_is_seven_nights_and_wednesday_counts_three() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-13.472")
    monday = TUESDAY - timedelta(days=1)
    ingest(live, [deal(account, 1, at(monday, 10))])
    for day in (monday, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY, FRIDAY + timedelta(days=1), FRIDAY + timedelta(days=2)):
        run_rollover(server_id=live.pk, day=day, actor=SYSTEM)
    assert [line.term.nights for line in lines()] == [1, 1, 3, 1, 1, 0, 0]
    assert [line.swap for line in lines()] == [
        Decimal(amount) for amount in ("-13.47", "-13.47", "-40.42", "-13.47", "-13.47", "0", "0")
    ]
    assert [line.cause for line in lines()][-2:] == ["no_nights", "no_nights"]


def test_what_is_opened_at_the_cut_is_not_counted_and_what_is_closed_at_it_is() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    cut = at(TUESDAY, 22)
    before = cut - timedelta(microseconds=1)
    ingest(
        live,
        [
            deal(account, 1, before),
            deal(account, 2, cut),
            deal(account, 3, at(TUESDAY, 9)),
            deal(account, 33, cut, side=Side.SELL, entry=DealEntry.OUT, position=3),
            deal(account, 4, at(TUESDAY, 9)),
            deal(account, 44, before, side=Side.SELL, entry=DealEntry.OUT, position=4),
        ],
    )
    run = run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert [line.position_ticket for line in lines()] == [1, 3]
    assert run.positions == run.lines == 2


def test_volumes_are_those_of_the_cut_whatever_happened_since() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live, position_mode="netting")
    rate(eurusd, "-10", "5")
    ingest(
        live,
        [
            deal(account, 1, at(TUESDAY, 9), lots="1", price="1.1"),
            deal(account, 2, at(TUESDAY, 10), lots="3", price="1.2", position=1),
            deal(account, 3, at(TUESDAY, 23), side=Side.SELL, entry=DealEntry.OUT, lots="2", position=1),
            deal(account, 4, at(WEDNESDAY, 23), side=Side.SELL, entry=DealEntry.INOUT, lots="5", position=1),
        ],
    )
    for day in (TUESDAY, WEDNESDAY, THURSDAY):
        run_rollover(server_id=live.pk, day=day, actor=SYSTEM)
    assert [(line.volume_lots, line.term.side, line.swap) for line in lines()] == [
        (Decimal(4), 1, Decimal(-40)),
        (Decimal(2), 1, Decimal(-60)),
        (Decimal(3), -1, Decimal(15)),
    ]
    assert lines()[0].open_price == Decimal("1.175")


def test_a_repeat_writes_nothing() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    ingest(live, [deal(account, 1, at(TUESDAY, 9))])
    first = run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    again = run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert again == first
    assert (SwapRun.objects.count(), SwapTerm.objects.count(), SwapLine.objects.count()) == (1, 1, 1)


def test_a_late_deal_and_a_corrected_rate_are_booked_as_differences() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    ingest(live, [deal(account, 1, at(TUESDAY, 9))])
    run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    ingest(
        live,
        [
            deal(account, 2, at(TUESDAY, 12)),
            deal(account, 3, at(TUESDAY, 13), side=Side.SELL, entry=DealEntry.OUT, lots="0.4", position=1),
        ],
        as_of=at(WEDNESDAY, 9),
    )
    run = run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert run.number == 2
    assert [(line.position_ticket, line.seq, line.swap, line.cause) for line in lines()] == [
        (1, 0, Decimal(-10), "swap"),
        (1, 1, Decimal(4), "correction"),
        (2, 0, Decimal(-10), "swap"),
    ]
    rate(eurusd, "-12")
    run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert sum(line.swap for line in lines()) == Decimal("-19.20")
    assert run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM).number == 3


def test_a_position_that_never_was_is_taken_back() -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    ingest(live, [deal(account, 1, at(TUESDAY, 9))])
    run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    ingest(live, [deal(account, 1, at(WEDNESDAY, 9))], as_of=at(WEDNESDAY, 10))
    run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert [(line.seq, line.swap, line.volume_lots) for line in lines()] == [
        (0, Decimal(-10), Decimal(1)),
        (1, Decimal(10), Decimal(0)),
    ]


def test_before_the_cut_nothing_is_computed() -> None:
    live = server()
    with pytest.raises(Conflict):
        run_rollover(server_id=live.pk, day=date(2090, 1, 2), actor=SYSTEM)
    assert not SwapRun.objects.exists()


def test_who_may_not_run_it_changes_nothing() -> None:
    live = server()
    with pytest.raises(Denied):
        run_rollover(server_id=live.pk, day=TUESDAY, actor=platform.staff())
    assert not SwapRun.objects.exists()


def test_a_conversion_that_nobody_has_is_named_and_nothing_is_written() -> None:
    live = server()
    usdtry = symbol("USDTRY")
    account = platform.make_account(live)
    rate(usdtry, "-11.35")
    ingest(live, [deal(account, 1, at(TUESDAY, 9), name="USDTRY", price="4.39")])
    with pytest.raises(MissingRate) as caught:
        run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert caught.value.details["symbol"] == "USDTRY"
    assert not SwapLine.objects.exists()
    assert not SwapRun.objects.exists()


def test_the_published_lira_example_by_both_settings() -> None:
    live = server()
    usdtry = symbol("USDTRY")
    account = platform.make_account(live)
    rate(usdtry, "-11.35")
    close(usdtry, TUESDAY, str(1 / Decimal("0.2274587"))[:12])
    ingest(live, [deal(account, 1, at(TUESDAY, 9), name="USDTRY", lots="5", price="4.39")])
    run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM)
    assert lines()[0].swap == Decimal("-12.94")


@pytest.mark.parametrize(
    ("zone", "day", "hour"),
    [
        # Server midnight is 17:00 New York all year on EET by American dates; on the European dates it is an hour later
        # in the weeks between the two switches.
        ("EET_US", date(2026, 3, 6), 22), ("EET_US", date(2026, 3, 9), 21), ("EET_US", date(2026, 11, 2), 22),
        ("EET_EU", date(2026, 3, 9), 22), ("EET_EU", date(2026, 3, 30), 21), ("EET_EU", date(2026, 10, 26), 22),
        ("UTC", date(2026, 3, 9), 24), ("FIXED+03:00", date(2026, 3, 9), 21),
    ],
)  # fmt: skip
def test_the_cut_follows_the_servers_clock(zone: str, day: date, hour: int) -> None:
    live, eurusd = server(zone), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    cut = at(day, 0) + timedelta(hours=hour)
    ingest(live, [deal(account, 1, cut - timedelta(seconds=1)), deal(account, 2, cut)])
    run = run_rollover(server_id=live.pk, day=day, actor=SYSTEM)
    assert run.cut_at == cut
    assert [line.position_ticket for line in lines()] == [1]
