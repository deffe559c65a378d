"""Other levels of the filter: replayed over stored ticks, approved by another person, applied, verified, reverted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine

from backoffice.core.models import AuditRecord, ChangeRequest, LegalEntity
from backoffice.core.services import changes
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from platform_ops.models import PriceFilterSetting, SymbolPriceState
from platform_ops.price_changes import levels_in_force
from platform_ops.rules.price_filter import FilterLevels, Verdict
from platform_ops.services.prices import store
from platform_ops.services.prices.replay import replay_filter
from platform_ops.services.prices.settings import request_filter, set_filter
from platform_ops.services.prices.sources import restart_feed
from platform_ops.types import Side
from tests.factories import platform
from tests.factories.changes import make_person
from tests.factories.platform import SYSTEM
from tests.platform_ops.prices.world import LEVELS, MONDAY_NOON, WORKED, make_source, make_symbol, send

pytestmark = pytest.mark.django_db
NOW = MONDAY_NOON + timedelta(hours=1)
WIDER = replace(LEVELS, soft_points=200)


@pytest.fixture(autouse=True)
def afternoon(tmp_path: Path, settings: object) -> object:
    settings.TICK_FOLDER = str(tmp_path / "ticks")  # type: ignore[attr-defined]
    with time_machine.travel(NOW, tick=False):
        yield


def people() -> tuple[object, object]:
    platform.make_entity()
    everywhere = list(LegalEntity.objects.all())
    return (
        make_person(Role.PLATFORM_OPERATIONS, entities=everywhere),
        make_person(Role.DEALING, entities=everywhere),
    )


def test_replay_of_the_levels_in_force_gives_the_stored_verdicts_and_a_draft_its_difference() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED, (5, "1.5021349", None))
    store.flush_ticks()

    found = replay_filter(symbol_id=symbol.pk, source_id=None, draft=WIDER, end=NOW)

    assert found.before == {Verdict.ACCEPTED: 2, Verdict.SOFT: 3, Verdict.OFF_GRID: 1}
    assert found.after == {Verdict.ACCEPTED: 5, Verdict.OFF_GRID: 1}
    assert (found.ticks, found.newly_kept, found.newly_dropped) == (6, 3, 0)
    assert len(found.rows) == 6


def test_replay_judges_in_the_order_of_arrival_also_when_times_run_backwards() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, (10, "1.50000", "1.50010"), (5, "1.50001", "1.50011"), (11, "1.50002", "1.50012"))
    store.flush_ticks()

    found = replay_filter(symbol_id=symbol.pk, source_id=None, draft=LEVELS, end=NOW)

    assert found.before == found.after == {Verdict.ACCEPTED: 2, Verdict.BACKWARDS: 1}


def test_trades_on_ticks_that_change_are_listed_with_their_result() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED)
    server = platform.make_server()
    named = platform.make_server_symbol(server, "EURUSD", symbol)
    account = platform.make_account(server)
    at = MONDAY_NOON + timedelta(seconds=2)
    on_tick = platform.make_trade(
        account, server_symbol=named, side=Side.BUY, opened_at=at - timedelta(hours=1), open_price=Decimal("1.50000"),
        closed_at=at, close_price=Decimal("1.50370"), profit=Decimal("37.00"),
    )  # fmt: skip
    platform.make_trade(
        account, server_symbol=named, side=Side.BUY, opened_at=at - timedelta(hours=1), open_price=Decimal("1.50000"),
        closed_at=at, close_price=Decimal("1.50213"), profit=Decimal("21.30"),
    )  # fmt: skip

    found = replay_filter(symbol_id=symbol.pk, source_id=None, draft=WIDER, end=NOW)

    assert [(each.trade.pk, each.is_opening, each.would_be_dropped) for each in found.trades] == [
        (on_tick.pk, False, False)
    ]
    assert found.results() == {account.currency: on_tick.profit + on_tick.swap + on_tick.commission + on_tick.fee}


def test_levels_travel_from_draft_to_reverted() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED)
    maker, checker = people()

    change = request_filter(
        symbol_id=symbol.pk, source_id=None, levels=WIDER, valid_from=NOW, actor=maker, reason="News", submit=True
    )
    assert "3 kept that were dropped" in change.impact_summary
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=maker, reason="Mine")
    changes.approve_change(change_id=change.pk, actor=checker, reason="Seen")
    changes.apply_change(change_id=change.pk, actor=maker)

    change = ChangeRequest.objects.get(pk=change.pk)
    assert change.state == "verified", (change.state, change.error)
    assert levels_in_force(symbol, None, NOW) == WIDER
    assert levels_in_force(symbol, None, NOW - timedelta(seconds=1)) == LEVELS
    send(symbol, (3700, "1.50554", "1.50572"))
    assert SymbolPriceState.objects.get().sources[str(make_source().pk)]["bid"] == 150554
    changes.revert_change(change_id=change.pk, actor=checker, reason="Over")
    assert levels_in_force(symbol, None, NOW) == LEVELS
    actions = set(AuditRecord.objects.values_list("action", flat=True))
    assert {"platform.set_price_filter", "platform.restore_price_filter"} <= actions


def test_a_person_needs_an_approved_request_and_a_right() -> None:
    symbol = make_symbol()
    maker, _ = people()
    before = list(PriceFilterSetting.objects.values())

    with pytest.raises(Denied, match="approved"):
        set_filter(symbol_id=symbol.pk, source_id=None, levels=WIDER, valid_from=NOW, actor=maker)  # type: ignore[arg-type]
    with pytest.raises(Denied):
        request_filter(
            symbol_id=symbol.pk, source_id=None, levels=WIDER, valid_from=NOW, actor=make_person(Role.SALES), reason="x"
        )
    assert list(PriceFilterSetting.objects.values()) == before


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"hard_points": 100}, "hard_points"),
        ({"discard_points": 100}, "discard_points"),
        ({"soft_ticks": 0}, "soft_ticks"),
        ({"hard_ticks": 0}, "hard_ticks"),
        ({"spread_minimum": 9, "spread_maximum": 5}, "spread_maximum"),
        ({"stale_seconds": 60}, "stale_points"),
        ({"soft_points": -1}, "soft_points"),
        ({"spike_multiple": 5_000}, "spike_multiple"),
    ],
)
def test_levels_that_contradict_each_other_are_refused(wrong: dict[str, int], field: str) -> None:
    symbol = make_symbol()
    maker, _ = people()

    with pytest.raises(InvalidInput) as refused:
        request_filter(
            symbol_id=symbol.pk,
            source_id=None,
            levels=replace(LEVELS, **wrong),
            valid_from=NOW,
            actor=maker,
            reason="x",  # type: ignore[arg-type]
        )
    assert refused.value.details["field"] == field
    assert not ChangeRequest.objects.exists()


def test_a_request_against_levels_that_moved_on_is_stale() -> None:
    symbol = make_symbol()
    maker, _ = people()
    change = request_filter(
        symbol_id=symbol.pk,
        source_id=None,
        levels=WIDER,
        valid_from=NOW,
        actor=maker,
        reason="x",  # type: ignore[arg-type]
    )
    set_filter(symbol_id=symbol.pk, source_id=None, levels=FilterLevels(), valid_from=NOW, actor=SYSTEM)

    with pytest.raises(Conflict):
        changes.submit_change(change_id=change.pk, actor=maker)  # type: ignore[arg-type]


def test_settings_count_from_the_narrowest_to_the_widest() -> None:
    source, other = make_source("alpha"), make_source("beta")
    symbol, free = make_symbol(), make_symbol("GBPUSD", levels=None)
    of_source, of_both = FilterLevels(soft_points=7, soft_ticks=1), FilterLevels(soft_points=9, soft_ticks=1)
    set_filter(symbol_id=None, source_id=source.pk, levels=of_source, valid_from=NOW, actor=SYSTEM)

    assert levels_in_force(symbol, source, NOW) == LEVELS
    assert levels_in_force(free, source, NOW) == of_source
    assert levels_in_force(free, other, NOW).soft_points > 0
    set_filter(symbol_id=symbol.pk, source_id=source.pk, levels=of_both, valid_from=NOW, actor=SYSTEM)
    assert levels_in_force(symbol, source, NOW) == of_both
    assert levels_in_force(symbol, other, NOW) == LEVELS


def test_a_feed_stuck_on_a_wrong_price_is_restarted_by_a_person() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, (0, "15.02130", "15.02310"))
    assert dict(send(symbol, (1, "1.50213", "1.50231")).rejected) == {"discard": 1}
    maker, _ = people()
    feed = symbol.feeds.get()

    with pytest.raises(Denied):
        restart_feed(feed_id=feed.pk, actor=make_person(Role.SALES), reason="x")
    restart_feed(feed_id=feed.pk, actor=maker, reason="Wrong price taken")  # type: ignore[arg-type]

    assert send(symbol, (2, "1.50213", "1.50231")).accepted == 1
    assert AuditRecord.objects.filter(action="platform.restart_price_feed").exists()
