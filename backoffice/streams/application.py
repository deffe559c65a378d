"""The ASGI application of the streams' process: `GET /streams/?channels=exposure:3,desk:5` and `GET /streams/healthz`.

It is not Django's own request cycle: that keeps a thread, and with it a database connection, for as long as a response
lasts, which is right for pages and wrong for streams (docs/adr/0015). Sessions, second factor, roles and entities are
those of every other door (`core.services.sessions.live_actors`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import structlog
from django.conf import settings
from django.db import Error as DatabaseFailure
from django.http import parse_cookie
from django.http.request import split_domain_port, validate_host

from backoffice.core.streams import channel_kind
from backoffice.streams.database import Database
from backoffice.streams.frames import KEEP_ALIVE, Subscription, control, make_frame, parse_positions
from backoffice.streams.hub import Hub

PREFIX = "/streams/"
RETRY_AFTER_SECONDS = 15
MAX_QUERY_BYTES = 2_000

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process takes on. Seconds and numbers."""

    streams: int = 1_000
    streams_of_a_person: int = 12
    channels_of_a_stream: int = 8
    keep_alive: float = 15.0
    slowest_send: float = 30.0


class StreamsApplication:
    """Serves the streams of one process. `startup` must have run before the first request."""

    def __init__(self, *, limits: Limits | None = None, check_seconds: float | None = None) -> None:
        self.limits = limits or Limits()
        self.database = Database()
        self.hub = Hub(self.database, **({} if check_seconds is None else {"check_seconds": check_seconds}))
        self._taken = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The entry point of the ASGI server."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "http":
            await self._answer(scope, receive, send)
        else:
            raise ValueError(f"Nothing here speaks {scope['type']}.")

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.hub.start()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.hub.stop()
                self.database.close()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        common = _common_headers(headers)
        path, method = scope["path"], scope["method"]
        if not validate_host(split_domain_port(headers.get("host", ""))[0], settings.ALLOWED_HOSTS):
            await _refuse(send, common, HTTPStatus.BAD_REQUEST, "host", "This host is not served here.")
        elif path not in {PREFIX, f"{PREFIX}healthz"}:
            await _refuse(send, common, HTTPStatus.NOT_FOUND, "not_found", "There is nothing here.")
        elif method not in {"GET", "HEAD"}:
            await _refuse(send, common, HTTPStatus.METHOD_NOT_ALLOWED, "method", "Streams are only read.")
        elif path != PREFIX:
            body = json.dumps({"alive": True, **self.hub.figures()}).encode()
            await _whole(send, HTTPStatus.OK, [*common, (b"content-type", b"application/json")], body)
        elif not _is_own_page(headers):
            await _refuse(send, common, HTTPStatus.FORBIDDEN, "origin", "Streams are for this site's own pages.")
        else:
            await self._open(scope, headers, common, receive, send)

    async def _open(self, scope: Scope, headers: dict[str, str], common: Headers, receive: Receive, send: Send) -> None:
        """Lets in or refuses, without holding anything but a seat meanwhile."""
        query = parse_qs(scope.get("query_string", b"")[:MAX_QUERY_BYTES].decode("ascii", "replace"))
        channels = tuple(dict.fromkeys(part for part in query.get("channels", [""])[0].split(",") if part))
        session_key = _session_key(headers.get("cookie", ""))
        if not channels or len(channels) > self.limits.channels_of_a_stream or not all(map(channel_kind, channels)):
            await _refuse(send, common, HTTPStatus.BAD_REQUEST, "channels", "Name the channels to watch.")
            return
        if not session_key:
            await _refuse(send, common, HTTPStatus.UNAUTHORIZED, "session", "Sign in first.")
            return
        if self._taken >= self.limits.streams:
            await _refuse(send, common, HTTPStatus.SERVICE_UNAVAILABLE, "full", "Too many streams are open.")
            return
        self._taken += 1
        try:
            verdict = await self.database.admit(session_key, channels)
            if not verdict.user_id:
                await _refuse(send, common, HTTPStatus.UNAUTHORIZED, "session", "Sign in first.")
            elif verdict.refused:
                await _refuse(send, common, HTTPStatus.FORBIDDEN, "denied", "Your role does not allow this.")
            elif self.hub.count_of(verdict.user_id) >= self.limits.streams_of_a_person:
                await _refuse(send, common, HTTPStatus.SERVICE_UNAVAILABLE, "full", "You have too many streams open.")
            elif scope["method"] == "HEAD":
                await _whole(send, HTTPStatus.OK, [*common, *_STREAM_HEADERS], b"")
            else:
                seen = parse_positions(headers.get("last-event-id") or query.get("last", [""])[0])
                place = Subscription(
                    session_key, verdict.user_id, channels, {c: seen[c] for c in channels if c in seen}
                )
                await self._stream(place, common, receive, send)
        except DatabaseFailure:
            await _refuse(send, common, HTTPStatus.SERVICE_UNAVAILABLE, "database", "The database does not answer.")
        finally:
            self._taken -= 1

    async def _stream(self, place: Subscription, common: Headers, receive: Receive, send: Send) -> None:
        """Snapshot, then what is announced, until either side ends it."""
        self.hub.join(place)
        gone = asyncio.create_task(_until_gone(receive, place))
        try:
            head = {"type": "http.response.start", "status": 200, "headers": [*common, *_STREAM_HEADERS]}
            await send(head)
            await self._send(send, b"retry: 5000\n\n" + control("state", live=place.is_live))
            await self._send_snapshots(place, send, skip_seen=True)
            while not place.ended:
                if not await place.wait(self.limits.keep_alive):
                    await self._send(send, KEEP_ALIVE)
                    continue
                await self._send_waiting(place, send)
            if place.ended != "gone":
                await self._send(send, control("end", reason=place.ended))
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except DatabaseFailure:
            # The browser comes back after its pause and is told then.
            structlog.get_logger(__name__).warning("stream_without_snapshot")
        except (TimeoutError, OSError):
            structlog.get_logger(__name__).info("stream_client_lost")
        finally:
            gone.cancel()
            self.hub.leave(place)

    async def _send_waiting(self, place: Subscription, send: Send) -> None:
        if place.is_live != place.told_live:
            place.told_live = place.is_live
            await self._send(send, control("state", live=place.is_live))
        if place.ended:
            return
        if place.has_lost:
            place.has_lost = False
            place.seen.clear()
            await self._send(send, control("resync"))
            await self._send_snapshots(place, send, skip_seen=False)
        if waiting := place.take():
            await self._send(send, waiting)

    async def _send_snapshots(self, place: Subscription, send: Send, *, skip_seen: bool) -> None:
        """The state of each channel; with *skip_seen* not what a returning client has already."""
        for channel in place.channels:
            state = await self.database.snapshot(channel)
            if state is None or place.ended:
                continue
            if skip_seen and state.position is not None and place.seen.get(channel) == state.position:
                continue
            frame = make_frame(channel=channel, event=state.event, data=state.data, position=state.position)
            await self._send(send, place.stamped(frame))

    async def _send(self, send: Send, body: bytes) -> None:
        """Raises TimeoutError for a client that takes nothing for too long."""
        async with asyncio.timeout(self.limits.slowest_send):
            await send({"type": "http.response.body", "body": body, "more_body": True})


_STREAM_HEADERS: Headers = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    # Proxies that buffer answers would hold events back.
    (b"x-accel-buffering", b"no"),
]


async def _until_gone(receive: Receive, place: Subscription) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue
    place.end("gone")


def _session_key(cookies: str) -> str:
    key = parse_cookie(cookies).get(settings.SESSION_COOKIE_NAME, "")
    return key if key.isascii() and key.isalnum() and len(key) <= 40 else ""


def _is_own_page(headers: dict[str, str]) -> bool:
    """Whether a page of the site asks: of this very origin, or of one that the settings trust."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in {"same-origin", "none"}
    return origin in settings.CSRF_TRUSTED_ORIGINS or urlsplit(origin).netloc == headers.get("host")


def _common_headers(headers: dict[str, str]) -> Headers:
    common: Headers = [
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
        (b"vary", b"Cookie, Origin"),
    ]
    origin = headers.get("origin", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        common += [
            (b"access-control-allow-origin", origin.encode("latin-1")),
            (b"access-control-allow-credentials", b"true"),
            (b"access-control-expose-headers", b"retry-after"),
        ]
    return common


async def _refuse(send: Send, common: Headers, status: HTTPStatus, code: str, title: str) -> None:
    body = {"type": "about:blank", "title": title, "status": int(status), "code": code}
    headers: Headers = [*common, (b"content-type", b"application/problem+json")]
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", str(RETRY_AFTER_SECONDS).encode()))
    await _whole(send, status, headers, json.dumps(body).encode())


async def _whole(send: Send, status: HTTPStatus, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
    headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": int(status), "headers": headers})
    await send({"type": "http.response.body", "body": body})
