"""Recorded ticks and candles of other houses, read exactly: Dukascopy's `.bi5`, and the CSV of TrueFX, HistData and Nautilus.

Prices become whole points without passing a float: `.bi5` holds whole numbers, CSV text is read as decimals. Volumes of
`.bi5` are the provider's own 32-bit floats of millions; they are no money and are read as whole units.
"""

from __future__ import annotations

import csv
import io
import lzma
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backoffice.kernel.errors import InvalidInput
from platform_ops.rules.price_points import quote_in_points

MAXIMUM_BYTES = 64 * 1024 * 1024
MAXIMUM_ROWS = 5_000_000
_TICK = np.dtype([("ms", ">i4"), ("ask", ">i4"), ("bid", ">i4"), ("ask_volume", ">f4"), ("bid_volume", ">f4")])
_CANDLE = np.dtype(
    [("s", ">i4"), ("open", ">i4"), ("close", ">i4"), ("low", ">i4"), ("high", ">i4"), ("volume", ">f4")]
)
_MILLION = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EST = timezone(timedelta(hours=-5))

Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RecordedTicks:
    """Ticks in the file's own order: microseconds since 1970, prices in points of `digits`, volumes in units."""

    digits: int
    at: Whole
    bid: Whole
    ask: Whole
    bid_volume: Whole
    ask_volume: Whole

    def __len__(self) -> int:
        return len(self.at)

    @classmethod
    def joined(cls, parts: list[RecordedTicks]) -> RecordedTicks:
        """One recording after the other. Raises InvalidInput when their digits differ, or there is none."""
        if len({part.digits for part in parts}) != 1:
            raise InvalidInput("Recordings that are joined have the same digits.", field="digits")
        columns = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("at", "bid", "ask", "bid_volume", "ask_volume")
        )
        return cls(parts[0].digits, *columns)


@dataclass(frozen=True, slots=True)
class RecordedCandles:
    """A provider's own candles of the bid: opening in microseconds since 1970, prices in points, volume in units."""

    opens_at: Whole
    open: Whole
    high: Whole
    low: Whole
    close: Whole
    volume: Whole


def read_bi5_ticks(data: bytes, *, hour: datetime, digits: int, source: str = "") -> RecordedTicks:
    """The ticks of an hour. An empty file is an hour without ticks. Raises InvalidInput naming the record that cannot be."""
    records = _records(data, _TICK, source)
    start = (hour - _EPOCH) // timedelta(microseconds=1)
    milliseconds = records["ms"].astype(np.int64)
    outside = np.flatnonzero((milliseconds < 0) | (milliseconds >= 3_600_000))
    if len(outside):
        raise InvalidInput(
            f"{source}: record {outside[0] + 1} lies outside of its hour.", field="ms", row=int(outside[0]) + 1
        )
    return RecordedTicks(
        digits,
        start + milliseconds * 1_000,
        records["bid"].astype(np.int64),
        records["ask"].astype(np.int64),
        _units(records["bid_volume"]),
        _units(records["ask_volume"]),
    )


def read_bi5_candles(data: bytes, *, start: datetime, source: str = "") -> RecordedCandles:
    """A provider's candles from the start of a day, month or year. Raises InvalidInput for a file that is none."""
    records = _records(data, _CANDLE, source)
    begin = (start - _EPOCH) // timedelta(microseconds=1)
    return RecordedCandles(
        opens_at=begin + records["s"].astype(np.int64) * _MILLION,
        open=records["open"].astype(np.int64),
        high=records["high"].astype(np.int64),
        low=records["low"].astype(np.int64),
        close=records["close"].astype(np.int64),
        volume=_units(records["volume"]),
    )


def read_dukascopy_folder(folder: Path, *, digits: int) -> Iterator[tuple[datetime, RecordedTicks]]:
    """Every hour of ticks below `<symbol>/<year>/<month from 00>/<day>/<hour>h_ticks.bi5`, in order of time."""
    for path in sorted(folder.glob("*/*/*/*h_ticks.bi5")):
        year, month, day = (int(part) for part in path.relative_to(folder).parts[:3])
        hour = datetime(year, month + 1, day, int(path.name[:2]), tzinfo=UTC)
        yield hour, read_bi5_ticks(_bytes_of(path), hour=hour, digits=digits, source=path.name)


def read_csv_ticks(data: bytes, *, digits: int, source: str = "") -> RecordedTicks:
    """Ticks of a CSV file of one of three layouts, told apart by its first line.

    Nautilus: `ts_ns,bid,ask`, nanoseconds since 1970. TrueFX: `timestamp,bid,ask`, an ISO time with its zone. HistData:
    no heading, `YYYYMMDD HHMMSSmmm,bid,ask,volume`, Eastern Standard Time all the year. Raises InvalidInput naming the
    row and the field that cannot be read, also for a price finer than a point: recordings are taken exactly or not.
    """
    if len(data) > MAXIMUM_BYTES:
        raise InvalidInput(f"{source}: at most {MAXIMUM_BYTES} bytes.", field="file")
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{source}: not a text of digits.", field="file") from error
    rows = csv.reader(io.StringIO(text))
    first = next(rows, None)
    if first is None:
        raise InvalidInput(f"{source}: the file is empty.", field="file")
    heading = ",".join(first).lower()
    if heading == "ts_ns,bid,ask":
        return _read_rows(rows, _nanoseconds, digits, source, 2)
    if heading == "timestamp,bid,ask":
        return _read_rows(rows, _iso, digits, source, 2)
    if len(first) == 4 and first[0][:8].isdigit():
        return _read_rows(_with_first(first, rows), _histdata, digits, source, 1)
    raise InvalidInput(f"{source}: no layout of ticks that is known here.", field="heading", value=heading[:80], row=1)


def _read_rows(
    rows: Iterator[list[str]], read_time: Callable[[str], int], digits: int, source: str, first: int
) -> RecordedTicks:
    found: list[tuple[int, int, int]] = []
    for number, row in enumerate(rows, first):
        if len(found) >= MAXIMUM_ROWS:
            raise InvalidInput(f"{source}: more than {MAXIMUM_ROWS:,} ticks.", field="file", row=number)
        if not row:
            continue
        if len(row) < 3:
            raise InvalidInput(f"{source}, row {number}: three columns at least.", field="row", row=number)
        found.append((_time(row[0], read_time, source, number), *_prices(row, digits, source, number)))
    columns = np.array(found, dtype=np.int64).reshape(-1, 3)
    nothing = np.zeros(len(found), dtype=np.int64)
    at, bid, ask = (np.ascontiguousarray(columns[:, index]) for index in range(3))
    return RecordedTicks(digits, at, bid, ask, nothing, nothing)


def _prices(row: list[str], digits: int, source: str, number: int) -> tuple[int, int]:
    sides: dict[str, Decimal] = {}
    for name, text in (("bid", row[1]), ("ask", row[2])):
        try:
            sides[name] = Decimal(text)
        except InvalidOperation as error:
            raise InvalidInput(f"{source}, row {number}: {name} is no number.", field=name, row=number) from error
    points = quote_in_points(sides["bid"], sides["ask"], digits)
    if points is None or points[2] != digits:
        raise InvalidInput(
            f"{source}, row {number}: no price of {digits} digits.", field="bid", row=number, value=row[1][:40]
        )
    return points[0], points[1]


def _time(text: str, read: Callable[[str], int], source: str, number: int) -> int:
    try:
        return read(text)
    except ValueError as error:
        raise InvalidInput(f"{source}, row {number}: no time.", field="time", row=number, value=text[:40]) from error


def _nanoseconds(text: str) -> int:
    return int(text) // 1_000


def _iso(text: str) -> int:
    at = datetime.fromisoformat(text)
    if at.utcoffset() is None:
        raise ValueError(text)
    return (at - _EPOCH) // timedelta(microseconds=1)


def _histdata(text: str) -> int:
    if len(text) != 18:
        raise ValueError(text)
    at = datetime.strptime(f"{text}000", "%Y%m%d %H%M%S%f").replace(tzinfo=_EST)
    return (at - _EPOCH) // timedelta(microseconds=1)


def _with_first(first: list[str], rows: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rows


def _records(data: bytes, layout: np.dtype[Any], source: str) -> NDArray[Any]:
    if not data:
        return np.empty(0, dtype=layout)
    try:
        raw = _unpacked(data)
    except (lzma.LZMAError, EOFError, struct.error) as error:
        raise InvalidInput(f"{source}: not a file of this kind, or cut off.", field="file") from error
    if raw is None or len(raw) > MAXIMUM_BYTES:
        raise InvalidInput(f"{source}: more than {MAXIMUM_BYTES} bytes unpacked.", field="file")
    if len(raw) % layout.itemsize:
        raise InvalidInput(f"{source}: the last record is cut off.", field="file", row=len(raw) // layout.itemsize + 1)
    return np.frombuffer(raw, dtype=layout)


def _unpacked(data: bytes) -> bytes | None:
    """The content; None where it would grow beyond the bound, so that a bomb is never unpacked whole."""
    unpacker = lzma.LZMADecompressor(format=lzma.FORMAT_ALONE, memlimit=MAXIMUM_BYTES)
    raw = unpacker.decompress(data, max_length=MAXIMUM_BYTES + 1)
    if not unpacker.eof and len(raw) <= MAXIMUM_BYTES and unpacker.needs_input:
        raise EOFError
    return raw if len(raw) <= MAXIMUM_BYTES else None


def _units(millions: NDArray[Any]) -> Whole:
    return np.rint(millions.astype(np.float64) * _MILLION).astype(np.int64)


def _bytes_of(path: Path) -> bytes:
    if path.stat().st_size > MAXIMUM_BYTES:
        raise InvalidInput(f"{path.name}: at most {MAXIMUM_BYTES} bytes.", field="file")
    return path.read_bytes()
