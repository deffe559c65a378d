"""A small broker for exposure tests: entity, server, symbols with terms and quotes, accounts and open positions."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor, Role
from platform_ops.gateways.types import CalculationMode
from platform_ops.models import (
    AccountDimension,
    DailyPrice,
    Deal,
    FxReferenceRate,
    IngestBatch,
    Position,
    Quote,
    ServerSymbol,
    Symbol,
    SymbolGroup,
    SymbolSpec,
    TradingAccount,
    TradingServer,
)

NOW = datetime(2026, 11, 18, 14, 0, tzinfo=UTC)  # a Wednesday
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_numbers = itertools.count(1)


def make_entity(code: str = "alpha", currency: str = "USD") -> LegalEntity:
    return LegalEntity.objects.create(
        code=code,
        name=f"{code.capitalize()} Markets Ltd",
        country="CY",
        regulator="CySEC",
        licence_number="000/00",
        base_currency=currency,
    )


def make_server(entity: LegalEntity, code: str = "") -> TradingServer:
    code = code or f"{entity.code}-mt5"
    return TradingServer.objects.create(entity=entity, code=code, name=code, platform="mt5")


def make_account(
    server: TradingServer, *, currency: str = "USD", book: str | None = None, is_demo: bool = False
) -> TradingAccount:
    account = TradingAccount.objects.create(
        server=server, login=str(100_000 + next(_numbers)), currency=currency, is_demo=is_demo
    )
    if book is not None:
        put_into_book(account, book)
    return account


def put_into_book(account: TradingAccount, book: str, valid_from: datetime = LONG_AGO) -> None:
    AccountDimension.objects.create(account=account, dimension="book", value=book, validity=(valid_from, None))


def make_symbol(
    code: str,
    base: str,
    quote: str,
    *,
    contract_size: str | None = "100000",
    mode: str = "forex",
    digits: int = 5,
    asset_class: str = "forex",
    **terms: object,
) -> Symbol:
    group, _ = SymbolGroup.objects.get_or_create(code="all", defaults={"name": "All"})
    symbol = Symbol.objects.create(
        code=code, asset_class=asset_class, group=group, base_asset=base, profit_currency=quote
    )
    if contract_size is not None:
        SymbolSpec.objects.create(
            symbol=symbol,
            validity=(LONG_AGO, None),
            digits=digits,
            contract_size=Decimal(contract_size),
            pip_size=Decimal("0.0001"),
            margin_currency=quote,
            **{
                "calculation_mode": CalculationMode.FOREX if mode == "forex" else CalculationMode.CFD_LEVERAGE,
                **terms,
            },
        )
    return symbol


def quote(symbol: Symbol, bid: str, ask: str | None = None, at: datetime | None = None) -> None:
    Quote.objects.update_or_create(
        symbol=symbol,
        defaults={
            "bid": Decimal(bid),
            "ask": Decimal(ask or bid),
            "at": at or NOW - timedelta(seconds=1),
            "source": "test",
        },
    )


def rate(currency: str, per_euro: str, day: date | None = None) -> None:
    FxReferenceRate.objects.create(
        date=day or (NOW.date() - timedelta(days=1)), currency=currency, per_euro=Decimal(per_euro)
    )


def named(server: TradingServer, symbol: Symbol | None, name: str = "") -> ServerSymbol:
    found, _ = ServerSymbol.objects.get_or_create(
        server=server, name=name or getattr(symbol, "code", "UNKNOWN"), defaults={"symbol": symbol}
    )
    return found


def open_position(
    account: TradingAccount,
    server_symbol: ServerSymbol,
    side: int,
    lots: str,
    price: str,
    at: datetime = NOW - timedelta(hours=1),
) -> Position:
    batch = IngestBatch.objects.create(server=account.server, source="test", created_at=at)
    return Position.objects.create(
        account=account,
        position_ticket=next(_numbers),
        server_symbol=server_symbol,
        side=side,
        volume_lots=Decimal(lots),
        open_price=Decimal(price),
        opened_at=at,
        batch=batch,
    )


def dealer(entity: LegalEntity, *roles: str) -> Actor:
    return Actor(
        label="dealer@test",
        user_id=7,
        roles=frozenset(roles or {Role.DEALING.value}),
        entity_ids=frozenset({entity.pk}),
    )


def deal(
    account: TradingAccount,
    server_symbol: ServerSymbol,
    *,
    ticket: int,
    position: int,
    kind: int,
    entry: int,
    lots: str,
    price: str,
    at: datetime,
    revision: int = 0,
    recorded_at: datetime | None = None,
) -> Deal:
    batch = IngestBatch.objects.create(server=account.server, source="test")
    return Deal.objects.create(
        server=account.server,
        ticket=ticket,
        revision=revision,
        account=account,
        batch=batch,
        kind=kind,
        entry=entry,
        position_ticket=position,
        server_symbol=server_symbol,
        volume_lots=Decimal(lots),
        price=Decimal(price),
        at=at,
        stated_as_of=at,
        recorded_at=recorded_at or at,
    )


def fix_price(symbol: Symbol, day: date, price: str) -> None:
    DailyPrice.objects.create(symbol=symbol, business_day=day, bid=Decimal(price), ask=Decimal(price), source="quote")
