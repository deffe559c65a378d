"""Comparisons with servers and their differences, and executions at liquidity providers."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import CurrentFill, ReconciliationBreak, ReconciliationRun
from platform_ops.outer_permissions import ACCEPT_BREAKS, RECONCILE, VIEW_LIQUIDITY
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.services import reconciliation


class RunSerializer(serializers.ModelSerializer[ReconciliationRun]):
    """A comparison of a server with the books."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    server = code_of("server.code")
    figures = serializers.DictField(read_only=True)

    class Meta:
        model = ReconciliationRun
        fields = [
            "id",
            "server",
            "business_day",
            "state",
            "window_from",
            "window_to",
            "started_at",
            "finished_at",
            "breaks_open",
            "breaks_new",
            "breaks_resolved",
            "figures",
            "problem",
        ]
        read_only_fields = fields


class RunFilter(filters.FilterSet):
    """Of which server and day."""

    server = filters.CharFilter(field_name="server__code")

    class Meta:
        model = ReconciliationRun
        fields = ["state", "business_day"]


class RunViewSet(ScopedReadOnlyViewSet):
    """Comparisons of servers with the books."""

    capability = VIEW_PLATFORM
    queryset = ReconciliationRun.objects.select_related("server")
    serializer_class = RunSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = RunFilter


class BreakSerializer(serializers.ModelSerializer[ReconciliationBreak]):
    """A difference: what each side says, and `amount`, the server less the books, where it is money."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    server = code_of("server.code")
    fields_differing = serializers.ListField(child=serializers.CharField(), read_only=True)
    ours = serializers.DictField(read_only=True)
    theirs = serializers.DictField(read_only=True)

    class Meta:
        model = ReconciliationBreak
        fields = [
            "id",
            "server",
            "kind",
            "state",
            "login",
            "ticket",
            "leg",
            "fields_differing",
            "ours",
            "theirs",
            "amount",
            "currency",
            "cause",
            "explanation",
            "first_seen_at",
            "last_seen_at",
            "times_seen",
            "accepted_at",
            "resolved_at",
        ]
        read_only_fields = fields


class BreakFilter(filters.FilterSet):
    """Of which server, kind and state."""

    server = filters.CharFilter(field_name="server__code")

    class Meta:
        model = ReconciliationBreak
        fields = ["state", "kind", "login"]


class BreakReasonSerializer(StrictSerializer):
    """Why."""

    reason = serializers.CharField(max_length=2000)


class BreakViewSet(ScopedReadOnlyViewSet):
    """Differences between servers and the books."""

    capability = VIEW_PLATFORM
    queryset = ReconciliationBreak.objects.select_related("server")
    serializer_class = BreakSerializer
    page_ordering = ("-id",)
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = BreakFilter

    @use_case(
        capability=ACCEPT_BREAKS,
        input=BreakReasonSerializer,
        output=BreakSerializer,
        route="accept",
        apart=True,
        operation_id="reconciliation_breaks_accept",
        description="Accepts a difference as it stands; it is open again once its figures change.",
    )
    def accept(self, call: Call) -> ReconciliationBreak:
        """The difference, accepted."""
        (found,) = reconciliation.accept_break(break_ids=[call.target.pk], reason=call.data["reason"], actor=call.actor)
        return found

    @use_case(
        capability=RECONCILE,
        input=BreakReasonSerializer,
        output=BreakSerializer,
        route="explain",
        apart=True,
        operation_id="reconciliation_breaks_explain",
        description="Notes what is known about a difference; it stays open.",
    )
    def explain(self, call: Call) -> ReconciliationBreak:
        """The difference with its explanation."""
        return reconciliation.explain_break(break_id=call.target.pk, explanation=call.data["reason"], actor=call.actor)


class FillSerializer(serializers.ModelSerializer[CurrentFill]):
    """An execution at a provider as it stands now. `units` are of the base asset."""

    provider = code_of("provider.code")
    symbol: Any = serializers.CharField(source="symbol.code", read_only=True, allow_null=True, default=None)
    name = serializers.CharField(source="lp_symbol.name", read_only=True)
    side = serializers.CharField(source="get_side_display", read_only=True)

    class Meta:
        model = CurrentFill
        fields = [
            "id",
            "provider",
            "order_id",
            "number",
            "revision",
            "state",
            "client_order_id",
            "exec_id",
            "account",
            "name",
            "symbol",
            "side",
            "quantity",
            "units",
            "price",
            "is_price_derived",
            "currency",
            "executed_at",
            "trade_date",
            "settlement_date",
        ]
        read_only_fields = fields


class FillFilter(filters.FilterSet):
    """Of which provider, symbol and time."""

    provider = filters.CharFilter(field_name="provider__code")
    symbol = filters.CharFilter(field_name="symbol__code")
    executed_from = filters.IsoDateTimeFilter(field_name="executed_at", lookup_expr="gte")
    executed_until = filters.IsoDateTimeFilter(field_name="executed_at", lookup_expr="lt")

    class Meta:
        model = CurrentFill
        fields = ["order_id"]


class FillViewSet(ScopedReadOnlyViewSet):
    """What was really executed at liquidity providers; busted executions are left out."""

    capability = VIEW_LIQUIDITY
    queryset = CurrentFill.objects.select_related("provider", "symbol", "lp_symbol")
    serializer_class = FillSerializer
    page_ordering = ("-id",)
    lookup_value_converter = "int"
    filterset_class = FillFilter


def register() -> None:
    """Puts comparisons and executions on the API."""
    register_router("reconciliations", RunViewSet, "reconciliation")
    register_router("reconciliation-breaks", BreakViewSet, "reconciliation-break")
    register_router("provider-executions", FillViewSet, "provider-execution")
