"""The risk desk's share of `verify_books`."""

from __future__ import annotations

from typing import Any

from backoffice.core.books import CheckOutcome
from backoffice.core.models import LegalEntity
from risk import selectors
from risk.models import ExposureRow, ExposureRun
from risk.services.exposure import exposure_by_book, exposure_rows
from risk.types import SymbolPrice

FIGURES = (
    "long_lots",
    "short_lots",
    "net_lots",
    "net_units",
    "average_price_long",
    "average_price_short",
    "price",
    "notional",
    "floating",
    "positions",
    "reason",
)


def exposure_equals_positions() -> CheckOutcome:
    """The newest exposure of each entity equals one made anew from the positions, at the prices and rates it used.

    Where the positions changed since, there is nothing to compare: the next calculation is seconds away.
    """
    contradictions: list[dict[str, Any]] = []
    for entity in LegalEntity.objects.order_by("pk"):
        run = (
            ExposureRun.objects.filter(entity=entity, price_source=ExposureRun.PriceSource.QUOTES)
            .order_by("-id")
            .first()
        )
        if run is not None:
            contradictions += _contradictions(run)
    return CheckOutcome.of(contradictions)


def _contradictions(run: ExposureRun) -> list[dict[str, Any]]:
    book = selectors.open_book(entity_ids=[run.entity_id], at=run.calculated_at)
    if book.digest != run.position_digest:
        return []
    stored = {(row.axis, row.book, row.key): row for row in run.rows.all()}
    prices = {
        row.key: SymbolPrice(row.bid, row.ask, row.priced_at)
        for row in stored.values()
        if row.axis == ExposureRow.Axis.SYMBOL and row.bid is not None and row.ask is not None
    }
    by_book = exposure_by_book(
        book=book,
        prices=prices,
        rates=selectors.rates_from_json(run.rates),
        report_currency=run.report_currency,
    )
    made = {(row.axis, row.book, row.key): row for row in exposure_rows(by_book=by_book)}
    contradictions = []
    for key in sorted(stored.keys() | made.keys()):
        differences = _differences(stored.get(key), made.get(key))
        if differences:
            axis, of_book, name = key
            contradictions.append({"run": run.pk, "axis": axis, "book": of_book, "key": name, **differences})
    return contradictions


def _differences(stored: ExposureRow | None, made: ExposureRow | None) -> dict[str, str]:
    """Each figure that differs, as `stored, should be`; a row that only one side has differs as a whole."""
    if stored is None or made is None:
        return {"row": "missing" if stored is None else "has no positions"}
    return {
        figure: f"{getattr(stored, figure)}, should be {getattr(made, figure)}"
        for figure in FIGURES
        if getattr(stored, figure) != getattr(made, figure)
    }
