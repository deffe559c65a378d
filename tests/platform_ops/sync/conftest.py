"""A server of ours that is connected to a simulated one."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from backoffice.core.types import Actor
from backoffice.kernel import clock
from platform_ops.models import ServerConnection, TradingServer
from platform_ops.services.connections import ConnectionTerms, save_connection
from tests.factories.platform import make_entity, make_server
from tests.trading_server import RunningServer, running_server

SYSTEM = Actor.system("test")


@pytest.fixture
def simulated() -> Iterator[RunningServer]:
    """A server with three accounts, each with its opening balance."""
    with running_server() as server:
        yield server


def connect(server: TradingServer, simulated: RunningServer, **more: object) -> ServerConnection:
    """Connects them."""
    terms: dict[str, object] = {
        "kind": "mt5_web",
        "host": simulated.host,
        "port": simulated.port,
        "login": str(simulated.login),
        "password": simulated.password,
        "options": {"answer_seconds": 5},
        "overlap_seconds": 60,
        **more,
    }
    return save_connection(server_id=server.pk, terms=ConnectionTerms(**terms), actor=SYSTEM)  # type: ignore[arg-type]


@pytest.fixture
def server(db: None, simulated: RunningServer) -> TradingServer:
    """Connected; what the simulated server holds was not read yet."""
    made = make_server(make_entity())
    connect(made, simulated, started_at=clock.now() - timedelta(hours=1))
    return made
