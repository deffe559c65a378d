"""A server is followed over the wire: nothing twice, nothing lost, nothing with a wrong time."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from backoffice.core.books import verify_books
from backoffice.core.models import WorkItem
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, day_bounds, previous_business_day
from backoffice.kernel.errors import Conflict
from platform_ops.models import (
    BalanceOperation,
    BusinessDay,
    Deal,
    OrderExecution,
    Position,
    ServerConnection,
    ServerSync,
    SyncGap,
    Trade,
    TradingAccount,
    TradingServer,
)
from platform_ops.selectors.servers import followed_until
from platform_ops.services.day_steps import prove_deals_complete
from platform_ops.services.sync import follow_once, look_back
from platform_ops.services.sync import state as sync_state
from platform_ops.services.sync.work import SERVER_ANSWERS, SERVER_CLOCK, SERVER_UNREACHABLE, SYNC_GAP
from tests.peers import peer
from tests.platform_ops.sync.conftest import connect
from tests.trading_server import EURO_LOGIN, HEDGING_LOGIN, NETTING_LOGIN, RunningServer

pytestmark = pytest.mark.django_db
State = ServerSync.State


def sync_of(server: TradingServer) -> ServerSync:
    return ServerSync.objects.get(server=server)


def books() -> dict[str, Any]:
    """Everything that following a server writes about deals."""
    return {
        model.__name__: list(model.objects.order_by("pk").values())
        for model in (Deal, Trade, Position, BalanceOperation, TradingAccount)
    }


def open_kinds() -> set[str]:
    standing = WorkItem.objects.exclude(state=WorkItem.State.CLOSED).filter(clears_at__isnull=True)
    return set(standing.filter(kind__startswith="platform.s").values_list("kind", flat=True))


def made_older(server: TradingServer, by: timedelta) -> None:
    """As if so much time had passed since the server was followed."""
    sync = sync_of(server)
    moved = {
        name: getattr(sync, name) - by
        for name in ("cursor_at", "last_success_at", "heartbeat_at", "state_since", "down_since")
        if getattr(sync, name) is not None
    }
    ServerSync.objects.filter(pk=sync.pk).update(**moved)


def test_what_happens_on_the_server_is_in_the_books(server: TradingServer, simulated: RunningServer) -> None:
    opened = simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
    simulated.order(NETTING_LOGIN, "XAUUSD", "SELL", "0.50")
    simulated.quote("EURUSD", "1.10100", "1.10110")
    simulated.close(HEDGING_LOGIN, opened.order.position, "0.40")

    followed = follow_once(server_id=server.pk)

    assert (followed.state, followed.new_deals) == (State.LIVE, 6)
    assert BalanceOperation.objects.filter(server=server).count() == 3
    trade = Trade.objects.get(server=server)
    assert (trade.account.login, trade.volume_lots, trade.profit) == ("5001", Decimal("0.40"), Decimal("36.00"))
    lots = {position.account.login: position.volume_lots for position in Position.objects.select_related("account")}
    assert lots == {"5001": Decimal("0.60"), "5002": Decimal("0.50")}
    account = TradingAccount.objects.get(server=server, login=str(EURO_LOGIN))
    assert (account.currency, account.leverage, account.name) == ("EUR", 100, "Cleo Euro")
    assert account.group is not None and account.group.name == "demo\\hedging-eur"
    assert TradingAccount.objects.get(login=str(NETTING_LOGIN)).position_mode == "netting"
    assert OrderExecution.objects.filter(server=server).count() == 3
    sync = sync_of(server)
    assert sync.deals == 6
    assert sync.last_deal_at == Deal.objects.latest("at").at
    assert sync.cursor_at is not None and clock.now() - sync.cursor_at < timedelta(seconds=10)
    assert followed_until(server_id=server.pk) == sync.cursor_at
    assert verify_books()["ok"]


def test_following_again_changes_nothing(server: TradingServer, simulated: RunningServer) -> None:
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
    follow_once(server_id=server.pk)
    before = books()

    for _ in range(3):
        assert follow_once(server_id=server.pk).new_deals == 0

    assert books() == before
    assert SyncGap.objects.count() == 0


@pytest.mark.parametrize("fault", ["duplicate", "reorder"])
def test_duplicated_and_reordered_batches_change_nothing(
    server: TradingServer, simulated: RunningServer, fault: str
) -> None:
    first = simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
    simulated.close(HEDGING_LOGIN, first.order.position)
    simulated.fault(fault)

    follow_once(server_id=server.pk)
    before = books()
    simulated.lift()
    follow_once(server_id=server.pk)

    assert books() == before
    assert Deal.objects.count() == 5
    assert Trade.objects.count() == 1


def test_a_server_that_is_gone_for_an_hour_leaves_a_gap_that_is_refilled(
    server: TradingServer, simulated: RunningServer
) -> None:
    follow_once(server_id=server.pk)
    made_older(server, timedelta(hours=1))
    since = sync_of(server).cursor_at
    with peer(lambda talk: None) as silent:
        port = silent.port
    ServerConnection.objects.filter(server=server).update(port=port)

    followed = follow_once(server_id=server.pk)

    assert followed.state == State.UNREACHABLE
    assert server.code in followed.message
    assert followed.wait_seconds > 0
    gap = SyncGap.objects.get(server=server)
    assert (gap.from_at, gap.filled_at) == (since, None)
    assert followed_until(server_id=server.pk) == since
    assert open_kinds() == set()  # away for seconds is nobody's work
    made_older(server, timedelta(minutes=10))
    follow_once(server_id=server.pk)
    assert open_kinds() == {SERVER_UNREACHABLE}
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")

    ServerConnection.objects.filter(server=server).update(port=simulated.port)
    back = follow_once(server_id=server.pk)

    gap.refresh_from_db()
    assert (back.state, back.new_deals) == (State.LIVE, 1)
    assert gap.filled_at is not None and gap.deals == 1
    assert open_kinds() == set()
    assert sync_of(server).failures == 0
    assert followed_until(server_id=server.pk) == sync_of(server).cursor_at


def test_waiting_grows_with_every_failure_and_is_bounded(server: TradingServer, simulated: RunningServer) -> None:
    with peer(lambda talk: None) as silent:
        ServerConnection.objects.filter(server=server).update(port=silent.port)
    waits = [follow_once(server_id=server.pk).wait_seconds for _ in range(12)]

    assert 0.5 <= waits[0] <= 1
    assert 60 <= waits[-1] <= 120
    assert sync_of(server).failures == 12


@pytest.mark.parametrize("seconds", [3600, -3600, 125])
def test_nothing_is_booked_while_the_clock_is_off(
    server: TradingServer, simulated: RunningServer, seconds: int
) -> None:
    follow_once(server_id=server.pk)
    before, cursor = books(), sync_of(server).cursor_at
    simulated.clock(seconds)
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")

    followed = follow_once(server_id=server.pk)

    assert followed.state == State.CLOCK_OFF
    assert server.code in followed.message and "clock" in followed.message
    assert books() == before
    sync = sync_of(server)
    assert sync.cursor_at == cursor
    assert sync.clock_offset_seconds is not None and abs(sync.clock_offset_seconds - seconds) < 3
    assert open_kinds() == {SERVER_CLOCK}

    simulated.clock(0)
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "0.50")
    assert follow_once(server_id=server.pk).state == State.LIVE
    assert open_kinds() == set()
    assert Deal.objects.filter(volume_lots=Decimal("0.50")).exists()


def test_a_clock_that_jumps_between_the_look_and_the_answer_books_nothing(
    server: TradingServer, simulated: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from platform_ops.services.sync import follow

    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
    looks: list[int] = []
    real = follow._offset

    def looking(connection: Any, gateway: Any) -> timedelta:
        found = real(connection, gateway)
        looks.append(1)
        simulated.clock(3600)
        return found

    monkeypatch.setattr(follow, "_offset", looking)

    assert follow_once(server_id=server.pk).state == State.CLOCK_OFF
    assert len(looks) == 2
    assert Deal.objects.count() == 0


def test_a_garbled_answer_holds_the_server_and_loses_nothing(server: TradingServer, simulated: RunningServer) -> None:
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
    simulated.fault("garble", commands="DEAL_GET_BATCH", times=1)

    followed = follow_once(server_id=server.pk)

    assert followed.state == State.FAILED
    assert server.code in followed.message
    assert Deal.objects.count() == 0
    assert open_kinds() == {SERVER_ANSWERS}
    assert follow_once(server_id=server.pk).new_deals == 4
    assert open_kinds() == set()


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "cut_answer"])
def test_a_connection_that_breaks_within_an_answer_loses_nothing(
    server: TradingServer, simulated: RunningServer, fault: str
) -> None:
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
    simulated.fault(fault, commands="DEAL_GET_BATCH", times=2)

    states = [follow_once(server_id=server.pk).state for _ in range(2)]

    assert State.UNREACHABLE in states
    simulated.lift()
    follow_once(server_id=server.pk)
    assert Deal.objects.count() == 4


def test_one_record_that_cannot_be_booked_waits_and_holds_up_no_other(
    server: TradingServer, simulated: RunningServer
) -> None:
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
    bad = simulated.order(NETTING_LOGIN, "XAUUSD", "BUY", "0.50").deal
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "2.00")
    assert bad is not None
    right = bad.price
    simulated.call(lambda: setattr(bad, "price", Decimal(0)))

    followed = follow_once(server_id=server.pk)

    assert (followed.state, followed.new_deals) == (State.FAILED, 5)
    for part in (server.code, str(bad.ticket), "XAUUSD", "5002", "price"):
        assert part in followed.message
    assert open_kinds() == {SERVER_ANSWERS}
    cursor = sync_of(server).cursor_at
    assert cursor is not None and cursor <= Deal.objects.latest("at").at
    assert followed.wait_seconds >= 30
    before = books()
    follow_once(server_id=server.pk)
    assert books() == before

    simulated.call(lambda: setattr(bad, "price", right))
    mended = follow_once(server_id=server.pk)

    assert (mended.state, mended.new_deals) == (State.LIVE, 1)
    assert open_kinds() == set()


def test_deals_that_the_server_tells_late_are_found_by_looking_back(
    server: TradingServer, simulated: RunningServer
) -> None:
    simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
    simulated.hide(0, 1 << 62)
    follow_once(server_id=server.pk)
    made_older(server, timedelta(0))
    ServerSync.objects.filter(server=server).update(cursor_at=clock.now() + timedelta(minutes=2))
    ServerConnection.objects.filter(server=server).update(started_at=clock.now() - timedelta(days=2))
    assert look_back(server_id=server.pk) == 0
    simulated.lift()

    assert look_back(server_id=server.pk) == 4

    gap = SyncGap.objects.get(server=server)
    assert (gap.deals, gap.filled_at is None) == (4, False)
    assert look_back(server_id=server.pk) == 0


def test_a_correction_on_the_server_becomes_a_revision(server: TradingServer, simulated: RunningServer) -> None:
    deal = simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00").deal
    follow_once(server_id=server.pk)
    assert deal is not None
    simulated.call(lambda: setattr(deal, "commission", Decimal("-7.00")))

    followed = follow_once(server_id=server.pk)

    assert (followed.new_deals, followed.corrected_deals) == (0, 1)
    assert Deal.objects.filter(ticket=deal.ticket).count() == 2


def test_a_long_absence_is_caught_up_in_windows(server: TradingServer, simulated: RunningServer) -> None:
    ServerConnection.objects.filter(server=server).update(started_at=clock.now() - timedelta(days=3, hours=1))

    states = [follow_once(server_id=server.pk) for _ in range(4)]

    assert [step.state for step in states] == [State.CATCHING_UP] * 3 + [State.LIVE]
    assert [step.wait_seconds for step in states[:3]] == [0.0, 0.0, 0.0]
    assert Deal.objects.count() == 3
    assert SyncGap.objects.count() == 0


def test_the_cursor_never_moves_back(server: TradingServer, simulated: RunningServer) -> None:
    follow_once(server_id=server.pk)
    sync = sync_of(server)
    cursor = sync.cursor_at
    assert cursor is not None

    # Another process, which was paused, writes what it knew.
    sync_state.note_window(
        sync, cursor=cursor - timedelta(hours=3), is_live=True, last_deal_at=None, deals=0, now=clock.now()
    )

    assert sync_of(server).cursor_at == cursor


def test_a_connection_that_is_switched_off_is_not_followed(server: TradingServer, simulated: RunningServer) -> None:
    ServerConnection.objects.filter(server=server).update(is_enabled=False)

    assert follow_once(server_id=server.pk).state == State.STOPPED
    assert Deal.objects.count() == 0
    assert followed_until(server_id=server.pk) is None


def test_a_wrong_password_is_said_and_not_tried_at_once_again(server: TradingServer, simulated: RunningServer) -> None:
    connect(server, simulated, password="wrong", options={"answer_seconds": 5})

    followed = follow_once(server_id=server.pk)

    assert followed.state == State.FAILED
    assert "1001" in followed.message
    assert followed.wait_seconds >= 30


def test_a_gap_that_stays_open_is_somebodys_work(server: TradingServer, simulated: RunningServer) -> None:
    from backoffice.core.services import work_sweep

    follow_once(server_id=server.pk)
    now = clock.now()
    SyncGap.objects.create(
        server=server,
        from_at=now - timedelta(hours=3),
        to_at=now - timedelta(hours=2),
        found_at=now - timedelta(hours=2),
    )
    work_sweep.sweep()
    assert open_kinds() == {SYNC_GAP}

    follow_once(server_id=server.pk)

    assert open_kinds() == set()


def test_a_server_that_nobody_follows_is_somebodys_work(server: TradingServer, simulated: RunningServer) -> None:
    from backoffice.core.services import work_sweep

    follow_once(server_id=server.pk)
    made_older(server, timedelta(minutes=30))
    ServerSync.objects.filter(server=server).update(next_try_at=None)

    work_sweep.sweep()

    item = WorkItem.objects.get(kind=SERVER_UNREACHABLE)
    assert "followed by no process" in item.title


def test_a_day_is_not_complete_before_its_last_deal_was_read(server: TradingServer, simulated: RunningServer) -> None:
    follow_once(server_id=server.pk)
    today = business_day_of(clock.now())
    yesterday = previous_business_day(previous_business_day(today))
    day = BusinessDay(server=server, entity=server.entity, day=yesterday)
    end = day_bounds(yesterday)[1]
    gap = SyncGap.objects.create(server=server, from_at=end - timedelta(hours=2), to_at=end - timedelta(hours=1))

    with pytest.raises(Conflict) as caught:
        prove_deals_complete(day)

    assert caught.value.code == "not_read_to_its_end"
    gap.delete()
    assert prove_deals_complete(day)["trades"] == 0
