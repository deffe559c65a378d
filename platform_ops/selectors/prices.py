"""Reads of prices: trades executed near a rejected tick, and what a chart around it shows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel.business_day import business_day_of
from platform_ops.models import RejectionEpisode, Trade
from platform_ops.rules.price_filter import Verdict
from platform_ops.services.prices.store import ticks_around
from platform_ops.services.prices.types import StoredTick
from platform_ops.types import Side

MAXIMUM_NEAR = 2_000
MARGIN = timedelta(seconds=60)
LONGEST_SHOWN = timedelta(minutes=20)

# Trades of the time, each opening and closing with the rejected tick that is nearest in time, if one is near at all.
_NEAREST = """
SELECT t.id, r.id, r.at, r.verdict, r.bid, r.ask, r.source_id, x.at, x.is_opening, x.price
FROM platform_ops_trade t
JOIN platform_ops_serversymbol n ON n.id = t.server_symbol_id
CROSS JOIN LATERAL (VALUES (t.opened_at, TRUE, t.open_price), (t.closed_at, FALSE, t.close_price)) x(at, is_opening, price)
JOIN LATERAL (
    SELECT * FROM platform_ops_rejectedtick r
    WHERE r.symbol_id = n.symbol_id AND r.at BETWEEN x.at - %(near)s AND x.at + %(near)s AND r.at >= %(since)s
      AND (%(episode)s::bigint IS NULL OR r.episode_id = %(episode)s)
    ORDER BY abs(extract(epoch FROM x.at - r.at)), r.id LIMIT 1
) r ON TRUE
WHERE t.business_day >= %(first_day)s AND NOT t.is_cancelled
  AND n.symbol_id IN (SELECT symbol_id FROM platform_ops_rejectedtick WHERE at >= %(since)s)
  AND (%(symbol)s::bigint IS NULL OR n.symbol_id = %(symbol)s)
ORDER BY x.at DESC, t.id DESC
LIMIT %(most)s
"""


@dataclass(frozen=True, slots=True)
class NearTrade:
    """A trade executed near a rejected tick. `at_its_price` says that it was executed at the very price rejected."""

    trade: Trade
    at: datetime
    is_opening: bool
    price: Decimal
    rejected_at: datetime
    verdict: Verdict
    bid: Decimal | None
    ask: Decimal | None
    at_its_price: bool

    @property
    def which(self) -> str:
        """Opening or closing."""
        return "Opening" if self.is_opening else "Closing"

    @property
    def seconds(self) -> Decimal:
        """Seconds from the rejected tick to the trade."""
        return Decimal(str((self.at - self.rejected_at).total_seconds())).quantize(Decimal("0.001"))

    @property
    def reason(self) -> str:
        """Why the tick was rejected."""
        return self.verdict.words

    @property
    def net(self) -> Decimal:
        """What the trade earned, all told."""
        return self.trade.profit + self.trade.swap + self.trade.commission + self.trade.fee


def trades_near_rejections(
    *, actor: Actor, since: datetime, seconds: int, symbol_id: int | None = None, episode_id: int | None = None
) -> list[NearTrade]:
    """The trades that the actor sees, executed within so many seconds of a rejected tick, the latest first; each opening
    and closing once, with the rejected tick that is nearest."""
    parameters: dict[str, Any] = {
        "near": timedelta(seconds=seconds), "since": since, "symbol": symbol_id, "episode": episode_id, "most": MAXIMUM_NEAR,
        "first_day": business_day_of(since),
    }  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute(_NEAREST, parameters)
        rows = cursor.fetchall()
    trades = (
        visible_to(Trade.objects.all(), actor)
        .select_related("account__server", "server_symbol__symbol")
        .in_bulk({row[0] for row in rows})
    )
    found: dict[tuple[int, bool], NearTrade] = {}
    for trade_id, _, rejected_at, verdict, bid, ask, _, at, is_opening, price in rows:
        trade = trades.get(trade_id)
        if trade is None or (trade_id, is_opening) in found:
            continue
        its_price = ask if (trade.side == Side.BUY) == is_opening else bid
        found[trade_id, is_opening] = NearTrade(
            trade, at, is_opening, price, rejected_at, Verdict(verdict), bid, ask, its_price == price
        )
    return list(found.values())


def ticks_of_episode(episode: RejectionEpisode) -> list[StoredTick]:
    """The ticks of the symbol from a minute before an episode to a minute after it, of all sources; of a long episode
    its first part."""
    end = min(episode.last_at, episode.first_at + LONGEST_SHOWN) + MARGIN
    return ticks_around(
        symbol_id=episode.symbol_id,
        at=episode.first_at,
        seconds_before=int(MARGIN.total_seconds()),
        seconds_after=int((end - episode.first_at).total_seconds()),
    )
