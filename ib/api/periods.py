"""What is earned by the period over HTTP: facts that a broker's systems tell, lines and why, rewards, carried losses."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.ui.api_fields import AmountField, CurrencyField, MomentField, VisibleField, code_of
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from ib import selectors
from ib.api.commissions import ExplanationSerializer
from ib.api.partners import PartnerField
from ib.models import CarryBalance, ClientEvent, CpaClaim, PeriodLine
from ib.models.client_events import ClientEventKind
from ib.selectors import period_lines
from ib.services import client_events, periods, rewards

VIEW = "ib.view_commissions"
SETTLE = "ib.settle_commissions"
OWN = "ib.view_own_commissions"
MAX_OWN_LINES = 1000


class ClientEventSerializer(serializers.ModelSerializer[ClientEvent]):
    """A fact about a client; `reverses` is the fact that it takes out."""

    client = code_of("client.reference")
    reverses = code_of("reverses.public_id", allow_null=True)

    class Meta:
        model = ClientEvent
        fields = [
            "public_id",
            "client",
            "kind",
            "amount",
            "currency",
            "at",
            "day",
            "disputed_from",
            "source",
            "reference",
            "reverses",
            "note",
            "recorded_at",
            "recorded_by",
        ]
        read_only_fields = fields


class NewClientEventSerializer(StrictSerializer):
    """A fact as a system tells it. The same reference of the same source is the same fact, told once."""

    client = VisibleField(slug_field="reference", queryset=apps.get_model("crm", "Client")._default_manager.all())
    kind = serializers.ChoiceField(choices=ClientEventKind.choices)
    at = MomentField(help_text="When it happened; for fraud, from when on.")
    source = serializers.SlugField(max_length=40)  # type: ignore[assignment]  # a field of that name
    reference = serializers.CharField(max_length=120)
    amount = AmountField(required=False, allow_null=True, default=None)
    currency = CurrencyField(required=False, allow_blank=True, default="")
    disputed_from = MomentField(required=False, allow_null=True, default=None)
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=300)


class ReversalSerializer(ReasonSerializer):
    """Why a fact is taken out, and the source's own number of that."""

    reference = serializers.CharField(max_length=120)


class ClientEventViewSet(ScopedReadOnlyViewSet):
    """Facts about clients that commissions rest on, the newest first."""

    capability = "ib.view_client_events"
    queryset = ClientEvent.objects.select_related("client", "reverses")
    serializer_class = ClientEventSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_fields = {"kind": ["exact"], "source": ["exact"], "reference": ["exact"], "day": ["exact"]}

    @use_case(
        capability=client_events.RECORD,
        input=NewClientEventSerializer,
        output=ClientEventSerializer,
        status=201,
        operation_id="client_events_record",
        description="Tells a fact, once: repeating it is harmless, the same reference for another fact is refused.",
    )
    def create(self, call: Call) -> ClientEvent:
        """The fact as it stands."""
        given = dict(call.data)
        fact = client_events.ClientFact(client_id=given.pop("client").pk, **given)
        return client_events.record_client_event(fact=fact, actor=call.actor)

    @use_case(
        capability=client_events.RECORD,
        input=ReversalSerializer,
        output=ClientEventSerializer,
        status=201,
        route="reverse",
        operation_id="client_events_reverse",
        description="Takes a fact out, as if it had never happened.",
    )
    def reverse(self, call: Call) -> ClientEvent:
        """The fact that takes it out."""
        return client_events.reverse_client_event(event_id=call.target.pk, actor=call.actor, **call.data)


class PeriodLineSerializer(serializers.ModelSerializer[PeriodLine]):
    """What was booked of a period for a partner: by a rule and for a subject, or by an event that took it back."""

    reference = serializers.CharField(read_only=True)
    partner = code_of("partner.reference")
    cause_event = code_of("cause_event.public_id", allow_null=True)

    class Meta:
        model = PeriodLine
        fields = [
            "reference",
            "partner",
            "kind",
            "rule_id",
            "subject_type",
            "subject_id",
            "period",
            "seq",
            "level",
            "cause_event",
            "earned_at",
            "quantity",
            "measure",
            "rate",
            "rate_currency",
            "fx_rate",
            "fx_date",
            "target",
            "amount",
            "currency",
            "day",
            "booked_day",
        ]
        read_only_fields = fields


class PeriodLineFilter(filters.FilterSet):
    """Which lines."""

    partner = filters.CharFilter(field_name="partner__reference")

    class Meta:
        model = PeriodLine
        fields = {"period": ["exact"], "kind": ["exact"]}


class PeriodLineViewSet(ScopedReadOnlyViewSet):
    """Lines by the period, the newest first."""

    capability = VIEW
    queryset = PeriodLine.objects.select_related("partner", "cause_event")
    serializer_class = PeriodLineSerializer
    lookup_field = "reference"
    filterset_class = PeriodLineFilter

    def get_object(self) -> PeriodLine:
        """By its reference."""
        return period_lines.find_period_line(actor=self.actor, reference=self.kwargs["reference"])


class PeriodLineExplanationView(ApiView):
    """The explanation of a line."""

    capability = VIEW

    @extend_schema(operation_id="period_lines_explanation", responses=ExplanationSerializer)
    def get(self, request: Request, reference: str) -> Response:
        """Every step, computed anew."""
        _, explanation = period_lines.explain_period_line(actor=self.actor, reference=reference)
        return Response(ExplanationSerializer(explanation).data)


class RewardSerializer(serializers.ModelSerializer[CpaClaim]):
    """How far a client is on the way to a reward."""

    client = code_of("client.reference")
    partner = code_of("partner.reference")

    class Meta:
        model = CpaClaim
        fields = [
            "id",
            "client",
            "partner",
            "component",
            "level",
            "state",
            "missing",
            "reason",
            "first_deposit_at",
            "first_deposit",
            "qualified_at",
            "expires_at",
            "reward",
            "currency",
            "declined_at",
            "declined_by",
            "declined_reason",
        ]
        read_only_fields = fields


class RewardViewSet(ScopedReadOnlyViewSet):
    """Rewards for clients, on the way, earned and lost."""

    capability = VIEW
    queryset = CpaClaim.objects.select_related("client", "partner")
    serializer_class = RewardSerializer
    lookup_value_converter = "int"
    filterset_fields = {"state": ["exact"], "partner__reference": ["exact"]}

    @use_case(
        capability=rewards.DECIDE,
        input=ReasonSerializer,
        output=RewardSerializer,
        route="decline",
        operation_id="rewards_decline",
        description="Refuses the reward; what was booked for it is taken back.",
    )
    def decline(self, call: Call) -> CpaClaim:
        """The reward as it stands until the next settlement."""
        return rewards.decline_reward(claim_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=rewards.DECIDE,
        input=ReasonSerializer,
        output=RewardSerializer,
        route="restore",
        operation_id="rewards_restore",
        description="Takes a refusal back; the rules of the plan decide again.",
    )
    def restore(self, call: Call) -> CpaClaim:
        """The reward as it stands until the next settlement."""
        return rewards.restore_reward(claim_id=call.target.pk, actor=call.actor, **call.data)


class CarryBalanceSerializer(serializers.ModelSerializer[CarryBalance]):
    """Losses carried into and out of a month."""

    partner = code_of("partner.reference")
    plan = code_of("plan.code", allow_null=True)

    class Meta:
        model = CarryBalance
        fields = [
            "id",
            "partner",
            "plan",
            "period",
            "scope",
            "opening",
            "lapsed",
            "result",
            "set_off",
            "carried",
            "forgiven",
            "closing",
            "currency",
        ]
        read_only_fields = fields


class CarryBalanceViewSet(ScopedReadOnlyViewSet):
    """Carried losses, the newest month first."""

    capability = VIEW
    queryset = CarryBalance.objects.select_related("partner", "plan")
    serializer_class = CarryBalanceSerializer
    lookup_value_converter = "int"
    filterset_fields = {"period": ["exact"], "partner__reference": ["exact"]}


class SettlePeriodsSerializer(StrictSerializer):
    """Whose periods, from which day's month on."""

    partner = PartnerField()
    from_day = serializers.DateField()


class PeriodResultSerializer(serializers.Serializer[Any]):
    """What a settlement of a partner's periods booked, and why it waits, if it does."""

    lines = serializers.IntegerField()
    booked = serializers.DictField(child=serializers.CharField(), help_text="Decimal text by currency.")
    waiting = serializers.CharField(allow_blank=True)


class SettlePeriodsView(ApiView):
    """Settlement of a partner's periods."""

    @use_case(
        capability=SETTLE,
        input=SettlePeriodsSerializer,
        output=PeriodResultSerializer,
        needs_key=True,
        apart=True,
        operation_id="period_lines_settle",
        description="Books target minus booked of the partner's periods; a second run books nothing.",
    )
    def post(self, call: Call) -> Any:
        """What was booked."""
        given = call.data
        return periods.settle_partner(
            partner_id=given["partner"].pk, from_day=given["from_day"], cause="asked", actor=call.actor
        )


class OwnPeriodLineSerializer(serializers.ModelSerializer[PeriodLine]):
    """A line as its partner sees it: clients of others are not named."""

    reference = serializers.CharField(read_only=True)
    client = serializers.CharField(source="client_reference", read_only=True, allow_null=True)

    class Meta:
        model = PeriodLine
        fields = ["reference", "kind", "period", "level", "client", "target", "amount", "currency", "day", "booked_day"]
        read_only_fields = fields


class OwnRewardSerializer(serializers.ModelSerializer[CpaClaim]):
    """A reward as its partner sees it."""

    client = serializers.CharField(source="client_reference", read_only=True)

    class Meta:
        model = CpaClaim
        fields = [
            "client",
            "level",
            "state",
            "missing",
            "reason",
            "first_deposit_at",
            "qualified_at",
            "expires_at",
            "reward",
            "currency",
        ]
        read_only_fields = fields


class OwnPeriodLinesView(ApiView):
    """The caller's own lines by the period."""

    capability = OWN

    @extend_schema(operation_id="own_period_lines", responses=OwnPeriodLineSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest first, at most a thousand."""
        partner = selectors.own_partner(actor=self.actor)
        lines = period_lines.own_period_lines(actor=self.actor, partner=partner)[:MAX_OWN_LINES]
        return Response(OwnPeriodLineSerializer(lines, many=True).data)


class OwnPeriodLineExplanationView(ApiView):
    """The explanation of one's own line."""

    capability = OWN

    @extend_schema(operation_id="own_period_lines_explanation", responses=ExplanationSerializer)
    def get(self, request: Request, reference: str) -> Response:
        """Every step, computed anew."""
        _, explanation = period_lines.explain_period_line(actor=self.actor, reference=reference)
        return Response(ExplanationSerializer(explanation).data)


class OwnRewardsView(ApiView):
    """The caller's own rewards."""

    capability = OWN

    @extend_schema(operation_id="own_rewards", responses=OwnRewardSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Those on the way, earned and lost, at most a thousand."""
        partner = selectors.own_partner(actor=self.actor)
        claims = period_lines.claims_of(actor=self.actor, partner=partner)[:MAX_OWN_LINES]
        return Response(OwnRewardSerializer(claims, many=True).data)


def register() -> None:
    """Puts what is earned by the period on the API."""
    register_router("client-events", ClientEventViewSet, "client-event")
    register_endpoint("period-lines/settle/", SettlePeriodsView, "period-lines-settle")
    register_endpoint("period-lines/<str:reference>/explanation/", PeriodLineExplanationView, "period-line-explanation")
    register_router("period-lines", PeriodLineViewSet, "period-line")
    register_router("rewards", RewardViewSet, "reward")
    register_router("carried-losses", CarryBalanceViewSet, "carried-loss")
    register_endpoint("own/period-lines/", OwnPeriodLinesView, "own-period-lines")
    register_endpoint(
        "own/period-lines/<str:reference>/explanation/", OwnPeriodLineExplanationView, "own-period-line-explanation"
    )
    register_endpoint("own/rewards/", OwnRewardsView, "own-rewards")
