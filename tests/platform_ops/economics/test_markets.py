"""The market beside a deal: kept as told, revised by a later word, told to the other desks, and never made up."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.conf import settings
from django.db import Error, connection, transaction
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import OutboxEvent
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import InvalidInput
from platform_ops.events import MARKETS_CHANGED
from platform_ops.gateways.statements.deals_csv import read_deals_csv, write_deals_csv
from platform_ops.gateways.types import GatewayDeal
from platform_ops.models import CurrentDeal, DealMarket, ServerSymbol, Symbol, SymbolSpec, Trade, TradingServer
from platform_ops.rules.economics import Missing
from platform_ops.selectors.trade_economics import platform_trade_economics
from platform_ops.services.imports import ensure_server, import_statement
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.sync.records import record_of
from platform_ops.types import DealEntry, DealKind
from tests.factories.platform import make_server, make_server_symbol, make_spec, make_symbol, make_symbol_group
from tests.logins import log_in, make_user

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 3, 2, 10, tzinfo=UTC)
AS_OF = datetime(2026, 3, 3, tzinfo=UTC)
D = Decimal

OPENING = IngestRecord(
    ticket=1, kind=DealKind.BUY, entry=DealEntry.IN, at=T0, login="7", currency="USD", symbol="EURUSD",
    position_ticket=1, volume_lots=D(2), price=D("1.10010"), commission=D("-7"), market_bid=D("1.10000"),
    market_ask=D("1.10010"), gateway_price=D("1.10007"),
)  # fmt: skip
CLOSING = IngestRecord(
    ticket=2, kind=DealKind.SELL, entry=DealEntry.OUT, at=T0 + timedelta(seconds=90), login="7", currency="USD",
    symbol="EURUSD", position_ticket=1, volume_lots=D(1), price=D("1.10110"), open_price=D("1.10010"), opened_at=T0,
    commission=D("-3.5"), market_bid=D("1.10110"), market_ask=D("1.10130"), gateway_price=D("1.10115"),
)  # fmt: skip


@pytest.fixture
def server() -> TradingServer:
    server = make_server()
    symbol = make_symbol("EURUSD")
    make_spec(symbol)
    make_server_symbol(server, "EURUSD", symbol)
    return server


def load(server: TradingServer, *records: IngestRecord, as_of: datetime = AS_OF) -> None:
    ingest_records(server_id=server.pk, source="test", records=records, as_of=as_of)


def markets() -> list[tuple[int, int, int, Decimal | None, Decimal | None, Decimal | None]]:
    names = ("ticket", "revision", "source", "bid", "ask", "gateway_price")
    return list(DealMarket.objects.order_by("ticket", "revision").values_list(*names))  # type: ignore[arg-type]


def test_a_round_trip_has_its_figures(server: TradingServer) -> None:
    load(server, OPENING, CLOSING)

    trade = Trade.objects.get()
    figures = platform_trade_economics(trade_ids=[trade.pk])[trade.pk]
    assert (figures.points, figures.point_value, figures.pip_points) == (D(100), D(1), D(10))
    assert (figures.spread_entry_points, figures.spread_entry_money) == (D(10), D(10))
    assert (figures.spread_exit_points, figures.spread_exit_money) == (D(20), D(20))
    assert (figures.markup_entry_money, figures.markup_exit_money, figures.markup_money) == (D(3), D(5), D(8))
    assert figures.platform_commission == D("3.5") + D("3.5"), "half of what the opening of two lots cost"
    assert (figures.notional_base, figures.base_asset, figures.notional_account) == (D(100_000), "EUR", D(110_110))
    assert (figures.hold_seconds, figures.is_close_by) == (D(90), False)
    assert not OutboxEvent.objects.filter(topic=MARKETS_CHANGED).exists(), "new trades are told of as trades"


def test_of_a_cancelled_reversal_only_the_half_that_closed_counts(server: TradingServer) -> None:
    first = replace(OPENING, kind=DealKind.SELL, volume_lots=D("0.01"), commission=D(0))
    reversal = replace(
        first, ticket=2, kind=DealKind.BUY_CANCELED, entry=DealEntry.INOUT, at=T0 + timedelta(minutes=1),
        volume_lots=D("0.02"), commission=D("0.01"),
    )  # fmt: skip
    load(server, first, reversal)

    trade = Trade.objects.get()
    assert platform_trade_economics(trade_ids=[trade.pk])[trade.pk].platform_commission == D("-0.005")


def test_the_deals_page_shows_its_market_with_the_spread_in_points(server: TradingServer, client: Browser) -> None:
    load(server, OPENING, CLOSING)
    log_in(client, make_user("ops@house.test", Role.PLATFORM_OPERATIONS, entities=(server.entity,)))
    deal = CurrentDeal.objects.get(ticket=2)

    page = client.get(reverse("admin:platform_ops_currentdeal_change", args=[deal.pk])).content.decode()

    row = re.search(r"Market when it was executed.*?<tbody>(.*?)</tbody>", page, re.DOTALL)
    assert row is not None
    cells = re.findall(r"<td>(.*?)</td>", row[1])
    assert cells[:6] == ["0", "1.1011", "1.1013", "20", "1.10115", "Told by the server"]


def test_what_was_not_told_is_unknown_and_never_zero(server: TradingServer) -> None:
    nothing = {"market_bid": None, "market_ask": None, "gateway_price": None}
    load(server, replace(CLOSING, **nothing, open_price=None, position_ticket=0, opened_at=None))  # type: ignore[arg-type]

    trade = Trade.objects.get()
    figures = platform_trade_economics(trade_ids=[trade.pk])[trade.pk]
    assert DealMarket.objects.count() == 0
    assert (figures.spread_exit_money, figures.spread_exit_reason) == (None, Missing.MARKET_PRICE)
    assert (figures.markup_money, figures.markup_reason) == (None, Missing.GATEWAY_PRICE)
    assert (figures.platform_commission, figures.commission_reason) == (None, Missing.OPENING)
    assert (figures.points, figures.points_reason, figures.hold_seconds) == (None, Missing.OPENING_PRICE, None)


def test_the_same_market_again_changes_nothing_and_another_one_is_a_revision_that_is_told(
    server: TradingServer,
) -> None:
    load(server, OPENING, CLOSING)
    load(server, OPENING, CLOSING, as_of=AS_OF + timedelta(hours=1))
    assert len(markets()) == 2

    load(server, replace(OPENING, market_bid=D("1.09990")), as_of=AS_OF + timedelta(hours=2))
    load(server, replace(OPENING, market_bid=D("1.05")), as_of=AS_OF)

    assert [row[:2] for row in markets()] == [(1, 0), (1, 1), (2, 0)], "an older word changes nothing"
    told = OutboxEvent.objects.get(topic=MARKETS_CHANGED)
    assert told.payload == {"server_id": server.pk, "days": ["2026-03-02"]}
    trade = Trade.objects.get()
    assert platform_trade_economics(trade_ids=[trade.pk])[trade.pk].spread_entry_points == D(20)


def test_a_market_that_comes_after_its_deal_is_told_and_a_part_does_not_take_the_rest_away(
    server: TradingServer,
) -> None:
    nothing = {"market_bid": None, "market_ask": None, "gateway_price": None}
    load(server, replace(OPENING, **nothing), CLOSING)  # type: ignore[arg-type]
    load(server, replace(OPENING, gateway_price=None))
    load(server, replace(OPENING, market_bid=None, market_ask=None))

    assert markets()[:2] == [(1, 0, 0, D("1.1"), D("1.1001"), None), (1, 1, 0, D("1.1"), D("1.1001"), D("1.10007"))]
    assert OutboxEvent.objects.filter(topic=MARKETS_CHANGED).count() == 2


def test_a_crossed_market_is_kept_as_told_and_is_no_market_price(server: TradingServer) -> None:
    load(server, OPENING, replace(CLOSING, market_bid=D("1.2"), market_ask=D("1.1")))

    trade = Trade.objects.get()
    figures = platform_trade_economics(trade_ids=[trade.pk])[trade.pk]
    assert (figures.spread_exit_points, figures.spread_exit_reason) == (None, Missing.MARKET_PRICE)
    assert figures.spread_entry_points == D(10)


def test_a_bad_market_refuses_the_load_by_its_row_and_two_markets_of_a_deal_are_refused(
    server: TradingServer,
) -> None:
    plain = replace(OPENING, ticket=9, market_bid=None, market_ask=None, gateway_price=None)
    with pytest.raises(InvalidInput) as refused:
        load(server, plain, replace(CLOSING, market_ask=D("-1")))
    assert (refused.value.details["row"], refused.value.details["field"]) == (2, "market_ask")
    with pytest.raises(InvalidInput, match="different market prices"):
        load(server, OPENING, replace(OPENING, market_ask=D(9)))
    assert (Trade.objects.count(), DealMarket.objects.count()) == (0, 0)


def test_nobody_changes_a_market(server: TradingServer) -> None:
    load(server, OPENING)
    for statement in ("UPDATE platform_ops_dealmarket SET bid = 1", "DELETE FROM platform_ops_dealmarket"):
        with pytest.raises(Error, match="never change"), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)


def test_the_sync_and_the_csv_pass_the_market_on() -> None:
    deal = GatewayDeal(
        ticket=1, login="7", kind=DealKind.BUY, at=T0, entry=DealEntry.IN, symbol="EURUSD", price=D(1),
        market_bid=D("1.1"), market_ask=D("1.2"), gateway_price=D("1.15"),
    )  # fmt: skip
    record = record_of(deal, "USD")
    assert (record.market_bid, record.market_ask, record.gateway_price) == (D("1.1"), D("1.2"), D("1.15"))
    balance = replace(deal, kind=DealKind.BALANCE, entry=None)
    assert not record_of(balance, "USD").tells_market

    text = (
        "backoffice-deals,1\r\naccount,7\r\ncurrency,USD\r\nplatform,mt5\r\nas_of,2026-03-03 00:00:00\r\ndeals,1\r\n"
        "open_positions,0\r\n\r\nticket,leg,kind,entry,position,order,symbol,volume_lots,price,time,profit,swap,"
        "commission,fee,comment,price_digits,open_price,open_time,market_bid,market_ask,gateway_price\r\n"
        "2,0,buy,in,20,20,EURUSD,0.1,1.1,2026-03-02 10:00:00,0,0,-0.35,0,,5,,,1.09,1.1,\r\n\r\n"
        "ticket,position,symbol,side,volume_lots,open_time,open_price,current_price,sl,tp,swap,commission,taxes,profit,"
        "comment\r\nend\r\n"
    )
    statement = read_deals_csv(text)
    assert (statement.deals[0].market_bid, statement.deals[0].gateway_price) == (D("1.09"), None)
    again = read_deals_csv(write_deals_csv(statement).decode())
    assert again.deals == statement.deals


@pytest.mark.parametrize("folder", ["statements_mt4", "statements_mt5"])
def test_real_statements_have_points_and_lack_what_they_do_not_print(folder: str) -> None:
    root = settings.SAMPLE_DATA_DIR / folder
    files = sorted(path for path in root.rglob("*") if path.suffix in (".htm", ".html", ".xlsx"))[:6]
    if not files:
        pytest.skip(f"no sample data in {root}")
    actor = Actor.system("test")
    ensure_server(code=folder, actor=actor)
    for file in files:
        import_statement(server_code=folder, data=file.read_bytes(), file_name=file.name, actor=actor)
    group = make_symbol_group()
    for named in ServerSymbol.objects.filter(symbol__isnull=True):
        named.symbol = Symbol.objects.create(
            code=f"{named.pk}-{named.name}"[:32],
            group=group,
            asset_class="forex",
            base_asset="XXX",
            profit_currency="USD",
        )
        named.save()
        make_spec(named.symbol)

    trades = {trade.pk: trade for trade in Trade.objects.all()}
    found = platform_trade_economics(trade_ids=trades)

    assert SymbolSpec.objects.exists() and len(found) == len(trades) > 0
    for pk, figures in found.items():
        trade = trades[pk]
        assert figures.spread_entry_money is figures.spread_exit_money is figures.markup_money is None
        assert figures.spread_entry_reason == figures.spread_exit_reason == Missing.MARKET_PRICE
        assert (figures.points is None) == (trade.open_price is None)
        assert (figures.platform_commission is None) == (figures.commission_reason is not None)
        assert (figures.hold_seconds is None) == (trade.opened_at is None)
        assert figures.notional_profit is not None and (figures.notional_profit > 0) == (trade.volume_lots > 0)
