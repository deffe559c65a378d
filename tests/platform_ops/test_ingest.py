"""Trades in: nothing twice, nothing lost, corrections as revisions, projections that follow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import Error, connection, transaction

from backoffice.core.models import LegalEntity, OutboxEvent
from backoffice.kernel.errors import InvalidInput
from platform_ops.events import TRADES_CHANGED
from platform_ops.models import (
    BalanceOperation,
    CurrentDeal,
    Deal,
    IngestBatch,
    Position,
    ServerSymbol,
    Symbol,
    SymbolGroup,
    Trade,
    TradingAccount,
    TradingServer,
)
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.types import DealEntry, DealKind

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
AS_OF = datetime(2026, 3, 3, tzinfo=UTC)


@pytest.fixture
def server() -> TradingServer:
    entity = LegalEntity.objects.create(code="house", name="House", country="CY", base_currency="USD")
    return TradingServer.objects.create(entity=entity, code="live", name="Live", platform="mt5")


def deal(ticket: int, kind: DealKind, entry: DealEntry | None, minute: int, **facts: object) -> IngestRecord:
    values: dict[str, object] = {
        "login": "1001",
        "currency": "USD",
        "symbol": "EURUSD",
        "volume_lots": Decimal("1"),
        "price": Decimal("1.1"),
        "position_ticket": 1,
    } | facts
    return IngestRecord(
        ticket=ticket,
        kind=kind,
        entry=entry,
        at=T0 + timedelta(minutes=minute),
        **values,  # type: ignore[arg-type]
    )


def money(
    ticket: int, amount: str, minute: int = 0, kind: DealKind = DealKind.BALANCE, **facts: object
) -> IngestRecord:
    values: dict[str, object] = {"login": "1001", "currency": "USD"} | facts
    return IngestRecord(
        ticket=ticket,
        kind=kind,
        at=T0 + timedelta(minutes=minute),
        profit=Decimal(amount),
        **values,  # type: ignore[arg-type]
    )


OPENING = deal(1, DealKind.BUY, DealEntry.IN, 1, commission=Decimal("-3.5"))
CLOSING = deal(
    2,
    DealKind.SELL,
    DealEntry.OUT,
    60,
    price=Decimal("1.2"),
    open_price=Decimal("1.1"),
    opened_at=T0 + timedelta(minutes=1),
    profit=Decimal("10000"),
    swap=Decimal("-1.25"),
    commission=Decimal("-3.5"),
)


def load(server: TradingServer, *records: IngestRecord, as_of: datetime = AS_OF) -> IngestBatch:
    return ingest_records(server_id=server.pk, source="test", records=records, as_of=as_of)


def counts(batch: IngestBatch) -> tuple[int, int, int]:
    return batch.new_deals, batch.corrected_deals, batch.stale_deals


def test_a_round_trip_becomes_deals_a_trade_and_an_event(server: TradingServer) -> None:
    batch = load(server, money(9, "500"), OPENING, CLOSING)

    assert counts(batch) == (3, 0, 0)
    assert (batch.changed_trades, batch.changed_positions, batch.changed_operations) == (1, 0, 1)
    account = TradingAccount.objects.get()
    assert (account.login, account.currency, account.client) == ("1001", "USD", None)
    trade = Trade.objects.get()
    assert (trade.ticket, trade.leg, trade.side, trade.volume_lots) == (2, 0, 1, Decimal(1))
    assert (trade.open_price, trade.close_price) == (Decimal("1.1"), Decimal("1.2"))
    assert (trade.profit, trade.swap, trade.commission) == (Decimal(10000), Decimal("-1.25"), Decimal("-3.5"))
    assert (trade.opened_at, trade.closed_at) == (CLOSING.opened_at, CLOSING.at)
    assert (trade.business_day, trade.currency, trade.is_cancelled) == (date(2026, 3, 2), "USD", False)
    assert trade.batch_id == batch.pk
    operation = BalanceOperation.objects.get()
    assert (operation.kind, operation.amount, operation.is_opening) == (DealKind.BALANCE, Decimal(500), False)
    event = OutboxEvent.objects.get(topic="platform.trades_changed")
    assert event.payload == {"batch_id": batch.pk, "server_id": server.pk}


def test_the_same_rows_again_change_nothing(server: TradingServer) -> None:
    load(server, OPENING, CLOSING)

    again = load(server, CLOSING, OPENING, as_of=AS_OF + timedelta(days=1))

    assert counts(again) == (0, 0, 0)
    assert again.pk is None
    assert IngestBatch.objects.count() == 1
    assert OutboxEvent.objects.filter(topic=TRADES_CHANGED).count() == 1


def test_a_row_that_is_sent_twice_counts_once_and_two_meanings_are_refused(server: TradingServer) -> None:
    batch = load(server, OPENING, OPENING, CLOSING)
    assert counts(batch) == (2, 0, 0)

    with pytest.raises(InvalidInput, match="twice with different figures"):
        load(server, money(5, "10"), money(5, "11"))
    assert not CurrentDeal.objects.filter(ticket=5).exists()


def test_a_changed_row_becomes_a_new_revision_and_only_its_trade_changes(server: TradingServer) -> None:
    first = load(server, OPENING, CLOSING, deal(4, DealKind.SELL, DealEntry.IN, 2, position_ticket=4))
    corrected = replace(CLOSING, profit=Decimal("9999.99"))

    batch = load(server, OPENING, corrected, as_of=AS_OF + timedelta(hours=1))

    assert counts(batch) == (0, 1, 0)
    trade = Trade.objects.get()
    assert (trade.profit, trade.deal_revision, trade.batch_id) == (Decimal("9999.99"), 1, batch.pk)
    assert list(Deal.objects.filter(ticket=2).order_by("revision").values_list("revision", "profit")) == [
        (0, Decimal(10000)),
        (1, Decimal("9999.99")),
    ]
    assert Position.objects.get().batch_id == first.pk


def test_an_older_source_never_overwrites_a_newer_one(server: TradingServer) -> None:
    load(server, OPENING, replace(CLOSING, profit=Decimal(7)))

    stale = load(server, OPENING, CLOSING, as_of=AS_OF - timedelta(hours=1))

    assert counts(stale) == (0, 0, 2 - 1)
    assert stale.pk is None
    assert Trade.objects.get().profit == Decimal(7)


def test_a_source_that_leaves_a_fact_out_does_not_take_it_away_and_a_stale_one_may_add_it(
    server: TradingServer,
) -> None:
    silent = replace(CLOSING, open_price=None, opened_at=None, position_ticket=0)
    load(server, silent)
    assert Trade.objects.get().open_price is None

    batch = load(server, CLOSING, as_of=AS_OF - timedelta(days=1))
    assert counts(batch) == (0, 1, 1)
    assert (Trade.objects.get().open_price, Trade.objects.get().position_ticket) == (Decimal("1.1"), 1)

    assert counts(load(server, silent, as_of=AS_OF + timedelta(days=1))) == (0, 0, 0)


def test_positions_follow_partial_closes(server: TradingServer) -> None:
    load(server, OPENING, replace(CLOSING, volume_lots=Decimal("0.4")))

    position = Position.objects.get()
    assert (position.side, position.volume_lots, position.open_price) == (1, Decimal("0.6"), Decimal("1.1"))
    assert position.opened_at == OPENING.at

    load(server, deal(3, DealKind.SELL, DealEntry.OUT, 70, volume_lots=Decimal("0.6"), open_price=Decimal("1.1")))
    assert not Position.objects.exists()


def test_netting_averages_reverses_and_closes(server: TradingServer) -> None:
    load(
        server,
        deal(1, DealKind.BUY, DealEntry.IN, 1, volume_lots=Decimal(1), price=Decimal(100)),
        deal(2, DealKind.SELL, DealEntry.OUT, 2, volume_lots=Decimal("0.5"), price=Decimal(105)),
        deal(3, DealKind.BUY, DealEntry.IN, 3, volume_lots=Decimal(1), price=Decimal(110)),
    )
    position = Position.objects.get()
    assert (position.volume_lots, position.open_price) == (Decimal("1.5"), Decimal("106.6666666667"))

    load(server, deal(4, DealKind.SELL, DealEntry.INOUT, 4, volume_lots=Decimal(2), price=Decimal(120)))
    position = Position.objects.get()
    assert (position.side, position.volume_lots, position.open_price) == (-1, Decimal("0.5"), Decimal(120))
    reversal = Trade.objects.get(ticket=4)
    assert (reversal.side, reversal.volume_lots, reversal.open_price) == (
        1,
        Decimal("1.5"),
        Decimal("106.6666666667"),
    )
    assert reversal.opened_at == T0 + timedelta(minutes=1)


def test_an_opening_that_arrives_late_completes_its_trade(server: TradingServer) -> None:
    load(server, replace(CLOSING, open_price=None, opened_at=None))
    assert Trade.objects.get().open_price is None

    late = load(server, OPENING)

    trade = Trade.objects.get()
    assert (trade.open_price, trade.opened_at, trade.batch_id) == (Decimal("1.1"), OPENING.at, late.pk)
    assert not Position.objects.exists()


def test_a_cancelled_deal_keeps_its_trade_as_cancelled(server: TradingServer) -> None:
    load(server, OPENING, CLOSING)

    load(
        server,
        replace(OPENING, kind=DealKind.BUY_CANCELED, commission=Decimal(0)),
        replace(CLOSING, kind=DealKind.SELL_CANCELED, profit=Decimal(0), swap=Decimal(0), commission=Decimal(0)),
        as_of=AS_OF + timedelta(hours=1),
    )

    trade = Trade.objects.get()
    assert (trade.is_cancelled, trade.profit) == (True, Decimal(0))
    assert not Position.objects.exists()


def test_a_row_that_turns_out_to_be_money_cancels_its_trade(server: TradingServer) -> None:
    load(server, OPENING, CLOSING)

    load(server, money(2, "12"), as_of=AS_OF + timedelta(hours=1))

    assert Trade.objects.get().is_cancelled
    assert BalanceOperation.objects.get().amount == Decimal(12)
    assert Position.objects.get().volume_lots == Decimal(1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("volume_lots", Decimal("-0.01")),
        ("volume_lots", Decimal("NaN")),
        ("volume_lots", Decimal("0.000000001")),
        ("price", Decimal(0)),
        ("price", None),
        ("price", Decimal("Infinity")),
        ("profit", Decimal("NaN")),
        ("profit", Decimal("1E+16")),
        ("profit", Decimal("0.000000001")),
        ("swap", Decimal("-Infinity")),
        ("symbol", ""),
        ("entry", None),
        ("entry", 4),
        ("kind", 21),
        ("leg", 2),
        ("ticket", 0),
        ("ticket", 2**63),
        ("at", datetime(1970, 1, 1, tzinfo=UTC)),
        ("comment", "x" * 256),
        ("comment", "a\x00b"),
    ],
)
def test_a_row_that_cannot_be_true_refuses_the_whole_batch_by_row_and_field(
    server: TradingServer, field: str, value: object
) -> None:
    with pytest.raises(InvalidInput) as refusal, transaction.atomic():
        load(server, OPENING, replace(CLOSING, **{field: value}))  # type: ignore[arg-type]

    assert refusal.value.details["row"] == 2
    if value != "a\x00b":
        assert refusal.value.details["field"] == field
    assert not Deal.objects.exists()
    assert not TradingAccount.objects.exists()
    assert not OutboxEvent.objects.exists()


def test_a_deal_from_the_future_is_refused(server: TradingServer) -> None:
    with pytest.raises(InvalidInput, match="after it was told of"):
        load(server, money(1, "5", minute=60 * 24 * 3))
    assert not Deal.objects.exists()


def test_a_time_without_a_zone_is_refused(server: TradingServer) -> None:
    with pytest.raises(InvalidInput, match="has no zone"):
        load(server, replace(OPENING, at=datetime(2026, 3, 2, 10)))


def test_a_ticket_belongs_to_one_account(server: TradingServer) -> None:
    load(server, OPENING)

    with pytest.raises(InvalidInput, match="belongs to account 1001"), transaction.atomic():
        load(server, replace(OPENING, login="1002"))
    assert not TradingAccount.objects.filter(login="1002").exists()


def test_an_account_keeps_its_currency(server: TradingServer) -> None:
    load(server, OPENING)

    with pytest.raises(InvalidInput, match="is in USD, not in EUR"), transaction.atomic():
        load(server, replace(CLOSING, currency="EUR"))
    assert Deal.objects.count() == 1


def test_symbols_are_mapped_by_rule_or_wait(server: TradingServer) -> None:
    group = SymbolGroup.objects.create(code="majors", name="Majors")
    euro = Symbol.objects.create(
        code="EURUSD", asset_class="forex", group=group, base_asset="EUR", profit_currency="USD"
    )

    load(
        server,
        replace(OPENING, symbol="eurusd.m"),
        deal(7, DealKind.BUY, DealEntry.IN, 5, symbol="WTF100", position_ticket=7),
    )

    mapped, waiting = ServerSymbol.objects.get(name="eurusd.m"), ServerSymbol.objects.get(name="WTF100")
    assert (mapped.symbol, mapped.mapped_by) == (euro, "suffix .M left out")
    assert waiting.symbol is None
    assert Position.objects.count() == 2


@pytest.mark.parametrize("statement", ["UPDATE platform_ops_deal SET profit = 1", "DELETE FROM platform_ops_deal"])
def test_the_database_refuses_to_change_a_deal(server: TradingServer, statement: str) -> None:
    load(server, OPENING)

    with pytest.raises(Error, match="never change"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert Deal.objects.get().profit == Decimal(0)
