"""The price filter, tick by tick: which quotes of a feed count, and why the others do not.

Owns one decision, `PriceFilter.judge`, for the quotes of one symbol from any number of sources. Prices are whole numbers
of points and times whole microseconds, so that the same ticks always get the same verdicts, on any machine and in any
form (`price_filter_batch` gives identical ones in bulk). Nothing here reads a clock, a database or a random number.

The checks, in this order; the first that fails is the verdict:

1. time: in the future of its receipt, before an earlier tick of its source, outside the sessions of the symbol;
2. the quote by itself: one side missing, not above zero, crossed, locked, spread under the minimum or over the maximum
   (removed, not clamped; also the first tick);
3. production rules against what the source and the others said: spread spike, frozen, stale, away from the median of at
   least three sources;
4. the level filter of MetaTrader against the last accepted quote P0, with d the larger move of bid and ask: beyond
   `discard` always dropped; beyond `soft` dropped and counted until `soft_ticks` in a row were, then the next is
   accepted and becomes P0; beyond `hard` the soft count and then the hard count must fill. A quote back inside soft
   resets both. A move of one big figure, and ten times or a tenth of P0, count as beyond hard whatever their size. A
   quote equal to P0 in the same minute is skipped. The first tick after a break (a new session, or a silence of
   `break_seconds`) has no P0 to be measured by and passes.

A tick away from the others that is a slip of the decimal point or the big figure against P0 is named after the slip.
A tick that fails 1 to 3 leaves the level filter as it was, as if it had never come.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from enum import IntEnum
from typing import Any

from backoffice.kernel.errors import InvalidInput

MICROSECONDS = 1_000_000
MINUTE = 60 * MICROSECONDS
MAXIMUM_POINTS = 10**13
"""Prices lie below this, so that no sum or product in here leaves 64 bits."""
MAXIMUM_SOURCES = 16
MINIMUM_SOURCES = 3
"""So many sources must have spoken lately before a median of them is worth something."""
SPREAD_BLOCK = 64
"""A source's typical spread is the median of its last full block of so many spreads."""
NO_SESSION = -1
LARGEST_MULTIPLE = 1_000
TOLERANCE_PART = 20
"""A big figure, or ten times, is meant when the price is off by less than this part of it."""


class Verdict(IntEnum):
    """What became of a tick. The numbers are stored with it and never change their meaning."""

    ACCEPTED = 0
    REPEATED = 1
    NOT_POSITIVE = 10
    ONE_SIDED = 11
    FUTURE = 12
    BACKWARDS = 13
    CLOSED = 14
    OFF_GRID = 15
    UNREADABLE = 16
    CROSSED = 17
    LOCKED = 18
    SPREAD_BELOW = 19
    SPREAD_ABOVE = 20
    SPREAD_SPIKE = 21
    FROZEN = 22
    STALE = 23
    CROSS_SOURCE = 24
    TEN_FOLD = 25
    DISCARD = 26
    BIG_FIGURE = 27
    HARD = 28
    SOFT = 29

    @property
    def is_rejected(self) -> bool:
        """Whether the filter found it wrong; a repeated quote is merely skipped."""
        return self >= FIRST_REJECTED

    @property
    def words(self) -> str:
        """Why, for people."""
        return WORDS[self]


FIRST_REJECTED = 10
WORDS: dict[Verdict, str] = {
    Verdict.ACCEPTED: "Accepted",
    Verdict.REPEATED: "Skipped: the same quote in the same minute",
    Verdict.NOT_POSITIVE: "Price not above zero",
    Verdict.ONE_SIDED: "One side missing",
    Verdict.FUTURE: "Time in the future",
    Verdict.BACKWARDS: "Time runs backwards",
    Verdict.CLOSED: "Outside the sessions",
    Verdict.OFF_GRID: "Finer than a point",
    Verdict.UNREADABLE: "No price",
    Verdict.CROSSED: "Crossed: ask below bid",
    Verdict.LOCKED: "Locked: ask equals bid",
    Verdict.SPREAD_BELOW: "Spread under the minimum",
    Verdict.SPREAD_ABOVE: "Spread over the maximum",
    Verdict.SPREAD_SPIKE: "Spread spike",
    Verdict.FROZEN: "Frozen price",
    Verdict.STALE: "Stale while others move",
    Verdict.CROSS_SOURCE: "Away from the other sources",
    Verdict.TEN_FOLD: "Decimal error: ten times or a tenth",
    Verdict.DISCARD: "Beyond the discard level",
    Verdict.BIG_FIGURE: "Big figure error",
    Verdict.HARD: "Beyond the hard level",
    Verdict.SOFT: "Beyond the soft level",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterLevels:
    """A filter setting. Distances are whole points; 0 turns a check off.

    `cross_source_spreads` and `cross_source_deviations`: a tick is away from the others when its middle is further from
    the median than the larger of so many median spreads and so many median absolute deviations. `consensus_seconds` is
    how old a source's last quote may be to be asked. `stale_seconds` and `stale_points` go together: no change for so
    long while the median of the others moved by so much.
    """

    soft_points: int = 0
    soft_ticks: int = 0
    hard_points: int = 0
    hard_ticks: int = 0
    discard_points: int = 0
    spread_minimum: int = 0
    spread_maximum: int = 0
    allows_locked: bool = False
    break_seconds: int = 0
    ahead_milliseconds: int = 0
    spike_multiple: int = 0
    frozen_ticks: int = 0
    stale_seconds: int = 0
    stale_points: int = 0
    cross_source_spreads: int = 0
    cross_source_deviations: int = 0
    consensus_seconds: int = 10
    big_figure_points: int = 0
    catches_ten_fold: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain data of it."""
        return asdict(self)


OFF = FilterLevels(allows_locked=True)
"""Only what can never be a quote is dropped."""

FLAGS = ("allows_locked", "catches_ten_fold")
_BOUNDS = {
    "soft_ticks": 1_000, "hard_ticks": 1_000, "break_seconds": 7 * 86_400, "ahead_milliseconds": 86_400_000,
    "spike_multiple": LARGEST_MULTIPLE, "frozen_ticks": 1_000_000, "stale_seconds": 86_400, "consensus_seconds": 3_600,
    "cross_source_spreads": LARGEST_MULTIPLE, "cross_source_deviations": LARGEST_MULTIPLE,
}  # fmt: skip
_MOST_POINTS = 10**9


def read_levels(data: dict[str, Any]) -> FilterLevels:
    """Levels from plain data. Raises InvalidInput naming a field that is unknown, missing or no number of its kind."""
    names = {field.name for field in fields(FilterLevels)}
    if unknown := sorted(set(data) - names):
        raise InvalidInput(f"{unknown[0]} is no level of the filter.", field=unknown[0])
    if missing := sorted(names - set(data)):
        raise InvalidInput(f"{missing[0]} is missing.", field=missing[0])
    for name, value in data.items():
        if name in FLAGS and not isinstance(value, bool):
            raise InvalidInput(f"{name} is yes or no.", field=name, value=str(value))
        if name not in FLAGS and (isinstance(value, bool) or not isinstance(value, int)):
            raise InvalidInput(f"{name} is a whole number.", field=name, value=str(value))
    levels = FilterLevels(**data)
    check_levels(levels)
    return levels


def check_levels(levels: FilterLevels) -> None:
    """Raises InvalidInput for levels that contradict each other or lie outside of what can be."""
    for field in fields(FilterLevels):
        value = getattr(levels, field.name)
        most = _BOUNDS.get(field.name, _MOST_POINTS)
        if field.name not in FLAGS and not 0 <= value <= most:
            raise InvalidInput(f"{field.name} lies between 0 and {most:,}.", field=field.name, value=value)
    soft, hard, discard = levels.soft_points, levels.hard_points, levels.discard_points
    if hard and hard < soft:
        raise InvalidInput("The hard level is not below the soft level.", field="hard_points", value=hard)
    if discard and discard < max(soft, hard):
        raise InvalidInput("The discard level is not below soft and hard.", field="discard_points", value=discard)
    if soft and not levels.soft_ticks:
        raise InvalidInput("A soft level needs the number of its ticks.", field="soft_ticks", value=0)
    if hard and not levels.hard_ticks:
        raise InvalidInput("A hard level needs the number of its ticks.", field="hard_ticks", value=0)
    if levels.spread_maximum and levels.spread_maximum < levels.spread_minimum:
        raise InvalidInput("The largest spread is not below the smallest.", field="spread_maximum")
    if bool(levels.stale_seconds) != bool(levels.stale_points):
        raise InvalidInput(
            "Stale needs both: seconds without a change, and points that others move.", field="stale_points"
        )
    if levels.big_figure_points and not levels.soft_ticks + levels.hard_ticks:
        raise InvalidInput("A big figure is confirmed by soft or hard ticks.", field="big_figure_points")


@dataclass(slots=True)
class SourceState:
    """What the filter remembers of one source. All of it is plain numbers, so that it can be stored and taken up again."""

    # The last accepted quote; no bid: none since the break.
    bid: int | None = None
    ask: int = 0
    at: int = 0
    soft_count: int = 0
    hard_count: int = 0
    # The latest time that the source ever stated, other than in the future.
    latest: int | None = None
    # The last quote that was right by itself, how often it stood in a row, since when, and what the others said then.
    session: int | None = None
    seen_bid: int = 0
    seen_ask: int = 0
    seen_at: int = 0
    run_length: int = 0
    run_since: int = 0
    run_others: int = 0
    spreads: list[int] | None = None
    typical_spread: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain data of it."""
        return asdict(self)

    @property
    def seen(self) -> bool:
        """Whether the source ever said something that was right by itself."""
        return self.run_length > 0


class PriceFilter:
    """The filter of one symbol. `levels` by source number; a source without its own has those of `default`."""

    __slots__ = ("_default", "_levels", "sources")

    def __init__(self, default: FilterLevels, levels: dict[int, FilterLevels] | None = None) -> None:
        self._default = default
        self._levels = levels or {}
        self.sources: dict[int, SourceState] = {}

    def levels_of(self, source: int) -> FilterLevels:
        """The levels that count for a source."""
        return self._levels.get(source, self._default)

    def state_of(self, source: int) -> SourceState:
        """The memory of a source; a new one remembers nothing. Raises InvalidInput above the highest number of sources."""
        state = self.sources.get(source)
        if state is None:
            if len(self.sources) >= MAXIMUM_SOURCES:
                raise InvalidInput(f"At most {MAXIMUM_SOURCES} sources for a symbol.", field="source", value=source)
            state = self.sources[source] = SourceState()
        return state

    def judge(
        self, source: int, at: int, bid: int, ask: int, *, session: int = 0, received: int | None = None
    ) -> Verdict:
        """The verdict on the next tick. *bid* and *ask* in points, 0 for a side that is missing; *at* and *received* in
        microseconds; *session* tells the sessions of the symbol apart, -1 says that *at* lies in none."""
        levels = self._levels.get(source, self._default)
        state = self.sources.get(source) or self.state_of(source)
        if levels.ahead_milliseconds and received is not None and at - received > levels.ahead_milliseconds * 1_000:
            return Verdict.FUTURE
        if state.latest is not None and at < state.latest:
            return Verdict.BACKWARDS
        state.latest = at
        if session == NO_SESSION:
            return Verdict.CLOSED
        alone = judge_alone(levels, bid, ask)
        if alone is not None:
            return alone
        is_break = (
            session != state.session
            or (levels.break_seconds > 0 and at - state.seen_at >= levels.break_seconds * MICROSECONDS)
        )  # fmt: skip
        found = self._compare(levels, state, source, at, bid, ask, session, is_break)
        if found is Verdict.CROSS_SOURCE and state.bid is not None:
            return slip_of(levels, state.bid, state.ask, bid, ask) or found
        if found is not None:
            return found
        return judge_level(levels, state, at, bid, ask)

    def restart(self, source: int | None = None) -> None:
        """Forgets what was accepted, as after a restart of the feed: the next tick passes the level filter."""
        for number in list(self.sources) if source is None else [source]:
            self.sources[number] = SourceState()

    def _compare(
        self,
        levels: FilterLevels,
        state: SourceState,
        source: int,
        at: int,
        bid: int,
        ask: int,
        session: int,
        is_break: bool,
    ) -> Verdict | None:
        """Takes note of a quote that is right by itself; whether a production rule refuses it."""
        if is_break:
            state.session, state.bid = session, None
            state.soft_count = state.hard_count = 0
            state.spreads, state.typical_spread = None, 0
        spread = ask - bid
        is_spike = bool(
            levels.spike_multiple and state.typical_spread and spread > levels.spike_multiple * state.typical_spread
        )
        if levels.spike_multiple:
            if state.spreads is None:
                state.spreads = []
            state.spreads.append(spread)
            if len(state.spreads) == SPREAD_BLOCK:
                state.typical_spread = sorted(state.spreads)[(SPREAD_BLOCK - 1) // 2]
                state.spreads = []
        others: list[SourceState] = []
        if len(self.sources) > 1:
            oldest = at - levels.consensus_seconds * MICROSECONDS
            others = [
                other
                for number, other in self.sources.items()
                if number != source and other.run_length and other.seen_at >= oldest
            ]
        is_same = not is_break and bid == state.seen_bid and ask == state.seen_ask
        others_middle = median_twice([o.seen_bid + o.seen_ask for o in others]) if levels.stale_seconds else 0
        if is_same:
            state.run_length += 1
        else:
            state.run_length, state.run_since, state.run_others = 1, at, others_middle
        state.seen_bid, state.seen_ask, state.seen_at = bid, ask, at
        if is_spike:
            return Verdict.SPREAD_SPIKE
        if levels.frozen_ticks and state.run_length > levels.frozen_ticks:
            return Verdict.FROZEN
        if (
            levels.stale_seconds
            and is_same
            and at - state.run_since >= levels.stale_seconds * MICROSECONDS
            and others_middle
            and state.run_others
            and abs(others_middle - state.run_others) >= 4 * levels.stale_points
        ):
            return Verdict.STALE
        if len(others) >= MINIMUM_SOURCES - 1 and is_away(levels, bid, ask, others):
            return Verdict.CROSS_SOURCE
        return None


def judge_alone(levels: FilterLevels, bid: int, ask: int) -> Verdict | None:
    """What is wrong with a quote by itself, if anything."""
    if bid <= 0 or ask <= 0:
        return Verdict.ONE_SIDED if (bid == 0) != (ask == 0) and max(bid, ask) > 0 else Verdict.NOT_POSITIVE
    if bid > MAXIMUM_POINTS or ask > MAXIMUM_POINTS:
        return Verdict.UNREADABLE
    spread = ask - bid
    if spread < 0:
        return Verdict.CROSSED
    if spread == 0 and not levels.allows_locked:
        return Verdict.LOCKED
    if spread < levels.spread_minimum:
        return Verdict.SPREAD_BELOW
    if levels.spread_maximum and spread > levels.spread_maximum:
        return Verdict.SPREAD_ABOVE
    return None


def is_away(levels: FilterLevels, bid: int, ask: int, others: list[SourceState]) -> bool:
    """Whether the middle of a quote is further from the median of all sources than the levels allow.

    Everything is doubled as often as medians and middles would halve it, so that no fraction is ever rounded: a sum of
    bid and ask is twice the middle, and `median_twice` of those four times the median.
    """
    if not levels.cross_source_spreads and not levels.cross_source_deviations:
        return False
    middles = [other.seen_bid + other.seen_ask for other in others]
    middles.append(bid + ask)
    median = median_twice(middles)
    away = abs(2 * (bid + ask) - median)
    spreads = [other.seen_ask - other.seen_bid for other in others]
    spreads.append(ask - bid)
    allowed = 4 * levels.cross_source_spreads * median_twice(spreads)
    if levels.cross_source_deviations:
        deviations = [abs(2 * middle - median) for middle in middles]
        allowed = max(allowed, levels.cross_source_deviations * median_twice(deviations))
    return 2 * away > allowed


def median_twice(values: list[int]) -> int:
    """Twice the median, which is a whole number; 0 of nothing."""
    if not values:
        return 0
    ordered = sorted(values)
    count = len(ordered)
    return ordered[(count - 1) // 2] + ordered[count // 2]


def judge_level(levels: FilterLevels, state: SourceState, at: int, bid: int, ask: int) -> Verdict:
    """The level filter. Changes the counters, and P0 when it accepts."""
    last_bid = state.bid
    if last_bid is None:
        return _accept(state, at, bid, ask)
    last_ask = state.ask
    move_bid, move_ask = bid - last_bid, ask - last_ask
    distance = max(abs(move_bid), abs(move_ask))
    if distance == 0:
        state.soft_count = state.hard_count = 0
        if at // MINUTE == state.at // MINUTE:
            return Verdict.REPEATED
        state.at = at
        return Verdict.ACCEPTED
    error = slip_of(levels, last_bid, last_ask, bid, ask)
    if levels.discard_points and distance > levels.discard_points:
        return error if error is Verdict.TEN_FOLD else Verdict.DISCARD
    is_hard = error is not None or (levels.hard_points > 0 and distance > levels.hard_points)
    if not is_hard and not (levels.soft_points and distance > levels.soft_points):
        return _accept(state, at, bid, ask)
    if state.soft_count < levels.soft_ticks:
        state.soft_count += 1
    elif is_hard and state.hard_count < levels.hard_ticks:
        state.hard_count += 1
    else:
        return _accept(state, at, bid, ask)
    return error or (Verdict.HARD if is_hard else Verdict.SOFT)


def slip_of(levels: FilterLevels, last_bid: int, last_ask: int, bid: int, ask: int) -> Verdict | None:
    """Whether a move looks like a slip of the decimal point or of the big figure."""
    if levels.catches_ten_fold and (
        (abs(bid - 10 * last_bid) * 2 <= last_bid and abs(ask - 10 * last_ask) * 2 <= last_ask)
        or (
            abs(10 * bid - last_bid) * TOLERANCE_PART <= last_bid
            and abs(10 * ask - last_ask) * TOLERANCE_PART <= last_ask
        )
    ):
        return Verdict.TEN_FOLD
    figure = levels.big_figure_points
    if figure:
        move_bid, move_ask = bid - last_bid, ask - last_ask
        tolerance = figure // TOLERANCE_PART
        if (
            abs(abs(move_bid) - figure) <= tolerance
            and abs(abs(move_ask) - figure) <= tolerance
            and (move_bid > 0) == (move_ask > 0)
        ):
            return Verdict.BIG_FIGURE
    return None


def _accept(state: SourceState, at: int, bid: int, ask: int) -> Verdict:
    state.bid, state.ask, state.at = bid, ask, at
    state.soft_count = state.hard_count = 0
    return Verdict.ACCEPTED


def session_of(at: int, boundaries: Sequence[int]) -> int:
    """The opening time of the session that *at* lies in, by which sessions are told apart, or -1.

    *boundaries* are openings and closings in turn, ascending; the moment of closing is outside.
    """
    before = bisect_right(boundaries, at)
    return boundaries[before - 1] if before % 2 else NO_SESSION
