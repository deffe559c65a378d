"""The two embedded servers on one data folder: started by one process at a time, joined by others.

A file lock on the data folder says who serves it; `state.json` says where. Whoever joins holds a shared lock, so that
the one who serves waits for joined commands before it stops.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from backoffice.devstack import postgres, valkey
from backoffice.devstack.console import Step, say
from backoffice.devstack.errors import DevstackError
from backoffice.devstack.process import Child, process_began, wait_until
from backoffice.devstack.runtime_dir import Layout, make_layout, remove_data_folder
from backoffice.devstack.supervisor import Supervisor

LOCK_NAME = "lock"
JOINED_LOCK_NAME = "joined.lock"
STATE_NAME = "state.json"
JOIN_SECONDS = 120.0
LEFTOVER_SECONDS = 40.0


@dataclass(frozen=True)
class Addresses:
    """Where the servers are reached."""

    database_url: str
    redis_url: str

    def environment(self) -> dict[str, str]:
        """The variables that the site's settings read."""
        return {"DATABASE_URL": self.database_url, "REDIS_URL": self.redis_url}


def addresses_from_environment() -> Addresses | None:
    """The servers that the environment names, or None. One variable without the other is a mistake, said plainly."""
    database, broker = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    if bool(database) != bool(broker):
        missing = "REDIS_URL" if database else "DATABASE_URL"
        raise DevstackError(
            f"{missing} is not set: set DATABASE_URL and REDIS_URL both, or neither to use the embedded servers"
        )
    return Addresses(database, broker) if database else None


def try_lock(path: Path, *, shared: bool = False) -> IO[bytes] | None:
    """Takes the file lock at *path* without waiting; None when somebody else holds it. Closing the file gives it back."""
    handle = path.open("ab")
    try:
        fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    return handle


def read_state(data: Path) -> dict[str, Any]:
    """What the serving process has written about itself, or nothing."""
    try:
        text = (data / STATE_NAME).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        state = json.loads(text)
    except json.JSONDecodeError as error:
        raise DevstackError(f"{data / STATE_NAME} is damaged: {error}") from error
    return state if isinstance(state, dict) else {}


def write_state(data: Path, state: dict[str, Any]) -> None:
    """Replaces the state file in one step, readable by its owner only."""
    partial = data / f"{STATE_NAME}.partial"
    partial.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    partial.chmod(0o600)
    partial.replace(data / STATE_NAME)


class EmbeddedServers:
    """Postgres and Valkey on one data folder, under a supervisor that this process owns."""

    def __init__(self, data: Path, lock: IO[bytes]) -> None:
        self.data = data
        self._lock = lock
        self._layout: Layout | None = None
        self._state: dict[str, Any] = {}

    def start(self, supervisor: Supervisor, *, is_durable: bool = True) -> Addresses:
        """Starts both servers and returns when both answer."""
        self._wait_for_leftovers()
        with Step(f"starting PostgreSQL and Valkey on {self.data}"):
            layout = self._layout = make_layout(self.data)
            addresses = Addresses(postgres.database_url(layout.sockets), valkey.redis_url(layout.sockets))
            self._state = {
                "pid": os.getpid(),
                "began": process_began(os.getpid()),
                "ready": False,
                "sockets": str(layout.sockets),
                **addresses.environment(),
                "children": {},
            }
            write_state(self.data, self._state)
            broker = self.note(supervisor.add(valkey.start(layout)))
            postgres.create_cluster(layout)
            database = self.note(supervisor.add(postgres.start(layout, is_durable=is_durable)))
            valkey.wait_until_ready(broker, layout)
            postgres.wait_until_ready(database, layout)
            supervisor.raise_if_ended()
        self._state["ready"] = True
        write_state(self.data, self._state)
        return addresses

    def note(self, child: Child) -> Child:
        """Writes the child's process id into the state file, for whoever looks or has to wait for it."""
        self._state.setdefault("children", {})[child.name] = [child.pid, process_began(child.pid)]
        write_state(self.data, self._state)
        return child

    def note_value(self, name: str, value: str) -> None:
        """Adds one fact to the state file."""
        self._state[name] = value
        write_state(self.data, self._state)

    def wait_for_joined(self, supervisor: Supervisor) -> None:
        """Waits for commands of other processes that joined; a signal ends the waiting."""
        path = self.data / JOINED_LOCK_NAME
        handle = try_lock(path)
        if handle is None:
            say("waiting for commands that joined these servers (Ctrl-C stops the servers at once)")
            while (handle := try_lock(path)) is None:
                supervisor.raise_if_ended()
                supervisor.wait()
        self._state["ready"] = False
        write_state(self.data, self._state)
        handle.close()

    def release(self) -> None:
        """Forgets the stopped servers and gives the data folder back."""
        if self._state:
            (self.data / STATE_NAME).unlink(missing_ok=True)
        if self._layout is not None:
            self._remove_sockets(self._layout.sockets)
        self._lock.close()

    def _wait_for_leftovers(self) -> None:
        """Waits for the children of a supervisor that was killed: two servers on one folder would ruin it."""
        state = read_state(self.data)
        for name, (pid, began) in state.get("children", {}).items():
            gone = wait_until(lambda pid=pid, began=began: process_began(pid) != began, seconds=LEFTOVER_SECONDS)  # type: ignore[misc]
            if not gone:
                raise DevstackError(f"{name} of an earlier run still runs as process {pid}; stop it first")
        if "sockets" in state:
            self._remove_sockets(Path(state["sockets"]))

    @staticmethod
    def _remove_sockets(folder: Path) -> None:
        # Only what our own servers leave there is removed, so a wrong path in the file can do no harm.
        for name in (valkey.SOCKET_NAME, ".s.PGSQL.5432", ".s.PGSQL.5432.lock"):
            (folder / name).unlink(missing_ok=True)
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def lock_or_join(data: Path, supervisor: Supervisor) -> EmbeddedServers | tuple[Addresses, IO[bytes]]:
    """Takes the data folder, or, when another process serves it, its addresses and the lock that keeps them alive."""
    deadline = time.monotonic() + JOIN_SECONDS
    told = False
    while True:
        lock = try_lock(data / LOCK_NAME)
        if lock is not None:
            return EmbeddedServers(data, lock)
        joined = try_lock(data / JOINED_LOCK_NAME, shared=True)
        if joined is not None:
            state = read_state(data)
            alive = state.get("ready") and process_began(state["pid"]) == state["began"]
            if alive:
                say(f"joining the servers that run on {data} (process {state['pid']})")
                return Addresses(state["DATABASE_URL"], state["REDIS_URL"]), joined
            joined.close()
        if time.monotonic() > deadline:
            raise DevstackError(f"another process holds {data} and its servers did not become ready")
        if not told:
            say(f"another process holds {data}; waiting for its servers")
            told = True
        supervisor.raise_if_ended()
        supervisor.wait(0.05)


def take_folder(data: Path) -> EmbeddedServers:
    """Takes the data folder or says who has it."""
    lock = try_lock(data / LOCK_NAME)
    if lock is None:
        state = read_state(data)
        by = f" by process {state['pid']}" if "pid" in state else ""
        at = f", which serves {state['url']}" if "url" in state else ""
        raise DevstackError(f"the data folder {data} is already in use{by}{at}; one supervisor at a time")
    return EmbeddedServers(data, lock)


@contextmanager
def serving(data: Path, supervisor: Supervisor, *, throw_away: bool, is_durable: bool = True) -> Iterator[Addresses]:
    """The servers on *data*, for as long as the block runs: joined when they run, else started and stopped again.

    With *throw_away* the folder is removed at the end.
    """
    taken = lock_or_join(data, supervisor)
    if isinstance(taken, tuple):
        addresses, joined = taken
        try:
            yield addresses
        finally:
            joined.close()
        return
    try:
        yield taken.start(supervisor, is_durable=is_durable)
        if supervisor.asked_to_end is None:
            taken.wait_for_joined(supervisor)
    finally:
        with Step("stopping PostgreSQL and Valkey"):
            supervisor.stop_all()
        taken.release()
        if throw_away:
            remove_data_folder(data)


def end_status(number: signal.Signals) -> int:
    """The exit status of a process that a signal ended, as a shell shows it."""
    return 128 + int(number)
