"""Proves the books: every registered check, with the exact rows where one does not hold."""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.books import check_names, verify_books


class Command(BaseCommand):
    """`verify_books [--json] [--only NAME …]`; exit status 1 when a check does not hold."""

    help = "Proves that the books are right; names the exact rows where they are not."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
        parser.add_argument("--only", nargs="+", metavar="NAME", help="run only these checks")

    def handle(self, *args: Any, **options: Any) -> None:
        """Runs the checks and prints what they found."""
        unknown = set(options["only"] or []) - set(check_names())
        if unknown:
            raise CommandError(f"No such check: {', '.join(sorted(unknown))}. There are: {', '.join(check_names())}")
        report = verify_books(options["only"])
        if options["json"]:
            self.stdout.write(json.dumps(report, indent=2))
        else:
            self._print(report)
        if not report["ok"]:
            sys.exit(1)

    def _print(self, report: dict[str, Any]) -> None:
        for check in report["checks"]:
            self.stdout.write(f"{'ok  ' if check['ok'] else 'FAIL'}  {check['name']}")
            for row in check["rows"]:
                self.stdout.write("        " + "  ".join(f"{name}={value}" for name, value in row.items()))
            hidden = check["count"] - len(check["rows"])
            if hidden:
                self.stdout.write(f"        … and {hidden} more")
            for note in check.get("notes", []):
                self.stdout.write("  note  " + "  ".join(f"{name}={value}" for name, value in note.items()))
