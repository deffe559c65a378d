"""Exposure over HTTP."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.actors import actor_of
from backoffice.core.models import LegalEntity
from backoffice.kernel.errors import NotFound
from backoffice.ui.api_fields import entity_field
from backoffice.ui.api_registry import register_endpoint
from backoffice.ui.api_views import ApiView, Call, StrictSerializer, use_case
from risk import selectors
from risk.models import ExposureRun
from risk.presentation import exposure_document
from risk.services.exposure import calculate_exposure


class SymbolExposureSerializer(serializers.Serializer):
    """Net exposure of the clients in one symbol; money in the report currency."""

    symbol = serializers.CharField()
    positions = serializers.IntegerField()
    long_lots = serializers.CharField()
    short_lots = serializers.CharField()
    net_lots = serializers.CharField()
    net_units = serializers.CharField(allow_null=True)
    average_price_long = serializers.CharField(allow_null=True)
    average_price_short = serializers.CharField(allow_null=True)
    bid = serializers.CharField(allow_null=True)
    ask = serializers.CharField(allow_null=True)
    price = serializers.CharField(allow_null=True, help_text="Mid, at which exposure is marked.")
    priced_at = serializers.DateTimeField(allow_null=True)
    notional = serializers.CharField(allow_null=True)
    floating = serializers.CharField(allow_null=True)
    reason = serializers.CharField(allow_null=True, help_text="Why there is no figure in money.")


class CurrencyExposureSerializer(serializers.Serializer):
    """Net exposure of the clients in one currency or asset."""

    currency = serializers.CharField()
    positions = serializers.IntegerField()
    net_units = serializers.CharField()
    rate = serializers.CharField(allow_null=True)
    notional = serializers.CharField(allow_null=True)


class ExposureSerializer(serializers.Serializer):
    """The last calculated exposure, from the clients' side: the broker stands on the other side."""

    as_of = serializers.DateTimeField()
    prices_as_of = serializers.DateTimeField(allow_null=True)
    price_source = serializers.CharField()
    entities = serializers.ListField(child=serializers.CharField())
    book = serializers.CharField(allow_null=True)
    books = serializers.ListField(child=serializers.CharField())
    report_currency = serializers.CharField()
    positions = serializers.IntegerField()
    symbols = SymbolExposureSerializer(many=True)
    currencies = CurrencyExposureSerializer(many=True)
    totals = serializers.DictField(child=serializers.CharField())
    rates = serializers.DictField()
    unpriced = serializers.ListField(child=serializers.DictField())
    unmapped = serializers.DictField()


class ExposureQuerySerializer(StrictSerializer):
    """Which exposure."""

    entity = serializers.CharField(
        required=False, max_length=32, help_text="Code of the legal entity; default: the first that you may see."
    )
    book = serializers.CharField(
        required=False, max_length=20, help_text="Only accounts in this book, such as A, B or none."
    )


class ExposureView(ApiView):
    """GET: net exposure by symbol and by currency, as last calculated at the current quotes."""

    capability = "risk.view_exposure"
    query = ExposureQuerySerializer

    @extend_schema(
        operation_id="risk_exposure",
        responses=ExposureSerializer,
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """See the class. 404 for an entity that is not the caller's, or when nothing was calculated yet."""
        wanted = self.parameters()
        code = wanted.get("entity", "")
        entity = LegalEntity.objects.filter(code=code).first() if code else None
        if code and entity is None:
            raise NotFound("No exposure was calculated for this entity, or it is not yours to see.", entity=code)
        table = selectors.latest_exposure(
            actor=actor_of(request),
            entity_id=entity.pk if entity else None,
            book=wanted.get("book", ""),
        )
        if table is None:
            raise NotFound("No exposure was calculated for this entity, or it is not yours to see.", entity=code)
        return Response(exposure_document(table))


class CalculateSerializer(StrictSerializer):
    """Whose exposure."""

    entity = entity_field()


class ExposureRunSerializer(serializers.ModelSerializer):
    """A stored calculation."""

    class Meta:
        model = ExposureRun
        fields = ["id", "calculated_at", "price_source", "prices_as_of", "positions", "report_currency"]
        read_only_fields = fields


class CalculateExposureView(ApiView):
    """POST: calculates and stores the exposure of a legal entity at the current quotes."""

    @use_case(
        capability="risk.calculate_exposure",
        input=CalculateSerializer,
        output=ExposureRunSerializer,
        status=201,
        operation_id="risk_exposure_calculate",
        description="Calculates and stores the exposure of a legal entity at the current quotes.",
    )
    def post(self, call: Call) -> ExposureRun:
        """The calculation."""
        return calculate_exposure(entity_id=call.data["entity"].pk, actor=call.actor)


def register() -> None:
    """Puts exposure on the API. Called once, when the process starts."""
    register_endpoint("risk/exposure/", ExposureView, "risk-exposure")
    register_endpoint("risk/exposure/calculate/", CalculateExposureView, "risk-exposure-calculate")
