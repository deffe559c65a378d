"""Commission lines and how they came about, settlements, coverage, trades set aside, the rate card."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.kernel.errors import InvalidInput
from backoffice.ui.api_fields import AmountField
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from ib import selectors
from ib.models import CommissionLine, QuarantinedTrade, RateCardVersion, SettlementBatch
from ib.services import card, proof, quarantine, settlement
from ib.types import Coverage, Exclusion

VIEW = "ib.view_commissions"
SETTLE = "ib.settle_commissions"
MAX_DAYS = 366


def check_days(given: dict[str, Any]) -> dict[str, Any]:
    """A span of days that ends after it begins, and within a year. Raises InvalidInput."""
    if given["to_day"] < given["from_day"]:
        raise InvalidInput("The range ends before it begins.", field="to_day")
    if (given["to_day"] - given["from_day"]).days >= MAX_DAYS:
        raise InvalidInput(f"At most {MAX_DAYS} days at once.", field="to_day")
    return given


class DaysSerializer(StrictSerializer):
    """A span of business days, both ends included."""

    from_day = serializers.DateField()
    to_day = serializers.DateField()


class LineSerializer(serializers.ModelSerializer[CommissionLine]):
    """A commission line: what was booked of a trade for a partner, by one rule."""

    reference = serializers.CharField(read_only=True)

    class Meta:
        model = CommissionLine
        fields = [
            "reference",
            "partner_id",
            "trade_id",
            "seq",
            "day",
            "batch_id",
            "rule_id",
            "level",
            "quantity",
            "rate",
            "rate_currency",
            "fx_rate",
            "fx_date",
            "target",
            "amount",
            "currency",
            "booked_day",
        ]
        read_only_fields = fields


class LineFilter(filters.FilterSet):
    """Which lines."""

    partner_id = filters.NumberFilter(max_value=2**63 - 1)
    trade_id = filters.NumberFilter(max_value=2**63 - 1)
    batch_id = filters.NumberFilter(max_value=2**63 - 1)
    day_from = filters.DateFilter(field_name="day", lookup_expr="gte")
    day_until = filters.DateFilter(field_name="day", lookup_expr="lte")


class StepSerializer(serializers.Serializer[Any]):
    """One step of an explanation."""

    title = serializers.CharField()
    text = serializers.CharField()
    figure = serializers.CharField(allow_blank=True)


class ExplanationSerializer(serializers.Serializer[Any]):
    """How a line came about. `amount` was computed anew; `agrees` says whether it is the stored one."""

    steps = StepSerializer(many=True)
    target = AmountField(max_digits=40, decimal_places=24)
    amount = AmountField(max_digits=40, decimal_places=24)
    currency = serializers.CharField()
    agrees = serializers.BooleanField()


class LineViewSet(ScopedReadOnlyViewSet):
    """Commission lines, newest day first."""

    capability = VIEW
    queryset = CommissionLine.objects.all()
    serializer_class = LineSerializer
    page_ordering = ("-day", "partner_id", "trade_id", "seq")
    lookup_field = "reference"
    filterset_class = LineFilter

    def get_object(self) -> CommissionLine:
        """By its reference, which joins the key's parts."""
        return selectors.find_line(actor=self.actor, reference=self.kwargs["reference"])


class LineExplanationView(ApiView):
    """The explanation of a line."""

    capability = VIEW

    @extend_schema(operation_id="commission_lines_explanation", responses=ExplanationSerializer)
    def get(self, request: Request, reference: str) -> Response:
        """Every step from the trade to the amount, computed anew."""
        _, explanation = selectors.explain_line(actor=self.actor, reference=reference)
        return Response(ExplanationSerializer(explanation).data)


class SettlementSerializer(serializers.Serializer[Any]):
    """What a settlement booked."""

    trades = serializers.IntegerField()
    lines = serializers.IntegerField()
    booked = serializers.DictField(child=serializers.CharField(), help_text="Decimal text by currency.")
    seconds = serializers.DecimalField(max_digits=12, decimal_places=6)


class SettleView(ApiView):
    """Settlement of days."""

    @use_case(
        capability=SETTLE,
        input=DaysSerializer,
        output=SettlementSerializer,
        needs_key=True,
        apart=True,
        operation_id="commissions_settle",
        description="Books target minus booked of every trade of the days; a second run books nothing.",
    )
    def post(self, call: Call) -> Any:
        """What was booked."""
        return settlement.settle_range(**check_days(call.data), actor=call.actor)


class ProofSerializer(serializers.Serializer[Any]):
    """What deriving every line anew found."""

    trades = serializers.IntegerField()
    lines = serializers.IntegerField()
    count = serializers.IntegerField(help_text="Rows that are not as they should be.")
    ok = serializers.BooleanField()


class ProofView(ApiView):
    """Proof of stored lines."""

    @use_case(
        capability=VIEW,
        input=DaysSerializer,
        output=ProofSerializer,
        apart=True,
        operation_id="commissions_prove",
        description="Derives every line of the days anew and compares; writes nothing.",
    )
    def post(self, call: Call) -> Any:
        """What was found."""
        return proof.prove_range(**check_days(call.data), actor=call.actor)


class CoverageRowSerializer(serializers.Serializer[Any]):
    """A group of trades of a day that met the same fate."""

    day = serializers.DateField()
    status = serializers.ChoiceField(choices=[(item.value, item.value) for item in Coverage])
    reason = serializers.ChoiceField(choices=[(item.value, item.value) for item in Exclusion], allow_null=True)
    trades = serializers.IntegerField()


class DayQuerySerializer(StrictSerializer):
    """Which business day."""

    day = serializers.DateField()


class CoverageView(ApiView):
    """What became of the trades of a day."""

    capability = VIEW
    query = DayQuerySerializer

    @extend_schema(operation_id="commission_coverage", responses=CoverageRowSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Paid, excluded with the reason, or unmatched: an alarm."""
        day = self.parameters()["day"]
        rows = selectors.coverage(actor=self.actor, from_day=day, to_day=day)
        return Response(CoverageRowSerializer(rows, many=True).data)


class SettlementBatchSerializer(serializers.ModelSerializer[SettlementBatch]):
    """One unit of settlement that was booked, with its control totals."""

    booked = serializers.DictField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = SettlementBatch
        fields = [
            "id",
            "purpose",
            "scope_key",
            "ingest_batch",
            "day",
            "cause",
            "actor",
            "card",
            "trades",
            "lines",
            "booked",
            "line_digest",
            "created_at",
        ]
        read_only_fields = fields


class SettlementBatchViewSet(ScopedReadOnlyViewSet):
    """Settlements."""

    capability = VIEW
    queryset = SettlementBatch.objects.all()
    serializer_class = SettlementBatchSerializer
    lookup_value_converter = "int"
    filterset_fields = {"purpose": ["exact"], "day": ["exact"]}


class QuarantinedSerializer(serializers.ModelSerializer[QuarantinedTrade]):
    """A trade that the books refused and that was set aside."""

    class Meta:
        model = QuarantinedTrade
        fields = [
            "id",
            "trade",
            "ticket",
            "day",
            "error",
            "reason",
            "cause",
            "attempts",
            "quarantined_at",
            "released_at",
            "released_by",
            "release_reason",
        ]
        read_only_fields = fields


class QuarantinedViewSet(ScopedReadOnlyViewSet):
    """Trades set aside."""

    capability = VIEW
    queryset = QuarantinedTrade.objects.all()
    serializer_class = QuarantinedSerializer
    lookup_value_converter = "int"
    filterset_fields = {"day": ["exact"], "error": ["exact"]}

    @use_case(
        capability=SETTLE,
        input=ReasonSerializer,
        output=QuarantinedSerializer,
        route="release",
        apart=True,
        operation_id="quarantined_trades_release",
        description="Puts the trade back and has its day settled again.",
    )
    def release(self, call: Call) -> QuarantinedTrade:
        """The trade, put back."""
        return quarantine.release_trade(quarantine_id=call.target.pk, actor=call.actor, **call.data)


class RateCardSerializer(serializers.ModelSerializer[RateCardVersion]):
    """A compiled rate card."""

    class Meta:
        model = RateCardVersion
        fields = ["id", "digest", "entries", "compiled_at", "is_active"]
        read_only_fields = fields


class RateCardViewSet(ScopedReadOnlyViewSet):
    """Compiled rate cards, the newest first. POST compiles anew; an equal card stays the version that it is."""

    capability = VIEW
    queryset = RateCardVersion.objects.all()
    serializer_class = RateCardSerializer
    lookup_value_converter = "int"

    @use_case(
        capability=SETTLE,
        output=RateCardSerializer,
        apart=True,
        operation_id="rate_cards_compile",
        description="Compiles the rate card from tree, referrals, agreements and plans as they stand.",
    )
    def create(self, call: Call) -> RateCardVersion:
        """The active version."""
        return card.compile_rate_card(actor=call.actor)


def register() -> None:
    """Puts commissions on the API."""
    register_endpoint("commission-lines/<str:reference>/explanation/", LineExplanationView, "commission-explanation")
    register_router("commission-lines", LineViewSet, "commission-line")
    register_router("settlements", SettlementBatchViewSet, "settlement")
    register_router("quarantined-trades", QuarantinedViewSet, "quarantined-trade")
    register_router("rate-cards", RateCardViewSet, "rate-card")
    register_endpoint("commissions/settle/", SettleView, "commissions-settle")
    register_endpoint("commissions/prove/", ProofView, "commissions-prove")
    register_endpoint("commissions/coverage/", CoverageView, "commissions-coverage")
