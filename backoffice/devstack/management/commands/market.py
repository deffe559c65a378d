"""Runs the demo's market until it is stopped."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from backoffice.devstack.market import run_until_stopped


class Command(BaseCommand):
    """`market`: moves prices and trades of the demo broker once a second."""

    help = "Simulates a market for the demo broker: quotes and deals, until SIGTERM."

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the market."""
        run_until_stopped(say=self.stderr.write)
