"""The plan editor over HTTP: drafts are edited, checked, compared with another version, and tried on an imagined trade."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.ui.api_fields import AmountField, CurrencyField, VisibleField
from backoffice.ui.api_registry import register_endpoint
from backoffice.ui.api_views import ApiView, Call, StrictSerializer, use_case
from ib.api.plans import MANAGE, VIEW, NewRuleSerializer, RuleSerializer, VersionSerializer
from ib.models import Partner, PlanRule, PlanVersion
from ib.models.rank_rules import RankMeasure, RankScope, RankWindow
from ib.rules.ranks import Condition
from ib.selectors.plan_example import ExampleQuery, ExampleStep, checked_query, example_of
from ib.selectors.plans import check_plan_version, compare_versions
from ib.services import plan_drafts
from ib.types import RuleTerms

ID: dict[str, Any] = {"min_value": 1, "max_value": 2**63 - 1}


class EditRuleSerializer(NewRuleSerializer):
    """Everything that a rule of a draft is to say from now on; what is left out does not limit it."""

    rule = serializers.IntegerField(**ID)


class EditRuleView(ApiView):
    """Changing a rule."""

    @use_case(
        capability=MANAGE,
        input=EditRuleSerializer,
        output=RuleSerializer,
        operation_id="plan_rules_edit",
        description="Changes everything that a rule of a draft says.",
    )
    def post(self, call: Call) -> PlanRule:
        """The rule."""
        given = dict(call.data)
        rule_id = given.pop("rule")
        for name in ("symbol", "symbol_group", "account_group", "account_type"):
            row = given.pop(name)
            given[f"{name}_id"] = row.pk if row else None
        tiers = tuple((tier["from_value"], tier["rate"]) for tier in given.pop("tiers"))
        return plan_drafts.edit_rule(rule_id=rule_id, terms=RuleTerms(**given, tiers=tiers), actor=call.actor)


class MoveRuleSerializer(StrictSerializer):
    """Which rule goes where in its component, counted from 1."""

    rule = serializers.IntegerField(**ID)
    place = serializers.IntegerField(min_value=1, max_value=100_000)


class MoveRuleView(ApiView):
    """Reordering."""

    @use_case(
        capability=MANAGE,
        input=MoveRuleSerializer,
        output=RuleSerializer,
        operation_id="plan_rules_move",
        description="Puts a rule of a draft in a place of its component; the first that matches pays.",
    )
    def post(self, call: Call) -> PlanRule:
        """The rule."""
        return plan_drafts.move_rule(rule_id=call.data["rule"], place=call.data["place"], actor=call.actor)


class VersionIdSerializer(StrictSerializer):
    """A version of a plan."""

    version = serializers.IntegerField(**ID)


class CopyVersionView(ApiView):
    """Drafting a copy."""

    @use_case(
        capability=MANAGE,
        input=VersionIdSerializer,
        output=VersionSerializer,
        operation_id="plan_versions_copy",
        description="The plan's draft, with everything that a published version says; what stood in it before is gone.",
    )
    def post(self, call: Call) -> PlanVersion:
        """The draft."""
        return plan_drafts.draft_copy(version_id=call.data["version"], actor=call.actor)


class ConditionSerializer(StrictSerializer):
    """What earns a rank: at least so much of a figure."""

    measure = serializers.ChoiceField(choices=RankMeasure.choices)
    scope = serializers.ChoiceField(choices=RankScope.choices, default="team")
    window = serializers.ChoiceField(choices=RankWindow.choices, default="month")
    threshold = AmountField()
    currency = CurrencyField(default="", allow_blank=True)


class SetRankSerializer(StrictSerializer):
    """What a rank of a draft is called, what earns it, and for how many months it outlives that."""

    version = serializers.IntegerField(**ID)
    code = serializers.SlugField(max_length=40)
    name = serializers.CharField(max_length=80, default="", allow_blank=True)
    conditions = ConditionSerializer(many=True, default=list)
    keep_months = serializers.IntegerField(min_value=0, max_value=120, default=0)


class SetRankView(ApiView):
    """What earns a rank."""

    @use_case(
        capability=MANAGE,
        input=SetRankSerializer,
        output=VersionSerializer,
        operation_id="plan_ranks_set",
        description="Sets the conditions of a rank of a draft; all of them must hold in a month.",
    )
    def post(self, call: Call) -> PlanVersion:
        """The draft."""
        given = dict(call.data)
        version_id = given.pop("version")
        conditions = [Condition(**row) for row in given.pop("conditions")]
        plan_drafts.set_rank(version_id=version_id, conditions=conditions, actor=call.actor, **given)
        return PlanVersion.objects.get(pk=version_id)


class RankPlaceSerializer(StrictSerializer):
    """Which rank goes where, counted from the lowest."""

    version = serializers.IntegerField(**ID)
    code = serializers.SlugField(max_length=40)
    place = serializers.IntegerField(min_value=1, max_value=1_000)


class MoveRankView(ApiView):
    """The order of ranks."""

    @use_case(
        capability=MANAGE,
        input=RankPlaceSerializer,
        output=VersionSerializer,
        operation_id="plan_ranks_move",
        description="Puts a rank of a draft in a place, counted from the lowest.",
    )
    def post(self, call: Call) -> PlanVersion:
        """The draft."""
        given = dict(call.data)
        plan_drafts.move_rank(version_id=given["version"], code=given["code"], place=given["place"], actor=call.actor)
        return PlanVersion.objects.get(pk=given["version"])


class RankCodeSerializer(StrictSerializer):
    """A rank of a draft."""

    version = serializers.IntegerField(**ID)
    code = serializers.SlugField(max_length=40)


class RemoveRankView(ApiView):
    """Taking a rank out."""

    @use_case(
        capability=MANAGE,
        input=RankCodeSerializer,
        output=VersionSerializer,
        operation_id="plan_ranks_remove",
        description="Takes a rank out of a draft; refused while a rule names it.",
    )
    def post(self, call: Call) -> PlanVersion:
        """The draft."""
        plan_drafts.remove_rank(version_id=call.data["version"], code=call.data["code"], actor=call.actor)
        return PlanVersion.objects.get(pk=call.data["version"])


class WeightIdSerializer(StrictSerializer):
    """A weight of a draft."""

    weight = serializers.IntegerField(**ID)


class RemoveWeightView(ApiView):
    """Taking a weight out."""

    @use_case(
        capability=MANAGE,
        input=WeightIdSerializer,
        operation_id="plan_weights_remove",
        description="Takes a weight out of a draft: volume counts whole again.",
    )
    def post(self, call: Call) -> None:
        """Nothing is answered."""
        plan_drafts.remove_weight(weight_id=call.data["weight"], actor=call.actor)


class PlanFindingSerializer(serializers.Serializer[Any]):
    """Something about a version; what is fatal stands in the way of its publication."""

    kind = serializers.CharField()
    text = serializers.CharField()
    is_fatal = serializers.BooleanField()
    rules = serializers.ListField(child=serializers.IntegerField())


class WorstCaseSerializer(serializers.Serializer[Any]):
    """The most that a lot of a symbol group can pay, against what it brings in."""

    group = serializers.CharField()
    chain = serializers.CharField()
    payout = AmountField()
    revenue = AmountField(allow_null=True)
    currency = serializers.CharField(allow_blank=True)
    percent = AmountField(allow_null=True)


class VersionCheckSerializer(serializers.Serializer[Any]):
    """What was found, and what the worst cases rest on."""

    findings = PlanFindingSerializer(many=True)
    worst = WorstCaseSerializer(many=True)
    assumption = serializers.CharField()


class CheckVersionView(ApiView):
    """Checks of a version."""

    capability = VIEW

    @extend_schema(operation_id="plan_versions_check", responses=VersionCheckSerializer)
    def get(self, request: Request, version_id: int) -> Response:
        """Gaps, overlaps, rules that never pay, and the guard."""
        return Response(VersionCheckSerializer(check_plan_version(actor=self.actor, version_id=version_id)).data)


class DiffRowSerializer(serializers.Serializer[Any]):
    """A rule beside the one that selects the same: same, changed, added or removed."""

    kind = serializers.CharField()
    component = serializers.CharField()
    old = serializers.CharField(allow_blank=True)
    new = serializers.CharField(allow_blank=True)
    changed = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.ListField(child=serializers.CharField())))
    def get_changed(self, row: Any) -> list[list[str]]:
        """Name, old and new of each field that differs."""
        return [list(item) for item in row.fields]


class VersionDiffSerializer(serializers.Serializer[Any]):
    """Two versions side by side."""

    old = serializers.CharField()
    new = serializers.CharField()
    rules = DiffRowSerializer(many=True)
    terms = serializers.ListField(child=serializers.ListField(child=serializers.CharField()))


class DiffVersionView(ApiView):
    """A version beside the one before it."""

    capability = VIEW

    @extend_schema(operation_id="plan_versions_diff", responses=VersionDiffSerializer)
    def get(self, request: Request, version_id: int) -> Response:
        """Rule by rule, by sentence and field."""
        return Response(VersionDiffSerializer(compare_versions(actor=self.actor, version_id=version_id)).data)


class ExampleStepSerializer(StrictSerializer):
    """A partner of the imagined chain."""

    rank = serializers.SlugField(max_length=40, default="", allow_blank=True)
    rate = AmountField(allow_null=True, default=None)
    allocation_percent = AmountField(allow_null=True, default=None)
    is_trader = serializers.BooleanField(default=False)


class ExampleInputSerializer(StrictSerializer):
    """An imagined trade and chain; with `partner` the chain of that partner as it stands now."""

    version = serializers.IntegerField(**ID)
    symbol = VisibleField(slug_field="code", queryset=apps.get_model("platform_ops", "Symbol")._default_manager.all())
    side = serializers.ChoiceField(choices=[("buy", "Buy"), ("sell", "Sell")], default="buy")
    lots = AmountField()
    open_price = AmountField()
    close_price = AmountField()
    spread_points = AmountField(allow_null=True, default=None)
    markup_points = AmountField(allow_null=True, default=None)
    commission = AmountField(default="0")
    currency = CurrencyField(default="USD")
    reward_currency = CurrencyField(default="USD")
    held_seconds = serializers.IntegerField(min_value=0, max_value=2_000_000_000, default=3_600)
    is_close_by = serializers.BooleanField(default=False)
    country = serializers.RegexField(r"^[A-Z]{2}$", default="", allow_blank=True)
    campaign = serializers.CharField(max_length=160, default="", allow_blank=True)
    measure_before = AmountField(default="0")
    partner = VisibleField(slug_field="reference", queryset=Partner.objects.all(), allow_null=True, default=None)
    chain = ExampleStepSerializer(many=True, default=list)


class ExampleStepLineSerializer(serializers.Serializer[Any]):
    """A step of the explanation."""

    title = serializers.CharField()
    text = serializers.CharField()
    figure = serializers.CharField(allow_blank=True)


class ExampleLineSerializer(serializers.Serializer[Any]):
    """What one partner gets for one component, or why nothing."""

    partner = serializers.CharField()
    component = serializers.CharField()
    level = serializers.IntegerField()
    rule = serializers.CharField()
    amount = AmountField()
    currency = serializers.CharField()
    excluded = serializers.CharField(allow_blank=True)
    steps = ExampleStepLineSerializer(many=True)


class ExampleResultSerializer(serializers.Serializer[Any]):
    """Every line, the rules that lost, and the trade's revenue where it is known."""

    lines = ExampleLineSerializer(many=True)
    lost = serializers.SerializerMethodField()
    revenue = AmountField(allow_null=True)
    revenue_currency = serializers.CharField()
    total_percent = AmountField(allow_null=True)

    @extend_schema_field(serializers.DictField(child=serializers.ListField(child=serializers.CharField())))
    def get_lost(self, result: Any) -> dict[str, list[str]]:
        """By partner, the rules that do not pay and why."""
        return {name: list(rules) for name, rules in result.lost}


class ExampleView(ApiView):
    """The live example."""

    @use_case(
        capability=VIEW,
        input=ExampleInputSerializer,
        output=ExampleResultSerializer,
        operation_id="plan_versions_example",
        description="What an imagined trade would pay to everybody, by the settlement's own functions; nothing is stored.",
    )
    def post(self, call: Call) -> Any:
        """The lines."""
        given = dict(call.data)
        symbol, partner = given.pop("symbol"), given.pop("partner")
        chain = tuple(ExampleStep(**step) for step in given.pop("chain")) or (ExampleStep(),)
        query = ExampleQuery(
            version_id=given.pop("version"),
            symbol_id=symbol.pk,
            partner_id=partner.pk if partner else None,
            chain=chain,
            **given,
        )
        return example_of(actor=call.actor, query=checked_query(query))


def register() -> None:
    """Puts the editor on the API."""
    register_endpoint("plan-editor/rules/edit/", EditRuleView, "plan-rules-edit")
    register_endpoint("plan-editor/rules/move/", MoveRuleView, "plan-rules-move")
    register_endpoint("plan-editor/versions/copy/", CopyVersionView, "plan-versions-copy")
    register_endpoint("plan-editor/ranks/set/", SetRankView, "plan-ranks-set")
    register_endpoint("plan-editor/ranks/move/", MoveRankView, "plan-ranks-move")
    register_endpoint("plan-editor/ranks/remove/", RemoveRankView, "plan-ranks-remove")
    register_endpoint("plan-editor/weights/remove/", RemoveWeightView, "plan-weights-remove")
    register_endpoint("plan-editor/versions/<int:version_id>/check/", CheckVersionView, "plan-versions-check")
    register_endpoint("plan-editor/versions/<int:version_id>/diff/", DiffVersionView, "plan-versions-diff")
    register_endpoint("plan-editor/example/", ExampleView, "plan-versions-example")
