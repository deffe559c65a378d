"""Real recordings: bars equal the provider's own candles, the filter's two forms agree, and genuine prices survive."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from django.conf import settings

from platform_ops.gateways.tick_files import (
    RecordedTicks,
    read_bi5_candles,
    read_csv_ticks,
    read_dukascopy_folder,
)
from platform_ops.rules.bars import bars_of
from platform_ops.rules.price_filter import MICROSECONDS, MINUTE, FilterLevels, PriceFilter, Verdict
from platform_ops.rules.price_filter_batch import TickColumns, judge_batch
from platform_ops.rules.price_sizing import sized_levels

HOUR = 60 * MINUTE


def sample(name: str) -> Path:
    path = Path(settings.SAMPLE_DATA_DIR) / name
    if not path.exists():
        pytest.skip(f"The sample data {name} is not here (settings.SAMPLE_DATA_DIR).")
    return path


def recorded(folder: Path, digits: int) -> RecordedTicks:
    return RecordedTicks.joined([ticks for _, ticks in read_dukascopy_folder(folder, digits=digits)])


def columns_of(ticks: RecordedTicks, source: int = 0) -> TickColumns:
    return TickColumns(np.full(len(ticks), source, dtype=np.int64), ticks.at, ticks.bid, ticks.ask)


def stream(judge: PriceFilter, ticks: RecordedTicks) -> list[int]:
    rows = zip(ticks.at.tolist(), ticks.bid.tolist(), ticks.ask.tolist(), strict=True)
    return [int(judge.judge(0, at, bid, ask)) for at, bid, ask in rows]


def test_minute_and_hour_bars_of_two_days_equal_the_provider_s_candles() -> None:
    folder = sample("ticks_dukascopy_eurusd_201902") / "EURUSD"
    ticks = recorded(folder, 5)
    assert len(ticks) == 266_219
    minutes = [
        read_bi5_candles((folder / f"2019/01/{day:02}/BID_candles_min_1.bi5").read_bytes(), start=datetime(2019, 2, day, tzinfo=UTC))
        for day in (4, 5)
    ]  # fmt: skip
    hours = read_bi5_candles(
        (folder / "2019/01/BID_candles_hour_1.bi5").read_bytes(), start=datetime(2019, 2, 1, tzinfo=UTC)
    )

    by_minute = bars_of(ticks.at, ticks.bid, ticks.ask, period=MINUTE, volume=ticks.bid_volume)
    by_hour = bars_of(ticks.at, ticks.bid, ticks.ask, period=HOUR, volume=ticks.bid_volume)

    ours = {
        int(at): tuple(map(int, row))
        for at, *row in zip(
            by_minute.opens_at, by_minute.open, by_minute.high, by_minute.low, by_minute.close, strict=True
        )
    }
    theirs = {
        int(at): tuple(map(int, row))
        for day in minutes
        for at, *row in zip(day.opens_at, day.open, day.high, day.low, day.close, strict=True)
    }
    assert len(theirs) == 2_880 and ours == theirs
    wanted = np.isin(hours.opens_at, by_hour.opens_at)
    assert int(wanted.sum()) == 48 == len(by_hour.opens_at)
    for name in ("open", "high", "low", "close"):
        assert np.array_equal(getattr(hours, name)[wanted], getattr(by_hour, name)), name
    ten = (datetime(2019, 2, 4, 10, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * MICROSECONDS
    assert round(int(by_minute.volume[by_minute.opens_at == int(ten)][0]) / 1_000_000, 2) == 648.11


@pytest.mark.parametrize(
    "levels",
    [
        sized_levels(spread_points=4, points_per_pip=10, is_forex=True),
        FilterLevels(soft_points=6, soft_ticks=3, hard_points=12, hard_ticks=2, discard_points=60, spread_maximum=12,
                     spike_multiple=3, frozen_ticks=20, break_seconds=30, spread_minimum=1),
    ],
    ids=["usual", "narrow"],
)  # fmt: skip
@pytest.mark.parametrize(
    ("name", "digits"),
    [("eurusd", 5), ("btcusd", 1), ("quotes_decoded", 5), ("histdata", 5), ("truefx", 3)],
)
def test_both_forms_judge_every_recording_alike(name: str, digits: int, levels: FilterLevels) -> None:
    ticks = recording(name, digits)
    singly, columns = PriceFilter(levels), PriceFilter(levels)

    expected = stream(singly, ticks)
    half = len(ticks) // 2
    found = [*judge_batch(columns, part(ticks, 0, half)), *judge_batch(columns, part(ticks, half, len(ticks)))]

    assert found == expected
    assert columns.state_of(0).as_dict() == singly.state_of(0).as_dict()


def recording(name: str, digits: int) -> RecordedTicks:
    if name == "eurusd":
        return recorded(sample("ticks_dukascopy_eurusd_201902") / "EURUSD", digits)
    if name == "btcusd":
        return recorded(sample("ticks_dukascopy_btcusd_2023") / "BTCUSD", digits)
    (path,) = sample("ticks_nautilus").glob(f"*{name}*.csv")
    return read_csv_ticks(path.read_bytes(), digits=digits, source=path.name)


def part(ticks: RecordedTicks, begin: int, end: int) -> TickColumns:
    cut = slice(begin, end)
    return TickColumns(np.zeros(end - begin, dtype=np.int64), ticks.at[cut], ticks.bid[cut], ticks.ask[cut])


@pytest.mark.parametrize(
    ("name", "digits", "spread", "ticks"),
    [("eurusd", 5, 4, 266_219), ("btcusd", 1, 200, 14_716), ("quotes_decoded", 5, 15, 10_000), ("histdata", 5, 15, 9_500), ("truefx", 3, 10, 1_000)],
)  # fmt: skip
def test_usual_levels_leave_real_good_feeds_alone(name: str, digits: int, spread: int, ticks: int) -> None:
    recording_ = recording(name, digits)
    levels = sized_levels(spread_points=spread, points_per_pip=10, is_forex=name != "btcusd")

    verdicts = judge_batch(PriceFilter(levels), columns_of(recording_))

    rejected = Counter(Verdict(int(v)).name for v in verdicts[verdicts >= 10])
    assert len(verdicts) == ticks
    assert sum(rejected.values()) <= ticks // 500, rejected


def test_planted_faults_are_found_in_a_real_recording_with_their_reasons() -> None:
    ticks = recording("eurusd", 5)
    levels = replace(sized_levels(spread_points=4, points_per_pip=10, is_forex=True), spike_multiple=0)
    clean = judge_batch(PriceFilter(levels), columns_of(ticks))
    places = np.arange(500, len(ticks) - 500, 1_009)
    places = places[np.all([clean[places + step] == 0 for step in (-1, 0, 1)], axis=0)]
    bid, ask, at = ticks.bid.copy(), ticks.ask.copy(), ticks.at.copy()
    kinds = np.arange(len(places)) % 6
    crossed, ten, figure, spike, backwards, one_sided = (places[kinds == kind] for kind in range(6))
    bid[crossed], ask[crossed] = ticks.ask[crossed] + 3, ticks.bid[crossed]
    bid[ten], ask[ten] = bid[ten] * 10, ask[ten] * 10
    bid[figure], ask[figure] = bid[figure] + 1_000, ask[figure] + 1_000
    bid[spike], ask[spike] = bid[spike] + 60, ask[spike] + 60
    at[backwards] -= 600 * MICROSECONDS
    ask[one_sided] = 0

    found = judge_batch(PriceFilter(levels), TickColumns(np.zeros(len(at), dtype=np.int64), at, bid, ask))

    for rows, reason in (
        (crossed, Verdict.CROSSED), (ten, Verdict.TEN_FOLD), (figure, Verdict.BIG_FIGURE), (spike, Verdict.SOFT),
        (backwards, Verdict.BACKWARDS), (one_sided, Verdict.ONE_SIDED),
    ):  # fmt: skip
        assert set(found[rows].tolist()) == {int(reason)}, reason
    others = np.ones(len(at), dtype=bool)
    others[places] = False
    assert int((found[others] >= 10).sum()) == int((clean[others] >= 10).sum())


def test_the_weekend_gap_of_the_yen_passes_as_the_first_tick_after_a_break() -> None:
    levels = sized_levels(spread_points=10, points_per_pip=10, is_forex=True)
    judge = PriceFilter(levels)
    friday = int(datetime(2013, 2, 22, 21, 58, tzinfo=UTC).timestamp()) * MICROSECONDS
    sunday = int(datetime(2013, 2, 24, 22, tzinfo=UTC).timestamp()) * MICROSECONDS

    before = judge.judge(0, friday, 93_399, 93_409)
    after = judge.judge(0, sunday, 94_616, 94_640)
    without_break = PriceFilter(levels)
    without_break.judge(0, friday, 93_399, 93_409)

    assert (before, after) == (Verdict.ACCEPTED, Verdict.ACCEPTED)
    assert without_break.judge(0, friday + MICROSECONDS, 94_616, 94_640) is Verdict.HARD


@pytest.mark.parametrize("ticks_of_the_jump", [1, 2, 5])
def test_the_jump_on_the_news_survives(ticks_of_the_jump: int) -> None:
    """GBPJPY on 2012-12-07 13:30: 190 points up while the spread trebled."""
    levels = sized_levels(spread_points=30, points_per_pip=10, is_forex=True)
    judge = PriceFilter(levels)
    start = int(datetime(2012, 12, 7, 13, 29, tzinfo=UTC).timestamp()) * MICROSECONDS
    for second in range(60):
        assert judge.judge(0, start + second * MICROSECONDS, 132_000 + second % 3, 132_030 + second % 3) < 10
    news = start + MINUTE

    verdicts = [
        judge.judge(0, news + step * 200_000, 132_000 + 190 * min(step, ticks_of_the_jump) // ticks_of_the_jump,
                    132_090 + 190 * min(step, ticks_of_the_jump) // ticks_of_the_jump)
        for step in range(1, 30)
    ]  # fmt: skip

    assert sum(v >= 10 for v in verdicts) <= levels.soft_ticks
    assert verdicts[-1] < 10 and judge.state_of(0).bid == 132_190
