"""Live drop copies over HTTP: where the session with each provider stands, what was said in it, its numbers."""

from __future__ import annotations

from typing import ClassVar

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import DropCopyMessage, DropCopySession
from platform_ops.outer_permissions import VIEW_LIQUIDITY
from platform_ops.permissions import MANAGE_CONNECTIONS
from platform_ops.services.liquidity.drop_copies import MAX_NUMBER, set_drop_copy_numbers


class DropCopySessionSerializer(serializers.ModelSerializer[DropCopySession]):
    """A FIX session. `next_in`: the number expected next; `next_out`: of our next message; `gap_to`: missing up to it."""

    provider = code_of("provider.code")
    server = code_of("server.code")

    class Meta:
        model = DropCopySession
        fields: ClassVar[list[str]] = [
            "id", "provider", "server", "sender_comp_id", "target_comp_id", "state", "state_since", "next_in", "next_out",
            "gap_to", "logged_on_at", "last_received_at", "last_execution_at", "messages", "fills", "fetched", "gaps",
            "garbled", "unreadable", "rejects", "resets", "note", "updated_at",
        ]  # fmt: skip
        read_only_fields = fields


class NumbersSerializer(StrictSerializer):
    """Sequence numbers agreed on with the provider, and those that were seen; 409 where the session went on since."""

    next_in = serializers.IntegerField(min_value=1, max_value=MAX_NUMBER)
    next_out = serializers.IntegerField(min_value=1, max_value=MAX_NUMBER)
    known_next_in = serializers.IntegerField(min_value=1, max_value=MAX_NUMBER)
    known_next_out = serializers.IntegerField(min_value=1, max_value=MAX_NUMBER)
    reason = serializers.CharField(max_length=400)


class DropCopySessionViewSet(ScopedReadOnlyViewSet):
    """Live drop copies."""

    capability = VIEW_LIQUIDITY
    queryset = DropCopySession.objects.select_related("provider", "server")
    serializer_class = DropCopySessionSerializer
    lookup_field = "provider__code"
    lookup_url_kwarg = "provider"
    lookup_value_converter = "str"
    filterset_fields = ("state",)

    @use_case(
        capability=MANAGE_CONNECTIONS, input=NumbersSerializer, output=DropCopySessionSerializer, route="set-numbers",
        operation_id="drop_copies_set_numbers",
        description="Sets the sequence numbers; the session begins anew with them. 409 numbers_moved where it went on.",
    )  # fmt: skip
    def set_numbers(self, call: Call) -> DropCopySession:
        """The session with its numbers."""
        given = dict(call.data)
        known = (given.pop("known_next_in"), given.pop("known_next_out"))
        return set_drop_copy_numbers(session_id=call.target.pk, known=known, actor=call.actor, **given)


class DropCopyMessageSerializer(serializers.ModelSerializer[DropCopyMessage]):
    """A message as it went over the wire, with | between its fields; passwords and names of persons are blanked."""

    provider = code_of("provider.code")

    class Meta:
        model = DropCopyMessage
        fields: ClassVar[list[str]] = [
            "id", "provider", "is_incoming", "kind", "sequence", "is_repeat", "order_id", "client_order_id", "exec_id",
            "symbol", "text", "at",
        ]  # fmt: skip
        read_only_fields = fields


class DropCopyMessageFilter(filters.FilterSet):
    """Of which provider, order and time."""

    provider = filters.CharFilter(field_name="provider__code")
    since = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = DropCopyMessage
        fields: ClassVar[list[str]] = ["kind", "is_incoming", "order_id", "client_order_id", "exec_id"]


class DropCopyMessageViewSet(ScopedReadOnlyViewSet):
    """What was said in the sessions, as long as the log is kept."""

    capability = VIEW_LIQUIDITY
    queryset = DropCopyMessage.objects.select_related("provider")
    serializer_class = DropCopyMessageSerializer
    lookup_value_converter = "int"
    filterset_class = DropCopyMessageFilter


def register() -> None:
    """Puts live drop copies on the API."""
    register_router("drop-copies", DropCopySessionViewSet, "drop-copy")
    register_router("drop-copy-messages", DropCopyMessageViewSet, "drop-copy-message")
