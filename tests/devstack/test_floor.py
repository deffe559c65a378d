"""The demo's traders over the wire: they trade while the server is there, and wait while it is not."""

from __future__ import annotations

import random
from decimal import Decimal
from pathlib import Path

from backoffice.devstack.floor import Address, Floor
from tests.trading_server import HEDGING_LOGIN, MANAGER_LOGIN, MANAGER_PASSWORD, RunningServer, running_server

QUOTES = {"EURUSD": (Decimal("1.10000"), Decimal("1.10010")), "UNKNOWN": (Decimal(1), Decimal(2))}


def _floor(server: RunningServer, said: list[str]) -> Floor:
    address = Address(server.host, server.port, MANAGER_LOGIN, MANAGER_PASSWORD)
    return Floor(
        random.Random(4),
        address=address,
        logins=[HEDGING_LOGIN],
        names={"EURUSD": "EURUSD"},
        say=said.append,
    )


def test_positions_are_opened_and_closed_on_the_server(tmp_path: Path) -> None:
    said: list[str] = []
    with running_server(journal=tmp_path / "journal") as server:
        floor = _floor(server, said)
        opened = floor.step(quotes=QUOTES, openings=["EURUSD", "EURUSD", "XXX"], closings=3)
        held = len(server.broker.positions)
        for position in server.broker.positions.values():
            position.opened_msc -= 60_000
        closed = floor.step(quotes=QUOTES, openings=[], closings=10)
        left = len(server.broker.positions)
        port = server.port

    away = [floor.step(quotes=QUOTES, openings=["EURUSD"], closings=0) for _ in range(2)]
    with running_server(journal=tmp_path / "journal", port=port):
        again = floor.step(quotes=QUOTES, openings=["EURUSD"], closings=0)
        floor.close()

    assert (opened, held, closed) == (2, 2, 2)
    assert left <= 1  # a part of one may stay
    assert away == [0, 0]
    assert again == 1
    assert [line.split(":")[1].strip() for line in said] == [
        "the trading server answers", "the trading server is away", "the trading server answers",
    ]  # fmt: skip
