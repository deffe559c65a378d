"""Registers what follows trading servers: connectors, work items, figures. Called once, when the application starts."""

from __future__ import annotations

from backoffice.core.observing.health import register_readiness
from backoffice.core.observing.metrics import register_gauge
from platform_ops.gateways.csv_files import connector as csv_files
from platform_ops.gateways.fix import connector as fix
from platform_ops.gateways.mt5web import connector as mt5web
from platform_ops.selectors import servers
from platform_ops.services.sync import work


def register() -> None:
    """Puts the room's parts where they are asked for."""
    mt5web.register()
    csv_files.register()
    fix.register()
    work.register()
    register_gauge(
        "server_lag_seconds",
        "How far the records of a followed trading server are behind now; -1 before its first.",
        servers.lag_by_server,
        label="server",
    )
    register_gauge("servers", "Followed trading servers by state.", servers.servers_by_state, label="state")
    register_gauge("sync_gaps_open", "Gaps in what was read of servers that are not refilled.", servers.open_gap_count)
    register_readiness("servers", servers.readiness)
