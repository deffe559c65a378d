"""What goes over the wire: server-sent events, their positions, and the wait of one client for the next of them."""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

MAX_QUEUED = 64
"""Frames that wait for one client. They are shared between clients; beyond this the client is given a new snapshot."""

KEEP_ALIVE = b": keep-alive\n\n"
_POSITION = re.compile(r"([a-z][a-z_]{0,30}:[A-Za-z0-9_:.-]{1,100})@(\d{1,19})")
MAX_POSITIONS = 16


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of a channel, encoded once for all who watch it."""

    channel: str
    body: bytes
    position: int | None = None


def make_frame(*, channel: str, event: str, data: Mapping[str, Any], position: int | None = None) -> Frame:
    """An event as its lines, without the id, which differs from client to client."""
    text = json.dumps({"channel": channel, "data": data}, cls=DjangoJSONEncoder, separators=(",", ":"))
    # JSON holds no line feed, so one data line is enough.
    return Frame(channel, f"event: {event}\ndata: {text}\n".encode(), position)


def control(event: str, **data: Any) -> bytes:
    """A whole event about the stream itself: `state`, `resync`, `end`."""
    return f"event: {event}\ndata: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


def parse_positions(text: str) -> dict[str, int]:
    """What a returning client says it has seen (`exposure:3@1234,desk:5@9`); whatever else it says is ignored."""
    found: dict[str, int] = {}
    for part in text.split(",")[:MAX_POSITIONS]:
        if match := _POSITION.fullmatch(part.strip()):
            found[match.group(1)] = int(match.group(2))
    return found


@dataclass(eq=False, slots=True)
class Subscription:
    """One client's place: the channels it watches, what waits for it, and what it has seen.

    The event loop of the process is the only one to touch it.
    """

    session_key: str
    user_id: int
    channels: tuple[str, ...]
    seen: dict[str, int] = field(default_factory=dict)
    queue: deque[Frame] = field(default_factory=deque)
    has_lost: bool = False
    lost_times: int = 0
    is_live: bool = True
    told_live: bool = True
    ended: str = ""
    proved_at: float = 0.0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)

    def offer(self, frame: Frame) -> None:
        """Adds a frame; when too many wait, all are dropped and a new snapshot is due instead."""
        if self.has_lost:
            return
        if len(self.queue) >= MAX_QUEUED:
            self.lose()
            return
        self.queue.append(frame)
        self._wake.set()

    def lose(self) -> None:
        """Says that frames may be missing: the client is given a new snapshot."""
        self.queue.clear()
        self.has_lost = True
        self.lost_times += 1
        self._wake.set()

    def set_live(self, is_live: bool) -> None:
        """Says whether announcements arrive at all."""
        self.is_live = is_live
        self._wake.set()

    def end(self, reason: str) -> None:
        """Ends the stream at its next turn; the first reason counts."""
        self.ended = self.ended or reason
        self._wake.set()

    async def wait(self, seconds: float) -> bool:
        """Waits until there is something to do; False when nothing came in *seconds*."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True

    def take(self) -> bytes:
        """Everything that waits and is new to the client, ready to be sent."""
        parts = []
        while self.queue:
            frame = self.queue.popleft()
            if frame.position is not None and frame.position <= self.seen.get(frame.channel, -1):
                continue
            parts.append(self.stamped(frame))
        return b"".join(parts)

    def stamped(self, frame: Frame) -> bytes:
        """A frame with the id from which this client could go on."""
        if frame.position is not None:
            self.seen[frame.channel] = frame.position
        if not self.seen:
            return frame.body + b"\n"
        return f"id: {joined_positions(self.seen.items())}\n".encode() + frame.body + b"\n"


def joined_positions(seen: Iterable[tuple[str, int]]) -> str:
    """The text that `parse_positions` reads."""
    return ",".join(f"{channel}@{position}" for channel, position in seen)
