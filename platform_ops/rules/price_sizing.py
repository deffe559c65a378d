"""Levels of the filter where nobody has set any: those that the symbol's specification states, else by its usual spread."""

from __future__ import annotations

from dataclasses import dataclass, replace

from backoffice.kernel.errors import InvalidInput
from platform_ops.rules.price_filter import FilterLevels, check_levels

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


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedLevels:
    """The filter terms of a specification, as a MetaTrader-like server has them; 0 states nothing, or turns one off."""

    soft_points: int = 0
    soft_ticks: int = 0
    hard_points: int = 0
    hard_ticks: int = 0
    discard_points: int = 0
    spread_minimum: int = 0
    spread_maximum: int = 0

    @property
    def has_levels(self) -> bool:
        """Whether it states soft, hard or discard."""
        return bool(self.soft_points or self.hard_points or self.discard_points)

    @property
    def has_spreads(self) -> bool:
        """Whether it bounds the spread."""
        return bool(self.spread_minimum or self.spread_maximum)


def stated_levels(stated: StatedLevels, *, sized: FilterLevels) -> FilterLevels | None:
    """*sized* with what a specification states over it; None where it states nothing, or what contradicts itself.

    Who states one of the three levels has turned off those that he leaves at 0. A level whose count of ticks is missing is
    confirmed by the usual count.
    """
    if not stated.has_levels and not stated.has_spreads:
        return None
    levels = sized
    if stated.has_levels:
        soft, hard = stated.soft_points, stated.hard_points
        is_confirmed = bool(soft or hard)
        levels = replace(
            levels,
            soft_points=soft,
            soft_ticks=(stated.soft_ticks or sized.soft_ticks) if soft else 0,
            hard_points=hard,
            hard_ticks=(stated.hard_ticks or sized.hard_ticks) if hard else 0,
            discard_points=stated.discard_points,
            stale_points=soft or sized.stale_points,
            # A big figure is confirmed by the ticks of the levels: without them nothing would ever pass it.
            big_figure_points=sized.big_figure_points if is_confirmed else 0,
            catches_ten_fold=sized.catches_ten_fold and is_confirmed,
        )
    if stated.has_spreads:
        levels = replace(levels, spread_minimum=stated.spread_minimum, spread_maximum=stated.spread_maximum)
    try:
        check_levels(levels)
    except InvalidInput:
        return None
    return levels
