"""Prices over HTTP: who sends them, ticks in, how each feed does, bars."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import MomentField, PriceField, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import (
    PriceBar,
    PriceFeed,
    PriceSource,
    Symbol,
)
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.price_room import SEND_PRICES
from platform_ops.rules.price_filter import WORDS, Verdict
from platform_ops.services.prices import IncomingTick, TickIntake, accept_ticks, sources

MAX_TICKS = 2_000
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


class NewSourceSerializer(StrictSerializer):
    """A source as it is to be."""

    code = serializers.SlugField(max_length=40)
    name = serializers.CharField(max_length=120)
    priority = serializers.IntegerField(min_value=0, max_value=32_767, help_text="The lowest of those alive counts.")
    is_enabled = serializers.BooleanField(default=True)
    silence_seconds = serializers.IntegerField(min_value=1, max_value=sources.MAXIMUM_SECONDS, default=60)
    storm_ticks = serializers.IntegerField(min_value=1, max_value=sources.MAXIMUM_STORM, default=500)
    reason = serializers.CharField(max_length=400)


class PriceSourceViewSet(ScopedReadOnlyViewSet):
    """Sources of prices."""

    capability = VIEW_PLATFORM
    queryset = PriceSource.objects.all()
    serializer_class = PriceSourceSerializer
    page_ordering = ("id",)
    lookup_field = "code"

    @use_case(
        capability=MANAGE_CATALOGUE, input=NewSourceSerializer, output=PriceSourceSerializer, status=201,
        operation_id="price_sources_set", description="Sets up a source, or brings the one of this code to these terms.",
    )  # fmt: skip
    def create(self, call: Call) -> PriceSource:
        """The source."""
        return sources.set_source(actor=call.actor, **call.data)


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

    @use_case(
        capability=MANAGE_CATALOGUE, input=ReasonSerializer, output=PriceFeedSerializer, route="restart",
        operation_id="price_feeds_restart",
        description="Has the filter forget what it accepted of a feed: its next tick passes the levels.",
    )  # fmt: skip
    def restart(self, call: Call) -> PriceFeed:
        """The feed."""
        return sources.restart_feed(feed_id=call.target.pk, actor=call.actor, **call.data)


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


def register() -> None:
    """Puts prices on the API."""
    register_router("price-sources", PriceSourceViewSet, "price-source")
    register_router("price-feeds", PriceFeedViewSet, "price-feed")
    register_router("price-bars", PriceBarViewSet, "price-bar")
