"""Liquidity providers over HTTP: who they are, what they call things, their messages in, and what they executed."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.kernel.errors import InvalidInput
from backoffice.ui.api_fields import VisibleField, code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.shared import TakesFiles
from platform_ops.models import CurrentFill, LiquidityMessage, LiquidityProvider, LiquiditySymbol, Symbol
from platform_ops.outer_permissions import MANAGE_LIQUIDITY, VIEW_LIQUIDITY
from platform_ops.services import liquidity

MAX_LOG_BYTES = 30 * 2**20
SMALLEST_UNIT = Decimal("0.00000001")


class UnitsField(serializers.DecimalField):
    """What one of a provider's quantities is worth in units of the base asset."""

    def __init__(self, **options: Any) -> None:
        bounds: dict[str, Any] = {
            "max_digits": 20,
            "decimal_places": 8,
            "min_value": SMALLEST_UNIT,
            "max_value": Decimal(10) ** 9,
        }
        super().__init__(**(bounds | options))


class ProviderSerializer(serializers.ModelSerializer[LiquidityProvider]):
    """A liquidity provider; `comp_id` is as which it sends (tag 49)."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")

    class Meta:
        model = LiquidityProvider
        fields = ["id", "entity", "code", "name", "comp_id", "units_per_quantity", "is_active", "created_at"]
        read_only_fields = fields


class ProviderTermsSerializer(StrictSerializer):
    """What can be changed of a provider."""

    name = serializers.CharField(max_length=160)
    comp_id = serializers.CharField(max_length=64)
    units_per_quantity = UnitsField(default=Decimal(1), help_text="10 000 where it counts contracts of so much.")
    is_active = serializers.BooleanField(default=True)


class NewProviderSerializer(ProviderTermsSerializer):
    """A provider."""

    entity = entity_field()
    code = serializers.SlugField(max_length=40)


class FixLogSerializer(StrictSerializer):
    """A log."""

    log = serializers.FileField(max_length=255, help_text="A session log or capture, FIX 4.4, at most 30 MB.")


class FileIntakeSerializer(serializers.Serializer[liquidity.FileIntake]):
    """What came of a log: messages, those that are new, what they changed; `problems` names the first unreadable ones."""

    messages = serializers.IntegerField()
    new = serializers.IntegerField()
    repeated = serializers.IntegerField()
    fills = serializers.IntegerField()
    corrected = serializers.IntegerField()
    busted = serializers.IntegerField()
    refused = serializers.IntegerField()
    problems = serializers.ListField(child=serializers.CharField())


class ProviderViewSet(TakesFiles, ScopedReadOnlyViewSet):
    """Liquidity providers."""

    capability = VIEW_LIQUIDITY
    queryset = LiquidityProvider.objects.select_related("entity")
    serializer_class = ProviderSerializer
    lookup_field = "code"
    filterset_fields = ("is_active",)
    file_actions: ClassVar[frozenset[str]] = frozenset({"take_log"})

    @use_case(
        capability=MANAGE_LIQUIDITY, input=NewProviderSerializer, output=ProviderSerializer, status=201,
        operation_id="liquidity_providers_add", description="Adds a provider; 409 provider_taken for a code or sender twice.",
    )  # fmt: skip
    def create(self, call: Call) -> LiquidityProvider:
        """The provider."""
        given = dict(call.data)
        return liquidity.save_provider(entity_id=given.pop("entity").pk, actor=call.actor, **given)

    @use_case(
        capability=MANAGE_LIQUIDITY, input=ProviderTermsSerializer, output=ProviderSerializer, route="replace",
        operation_id="liquidity_providers_replace",
        description="Brings a provider to these terms; its units stay once something was executed (409 units_in_use).",
    )  # fmt: skip
    def replace(self, call: Call) -> LiquidityProvider:
        """The provider as it is now."""
        standing: LiquidityProvider = call.target
        return liquidity.save_provider(
            provider_id=standing.pk, code=standing.code, entity_id=standing.entity_id, actor=call.actor, **call.data
        )

    @use_case(
        capability=MANAGE_LIQUIDITY, input=FixLogSerializer, output=FileIntakeSerializer, route="take-log", apart=True,
        operation_id="liquidity_providers_take_log",
        description="Takes in a FIX log. A message counts once, however often and in whichever log it comes.",
    )  # fmt: skip
    def take_log(self, call: Call) -> liquidity.FileIntake:
        """What came of it."""
        log = call.data["log"]
        if log.size > MAX_LOG_BYTES:
            raise InvalidInput(f"The log is larger than {MAX_LOG_BYTES // 2**20} MB.", field="log")
        return liquidity.import_fix_log(
            provider_id=call.target.pk, data=log.read(), file_name=log.name, actor=call.actor
        )


class ProviderSymbolSerializer(serializers.ModelSerializer[LiquiditySymbol]):
    """What a provider calls an instrument; symbol null: nobody has said what it means."""

    provider = code_of("provider.code")
    symbol = code_of("symbol.code", allow_null=True, default=None)

    class Meta:
        model = LiquiditySymbol
        fields = ["id", "provider", "name", "id_source", "symbol", "units_per_quantity", "first_seen_at"]
        read_only_fields = fields


class MapNameSerializer(StrictSerializer):
    """What a name means; units null: as the provider counts everywhere."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all(), allow_null=True)
    units_per_quantity = UnitsField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=400)


class ProviderSymbolFilter(filters.FilterSet):
    """Of which provider; mapped or not."""

    provider = filters.CharFilter(field_name="provider__code")
    is_mapped = filters.BooleanFilter(field_name="symbol", lookup_expr="isnull", exclude=True)

    class Meta:
        model = LiquiditySymbol
        fields = ["name"]


class ProviderSymbolViewSet(ScopedReadOnlyViewSet):
    """Names at providers."""

    capability = VIEW_LIQUIDITY
    queryset = LiquiditySymbol.objects.select_related("provider", "symbol")
    serializer_class = ProviderSymbolSerializer
    lookup_value_converter = "int"
    filterset_class = ProviderSymbolFilter

    @use_case(
        capability=MANAGE_LIQUIDITY, input=MapNameSerializer, output=ProviderSymbolSerializer, route="map",
        operation_id="provider_symbols_map",
        description="Says what a name means. Executions that stand are brought to it as new revisions.",
    )  # fmt: skip
    def map(self, call: Call) -> LiquiditySymbol:
        """The name with its symbol."""
        given = dict(call.data)
        symbol = given.pop("symbol")
        return liquidity.map_provider_symbol(
            name_id=call.target.pk, symbol_id=symbol.pk if symbol else None, actor=call.actor, **given
        )


class ProviderMessageSerializer(serializers.ModelSerializer[LiquidityMessage]):
    """A message as it came, with | between its fields; names of persons are blanked."""

    provider = code_of("provider.code")

    class Meta:
        model = LiquidityMessage
        fields = [
            "id",
            "provider",
            "kind",
            "order_id",
            "exec_id",
            "exec_type",
            "sequence",
            "sent_at",
            "received_at",
            "text",
        ]
        read_only_fields = fields


class ProviderMessageFilter(filters.FilterSet):
    """Of which provider and order."""

    provider = filters.CharFilter(field_name="provider__code")

    class Meta:
        model = LiquidityMessage
        fields = ["order_id", "exec_id", "kind"]


class ProviderMessageViewSet(ScopedReadOnlyViewSet):
    """Messages of providers."""

    capability = VIEW_LIQUIDITY
    queryset = LiquidityMessage.objects.select_related("provider")
    serializer_class = ProviderMessageSerializer
    lookup_value_converter = "int"
    filterset_class = ProviderMessageFilter


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
    """Puts providers on the API."""
    register_router("liquidity-providers", ProviderViewSet, "liquidity-provider")
    register_router("provider-symbols", ProviderSymbolViewSet, "provider-symbol")
    register_router("provider-messages", ProviderMessageViewSet, "provider-message")
    register_router("provider-executions", FillViewSet, "provider-execution")
