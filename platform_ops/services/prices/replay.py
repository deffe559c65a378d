"""A draft of the filter over stored ticks: what it would have kept and dropped, and which trades stand on the difference.

Both the levels in force and the draft are run over the same ticks in the order in which they came, after a run-up of a
quarter of an hour in which the filters find their feet and nothing is counted. Nothing is written.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
from django.db.models import Q
from numpy.typing import NDArray

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from platform_ops.models import Symbol, Trade
from platform_ops.rules.price_filter import FIRST_REJECTED, FilterLevels, PriceFilter, Verdict, check_levels
from platform_ops.rules.price_filter_batch import TickColumns, judge_batch
from platform_ops.rules.price_points import price_of_points
from platform_ops.services.prices import store
from platform_ops.services.prices.sessions import session_columns
from platform_ops.services.prices.settings import SymbolFilter, filters_at, find_symbol
from platform_ops.types import Side

if TYPE_CHECKING:
    import polars

LONGEST = timedelta(days=2)
RUN_UP = timedelta(minutes=15)
MAXIMUM_TICKS = 2_000_000
MAXIMUM_TRADES = 20_000
NEAR = timedelta(seconds=2)
"""A trade stands on a tick when it was executed at one of its prices within so long."""


@dataclass(frozen=True, slots=True)
class AffectedTrade:
    """A trade whose opening or closing price is that of a tick on which the two filters differ."""

    trade: Trade
    at: datetime
    price: Decimal
    is_opening: bool
    would_be_dropped: bool


@dataclass(frozen=True, slots=True)
class Replay:
    """Both filters over the same ticks. `before` and `after` count by verdict; verdicts stand in the order of `rows`."""

    symbol: Symbol
    start: datetime
    end: datetime
    before: Counter[Verdict]
    after: Counter[Verdict]
    newly_dropped: int
    newly_kept: int
    trades: Sequence[AffectedTrade]
    rows: Sequence[tuple[datetime, int, Decimal, Decimal, Verdict, Verdict]]

    @property
    def ticks(self) -> int:
        """How many ticks were judged."""
        return self.before.total()

    @staticmethod
    def dropped(counts: Counter[Verdict]) -> int:
        """How many of the counted were rejected."""
        return sum(number for verdict, number in counts.items() if verdict.is_rejected)

    def reasons(self) -> list[tuple[Verdict, int, int]]:
        """(verdict, before, after) of every verdict that either gave."""
        return [(verdict, self.before[verdict], self.after[verdict]) for verdict in sorted({*self.before, *self.after})]

    def results(self) -> dict[str, Decimal]:
        """The net result of the affected trades, by currency, each trade once."""
        found: dict[str, Decimal] = {}
        for trade in {affected.trade.pk: affected.trade for affected in self.trades}.values():
            net = trade.profit + trade.swap + trade.commission + trade.fee
            found[trade.currency] = found.get(trade.currency, Decimal(0)) + net
        return found


def replay_filter(
    *,
    symbol_id: int,
    source_id: int | None,
    draft: FilterLevels,
    start: datetime | None = None,
    end: datetime | None = None,
    actor: Actor | None = None,
) -> Replay:
    """Judges the stored ticks of a time (else of the last day) by the levels in force and by a draft.

    The draft counts for one source, or for all that have no levels of their own. Of the trades that stand on a difference
    an *actor* is told those that they see. Raises InvalidInput for levels that contradict each other, more than two
    days or two million ticks, or a symbol without a specification.
    """
    end = end or clock.now()
    start = start or end - timedelta(days=1)
    if not timedelta(0) < end - start <= LONGEST:
        raise InvalidInput("A replay covers up to two days.", field="replay_from")
    check_levels(draft)
    symbol = find_symbol(symbol_id)
    standing = filters_at(symbol_ids=[symbol_id], at=end).get(symbol_id)
    if standing is None:
        raise InvalidInput(f"{symbol} has no specification, so no points.", field="symbol_id", value=symbol_id)
    frame = store.read_frame(symbol_id=symbol_id, start=start - RUN_UP, end=end).sort("sequence", maintain_order=True)
    if len(frame) > MAXIMUM_TICKS:
        raise InvalidInput(f"More than {MAXIMUM_TICKS:,} ticks: replay a shorter time.", field="replay_from")
    before = _judge(frame, standing, standing.fresh())
    after = _judge(frame, standing, _drafted(standing, source_id, draft))
    counted = (frame["at"] >= start).to_numpy()
    changed = counted & ((before >= FIRST_REJECTED) != (after >= FIRST_REJECTED))
    return Replay(
        symbol=symbol,
        start=start,
        end=end,
        before=_count(before[counted]),
        after=_count(after[counted]),
        newly_dropped=int((changed & (after >= FIRST_REJECTED)).sum()),
        newly_kept=int((changed & (after < FIRST_REJECTED)).sum()),
        trades=_affected_trades(symbol_id, start, end, frame, changed, after, actor),
        rows=_rows(frame, counted, before, after),
    )


def _drafted(standing: SymbolFilter, source_id: int | None, draft: FilterLevels) -> PriceFilter:
    if source_id is None:
        return PriceFilter(draft, standing.by_source)
    return PriceFilter(standing.default, {**standing.by_source, source_id: draft})


def _judge(frame: polars.DataFrame, standing: SymbolFilter, judge: PriceFilter) -> NDArray[np.int16]:
    """Verdicts in the order of the frame. What was no price in the first place is none now."""
    verdicts = frame["verdict"].to_numpy().astype(np.int16)
    digits = frame["digits"].to_numpy()
    fits = (digits == standing.digits) & (verdicts != Verdict.UNREADABLE)
    verdicts[digits != standing.digits] = Verdict.OFF_GRID
    at = frame["at"].to_physical().to_numpy()[fits]
    columns = TickColumns(
        source=frame["source_id"].to_numpy()[fits].astype(np.int64),
        at=at,
        bid=frame["bid"].to_numpy()[fits],
        ask=frame["ask"].to_numpy()[fits],
        session=session_columns(standing.symbol, at),
        received=frame["received_at"].to_physical().to_numpy()[fits],
    )
    verdicts[fits] = judge_batch(judge, columns)
    return verdicts


def _count(verdicts: NDArray[np.int16]) -> Counter[Verdict]:
    numbers, counts = np.unique(verdicts, return_counts=True)
    return Counter({Verdict(int(n)): int(c) for n, c in zip(numbers, counts, strict=True)})


def _rows(
    frame: polars.DataFrame, counted: NDArray[np.bool_], before: NDArray[np.int16], after: NDArray[np.int16]
) -> list[tuple[datetime, int, Decimal, Decimal, Verdict, Verdict]]:
    """What a chart draws: every tick that either filter rejected, and an even sample of the others."""
    both_kept = counted & (before < FIRST_REJECTED) & (after < FIRST_REJECTED)
    rejected = np.flatnonzero(counted & ~both_kept)[:CHART_REJECTED]
    kept = np.flatnonzero(both_kept)
    sample = kept[np.linspace(0, len(kept) - 1, min(len(kept), CHART_KEPT)).astype(np.int64)] if len(kept) else kept
    places = np.sort(np.concatenate([rejected, sample]))
    chosen = frame[places.tolist()].select("at", "source_id", "bid", "ask", "digits").rows()
    return [
        (at, source, price_of_points(bid, digits), price_of_points(ask, digits), Verdict(int(before[i])), Verdict(int(after[i])))
        for i, (at, source, bid, ask, digits) in zip(places.tolist(), chosen, strict=True)
    ]  # fmt: skip


CHART_KEPT = 1_200
CHART_REJECTED = 600


def _affected_trades(
    symbol_id: int,
    start: datetime,
    end: datetime,
    frame: polars.DataFrame,
    changed: NDArray[np.bool_],
    after: NDArray[np.int16],
    actor: Actor | None,
) -> list[AffectedTrade]:
    places = np.flatnonzero(changed)
    if not len(places):
        return []
    ticks = sorted(
        (at, price_of_points(bid, digits), price_of_points(ask, digits), bool(after[place] >= FIRST_REJECTED))
        for place, (at, bid, ask, digits) in zip(
            places.tolist(), frame[places.tolist()].select("at", "bid", "ask", "digits").rows(), strict=True
        )
    )
    times = [tick[0] for tick in ticks]
    seen = Trade.objects.all() if actor is None else visible_to(Trade.objects.all(), actor)
    trades = (
        seen.filter(server_symbol__symbol_id=symbol_id, is_cancelled=False)
        .filter(
            Q(closed_at__gte=start - NEAR, closed_at__lt=end + NEAR)
            | Q(opened_at__gte=start - NEAR, opened_at__lt=end + NEAR)
        )
        .select_related("account__server")
        .order_by("closed_at", "pk")[:MAXIMUM_TRADES]
    )
    found = []
    for trade in trades:
        for at, price, is_opening in (
            (trade.opened_at, trade.open_price, True),
            (trade.closed_at, trade.close_price, False),
        ):
            tick = _tick_of(ticks, times, at, price, buys=(trade.side == Side.BUY) == is_opening)
            if tick is not None and at is not None and price is not None:
                found.append(AffectedTrade(trade, at, price, is_opening, tick[3]))
    return found


def _tick_of(ticks: list[Any], times: list[datetime], at: datetime | None, price: Decimal | None, *, buys: bool) -> Any:
    """The changed tick at whose price (ask for what buys, bid for what sells) something was executed, if any."""
    if at is None or price is None:
        return None
    for tick in ticks[bisect_left(times, at - NEAR) :]:
        if tick[0] > at + NEAR:
            return None
        if (tick[2] if buys else tick[1]) == price:
            return tick
    return None
