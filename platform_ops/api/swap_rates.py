"""Swap rates over HTTP: what is in force and was, the rules that mark up a provider's rates, what the servers were told."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.models import ChangeRequest
from backoffice.ui.api_fields import ValiditySerializer, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.shared import FIGURE, SWAP_MODES, NamedField, ids_taken
from platform_ops.gateways.types import SwapMode
from platform_ops.models import AccountGroup, SwapMarkupRule, SwapPush, SwapRate, Symbol, SymbolGroup, TradingServer
from platform_ops.permissions import MANAGE_SWAPS, VIEW_SWAP_DESK
from platform_ops.rules.swap_desk import DEFAULT_FLAG_PERCENT
from platform_ops.services.swap_desk import markup, pushes


class SwapRateSerializer(serializers.ModelSerializer[SwapRate]):
    """What a night costs (negative) or pays during a time; `multipliers` are the nights of each weekday from Sunday."""

    symbol = code_of("symbol.code")
    server = code_of("group.server.code", allow_null=True, default=None)
    group = code_of("group.name", allow_null=True, default=None)
    validity = ValiditySerializer(read_only=True)
    mode = NamedField(SwapMode, SWAP_MODES, read_only=True)
    provider_long = serializers.DecimalField(source="lp_long", **FIGURE)
    provider_short = serializers.DecimalField(source="lp_short", **FIGURE)
    change = serializers.UUIDField(source="change.public_id", read_only=True, allow_null=True, default=None)

    class Meta:
        model = SwapRate
        fields = [
            "id", "symbol", "server", "group", "validity", "mode", "long", "short", "multipliers", "year_days",
            "considers_holidays", "provider_long", "provider_short", "source", "change", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class SwapRateFilter(filters.FilterSet):
    """Of which symbol and accounts, in force at which moment."""

    symbol = filters.CharFilter(field_name="symbol__code")
    symbol_group = filters.CharFilter(field_name="symbol__group__code")
    group = filters.NumberFilter(field_name="group_id")
    is_of_group = filters.BooleanFilter(field_name="group", lookup_expr="isnull", exclude=True)
    at = filters.IsoDateTimeFilter(field_name="validity", lookup_expr="contains")

    class Meta:
        model = SwapRate
        fields: list[str] = []


class SwapRateViewSet(ScopedReadOnlyViewSet):
    """Rates, past and planned ones too: with `symbol` a symbol's history, with `at` what was in force. They change by a
    sheet that is proposed and approved."""

    capability = VIEW_SWAP_DESK
    queryset = SwapRate.objects.select_related("symbol", "group__server", "change")
    serializer_class = SwapRateSerializer
    lookup_value_converter = "int"
    filterset_class = SwapRateFilter


class MarkupRuleSerializer(serializers.ModelSerializer[SwapMarkupRule]):
    """What is added to a provider's rates. One symbol goes before its group, a group before all symbols."""

    symbol = code_of("symbol.code", allow_null=True, default=None)
    symbol_group = code_of("symbol_group.code", allow_null=True, default=None)
    server = code_of("account_group.server.code", allow_null=True, default=None)
    account_group = code_of("account_group.name", allow_null=True, default=None)

    class Meta:
        model = SwapMarkupRule
        fields = [
            "id", "symbol", "symbol_group", "server", "account_group", "kind", "long_value", "short_value", "flag_percent",
            "changed_by", "changed_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewMarkupRuleSerializer(StrictSerializer):
    """A rule. Neither a symbol nor a group of them: all symbols; no account group: everybody."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all(), required=False)
    symbol_group = VisibleField(slug_field="code", queryset=SymbolGroup.objects.all(), required=False)
    account_group = VisibleField(slug_field="id", queryset=AccountGroup.objects.all(), required=False)
    kind = serializers.ChoiceField(choices=SwapMarkupRule.Kind.choices)
    long_value = serializers.DecimalField(max_digits=12, decimal_places=4)
    short_value = serializers.DecimalField(max_digits=12, decimal_places=4)
    flag_percent = serializers.DecimalField(
        max_digits=7, decimal_places=2, default=DEFAULT_FLAG_PERCENT, help_text="A larger change is flagged."
    )


class MarkupRuleViewSet(ScopedReadOnlyViewSet):
    """Mark-up rules; they shape sheets that are taken in from then on."""

    capability = VIEW_SWAP_DESK
    queryset = SwapMarkupRule.objects.select_related("symbol", "symbol_group", "account_group__server")
    serializer_class = MarkupRuleSerializer
    lookup_value_converter = "int"
    filterset_fields = ("kind",)

    @use_case(
        capability=MANAGE_SWAPS, input=NewMarkupRuleSerializer, output=MarkupRuleSerializer, status=201,
        operation_id="swap_markup_rules_add", description="Writes a rule; 409 rule_exists for a second one of the same.",
    )  # fmt: skip
    def create(self, call: Call) -> SwapMarkupRule:
        """The rule."""
        return _set_rule(call)

    @use_case(
        capability=MANAGE_SWAPS, input=NewMarkupRuleSerializer, output=MarkupRuleSerializer, route="replace",
        operation_id="swap_markup_rules_replace", description="Puts other terms in the place of a rule.",
    )  # fmt: skip
    def replace(self, call: Call) -> SwapMarkupRule:
        """The rule as it is now."""
        return _set_rule(call, rule_id=call.target.pk)

    @use_case(
        capability=MANAGE_SWAPS, input=ReasonSerializer, route="remove", operation_id="swap_markup_rules_remove",
        description="Removes a rule; sheets that it shaped keep their figures.",
    )  # fmt: skip
    def remove(self, call: Call) -> None:
        """Nothing is answered."""
        markup.remove_markup_rule(rule_id=call.target.pk, actor=call.actor, **call.data)


def _set_rule(call: Call, rule_id: int | None = None) -> SwapMarkupRule:
    given = dict(call.data)
    ids = ids_taken(given, "symbol", "symbol_group", "account_group")
    return markup.set_markup_rule(actor=call.actor, rule_id=rule_id, **ids, **given)


class SwapPushSerializer(serializers.ModelSerializer[SwapPush]):
    """What a server is told about one of its symbols, what it had before, and what it says when it is read back."""

    change = serializers.UUIDField(source="change.public_id", read_only=True)
    server = code_of("server.code")
    symbol = code_of("server_symbol.name")
    group = code_of("group.name", allow_null=True, default=None)
    mode = NamedField(SwapMode, SWAP_MODES, read_only=True)
    before_mode = NamedField(SwapMode, SWAP_MODES, read_only=True, allow_null=True)
    read_mode = NamedField(SwapMode, SWAP_MODES, read_only=True, allow_null=True)

    class Meta:
        model = SwapPush
        fields = [
            "id", "change", "direction", "server", "symbol", "group", "state", "mode", "long", "short", "before_mode",
            "before_long", "before_short", "read_mode", "read_long", "read_short", "due_at", "attempts", "message", "sent_at",
            "verified_at",
        ]  # fmt: skip
        read_only_fields = fields


class SwapPushFilter(filters.FilterSet):
    """Of which change, server and symbol."""

    change = filters.UUIDFilter(field_name="change__public_id")
    server = filters.CharFilter(field_name="server__code")
    symbol = filters.CharFilter(field_name="server_symbol__name")

    class Meta:
        model = SwapPush
        fields = ["state", "direction"]


class PushedChangeSerializer(StrictSerializer):
    """Of which change."""

    change = VisibleField(slug_field="public_id", queryset=ChangeRequest.objects.all())


class SetByHandSerializer(PushedChangeSerializer):
    """On which server somebody set the figures, and how that was seen."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())
    reason = serializers.CharField(max_length=300)


class PushCountSerializer(serializers.Serializer[Any]):
    """How many."""

    pushes = serializers.IntegerField()


class SwapPushViewSet(ScopedReadOnlyViewSet):
    """What servers were told."""

    capability = VIEW_SWAP_DESK
    queryset = SwapPush.objects.select_related("change", "server", "server_symbol", "group")
    serializer_class = SwapPushSerializer
    lookup_value_converter = "int"
    filterset_class = SwapPushFilter

    @use_case(
        capability=MANAGE_SWAPS, input=PushedChangeSerializer, output=PushCountSerializer, route="retry", detail=False,
        operation_id="swap_pushes_retry", description="Tries again at once what failed or waits. Repeating it is harmless.",
    )  # fmt: skip
    def retry(self, call: Call) -> dict[str, int]:
        """How many are tried again."""
        return {"pushes": pushes.retry_pushes(change_id=call.data["change"].pk, actor=call.actor)}

    @use_case(
        capability=MANAGE_SWAPS, input=SetByHandSerializer, output=PushCountSerializer, route="set-by-hand", detail=False,
        operation_id="swap_pushes_set_by_hand",
        description="Says that the figures of a change were set on a server by hand.",
    )  # fmt: skip
    def set_by_hand(self, call: Call) -> dict[str, int]:
        """How many were confirmed."""
        count = pushes.confirm_by_hand(
            change_id=call.data["change"].pk, server_id=call.data["server"].pk, actor=call.actor,
            reason=call.data["reason"],
        )  # fmt: skip
        return {"pushes": count}


def register() -> None:
    """Puts rates, rules and pushes on the API."""
    register_router("swap-rates", SwapRateViewSet, "swap-rate")
    register_router("swap-markup-rules", MarkupRuleViewSet, "swap-markup-rule")
    register_router("swap-pushes", SwapPushViewSet, "swap-push")
