"""Browsers of streams without a network: what they ask goes to the application, what it sends is kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.test import Client as Browser

from backoffice.core.models import User
from backoffice.streams.application import Limits, StreamsApplication
from tests.logins import log_in

PATIENCE_SECONDS = 10.0


def session_of(user: User, *, second_factor: bool = True) -> str:
    """The key of a new session of the user's."""
    return str(log_in(Browser(), user, second_factor=second_factor).session.session_key)


@dataclass
class Listener:
    """One open or refused stream."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    chunks: list[bytes] = field(default_factory=list)
    is_closed: bool = False
    takes: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            await self.takes.wait()
            self.chunks.append(message.get("body", b""))
            self.is_closed = not message.get("more_body", False)
        self._news.set()

    @property
    def text(self) -> str:
        return b"".join(self.chunks).decode()

    @property
    def events(self) -> list[tuple[str, Any]]:
        """(event, data) of everything that came."""
        found = []
        for block in self.text.split("\n\n"):
            lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line and not line.startswith(":"))
            if "event" in lines:
                found.append((lines["event"], json.loads(lines["data"])))
        return found

    @property
    def last_id(self) -> str:
        return [line[4:] for line in self.text.split("\n") if line.startswith("id: ")][-1]

    def named(self, event: str) -> list[Any]:
        return [data for name, data in self.events if name == event]

    async def until(self, condition: Callable[[Listener], Any]) -> None:
        """Waits until something holds of what came."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not condition(self):
                self._news.clear()
                await self._news.wait()

    async def leave(self) -> None:
        self.gone.set()
        self.takes.set()
        if self.task is not None:
            await asyncio.wait_for(self.task, PATIENCE_SECONDS)


Open = Callable[..., Awaitable[Listener]]


@asynccontextmanager
async def streams(*, limits: Limits | None = None, check_seconds: float = 60.0):
    """A running application; yields it and a function that opens streams of it."""
    app = StreamsApplication(limits=limits, check_seconds=check_seconds)
    app.hub.start()
    listeners: list[Listener] = []

    async def open_stream(
        session_key: str, *channels: str, last: str = "", is_slow: bool = False, headers: dict[str, str] | None = None
    ) -> Listener:
        listener = Listener()
        if not is_slow:
            listener.takes.set()
        sent = {"host": "localhost", "cookie": f"{settings.SESSION_COOKIE_NAME}={session_key}"} | (headers or {})
        if last:
            sent["last-event-id"] = last
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/streams/",
            "query_string": f"channels={','.join(channels)}".encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
        }
        listener.task = asyncio.create_task(app(scope, listener.receive, listener.send))
        listeners.append(listener)
        await listener.until(lambda each: each.status)
        return listener

    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not app.hub.is_live:
                await asyncio.sleep(0.01)
        yield app, open_stream
    finally:
        for listener in listeners:
            await listener.leave()
        await app.hub.stop()
        app.database.close()
