"""The bench of streams: hundreds of open streams, and how long an announcement takes from the commit to all of them.

The streams' process runs as it does in service (gunicorn's own ASGI worker) on a unix socket; the browsers are sockets
in this process. Beside it stands the bare round trip of Valkey's publish and subscribe, measured in the same turn.
"""

from __future__ import annotations

import os
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connection, transaction

from backoffice.core.measuring.bench import Comparison, Contender, Contest
from backoffice.core.measuring.database import bench_entity
from backoffice.core.models import User
from backoffice.core.streams import announce, topic_of
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict

STREAMS = {"smoke": 60, "std": 300, "big": 900}
STREAMS_OF_A_PERSON = 10
ANNOUNCEMENTS = {"smoke": 30, "std": 100, "big": 100}
READY_SECONDS = 30.0
ARRIVAL_SECONDS = 10.0
PAUSE_SECONDS = 0.02
"""Between announcements, so that each is measured alone."""

OURS, BARE = "ours: commit to every stream", "publish and subscribe, bare"


def streams(size: str) -> Iterator[Contest]:
    """The suite: one channel for each person, announced to all in turn."""
    with _Service(STREAMS[size]) as service:
        contenders = [
            Contender(OURS, lambda: service.measure(ANNOUNCEMENTS[size]), ANNOUNCEMENTS[size], notes=service.notes),
            Contender(
                BARE, lambda: service.measure_bare(ANNOUNCEMENTS[size]), ANNOUNCEMENTS[size], notes=service.bare_notes
            ),
        ]
        limits = {"p50_ms": 100.0, "p99_ms": 250.0, "kilobytes_per_stream": 200.0}
        yield Contest(
            "streams",
            "announcements",
            contenders,
            [Comparison(f"an announcement to {STREAMS[size]:,} streams", OURS, BARE, limits=limits)],
        )


class _Service:
    """The streams' process with its browsers."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._sockets: list[socket.socket] = []
        self._figures: dict[str, float] = {}
        self._bare: dict[str, float] = {}

    def __enter__(self) -> _Service:
        self._folder = tempfile.TemporaryDirectory(prefix="bench-streams-")
        self._path = Path(self._folder.name) / "streams.sock"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gunicorn", "-k", "asgi", "backoffice.streams.asgi:application",
             f"--bind=unix:{self._path}", "--workers=1", "--graceful-timeout=1", "--log-level=error"],
            env=_environment(),
        )  # fmt: skip
        try:
            self._wait_until_live()
            empty = self._memory()
            self._open()
            self._figures["kilobytes_per_stream"] = max(0.0, (self._memory() - empty) / self._number)
            self._figures["kilobytes_of_the_process"] = self._memory()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        for each in self._sockets:
            each.close()
        self._process.terminate()
        self._process.wait(timeout=20)
        self._folder.cleanup()

    def measure(self, announcements: int) -> None:
        """Announces on the common channel within a transaction; a turn ends when the last stream has it."""
        first, last = [], []
        for number in range(announcements):
            with transaction.atomic():
                announce(channel=self._channel, event="bench", data={"number": number})
            committed = time.perf_counter()
            arrivals = self._arrivals(f'"number":{number}}}'.encode(), committed)
            first.append(arrivals[0])
            last.append(arrivals[-1])
            time.sleep(PAUSE_SECONDS)
        self._figures |= _percentiles(last) | {f"first_{name}": value for name, value in _percentiles(first).items()}

    def measure_bare(self, announcements: int) -> None:
        """The same messages from this process to this process through Valkey alone."""
        client = redis.Redis.from_url(settings.CACHE_URL)
        listener = client.pubsub(ignore_subscribe_messages=True)
        listener.subscribe(topic_of("bench:bare"))
        listener.get_message(timeout=1.0)
        taken = []
        for number in range(announcements):
            began = time.perf_counter()
            client.publish(topic_of("bench:bare"), str(number))
            while listener.get_message(timeout=1.0) is None:
                continue
            taken.append((time.perf_counter() - began) * 1_000)
            time.sleep(PAUSE_SECONDS)
        listener.close()
        self._bare = _percentiles(taken)

    def notes(self) -> Mapping[str, float]:
        """Milliseconds from the commit to the last stream, to the first, and memory."""
        return dict(self._figures)

    def bare_notes(self) -> Mapping[str, float]:
        """Milliseconds of the bare round trip."""
        return dict(self._bare)

    def _arrivals(self, wanted: bytes, since: float) -> list[float]:
        """Milliseconds until each stream had it, in the order of arrival."""
        waiting, found = set(self._sockets), []
        with selectors.DefaultSelector() as selector:
            for each in waiting:
                selector.register(each, selectors.EVENT_READ)
            while waiting:
                if time.perf_counter() - since > ARRIVAL_SECONDS:
                    raise Conflict(f"{len(waiting)} streams were not told in time.", code="bench_streams_late")
                for key, _ in selector.select(1.0):
                    stream: Any = key.fileobj
                    if wanted in stream.recv(65_536):
                        found.append((time.perf_counter() - since) * 1_000)
                        waiting.discard(stream)
                        selector.unregister(stream)
        return found

    def _open(self) -> None:
        """All streams watch the desk of one person or, where one person may not have so many, of several in turn."""
        entity = bench_entity()
        people = -(-self._number // STREAMS_OF_A_PERSON)
        keys = [_session(f"bench{number}@example.com", entity) for number in range(people)]
        # The exposure of one entity is what hundreds watch at the same time.
        self._channel = f"exposure:{entity.pk}"
        for number in range(self._number):
            each = socket.socket(socket.AF_UNIX)
            # Waits while the process has more to accept than it can queue; only a reader has a deadline.
            each.connect(str(self._path))
            each.settimeout(ARRIVAL_SECONDS)
            head = f"GET /streams/?channels={self._channel} HTTP/1.1\r\nHost: localhost\r\n"
            cookie = f"{settings.SESSION_COOKIE_NAME}={keys[number % people]}"
            each.sendall(f"{head}Cookie: {cookie}\r\n\r\n".encode())
            self._sockets.append(each)
        for each in self._sockets:
            answer = b""
            while b"event: state" not in answer:
                part = each.recv(65_536)
                if not part or b"problem+json" in part:
                    raise Conflict("A stream was refused.", code="bench_streams_refused")
                answer += part
        connection.close()

    def _wait_until_live(self) -> None:
        until = time.monotonic() + READY_SECONDS
        while time.monotonic() < until:
            with socket.socket(socket.AF_UNIX) as asking:
                asking.settimeout(2.0)
                try:
                    asking.connect(str(self._path))
                    asking.sendall(b"GET /streams/healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                    if b'"is_live": true' in asking.recv(65_536):
                        return
                except OSError:
                    pass
            time.sleep(0.1)
        raise Conflict("The streams' process did not become ready.", code="bench_streams_down")

    def _memory(self) -> float:
        """Kilobytes that the workers keep for themselves."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text(encoding="ascii")
        return float(sum(_private_kilobytes(int(child)) for child in children.split()))


def _private_kilobytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))


def _percentiles(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    return {
        "p50_ms": statistics.median(ordered),
        "p99_ms": ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
    }


def _session(email: str, entity: Any) -> str:
    user = User.objects.create_user(email=email, full_name="Bench", roles=["dealing"])
    user.entities.add(entity)
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session["account_authentication_methods"] = [{"method": "mfa", "at": clock.now().timestamp(), "type": "totp"}]
    session["account_authentication_methods_user"] = str(user.pk)
    session.create()
    return str(session.session_key)


def _environment() -> dict[str, str]:
    """The bench's own database, which is not the one that the environment names."""
    database = connection.settings_dict
    address = f"postgresql://{database['USER']}:{database['PASSWORD']}@/{database['NAME']}?host={database['HOST']}"
    return {**os.environ, "DATABASE_URL": address, "BACKOFFICE_PROCESS": "streams"}
