"""The database's side of streams: a few threads that ask it and close their connection at once.

No stream ever holds a connection. Questions of many streams that come at the same time are answered together, so that
hundreds of browsers that come back after a restart cost a handful of queries, not hundreds of connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from django.db import connections

from backoffice.core.services import heartbeats
from backoffice.core.services.sessions import live_actors
from backoffice.core.streams import Snapshot, channel_kind

DATABASE_THREADS = 2
MAX_ADMITTED_AT_ONCE = 200
HEARTBEAT = "streams"

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Verdict:
    """Who asks, and which of the wished channels they may not watch. `user_id` 0: the session opens nothing."""

    user_id: int
    refused: tuple[str, ...] = ()


def verdicts(wishes: Iterable[tuple[str, tuple[str, ...]]]) -> list[Verdict]:
    """For each (session, channels) whether it may be watched now; runs in a thread, in a few queries for all."""
    wishes = list(wishes)
    actors = live_actors({session_key for session_key, _ in wishes})
    found = []
    for session_key, channels in wishes:
        actor = actors.get(session_key)
        if actor is None or not actor.user_id:
            found.append(Verdict(0))
            continue
        refused = []
        for channel in channels:
            kind = channel_kind(channel)
            if kind is None or not kind[0].may_watch(actor, kind[1]):
                refused.append(channel)
        found.append(Verdict(actor.user_id, tuple(refused)))
    return found


def snapshot_of(channel: str) -> Snapshot | None:
    """The present state of a channel; runs in a thread."""
    kind = channel_kind(channel)
    return None if kind is None else kind[0].snapshot(kind[1])


def beat(detail: dict[str, Any]) -> None:
    """Notes that the process lives; runs in a thread."""
    heartbeats.beat(HEARTBEAT, detail)


class Database:
    """Runs questions in threads and gives their connections back."""

    def __init__(self, threads: int = DATABASE_THREADS) -> None:
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="streams-database")
        self._waiting: list[tuple[tuple[str, tuple[str, ...]], asyncio.Future[Verdict]]] = []
        self._admitting: asyncio.Task[None] | None = None
        self._snapshots: dict[str, list[asyncio.Future[Snapshot | None]]] = {}
        self._reading: dict[str, asyncio.Task[None]] = {}

    async def ask(self, question: Callable[..., ResultT], *arguments: Any) -> ResultT:
        """The answer of a function that uses the database."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, _closing, question, arguments)

    async def admit(self, session_key: str, channels: tuple[str, ...]) -> Verdict:
        """Whether a session may watch channels; those who ask at the same time are answered together."""
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        self._waiting.append(((session_key, channels), answer))
        if self._admitting is None:
            self._admitting = asyncio.create_task(self._admit_waiting())
        return await answer

    async def snapshot(self, channel: str) -> Snapshot | None:
        """The state of a channel, read after this call began; those who ask meanwhile share the next reading."""
        answer: asyncio.Future[Snapshot | None] = asyncio.get_running_loop().create_future()
        self._snapshots.setdefault(channel, []).append(answer)
        if channel not in self._reading:
            self._reading[channel] = asyncio.create_task(self._read(channel))
        return await answer

    def close(self) -> None:
        """Lets the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    async def _admit_waiting(self) -> None:
        try:
            while self._waiting:
                batch = self._waiting[:MAX_ADMITTED_AT_ONCE]
                del self._waiting[: len(batch)]
                try:
                    found = await self.ask(verdicts, [wish for wish, _ in batch])
                except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever went wrong
                    _fail([answer for _, answer in batch], error)
                    continue
                for (_, answer), verdict in zip(batch, found, strict=True):
                    if not answer.done():
                        answer.set_result(verdict)
        finally:
            self._admitting = None

    async def _read(self, channel: str) -> None:
        try:
            while waiting := self._snapshots.pop(channel, []):
                try:
                    found = await self.ask(snapshot_of, channel)
                except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever went wrong
                    _fail(waiting, error)
                    continue
                for answer in waiting:
                    if not answer.done():
                        answer.set_result(found)
        finally:
            self._reading.pop(channel, None)


def _fail(answers: Iterable[asyncio.Future[Any]], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)


def _closing(question: Callable[..., ResultT], arguments: tuple[Any, ...]) -> ResultT:
    try:
        return question(*arguments)
    finally:
        connections.close_all()
