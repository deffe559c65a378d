"""The business day of a server: seen, run, held and released."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import BusinessDay, BusinessDayStep, TradingServer
from platform_ops.permissions import HOLD_BUSINESS_DAY, RUN_BUSINESS_DAY, VIEW_PLATFORM
from platform_ops.services import business_day


class DayStepSerializer(serializers.ModelSerializer[BusinessDayStep]):
    """One gated step."""

    outcome = serializers.DictField(read_only=True)

    class Meta:
        model = BusinessDayStep
        fields = ["order", "step", "state", "attempts", "outcome", "problem", "started_at", "finished_at"]
        read_only_fields = fields


class DaySerializer(serializers.ModelSerializer[BusinessDay]):
    """A day of a server with its steps."""

    server = code_of("server.code")
    entity = code_of("entity.code")
    steps = DayStepSerializer(many=True, read_only=True)

    class Meta:
        model = BusinessDay
        fields = ["id", "server", "entity", "day", "state", "is_held", "hold_reason", "closed_at", "steps"]
        read_only_fields = fields


class RunDaySerializer(StrictSerializer):
    """Which day of which server."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())
    day = serializers.DateField()


class DayFilter(filters.FilterSet):
    """Which days."""

    server = filters.CharFilter(field_name="server__code")
    day_from = filters.DateFilter(field_name="day", lookup_expr="gte")
    day_until = filters.DateFilter(field_name="day", lookup_expr="lte")

    class Meta:
        model = BusinessDay
        fields = ["state", "is_held", "day"]


class DayViewSet(ScopedReadOnlyViewSet):
    """Business days."""

    capability = VIEW_PLATFORM
    queryset = BusinessDay.objects.select_related("server", "entity").prefetch_related("steps")
    serializer_class = DaySerializer
    lookup_value_converter = "int"
    filterset_class = DayFilter

    @use_case(
        capability=RUN_BUSINESS_DAY,
        input=RunDaySerializer,
        output=DaySerializer,
        apart=True,
        operation_id="business_days_run",
        description="Runs the steps that are due and stops at the first that does not prove. A finished day is left alone.",
    )
    def create(self, call: Call) -> Any:
        """The day as it then is."""
        return business_day.run_business_day(server_id=call.data["server"].pk, day=call.data["day"], actor=call.actor)

    @use_case(
        capability=HOLD_BUSINESS_DAY,
        input=ReasonSerializer,
        output=DaySerializer,
        route="hold",
        apart=True,
        operation_id="business_days_hold",
        description="Stops the day before its next step.",
    )
    def hold(self, call: Call) -> Any:
        """The day, held."""
        return business_day.hold_day(business_day_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=HOLD_BUSINESS_DAY,
        input=ReasonSerializer,
        output=DaySerializer,
        route="release",
        apart=True,
        operation_id="business_days_release",
        description="Lets a held day go on at its next run.",
    )
    def release(self, call: Call) -> Any:
        """The day, released."""
        return business_day.release_day(business_day_id=call.target.pk, actor=call.actor, **call.data)


def register() -> None:
    """Puts business days on the API."""
    register_router("business-days", DayViewSet, "business-day")
