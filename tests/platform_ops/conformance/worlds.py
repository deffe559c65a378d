"""The worlds in which connectors are tried. Each connector's author adds one with `register_world`.

A world has at least two accounts with deals between `start` and `end`, one of them with an open position, and one login
that nobody has. Everything that is said about it must be what its connector tells.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import cast

from platform_ops.gateways.types import ReadingGateway, TradingGateway

UNKNOWN_LOGIN = "999999999"


@dataclass(frozen=True, kw_only=True)
class World:
    """A connector, and what is true where it connects to."""

    gateway: ReadingGateway
    start: datetime
    end: datetime
    logins: frozenset[str]
    symbols: frozenset[str]
    has_whole_history: bool
    """Whether the deals of the window explain every balance."""

    @property
    def trading(self) -> TradingGateway:
        """The connector's writing half, where it has one."""
        return cast(TradingGateway, self.gateway)


Factory = Callable[[], AbstractContextManager[World]]
WORLDS: dict[str, Factory] = {}


def register_world(name: str, factory: Factory) -> None:
    """Adds a world under the name that tests show."""
    assert name not in WORLDS
    WORLDS[name] = factory
