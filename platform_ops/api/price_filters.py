"""The price filter over HTTP: what it rejected and who traded near it, its levels, a draft replayed and proposed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.kernel import clock
from backoffice.ui.api_fields import AmountField, MomentField, PriceField, ValiditySerializer, VisibleField, code_of
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.prices import VerdictField
from platform_ops.api.shared import SUBMIT_HELP, DraftedChangeSerializer
from platform_ops.models import PriceFilterSetting, PriceSource, RejectedTick, RejectionEpisode, Symbol
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.price_changes import LABELS, levels_in_force
from platform_ops.rules.price_filter import FLAGS, FilterLevels
from platform_ops.selectors.prices import ticks_of_episode, trades_near_rejections
from platform_ops.services.prices.replay import replay_filter
from platform_ops.services.prices.settings import request_filter

MAX_TRADES = 500
LARGEST_LEVEL = 10**9
LARGEST_SECONDS, LARGEST_DAYS = 300, 31
_LEVELS = list(FilterLevels.__dataclass_fields__)


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


class StoredTickSerializer(serializers.Serializer[Any]):
    """A tick as it was kept; a side that was missing or no price is null."""

    source = serializers.CharField()  # type: ignore[assignment]  # a field's name
    at = serializers.DateTimeField()
    received_at = serializers.DateTimeField()
    bid = PriceField(allow_null=True)
    ask = PriceField(allow_null=True)
    verdict = VerdictField()
    is_leading = serializers.BooleanField(help_text="Whether it made the price.")


class RejectionViewSet(ScopedReadOnlyViewSet):
    """Episodes of rejected ticks."""

    capability = VIEW_PLATFORM
    queryset = RejectionEpisode.objects.select_related("symbol", "source")
    serializer_class = RejectionSerializer
    lookup_value_converter = "int"
    filterset_class = RejectionFilter

    @extend_schema(responses=StoredTickSerializer(many=True), operation_id="price_rejections_ticks")
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def ticks(self, request: Request, pk: Any = None) -> Response:
        """The ticks of all sources from a minute before the episode to a minute after it, with their verdicts."""
        return Response(StoredTickSerializer(ticks_of_episode(self.get_object()), many=True).data)


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


class NearQuerySerializer(StrictSerializer):
    """How near, how long ago, and of which symbol or episode."""

    symbol = VisibleField(
        slug_field="code", queryset=Symbol.objects.all(), required=False, help_text="Code of a symbol of the house."
    )
    episode = VisibleField(
        slug_field="id", queryset=RejectionEpisode.objects.all(), required=False, help_text="Of price-rejections."
    )
    seconds = serializers.IntegerField(min_value=1, max_value=LARGEST_SECONDS, required=False, default=5)
    days = serializers.IntegerField(min_value=1, max_value=LARGEST_DAYS, required=False, default=2)


class NearTradeSerializer(serializers.Serializer[Any]):
    """A trade executed within seconds of a rejected tick, with the nearest one."""

    server = code_of("trade.account.server.code")
    account = serializers.UUIDField(source="trade.account.public_id")
    login = code_of("trade.account.login")
    ticket = serializers.IntegerField(source="trade.ticket")
    symbol = code_of("trade.server_symbol.symbol.code")
    at = serializers.DateTimeField()
    is_opening = serializers.BooleanField()
    price = PriceField()
    rejected_at = serializers.DateTimeField()
    verdict = VerdictField()
    bid = PriceField(allow_null=True)
    ask = PriceField(allow_null=True)
    at_its_price = serializers.BooleanField(help_text="Executed at the very price that was rejected.")
    net = AmountField()
    currency = code_of("trade.currency")


class NearRejectionsView(ApiView):
    """GET: trades executed near a rejected tick, the latest first, at most 2,000."""

    capability = VIEW_PLATFORM
    query = NearQuerySerializer

    @extend_schema(operation_id="trades_near_rejections", responses=NearTradeSerializer(many=True))
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """See the class."""
        wanted = self.parameters()
        symbol, episode = wanted.get("symbol"), wanted.get("episode")
        found = trades_near_rejections(
            actor=self.actor, since=clock.now() - timedelta(days=wanted["days"]), seconds=wanted["seconds"],
            symbol_id=symbol.pk if symbol else None, episode_id=episode.pk if episode else None,
        )  # fmt: skip
        return Response(NearTradeSerializer(found, many=True).data)


class FilterSettingSerializer(serializers.ModelSerializer[PriceFilterSetting]):
    """The filter's levels during a time; no symbol or source means all of them. They change by a change request."""

    symbol = code_of("symbol.code", allow_null=True, default=None)
    source = code_of("source.code", allow_null=True, default=None)  # type: ignore[assignment]  # a field's name
    validity = ValiditySerializer(read_only=True)

    class Meta:
        model = PriceFilterSetting
        fields = ["id", "symbol", "source", "validity", *_LEVELS, "change_reference", "set_by"]
        read_only_fields = fields


class FilterSettingFilter(filters.FilterSet):
    """Of which symbol and source, in force at which moment."""

    symbol = filters.CharFilter(field_name="symbol__code")
    source = filters.CharFilter(field_name="source__code")
    at = filters.IsoDateTimeFilter(field_name="validity", lookup_expr="contains")

    class Meta:
        model = PriceFilterSetting
        fields: list[str] = []


class LevelsSerializer(StrictSerializer):
    """Levels of the filter; those left out stay as they are in force. Distances are points, 0 turns a check off."""

    def get_fields(self) -> dict[str, Any]:
        """One field for each level."""
        return {
            name: serializers.BooleanField(required=False, help_text=LABELS[name])
            if name in FLAGS
            else serializers.IntegerField(min_value=0, max_value=LARGEST_LEVEL, required=False, help_text=LABELS[name])
            for name in _LEVELS
        }


class FilterRequestSerializer(StrictSerializer):
    """Levels of one symbol or source, or of all, from a moment on; and the time whose ticks the preview replays."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all(), required=False)
    source = VisibleField(slug_field="code", queryset=PriceSource.objects.all(), required=False)  # type: ignore[assignment]  # a field's name
    levels = LevelsSerializer()
    valid_from = MomentField()
    replay_from = MomentField(required=False, allow_null=True, default=None, help_text="Null: the last day.")
    replay_to = MomentField(required=False, allow_null=True, default=None)
    reason = serializers.CharField(max_length=400)
    submit = serializers.BooleanField(default=True, help_text=SUBMIT_HELP)


class FilterReplayRequestSerializer(StrictSerializer):
    """A draft, and the time whose ticks are replayed: at most two days, else the last one."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all())
    source = VisibleField(slug_field="code", queryset=PriceSource.objects.all(), required=False)  # type: ignore[assignment]  # a field's name
    levels = LevelsSerializer()
    replay_from = MomentField(required=False, allow_null=True, default=None)
    replay_to = MomentField(required=False, allow_null=True, default=None)


class VerdictCountSerializer(serializers.Serializer[Any]):
    """Ticks with a verdict, by the levels in force and by the draft."""

    verdict = VerdictField()
    before = serializers.IntegerField()
    after = serializers.IntegerField()


class TouchedTradeSerializer(serializers.Serializer[Any]):
    """A trade executed at the price of a tick on which the two filters differ."""

    server = code_of("trade.account.server.code")
    account = serializers.UUIDField(source="trade.account.public_id")
    login = code_of("trade.account.login")
    ticket = serializers.IntegerField(source="trade.ticket")
    at = serializers.DateTimeField()
    price = PriceField()
    is_opening = serializers.BooleanField()
    would_be_dropped = serializers.BooleanField()


class FilterReplaySerializer(serializers.Serializer[Any]):
    """Both filters over the same ticks. `results`: the net result of the trades touched, by currency."""

    symbol = serializers.CharField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    ticks = serializers.IntegerField()
    dropped_before = serializers.IntegerField()
    dropped_after = serializers.IntegerField()
    newly_dropped = serializers.IntegerField()
    newly_kept = serializers.IntegerField()
    verdicts = VerdictCountSerializer(many=True)
    trades = TouchedTradeSerializer(many=True)
    results = serializers.DictField(child=AmountField())


class FilterSettingViewSet(ScopedReadOnlyViewSet):
    """Levels of the price filter."""

    capability = VIEW_PLATFORM
    queryset = PriceFilterSetting.objects.select_related("symbol", "source")
    serializer_class = FilterSettingSerializer
    lookup_value_converter = "int"
    filterset_class = FilterSettingFilter

    @use_case(
        capability=MANAGE_CATALOGUE, input=FilterRequestSerializer, output=DraftedChangeSerializer, status=201,
        operation_id="price_filter_settings_request",
        description="Drafts a change of the levels; its impact is their replay over stored ticks. Another person approves it.",
    )  # fmt: skip
    def create(self, call: Call) -> Any:
        """The change request."""
        given = dict(call.data)
        symbol, source, at = given.pop("symbol", None), given.pop("source", None), given["valid_from"]
        return request_filter(
            symbol_id=symbol.pk if symbol else None, source_id=source.pk if source else None,
            levels=replace(levels_in_force(symbol, source, at), **given.pop("levels")), actor=call.actor, **given,
        )  # fmt: skip

    @use_case(
        capability=VIEW_PLATFORM, input=FilterReplayRequestSerializer, output=FilterReplaySerializer, route="replay", detail=False,
        operation_id="price_filter_settings_replay",
        description="Judges stored ticks by the levels in force and by a draft. Nothing is kept.",
    )  # fmt: skip
    def replay(self, call: Call) -> dict[str, Any]:
        """What the draft would have kept and dropped."""
        symbol, source = call.data["symbol"], call.data.get("source")
        standing = levels_in_force(symbol, source, call.data["replay_to"] or clock.now())
        found = replay_filter(
            symbol_id=symbol.pk, source_id=source.pk if source else None, draft=replace(standing, **call.data["levels"]),
            start=call.data["replay_from"], end=call.data["replay_to"], actor=call.actor,
        )  # fmt: skip
        return {
            "symbol": symbol.code, "start": found.start, "end": found.end, "ticks": found.ticks,
            "dropped_before": found.dropped(found.before), "dropped_after": found.dropped(found.after),
            "newly_dropped": found.newly_dropped, "newly_kept": found.newly_kept,
            "verdicts": [
                {"verdict": verdict, "before": before, "after": after} for verdict, before, after in found.reasons()
            ],
            "trades": [
                {"trade": each.trade, "at": each.at, "price": each.price, "is_opening": each.is_opening,
                 "would_be_dropped": each.would_be_dropped}
                for each in found.trades[:MAX_TRADES]
            ],
            "results": found.results(),
        }  # fmt: skip


def register() -> None:
    """Puts the filter on the API."""
    register_router("price-rejections", RejectionViewSet, "price-rejection")
    register_router("rejected-ticks", RejectedTickViewSet, "rejected-tick")
    register_endpoint("trades-near-rejections/", NearRejectionsView, "trades-near-rejections")
    register_router("price-filter-settings", FilterSettingViewSet, "price-filter-setting")
