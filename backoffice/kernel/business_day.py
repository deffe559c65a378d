"""The business day, and the clocks of trading servers.

Owns two rules. The business day closes at 17:00 New York, and the instant 17:00:00 already belongs to the
next day; from Friday 17:00 on it is Monday. A trading server writes local times without a zone: `ServerZone`
turns them into UTC by the rules of that server. Holidays are not known here: every Monday to Friday is a
business day.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from backoffice.kernel.errors import InvalidInput

NEW_YORK = ZoneInfo("America/New_York")
CLOSING_TIME = time(17, 0)

_ONE_DAY = timedelta(days=1)
_SATURDAY = 5
_DAYS_OF_WEEK = 7


def is_business_day(day: date) -> bool:
    """Monday to Friday."""
    return day.weekday() < _SATURDAY


def next_business_day(day: date) -> date:
    """The first business day after `day`."""
    following = day + _ONE_DAY
    return following if is_business_day(following) else following + timedelta(days=_DAYS_OF_WEEK - following.weekday())


def previous_business_day(day: date) -> date:
    """The last business day before `day`."""
    before = day - _ONE_DAY
    return before if is_business_day(before) else before - timedelta(days=before.weekday() - _SATURDAY + 1)


def business_day_of(at: datetime) -> date:
    """The business day that an instant belongs to. Raises InvalidInput for a time without a zone."""
    local = _aware(at).astimezone(NEW_YORK)
    day = local.date() + _ONE_DAY if local.time() >= CLOSING_TIME else local.date()
    return day if is_business_day(day) else next_business_day(day)


def day_bounds(day: date) -> tuple[datetime, datetime]:
    """Start (inside) and end (outside) of a business day, in UTC; Monday starts on Friday 17:00 New York.

    Raises InvalidInput for a Saturday or Sunday.
    """
    if not is_business_day(day):
        raise InvalidInput(f"{day.isoformat()} is not a business day.", field="day", value=day.isoformat())
    return _closing_of(previous_business_day(day)), _closing_of(day)


def _closing_of(day: date) -> datetime:
    return datetime.combine(day, CLOSING_TIME, tzinfo=NEW_YORK).astimezone(UTC)


def _aware(at: datetime) -> datetime:
    if at.tzinfo is None or at.utcoffset() is None:
        raise InvalidInput(f"The time {at.isoformat()} has no zone.", field="at", value=at.isoformat())
    return at


_FIXED = re.compile(r"FIXED([+-])(\d{2}):([0-5]\d)")
_WIDEST_OFFSET = timedelta(hours=14)
_NO_SHIFT = timedelta(0)

# Server midnight is 17:00 New York all year round, so this clock is New York's wall clock seven hours on: it
# changes in the same instant as New York, in weeks when European clocks do not.
_EET_US_AHEAD_OF_NEW_YORK = timedelta(hours=7)
# Athens has kept the common European rule (01:00 UTC, last Sundays of March and October) since 1996.
_EET_EU = ZoneInfo("Europe/Athens")


@dataclass(frozen=True, slots=True)
class ServerZone:
    """The clock of a trading server, named by a short code that is stored with the server.

    Codes: `EET_US` (GMT+2, GMT+3 by United States dates), `EET_EU` (GMT+2, GMT+3 by European dates),
    `FIXED+03:00` (any offset up to 14 hours), `UTC`. Two zones are equal when their codes are.
    """

    code: str
    _zone: tzinfo = field(compare=False, repr=False)
    _shift: timedelta = field(compare=False, repr=False, default=_NO_SHIFT)

    @classmethod
    def parse(cls, code: str) -> ServerZone:
        """The zone of a code. Raises InvalidInput when there is none."""
        if code == "EET_US":
            return cls(code, NEW_YORK, _EET_US_AHEAD_OF_NEW_YORK)
        if code == "EET_EU":
            return cls(code, _EET_EU)
        if code == "UTC":
            return cls(code, UTC)
        match = _FIXED.fullmatch(code)
        if match is not None:
            sign, hours, minutes = match.groups()
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            if offset <= _WIDEST_OFFSET:
                return cls(code, timezone(-offset if sign == "-" else offset))
        raise InvalidInput(
            f"Unknown server zone {code!r}: use EET_US, EET_EU, UTC or FIXED+HH:MM.", field="zone", value=code
        )

    def to_utc(self, local: datetime) -> datetime:
        """The instant that a server-local time (naive) means.

        In autumn an hour comes twice: the first of the two is meant. In spring an hour is skipped: a time
        inside it is shifted forward by the hour. Both fall on a Sunday, when forex does not trade; only
        round-the-clock symbols can meet them. Raises InvalidInput when the time already has a zone.
        """
        if local.tzinfo is not None:
            raise InvalidInput(f"The server time {local.isoformat()} must not have a zone.", field="local")
        return (local - self._shift).replace(tzinfo=self._zone, fold=0).astimezone(UTC)

    def to_local(self, at: datetime) -> datetime:
        """What the server's clock shows (naive) at an instant.

        Raises InvalidInput for a time without a zone.
        """
        return _aware(at).astimezone(self._zone).replace(tzinfo=None, fold=0) + self._shift

    def __str__(self) -> str:
        return self.code
