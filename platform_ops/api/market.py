"""Prices and reference rates."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from backoffice.ui.api_fields import CurrencyField, PriceField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import DailyPrice, FxReferenceRate, Quote
from platform_ops.permissions import LOAD_RATES, VIEW_PLATFORM
from platform_ops.services import rates

MAX_FIXINGS = 1000


class QuoteSerializer(serializers.ModelSerializer[Quote]):
    """The latest price of a symbol."""

    symbol = code_of("symbol.code")

    class Meta:
        model = Quote
        fields = ["symbol", "bid", "ask", "at", "source"]
        read_only_fields = fields


class QuoteViewSet(ScopedReadOnlyViewSet):
    """Latest prices, by symbol."""

    capability = VIEW_PLATFORM
    queryset = Quote.objects.select_related("symbol")
    serializer_class = QuoteSerializer
    page_ordering = ("symbol_id",)
    lookup_field = "symbol__code"
    lookup_url_kwarg = "symbol"


class DailyPriceFilter(filters.FilterSet):
    """Of which symbol and day."""

    symbol = filters.CharFilter(field_name="symbol__code")

    class Meta:
        model = DailyPrice
        fields = ["business_day"]


class DailyPriceSerializer(serializers.ModelSerializer[DailyPrice]):
    """The price of a symbol with which a business day ended."""

    symbol = code_of("symbol.code")

    class Meta:
        model = DailyPrice
        fields = ["id", "symbol", "business_day", "bid", "ask", "source"]
        read_only_fields = fields


class DailyPriceViewSet(ScopedReadOnlyViewSet):
    """Closing prices."""

    capability = VIEW_PLATFORM
    queryset = DailyPrice.objects.select_related("symbol")
    serializer_class = DailyPriceSerializer
    lookup_value_converter = "int"
    filterset_class = DailyPriceFilter


class ReferenceRateFilter(filters.FilterSet):
    """Of which currency and days."""

    day_from = filters.DateFilter(field_name="date", lookup_expr="gte")
    day_until = filters.DateFilter(field_name="date", lookup_expr="lte")

    class Meta:
        model = FxReferenceRate
        fields = ["currency", "source"]


class ReferenceRateSerializer(serializers.ModelSerializer[FxReferenceRate]):
    """How much of a currency one euro was."""

    class Meta:
        model = FxReferenceRate
        fields = ["id", "source", "date", "currency", "per_euro"]
        read_only_fields = fields


class FixingSerializer(StrictSerializer):
    """One rate of the broker's own fixing."""

    date = serializers.DateField()
    currency = CurrencyField()
    per_euro = PriceField(min_value=0)


class FixingsSerializer(StrictSerializer):
    """The broker's own fixing; it counts only where the central bank has no rate."""

    source = serializers.RegexField(r"^[A-Za-z0-9_-]+$", max_length=20)  # type: ignore[assignment]  # a field's name
    rates = serializers.ListField(child=FixingSerializer(), min_length=1, max_length=MAX_FIXINGS)

    def validate_rates(self, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Each day and currency once."""
        if len({(rate["date"], rate["currency"]) for rate in given}) != len(given):
            raise ValidationError("A day and currency stands here twice.")
        return given


class RateCorrectionSerializer(serializers.Serializer[Any]):
    """A rate that stood otherwise before."""

    day = serializers.DateField()
    currency = serializers.CharField()
    before = PriceField()
    after = PriceField()


class RateLoadSerializer(serializers.Serializer[Any]):
    """What a load changed."""

    new = serializers.IntegerField()
    corrections = RateCorrectionSerializer(many=True)


class ReferenceRateViewSet(ScopedReadOnlyViewSet):
    """Reference rates, by which amounts are converted."""

    capability = VIEW_PLATFORM
    queryset = FxReferenceRate.objects.all()
    serializer_class = ReferenceRateSerializer
    lookup_value_converter = "int"
    filterset_class = ReferenceRateFilter

    @use_case(
        capability=LOAD_RATES,
        input=FixingsSerializer,
        output=RateLoadSerializer,
        operation_id="reference_rates_fix",
        description="Stores the broker's own fixing under a source of its own.",
    )
    def create(self, call: Call) -> rates.RateLoad:
        """What changed."""
        per_euro: dict[Any, dict[str, Any]] = {}
        for rate in call.data["rates"]:
            per_euro.setdefault(rate["date"], {})[rate["currency"]] = rate["per_euro"]
        return rates.continue_reference_rates(per_euro=per_euro, source=call.data["source"], actor=call.actor)


def register() -> None:
    """Puts prices and rates on the API."""
    register_router("quotes", QuoteViewSet, "quote")
    register_router("daily-prices", DailyPriceViewSet, "daily-price")
    register_router("reference-rates", ReferenceRateViewSet, "reference-rate")
