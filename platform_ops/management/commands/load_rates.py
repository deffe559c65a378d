"""Loads reference rates from the central bank's files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError
from platform_ops.services.rates import load_reference_rates


class Command(BaseCommand):
    """`load_rates [--file F]`; repeating it changes nothing, a restated rate is reported."""

    help = "Stores ECB reference rates: the history that comes with the installation, or a CSV, zip or daily XML file."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("--file", type=Path, help="a history CSV, a zip that holds one, or the daily XML")

    def handle(self, *args: Any, **options: Any) -> None:
        """Loads and reports."""
        try:
            data = options["file"].read_bytes() if options["file"] else None
            load = load_reference_rates(actor=Actor.system("load_rates"), data=data)
        except (DomainError, OSError) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{load.new} new rates, {len(load.corrections)} corrected")
        for correction in load.corrections:
            self.stdout.write(
                f"  {correction.day} {correction.currency}: {correction.before.normalize():f} → "
                f"{correction.after.normalize():f}"
            )
