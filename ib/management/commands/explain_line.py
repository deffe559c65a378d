"""Says in words how a commission line came about."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError
from ib.selectors import explain_line


class Command(BaseCommand):
    """`explain_line 12-3456-0-20250303`: the reference that every list of lines shows."""

    help = "Rebuilds a commission line step by step and compares it with what is stored; exit 1 if they differ."

    def add_arguments(self, parser: CommandParser) -> None:
        """The line."""
        parser.add_argument("reference", help="partner-trade-seq-day, as the lists show it")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the steps."""
        try:
            _, explanation = explain_line(actor=Actor.system("explain_line"), reference=options["reference"])
        except DomainError as error:
            raise CommandError(f"{error.code}: {error.message}") from error
        if options["json"]:
            steps = [{"title": step.title, "text": step.text, "figure": step.figure} for step in explanation.steps]
            self.stdout.write(
                json.dumps(
                    {
                        "amount": str(explanation.amount),
                        "currency": explanation.currency,
                        "agrees": explanation.agrees,
                        "steps": steps,
                    }
                )
            )
        else:
            for number, step in enumerate(explanation.steps, start=1):
                self.stdout.write(f"{number}. {step.title}: {step.text}  {step.figure}")
        if not explanation.agrees:
            raise SystemExit(1)
