"""Connectors whose source marks what changed: a deal that was corrected later is found although its time is long past."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Protocol, runtime_checkable

from platform_ops.gateways.types import GatewayDeal


@runtime_checkable
class ChangeReadingGateway(Protocol):
    """A connector that can be asked for what was written or changed since a moment, whenever it happened."""

    def changed_deals(self, *, since: datetime) -> Iterator[GatewayDeal]:
        """Deals written or changed since then, with an overlap: each may come again. In the order of the changes."""
