"""The door of this room: bytes of a file in, a whole `Statement` or a refusal out."""

from __future__ import annotations

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements.deals_csv import looks_like_deals_csv, read_deals_csv
from platform_ops.gateways.statements.encoding import decode_text
from platform_ops.gateways.statements.mt4 import looks_like_mt4, read_mt4
from platform_ops.gateways.statements.mt5 import read_mt5_rows
from platform_ops.gateways.statements.mt5_api import columns_of, read_mt5_api
from platform_ops.gateways.statements.mt5_html import looks_like_mt5_html, rows_of_html
from platform_ops.gateways.statements.types import Statement, StatementFormat
from platform_ops.gateways.statements.workbook import is_archive, read_first_sheet

MAX_FILE_BYTES = 64 * 1024 * 1024
"""About a hundred thousand tickets of an MT4 statement."""


def read_statement(data: bytes, *, filename: str) -> Statement:
    """Read a trading statement of any known format, known by its content; `filename` only serves messages.

    Raises InvalidInput, with `row`, `field` and `value` where they are known and always `file`, for a file that is
    no statement, is damaged, was cut, is too large or holds a value that cannot be read. A file whose rows merely
    disagree with its own summary is read: `summarise.compare` names the differences.
    """
    try:
        return _read(data)
    except InvalidInput as error:
        error.details["file"] = filename
        raise


def _read(data: bytes) -> Statement:
    if len(data) > MAX_FILE_BYTES:
        raise InvalidInput(f"The file is larger than {MAX_FILE_BYTES} bytes.", row=None, field="file", value=None)
    if is_archive(data):
        rows = read_first_sheet(data)
        columns = columns_of(rows)
        return read_mt5_rows(rows) if columns is None else read_mt5_api(rows, columns)
    text, finish = decode_text(data)
    if looks_like_deals_csv(text):
        return read_deals_csv(text)
    if looks_like_mt4(text):
        return read_mt4(text, finish)
    if looks_like_mt5_html(text):
        return read_mt5_rows(rows_of_html(text, finish), StatementFormat.MT5_HTML)
    raise InvalidInput(
        "The file is not a trading statement: neither an MT4 statement (HTML), nor an MT5 history report (XLSX, HTML), "
        "nor an export of the MT5 client's API (XLSX), nor a deals CSV.",
        row=None,
        field="file",
        value=None,
    )
