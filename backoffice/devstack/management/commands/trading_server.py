"""Runs the demo's simulated trading server until it is stopped."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from backoffice.devstack.demo.trading import SERVER_CODE, prepare

DEFAULT_PORT = 8444


class Command(BaseCommand):
    """`trading_server [--port N] [--folder PATH]`: the demo's MT5 server, over the wire."""

    help = "Serves the demo's MT5 server as a simulation that speaks the Web API, until SIGTERM. Not for production."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where it listens and where it keeps its journal."""
        parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}, this machine only")
        parser.add_argument(
            "--folder", type=Path, default=Path(settings.BASE_DIR) / "var" / "trading_server", help="of its journal"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepares the description, then becomes the server: its process knows nothing of Django."""
        description = prepare(folder=options["folder"], port=options["port"])
        if description is None:
            raise CommandError(f"There is no server {SERVER_CODE}; seed the demo first.")
        connections.close_all()
        sys.stdout.flush()
        sys.stderr.flush()
        arguments = [sys.executable, "-m", "backoffice.devstack.trading_server", str(description)]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONPATH": str(settings.BASE_DIR)})  # noqa: S606
