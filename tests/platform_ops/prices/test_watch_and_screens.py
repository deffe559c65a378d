"""Feeds that go wrong become work once; closing prices come from ticks; the screens and the API show it all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import time_machine

from backoffice.core.models import WorkItem
from backoffice.core.services import work_sweep
from backoffice.core.types import Role
from backoffice.devstack.demo.feeds import FEEDS, DemoFeeds, seed
from backoffice.kernel.business_day import business_day_of
from platform_ops.models import BufferedTick, BusinessDay, DailyPrice, PriceFeed, PriceSource, Quote, RejectionEpisode
from platform_ops.rules.price_filter import FilterLevels
from platform_ops.selectors.prices import trades_near_rejections
from platform_ops.services.day_steps import fix_prices
from platform_ops.services.prices import accept_ticks
from platform_ops.services.prices.watch import (
    REJECTED_FEED,
    SILENT_FEED,
    TICK_STORM,
    rejected_feeds,
    silent_feeds,
    storms,
)
from platform_ops.types import Side
from tests.factories import platform
from tests.factories.platform import SYSTEM
from tests.platform_ops.prices.world import MONDAY_NOON, WORKED, make_source, make_symbol, send, ticks

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, settings: Any) -> None:
    settings.TICK_FOLDER = str(tmp_path / "ticks")


def keys(conditions: Any) -> list[str]:
    return [condition.group_key for condition in conditions]


def test_a_silent_feed_is_work_while_its_market_is_open_and_no_other_time() -> None:
    make_source("alpha", silence_seconds=60)
    pair = make_symbol("EURUSD")
    send(pair, (0, "1.50000", "1.50010"))

    with time_machine.travel(MONDAY_NOON + timedelta(seconds=59), tick=False):
        assert keys(silent_feeds(None)) == []
    with time_machine.travel(MONDAY_NOON + timedelta(seconds=60), tick=False):
        assert keys(silent_feeds(None)) == ["alpha:EURUSD"]
        assert keys(silent_feeds(["beta:EURUSD"])) == []
    with time_machine.travel(datetime(2026, 3, 7, 12, tzinfo=UTC), tick=False):
        assert keys(silent_feeds(None)) == []
    with time_machine.travel(datetime(2026, 3, 8, 21, 0, 30, tzinfo=UTC), tick=False):
        assert keys(silent_feeds(None)) == [], "the market has just opened"


def test_a_source_that_is_silent_altogether_is_one_item_and_closes_only_after_a_while() -> None:
    make_source("alpha", silence_seconds=60)
    pairs = [make_symbol("EURUSD"), make_symbol("GBPUSD")]
    for pair in pairs:
        send(pair, (0, "1.50000", "1.50010"))

    with time_machine.travel(MONDAY_NOON + timedelta(seconds=90), tick=False):
        work_sweep.sweep()
        assert list(WorkItem.objects.filter(kind=SILENT_FEED).values_list("group_key", flat=True)) == ["alpha:*"]
    for pair in pairs:
        send(pair, (100, "1.50001", "1.50011"))
    with time_machine.travel(MONDAY_NOON + timedelta(seconds=101), tick=False):
        work_sweep.sweep()
        assert WorkItem.objects.get(kind=SILENT_FEED).closed_at is None


def test_a_feed_that_is_mostly_rejected_and_a_storm_are_work() -> None:
    make_source("alpha", storm_ticks=1)
    pair = make_symbol()
    send(pair, (0, "1.50000", "1.50010"))
    send(pair, *((1 + n / 10, "1.60000", "1.60010") for n in range(3)))
    with time_machine.travel(MONDAY_NOON + timedelta(seconds=5), tick=False):
        assert keys(rejected_feeds(None)) == [] and keys(storms(None)) == []

    send(pair, *((2 + n / 100, "1.80000", "1.80010") for n in range(100)))

    with time_machine.travel(MONDAY_NOON + timedelta(seconds=5), tick=False):
        assert keys(rejected_feeds(None)) == keys(storms(None)) == ["alpha:EURUSD"]
        work_sweep.sweep()
    assert set(WorkItem.objects.values_list("kind", flat=True)) >= {REJECTED_FEED, TICK_STORM}
    assert Quote.objects.get().bid == Decimal("1.50000")


def test_a_storm_of_a_hundred_times_is_taken_in_whole_with_one_quote_and_no_jump() -> None:
    make_source()
    pair = make_symbol()
    storm = [(n / 1_000, f"1.5{n % 7:04}", f"1.5{n % 7 + 9:04}") for n in range(5_000)]
    storm[2_500] = (2.5, "15.00000", "15.00010")
    storm[3_500] = (3.5, "1.50020", "1.50000")

    intake = send(pair, *storm)

    assert intake.accepted + intake.repeated + intake.rejections == intake.ticks - intake.duplicates == 5_000
    assert dict(intake.rejected) == {"crossed": 1, "discard": 1}
    assert (intake.quotes, RejectionEpisode.objects.count(), BufferedTick.objects.count()) == (1, 2, 5_000)
    assert Decimal("1.50000") <= Quote.objects.get().bid <= Decimal("1.50007")


def test_closing_price_is_the_last_accepted_tick_of_the_day_before_quote_and_deal() -> None:
    make_source()
    pair = make_symbol()
    server = platform.make_server()
    platform.make_trade(
        platform.make_account(server), server_symbol=platform.make_server_symbol(server, "EURUSD", pair), side=Side.BUY,
        closed_at=MONDAY_NOON, close_price=Decimal("1.40000"),
    )  # fmt: skip
    send(pair, (0, "1.50213", "1.50231"), (1, "1.50220", "1.50238"), (2, "1.90000", "1.90010"))
    send(pair, (60 * 60 * 14, "1.50400", "1.50410"))
    day = BusinessDay.objects.create(server=server, entity=server.entity, day=business_day_of(MONDAY_NOON))

    fix_prices(day)

    price = DailyPrice.objects.get(symbol=pair, business_day=day.day)
    assert (price.bid, price.ask, price.source) == (Decimal("1.50220"), Decimal("1.50238"), "last tick")


def test_trades_near_a_rejected_tick_are_listed_to_who_may_see_them() -> None:
    make_source()
    pair = make_symbol()
    server = platform.make_server()
    named = platform.make_server_symbol(server, "EURUSD", pair)
    account = platform.make_account(server)
    send(pair, *WORKED)
    hit = platform.make_trade(
        account, server_symbol=named, side=Side.SELL, opened_at=MONDAY_NOON - timedelta(hours=3),
        open_price=Decimal("1.4"), closed_at=MONDAY_NOON + timedelta(seconds=2), close_price=Decimal("1.50388"),
    )  # fmt: skip
    platform.make_trade(
        account, server_symbol=named, side=Side.SELL, opened_at=MONDAY_NOON - timedelta(hours=3),
        open_price=Decimal("1.4"), closed_at=MONDAY_NOON + timedelta(seconds=60), close_price=Decimal("1.50388"),
    )  # fmt: skip
    since = MONDAY_NOON - timedelta(days=1)

    (near,) = trades_near_rejections(actor=SYSTEM, since=since, seconds=5)

    assert (near.trade.pk, near.which, near.at_its_price, near.reason) == (
        hit.pk,
        "Closing",
        True,
        "Beyond the soft level",
    )
    elsewhere = platform.staff(Role.PLATFORM_OPERATIONS, entities=[platform.make_entity()])
    assert trades_near_rejections(actor=elsewhere, since=since, seconds=5) == []


def test_the_demo_feeds_are_taken_in_on_weekdays_and_rest_at_the_weekend() -> None:
    pair = make_symbol("EURUSD", levels=None)
    quote = {pair.pk: (Decimal("1.08500"), Decimal("1.08508"))}
    with time_machine.travel(MONDAY_NOON, tick=False):
        Quote.objects.create(symbol=pair, bid=quote[pair.pk][0], ask=quote[pair.pk][1], at=MONDAY_NOON, source="market")
        sent = seed(actor=SYSTEM, now=MONDAY_NOON)
        feeds = DemoFeeds(seed=1)
        assert feeds.send(quote, at=MONDAY_NOON) == len(FEEDS)
    saturday = MONDAY_NOON - timedelta(days=2)
    with time_machine.travel(saturday, tick=False):
        before = BufferedTick.objects.count()
        assert feeds.send(quote, at=saturday) == 0

    assert sent == 3 * 360 and PriceSource.objects.count() == 3
    assert BufferedTick.objects.count() == before
    assert PriceFeed.objects.filter(symbol=pair).count() == 3


def test_repeated_prices_of_one_source_are_frozen_and_stale_while_others_move() -> None:
    levels = FilterLevels(frozen_ticks=3, stale_seconds=20, stale_points=5, consensus_seconds=60)
    pair = make_symbol(levels=levels)
    for code, priority in (("alpha", 1), ("beta", 2)):
        make_source(code, priority)
    send(pair, (0, "1.50000", "1.50010"), source="beta")
    send(pair, (1, "1.50000", "1.50010"))
    send(pair, (20, "1.50020", "1.50030"), source="beta")

    stale = send(pair, (30, "1.50000", "1.50010"))
    frozen = send(pair, (31, "1.50000", "1.50010"), (32, "1.50000", "1.50010"))

    assert dict(stale.rejected) == {"stale": 1}
    assert dict(frozen.rejected) == {"frozen": 1, "stale": 1}
    assert accept_ticks(source="alpha", ticks=ticks(pair, []), received_at=MONDAY_NOON).ticks == 0
