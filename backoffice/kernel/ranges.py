"""Half-open ranges of time: the start is inside, the end is not.

Owns the arithmetic of validity: what holds when, what overlaps, what is left. A range runs over aware
instants or over plain dates, never over a mix.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Generic, TypeVar

from backoffice.kernel.errors import InvalidInput

Moment = TypeVar("Moment", date, datetime)


@dataclass(frozen=True, slots=True)
class TimeRange(Generic[Moment]):
    """From `start` (inside) to `end` (outside); without an end it never stops.

    Raises InvalidInput when it would be empty, when an instant has no zone or when date and instant are
    mixed.
    """

    start: Moment
    end: Moment | None = None

    def __post_init__(self) -> None:
        _check_moment(self.start, kind_of=self.start)
        if self.end is not None:
            _check_moment(self.end, kind_of=self.start)
            if self.end <= self.start:
                raise InvalidInput(f"A range must end after it starts: {self}.", field="end", value=str(self.end))

    def contains(self, moment: Moment) -> bool:
        """Whether the moment is inside."""
        _check_moment(moment, kind_of=self.start)
        return self.start <= moment and (self.end is None or moment < self.end)

    def overlaps(self, other: TimeRange[Moment]) -> bool:
        """Whether the two share a moment; ranges that only touch do not."""
        _check_moment(other.start, kind_of=self.start)
        return (other.end is None or self.start < other.end) and (self.end is None or other.start < self.end)

    def intersect(self, other: TimeRange[Moment]) -> TimeRange[Moment] | None:
        """What both cover, or None."""
        if not self.overlaps(other):
            return None
        ends = [end for end in (self.end, other.end) if end is not None]
        return TimeRange(max(self.start, other.start), min(ends) if ends else None)

    def subtract(self, other: TimeRange[Moment]) -> list[TimeRange[Moment]]:
        """What is left of this range without the other: none, one or two pieces, in order of time."""
        if not self.overlaps(other):
            return [self]
        left: list[TimeRange[Moment]] = []
        if self.start < other.start:
            left.append(TimeRange(self.start, other.start))
        if other.end is not None and (self.end is None or other.end < self.end):
            left.append(TimeRange(other.end, self.end))
        return left

    def __str__(self) -> str:
        return f"[{self.start.isoformat()}, {self.end.isoformat() if self.end is not None else '∞'})"


def _check_moment(moment: date, *, kind_of: date) -> None:
    if not isinstance(moment, date) or isinstance(moment, datetime) != isinstance(kind_of, datetime):
        raise InvalidInput("A range runs over instants or over dates, not over a mix.", field="moment")
    if isinstance(moment, datetime) and moment.utcoffset() is None:
        raise InvalidInput(f"The time {moment.isoformat()} has no zone.", field="moment", value=moment.isoformat())
