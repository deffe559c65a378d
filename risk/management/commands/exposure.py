"""Net exposure now, on the screen or as JSON."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel.errors import DomainError, InvalidInput
from risk.presentation import exposure_document
from risk.rules import read_prices
from risk.services.exposure import group_exposure
from risk.types import ALL_BOOKS, SymbolPrice

BIGGEST_PRICE_FILE_BYTES = 5 * 1024 * 1024


class Command(BaseCommand):
    """`exposure [--json] [--entity CODE] [--prices FILE.json] [--book A|B]`."""

    help = (
        "Calculates net exposure from the open positions, per symbol and per currency (the clients' side), and keeps it. "
        "Without --entity: all entities together, in their common base currency, else in EUR."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Defines the options."""
        parser.add_argument("--json", action="store_true", help="print one JSON object, and nothing else, on stdout")
        parser.add_argument("--entity", metavar="CODE", help="only the positions of this legal entity")
        parser.add_argument(
            "--prices",
            metavar="FILE.json",
            help='price at these instead of the quotes: {"EURUSD": "1.10", "XAUUSD": {"bid": "2400.1", "ask": "2400.4"}}',
        )
        parser.add_argument("--book", default=ALL_BOOKS, help="only accounts in this book, such as A, B or none")

    def handle(self, *args: Any, **options: Any) -> None:
        """Calculates and prints."""
        try:
            table = group_exposure(
                entity_ids=_entity_ids(options["entity"]),
                prices=_prices(options["prices"]),
                book=options["book"],
                actor=Actor.system("exposure command"),
            )
        except DomainError as error:
            raise CommandError(error.message) from error
        document = exposure_document(table)
        if options["json"]:
            self.stdout.write(json.dumps(document, indent=2))
        else:
            self._print(document)

    def _print(self, document: dict[str, Any]) -> None:
        currency = document["report_currency"]
        self.stdout.write(f"Exposure of the clients at {document['as_of']}, {document['positions']} positions")
        self.stdout.write(f"prices as of {document['prices_as_of'] or 'unknown'}; money in {currency}\n")
        line = "{:<12}{:>12}{:>12}{:>12}{:>20}{:>18}"
        self.stdout.write(line.format("symbol", "long", "short", "net lots", "notional", "floating"))
        for row in document["symbols"]:
            figures = [row["notional"] or row["reason"], row["floating"] or ""]
            self.stdout.write(
                line.format(row["symbol"], row["long_lots"], row["short_lots"], row["net_lots"], *figures)
            )
        self.stdout.write("\n{:<12}{:>24}{:>32}".format("currency", "units", "worth"))
        for row in document["currencies"]:
            self.stdout.write(
                "{:<12}{:>24}{:>32}".format(row["currency"], row["net_units"], row["notional"] or "no rate")
            )
        for unpriced in document["unpriced"]:
            self.stderr.write(
                f"not in money: {unpriced['symbol']}, {unpriced['reason']}, {unpriced['positions']} positions"
            )
        for unmapped in document["unmapped"]["symbols"]:
            self.stderr.write(
                f"not mapped: {unmapped['name']} on {unmapped['server']}, {unmapped['positions']} positions"
            )


def _entity_ids(code: str | None) -> list[int]:
    entities = LegalEntity.objects.order_by("code")
    if code is not None:
        entities = entities.filter(code=code)
    found = list(entities.values_list("pk", flat=True))
    if not found:
        raise CommandError(f"There is no legal entity {code}." if code else "There is no legal entity yet.")
    return found


def _prices(name: str | None) -> dict[str, SymbolPrice] | None:
    if name is None:
        return None
    path = Path(name)
    if not path.is_file():
        raise CommandError(f"There is no file {name}.")
    if path.stat().st_size > BIGGEST_PRICE_FILE_BYTES:
        raise CommandError(f"{name} is larger than {BIGGEST_PRICE_FILE_BYTES} bytes.")
    try:
        document = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal, parse_int=Decimal)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InvalidInput(f"{name} is not JSON: {error}.", field="prices") from error
    return read_prices(document)
