"""The price filter judges columns as it judges single ticks, whatever comes and wherever the columns are cut."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from platform_ops.rules.price_filter import MICROSECONDS, FilterLevels, PriceFilter, Verdict
from platform_ops.rules.price_filter_batch import TickColumns, judge_batch

SECOND = MICROSECONDS

levels_of_any_kind = st.builds(
    FilterLevels,
    soft_points=st.sampled_from([0, 5, 20]),
    soft_ticks=st.sampled_from([1, 2, 3]),
    hard_points=st.sampled_from([0, 20, 60]),
    hard_ticks=st.sampled_from([1, 2]),
    discard_points=st.sampled_from([0, 200, 5_000]),
    spread_minimum=st.sampled_from([0, 1, 2]),
    spread_maximum=st.sampled_from([0, 15]),
    allows_locked=st.booleans(),
    break_seconds=st.sampled_from([0, 40, 300]),
    ahead_milliseconds=st.sampled_from([0, 1_500]),
    spike_multiple=st.sampled_from([0, 2]),
    frozen_ticks=st.sampled_from([0, 2, 3]),
    stale_seconds=st.sampled_from([0, 20]),
    stale_points=st.sampled_from([0, 4]),
    cross_source_spreads=st.sampled_from([0, 1, 3]),
    cross_source_deviations=st.sampled_from([0, 2]),
    consensus_seconds=st.sampled_from([5, 60]),
    big_figure_points=st.sampled_from([0, 100]),
    catches_ten_fold=st.booleans(),
)

one_tick = st.tuples(
    st.integers(0, 3),  # source
    st.sampled_from([0, 0, 1, 1, 2, 7, 25, 61, 400, -3]),  # seconds since the tick before
    st.sampled_from([0, 0, 0, 1, -1, 2, -3, 6, 25, -25, 100, -100, 103]),  # the price moves by
    st.sampled_from([1, 2, 2, 2, 3, 5, 16, 0, -1]),  # spread
    st.sampled_from(["", "", "", "", "", "", "", "ten", "tenth", "no bid", "no ask", "zero", "minus", "huge", "closed", "ahead"]),
)  # fmt: skip


def build(moves: list[tuple[int, int, int, int, str]], *, sessions: bool = True) -> list[dict[str, int]]:
    at, price, session = 1_000_000 * SECOND, 1_000, 5
    rows = []
    for source, seconds, move, spread, fault in moves:
        at += seconds * SECOND
        if seconds == 400 and sessions:
            session += 1
        price = max(20, price + move)
        bid, ask = price, price + spread
        match fault:
            case "ten":
                bid, ask = bid * 10, ask * 10
            case "tenth":
                bid, ask = bid // 10, ask // 10
            case "no bid":
                bid = 0
            case "no ask":
                ask = 0
            case "zero":
                bid = ask = 0
            case "minus":
                bid = -bid
            case "huge":
                ask = 10**17
        stated = at + (10 * SECOND if fault == "ahead" else 0)
        rows.append(
            {
                "source": source, "at": stated, "bid": bid, "ask": ask, "session": -1 if fault == "closed" else session,
                "received": at,
            }
        )  # fmt: skip
    return rows


def stream(judge: PriceFilter, rows: list[dict[str, int]]) -> list[int]:
    return [
        int(judge.judge(r["source"], r["at"], r["bid"], r["ask"], session=r["session"], received=r["received"]))
        for r in rows
    ]


def bulk(judge: PriceFilter, rows: list[dict[str, int]]) -> list[int]:
    columns: dict[str, Any] = {
        name: np.array([row[name] for row in rows], dtype=np.int64)
        for name in ("source", "at", "bid", "ask", "session", "received")
    }
    return judge_batch(judge, TickColumns(**columns)).tolist()


@settings(max_examples=250, deadline=None)
@given(
    default=levels_of_any_kind,
    own=levels_of_any_kind,
    moves=st.lists(one_tick, max_size=160),
    cuts=st.lists(st.integers(0, 160), max_size=3),
)
def test_columns_and_single_ticks_get_the_same_verdicts(
    default: FilterLevels, own: FilterLevels, moves: list[tuple[int, int, int, int, str]], cuts: list[int]
) -> None:
    rows = build(moves)
    singly, columns = PriceFilter(default, {1: own}), PriceFilter(default, {1: own})

    expected = stream(singly, rows)
    edges = sorted({0, len(rows), *(cut for cut in cuts if cut < len(rows))})
    found: list[int] = []
    for begin, end in pairwise(edges):
        found += bulk(columns, rows[begin:end])

    assert [Verdict(v).name for v in found] == [Verdict(v).name for v in expected]
    assert {k: s.as_dict() for k, s in columns.sources.items()} == {k: s.as_dict() for k, s in singly.sources.items()}


@settings(max_examples=150, deadline=None)
@given(default=levels_of_any_kind, moves=st.lists(one_tick, max_size=80), cut=st.integers(0, 80))
def test_forms_may_follow_each_other_at_any_tick(
    default: FilterLevels, moves: list[tuple[int, int, int, int, str]], cut: int
) -> None:
    rows = build(moves)
    singly, mixed = PriceFilter(default), PriceFilter(default)

    expected = stream(singly, rows)
    found = bulk(mixed, rows[:cut]) + stream(mixed, rows[cut:])

    assert found == expected


@settings(max_examples=150, deadline=None)
@given(soft_ticks=st.integers(1, 5), hard_ticks=st.integers(1, 5), jump=st.integers(21, 999), steps=st.integers(12, 30))
def test_a_genuine_jump_survives_after_its_counts_and_no_later(
    soft_ticks: int, hard_ticks: int, jump: int, steps: int
) -> None:
    levels = FilterLevels(soft_points=20, soft_ticks=soft_ticks, hard_points=100, hard_ticks=hard_ticks)
    rows = build([(0, 1, 0, 2, "")] * 3 + [(0, 1, jump, 2, "")] + [(0, 61, 0, 2, "")] * steps, sessions=False)

    verdicts = stream(PriceFilter(levels), rows)

    dropped = soft_ticks + (hard_ticks if jump > 100 else 0)
    assert Counter(v >= 10 for v in verdicts)[True] == dropped
    assert all(v < 10 for v in verdicts[3 + dropped :])


@settings(max_examples=100, deadline=None)
@given(moves=st.lists(one_tick, min_size=1, max_size=60))
def test_with_everything_off_only_what_can_never_be_a_quote_is_dropped(
    moves: list[tuple[int, int, int, int, str]],
) -> None:
    rows = build([(source, abs(seconds), move, spread, fault) for source, seconds, move, spread, fault in moves])

    verdicts = {Verdict(v) for v in stream(PriceFilter(FilterLevels(allows_locked=True)), rows)}

    never = {Verdict.NOT_POSITIVE, Verdict.ONE_SIDED, Verdict.CROSSED, Verdict.UNREADABLE, Verdict.CLOSED}
    assert {v for v in verdicts if v.is_rejected} <= never | {Verdict.BACKWARDS}
