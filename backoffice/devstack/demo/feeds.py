"""The demo's price feeds: three sources around one market, each a little off and late, and now and then plainly wrong.

They enter by the product's own door, `accept_ticks`, so the filter, the tick store, the bars and the quarantine of the
demo live on what it decides. A market that is closed has no ticks; its price moves on without a feed there, so that a
visitor at the weekend still sees figures move.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from backoffice.core.types import Actor
from backoffice.devstack.demo.catalogue import BY_CODE
from backoffice.kernel.business_day import CLOSING_TIME, NEW_YORK
from platform_ops.models import PriceSource, Quote, Symbol
from platform_ops.services import prices
from platform_ops.services.prices import IncomingTick
from platform_ops.services.prices.sessions import boundaries_by_symbol, opened_since
from platform_ops.services.prices.sources import set_source

FALLBACK = "market"
FAULTS_OF_A_THOUSAND = 4
SEEDED_MINUTES = 12
SEEDED_STEP_SECONDS = 2
SEEDED_BATCH_SECONDS = 30
SEEDED_SYMBOLS = ("EURUSD", "GBPUSD", "USDJPY", "XAUUSD", "BTCUSD", "US500")


@dataclass(frozen=True, slots=True)
class Feed:
    """A source of the demo: how far off its prices are, and how late they come."""

    code: str
    name: str
    priority: int
    points_off: int
    milliseconds_late: int


FEEDS = (
    Feed("aurora", "Aurora Prime (LP)", 10, 0, 3),
    Feed("meridian", "Meridian Bank (LP)", 20, 1, 11),
    Feed("bridge", "Bridge, aggregated", 30, 2, 24),
)


class DemoFeeds:
    """The three feeds. `send` has each of them state the market's prices once."""

    def __init__(self, *, seed: int | None = None) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a demo, not a secret
        self.symbols = Symbol.objects.filter(code__in=BY_CODE).in_bulk()

    def send(self, quotes: Mapping[int, tuple[Decimal, Decimal]], *, at: datetime) -> int:
        """Sends (bid, ask) by symbol through every source; how many ticks were taken in."""
        hours = boundaries_by_symbol(symbols=list(self.symbols.values()), start=at, end=at)
        open_ones = {
            pk: quote for pk, quote in quotes.items() if pk in hours and opened_since(hours[pk], at) is not None
        }
        resting = {pk: quote for pk, quote in quotes.items() if pk not in open_ones}
        if resting or not PriceSource.objects.exists():
            prices.store_quotes(quotes=resting if PriceSource.objects.exists() else quotes, at=at, source=FALLBACK)
        if not open_ones or not PriceSource.objects.exists():
            return 0
        return sum(self.send_many(feed, [(at, open_ones)]) for feed in FEEDS)

    def send_many(self, feed: Feed, moments: Sequence[tuple[datetime, Mapping[int, tuple[Decimal, Decimal]]]]) -> int:
        """Sends the prices of several moments in one batch of a source; how many ticks."""
        ticks = []
        for at, quotes in moments:
            for pk, (bid, ask) in quotes.items():
                point = BY_CODE[self.symbols[pk].code].point
                off = point * self.random.randint(-feed.points_off, feed.points_off)
                stated = at - timedelta(milliseconds=feed.milliseconds_late + self.random.randint(0, 5))
                ticks.append(self._tick(pk, stated, bid + off, ask + off, point))
        return prices.accept_ticks(source=feed.code, ticks=ticks, received_at=moments[-1][0]).ticks

    def _tick(self, symbol_id: int, at: datetime, bid: Decimal, ask: Decimal, point: Decimal) -> IncomingTick:
        """The quote, or one of the faults that real feeds have."""
        given: tuple[Decimal | None, Decimal | None] = (bid, ask)
        if self.random.randrange(1_000) < FAULTS_OF_A_THOUSAND:
            given = self.random.choice(
                (
                    (bid * 10, ask * 10),
                    (ask + point, bid - point),
                    (bid + 1_000 * point, ask + 1_000 * point),
                    (bid - 400 * point, ask + 400 * point),
                    (None, ask),
                    (bid, bid),
                    (bid - 180 * point, ask - 180 * point),
                )
            )
        return IncomingTick(symbol_id=symbol_id, at=at, bid=given[0], ask=given[1])


def set_up(actor: Actor) -> None:
    """The demo's sources."""
    for feed in FEEDS:
        set_source(
            code=feed.code, name=feed.name, priority=feed.priority, actor=actor, reason="Set up with the demo",
            silence_seconds=60,
        )  # fmt: skip


def seed(*, actor: Actor, now: datetime) -> int:
    """Sets up the sources and sends the last minutes in which the markets were open; how many ticks."""
    set_up(actor)
    feeds = DemoFeeds(seed=7)
    quotes = {
        quote.symbol_id: [quote.bid, quote.ask]
        for quote in Quote.objects.filter(symbol__code__in=SEEDED_SYMBOLS).select_related("symbol")
    }
    end = _last_open(now)
    start = end - timedelta(minutes=SEEDED_MINUTES)
    sent = 0
    for batch in range(SEEDED_MINUTES * 60 // SEEDED_BATCH_SECONDS):
        begun = start + timedelta(seconds=batch * SEEDED_BATCH_SECONDS)
        moments: list[tuple[datetime, dict[int, tuple[Decimal, Decimal]]]] = []
        for second in range(0, SEEDED_BATCH_SECONDS, SEEDED_STEP_SECONDS):
            for pk, sides in quotes.items():
                move = BY_CODE[feeds.symbols[pk].code].point * feeds.random.choice((-2, -1, 0, 0, 1, 2))
                sides[0], sides[1] = sides[0] + move, sides[1] + move
            now_quoted = {pk: (sides[0], sides[1]) for pk, sides in quotes.items()}
            moments.append((begun + timedelta(seconds=second), now_quoted))
        sent += sum(feeds.send_many(feed, moments) for feed in FEEDS)
    return sent


def _last_open(now: datetime) -> datetime:
    """Now, or at the weekend the minute before the market closed on Friday."""
    local = now.astimezone(NEW_YORK)
    closed_days = {5: 1, 6: 2}.get(local.weekday(), 0)
    if local.weekday() == 6 and local.time() >= CLOSING_TIME:
        return now
    if closed_days == 0 and not (local.weekday() == 4 and local.time() >= CLOSING_TIME):
        return now
    friday = local.date() - timedelta(days=closed_days)
    return datetime.combine(friday, CLOSING_TIME, tzinfo=NEW_YORK) - timedelta(minutes=1)
