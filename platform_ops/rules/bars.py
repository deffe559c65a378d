"""Bars of recorded ticks on whole columns: open, high, low and close of the bid by minute, hour, or any even period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Whole = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Bars:
    """Bars in the order of time; periods without ticks are left out. Times in microseconds, prices in points."""

    opens_at: Whole
    open: Whole
    high: Whole
    low: Whole
    close: Whole
    close_ask: Whole
    closed_by_at: Whole
    widest_spread: Whole
    ticks: Whole
    volume: Whole


def bars_of(at: Whole, bid: Whole, ask: Whole, *, period: int, volume: Whole | None = None) -> Bars:
    """The bars of ticks in the order of time. *period* in microseconds, counted from 1970."""
    if not len(at):
        nothing = np.empty(0, dtype=np.int64)
        return Bars(*(nothing for _ in range(10)))
    number = at // period
    first = np.flatnonzero(np.concatenate([[True], number[1:] != number[:-1]]))
    last = np.append(first[1:], len(at)) - 1
    volumes = np.zeros(len(at), dtype=np.int64) if volume is None else volume
    return Bars(
        opens_at=number[first] * period,
        open=bid[first],
        high=np.maximum.reduceat(bid, first),
        low=np.minimum.reduceat(bid, first),
        close=bid[last],
        close_ask=ask[last],
        closed_by_at=at[last],
        widest_spread=np.maximum.reduceat(ask - bid, first),
        ticks=last - first + 1,
        volume=np.add.reduceat(volumes, first),
    )
