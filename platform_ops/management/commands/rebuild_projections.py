"""Makes trades, open positions and balance operations anew from the deals."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from platform_ops.models import TradingServer
from platform_ops.services.rebuilding import rebuild_projections


class Command(BaseCommand):
    """`rebuild_projections [--server CODE]`; what is right is left alone."""

    help = "Brings trades, positions and balance operations to what the deals say, and counts what was wrong."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("--server", help="code of a trading server; default: all")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rebuilds server by server."""
        servers = TradingServer.objects.all()
        if options["server"]:
            servers = servers.filter(code=options["server"])
            if not servers:
                raise CommandError(f"No trading server has the code {options['server']}.")
        for server in servers:
            batch = rebuild_projections(server_id=server.pk, actor=Actor.system("rebuild_projections"))
            self.stdout.write(
                f"{server.code}: {batch.changed_trades} trades, {batch.changed_positions} positions and "
                f"{batch.changed_operations} balance operations put right"
            )
