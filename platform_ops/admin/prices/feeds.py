"""Feeds and sources: how each source does in each symbol, and who sends in which order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.safestring import SafeString

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed_column, link_column, moment_column, state_column, text_column
from backoffice.ui.formats import format_age, format_decimal
from backoffice.ui.forms import ReasonForm
from backoffice.ui.views import DeskActionView
from platform_ops.admin.price_charts import Mark, tick_chart
from platform_ops.models import PriceFeed, PriceFilterSetting, PriceSource, TickFile
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.rules.price_filter import Verdict
from platform_ops.services.prices.sessions import boundaries_by_symbol, boundaries_of, opened_since
from platform_ops.services.prices.sources import restart_feed, set_source
from platform_ops.services.prices.store import ticks_around
from platform_ops.services.prices.types import StoredTick
from platform_ops.services.prices.watch import REJECTED_IN_A_ROW, is_silent

LAST_SECONDS = 300


def feed_state(feed: PriceFeed) -> str:
    """How a feed does, in one word or two."""
    if not feed.source.is_enabled:
        return "Off"
    now = clock.now()
    hours = getattr(feed, "hours", None)
    if hours is None:
        hours = boundaries_of(feed.symbol, start=now, end=now)
    if opened_since(hours, now) is None:
        return "Market closed"
    if is_silent(feed, hours):
        return "Silent"
    return "Rejected" if feed.rejected_in_a_row >= REJECTED_IN_A_ROW else "Live"


STATE_TONES = {"Live": "good", "Silent": "bad", "Rejected": "bad", "Off": "quiet", "Market closed": "quiet"}


def marks_of(ticks: Sequence[StoredTick]) -> list[Mark]:
    """Stored ticks as a chart draws them; what has no two sides cannot be drawn."""
    return [
        Mark(t.at, t.bid, t.ask, t.source, "bad" if t.verdict.is_rejected else "", t.reason)
        for t in ticks
        if t.bid is not None and t.ask is not None
    ]


class RestartFeed(DeskActionView):
    """Has the filter begin anew for a feed."""

    slug, title, button, capability = "restart", "Restart the filter of this feed", "Restart filter", MANAGE_CATALOGUE
    form_class = ReasonForm
    success_message = "The next tick of this feed is taken without the level filter."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is forgotten."""
        feed: PriceFeed = self.target
        return [
            ("Feed", str(feed)),
            ("Last accepted", f"{feed.bid} / {feed.ask}" if feed.bid is not None else "nothing yet"),
            ("Rejected in a row", f"{feed.rejected_in_a_row:,}"),
            (
                "What happens",
                "The last accepted price is forgotten; the next tick passes the levels, as after a restart.",
            ),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Restarts it."""
        return restart_feed(feed_id=self.target.pk, actor=actor, reason=data["reason"])


@admin.register(PriceFeed)
class PriceFeedAdmin(DeskModelAdmin):
    """How each source does in each symbol."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "feed_shown", "source_shown", "state_shown", "bid_shown", "ask_shown", "age_shown", "ticks_shown", "rejected_shown",
        "verdict_shown",
    )  # fmt: skip
    list_select_related = ("symbol__price_state", "source")
    list_filter = ("source", "symbol__asset_class", "last_verdict")
    search_fields = ("symbol__code", "source__code")
    ordering = ("symbol__code", "source__priority")
    object_actions = (RestartFeed,)
    empty_text = "No source has sent a tick yet."

    feed_shown = text_column("symbol__code", title="Symbol", order="symbol__code")
    source_shown = link_column("source", title="Source", order="source__priority")
    state_shown = state_column(feed_state, title="State", tones=STATE_TONES)
    bid_shown = computed_column(lambda feed: price_text(feed.bid, feed.symbol), title="Bid", is_numeric=True)
    ask_shown = computed_column(lambda feed: price_text(feed.ask, feed.symbol), title="Ask", is_numeric=True)
    age_shown = computed_column(lambda feed: _age(feed), title="Last tick")
    ticks_shown = computed_column(lambda feed: f"{feed.ticks:,}", title="Ticks of the day", is_numeric=True)
    rejected_shown = computed_column(lambda feed: f"{feed.rejected:,}", title="Rejected", is_numeric=True)
    verdict_shown = computed_column(lambda feed: Verdict(feed.last_verdict).words, title="Last verdict")

    class Media:
        css = {"all": ("platform_ops/prices.css",)}

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        """With the hours of all symbols on the page, read at once."""
        page = super().get_changelist_instance(request)
        rows, now = list(page.result_list), clock.now()
        hours = boundaries_by_symbol(symbols=list({feed.symbol for feed in rows}), start=now, end=now)
        for feed in rows:
            feed.hours = hours[feed.symbol_id]
        page.result_list = rows
        return page


def price_text(price: Any, symbol: Any) -> str:
    """A price with all the digits of its symbol."""
    if price is None:
        return ""
    state = getattr(symbol, "price_state", None)
    return f"{price:.{state.digits}f}" if state is not None else f"{price.normalize():f}"


def _age(feed: PriceFeed) -> str:
    seconds = int((clock.now() - feed.last_received_at).total_seconds())
    return f"{format_age(max(seconds, 0))} ago"


def chart_panel(feed: PriceFeed, actor: Actor) -> SafeString | str:
    """The symbol's last minutes before the feed's last tick, of all sources."""
    ticks = ticks_around(
        symbol_id=feed.symbol_id, at=feed.last_tick_at, seconds_before=LAST_SECONDS, seconds_after=LAST_SECONDS // 5
    )
    digits = ticks[-1].digits if ticks else 5
    return tick_chart(marks_of(ticks)[-1_500:], title=f"{feed.symbol} of all sources", digits=digits)


class SourceForm(forms.Form):
    """Who sends, and how it counts."""

    code = forms.SlugField(max_length=40)
    name = forms.CharField(max_length=120)
    priority = forms.IntegerField(
        min_value=0,
        max_value=32_767,
        initial=100,
        help_text="The lowest of the sources that are alive makes the price.",
    )
    silence_seconds = forms.IntegerField(min_value=1, max_value=86_400, initial=60, label="Silent after, seconds")
    storm_ticks = forms.IntegerField(min_value=1, max_value=1_000_000, initial=500, label="Storm above, ticks a second")
    is_enabled = forms.BooleanField(required=False, initial=True, label="Ticks are taken in")
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=400)


class AddSource(DeskActionView):
    """Sets up a source."""

    slug, title, capability = "add_source", "Add a source", MANAGE_CATALOGUE
    form_class = SourceForm
    success_message = "The source is set up."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What it will be."""
        return [
            ("Source", f"{data['name']} ({data['code']})"),
            ("Priority", str(data["priority"])),
            ("Silent after", f"{data['silence_seconds']} s"),
            ("Storm above", f"{data['storm_ticks']} ticks a second and symbol"),
            ("Ticks", "are taken in" if data["is_enabled"] else "are refused"),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sets it."""
        return set_source(actor=actor, **data)


class ChangeSource(AddSource):
    """Changes a source."""

    slug, title, button = "change_source", "Change this source", "Change source"
    success_message = "The source is changed."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Without the code, which is what feeds send under."""
        form = super().make_form(actor, data, files)
        del form.fields["code"]
        return form

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What stands."""
        return {name: getattr(self.target, name) for name in SourceForm.base_fields if hasattr(self.target, name)}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What it will be."""
        return super().describe(actor, {**data, "code": self.target.code})

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Sets it."""
        return set_source(actor=actor, code=self.target.code, **data)


@admin.register(PriceSource)
class PriceSourceAdmin(DeskModelAdmin):
    """Who sends prices."""

    view_capability = VIEW_PLATFORM
    list_display = ("code", "name", "priority", "state_shown", "silence_seconds", "storm_ticks")
    search_fields = ("code", "name")
    list_actions = (AddSource,)
    object_actions = (ChangeSource,)
    empty_text = "No source of prices is set up."

    state_shown = state_column(
        lambda source: "On" if source.is_enabled else "Off", title="State", tones={"On": "good", "Off": "quiet"}
    )


@admin.register(PriceFilterSetting)
class PriceFilterSettingAdmin(DeskModelAdmin):
    """The levels of the filter over time; they change in the studio."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "symbol_shown", "source_shown", "from_shown", "until_shown", "soft_points", "soft_ticks", "hard_points", "hard_ticks",
        "discard_points", "spread_maximum", "set_by", "change_reference",
    )  # fmt: skip
    list_select_related = ("symbol", "source")
    list_filter = ("source",)
    search_fields = ("symbol__code", "change_reference")
    empty_text = (
        "Nobody set any levels: the filter terms of each symbol's specification count, and where it states none, its usual "
        "spread. The filter studio shows which."
    )

    symbol_shown = computed_column(lambda row: row.symbol.code if row.symbol else "all symbols", title="Symbol")
    source_shown = computed_column(lambda row: row.source.code if row.source else "all sources", title="Source")
    from_shown = moment_column("validity__lower", title="From", order="validity")
    until_shown = moment_column("validity__upper", title="Until")


@admin.register(TickFile)
class TickFileAdmin(DeskModelAdmin):
    """The files that keep every tick with its verdict."""

    view_capability = VIEW_PLATFORM
    list_display = ("day", "symbol_shown", "ticks_shown", "rejected_shown", "size_shown", "first_shown", "last_shown")
    list_select_related = ("symbol",)
    search_fields = ("symbol__code",)
    date_hierarchy = "day"
    empty_text = "No ticks were moved into files yet."

    symbol_shown = text_column("symbol__code", title="Symbol", order="symbol__code")
    ticks_shown = computed_column(lambda row: f"{row.ticks:,}", title="Ticks", is_numeric=True)
    rejected_shown = computed_column(lambda row: f"{row.rejected:,}", title="Rejected", is_numeric=True)
    size_shown = computed_column(lambda row: f"{format_decimal(row.size // 1024)} KB", title="Size", is_numeric=True)
    first_shown = moment_column("first_at", title="First tick", order="first_at")
    last_shown = moment_column("last_at", title="Last tick", order="last_at")
