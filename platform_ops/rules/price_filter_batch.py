"""The price filter in bulk: the same verdicts as `price_filter`, tick by tick, on whole columns at once.

Nearly every tick of a real feed is good, and its predecessor was what it is measured by. So all checks run on columns
against the predecessor, and only where one fails does the level filter step through tick by tick, until it stands at a
price that it accepted; from there on columns are right again. Everything is 64-bit whole numbers, as in the other form.
`judge_batch` takes up a filter's memory and leaves it as if every tick had been judged singly, so that the two forms can
follow each other at any tick.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from platform_ops.rules.price_filter import (
    MAXIMUM_POINTS,
    MICROSECONDS,
    MINIMUM_SOURCES,
    MINUTE,
    NO_SESSION,
    SPREAD_BLOCK,
    TOLERANCE_PART,
    FilterLevels,
    PriceFilter,
    SourceState,
    Verdict,
    judge_level,
    slip_of,
)

Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]
_ABSENT = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class TickColumns:
    """Ticks of one symbol in the order of their arrival: columns of equal length, as `PriceFilter.judge` takes them."""

    source: Whole
    at: Whole
    bid: Whole
    ask: Whole
    session: Whole | None = None
    received: Whole | None = None

    def __len__(self) -> int:
        return len(self.at)


@dataclass(slots=True)
class _Lane:
    """The ticks of one source: where they stand among all, and those that are right by themselves."""

    number: int
    levels: FilterLevels
    state: SourceState
    rows: Whole
    sane: Whole
    at: Whole
    bid: Whole
    ask: Whole
    breaks: Flags
    was_seen: bool
    seen_bid: int
    seen_ask: int
    seen_at: int


def judge_batch(judge: PriceFilter, ticks: TickColumns) -> NDArray[np.int16]:
    """The verdict on every tick, and the filter's memory as it is after the last one."""
    verdicts = np.zeros(len(ticks), dtype=np.int16)
    if not len(ticks):
        return verdicts
    lanes = [_open_lane(judge, ticks, number, verdicts) for number in _numbers(ticks.source)]
    known = {lane.number for lane in lanes}
    lanes += [_idle_lane(judge, number) for number in judge.sources if number not in known]
    # Comparisons need what every source said, so all lanes are read before one is judged.
    compared = [_compare(lane, lanes) for lane in lanes]
    for lane, found in zip(lanes, compared, strict=True):
        if len(lane.sane):
            before = (lane.state.bid, lane.state.ask)
            verdicts[lane.sane] = found
            _judge_levels(lane, found, verdicts)
            _name_slips(lane, found, before, verdicts)
    return verdicts


def _numbers(source: Whole) -> list[int]:
    """The sources in the order in which they first spoke."""
    numbers, first = np.unique(source, return_index=True)
    return [int(number) for number in numbers[np.argsort(first)]]


def _open_lane(judge: PriceFilter, ticks: TickColumns, number: int, verdicts: NDArray[np.int16]) -> _Lane:
    """Judges times and each quote by itself."""
    levels, state = judge.levels_of(number), judge.state_of(number)
    rows = np.flatnonzero(ticks.source == number)
    whole = len(rows) == len(ticks)
    at, bid, ask = (column if whole else column[rows] for column in (ticks.at, ticks.bid, ticks.ask))
    session = np.zeros(len(rows), dtype=np.int64) if ticks.session is None else ticks.session[rows]
    alone = _judge_times(levels, state, at, session, None if ticks.received is None else ticks.received[rows])
    quotes = _judge_quotes(levels, bid, ask)
    alone = np.where(alone == 0, quotes, alone)
    verdicts[rows] = alone
    sane = np.flatnonzero(alone == 0)
    if len(sane) != len(rows):
        at, bid, ask, session = at[sane], bid[sane], ask[sane], session[sane]
    lane = _Lane(
        number, levels, state, rows, rows[sane], at, bid, ask, np.zeros(len(sane), dtype=bool),
        state.seen, state.seen_bid, state.seen_ask, state.seen_at,
    )  # fmt: skip
    if len(sane):
        before_at, before_session = np.empty_like(at), np.empty_like(session)
        before_at[1:], before_session[1:] = at[:-1], session[:-1]
        before_at[0], before_session[0] = state.seen_at, session[0] if state.session is None else state.session
        lane.breaks = session != before_session
        if levels.break_seconds:
            lane.breaks |= at - before_at >= levels.break_seconds * MICROSECONDS
        lane.breaks[0] |= state.session is None
        state.session = int(session[-1])
    return lane


def _idle_lane(judge: PriceFilter, number: int) -> _Lane:
    state, nothing = judge.sources[number], np.empty(0, dtype=np.int64)
    return _Lane(
        number, judge.levels_of(number), state, nothing, nothing, nothing, nothing, nothing, np.empty(0, dtype=bool),
        state.seen, state.seen_bid, state.seen_ask, state.seen_at,
    )  # fmt: skip


def _judge_times(
    levels: FilterLevels, state: SourceState, at: Whole, session: Whole, received: Whole | None
) -> NDArray[np.int16]:
    found = np.zeros(len(at), dtype=np.int16)
    counted = at
    lowest = np.iinfo(np.int64).min
    if levels.ahead_milliseconds and received is not None:
        future = at - received > levels.ahead_milliseconds * 1_000
        found[future] = Verdict.FUTURE
        counted = np.where(future, lowest, at)
    latest = np.empty_like(at)
    latest[0] = lowest if state.latest is None else state.latest
    latest[1:] = counted[:-1]
    np.maximum.accumulate(latest, out=latest)
    found[(at < latest) & (found == 0)] = Verdict.BACKWARDS
    last = max(int(latest[-1]), int(counted[-1]))
    state.latest = None if last == lowest else last
    found[(session == NO_SESSION) & (found == 0)] = Verdict.CLOSED
    return found


def _judge_quotes(levels: FilterLevels, bid: Whole, ask: Whole) -> NDArray[np.int16]:
    """`judge_alone` on columns: what is checked first is written last."""
    found = np.zeros(len(bid), dtype=np.int16)
    # Prices outside of what is judged at all would overflow a difference; they are named below.
    lowest, highest = np.minimum(bid, ask), np.maximum(bid, ask)
    is_unusual = (lowest <= 0) | (highest > MAXIMUM_POINTS)
    spread = np.where(is_unusual, 1, ask - bid) if is_unusual.any() else ask - bid
    if levels.spread_maximum:
        found[spread > levels.spread_maximum] = Verdict.SPREAD_ABOVE
    if levels.spread_minimum:
        found[spread < levels.spread_minimum] = Verdict.SPREAD_BELOW
    if not levels.allows_locked:
        found[spread == 0] = Verdict.LOCKED
    found[spread < 0] = Verdict.CROSSED
    found[highest > MAXIMUM_POINTS] = Verdict.UNREADABLE
    found[lowest <= 0] = Verdict.NOT_POSITIVE
    found[((bid == 0) != (ask == 0)) & (highest > 0)] = Verdict.ONE_SIDED
    return found


def _compare(lane: _Lane, lanes: list[_Lane]) -> NDArray[np.int16]:
    """The production rules on the quotes of a lane; takes note of them in its state."""
    found = np.zeros(len(lane.sane), dtype=np.int16)
    if not len(lane.sane):
        return found
    levels, state = lane.levels, lane.state
    wants_median = bool(levels.cross_source_spreads or levels.cross_source_deviations)
    others = _Others(lane, [other for other in lanes if other is not lane]) if len(lanes) > 1 else None
    if others is not None and wants_median:
        found[others.is_away()] = Verdict.CROSS_SOURCE
    _judge_runs(lane, others, found)
    if levels.spike_multiple:
        typical = _typical_spreads(lane)
        is_spike = (typical > 0) & (lane.ask - lane.bid > levels.spike_multiple * typical)
        found[is_spike] = Verdict.SPREAD_SPIKE
    else:
        if lane.breaks.any():
            state.spreads, state.typical_spread = None, 0
    return found


def _judge_runs(lane: _Lane, others: _Others | None, found: NDArray[np.int16]) -> None:
    """Frozen and stale prices, by how long and since when the same quote stands; leaves the last run in the state."""
    levels, state = lane.levels, lane.state
    count = len(lane.at)
    is_same = np.empty(count, dtype=bool)
    is_same[1:] = (lane.bid[1:] == lane.bid[:-1]) & (lane.ask[1:] == lane.ask[:-1])
    is_same[0] = lane.was_seen and int(lane.bid[0]) == lane.seen_bid and int(lane.ask[0]) == lane.seen_ask
    is_same &= ~lane.breaks
    index = np.arange(count)
    start = np.maximum.accumulate(np.where(is_same, -1, index))
    goes_on = start < 0
    length = np.where(goes_on, index + 1 + state.run_length, index - start + 1)
    middles = others.middles() if others is not None and levels.stale_seconds else np.zeros(count, dtype=np.int64)
    safe = np.maximum(start, 0)
    since = np.where(goes_on, state.run_since, lane.at[safe])
    then = np.where(goes_on, state.run_others, middles[safe])
    if levels.stale_seconds:
        found[
            is_same
            & (lane.at - since >= levels.stale_seconds * MICROSECONDS)
            & (middles != 0)
            & (then != 0)
            & (np.abs(middles - then) >= 4 * levels.stale_points)
        ] = Verdict.STALE
    if levels.frozen_ticks:
        found[length > levels.frozen_ticks] = Verdict.FROZEN
    state.run_length, state.run_since, state.run_others = int(length[-1]), int(since[-1]), int(then[-1])
    state.seen_bid, state.seen_ask, state.seen_at = int(lane.bid[-1]), int(lane.ask[-1]), int(lane.at[-1])


def _typical_spreads(lane: _Lane) -> Whole:
    """The typical spread that each quote is measured by: the median of the block of spreads before its own block."""
    state = lane.state
    spreads = lane.ask - lane.bid
    typical = np.empty_like(spreads)
    starts = np.flatnonzero(lane.breaks)
    edges = [0, *(int(start) for start in starts if start), len(spreads)]
    for begin, end in pairwise(edges):
        if lane.breaks[begin]:
            state.spreads, state.typical_spread = None, 0
        carried = state.spreads or []
        joined = np.concatenate([np.array(carried, dtype=np.int64), spreads[begin:end]])
        blocks = len(joined) // SPREAD_BLOCK
        full = joined[: blocks * SPREAD_BLOCK].reshape(blocks, SPREAD_BLOCK)
        middle = (SPREAD_BLOCK - 1) // 2
        medians = np.partition(full, middle, axis=1)[:, middle] if blocks else np.empty(0, dtype=np.int64)
        known = np.concatenate([np.array([state.typical_spread], dtype=np.int64), medians])
        typical[begin:end] = np.repeat(known, SPREAD_BLOCK)[len(carried) : len(carried) + end - begin]
        state.typical_spread = int(known[-1])
        state.spreads = joined[blocks * SPREAD_BLOCK :].tolist()
    return typical


class _Others:
    """What the other sources said last, at every tick of a lane: a column for each of them, and one for the lane's own."""

    def __init__(self, lane: _Lane, others: list[_Lane]) -> None:
        self.lane = lane
        oldest = lane.at - lane.levels.consensus_seconds * MICROSECONDS
        shape = (len(others), len(lane.at))
        self.bid, self.ask = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        self.is_fresh = np.zeros(shape, dtype=bool)
        for row, other in enumerate(others):
            if not len(other.sane) and not other.was_seen:
                continue
            last = np.searchsorted(other.sane, lane.sane) - 1
            at = _carried(other.at, last, other.seen_at)
            self.bid[row] = _carried(other.bid, last, other.seen_bid)
            self.ask[row] = _carried(other.ask, last, other.seen_ask)
            self.is_fresh[row] = ((last >= 0) | other.was_seen) & (at >= oldest)
        self.count = self.is_fresh.sum(axis=0)

    def middles(self) -> Whole:
        """Twice the median of twice the middles of the others; 0 where nobody spoke lately."""
        return _median_twice(np.where(self.is_fresh, self.bid + self.ask, _ABSENT), self.count)

    def is_away(self) -> Flags:
        """`is_away` on columns, where enough sources spoke."""
        levels, lane = self.lane.levels, self.lane
        away = np.zeros(len(lane.at), dtype=bool)
        asked = np.flatnonzero(self.count >= MINIMUM_SOURCES - 1)
        if not len(asked):
            return away
        fresh = np.vstack([self.is_fresh[:, asked], np.ones(len(asked), dtype=bool)])
        bid = np.vstack([self.bid[:, asked], lane.bid[asked]])
        ask = np.vstack([self.ask[:, asked], lane.ask[asked]])
        count = self.count[asked] + 1
        middles = bid + ask
        median = _median_twice(np.where(fresh, middles, _ABSENT), count)
        allowed = 4 * levels.cross_source_spreads * _median_twice(np.where(fresh, ask - bid, _ABSENT), count)
        if levels.cross_source_deviations:
            deviations = np.where(fresh, np.abs(2 * middles - median), _ABSENT)
            allowed = np.maximum(allowed, levels.cross_source_deviations * _median_twice(deviations, count))
        away[asked] = 2 * np.abs(2 * middles[-1] - median) > allowed
        return away


def _carried(column: Whole, last: NDArray[np.intp], before: int) -> Whole:
    """The value at *last*, or what stood before the first one."""
    if not len(column):
        return np.full(len(last), before, dtype=np.int64)
    return np.where(last >= 0, column[np.maximum(last, 0)], before)


def _median_twice(values: Whole, count: NDArray[np.intp]) -> Whole:
    """`median_twice` of each column, in which `count` values are present and the others `_ABSENT`."""
    ordered = np.sort(values, axis=0)
    columns = np.arange(values.shape[1])
    lower = ordered[np.maximum(count - 1, 0) // 2, columns]
    upper = ordered[np.minimum(count // 2, len(values) - 1), columns]
    return np.where(count > 0, np.where(count > 0, lower, 0) + np.where(count > 0, upper, 0), 0)


def _judge_levels(lane: _Lane, compared: NDArray[np.int16], verdicts: NDArray[np.int16]) -> None:
    """The level filter over the ticks of a lane that nothing else refused."""
    passing = compared == 0
    whole = bool(passing.all())
    rows = lane.sane if whole else lane.sane[passing]
    at, bid, ask = (column if whole else column[passing] for column in (lane.at, lane.bid, lane.ask))
    breaks = _breaks_between(lane.breaks, passing)
    state = lane.state
    if breaks.trailing and not len(rows):
        _forget(state)
        return
    if not len(rows):
        return
    doubtful = _doubtful(lane.levels, bid, ask)
    doubtful[0] = True
    doubtful |= breaks.before
    minute = at // MINUTE
    found = np.zeros(len(rows), dtype=np.int16)
    found[1:][(bid[1:] == bid[:-1]) & (ask[1:] == ask[:-1]) & (minute[1:] == minute[:-1])] = Verdict.REPEATED
    ends = np.append(np.flatnonzero(doubtful), len(rows))
    place = 0
    for next_doubtful in ends.tolist():
        if next_doubtful < place:
            continue
        if next_doubtful > place:
            _stand_at(state, at, bid, ask, found, next_doubtful - 1)
        place = _step_through(lane.levels, state, at, bid, ask, breaks.before, found, next_doubtful)
    if breaks.trailing:
        _forget(state)
    verdicts[rows] = found


def _name_slips(
    lane: _Lane, compared: NDArray[np.int16], before: tuple[int | None, int], verdicts: NDArray[np.int16]
) -> None:
    """Names ticks away from the others after their slip against P0, where it is one: they are few."""
    away = np.flatnonzero(compared == Verdict.CROSS_SOURCE)
    if not len(away) or not (lane.levels.catches_ten_fold or lane.levels.big_figure_points):
        return
    stood = np.flatnonzero(verdicts[lane.sane] <= Verdict.REPEATED)
    breaks = np.cumsum(lane.breaks)
    for place in away.tolist():
        last = int(np.searchsorted(stood, place)) - 1
        if last >= 0:
            origin = int(stood[last])
            p0: tuple[int | None, int] = (int(lane.bid[origin]), int(lane.ask[origin]))
            passed = int(breaks[origin])
        else:
            p0, passed = before, 0
        if p0[0] is None or breaks[place] != passed:
            continue
        slip = slip_of(lane.levels, p0[0], p0[1], int(lane.bid[place]), int(lane.ask[place]))
        if slip is not None:
            verdicts[lane.sane[place]] = slip


def _step_through(
    levels: FilterLevels,
    state: SourceState,
    at: Whole,
    bid: Whole,
    ask: Whole,
    breaks: Flags,
    found: NDArray[np.int16],
    place: int,
) -> int:
    """Judges tick by tick from *place* until one is accepted or repeated; the place after it."""
    while place < len(at):
        if breaks[place]:
            _forget(state)
        verdict = judge_level(levels, state, int(at[place]), int(bid[place]), int(ask[place]))
        found[place] = verdict
        place += 1
        if not verdict.is_rejected:
            break
    return place


def _stand_at(state: SourceState, at: Whole, bid: Whole, ask: Whole, found: NDArray[np.int16], place: int) -> None:
    """The memory after a stretch of good ticks: P0 is the last of them. Its time matters by the minute only, and a
    repeated quote lies in the minute of the accepted one; the exact time is that of the last that was accepted."""
    state.bid, state.ask = int(bid[place]), int(ask[place])
    state.soft_count = state.hard_count = 0
    while place >= 0 and found[place] == Verdict.REPEATED:
        place -= 1
    if place >= 0 and found[place] == Verdict.ACCEPTED:
        state.at = int(at[place])


def _doubtful(levels: FilterLevels, bid: Whole, ask: Whole) -> Flags:
    """Ticks that the level filter might not simply accept, if their predecessor is P0."""
    doubtful = np.zeros(len(bid), dtype=bool)
    move_bid, move_ask = np.diff(bid), np.diff(ask)
    distance = np.maximum(np.abs(move_bid), np.abs(move_ask))
    limits = [points for points in (levels.soft_points, levels.hard_points, levels.discard_points) if points]
    if limits:
        doubtful[1:] = distance > min(limits)
    figure = levels.big_figure_points
    if figure:
        doubtful[1:] |= np.abs(distance - figure) <= figure // TOLERANCE_PART
    if levels.catches_ten_fold:
        doubtful[1:] |= (bid[1:] > 5 * bid[:-1]) | (5 * bid[1:] < bid[:-1])
    return doubtful


@dataclass(frozen=True, slots=True)
class _Breaks:
    """Before which of the passing ticks a break lies, and whether one lies after the last of them."""

    before: Flags
    trailing: bool


def _breaks_between(breaks: Flags, passing: Flags) -> _Breaks:
    """A break at a tick that was refused counts for the next one that passes."""
    count = np.cumsum(breaks)
    passed = count[passing]
    before = np.empty(len(passed), dtype=bool)
    before[1:] = passed[1:] != passed[:-1]
    if len(passed):
        before[0] = passed[0] > 0
    last = int(passed[-1]) if len(passed) else 0
    return _Breaks(before, int(count[-1]) > last)


def _forget(state: SourceState) -> None:
    state.bid = None
    state.soft_count = state.hard_count = 0
