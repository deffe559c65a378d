"""The journal: what was answered is found after a restart, a kill included; and faults do what they say."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backoffice.devstack.execute import PROJECT_FOLDER
from backoffice.devstack.trading_server import journal as journal_module
from backoffice.devstack.trading_server.broker import Broker
from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.executing import Request
from backoffice.devstack.trading_server.journal import Journal
from backoffice.devstack.trading_server.setup import set_up
from backoffice.devstack.trading_server.terminal import Terminal, TerminalError
from tests.trading_server import ACCOUNTS, GROUPS, HEDGING_LOGIN, QUOTES, SYMBOLS, RunningServer, running_server

D = Decimal
START_SECONDS = 10.0


def _state(broker: Broker) -> dict[str, Any]:
    names = ("symbols", "groups", "users", "positions", "orders", "history", "deals", "quotes", "counters", "deals_of")
    return {name: getattr(broker, name) for name in names}


def _traded(path: Path) -> Dealing:
    dealing = Dealing(Broker(journal=Journal(path)))
    set_up(dealing, groups=GROUPS, symbols=SYMBOLS, accounts=ACCOUNTS, quotes=QUOTES)
    for lots in ("0.1", "0.2", "0.3"):
        dealing.market_order(Request(login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D(lots)))
    ticket = min(dealing.broker.positions)
    dealing.close(HEDGING_LOGIN, ticket)
    dealing.place_pending(
        Request(login=HEDGING_LOGIN, symbol="EURUSD", is_buy=True, lots=D("0.1"), price=D("1.00000")), kind=2
    )
    return dealing


def test_the_journal_reads_back_to_the_same_state(tmp_path: Path) -> None:
    path = tmp_path / "server.journal"
    before = _traded(path).broker

    after = Broker(journal=Journal(path))

    assert _state(after) == _state(before)


def test_a_line_that_a_kill_cut_short_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "server.journal"
    before = _traded(path).broker
    with path.open("ab") as file:
        file.write(b'[["deal",99,{"tick')

    again = Broker(journal=Journal(path))
    again.put("counter", "login", 77)
    third = Broker(journal=Journal(path))

    assert 99 not in again.deals
    assert third.counters["login"] == 77
    assert third.deals == before.deals


def test_a_snapshot_reads_back_to_the_same_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "server.journal"
    before = _traded(path).broker
    monkeypatch.setattr(journal_module, "COMPACT_ABOVE_BYTES", 1)
    size = path.stat().st_size

    compacted = Broker(journal=Journal(path))
    monkeypatch.undo()

    assert path.stat().st_size < size
    assert _state(Broker(journal=Journal(path))) == _state(before)
    compacted.put("counter", "login", 5)
    assert Broker(journal=Journal(path)).counters["login"] == 5


def _start(plan: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-m", "backoffice.devstack.trading_server", str(plan)],
        cwd=PROJECT_FOLDER, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    return process, int(line.rsplit(":", 1)[1])


@pytest.mark.faults
def test_killed_after_an_answer_the_server_still_knows_and_catches_up(tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    accounts = [{"login": HEDGING_LOGIN, "group": GROUPS[0]["Group"], "deposit": "10000"}]
    plan.write_text(
        json.dumps(
            {
                "journal": str(tmp_path / "server.journal"), "managers": {"1000": "Manager-Pass-1"}, "groups": GROUPS,
                "symbols": SYMBOLS, "accounts": accounts, "quotes": QUOTES, "first_ticket": 71_000_000,
            }
        )
    )  # fmt: skip
    process, port = _start(plan)
    try:
        with Terminal("127.0.0.1", port, login=1000, password="Manager-Pass-1") as terminal:
            done = terminal.order(login=HEDGING_LOGIN, symbol="EURUSD", side="BUY", lots="0.5")
            process.send_signal(signal.SIGKILL)
        process.wait(START_SECONDS)
        process, port = _start(plan)
        with Terminal("127.0.0.1", port, login=1000, password="Manager-Pass-1") as terminal:
            _, deal = terminal.ask("DEAL_GET", TICKET=done["DEAL"])
            _, account = terminal.ask("USER_ACCOUNT_GET", LOGIN=HEDGING_LOGIN)
    finally:
        process.terminate()
        process.wait(START_SECONDS)
        assert process.stdout is not None
        process.stdout.close()

    assert int(done["DEAL"]) > 71_000_000
    assert deal["PositionID"] == done["POSITION"]
    assert account["Balance"] == "10000.00"
    assert process.returncode == 0


def test_what_the_gateway_did_meanwhile_has_times_inside_the_absence(tmp_path: Path) -> None:
    from backoffice.devstack.trading_server.operator_commands import catch_up

    dealing = _traded(tmp_path / "server.journal")
    since = dealing.broker.now_msc() - 60_000

    deals = catch_up(dealing, since_msc=since)

    assert len(deals) == 2
    assert all(since < deal.time_msc < dealing.broker.now_msc() for deal in deals)
    assert {deal.reason for deal in deals} == {9}


@pytest.fixture
def server() -> Iterator[RunningServer]:
    with running_server() as running:
        yield running


def test_an_answer_is_lost_after_or_before_the_work(server: RunningServer) -> None:
    parameters = {"LOGIN": HEDGING_LOGIN, "TYPE": 2, "BALANCE": "5.00", "COMMENT": "REF-1", "CHECK_MARGIN": 1}
    for kind, booked in (("drop_before", 0), ("drop_after", 1), ("cut_answer", 2)):
        server.fault(kind, commands="TRADE_BALANCE", times=1)
        with server.terminal() as terminal, pytest.raises((OSError, ValueError)):
            terminal.ask("TRADE_BALANCE", **parameters)
        assert sum(deal.comment == "REF-1" for deal in server.deals(HEDGING_LOGIN)) == booked, kind

    with server.terminal() as terminal:
        terminal.ask("TRADE_BALANCE", **parameters)
    assert sum(deal.comment == "REF-1" for deal in server.deals(HEDGING_LOGIN)) == 3


def test_rows_are_duplicated_reordered_and_hidden(server: RunningServer) -> None:
    for _ in range(3):
        server.order(HEDGING_LOGIN, "EURUSD", "BUY", "0.01")
    tickets = [str(deal.ticket) for deal in server.deals(HEDGING_LOGIN)]
    question = {"LOGIN": HEDGING_LOGIN, "FROM": 0, "TO": 1 << 33, "OFFSET": 0, "TOTAL": 100}

    with server.terminal() as terminal:

        def asked() -> list[str]:
            return [row["Deal"] for row in terminal.ask("DEAL_GET_PAGE", **question)[1]]

        assert asked() == tickets
        server.fault("duplicate", commands="DEAL_*", times=1)
        assert asked() == [ticket for ticket in tickets for _ in range(2)]
        server.fault("reorder", commands="DEAL_*", times=1)
        assert asked() == tickets[::-1]
        last = server.deals(HEDGING_LOGIN)[-1]
        server.hide(last.time_msc, last.time_msc)
        assert tickets[-1] not in asked()
        server.lift()
        assert asked() == tickets


def test_the_clock_is_an_hour_off_until_it_is_set_right(server: RunningServer) -> None:
    with server.terminal() as terminal:
        right = int(terminal.ask("TIME_SERVER")[0]["TIME"].split()[0])
        server.clock(3600)
        wrong = int(terminal.ask("TIME_SERVER")[0]["TIME"].split()[0])
        server.lift()
        again = int(terminal.ask("TIME_SERVER")[0]["TIME"].split()[0])

    assert 3599 <= wrong - right <= 3602
    assert 0 <= again - right <= 2


def test_the_server_is_gone_and_comes_back_on_the_same_port(server: RunningServer) -> None:
    with server.terminal() as terminal:
        server.fault("gone", seconds=0.3)
        with pytest.raises((OSError, ValueError)):
            for _ in range(50):
                terminal.ask("TIME_SERVER")
                time.sleep(0.01)

    back = None
    deadline = time.monotonic() + START_SECONDS
    while back is None and time.monotonic() < deadline:
        try:
            back = server.terminal()
        except OSError:
            time.sleep(0.02)
    assert back is not None
    back.close()


def test_slow_and_garbled_answers_and_faults_set_over_the_wire(server: RunningServer) -> None:
    with server.terminal() as terminal:
        terminal.ask("SIM_FAULT", KIND="slow", COMMANDS="TIME_SERVER", TIMES=1, SECONDS="0.05")
        started = time.monotonic()
        terminal.ask("TIME_SERVER")
        assert time.monotonic() - started >= 0.05
        terminal.ask("SIM_FAULT", KIND="garble", COMMANDS="PING", TIMES=1)
        with pytest.raises((OSError, ValueError)):
            terminal.ask("PING")
    with server.terminal() as terminal:
        with pytest.raises(TerminalError):
            terminal.ask("SIM_FAULT", KIND="nonsense")
        terminal.ask("SIM_CLOCK", SECONDS=60)
        terminal.ask("SIM_LIFT")
        terminal.ask("SIM_SYMBOL", {"Symbol": "EURUSD", "ContractSize": "0"})
        assert terminal.ask("SYMBOL_GET", SYMBOL="EURUSD")[1]["ContractSize"] == "0.00000000"
        with pytest.raises(TerminalError):
            terminal.ask("SYMBOL_ADD", {"Symbol": "EURUSD", "ContractSize": "0"})


def test_the_market_and_clients_speak_over_the_wire(server: RunningServer) -> None:
    with server.terminal() as terminal:
        terminal.quotes({"EURUSD": ("1.20000", "1.20010")})
        opened = terminal.order(login=HEDGING_LOGIN, symbol="EURUSD", side="SELL", lots="0.2", COMMENT="web")
        terminal.quotes({"EURUSD": ("1.19900", "1.19910")})
        closed, _ = terminal.ask("SIM_CLOSE", LOGIN=HEDGING_LOGIN, POSITION=opened["POSITION"], LOTS="0.2")
        _, deal = terminal.ask("DEAL_GET", TICKET=closed["DEAL"])
        _, order = terminal.ask("HISTORY_GET", TICKET=closed["ORDER"])
        terminal.ask("SIM_EXECUTION", {"requote_share": 1})
        assert terminal.order(login=HEDGING_LOGIN, symbol="EURUSD", side="BUY", lots="0.2")["RESULT"] == "10004"
        total, _ = terminal.ask("SIM_END_OF_DAY", DAY="2026-11-18")

    assert (deal["Profit"], deal["Entry"], deal["PriceGateway"]) == ("18.00", "1", "1.19910")
    assert (order["State"], order["PriceOrder"], order["VolumeCurrent"]) == ("4", "1.19910", "0")
    assert total["TOTAL"] == "0"


def test_a_server_without_batches_says_that_it_does_not_know_them() -> None:
    with running_server(knows_batches=False) as old, old.terminal() as terminal:
        with pytest.raises(TerminalError):
            terminal.ask("DEAL_GET_BATCH", GROUP="*", FROM=0, TO=1 << 33)
        assert terminal.ask("DEAL_GET_PAGE", LOGIN=HEDGING_LOGIN, FROM=0, TO=1 << 33, OFFSET=0, TOTAL=1)[1]


def test_pages_are_bounded_whatever_is_asked_for(server: RunningServer) -> None:
    server.call(lambda: [server.dealing.money(HEDGING_LOGIN, 2, D(1), "x") for _ in range(1_100)])
    with server.terminal() as terminal:
        page = terminal.ask("DEAL_GET_PAGE", LOGIN=HEDGING_LOGIN, FROM=0, TO=1 << 33, OFFSET=0, TOTAL=5_000)[1]
        total, _ = terminal.ask("DEAL_GET_TOTAL", LOGIN=HEDGING_LOGIN, FROM=0, TO=1 << 33)

    assert len(page) == 1_000
    assert total["TOTAL"] == "1101"


def test_a_bad_description_is_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "backoffice.devstack.trading_server"],
        cwd=PROJECT_FOLDER, capture_output=True, text=True, check=False, env={**os.environ}, timeout=START_SECONDS,
    )  # fmt: skip

    assert done.returncode == 2
    assert "FILE" in done.stderr
