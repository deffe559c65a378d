"""Moves ticks into their files and removes what is older than it is kept, by hand, the same way as beat does."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.kernel.errors import DomainError
from platform_ops.services.prices import store


class Command(BaseCommand):
    """`prune_ticks [--keep-days N]`."""

    help = "Flushes settled ticks into the store, puts finished days together, and prunes what is too old."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the option."""
        parser.add_argument("--keep-days", type=int, default=settings.TICK_DAYS, help="default: as configured")

    def handle(self, *args: Any, **options: Any) -> None:
        """Flushes, compacts, prunes; says how many of each."""
        try:
            flushed, compacted = store.flush_ticks(), store.compact_finished_days()
            pruned = store.prune_ticks(keep_days=options["keep_days"])
        except DomainError as error:
            raise CommandError(error.message) from error
        self.stdout.write(
            f"{flushed.ticks} ticks into {flushed.files} files; {compacted.files} days put together; "
            f"removed {pruned['files']} files, {pruned['episodes']} episodes, {pruned['minutes']} minutes, "
            f"{pruned['orphans']} files without a row."
        )
