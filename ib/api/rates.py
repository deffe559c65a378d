"""Ranks and agreed rates over HTTP: what was decided, what is asked for, and a partner's own rates for those below."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.kernel import clock
from backoffice.kernel.errors import NotFound
from backoffice.ui.api_fields import AmountField, MomentField, code_of
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from ib import selectors
from ib.api.own import OWN
from ib.api.partners import MANAGE, AgreedRateSerializer, PartnerField, RankSerializer
from ib.api.requests import ChangeSerializer
from ib.models import NegotiatedRate, PartnerRank, RankEvaluation
from ib.selectors.ranks import rank_progress
from ib.services import negotiated_rates, rank_requests, ranks

VIEW = "ib.view_partners"


class PartnerRankViewSet(ScopedReadOnlyViewSet):
    """Which rank which partner holds, and when."""

    capability = VIEW
    queryset = PartnerRank.objects.select_related("partner").order_by("-pk")
    serializer_class = RankSerializer
    lookup_value_converter = "int"
    filterset_fields = {"partner__reference": ["exact"], "rank": ["exact"], "source": ["exact"]}


class AgreedRateViewSet(ScopedReadOnlyViewSet):
    """Rates that were agreed on, by the desk or by the partner above."""

    capability = VIEW
    queryset = NegotiatedRate.objects.select_related("partner").order_by("-pk")
    serializer_class = AgreedRateSerializer
    lookup_value_converter = "int"
    filterset_fields = {"partner__reference": ["exact"], "component": ["exact"]}


class RankConditionFigureSerializer(serializers.Serializer[Any]):
    """A condition that was looked at, and what was reached."""

    rank = serializers.CharField()
    condition = serializers.CharField()
    needed = AmountField()
    reached = AmountField()
    met = serializers.BooleanField()


class RankEvaluationSerializer(serializers.ModelSerializer[RankEvaluation]):
    """What a partner's month earned, and which rank follows from it."""

    partner = code_of("partner.reference")
    measures = RankConditionFigureSerializer(many=True, read_only=True)

    class Meta:
        model = RankEvaluation
        fields = [
            "id",
            "partner",
            "period",
            "seq",
            "held",
            "earned",
            "follows",
            "misses",
            "outcome",
            "measures",
            "change_reference",
            "evaluated_at",
        ]
        read_only_fields = fields


class RankEvaluationViewSet(ScopedReadOnlyViewSet):
    """What every partner's month earned."""

    capability = VIEW
    queryset = RankEvaluation.objects.select_related("partner").order_by("-pk")
    serializer_class = RankEvaluationSerializer
    lookup_value_converter = "int"
    filterset_fields = {"partner__reference": ["exact"], "period": ["exact"], "outcome": ["exact"]}


class EvaluateRanksSerializer(StrictSerializer):
    """The first day of a month that is over."""

    period = serializers.DateField()


class RankRunSerializer(serializers.Serializer[Any]):
    """What looking at a month came to."""

    period = serializers.DateField()
    partners = serializers.IntegerField()
    outcomes = serializers.DictField(child=serializers.IntegerField())


class EvaluateRanksView(ApiView):
    """Looking at a month."""

    @use_case(
        capability=MANAGE,
        input=EvaluateRanksSerializer,
        output=RankRunSerializer,
        operation_id="partner_ranks_evaluate",
        description="Decides the ranks that follow from a month that is over; a second look changes nothing.",
    )
    def post(self, call: Call) -> Any:
        """How many of each outcome."""
        return ranks.evaluate_ranks(period=call.data["period"], actor=call.actor)


class RankRequestSerializer(StrictSerializer):
    """Which rank by hand, from when, until when, and why."""

    partner = PartnerField()
    rank = serializers.SlugField(max_length=40)
    valid_from = MomentField()
    until = MomentField(allow_null=True, default=None)
    reason = serializers.CharField(max_length=300)


class RequestRankView(ApiView):
    """Asking for a rank for a time that has begun."""

    @use_case(
        capability=MANAGE,
        input=RankRequestSerializer,
        output=ChangeSerializer,
        status=201,
        operation_id="partner_ranks_request",
        description="Asks for a rank by hand, for a time that has begun too; another person approves it.",
    )
    def post(self, call: Call) -> Any:
        """The request."""
        given = dict(call.data)
        return rank_requests.request_rank(partner_id=given.pop("partner").pk, actor=call.actor, **given)


class RateRequestSerializer(StrictSerializer):
    """A rate, or percent of the rate above, that the desk agrees on with a partner. Exactly one of both."""

    partner = PartnerField()
    component = serializers.SlugField(max_length=40, default="main")
    rate = AmountField(allow_null=True, default=None)
    allocation_percent = AmountField(allow_null=True, default=None)
    valid_from = MomentField()
    reason = serializers.CharField(max_length=400)


class RequestRateView(ApiView):
    """Asking for an agreed rate."""

    @use_case(
        capability=MANAGE,
        input=RateRequestSerializer,
        output=ChangeSerializer,
        status=201,
        operation_id="agreed_rates_request",
        description="Asks for a rate of the desk, paid out of the rate of the partner above; another person approves it.",
    )
    def post(self, call: Call) -> Any:
        """The request."""
        given = dict(call.data)
        return rank_requests.request_rate(partner_id=given.pop("partner").pk, actor=call.actor, **given)


class MissingSerializer(serializers.Serializer[Any]):
    """A condition of the next rank, and how far it is."""

    text = serializers.CharField()
    needed = AmountField()
    reached = AmountField()
    left = AmountField()
    currency = serializers.CharField(allow_blank=True)
    percent = serializers.IntegerField()


class RankProgressSerializer(serializers.Serializer[Any]):
    """Where a partner stands in the running month."""

    plan = serializers.CharField()
    period = serializers.DateField()
    held = serializers.CharField(allow_blank=True)
    is_by_hand = serializers.BooleanField()
    by_hand_until = serializers.DateTimeField(allow_null=True)
    earned = serializers.CharField(allow_blank=True)
    next_name = serializers.CharField(allow_blank=True)
    missing = MissingSerializer(many=True)


class OwnRankView(ApiView):
    """The caller's own rank."""

    capability = OWN

    @extend_schema(operation_id="own_rank", responses=RankProgressSerializer)
    def get(self, request: Request) -> Response:
        """Where the partner stands, and what is missing to the next rank."""
        progress = rank_progress(actor=self.actor, partner=selectors.own_partner(actor=self.actor))
        if progress is None:
            raise NotFound("Your plan has no ranks that are reached by themselves.")
        return Response(RankProgressSerializer(progress).data)


class SubRateSerializer(StrictSerializer):
    """What somebody directly below gets: a rate, or percent of the own rate. Exactly one of both."""

    partner = serializers.CharField(max_length=20)
    component = serializers.SlugField(max_length=40, default="main")
    rate = AmountField(allow_null=True, default=None)
    allocation_percent = AmountField(allow_null=True, default=None)


class SharedRateSerializer(serializers.Serializer[Any]):
    """How the own rate on a symbol group is shared."""

    symbol_group = serializers.CharField()
    component = serializers.CharField()
    unit = serializers.CharField()
    whole = AmountField()
    theirs = AmountField()
    own = AmountField()
    sentence = serializers.CharField()


class OwnSubRateView(ApiView):
    """A rate for somebody directly below."""

    @use_case(
        capability=negotiated_rates.CAPABILITY,
        input=SubRateSerializer,
        output=AgreedRateSerializer,
        status=201,
        operation_id="own_sub_partner_rates_set",
        description="Gives somebody directly below a rate out of the own one, from now on; never more than it.",
    )
    def post(self, call: Call) -> NegotiatedRate:
        """The rate."""
        given = dict(call.data)
        child = negotiated_rates.visible_child(actor=call.actor, reference=given.pop("partner"))
        return negotiated_rates.set_sub_partner_rate(partner_id=child.pk, actor=call.actor, **given)


class OwnSubRateExampleView(ApiView):
    """What a rate would come to."""

    @use_case(
        capability=negotiated_rates.CAPABILITY,
        input=SubRateSerializer,
        output=SharedRateSerializer,
        many=True,
        operation_id="own_sub_partner_rates_example",
        description="How the own rate would be shared on each symbol group; nothing is changed.",
    )
    def post(self, call: Call) -> Any:
        """A row for each symbol group."""
        given = dict(call.data)
        own = selectors.own_partner(actor=call.actor)
        child = negotiated_rates.visible_child(actor=call.actor, reference=given.pop("partner"))
        negotiated_rates.check_sub_partner_rate(own=own, child=child, at=clock.now(), **given)
        return negotiated_rates.shared_rates(own=own, child=child, at=clock.now(), **given)


def register() -> None:
    """Puts ranks and rates on the API."""
    register_router("partner-ranks", PartnerRankViewSet, "partner-rank")
    register_router("rank-evaluations", RankEvaluationViewSet, "rank-evaluation")
    register_router("agreed-rates", AgreedRateViewSet, "agreed-rate")
    register_endpoint("rank-evaluations/run/", EvaluateRanksView, "rank-evaluations-run")
    register_endpoint("partner-ranks/request/", RequestRankView, "partner-ranks-request")
    register_endpoint("agreed-rates/request/", RequestRateView, "agreed-rates-request")
    register_endpoint("own/rank/", OwnRankView, "own-rank")
    register_endpoint("own/sub-partner-rates/", OwnSubRateView, "own-sub-partner-rates")
    register_endpoint("own/sub-partner-rates/example/", OwnSubRateExampleView, "own-sub-partner-rates-example")
