"""SQL over many trades and the pure rule over one give the same figures, whatever was dealt, told and left out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_ops.gateways.types import SymbolTerms
from platform_ops.models import Symbol, SymbolSpec, Trade, TradingServer
from platform_ops.rules.economics import (
    ClosedTrade,
    Market,
    Missing,
    PositionDeal,
    TradeEconomics,
    trade_economics,
)
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.selectors.trade_economics import platform_trade_economics
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.types import DealEntry, DealKind, Side
from tests.factories.ib import quote
from tests.factories.platform import make_server, make_server_symbol, make_spec, make_symbol, number

pytestmark = pytest.mark.django_db

T0 = datetime(2026, 3, 2, 10, tzinfo=UTC)
AS_OF = datetime(2026, 3, 20, tzinfo=UTC)
LOTS = st.integers(0, 300).map(lambda hundredths: Decimal(hundredths) / 100)
PRICES = st.integers(90_000, 130_000).map(lambda points: Decimal(points) / 100_000)
FEES = st.integers(-900, 50).map(lambda cents: Decimal(cents) / 100)
MAYBE_PRICE = st.none() | PRICES
RATES = {"EUR": Decimal("0.8")}
SYMBOLS = ("FOREX", "CFD", "FUTURES", "BOND", "COLLATERAL", "NOSPEC", "UNKNOWN")


@st.composite
def position(draw: st.DrawFn, ticket: int) -> list[IngestRecord]:
    """The deals of one position: an MT4 ticket, or any walk of an MT5 position, with what a source may leave out."""
    symbol = draw(st.sampled_from(SYMBOLS))
    login = draw(st.sampled_from(["usd", "eur", "jpy"]))
    if draw(st.booleans()):
        return draw(_mt4_ticket(ticket, symbol, login))
    records = []
    for index in range(draw(st.integers(1, 6))):
        entry = draw(st.sampled_from([DealEntry.IN, DealEntry.IN, DealEntry.OUT, DealEntry.OUT_BY, DealEntry.INOUT]))
        kind = draw(st.sampled_from([DealKind.BUY, DealKind.SELL, DealKind.BUY, DealKind.SELL, DealKind.BUY_CANCELED]))
        closes = entry in (DealEntry.OUT, DealEntry.OUT_BY)
        records.append(
            _record(
                draw, ticket + index, kind, entry, index, symbol=symbol, login=login,
                position_ticket=ticket if index == 0 or draw(st.integers(0, 9)) else 0,
                open_price=draw(MAYBE_PRICE) if closes else None,
                opened_at=T0 - timedelta(seconds=draw(st.integers(0, 99))) if closes and draw(st.booleans()) else None,
            )
        )  # fmt: skip
    return records


@st.composite
def _mt4_ticket(draw: st.DrawFn, ticket: int, symbol: str, login: str) -> list[IngestRecord]:
    lots, price = draw(LOTS), draw(PRICES)
    facts: dict[str, Any] = {"symbol": symbol, "login": login, "position_ticket": ticket, "volume_lots": lots}
    opening = _record(draw, ticket, DealKind.SELL, DealEntry.IN, 0, **facts, price=price, commission=Decimal(0))
    closing = _record(
        draw, ticket, DealKind.BUY, DealEntry.OUT, draw(st.integers(1, 9)), leg=1, **facts, open_price=price,
        opened_at=opening.at, comment=draw(st.sampled_from(["", "to #7", "close hedge by #9", "partial close", "[sl]"])),
    )  # fmt: skip
    return [opening, closing] if draw(st.booleans()) else [closing]


def _record(draw: st.DrawFn, ticket: int, kind: DealKind, entry: DealEntry, minute: int, **facts: Any) -> IngestRecord:
    values: dict[str, Any] = {
        "volume_lots": draw(LOTS), "price": draw(PRICES), "commission": draw(FEES), "market_bid": draw(MAYBE_PRICE),
        "market_ask": draw(MAYBE_PRICE), "gateway_price": draw(MAYBE_PRICE), "currency": facts["login"].upper(),
    } | facts  # fmt: skip
    return IngestRecord(ticket=ticket, kind=kind, entry=entry, at=T0 + timedelta(minutes=minute), **values)


@pytest.fixture
def server() -> TradingServer:
    """A server with a symbol of each way of counting, one without a specification, and rates for the euro alone."""
    server = make_server()
    quote(T0.date(), USD="1.25")
    modes = {
        "FOREX": {"calculation_mode": 0}, "CFD": {"calculation_mode": 2, "contract_size": Decimal("1.5")},
        "FUTURES": {"calculation_mode": 33, "tick_size": "0.00003", "tick_value": "0.7", "margin_initial": 1},
        "BOND": {"calculation_mode": 37, "face_value": "1000"}, "COLLATERAL": {"calculation_mode": 64},
    }  # fmt: skip
    for code, terms in modes.items():
        symbol = make_symbol(f"{code}-{server.pk}", base_asset="GBP", profit_currency="USD")
        make_spec(symbol, **{"digits": 5, "contract_size": Decimal(100_000), **terms})
        make_server_symbol(server, code, symbol)
    make_server_symbol(server, "NOSPEC", make_symbol(f"NOSPEC-{server.pk}"))
    return server


def _expected(trade: Trade, records: list[IngestRecord]) -> TradeEconomics:
    closing = next(record for record in records if (record.ticket, record.leg) == (trade.ticket, trade.leg))
    at_close = (closing.at, closing.ticket, closing.leg)
    before = [
        record for record in sorted(records, key=lambda record: (record.at, record.ticket, record.leg))
        if record.position_ticket == closing.position_ticket != 0 and (record.at, record.ticket, record.leg) < at_close
        and record.kind in (DealKind.BUY, DealKind.SELL) and record.login == closing.login
        and (closing.leg == 0 or record.ticket == closing.ticket)
    ]  # fmt: skip
    closed = ClosedTrade(
        side=Side(trade.side), lots=trade.volume_lots, open_price=trade.open_price, close_price=trade.close_price,
        opened_at=trade.opened_at, closed_at=trade.closed_at, closing_lots=closing.volume_lots,
        commission=closing.commission, account_currency=trade.currency, is_ticket=closing.leg == 1,
        is_close_by=closing.entry == DealEntry.OUT_BY or closing.comment in ("close hedge by #9", "partial close"),
        market=_market(closing), before=[_deal(record) for record in before],
    )  # fmt: skip
    symbol: Symbol | None = trade.server_symbol.symbol
    spec = SymbolSpec.objects.filter(symbol=symbol).first() if symbol else None
    if symbol is None or spec is None:
        return trade_economics(
            trade=closed, terms=None, without_terms=Missing.SYMBOL if symbol is None else Missing.SPECIFICATION
        )
    terms: SymbolTerms = terms_in_force(symbol_id=symbol.pk, at=trade.closed_at)
    return trade_economics(trade=closed, terms=terms, pip_size=spec.pip_size, rate=RATES.get(trade.currency))


def _market(record: IngestRecord) -> Market:
    return Market(bid=record.market_bid, ask=record.market_ask, gateway_price=record.gateway_price)


def _deal(record: IngestRecord) -> PositionDeal:
    sign = 1 if record.kind == DealKind.BUY else -1
    assert record.entry is not None and record.price is not None
    return PositionDeal(
        entry=DealEntry(record.entry), volume_lots=sign * record.volume_lots, price=record.price,
        commission=record.commission, market=_market(record),
    )  # fmt: skip


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(st.data())
def test_the_figures_of_the_database_are_those_of_the_rule(server: TradingServer, data: st.DataObject) -> None:
    base = 1000 * number()
    records = [
        record for index in range(data.draw(st.integers(1, 5)))
        for record in data.draw(position(base + 10 * index + 1))
    ]  # fmt: skip

    ingest_records(server_id=server.pk, source="test", records=records, as_of=AS_OF)

    tickets = [record.ticket for record in records]
    trades = list(Trade.objects.filter(server=server, ticket__in=tickets).select_related("server_symbol__symbol"))
    found = platform_trade_economics(trade_ids=[trade.pk for trade in trades])
    assert set(found) == {trade.pk for trade in trades}
    for trade in trades:
        assert found[trade.pk] == _expected(trade, records), trade
