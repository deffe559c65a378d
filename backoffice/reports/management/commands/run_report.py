"""Issues a report and writes its bytes to a file."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError
from backoffice.reports.models import IssuedReport
from backoffice.reports.registry import definitions
from backoffice.reports.selectors import issued_bytes
from backoffice.reports.services.issue import issue_report


class Command(BaseCommand):
    """`run_report daily_finance --as-of D --format csv|pdf --out FILE [--entity CODE]`."""

    help = "Issues a report about a business day, keeps the issued document, and writes the same bytes to a file."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("definition", choices=[definition.code for definition in definitions()])
        parser.add_argument("--as-of", required=True, type=date.fromisoformat, help="business day, such as 2026-11-20")
        parser.add_argument("--format", required=True, choices=IssuedReport.Format.values)
        parser.add_argument("--out", required=True, metavar="FILE", help="where to write the bytes")
        parser.add_argument("--entity", metavar="CODE", help="legal entity; may be left out where there is only one")

    def handle(self, *args: Any, **options: Any) -> None:
        """Issues, writes, and says what was kept."""
        out = Path(options["out"])
        if not out.parent.is_dir():
            raise CommandError(f"There is no folder {out.parent}.")
        try:
            issued = issue_report(
                definition=options["definition"],
                entity_id=_entity_id(options["entity"]),
                as_of=options["as_of"],
                format=options["format"],
                actor=Actor.system("run_report command"),
            )
            out.write_bytes(issued_bytes(issued))
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stderr.write(
            f"{out}: {issued.row_count} rows, {issued.size_bytes} bytes, sha256 {issued.sha256}, "
            f"kept as {issued.file_name}, signed with {issued.signing_key_id}"
        )


def _entity_id(code: str | None) -> int:
    entities = LegalEntity.objects.order_by("code")
    if code is not None:
        entities = entities.filter(code=code)
    found = list(entities)
    if not found:
        raise CommandError(f"There is no legal entity {code}." if code else "There is no legal entity yet.")
    if len(found) > 1:
        raise CommandError(f"Name one with --entity: {', '.join(entity.code for entity in found)}.")
    return found[0].pk
