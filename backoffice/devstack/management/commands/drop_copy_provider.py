"""Runs the demo's simulated liquidity provider until it is stopped."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from backoffice.devstack.demo.drop_copy import PROVIDER_CODE, prepare

DEFAULT_PORT = 8446


class Command(BaseCommand):
    """`drop_copy_provider [--port N] [--folder PATH]`: the demo's provider, telling its executions over FIX."""

    help = (
        "Serves the demo's liquidity provider as a simulation that speaks FIX 4.4, until SIGTERM. Not for production."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Where it listens (orders on the port after it) and where it keeps its memory."""
        parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"default {DEFAULT_PORT}, this machine only")
        parser.add_argument(
            "--folder", type=Path, default=Path(settings.BASE_DIR) / "var" / "drop_copy", help="of its memory"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepares the description, then becomes the provider: its process knows nothing of Django."""
        description = prepare(folder=options["folder"], port=options["port"])
        if description is None:
            raise CommandError(f"There is no provider {PROVIDER_CODE}; seed the demo first.")
        connections.close_all()
        sys.stdout.flush()
        sys.stderr.flush()
        arguments = [sys.executable, "-m", "backoffice.devstack.drop_copy", str(description)]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONPATH": str(settings.BASE_DIR)})  # noqa: S606
