"""The market beside a deal, on the deal's page: what was told in each revision, and the spread in points."""

from __future__ import annotations

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.types import Actor
from backoffice.kernel.prices import point_size
from backoffice.ui.formats import EMPTY, format_decimal, format_time
from backoffice.ui.panels import register_panel
from platform_ops.models import CurrentDeal, DealMarket
from platform_ops.selectors.symbol_terms import terms_of_symbols

HEADINGS = ("Revision", "Bid", "Ask", "Spread, points", "Filled at the provider", "Source", "Quoted", "Told as of")


def market_panel(deal: CurrentDeal, actor: Actor) -> SafeString | str:
    """Bid, ask and the provider's price, the revision that counts first. Who may see the deal may see its market."""
    rows = list(
        DealMarket.objects.filter(server=deal.server_id, ticket=deal.ticket, leg=deal.leg).order_by("-revision")
    )
    if not rows:
        return ""
    digits = _digits(deal)
    head = format_html_join("", '<th scope="col">{}</th>', ((heading,) for heading in HEADINGS))
    body = format_html_join(
        "",
        "<tr>{}</tr>",
        ((format_html_join("", "<td>{}</td>", ((cell,) for cell in _cells(row, digits))),) for row in rows),
    )
    return format_html(
        '<div class="bo-table-wrap" tabindex="0"><table class="bo-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        body,
    )


def _digits(deal: CurrentDeal) -> int | None:
    symbol_id = deal.server_symbol.symbol_id if deal.server_symbol is not None else None
    terms = terms_of_symbols(symbol_ids=[symbol_id], at=deal.at) if symbol_id is not None else {}
    return terms[symbol_id].digits if symbol_id in terms else None


def _cells(row: DealMarket, digits: int | None) -> tuple[str, ...]:
    prices = [EMPTY if price is None else format_decimal(price) for price in (row.bid, row.ask)]
    spread = EMPTY
    if row.bid is not None and row.ask is not None and digits is not None:
        spread = format_decimal((row.ask - row.bid) / point_size(digits))
    return (
        str(row.revision),
        *prices,
        spread,
        EMPTY if row.gateway_price is None else format_decimal(row.gateway_price),
        row.get_source_display(),
        format_time(row.quoted_at),
        format_time(row.stated_as_of),
    )


def register() -> None:
    """The panel; called from the desk's screens."""
    register_panel("platform_ops.CurrentDeal", "market", "Market when it was executed", market_panel, order=10)
