"""The one shape in which exposure leaves the house as JSON: for the command, the API and the desk's own page.

Amounts are strings with every digit. Signs are the clients' side.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import round_decimal
from risk.rules import plain_decimal
from risk.selectors import ExposureTable


def exposure_document(table: ExposureTable) -> dict[str, Any]:
    """Figures for one book (or all), with what could not be counted named beside them."""
    digits = Currency.of(table.report_currency).digits
    return {
        "as_of": moment(table.as_of),
        "prices_as_of": moment(table.prices_as_of),
        "price_source": table.price_source,
        "entities": list(table.entities),
        "book": table.book or None,
        "books": list(table.books),
        "report_currency": table.report_currency,
        "positions": table.open_positions,
        "symbols": [
            {
                "symbol": row.key,
                "positions": row.positions,
                "long_lots": plain(row.long_lots),
                "short_lots": plain(row.short_lots),
                "net_lots": plain(row.net_lots),
                "net_units": plain(row.net_units),
                "average_price_long": plain(row.average_price_long),
                "average_price_short": plain(row.average_price_short),
                "bid": plain(row.bid),
                "ask": plain(row.ask),
                "price": plain(row.price),
                "priced_at": moment(row.priced_at),
                "notional": money(row.notional, digits),
                "floating": money(row.floating, digits),
                "reason": row.reason or None,
            }
            for row in table.symbols
        ],
        "currencies": [
            {
                "currency": row.key,
                "positions": row.positions,
                "net_units": plain(row.net_units),
                "rate": plain(row.price),
                "notional": money(row.notional, digits),
            }
            for row in table.currencies
        ],
        "totals": {
            "net_notional": money(table.total("notional"), digits),
            "gross_notional": money(table.total("notional", absolute=True), digits),
            "floating": money(table.total("floating"), digits),
        },
        "rates": dict(table.rates),
        "unpriced": table.unpriced,
        "unmapped": {"positions": table.unmapped_positions, "symbols": list(table.unmapped_symbols)},
    }


def plain(value: Decimal | None) -> str | None:
    """A decimal as text without superfluous zeros or an exponent; nothing stays nothing."""
    return None if value is None else plain_decimal(value)


def money(value: Decimal | None, digits: int) -> str | None:
    """An amount in the digits of its currency."""
    return None if value is None else f"{round_decimal(value, digits):f}"


def moment(value: datetime | None) -> str | None:
    """A time in UTC, ISO 8601."""
    return None if value is None else value.isoformat()
