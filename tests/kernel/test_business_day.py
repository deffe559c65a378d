"""The business day and server clocks, across every switch of daylight saving time.

In 2026 New York switches on 8 March and 1 November, Europe on 29 March and 25 October.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine

from backoffice.kernel import clock
from backoffice.kernel.business_day import (
    NEW_YORK,
    ServerZone,
    business_day_of,
    day_bounds,
    is_business_day,
    next_business_day,
    previous_business_day,
)
from backoffice.kernel.errors import InvalidInput


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "day"),
    [
        ("2026-01-14T21:59:59.999999", date(2026, 1, 14)),  # winter: the day closes at 22:00 UTC
        ("2026-01-14T22:00:00", date(2026, 1, 15)),
        ("2026-07-15T20:59:59.999999", date(2026, 7, 15)),  # summer: at 21:00 UTC
        ("2026-07-15T21:00:00", date(2026, 7, 16)),
        ("2026-01-16T21:59:59", date(2026, 1, 16)),  # Friday
        ("2026-01-16T22:00:00", date(2026, 1, 19)),  # Friday evening is Monday
        ("2026-01-17T12:00:00", date(2026, 1, 19)),
        ("2026-01-18T21:59:59", date(2026, 1, 19)),
        ("2026-01-18T22:00:00", date(2026, 1, 19)),  # Sunday evening, the market opens
        ("2026-12-31T22:00:00", date(2027, 1, 1)),
        # Week-ends of both New York switches.
        ("2026-03-06T22:00:00", date(2026, 3, 9)),
        ("2026-03-09T20:59:59", date(2026, 3, 9)),
        ("2026-03-09T21:00:00", date(2026, 3, 10)),
        ("2026-10-30T20:59:59", date(2026, 10, 30)),
        ("2026-10-30T21:00:00", date(2026, 11, 2)),
        ("2026-11-02T21:59:59", date(2026, 11, 2)),
        ("2026-11-02T22:00:00", date(2026, 11, 3)),
        # Europe's switches change nothing.
        ("2026-03-30T21:00:00", date(2026, 3, 31)),
        ("2026-10-26T20:59:59", date(2026, 10, 26)),
        ("2026-10-26T21:00:00", date(2026, 10, 27)),
    ],
)
def test_business_day_of_an_instant(at: str, day: date) -> None:
    assert business_day_of(utc(at)) == day
    assert business_day_of(utc(at).astimezone(NEW_YORK)) == day


@pytest.mark.parametrize(
    ("day", "start", "end"),
    [
        (date(2026, 1, 14), "2026-01-13T22:00", "2026-01-14T22:00"),
        (date(2026, 1, 19), "2026-01-16T22:00", "2026-01-19T22:00"),  # Monday holds the week-end
        (date(2026, 7, 15), "2026-07-14T21:00", "2026-07-15T21:00"),
        (date(2026, 3, 9), "2026-03-06T22:00", "2026-03-09T21:00"),  # an hour shorter
        (date(2026, 11, 2), "2026-10-30T21:00", "2026-11-02T22:00"),  # an hour longer
    ],
)
def test_bounds_of_a_business_day(day: date, start: str, end: str) -> None:
    assert day_bounds(day) == (utc(start), utc(end))
    assert day_bounds(day)[0].tzinfo is UTC


def test_week_ends_have_no_bounds() -> None:
    for day in (date(2026, 1, 17), date(2026, 1, 18)):
        assert not is_business_day(day)
        with pytest.raises(InvalidInput):
            day_bounds(day)


def test_neighbouring_business_days() -> None:
    friday, saturday, sunday, monday = (date(2026, 1, 16) + timedelta(days=step) for step in range(4))
    assert {next_business_day(day) for day in (friday, saturday, sunday)} == {monday}
    assert {previous_business_day(day) for day in (saturday, sunday, monday)} == {friday}
    assert next_business_day(monday) == date(2026, 1, 20)
    assert previous_business_day(friday) == date(2026, 1, 15)


def test_times_without_a_zone_are_refused() -> None:
    naive = datetime(2026, 1, 14, 12)
    with pytest.raises(InvalidInput):
        business_day_of(naive)
    with pytest.raises(InvalidInput):
        ServerZone.parse("UTC").to_local(naive)
    with pytest.raises(InvalidInput):
        ServerZone.parse("UTC").to_utc(naive.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        # Between the switches the two clocks differ by an hour.
        ("EET_US", "2026-02-10T00:00", "2026-02-09T22:00"),
        ("EET_EU", "2026-02-10T00:00", "2026-02-09T22:00"),
        ("EET_US", "2026-03-10T00:00", "2026-03-09T21:00"),
        ("EET_EU", "2026-03-10T00:00", "2026-03-09T22:00"),
        ("EET_US", "2026-03-31T00:00", "2026-03-30T21:00"),
        ("EET_EU", "2026-03-31T00:00", "2026-03-30T21:00"),
        ("EET_US", "2026-10-27T00:00", "2026-10-26T21:00"),
        ("EET_EU", "2026-10-27T00:00", "2026-10-26T22:00"),
        ("EET_US", "2026-11-03T00:00", "2026-11-02T22:00"),
        ("EET_EU", "2026-11-03T00:00", "2026-11-02T22:00"),
        # The instants around each switch.
        ("EET_US", "2026-03-08T08:59:59", "2026-03-08T06:59:59"),
        ("EET_US", "2026-03-08T10:00", "2026-03-08T07:00"),
        ("EET_US", "2026-11-01T09:00", "2026-11-01T07:00"),
        ("EET_EU", "2026-03-29T02:59:59", "2026-03-29T00:59:59"),
        ("EET_EU", "2026-03-29T04:00", "2026-03-29T01:00"),
        ("EET_EU", "2026-10-25T04:00", "2026-10-25T02:00"),
        ("FIXED+03:00", "2026-07-15T00:00", "2026-07-14T21:00"),
        ("FIXED-05:30", "2026-01-15T00:00", "2026-01-15T05:30"),
        ("UTC", "2026-03-08T02:30", "2026-03-08T02:30"),
    ],
)
def test_server_times_become_instants_and_back(zone: str, local: str, instant: str) -> None:
    server = ServerZone.parse(zone)
    assert server.to_utc(datetime.fromisoformat(local)) == utc(instant)
    assert server.to_utc(datetime.fromisoformat(local)).tzinfo is UTC
    assert server.to_local(utc(instant)) == datetime.fromisoformat(local)


@pytest.mark.parametrize(
    ("zone", "local", "first", "second"),
    [
        ("EET_US", "2026-11-01T08:30", "2026-11-01T05:30", "2026-11-01T06:30"),
        ("EET_EU", "2026-10-25T03:30", "2026-10-25T00:30", "2026-10-25T01:30"),
    ],
)
def test_the_repeated_hour_means_its_first_occurrence(zone: str, local: str, first: str, second: str) -> None:
    server, shown = ServerZone.parse(zone), datetime.fromisoformat(local)
    assert server.to_local(utc(first)) == server.to_local(utc(second)) == shown
    assert server.to_utc(shown) == server.to_utc(shown.replace(fold=1)) == utc(first)


@pytest.mark.parametrize(
    ("zone", "local", "instant", "shown"),
    [
        ("EET_US", "2026-03-08T09:30", "2026-03-08T07:30", "2026-03-08T10:30"),
        ("EET_EU", "2026-03-29T03:30", "2026-03-29T01:30", "2026-03-29T04:30"),
    ],
)
def test_the_skipped_hour_is_shifted_forward(zone: str, local: str, instant: str, shown: str) -> None:
    server = ServerZone.parse(zone)
    assert server.to_utc(datetime.fromisoformat(local)) == utc(instant)
    assert server.to_local(utc(instant)) == datetime.fromisoformat(shown)


def test_server_midnight_by_united_states_dates_is_the_close_of_the_business_day() -> None:
    server = ServerZone.parse("EET_US")
    day = date(2025, 1, 1)
    while day < date(2027, 1, 1):
        midnight = datetime.combine(next_business_day(day), datetime.min.time())
        if is_business_day(day) and next_business_day(day) == day + timedelta(days=1):
            assert server.to_utc(midnight) == day_bounds(day)[1]
        day += timedelta(days=1)


@pytest.mark.parametrize(
    "code", ["", "EET", "eet_us", "Europe/Athens", "FIXED+3", "FIXED+14:01", "FIXED+03:60", "FIXED03:00", "UTC+3"]
)
def test_unknown_server_zones_are_refused(code: str) -> None:
    with pytest.raises(InvalidInput):
        ServerZone.parse(code)


def test_server_zones_are_equal_by_code() -> None:
    assert ServerZone.parse("FIXED+02:00") == ServerZone.parse("FIXED+02:00")
    assert ServerZone.parse("EET_US") != ServerZone.parse("EET_EU")
    assert str(ServerZone.parse("EET_US")) == "EET_US"
    assert len({ServerZone.parse("UTC"), ServerZone.parse("UTC")}) == 1


def test_the_clock_is_aware_and_knows_the_open_business_day() -> None:
    with time_machine.travel(utc("2026-10-30T21:00:00"), tick=False):
        assert clock.now() == utc("2026-10-30T21:00:00")
        assert clock.now().tzinfo is UTC
        assert clock.today_business_day() == date(2026, 11, 2)
