"""Where servers drift from approved symbols, what servers state of them, and what groups trade by terms of their own."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backoffice.ui.api_fields import MomentField, ValiditySerializer, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.shared import SUBMIT_HELP, DraftedChangeSerializer
from platform_ops.api.terms import term_field
from platform_ops.models import AccountGroup, GroupSymbolOverride, ServerSymbolTerms, Symbol, SymbolDrift, TradingServer
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.rules.specifications import BY_NAME, GROUP_FIELDS
from platform_ops.services import symbol_drift, symbol_overrides


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


class LookAtServerSerializer(StrictSerializer):
    """Which server is asked."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())


class LookedAtSerializer(serializers.Serializer[Any]):
    """How many symbols the server has, how many cannot be traded by, how many drift."""

    symbols = serializers.IntegerField()
    refused = serializers.IntegerField()
    drifting = serializers.IntegerField()


class SymbolDriftViewSet(ScopedReadOnlyViewSet):
    """What drifts, was accepted or is gone."""

    capability = VIEW_PLATFORM
    queryset = SymbolDrift.objects.select_related("server_symbol__server", "server_symbol__symbol")
    serializer_class = SymbolDriftSerializer
    lookup_value_converter = "int"
    filterset_class = SymbolDriftFilter

    @use_case(
        capability=MANAGE_CATALOGUE, input=LookAtServerSerializer, output=LookedAtSerializer, apart=True,
        operation_id="symbol_drifts_look",
        description="Asks a server for its symbols and compares them with what is approved. Asking again is harmless.",
    )  # fmt: skip
    def create(self, call: Call) -> dict[str, int]:
        """What was found."""
        return symbol_drift.look_at_server(server_id=call.data["server"].pk, actor=call.actor)

    @use_case(
        capability=MANAGE_CATALOGUE, input=ReasonSerializer, output=SymbolDriftSerializer, route="accept",
        operation_id="symbol_drifts_accept",
        description="Lets a difference stand; it opens anew when the server states something else again.",
    )  # fmt: skip
    def accept(self, call: Call) -> SymbolDrift:
        """The difference, accepted."""
        return symbol_drift.accept_drift(drift_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=MANAGE_CATALOGUE, input=ReasonSerializer, output=DraftedChangeSerializer, status=201, route="repair",
        operation_id="symbol_drifts_repair",
        description=(
            "Asks to put the server right in all that drifts openly of this symbol. Once another person approved it, the "
            "server is told and looked at again."
        ),
    )  # fmt: skip
    def repair(self, call: Call) -> Any:
        """The change request."""
        return symbol_drift.request_repair(server_symbol_id=call.target.server_symbol_id, actor=call.actor, **call.data)

    @use_case(
        capability=MANAGE_CATALOGUE, input=ReasonSerializer, output=DraftedChangeSerializer, status=201, route="adopt",
        operation_id="symbol_drifts_adopt",
        description="Asks to let the approved specification follow what the server states of this symbol.",
    )  # fmt: skip
    def adopt(self, call: Call) -> Any:
        """The change request."""
        return symbol_drift.request_adoption(
            server_symbol_id=call.target.server_symbol_id, actor=call.actor, **call.data
        )


class ServerTermsSerializer(serializers.ModelSerializer[ServerSymbolTerms]):
    """What a server said of a symbol when it was last asked; `problem`: why nothing can be traded by it."""

    id = serializers.IntegerField(source="pk", read_only=True)
    server = code_of("server_symbol.server.code")
    name = code_of("server_symbol.name")
    symbol = code_of("server_symbol.symbol.code", allow_null=True)
    terms = serializers.DictField(read_only=True)

    class Meta:
        model = ServerSymbolTerms
        fields = ["id", "server", "name", "symbol", "terms", "problem", "description", "path", "seen_at"]
        read_only_fields = fields


class ServerTermsFilter(filters.FilterSet):
    """Of which server and symbol: with `symbol` alone, servers side by side."""

    server = filters.CharFilter(field_name="server_symbol__server__code")
    symbol = filters.CharFilter(field_name="server_symbol__symbol__code")

    class Meta:
        model = ServerSymbolTerms
        fields: list[str] = []


class ServerTermsViewSet(ScopedReadOnlyViewSet):
    """What servers state of their symbols."""

    capability = VIEW_PLATFORM
    queryset = ServerSymbolTerms.objects.select_related("server_symbol__server", "server_symbol__symbol")
    serializer_class = ServerTermsSerializer
    page_ordering = ("-pk",)
    lookup_value_converter = "int"
    filterset_class = ServerTermsFilter


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


class OwnTermsSerializer(StrictSerializer):
    """What a group trades a symbol by; what is left out or null is as the symbol has it."""

    def get_fields(self) -> dict[str, Any]:
        """One field for each term that a group can have of its own."""
        found = {name: term_field(BY_NAME[name], is_override=True) for name in GROUP_FIELDS}
        for name, field in found.items():
            field.required = False
            assert field.allow_null, name
        return found


class GroupTermsRequestSerializer(StrictSerializer):
    """Terms of a group from a moment on; none: the group has no terms of its own any more."""

    group = VisibleField(slug_field="id", queryset=AccountGroup.objects.all())
    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all())
    terms = OwnTermsSerializer()
    valid_from = MomentField()
    reason = serializers.CharField(max_length=500)
    submit = serializers.BooleanField(default=True, help_text=SUBMIT_HELP)


class GroupTermsViewSet(ScopedReadOnlyViewSet):
    """Terms that groups have of their own, past and planned ones too."""

    capability = VIEW_PLATFORM
    queryset = GroupSymbolOverride.objects.select_related("group__server", "symbol")
    serializer_class = GroupTermsSerializer
    lookup_value_converter = "int"
    filterset_class = GroupTermsFilter

    @use_case(
        capability=MANAGE_CATALOGUE, input=GroupTermsRequestSerializer, output=DraftedChangeSerializer, status=201,
        operation_id="group_symbol_terms_request",
        description="Asks for a group's own terms of a symbol; another person approves them, after a look at open positions.",
    )  # fmt: skip
    def create(self, call: Call) -> Any:
        """The change request."""
        given = dict(call.data)
        return symbol_overrides.request_override(
            group_id=given.pop("group").pk, symbol_id=given.pop("symbol").pk, actor=call.actor, **given
        )


def register() -> None:
    """Puts them on the API."""
    register_router("symbol-drifts", SymbolDriftViewSet, "symbol-drift")
    register_router("server-symbol-terms", ServerTermsViewSet, "server-symbol-terms")
    register_router("group-symbol-terms", GroupTermsViewSet, "group-symbol-terms")
