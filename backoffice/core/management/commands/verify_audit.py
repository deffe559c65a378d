"""`manage.py verify_audit`: proves that the audit trail is as it was sealed."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.models import AuditSeal
from backoffice.core.services.audit import Anchor, unsealed_count, verify_audit


class Command(BaseCommand):
    """Exit status 0 when the chain is intact, 1 with the findings when it is not."""

    help = "Checks the audit trail against its seals; names the first bad seal and the records concerned."

    def add_arguments(self, parser: CommandParser) -> None:
        """See the help texts."""
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--anchor", metavar="NUMBER:DIGEST", help="a seal's digest kept outside of the database, to compare with"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints the findings."""
        findings = verify_audit(anchor=_anchor(options["anchor"]))
        last = AuditSeal.objects.order_by("-number").first()
        report = {
            "ok": not findings,
            "seals": last.number if last else 0,
            "digest": bytes(last.digest).hex() if last else "",
            "unsealed_records": unsealed_count(),
            "findings": findings,
        }
        if options["json"]:
            self.stdout.write(json.dumps(report))
        else:
            self._tell(report)
        if findings:
            raise SystemExit(1)

    def _tell(self, report: dict[str, Any]) -> None:
        for finding in report["findings"]:
            record = f", record {finding['record']}" if "record" in finding else ""
            self.stdout.write(f"seal {finding['seal']}: {finding['problem'].replace('_', ' ')}{record}")
        state = "The audit trail is intact" if report["ok"] else "The audit trail is damaged"
        self.stdout.write(f"{state}: {report['seals']} seals, {report['unsealed_records']} records not sealed yet.")
        if report["digest"]:
            self.stdout.write(f"Last seal: {report['seals']}:{report['digest']}")


def _anchor(text: str | None) -> Anchor | None:
    if text is None:
        return None
    number, _, digest = text.partition(":")
    if not number.isdigit() or not digest:
        raise CommandError("An anchor is written as NUMBER:DIGEST.")
    return Anchor(number=int(number), digest=digest)
