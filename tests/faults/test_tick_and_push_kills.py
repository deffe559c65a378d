"""Ticks on their way into files, and swap rates on their way to a server: killed with -9 half way, nothing lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine

from backoffice.core import crash_points
from backoffice.core.books import verify_books
from backoffice.kernel import clock
from platform_ops.gateways.types import SymbolTerms
from platform_ops.models import BufferedTick, SwapPush, TickFile
from platform_ops.services.connections import open_gateway
from platform_ops.services.prices import store, ticks_around
from platform_ops.services.swap_desk import pushing
from tests.faults.harness import database_url, run_child
from tests.platform_ops.prices import world as prices
from tests.platform_ops.swap_desk.ground import Desk
from tests.platform_ops.swap_desk.test_pushing import applied, connect, states
from tests.trading_server import RunningServer, running_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]
D = Decimal


@pytest.fixture(scope="module")
def live() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


def test_a_flush_killed_between_file_and_row_loses_nothing_and_shows_nothing_twice(
    tmp_path: Path, settings: object
) -> None:
    # Given ticks in the buffer
    settings.TICK_FOLDER = str(tmp_path / "ticks")  # type: ignore[attr-defined]
    prices.make_source()
    symbol = prices.make_symbol()
    prices.send(symbol, *prices.WORKED)

    def kept() -> list[tuple[object, ...]]:
        found = ticks_around(symbol_id=symbol.pk, at=prices.MONDAY_NOON, seconds_before=60, seconds_after=600)
        return [(tick.at, tick.source, tick.bid, tick.ask, tick.verdict, tick.is_leading) for tick in found]

    before = kept()
    assert len(before) == 5
    BufferedTick.objects.update(received_at=clock.now() - timedelta(minutes=10))
    # When the process dies after the file stands and before its row does (platform_ops.flush_ticks.file_written)
    assert flush_and_die(tmp_path) == -signal.SIGKILL
    # Then the file is nobody's, the buffer holds all, and the lock died with its holder
    assert (len(list(tmp_path.glob("ticks/*/*/*.parquet"))), TickFile.objects.count()) == (1, 0)
    assert BufferedTick.objects.count() == 5
    assert kept() == before
    assert store.flush_ticks().ticks == 5
    assert kept() == before
    assert (TickFile.objects.count(), BufferedTick.objects.count()) == (1, 0)
    assert store.missing_files() == ([], 0)


def flush_and_die(folder: Path) -> int:
    """The worker's task in a process of its own; how that ended. Not a fork: the threads that write Parquet survive none."""
    surroundings = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "backoffice.settings",
        "DATABASE_URL": database_url(),
        "BACKOFFICE_TICKS": str(folder / "ticks"),
        crash_points.CRASH_AT_VARIABLE: store.FILE_WRITTEN,
    }
    code = "import django; django.setup(); from platform_ops.services.prices import store; store.flush_ticks()"
    return subprocess.run([sys.executable, "-c", code], env=surroundings, timeout=60, check=False).returncode


def stated(desk: Desk) -> dict[str, SymbolTerms]:
    with open_gateway(server_id=desk.server.pk) as gateway:
        return {symbol.name: symbol.terms for symbol in gateway.symbols()}


@pytest.mark.parametrize(
    ("point", "arrived", "sent"),
    [
        ("platform.swap_push.before_send:1", 0, {1, 2}),
        ("platform.swap_push.after_send:1", 1, {1}),
        ("platform.swap_push.after_send:2", 2, {1}),
    ],
)
def test_a_pass_over_a_server_that_is_killed_is_taken_up_and_each_symbol_arrives(
    live: RunningServer, transactional_db: None, point: str, arrived: int, sent: set[int]
) -> None:
    # Given two rates that are approved and due
    desk = Desk()
    connect(desk, live)
    with open_gateway(server_id=desk.server.pk, writing=True) as gateway:
        gateway.change_symbol(name="EURUSD", changes={"swap_long": D("-6.5"), "swap_short": D("2.1")})
        gateway.change_symbol(name="XAUUSD", changes={"swap_long": D(-30), "swap_short": D(12)})
    before = stated(desk)
    change = applied(desk)
    # When the process that tells the server dies there
    assert run_child(pushing.push_due, crash_at=point) == -signal.SIGKILL
    told = [name for name, terms in stated(desk).items() if terms != before[name]]
    assert len(told) == arrived
    assert "verified" not in states(change).values()
    # And another comes by, first while the dead one's claim lasts, then after it
    assert pushing.push_due() == 0
    with time_machine.travel(clock.now() + timedelta(seconds=300)):
        assert pushing.push_due() == 2
    # Then both stand on the server and are read back; what had arrived was not sent again
    assert set(states(change).values()) == {"verified"}
    assert set(SwapPush.objects.filter(change=change).values_list("attempts", flat=True)) == sent
    after = stated(desk)
    assert (after["EURUSD"].swap_long, after["EURUSD"].swap_short) == (D("-6.6"), D("2.2"))
    assert {name for name in after if after[name] != before[name]} == {"EURUSD", "XAUUSD"}
    assert [check for check in verify_books(["platform.swap"])["checks"] if not check["ok"]] == []
