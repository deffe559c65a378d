"""MT5 reports saved as HTML say what their spreadsheets say.

The pages are the real spreadsheets, laid out as the terminal lays out its pages: labels three columns wide, a hidden
comment cell in the rows of positions, UTF-16.
"""

from __future__ import annotations

import html
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements import read_statement, summarise_statement
from platform_ops.gateways.statements.types import StatementFormat
from platform_ops.gateways.statements.workbook import SheetRow, read_first_sheet

SAMPLES = ("darwinex_3000090143_demo_hedge", "fxpro_5500995_netting", "fxpro_5503127_netting_es", "mq_5006391922_hedge")
WIDTH = 14


def sample(name: str) -> bytes:
    path = Path(settings.SAMPLE_DATA_DIR) / "statements_mt5" / f"{name}.xlsx"
    if not path.exists():
        pytest.skip("The sample reports are not here.")
    return path.read_bytes()


def page(data: bytes, *, label_width: int = 3) -> bytes:
    """The report as a page."""
    rows = read_first_sheet(data)
    parts = ["<!DOCTYPE html><html><head><title>Report</title><style>.hidden{display:none}</style></head><body><table>"]
    section = 0
    for row in rows:
        if row.filled == {0} and not row.text(0).endswith(":"):
            section += 1
        parts.append(_row(row, is_position=section == 2, label_width=label_width))
    return ("".join(parts) + "</table></body></html>").encode("utf-16")


def _row(row: SheetRow, *, is_position: bool, label_width: int) -> str:
    if row.filled == {0}:
        return f'<tr align="center"><th colspan="{WIDTH}"><div><b>{html.escape(row.text(0))}</b></div></th></tr>'
    cells, column = [], 0
    filled = sorted(row.filled)
    for place, start in enumerate(filled):
        if start > column:
            cells.append(f'<td colspan="{start - column}"></td>')
        end = filled[place + 1] if place + 1 < len(filled) else start + 1
        is_label = row.text(start).endswith(":")
        span = label_width if is_label and end - start == 3 else 1
        cells.append(f'<td class="" colspan="{span}"><b>{html.escape(_printed(row, start))}</b></td>')
        column = start + (3 if is_label and end - start == 3 else span)
        if is_position and start == 3:
            cells.append('<td class="hidden" colspan="8">a comment</td>')
    return f'<tr bgcolor="#F7F7F7" align="right">{"".join(cells)}</tr>'


def _printed(row: SheetRow, column: int) -> str:
    value = row.values[column]
    if isinstance(value, Decimal):
        digits = row.decimals[column]
        text = f"{value:,.{digits}f}" if digits is not None else f"{value:,f}"
        return text.replace(",", " ") if abs(value) < 10**9 else f"{value:f}"
    return row.text(column)


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("label_width", [3, 4])
def test_a_page_says_what_its_spreadsheet_says(name: str, label_width: int) -> None:
    data = sample(name)
    sheet = read_statement(data, filename="report.xlsx")
    read = read_statement(page(data, label_width=label_width), filename="report.html")
    assert read.format is StatementFormat.MT5_HTML
    assert len(read.deals) == len(sheet.deals)
    for one, other in zip(read.deals, sheet.deals, strict=True):
        assert replace(one, price_digits=0) == replace(other, price_digits=0)
    assert (read.open_positions, read.summary) == (sheet.open_positions, sheet.summary)
    assert (read.account, read.currency, read.as_of, read.is_hedging) == (
        sheet.account, sheet.currency, sheet.as_of, sheet.is_hedging,
    )  # fmt: skip
    assert (read.cancelled_orders, read.working_orders) == (sheet.cancelled_orders, sheet.working_orders)
    figures = summarise_statement(read, currency_digits=2)
    assert figures.balance == sheet.summary.balance


def test_a_page_that_was_cut_is_refused() -> None:
    whole = page(sample("mq_5006391922_hedge"))
    with pytest.raises(InvalidInput):
        read_statement(whole[: len(whole) // 4 * 2], filename="report.html")
    with pytest.raises(InvalidInput, match="it was cut"):
        read_statement(whole.decode("utf-16").replace("</html>", "").encode("utf-16"), filename="report.html")


def test_another_page_with_a_table_is_refused() -> None:
    with pytest.raises(InvalidInput, match="not a trading statement"):
        read_statement(b"<html><body><table><tr><td>hello</td></tr></table></body></html>", filename="x.html")
    with pytest.raises(InvalidInput):
        read_statement(b"<html><table><tr><td>1 (USD, x)</td></tr></table></html>", filename="x.html")
