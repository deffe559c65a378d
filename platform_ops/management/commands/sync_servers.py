"""Follows the trading servers until it is stopped."""

from __future__ import annotations

import signal
import threading
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from platform_ops.models import ServerConnection, ServerSync
from platform_ops.services.sync import follow_once
from platform_ops.services.sync.supervisor import run

MAX_STEPS = 10_000


class Command(BaseCommand):
    """`sync_servers [--server CODE] [--once]`: deals and ended orders of every connected server, as they are made."""

    help = "Follows every trading server that has an enabled connection, until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        """Which server, and whether to stop once it is caught up."""
        parser.add_argument("--server", default="", help="Follow this server only.")
        parser.add_argument(
            "--once", action="store_true", help="Catch up, then stop. Fails when a server cannot be read."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs until it is told to stop."""
        code = options["server"]
        rows = ServerConnection.objects.filter(is_enabled=True).select_related("server")
        if code and not rows.filter(server__code=code).exists():
            raise CommandError(f"{code} has no enabled connection.")
        if options["once"]:
            self._catch_up(rows.filter(server__code=code) if code else rows)
            return
        stopping = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        run(server_code=code, stopping=stopping, say=self.stderr.write)

    def _catch_up(self, rows: Any) -> None:
        problems = []
        for row in rows:
            for _ in range(MAX_STEPS):
                followed = follow_once(server_id=row.server_id)
                if followed.state != ServerSync.State.CATCHING_UP:
                    break
            self.stdout.write(f"{row.server.code}: {followed.state}, {followed.new_deals} new deals {followed.message}")
            if followed.state != ServerSync.State.LIVE:
                problems.append(row.server.code)
        if problems:
            raise CommandError(f"Not followed: {', '.join(problems)}")
