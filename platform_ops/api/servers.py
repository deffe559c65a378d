"""How the trading servers are followed: their states and their gaps. Set up on the desk only: passwords go no other way."""

from __future__ import annotations

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import ScopedReadOnlyViewSet
from platform_ops.models import ServerSync, SyncGap
from platform_ops.permissions import VIEW_PLATFORM


class ServerHealthSerializer(serializers.ModelSerializer[ServerSync]):
    """Where following a server stands. `cursor_at`: everything before it was read."""

    server = code_of("server.code")

    class Meta:
        model = ServerSync
        fields = [
            "id",
            "server",
            "state",
            "state_since",
            "cursor_at",
            "last_deal_at",
            "last_success_at",
            "lag_seconds",
            "heartbeat_at",
            "clock_offset_seconds",
            "failures",
            "next_try_at",
            "message",
            "deals",
        ]
        read_only_fields = fields


class SyncGapSerializer(serializers.ModelSerializer[SyncGap]):
    """A stretch that was not followed; `filled_at` is empty while it is not read again to its end."""

    server = code_of("server.code")

    class Meta:
        model = SyncGap
        fields = ["id", "server", "from_at", "to_at", "filled_to", "cause", "found_at", "filled_at", "deals"]
        read_only_fields = fields


class ServerHealthFilter(filters.FilterSet):
    """Which servers."""

    server = filters.CharFilter(field_name="server__code")

    class Meta:
        model = ServerSync
        fields = ["state"]


class SyncGapFilter(filters.FilterSet):
    """Which gaps."""

    server = filters.CharFilter(field_name="server__code")
    is_open = filters.BooleanFilter(field_name="filled_at", lookup_expr="isnull")

    class Meta:
        model = SyncGap
        fields: list[str] = []


class ServerHealthViewSet(ScopedReadOnlyViewSet):
    """Followed servers."""

    capability = VIEW_PLATFORM
    queryset = ServerSync.objects.select_related("server")
    serializer_class = ServerHealthSerializer
    lookup_value_converter = "int"
    filterset_class = ServerHealthFilter


class SyncGapViewSet(ScopedReadOnlyViewSet):
    """Gaps."""

    capability = VIEW_PLATFORM
    queryset = SyncGap.objects.select_related("server")
    serializer_class = SyncGapSerializer
    lookup_value_converter = "int"
    filterset_class = SyncGapFilter


def register() -> None:
    """Puts server health on the API."""
    register_router("server-health", ServerHealthViewSet, "server-health")
    register_router("sync-gaps", SyncGapViewSet, "sync-gap")
