"""Price feeds over HTTP: ticks in, how each feed does, what was rejected, bars, and the filter's levels."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import MomentField, PriceField, ValiditySerializer, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import (
    PriceBar,
    PriceFeed,
    PriceFilterSetting,
    PriceSource,
    RejectedTick,
    RejectionEpisode,
    Symbol,
)
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.price_room import SEND_PRICES
from platform_ops.rules.price_filter import WORDS, FilterLevels, Verdict
from platform_ops.services.prices import IncomingTick, TickIntake, accept_ticks

MAX_TICKS = 2_000
_LEVELS = list(FilterLevels.__dataclass_fields__)
VERDICT_CHOICES = [(verdict.name.lower(), words) for verdict, words in WORDS.items()]


class VerdictField(serializers.ChoiceField):
    """A verdict of the filter by its name."""

    def __init__(self, **options: Any) -> None:
        super().__init__(choices=VERDICT_CHOICES, read_only=True, **options)

    def to_representation(self, value: Any) -> str:
        """The name of the stored number."""
        return Verdict(value).name.lower()


class PriceSourceSerializer(serializers.ModelSerializer[PriceSource]):
    """Who sends prices. The lowest priority of those alive makes the price."""

    class Meta:
        model = PriceSource
        fields = ["code", "name", "priority", "is_enabled", "silence_seconds", "storm_ticks"]
        read_only_fields = fields


class PriceSourceViewSet(ScopedReadOnlyViewSet):
    """Sources of prices."""

    capability = VIEW_PLATFORM
    queryset = PriceSource.objects.all()
    serializer_class = PriceSourceSerializer
    page_ordering = ("id",)
    lookup_field = "code"


class PriceFeedFilter(filters.FilterSet):
    """Of which symbol and source."""

    symbol = filters.CharFilter(field_name="symbol__code")
    source = filters.CharFilter(field_name="source__code")

    class Meta:
        model = PriceFeed
        fields: list[str] = []


class PriceFeedSerializer(serializers.ModelSerializer[PriceFeed]):
    """How a source does in a symbol; counts are those of the business day."""

    symbol = code_of("symbol.code")
    source = code_of("source.code")
    last_verdict = VerdictField()

    class Meta:
        model = PriceFeed
        fields = [
            "id", "symbol", "source", "bid", "ask", "accepted_at", "last_tick_at", "last_received_at", "last_verdict",
            "business_day", "ticks", "rejected", "rejected_in_a_row",
        ]  # fmt: skip
        read_only_fields = fields


class TickSerializer(StrictSerializer):
    """A quote. A side that is not stated is null; prices are decimal strings and are never rounded."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all())
    at = MomentField()
    bid = serializers.CharField(max_length=40, allow_null=True)
    ask = serializers.CharField(max_length=40, allow_null=True)


class TicksSerializer(StrictSerializer):
    """Ticks of one source in the order in which it sent them. The same batch again changes nothing."""

    source = serializers.SlugField(max_length=40)  # type: ignore[assignment]  # a field's name
    ticks = serializers.ListField(child=TickSerializer(), min_length=1, max_length=MAX_TICKS)


class TickIntakeSerializer(serializers.Serializer[Any]):
    """What became of a batch; `rejected` counts by verdict."""

    ticks = serializers.IntegerField()
    accepted = serializers.IntegerField()
    repeated = serializers.IntegerField()
    rejected = serializers.DictField(child=serializers.IntegerField())
    duplicates = serializers.IntegerField()
    unspecified = serializers.ListField(child=serializers.CharField())
    is_known = serializers.BooleanField()


class PriceFeedViewSet(ScopedReadOnlyViewSet):
    """Feeds: a source in a symbol."""

    capability = VIEW_PLATFORM
    queryset = PriceFeed.objects.select_related("symbol", "source")
    serializer_class = PriceFeedSerializer
    lookup_value_converter = "int"
    filterset_class = PriceFeedFilter

    @use_case(
        capability=SEND_PRICES,
        input=TicksSerializer,
        output=TickIntakeSerializer,
        operation_id="price_ticks_send",
        description="Takes in ticks of a source. Each is judged by the filter and kept with its verdict.",
    )
    def create(self, call: Call) -> TickIntake:
        """What became of them."""
        return accept_ticks(
            source=call.data["source"],
            ticks=[
                IncomingTick(symbol_id=tick["symbol"].pk, at=tick["at"], bid=tick["bid"], ask=tick["ask"])
                for tick in call.data["ticks"]
            ],
        )


class RejectionFilter(filters.FilterSet):
    """Of which symbol, source and time."""

    symbol = filters.CharFilter(field_name="symbol__code")
    source = filters.CharFilter(field_name="source__code")

    class Meta:
        model = RejectionEpisode
        fields: list[str] = []


class RejectionSerializer(serializers.ModelSerializer[RejectionEpisode]):
    """Ticks of a feed rejected for one reason without a pause of a minute; the count is exact."""

    symbol = code_of("symbol.code")
    source = code_of("source.code")
    verdict = VerdictField()

    class Meta:
        model = RejectionEpisode
        fields = ["id", "symbol", "source", "verdict", "first_at", "last_at", "ticks", "largest_move_points"]
        read_only_fields = fields


class RejectionViewSet(ScopedReadOnlyViewSet):
    """Episodes of rejected ticks."""

    capability = VIEW_PLATFORM
    queryset = RejectionEpisode.objects.select_related("symbol", "source")
    serializer_class = RejectionSerializer
    lookup_value_converter = "int"
    filterset_class = RejectionFilter


class RejectedTickSerializer(serializers.ModelSerializer[RejectedTick]):
    """A rejected tick with the price that it was measured by."""

    symbol = code_of("symbol.code")
    source = code_of("source.code")
    verdict = VerdictField()

    class Meta:
        model = RejectedTick
        fields = [
            "id", "episode", "symbol", "source", "at", "received_at", "verdict", "bid", "ask", "raw", "last_bid", "last_ask",
            "move_points",
        ]  # fmt: skip
        read_only_fields = fields


class RejectedTickFilter(filters.FilterSet):
    """Of which symbol and episode."""

    symbol = filters.CharFilter(field_name="symbol__code")

    class Meta:
        model = RejectedTick
        fields = ["episode"]


class RejectedTickViewSet(ScopedReadOnlyViewSet):
    """Rejected ticks, the first of each episode."""

    capability = VIEW_PLATFORM
    queryset = RejectedTick.objects.select_related("symbol", "source")
    serializer_class = RejectedTickSerializer
    lookup_value_converter = "int"
    filterset_class = RejectedTickFilter


class PriceBarFilter(filters.FilterSet):
    """Of which symbol and period."""

    symbol = filters.CharFilter(field_name="symbol__code")

    class Meta:
        model = PriceBar
        fields = ["period"]


class PriceBarSerializer(serializers.ModelSerializer[PriceBar]):
    """Open, high, low and close of the bid, from the accepted ticks that made the price."""

    symbol = code_of("symbol.code")
    open = PriceField(read_only=True)

    class Meta:
        model = PriceBar
        fields = [
            "id", "symbol", "period", "opens_at", "open", "high", "low", "close", "close_ask", "widest_spread", "ticks",
        ]  # fmt: skip
        read_only_fields = fields


class PriceBarViewSet(ScopedReadOnlyViewSet):
    """Bars of a minute, an hour and a business day."""

    capability = VIEW_PLATFORM
    queryset = PriceBar.objects.select_related("symbol")
    serializer_class = PriceBarSerializer
    lookup_value_converter = "int"
    filterset_class = PriceBarFilter


class FilterSettingSerializer(serializers.ModelSerializer[PriceFilterSetting]):
    """The filter's levels during a time; no symbol or source means all of them. They change by a change request."""

    symbol = code_of("symbol.code", allow_null=True, default=None)
    source = code_of("source.code", allow_null=True, default=None)  # type: ignore[assignment]  # a field's name
    validity = ValiditySerializer(read_only=True)

    class Meta:
        model = PriceFilterSetting
        fields = ["id", "symbol", "source", "validity", *_LEVELS, "change_reference", "set_by"]
        read_only_fields = fields


class FilterSettingViewSet(ScopedReadOnlyViewSet):
    """Levels of the price filter."""

    capability = VIEW_PLATFORM
    queryset = PriceFilterSetting.objects.select_related("symbol", "source")
    serializer_class = FilterSettingSerializer
    lookup_value_converter = "int"


def register() -> None:
    """Puts prices on the API."""
    register_router("price-sources", PriceSourceViewSet, "price-source")
    register_router("price-feeds", PriceFeedViewSet, "price-feed")
    register_router("price-rejections", RejectionViewSet, "price-rejection")
    register_router("rejected-ticks", RejectedTickViewSet, "rejected-tick")
    register_router("price-bars", PriceBarViewSet, "price-bar")
    register_router("price-filter-settings", FilterSettingViewSet, "price-filter-setting")
