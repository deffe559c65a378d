"""The provider: one FIX 4.4 session for the house, and a second port on which orders are given and faults asked for.

Written from the protocol's description with `simplefix`, apart from the product's own session, so that both cannot share
one mistake. On the second port each line is a JSON object with `do`: `fill` (symbol, side 1 or 2, quantity, price,
client_order_id, parts), `bust`, `status`, or a fault: `cut`, `silent`, `garble`, `truncate`, `lose`, `low`, `logout`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import simplefix

from backoffice.devstack.drop_copy.memory import Memory, Pairs

ADMIN = frozenset({"A", "0", "1", "2", "3", "4", "5"})
READ_BYTES = 65_536
MAX_LINE = 65_536


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Who the provider is, who the house is, and where both ports are (0: any that is free)."""

    comp_id: str
    house: str
    username: str = ""
    password: str = ""
    host: str = "127.0.0.1"
    port: int = 0
    control_port: int = 0
    tells_twice: bool = True
    """Announces each execution once more under ExecID 0, as some providers do."""


class Provider:
    """A running provider. `port` and `control_port` are known once it listens."""

    def __init__(self, plan: Plan, memory: Memory) -> None:
        self.plan, self.memory = plan, memory
        self.port, self.control_port = plan.port, plan.control_port
        self.is_silent = False
        self._writer: asyncio.StreamWriter | None = None
        self._heartbeat = 30
        self._stopping = asyncio.Event()
        self._last: tuple[str, Pairs] | None = None

    async def run(self, ready: Callable[[], object] = lambda: None) -> None:
        """Listens until `stop`."""
        session = await asyncio.start_server(self._house, self.plan.host, self.plan.port)
        control = await asyncio.start_server(self._control, self.plan.host, self.plan.control_port, limit=MAX_LINE)
        self.port = session.sockets[0].getsockname()[1]
        self.control_port = control.sockets[0].getsockname()[1]
        ready()
        beating = asyncio.create_task(self._beat())
        try:
            await self._stopping.wait()
        finally:
            beating.cancel()
            session.close()
            control.close()
            self._cut()
            self.memory.close()

    def stop(self) -> None:
        """Ends it: the session is logged out."""
        self._tell("5", [(58, "the provider ends its day")], is_kept=False)
        self._stopping.set()

    # The session

    async def _house(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        parser = simplefix.FixParser()
        is_known = False
        try:
            while data := await reader.read(READ_BYTES):
                parser.append_buffer(data)
                while (message := parser.get_message()) is not None:
                    if self.is_silent:
                        continue
                    if not is_known:
                        is_known = self._log_on(message, writer)
                        if not is_known:
                            return
                    elif not self._hear(message):
                        return
        except (OSError, ValueError):
            pass
        finally:
            if self._writer is writer:
                self._writer = None
            writer.close()

    def _log_on(self, message: simplefix.FixMessage, writer: asyncio.StreamWriter) -> bool:
        """Whether the first message is the house's logon, and its number is none of the past."""
        plan, number = self.plan, int(_text(message, 34) or 0)
        previous, self._writer = self._writer, writer
        if previous is not None:
            previous.close()  # the newer connection of the house is the right one
        resets = _text(message, 141) == "Y"
        if resets:
            self.memory.begin_anew()
        problem = ""
        if _text(message, 35) != "A" or (_text(message, 49), _text(message, 56)) != (plan.house, plan.comp_id):
            problem = "unknown party"
        elif (_text(message, 553), _text(message, 554)) != (plan.username, plan.password):
            problem = "unknown user or wrong password"
        elif number < self.memory.next_in:
            problem = f"MsgSeqNum too low, expecting {self.memory.next_in} but received {number}"
        if problem:
            self._tell("5", [(58, problem)], is_kept=False)
            self._writer = None
            return False
        self._heartbeat = max(1, int(_text(message, 108) or 30))
        self._tell("A", [(98, "0"), (108, str(self._heartbeat)), *([(141, "Y")] if resets else [])], is_kept=False)
        if number > self.memory.next_in:
            self._tell("2", [(7, str(self.memory.next_in)), (16, "0")], is_kept=False)
        else:
            self.memory.received(number + 1)
        return True

    def _hear(self, message: simplefix.FixMessage) -> bool:
        """A message of the running session; False where it ends."""
        kind, number = _text(message, 35), int(_text(message, 34) or 0)
        if kind == "4":
            self.memory.received(max(self.memory.next_in, int(_text(message, 36))))
            return True
        if number < self.memory.next_in and _text(message, 43) != "Y":
            self._tell("5", [(58, f"MsgSeqNum too low, expecting {self.memory.next_in}")], is_kept=False)
            return False
        if number == self.memory.next_in:
            self.memory.received(number + 1)
        if kind == "1":
            self._tell("0", [(112, _text(message, 112))], is_kept=False)
        elif kind == "2":
            self._send_again(int(_text(message, 7)), int(_text(message, 16)))
        elif kind == "5":
            self._tell("5", [], is_kept=False)
            return False
        return True

    def _send_again(self, begin: int, end: int) -> None:
        last = self.memory.next_out - 1 if end == 0 else min(end, self.memory.next_out - 1)
        place = begin
        for number in sorted(number for number in self.memory.sent if begin <= number <= last):
            if number > place:
                self._write("4", place, [(123, "Y"), (36, str(number))], first=_now())
            kind, pairs, stamp = self.memory.sent[number]
            self._write(kind, number, pairs, first=stamp)
            place = number + 1
        if place <= last:
            self._write("4", place, [(123, "Y"), (36, str(last + 1))], first=_now())

    def _tell(self, kind: str, pairs: Pairs, *, is_kept: bool = True) -> None:
        """Takes a number and sends, where the house is connected; what is about orders is kept for when it asks."""
        if self._writer is None and not is_kept:
            return
        stamp = _now()
        number = self.memory.sends(kind, pairs, stamp, is_kept=is_kept)
        if not self.is_silent:
            self._write(kind, number, pairs, stamp=stamp)

    def _write(self, kind: str, number: int, pairs: Pairs, *, stamp: str = "", first: str = "") -> None:
        if self._writer is None:
            return
        with contextlib.suppress(OSError, RuntimeError):
            self._writer.write(self._bytes(kind, number, pairs, stamp=stamp, first=first))

    def _bytes(self, kind: str, number: int, pairs: Pairs, *, stamp: str = "", first: str = "") -> bytes:
        message = simplefix.FixMessage()
        message.append_pair(8, "FIX.4.4")
        header: Pairs = [(35, kind), (49, self.plan.comp_id), (56, self.plan.house), (34, str(number))]
        if first:
            header.append((43, "Y"))
        header.append((52, stamp or _now()))
        if first:
            header.append((122, first))
        for tag, value in [*header, *pairs]:
            message.append_pair(tag, value)
        return bytes(message.encode())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat)
            self._tell("0", [], is_kept=False)

    def _cut(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    # Orders and faults

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                try:
                    answer = self._do(json.loads(line))
                except (ValueError, KeyError, TypeError, ArithmeticError) as error:
                    answer = {"error": f"{type(error).__name__}: {error}"}
                writer.write(json.dumps(answer).encode() + b"\n")
                await writer.drain()
        except (OSError, ValueError):
            pass
        finally:
            writer.close()

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        does = command["do"]
        if does == "fill":
            return {"order_id": self._fill(command)}
        if does == "bust":
            return {"exec_id": self._bust()}
        if does == "silent":
            self.is_silent = bool(command.get("on", True))
        elif does == "cut":
            self._cut()
        elif does == "logout":
            self._tell("5", [(58, command.get("text", ""))], is_kept=False)
            self._cut()
        elif does == "garble":
            self._raw(self._bytes("0", self.memory.next_out, [])[:-4] + b"999\x01")
        elif does == "truncate":
            self._raw(self._bytes("0", self.memory.next_out, [])[:-20])
        elif does == "low":
            self._raw(self._bytes("0", 1, []))
        elif does == "lose":
            writer, self._writer = self._writer, None
            self._fill(command)
            self._writer = writer
        elif does != "status":
            raise ValueError(f"nobody knows what {does!r} is")
        memory = self.memory
        return {"next_out": memory.next_out, "next_in": memory.next_in, "connected": self._writer is not None}

    def _raw(self, data: bytes) -> None:
        if self._writer is not None:
            self._writer.write(data)

    def _fill(self, command: dict[str, Any]) -> str:
        """An order that is filled at once, in as many parts as are asked for."""
        order = f"L{self.memory.ordered():07d}"
        quantity, price = Decimal(str(command["quantity"])), Decimal(str(command["price"]))
        parts = max(1, min(int(command.get("parts", 1)), 10))
        common: Pairs = [
            (37, order), (11, str(command["client_order_id"])), (54, str(int(command["side"]))),
            (55, str(command["symbol"])), (38, str(quantity)),
        ]  # fmt: skip
        self._report([*common, (17, f"{order}-0"), (150, "0"), (39, "0"), (14, "0"), (151, str(quantity)), (6, "0")])
        done = Decimal(0)
        for part in range(1, parts + 1):
            filled = quantity - done if part == parts else (quantity / parts).quantize(Decimal(1))
            done += filled
            told: Pairs = [
                (32, str(filled)), (31, str(price)), (14, str(done)), (151, str(quantity - done)), (6, str(price)),
                (150, "F"), (39, "2" if done == quantity else "1"),
            ]  # fmt: skip
            if self.plan.tells_twice:
                self._report([*common, (17, "0"), *told])
            self._last = (f"{order}-{part}", [*common, (14, str(done - filled)), (151, "0")])
            self._report([*common, (17, f"{order}-{part}"), *told])
        return order

    def _bust(self) -> str:
        """Takes the last execution back."""
        if self._last is None:
            raise ValueError("nothing was executed yet")
        exec_id, common = self._last
        self._report([*common, (17, f"{exec_id}b"), (19, exec_id), (150, "H"), (39, "1"), (32, "0"), (31, "0")])
        self._last = None
        return exec_id

    def _report(self, pairs: Pairs) -> None:
        self._tell("8", [*pairs, (60, _now())])


def _now() -> str:
    now = datetime.now(UTC)
    return f"{now:%Y%m%d-%H:%M:%S}.{now.microsecond // 1000:03d}"


def _text(message: simplefix.FixMessage, tag: int) -> str:
    value = message.get(tag)
    return "" if value is None else bytes(value).decode("utf-8", "replace")
