"""The staging table: rows of any source, copied in and checked, before they touch a deal.

Owns the form in which deals come in (`IngestRecord`, or lines of CSV in the order of STAGE_COLUMNS) and the checks that
every source passes. The checks are constraints of the staging table, so a million rows are checked while they are copied
and a bad one is named by its number and field. Nothing is clamped or rounded: a row that does not fit is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from django.db import DataError, IntegrityError, OperationalError, connection

from backoffice.kernel.errors import InvalidInput

STAGE = "platform_ingest_stage"
MARKETS = "platform_ingest_market"
"""The markets told beside the deals, in a table of their own: most sources tell none, and pay nothing for it."""
COPY_CHUNK_CHARACTERS = 1 << 16
ANALYZE_FROM_ROWS = 2_000
"""Below this the planner's own guess of an unknown table is good enough."""

BYTES_PER_DEAL = 150
FEW_ROWS_SHARE = 20
"""A batch of less than one part in so many of all deals is looked up row by row; a larger one is joined by hashing."""

STAGE_COLUMNS = (
    "ticket",
    "leg",
    "login",
    "currency",
    "account_id",
    "kind",
    "entry",
    "position_ticket",
    "order_ticket",
    "symbol",
    "volume_lots",
    "price",
    "at",
    "open_price",
    "opened_at",
    "profit",
    "swap",
    "commission",
    "fee",
    "comment",
)

# 0 buy, 1 sell, 13 buy canceled, 14 sell canceled: the rows that name a symbol.
_IS_TRADE = "kind IN (0, 1, 13, 14)"
# `scale` only reads a number's header; `min_scale`, which forgives zeros at the end, is asked only where it must be.
_DIGITS = "(scale({0}) <= {1} OR min_scale({0}) <= {1})"
_AMOUNT = "{0} > -1e16 AND {0} < 1e16 AND " + _DIGITS.format("{0}", 8)
_PRICE = "{0} > 0 AND {0} < 1e14 AND " + _DIGITS.format("{0}", 10)
_LOTS = "{0} >= 0 AND {0} < 1e12 AND " + _DIGITS.format("{0}", 8)
_TIME = "{0} >= '1990-01-01Z' AND {0} < '2100-01-01Z'"

# The constraints are named after the field that breaks them.
_CREATE_STAGE = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS {STAGE} (
    ticket bigint NOT NULL CONSTRAINT ticket CHECK (ticket > 0),
    leg smallint NOT NULL CONSTRAINT leg CHECK (leg IN (0, 1)),
    login text CONSTRAINT login CHECK (length(login) BETWEEN 1 AND 32),
    currency text,
    account_id bigint CONSTRAINT account_id CHECK ((account_id IS NULL) <> (login IS NULL)),
    kind smallint NOT NULL CONSTRAINT kind CHECK (kind BETWEEN 0 AND 20),
    entry smallint CONSTRAINT entry CHECK (coalesce(entry BETWEEN 0 AND 3, NOT {_IS_TRADE})),
    position_ticket bigint NOT NULL CONSTRAINT position_ticket CHECK (position_ticket >= 0),
    order_ticket bigint NOT NULL CONSTRAINT order_ticket CHECK (order_ticket >= 0),
    symbol text CONSTRAINT symbol CHECK (coalesce(length(symbol) BETWEEN 1 AND 40, NOT {_IS_TRADE})),
    volume_lots numeric NOT NULL
        CONSTRAINT volume_lots CHECK ({_LOTS.format("volume_lots")}),
    price numeric CONSTRAINT price CHECK (coalesce({_PRICE.format("price")}, NOT {_IS_TRADE})),
    at timestamptz NOT NULL CONSTRAINT at CHECK ({_TIME.format("at")}),
    open_price numeric CONSTRAINT open_price CHECK ({_PRICE.format("open_price")}),
    opened_at timestamptz CONSTRAINT opened_at CHECK ({_TIME.format("opened_at")}),
    profit numeric NOT NULL CONSTRAINT profit CHECK ({_AMOUNT.format("profit")}),
    swap numeric NOT NULL CONSTRAINT swap CHECK ({_AMOUNT.format("swap")}),
    commission numeric NOT NULL CONSTRAINT commission CHECK ({_AMOUNT.format("commission")}),
    fee numeric NOT NULL CONSTRAINT fee CHECK ({_AMOUNT.format("fee")}),
    comment text CONSTRAINT comment CHECK (length(comment) <= 255)
) ON COMMIT DELETE ROWS
"""
_COPY = f"COPY {STAGE} ({', '.join(STAGE_COLUMNS)}) FROM STDIN WITH (FORMAT csv)"

MARKET_COLUMNS = ("ticket", "leg", "market_bid", "market_ask", "gateway_price")
_CREATE_MARKETS = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS {MARKETS} (
    ticket bigint NOT NULL,
    leg smallint NOT NULL,
    market_bid numeric CONSTRAINT market_bid CHECK ({_PRICE.format("market_bid")}),
    market_ask numeric CONSTRAINT market_ask CHECK ({_PRICE.format("market_ask")}),
    gateway_price numeric CONSTRAINT gateway_price CHECK ({_PRICE.format("gateway_price")})
) ON COMMIT DELETE ROWS
"""
_COPY_MARKETS = f"COPY {MARKETS} ({', '.join(MARKET_COLUMNS)}) FROM STDIN WITH (FORMAT csv)"

# Looking at all twenty columns would take a quarter of the time that copying them takes.
_JOINED_BY = "ticket, leg, login, currency, account_id, symbol"

_LINE = re.compile(r"line (\d+)")
_COLUMN = re.compile(r"column (\w+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class IngestRecord:
    """One deal as a source tells it; (`ticket`, `leg`) names it within a server.

    The account is named by `account_id`, or by `login` and `currency` (an unknown login is registered, unassigned).
    Times are aware. `kind` and `entry` take the numbers of DealKind and DealEntry. An MT4 ticket is leg 0 (its opening,
    no money) and, once closed, leg 1 (its closing, all its money); everything else is leg 0. `position_ticket` ties a
    deal to its position; 0 says that the source does not tell. `open_price` and `opened_at` belong on closing deals;
    where a source leaves them out they follow from the position's earlier deals. `market_bid`, `market_ask` and
    `gateway_price` are the market when the deal was executed and what the liquidity provider filled at.
    """

    ticket: int
    kind: int
    at: datetime
    leg: int = 0
    login: str = ""
    currency: str = ""
    account_id: int | None = None
    entry: int | None = None
    position_ticket: int = 0
    order_ticket: int = 0
    symbol: str = ""
    volume_lots: Decimal = Decimal(0)
    price: Decimal | None = None
    open_price: Decimal | None = None
    opened_at: datetime | None = None
    profit: Decimal = Decimal(0)
    swap: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    comment: str = ""
    market_bid: Decimal | None = None
    market_ask: Decimal | None = None
    gateway_price: Decimal | None = None

    @property
    def tells_market(self) -> bool:
        """Whether the source told anything of the market."""
        return self.market_bid is not None or self.market_ask is not None or self.gateway_price is not None


class CsvSource(Protocol):
    """Anything that COPY can read: a file, or a socket that speaks CSV."""

    def read(self, size: int = -1, /) -> Any: ...


def stage_records(records: Iterable[IngestRecord]) -> int:
    """Fills the staging tables with the records and returns their number. Raises InvalidInput with row and field."""
    markets: list[tuple[int, str]] = []
    lines = _LineSource(_csv_lines(records, markets))
    try:
        staged = stage_csv(lines)
    except OperationalError:
        # COPY hides the source's own complaint behind one of its own.
        if lines.failure is not None:
            raise lines.failure from None
        raise
    if markets:
        _stage_markets(_LineSource(line for _, line in markets), rows=[row for row, _ in markets])
    return staged


def stage_csv(source: CsvSource, *, markets: CsvSource | None = None) -> int:
    """Fills the staging tables from CSV without a header, columns in the order of STAGE_COLUMNS, empty means unknown.

    *markets* are lines in the order of MARKET_COLUMNS, for the deals that have a market. Raises InvalidInput with row
    (counted from one) and field.
    """
    count = _stage_deals(source)
    if markets is not None:
        _stage_markets(markets)
    return count


def _stage_markets(source: CsvSource, *, rows: Sequence[int] = ()) -> None:
    """Copies the markets; *rows* are the numbers of the records that the lines belong to."""
    with connection.cursor() as cursor:
        try:
            with connection.wrap_database_errors:
                cursor.copy_expert(_COPY_MARKETS, source, COPY_CHUNK_CHARACTERS)
        except (DataError, IntegrityError) as error:
            raise _refusal(error, rows) from error
        if int(cursor.rowcount) >= ANALYZE_FROM_ROWS:
            cursor.execute(f"ANALYZE {MARKETS}")


def _stage_deals(source: CsvSource) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"{_CREATE_STAGE}; {_CREATE_MARKETS}")
        cursor.execute(f"TRUNCATE {STAGE}, {MARKETS}")
        try:
            with connection.wrap_database_errors:
                cursor.copy_expert(_COPY, source, COPY_CHUNK_CHARACTERS)
        except (DataError, IntegrityError) as error:
            raise _refusal(error) from error
        count = int(cursor.rowcount)
        if count >= ANALYZE_FROM_ROWS:
            cursor.execute(f"ANALYZE {STAGE} ({_JOINED_BY})")
        return count


@contextmanager
def pinned_plans(rows: int) -> Iterator[None]:
    """Has the statements of the block joined in the one way that suits *rows* against all deals.

    Left alone, the planner takes a table that was just filled, and not analysed yet, for an empty one, and compares every
    row with every other: minutes instead of milliseconds.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_relation_size('platform_ops_deal')")
        is_few = rows * FEW_ROWS_SHARE * BYTES_PER_DEAL < cursor.fetchone()[0]
        off = ["jit", *(["enable_hashjoin", "enable_mergejoin", "enable_seqscan"] if is_few else ["enable_nestloop"])]
        cursor.execute("; ".join(f"SET LOCAL {name} = off" for name in off))
        yield
        cursor.execute("; ".join(f"SET LOCAL {name} TO DEFAULT" for name in off))


def _refusal(error: Exception, rows: Sequence[int] = ()) -> InvalidInput:
    """The database's complaint about a copied line, in the terms of the one who sent it."""
    diagnostics = getattr(error.__cause__, "diag", None)
    context = getattr(diagnostics, "context", None) or ""
    line, column = _LINE.search(context), _COLUMN.search(context)
    field = getattr(diagnostics, "constraint_name", None) or getattr(diagnostics, "column_name", None)
    field = field or (column.group(1) if column else None)
    row = int(line.group(1)) if line else None
    if row is not None and rows:
        row = rows[row - 1]
    problem = getattr(diagnostics, "message_primary", None) or str(error)
    if getattr(diagnostics, "constraint_name", None):
        problem = "the value is out of bounds or missing"
    return InvalidInput(f"Row {row}, {field}: {problem}.", row=row, field=field)


def _csv_lines(records: Iterable[IngestRecord], markets: list[tuple[int, str]]) -> Iterator[str]:
    """The deals as lines; the markets told beside them are put into *markets*, with the record's number."""
    for row, r in enumerate(records, start=1):
        if r.at.tzinfo is None or (r.opened_at is not None and r.opened_at.tzinfo is None):
            raise InvalidInput(f"Row {row}: the time has no zone.", row=row, field="at", value=r.at.isoformat())
        if r.tells_market:
            told = f"{_plain(r.market_bid)},{_plain(r.market_ask)},{_plain(r.gateway_price)}"
            markets.append((row, f"{r.ticket},{r.leg},{told}\n"))
        yield (
            f"{r.ticket},{r.leg},{_quoted(r.login)},{_quoted(r.currency)},{_plain(r.account_id)},{int(r.kind)},"
            f"{'' if r.entry is None else int(r.entry)},{r.position_ticket},{r.order_ticket},{_quoted(r.symbol)},"
            f"{r.volume_lots},{_plain(r.price)},{r.at.isoformat()},{_plain(r.open_price)},"
            f"{'' if r.opened_at is None else r.opened_at.isoformat()},"
            f"{r.profit},{r.swap},{r.commission},{r.fee},{_quoted(r.comment)}\n"
        )


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _quoted(text: str) -> str:
    """Text as a CSV cell; nothing at all (unknown) when it is empty."""
    return '"' + text.replace('"', '""') + '"' if text else ""


class _LineSource:
    """Gives an iterator of lines the `read` that COPY asks for, holding one chunk at a time."""

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.failure: Exception | None = None

    def read(self, size: int = -1, /) -> str:
        held: list[str] = []
        length = 0
        try:
            for line in self._lines:
                held.append(line)
                length += len(line)
                if 0 <= size <= length:
                    break
        except Exception as failure:
            self.failure = failure
            raise
        return "".join(held)
