"""The figures of a viewpoint: what came in, what was traded and what was earned, in all and broken down."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection

from ib.selectors.data_centre import sources
from ib.selectors.data_centre.sources import fetch, key_of, rate_join, rates, reading, with_only, with_tables
from ib.selectors.data_centre.viewpoint import Dimension, Filters, Viewpoint
from ib.statement_rules import PART_TITLES

ZERO = Decimal(0)
NOT_BY = {
    Dimension.LEVEL: "By no level",
    Dimension.COUNTRY: "No country",
    Dimension.CAMPAIGN: "No campaign",
    Dimension.SYMBOL_GROUP: "By no symbol",
    Dimension.PARTNER: "Through nobody in particular",
}
"""What a row is called that belongs to none of the dimension."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What happened in the days. Money in the viewpoint's currency; None where a figure cannot be told apart by the filters."""

    key: str = ""
    label: str = ""
    registered: int | None = 0
    accounts: int | None = 0
    verified: int | None = 0
    first_deposits: int | None = 0
    deposits: Decimal | None = ZERO
    withdrawals: Decimal | None = ZERO
    returned: Decimal | None = ZERO
    traders: int = 0
    trades: int = 0
    lots: Decimal = ZERO
    notional: Decimal = ZERO
    on_trades: Decimal = ZERO
    by_period: Decimal = ZERO
    goodwill: Decimal = ZERO
    currency: str = ""
    unvalued: int = 0
    """Trades, payments or lines whose money could not be valued: they are counted, their money is not."""

    @property
    def net_deposits(self) -> Decimal | None:
        """Deposits less what went back to the clients."""
        if self.deposits is None or self.withdrawals is None or self.returned is None:
            return None
        return self.deposits - self.withdrawals - self.returned

    @property
    def commission(self) -> Decimal:
        """Everything that was earned."""
        return self.on_trades + self.by_period + self.goodwill


PEOPLE_FIGURES = ("registered", "accounts", "verified", "first_deposits", "deposits", "withdrawals", "returned")


@dataclass(frozen=True, slots=True)
class Breakdown:
    """The whole and its rows."""

    total: Figures
    rows: list[Figures]


_PEOPLE = "SELECT {marker}, {key}, count(*) FROM people WHERE day BETWEEN %(from)s AND %(to)s {grouping}"
_ACCOUNTS = "SELECT {marker}, {key}, count(*) FROM opened WHERE day BETWEEN %(from)s AND %(to)s {grouping}"
_TOLD = """
SELECT {marker}, {key}, count(*) FILTER (WHERE told.is_first AND told.kind = 'kyc_verified'),
       count(*) FILTER (WHERE told.is_first AND told.kind = 'deposit'),
       coalesce(sum(told.amount * fx.rate) FILTER (WHERE told.kind = 'deposit'), 0),
       coalesce(sum(told.amount * fx.rate) FILTER (WHERE told.kind = 'withdrawal'), 0),
       coalesce(sum(told.amount * fx.rate) FILTER (WHERE told.kind IN ('refund', 'chargeback')), 0),
       count(*) FILTER (WHERE told.amount IS NOT NULL AND fx.rate IS NULL)
FROM told {join} {grouping}
"""
_COUNTED = """
counted AS (
    SELECT {marker} AS is_total, {key} AS key, count(DISTINCT traded.client_id) AS traders, count(*) AS trades,
           coalesce(sum(traded.volume_lots), 0) AS lots
    FROM traded {grouping}
)"""
_VALUED = """
valued AS (
    SELECT {marker} AS is_total, {key} AS key, coalesce(sum(worth.amount * fx.rate), 0) AS notional,
           coalesce(sum(worth.trades) FILTER (WHERE worth.amount * fx.rate IS NULL), 0) AS unvalued
    FROM worth {join} {grouping}
)"""
_TRADED = """
SELECT counted.is_total, counted.key, counted.traders, counted.trades, counted.lots, valued.notional, valued.unvalued
FROM counted
LEFT JOIN valued ON valued.is_total = counted.is_total AND coalesce(valued.key, '') = coalesce(counted.key, '')
"""
_EARNED = """
SELECT {marker}, {key}, coalesce(sum(summed.amount * fx.rate), 0), coalesce(sum(summed.lines) FILTER (WHERE fx.rate IS NULL), 0)
FROM summed {join} {grouping}
"""
_SUMMED = """
summed AS MATERIALIZED (
    SELECT {key} AS key, {source}.day, {source}.currency, sum({source}.amount) AS amount, count(*) AS lines
    FROM {source} GROUP BY 1, 2, 3
)"""

Statement = tuple[str, tuple[str, ...]]


def _select(select: str, key: str, by: Dimension | None, *, join: str = "") -> str:
    """A select over everything, and by the key when something is asked for."""
    if by is None:
        return select.format(marker="1", key="''", grouping="", join=join)
    return select.format(
        marker=f"grouping({key})", key=key, grouping=f"GROUP BY GROUPING SETS (({key}), ())", join=join
    )


def _statements(view: Viewpoint, filters: Filters, by: Dimension | None) -> list[Statement]:
    """The statements that make up the figures, and which ones each gives."""
    campaigns, people = sources.CAMPAIGNS, sources.PEOPLE
    traded = with_tables(
        view,
        sources.TRADED,
        sources.NOTIONAL.format(key=key_of("traded", by)),
        rates("worth"),
        _select(_COUNTED, key_of("traded", by), by),
        _select(_VALUED, "worth.key", by, join=rate_join("worth")),
    )
    accounts = with_tables(view, campaigns, people, sources.ACCOUNTS)
    told = with_tables(view, campaigns, sources.TOLD, rates("told"))
    made = [
        (f"{with_tables(view, campaigns, people)} {_select(_PEOPLE, key_of('people', by), by)}", ("registered",)),
        (f"{accounts} {_select(_ACCOUNTS, key_of('opened', by), by)}", ("accounts",)),
        (
            f"{told} {_select(_TOLD, key_of('told', by), by, join=rate_join('told'))}",
            ("verified", "first_deposits", "deposits", "withdrawals", "returned", "unvalued"),
        ),
        (f"{traded} {_TRADED}", ("traders", "trades", "lots", "notional", "unvalued")),
    ]
    asked = (by,) if by is not None else ()
    for source, name, tables in (
        ("line", "on_trades", [sources.lines(filters, *asked)]),
        ("period_line", "by_period", [campaigns, sources.PERIOD_LINES]),
        ("adjustment", "goodwill", [sources.ADJUSTMENTS]),
    ):
        summed = _SUMMED.format(key=key_of(source, by), source=source)
        select = _select(_EARNED, "summed.key", by, join=rate_join("summed"))
        made.append((f"{with_only(*tables, summed, rates('summed'))} {select}", (name, "unvalued")))
    return made


def figures(view: Viewpoint, filters: Filters, by: Dimension | None = None) -> Breakdown:
    """The figures of the days, in all and by a dimension: the same number of statements whatever is asked for."""
    found: dict[str | None, dict[str, Any]] = {None: {}}
    with reading():
        for sql, names in _statements(view, filters, by):
            for is_total, row_key, *values in fetch(sql, view, filters):
                _add(found.setdefault(None if is_total else row_key, {}), names, values)
    has_symbol = filters.symbol_group_id is not None
    made = {key: _figures(key or "", values, view, by=by, has_symbol=has_symbol) for key, values in found.items()}
    total = replace(made.pop(None), label="In all")
    return Breakdown(total, _labelled(made.values(), view, by))


def _add(row: dict[str, Any], names: Iterable[str], values: Iterable[Any]) -> None:
    for name, value in zip(names, values, strict=True):
        row[name] = row.get(name, 0) + value


def _figures(
    key: str, values: Mapping[str, Any], view: Viewpoint, *, by: Dimension | None, has_symbol: bool
) -> Figures:
    """A row; what symbols cannot tell apart is not there when they are what is asked for."""
    shown = dict(values)
    if has_symbol or (by is Dimension.SYMBOL_GROUP and key):
        shown |= dict.fromkeys(PEOPLE_FIGURES)
    return Figures(key=key, currency=view.currency, **shown)


def _labelled(rows: Iterable[Figures], view: Viewpoint, by: Dimension | None) -> list[Figures]:
    found = list(rows)
    if by in {Dimension.DAY, Dimension.MONTH}:
        return [replace(row, label=row.key) for row in sorted(found, key=lambda row: row.key)]
    names: dict[int, str] = {}
    if by in {Dimension.PARTNER, Dimension.SYMBOL_GROUP}:
        ids = [int(row.key) for row in found if row.key]
        table, name = ("ib_partner", "reference || ' ' || name") if by is Dimension.PARTNER else (
            "platform_ops_symbolgroup", "name",
        )  # fmt: skip
        names = sources.labels(table, name, ids)
    labelled = [replace(row, label=_label(row.key, view, by, names)) for row in found]
    if by is Dimension.LEVEL:
        return sorted(labelled, key=lambda row: (row.key == "", row.key.zfill(4)))
    return sorted(labelled, key=lambda row: (row.key == "", -row.commission, -row.lots, row.label))


def _label(key: str, view: Viewpoint, by: Dimension | None, names: Mapping[int, str]) -> str:
    if by is None:
        return ""
    if key == "":
        return NOT_BY[by]
    if by is Dimension.LEVEL:
        return f"Level {key}"
    if by is Dimension.PARTNER and view.partner is not None and int(key) == view.partner.pk:
        return "Introduced directly"
    return names.get(int(key), key) if by in {Dimension.PARTNER, Dimension.SYMBOL_GROUP} else key


def commission_by_day(view: Viewpoint, filters: Filters) -> list[tuple[str, Decimal]]:
    """What was earned on each day, for a chart: the same as the figures by day say."""
    by_day: dict[str, Decimal] = {}
    with reading():
        for sql, names in _statements(view, filters, Dimension.DAY):
            if names[0] in {"on_trades", "by_period", "goodwill"}:
                for is_total, day, amount, _ in fetch(sql, view, filters):
                    if not is_total:
                        by_day[day] = by_day.get(day, ZERO) + amount
    return sorted(by_day.items())


@dataclass(frozen=True, slots=True)
class Choices:
    """What can be filtered by: countries, campaigns and levels of the viewpoint's clients, and groups of symbols."""

    countries: tuple[str, ...]
    campaigns: tuple[str, ...]
    levels: int
    symbol_groups: tuple[tuple[int, str], ...]


_CHOICES = """
SELECT array_remove(array_agg(DISTINCT people.country), ''), array_remove(array_agg(DISTINCT people.campaign), ''),
       coalesce(max(people.level), 0)
FROM people
"""


def choices(view: Viewpoint, filters: Filters) -> Choices:
    """Of everybody, whatever is filtered just now."""
    wide = Filters(filters.from_day, filters.to_day)
    with reading():
        found = fetch(f"{with_tables(view, sources.CAMPAIGNS, sources.PEOPLE)} {_CHOICES}", view, wide)[0]
        groups = fetch("SELECT id, name FROM platform_ops_symbolgroup ORDER BY name, id", view, wide)
    countries, campaigns, levels = found
    return Choices(tuple(countries or ()), tuple(campaigns or ()), levels, tuple(groups))


# --------------------------------------------------------------------------------------------- what the commission is made of


@dataclass(frozen=True, slots=True)
class EarnedPart:
    """A kind of commission in the days: by the days it belongs to, in the money in which it was earned."""

    source: str
    kind: str
    currency: str
    count: int
    amount: Decimal


_BY_KIND = """
SELECT 'ib.settlement_batch', CASE WHEN line.component = '' THEN '' ELSE line.component || ' ' || line.basis END,
       line.currency, count(*), sum(line.amount)
FROM line GROUP BY 2, 3
UNION ALL
SELECT 'ib.period_settlement', period_line.kind, period_line.currency, count(*), sum(period_line.amount)
FROM period_line GROUP BY 2, 3
UNION ALL
SELECT 'ib.adjustment', '', adjustment.currency, count(*), sum(adjustment.amount) FROM adjustment GROUP BY 2, 3
ORDER BY 1 DESC, 2, 3
"""


def earned_by_kind(view: Viewpoint, filters: Filters) -> list[EarnedPart]:
    """What the commission of the days is made of: components of plans, kinds of period lines, goodwill."""
    tables = with_only(
        sources.CAMPAIGNS, sources.lines(filters, has_card=True), sources.PERIOD_LINES, sources.ADJUSTMENTS
    )
    with reading():
        return [EarnedPart(*row) for row in fetch(f"{tables} {_BY_KIND}", view, filters)]


@dataclass(frozen=True, slots=True)
class BookedPart:
    """What the ledger has on the accrued accounts, by business day of its entries, and where it came from."""

    source: str
    title: str
    currency: str
    amount: Decimal


_BOOKED = """
SELECT entry.source_type, account.currency,
       sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END)
FROM ledger_ledgeraccount AS account
JOIN ledger_posting AS posting ON posting.account_id = account.id
JOIN ledger_journalentry AS entry ON entry.id = posting.entry_id
WHERE account.owner_type = 'partner' AND account.kind = 'partner_accrued'
  AND account.owner_id = ANY(%(owners)s::bigint[])
  AND entry.business_day BETWEEN %(from)s AND %(to)s AND entry.source_type <> 'ib.statement'
GROUP BY 1, 2 ORDER BY 1 DESC, 2
"""


def booked(view: Viewpoint, from_day: date, to_day: date) -> list[BookedPart]:
    """What was booked for the viewpoint's partners in the days; what statements moved to payable does not count."""
    with connection.cursor() as cursor:
        if view.partner is not None:
            owners = [view.partner.pk]
        else:
            cursor.execute("SELECT id FROM ib_partner WHERE entity_id = %s", [view.entity.pk])
            owners = [row[0] for row in cursor.fetchall()]
        cursor.execute(_BOOKED, {"owners": owners, "from": from_day, "to": to_day})
        return [
            BookedPart(source or "manual", PART_TITLES.get(source or "manual", source), currency, amount)
            for source, currency, amount in cursor.fetchall()
        ]
