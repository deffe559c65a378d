"""Trading accounts and what happened on them: deals, trades, positions, balance operations, dated facts."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backoffice.ui.api_fields import MomentField, ValiditySerializer, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import (
    AccountDimension,
    AccountGroup,
    BalanceOperation,
    CurrentDeal,
    Position,
    Trade,
    TradingAccount,
)
from platform_ops.permissions import ASSIGN_ACCOUNTS, MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.services import accounts, catalogue


def _clients() -> Any:
    return apps.get_model("crm", "Client")._default_manager.all()


class ClientField(VisibleField):
    """A client that the caller may see, by public id; the model belongs to another desk."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"slug_field": "public_id", "queryset": _clients()} | options))


class AccountSerializer(serializers.ModelSerializer[TradingAccount]):
    """A trading account; without a client it waits to be assigned."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    server = code_of("server.code")
    client = serializers.UUIDField(source="client.public_id", read_only=True, allow_null=True, default=None)
    group = code_of("group.name", allow_null=True)
    account_type = code_of("account_type.code", allow_null=True)

    class Meta:
        model = TradingAccount
        fields = [
            "id",
            "server",
            "login",
            "client",
            "group",
            "account_type",
            "name",
            "currency",
            "leverage",
            "position_mode",
            "status",
            "is_demo",
            "opened_at",
        ]
        read_only_fields = fields


class NewAccountSerializer(StrictSerializer):
    """An account that exists on a server, for a client of the server's legal entity."""

    group = VisibleField(slug_field="id", queryset=AccountGroup.objects.select_related("server"))
    login = serializers.RegexField(r"^[A-Za-z0-9_-]+$", max_length=32)
    client = ClientField()
    name = serializers.CharField(max_length=160, allow_blank=True, default="")
    leverage = serializers.IntegerField(min_value=1, max_value=10_000)
    opened_at = MomentField()


class AssignAccountSerializer(StrictSerializer):
    """Whose account it is. A reason is needed to take it from another client."""

    client = ClientField()
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class AccountFilter(filters.FilterSet):
    """Which accounts."""

    server = filters.CharFilter(field_name="server__code")
    client = filters.UUIDFilter(field_name="client__public_id")
    is_assigned = filters.BooleanFilter(field_name="client", lookup_expr="isnull", exclude=True)

    class Meta:
        model = TradingAccount
        fields = ["login", "currency", "status", "is_demo"]


class AccountViewSet(ScopedReadOnlyViewSet):
    """Trading accounts."""

    capability = VIEW_PLATFORM
    queryset = TradingAccount.objects.select_related("server", "client", "group", "account_type")
    serializer_class = AccountSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = AccountFilter

    @use_case(
        capability=MANAGE_CATALOGUE,
        input=NewAccountSerializer,
        output=AccountSerializer,
        status=201,
        operation_id="accounts_open",
        description="Registers an account that exists on a server.",
    )
    def create(self, call: Call) -> TradingAccount:
        """The account."""
        given = dict(call.data)
        group, client = given.pop("group"), given.pop("client")
        return catalogue.open_account(
            server_id=group.server_id, group_id=group.pk, client_id=client.pk, actor=call.actor, **given
        )

    @use_case(
        capability=ASSIGN_ACCOUNTS,
        input=AssignAccountSerializer,
        output=AccountSerializer,
        route="assign",
        apart=True,
        operation_id="accounts_assign",
        description="Gives the account to a client.",
    )
    def assign(self, call: Call) -> TradingAccount:
        """The account as it then is."""
        return accounts.assign_account(
            account_id=call.target.pk,
            client_id=call.data["client"].pk,
            actor=call.actor,
            reason=call.data["reason"],
        )


class OfAccountFilter(filters.FilterSet):
    """Of one account or server."""

    account = filters.UUIDFilter(field_name="account__public_id")
    server = filters.CharFilter(field_name="account__server__code")


class TradeFilter(OfAccountFilter):
    """Which trades."""

    day_from = filters.DateFilter(field_name="business_day", lookup_expr="gte")
    day_until = filters.DateFilter(field_name="business_day", lookup_expr="lte")
    ticket = filters.NumberFilter(field_name="ticket", max_value=2**63 - 1)
    is_cancelled = filters.BooleanFilter()


class TradeSerializer(serializers.ModelSerializer[Trade]):
    """A closed trade; amounts in the account's currency, times in UTC."""

    account = serializers.UUIDField(source="account.public_id", read_only=True)
    login = code_of("account.login")
    symbol = code_of("server_symbol.name", help_text="As the server calls it.")
    side = serializers.CharField(source="get_side_display", read_only=True)

    class Meta:
        model = Trade
        fields = [
            "id",
            "account",
            "login",
            "ticket",
            "position_ticket",
            "symbol",
            "side",
            "volume_lots",
            "opened_at",
            "closed_at",
            "open_price",
            "close_price",
            "profit",
            "swap",
            "commission",
            "fee",
            "currency",
            "business_day",
            "is_cancelled",
        ]
        read_only_fields = fields


class TradeViewSet(ScopedReadOnlyViewSet):
    """Closed trades."""

    capability = VIEW_PLATFORM
    queryset = Trade.objects.select_related("account", "server_symbol")
    serializer_class = TradeSerializer
    lookup_value_converter = "int"
    filterset_class = TradeFilter


class DealFilter(OfAccountFilter):
    """Which deals."""

    at_from = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    at_until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")
    ticket = filters.NumberFilter(field_name="ticket", max_value=2**63 - 1)


class DealSerializer(serializers.ModelSerializer[CurrentDeal]):
    """A deal as the server last told it."""

    account = serializers.UUIDField(source="account.public_id", read_only=True)
    kind = serializers.CharField(source="get_kind_display", read_only=True)
    entry = serializers.CharField(source="get_entry_display", read_only=True, allow_null=True)
    symbol = code_of("server_symbol.name", allow_null=True)

    class Meta:
        model = CurrentDeal
        fields = [
            "id",
            "account",
            "ticket",
            "leg",
            "revision",
            "kind",
            "entry",
            "position_ticket",
            "order_ticket",
            "symbol",
            "volume_lots",
            "price",
            "at",
            "profit",
            "swap",
            "commission",
            "fee",
            "comment",
            "recorded_at",
        ]
        read_only_fields = fields


class DealViewSet(ScopedReadOnlyViewSet):
    """Deals, each in its newest revision."""

    capability = VIEW_PLATFORM
    queryset = CurrentDeal.objects.select_related("account", "server_symbol")
    serializer_class = DealSerializer
    lookup_value_converter = "int"
    filterset_class = DealFilter


class PositionSerializer(serializers.ModelSerializer[Position]):
    """An open position."""

    account = serializers.UUIDField(source="account.public_id", read_only=True)
    login = code_of("account.login")
    symbol = code_of("server_symbol.name")
    side = serializers.CharField(source="get_side_display", read_only=True)

    class Meta:
        model = Position
        fields = [
            "id",
            "account",
            "login",
            "position_ticket",
            "symbol",
            "side",
            "volume_lots",
            "open_price",
            "opened_at",
        ]
        read_only_fields = fields


class PositionViewSet(ScopedReadOnlyViewSet):
    """Open positions."""

    capability = VIEW_PLATFORM
    queryset = Position.objects.select_related("account", "server_symbol")
    serializer_class = PositionSerializer
    lookup_value_converter = "int"
    filterset_class = OfAccountFilter


class OperationFilter(OfAccountFilter):
    """Which balance operations."""

    day_from = filters.DateFilter(field_name="business_day", lookup_expr="gte")
    day_until = filters.DateFilter(field_name="business_day", lookup_expr="lte")


class OperationSerializer(serializers.ModelSerializer[BalanceOperation]):
    """Money that a server credited or debited beside trading."""

    account = serializers.UUIDField(source="account.public_id", read_only=True)
    kind = serializers.CharField(source="get_kind_display", read_only=True)

    class Meta:
        model = BalanceOperation
        fields = [
            "id",
            "account",
            "ticket",
            "kind",
            "is_opening",
            "is_cancelled",
            "at",
            "amount",
            "currency",
            "business_day",
            "comment",
        ]
        read_only_fields = fields


class OperationViewSet(ScopedReadOnlyViewSet):
    """Balance operations."""

    capability = VIEW_PLATFORM
    queryset = BalanceOperation.objects.select_related("account")
    serializer_class = OperationSerializer
    lookup_value_converter = "int"
    filterset_class = OperationFilter


class DimensionFilter(filters.FilterSet):
    """Of one account, of one dimension."""

    account = filters.UUIDFilter(field_name="account__public_id")

    class Meta:
        model = AccountDimension
        fields = ["dimension", "value"]


class DimensionSerializer(serializers.ModelSerializer[AccountDimension]):
    """A dated fact by which exposure, plans and reports group."""

    account = serializers.UUIDField(source="account.public_id", read_only=True)
    validity = serializers.SerializerMethodField()

    class Meta:
        model = AccountDimension
        fields = ["id", "account", "dimension", "value", "validity"]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, dimension: AccountDimension) -> Any:
        """From when to when it holds."""
        return ValiditySerializer().to_representation(dimension.validity)


class DimensionViewSet(ScopedReadOnlyViewSet):
    """Dated facts on accounts."""

    capability = VIEW_PLATFORM
    queryset = AccountDimension.objects.select_related("account")
    serializer_class = DimensionSerializer
    lookup_value_converter = "int"
    filterset_class = DimensionFilter


def register() -> None:
    """Puts accounts on the API."""
    register_router("accounts", AccountViewSet, "account")
    register_router("trades", TradeViewSet, "trade")
    register_router("deals", DealViewSet, "deal")
    register_router("positions", PositionViewSet, "position")
    register_router("balance-operations", OperationViewSet, "balance-operation")
    register_router("account-dimensions", DimensionViewSet, "account-dimension")
