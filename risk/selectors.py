"""Reads of the risk desk. Positions, prices and rates are read by SQL; each function is one statement, so one snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.core.access import authorise
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import MissingRate
from backoffice.kernel.fx import DEFAULT_MAX_AGE_DAYS, PerEuroRateProvider
from backoffice.kernel.profit import TradeSide
from platform_ops.gateways.types import CalculationMode
from risk.models import ExposureRow, ExposureRun
from risk.types import (
    ALL_BOOKS,
    NO_BOOK,
    OpenBook,
    PositionGroup,
    ReportRate,
    SymbolPrice,
    SymbolTerms,
    UnmappedSymbol,
)

# Positions of demo accounts are nobody's risk. The fingerprint is a sum of row hashes: it does not depend on the order.
# Accounts are put together with their book first, so that the positions are read once and joined by hash.
_BOOK = """
WITH counted AS MATERIALIZED (
    SELECT a.id AS account_id, coalesce(book.value, %(no_book)s) AS book
    FROM platform_ops_tradingaccount a
    LEFT JOIN platform_ops_accountdimension book
           ON book.account_id = a.id AND book.dimension = 'book' AND book.validity @> %(at)s::timestamptz
    WHERE NOT a.is_demo
      AND a.server_id IN (SELECT id FROM platform_ops_tradingserver WHERE entity_id = ANY(%(entities)s))
), {positions}
summed AS (
    SELECT p.server_symbol_id, p.side, counted.book,
           sum(p.volume_lots) AS lots, sum(p.volume_lots * p.open_price) AS lots_times_price, count(*) AS positions,
           sum(hash_record_extended(
               ROW(p.account_id, p.position_ticket, named.symbol_id, p.side, p.volume_lots, p.open_price, counted.book), 0
           )) AS fingerprint
    FROM {source} p
    JOIN counted ON counted.account_id = p.account_id
    JOIN platform_ops_serversymbol named ON named.id = p.server_symbol_id
    GROUP BY p.server_symbol_id, p.side, counted.book
)
SELECT server.code, named.name, s.code, s.base_asset, s.profit_currency, spec.contract_size,
       spec.calculation_mode, spec.tick_size, spec.tick_value, spec.face_value, spec.accrued_interest,
       price.bid, price.ask, {priced_at},
       summed.side, summed.book, summed.lots, summed.lots_times_price, summed.positions, summed.fingerprint
FROM summed
JOIN platform_ops_serversymbol named ON named.id = summed.server_symbol_id
JOIN platform_ops_tradingserver server ON server.id = named.server_id
LEFT JOIN platform_ops_symbol s ON s.id = named.symbol_id
LEFT JOIN platform_ops_symbolspec spec ON spec.symbol_id = s.id AND spec.validity @> %(at)s::timestamptz
LEFT JOIN {prices} price ON price.symbol_id = s.id {price_condition}
ORDER BY s.code, server.code, named.name, summed.side, summed.book
"""
_OPEN_BOOK = _BOOK.format(
    positions="",
    source="platform_ops_position",
    priced_at="price.at",
    prices="platform_ops_quote",
    price_condition="",
)

# Positions as they stood at a moment, from the deals as they were recorded by another: of each deal the latest revision
# of that time. A position with one opening price and no reversal is a sum; only the others are walked, deal by deal.
_POSITIONS_THEN = """known AS (
    SELECT deal.account_id, deal.position_ticket, deal.server_symbol_id, deal.entry, deal.kind, deal.volume_lots,
           deal.price, deal.at, deal.ticket, deal.leg
    FROM platform_ops_deal deal
    JOIN counted ON counted.account_id = deal.account_id
    WHERE deal.at < %(ends)s AND deal.recorded_at <= %(recorded_until)s
      AND deal.kind IN (0, 1) AND deal.position_ticket <> 0 AND deal.entry IS NOT NULL
      AND NOT EXISTS (
          SELECT 1 FROM platform_ops_deal later
          WHERE later.revision > 0 AND later.server_id = deal.server_id AND later.ticket = deal.ticket
            AND later.leg = deal.leg AND later.revision > deal.revision AND later.recorded_at <= %(recorded_until)s)
), added AS (
    SELECT account_id, position_ticket, min(server_symbol_id) AS server_symbol_id,
           sum(CASE WHEN entry = 0 THEN volume_lots ELSE -volume_lots END) AS volume_lots,
           min(price) FILTER (WHERE entry = 0) AS open_price,
           min(kind) FILTER (WHERE entry = 0) AS kind,
           bool_or(entry = 2)
               OR min(price) FILTER (WHERE entry = 0) <> max(price) FILTER (WHERE entry = 0)
               OR min(kind) FILTER (WHERE entry = 0) <> max(kind) FILTER (WHERE entry = 0) AS needs_walk
    FROM known
    GROUP BY account_id, position_ticket
), walked AS (
    SELECT known.account_id, known.position_ticket, min(known.server_symbol_id) AS server_symbol_id,
           platform_position_walk(
               known.entry, CASE WHEN known.kind = 0 THEN known.volume_lots ELSE -known.volume_lots END,
               known.price, known.at ORDER BY known.at, known.ticket, known.leg) AS state
    FROM known JOIN added USING (account_id, position_ticket)
    WHERE added.needs_walk
    GROUP BY known.account_id, known.position_ticket
), open_then AS (
    SELECT account_id, position_ticket, server_symbol_id, CASE WHEN kind = 0 THEN 1 ELSE -1 END AS side, volume_lots,
           open_price
    FROM added WHERE NOT needs_walk AND volume_lots > 0 AND open_price IS NOT NULL
    UNION ALL
    SELECT account_id, position_ticket, server_symbol_id, sign((state).volume)::integer,
           abs((state).volume)::numeric(20, 8), (state).price::numeric(24, 10)
    FROM walked WHERE (state).volume <> 0
),"""
_BOOK_THEN = _BOOK.format(
    positions=_POSITIONS_THEN,
    source="open_then",
    priced_at="%(ends)s::timestamptz",
    prices="platform_ops_dailyprice",
    price_condition="AND price.business_day = %(day)s",
)

# Of a day and currency one rate counts: the central bank's, or the house's own fixing where it has none.
_RATES = """
SELECT date, currency, per_euro, source
FROM platform_ops_fxrateused
WHERE date BETWEEN %(oldest)s AND %(day)s AND currency = ANY(%(currencies)s)
"""

_LATEST_CHANGE = """
SELECT (SELECT b.created_at FROM platform_ops_ingestbatch b
        JOIN platform_ops_tradingserver server ON server.id = b.server_id
        WHERE server.entity_id = %(entity)s ORDER BY b.id DESC LIMIT 1),
       (SELECT max(at) FROM platform_ops_quote)
"""


def open_book(*, entity_ids: Iterable[int], at: datetime) -> OpenBook:
    """The open positions of the entities' servers, summed, with symbol terms and quotes valid at *at*."""
    return _read_book(_OPEN_BOOK, {"entities": list(entity_ids), "at": at, "no_book": NO_BOOK})


def open_book_at_day_end(*, entity_ids: Iterable[int], day: date, recorded_until: datetime) -> OpenBook:
    """The positions that were open when a business day ended, as far as recorded by *recorded_until*.

    They are rebuilt from the deals; prices are the day's fixed ones, books and terms those valid at its last moment.
    """
    _, ends = day_bounds(day)
    parameters = {
        "entities": list(entity_ids),
        "at": ends - timedelta(microseconds=1),
        "no_book": NO_BOOK,
        "ends": ends,
        "day": day,
        "recorded_until": recorded_until,
    }
    return _read_book(_BOOK_THEN, parameters)


def _read_book(sql: str, parameters: Mapping[str, Any]) -> OpenBook:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        rows = cursor.fetchall()
    groups: dict[tuple[str, TradeSide, str], PositionGroup] = {}
    terms: dict[str, SymbolTerms] = {}
    quotes: dict[str, SymbolPrice] = {}
    unmapped: dict[tuple[str, str], UnmappedSymbol] = {}
    fingerprint, positions = Decimal(0), 0
    for row in rows:
        server, name, code, base, profit_currency, contract_size, mode, *more = row[:11]
        bid, ask, quoted_at, side, book, lots, lots_times_price, count, row_fingerprint = row[11:]
        fingerprint, positions = fingerprint + row_fingerprint, positions + count
        if code is None:
            before = unmapped.get((server, name), UnmappedSymbol(server, name, 0, Decimal(0)))
            unmapped[server, name] = UnmappedSymbol(server, name, before.positions + count, before.lots + lots)
            continue
        terms[code] = (
            SymbolTerms(base, profit_currency, None)
            if contract_size is None
            else SymbolTerms(base, profit_currency, contract_size, CalculationMode(mode), *more)
        )
        if bid is not None:
            quotes[code] = SymbolPrice(bid, ask, quoted_at)
        group = PositionGroup(code, TradeSide.BUY if side > 0 else TradeSide.SELL, book, lots, lots_times_price, count)
        key = (code, group.side, book)
        groups[key] = _merge(groups[key], group) if key in groups else group
    return OpenBook(tuple(groups.values()), terms, quotes, tuple(unmapped.values()), f"{positions}:{fingerprint}")


def report_rates(*, currencies: Iterable[str], report_currency: str, on: date) -> dict[str, ReportRate]:
    """What one unit of each currency is worth in the report currency by the reference rates of *on*.

    The rate of a day without a fixing is the last one before it, at most ten days old; its source is that of the quotes
    it was made of. A currency without a rate is left out; so is what is no currency.
    """
    codes = {code for code in currencies if Currency.is_known(code)}
    parameters: dict[str, Any] = {
        "oldest": on - timedelta(days=DEFAULT_MAX_AGE_DAYS),
        "day": on,
        "currencies": sorted(codes | {report_currency}),
    }
    table: dict[date, dict[str, Decimal]] = {}
    sources: dict[tuple[date, str], str] = {}
    with connection.cursor() as cursor:
        cursor.execute(_RATES, parameters)
        for day, currency, per_euro, source in cursor.fetchall():
            table.setdefault(day, {})[currency] = per_euro
            sources[day, currency] = source
    provider = PerEuroRateProvider(table, "reference")
    rates: dict[str, ReportRate] = {}
    for code in sorted(codes):
        try:
            found = provider.rate(base=Currency.of(code), quote=Currency.of(report_currency), on=on)
        except MissingRate:
            continue
        named = {sources[found.fixed_on, part] for part in {code, report_currency} if (found.fixed_on, part) in sources}
        rates[code] = ReportRate(found.rate, found.fixed_on, " × ".join(sorted(named)))
    return rates


def latest_change(*, entity_id: int) -> tuple[datetime | None, datetime | None]:
    """(when the entity's newest batch came in, when the newest quote was made): cheap signs that exposure has moved."""
    with connection.cursor() as cursor:
        cursor.execute(_LATEST_CHANGE, {"entity": entity_id})
        batch_at, quoted_at = cursor.fetchone()
    return batch_at, quoted_at


@dataclass(frozen=True, slots=True)
class ExposureTable:
    """What is shown: figures for one book, or all, the largest first, and what went into them.

    `symbols` and `currencies` are rows of the run, or rows that were never stored.
    """

    entities: tuple[str, ...]
    as_of: datetime
    prices_as_of: datetime | None
    price_source: str
    report_currency: str
    open_positions: int
    unmapped_positions: int
    unmapped_symbols: tuple[Mapping[str, Any], ...]
    rates: Mapping[str, Any]
    book: str
    books: tuple[str, ...]
    symbols: tuple[ExposureRow, ...]
    currencies: tuple[ExposureRow, ...]

    @property
    def unpriced(self) -> list[dict[str, Any]]:
        """Symbols that have no figure in money, why, and how many positions that concerns."""
        return [
            {"symbol": row.key, "reason": row.reason, "positions": row.positions} for row in self.symbols if row.reason
        ]

    def total(self, field: str, *, absolute: bool = False) -> Decimal:
        """The sum over the symbols of what is known; what is not known is named in `unpriced`."""
        values = [getattr(row, field) for row in self.symbols if getattr(row, field) is not None]
        return sum((abs(value) if absolute else value for value in values), Decimal(0))


def latest_run(*, actor: Actor, entity_id: int | None = None) -> ExposureRun | None:
    """The last calculation at quotes of an entity that the actor may see; without *entity_id*, of the first that has one."""
    authorise(actor, "risk.view_exposure")
    runs = ExposureRun.objects.visible_to(actor).filter(price_source=ExposureRun.PriceSource.QUOTES)
    if entity_id is None:
        entity_id = runs.order_by("entity__code").values_list("entity_id", flat=True).first()
    return runs.filter(entity_id=entity_id).select_related("entity").order_by("-id").first()


def latest_exposure(*, actor: Actor, entity_id: int | None = None, book: str = ALL_BOOKS) -> ExposureTable | None:
    """The figures of `latest_run` for one book or all."""
    run = latest_run(actor=actor, entity_id=entity_id)
    return None if run is None else exposure_of(run=run, book=book)


def exposed_entities(*, actor: Actor) -> list[LegalEntity]:
    """The entities whose exposure the actor may see and for which there is one."""
    authorise(actor, "risk.view_exposure")
    seen = ExposureRun.objects.visible_to(actor).values("entity_id")
    return list(LegalEntity.objects.filter(pk__in=seen).order_by("code"))


def exposure_of(*, run: ExposureRun, book: str = ALL_BOOKS) -> ExposureTable:
    """The rows of a run for one book, or all."""
    rows = list(run.rows.all())
    return ExposureTable(
        entities=(run.entity.code,),
        as_of=run.calculated_at,
        prices_as_of=run.prices_as_of,
        price_source=run.price_source,
        report_currency=run.report_currency,
        open_positions=run.positions,
        unmapped_positions=run.unmapped_positions,
        unmapped_symbols=tuple(run.unmapped_symbols),
        rates=run.rates,
        book=book,
        books=tuple(sorted({row.book for row in rows if row.book != ALL_BOOKS})),
        symbols=rows_of(rows, axis=ExposureRow.Axis.SYMBOL, book=book),
        currencies=rows_of(rows, axis=ExposureRow.Axis.CURRENCY, book=book),
    )


def rows_of(rows: Iterable[ExposureRow], *, axis: str, book: str) -> tuple[ExposureRow, ...]:
    """The rows of an axis and book, the largest first, those without a figure last."""
    chosen = [row for row in rows if row.axis == axis and row.book == book]
    return tuple(sorted(chosen, key=lambda row: (row.notional is None, -abs(row.notional or Decimal(0)), row.key)))


def rates_as_json(rates: Mapping[str, ReportRate]) -> dict[str, Any]:
    """Rates as a run keeps them: every digit as text."""
    return {
        code: {"rate": str(rate.rate), "date": rate.fixed_on.isoformat(), "source": rate.source}
        for code, rate in sorted(rates.items())
    }


def rates_from_json(stored: Mapping[str, Any]) -> dict[str, ReportRate]:
    """The rates that a run kept."""
    return {
        code: ReportRate(Decimal(rate["rate"]), date.fromisoformat(rate["date"]), rate["source"])
        for code, rate in stored.items()
    }


def _merge(first: PositionGroup, second: PositionGroup) -> PositionGroup:
    """Two servers' names of one symbol are one symbol."""
    return PositionGroup(
        first.symbol,
        first.side,
        first.book,
        first.lots + second.lots,
        first.lots_times_price + second.lots_times_price,
        first.positions + second.positions,
    )
