"""Brings a package in: a take-over from another system, or a whole broker into an empty database."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError
from backoffice.migration.services.running import migrate_in
from backoffice.migration.types import Report

PROBLEMS_PRINTED = 50


class Command(BaseCommand):
    """`migrate_in PACKAGE [--dry-run] [--json]`; exit status 1 when the package was refused."""

    help = (
        "Applies a package (a folder, or a zip of one), all or nothing. --dry-run does the same work and keeps nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("package", type=Path, metavar="PACKAGE")
        parser.add_argument("--dry-run", action="store_true", help="say what it would do, and keep nothing")
        parser.add_argument("--json", action="store_true", help="print the whole report as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Applies, and prints the report."""
        try:
            report = migrate_in(
                source=options["package"], actor=Actor.system("migrate_in"), is_dry_run=options["dry_run"]
            )
        except DomainError as error:
            if options["json"]:
                refusal = {"ok": False, "code": error.code, "message": error.message}
                self.stdout.write(json.dumps(refusal, indent=2, ensure_ascii=False))
                sys.exit(1)
            raise CommandError(f"{error.message} ({error.code})") from error
        if options["json"]:
            self.stdout.write(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
        else:
            self._print(report)
        if not report.ok:
            sys.exit(1)

    def _print(self, report: Report) -> None:
        would = "would be " if report.is_dry_run else ""
        self.stdout.write(f"package {report.digest[:12]} for {report.entity or 'an empty database'}")
        for counts in report.files:
            self.stdout.write(
                f"  {counts.file}: {counts.rows} rows; {would}created {counts.created}, {would}updated "
                f"{counts.updated}, unchanged {counts.unchanged}, refused {counts.refused}"
            )
        for balance in report.balances:
            self.stdout.write(f"  {balance.kind} {balance.currency}: {balance.before} -> {balance.after}")
        for problem in report.problems[:PROBLEMS_PRINTED]:
            place = f"{problem.file} row {problem.row}" if problem.row else problem.file
            self.stdout.write(
                f"  {place} {problem.field} {problem.value!r}: {problem.message} {problem.mend} ({problem.code})"
            )
        if report.problem_count > PROBLEMS_PRINTED:
            self.stdout.write(f"  and {report.problem_count - PROBLEMS_PRINTED} more problems; --json names 1,000")
        for note in report.notes:
            self.stdout.write(f"  {note}")
        verdict = "can be applied" if report.is_dry_run else "applied"
        self.stdout.write(f"{verdict if report.ok else 'refused, nothing was kept'}, {report.seconds} s")
