"""Our own deals format, for servers without a reader of their own and for round trips; docs/formats/deals_csv.md.

Three blocks in one UTF-8 file: facts of the account, deals, open positions. The facts state how many rows follow and
the file ends with a line of its own, so that a cut file cannot be taken for a whole one.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from platform_ops.gateways.statements.fields import (
    MAX_AMOUNT_DECIMALS,
    MAX_DECIMALS,
    MAX_TEXT,
    check_plausible_level,
    clean_text,
    once_per_ticket,
    read_lots,
    read_number,
    read_ticket,
    read_time,
    refuse,
)
from platform_ops.gateways.statements.types import (
    SUMMARY_FIELDS,
    ZERO,
    DealRecord,
    OpenPositionMark,
    Statement,
    StatementFormat,
    StatementSummary,
)
from platform_ops.types import DealEntry, DealKind, Platform, Side

MAGIC = "backoffice-deals"
VERSION = "1"
END = "end"
MAX_LINES = 2_000_000
MAX_COUNT = 999_999_999
MAX_LINE_CHARACTERS = 16 * 1024
MAX_PRICE_DIGITS = 10

DEAL_COLUMNS = (
    "ticket",
    "leg",
    "kind",
    "entry",
    "position",
    "order",
    "symbol",
    "volume_lots",
    "price",
    "time",
    "profit",
    "swap",
    "commission",
    "fee",
    "comment",
    "price_digits",
    "open_price",
    "open_time",
)
MARKET_COLUMNS = ("market_bid", "market_ask", "gateway_price")
"""Columns that may follow those of the deals: all three, or none."""
POSITION_COLUMNS = (
    "ticket",
    "position",
    "symbol",
    "side",
    "volume_lots",
    "open_time",
    "open_price",
    "current_price",
    "sl",
    "tp",
    "swap",
    "commission",
    "taxes",
    "profit",
    "comment",
)
_STATED_PREFIX = "stated."
_FACTS = (
    "account",
    "name",
    "currency",
    "leverage",
    "platform",
    "server_name",
    "company",
    "as_of",
    "is_hedging",
    "opening_balance",
    "opening_credit",
    "cancelled_orders",
    "working_orders",
    "deals",
    "open_positions",
)
_REQUIRED_FACTS = frozenset({"account", "currency", "platform", "as_of", "deals", "open_positions"})
_FACT_NAMES = frozenset(_FACTS) | {_STATED_PREFIX + name for name in SUMMARY_FIELDS}
_NUMBER_CHARACTERS = frozenset("-.0123456789")
_FORMULA_STARTS = ("=", "+", "-", "@", "'")
_HEDGING: dict[str, bool | None] = {"yes": True, "no": False, "": None}

_KINDS = {kind.name.lower(): kind for kind in DealKind}
_ENTRIES: dict[str, DealEntry | None] = {"": None, **{entry.name.lower(): entry for entry in DealEntry}}
_SIDES = {side.name.lower(): side for side in Side}
_PLATFORMS = {platform.value: platform for platform in Platform}

Line = tuple[int, list[str]]
Choice = TypeVar("Choice")


def looks_like_deals_csv(text: str) -> bool:
    """Whether the text begins with this format's first line."""
    return text.startswith(f"{MAGIC},")


# --- writing ---------------------------------------------------------------------------------------------------


def write_deals_csv(statement: Statement) -> bytes:
    """The statement as a file of this format; reading it back gives an equal statement, whose format is deals_csv."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow((MAGIC, VERSION))
    writer.writerows(_fact_rows(statement))
    writer.writerow(())
    tells_market = any(any(_market_row(deal)) for deal in statement.deals)
    writer.writerow(DEAL_COLUMNS + (MARKET_COLUMNS if tells_market else ()))
    writer.writerows(_deal_row(deal) + (_market_row(deal) if tells_market else ()) for deal in statement.deals)
    writer.writerow(())
    writer.writerow(POSITION_COLUMNS)
    writer.writerows(_mark_row(mark) for mark in statement.open_positions)
    writer.writerow((END,))
    return buffer.getvalue().encode("utf-8")


def _fact_rows(statement: Statement) -> Iterator[tuple[str, str]]:
    hedging = {True: "yes", False: "no", None: ""}[statement.is_hedging]
    values = {
        "account": statement.account,
        "name": _shown_text(statement.name),
        "currency": statement.currency,
        "leverage": "" if statement.leverage is None else str(statement.leverage),
        "platform": statement.platform.value,
        "server_name": _shown_text(statement.server_name),
        "company": _shown_text(statement.company),
        "as_of": _shown_time(statement.as_of),
        "is_hedging": hedging,
        "opening_balance": _shown_number(statement.opening_balance),
        "opening_credit": _shown_number(statement.opening_credit),
        "cancelled_orders": str(statement.cancelled_orders),
        "working_orders": str(statement.working_orders),
        "deals": str(len(statement.deals)),
        "open_positions": str(len(statement.open_positions)),
    }
    yield from ((name, values[name]) for name in _FACTS)
    for name in SUMMARY_FIELDS:
        figure = getattr(statement.summary, name)
        if figure is not None:
            yield _STATED_PREFIX + name, _shown_number(Decimal(figure))


def _deal_row(deal: DealRecord) -> tuple[str, ...]:
    return (
        str(deal.ticket),
        str(deal.leg),
        deal.kind.name.lower(),
        deal.entry.name.lower() if deal.entry is not None else "",
        str(deal.position),
        str(deal.order),
        _shown_text(deal.symbol),
        _shown_number(deal.volume_lots),
        _shown_number(deal.price),
        _shown_time(deal.time),
        _shown_number(deal.profit),
        _shown_number(deal.swap),
        _shown_number(deal.commission),
        _shown_number(deal.fee),
        _shown_text(deal.comment),
        str(deal.price_digits),
        _shown_number(deal.open_price),
        _shown_time(deal.open_time),
    )


def _market_row(deal: DealRecord) -> tuple[str, ...]:
    return tuple(_shown_number(price) for price in (deal.market_bid, deal.market_ask, deal.gateway_price))


def _mark_row(mark: OpenPositionMark) -> tuple[str, ...]:
    return (
        str(mark.ticket),
        str(mark.position),
        _shown_text(mark.symbol),
        mark.side.name.lower(),
        _shown_number(mark.volume_lots),
        _shown_time(mark.open_time),
        _shown_number(mark.open_price),
        _shown_number(mark.current_price),
        _shown_number(mark.sl),
        _shown_number(mark.tp),
        _shown_number(mark.swap),
        _shown_number(mark.commission),
        _shown_number(mark.taxes),
        _shown_number(mark.profit),
        _shown_text(mark.comment),
    )


def _shown_number(number: Decimal | None) -> str:
    return "" if number is None else format(number, "f")


def _shown_time(moment: datetime | None) -> str:
    return "" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S")


def _shown_text(text: str) -> str:
    """Text that no spreadsheet takes for a formula: a leading apostrophe, which the reader takes away again."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


# --- reading ---------------------------------------------------------------------------------------------------


def read_deals_csv(text: str) -> Statement:
    """Read a file of this format. Raises InvalidInput with row (line) and field for whatever cannot be read."""
    lines = _Lines(text)
    facts, stated = _read_facts(lines)
    deals = [_read_deal(cells) for cells in lines.table(DEAL_COLUMNS, until=[], optional=MARKET_COLUMNS)]
    marks = [_read_mark(cells) for cells in lines.table(POSITION_COLUMNS, until=[END])]
    for name, held in (("deals", len(deals)), ("open_positions", len(marks))):
        promised = facts.count(name)
        if promised != held:
            refuse(f"the file promises {promised} rows and holds {held}", row=None, field=name)
    return Statement(
        format=StatementFormat.DEALS_CSV,
        platform=facts.choice("platform", _PLATFORMS),
        account=str(facts.ticket("account")),
        name=facts.text("name"),
        currency=_currency(facts),
        leverage=facts.count("leverage") or None,
        server_name=facts.text("server_name"),
        company=facts.text("company"),
        as_of=facts.time("as_of"),
        deals=tuple(once_per_ticket(deals)),
        open_positions=tuple(once_per_ticket(marks)),
        cancelled_orders=facts.count("cancelled_orders"),
        working_orders=facts.count("working_orders"),
        summary=stated,
        opening_balance=facts.amount("opening_balance"),
        opening_credit=facts.amount("opening_credit"),
        is_hedging=facts.choice("is_hedging", _HEDGING),
    )


class _Lines:
    """The records of the file, with the numbers of the lines they end on."""

    def __init__(self, text: str) -> None:
        self._reader = csv.reader(io.StringIO(text, newline=""), strict=True)

    def next(self, expected: str) -> Line:
        if self._reader.line_num >= MAX_LINES:
            refuse(f"the file has more than {MAX_LINES} lines", row=MAX_LINES, field="file")
        try:
            cells = next(self._reader)
        except StopIteration:
            refuse(f"the file ends before {expected}; it was cut", row=self._reader.line_num, field="file")
        except csv.Error as error:
            refuse(f"not CSV ({error})", row=self._reader.line_num, field="file")
        if sum(map(len, cells)) > MAX_LINE_CHARACTERS:
            refuse("the line is too long", row=self._reader.line_num, field="file")
        return self._reader.line_num, cells

    def table(self, columns: tuple[str, ...], *, until: list[str], optional: tuple[str, ...] = ()) -> Iterator[_Cells]:
        """The lines under a header, up to the line that holds only `until`. The header may go on with the *optional*."""
        number, cells = self.next("the columns")
        if optional and tuple(cells) == columns + optional:
            columns += optional
        if tuple(cells) != columns:
            refuse("not the columns of this format", row=number, field="columns", value=",".join(cells))
        while True:
            number, cells = self.next("the end of the table")
            if cells == until:
                return
            if len(cells) != len(columns):
                refuse(f"{len(cells)} columns instead of {len(columns)}", row=number, field="columns")
            yield _Cells({name: (number, value) for name, value in zip(columns, cells, strict=True)})


class _Cells:
    """Named cells with the lines they stand on, and typed access to them. A missing cell counts as empty."""

    def __init__(self, cells: Mapping[str, tuple[int, str]]) -> None:
        self._cells = cells

    def get(self, name: str) -> tuple[int | None, str]:
        return self._cells.get(name, (None, ""))

    def has(self, name: str) -> bool:
        return self.get(name)[1] != ""

    def row(self, name: str) -> int:
        return self._cells[name][0]

    def text(self, name: str) -> str:
        row, value = self.get(name)
        value = value.removeprefix("'")
        if clean_text(value) != value:
            refuse(f"text must be one line of at most {MAX_TEXT} characters", row=row, field=name, value=value)
        return value

    def ticket(self, name: str) -> int:
        row, value = self.get(name)
        return read_ticket(value, row=row, field=name)

    def ticket_or_zero(self, name: str) -> int:
        return 0 if self.get(name)[1] in ("", "0") else self.ticket(name)

    def count(self, name: str, *, highest: int = MAX_COUNT) -> int:
        row, value = self.get(name)
        if not value:
            return 0
        if not (value.isascii() and value.isdigit() and len(value) <= len(str(highest)) and int(value) <= highest):
            refuse(f"not a whole number up to {highest}", row=row, field=name, value=value)
        return int(value)

    def amount(self, name: str) -> Decimal:
        return self._number(name, MAX_AMOUNT_DECIMALS) or ZERO

    def price_or_none(self, name: str) -> Decimal | None:
        return self._number(name, MAX_DECIMALS)

    def price(self, name: str) -> Decimal:
        price = self.price_or_none(name)
        if price is None:
            refuse("the price is missing", row=self.get(name)[0], field=name)
        return price

    def lots(self, name: str) -> Decimal:
        row, _ = self.get(name)
        return read_lots(self._number(name, MAX_AMOUNT_DECIMALS) or ZERO, row=row, field=name)

    def time(self, name: str) -> datetime:
        row, value = self.get(name)
        return read_time(value, row=row, field=name)

    def choice(self, name: str, choices: Mapping[str, Choice]) -> Choice:
        row, value = self.get(name)
        if value not in choices:
            refuse("not one of " + ", ".join(filter(None, choices)), row=row, field=name, value=value)
        return choices[value]

    def _number(self, name: str, decimals: int) -> Decimal | None:
        row, value = self.get(name)
        if not value:
            return None
        if not set(value) <= _NUMBER_CHARACTERS:
            refuse("not a plain number", row=row, field=name, value=value)
        return read_number(value, row=row, field=name, decimals=decimals)


def _read_facts(lines: _Lines) -> tuple[_Cells, StatementSummary]:
    number, first = lines.next("its first line")
    if first != [MAGIC, VERSION]:
        refuse(f"only version {VERSION} of this format is read", row=number, field=MAGIC, value=",".join(first))
    found: dict[str, tuple[int, str]] = {}
    while True:
        number, cells = lines.next("the account's facts")
        if not cells:
            break
        name = cells[0]
        if len(cells) != 2 or name not in _FACT_NAMES or name in found:
            refuse("not a fact of an account, or told twice", row=number, field=name[:MAX_TEXT] or "fact")
        found[name] = (number, cells[1])
    facts = _Cells(found)
    for name in _REQUIRED_FACTS:
        if not facts.has(name):
            refuse("the fact is missing", row=None, field=name)
    stated = {
        name: facts.price(_STATED_PREFIX + name)
        for name in SUMMARY_FIELDS
        if name != "total_trades" and facts.has(_STATED_PREFIX + name)
    }
    trades = facts.count(_STATED_PREFIX + "total_trades") if facts.has(_STATED_PREFIX + "total_trades") else None
    return facts, StatementSummary(**stated, total_trades=trades)


def _currency(facts: _Cells) -> str:
    row, value = facts.get("currency")
    if not (value.isascii() and value.isalpha() and value.isupper() and 3 <= len(value) <= 5):
        refuse("not a currency", row=row, field="currency", value=value)
    return value


def _read_deal(cells: _Cells) -> DealRecord:
    row = cells.row("ticket")
    kind = cells.choice("kind", _KINDS)
    entry = cells.choice("entry", _ENTRIES)
    if kind.is_trade:
        for name in ("entry", "symbol", "price", "position"):
            if not cells.has(name):
                refuse("a trade needs it", row=row, field=name)
    else:
        for name in ("entry", "open_price", "open_time"):
            if cells.has(name):
                refuse("only a trade has it", row=row, field=name)
    price, open_price = cells.price_or_none("price"), cells.price_or_none("open_price")
    if price is not None and open_price is not None:
        check_plausible_level(price, open_price, row=row, field="price")
        check_plausible_level(open_price, price, row=row, field="open_price")
    return DealRecord(
        row=row,
        ticket=cells.ticket("ticket"),
        leg=cells.count("leg", highest=1),
        kind=kind,
        entry=entry,
        position=cells.ticket_or_zero("position"),
        order=cells.ticket_or_zero("order"),
        symbol=cells.text("symbol"),
        volume_lots=cells.lots("volume_lots"),
        price=price,
        time=cells.time("time"),
        profit=cells.amount("profit"),
        swap=cells.amount("swap"),
        commission=cells.amount("commission"),
        fee=cells.amount("fee"),
        comment=cells.text("comment"),
        price_digits=cells.count("price_digits", highest=MAX_PRICE_DIGITS),
        open_price=open_price,
        open_time=cells.time("open_time") if cells.has("open_time") else None,
        market_bid=cells.price_or_none("market_bid"),
        market_ask=cells.price_or_none("market_ask"),
        gateway_price=cells.price_or_none("gateway_price"),
    )


def _read_mark(cells: _Cells) -> OpenPositionMark:
    return OpenPositionMark(
        row=cells.row("ticket"),
        ticket=cells.ticket("ticket"),
        position=cells.ticket("position"),
        symbol=cells.text("symbol"),
        side=cells.choice("side", _SIDES),
        volume_lots=cells.lots("volume_lots"),
        open_time=cells.time("open_time"),
        open_price=cells.price("open_price"),
        current_price=cells.price("current_price"),
        sl=cells.price_or_none("sl"),
        tp=cells.price_or_none("tp"),
        swap=cells.amount("swap"),
        commission=cells.amount("commission"),
        taxes=cells.amount("taxes"),
        profit=cells.amount("profit"),
        comment=cells.text("comment"),
    )
