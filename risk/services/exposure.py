"""Calculating exposure: one snapshot of the open positions, at quotes or at prices that somebody gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.errors import NotFound
from risk import selectors
from risk.events import exposure_calculated
from risk.locks import lock_exposure
from risk.models import ExposureRow, ExposureRun
from risk.rules import net_exposure, plain_decimal
from risk.selectors import ExposureTable
from risk.types import ALL_BOOKS, CurrencyExposure, NetExposure, OpenBook, ReportRate, SymbolExposure, SymbolPrice

KEPT_RUNS = 240
"""Runs kept per entity: twenty minutes at one every five seconds. Day-end exposure stands in the issued report."""

DELETED_RUNS_AT_ONCE = 500

GROUP_CURRENCY = "EUR"
"""What several entities report in together when they have no base currency in common."""

LONGEST_PAUSE = timedelta(seconds=60)
"""Without a sign of change the exposure is calculated anyway after this time (a mapping or a book may have changed)."""


@dataclass(frozen=True, slots=True)
class MeasuredExposure:
    """Exposure of one or more entities that nothing was stored of: figures per book, and what went into them."""

    as_of: datetime
    report_currency: str
    book: OpenBook
    prices: Mapping[str, SymbolPrice]
    rates: Mapping[str, ReportRate]
    by_book: Mapping[str, NetExposure]

    @property
    def prices_as_of(self) -> datetime | None:
        """When the oldest price that was used was made; None when no used price has a time."""
        times = [row.price.at for row in self.by_book[ALL_BOOKS].symbols if row.price is not None and row.price.at]
        return min(times, default=None)

    @property
    def unpriced(self) -> list[dict[str, Any]]:
        """Symbols with open positions that have no figure in money, why, and how many positions."""
        return [
            {"symbol": row.symbol, "reason": str(row.reason), "positions": row.positions}
            for row in self.by_book[ALL_BOOKS].symbols
            if row.reason is not None
        ]

    @property
    def unmapped(self) -> list[dict[str, Any]]:
        """Server symbols with open positions that stand for none of ours, and how many positions."""
        return [
            {
                "server": symbol.server,
                "name": symbol.name,
                "positions": symbol.positions,
                "lots": plain_decimal(symbol.lots),
            }
            for symbol in self.book.unmapped
        ]


@transaction.atomic
def calculate_exposure(*, entity_id: int, actor: Actor, prices: Mapping[str, SymbolPrice] | None = None) -> ExposureRun:
    """Calculates and stores the exposure of an entity, by symbol and by currency, over all books and for each book.

    Without *prices* at the current quotes; given prices replace the quotes wholly, so that a symbol missing among them
    is unpriced. Raises `NotFound` for an entity that the actor does not work for, `Retryable` when another calculation
    does not end.
    """
    authorise(actor, "risk.calculate_exposure")
    entity = LegalEntity.objects.filter(pk=entity_id).first()
    if entity is None or not (actor.is_system or entity_id in actor.entity_ids):
        raise NotFound("No such legal entity, or it is not yours to see.", entity_id=entity_id)
    lock_exposure(entity_id)
    measured = measure_exposure(entity_ids=[entity_id], report_currency=entity.base_currency, prices=prices)
    run = ExposureRun.objects.create(
        entity=entity,
        calculated_at=measured.as_of,
        price_source=ExposureRun.PriceSource.QUOTES if prices is None else ExposureRun.PriceSource.GIVEN,
        prices_as_of=measured.prices_as_of,
        positions=_position_count(measured.book),
        position_digest=measured.book.digest,
        unmapped_positions=sum(symbol.positions for symbol in measured.book.unmapped),
        unmapped_symbols=measured.unmapped,
        unpriced_symbols=measured.unpriced,
        rates=selectors.rates_as_json(measured.rates),
        report_currency=measured.report_currency,
    )
    rows = exposure_rows(by_book=measured.by_book)
    for row in rows:
        row.run = run
    ExposureRow.objects.bulk_create(rows)
    _forget_old_runs(entity_id)
    if prices is None:
        exposure_calculated(entity_id=entity_id, run_id=run.pk, books=measured.book.books)
    return run


def measure_exposure(
    *, entity_ids: Iterable[int], report_currency: str, prices: Mapping[str, SymbolPrice] | None = None
) -> MeasuredExposure:
    """The exposure of the entities together, now, without storing anything. The caller has authorised."""
    as_of = clock.now()
    book = selectors.open_book(entity_ids=entity_ids, at=as_of)
    used = book.quotes if prices is None else prices
    return _measured(book=book, prices=used, report_currency=report_currency, as_of=as_of, rates_of=as_of.date())


def measure_day_end_exposure(
    *, entity_id: int, day: date, recorded_until: datetime, report_currency: str
) -> MeasuredExposure:
    """The exposure with which a business day ended, at its fixed prices and reference rates, as recorded by a time.

    Nothing is stored. The caller has authorised.
    """
    book = selectors.open_book_at_day_end(entity_ids=[entity_id], day=day, recorded_until=recorded_until)
    return _measured(
        book=book, prices=book.quotes, report_currency=report_currency, as_of=day_bounds(day)[1], rates_of=day
    )


def _measured(
    *, book: OpenBook, prices: Mapping[str, SymbolPrice], report_currency: str, as_of: datetime, rates_of: date
) -> MeasuredExposure:
    assets = {term.profit_currency for term in book.terms.values()} | {term.base_asset for term in book.terms.values()}
    rates = selectors.report_rates(currencies=assets, report_currency=report_currency, on=rates_of)
    return MeasuredExposure(
        as_of=as_of,
        report_currency=report_currency,
        book=book,
        prices=prices,
        rates=rates,
        by_book=exposure_by_book(book=book, prices=prices, rates=rates, report_currency=report_currency),
    )


def exposure_by_book(
    *, book: OpenBook, prices: Mapping[str, SymbolPrice], rates: Mapping[str, ReportRate], report_currency: str
) -> dict[str, NetExposure]:
    """Exposure over all books (key `ALL_BOOKS`) and for each book that has a position."""
    return {
        key: net_exposure(
            [group for group in book.groups if key in (ALL_BOOKS, group.book)],
            terms=book.terms,
            prices=prices,
            rates=rates,
            report_currency=report_currency,
        )
        for key in (ALL_BOOKS, *book.books)
    }


def exposure_rows(*, by_book: Mapping[str, NetExposure]) -> list[ExposureRow]:
    """The figures as rows that belong to no run yet."""
    rows: list[ExposureRow] = []
    for book, exposure in by_book.items():
        rows += [_symbol_row(book, figures) for figures in exposure.symbols]
        rows += [_currency_row(book, figures) for figures in exposure.currencies]
    return rows


def group_exposure(
    *,
    entity_ids: Sequence[int],
    actor: Actor,
    prices: Mapping[str, SymbolPrice] | None = None,
    book: str = ALL_BOOKS,
) -> ExposureTable:
    """Calculates and stores the exposure of each entity, and returns that of all together for one book, or all.

    One entity reports in its base currency; several in the one that they share, else in euro.
    """
    runs = [calculate_exposure(entity_id=entity_id, actor=actor, prices=prices) for entity_id in entity_ids]
    if len(runs) == 1:
        return selectors.exposure_of(run=runs[0], book=book)
    currencies = {run.report_currency for run in runs}
    measured = measure_exposure(
        entity_ids=entity_ids,
        report_currency=currencies.pop() if len(currencies) == 1 else GROUP_CURRENCY,
        prices=prices,
    )
    rows = exposure_rows(by_book=measured.by_book)
    return ExposureTable(
        entities=tuple(run.entity.code for run in runs),
        as_of=measured.as_of,
        prices_as_of=measured.prices_as_of,
        price_source=runs[0].price_source,
        report_currency=measured.report_currency,
        open_positions=_position_count(measured.book),
        unmapped_positions=sum(symbol.positions for symbol in measured.book.unmapped),
        unmapped_symbols=tuple(measured.unmapped),
        rates=selectors.rates_as_json(measured.rates),
        book=book,
        books=measured.book.books,
        symbols=selectors.rows_of(rows, axis=ExposureRow.Axis.SYMBOL, book=book),
        currencies=selectors.rows_of(rows, axis=ExposureRow.Axis.CURRENCY, book=book),
    )


def recalculate_where_changed(*, actor: Actor) -> int:
    """Calculates the exposure of every entity whose positions or prices moved since its last run; how many were."""
    calculated = 0
    for entity_id in LegalEntity.objects.order_by("pk").values_list("pk", flat=True):
        if not _moved(entity_id):
            continue
        calculate_exposure(entity_id=entity_id, actor=actor)
        calculated += 1
    return calculated


def _moved(entity_id: int) -> bool:
    """Whether a batch came in or a quote changed since the last run at quotes, or that run is older than a minute."""
    last = (
        ExposureRun.objects.filter(entity_id=entity_id, price_source=ExposureRun.PriceSource.QUOTES)
        .order_by("-id")
        .first()
    )
    batch_at, quoted_at = selectors.latest_change(entity_id=entity_id)
    if last is None:
        return batch_at is not None
    if last.positions == 0 and batch_at is not None and batch_at < last.calculated_at:
        return False
    signs = [at for at in (batch_at, quoted_at) if at is not None]
    return any(at >= last.calculated_at for at in signs) or clock.now() - last.calculated_at >= LONGEST_PAUSE


def _symbol_row(book: str, figures: SymbolExposure) -> ExposureRow:
    price = figures.price
    return ExposureRow(
        axis=ExposureRow.Axis.SYMBOL,
        book=book,
        key=figures.symbol,
        long_lots=figures.long_lots,
        short_lots=figures.short_lots,
        net_lots=figures.net_lots,
        net_units=figures.net_units,
        average_price_long=figures.average_price_long,
        average_price_short=figures.average_price_short,
        bid=None if price is None else price.bid,
        ask=None if price is None else price.ask,
        price=None if price is None else price.mid,
        priced_at=None if price is None else price.at,
        notional=figures.notional,
        floating=figures.floating,
        positions=figures.positions,
        reason="" if figures.reason is None else figures.reason.value,
    )


def _currency_row(book: str, figures: CurrencyExposure) -> ExposureRow:
    return ExposureRow(
        axis=ExposureRow.Axis.CURRENCY,
        book=book,
        key=figures.currency,
        net_units=figures.net_units,
        price=figures.rate,
        notional=figures.notional,
        positions=figures.positions,
    )


def _position_count(book: OpenBook) -> int:
    return sum(group.positions for group in book.groups) + sum(symbol.positions for symbol in book.unmapped)


def _forget_old_runs(entity_id: int) -> None:
    """Deletes the runs beyond the newest `KEPT_RUNS`, oldest first, a bounded number at a time."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT id FROM risk_exposurerun WHERE entity_id = %s ORDER BY id DESC OFFSET %s LIMIT %s",
            [entity_id, KEPT_RUNS, DELETED_RUNS_AT_ONCE],
        )
        old = [row[0] for row in cursor.fetchall()]
        if old:
            cursor.execute("DELETE FROM risk_exposurerow WHERE run_id = ANY(%s)", [old])
            cursor.execute("DELETE FROM risk_exposurerun WHERE id = ANY(%s)", [old])
