"""Where a server told no market, the last accepted tick stands in, if it is young enough."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.core.models import Job, OutboxEvent
from backoffice.core.services import outbox
from platform_ops.events import MARKETS_CHANGED
from platform_ops.models import BufferedTick, DealMarket, IngestBatch, PriceSource, Symbol, Trade, TradingServer
from platform_ops.rules.economics import Missing
from platform_ops.rules.price_filter import Verdict
from platform_ops.selectors.trade_economics import platform_trade_economics
from platform_ops.services.market_ticks import fill_markets
from tests.platform_ops.economics.test_markets import CLOSING, OPENING, load
from tests.platform_ops.economics.test_markets import server as server

pytestmark = pytest.mark.django_db

NOTHING: dict[str, None] = {"market_bid": None, "market_ask": None, "gateway_price": None}


def tick(at: datetime, bid: int, ask: int, *, verdict: Verdict = Verdict.ACCEPTED, leads: bool = True) -> None:
    source, _ = PriceSource.objects.get_or_create(code="alpha", defaults={"name": "Alpha"})
    BufferedTick.objects.create(
        symbol=Symbol.objects.get(code="EURUSD"), source=source, at=at, received_at=at, bid=bid, ask=ask, digits=5,
        verdict=verdict, is_leading=leads,
    )  # fmt: skip


def test_the_last_young_accepted_tick_stands_in_and_other_desks_hear_of_it(server: TradingServer) -> None:
    tick(OPENING.at - timedelta(seconds=59), 110000, 110012)
    tick(OPENING.at - timedelta(seconds=1), 100000, 120000, verdict=Verdict.SPREAD_SPIKE, leads=False)
    tick(OPENING.at + timedelta(seconds=1), 110000, 119999)
    tick(CLOSING.at - timedelta(seconds=61), 110000, 110099)
    load(server, replace(OPENING, **NOTHING), replace(CLOSING, **NOTHING))  # type: ignore[arg-type]

    while outbox.deliver_due():
        pass

    market = DealMarket.objects.get()
    assert (market.ticket, market.source, market.bid, market.ask) == (1, 1, Decimal("1.1"), Decimal("1.10012"))
    assert market.quoted_at == OPENING.at - timedelta(seconds=59)
    figures = platform_trade_economics(trade_ids=[Trade.objects.get().pk])[Trade.objects.get().pk]
    assert (figures.spread_entry_points, figures.spread_exit_points) == (Decimal(12), None)
    assert figures.spread_exit_reason == Missing.MARKET_PRICE
    assert OutboxEvent.objects.get(topic=MARKETS_CHANGED).payload["days"] == ["2026-03-02"]
    assert Job.objects.filter(payload__day="2026-03-02", payload__cause__startswith="markets:").exists()
    batch = IngestBatch.objects.get()
    assert fill_markets(server_id=server.pk, batch_id=batch.pk) == 0, "a second look finds nothing to do"


def test_the_word_of_the_server_comes_before_a_tick(server: TradingServer) -> None:
    tick(OPENING.at, 110000, 110012)
    load(server, replace(OPENING, **NOTHING), replace(CLOSING, **NOTHING))  # type: ignore[arg-type]
    fill_markets(server_id=server.pk, batch_id=IngestBatch.objects.get().pk)

    load(server, OPENING)

    latest = DealMarket.objects.order_by("ticket", "-revision").first()
    assert latest is not None
    assert (latest.revision, latest.source, latest.bid, latest.gateway_price) == (
        1, 0, Decimal("1.1"), Decimal("1.10007"),
    )  # fmt: skip
