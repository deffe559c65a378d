"""Hours of symbols over HTTP: calendars of holidays and their days, and whether and when a symbol is open."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.api_fields import MomentField, VisibleField, code_of
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import Holiday, MarketCalendar, Symbol, SymbolGroup
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.rules.sessions import MINUTES_OF_DAY
from platform_ops.selectors import sessions as hours
from platform_ops.services import sessions

LONGEST_SPAN = timedelta(days=31)


class CalendarSerializer(serializers.ModelSerializer[MarketCalendar]):
    """A market's holidays, on its own clock, and which symbols keep them."""

    groups: Any = serializers.SlugRelatedField(slug_field="code", many=True, read_only=True)
    symbols: Any = serializers.SlugRelatedField(slug_field="code", many=True, read_only=True)

    class Meta:
        model = MarketCalendar
        fields = ["code", "name", "zone", "groups", "symbols"]
        read_only_fields = fields


class KeptCalendarSerializer(StrictSerializer):
    """A calendar as it is to be; who is not named keeps it no more. Its days stay as they are."""

    code = serializers.SlugField(max_length=40)
    name = serializers.CharField(max_length=120)
    zone = serializers.CharField(max_length=64, help_text="Of the tz database, such as America/New_York.")
    groups = serializers.ListField(
        child=VisibleField(slug_field="code", queryset=SymbolGroup.objects.all()), max_length=500, default=list
    )
    symbols = serializers.ListField(
        child=VisibleField(slug_field="code", queryset=Symbol.objects.all()), max_length=2_000, default=list
    )


class HolidayDraftSerializer(StrictSerializer):
    """A day; without minutes it is closed all day, with both it is open between them."""

    day = serializers.DateField()
    name = serializers.CharField(max_length=120)
    opens_minute = serializers.IntegerField(
        min_value=0, max_value=MINUTES_OF_DAY, required=False, allow_null=True, default=None
    )
    closes_minute = serializers.IntegerField(
        min_value=0, max_value=MINUTES_OF_DAY, required=False, allow_null=True, default=None
    )


class HolidaysSerializer(StrictSerializer):
    """Days to add or change; others stay as they are."""

    holidays = serializers.ListField(child=HolidayDraftSerializer(), min_length=1, max_length=sessions.MAX_HOLIDAYS)


class ChangedDaysSerializer(serializers.Serializer[Any]):
    """How many days were added or changed."""

    changed = serializers.IntegerField()


class CalendarViewSet(ScopedReadOnlyViewSet):
    """Calendars of holidays."""

    capability = VIEW_PLATFORM
    queryset = MarketCalendar.objects.prefetch_related("groups", "symbols")
    serializer_class = CalendarSerializer
    lookup_field = "code"

    @use_case(
        capability=MANAGE_CATALOGUE, input=KeptCalendarSerializer, output=CalendarSerializer, status=201,
        operation_id="market_calendars_keep", description="Makes a calendar, or brings the one of this code to these terms.",
    )  # fmt: skip
    def create(self, call: Call) -> MarketCalendar:
        """The calendar."""
        given = dict(call.data)
        return sessions.keep_calendar(
            group_codes=[group.code for group in given.pop("groups")],
            symbol_codes=[symbol.code for symbol in given.pop("symbols")],
            actor=call.actor,
            **given,
        )

    @use_case(
        capability=MANAGE_CATALOGUE, input=HolidaysSerializer, output=ChangedDaysSerializer, route="set-holidays",
        operation_id="market_calendars_set_holidays", description="Adds days, and changes those that stand otherwise.",
    )  # fmt: skip
    def set_holidays(self, call: Call) -> dict[str, int]:
        """How many changed."""
        drafts = [sessions.HolidayDraft(**day) for day in call.data["holidays"]]
        return {"changed": sessions.set_holidays(calendar_id=call.target.pk, holidays=drafts, actor=call.actor)}


class HolidaySerializer(serializers.ModelSerializer[Holiday]):
    """A day on which a market is closed, or open between two minutes of its local day."""

    calendar = code_of("calendar.code")
    zone = code_of("calendar.zone")

    class Meta:
        model = Holiday
        fields = ["id", "calendar", "zone", "day", "name", "opens_minute", "closes_minute"]
        read_only_fields = fields


class HolidayFilter(filters.FilterSet):
    """Of which calendar and days."""

    calendar = filters.CharFilter(field_name="calendar__code")
    day_from = filters.DateFilter(field_name="day", lookup_expr="gte")
    day_until = filters.DateFilter(field_name="day", lookup_expr="lte")


class HolidayViewSet(ScopedReadOnlyViewSet):
    """Holidays of all calendars."""

    capability = VIEW_PLATFORM
    queryset = Holiday.objects.select_related("calendar")
    serializer_class = HolidaySerializer
    lookup_value_converter = "int"
    filterset_class = HolidayFilter

    @use_case(
        capability=MANAGE_CATALOGUE, input=ReasonSerializer, route="remove", operation_id="holidays_remove",
        description="Takes a day off its calendar.",
    )  # fmt: skip
    def remove(self, call: Call) -> None:
        """Nothing is answered."""
        sessions.remove_holiday(holiday_id=call.target.pk, actor=call.actor, **call.data)


class HoursQuerySerializer(StrictSerializer):
    """Of which symbol, at which moment, and until when its open times are listed."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all(), help_text="Code of a symbol of the house.")
    at = MomentField(required=False, help_text="Default: now.")
    until = MomentField(required=False, help_text="At most 31 days later; default: a week later.")


class OpenTimeSerializer(serializers.Serializer[Any]):
    """Open from one moment to another, in UTC."""

    opens_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField(allow_null=True)


class HoursSerializer(serializers.Serializer[Any]):
    """Whether a symbol is open by its approved sessions less its holidays; null: no change within a year."""

    symbol = serializers.CharField()
    at = serializers.DateTimeField()
    is_open = serializers.BooleanField()
    next_open = serializers.DateTimeField(allow_null=True, help_text="`at` itself while it is open.")
    next_close = serializers.DateTimeField(allow_null=True, help_text="`at` itself while it is closed.")
    open_times = OpenTimeSerializer(many=True)


class SymbolHoursView(ApiView):
    """GET: whether and when a symbol is open. 404 without a specification at that time."""

    capability = VIEW_PLATFORM
    query = HoursQuerySerializer

    @extend_schema(operation_id="symbol_hours", responses=HoursSerializer)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """See the class."""
        wanted = self.parameters()
        symbol = wanted["symbol"]
        try:
            at = (wanted.get("at") or clock.now()).astimezone(UTC)
            until = (wanted.get("until") or at + timedelta(days=7)).astimezone(UTC)
            if not timedelta(0) < until - at <= LONGEST_SPAN:
                raise InvalidInput("The time ends after it begins, at most 31 days later.", field="until")
            is_open, change = hours.next_change(symbol_id=symbol.pk, at=at)
            spans = hours.open_spans(symbol_id=symbol.pk, start=at, end=until)
        except OverflowError:
            raise InvalidInput("No calendar reaches that far.", field="at") from None
        found = {
            "symbol": symbol.code,
            "at": at,
            "is_open": is_open,
            "next_open": at if is_open else change,
            "next_close": change if is_open else at,
            "open_times": [{"opens_at": span.start, "closes_at": span.end} for span in spans],
        }
        return Response(HoursSerializer(found).data)


def register() -> None:
    """Puts hours on the API."""
    register_router("market-calendars", CalendarViewSet, "market-calendar")
    register_router("holidays", HolidayViewSet, "holiday")
    register_endpoint("symbol-hours/", SymbolHoursView, "symbol-hours")
