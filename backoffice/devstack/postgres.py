"""The embedded PostgreSQL: how its cluster is made, started, asked whether it is ready, and addressed."""

from __future__ import annotations

import locale
import os
import shutil
import signal
import subprocess
from pathlib import Path
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

from backoffice.devstack.errors import DevstackError
from backoffice.devstack.process import STOP_GRACE_SECONDS, Child, log_tail, process_began, spawn, wait_until
from backoffice.devstack.runtime_dir import Layout

NAME = "postgres"
ROLE = "backoffice"
DATABASE = "backoffice"
READY_SECONDS = 60.0  # crash recovery after a power cut may take a while
CREATE_SECONDS = 120
SHARED_BUFFERS_VARIABLE = "BACKOFFICE_DEVSTACK_SHARED_BUFFERS"
SERVER_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "max_locks_per_transaction": "1024",  # daily partitions: one statement may touch many tables
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "wal_level": "replica",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] %a ",
}

NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}
"""For data that is thrown away: nothing waits for the disk. Commits still wait for the log to be handed to the operating system:
where a test kills a server's process, what was committed before is there afterwards."""


def database_url(sockets: Path, database: str = DATABASE) -> str:
    """The address of *database* on the unix socket in *sockets*."""
    return f"postgresql://{ROLE}@/{database}?host={quote(str(sockets))}"


def _environment() -> dict[str, str]:
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}


def cluster_folder(layout: Layout) -> Path:
    """The folder that PostgreSQL calls its data directory."""
    return layout.postgres_folder / "data"


def create_cluster(layout: Layout) -> None:
    """Runs initdb when the folder holds no cluster yet; a half-made one of an interrupted run is removed first.

    The sort order is by code point (equal on every machine); letters of all languages are known as letters, so that
    upper and lower case and similarity search work on any client's name.
    """
    cluster = cluster_folder(layout)
    if cluster.exists():
        return
    partial = layout.postgres_folder / "data.partial"
    if partial.exists():
        shutil.rmtree(partial)
    argv = [
        str(layout.binaries.initdb),
        f"--pgdata={partial}",
        f"--username={ROLE}",
        "--auth=trust",  # the socket's folder is the lock: mode 0700, no TCP
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        f"--lc-ctype={_character_locale()}",
        "--data-checksums",
        "--no-instructions",
    ]
    identity = layout.identity
    done = subprocess.run(
        argv,
        check=False,
        user=None if identity is None else identity.uid,
        group=None if identity is None else identity.gid,
        extra_groups=None if identity is None else [],
        cwd="/",
        env=_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        timeout=CREATE_SECONDS,
    )
    if done.returncode != 0:
        output = done.stdout.decode("utf-8", "replace").strip()
        raise DevstackError(
            f"initdb could not make the cluster in {layout.postgres_folder}:\n{output}{_initdb_hint(output)}"
        )
    partial.rename(cluster)


def _character_locale() -> str:
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, "C.UTF-8")
    except locale.Error:
        return "C"
    else:
        return "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_CTYPE, before)


def _initdb_hint(output: str) -> str:
    if "could not look up effective user ID" in output:
        return (
            f"\nPostgreSQL demands that its user has a name, and user id {os.geteuid()} has none in /etc/passwd: "
            "run as a named user, or set DATABASE_URL and REDIS_URL"
        )
    return ""


def start(layout: Layout, *, is_durable: bool = True) -> Child:
    """Starts the server in the foreground on the unix socket only. `wait_until_ready` says when it serves.

    *is_durable*: what is committed outlives a power cut. Without it, it outlives the server's own death only.
    """
    _remove_stale_pid_file(layout)
    settings = dict(SERVER_SETTINGS)
    settings["shared_buffers"] = os.environ.get(SHARED_BUFFERS_VARIABLE, settings["shared_buffers"])
    if not is_durable:
        settings |= NOT_DURABLE
    settings["unix_socket_directories"] = str(layout.sockets)
    argv = [str(layout.binaries.postgres), "-D", str(cluster_folder(layout))]
    for name, value in settings.items():
        argv += ["-c", f"{name}={value}"]
    return spawn(
        NAME,
        argv,
        environment=_environment(),
        folder=Path("/"),
        log=layout.logs / "postgres.log",
        identity=layout.identity,
        # SIGINT ends sessions and writes a checkpoint; SIGQUIT leaves recovery to the next start.
        stop_signals=(signal.SIGINT, signal.SIGQUIT),
    )


def _remove_stale_pid_file(layout: Layout) -> None:
    """Waits for a server of a killed supervisor to finish, and removes a pid file whose number now means a stranger.

    The caller holds the folder's lock. PostgreSQL itself takes any living process with that number for a server,
    which a restarted container, where numbers repeat, would never get past.
    """
    cluster = cluster_folder(layout)
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    pid = int(pid_file.read_text(encoding="ascii").splitlines()[0])
    if wait_until(lambda: not _serves(pid, cluster), seconds=STOP_GRACE_SECONDS):
        if process_began(pid) is not None:
            pid_file.unlink(missing_ok=True)
        return
    raise DevstackError(f"a PostgreSQL with process id {pid} still runs on {cluster}; stop it first")


def _serves(pid: int, cluster: Path) -> bool:
    try:
        command_line = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return os.fsencode(cluster) in command_line.split(b"\0")


def wait_until_ready(child: Child, layout: Layout) -> None:
    """Waits until the server takes connections and makes the database when it is missing."""
    ready = wait_until(lambda: child.exit_status() is not None or _accepts(layout.sockets), seconds=READY_SECONDS)
    if child.exit_status() is not None or not ready:
        raise DevstackError(f"postgres {child.describe_end()} before it was ready{log_tail(child.log)}")
    ensure_database(layout.sockets, DATABASE)


def _accepts(sockets: Path) -> bool:
    try:
        psycopg2.connect(database_url(sockets, "postgres"), connect_timeout=2).close()
    except psycopg2.OperationalError:
        return False
    return True


def ensure_database(sockets: Path, database: str) -> None:
    """Creates *database* unless it is there."""
    connection = psycopg2.connect(database_url(sockets, "postgres"))
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
    finally:
        connection.close()
