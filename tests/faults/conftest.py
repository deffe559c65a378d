"""Servers of their own for tests that kill servers."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.faults.harness import OwnServers, connected_to, database_url

_numbers = count(1)


@pytest.fixture(scope="session")
def own_servers() -> Iterator[OwnServers]:
    """A PostgreSQL and a Valkey that may be killed; what holds them is thrown away."""
    data = Path(tempfile.mkdtemp(prefix="backoffice-faults-"))
    data.chmod(0o711)
    servers = OwnServers(data)
    try:
        servers.start()
        yield servers
    finally:
        servers.stop()
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture
def own_database(transactional_db: None, own_servers: OwnServers) -> Iterator[SimpleNamespace]:
    """This process works on a new database of the servers that may be killed, with the site's tables in it."""
    name = f"faults_{next(_numbers)}"
    own_servers.copy_database(database_url(), name)
    with connected_to(HOST=str(own_servers.sockets), PORT="", NAME=name, USER="backoffice"):
        yield SimpleNamespace(name=name, url=own_servers.database_url(name), servers=own_servers)
