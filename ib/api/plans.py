"""Commission plans: drafted and changed here; published by a change request that a second person approves."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backoffice.ui.api_fields import AmountField, CurrencyField, ValiditySerializer, VisibleField, code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, ScopedViewSet, StrictSerializer, use_case
from ib.models import Plan, PlanRule, PlanVersion
from ib.services import plans

VIEW = "ib.view_plans"
MANAGE = "ib.manage_plans"


class PlanSerializer(serializers.ModelSerializer[Plan]):
    """A commission plan."""

    entity = code_of("entity.code")

    class Meta:
        model = Plan
        fields = ["id", "entity", "code", "name", "created_at"]
        read_only_fields = fields


class NewPlanSerializer(StrictSerializer):
    """A plan to create, with an empty first draft."""

    entity = entity_field()
    code = serializers.RegexField(r"^[A-Za-z0-9_-]+$", max_length=40)
    name = serializers.CharField(max_length=120)


class RuleSerializer(serializers.ModelSerializer[PlanRule]):
    """An amount per lot for a level and a symbol group (null: every group)."""

    symbol_group = code_of("symbol_group.code", allow_null=True)

    class Meta:
        model = PlanRule
        fields = ["id", "version", "kind", "symbol_group", "level", "amount_per_lot", "currency"]
        read_only_fields = fields


class VersionSerializer(serializers.ModelSerializer[PlanVersion]):
    """A version of a plan with its rules. A published one never changes."""

    plan = code_of("plan.code")
    validity = serializers.SerializerMethodField()
    rules = RuleSerializer(many=True, read_only=True)

    class Meta:
        model = PlanVersion
        fields = ["id", "plan", "number", "state", "validity", "published_at", "published_by", "rules"]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, version: PlanVersion) -> Any:
        """From when to when it pays; nothing for a draft."""
        return ValiditySerializer().to_representation(version.validity)


class NewRuleSerializer(StrictSerializer):
    """A rule to add to a draft."""

    symbol_group = VisibleField(
        slug_field="code",
        queryset=apps.get_model("platform_ops", "SymbolGroup")._default_manager.all(),
        allow_null=True,
        default=None,
    )
    level = serializers.IntegerField(min_value=1, max_value=100)
    amount_per_lot = AmountField()
    currency = CurrencyField()


class PlanFilter(filters.FilterSet):
    """Which plans."""

    entity = filters.CharFilter(field_name="entity__code")

    class Meta:
        model = Plan
        fields = ["code"]


class PlanViewSet(ScopedReadOnlyViewSet):
    """Plans."""

    capability = VIEW
    queryset = Plan.objects.select_related("entity")
    serializer_class = PlanSerializer
    lookup_value_converter = "int"
    filterset_class = PlanFilter

    @use_case(
        capability=MANAGE,
        input=NewPlanSerializer,
        output=PlanSerializer,
        status=201,
        operation_id="plans_create",
        description="Creates a plan with an empty first draft.",
    )
    def create(self, call: Call) -> Plan:
        """The plan."""
        given = dict(call.data)
        return plans.create_plan(entity_id=given.pop("entity").pk, actor=call.actor, **given)

    @use_case(
        capability=MANAGE,
        output=VersionSerializer,
        route="draft",
        operation_id="plans_draft",
        description="The plan's draft: the one that exists, or a new one with the rules of the latest version.",
    )
    def draft(self, call: Call) -> PlanVersion:
        """The draft."""
        return plans.draft_version(plan_id=call.target.pk, actor=call.actor)


class VersionFilter(filters.FilterSet):
    """Of which plan."""

    plan = filters.CharFilter(field_name="plan__code")

    class Meta:
        model = PlanVersion
        fields = ["state"]


class VersionViewSet(ScopedReadOnlyViewSet):
    """Versions of plans."""

    capability = VIEW
    queryset = PlanVersion.objects.select_related("plan").prefetch_related("rules__symbol_group")
    serializer_class = VersionSerializer
    lookup_value_converter = "int"
    filterset_class = VersionFilter

    @use_case(
        capability=MANAGE,
        input=NewRuleSerializer,
        output=RuleSerializer,
        status=201,
        route="rules",
        operation_id="plan_versions_add_rule",
        description="Adds a rule to a draft. An amount of zero keeps a more general rule from paying.",
    )
    def add_rule(self, call: Call) -> PlanRule:
        """The rule."""
        given = dict(call.data)
        group = given.pop("symbol_group")
        return plans.add_rule(
            version_id=call.target.pk, symbol_group_id=group.pk if group else None, actor=call.actor, **given
        )


class RuleViewSet(ScopedViewSet):
    """Rules of drafts."""

    capability = VIEW
    queryset = PlanRule.objects.all()
    serializer_class = RuleSerializer
    lookup_value_converter = "int"

    @use_case(
        capability=MANAGE,
        operation_id="plan_rules_remove",
        description="Takes a rule out of a draft.",
    )
    def destroy(self, call: Call) -> None:
        """Nothing is answered."""
        plans.remove_rule(rule_id=call.target.pk, actor=call.actor)


def register() -> None:
    """Puts plans on the API."""
    register_router("plans", PlanViewSet, "plan")
    register_router("plan-versions", VersionViewSet, "plan-version")
    register_router("plan-rules", RuleViewSet, "plan-rule")
