"""What breaks things on purpose: processes that die at a named point, servers that are killed, a proxy that loses answers.

Nothing here is a mock: the processes, the servers and the sockets are real.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg2
from django.conf import settings
from django.db import connection, connections

from backoffice.core import crash_points
from backoffice.core.services import jobs, outbox
from backoffice.devstack import postgres, valkey
from backoffice.devstack.process import Child, process_began, wait_until
from backoffice.devstack.runtime_dir import Layout, make_layout

ROUNDS_OF_WORK = 50
MAXIMUM_WAIT_SECONDS = 60.0


# --- processes -------------------------------------------------------------------------------------------------------


def start_child(action: Callable[[], Any], *, crash_at: str = "") -> int:
    """Forks a process that runs *action* on database connections of its own; its process id.

    With *crash_at* (`"ib.settle.after_lines:2"`) it kills itself with SIGKILL at that pass of the named point.
    """
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        for each in connections.all(initialized_only=True):
            each.connection = None  # the parent's socket: neither used nor closed here
        crash_points._passes.clear()
        os.environ.pop(crash_points.CRASH_AT_VARIABLE, None)
        if crash_at:
            os.environ[crash_points.CRASH_AT_VARIABLE] = crash_at
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        action()
        status = 0
    finally:
        os._exit(status)


def wait_for_child(pid: int, *, seconds: float = MAXIMUM_WAIT_SECONDS) -> int:
    """The exit status of the child: 0, 1 after an error, or minus the number of the signal that ended it."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.005)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    raise AssertionError(f"the child did not end within {seconds} s")


def run_child(action: Callable[[], Any], *, crash_at: str = "") -> int:
    """Runs *action* in a process of its own to its end; see `start_child` and `wait_for_child`."""
    return wait_for_child(start_child(action, crash_at=crash_at))


def kill_child(pid: int) -> None:
    """SIGKILL, and reaps it."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def work_until_idle() -> None:
    """What the worker's ticks do, until nothing is due: events delivered, jobs of every kind worked off."""
    for _ in range(ROUNDS_OF_WORK):
        delivered = outbox.deliver_due()
        done = sum(jobs.run_ready(kind=kind, owner=f"worker {os.getpid()}") for kind in jobs.ready_kinds())
        if not delivered and not done:
            return
    raise AssertionError(f"there was still work after {ROUNDS_OF_WORK} rounds")


def free_leases() -> int:
    """Lets the leases of dead workers run out now instead of in some seconds, and has the reaper free them."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE core_job SET lease_until = clock_timestamp() WHERE state = 'leased'")
    return jobs.reap_expired()


# --- the database connection of this process -------------------------------------------------------------------------


@contextmanager
def connected_to(**where: str) -> Iterator[None]:
    """Django's default connection of this process, and of its threads and children, leads elsewhere for the block."""
    target = connections["default"].settings_dict
    before = {name: target[name] for name in where}
    connections.close_all()
    target.update(where)
    try:
        yield
    finally:
        connections.close_all()
        target.update(before)


def database_url() -> str:
    """The address of the database that this process is connected to."""
    known = connection.settings_dict
    if known["PORT"]:
        return f"postgresql://{known['USER']}@{known['HOST']}:{known['PORT']}/{known['NAME']}"
    return f"postgresql://{known['USER']}@/{known['NAME']}?host={known['HOST']}"


# --- servers ---------------------------------------------------------------------------------------------------------


class OwnServers:
    """A PostgreSQL (fsync on) and a Valkey on a folder of their own, to be killed and started again."""

    def __init__(self, data: Path) -> None:
        self.layout: Layout = make_layout(data)
        self.sockets = self.layout.sockets
        self._postgres: Child | None = None
        self._valkey: Child | None = None

    def start(self) -> None:
        """Starts both, with an empty database."""
        postgres.create_cluster(self.layout)
        self.start_postgres()
        self.start_valkey()

    def start_postgres(self) -> float:
        """Starts PostgreSQL on what is there, recovering if need be; the seconds until it took connections."""
        began = time.monotonic()
        with _environment(BACKOFFICE_DEVSTACK_SHARED_BUFFERS="64MB"):
            self._postgres = postgres.start(self.layout)
        postgres.wait_until_ready(self._postgres, self.layout)
        return time.monotonic() - began

    def start_valkey(self) -> None:
        """Starts Valkey on its append-only file."""
        self._valkey = valkey.start(self.layout)
        valkey.wait_until_ready(self._valkey, self.layout)

    def end_postgres(self, number: signal.Signals) -> None:
        """SIGKILL: the postmaster dies and its sessions notice. SIGQUIT: what `pg_ctl stop -m immediate` sends."""
        assert self._postgres is not None
        self._postgres.popen.send_signal(number)
        self._postgres.popen.wait(timeout=MAXIMUM_WAIT_SECONDS)

    def kill_valkey(self) -> None:
        """SIGKILL."""
        assert self._valkey is not None
        self._valkey.popen.kill()
        self._valkey.popen.wait(timeout=MAXIMUM_WAIT_SECONDS)

    def stop(self) -> None:
        """Ends whatever runs. The folder is thrown away, so nothing is waited for."""
        for child, number in ((self._valkey, signal.SIGKILL), (self._postgres, signal.SIGQUIT)):
            if child is not None and child.popen.poll() is None:
                child.popen.send_signal(number)
                child.popen.wait(timeout=MAXIMUM_WAIT_SECONDS)

    @property
    def redis_url(self) -> str:
        """Where Valkey is reached."""
        return valkey.redis_url(self.sockets)

    def database_url(self, name: str = postgres.DATABASE) -> str:
        """Where a database of this server is reached."""
        return postgres.database_url(self.sockets, name)

    def program(self, name: str) -> Path:
        """A client program of the same version as the server."""
        return self.layout.binaries.postgres_folder / "bin" / name

    def copy_database(self, source_url: str, name: str) -> None:
        """Makes a database with everything that the other one, on another server, holds now."""
        self.execute(f'CREATE DATABASE "{name}"', "postgres")
        dump = subprocess.Popen(
            [self.program("pg_dump"), "--format=plain", "--no-owner", "--no-comments", source_url],
            stdout=subprocess.PIPE,
        )
        load = subprocess.run(
            [self.program("psql"), "--quiet", "--no-psqlrc", "--set=ON_ERROR_STOP=1", self.database_url(name)],
            stdin=dump.stdout,
            capture_output=True,
            check=False,
        )
        assert dump.wait() == 0
        assert load.returncode == 0, load.stderr.decode()

    def execute(self, statement: str, database: str = postgres.DATABASE) -> list[tuple[Any, ...]]:
        """Runs a statement on its own, on a connection of its own."""
        with_psycopg = psycopg2.connect(self.database_url(database))
        try:
            with_psycopg.autocommit = True
            with with_psycopg.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            with_psycopg.close()


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class SitePrograms:
    """Real processes of the site (Celery worker, beat, commands) on given servers."""

    def __init__(self, *, database: str, redis: str, logs: Path) -> None:
        self.environment = {
            **os.environ,
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "DJANGO_SETTINGS_MODULE": "backoffice.settings",
            "BACKOFFICE_LOG_FORMAT": "console",
            "BACKOFFICE_PRIVATE_FILES": str(logs / "files"),
        }
        self.environment.pop(crash_points.CRASH_AT_VARIABLE, None)
        self.logs = logs
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, name: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a program of the virtual environment; its output goes to a log named so."""
        with (self.logs / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, *arguments],
                env=self.environment,
                cwd=Path(settings.BASE_DIR),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(process)
        return process

    def log(self, name: str) -> str:
        """What the program has said so far."""
        return (self.logs / f"{name}.log").read_text(errors="replace")

    def end(self) -> None:
        """Kills every program that was started, with its children."""
        for process in self._running:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=MAXIMUM_WAIT_SECONDS)
        self._running.clear()


def eventually(condition: Callable[[], Any], *, seconds: float = MAXIMUM_WAIT_SECONDS) -> float:
    """Waits until the condition holds; how long that took. Fails after *seconds*."""
    began = time.monotonic()
    assert wait_until(lambda: bool(condition()), seconds=seconds), f"did not come true within {seconds} s"
    return time.monotonic() - began


def is_alive(pid: int) -> bool:
    """Whether a process of that number runs."""
    return process_began(pid) is not None


# --- the wire --------------------------------------------------------------------------------------------------------


class CommitCutter:
    """A proxy on 127.0.0.1 that stands before a PostgreSQL socket and cuts a connection exactly at COMMIT.

    It reads the client's side of the protocol: COMMIT is seen as a simple query and as an extended one (Parse and
    Execute). *lose_answer* lets the server commit and drops the reply, so that the client cannot know; *lose_request*
    drops the COMMIT itself. Only the transaction is cut that held a statement with the text it was armed with.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(64)
        self.port: int = self._listener.getsockname()[1]
        self.cuts = 0
        self.commits = 0
        self._armed: tuple[str, str] | None = None
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, name="commit cutter", daemon=True).start()

    def arm(self, mode: str, containing: str) -> None:
        """Cuts the next COMMIT of a transaction with such a statement, once. *mode*: lose_answer or lose_request."""
        assert mode in {"lose_answer", "lose_request"}
        self._armed = (mode, containing)

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.connect(self._upstream)
            wire = _Wire(self, client, server)
            threading.Thread(target=wire.forward_client, daemon=True).start()
            threading.Thread(target=wire.forward_server, daemon=True).start()

    def take_cut(self, statements: list[str]) -> str | None:
        """How the COMMIT of a transaction with these statements is to be cut; None to let it pass."""
        with self._lock:
            self.commits += 1
            if self._armed is None or not any(self._armed[1] in statement for statement in statements):
                return None
            mode, self._armed = self._armed[0], None
            self.cuts += 1
            return mode


class _Wire:
    """One connection through the proxy."""

    def __init__(self, cutter: CommitCutter, client: socket.socket, server: socket.socket) -> None:
        self._cutter, self._client, self._server = cutter, client, server
        self._statements: list[str] = []
        self._prepared: dict[bytes, str] = {}
        self._mute = threading.Event()
        self._answered = threading.Event()

    def forward_client(self) -> None:
        """Client to server, message by message."""
        try:
            self._start_up()
            while True:
                kind = _exactly(self._client, 1)
                length = _exactly(self._client, 4)
                body = _exactly(self._client, struct.unpack("!i", length)[0] - 4)
                if self._is_commit(kind, body):
                    mode = self._cutter.take_cut(self._statements)
                    self._statements = []
                    if mode == "lose_request":
                        break
                    if mode == "lose_answer":
                        self._mute.set()
                self._server.sendall(kind + length + body)
                if self._mute.is_set() and kind in {b"Q", b"S"}:
                    self._answered.wait(timeout=MAXIMUM_WAIT_SECONDS)
                    break
        except (ConnectionError, OSError):
            pass
        self._close()

    def forward_server(self) -> None:
        """Server to client; once muted, what the server says ends here."""
        try:
            while data := self._server.recv(65536):
                if self._mute.is_set():
                    self._answered.set()
                    continue
                self._client.sendall(data)
        except (ConnectionError, OSError):
            pass
        self._answered.set()
        self._close()

    def _start_up(self) -> None:
        """Messages without a kind: requests for encryption, which the server declines, then the start-up itself."""
        while True:
            length = _exactly(self._client, 4)
            body = _exactly(self._client, struct.unpack("!i", length)[0] - 4)
            self._server.sendall(length + body)
            if struct.unpack("!i", body[:4])[0] >> 16 == 3:
                return

    def _is_commit(self, kind: bytes, body: bytes) -> bool:
        """Notes what the client says; True for the message that makes the server commit."""
        if kind == b"Q":
            text = body.rstrip(b"\0").decode(errors="replace")
        elif kind == b"P":
            name, query, _ = body.split(b"\0", 2)
            self._prepared[name] = query.decode(errors="replace")
            return False
        elif kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            self._bound = self._prepared.get(name, "")
            return False
        elif kind == b"E":
            text = getattr(self, "_bound", "")
        else:
            return False
        word = text.strip().rstrip(";").upper()
        if word.startswith("BEGIN"):
            self._statements = []
        self._statements.append(text)
        return word in {"COMMIT", "END", "COMMIT TRANSACTION", "COMMIT WORK"}

    def _close(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _exactly(source: socket.socket, count: int) -> bytes:
    parts = b""
    while len(parts) < count:
        part = source.recv(count - len(parts))
        if not part:
            raise ConnectionError("the other side has closed")
        parts += part
    return parts
