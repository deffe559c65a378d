"""Market calendars on the desk: which days and hours the symbols of a calendar rest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin, DeskTabularInline
from backoffice.ui.columns import link_column, text_column
from backoffice.ui.forms import ReasonForm
from backoffice.ui.views import DeskActionView, register_desk_page
from platform_ops.models import (
    Holiday,
    MarketCalendar,
    Symbol,
    SymbolGroup,
)
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.services import sessions

MAX_ROWS_SHOWN = 500


class CalendarForm(forms.Form):
    """A calendar and who keeps it."""

    code = forms.SlugField(max_length=40)
    name = forms.CharField(max_length=120)
    zone = forms.CharField(max_length=64, label="Time zone", help_text="Such as America/New_York.")
    groups = forms.ModelMultipleChoiceField(SymbolGroup.objects.order_by("code"), required=False)
    symbols = forms.ModelMultipleChoiceField(Symbol.objects.order_by("code"), required=False)


@register_desk_page
class KeepCalendar(DeskActionView):
    """Makes a calendar, or changes it."""

    desk, slug, title, capability = "platform_ops", "keep_calendar", "Holiday calendar", MANAGE_CATALOGUE
    button, form_class = "Save the calendar", CalendarForm

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What stands, where the address names a calendar."""
        found = MarketCalendar.objects.filter(code=self.request.GET.get("code", "")).first()
        if found is None:
            return {}
        return {
            "code": found.code, "name": found.name, "zone": found.zone, "groups": list(found.groups.all()),
            "symbols": list(found.symbols.all()),
        }  # fmt: skip

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Who keeps it."""
        keepers = [*(str(group) for group in data["groups"]), *(symbol.code for symbol in data["symbols"])]
        return [("Calendar", f"{data['name']} ({data['zone']})"), ("Kept by", ", ".join(keepers) or "nobody yet")]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Saves it."""
        return sessions.keep_calendar(
            code=data["code"], name=data["name"], zone=data["zone"], actor=actor,
            group_codes=[group.code for group in data["groups"]], symbol_codes=[symbol.code for symbol in data["symbols"]],
        )  # fmt: skip

    def success_url(self, result: Any) -> str:
        """To the calendar."""
        return reverse("admin:platform_ops_marketcalendar_change", args=[result.pk])


class HolidaysForm(forms.Form):
    """Days to add."""

    holidays = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 8}), max_length=100_000, label="Holidays",
        help_text="A line a day: day, name, and for a short day its hours. 2026-12-24, Christmas Eve, 09:30, 13:00",
    )  # fmt: skip


class AddHolidays(DeskActionView):
    """Adds days to a calendar, many at a time."""

    slug, title, button, capability = "holidays", "Add holidays", "Add holidays", MANAGE_CATALOGUE
    form_class = HolidaysForm

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which days."""
        drafts = sessions.read_holidays(data["holidays"])
        days = ", ".join(f"{draft.day} {draft.name}" for draft in drafts[:10])
        return [("Calendar", str(self.target)), (f"{len(drafts)} days", days + (" …" if len(drafts) > 10 else ""))]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds them."""
        drafts = sessions.read_holidays(data["holidays"])
        return sessions.set_holidays(calendar_id=self.target.pk, holidays=drafts, actor=actor)


class ChangeCalendar(DeskActionView):
    """Leads to the calendar's form."""

    slug, title, button, capability = "edit", "Change the calendar", "Change", MANAGE_CATALOGUE

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form, filled in."""
        return HttpResponseRedirect(f"{KeepCalendar.url()}?code={self.target.code}")


class NewCalendar(DeskActionView):
    """Leads to the empty form."""

    slug, title, button, capability = "new", "Add a calendar", "Add a calendar", MANAGE_CATALOGUE

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The form."""
        return HttpResponseRedirect(KeepCalendar.url())


class HolidayInline(DeskTabularInline):
    """The days of a calendar."""

    model = Holiday
    fields = readonly_fields = ("day", "name", "hours_shown")

    @admin.display(description="Hours")
    def hours_shown(self, row: Holiday) -> str:
        """Closed, or the hours of a short day."""
        return sessions.holiday_text(row)


@admin.register(MarketCalendar)
class MarketCalendarAdmin(DeskModelAdmin):
    """Calendars of holidays."""

    view_capability = VIEW_PLATFORM
    is_reference_data = True
    list_display = ("name", "code", "zone_shown", "kept_by", "next_holiday")
    list_prefetch_related = ("groups", "symbols", "holidays")
    search_fields = ("code", "name")
    list_actions = (NewCalendar,)
    inlines = (HolidayInline,)
    object_actions = (AddHolidays, ChangeCalendar)
    empty_text = "No calendar yet: symbols follow their weekly hours on every day."

    zone_shown = text_column("zone", title="Time zone", order="zone")

    @admin.display(description="Kept by")
    def kept_by(self, row: MarketCalendar) -> str:
        """The groups and symbols that rest on its days."""
        return ", ".join([*(str(group) for group in row.groups.all()), *(str(symbol) for symbol in row.symbols.all())])

    @admin.display(description="Next holiday")
    def next_holiday(self, row: MarketCalendar) -> str:
        """The first day that is not over, with its hours."""
        today = clock.now().date()
        coming = [holiday for holiday in row.holidays.all() if holiday.day >= today]
        if not coming:
            return "none entered"
        first = min(coming, key=lambda holiday: holiday.day)
        return f"{first.day} {first.name}, {sessions.holiday_text(first)}"


class RemoveHoliday(DeskActionView):
    """Takes a day off its calendar."""

    slug, title, button, capability, tone = "remove", "Remove the holiday", "Remove", MANAGE_CATALOGUE, "danger"
    form_class = ReasonForm

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Removes it."""
        return sessions.remove_holiday(holiday_id=self.target.pk, actor=actor, reason=data["reason"])

    def success_url(self, result: Any) -> str:
        """To the list."""
        return reverse("admin:platform_ops_holiday_changelist")


@admin.register(Holiday)
class HolidayAdmin(DeskModelAdmin):
    """Holidays of all calendars."""

    view_capability = VIEW_PLATFORM
    is_reference_data = True
    list_display = ("day", "name", "calendar_shown", "hours_shown")
    list_select_related = ("calendar",)
    list_filter = ("calendar",)
    search_fields = ("name",)
    date_hierarchy = "day"
    object_actions = (RemoveHoliday,)
    empty_text = "No holiday yet."

    calendar_shown = link_column("calendar", title="Calendar")

    @admin.display(description="Hours")
    def hours_shown(self, row: Holiday) -> str:
        """Closed, or the hours of a short day."""
        return sessions.holiday_text(row)
