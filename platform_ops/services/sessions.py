"""Calendars of holidays: who keeps them, which days they have. They change no server, so no approval is asked; all is audited."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from zoneinfo import available_timezones

from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput, NotFound
from platform_ops.models import Holiday, MarketCalendar, Symbol, SymbolGroup
from platform_ops.permissions import MANAGE_CATALOGUE
from platform_ops.rules.sessions import MINUTES_OF_DAY, clock

MAX_HOLIDAYS = 2_000
EARLIEST, LATEST = date(1990, 1, 1), date(2100, 1, 1)


@dataclass(frozen=True, slots=True)
class HolidayDraft:
    """A holiday as it is to be; without minutes closed all day."""

    day: date
    name: str
    opens_minute: int | None = None
    closes_minute: int | None = None


@transaction.atomic
def keep_calendar(
    *, code: str, name: str, zone: str, group_codes: Sequence[str], symbol_codes: Sequence[str], actor: Actor
) -> MarketCalendar:
    """A calendar with the groups and symbols that keep it, made or changed. Raises InvalidInput for what is not known."""
    authorise(actor, MANAGE_CATALOGUE)
    if zone not in available_timezones():
        raise InvalidInput(f"{zone!r} is no zone of the tz database.", field="zone", value=zone)
    groups = list(SymbolGroup.objects.filter(code__in=group_codes))
    symbols = list(Symbol.objects.filter(code__in=symbol_codes))
    for field, wanted, found in (("group_codes", group_codes, groups), ("symbol_codes", symbol_codes, symbols)):
        if missing := sorted(set(wanted) - {item.code for item in found}):
            raise InvalidInput(f"Not known: {', '.join(missing)}.", field=field, value=missing[0])
    calendar, created = MarketCalendar.objects.get_or_create(code=code, defaults={"name": name, "zone": zone})
    before = _plain(calendar)
    if not created and (calendar.name, calendar.zone) != (name, zone):
        calendar.name, calendar.zone = name, zone
        calendar.save(update_fields=["name", "zone"])
    calendar.groups.set(groups)
    calendar.symbols.set(symbols)
    after = _plain(calendar)
    if created or before != after:
        audit.record(
            actor=actor, action="platform.keep_calendar", target=calendar, changes={"before": before, "after": after}
        )
    return calendar


@transaction.atomic
def set_holidays(*, calendar_id: int, holidays: Sequence[HolidayDraft], actor: Actor) -> int:
    """Adds days to a calendar and changes those that stand otherwise; returns how many. Other days stay as they are."""
    authorise(actor, MANAGE_CATALOGUE)
    calendar = MarketCalendar.objects.select_for_update().filter(pk=calendar_id).first()
    if calendar is None:
        raise NotFound("No such calendar.", calendar_id=calendar_id)
    _check(holidays)
    standing = {row.day: row for row in calendar.holidays.filter(day__in=[draft.day for draft in holidays])}
    changed = []
    for draft in holidays:
        row = standing.get(draft.day)
        values = {"name": draft.name.strip(), "opens_minute": draft.opens_minute, "closes_minute": draft.closes_minute}
        if row is None:
            Holiday.objects.create(calendar=calendar, day=draft.day, **values)
        elif any(getattr(row, name) != value for name, value in values.items()):
            Holiday.objects.filter(pk=row.pk).update(**values)
        else:
            continue
        changed.append(draft.day.isoformat())
    if changed:
        audit.record(actor=actor, action="platform.set_holidays", target=calendar, changes={"days": changed})
    return len(changed)


@transaction.atomic
def remove_holiday(*, holiday_id: int, actor: Actor, reason: str) -> None:
    """Takes a day off its calendar."""
    authorise(actor, MANAGE_CATALOGUE)
    holiday = Holiday.objects.select_for_update(of=("self",)).select_related("calendar").filter(pk=holiday_id).first()
    if holiday is None:
        raise NotFound("No such holiday.", holiday_id=holiday_id)
    audit.record(
        actor=actor,
        action="platform.remove_holiday",
        target=holiday.calendar,
        reason=reason,
        changes={"day": holiday.day.isoformat(), "name": holiday.name},
    )
    holiday.delete()


def read_holidays(text: str) -> list[HolidayDraft]:
    """Holidays from lines of `day,name[,opens,closes]`, such as `2026-12-24,Christmas Eve,09:30,13:00`.

    Raises InvalidInput, naming row and field; nothing is read half.
    """
    drafts: list[HolidayDraft] = []
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].lower() == "day":
            continue
        if len(drafts) >= MAX_HOLIDAYS:
            raise InvalidInput(f"At most {MAX_HOLIDAYS} days at a time.", field="holidays", row=number)
        if len(cells) not in (2, 4):
            raise InvalidInput(
                f"Row {number}: day, name and perhaps opening and closing.", field="holidays", row=number
            )
        try:
            day = date.fromisoformat(cells[0])
        except ValueError as error:
            raise InvalidInput(f"Row {number}: {cells[0]!r} is no day.", field="day", row=number) from error
        minutes = [_minute(cell, number) for cell in cells[2:]] if len(cells) == 4 and any(cells[2:]) else [None, None]
        drafts.append(HolidayDraft(day, cells[1], *minutes))
    if not drafts:
        raise InvalidInput("There is no holiday in this text.", field="holidays")
    return drafts


def holiday_text(holiday: Holiday) -> str:
    """Closed, or the hours in which it is open."""
    if holiday.opens_minute is None or holiday.closes_minute is None:
        return "closed"
    return f"open {clock(holiday.opens_minute)}-{clock(holiday.closes_minute)}"


def _check(holidays: Sequence[HolidayDraft]) -> None:
    seen = set()
    for number, draft in enumerate(holidays, start=1):
        if not EARLIEST <= draft.day < LATEST:
            raise InvalidInput(f"Row {number}: {draft.day} lies too far away.", field="day", row=number)
        if draft.day in seen:
            raise InvalidInput(f"Row {number}: {draft.day} stands here twice.", field="day", row=number)
        if not draft.name.strip() or len(draft.name) > 120:
            raise InvalidInput(f"Row {number}: a holiday has a name of at most 120 letters.", field="name", row=number)
        opens, closes = draft.opens_minute, draft.closes_minute
        if (opens is None) != (closes is None):
            raise InvalidInput(f"Row {number}: write both opening and closing, or none.", field="opens", row=number)
        if opens is not None and closes is not None and not 0 <= opens < closes <= MINUTES_OF_DAY:
            raise InvalidInput(f"Row {number}: it opens before it closes.", field="closes", row=number)
        seen.add(draft.day)


def _minute(text: str, row: int) -> int:
    hours, colon, minutes = text.partition(":")
    if not (colon and hours.isdigit() and minutes.isdigit() and len(minutes) == 2 and int(minutes) < 60):
        raise InvalidInput(f"Row {row}: {text!r} is no time of day.", field="opens", row=row)
    return int(hours) * 60 + int(minutes)


def _plain(calendar: MarketCalendar) -> dict[str, object]:
    return {
        "name": calendar.name,
        "zone": calendar.zone,
        "groups": sorted(calendar.groups.values_list("code", flat=True)),
        "symbols": sorted(calendar.symbols.values_list("code", flat=True)),
    }
