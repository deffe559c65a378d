"""Servers, symbols and the names that servers give them."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import (
    CODE,
    CurrencyField,
    MomentField,
    VisibleField,
    code_of,
    entity_field,
)
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.terms import term_field
from platform_ops.models import (
    ServerSymbol,
    Symbol,
    SymbolGroup,
    TradingServer,
)
from platform_ops.permissions import MANAGE_CATALOGUE, MAP_SYMBOLS, REBUILD_PROJECTIONS, VIEW_PLATFORM
from platform_ops.rules.specifications import TERMS
from platform_ops.services import catalogue, rebuilding, symbols
from platform_ops.services.specifications import read_specification


class ServerSerializer(serializers.ModelSerializer[TradingServer]):
    """A trading server."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")

    class Meta:
        model = TradingServer
        fields = ["id", "code", "name", "entity", "platform", "zone", "created_at"]
        read_only_fields = fields


class NewServerSerializer(StrictSerializer):
    """A server to register; repeating it with the same values changes nothing."""

    entity = entity_field()
    code = serializers.RegexField(r"^[A-Za-z0-9_-]+$", max_length=40)
    name = serializers.CharField(max_length=160)
    platform = serializers.ChoiceField(choices=TradingServer.Platform.choices)
    zone = serializers.CharField(max_length=20, help_text="EET_US, EET_EU, UTC or FIXED+03:00.")


class RebuildSerializer(serializers.Serializer[Any]):
    """What a rebuild had to put right; all zero when nothing was wrong."""

    changed_trades = serializers.IntegerField()
    changed_positions = serializers.IntegerField()
    changed_operations = serializers.IntegerField()


class ServerViewSet(ScopedReadOnlyViewSet):
    """Trading servers of the caller's legal entities."""

    capability = VIEW_PLATFORM
    queryset = TradingServer.objects.select_related("entity")
    serializer_class = ServerSerializer
    lookup_field = "code"
    filterset_fields = {"platform": ["exact"], "code": ["exact"]}

    @use_case(
        capability=MANAGE_CATALOGUE,
        input=NewServerSerializer,
        output=ServerSerializer,
        status=201,
        operation_id="servers_register",
        description="Registers a trading server.",
    )
    def create(self, call: Call) -> TradingServer:
        """The server."""
        given = dict(call.data)
        return catalogue.register_server(entity_id=given.pop("entity").pk, actor=call.actor, **given)

    @use_case(
        capability=REBUILD_PROJECTIONS,
        output=RebuildSerializer,
        route="rebuild",
        apart=True,
        operation_id="servers_rebuild",
        description="Makes trades, positions and balance operations anew from the deals; what is right stays untouched.",
    )
    def rebuild(self, call: Call) -> Any:
        """What was wrong."""
        return rebuilding.rebuild_projections(server_id=call.target.pk, actor=call.actor)


class ServerCodeFilter(filters.FilterSet):
    """Of one server."""

    server = filters.CharFilter(field_name="server__code")


class SymbolSerializer(serializers.ModelSerializer[Symbol]):
    """A canonical symbol."""

    group = code_of("group.code")

    class Meta:
        model = Symbol
        fields = ["code", "name", "asset_class", "group", "base_asset", "profit_currency"]
        read_only_fields = fields


class SpecificationSerializer(StrictSerializer):
    """How a symbol is traded; what is left out has the usual value. Sessions are minutes of each weekday from Sunday."""

    def get_fields(self) -> dict[str, Any]:
        """One field for each term."""
        return {term.name: term_field(term) for term in TERMS}


class NewSymbolSerializer(StrictSerializer):
    """A symbol with its first specification."""

    code = serializers.RegexField(CODE, max_length=32)
    name = serializers.CharField(max_length=120)
    asset_class = serializers.ChoiceField(choices=Symbol.AssetClass.choices)
    group_code = serializers.RegexField(r"^[A-Za-z0-9_-]+$", max_length=40)
    group_name = serializers.CharField(max_length=80)
    base_asset = serializers.CharField(max_length=16)
    profit_currency = CurrencyField()
    specification = SpecificationSerializer()
    valid_from = MomentField()


class SymbolFilter(filters.FilterSet):
    """Which symbols."""

    group = filters.CharFilter(field_name="group__code")

    class Meta:
        model = Symbol
        fields = ["asset_class", "profit_currency"]


class SymbolViewSet(ScopedReadOnlyViewSet):
    """Canonical symbols."""

    capability = VIEW_PLATFORM
    queryset = Symbol.objects.select_related("group")
    serializer_class = SymbolSerializer
    lookup_field = "code"
    filterset_class = SymbolFilter

    @use_case(
        capability=MANAGE_CATALOGUE,
        input=NewSymbolSerializer,
        output=SymbolSerializer,
        status=201,
        operation_id="symbols_register",
        description="Registers a symbol, its group and its first specification.",
    )
    def create(self, call: Call) -> Symbol:
        """The symbol."""
        given = dict(call.data)
        specification = read_specification(given.pop("specification"))
        return catalogue.register_symbol(specification=specification, actor=call.actor, **given)


class SymbolGroupSerializer(serializers.ModelSerializer[SymbolGroup]):
    """A group of symbols, by which commissions are paid."""

    class Meta:
        model = SymbolGroup
        fields = ["code", "name"]
        read_only_fields = fields


class SymbolGroupViewSet(ScopedReadOnlyViewSet):
    """Groups of symbols."""

    capability = VIEW_PLATFORM
    queryset = SymbolGroup.objects.all()
    serializer_class = SymbolGroupSerializer
    lookup_field = "code"


class ServerSymbolSerializer(serializers.ModelSerializer[ServerSymbol]):
    """What a server calls a symbol; `symbol` is null while nobody has said which one it means."""

    server = code_of("server.code")
    symbol = code_of("symbol.code", allow_null=True)

    class Meta:
        model = ServerSymbol
        fields = ["id", "server", "name", "symbol", "mapped_by", "mapped_at", "first_seen_at"]
        read_only_fields = fields


class MapSymbolSerializer(StrictSerializer):
    """Which canonical symbol is meant. A reason is needed to change a mapping that stands."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all())
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class ServerSymbolFilter(ServerCodeFilter):
    """Of one server; mapped or not."""

    is_mapped = filters.BooleanFilter(field_name="symbol", lookup_expr="isnull", exclude=True)


class ServerSymbolViewSet(ScopedReadOnlyViewSet):
    """The names that servers use."""

    capability = VIEW_PLATFORM
    queryset = ServerSymbol.objects.select_related("server", "symbol")
    serializer_class = ServerSymbolSerializer
    lookup_value_converter = "int"
    filterset_class = ServerSymbolFilter

    @use_case(
        capability=MAP_SYMBOLS,
        input=MapSymbolSerializer,
        output=ServerSymbolSerializer,
        route="map",
        apart=True,
        operation_id="server_symbols_map",
        description="Says which canonical symbol a server's name means.",
    )
    def map(self, call: Call) -> ServerSymbol:
        """The name with its symbol."""
        return symbols.map_server_symbol(
            server_symbol_id=call.target.pk,
            symbol_id=call.data["symbol"].pk,
            actor=call.actor,
            reason=call.data["reason"],
        )


def register() -> None:
    """Puts the catalogue on the API."""
    register_router("servers", ServerViewSet, "server")
    register_router("symbols", SymbolViewSet, "symbol")
    register_router("symbol-groups", SymbolGroupViewSet, "symbol-group")
    register_router("server-symbols", ServerSymbolViewSet, "server-symbol")
