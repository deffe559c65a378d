"""Naming rules over HTTP: how servers' names of symbols are read, and a rule tried on real names before it is kept."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import Symbol, SymbolNameRule, TradingServer
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.rules.symbol_names import NameRule
from platform_ops.services import symbol_names


class NameRuleSerializer(serializers.ModelSerializer[SymbolNameRule]):
    """A rule; without a server it counts on every one. The lowest position is tried first, a server's own before others."""

    server = code_of("server.code", allow_null=True, default=None)
    symbol = code_of("symbol.code", allow_null=True, default=None)

    class Meta:
        model = SymbolNameRule
        fields = ["id", "server", "position", "kind", "pattern", "replacement", "symbol", "created_at"]
        read_only_fields = fields


class RuleTermsSerializer(StrictSerializer):
    """What a rule does with a name. `symbol` belongs to an alias, `replacement` to what replaces."""

    kind = serializers.ChoiceField(choices=SymbolNameRule.Kind.choices)
    pattern = serializers.CharField(max_length=40, help_text="The characters themselves; letter case does not matter.")
    replacement = serializers.CharField(max_length=40, required=False, allow_blank=True, default="")
    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all(), required=False)


class NewNameRuleSerializer(RuleTermsSerializer):
    """A rule and its place."""

    server = VisibleField(
        slug_field="code", queryset=TradingServer.objects.all(), required=False, help_text="Left out: every server."
    )
    position = serializers.IntegerField(min_value=1, max_value=10_000)


class NameTrialRequestSerializer(StrictSerializer):
    """Names to try; none: all that the server uses. A draft of a rule is tried before those that stand."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all(), required=False)
    names = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=symbol_names.MAX_NAMES, default=list
    )
    draft = RuleTermsSerializer(required=False)


class NameTrialSerializer(serializers.Serializer[symbol_names.NameTrial]):
    """What the rules make of a name: the symbol and the rule that found it, and the symbol it is mapped to now."""

    name = serializers.CharField()
    symbol = serializers.CharField(source="code", allow_blank=True)
    rule = serializers.CharField(allow_blank=True)
    stands = serializers.CharField(allow_blank=True)


class NameTrialsSerializer(serializers.Serializer[Any]):
    """A trial of each name."""

    trials = NameTrialSerializer(many=True)


class NameRuleFilter(filters.FilterSet):
    """Of which server."""

    server = filters.CharFilter(field_name="server__code")

    class Meta:
        model = SymbolNameRule
        fields = ["kind"]


class NameRuleViewSet(ScopedReadOnlyViewSet):
    """Naming rules."""

    capability = VIEW_PLATFORM
    queryset = SymbolNameRule.objects.select_related("server", "symbol")
    serializer_class = NameRuleSerializer
    lookup_value_converter = "int"
    filterset_class = NameRuleFilter

    @use_case(
        capability=MANAGE_CATALOGUE, input=NewNameRuleSerializer, output=NameRuleSerializer, status=201,
        operation_id="symbol_name_rules_add",
        description="Keeps a rule. It reads names that come from now on, and those that wait.",
    )  # fmt: skip
    def create(self, call: Call) -> SymbolNameRule:
        """The rule."""
        server = call.data.get("server")
        return symbol_names.add_rule(
            server_id=server.pk if server else None, position=call.data["position"], rule=_rule(call.data),
            actor=call.actor,
        )  # fmt: skip

    @use_case(
        capability=MANAGE_CATALOGUE, input=ReasonSerializer, route="remove", operation_id="symbol_name_rules_remove",
        description="Takes a rule away. Names that it mapped stay mapped.",
    )  # fmt: skip
    def remove(self, call: Call) -> None:
        """Nothing is answered."""
        symbol_names.remove_rule(rule_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=VIEW_PLATFORM, input=NameTrialRequestSerializer, output=NameTrialsSerializer, route="try",
        detail=False, operation_id="symbol_name_rules_try", description="What the rules make of names. Nothing is kept.",
    )  # fmt: skip
    def try_names(self, call: Call) -> dict[str, Any]:
        """A trial of each name."""
        server, draft = call.data.get("server"), call.data.get("draft")
        trials = symbol_names.try_names(
            server_id=server.pk if server else None, names=call.data["names"], draft=_rule(draft) if draft else None,
            actor=call.actor,
        )  # fmt: skip
        return {"trials": trials}


def _rule(given: dict[str, Any]) -> NameRule:
    symbol = given.get("symbol")
    return NameRule(given["kind"], given["pattern"], given["replacement"], symbol.code if symbol else "")


def register() -> None:
    """Puts naming rules on the API."""
    register_router("symbol-name-rules", NameRuleViewSet, "symbol-name-rule")
