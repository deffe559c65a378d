"""Backs up the database, the private files and the desks' folders together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.services.backup import MANIFEST, make_backup
from backoffice.core.services.backup_folders import backup_folders
from backoffice.kernel.errors import DomainError


class Command(BaseCommand):
    """`backup --to FOLDER [--without NAME]`; prints the folder of the new backup, and the anchor of its audit chain."""

    help = "Writes a dump of the database, all files and a manifest of their digests into a new folder."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("--to", required=True, type=Path, help="the folder that backups are kept in")
        parser.add_argument(
            "--without",
            action="append",
            default=[],
            choices=[folder.name for folder in backup_folders()],
            help="leaves out a folder of large files; may be given again",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Backs up."""
        try:
            made = make_backup(folder=options["to"], without=options["without"])
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
        manifest = json.loads((made / MANIFEST).read_text(encoding="utf-8"))
        rows = sum(table["rows"] for table in manifest["tables"].values())
        self.stderr.write(f"{len(manifest['tables'])} tables, {rows:,} rows, files: {manifest['files']}")
        for name, told in manifest["folders"].items():
            self.stderr.write(f"{name}: {told['count'] if told['kept_by'] == 'backup' else 'left out'}")
        if manifest["audit_chain"]:
            chain = manifest["audit_chain"]
            self.stderr.write(f"anchor of the audit chain: {chain['seal']}:{chain['digest']}")
        self.stdout.write(str(made))
