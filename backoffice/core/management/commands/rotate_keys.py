"""`manage.py rotate_keys`: reseals everything under the current encryption key."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from backoffice.core.sealing.secrets import current_key_id
from backoffice.core.services.key_rotation import BATCH, rotate_keys
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError

MAX_BATCH = 5_000


class Command(BaseCommand):
    """May run while the site works, be stopped and be started again; a second run finds nothing to do."""

    help = "Moves every sealed text to the first key of BACKOFFICE_ENCRYPTION_KEYS; exit 1 when some do not open."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """The size of a batch."""
        parser.add_argument("--batch", type=int, default=BATCH, help="rows per transaction")

    def handle(self, *args: Any, **options: Any) -> None:
        """Rotates, telling how far it is."""
        if not 1 <= options["batch"] <= MAX_BATCH:
            raise CommandError(f"A batch has 1 to {MAX_BATCH} rows.")
        try:
            reports = rotate_keys(
                actor=Actor.system("rotate_keys"),
                batch=options["batch"],
                progress=lambda place, moved: self.stdout.write(f"{place}: {moved}"),
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        unreadable = left = 0
        for report in reports:
            self.stdout.write(
                f"{report.name}: {report.moved} moved, {report.left} left, {report.unreadable_count} do not open"
                + (f" (rows {', '.join(report.unreadable)})" if report.unreadable else "")
            )
            unreadable += report.unreadable_count
            left += report.left
        if unreadable or left:
            raise CommandError("Older keys are still needed: run it again, or look at the rows that do not open.")
        self.stdout.write(f"Everything stands under {current_key_id()}; older keys are no longer needed.")
