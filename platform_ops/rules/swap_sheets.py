"""Pure reading of a liquidity provider's swap sheet: which column means what, what each row says, what is wrong with it.

Rows come as text and exact numbers (`platform_ops.gateways.swap_sheets` reads the bytes). Nothing is guessed: what cannot
be read with certainty is a problem that names its row, its field and what stands there, and a sheet with a problem is
never used in part.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import SwapMode

MAX_ROWS = 1_000
MAX_RATE = Decimal(100_000)
MAX_DECIMALS = 6
MAX_NAME = 40
MAX_PROBLEMS = 200
HEADING_ROWS = 20
"""Sheets carry a title, a date and a remark above their headings; further down nobody looks for them."""

Cell = Decimal | str | None


class Column(StrEnum):
    """What a column of a sheet can mean."""

    SYMBOL = "symbol"
    LONG = "long"
    SHORT = "short"
    MODE = "mode"
    GROUP = "group"


class SignOf(StrEnum):
    """Whose sign a sheet's figures have."""

    CLIENT = "client"
    COST = "cost"


class DecimalMark(StrEnum):
    """How a sheet's decimals are marked where its numbers are text."""

    EITHER = "either"
    POINT = "point"
    COMMA = "comma"


NEEDED = (Column.SYMBOL, Column.LONG, Column.SHORT)
LABELS = {
    Column.SYMBOL: "symbol",
    Column.LONG: "long",
    Column.SHORT: "short",
    Column.MODE: "mode",
    Column.GROUP: "group",
}
_HEADINGS: Mapping[Column, frozenset[str]] = {
    Column.SYMBOL: frozenset(
        ("symbol", "symbols", "instrument", "pair", "currency pair", "ccy pair", "product", "market", "ticker", "name")
    ),
    Column.LONG: frozenset(
        ("long", "buy", "swap long", "long swap", "swap buy", "buy swap", "long points", "long rate", "swaplong", "buyswap")
    ),
    Column.SHORT: frozenset(
        ("short", "sell", "swap short", "short swap", "swap sell", "sell swap", "short points", "short rate", "swapshort", "sellswap")
    ),
    Column.MODE: frozenset(("mode", "swap mode", "type", "swap type", "unit", "units", "calculation")),
    Column.GROUP: frozenset(("group", "account group", "client group")),
}  # fmt: skip
MODE_WORDS: Mapping[str, SwapMode] = {
    "points": SwapMode.POINTS,
    "point": SwapMode.POINTS,
    "by points": SwapMode.POINTS,
    "base currency": SwapMode.BASE_CURRENCY,
    "symbol currency": SwapMode.BASE_CURRENCY,
    "margin currency": SwapMode.MARGIN_CURRENCY,
    "deposit currency": SwapMode.DEPOSIT_CURRENCY,
    "money": SwapMode.DEPOSIT_CURRENCY,
    "percent": SwapMode.INTEREST_CURRENT_PRICE,
    "percentage": SwapMode.INTEREST_CURRENT_PRICE,
    "interest": SwapMode.INTEREST_CURRENT_PRICE,
    "% a year": SwapMode.INTEREST_CURRENT_PRICE,
    "profit currency": SwapMode.PROFIT_CURRENCY,
}


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the sheet under its own number, as people count them."""

    number: int
    cells: tuple[Cell, ...]

    def text(self, index: int) -> str:
        """A cell as one line of text; empty where the line is shorter."""
        value = self.cells[index] if index < len(self.cells) else None
        return "" if value is None else " ".join(str(value).split())


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """How a sheet is to be read. `columns` says which column (0 is the first) means what; what it leaves out is found
    by the headings. `mode` is what figures are stated in where no column says so."""

    columns: Mapping[Column, int] = field(default_factory=dict)
    mode: SwapMode = SwapMode.POINTS
    sign_of: SignOf = SignOf.CLIENT
    decimal_mark: DecimalMark = DecimalMark.EITHER


@dataclass(frozen=True, slots=True)
class SheetRow:
    """What one line says, in the sign of the client: negative where the client pays."""

    number: int
    name: str
    long: Decimal
    short: Decimal
    mode: SwapMode
    group: str = ""


@dataclass(frozen=True, slots=True)
class SheetProblem:
    """Why a sheet cannot be used as it is. `row` is None for what is not in the sheet at all."""

    row: int | None
    field: str
    message: str
    value: str = ""
    symbol: str = ""
    code: str = "unreadable"

    def as_data(self) -> dict[str, object]:
        """Plain data, as it is stored and shown."""
        return {name: getattr(self, name) for name in ("row", "field", "message", "value", "symbol", "code")}


@dataclass(frozen=True, slots=True)
class Sheet:
    """A sheet that was read: its rows, what is wrong, and which column was taken for what."""

    rows: tuple[SheetRow, ...]
    problems: tuple[SheetProblem, ...]
    columns: Mapping[Column, int]
    headings: tuple[str, ...] = ()


def read_sheet(lines: Sequence[Line], reading: Reading, *, read_number: Callable[[Cell, int, str], Decimal]) -> Sheet:
    """Every row of a sheet with everything that is wrong with it; a bad row never hides the next one's mistake.

    *read_number* turns a cell into an exact number or raises InvalidInput. Raises InvalidInput for a sheet without
    rows, with too many, or whose columns cannot be told.
    """
    if not lines:
        raise InvalidInput("The sheet is empty.", row=None, field="sheet")
    heading, columns = _columns(lines, reading)
    width = max((i for i in range(len(heading.cells)) if heading.text(i)), default=-1) + 1 if heading is not None else 0
    body = [line for line in lines if heading is None or line.number > heading.number]
    body = [line for line in body if any(line.text(index) for index in range(len(line.cells)))]
    if not body:
        raise InvalidInput("The sheet has headings and no rows.", row=None, field="sheet")
    if len(body) > MAX_ROWS:
        raise InvalidInput(
            f"A sheet has at most {MAX_ROWS:,} rows; this one has {len(body):,}.", row=None, field="sheet"
        )
    rows: list[SheetRow] = []
    problems: list[SheetProblem] = []
    for line in body:
        if heading is not None and any(line.text(index) for index in range(width, len(line.cells))):
            message = (
                "The row has more cells than the headings: is a decimal comma parting its figures? Use ; between cells."
            )
            problems.append(SheetProblem(line.number, "row", message, line.text(columns[Column.SYMBOL])[:MAX_NAME]))
            continue
        row, wrong = _row(line, columns, reading, read_number)
        problems += wrong
        if row is not None:
            rows.append(row)
    headings = tuple(heading.text(index) for index in range(len(heading.cells))) if heading is not None else ()
    return Sheet(tuple(rows), tuple(problems[:MAX_PROBLEMS]), columns, headings)


def duplicates(rows: Iterable[tuple[SheetRow, str]]) -> list[SheetProblem]:
    """Rows (each with the symbol that its name means) that say something else than an earlier row of the same symbol
    and group. Names with different endings that say the same are one row (`EURUSD` and `EURUSD.m`)."""
    seen: dict[tuple[str, str], SheetRow] = {}
    found = []
    for row, symbol in rows:
        first = seen.setdefault((symbol, row.group), row)
        if first is row or (first.long, first.short, first.mode) == (row.long, row.short, row.mode):
            continue
        found.append(
            SheetProblem(
                row.number,
                LABELS[Column.SYMBOL],
                f"{row.name} stands here once more, and row {first.number} says otherwise "
                f"({plain(first.long)} / {plain(first.short)}, here {plain(row.long)} / {plain(row.short)}).",
                row.name,
                symbol,
                "duplicate",
            )
        )
    return found


def missing(symbol: str, positions: int) -> SheetProblem:
    """The problem of a symbol that is open and that the sheet says nothing about."""
    many = f"{positions:,} open position" + ("" if positions == 1 else "s")
    return SheetProblem(
        None,
        "long, short",
        f"{symbol} has {many} and no row in the sheet: add its long and short, or keep today's.",
        "",
        symbol,
        "missing_row",
    )


def plain(number: Decimal) -> str:
    """A number without trailing zeros or exponent."""
    text = format(number.normalize(), "f")
    return "0" if text == "-0" else text


def _columns(lines: Sequence[Line], reading: Reading) -> tuple[Line | None, dict[Column, int]]:
    """The line of headings (None: there is none) and the column of each meaning."""
    for line in lines[:HEADING_ROWS]:
        found = _headings_of(line)
        wanted = {**found, **reading.columns}
        if Column.SYMBOL in found and all(column in wanted for column in NEEDED):
            _check_apart(wanted)
            return line, wanted
    wanted = dict(reading.columns) or {Column.SYMBOL: 0, Column.LONG: 1, Column.SHORT: 2}
    lacking = [LABELS[column] for column in NEEDED if column not in wanted]
    looks_bare = bool(reading.columns) or _looks_bare(lines[0])
    if lacking or not looks_bare:
        raise InvalidInput(
            "The columns cannot be told: name the columns of symbol, long and short in the first line, or say which they are.",
            row=lines[0].number,
            field=", ".join(lacking) or "columns",
        )
    _check_apart(wanted)
    # With columns that a person chose, a first line without any digit in its figures is a line of headings.
    first = lines[0]
    is_heading = not any(_has_digit(first.text(wanted[column])) for column in (Column.LONG, Column.SHORT))
    return (first if is_heading else None), wanted


def _looks_bare(line: Line) -> bool:
    return bool(line.text(0)) and not _has_digit(line.text(0)[:1]) and all(_has_digit(line.text(i)) for i in (1, 2))


def _headings_of(line: Line) -> dict[Column, int]:
    found: dict[Column, int] = {}
    for index in range(len(line.cells)):
        words = " ".join(re.sub(r"\(.*?\)|[^a-z0-9%]+", " ", line.text(index).lower()).split())
        for column, headings in _HEADINGS.items():
            if words in headings and column not in found:
                found[column] = index
    return found


def _check_apart(columns: Mapping[Column, int]) -> None:
    by_place: dict[int, Column] = {}
    for column, place in columns.items():
        if place < 0:
            raise InvalidInput("Columns are counted from the first one.", field=LABELS[column], value=str(place))
        if place in by_place:
            raise InvalidInput(
                f"One column cannot be both {LABELS[by_place[place]]} and {LABELS[column]}.", field=LABELS[column]
            )
        by_place[place] = column


def _row(
    line: Line, columns: Mapping[Column, int], reading: Reading, read_number: Callable[[Cell, int, str], Decimal]
) -> tuple[SheetRow | None, list[SheetProblem]]:
    problems: list[SheetProblem] = []
    name = line.text(columns[Column.SYMBOL])
    if not name:
        problems.append(SheetProblem(line.number, LABELS[Column.SYMBOL], "The symbol is missing.", code="no_symbol"))
    elif len(name) > MAX_NAME or not name.isprintable():
        problems.append(SheetProblem(line.number, LABELS[Column.SYMBOL], "This is no symbol's name.", name[:MAX_NAME]))
    figures: dict[Column, Decimal] = {}
    for column in (Column.LONG, Column.SHORT):
        index = columns[column]
        value = line.cells[index] if index < len(line.cells) else None
        try:
            figures[column] = _figure(value, line, column, reading, read_number)
        except InvalidInput as error:
            shown = "" if value is None else str(value)[:MAX_NAME]
            code = "no_figure" if not shown.strip() else "unreadable"
            problems.append(SheetProblem(line.number, LABELS[column], error.message, shown, name[:MAX_NAME], code))
    mode = reading.mode
    if Column.MODE in columns and (words := line.text(columns[Column.MODE]).lower()):
        known = MODE_WORDS.get(words)
        if known is None:
            message = f"Nobody knows the mode {words[:MAX_NAME]}; known: {', '.join(sorted(MODE_WORDS))}."
            problems.append(SheetProblem(line.number, LABELS[Column.MODE], message, words[:MAX_NAME], name[:MAX_NAME]))
        else:
            mode = known
    if problems:
        return None, problems
    group = line.text(columns[Column.GROUP]) if Column.GROUP in columns else ""
    return SheetRow(line.number, name, figures[Column.LONG], figures[Column.SHORT], mode, group), []


def _figure(
    value: Cell, line: Line, column: Column, reading: Reading, read_number: Callable[[Cell, int, str], Decimal]
) -> Decimal:
    label = LABELS[column]
    if value is None or (isinstance(value, str) and not value.strip()):
        raise InvalidInput(f"The {label} swap is missing.", row=line.number, field=label)
    if isinstance(value, str):
        value = _in_points(value.strip().removesuffix("%").strip(), reading.decimal_mark, line.number, label)
    number = read_number(value, line.number, label)
    if abs(number) > MAX_RATE:
        raise InvalidInput(f"No swap is above {MAX_RATE:,}.", row=line.number, field=label, value=str(number))
    if number != round(number, MAX_DECIMALS):
        number = round(number, MAX_DECIMALS)
    return -number if reading.sign_of is SignOf.COST and number else number


def _in_points(text: str, mark: DecimalMark, row: int, label: str) -> str:
    """The text with a decimal point, where the sheet's own mark is known. Brackets are the accountants' minus."""
    if bracketed := re.fullmatch(r"\((.+)\)", text):
        text = "-" + bracketed[1].strip()
    if mark is DecimalMark.COMMA:
        if text.count(",") > 1:
            raise InvalidInput(f"{text} has two decimal commas.", row=row, field=label, value=text)
        text = text.replace(".", "").replace(",", ".")
    elif mark is DecimalMark.POINT:
        if text.count(".") > 1:
            raise InvalidInput(f"{text} has two decimal points.", row=row, field=label, value=text)
        text = text.replace(",", "")
    return text


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)
