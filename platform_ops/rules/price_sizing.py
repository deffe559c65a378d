"""Levels of the filter sized by a symbol's usual spread, where nobody has set any."""

from __future__ import annotations

from platform_ops.rules.price_filter import FilterLevels

SPREADS_TO_SOFT = 5
SOFT_TO_HARD = 5
SOFT_TO_DISCARD = 100
SMALLEST_SOFT_POINTS = 20
PIPS_OF_A_BIG_FIGURE = 100


def sized_levels(*, spread_points: int, points_per_pip: int, is_forex: bool) -> FilterLevels:
    """Soft at five usual spreads, hard at five times soft, discard at a hundred times soft, as MetaTrader advises.

    The spread may widen to the soft level and ten times what it was lately, so that news survive. The big figure, a
    hundred pips, is a notion of currencies only.
    """
    soft = max(SPREADS_TO_SOFT * spread_points, SMALLEST_SOFT_POINTS)
    return FilterLevels(
        soft_points=soft,
        soft_ticks=3,
        hard_points=soft * SOFT_TO_HARD,
        hard_ticks=5,
        discard_points=soft * SOFT_TO_DISCARD,
        break_seconds=3_600,
        ahead_milliseconds=5_000,
        spike_multiple=20,
        frozen_ticks=1_000,
        stale_seconds=60,
        stale_points=soft,
        cross_source_spreads=8,
        cross_source_deviations=10,
        consensus_seconds=10,
        big_figure_points=PIPS_OF_A_BIG_FIGURE * points_per_pip if is_forex else 0,
        catches_ten_fold=True,
    )
