"""Writes the chart of accounts as a document, from the module that defines it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from funding.ledger.chart import KIND_RULES, AccountClass, AccountKind, is_debit_normal

DOCUMENT = Path(settings.BASE_DIR) / "docs" / "chart-of-accounts.md"

_HEAD = """# Chart of accounts

Written by `python manage.py chart_of_accounts` from `funding/ledger/chart.py`; a test keeps the two in step.

Every account belongs to one legal entity and one currency, and, where a kind has an owner, to one owner. Assets and
expenses grow by debit, everything else by credit; balances are shown in that normal side. Where a lowest balance is
given, the database refuses whatever would go below it, money on hold included.
"""


def render() -> str:
    """The document as text."""
    parts = [_HEAD]
    for account_class in AccountClass:
        parts += [
            f"\n## {account_class.label}\n",
            "| kind | what it is | grows by | one per entity, currency and | lowest balance |",
            "|---|---|---|---|---|",
        ]
        parts += [_row(kind) for kind, rule in KIND_RULES.items() if rule.account_class is account_class]
    return "\n".join(parts) + "\n"


def _row(kind: AccountKind) -> str:
    rule = KIND_RULES[kind]
    side = "debit" if is_debit_normal(kind) else "credit"
    floor = "none" if rule.floor is None else str(rule.floor)
    owner = rule.owner.replace("_", " ") or "nothing else"
    return f"| `{kind.value}` | **{kind.label}.** {rule.purpose} | {side} | {owner} | {floor} |"


class Command(BaseCommand):
    """`chart_of_accounts [--check]`."""

    help = "Writes docs/chart-of-accounts.md from the chart; with --check only compares."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("--check", action="store_true", help="exit with 1 when the document is out of step")

    def handle(self, *args: Any, **options: Any) -> None:
        """Writes or compares."""
        text = render()
        if options["check"]:
            if not DOCUMENT.exists() or DOCUMENT.read_text(encoding="utf-8") != text:
                raise CommandError("docs/chart-of-accounts.md is out of step: run manage.py chart_of_accounts")
            return
        DOCUMENT.write_text(text, encoding="utf-8")
        self.stdout.write(f"Wrote {DOCUMENT.relative_to(settings.BASE_DIR)}")
