"""The embedded Valkey: broker, cache and live figures on a unix socket, with an append-only file."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path

from backoffice.devstack.errors import DevstackError
from backoffice.devstack.process import Child, log_tail, spawn, wait_until
from backoffice.devstack.runtime_dir import Layout

NAME = "valkey"
SOCKET_NAME = "valkey.sock"
READY_SECONDS = 60.0
MEMORY_LIMIT = "512mb"
SERVER_SETTINGS = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": "",
    "maxmemory": MEMORY_LIMIT,
    "maxmemory-policy": "noeviction",  # a full broker must refuse, never forget a task
    "logfile": "",
}


def redis_url(sockets: Path, database: int = 0) -> str:
    """The address of Valkey on the unix socket in *sockets*."""
    return f"unix://{sockets / SOCKET_NAME}?db={database}"


def start(layout: Layout) -> Child:
    """Starts the server in the foreground on the unix socket only. `wait_until_ready` says when it serves."""
    argv = [str(layout.binaries.valkey), "--unixsocket", str(layout.sockets / SOCKET_NAME)]
    argv += ["--dir", str(layout.valkey_folder)]
    for name, value in SERVER_SETTINGS.items():
        argv += [f"--{name}", value]
    return spawn(
        NAME,
        argv,
        environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        folder=Path("/"),
        log=layout.logs / "valkey.log",
        identity=layout.identity,
        stop_signals=(signal.SIGTERM,),
    )


def wait_until_ready(child: Child, layout: Layout) -> None:
    """Waits until the server has read its append-only file and answers."""
    path = os.fspath(layout.sockets / SOCKET_NAME)
    ready = wait_until(lambda: child.exit_status() is not None or _answers(path), seconds=READY_SECONDS)
    if child.exit_status() is not None or not ready:
        raise DevstackError(f"valkey {child.describe_end()} before it was ready{log_tail(child.log)}")


def _answers(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(2)
        try:
            connection.connect(path)
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False
