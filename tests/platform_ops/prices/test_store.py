"""The tick store: from the buffer into files and back without a loss, kills, pruning, recordings."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
import time_machine
from django.conf import settings
from django.core.management import call_command

from backoffice.core.books import verify_books
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import BufferedTick, PriceBar, RejectionEpisode, TickFile
from platform_ops.rules.price_sizing import sized_levels
from platform_ops.services.prices import store, ticks_around
from platform_ops.services.prices.bars import rebuild_bars
from platform_ops.services.prices.history import import_recording
from tests.platform_ops.prices.world import MONDAY_NOON, WORKED, make_source, make_symbol, send

pytestmark = pytest.mark.django_db
LATER = MONDAY_NOON + timedelta(minutes=10)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, settings: object) -> Iterator[Path]:
    settings.TICK_FOLDER = str(tmp_path / "ticks")  # type: ignore[attr-defined]
    return tmp_path / "ticks"


def around(symbol: object) -> list[tuple[object, ...]]:
    kept = ticks_around(symbol_id=symbol.pk, at=MONDAY_NOON, seconds_before=60, seconds_after=600)  # type: ignore[attr-defined]
    return [(t.at, t.source, t.bid, t.ask, t.verdict, t.is_leading, t.digits) for t in kept]


def test_ticks_read_the_same_from_buffer_and_files() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED, (5, "1.5021349", None), (6, None, "NaN"))
    before = around(symbol)

    with time_machine.travel(LATER, tick=False):
        flushed = store.flush_ticks()

    assert (flushed.ticks, flushed.files, BufferedTick.objects.count()) == (7, 1, 0)
    assert around(symbol) == before and len(before) == 7
    file = TickFile.objects.get()
    assert (file.ticks, file.leading, file.rejected, file.day) == (7, 2, 5, date(2026, 3, 2))
    assert store.missing_files() == ([], 0)


def test_fresh_ticks_stay_in_the_buffer_and_both_are_read_together() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED[:2])
    with time_machine.travel(LATER, tick=False):
        store.flush_ticks()
    send(symbol, *WORKED[2:])

    with time_machine.travel(MONDAY_NOON + timedelta(seconds=10), tick=False):
        assert store.flush_ticks().ticks == 0

    assert [row[4].name for row in around(symbol)] == ["ACCEPTED", "SOFT", "SOFT", "SOFT", "ACCEPTED"]  # type: ignore[attr-defined]


def test_a_finished_day_is_put_together_and_old_days_are_pruned(own_folder: Path) -> None:
    make_source()
    symbol = make_symbol()
    for quote in WORKED:
        send(symbol, quote)
        with time_machine.travel(LATER, tick=False):
            store.flush_ticks()
    before = around(symbol)
    assert TickFile.objects.count() == 5

    with time_machine.travel(MONDAY_NOON + timedelta(days=1), tick=False):
        assert (store.compact_finished_days().files, TickFile.objects.count()) == (1, 1)
        assert around(symbol) == before
    with time_machine.travel(MONDAY_NOON + timedelta(days=9), tick=False):
        assert store.prune_ticks(keep_days=10)["files"] == 0
        pruned = store.prune_ticks(keep_days=5)

    assert (pruned["files"], pruned["episodes"], RejectionEpisode.objects.count()) == (1, 1, 0)
    assert pruned["minutes"] == 1 and set(PriceBar.objects.values_list("period", flat=True)) == {"H1", "D1"}
    assert around(symbol) == []
    with pytest.raises(InvalidInput):
        store.prune_ticks(keep_days=0)


def test_a_missing_file_is_said_and_fails_the_proof(own_folder: Path) -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED)
    with time_machine.travel(LATER, tick=False):
        store.flush_ticks()
    next(own_folder.glob("*/*/*.parquet")).unlink()

    with pytest.raises(Conflict) as missing:
        around(symbol)

    assert missing.value.code == "tick_file_missing"
    outcome = {check["name"]: check for check in verify_books()["checks"]}
    assert not outcome["platform.tick_files_stand"]["ok"]
    assert outcome["platform.bars_add_up"]["ok"] and outcome["platform.quotes_close_bars"]["ok"]


def test_bars_rebuilt_from_the_store_are_those_that_the_intake_kept() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, (0, "1.50000", "1.50010"), (30, "1.50100", "1.50115"), (61, "1.49990", "1.50000"))
    names = (
        "period",
        "opens_at",
        "open",
        "high",
        "low",
        "close",
        "close_ask",
        "ticks",
        "widest_spread",
        "closed_by_at",
    )
    before = list(PriceBar.objects.order_by("period", "opens_at").values_list(*names))
    PriceBar.objects.filter(period="M1").update(high=Decimal(2))
    assert not next(c for c in verify_books()["checks"] if c["name"] == "platform.bars_add_up")["ok"]
    with time_machine.travel(LATER, tick=False):
        store.flush_ticks()

    rebuild_bars(symbol_id=symbol.pk, day=date(2026, 3, 2))

    assert list(PriceBar.objects.order_by("period", "opens_at").values_list(*names)) == before


@pytest.mark.parametrize(
    ("window", "wrong"), [((-1, 0), "before"), ((0, -1), "before"), ((20_000, 20_000), "six hours")]
)
def test_windows_that_cannot_be_are_refused(window: tuple[int, int], wrong: str) -> None:
    with pytest.raises(InvalidInput, match=wrong):
        ticks_around(symbol_id=1, at=MONDAY_NOON, seconds_before=window[0], seconds_after=window[1])


def test_more_ticks_than_a_page_can_hold_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED)
    monkeypatch.setattr(store, "MAXIMUM_TICKS_AROUND", 4)

    with pytest.raises(Conflict, match="narrow"):
        around(symbol)
    only = ticks_around(symbol_id=symbol.pk, at=MONDAY_NOON, seconds_before=0, seconds_after=2, source="alpha")
    assert len(only) == 3
    assert ticks_around(symbol_id=symbol.pk, at=MONDAY_NOON, seconds_before=0, seconds_after=2, source="beta") == []


def test_a_recording_of_two_days_comes_in_once_with_its_bars() -> None:
    folder = Path(settings.SAMPLE_DATA_DIR) / "ticks_dukascopy_eurusd_201902" / "EURUSD"
    if not folder.exists():
        pytest.skip("The recording is not here (settings.SAMPLE_DATA_DIR).")
    make_source("dukascopy")
    symbol = make_symbol(levels=sized_levels(spread_points=4, points_per_pip=10, is_forex=True))

    call_command("import_ticks", str(folder), symbol="EURUSD", source="dukascopy")
    again = import_recording(symbol_id=symbol.pk, source="dukascopy", path=folder, actor=Actor.system("test"))

    assert (again.ticks, again.stored) == (266_219, 0)
    assert sum(TickFile.objects.values_list("ticks", flat=True)) == 266_219
    bars = PriceBar.objects.filter(symbol=symbol)
    assert (bars.filter(period="M1").count(), bars.filter(period="H1").count()) == (2_880, 48)
    ten = bars.get(period="H1", opens_at=datetime(2019, 2, 4, 10, tzinfo=UTC))
    assert ten.low <= ten.open <= ten.high
    assert next(c for c in verify_books()["checks"] if c["name"] == "platform.bars_add_up")["ok"]
