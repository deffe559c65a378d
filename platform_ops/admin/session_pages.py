"""The sessions calendar: a week of every symbol, a month with its holidays; in UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django import forms
from django.http import HttpRequest, HttpResponse

from backoffice.core.access import visible_to
from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.ui.forms import desk_widgets
from backoffice.ui.views import DeskPage, register_desk_page
from platform_ops.admin.session_drawing import draw_week, monday_of
from platform_ops.models import Holiday, Symbol, SymbolGroup, SymbolSpec
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules import sessions as rules
from platform_ops.selectors import sessions
from platform_ops.services.sessions import holiday_text

MAX_SYMBOLS = 60
ONE_DAY = timedelta(days=1)
WEEK = timedelta(days=7)


class CalendarFilter(forms.Form):
    """Which symbols, and which week or month."""

    view = forms.ChoiceField(choices=[("week", "Week"), ("month", "Month")], required=False, label="Show")
    day = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}), label="Around")
    group = forms.ModelChoiceField(SymbolGroup.objects.order_by("code"), required=False, empty_label="All")
    q = forms.CharField(required=False, label="Symbol", max_length=40)


@register_desk_page
class SessionsCalendar(DeskPage):
    """When what is open. Symbols with the same hours and holidays share a picture."""

    desk, slug, title, capability = "platform_ops", "sessions_calendar", "Sessions calendar", VIEW_PLATFORM
    subtitle = "Trading hours by the approved sessions, holidays taken out. All times are UTC."
    template_name = "platform_ops/symbols_calendar.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """The week, or the month."""
        form = desk_widgets(CalendarFilter(request.GET or None))
        data = form.cleaned_data if form.is_bound and form.is_valid() else {}
        now = clock.now()
        day = data.get("day") or now.astimezone(UTC).date()
        if not date(2000, 1, 10) < day < date(2099, 12, 1):
            day = now.astimezone(UTC).date()
        is_month = data.get("view") == "month"
        context = self._month(day) if is_month else self._week(day, data, now)
        return self.page({"form": form, "is_month": is_month, **context})

    def _week(self, day: date, data: dict[str, Any], now: datetime) -> dict[str, Any]:
        first = monday_of(day)
        start = datetime.combine(first, time(), tzinfo=UTC)
        found = visible_to(Symbol.objects.select_related("group"), self.actor).order_by("code")
        if data.get("group"):
            found = found.filter(group=data["group"])
        if data.get("q"):
            found = found.filter(code__icontains=data["q"])
        symbols = list(found[:2_000])
        moment = max(now, start) if first <= now.date() < first + WEEK else start + timedelta(days=2)
        specs = {
            spec.symbol_id: spec for spec in SymbolSpec.objects.filter(symbol__in=symbols, validity__contains=moment)
        }
        closures = sessions.closures_by_symbol(symbols=symbols, start=start, end=start + WEEK)
        alike: dict[Any, list[Symbol]] = {}
        for symbol in symbols:
            spec = specs.get(symbol.pk)
            if spec is not None:
                key = (str(spec.trade_sessions), spec.sessions_zone, tuple(closures[symbol.pk]))
                alike.setdefault(key, []).append(symbol)
        pictures = []
        for same in list(alike.values())[:MAX_SYMBOLS]:
            spec = specs[same[0].pk]
            spans = rules.open_spans(
                week=spec.trade_sessions, zone=ServerZone.parse(spec.sessions_zone), closures=closures[same[0].pk],
                start=start, end=start + WEEK,
            )  # fmt: skip
            pictures.append(
                {
                    "symbols": same,
                    "drawing": draw_week(spans, first, now),
                    "hours": rules.week_in_words(spec.trade_sessions),
                    "zone": spec.sessions_zone,
                    "holidays": sorted({(closure.day, closure.name) for closure in closures[same[0].pk]
                                        if first - ONE_DAY <= closure.day <= first + WEEK}),
                }
            )  # fmt: skip
        return {
            "heading": f"Week of {first:%d %B %Y}",
            "pictures": pictures,
            "unspecified": [symbol for symbol in symbols if symbol.pk not in specs],
            "previous": first - WEEK,
            "next": first + WEEK,
        }

    def _month(self, day: date) -> dict[str, Any]:
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
        start = monday_of(first)
        by_day: dict[date, list[dict[str, str]]] = {}
        for holiday in Holiday.objects.select_related("calendar").filter(day__range=(start, after + WEEK)):
            by_day.setdefault(holiday.day, []).append(
                {"name": holiday.name, "calendar": str(holiday.calendar), "hours": holiday_text(holiday)}
            )
        weeks = []
        while start < after:
            days = [start + index * ONE_DAY for index in range(7)]
            weeks.append(
                [
                    {"day": item, "is_inside": item.month == first.month, "is_weekend": item.weekday() >= 5,
                     "is_today": item == clock.now().date(), "holidays": by_day.get(item, [])}
                    for item in days
                ]
            )  # fmt: skip
            start += WEEK
        return {
            "heading": f"{first:%B %Y}",
            "weeks": weeks,
            "previous": first - ONE_DAY,
            "next": after,
            "weekdays": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"),
        }
