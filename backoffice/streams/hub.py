"""One subscription to Valkey for the whole process, fanned out to the clients that watch.

When announcements may have been missed (a restart of Valkey, a cut network, a client that is too slow), clients get a
new snapshot from the database. Who may watch is asked again every `CHECK_SECONDS`, and at once when an announcement
says that somebody's access has changed; what cannot be proved for `UNPROVED_SECONDS` ends.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from contextlib import suppress
from typing import Any

import redis.asyncio as valkey
import structlog
from django.conf import settings
from django.db import Error as DatabaseFailure
from redis.exceptions import RedisError

from backoffice.core.streams import ACCESS_CHANNEL, STALE_EVENT, channel_kind, topic_of
from backoffice.streams.database import Database, beat, verdicts
from backoffice.streams.frames import Subscription, make_frame

CHECK_SECONDS = 10.0
UNPROVED_SECONDS = 30.0
FIRST_RETRY_SECONDS = 0.1
LONGEST_RETRY_SECONDS = 5.0
LISTEN_SECONDS = 5.0
HEALTH_CHECK_SECONDS = 10
STOP_SECONDS = 1.0
REFRESH_PAUSE_SECONDS = 0.2
"""A channel whose snapshot follows every announcement is read at most this often."""


class Hub:
    """Who watches what, and what has been announced."""

    def __init__(self, database: Database, *, check_seconds: float = CHECK_SECONDS) -> None:
        self._database = database
        self._check_seconds = check_seconds
        self._watchers: dict[str, set[Subscription]] = {}
        self._everybody: set[Subscription] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._refreshing: dict[str, asyncio.Task[None]] = {}
        self._refresh_again: set[str] = set()
        self._checks: set[asyncio.Task[None]] = set()
        self._prefix = topic_of("x:y").removesuffix("x:y").encode()
        self.is_live = False
        self.received = 0

    def start(self) -> None:
        """Begins to listen and to check."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._check_for_ever())]

    async def stop(self) -> None:
        """Ends every stream, so that the process can go."""
        for subscription in self._everybody:
            subscription.end("shutdown")
        tasks = {*self._tasks, *self._refreshing.values(), *self._checks}
        while tasks:
            # More than once: an error while a connection is closed takes the place of the order to end.
            for task in tasks:
                task.cancel()
            _, tasks = await asyncio.wait(tasks, timeout=STOP_SECONDS)

    def join(self, subscription: Subscription) -> None:
        """From now on the client is offered what is announced on its channels."""
        subscription.is_live = subscription.told_live = self.is_live
        subscription.proved_at = time.monotonic()
        self._everybody.add(subscription)
        for channel in subscription.channels:
            self._watchers.setdefault(channel, set()).add(subscription)

    def leave(self, subscription: Subscription) -> None:
        """The client is gone."""
        self._everybody.discard(subscription)
        for channel in subscription.channels:
            watchers = self._watchers.get(channel)
            if watchers is not None:
                watchers.discard(subscription)
                if not watchers:
                    del self._watchers[channel]

    def count_of(self, user_id: int) -> int:
        """How many streams a person has open in this process."""
        return sum(subscription.user_id == user_id for subscription in self._everybody)

    def figures(self) -> dict[str, Any]:
        """What the process does, for its health page and its heartbeat."""
        return {
            "streams": len(self._everybody),
            "channels": len(self._watchers),
            "is_live": self.is_live,
            "received": self.received,
            "resyncs": sum(subscription.lost_times for subscription in self._everybody),
        }

    async def _listen(self) -> None:
        """Holds the subscription, and takes it up again with growing, scattered pauses."""
        log, pause = structlog.get_logger(__name__), FIRST_RETRY_SECONDS
        while True:
            client = valkey.Redis.from_url(
                settings.CACHE_URL, health_check_interval=HEALTH_CHECK_SECONDS, socket_connect_timeout=2
            )
            try:
                async with client.pubsub(ignore_subscribe_messages=False) as listener:
                    await listener.psubscribe(self._prefix + b"*")
                    while True:
                        message = await listener.get_message(timeout=LISTEN_SECONDS)
                        if message is None:
                            continue
                        if message["type"] == "psubscribe":
                            pause = FIRST_RETRY_SECONDS
                            self._set_live(True)
                        elif message["type"] == "pmessage":
                            self._received(message["channel"], message["data"])
            except (RedisError, OSError) as error:
                self._set_live(False)
                log.warning("stream_subscription_lost", problem=type(error).__name__, retry_in=round(pause, 2))
            finally:
                with suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(pause * random.uniform(0.5, 1.5))  # noqa: S311 - scatter, no secret
            pause = min(pause * 2, LONGEST_RETRY_SECONDS)

    def _set_live(self, is_live: bool) -> None:
        if is_live and not self.is_live:
            # What was announced meanwhile is lost: everybody starts again from the database.
            for subscription in self._everybody:
                subscription.lose()
        self.is_live = is_live
        for subscription in self._everybody:
            subscription.set_live(is_live)

    def _received(self, topic: bytes, message: bytes) -> None:
        channel = topic[len(self._prefix) :].decode("ascii", "replace")
        watchers = self._watchers.get(channel)
        if not watchers and channel != ACCESS_CHANNEL:
            return
        self.received += 1
        try:
            body = json.loads(message)
            event, data, position = body["event"], body["data"], body.get("position")
        except (ValueError, KeyError, TypeError):
            structlog.get_logger(__name__).error("announcement_not_understood", channel=channel)
            return
        if channel == ACCESS_CHANNEL:
            self._check_soon(data.get("user"))
        elif event == STALE_EVENT:
            for subscription in watchers or ():
                subscription.lose()
        else:
            frame = make_frame(channel=channel, event=event, data=data, position=position)
            for subscription in watchers or ():
                subscription.offer(frame)
            self._refresh(channel)

    def _refresh(self, channel: str) -> None:
        """Has a channel whose announcements do not carry the state read again, once for all who watch it."""
        kind = channel_kind(channel)
        if kind is None or not kind[0].refreshes:
            return
        if channel in self._refreshing:
            self._refresh_again.add(channel)
        else:
            self._refreshing[channel] = asyncio.create_task(self._read_again(channel))

    async def _read_again(self, channel: str) -> None:
        try:
            while True:
                self._refresh_again.discard(channel)
                try:
                    state = await self._database.snapshot(channel)
                except DatabaseFailure:
                    state = None
                if state is not None:
                    frame = make_frame(channel=channel, event=state.event, data=state.data, position=state.position)
                    for subscription in self._watchers.get(channel, ()):
                        subscription.offer(frame)
                await asyncio.sleep(REFRESH_PAUSE_SECONDS)
                if channel not in self._refresh_again:
                    return
        finally:
            self._refreshing.pop(channel, None)

    def _check_soon(self, user_id: object) -> None:
        concerned = [subscription for subscription in self._everybody if subscription.user_id == user_id]
        if concerned:
            task = asyncio.create_task(self.check(concerned))
            self._checks.add(task)
            task.add_done_callback(self._checks.discard)

    async def _check_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._check_seconds)
            await self.check(list(self._everybody))
            with suppress(DatabaseFailure):
                await self._database.ask(beat, self.figures())

    async def check(self, subscriptions: list[Subscription]) -> None:
        """Ends the streams whose session, login, role or legal entity no longer opens them."""
        asked = [subscription for subscription in subscriptions if not subscription.ended]
        if not asked:
            return
        now = time.monotonic()
        try:
            found = await self._database.ask(
                verdicts, [(subscription.session_key, subscription.channels) for subscription in asked]
            )
        except DatabaseFailure:
            for subscription in asked:
                if now - subscription.proved_at > UNPROVED_SECONDS:
                    subscription.end("unproved")
            return
        for subscription, verdict in zip(asked, found, strict=True):
            if verdict.user_id != subscription.user_id:
                subscription.end("session")
            elif verdict.refused:
                subscription.end("access")
            else:
                subscription.proved_at = now
