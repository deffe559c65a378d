"""Comparisons of servers with the books, and their differences."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import MomentField, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import ReconciliationBreak, ReconciliationRun, TradingServer
from platform_ops.outer_permissions import ACCEPT_BREAKS, RECONCILE
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


class RunRequestSerializer(StrictSerializer):
    """Which server, and from when its deals are compared."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())
    from_time = MomentField(required=False, allow_null=True, default=None, help_text="Null: of the last three days.")


class RequestedRunSerializer(serializers.Serializer[Any]):
    """A comparison that was asked for."""

    server = serializers.CharField()
    is_queued = serializers.BooleanField()


class RunViewSet(ScopedReadOnlyViewSet):
    """Comparisons of servers with the books."""

    capability = VIEW_PLATFORM
    queryset = ReconciliationRun.objects.select_related("server")
    serializer_class = RunSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = RunFilter

    @use_case(
        capability=RECONCILE, input=RunRequestSerializer, output=RequestedRunSerializer, status=202,
        operation_id="reconciliations_request",
        description="Has a server compared as soon as a worker is free; the run then stands in the list.",
    )  # fmt: skip
    def create(self, call: Call) -> dict[str, Any]:
        """That it is queued."""
        server = call.data["server"]
        reconciliation.request_reconciliation(server_id=server.pk, from_time=call.data["from_time"], actor=call.actor)
        return {"server": server.code, "is_queued": True}


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

    @use_case(
        capability=ACCEPT_BREAKS,
        input=BreakReasonSerializer,
        output=BreakSerializer,
        route="reopen",
        apart=True,
        operation_id="reconciliation_breaks_reopen",
        description="Takes an acceptance back.",
    )
    def reopen(self, call: Call) -> ReconciliationBreak:
        """The difference, open."""
        return reconciliation.reopen_break(break_id=call.target.pk, reason=call.data["reason"], actor=call.actor)


def register() -> None:
    """Puts comparisons on the API."""
    register_router("reconciliations", RunViewSet, "reconciliation")
    register_router("reconciliation-breaks", BreakViewSet, "reconciliation-break")
