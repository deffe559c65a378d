"""Reading a provider's sheet: pasted, CSV, workbook; every mistake named by row and field."""

from __future__ import annotations

import io
from decimal import Decimal

import pytest
import xlsxwriter

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.swap_sheets import MAX_BYTES, read_figure, read_lines
from platform_ops.gateways.types import SwapMode
from platform_ops.rules.swap_sheets import Column, DecimalMark, Reading, Sheet, SheetRow, SignOf, duplicates, read_sheet


def read(data: str | bytes, **reading: object) -> Sheet:
    given = data.encode() if isinstance(data, str) else data
    return read_sheet(read_lines(given), Reading(**reading), read_number=read_figure)


def figures(sheet: Sheet) -> list[tuple[int, str, str, str]]:
    assert sheet.problems == ()
    return [(row.number, row.name, str(row.long), str(row.short)) for row in sheet.rows]


def workbook(rows: list[list[object]]) -> bytes:
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    page = book.add_worksheet()
    for number, cells in enumerate(rows):
        page.write_row(number, 0, cells)
    book.close()
    return out.getvalue()


@pytest.mark.parametrize(
    "sheet",
    [
        'Symbol,Swap long,Swap short\nEURUSD,-6.5,2.1\nXAUUSD,-31.25,"12"\n',
        "Symbol;Buy;Sell\nEURUSD;-6,5;2,1\nXAUUSD;-31,25;12\n",
        "Instrument\tLong\tShort\nEURUSD\t-6.5\t2.1\nXAUUSD\t-31.25\t12\n",
        "\ufeffsymbol,long (points),short (points)\r\nEURUSD,\u22126.5,2.1\r\nXAUUSD,-31.25,12\r\n",
    ],
)
def test_text_sheets_of_every_kind_say_the_same(sheet: str) -> None:
    assert figures(read(sheet)) == [(2, "EURUSD", "-6.5", "2.1"), (3, "XAUUSD", "-31.25", "12")]


def test_a_workbook_under_a_title_is_read_by_its_headings_wherever_the_columns_stand() -> None:
    data = workbook([
        ["Prime LP swap sheet", "", "2026-03-02"],
        [],
        ["Short swap", "Ticker", "Remark", "Long swap"],
        [2.1, "EURUSD", "T+2", -6.5],
        [12, "XAUUSD", None, -31.250000000000004],
    ])  # fmt: skip
    sheet = read(data)
    assert figures(sheet) == [(4, "EURUSD", "-6.5", "2.1"), (5, "XAUUSD", "-31.25", "12")]
    assert sheet.columns == {Column.SYMBOL: 1, Column.LONG: 3, Column.SHORT: 0}


def test_a_bare_paste_is_symbol_long_short() -> None:
    assert figures(read("EURUSD\t-6.5\t2.1\nUSDJPY\t3\t-9")) == [(1, "EURUSD", "-6.5", "2.1"), (2, "USDJPY", "3", "-9")]


def test_columns_chosen_by_a_person_go_before_the_headings() -> None:
    text = "Name,Bid,Ask,A,B\nEURUSD,1.1,1.2,-6.5,2.1\n"
    chosen = {Column.SYMBOL: 0, Column.LONG: 3, Column.SHORT: 4}
    assert figures(read(text, columns=chosen)) == [(2, "EURUSD", "-6.5", "2.1")]
    with pytest.raises(InvalidInput) as refused:
        read(text, columns={Column.SYMBOL: 0, Column.LONG: 3, Column.SHORT: 3})
    assert refused.value.details["field"] == "short"
    with pytest.raises(InvalidInput, match="columns cannot be told"):
        read(text)


def test_costs_are_turned_into_the_clients_sign_and_modes_are_read() -> None:
    text = "symbol,long,short,swap type\nEURUSD,6.5,-2.1,points\nUS500,2.5%,(1.2),percent\nGBPUSD,1,1,\n"
    sheet = read(text, sign_of=SignOf.COST, mode=SwapMode.BASE_CURRENCY)
    assert sheet.problems == ()
    assert [(str(row.long), str(row.short), row.mode) for row in sheet.rows] == [
        ("-6.5", "2.1", SwapMode.POINTS),
        ("-2.5", "1.2", SwapMode.INTEREST_CURRENT_PRICE),
        ("-1", "-1", SwapMode.BASE_CURRENCY),
    ]


def test_an_ambiguous_comma_is_refused_until_somebody_says_what_it_is() -> None:
    text = "symbol;long;short\nEURUSD;-6,125;2.1\n"
    (problem,) = read(text).problems
    assert (problem.row, problem.field, problem.value) == (2, "long", "-6,125")
    assert read("symbol;long;short\nEURUSD;-6,125;2\n", decimal_mark=DecimalMark.COMMA).rows[0].long == Decimal(
        "-6.125"
    )
    assert read("symbol;long;short\nEURUSD;-6,125;2\n", decimal_mark=DecimalMark.POINT).rows[0].long == Decimal(-6125)


@pytest.mark.parametrize(
    ("row", "field", "code"),
    [
        ("EURUSD,,2.1", "long", "no_figure"),
        ("EURUSD,-6.5", "short", "no_figure"),
        (",-6.5,2.1", "symbol", "no_symbol"),
        ("EURUSD,n/a,2.1", "long", "unreadable"),
        ("EURUSD,-6.5,nan", "short", "unreadable"),
        ("EURUSD,-6.5,1e3", "short", "unreadable"),
        ("EURUSD,-6.5,9999999", "short", "unreadable"),
        ("EURUSD,=1+1,2.1", "long", "unreadable"),
        (f"{'E' * 60},-6.5,2.1", "symbol", "unreadable"),
        ("EURUSD,-6,5,2,1", "row", "unreadable"),
    ],
)
def test_every_bad_cell_is_named_by_row_and_field_and_hides_no_other(row: str, field: str, code: str) -> None:
    sheet = read(f"symbol,long,short\nGBPUSD,-1,1\n{row}\nAUDUSD,x,1\n")
    assert [(p.row, p.field, p.code) for p in sheet.problems] == [(3, field, code), (4, "long", "unreadable")]
    assert [r.name for r in sheet.rows] == ["GBPUSD"]


def test_an_unknown_mode_is_named() -> None:
    (problem,) = read("symbol,long,short,mode\nEURUSD,1,2,bananas\n").problems
    assert (problem.row, problem.field, problem.value) == (2, "mode", "bananas")


@pytest.mark.parametrize(
    "data",
    [b"", b"\n\n", b"symbol,long,short\n", b"\x00\x01\x02", b"PK\x03\x04broken", b'symbol,long,short\n"EURUSD,1,2',
     b"a" * (MAX_BYTES + 1), b"symbol,long,short\n" + b"EURUSD,1,2\n" * 1_001, b"," * 40, b"hello\nworld\n"],
)  # fmt: skip
def test_what_is_no_sheet_is_refused_with_a_place(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        read(data)
    assert "field" in refused.value.details


def test_names_that_mean_one_symbol_agree_or_are_named() -> None:
    def row(number: int, name: str, long: str) -> SheetRow:
        return SheetRow(number, name, Decimal(long), Decimal(1), SwapMode.POINTS)

    same = [(row(2, "EURUSD", "-6.5"), "EURUSD"), (row(3, "EURUSD.m", "-6.50"), "EURUSD")]
    assert duplicates(same) == []
    (problem,) = duplicates([*same, (row(9, "EURUSD", "-65"), "EURUSD")])
    assert (problem.row, problem.symbol, problem.code) == (9, "EURUSD", "duplicate")
    assert "row 2 says otherwise" in problem.message
