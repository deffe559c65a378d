"""One process leads for each server, another takes over when it dies, and the end comes within a bound."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.core.management import CommandError, call_command

from backoffice.core.models import ProcessHeartbeat
from backoffice.kernel import clock
from platform_ops.models import Deal, ServerConnection, ServerSync, TradingServer
from platform_ops.services.sync import supervisor
from platform_ops.services.sync.supervisor import Follower, Leadership
from tests.peers import peer
from tests.trading_server import HEDGING_LOGIN, RunningServer

pytestmark = pytest.mark.django_db(transaction=True)
PATIENCE_SECONDS = 20.0


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def test_a_process_follows_takes_over_and_ends(
    server: TradingServer, simulated: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(supervisor, "STANDBY_SECONDS", 0.1)
    ServerConnection.objects.update(interval_seconds=1)
    stopping = threading.Event()
    first = threading.Thread(target=supervisor.run, kwargs={"stopping": stopping})
    first.start()
    standby = Follower(server.pk, server.code)
    try:
        eventually(lambda: ServerSync.objects.filter(server=server, state="live").exists())
        standby.start()
        simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "1.00")
        eventually(lambda: Deal.objects.count() == 4)
        assert not standby.leads
        assert ProcessHeartbeat.objects.get(name=supervisor.HEARTBEAT).detail["leading"] == 1

        stopping.set()
        first.join(PATIENCE_SECONDS)
        assert not first.is_alive()

        eventually(lambda: standby.leads)
        simulated.order(HEDGING_LOGIN, "EURUSD", "BUY", "2.00")
        eventually(lambda: Deal.objects.count() == 5)
    finally:
        stopping.set()
        standby.stop()
        first.join(PATIENCE_SECONDS)
        assert standby.join(PATIENCE_SECONDS)


def test_a_follower_that_waits_for_a_silent_server_ends_at_once(
    server: TradingServer, simulated: RunningServer
) -> None:
    heard = threading.Event()

    def silent(talk: object) -> None:
        heard.set()
        time.sleep(3)

    with peer(silent) as listening:
        ServerConnection.objects.update(port=listening.port, options={"answer_seconds": 60})
        follower = Follower(server.pk, server.code).start()
        assert heard.wait(PATIENCE_SECONDS)
        time.sleep(0.2)
        started = time.monotonic()

        follower.stop()

        assert follower.join(5)
        assert time.monotonic() - started < 5


def test_one_leads_at_a_time(server: TradingServer) -> None:
    with Leadership(server.pk) as first:
        with Leadership(server.pk) as second:
            assert (first.is_held, second.is_held) == (True, False)
        assert first.confirm()
    with Leadership(server.pk) as third:
        assert third.is_held


def test_the_command_catches_up_once(server: TradingServer, simulated: RunningServer) -> None:
    call_command("sync_servers", server=server.code, once=True)

    assert Deal.objects.count() == 3
    assert ServerSync.objects.get().cursor_at is not None and ServerSync.objects.get().cursor_at <= clock.now()
    with pytest.raises(CommandError):
        call_command("sync_servers", server="nobody", once=True)
    ServerConnection.objects.update(port=1)
    with pytest.raises(CommandError, match=server.code):
        call_command("sync_servers", once=True)
