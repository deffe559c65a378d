"""One process that follows all servers, each in a thread of its own, until it is told to stop.

For each server one process leads: it holds a lock of the database on a connection kept for nothing else, so that a second
process takes over within seconds of the first one's death and never beside it. Threads never wait unbounded; at the end
their sessions are closed under them.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg2
import structlog
from django.db import DatabaseError, close_old_connections, connection, connections

from backoffice.core.locks import advisory_key
from backoffice.core.services import heartbeats
from backoffice.kernel.errors import DomainError
from platform_ops.gateways.errors import GatewayError
from platform_ops.gateways.types import ReadingGateway
from platform_ops.models import ServerConnection, ServerSync
from platform_ops.services.connections import ReadOnlyGateway, connection_of, gateway_of
from platform_ops.services.sync.follow import follow_once, look_back

HEARTBEAT = "sync_servers"
LOOK_SECONDS = 5.0
"""How often the list of servers is read again and the process says that it lives."""

STANDBY_SECONDS = 3.0
DATABASE_RETRY_SECONDS = 3.0
LOOK_BACK_SECONDS = 3_600.0
AFTER_TROUBLE_SECONDS = 60.0
"""How soon after a server was out of reach what was read before is read again: it may have restarted from a copy."""

LONGEST_WAIT_SECONDS = 60.0
END_SECONDS = 20.0
MAX_SERVERS = 64

_log = structlog.get_logger(__name__)


@dataclass
class Follower:
    """The thread that follows one server."""

    server_id: int
    code: str
    stopping: threading.Event = field(default_factory=threading.Event)
    leads: bool = False
    _gateway: ReadingGateway | None = None
    _fingerprint: tuple[object, ...] = ()
    _looks_back_at: float = 0.0
    _thread: threading.Thread | None = None

    def start(self) -> Follower:
        """Begins to follow."""
        self._thread = threading.Thread(target=self._run, name=f"sync-{self.code}", daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Asks it to end; a session that waits for its server is cut."""
        self.stopping.set()
        gateway = self._gateway
        if gateway is not None:
            gateway.close()

    def join(self, seconds: float) -> bool:
        """Waits for its end; whether it ended."""
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))
        return self._thread is None or not self._thread.is_alive()

    @property
    def is_alive(self) -> bool:
        """Whether its thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        try:
            while not self.stopping.is_set():
                with Leadership(self.server_id) as leadership:
                    if not leadership.is_held:
                        self.stopping.wait(STANDBY_SECONDS)
                        continue
                    self.leads = True
                    _log.info("server_followed", server=self.code)
                    self._follow(leadership)
                self.leads = False
        finally:
            self.leads = False
            self._drop()
            connections.close_all()

    def _follow(self, leadership: Leadership) -> None:
        self._looks_back_at = time.monotonic() + LOOK_BACK_SECONDS
        while not self.stopping.is_set() and leadership.confirm():
            try:
                close_old_connections()
                wait = self._step()
            except DatabaseError as error:
                _log.warning("server_not_followed", server=self.code, problem=str(error)[:300])
                connection.close()
                wait = DATABASE_RETRY_SECONDS
            self.stopping.wait(min(wait, LONGEST_WAIT_SECONDS))

    def _step(self) -> float:
        try:
            gateway = self._session()
        except DomainError:
            # Without a connection, or with one that cannot be built: the step says so where people look.
            self._drop()
            return follow_once(server_id=self.server_id).wait_seconds if self._has_connection() else LOOK_SECONDS
        followed = follow_once(server_id=self.server_id, gateway=gateway)
        if followed.state not in (ServerSync.State.LIVE, ServerSync.State.CATCHING_UP):
            self._drop()
            self._looks_back_at = time.monotonic() + AFTER_TROUBLE_SECONDS
        elif followed.state == ServerSync.State.LIVE and time.monotonic() >= self._looks_back_at:
            self._looks_back_at = time.monotonic() + LOOK_BACK_SECONDS
            with contextlib.suppress(GatewayError):  # the next step meets the same and says so
                look_back(server_id=self.server_id, gateway=gateway)
        return followed.wait_seconds

    def _session(self) -> ReadingGateway:
        """The session, a new one when the connection was set otherwise."""
        row = connection_of(self.server_id)
        wanted = (row.kind, row.host, row.port, row.login, row.password, repr(row.options), row.server.zone)
        if self._gateway is None or wanted != self._fingerprint:
            self._drop()
            self._gateway, self._fingerprint = ReadOnlyGateway(gateway_of(row)), wanted
        return self._gateway

    def _has_connection(self) -> bool:
        return ServerConnection.objects.filter(server_id=self.server_id).exists()

    def _drop(self) -> None:
        gateway, self._gateway = self._gateway, None
        if gateway is not None:
            gateway.close()


class Leadership:
    """The right to follow a server, held by a connection to the database that does nothing else."""

    def __init__(self, server_id: int) -> None:
        self._key = advisory_key("platform", "sync", str(server_id))
        self._connection: psycopg2.extensions.connection | None = None
        self.is_held = False

    def __enter__(self) -> Leadership:
        try:
            self._connection = psycopg2.connect(**_parameters())
            self._connection.autocommit = True
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", [self._key])
                row = cursor.fetchone()
                self.is_held = bool(row and row[0])
        except psycopg2.Error as error:
            _log.warning("no_lead", problem=str(error)[:300])
        return self

    def __exit__(self, *_: object) -> None:
        self.is_held = False
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()

    def confirm(self) -> bool:
        """Whether the connection, and with it the lock, still lives."""
        if self._connection is None or not self.is_held:
            return False
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except psycopg2.Error:
            self.is_held = False
        return self.is_held


def _parameters() -> dict[str, Any]:
    parameters: dict[str, Any] = {**connection.get_connection_params()}
    for name in ("cursor_factory", "context", "prepare_threshold", "isolation_level"):
        parameters.pop(name, None)
    return {**parameters, "application_name": "sync_servers", "connect_timeout": 5}


def run(*, server_code: str = "", stopping: threading.Event, say: Callable[[str], object] = lambda _text: None) -> None:
    """Follows every enabled server (or the one named) until *stopping* is set; ends within a bound."""
    followers: dict[int, Follower] = {}
    try:
        while not stopping.is_set():
            try:
                close_old_connections()
                _match(followers, server_code, say)
                leading = sum(follower.leads for follower in followers.values())
                heartbeats.beat(HEARTBEAT, {"servers": len(followers), "leading": leading})
            except DatabaseError as error:
                _log.warning("sync_without_database", problem=str(error)[:300])
                connection.close()
            stopping.wait(LOOK_SECONDS)
    finally:
        end(followers.values())


def end(followers: object) -> None:
    """Stops all of them and waits, together no longer than the bound."""
    every: list[Follower] = list(followers)  # type: ignore[call-overload]
    for follower in every:
        follower.stop()
    deadline = time.monotonic() + END_SECONDS
    late = [follower.code for follower in every if not follower.join(deadline - time.monotonic())]
    if late:
        _log.warning("sync_ended_without", servers=late)


def _match(followers: dict[int, Follower], server_code: str, say: Callable[[str], object]) -> None:
    """Starts and stops followers so that they are those of the enabled connections."""
    rows = ServerConnection.objects.filter(is_enabled=True).select_related("server")
    if server_code:
        rows = rows.filter(server__code=server_code)
    wanted = {row.server_id: row.server.code for row in rows[:MAX_SERVERS]}
    for server_id in [known for known in followers if known not in wanted]:
        follower = followers.pop(server_id)
        follower.stop()
        follower.join(END_SECONDS)
        say(f"{follower.code}: no longer followed")
        if ServerConnection.objects.filter(server_id=server_id).exists():
            follow_once(server_id=server_id)
    for server_id, code in wanted.items():
        if server_id not in followers or not followers[server_id].is_alive:
            followers[server_id] = Follower(server_id, code).start()
            say(f"{code}: following")
