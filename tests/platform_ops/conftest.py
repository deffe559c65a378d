"""Servers that several folders of these tests share; each is started by the first test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform_ops.mariadb import MariaServer, dump_script, running_mariadb


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaServer]:
    """One MariaDB for all tests. Skips where it is not installed."""
    with running_mariadb() as server:
        yield server


@pytest.fixture(scope="session")
def dump(mariadb: MariaServer) -> MariaServer:
    """The server with the captured dump in database `dump`, which no test changes."""
    mariadb.load("dump", dump_script())
    return mariadb
