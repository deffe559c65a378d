"""The bench of the price filter: ticks a second on one core against a bare numpy pass, and how long one tick takes.

The bare pass is what one writes first: crossed, spread cap, backwards, repeated, away from the median of three neighbours. It keeps no state, knows
no last accepted price, no counts, no sessions and no reasons, and cannot go on where it stopped. The two forms of the
filter must agree on every verdict, or there is no result.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backoffice.core.measuring.bench import Comparison, Contender, Contest
from platform_ops.rules.price_filter import PriceFilter
from platform_ops.rules.price_filter_batch import TickColumns, judge_batch
from platform_ops.rules.price_sizing import sized_levels

SIZES = {"smoke": 100_000, "std": 1_000_000, "big": 5_000_000}
STREAMED = 200_000
SPREAD = 4
SOURCES = 3
BATCH, STREAM, BARE, THREE = "ours: whole columns", "ours: tick by tick", "bare numpy pass", "ours: three sources"
SEED = 11


def ticks(size: str) -> Iterator[Contest]:
    """The suite: one source's ticks in bulk and singly, and three sources with the median between them."""
    yield _Bench(SIZES[size]).contest()


@dataclass(slots=True)
class _Bench:
    count: int
    columns: TickColumns = field(init=False)
    verdicts: NDArray[np.int16] = field(init=False)
    nanoseconds: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.columns = _market(self.count)
        self.verdicts = np.zeros(0, dtype=np.int16)

    def contest(self) -> Contest:
        streamed = min(STREAMED, self.count)
        contenders = [
            Contender(BARE, self._bare, self.count),
            Contender(BATCH, self._batch, self.count, checksums=lambda: {"verdicts": _digest(self.verdicts[:streamed])},
                      notes=lambda: {"rejected": float((self.verdicts >= 10).sum())}),
            Contender(STREAM, lambda: self._stream(streamed), streamed,
                      checksums=lambda: {"verdicts": _digest(self.verdicts)}, notes=self._percentiles, turns=2),
            Contender(THREE, self._three, self.count),
        ]  # fmt: skip
        comparisons = [
            Comparison("ticks: filter in bulk", BATCH, BARE, target=4.0),
            Comparison("ticks: filter in bulk, three sources", THREE, BARE),
            Comparison("ticks: filter tick by tick", STREAM, BARE, limits={"p99_microseconds": 20.0}),
        ]
        return Contest("ticks", "ticks", contenders, comparisons)

    def _batch(self) -> None:
        self.verdicts = judge_batch(_filter(), self.columns)

    def _stream(self, count: int) -> None:
        judge = _filter()
        columns = self.columns
        rows = zip(columns.at[:count].tolist(), columns.bid[:count].tolist(), columns.ask[:count].tolist(), strict=True)
        clock, took, found = time.perf_counter_ns, [], []
        for at, bid, ask in rows:
            begun = clock()
            verdict = judge.judge(0, at, bid, ask)
            took.append(clock() - begun)
            found.append(verdict)
        self.nanoseconds = took
        self.verdicts = np.array(found, dtype=np.int16)

    def _percentiles(self) -> dict[str, float]:
        ordered = sorted(self.nanoseconds)
        return {
            "p50_microseconds": ordered[len(ordered) // 2] / 1_000,
            "p99_microseconds": ordered[len(ordered) * 99 // 100] / 1_000,
        }

    def _three(self) -> None:
        sources = np.arange(self.count, dtype=np.int64) % SOURCES
        judge_batch(_filter(), TickColumns(sources, self.columns.at, self.columns.bid, self.columns.ask))

    def _bare(self) -> Any:
        bid, ask, at = self.columns.bid, self.columns.ask, self.columns.at
        spread = ask - bid
        bad = (bid <= 0) | (spread <= 0) | (spread > 20 * SPREAD)
        bad[1:] |= at[1:] < at[:-1]
        middle = bid + ask
        typical = np.median(np.stack([middle[:-2], middle[1:-1], middle[2:]]), axis=0)
        bad[1:-1] |= np.abs(middle[1:-1] - typical) > 10 * SPREAD
        bad[1:] |= (bid[1:] == bid[:-1]) & (ask[1:] == ask[:-1])
        return bad


def _filter() -> PriceFilter:
    return PriceFilter(sized_levels(spread_points=SPREAD, points_per_pip=10, is_forex=True))


def _market(count: int) -> TickColumns:
    """Two days' worth of a major's ticks: a walk in points, now and then the same again, and a fault in two thousand."""
    random = np.random.default_rng(SEED)
    at = 1_700_000_000_000_000 + np.cumsum(random.integers(20_000, 900_000, count))
    bid = 113_000 + np.cumsum(random.choice(np.array([-2, -1, 0, 0, 1, 2]), count))
    bid = np.abs(bid - 20_000) + 20_000
    spread = random.choice(np.array([2, 3, 4, 4, 5, 7]), count)
    same = np.flatnonzero(random.random(count) < 0.1)
    same = same[same > 0]
    bid[same], spread[same] = bid[same - 1], spread[same - 1]
    ask = bid + spread
    faults = np.flatnonzero(random.random(count) < 0.0005)
    kinds = np.arange(len(faults)) % 4
    bid[faults[kinds == 0]] *= 10
    ask[faults[kinds == 0]] *= 10
    ask[faults[kinds == 1]] = bid[faults[kinds == 1]] - 3
    bid[faults[kinds == 2]] += 1_000
    ask[faults[kinds == 2]] += 1_000
    bid[faults[kinds == 3]] = 0
    return TickColumns(np.zeros(count, dtype=np.int64), at.astype(np.int64), bid.astype(np.int64), ask.astype(np.int64))


def _digest(verdicts: NDArray[np.int16]) -> str:
    return hashlib.sha256(np.ascontiguousarray(verdicts, dtype=np.int16).tobytes()).hexdigest()
