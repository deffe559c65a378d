"""Who pays no swap, whose freedom was taken back, and how each server's rollover is done."""

from __future__ import annotations

from decimal import Decimal

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import AmountField, CurrencyField, MomentField, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.shared import ids_taken
from platform_ops.models import (
    AccountGroup,
    AccountType,
    SwapFreePolicy,
    SwapFreeRevocation,
    SwapSetting,
    SymbolGroup,
    TradingAccount,
    TradingServer,
)
from platform_ops.permissions import MANAGE_SWAPS, VIEW_PLATFORM
from platform_ops.services.swaps import policies, settings


class SwapFreePolicySerializer(serializers.ModelSerializer[SwapFreePolicy]):
    """Who pays no swap, and what comes instead."""

    account = code_of("account.login", allow_null=True)
    group = code_of("group.name", allow_null=True)
    account_type = code_of("account_type.code", allow_null=True)
    symbol_group = code_of("symbol_group.code", allow_null=True)
    valid_from = serializers.DateTimeField(source="validity.lower", read_only=True, allow_null=True)
    valid_until = serializers.DateTimeField(source="validity.upper", read_only=True, allow_null=True)

    class Meta:
        model = SwapFreePolicy
        fields = [
            "id", "name", "account", "group", "account_type", "symbol_group", "valid_from", "valid_until", "grace_nights",
            "after_grace", "fee_per_lot", "fee_currency",
        ]  # fmt: skip
        read_only_fields = fields


class NewSwapFreePolicySerializer(StrictSerializer):
    """Exactly one of account, group and account type; without a symbol group it speaks of all symbols."""

    name = serializers.CharField(max_length=120)
    account = VisibleField(slug_field="public_id", queryset=TradingAccount.objects.all(), required=False)
    group = VisibleField(slug_field="id", queryset=AccountGroup.objects.all(), required=False)
    account_type = VisibleField(slug_field="id", queryset=AccountType.objects.all(), required=False)
    symbol_group = VisibleField(slug_field="code", queryset=SymbolGroup.objects.all(), required=False)
    valid_from = MomentField()
    valid_until = MomentField(required=False, allow_null=True, default=None)
    grace_nights = serializers.IntegerField(min_value=0, max_value=policies.MAXIMUM_GRACE, default=0)
    after_grace = serializers.ChoiceField(
        choices=SwapFreePolicy.AfterGrace.choices, default=SwapFreePolicy.AfterGrace.FEE.value
    )
    fee_per_lot = AmountField(min_value=0, default=Decimal(0))
    fee_currency = CurrencyField(default="USD")
    reason = serializers.CharField(max_length=500)


class EndSwapFreePolicySerializer(StrictSerializer):
    """When, and why."""

    at = MomentField()
    reason = serializers.CharField(max_length=500)


class SwapFreePolicyFilter(filters.FilterSet):
    """Of which accounts, in force at which moment."""

    account = filters.UUIDFilter(field_name="account__public_id")
    group = filters.NumberFilter(field_name="group_id")
    at = filters.IsoDateTimeFilter(field_name="validity", lookup_expr="contains")

    class Meta:
        model = SwapFreePolicy
        fields = ["after_grace"]


class SwapFreePolicyViewSet(ScopedReadOnlyViewSet):
    """Swap-free policies."""

    capability = VIEW_PLATFORM
    queryset = SwapFreePolicy.objects.select_related("account", "group", "account_type", "symbol_group")
    serializer_class = SwapFreePolicySerializer
    lookup_value_converter = "int"
    filterset_class = SwapFreePolicyFilter

    @use_case(
        capability=MANAGE_SWAPS, input=NewSwapFreePolicySerializer, output=SwapFreePolicySerializer, status=201,
        operation_id="swap_free_policies_set",
        description="A policy for one account, group or account type; 409 policy_overlaps where another speaks of the same.",
    )  # fmt: skip
    def create(self, call: Call) -> SwapFreePolicy:
        """The policy."""
        given = dict(call.data)
        ids = ids_taken(given, "account", "group", "account_type", "symbol_group")
        return policies.set_swap_free_policy(actor=call.actor, **ids, **given)

    @use_case(
        capability=MANAGE_SWAPS, input=EndSwapFreePolicySerializer, output=SwapFreePolicySerializer, route="end",
        operation_id="swap_free_policies_end", description="Ends a policy at a moment within its validity.",
    )  # fmt: skip
    def end(self, call: Call) -> SwapFreePolicy:
        """The policy with its end."""
        return policies.end_swap_free_policy(policy_id=call.target.pk, actor=call.actor, **call.data)


class RevocationSerializer(serializers.ModelSerializer[SwapFreeRevocation]):
    """A time for which an account's swaps are due after all."""

    account = serializers.UUIDField(source="account.public_id", read_only=True)
    login = code_of("account.login")

    class Meta:
        model = SwapFreeRevocation
        fields = ["id", "account", "login", "from_day", "to_day", "reason", "decided_by", "created_at"]
        read_only_fields = fields


class NewRevocationSerializer(StrictSerializer):
    """Which account, for which days; to_day null: until further notice."""

    account = VisibleField(slug_field="public_id", queryset=TradingAccount.objects.all())
    from_day = serializers.DateField()
    to_day = serializers.DateField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=500)


class RevocationFilter(filters.FilterSet):
    """Of which account."""

    account = filters.UUIDFilter(field_name="account__public_id")

    class Meta:
        model = SwapFreeRevocation
        fields: list[str] = []


class RevocationViewSet(ScopedReadOnlyViewSet):
    """Accounts whose freedom from swaps was taken back."""

    capability = VIEW_PLATFORM
    queryset = SwapFreeRevocation.objects.select_related("account")
    serializer_class = RevocationSerializer
    lookup_value_converter = "int"
    filterset_class = RevocationFilter

    @use_case(
        capability=MANAGE_SWAPS, input=NewRevocationSerializer, output=RevocationSerializer, status=201,
        operation_id="swap_free_revocations_add",
        description="Takes an account's freedom back after abuse; the next rollover of each day books the difference.",
    )  # fmt: skip
    def create(self, call: Call) -> SwapFreeRevocation:
        """The revocation."""
        given = dict(call.data)
        return policies.reapply_swaps(account_id=given.pop("account").pk, actor=call.actor, **given)


class SwapSettingSerializer(serializers.ModelSerializer[SwapSetting]):
    """How the rollover of a server is done. A server without one only has its charged swaps stated."""

    server = code_of("server.code")

    class Meta:
        model = SwapSetting
        fields = [
            "server", "mode", "cut", "channel", "starts_on", "tolerance", "rounds_point_value_first", "blocks_day",
        ]  # fmt: skip
        read_only_fields = fields


class NewSwapSettingSerializer(StrictSerializer):
    """A setting as it is to be."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())
    mode = serializers.ChoiceField(choices=SwapSetting.Mode.choices)
    cut = serializers.ChoiceField(choices=SwapSetting.Cut.choices)
    channel = serializers.ChoiceField(choices=SwapSetting.Channel.choices)
    starts_on = serializers.DateField()
    tolerance = AmountField(min_value=0, default=Decimal(0))
    rounds_point_value_first = serializers.BooleanField(default=True)
    blocks_day = serializers.BooleanField(default=False)
    reason = serializers.CharField(max_length=500)


class SwapSettingViewSet(ScopedReadOnlyViewSet):
    """How swaps are done on each server."""

    capability = VIEW_PLATFORM
    queryset = SwapSetting.objects.select_related("server")
    serializer_class = SwapSettingSerializer
    page_ordering = ("server_id",)
    lookup_field = "server__code"
    lookup_url_kwarg = "server"

    @use_case(
        capability=MANAGE_SWAPS, input=NewSwapSettingSerializer, output=SwapSettingSerializer, apart=True,
        operation_id="swap_settings_set", description="Sets how a server's swaps are done.",
    )  # fmt: skip
    def create(self, call: Call) -> SwapSetting:
        """The setting."""
        given = dict(call.data)
        return settings.set_swap_setting(server_id=given.pop("server").pk, actor=call.actor, **given)


def register() -> None:
    """Puts policies and settings on the API."""
    register_router("swap-free-policies", SwapFreePolicyViewSet, "swap-free-policy")
    register_router("swap-free-revocations", RevocationViewSet, "swap-free-revocation")
    register_router("swap-settings", SwapSettingViewSet, "swap-setting")
