"""Prints the documentation of the package formats, or writes the example package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.migration.documentation import documentation
from backoffice.migration.example import write_example


class Command(BaseCommand):
    """`migration_formats [--example FOLDER --entity CODE]`."""

    help = "Prints docs/formats/migration.md as the formats stand, or writes an example package for a legal entity."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument(
            "--example", type=Path, metavar="FOLDER", help="write the example package into a new folder"
        )
        parser.add_argument("--entity", default="newhouse", metavar="CODE", help="legal entity of the example")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints or writes."""
        folder = options["example"]
        if folder is None:
            self.stdout.write(documentation(), ending="")
            return
        if folder.exists() and any(folder.iterdir()):
            raise CommandError(f"The folder {folder} is not empty.")
        self.stdout.write(f"written: {write_example(folder, entity=options['entity'])}")
