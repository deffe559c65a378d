"""One simulated server for the module; its faults are lifted after each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.platform_ops.account_operations.ground import Ground, make_ground
from tests.trading_server import RunningServer, running_server


@pytest.fixture(scope="module")
def live() -> Iterator[RunningServer]:
    """A server that listens."""
    with running_server() as server:
        yield server


@pytest.fixture
def ground(db: None, live: RunningServer) -> Iterator[Ground]:
    """A client with an account on it."""
    yield make_ground(live)
    live.lift()
