"""Commission plans: drafted and changed here; published by a change request that a second person approves."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.apps import apps
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backoffice.ui.api_fields import AmountField, CurrencyField, ValiditySerializer, VisibleField, code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, ScopedViewSet, StrictSerializer, use_case
from ib.models import Plan, PlanRule, PlanTier, PlanVersion
from ib.models.plans import CarryOver, RoundingMode, RoundingStage
from ib.rules.sentences import TERM_FIELDS
from ib.services import plans
from ib.types import RuleTerms, VersionTerms

TERMS = [field.name for field in fields(VersionTerms)]
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


class TierSerializer(serializers.ModelSerializer[PlanTier]):
    """From which measure on another rate holds."""

    class Meta:
        model = PlanTier
        fields = ["from_value", "rate"]


class RuleSerializer(serializers.ModelSerializer[PlanRule]):
    """A rule, with its sentence in words. What is null or empty does not limit it."""

    symbol = code_of("symbol.code", allow_null=True)
    symbol_group = code_of("symbol_group.code", allow_null=True)
    account_group = serializers.PrimaryKeyRelatedField[Any](read_only=True)
    account_type = code_of("account_type.code", allow_null=True)
    tiers = TierSerializer(many=True, read_only=True)
    sentence = serializers.CharField(source="__str__", read_only=True)

    class Meta:
        model = PlanRule
        fields = [
            "id",
            "version",
            "symbol",
            "symbol_group",
            "account_group",
            "account_type",
            *TERM_FIELDS,
            "tiers",
            "sentence",
        ]
        read_only_fields = fields


class VersionSerializer(serializers.ModelSerializer[PlanVersion]):
    """A version of a plan with its rules. A published one never changes."""

    plan = code_of("plan.code")
    validity = serializers.SerializerMethodField()
    rules = RuleSerializer(many=True, read_only=True)
    ranks = serializers.SlugRelatedField[Any](slug_field="code", many=True, read_only=True)

    class Meta:
        model = PlanVersion
        fields = ["id", "plan", "number", "state", "validity", "published_at", "published_by", *TERMS, "ranks", "rules"]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, version: PlanVersion) -> Any:
        """From when to when it pays; nothing for a draft."""
        return ValiditySerializer().to_representation(version.validity)


def _rows_of(model: str) -> Any:
    return apps.get_model("platform_ops", model)._default_manager.all()


def _choice(name: str) -> serializers.ChoiceField:
    field: Any = PlanRule._meta.get_field(name)
    return serializers.ChoiceField(choices=field.choices, default=field.default, allow_blank=field.blank)


def _bound() -> AmountField:
    return AmountField(allow_null=True, default=None)


def _count() -> serializers.IntegerField:
    return serializers.IntegerField(min_value=0, max_value=2_000_000_000, allow_null=True, default=None)


class NewTierSerializer(StrictSerializer):
    """A tier of a rule to add."""

    from_value = AmountField()
    rate = AmountField()


class NewRuleSerializer(StrictSerializer):
    """A rule to add to a draft. What is left out does not limit it; only the rate is needed."""

    component = serializers.SlugField(max_length=40, default="main")
    position = serializers.IntegerField(min_value=1, max_value=1_000_000, allow_null=True, default=None)
    symbol = VisibleField(slug_field="code", queryset=_rows_of("Symbol"), allow_null=True, default=None)
    symbol_group = VisibleField(slug_field="code", queryset=_rows_of("SymbolGroup"), allow_null=True, default=None)
    account_group = VisibleField(slug_field="id", queryset=_rows_of("AccountGroup"), allow_null=True, default=None)
    account_type = VisibleField(slug_field="id", queryset=_rows_of("AccountType"), allow_null=True, default=None)
    country = serializers.RegexField(r"^[A-Z]{2}$", default="", allow_blank=True)
    campaign = serializers.CharField(max_length=160, default="", allow_blank=True)
    dimension = serializers.CharField(max_length=40, default="", allow_blank=True)
    dimension_value = serializers.CharField(max_length=160, default="", allow_blank=True)
    level = serializers.IntegerField(min_value=0, max_value=100, allow_null=True, default=None)
    rank = serializers.SlugField(max_length=40, default="", allow_blank=True)
    basis = _choice("basis")
    rate = AmountField()
    currency = CurrencyField(default="", allow_blank=True)
    distribution = _choice("distribution")
    cumulative = serializers.BooleanField(default=False)
    override_of = _choice("override_of")
    funded_by = _choice("funded_by")
    same_rank_percent = _bound()
    bonus_for = _choice("bonus_for")
    spread_sides = _choice("spread_sides")
    spread_cap_points = _bound()
    average_spread_points = _bound()
    minimum_hold_seconds = _count()
    maximum_hold_seconds = _count()
    minimum_points = _bound()
    minimum_lots = _bound()
    side = _choice("side")
    only_profitable = serializers.BooleanField(default=False)
    pays_close_by = serializers.BooleanField(default=False)
    hedged_once = serializers.BooleanField(default=False)
    pays_negative_balance = serializers.BooleanField(default=True)
    uses_credit_coefficient = serializers.BooleanField(default=False)
    cap_per_order = _bound()
    cap_client_day = _bound()
    cap_client_lifetime = _bound()
    cap_partner_period = _bound()
    base_cap = _bound()
    minimum_amount = _bound()
    window_hours = _count()
    minimum_deposit = _bound()
    minimum_lots_total = _bound()
    minimum_revenue = _bound()
    qualify_days = _count()
    clawback_days = _count()
    minimum_active_clients = _count()
    tier_measure = _choice("tier_measure")
    tier_mode = _choice("tier_mode")
    tier_window = _choice("tier_window")
    tier_scope = _choice("tier_scope")
    tiers = NewTierSerializer(many=True, required=False, default=list)


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


class VersionTermsSerializer(StrictSerializer):
    """How a draft treats money, and how far up it pays. What is left out is as usual."""

    reward_currency = CurrencyField(default="", allow_blank=True)
    rounding_stage = serializers.ChoiceField(choices=RoundingStage.choices, default=RoundingStage.LINE)
    rounding_mode = serializers.ChoiceField(choices=RoundingMode.choices, default=RoundingMode.HALF_UP)
    rounding_decimals = serializers.IntegerField(min_value=0, max_value=8, allow_null=True, default=None)
    depth_limit = serializers.IntegerField(min_value=1, max_value=100, allow_null=True, default=None)
    pays_own_trades = serializers.BooleanField(default=False)
    maximum_share_of_revenue = AmountField(allow_null=True, default=None)
    carry_over = serializers.ChoiceField(choices=CarryOver.choices, default=CarryOver.NONE)
    carry_cap = AmountField(allow_null=True, default=None)
    carry_reset_months = serializers.IntegerField(min_value=1, max_value=1200, allow_null=True, default=None)


class NewRankSerializer(StrictSerializer):
    """A rank to add to a draft, above those that it has."""

    code = serializers.SlugField(max_length=40)
    name = serializers.CharField(max_length=80)


class WeightSerializer(StrictSerializer):
    """By how much volume in a symbol group, or of an account group, counts. Exactly one of both."""

    symbol_group = VisibleField(slug_field="code", queryset=_rows_of("SymbolGroup"), allow_null=True, default=None)
    account_group = VisibleField(slug_field="id", queryset=_rows_of("AccountGroup"), allow_null=True, default=None)
    weight = AmountField()


class VersionFilter(filters.FilterSet):
    """Of which plan."""

    plan = filters.CharFilter(field_name="plan__code")

    class Meta:
        model = PlanVersion
        fields = ["state"]


class VersionViewSet(ScopedReadOnlyViewSet):
    """Versions of plans."""

    capability = VIEW
    queryset = PlanVersion.objects.select_related("plan").prefetch_related("rules__symbol_group", "rules__tiers")
    serializer_class = VersionSerializer
    lookup_value_converter = "int"
    filterset_class = VersionFilter

    @use_case(
        capability=MANAGE,
        input=VersionTermsSerializer,
        output=VersionSerializer,
        route="terms",
        operation_id="plan_versions_set_terms",
        description="How a draft treats money, and how far up it pays.",
    )
    def set_terms(self, call: Call) -> PlanVersion:
        """The draft."""
        return plans.set_version_terms(version_id=call.target.pk, terms=VersionTerms(**call.data), actor=call.actor)

    @use_case(
        capability=MANAGE,
        input=NewRankSerializer,
        output=VersionSerializer,
        status=201,
        route="ranks",
        operation_id="plan_versions_add_rank",
        description="Adds a rank to a draft, above those that it has.",
    )
    def add_rank(self, call: Call) -> PlanVersion:
        """The draft."""
        plans.add_rank(version_id=call.target.pk, actor=call.actor, **call.data)
        return PlanVersion.objects.get(pk=call.target.pk)

    @use_case(
        capability=MANAGE,
        input=WeightSerializer,
        output=VersionSerializer,
        route="weights",
        operation_id="plan_versions_set_weight",
        description="By how much volume counts in a symbol group, or of an account group.",
    )
    def set_weight(self, call: Call) -> PlanVersion:
        """The draft."""
        given = dict(call.data)
        group, account_group = given.pop("symbol_group"), given.pop("account_group")
        plans.set_weight(
            version_id=call.target.pk,
            weight=given["weight"],
            symbol_group_id=group.pk if group else None,
            account_group_id=account_group.pk if account_group else None,
            actor=call.actor,
        )
        return PlanVersion.objects.get(pk=call.target.pk)

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
        for name in ("symbol", "symbol_group", "account_group", "account_type"):
            row = given.pop(name)
            given[f"{name}_id"] = row.pk if row else None
        tiers = tuple((tier["from_value"], tier["rate"]) for tier in given.pop("tiers"))
        return plans.add_rule(version_id=call.target.pk, terms=RuleTerms(**given, tiers=tiers), actor=call.actor)


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
