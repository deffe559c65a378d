"""Hours and holidays: clock changes, nights over midnight, short days, what cannot be read."""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest
from django.db import IntegrityError, transaction

from backoffice.core.models import AuditRecord
from backoffice.core.types import Role
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import Denied, InvalidInput
from platform_ops.models import Holiday, SymbolSpec
from platform_ops.rules.sessions import (
    Closure,
    is_open,
    next_change,
    open_spans,
    read_week,
    week_in_words,
    whole_week,
    working_week,
)
from platform_ops.selectors import sessions as selectors
from platform_ops.services import sessions
from tests.factories import platform
from tests.factories.platform import SYSTEM, staff

EET_US = ServerZone.parse("EET_US")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_the_working_week_of_a_server_is_that_of_new_york_through_the_clock_change():
    for monday_open, friday_close in (
        ("2026-03-01T22:00", "2026-03-06T22:00"),
        ("2026-03-08T21:00", "2026-03-13T21:00"),
    ):
        opened, closed = at(monday_open), at(friday_close)
        given = {"week": working_week(), "zone": EET_US}
        assert next_change(**given, at=opened) == (True, closed)
        assert not is_open(**given, at=closed)
        assert is_open(**given, at=opened)
        assert not is_open(**given, at=opened.replace(minute=0).replace(hour=opened.hour - 1, minute=59))


def test_five_days_round_the_clock_are_one_span_and_a_daily_break_cuts_it():
    given = {"zone": ServerZone.parse("UTC"), "start": at("2026-03-02T00:00"), "end": at("2026-03-09T00:00")}
    assert len(open_spans(week=working_week(), **given)) == 1
    assert len(open_spans(week=read_week("Mon-Fri 01:00-24:00", field="x"), **given)) == 5
    assert len(open_spans(week=whole_week(), **given)) == 1


def test_a_holiday_is_a_day_of_its_own_clock_and_a_short_day_keeps_its_hours():
    new_york = ZoneInfo("America/New_York")
    given = {"week": whole_week(), "zone": ServerZone.parse("UTC")}
    closed = [Closure(date(2026, 12, 25), new_york, "Christmas")]
    assert is_open(**given, closures=closed, at=at("2026-12-25T04:59"))
    assert not is_open(**given, closures=closed, at=at("2026-12-25T05:00"))
    assert next_change(**given, closures=closed, at=at("2026-12-25T05:00")) == (False, at("2026-12-26T05:00"))
    short = [Closure(date(2026, 12, 24), new_york, "Christmas Eve", (570, 780))]
    spans = open_spans(**given, closures=short, start=at("2026-12-24T05:00"), end=at("2026-12-25T05:00"))
    assert [(span.start, span.end) for span in spans] == [(at("2026-12-24T14:30"), at("2026-12-24T18:00"))]


def test_a_symbol_that_never_opens_says_so():
    assert next_change(week=[[]] * 7, zone=EET_US, at=at("2026-03-02T12:00")) == (False, None)
    assert next_change(week=whole_week(), zone=ServerZone.parse("UTC"), at=at("2026-03-02T12:00")) == (True, None)


@pytest.mark.parametrize(
    "text", ["Mon-Fri 00:00-24:00", "Sun 22:05-24:00; Mon-Thu 00:00-21:55, 22:05-24:00; Fri 00:00-21:55", "closed"]
)
def test_sessions_are_written_as_they_are_read(text):
    assert week_in_words(read_week(text, field="x")) == text


@pytest.mark.parametrize(
    "text", ["Mon 25:00-26:00", "Foo 00:00-01:00", "Mon", "Mon 10:00-09:00", "Mon 10:00-12:00, 11:00-13:00", "Mon a-b"]
)
def test_sessions_that_cannot_be_are_refused(text):
    with pytest.raises(InvalidInput):
        read_week(text, field="trade_sessions")


@pytest.mark.parametrize(
    ("text", "row", "field"),
    [
        ("2026-13-01,Never", 1, "day"),
        ("2026-12-25,Christmas\n2026-12-26,Boxing,09:00", 2, "holidays"),
        ("2026-12-24,Eve,9,13:00", 1, "opens"),
        ("", None, "holidays"),
    ],
)
def test_holidays_that_cannot_be_read_name_row_and_field(text, row, field):
    with pytest.raises(InvalidInput) as refused:
        sessions.read_holidays(text)
    assert (refused.value.details.get("row"), refused.value.details["field"]) == (row, field)


@pytest.mark.django_db
def test_a_symbol_keeps_the_holidays_of_its_group_and_its_own():
    symbol = platform.make_symbol("XAUUSD")
    spec = platform.make_spec(symbol)
    noon = at("2026-12-25T12:00")
    assert selectors.is_open(symbol_id=symbol.pk, at=noon)
    calendar = sessions.keep_calendar(
        code="ny",
        name="New York",
        zone="America/New_York",
        group_codes=[symbol.group.code],
        symbol_codes=[],
        actor=SYSTEM,
    )
    drafts = sessions.read_holidays("day,name\n2026-12-25,Christmas Day\n2026-12-24, Christmas Eve, 09:30, 13:00\n")
    assert sessions.set_holidays(calendar_id=calendar.pk, holidays=drafts, actor=SYSTEM) == 2
    assert sessions.set_holidays(calendar_id=calendar.pk, holidays=drafts, actor=SYSTEM) == 0
    assert not selectors.is_open(symbol_id=symbol.pk, at=noon)
    assert selectors.next_close(symbol_id=symbol.pk, at=at("2026-12-24T15:00")) == at("2026-12-24T18:00")
    assert selectors.next_open(symbol_id=symbol.pk, at=noon) == at("2026-12-27T22:00")
    days = selectors.holidays_between(symbol_id=symbol.pk, first=date(2026, 12, 1), last=date(2026, 12, 31))
    assert days == {date(2026, 12, 25): "Christmas Day"}
    assert AuditRecord.objects.filter(action="platform.set_holidays").count() == 1
    sessions.remove_holiday(holiday_id=Holiday.objects.get(day="2026-12-25").pk, actor=SYSTEM, reason="moved")
    assert selectors.is_open(symbol_id=symbol.pk, at=noon)
    assert SymbolSpec.objects.get(pk=spec.pk).trade_sessions == working_week()


@pytest.mark.django_db
def test_only_operators_keep_calendars_and_the_database_keeps_their_rules():
    with pytest.raises(Denied):
        sessions.keep_calendar(
            code="x", name="X", zone="UTC", group_codes=[], symbol_codes=[], actor=staff(Role.DEALING)
        )
    with pytest.raises(InvalidInput):
        sessions.keep_calendar(code="x", name="X", zone="Mars/Base", group_codes=[], symbol_codes=[], actor=SYSTEM)
    with pytest.raises(InvalidInput):
        sessions.keep_calendar(code="x", name="X", zone="UTC", group_codes=["none"], symbol_codes=[], actor=SYSTEM)
    calendar = sessions.keep_calendar(code="x", name="X", zone="UTC", group_codes=[], symbol_codes=[], actor=SYSTEM)
    for opens, closes in ((600, None), (600, 600), (0, 1441)):
        with pytest.raises(IntegrityError), transaction.atomic():
            Holiday.objects.create(
                calendar=calendar, day=date(2026, 1, 1), name="New", opens_minute=opens, closes_minute=closes
            )
    assert not Holiday.objects.exists()
