"""Half-open ranges."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from backoffice.kernel.errors import InvalidInput
from backoffice.kernel.ranges import TimeRange


def days(first: int, last: int | None = None) -> TimeRange[date]:
    return TimeRange(date(2026, 1, first), None if last is None else date(2026, 1, last))


def test_the_start_is_inside_and_the_end_is_not() -> None:
    january = days(1, 31)
    assert january.contains(date(2026, 1, 1)) and january.contains(date(2026, 1, 30))
    assert not january.contains(date(2026, 1, 31)) and not january.contains(date(2025, 12, 31))
    assert days(5).contains(date(2999, 1, 1))


def test_ranges_that_touch_do_not_overlap() -> None:
    assert not days(1, 5).overlaps(days(5, 9)) and not days(5, 9).overlaps(days(1, 5))
    assert days(1, 6).overlaps(days(5, 9)) and days(5).overlaps(days(1, 6)) and days(1).overlaps(days(20))


def test_intersection() -> None:
    assert days(1, 6).intersect(days(5, 9)) == days(5, 6)
    assert days(1).intersect(days(5)) == days(5)
    assert days(1).intersect(days(2, 3)) == days(2, 3)
    assert days(1, 5).intersect(days(5, 9)) is None


def test_subtraction_leaves_none_one_or_two_pieces() -> None:
    assert days(1, 9).subtract(days(3, 5)) == [days(1, 3), days(5, 9)]
    assert days(1, 9).subtract(days(1, 9)) == []
    assert days(3, 5).subtract(days(1)) == []
    assert days(1, 9).subtract(days(1, 5)) == [days(5, 9)]
    assert days(1, 9).subtract(days(5)) == [days(1, 5)]
    assert days(1).subtract(days(3, 5)) == [days(1, 3), days(5)]
    assert days(1, 3).subtract(days(3, 5)) == [days(1, 3)]


def test_instants_need_a_zone() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert TimeRange(noon).contains(noon)
    with pytest.raises(InvalidInput):
        TimeRange(datetime(2026, 1, 1, 12))
    with pytest.raises(InvalidInput):
        TimeRange(noon).contains(datetime(2026, 1, 1, 13))


def test_dates_and_instants_do_not_mix() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    with pytest.raises(InvalidInput):
        TimeRange(noon, date(2026, 1, 5))  # type: ignore[type-var]
    with pytest.raises(InvalidInput):
        days(1, 5).contains(noon)
    with pytest.raises(InvalidInput):
        days(1, 5).overlaps(TimeRange(noon))  # type: ignore[arg-type]


def test_empty_and_inverted_ranges_are_refused() -> None:
    for last in (5, 4):
        with pytest.raises(InvalidInput):
            days(5, last)


def test_ranges_read_well() -> None:
    assert str(days(1, 5)) == "[2026-01-01, 2026-01-05)"
    assert str(days(1)) == "[2026-01-01, ∞)"
