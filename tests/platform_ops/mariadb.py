"""A MariaDB server of the tests' own: in a temporary folder, on a socket of that folder, small, ended at the end.

As root it runs as an unprivileged user. Where MariaDB is not installed the tests that need it are skipped and say so.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pymysql
import pytest
from django.conf import settings

START_SECONDS = 20
INSTALL_SECONDS = 60
STOP_SECONDS = 10
SMALL = ("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=4M", "--innodb-log-buffer-size=1M")
READER, READER_PASSWORD = "reporter", "reads-only"
_BINARIES = ("/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin")


@dataclass
class MariaServer:
    """A running server. `socket` is where it listens; nothing listens on the network."""

    folder: Path
    process: subprocess.Popen[bytes]
    databases: list[str] = field(default_factory=list)

    @property
    def socket(self) -> str:
        return str(self.folder / "socket")

    def run(self, *statements: str, database: str | None = None) -> list[tuple[Any, ...]]:
        """Statements of the server's administrator; the rows of the last one."""
        link = pymysql.connect(unix_socket=self.socket, user="root", database=database, autocommit=True)
        with contextlib.closing(link), link.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall())

    def load(self, database: str, script: str) -> None:
        """A new database filled from a script of statements, each ending with `;` at the end of a line."""
        self.run(f"DROP DATABASE IF EXISTS `{database}`", f"CREATE DATABASE `{database}`")
        self.databases.append(database)
        self.run(*[part for part in _statements(script) if part.strip()], database=database)


def _statements(script: str) -> list[str]:
    lines = [line for line in script.splitlines() if not line.startswith("--")]
    return "\n".join(lines).replace(";\n", ";\x00").rstrip(";\n").split(";\x00")


def _binary(name: str) -> str | None:
    return shutil.which(name) or next(
        (f"{folder}/{name}" for folder in _BINARIES if os.path.exists(f"{folder}/{name}")), None
    )


@contextlib.contextmanager
def running_mariadb() -> Iterator[MariaServer]:
    """Starts a server and ends it. Skips the test that asks when MariaDB is not installed."""
    daemon, installer = _binary("mariadbd"), _binary("mariadb-install-db")
    if daemon is None or installer is None:
        pytest.skip("MariaDB is not installed: the report-database reader is not tested here.")
    folder = Path(tempfile.mkdtemp(prefix="mariadb-"))
    user = "nobody" if os.geteuid() == 0 else None
    try:
        if user is not None:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        common = ["--no-defaults", f"--datadir={folder / 'data'}", *SMALL]
        as_user = [f"--user={user}"] if user else []
        subprocess.run(
            [installer, *common, *as_user, "--auth-root-authentication-method=normal", "--skip-test-db"],
            check=True,
            capture_output=True,
            timeout=INSTALL_SECONDS,
        )
        process = subprocess.Popen(
            [daemon, *common, *as_user, f"--socket={folder / 'socket'}", "--skip-networking", "--skip-log-bin",
             "--innodb-flush-log-at-trx-commit=0", f"--pid-file={folder / 'pid'}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=_die_with_the_tests,
        )  # fmt: skip
        server = MariaServer(folder, process)
        try:
            _wait_until_ready(server)
            server.run(
                f"CREATE USER '{READER}'@'localhost' IDENTIFIED BY '{READER_PASSWORD}'",
                f"GRANT ALL ON *.* TO '{READER}'@'localhost'",  # its session must refuse to write all the same
            )
            yield server
        finally:
            process.terminate()
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _die_with_the_tests() -> None:
    """Called in the child: it is ended when the tests are killed, too."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _wait_until_ready(server: MariaServer) -> None:
    ends = time.monotonic() + START_SECONDS
    while True:
        try:
            server.run("SELECT 1")
        except (pymysql.MySQLError, OSError):
            if server.process.poll() is not None or time.monotonic() > ends:
                raise
            time.sleep(0.05)
        else:
            return


def dump_script() -> str:
    """The captured MT5 dump as MariaDB reads it: types as the original states them, year tables as it describes them."""
    path = Path(settings.SAMPLE_DATA_DIR) / "mt5_sql_dump" / "mt5_deals.sql"
    if not path.exists():
        pytest.skip("The sample MT5 dump is not here.")
    script = path.read_text().replace('"Order"', "`Order`").replace("Login INTEGER", "Login BIGINT UNSIGNED")
    script = script.replace(
        "Deal INTEGER PRIMARY KEY, Timestamp INTEGER", "Deal BIGINT UNSIGNED PRIMARY KEY, Timestamp BIGINT"
    )
    script = script.replace(" REAL", " DOUBLE").replace("Time TEXT, TimeMsc TEXT", "Time DATETIME, TimeMsc DATETIME(6)")
    script = script.replace("VolumeExt INTEGER", "VolumeExt BIGINT UNSIGNED").replace(
        "VolumeClosedExt INTEGER", "VolumeClosedExt BIGINT UNSIGNED"
    )
    return (
        script
        + "\nCREATE TABLE mt5_deals_2018 LIKE mt5_deals;\n"
        + "INSERT INTO mt5_deals_2018 SELECT * FROM mt5_deals WHERE Deal IN (3,4,5,6,7,9);\n"
        + "CREATE TABLE mt5_deals_2019 LIKE mt5_deals;\n"
        + "INSERT INTO mt5_deals_2019 SELECT * FROM mt5_deals WHERE Deal BETWEEN 18 AND 33;\n"
    )
