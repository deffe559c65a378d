"""The quarantine of prices: episodes of rejected ticks, each with a chart around it and the trades executed near it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_html, computed_column, moment_column, money_html, object_link, text_column
from backoffice.ui.formats import EMPTY
from platform_ops.admin.price_charts import tick_chart
from platform_ops.admin.prices.feeds import marks_of
from platform_ops.models import RejectedTick, RejectionEpisode
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.price_filter import Verdict
from platform_ops.selectors.prices import NearTrade, ticks_of_episode, trades_near_rejections

PANEL_ROWS = 50
NEAR_SECONDS = 5
CHART_TICKS = 3_000
_FAULTS = (
    Verdict.TEN_FOLD,
    Verdict.BIG_FIGURE,
    Verdict.CROSSED,
    Verdict.NOT_POSITIVE,
    Verdict.DISCARD,
    Verdict.UNREADABLE,
)


def verdict_badge(number: int) -> SafeString:
    """A verdict as a badge; what no market ever quotes in red."""
    verdict = Verdict(number)
    return badge_html(verdict.words, "bad" if verdict in _FAULTS else "warn" if verdict.is_rejected else "good")


@admin.register(RejectionEpisode)
class RejectionEpisodeAdmin(DeskModelAdmin):
    """What the filter rejected, and why."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "first_shown",
        "last_shown",
        "symbol_shown",
        "source_shown",
        "reason_shown",
        "ticks_shown",
        "move_shown",
    )
    list_display_links = ("first_shown",)
    list_select_related = ("symbol", "source")
    list_filter = ("verdict", "source", "symbol")
    search_fields = ("symbol__code", "source__code")
    date_hierarchy = "last_at"
    ordering = ("-last_at", "-pk")
    empty_text = "Nothing was rejected: every tick so far counted, or no source has sent any."

    first_shown = moment_column("first_at", title="From", order="first_at")
    last_shown = moment_column("last_at", title="Until", order="last_at")
    symbol_shown = text_column("symbol__code", title="Symbol", order="symbol__code")
    source_shown = text_column("source", title="Source", order="source__code")
    reason_shown = computed_column(lambda episode: verdict_badge(episode.verdict), title="Reason")
    ticks_shown = computed_column(lambda episode: f"{episode.ticks:,}", title="Ticks", is_numeric=True)
    move_shown = computed_column(
        lambda episode: f"{episode.largest_move_points:,}", title="Largest move, points", is_numeric=True
    )

    class Media:
        css = {"all": ("platform_ops/prices.css",)}


def chart_panel(episode: RejectionEpisode, actor: Actor) -> SafeString | str:
    """Prices of all sources from a minute before the episode to a minute after it."""
    try:
        ticks = ticks_of_episode(episode)
    except Conflict as error:
        return format_html('<p class="bo-note">{}</p>', error.message)
    if not ticks:
        return format_html('<p class="bo-note">{}</p>', "The ticks of this time are no longer kept.")
    digits = max((tick.digits for tick in ticks if not tick.verdict.is_rejected), default=ticks[0].digits)
    return tick_chart(
        marks_of(ticks)[:CHART_TICKS], title=f"{episode.symbol} around {episode.first_at:%H:%M:%S} UTC", digits=digits
    )


def ticks_panel(episode: RejectionEpisode, actor: Actor) -> SafeString | str:
    """The rejected ticks with the price that they were measured by."""
    rows = list(RejectedTick.objects.filter(episode=episode).order_by("at", "pk")[:PANEL_ROWS])
    body = format_html_join(
        "",
        '<tr><td><span class="bo-num">{}</span></td>{}</tr>',
        (
            (
                f"{row.at:%Y-%m-%d %H:%M:%S.%f}"[:-3],
                format_html_join(
                    "",
                    '<td class="bo-right"><span class="bo-num">{}</span></td>',
                    (
                        (value,)
                        for value in (
                            _price(row.bid, row.raw), _price(row.ask), _price(row.last_bid), _price(row.last_ask),
                            f"{row.move_points:+,}" if row.move_points else EMPTY,
                        )
                    ),
                ),
            )
            for row in rows
        ),
    )  # fmt: skip
    more = (
        format_html(
            '<p class="bo-note">The first {} of {} ticks; the tick store keeps all.</p>',
            len(rows),
            f"{episode.ticks:,}",
        )
        if episode.ticks > len(rows)
        else ""
    )
    head = format_html_join(
        "",
        '<th scope="col"{}>{}</th>',
        (
            (format_html(' class="{}"', "bo-right") if place else "", title)
            for place, title in enumerate(
                ("Time (UTC)", "Bid", "Ask", "Last accepted bid", "Last accepted ask", "Move, points")
            )
        ),
    )
    return format_html(
        '<div class="bo-table-wrap" tabindex="0" role="region" aria-label="Rejected ticks, table"><table class="bo-table">'
        "<thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>{}",
        head, body, more,
    )  # fmt: skip


def trades_panel(episode: RejectionEpisode, actor: Actor) -> SafeString | str:
    """Trades executed within seconds of one of its ticks."""
    near = trades_near_rejections(
        actor=actor,
        since=episode.first_at - timedelta(seconds=NEAR_SECONDS),
        seconds=NEAR_SECONDS,
        episode_id=episode.pk,
    )
    if not near:
        return format_html('<p class="bo-note">No trade was executed within {} seconds of it.</p>', NEAR_SECONDS)
    body = format_html_join(
        "",
        "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
        map(_near_row, near[:PANEL_ROWS]),
    )
    return format_html(
        '<div class="bo-table-wrap" tabindex="0" role="region" aria-label="Trades near it"><table class="bo-table"><thead><tr>'
        '<th scope="col">Executed (UTC)</th><th scope="col">Trade</th><th scope="col">Which</th><th scope="col">Price</th>'
        '<th scope="col">At the rejected price</th><th scope="col">Net result</th></tr></thead><tbody>{}</tbody></table></div>',
        body,
    )


def _near_row(near: NearTrade) -> tuple[Any, ...]:
    return (
        f"{near.at:%Y-%m-%d %H:%M:%S}", object_link(near.trade, near.trade.ticket), near.which, f"{near.price.normalize():f}",
        badge_html("yes", "bad") if near.at_its_price else "no", money_html(near.net, near.trade.currency),
    )  # fmt: skip


def _price(price: Any, raw: str = "") -> str:
    return f"{price.normalize():f}" if price is not None else raw or EMPTY
