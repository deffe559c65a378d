"""Execution quality over HTTP: the orders, and the board's figures."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.actors import actor_of
from backoffice.ui.api_fields import code_of
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, ScopedReadOnlyViewSet, StrictSerializer
from platform_ops.models import OrderExecution
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.selectors.execution import (
    GROUPINGS,
    ExecutionFilter,
    execution_rows,
    execution_totals,
    reject_reasons,
    slippage_distribution,
)


class OrderExecutionSerializer(serializers.ModelSerializer[OrderExecution]):
    """An ended order. Slippage is points in the client's favour."""

    server = code_of("server.code")
    login = serializers.CharField(source="account.login", read_only=True)
    side = serializers.CharField(source="get_side_display", read_only=True)
    state = serializers.CharField(source="get_state_display", read_only=True)
    reason = serializers.CharField(source="get_reason_display", read_only=True, allow_null=True)

    class Meta:
        model = OrderExecution
        fields = [
            "id", "server", "order_ticket", "login", "symbol", "type", "side", "state", "reason", "volume_lots",
            "filled_lots", "requested_price", "filled_price", "slippage_points", "fill_milliseconds", "requotes",
            "reject_reason", "placed_at", "done_at",
        ]  # fmt: skip
        read_only_fields = fields


class OrderExecutionFilter(filters.FilterSet):
    """Which orders."""

    server = filters.CharFilter(field_name="server__code")
    login = filters.CharFilter(field_name="account__login")
    done_from = filters.IsoDateTimeFilter(field_name="done_at", lookup_expr="gte")
    done_until = filters.IsoDateTimeFilter(field_name="done_at", lookup_expr="lt")

    class Meta:
        model = OrderExecution
        fields = ["symbol"]


class OrderExecutionViewSet(ScopedReadOnlyViewSet):
    """Ended orders."""

    capability = VIEW_PLATFORM
    queryset = OrderExecution.objects.select_related("server", "account")
    serializer_class = OrderExecutionSerializer
    lookup_value_converter = "int"
    filterset_class = OrderExecutionFilter


class QualityQuerySerializer(StrictSerializer):
    """Which orders, and by what."""

    group_by = serializers.CharField(
        required=False, max_length=20, default="server", help_text=f"One of {', '.join(GROUPINGS)}."
    )
    start = serializers.DateTimeField(required=False, help_text="Default: seven days before the end.")
    end = serializers.DateTimeField(required=False, help_text="Not included; default: now.")
    server = serializers.CharField(required=False, max_length=40, help_text="Code of a trading server.")
    symbol = serializers.CharField(required=False, max_length=40, help_text="Code of a symbol of the house.")


class QualityRowSerializer(serializers.Serializer[Any]):
    """Times in milliseconds, slippage in points in the client's favour, shares per cent."""

    key = serializers.CharField()
    orders = serializers.IntegerField()
    filled = serializers.IntegerField()
    lots = serializers.DecimalField(max_digits=20, decimal_places=8)
    fill_p50 = serializers.IntegerField(allow_null=True)
    fill_p95 = serializers.IntegerField(allow_null=True)
    fill_p99 = serializers.IntegerField(allow_null=True)
    slippage_average = serializers.DecimalField(max_digits=16, decimal_places=2, allow_null=True)
    slippage_worst = serializers.DecimalField(
        max_digits=16, decimal_places=1, allow_null=True, help_text="One fill in twenty was no better than this."
    )
    better = serializers.IntegerField()
    exact = serializers.IntegerField()
    worse = serializers.IntegerField()
    asymmetry = serializers.DecimalField(
        max_digits=6, decimal_places=2, allow_null=True, help_text="Better less worse, of those that moved, per cent."
    )
    rejected = serializers.IntegerField()
    requotes = serializers.IntegerField()
    reject_percent = serializers.DecimalField(max_digits=6, decimal_places=2)
    requote_percent = serializers.DecimalField(max_digits=6, decimal_places=2)


class CountedSerializer(serializers.Serializer[Any]):
    """A name with a count."""

    name = serializers.CharField()
    orders = serializers.IntegerField()


class QualitySerializer(serializers.Serializer[Any]):
    """The board."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    group_by = serializers.CharField()
    total = QualityRowSerializer()
    rows = QualityRowSerializer(many=True)
    slippage = CountedSerializer(many=True, help_text="Fills by slippage in points, from the worst for the client.")
    reject_reasons = CountedSerializer(many=True)


class ExecutionQualityView(ApiView):
    """GET: fill time, slippage, rejects and requotes of clients' orders."""

    capability = VIEW_PLATFORM
    query = QualityQuerySerializer

    @extend_schema(operation_id="execution_quality", responses=QualitySerializer)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """See the class. 400 for a time that runs backwards or is longer than a quarter."""
        wanted = self.parameters()
        start: datetime | None = wanted.get("start")
        chosen = ExecutionFilter.of(
            start=start,
            end=wanted.get("end"),
            server_code=wanted.get("server", ""),
            symbol_code=wanted.get("symbol", ""),
        )
        actor, group_by = actor_of(request), wanted.get("group_by", "server")
        document = {
            "start": chosen.start,
            "end": chosen.end,
            "group_by": group_by,
            "total": asdict(execution_totals(actor=actor, filters=chosen)),
            "rows": [asdict(row) for row in execution_rows(actor=actor, filters=chosen, group_by=group_by)],
            "slippage": _counted(slippage_distribution(actor=actor, filters=chosen)),
            "reject_reasons": _counted(reject_reasons(actor=actor, filters=chosen)),
        }
        return Response(QualitySerializer(document).data)


def _counted(pairs: list[tuple[str, int]]) -> list[dict[str, Any]]:
    return [{"name": name, "orders": orders} for name, orders in pairs]


def register() -> None:
    """Puts execution quality on the API."""
    register_router("order-executions", OrderExecutionViewSet, "order-execution")
    register_endpoint("execution-quality/", ExecutionQualityView, "execution-quality")
