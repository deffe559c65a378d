"""`manage.py seal_audit`: seals the audit records that no seal covers yet, as the scheduled task does."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand

from backoffice.core.services.audit import seal_audit

MAX_SEALS = 10_000


class Command(BaseCommand):
    """Prints each new seal as NUMBER:DIGEST, ready to be kept outside of the database."""

    help = "Seals the committed audit records; prints the new seals."

    def handle(self, *args: Any, **options: Any) -> None:
        """Seals until nothing is left."""
        for _ in range(MAX_SEALS):
            made = seal_audit()
            if made is None:
                break
            self.stdout.write(f"{made.number}:{bytes(made.digest).hex()} {made.record_count} records")
