"""A simulated liquidity provider for tests, in a thread of its own, with a line to give it orders and faults.

with running_provider() as provider:
    provider.fill(symbol="EUR/USD", quantity=1000, parts=2)
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from backoffice.devstack.drop_copy.memory import Memory
from backoffice.devstack.drop_copy.provider import Plan, Provider

COMP_ID, HOUSE = "PRIMELP", "HOUSE"
USER, PASSWORD = "house-user", "house-password"


class RunningProvider:
    """A provider that listens. `start` after `kill` is the same one with its memory read again, on the same ports."""

    def __init__(self, memory: Path | None = None, **plan: Any) -> None:
        self.memory_path = memory
        self.plan = {"comp_id": COMP_ID, "house": HOUSE, "username": USER, "password": PASSWORD, **plan}
        self.port = self.control_port = 0
        self._orders = 0

    def start(self) -> None:
        ready = threading.Event()
        plan = Plan(**{**self.plan, "port": self.port, "control_port": self.control_port})
        self.provider = Provider(plan, Memory(self.memory_path))

        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self.provider.run(ready=ready.set)

        self._thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
        self._thread.start()
        assert ready.wait(5)
        self.port, self.control_port = self.provider.port, self.provider.control_port
        self._control = socket.create_connection(("127.0.0.1", self.control_port), timeout=5)
        self._lines = self._control.makefile("rwb")

    def kill(self) -> None:
        """Ends it without a word to the house."""
        self._lines.close()
        self._control.close()
        self._loop.call_soon_threadsafe(self._die)
        self._thread.join(5)

    def _die(self) -> None:
        self.provider._cut()
        self.provider._stopping.set()

    def do(self, does: str, **more: Any) -> dict[str, Any]:
        """One command on the second port."""
        self._lines.write(json.dumps({"do": does, **more}).encode() + b"\n")
        self._lines.flush()
        answer: dict[str, Any] = json.loads(self._lines.readline())
        assert "error" not in answer, answer
        return answer

    def fill(self, does: str = "fill", **more: Any) -> dict[str, Any]:
        """An order that is filled at once."""
        self._orders += 1
        order = {"symbol": "EUR/USD", "side": 1, "quantity": 1000, "price": "1.10000", "parts": 1}
        return self.do(does, **{**order, "client_order_id": f"H{self._orders}", **more})


@contextmanager
def running_provider(memory: Path | None = None, **plan: Any) -> Iterator[RunningProvider]:
    """A provider on free ports, ended afterwards."""
    running = RunningProvider(memory, **plan)
    running.start()
    try:
        yield running
    finally:
        running.kill()
