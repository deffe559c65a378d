"""Recordings into the store: ticks of the past, judged by the filter in force, straight into files and bars."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from backoffice.core.access import authorise
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of
from backoffice.kernel.errors import InvalidInput, NotFound
from platform_ops.gateways.tick_files import MAXIMUM_BYTES, RecordedTicks, read_csv_ticks, read_dukascopy_folder
from platform_ops.models import PriceSource, Symbol
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.price_filter import FIRST_REJECTED, Verdict
from platform_ops.rules.price_filter_batch import TickColumns, judge_batch
from platform_ops.services.prices import bars, store
from platform_ops.services.prices.sessions import moment, session_columns
from platform_ops.services.prices.settings import filters_at, find_symbol

MAXIMUM_DAYS = 40


@dataclass(frozen=True, slots=True)
class Recording:
    """What came of a recording."""

    ticks: int
    stored: int
    rejected: int


def import_recording(*, symbol_id: int, source: str, path: Path, actor: Actor) -> Recording:
    """Takes a recording of a symbol into the store. A second import of the same one stores nothing new.

    A recording is history: it makes no quote and no closing price of a day that is fixed; its accepted ticks make bars
    where no live feed made them. Raises InvalidInput for a file that cannot be read, ticks of today or later, or more
    than forty days.
    """
    authorise(actor, MANAGE_CATALOGUE)
    symbol = find_symbol(symbol_id)
    sender = PriceSource.objects.filter(code=source).first()
    if sender is None:
        raise NotFound(f"No such source of prices: {source}.", source=source)
    standing = filters_at(symbol_ids=[symbol_id], at=clock.now()).get(symbol_id)
    if standing is None:
        raise InvalidInput(f"{symbol} has no specification, so no points.", field="symbol_id", value=symbol.code)
    ticks = _read(path, standing.digits)
    days = _days(ticks)
    verdicts = judge_batch(
        standing.fresh(),
        TickColumns(
            np.full(len(ticks), sender.pk, dtype=np.int64), ticks.at, ticks.bid, ticks.ask,
            session=session_columns(symbol, ticks.at), received=ticks.at,
        ),
    )  # fmt: skip
    stored = _store(symbol, sender, ticks, verdicts)
    if stored:
        for day in days:
            bars.rebuild_bars(symbol_id=symbol_id, day=day)
    found = Recording(len(ticks), stored, int((verdicts >= FIRST_REJECTED).sum()))
    audit.record(
        actor=actor, action="platform.import_ticks", target=symbol, reason=path.name,
        changes={"source": source, "ticks": found.ticks, "stored": found.stored, "rejected": found.rejected},
    )  # fmt: skip
    return found


def _read(path: Path, digits: int) -> RecordedTicks:
    if path.is_dir():
        parts = [ticks for _, ticks in read_dukascopy_folder(path, digits=digits)]
        if not parts:
            raise InvalidInput(f"{path.name} holds no hours of ticks.", field="path")
        ticks = RecordedTicks.joined(parts)
    else:
        if path.stat().st_size > MAXIMUM_BYTES:
            raise InvalidInput(f"{path.name}: at most {MAXIMUM_BYTES} bytes.", field="path")
        ticks = read_csv_ticks(path.read_bytes(), digits=digits, source=path.name)
    if not len(ticks):
        raise InvalidInput(f"{path.name} holds no ticks.", field="path")
    return ticks


def _days(ticks: RecordedTicks) -> list[date]:
    first, last = moment(int(ticks.at.min())), moment(int(ticks.at.max()))
    if business_day_of(last) >= business_day_of(clock.now()):
        raise InvalidInput("A recording ends before today; today's ticks come through the intake.", field="at")
    if last - first > timedelta(days=MAXIMUM_DAYS):
        raise InvalidInput(f"At most {MAXIMUM_DAYS} days at once.", field="path")
    return sorted({business_day_of(first + timedelta(hours=hour)) for hour in range(MAXIMUM_DAYS * 24)
                   if first + timedelta(hours=hour) <= last} | {business_day_of(last)})  # fmt: skip


def _store(symbol: Symbol, sender: PriceSource, ticks: RecordedTicks, verdicts: np.ndarray) -> int:
    import polars

    moments = polars.Series("at", ticks.at).cast(polars.Datetime("us", "UTC"))
    count = len(ticks)
    frame = polars.DataFrame(
        {
            "at": moments,
            "received_at": moments.alias("received_at"),
            "source_id": polars.Series([sender.pk], dtype=polars.Int32).extend_constant(sender.pk, count - 1),
            "bid": ticks.bid,
            "ask": ticks.ask,
            "digits": np.full(count, ticks.digits, dtype=np.int16),
            "verdict": verdicts,
            "is_leading": verdicts == int(Verdict.ACCEPTED),
            "sequence": ticks.at,
        }
    )
    return store.store_ticks(symbol_id=symbol.pk, frame=frame)
