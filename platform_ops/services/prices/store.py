"""The tick store: every tick with its verdict, in Parquet files by symbol and day.

Owns the files below `settings.TICK_FOLDER` and the way of a tick from the buffer (a table) into them. A file is written
whole under another name, synced, and renamed; it counts only once its row stands, in the transaction that empties the
buffer of its ticks. So a kill at any point loses nothing and shows no tick twice: a file without a row is never read.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count

from backoffice.core import crash_points
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import BufferedTick, PriceBar, PriceSource, RejectionEpisode, TickBatch, TickFile
from platform_ops.rules.price_filter import FIRST_REJECTED, Verdict
from platform_ops.rules.price_points import price_of_points
from platform_ops.services.prices.types import StoredTick

if TYPE_CHECKING:
    import polars

MAXIMUM_WINDOW = timedelta(hours=6)
MAXIMUM_TICKS_AROUND = 20_000
FLUSH_LIMIT = 500_000
"""Ticks moved out of the buffer at one call."""
SETTLE_TIME = timedelta(seconds=60)
"""Ticks stay in the buffer for so long, so that a late duplicate of theirs is known as one."""
KEPT_BATCHES = timedelta(hours=6)
ORPHAN_AGE_SECONDS = 86_400
MAXIMUM_PRUNED = 50_000
_LOCK = 0x7469636B
FILE_WRITTEN = "platform_ops.flush_ticks.file_written"
crash_points.declare(FILE_WRITTEN)
_KEY = ("source_id", "at", "bid", "ask", "digits")
COLUMNS = ("at", "received_at", "source_id", "bid", "ask", "digits", "verdict", "is_leading", "sequence")
"""`sequence` tells the order in which ticks were judged, which a replay needs: times may run backwards."""
_BUFFERED = (*COLUMNS[:-1], "pk")


@dataclass(frozen=True, slots=True)
class Flushed:
    """What a flush or a compaction moved."""

    ticks: int
    files: int


def folder() -> Path:
    """Where the files lie."""
    return Path(settings.TICK_FOLDER)


def ticks_around(
    *, symbol_id: int, at: datetime, seconds_before: int, seconds_after: int, source: str | None = None
) -> list[StoredTick]:
    """The kept ticks of a symbol around a moment, of all sources or of one, in the order of time.

    Raises InvalidInput for a window of more than six hours or a moment without a zone, Conflict (`too_many_ticks`) for
    more than 20,000 ticks, Conflict (`tick_file_missing`) where a file that should be there is not.
    """
    if at.utcoffset() is None:
        raise InvalidInput("A moment needs a time zone.", field="at")
    if seconds_before < 0 or seconds_after < 0:
        raise InvalidInput("Seconds before and after are not below zero.", field="seconds_before")
    start, end = at - timedelta(seconds=seconds_before), at + timedelta(seconds=seconds_after)
    if end - start > MAXIMUM_WINDOW:
        raise InvalidInput("At most six hours of ticks at once.", field="seconds_before")
    codes = dict(PriceSource.objects.values_list("pk", "code"))
    wanted = None if source is None else {pk for pk, code in codes.items() if code == source}
    found: list[StoredTick] = []
    for row in read_rows(symbol_id=symbol_id, start=start, end=end + timedelta(microseconds=1)):
        if wanted is not None and row[2] not in wanted:
            continue
        if len(found) >= MAXIMUM_TICKS_AROUND:
            raise Conflict(
                f"More than {MAXIMUM_TICKS_AROUND:,} ticks in this window: narrow it.", code="too_many_ticks"
            )
        found.append(_stored(symbol_id, row, codes))
    return found


def read_rows(*, symbol_id: int, start: datetime, end: datetime) -> Iterator[tuple[Any, ...]]:
    """The ticks of a symbol in a half-open time, files and buffer together, as tuples of `COLUMNS` in order of time."""
    frame = read_frame(symbol_id=symbol_id, start=start, end=end)
    return frame.iter_rows()


def read_frame(*, symbol_id: int, start: datetime, end: datetime) -> polars.DataFrame:
    """The ticks of a symbol in a half-open time as a frame of `COLUMNS`, sorted by time."""
    import polars

    # The buffer before the files: a tick that is moved in between is found twice and kept once, never missed.
    buffered = list(
        BufferedTick.objects.filter(symbol_id=symbol_id, at__gte=start, at__lt=end)
        .order_by("pk")
        .values_list(*_BUFFERED)
    )
    files = list(
        TickFile.objects.filter(symbol_id=symbol_id, last_at__gte=start, first_at__lt=end).order_by("first_at", "pk")
    )
    frames = [_read(file).filter(polars.col("at").is_between(start, end, closed="left")) for file in files]
    frames.append(_frame(buffered))
    whole = polars.concat(frames).unique(list(_KEY), keep="first", maintain_order=True)
    return whole.sort("at", "sequence", maintain_order=True)


def flush_ticks(*, limit: int = FLUSH_LIMIT) -> Flushed:
    """Moves settled ticks out of the buffer into files, and forgets old batch digests; what was moved.

    One process does it at a time; another finds nothing to do.
    """
    until = clock.now() - SETTLE_TIME
    TickBatch.objects.filter(received_at__lt=clock.now() - KEPT_BATCHES).delete()
    with _only_one() as is_mine:
        if not is_mine:
            return Flushed(0, 0)
        rows = list(
            BufferedTick.objects.filter(received_at__lt=until)
            .order_by("symbol_id", "at", "pk")
            .values_list("pk", "symbol_id", *_BUFFERED)[:limit]
        )
        files = 0
        for (symbol_id, day), group in groupby(rows, key=lambda row: (row[1], _utc_day(row[2]))):
            ticks = list(group)
            _move(symbol_id, day, ticks)
            files += 1
    return Flushed(len(rows), files)


def store_ticks(*, symbol_id: int, frame: polars.DataFrame) -> int:
    """Puts judged ticks of history straight into files, a file a day; how many. `frame` has the columns of the store."""
    import polars

    stored = 0
    for (day,), ticks in frame.sort("at", maintain_order=True).group_by(
        polars.col("at").dt.date(), maintain_order=True
    ):
        name = _name(symbol_id, day, f"history-{_content_digest(ticks)[:16]}")
        if TickFile.objects.filter(name=name).exists():
            continue
        size, digest = _write(name, ticks)
        _register(symbol_id, day, name, ticks, size, digest)
        stored += len(ticks)
    return stored


def compact_ticks(*, before: date, limit: int = 200) -> Flushed:
    """Puts the many files of a symbol's finished day together into one, for at most *limit* such days; what was moved.

    The old files lose their rows at once and go with the next pruning, so that who reads them now still can.
    """
    days = (
        TickFile.objects.filter(day__lt=before)
        .values("symbol_id", "day")
        .annotate(parts=Count("pk"))
        .filter(parts__gt=1)
        .order_by("day", "symbol_id")[:limit]
    )
    ticks = files = 0
    with _only_one() as is_mine:
        for row in days if is_mine else ():
            ticks += _put_together(row["symbol_id"], row["day"])
            files += 1
    return Flushed(ticks, files)


def compact_finished_days() -> Flushed:
    """Puts together the files of days that nothing is flushed into any more."""
    return compact_ticks(before=(clock.now() - timedelta(hours=2)).astimezone(UTC).date())


def _put_together(symbol_id: int, day: date) -> int:
    import polars

    parts = list(TickFile.objects.filter(symbol_id=symbol_id, day=day).order_by("first_at", "pk"))
    whole = polars.concat([_read(part) for part in parts]).unique(list(_KEY), keep="first", maintain_order=True)
    whole = whole.sort("at", "sequence", maintain_order=True)
    name = _name(symbol_id, day, f"day-{max(part.pk for part in parts)}")
    size, digest = _write(name, whole)
    with transaction.atomic():
        TickFile.objects.filter(pk__in=[part.pk for part in parts]).delete()
        _register(symbol_id, day, name, whole, size, digest)
    return len(whole)


def prune_ticks(*, keep_days: int, limit: int = MAXIMUM_PRUNED) -> dict[str, int]:
    """Removes files of ticks, episodes of rejections and bars of a minute that are older than *keep_days*; how many of each.

    Also removes files that no row names any more, once they are a day old. Raises InvalidInput below one day.
    """
    if keep_days < 1:
        raise InvalidInput("Ticks are kept for a day at least.", field="keep_days", value=keep_days)
    today = clock.now().astimezone(UTC).date()
    oldest = today - timedelta(days=keep_days)
    old = list(TickFile.objects.filter(day__lt=oldest).order_by("day", "pk")[:limit])
    TickFile.objects.filter(pk__in=[file.pk for file in old]).delete()
    for file in old:
        (folder() / file.name).unlink(missing_ok=True)
    start = datetime(oldest.year, oldest.month, oldest.day, tzinfo=UTC)
    episodes = list(
        RejectionEpisode.objects.filter(last_at__lt=start).order_by("pk").values_list("pk", flat=True)[:limit]
    )
    RejectionEpisode.objects.filter(pk__in=episodes).delete()
    minutes = PriceBar.objects.filter(period=PriceBar.Period.MINUTE, opens_at__lt=start).delete()[0]
    return {"files": len(old), "episodes": len(episodes), "minutes": minutes, "orphans": _remove_orphans()}


def missing_files(limit: int = 50) -> tuple[list[str], int]:
    """Names of files whose row stands but that are gone or of another size, and how many there are."""
    gone = []
    for name, size in TickFile.objects.order_by("-pk").values_list("name", "size")[:MAXIMUM_PRUNED]:
        path = folder() / name
        if not path.is_file() or path.stat().st_size != size:
            gone.append(name)
    return gone[:limit], len(gone)


def forget_files() -> int:
    """Removes the rows of all files, where the files themselves stayed behind; how many. Bars, quotes and figures stay."""
    return TickFile.objects.all().delete()[0]


def _remove_orphans() -> int:
    known = set(TickFile.objects.values_list("name", flat=True))
    oldest = clock.now().timestamp() - ORPHAN_AGE_SECONDS
    removed = 0
    for path in folder().glob("*/*/*"):
        if str(path.relative_to(folder())) not in known and path.stat().st_mtime < oldest:
            path.unlink(missing_ok=True)
            removed += 1
            if removed >= MAXIMUM_PRUNED:
                break
    return removed


def _move(symbol_id: int, day: date, ticks: Sequence[tuple[Any, ...]]) -> None:
    keys = [row[0] for row in ticks]
    frame = _frame([row[2:] for row in ticks])
    name = _name(symbol_id, day, f"{min(keys)}-{max(keys)}-{len(keys)}")
    size, digest = _write(name, frame)
    crash_points.reach(FILE_WRITTEN)
    with transaction.atomic():
        if not TickFile.objects.filter(name=name).exists():
            _register(symbol_id, day, name, frame, size, digest)
        BufferedTick.objects.filter(pk__in=keys).delete()


def _register(symbol_id: int, day: date, name: str, ticks: polars.DataFrame, size: int, digest: str) -> None:
    TickFile.objects.create(
        symbol_id=symbol_id,
        day=day,
        name=name,
        ticks=len(ticks),
        leading=int(ticks["is_leading"].sum()),
        rejected=int((ticks["verdict"] >= FIRST_REJECTED).sum()),
        first_at=ticks["at"].min(),  # type: ignore[misc]  # a column of moments
        last_at=ticks["at"].max(),
        size=size,
        digest=digest,
    )


def _frame(rows: Iterable[Sequence[Any]]) -> polars.DataFrame:
    import polars

    moment = polars.Datetime("us", "UTC")
    schema: dict[str, Any] = {
        "at": moment, "received_at": moment, "source_id": polars.Int32, "bid": polars.Int64, "ask": polars.Int64,
        "digits": polars.Int16, "verdict": polars.Int16, "is_leading": polars.Boolean,
        "sequence": polars.Int64,
    }  # fmt: skip
    return polars.DataFrame(list(rows), schema=schema, orient="row")


def _read(file: TickFile) -> polars.DataFrame:
    import polars

    try:
        return polars.read_parquet(folder() / file.name, columns=list(COLUMNS))
    except FileNotFoundError as error:
        raise Conflict(
            f"The ticks of {file.symbol} on {file.day} are gone: {file.name} is missing.",
            code="tick_file_missing",
            file=file.name,
        ) from error


def _write(name: str, frame: polars.DataFrame) -> tuple[int, str]:
    """Writes a file whole or not at all; its size and digest."""
    path = folder() / name
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    frame.select(COLUMNS).write_parquet(partial, compression="zstd")
    data = partial.read_bytes()
    with partial.open("rb") as handle:
        os.fsync(handle.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return len(data), hashlib.sha256(data).hexdigest()


def _content_digest(frame: polars.DataFrame) -> str:
    digest = hashlib.sha256()
    for name in ("at", "source_id", "bid", "ask", "verdict"):
        digest.update(frame[name].to_physical().to_numpy().tobytes())
    return digest.hexdigest()


def _name(symbol_id: int, day: date, part: str) -> str:
    return f"{symbol_id}/{day.isoformat()}/{part}.parquet"


def _utc_day(at: datetime) -> date:
    return at.astimezone(UTC).date()


@contextmanager
def _only_one() -> Iterator[bool]:
    """Whether this process holds the right to change files, which one has at a time."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [_LOCK])
        is_mine = bool(cursor.fetchone()[0])
    try:
        yield is_mine
    finally:
        if is_mine:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])


def _stored(symbol_id: int, row: tuple[Any, ...], codes: dict[int, str]) -> StoredTick:
    at, received_at, source_id, bid, ask, digits, verdict, is_leading, _ = row
    return StoredTick(
        symbol_id=symbol_id,
        source=codes.get(source_id, str(source_id)),
        at=at,
        received_at=received_at,
        bid=price_of_points(bid, digits) if bid else None,
        ask=price_of_points(ask, digits) if ask else None,
        digits=digits,
        verdict=Verdict(verdict),
        is_leading=is_leading,
    )
