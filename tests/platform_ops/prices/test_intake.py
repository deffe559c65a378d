"""Ticks in: verdicts, duplicates, who makes the price, and a batch that is refused whole."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.models import (
    BufferedTick,
    Holiday,
    MarketCalendar,
    PriceBar,
    PriceFeed,
    PriceSource,
    Quote,
    RejectedTick,
    RejectionEpisode,
    Symbol,
    SymbolPriceState,
    SymbolSpec,
    TickBatch,
)
from platform_ops.rules.price_filter import FilterLevels, Verdict
from platform_ops.rules.price_sizing import StatedLevels, stated_levels
from platform_ops.services.prices import IncomingTick, accept_ticks, ticks_around
from platform_ops.services.prices.settings import Origin, SymbolFilter, filters_at, set_filter
from tests.factories import platform
from tests.factories.platform import SYSTEM
from tests.platform_ops.prices.world import LEVELS, LONG_AGO, MONDAY_NOON, WORKED, make_source, make_symbol, send, ticks

pytestmark = pytest.mark.django_db

WRITTEN = (BufferedTick, PriceBar, PriceFeed, Quote, RejectedTick, RejectionEpisode, SymbolPriceState, TickBatch)


def counts() -> dict[str, int]:
    return {model.__name__: model.objects.count() for model in WRITTEN}


def test_worked_sequence_is_judged_kept_and_explained() -> None:
    make_source()
    symbol = make_symbol()

    intake = send(symbol, *WORKED)

    assert (intake.accepted, dict(intake.rejected), intake.quotes) == (2, {"soft": 3}, 1)
    kept = ticks_around(symbol_id=symbol.pk, at=MONDAY_NOON, seconds_before=0, seconds_after=10)
    assert [tick.verdict.name for tick in kept] == ["ACCEPTED", "SOFT", "SOFT", "SOFT", "ACCEPTED"]
    assert [(tick.bid, tick.ask) for tick in kept] == [(Decimal(b), Decimal(a)) for _, b, a in WORKED]
    assert [tick.is_leading for tick in kept] == [True, False, False, False, True]
    episode = RejectionEpisode.objects.get()
    assert (episode.ticks, episode.largest_move_points, episode.get_verdict_display()) == (
        3,
        160,
        "Beyond the soft level",
    )
    evidence = RejectedTick.objects.filter(episode=episode).order_by("at")
    assert {(row.last_bid, row.last_ask) for row in evidence} == {(Decimal("1.50213"), Decimal("1.50231"))}
    assert [row.move_points for row in evidence] == [160, 157, 159]
    quote = Quote.objects.get(symbol=symbol)
    assert (quote.bid, quote.ask, quote.source) == (Decimal("1.50374"), Decimal("1.50392"), "alpha")
    feed = PriceFeed.objects.get()
    assert (feed.ticks, feed.rejected, feed.rejected_in_a_row, feed.bid) == (5, 3, 0, Decimal("1.50374"))


def test_same_sequence_in_single_batches_gets_the_same_verdicts() -> None:
    make_source()
    symbol = make_symbol()

    for quote in WORKED:
        send(symbol, quote)

    stored = BufferedTick.objects.order_by("at").values_list("verdict", flat=True)
    assert list(stored) == [Verdict.ACCEPTED, Verdict.SOFT, Verdict.SOFT, Verdict.SOFT, Verdict.ACCEPTED]
    assert RejectionEpisode.objects.get().ticks == 3


def test_second_delivery_of_a_batch_changes_nothing() -> None:
    make_source()
    symbol = make_symbol()
    first = send(symbol, *WORKED)
    before = counts()

    again = send(symbol, *WORKED)

    assert again.is_known and not first.is_known
    assert (again.accepted, dict(again.rejected)) == (first.accepted, dict(first.rejected))
    assert counts() == before
    assert PriceBar.objects.get(period="M1").ticks == 2


def test_overlapping_delivery_counts_each_tick_once() -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, *WORKED[:3])

    intake = send(symbol, *WORKED[1:])

    assert (intake.duplicates, intake.accepted, dict(intake.rejected)) == (2, 1, {"soft": 1})
    assert BufferedTick.objects.count() == 5
    assert RejectionEpisode.objects.get().ticks == 3
    assert PriceBar.objects.get(period="M1").ticks == 2


@pytest.mark.parametrize(
    ("bid", "ask", "reason"),
    [
        (None, "1.50231", Verdict.ONE_SIDED),
        ("1.50213", None, Verdict.ONE_SIDED),
        (None, None, Verdict.NOT_POSITIVE),
        ("-1.5", "1.50231", Verdict.NOT_POSITIVE),
        ("0", "0", Verdict.NOT_POSITIVE),
        ("1.50231", "1.50213", Verdict.CROSSED),
        ("1.50213", "1.50213", Verdict.LOCKED),
        ("1.502131", "1.50231", Verdict.OFF_GRID),
        ("NaN", "1.50231", Verdict.UNREADABLE),
        ("Infinity", "1.50231", Verdict.UNREADABLE),
        ("1e300", "1e300", Verdict.UNREADABLE),
        ("1.5e12", "1.5e12", Verdict.UNREADABLE),
        ("1.00000000000000000000000000001", "2", Verdict.UNREADABLE),
    ],
)
def test_a_quote_that_cannot_be_is_kept_with_its_reason(bid: str | None, ask: str | None, reason: Verdict) -> None:
    make_source()
    symbol = make_symbol()
    send(symbol, (0, "1.50213", "1.50231"))

    intake = send(symbol, (1, bid, ask))

    assert dict(intake.rejected) == {reason.name.lower(): 1}
    row = RejectedTick.objects.get()
    assert row.verdict == reason and (
        row.bid is not None or row.ask is not None or row.raw or (bid, ask) == (None, None)
    )
    assert Quote.objects.get(symbol=symbol).bid == Decimal("1.50213")
    assert ticks_around(symbol_id=symbol.pk, at=MONDAY_NOON, seconds_before=0, seconds_after=5)[-1].verdict is reason


def test_a_price_finer_than_a_point_is_kept_exactly_and_never_rounded() -> None:
    make_source()
    symbol = make_symbol()

    send(symbol, (0, "1.5021349", "1.50231"))

    (kept,) = ticks_around(symbol_id=symbol.pk, at=MONDAY_NOON, seconds_before=1, seconds_after=1)
    assert (kept.bid, kept.ask, kept.digits) == (Decimal("1.5021349"), Decimal("1.50231"), 7)


@pytest.mark.parametrize(
    ("tick", "field"),
    [
        ({"bid": 1.5}, "bid"),
        ({"ask": True}, "ask"),
        ({"at": datetime(2026, 3, 2, 12)}, "at"),
        ({"symbol_id": 987_654_321}, "symbol_id"),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused_whole(tick: dict[str, object], field: str) -> None:
    make_source()
    symbol = make_symbol()
    good = ticks(symbol, [(0, "1.50213", "1.50231")])
    bad = IncomingTick(**({"symbol_id": symbol.pk, "at": MONDAY_NOON, "bid": "1.5", "ask": "1.6"} | tick))  # type: ignore[arg-type]
    before = counts()

    with pytest.raises(InvalidInput) as refused:
        accept_ticks(source="alpha", ticks=[*good, bad])

    assert refused.value.details["field"] == field
    assert counts() == before


def test_unknown_and_switched_off_sources_are_refused() -> None:
    symbol = make_symbol()
    make_source("off", is_enabled=False)

    with pytest.raises(NotFound):
        send(symbol, WORKED[0], source="nobody")
    with pytest.raises(Conflict, match="switched off"):
        send(symbol, WORKED[0], source="off")
    assert counts() == dict.fromkeys(counts(), 0)


def test_too_many_ticks_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    make_source()
    symbol = make_symbol()
    monkeypatch.setattr("platform_ops.services.prices.intake.MAXIMUM_TICKS", 4)

    with pytest.raises(InvalidInput, match="At most 4"):
        send(symbol, *WORKED)
    assert BufferedTick.objects.count() == 0


def test_a_symbol_without_specification_is_named_and_holds_up_nothing() -> None:
    make_source()
    symbol, bare = make_symbol(), platform.make_symbol("GBPUSD")

    intake = accept_ticks(
        source="alpha",
        ticks=[*ticks(bare, [(0, "1.3", "1.4")]), *ticks(symbol, [(0, "1.50213", "1.50231")])],
        received_at=MONDAY_NOON,
    )

    assert (intake.unspecified, intake.accepted) == (("GBPUSD",), 1)


def test_first_source_makes_the_price_and_the_next_takes_over_when_it_is_silent() -> None:
    make_source("alpha", 10, silence_seconds=30)
    make_source("beta", 20)
    symbol = make_symbol()

    send(symbol, (0, "1.50000", "1.50010"))
    send(symbol, (1, "1.50001", "1.50011"), source="beta")
    while_alive = Quote.objects.get(symbol=symbol)
    send(symbol, (31, "1.50002", "1.50012"), source="beta")
    after_silence = Quote.objects.get(symbol=symbol)
    send(symbol, (32, "1.50003", "1.50013"))
    back = Quote.objects.get(symbol=symbol)

    assert [(q.source, q.bid) for q in (while_alive, after_silence, back)] == [
        ("alpha", Decimal("1.50000")), ("beta", Decimal("1.50002")), ("alpha", Decimal("1.50003")),
    ]  # fmt: skip
    assert PriceBar.objects.get(period="M1").ticks == 3


def test_late_tick_of_another_source_does_not_turn_the_quote_back() -> None:
    make_source("alpha", 10, silence_seconds=1)
    make_source("beta", 20)
    symbol = make_symbol()
    send(symbol, (60, "1.50000", "1.50010"))

    send(symbol, (30, "1.49990", "1.50000"), source="beta")

    assert Quote.objects.get(symbol=symbol).bid == Decimal("1.50000")


def test_source_away_from_the_median_of_three_is_refused() -> None:
    levels = FilterLevels(cross_source_spreads=5, consensus_seconds=10)
    symbol = make_symbol(levels=levels)
    for code, priority in (("alpha", 1), ("beta", 2), ("gamma", 3)):
        make_source(code, priority)
    send(symbol, (0, "1.50000", "1.50010"))
    send(symbol, (0, "1.50001", "1.50011"), source="beta")

    intake = send(symbol, (1, "1.50100", "1.50110"), source="gamma")

    assert dict(intake.rejected) == {"cross_source": 1}
    assert PriceSource.objects.count() == 3


def test_weekend_ticks_are_outside_the_sessions_of_a_currency_and_inside_those_of_crypto() -> None:
    make_source()
    pair = make_symbol("EURUSD", levels=LEVELS)
    coin = make_symbol("BTCUSD", digits=1, asset_class="crypto", base_asset="BTC")
    saturday = MONDAY_NOON - timedelta(days=2)

    intake = accept_ticks(
        source="alpha",
        ticks=[
            IncomingTick(symbol_id=pair.pk, at=saturday, bid="1.50213", ask="1.50231"),
            IncomingTick(symbol_id=coin.pk, at=saturday, bid="24000.1", ask="24001.3"),
        ],
        received_at=saturday,
    )

    assert (intake.accepted, dict(intake.rejected)) == (1, {"closed": 1})
    assert list(Quote.objects.values_list("symbol", flat=True)) == [coin.pk]


def test_weekend_gap_is_taken_as_the_first_tick_after_the_break() -> None:
    make_source()
    symbol = make_symbol("USDJPY", digits=3, base_asset="USD", profit_currency="JPY")
    friday, sunday = (
        MONDAY_NOON.replace(year=2013, month=2, day=22, hour=21, minute=58),
        MONDAY_NOON.replace(year=2013, month=2, day=24, hour=22),
    )
    for at, bid in ((friday, "93.399"), (sunday, "94.616")):
        intake = accept_ticks(
            source="alpha",
            ticks=[IncomingTick(symbol_id=symbol.pk, at=at, bid=bid, ask=str(Decimal(bid) + Decimal("0.010")))],
            received_at=at,
        )
        assert intake.accepted == 1, (at, intake)


def test_bars_of_minute_hour_and_business_day() -> None:
    make_source()
    symbol = make_symbol()

    send(symbol, (0, "1.50000", "1.50010"), (30, "1.50100", "1.50115"), (59, "1.49990", "1.50000"))
    send(symbol, (60, "1.50020", "1.50030"), (3600, "1.50050", "1.50060"))

    bars = {(bar.period, bar.opens_at): bar for bar in PriceBar.objects.all()}
    minute = bars["M1", MONDAY_NOON]
    assert [minute.open, minute.high, minute.low, minute.close, minute.close_ask] == [
        Decimal(x) for x in ("1.50000", "1.50100", "1.49990", "1.49990", "1.50000")
    ]
    assert (minute.ticks, minute.widest_spread) == (3, Decimal("0.00015"))
    assert bars["H1", MONDAY_NOON].ticks == 4
    day = next(bar for (period, _), bar in bars.items() if period == "D1")
    assert day.opens_at == datetime.fromisoformat("2026-02-27T22:00:00+00:00")
    assert (day.ticks, day.high, day.close) == (5, Decimal("1.50100"), Decimal("1.50050"))


def test_a_holiday_is_a_break_after_which_any_price_is_taken() -> None:
    make_source()
    symbol = make_symbol()
    calendar = MarketCalendar.objects.create(code="target", name="TARGET", zone="UTC")
    calendar.symbols.add(symbol)
    Holiday.objects.create(calendar=calendar, day=date(2026, 3, 3), name="A day off")
    day = 86_400

    before = send(symbol, (0, "1.50213", "1.50231"))
    during = send(symbol, (day, "1.50213", "1.50231"))
    after = send(symbol, (2 * day, "1.60213", "1.60231"), (2 * day + 1, "1.70213", "1.70231"))

    assert before.accepted == 1 and dict(during.rejected) == {"closed": 1}
    assert (after.accepted, dict(after.rejected)) == (1, {"hard": 1})


def test_a_wild_time_lays_out_no_years_of_sessions() -> None:
    make_source()
    symbol = make_symbol()

    intake = accept_ticks(
        source="alpha",
        ticks=[
            IncomingTick(symbol_id=symbol.pk, at=MONDAY_NOON - timedelta(days=9_000), bid="1.50213", ask="1.50231"),
            IncomingTick(symbol_id=symbol.pk, at=MONDAY_NOON, bid="1.50213", ask="1.50231"),
        ],
        received_at=MONDAY_NOON,
    )

    assert (intake.accepted, dict(intake.rejected)) == (1, {"closed": 1})


def test_two_processes_that_send_at_once_are_taken_one_after_the_other() -> None:
    make_source()
    symbol = make_symbol()

    with CaptureQueriesContext(connection) as queries:
        send(symbol, *WORKED)

    statements = [query["sql"] for query in queries]
    locks = [sql for sql in statements if "FOR UPDATE" in sql]
    assert len(locks) == 1 and "platform_ops_symbolpricestate" in locks[0] and "ORDER BY" in locks[0]
    assert len(statements) < 45, len(statements)


def test_without_a_setting_the_specifications_own_filter_terms_count_and_then_its_usual_spread() -> None:
    make_source()
    symbol = make_symbol(levels=None)
    spec = SymbolSpec.objects.filter(symbol=symbol)
    quotes = ((0, "1.10000", "1.10010"), (1, "1.10030", "1.10040"), (2, "1.10031", "1.10041"))

    def verdicts(second: int) -> list[str]:
        send(symbol, *((second + at, bid, ask) for at, bid, ask in quotes))
        kept = ticks_around(
            symbol_id=symbol.pk, at=MONDAY_NOON + timedelta(seconds=second), seconds_before=0, seconds_after=5
        )
        return [tick.verdict.name for tick in kept]

    # Nothing stated: soft at twenty points, the smallest that there is
    assert filter_of(symbol).origin is Origin.SPREAD
    assert verdicts(0) == ["ACCEPTED", "SOFT", "SOFT"]
    # The specification states forty, confirmed by two ticks, and turns the other levels off by stating none
    spec.update(filter_soft_points=40, filter_soft_ticks=2, filter_spread_maximum_points=15)
    found = filter_of(symbol)
    assert found.origin is Origin.SPECIFICATION
    levels = found.default
    assert (levels.soft_points, levels.soft_ticks, levels.hard_points, levels.discard_points) == (40, 2, 0, 0)
    assert (levels.spread_maximum, levels.cross_source_spreads) == (15, 8)
    assert verdicts(100) == ["ACCEPTED", "ACCEPTED", "ACCEPTED"]
    # What contradicts itself is no filter: the usual one guards
    assert stated_levels(StatedLevels(soft_points=40, soft_ticks=2, hard_points=10), sized=levels) is None
    # Whoever sets levels goes before all of it
    set_filter(symbol_id=None, source_id=None, levels=LEVELS, valid_from=LONG_AGO, actor=SYSTEM)
    assert (filter_of(symbol).origin, filter_of(symbol).default) == (Origin.ALL, LEVELS)


def filter_of(symbol: Symbol) -> SymbolFilter:
    return filters_at(symbol_ids=[symbol.pk], at=MONDAY_NOON)[symbol.pk]
