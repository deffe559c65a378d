"""`manage.py devstack`: hands its arguments to the embedded stack and exits with what that returns."""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from backoffice.devstack import cli


class Command(BaseCommand):
    """Takes its arguments as they are, because what stands after `--` belongs to another program."""

    help = "Embedded PostgreSQL and Valkey: exec, up, code, logins, reset. Not for production."
    requires_system_checks: list[str] = []

    def run_from_argv(self, argv: list[str]) -> None:
        """Called by manage.py with the whole command line."""
        sys.exit(cli.main(argv[2:], prog=f"{argv[0]} {argv[1]}"))

    def add_arguments(self, parser: CommandParser) -> None:
        """For `call_command`, which passes through `handle`."""
        parser.add_argument("arguments", nargs="*")

    def handle(self, *_arguments: Any, **options: Any) -> None:
        """For `call_command("devstack", "exec", "--", …)`."""
        status = cli.main(options["arguments"])
        if status:
            sys.exit(status)
