"""Live streams, the sender's side: what happened is announced after the commit, to whoever watches at that moment.

An announcement is a hint to open screens and never the only record: it may be lost (a restart of Valkey, a network
cut, nobody watching), and whoever opens a stream first gets a snapshot read from the database. A desk registers what
can be watched in `AppConfig.ready()`:

    register_channel(ChannelKind("exposure", may_watch=..., snapshot=...))     # channels "exposure:<entity id>"
    announce(channel="exposure:3", event="exposure", data={...}, position=run.pk)

The other side, which holds the browsers' connections, is `backoffice.streams`.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import redis
import structlog
from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.http import HttpRequest
from django.http.request import split_domain_port
from redis.backoff import NoBackoff
from redis.retry import Retry

from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.registry import Registry

MAX_MESSAGE_BYTES = 256 * 1024
SEND_TIMEOUT_SECONDS = 0.5
STALE_EVENT = "stale"
"""What is announced instead of a message that is too large: watchers are given a fresh snapshot."""
ACCESS_CHANNEL = "access:changed"
"""Nobody watches it: it tells the streams' processes at once that somebody's access may have ended."""

_CHANNEL = re.compile(r"[a-z][a-z_]{0,30}:[A-Za-z0-9_:.-]{1,100}")
_EVENT = re.compile(r"[a-z][a-z0-9_]{0,40}")


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The present state of a channel, as the first event of a stream.

    `position` rises with every state; events announced at or below it are already in the snapshot. None: the channel
    does not number its states.
    """

    event: str
    data: dict[str, Any]
    position: int | None = None


@dataclass(frozen=True, slots=True)
class ChannelKind:
    """What a desk offers to watch: `prefix` names the kind, the rest of the channel's name says of whom or what.

    `may_watch(actor, key)` decides at the opening of a stream and again and again while it is open. `snapshot(key)`
    reads the state; it never depends on who watches. With `refreshes` a snapshot follows every announcement, for
    channels whose announcements do not carry the whole state.
    """

    prefix: str
    may_watch: Callable[[Actor, str], bool]
    snapshot: Callable[[str], Snapshot | None]
    refreshes: bool = False


_kinds: Registry[ChannelKind] = Registry("stream channels")
_client: redis.Redis | None = None
_client_lock = threading.Lock()


def register_channel(kind: ChannelKind) -> None:
    """Offers channels of a kind; two kinds of one prefix are a mistake."""
    _kinds.register(kind.prefix, kind)


def channel_kind(channel: str) -> tuple[ChannelKind, str] | None:
    """The kind and the key of a channel's name; None for what nobody offers."""
    if not _CHANNEL.fullmatch(channel):
        return None
    prefix, _, key = channel.partition(":")
    found = dict(_kinds.items()).get(prefix)
    return None if found is None else (found, key)


def announce(*, channel: str, event: str, data: dict[str, Any], position: int | None = None) -> None:
    """Tells who watches *channel*, once the surrounding transaction is committed (at once, when there is none).

    Failure to reach Valkey is logged and changes nothing: the record is in the database. A message that is too large
    is announced as `stale`. Raises InvalidInput for a channel or event name that could not be sent.
    """
    if not _CHANNEL.fullmatch(channel):
        raise InvalidInput("A channel is named kind:key.", field="channel", value=channel)
    if not _EVENT.fullmatch(event):
        raise InvalidInput("An event is named by small letters, digits and underscores.", field="event", value=event)
    message = _encoded(event=event, data=data, position=position)
    if len(message) > MAX_MESSAGE_BYTES:
        structlog.get_logger(__name__).warning("announcement_too_large", channel=channel, bytes=len(message))
        message = _encoded(event=STALE_EVENT, data={}, position=None)
    transaction.on_commit(partial(_send, channel, message), robust=True)


def announce_access_changed(user_id: int) -> None:
    """Has the streams of a person checked at once: a session was ended, a role removed, a login closed."""
    announce(channel=ACCESS_CHANNEL, event="access", data={"user": user_id})


def streams_origin(request: HttpRequest) -> str:
    """Where browsers reach the streams when that is not the site itself: `https://host:port`; empty otherwise."""
    if not settings.STREAMS.isdigit():
        return ""
    return f"{request.scheme}://{split_domain_port(request.get_host())[0]}:{settings.STREAMS}"


def streams_url(request: HttpRequest) -> str:
    """The address that a page's script opens; empty when there are no streams and the page asks for itself."""
    return f"{streams_origin(request)}/streams/" if settings.STREAMS else ""


def topic_of(channel: str) -> str:
    """The name under which a channel travels. Pub/sub knows no database numbers, so ours is part of the name."""
    number = redis.ConnectionPool.from_url(settings.CACHE_URL).connection_kwargs.get("db", 0)
    return f"backoffice:{number}:streams:{channel}"


def _encoded(*, event: str, data: dict[str, Any], position: int | None) -> bytes:
    body = {"event": event, "data": data, "position": position}
    return json.dumps(body, cls=DjangoJSONEncoder, separators=(",", ":")).encode()


def _send(channel: str, message: bytes) -> None:
    try:
        _connected().publish(topic_of(channel), message)
    except redis.RedisError as error:
        structlog.get_logger(__name__).warning("announcement_not_sent", channel=channel, problem=type(error).__name__)


def _connected() -> redis.Redis:
    global _client
    with _client_lock:
        if _client is None:
            # One retry covers a connection that the server closed; more would hold up the sender.
            _client = redis.Redis.from_url(
                settings.CACHE_URL,
                socket_timeout=SEND_TIMEOUT_SECONDS,
                socket_connect_timeout=SEND_TIMEOUT_SECONDS,
                retry=Retry(NoBackoff(), 1),
            )
        return _client
