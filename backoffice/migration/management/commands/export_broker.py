"""Writes the whole broker, or one legal entity, into a folder from which an equal one is rebuilt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError
from backoffice.migration.services.broker_export import export_broker


class Command(BaseCommand):
    """`export_broker --out FOLDER [--entity CODE] [--without-files] [--json]`."""

    help = "Writes tables, manifest and private files into an empty folder. It holds personal data: keep it safe."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument(
            "--out", required=True, type=Path, metavar="FOLDER", help="an empty folder, made if missing"
        )
        parser.add_argument("--entity", default="", metavar="CODE", help="only this legal entity")
        parser.add_argument("--without-files", action="store_true", help="leave statements and documents out")
        parser.add_argument("--json", action="store_true", help="print the figures as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exports, and says how much."""
        try:
            figures = export_broker(
                folder=options["out"],
                entity_code=options["entity"],
                with_files=not options["without_files"],
                actor=Actor.system("export_broker"),
            )
        except DomainError as error:
            raise CommandError(f"{error.message} ({error.code})") from error
        if options["json"]:
            self.stdout.write(json.dumps(figures, indent=2, ensure_ascii=False))
            return
        self.stdout.write(
            f"{figures['tables']} files, {figures['rows']} rows, {figures['bytes']} bytes in {figures['seconds']} s; "
            f"package {figures['digest']}"
        )
        for note in figures["notes"]:
            self.stdout.write(f"  {note}")
