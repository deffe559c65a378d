"""The socket side: connections, authentication, answers, and the faults that hit them.

One thread, one loop: commands are executed one after the other, so the broker needs no locks. `TradingServer` runs in
the foreground of its own process, or in a thread of a test.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from backoffice.devstack.trading_server import challenge, nights, operator_commands, wire
from backoffice.devstack.trading_server.commands import Context, answer
from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.faults import OPERATOR_PREFIX, Faults
from backoffice.devstack.trading_server.retcodes import (
    AUTH_ACCOUNT,
    AUTH_TERMINAL,
    OK,
    PARAMETERS,
    status,
)

HOST = "127.0.0.1"
IDLE_SECONDS = 180.0
AUTHENTICATION_SECONDS = 10.0
MOST_CONNECTIONS = 200
RESTART_SECONDS = 1.0
DAY_CHECK_SECONDS = 1.0
STARTUP_SECONDS = 10.0
CALL_SECONDS = 10.0
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where the server listens and who may manage it. Port 0 takes a free one."""

    managers: dict[int, str]
    host: str = HOST
    port: int = 0
    chunk_bytes: int = wire.LARGEST_CHUNK_BYTES
    knows_batches: bool = True


@dataclass(slots=True)
class Session:
    """One connection: who is at the other end, once it is known."""

    manager: int | None = None
    login: int = 0
    challenge: str = ""
    is_first: bool = True


@dataclass
class TradingServer:
    """A listening server."""

    dealing: Dealing
    settings: Settings
    faults: Faults = field(default_factory=Faults)
    port: int = 0

    def __post_init__(self) -> None:
        self._listener: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stopping: asyncio.Event | None = None
        self._returning: asyncio.Task[None] | None = None

    # Running

    async def run(self, *, ready: Callable[[], None] = lambda: None) -> None:
        """Serves until `stop`."""
        self._loop = asyncio.get_running_loop()
        self._stopping = asyncio.Event()
        await self._listen()
        ready()
        days = asyncio.create_task(self._watch_days())
        try:
            await self._stopping.wait()
        finally:
            days.cancel()
            await self._shut()
            self.dealing.broker.journal.close()

    def start_in_thread(self) -> TradingServer:
        """Serves from a thread of its own, for tests; returns when it listens."""
        listening = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self.run(ready=listening.set)), name="trading-server", daemon=True
        )
        self._thread.start()
        if not listening.wait(STARTUP_SECONDS):
            raise RuntimeError("the trading server did not start")
        return self

    def stop(self) -> None:
        """Ends serving; in a thread, waits for its end."""
        if self._loop is not None and self._stopping is not None and self._loop.is_running():
            self._loop.call_soon_threadsafe(self._stopping.set)
        if self._thread is not None:
            self._thread.join(STARTUP_SECONDS)

    def call(self, action: Callable[[], T]) -> T:
        """Runs *action* between two commands, from any other thread, and gives its result."""
        if self._loop is None:
            raise RuntimeError("the trading server is not running")

        async def run() -> T:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(CALL_SECONDS)

    async def _listen(self) -> None:
        port = self.port or self.settings.port
        self._listener = await asyncio.start_server(self._serve, self.settings.host, port)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _shut(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _watch_days(self) -> None:
        while True:
            nights.close_ended_days(self.dealing)
            await asyncio.sleep(DAY_CHECK_SECONDS)

    async def _go_away(self, seconds: float) -> None:
        await self._shut()
        await asyncio.sleep(seconds)
        await self._listen()

    def go_away(self, seconds: float) -> None:
        """Closes every connection and listens to nobody for a while."""
        self._returning = asyncio.get_running_loop().create_task(self._go_away(seconds))

    # Serving

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= MOST_CONNECTIONS:
            writer.transport.abort()
            return
        self._writers.add(writer)
        session = Session()
        try:
            while True:
                limit = IDLE_SECONDS if session.manager is not None else AUTHENTICATION_SECONDS
                async with asyncio.timeout(limit):
                    packet = await wire.read_packet(reader, is_first=session.is_first)
                session.is_first = False
                if not packet.body:
                    writer.writelines(wire.packets(packet.number, b""))
                    continue
                request = wire.parse(packet)
                if not await self._answer(session, request, writer) or request.command == "QUIT":
                    break
        except (wire.BrokenProtocol, asyncio.IncompleteReadError, TimeoutError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            with contextlib.suppress(Exception):
                writer.close()

    async def _answer(self, session: Session, request: wire.Request, writer: asyncio.StreamWriter) -> bool:
        """Answers one command; False when the connection is over."""
        if session.manager is None:
            text, goes_on = self._authenticate(session, request)
            await self._send(writer, request.number, text)
            return goes_on
        name = request.command
        if self.faults.take("drop_before", name):
            writer.transport.abort()
            return False
        text = self._execute(session, request)
        slow = self.faults.take("slow", name)
        if slow is not None:
            await asyncio.sleep(slow.seconds)
        if self.faults.take("drop_after", name):
            writer.transport.abort()
            return False
        return await self._deliver(writer, request, text)

    def _execute(self, session: Session, request: wire.Request) -> str:
        context = Context(self.dealing, self.faults, session.manager or 0, self.settings.knows_batches)
        if request.command.startswith(OPERATOR_PREFIX):
            return operator_commands.answer(self, context, request)
        if request.command == "SERVER_RESTART":
            self.go_away(RESTART_SECONDS)
        return answer(context, request)

    async def _deliver(self, writer: asyncio.StreamWriter, request: wire.Request, text: str) -> bool:
        if self.faults.take("garble", request.command):
            writer.write(b"\x00garbled\xff" * 4)
            await writer.drain()
            return True
        whole = b"".join(self._packets(request.number, text))
        if self.faults.take("cut_answer", request.command):
            writer.write(whole[: len(whole) // 2])
            await writer.drain()
            writer.close()
            return False
        writer.write(whole)
        await writer.drain()
        return True

    async def _send(self, writer: asyncio.StreamWriter, number: int, text: str) -> None:
        writer.writelines(self._packets(number, text))
        await writer.drain()

    def _packets(self, number: int, text: str) -> list[bytes]:
        return list(wire.packets(number, text.encode(wire.ENCODING), chunk_bytes=self.settings.chunk_bytes))

    # Authentication

    def _authenticate(self, session: Session, request: wire.Request) -> tuple[str, bool]:
        """One of the two steps; the texts never say whether the login or the password was wrong."""
        if request.command == "AUTH_START":
            return self._challenge(session, request)
        if request.command == "AUTH_ANSWER" and session.challenge:
            return self._check(session, request)
        return wire.answer_line(request.command, {"RETCODE": status(PARAMETERS)}), False

    def _challenge(self, session: Session, request: wire.Request) -> tuple[str, bool]:
        given = request.parameters
        if given.get("TYPE") != "MANAGER":
            return wire.answer_line("AUTH_START", {"RETCODE": status(AUTH_TERMINAL)}), False
        if given.get("CRYPT_METHOD", "NONE") != "NONE" or not given.get("LOGIN", "").isdecimal():
            return wire.answer_line("AUTH_START", {"RETCODE": status(PARAMETERS)}), False
        session.login = int(given["LOGIN"])
        session.challenge = challenge.new_challenge()
        return wire.answer_line("AUTH_START", {"RETCODE": status(OK), "SRV_RAND": session.challenge}), True

    def _check(self, session: Session, request: wire.Request) -> tuple[str, bool]:
        given = request.parameters
        password = self.settings.managers.get(session.login)
        response = given.get("SRV_RAND_ANSWER", "")
        if password is None or not challenge.is_right(response, session.challenge, password):
            return wire.answer_line("AUTH_ANSWER", {"RETCODE": status(AUTH_ACCOUNT)}), False
        try:
            own = challenge.response_to(given.get("CLI_RAND", ""), password)
        except ValueError:
            return wire.answer_line("AUTH_ANSWER", {"RETCODE": status(PARAMETERS)}), False
        session.manager = session.login
        parameters: dict[str, Any] = {
            "RETCODE": status(OK), "VERSION_ACCESS": "3211", "VERSION_TRADE": "3211", "CLI_RAND_ANSWER": own,
            "CRYPT_RAND": "",
        }  # fmt: skip
        return wire.answer_line("AUTH_ANSWER", parameters), True
