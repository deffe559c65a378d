"""What the filter saw, for people: how each feed does, and the rejected ticks with what they were measured by.

Counts are exact; the rejected ticks themselves stand here only up to a number for each episode, and all of them in the
tick store.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from backoffice.kernel.business_day import business_day_of
from platform_ops.models import PriceFeed, PriceSource, RejectedTick, RejectionEpisode
from platform_ops.rules.price_filter import Verdict
from platform_ops.rules.price_points import price_of_points

if TYPE_CHECKING:
    from platform_ops.services.prices.intake import JudgedTick

EPISODE_PAUSE = timedelta(seconds=60)
TICKS_OF_AN_EPISODE = 100
_LARGEST_MOVE = 2**62


def note(source: PriceSource, ticks: Sequence[JudgedTick], received: datetime) -> None:
    """Writes down a judged batch: one row of each feed, and its rejections. In the intake's transaction."""
    by_symbol: dict[int, list[JudgedTick]] = {}
    for tick in ticks:
        by_symbol.setdefault(tick.symbol_id, []).append(tick)
    _count(source, by_symbol, received)
    for symbol_id, own in by_symbol.items():
        rejected = [tick for tick in own if tick.verdict.is_rejected]
        if rejected:
            _file_rejected(source, symbol_id, rejected, received)


def _count(source: PriceSource, by_symbol: dict[int, list[JudgedTick]], received: datetime) -> None:
    feeds = {row.symbol_id: row for row in PriceFeed.objects.filter(source=source, symbol__in=list(by_symbol))}
    day, minute = business_day_of(received), received.replace(second=0, microsecond=0)
    written = []
    for symbol_id, ticks in by_symbol.items():
        feed = feeds.get(symbol_id) or PriceFeed(
            symbol_id=symbol_id, source=source, first_tick_at=ticks[0].at, business_day=day, minute=minute
        )
        if feed.business_day != day:
            feed.business_day, feed.ticks, feed.rejected = day, 0, 0
        if feed.minute != minute:
            feed.minute, feed.minute_ticks, feed.minute_rejected = minute, 0, 0
        _add(feed, ticks, received)
        feed.pk = None
        written.append(feed)
    PriceFeed.objects.bulk_create(
        written, update_conflicts=True, unique_fields=["symbol", "source"], update_fields=_COUNTED
    )


_COUNTED = [
    "last_tick_at", "last_received_at", "last_verdict", "accepted_at", "bid", "ask", "changed_at", "business_day",
    "ticks", "rejected", "rejected_in_a_row", "minute", "minute_ticks", "minute_rejected",
]  # fmt: skip


def _add(feed: PriceFeed, ticks: Sequence[JudgedTick], received: datetime) -> None:
    feed.last_received_at, feed.last_tick_at = received, ticks[-1].at
    feed.last_verdict = int(ticks[-1].verdict)
    for tick in ticks:
        if tick.verdict.is_rejected:
            feed.rejected += 1
            feed.rejected_in_a_row += 1
            feed.minute_rejected += 1
        else:
            feed.rejected_in_a_row = 0
            bid, ask = price_of_points(tick.bid, tick.digits), price_of_points(tick.ask, tick.digits)
            if (bid, ask) != (feed.bid, feed.ask):
                feed.changed_at = tick.at
            feed.bid, feed.ask, feed.accepted_at = bid, ask, tick.at
    feed.ticks += len(ticks)
    feed.minute_ticks += len(ticks)


@dataclass(slots=True)
class _Found:
    row: RejectionEpisode
    kept: int


def _file_rejected(source: PriceSource, symbol_id: int, ticks: Sequence[JudgedTick], received: datetime) -> None:
    """Adds rejected ticks of a feed to the episodes that they continue, or begins new ones."""
    open_ones: dict[Verdict, _Found] = {}
    rows: list[RejectedTick] = []
    for tick in ticks:
        move = _move_points(tick)
        found = open_ones.get(tick.verdict)
        if found is None:
            found = open_ones[tick.verdict] = _last_episode(source, symbol_id, tick)
        episode = found.row
        if (
            episode.pk is not None
            and not episode.first_at - EPISODE_PAUSE <= tick.at <= episode.last_at + EPISODE_PAUSE
        ):
            _save(episode)
            found = open_ones[tick.verdict] = _Found(_begin(source, symbol_id, tick), 0)
            episode = found.row
        episode.ticks += 1
        episode.first_at, episode.last_at = min(episode.first_at, tick.at), max(episode.last_at, tick.at)
        episode.largest_move_points = max(episode.largest_move_points, abs(move))
        if episode.pk is None:
            episode.save()
        if found.kept < TICKS_OF_AN_EPISODE:
            found.kept += 1
            rows.append(_rejected(source, tick, episode, move, received))
    for found in open_ones.values():
        _save(found.row)
    RejectedTick.objects.bulk_create(rows)


def _last_episode(source: PriceSource, symbol_id: int, tick: JudgedTick) -> _Found:
    last = (
        RejectionEpisode.objects.filter(symbol_id=symbol_id, source=source, verdict=int(tick.verdict))
        .order_by("-last_at", "-pk")
        .first()
    )
    if last is None:
        return _Found(_begin(source, symbol_id, tick), 0)
    return _Found(last, min(last.ticks, TICKS_OF_AN_EPISODE))


def _begin(source: PriceSource, symbol_id: int, tick: JudgedTick) -> RejectionEpisode:
    return RejectionEpisode(
        symbol_id=symbol_id, source=source, verdict=int(tick.verdict), first_at=tick.at, last_at=tick.at, ticks=0
    )


def _save(episode: RejectionEpisode) -> None:
    episode.save(update_fields=["first_at", "last_at", "ticks", "largest_move_points"])


def _rejected(
    source: PriceSource, tick: JudgedTick, episode: RejectionEpisode, move: int, received: datetime
) -> RejectedTick:
    fits = tick.verdict is not Verdict.UNREADABLE and max(abs(tick.bid), abs(tick.ask)) < 10 ** (13 + tick.digits)
    fits = fits and tick.digits <= 10
    has_last = tick.last_bid is not None
    return RejectedTick(
        episode=episode,
        symbol_id=tick.symbol_id,
        source=source,
        at=tick.at,
        received_at=received,
        verdict=int(tick.verdict),
        bid=price_of_points(tick.bid, tick.digits) if fits and tick.bid_given is not None else None,
        ask=price_of_points(tick.ask, tick.digits) if fits and tick.ask_given is not None else None,
        raw="" if fits else f"{_short(tick.bid_given)} / {_short(tick.ask_given)}",
        last_bid=price_of_points(tick.last_bid or 0, tick.grid) if has_last else None,
        last_ask=price_of_points(tick.last_ask, tick.grid) if has_last else None,
        move_points=max(-_LARGEST_MOVE, min(_LARGEST_MOVE, move)),
    )


def _short(side: object) -> str:
    return "—" if side is None else str(side)[:55]


def _move_points(tick: JudgedTick) -> int:
    """The larger of the moves of bid and ask against what was accepted last, with its sign; 0 where there is nothing."""
    if tick.last_bid is None or tick.digits != tick.grid or tick.bid <= 0 or tick.ask <= 0:
        return 0
    return max(tick.bid - tick.last_bid, tick.ask - tick.last_ask, key=abs)


__all__ = ["EPISODE_PAUSE", "TICKS_OF_AN_EPISODE", "note"]
