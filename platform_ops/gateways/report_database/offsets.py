"""How far a server's clock was ahead of UTC, day by day, as the pairs of moment and server time in its deals tell it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from backoffice.kernel.business_day import ServerZone
from platform_ops.gateways.report_database.values import MAX_OFFSET, QUARTER_HOUR, offset_of_pair

MAX_DAYS_APART = 40
"""A day without pairs takes the offset of the nearest day that has some, this many days away at most."""

FEWEST_DEALS_OF_A_CHANGE = 2

_DAY = timedelta(days=1)
_SUMMER_TIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class DayOffset:
    """How many deals of a server-local day say which offset."""

    day: date
    quarters: int
    deals: int


class Offsets:
    """The offsets of a stretch of time. Where no pair tells, the server's zone does; where neither does, nobody knows."""

    def __init__(self, found: Iterable[DayOffset], zone: ServerZone | None) -> None:
        by_day: dict[date, list[DayOffset]] = {}
        for one in found:
            if abs(one.quarters * QUARTER_HOUR) <= MAX_OFFSET:
                by_day.setdefault(one.day, []).append(one)
        self._days: dict[date, timedelta] = {}
        self._second: dict[date, timedelta] = {}
        for day, told in by_day.items():
            first, *others = sorted(told, key=lambda one: -one.deals)
            self._days[day] = first.quarters * QUARTER_HOUR
            for other in others:
                # The day on which the clock is changed has both; anything else is a row that was written again later.
                offset = other.quarters * QUARTER_HOUR
                if abs(offset - self._days[day]) == _SUMMER_TIME and other.deals >= FEWEST_DEALS_OF_A_CHANGE:
                    self._second.setdefault(day, offset)
        self._zone = zone

    @property
    def is_known(self) -> bool:
        """Whether anything tells."""
        return bool(self._days) or self._zone is not None

    def to_utc(self, local: datetime, filetime: int | None = None) -> datetime | None:
        """The moment of a server-local time. A deal's own pair counts where the days around it know its offset too."""
        day = local.date()
        around = {self._days.get(day - _DAY), self._days.get(day), self._days.get(day + _DAY), self._second.get(day)}
        own = None if filetime is None else offset_of_pair(filetime=filetime, local=local)
        if own is not None and own in around:
            return _shifted(local, own)
        nearest = self._nearest(local.date())
        if nearest is not None:
            return _shifted(local, nearest)
        return None if self._zone is None else self._zone.to_utc(local)

    def spread(self) -> tuple[timedelta, timedelta]:
        """The smallest and largest offset that may occur, for turning a window of UTC into one of server time."""
        if not self._days:
            return -MAX_OFFSET, MAX_OFFSET
        seen = {*self._days.values(), *self._second.values()}
        return min(seen), max(seen)

    def disorder(self) -> timedelta:
        """How far apart two moments may come that server time shows in one order and UTC in the other."""
        least, most = self.spread()
        return most - least if self._days else timedelta(hours=1)

    def _nearest(self, day: date) -> timedelta | None:
        for apart in range(MAX_DAYS_APART):
            for candidate in (day - apart * _DAY, day + apart * _DAY):
                if candidate in self._days:
                    return self._days[candidate]
        return None


def _shifted(local: datetime, offset: timedelta) -> datetime:
    return (local - offset).replace(tzinfo=UTC)
