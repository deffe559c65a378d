"""When a symbol is traded: weekly sessions on a server's clock, holidays on an exchange's, and what both say of a moment.

Sessions are minutes of a weekday (Sunday first) in local time, the end not part of it. Holidays close a day, or leave one
span of it, in their calendar's own zone. Everything is turned into spans of UTC first, so that clock changes are right and
a night that goes on over midnight is one span.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.ranges import TimeRange

MINUTES_OF_DAY = 1440
DAYS_OF_WEEK = 7
MAX_SESSIONS_A_DAY = 12
MAX_SPAN_DAYS = 400
"""How far ahead a next opening is looked for, and the longest span that is laid out at a time."""

ONE_DAY = timedelta(days=1)
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")
Week = Sequence[Sequence[Sequence[int]]]
Span = TimeRange[datetime]


@dataclass(frozen=True, slots=True)
class Closure:
    """A holiday: the local day, and the minutes of it in which trading goes on all the same (None: closed all day)."""

    day: date
    zone: ZoneInfo
    name: str
    open_minutes: tuple[int, int] | None = None

    def spans(self) -> list[Span]:
        """What is closed, in UTC."""
        if self.open_minutes is None:
            return [_span(self.day, 0, MINUTES_OF_DAY, self.zone)]
        opens, closes = self.open_minutes
        edges = ((0, opens), (closes, MINUTES_OF_DAY))
        return [_span(self.day, start, end, self.zone) for start, end in edges if start < end]


def working_week() -> list[list[list[int]]]:
    """Round the clock from Monday to Friday, as forex is traded on a server whose day ends at 17:00 New York."""
    return [[], *([[0, MINUTES_OF_DAY]] for _ in range(5)), []]


def whole_week() -> list[list[list[int]]]:
    """Round the clock on every day, as crypto is traded."""
    return [[[0, MINUTES_OF_DAY]] for _ in range(DAYS_OF_WEEK)]


def check_week(week: Any, *, field: str) -> None:
    """Raises InvalidInput unless *week* is seven lists of [opening, closing] minutes, in order and apart."""
    if not isinstance(week, list | tuple) or len(week) != DAYS_OF_WEEK:
        raise InvalidInput("Sessions are seven lists, one a weekday from Sunday.", field=field)
    for name, sessions in zip(WEEKDAYS, week, strict=True):
        if not isinstance(sessions, list | tuple) or len(sessions) > MAX_SESSIONS_A_DAY:
            raise InvalidInput(f"{name}: at most {MAX_SESSIONS_A_DAY} sessions.", field=field)
        reached = 0
        for session in sessions:
            if (
                not isinstance(session, list | tuple)
                or len(session) != 2
                or any(isinstance(minute, bool) or not isinstance(minute, int) for minute in session)
            ):
                raise InvalidInput(f"{name}: a session is an opening and a closing minute.", field=field)
            opens, closes = session
            if not 0 <= opens < closes <= MINUTES_OF_DAY or opens < reached:
                raise InvalidInput(
                    f"{name}: sessions lie within the day, one after the other.", field=field, value=str(session)
                )
            reached = closes


def read_week(text: str, *, field: str) -> list[list[list[int]]]:
    """Sessions as people write them: a line or part between semicolons per weekday or span of them.

    `Mon-Fri 00:00-24:00; Sun 22:05-24:00`. A weekday that is not named has none. Raises InvalidInput.
    """
    week: list[list[list[int]]] = [[] for _ in range(DAYS_OF_WEEK)]
    for part in (piece.strip() for piece in text.replace("\n", ";").split(";")):
        if not part or part.lower() == "closed":
            continue
        days, _, hours = part.partition(" ")
        for session in hours.split(","):
            opens, dash, closes = session.strip().partition("-")
            if not dash:
                raise InvalidInput(f"{part!r}: write a day and hours, such as Mon-Fri 00:00-24:00.", field=field)
            minutes = [_minute(opens, field), _minute(closes, field)]
            for day in _days(days, field):
                week[day].append(list(minutes))
    for sessions in week:
        sessions.sort()
    check_week(week, field=field)
    return week


def week_in_words(week: Week) -> str:
    """Sessions as `read_week` reads them; equal days in a row together."""
    parts = []
    day = 0
    while day < DAYS_OF_WEEK:
        last = day
        while last + 1 < DAYS_OF_WEEK and list(map(list, week[last + 1])) == list(map(list, week[day])):
            last += 1
        if week[day]:
            days = WEEKDAYS[day][:3] + (f"-{WEEKDAYS[last][:3]}" if last > day else "")
            parts.append(f"{days} {', '.join(f'{clock(opens)}-{clock(closes)}' for opens, closes in week[day])}")
        day = last + 1
    return "; ".join(parts) or "closed"


def clock(minute: int) -> str:
    """A minute of the day as 09:30; the end of the day is 24:00."""
    return f"{minute // 60:02}:{minute % 60:02}"


def open_spans(
    *, week: Week, zone: ServerZone, closures: Iterable[Closure] = (), start: datetime, end: datetime
) -> list[Span]:
    """When it is open between two moments, in UTC and in order; spans that touch are one.

    Raises InvalidInput for more than `MAX_SPAN_DAYS`.
    """
    if end <= start:
        return []
    if end - start > timedelta(days=MAX_SPAN_DAYS):
        raise InvalidInput(f"At most {MAX_SPAN_DAYS} days at a time.", field="end")
    found: list[Span] = []
    day = zone.to_local(start).date() - ONE_DAY
    last = zone.to_local(end).date()
    while day <= last:
        for opens, closes in week[(day.weekday() + 1) % DAYS_OF_WEEK]:
            _append(found, zone.to_utc(_local(day, opens)), zone.to_utc(_local(day, closes)))
        day += ONE_DAY
    for closure in closures:
        for closed in closure.spans():
            found = [left for span in found for left in span.subtract(closed)]
    bounds = TimeRange(start, end)
    return [inside for span in found if (inside := span.intersect(bounds)) is not None]


def is_open(*, week: Week, zone: ServerZone, closures: Iterable[Closure] = (), at: datetime) -> bool:
    """Whether it is open at a moment; the moment of closing is not part of it."""
    spans = open_spans(week=week, zone=zone, closures=closures, start=at, end=at + timedelta(microseconds=1))
    return bool(spans)


def next_change(
    *, week: Week, zone: ServerZone, closures: Iterable[Closure] = (), at: datetime
) -> tuple[bool, datetime | None]:
    """Whether it is open, and when that changes next; None: not within `MAX_SPAN_DAYS`."""
    end = at + timedelta(days=MAX_SPAN_DAYS)
    spans = open_spans(week=week, zone=zone, closures=closures, start=at, end=end)
    if not spans:
        return False, None
    first = spans[0]
    if first.start > at:
        return False, first.start
    return True, first.end if first.end is not None and first.end < end else None


def _append(found: list[Span], start: datetime, end: datetime) -> None:
    """Adds a span; an hour that a clock change leaves out is none, one that touches the last span is part of it."""
    if end <= start:
        return
    if found and found[-1].end is not None and start <= found[-1].end:
        found[-1] = TimeRange(found[-1].start, max(found[-1].end, end))
    else:
        found.append(TimeRange(start, end))


def _local(day: date, minute: int) -> datetime:
    return datetime.combine(day, time()) + timedelta(minutes=minute)


def _span(day: date, opens: int, closes: int, zone: ZoneInfo) -> Span:
    return TimeRange(*(_local(day, minute).replace(tzinfo=zone).astimezone(UTC) for minute in (opens, closes)))


def _days(text: str, field: str) -> list[int]:
    names = {name[:3].lower(): number for number, name in enumerate(WEEKDAYS)}
    first, dash, last = text.lower().partition("-")
    if first not in names or (dash and last not in names):
        raise InvalidInput(f"{text!r} is no weekday: Sun, Mon … Sat.", field=field, value=text)
    start = names[first]
    count = (names[last] - start) % DAYS_OF_WEEK + 1 if dash else 1
    return [(start + offset) % DAYS_OF_WEEK for offset in range(count)]


def _minute(text: str, field: str) -> int:
    hours, colon, minutes = text.strip().partition(":")
    if not (colon and hours.isdigit() and minutes.isdigit() and len(minutes) == 2 and int(minutes) < 60):
        raise InvalidInput(f"{text!r} is no time of day, such as 09:30.", field=field, value=text)
    return int(hours) * 60 + int(minutes)
