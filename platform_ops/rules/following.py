"""How a server's records are followed: which window is read next, how long to wait, when a clock is off. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from backoffice.kernel.business_day import ServerZone

CLOCK_TOLERANCE = timedelta(seconds=120)
"""A server's clock that is further from ours than this is not believed."""

CLOCK_AHEAD_READ = CLOCK_TOLERANCE
"""How far beyond now a live window reaches: a server whose clock is a little ahead dates its deals there."""

LONGEST_WINDOW = timedelta(hours=24)
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 120.0
SHORTEST_GAP = timedelta(seconds=15)
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Window:
    """What is read in one go, [`start`, `end`). After it everything before `cursor` was read."""

    start: datetime
    end: datetime
    cursor: datetime
    is_live: bool


def clock_offset(*, server_local: datetime, now: datetime, zone: ServerZone) -> timedelta:
    """How far a server's wall clock is ahead of what it should show. The hour that comes twice in autumn is no jump."""
    return server_local - zone.to_local(now)


def is_off(offset: timedelta) -> bool:
    """Whether times of such a server cannot be believed."""
    return abs(offset) > CLOCK_TOLERANCE


def next_window(*, cursor: datetime, now: datetime, overlap: timedelta, offset: timedelta, zone: ServerZone) -> Window:
    """The next window from the cursor, overlapping what was read, no longer than a day of new time.

    A server whose clock is behind dates new deals into the past by as much, and where its clock was put back within the
    last hours its deals repeat an hour: the overlap is wider by both.
    """
    behind = max(timedelta(), -offset)
    start = min(cursor, now) - overlap - behind
    if _offset_of(zone, start - HOUR) != _offset_of(zone, now):
        start -= HOUR
    if now - cursor > LONGEST_WINDOW:
        end = cursor + LONGEST_WINDOW
        return Window(start, end, cursor=end, is_live=False)
    return Window(start, now + CLOCK_AHEAD_READ, cursor=max(now, cursor), is_live=True)


def _offset_of(zone: ServerZone, at: datetime) -> timedelta:
    return zone.to_local(at) - at.replace(tzinfo=None)


def retry_delay(failures: int, *, jitter: float) -> float:
    """Seconds until the next try after so many failures in a row; *jitter* in 0 … 1 spreads servers apart."""
    longest = min(FIRST_RETRY_SECONDS * 2 ** min(max(failures - 1, 0), 20), LONGEST_RETRY_SECONDS)
    return longest * (0.5 + jitter / 2)


def gap_after(interval: timedelta) -> timedelta:
    """How long nothing may be read before it is called a gap."""
    return max(SHORTEST_GAP, 3 * interval)
