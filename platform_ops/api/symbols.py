"""Where servers drift from approved symbols, what groups trade by terms of their own, and holidays."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backoffice.ui.api_fields import ValiditySerializer, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import ScopedReadOnlyViewSet
from platform_ops.models import GroupSymbolOverride, Holiday, SymbolDrift
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.specifications import GROUP_FIELDS


class SymbolDriftSerializer(serializers.ModelSerializer[SymbolDrift]):
    """A field of a symbol that a server states otherwise than approved."""

    server = code_of("server_symbol.server.code")
    name = code_of("server_symbol.name")
    symbol = code_of("server_symbol.symbol.code", allow_null=True)
    state = serializers.CharField(read_only=True)

    class Meta:
        model = SymbolDrift
        fields = [
            "id", "server", "name", "symbol", "field", "approved", "stated", "state", "reason", "first_seen_at",
            "last_seen_at", "settled_at",
        ]  # fmt: skip
        read_only_fields = fields


class SymbolDriftFilter(filters.FilterSet):
    """Of which server, symbol and state."""

    server = filters.CharFilter(field_name="server_symbol__server__code")
    symbol = filters.CharFilter(field_name="server_symbol__symbol__code")
    state = filters.ChoiceFilter(choices=SymbolDrift.State.choices)


class SymbolDriftViewSet(ScopedReadOnlyViewSet):
    """What drifts, was accepted or is gone."""

    capability = VIEW_PLATFORM
    queryset = SymbolDrift.objects.select_related("server_symbol__server", "server_symbol__symbol")
    serializer_class = SymbolDriftSerializer
    lookup_value_converter = "int"
    filterset_class = SymbolDriftFilter


class GroupTermsSerializer(serializers.ModelSerializer[GroupSymbolOverride]):
    """A group's own terms of a symbol; null: as the symbol has them."""

    server = code_of("group.server.code")
    group = code_of("group.name")
    symbol = code_of("symbol.code")
    validity = serializers.SerializerMethodField()

    class Meta:
        model = GroupSymbolOverride
        fields = ["id", "server", "group", "symbol", "validity", *GROUP_FIELDS]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, row: GroupSymbolOverride) -> Any:
        """From when to when they hold."""
        return ValiditySerializer().to_representation(row.validity)


class GroupTermsFilter(filters.FilterSet):
    """Of which server and symbol."""

    server = filters.CharFilter(field_name="group__server__code")
    symbol = filters.CharFilter(field_name="symbol__code")


class GroupTermsViewSet(ScopedReadOnlyViewSet):
    """Terms that groups have of their own, past and planned ones too."""

    capability = VIEW_PLATFORM
    queryset = GroupSymbolOverride.objects.select_related("group__server", "symbol")
    serializer_class = GroupTermsSerializer
    lookup_value_converter = "int"
    filterset_class = GroupTermsFilter


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


def register() -> None:
    """Puts them on the API."""
    register_router("symbol-drifts", SymbolDriftViewSet, "symbol-drift")
    register_router("group-symbol-terms", GroupTermsViewSet, "group-symbol-terms")
    register_router("holidays", HolidayViewSet, "holiday")
