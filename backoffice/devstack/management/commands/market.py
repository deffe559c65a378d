"""Runs the demo's market until it is stopped."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from backoffice.devstack.market import run_until_stopped


class Command(BaseCommand):
    """`market`: moves prices and trades of the demo broker once a second."""

    help = "Simulates a market for the demo broker: quotes and deals, until SIGTERM."

    def add_arguments(self, parser: CommandParser) -> None:
        """Whether the demo's MT5 server runs by itself."""
        parser.add_argument(
            "--over-the-wire", action="store_true", help="trade on the simulated trading server instead of ingesting"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the market."""
        run_until_stopped(say=self.stderr.write, over_the_wire=options["over_the_wire"])
