"""Takes recorded ticks into the store, judged by the filter in force: Dukascopy folders, and CSV files of three layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError
from platform_ops.models import PriceBar, Symbol
from platform_ops.services.prices.history import import_recording


class Command(BaseCommand):
    """`import_ticks --symbol EURUSD --source dukascopy PATH`: a folder of `.bi5` hours, or a CSV file."""

    help = "Imports recorded ticks of a symbol: every tick with its verdict, and the bars of those accepted."

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("path", type=Path)
        parser.add_argument("--symbol", required=True, help="code of one of the house's symbols")
        parser.add_argument("--source", required=True, help="code of a source of prices")

    def handle(self, *args: Any, **options: Any) -> None:
        """Imports the recording; says what came of it."""
        symbol = Symbol.objects.filter(code=options["symbol"]).first()
        if symbol is None:
            raise CommandError(f"No symbol has the code {options['symbol']}.")
        if not options["path"].exists():
            raise CommandError(f"{options['path']} is not there.")
        try:
            found = import_recording(
                symbol_id=symbol.pk, source=options["source"], path=options["path"], actor=Actor.system("import_ticks")
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        bars = PriceBar.objects.filter(symbol=symbol).count()
        self.stdout.write(
            f"{found.ticks} ticks of {symbol}, {found.stored} new; {found.rejected} rejected; {bars} bars stand now."
        )
