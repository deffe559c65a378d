"""Puts a backup into an empty database and an empty folder of private files, and proves that it is whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.books import verify_books
from backoffice.core.services.audit import Anchor, verify_audit
from backoffice.core.services.backup import raise_transaction_numbers, read_manifest, restore_backup
from backoffice.kernel.errors import DomainError


class Command(BaseCommand):
    """`restore FOLDER [--continue]`; exit status 1 when it was refused or what was restored does not prove."""

    help = "Restores a backup into an empty database, compares every table, and runs verify_books and verify_audit."
    requires_migrations_checks = False
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("folder", type=Path, help="the folder of one backup, with its manifest")
        parser.add_argument(
            "--continue",
            action="store_true",
            dest="go_on",
            help="after pg_resetwal: everything is restored, only prove it and go on",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Restores and proves."""
        try:
            manifest = read_manifest(options["folder"])
            if options["go_on"]:
                self.stdout.write(f"raised transaction numbers by {raise_transaction_numbers():,}")
            else:
                done = restore_backup(folder=options["folder"])
                self.stdout.write(
                    f"{done.tables} tables with {done.rows:,} rows are equal to the backup, {done.files} files,"
                    f" transaction numbers raised by {done.raised:,}"
                )
                for name, count in done.folders.items():
                    self.stdout.write(f"{name}: {count:,} files")
                for name, count in done.forgotten.items():
                    self.stdout.write(f"{name}: left out of the backup; {count:,} rows that named files were removed")
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
        chain = manifest["audit_chain"]
        anchor = Anchor(number=chain["seal"], digest=chain["digest"]) if chain else None
        findings = verify_audit(anchor=anchor)
        broken = [check["name"] for check in verify_books()["checks"] if not check["ok"]]
        for finding in findings:
            self.stderr.write(f"audit trail: {finding}")
        for name in broken:
            self.stderr.write(f"books: {name} does not hold; see verify_books")
        if findings or broken:
            sys.exit(1)
        self.stdout.write("books and audit trail prove; next: manage.py migrate")
