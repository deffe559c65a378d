"""Positions on a server for the tests of swaps: made by deals through the one door, priced by closing prices."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from platform_ops.models import DailyPrice, FxReferenceRate, SwapLine, Symbol, TradingAccount, TradingServer
from platform_ops.rules.swaps import RateDraft
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.swaps.rates import set_swap_rates
from platform_ops.types import DealEntry, DealKind, Side
from tests.factories import platform

SYSTEM = platform.SYSTEM
EARLY = datetime(2020, 1, 1, tzinfo=UTC)
TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = date(2026, 3, 3), date(2026, 3, 4), date(2026, 3, 5), date(2026, 3, 6)


def at(day: date, hour: int, minute: int = 0, second: int = 0, micro: int = 0) -> datetime:
    """An instant of a day, UTC. In early March 17:00 New York is 22:00."""
    return datetime(day.year, day.month, day.day, hour, minute, second, micro, tzinfo=UTC)


def server(zone: str = "EET_US", **fields: Any) -> TradingServer:
    return platform.make_server(zone=zone, **fields)


def symbol(code: str = "EURUSD", **spec: Any) -> Symbol:
    made = platform.make_symbol(code)
    platform.make_spec(made, **spec)
    return made


def close(symbol: Symbol, day: date, bid: str, ask: str | None = None) -> None:
    DailyPrice.objects.create(symbol=symbol, business_day=day, bid=Decimal(bid), ask=Decimal(ask or bid), source="test")


def euro_rates(day: date, **per_euro: str) -> None:
    for currency, rate in per_euro.items():
        FxReferenceRate.objects.create(source="ECB", date=day, currency=currency, per_euro=Decimal(rate))


def rate(symbol: Symbol, long: str, short: str = "0", **fields: Any) -> RateDraft:
    draft = RateDraft(symbol_id=symbol.pk, long=Decimal(long), short=Decimal(short), **fields)
    set_swap_rates(rates=[draft], valid_from=EARLY, approval=None, actor=SYSTEM)
    return draft


def deal(
    account: TradingAccount,
    ticket: int,
    moment: datetime,
    *,
    name: str = "EURUSD",
    side: Side = Side.BUY,
    entry: DealEntry = DealEntry.IN,
    lots: str = "1",
    price: str = "1.1",
    position: int | None = None,
    **facts: Any,
) -> IngestRecord:
    """One deal; of a closing one, *side* is the deal's own."""
    return IngestRecord(
        ticket=ticket,
        login=account.login,
        kind=DealKind.BUY if side is Side.BUY else DealKind.SELL,
        entry=entry,
        position_ticket=position or ticket,
        symbol=name,
        volume_lots=Decimal(lots),
        price=Decimal(price),
        at=moment,
        **facts,
    )


def ingest(server: TradingServer, records: Sequence[IngestRecord], as_of: datetime | None = None) -> None:
    ingest_records(
        server_id=server.pk,
        source="test",
        records=records,
        as_of=as_of or max(record.at for record in records),
    )


def lines(day: date | None = None) -> list[SwapLine]:
    rows = SwapLine.objects.select_related("term", "account").order_by("day", "account_id", "position_ticket", "seq")
    return list(rows if day is None else rows.filter(day=day))
