"""The filter's worked figures: MetaTrader's level filter exactly, each production rule, and who is named when."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from backoffice.kernel.errors import InvalidInput
from platform_ops.rules.price_filter import (
    MAXIMUM_SOURCES,
    MICROSECONDS,
    FilterLevels,
    PriceFilter,
    Verdict,
    read_levels,
)

V = Verdict


def judge(levels: FilterLevels, ticks: Sequence[tuple[float, int, int]]) -> list[Verdict]:
    filter_ = PriceFilter(levels)
    return [filter_.judge(0, int(seconds * MICROSECONDS), bid, ask) for seconds, bid, ask in ticks]


def test_the_worked_sequence_soft_150_filter_3() -> None:
    """Last 1.50213/1.50231; three quotes beyond soft are dropped, the fourth is accepted and becomes the last."""
    ticks = [
        (0, 150_213, 150_231),
        (1, 150_373, 150_391),
        (2, 150_370, 150_388),
        (3, 150_372, 150_390),
        (4, 150_374, 150_392),
        (5, 150_300, 150_318),
    ]

    found = judge(FilterLevels(soft_points=150, soft_ticks=3), ticks)

    assert found == [V.ACCEPTED, V.SOFT, V.SOFT, V.SOFT, V.ACCEPTED, V.ACCEPTED]


def test_a_repeated_quote_is_skipped_within_its_minute() -> None:
    """13:01:15 counts, 13:01:32 is skipped, 13:02:01 counts."""
    start = 13 * 3_600

    found = judge(FilterLevels(), [(start + 75, 100, 102), (start + 92, 100, 102), (start + 121, 100, 102)])

    assert found == [V.ACCEPTED, V.REPEATED, V.ACCEPTED]


def test_beyond_hard_needs_the_soft_count_and_then_the_hard_count() -> None:
    levels = FilterLevels(soft_points=10, soft_ticks=3, hard_points=50, hard_ticks=2)

    found = judge(levels, [(0, 1_000, 1_002), *((n, 1_100, 1_102) for n in range(1, 8))])

    assert found == [V.ACCEPTED, *[V.HARD] * 5, V.ACCEPTED, V.REPEATED]


def test_once_the_soft_count_is_full_a_quote_between_soft_and_hard_counts() -> None:
    levels = FilterLevels(soft_points=10, soft_ticks=2, hard_points=50, hard_ticks=3)

    found = judge(levels, [(0, 1_000, 1_002), (1, 1_100, 1_102), (2, 1_100, 1_102), (3, 1_020, 1_022)])

    assert found == [V.ACCEPTED, V.HARD, V.HARD, V.ACCEPTED]


def test_a_quote_back_inside_soft_resets_both_counts() -> None:
    levels = FilterLevels(soft_points=10, soft_ticks=2)
    away, home = (1_020, 1_022), (1_001, 1_003)

    found = judge(levels, [(0, 1_000, 1_002), (1, *away), (2, *away), (3, *home), (4, *away), (5, *away), (6, *away)])

    assert found == [V.ACCEPTED, V.SOFT, V.SOFT, V.ACCEPTED, V.SOFT, V.SOFT, V.ACCEPTED]


def test_beyond_discard_is_always_dropped() -> None:
    levels = FilterLevels(soft_points=10, soft_ticks=1, discard_points=100)

    found = judge(levels, [(0, 1_000, 1_002), *((n, 1_200, 1_202) for n in range(1, 50))])

    assert found == [V.ACCEPTED, *[V.DISCARD] * 49]


@pytest.mark.parametrize(
    ("levels", "bid", "ask", "verdict"),
    [
        (FilterLevels(soft_points=10, soft_ticks=1), 1_000, 1_020, V.SOFT),
        (FilterLevels(soft_points=10, soft_ticks=1), 1_010, 1_012, V.ACCEPTED),
        (FilterLevels(soft_points=10, soft_ticks=1), 1_011, 1_013, V.SOFT),
        (FilterLevels(), 5_000, 5_002, V.ACCEPTED),
        (FilterLevels(catches_ten_fold=True, soft_ticks=1), 10_000, 10_020, V.TEN_FOLD),
        (FilterLevels(catches_ten_fold=True, soft_ticks=1), 10_400, 10_420, V.TEN_FOLD),
        (FilterLevels(catches_ten_fold=True, soft_ticks=1), 10_600, 10_620, V.ACCEPTED),
        (FilterLevels(catches_ten_fold=True, soft_ticks=1), 100, 101, V.TEN_FOLD),
        (FilterLevels(big_figure_points=100, soft_ticks=1), 1_100, 1_102, V.BIG_FIGURE),
        (FilterLevels(big_figure_points=100, soft_ticks=1), 905, 907, V.BIG_FIGURE),
        (FilterLevels(big_figure_points=100, soft_ticks=1), 1_100, 1_160, V.ACCEPTED),
        (FilterLevels(big_figure_points=100, soft_ticks=1), 1_106, 1_108, V.ACCEPTED),
    ],
)
def test_either_side_and_the_edges_of_the_levels(levels: FilterLevels, bid: int, ask: int, verdict: Verdict) -> None:
    assert judge(levels, [(0, 1_000, 1_002), (1, bid, ask)])[1] is verdict


@pytest.mark.parametrize(
    ("spread", "verdict"), [(1, V.SPREAD_BELOW), (2, V.ACCEPTED), (30, V.ACCEPTED), (31, V.SPREAD_ABOVE)]
)
def test_the_spread_is_held_to_its_bounds_also_on_the_first_tick_and_never_clamped(
    spread: int, verdict: Verdict
) -> None:
    filter_ = PriceFilter(FilterLevels(spread_minimum=2, spread_maximum=30))

    assert filter_.judge(0, 0, 1_000, 1_000 + spread) is verdict
    assert filter_.state_of(0).bid == (1_000 if verdict is V.ACCEPTED else None)


def test_the_first_tick_after_a_silence_or_in_a_new_session_passes_the_levels() -> None:
    levels = FilterLevels(soft_points=10, soft_ticks=3, discard_points=100, break_seconds=60)
    filter_ = PriceFilter(levels)

    def send(seconds: int, bid: int, session: int) -> Verdict:
        return filter_.judge(0, seconds * MICROSECONDS, bid, bid + 2, session=session)

    assert [send(0, 1_000, 1), send(59, 2_000, 1), send(119, 3_000, 1), send(120, 4_000, 2), send(121, 4_001, -1)] == [
        V.ACCEPTED, V.DISCARD, V.ACCEPTED, V.ACCEPTED, V.CLOSED,
    ]  # fmt: skip


def test_a_spread_spike_is_measured_by_the_usual_spread_of_the_source() -> None:
    usual = [(n, 1_000 + n % 2, 1_004 + n % 2) for n in range(64)]

    found = judge(FilterLevels(spike_multiple=5), [*usual, (64, 1_000, 1_020), (65, 1_000, 1_021)])

    assert found[-2:] == [V.ACCEPTED, V.SPREAD_SPIKE]


def test_the_median_of_three_sources_refuses_one_that_is_off_and_none_of_two() -> None:
    levels = FilterLevels(cross_source_spreads=3, consensus_seconds=5)
    filter_ = PriceFilter(levels)
    send = filter_.judge

    assert send(1, 0, 1_000, 1_002) is V.ACCEPTED
    assert send(2, 0, 1_500, 1_502) is V.ACCEPTED, "two sources cannot outvote each other"
    assert send(2, 1, 1_001, 1_003) is V.ACCEPTED
    assert send(3, 2, 1_007, 1_009) is V.ACCEPTED
    assert send(3, 3, 1_008, 1_010) is V.CROSS_SOURCE
    assert send(3, 6 * MICROSECONDS, 1_500, 1_502) is V.ACCEPTED, "nobody else spoke lately"


def test_a_source_that_jumps_with_the_others_is_taken_and_a_slip_is_named() -> None:
    levels = FilterLevels(cross_source_spreads=3, big_figure_points=1_000, catches_ten_fold=True, soft_ticks=2)
    filter_ = PriceFilter(levels)
    for source in (1, 2, 3):
        filter_.judge(source, source, 100_000, 100_002)

    assert filter_.judge(1, 10, 101_000, 101_002) is V.BIG_FIGURE
    assert filter_.judge(1, 11, 1_000_000, 1_000_020) is V.TEN_FOLD
    assert filter_.judge(1, 12, 100_300, 100_302) is V.CROSS_SOURCE
    assert filter_.judge(2, 13, 100_300, 100_302) is V.ACCEPTED, "two of three now say so"
    assert filter_.judge(1, 14, 100_301, 100_303) is V.ACCEPTED


def test_a_symbol_has_a_bounded_number_of_sources() -> None:
    filter_ = PriceFilter(FilterLevels())
    for source in range(MAXIMUM_SOURCES):
        filter_.judge(source, 0, 1, 2)

    with pytest.raises(InvalidInput):
        filter_.judge(MAXIMUM_SOURCES, 0, 1, 2)


@pytest.mark.parametrize(
    ("change", "field"),
    [({"soft_points": 1.5}, "soft_points"), ({"soft_points": True}, "soft_points"), ({"allows_locked": 1}, "allows_locked"),
     ({"nothing": 1}, "nothing"), ({"soft_ticks": None}, "soft_ticks")],
)  # fmt: skip
def test_levels_from_outside_are_whole_numbers_of_their_names(change: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_levels(FilterLevels().as_dict() | change)
    assert refused.value.details["field"] == field
