"""The risk desk's pages."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.core.streams import streams_url
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.ui.charts import bar_chart
from backoffice.ui.columns import Column, number, text
from backoffice.ui.dashboards import Card
from backoffice.ui.exports import export_response
from backoffice.ui.formats import EMPTY, format_amount, format_decimal, format_time
from backoffice.ui.views import DeskPage, register_desk_page
from risk import selectors
from risk.events import exposure_channel
from risk.models import ExposureRow
from risk.rules import plain_decimal
from risk.selectors import ExposureTable

STALE_AFTER_SECONDS = 90
"""An exposure older than this is shown as stale: the calculation or the worker stands still."""

REFRESH_SECONDS = 5
CARD_SYMBOLS = 12
BAR_HALF_WIDTH = 50
MOST_PRICE_DIGITS = 6

EXPORT_COLUMNS: tuple[Column, ...] = (
    text("axis", title="Axis"),
    text("key", title="Symbol or currency"),
    number("positions", title="Positions"),
    number("long_lots", title="Long lots"),
    number("short_lots", title="Short lots"),
    number("net_lots", title="Net lots"),
    number("net_units", title="Net units"),
    number("average_price_long", title="Average long"),
    number("average_price_short", title="Average short"),
    number("price", title="Price or rate"),
    number("notional", title="Notional"),
    number("floating", title="Floating"),
    text("reason", title="Remark"),
)


@dataclass(frozen=True, slots=True)
class ShownRow:
    """A row with its figures as people read them, and a bar of its size."""

    key: str
    positions: str
    long_lots: str
    short_lots: str
    net_lots: SafeString
    net_units: str
    average_prices: str
    price: str
    notional: SafeString
    floating: SafeString
    bar: SafeString
    reason: str


class ExposureBase(DeskPage):
    """What the page and its data have in common: entity and book from the query, and the table that follows."""

    desk = "risk"
    capability = "risk.view_exposure"

    def table(self) -> ExposureTable | None:
        """The last exposure of the chosen entity and book."""
        wanted = self.request.GET.get("entity", "")
        entity_id = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 else None
        return selectors.latest_exposure(
            actor=self.actor, entity_id=entity_id, book=self.request.GET.get("book", "")[:160]
        )


@register_desk_page
class ExposurePage(ExposureBase):
    """Net exposure per symbol and per currency; refreshes itself from `ExposureData`."""

    slug = "exposure"
    title = "Net exposure"
    template_name = "risk/exposure.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page, or with `?export=csv` (or xlsx) its rows as a file."""
        table = self.table()
        if kind := request.GET.get("export", ""):
            rows = [*table.symbols, *table.currencies] if table else []
            return export_response(
                request, name="exposure", columns=EXPORT_COLUMNS, rows=rows, count=len(rows), file_format=kind
            )
        query = request.GET.copy()
        context = {
            "table": table,
            "body": render_exposure(table),
            "entities": selectors.exposed_entities(actor=self.actor),
            "chosen_entity": request.GET.get("entity", ""),
            "chosen_book": request.GET.get("book", ""),
            "data_url": f"{ExposureData.url()}?{query.urlencode()}",
            "refresh_seconds": REFRESH_SECONDS,
            "stream_channel": self.stream_channel(table),
            "stale_after": STALE_AFTER_SECONDS,
            "age": age_seconds(table),
            "query": query.urlencode(),
        }
        return self.page(context)

    def stream_channel(self, table: ExposureTable | None) -> str:
        """What the page watches: the shown entity and book. Empty when it has to ask for itself."""
        if table is None or not streams_url(self.request):
            return ""
        entity = next(
            (each for each in selectors.exposed_entities(actor=self.actor) if each.code in table.entities), None
        )
        return "" if entity is None else exposure_channel(entity.pk, table.book)


@register_desk_page
class ExposureData(ExposureBase):
    """The page's changing part as JSON: the same markup, and how old it is."""

    slug = "exposure_data"
    route = "exposure/data/"
    title = "Net exposure"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """`{"html", "age_seconds"}`."""
        table = self.table()
        response = JsonResponse({"html": render_exposure(table), "age_seconds": age_seconds(table)})
        response.headers["Cache-Control"] = "no-store"
        return response


def render_exposure(table: ExposureTable | None) -> SafeString:
    """Both tables with their totals and what could not be counted."""
    if table is None:
        return SafeString(
            '<p class="bo-empty">No exposure has been calculated yet. It is, as soon as a position is open.</p>'
        )
    digits = Currency.of(table.report_currency).digits
    return SafeString(
        render_to_string(
            "risk/parts/exposure_tables.html",
            {
                "table": table,
                "symbols": _shown(table.symbols, digits),
                "currencies": _shown(table.currencies, digits),
                "gross": format_amount(table.total("notional", absolute=True), table.report_currency),
                "net": signed(table.total("notional"), digits),
                "floating": signed(table.total("floating"), digits),
                "as_of": format_time(table.as_of),
                "prices_as_of": format_time(table.prices_as_of),
            },
        )
    )


def age_seconds(table: ExposureTable | None) -> int | None:
    """How long ago the exposure was calculated."""
    return None if table is None else max(0, int((clock.now() - table.as_of).total_seconds()))


def exposure_card(actor: Actor) -> Card | None:
    """The dealing desk's card: the size of the book, the clients' floating profit, and the biggest symbols."""
    table = selectors.latest_exposure(actor=actor)
    if table is None or not table.symbols:
        return None
    currency, digits = table.report_currency, Currency.of(table.report_currency).digits
    floating = table.total("floating")
    points = [(row.key, row.notional) for row in table.symbols[:CARD_SYMBOLS] if row.notional is not None]
    waiting = len(table.unpriced) + len(table.unmapped_symbols)
    note = f"{table.open_positions:,} positions at {format_time(table.as_of)} UTC"
    return Card(
        title="Clients' exposure",
        figure=format_amount(table.total("notional", absolute=True), currency),
        delta=f"floating {format_decimal(floating, digits)}",
        delta_tone="quiet",
        note=f"{note}; {waiting} symbols without a figure" if waiting else note,
        url=reverse(ExposurePage.url_name()),
        chart=bar_chart(points, title="Net notional by symbol", unit=currency, digits=0),
        width=2,
        tone="warn" if waiting else "",
    )


def signed(value: Decimal | None, digits: int | None) -> SafeString:
    """A figure that may be below zero, coloured then; a dash for what cannot be said."""
    if value is None:
        return format_html('<span class="bo-num bo-none">{}</span>', EMPTY)
    tone = " bo-neg" if value < 0 else ""
    return format_html('<span class="bo-num{}">{}</span>', tone, format_decimal(value, digits))


def _shown(rows: tuple[ExposureRow, ...], digits: int) -> list[ShownRow]:
    largest = max((abs(row.notional) for row in rows if row.notional is not None), default=Decimal(0))
    return [
        ShownRow(
            key=row.key,
            positions=format_decimal(row.positions),
            long_lots=format_decimal(row.long_lots, 2),
            short_lots=format_decimal(row.short_lots, 2),
            net_lots=signed(row.net_lots, 2),
            net_units=EMPTY if row.net_units is None else format_decimal(row.net_units, 0),
            average_prices=f"{_price(row.average_price_long, row)} / {_price(row.average_price_short, row)}",
            price=_price(row.price, row, finer=1),
            notional=signed(row.notional, digits),
            floating=signed(row.floating, digits),
            bar=_bar(row.notional, largest),
            reason=row.reason,
        )
        for row in rows
    ]


def _price(value: Decimal | None, row: ExposureRow, *, finer: int = 0) -> str:
    """A price in as many places as the quote has (a mid may have one more); at most six, also where there is no quote."""
    if value is None:
        return EMPTY
    quoted = [len(plain_decimal(side).partition(".")[2]) for side in (row.bid, row.ask) if side is not None]
    return format_decimal(round(value, min(max(quoted, default=MOST_PRICE_DIGITS) + finer, MOST_PRICE_DIGITS)))


def _bar(notional: Decimal | None, largest: Decimal) -> SafeString:
    """A bar from the middle: right for long, left for short, as long as its share of the largest."""
    if notional is None or not largest:
        return SafeString("")
    width = abs(notional) / largest * BAR_HALF_WIDTH
    left = Decimal(BAR_HALF_WIDTH) if notional >= 0 else BAR_HALF_WIDTH - width
    return format_html(
        '<svg class="risk-bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="{}" x="{}" y="1" width="{}" height="8"></rect>'
        '<line class="bo-axis" x1="50" x2="50" y1="0" y2="10"></line></svg>',
        "bo-bar-neg" if notional < 0 else "bo-bar",
        f"{left:.2f}",
        f"{width:.2f}",
    )
