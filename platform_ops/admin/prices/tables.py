"""Tables of prices: trades executed near a rejected tick, and bars with their chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from django import forms
from django.utils.html import format_html

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.columns import computed, link, moment, money, number, text
from backoffice.ui.forms import desk_widgets
from backoffice.ui.views import DeskTablePage, register_desk_page
from platform_ops.admin.price_charts import candle_chart
from platform_ops.admin.prices.feeds import price_text
from platform_ops.models import PriceBar, Symbol
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.selectors.prices import NearTrade, trades_near_rejections

DEFAULT_SECONDS, LARGEST_SECONDS = 5, 300
DEFAULT_DAYS, LARGEST_DAYS = 2, 31
BARS = 120
MAXIMUM_BARS = 5_000


class NearForm(forms.Form):
    """How near, how long ago, and of which symbol."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"), required=False, empty_label="All symbols")
    seconds = forms.IntegerField(min_value=1, max_value=LARGEST_SECONDS, required=False, label="Within seconds")
    days = forms.IntegerField(min_value=1, max_value=LARGEST_DAYS, required=False, label="Of the last days")


@register_desk_page
class NearRejections(DeskTablePage):
    """Trades that were executed near a rejected tick: who traded on a wrong price, or was hit by one."""

    desk, slug, title, capability = "platform_ops", "near_rejections", "Trades near rejected prices", VIEW_PLATFORM
    subtitle = "Openings and closings within seconds of a tick that the filter rejected, each with the nearest one."
    route = "prices/near/"
    filter_form = NearForm
    empty_text = "No trade was executed near a rejected tick in this time."
    columns = (
        moment("at", title="Executed"),
        link("trade", title="Trade", label="ticket"),
        link("trade__account", title="Account", label="login"),
        text("trade__server_symbol__symbol__code", title="Symbol"),
        text("which", title="Which"),
        number("price", title="Price"),
        text("reason", title="Reason of the rejection"),
        number("bid", title="Rejected bid"),
        number("ask", title="Rejected ask"),
        number("seconds", title="Seconds after it"),
        computed(lambda row: "yes" if row.at_its_price else "no", title="At that price"),
        money("net", currency="trade__currency", title="Net result"),
    )

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[NearTrade]:
        """The trades."""
        symbol = filters.get("symbol")
        return trades_near_rejections(
            actor=actor,
            since=clock.now() - timedelta(days=filters.get("days") or DEFAULT_DAYS),
            seconds=filters.get("seconds") or DEFAULT_SECONDS,
            symbol_id=symbol.pk if symbol else None,
        )


class BarsForm(forms.Form):
    """Of which symbol and period."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"), required=False)
    period = forms.ChoiceField(choices=PriceBar.Period.choices, required=False, initial=PriceBar.Period.HOUR)


@register_desk_page
class PriceBars(DeskTablePage):
    """Bars of a symbol as candles, and as a table."""

    desk, slug, title, capability = "platform_ops", "price_bars", "Price bars", VIEW_PLATFORM
    subtitle = "From the accepted ticks that made the price; bid. A business day closes at 17:00 New York."
    route = "prices/bars/"
    template_name = "platform_ops/prices_bars.html"
    filter_form = BarsForm
    empty_text = "No bars of this symbol yet: they are made from accepted ticks."
    columns = (
        moment("opens_at", title="Opens"),
        computed(lambda bar: price_text(bar.open, bar.symbol), title="Open", is_numeric=True),
        computed(lambda bar: price_text(bar.high, bar.symbol), title="High", is_numeric=True),
        computed(lambda bar: price_text(bar.low, bar.symbol), title="Low", is_numeric=True),
        computed(lambda bar: price_text(bar.close, bar.symbol), title="Close", is_numeric=True),
        computed(lambda bar: price_text(bar.close_ask, bar.symbol), title="Closing ask", is_numeric=True),
        computed(lambda bar: price_text(bar.widest_spread, bar.symbol), title="Widest spread", is_numeric=True),
        number("ticks", title="Ticks"),
    )

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[PriceBar]:
        """The latest bars, newest first."""
        symbol = filters.get("symbol") or self._first()
        if symbol is None:
            return []
        period = filters.get("period") or PriceBar.Period.HOUR
        return list(
            PriceBar.objects.filter(symbol=symbol, period=period)
            .select_related("symbol__price_state")
            .order_by("-opens_at")[:MAXIMUM_BARS]
        )

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """The chart, and which symbol it is."""
        symbol = filters.get("symbol") or self._first()
        bars = list(self.rows(actor, filters)[:BARS])
        if not bars or symbol is None:
            return {}
        digits = max(-bar.close.normalize().as_tuple().exponent for bar in bars)  # type: ignore[operator]
        period = PriceBar.Period(bars[0].period).label
        last = bars[0]
        return {
            "summary": [
                ("Symbol", symbol.code),
                ("Period", period),
                ("Close", format_html('<span class="bo-num">{}</span>', price_text(last.close, last.symbol))),
                ("Bars shown", str(len(bars))),
            ],
            "chart": candle_chart(list(reversed(bars)), title=f"{symbol.code}, {period}", digits=max(digits, 0)),
        }

    def _filter(self) -> forms.Form:
        """What is shown stands in the form, also before anybody has chosen."""
        given = self.request.GET.copy()
        first = self._first() if "symbol" not in given else None
        if first is not None:
            given["symbol"] = str(first.pk)
        given.setdefault("period", PriceBar.Period.HOUR)
        return desk_widgets(BarsForm(given))

    @staticmethod
    def _first() -> Symbol | None:
        """A symbol that has bars, for who has not chosen one."""
        bar = (
            PriceBar.objects.filter(period=PriceBar.Period.DAY)
            .select_related("symbol")
            .order_by("symbol__code")
            .first()
        )
        return bar.symbol if bar else None
