"""Rows of the trading side for tests: an entity, a server, accounts, symbols, and what happened on them.

Each function saves one row and returns it; what a test does not care about has a plain default. Deals come in the
revisions that a test asks for; trades and operations are the projections that an ingest would have made of them.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import count

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.models import Brand, LegalEntity
from backoffice.core.types import Actor, Role
from backoffice.kernel.business_day import business_day_of
from crm.models import Client
from platform_ops.models import (
    AccountDimension,
    BalanceOperation,
    Deal,
    IngestBatch,
    ServerSymbol,
    Symbol,
    SymbolGroup,
    SymbolSpec,
    Trade,
    TradingAccount,
    TradingServer,
)
from platform_ops.types import DealEntry, DealKind, Side

SYSTEM = Actor.system("test")
MONDAY = date(2026, 3, 2)

_numbers = count(1)


def number() -> int:
    """A number that no other row of this run has."""
    return next(_numbers)


def noon(day: date) -> datetime:
    """Midday of a business day, well inside its bounds."""
    return datetime.combine(day, time(12), tzinfo=UTC)


def staff(*roles: Role, entities: list[LegalEntity] | None = None, user_id: int = 1) -> Actor:
    """A person with roles in some entities, as the access door sees them."""
    return Actor(
        label=f"person{user_id}@broker.example",
        user_id=user_id,
        roles=frozenset(str(role) for role in roles),
        entity_ids=frozenset(entity.pk for entity in entities or []),
    )


def make_entity(**fields: object) -> LegalEntity:
    """A licensed company."""
    code = f"entity-{number()}"
    return LegalEntity.objects.create(**{"code": code, "name": code, "country": "CY", "base_currency": "EUR", **fields})


def make_brand(entity: LegalEntity | None = None, **fields: object) -> Brand:
    """A brand of an entity."""
    code = f"brand-{number()}"
    return Brand.objects.create(**{"entity": entity or make_entity(), "code": code, "name": code, **fields})


def make_client(brand: Brand | None = None, **fields: object) -> Client:
    """A registered client."""
    brand = brand or make_brand()
    serial = number()
    defaults = {
        "reference": f"T-{serial:06d}",
        "entity": brand.entity,
        "brand": brand,
        "full_name": f"Client {serial}",
        "email": f"client{serial}@example.com",
        "country": "DE",
        "stage": Client.Stage.REGISTERED,
        "registered_at": datetime(2026, 1, 1, tzinfo=UTC),
    }
    return Client.objects.create(**{**defaults, **fields})


def make_server(entity: LegalEntity | None = None, **fields: object) -> TradingServer:
    """A trading server of an entity."""
    code = f"server-{number()}"
    return TradingServer.objects.create(**{"entity": entity or make_entity(), "code": code, "name": code, **fields})


def make_account(server: TradingServer | None = None, **fields: object) -> TradingAccount:
    """A trading account in dollars, without a client."""
    defaults = {"server": server or make_server(), "login": str(100_000 + number()), "currency": "USD"}
    return TradingAccount.objects.create(**{**defaults, **fields})


def put_in_book(
    account: TradingAccount, book: str, *, start: datetime | None = None, end: datetime | None = None
) -> AccountDimension:
    """Says in which book (A or B) an account is during a time."""
    return AccountDimension.objects.create(
        account=account, dimension="book", value=book, validity=DateTimeTZRange(start, end, "[)")
    )


def make_symbol_group(**fields: object) -> SymbolGroup:
    """A family of symbols."""
    code = f"group-{number()}"
    return SymbolGroup.objects.create(**{"code": code, "name": code, **fields})


def make_symbol(code: str = "EURUSD", **fields: object) -> Symbol:
    """A symbol of the house, found by its code if a test made it already."""
    existing = Symbol.objects.filter(code=code).first()
    if existing is not None:
        return existing
    defaults = {
        "code": code,
        "asset_class": Symbol.AssetClass.FOREX,
        "base_asset": code[:3],
        "profit_currency": code[3:6] or "USD",
    }
    group = fields.pop("group", None) or make_symbol_group()
    return Symbol.objects.create(**{**defaults, "group": group, **fields})


def make_spec(symbol: Symbol, **fields: object) -> SymbolSpec:
    """How a symbol is traded, for all time unless `validity` says otherwise."""
    defaults = {
        "symbol": symbol,
        "validity": DateTimeTZRange(datetime(2000, 1, 1, tzinfo=UTC), None, "[)"),
        "digits": 5,
        "contract_size": Decimal(100_000),
        "pip_size": Decimal("0.0001"),
        "margin_currency": symbol.base_asset,
    }
    return SymbolSpec.objects.create(**{**defaults, **fields})


def make_server_symbol(server: TradingServer, name: str = "EURUSD", symbol: Symbol | None = None) -> ServerSymbol:
    """What a server calls a symbol; mapped to *symbol*, or to the house's symbol of the same name."""
    return ServerSymbol.objects.get_or_create(
        server=server, name=name, defaults={"symbol": symbol or make_symbol(name.split(".")[0])}
    )[0]


def make_batch(server: TradingServer, **fields: object) -> IngestBatch:
    """Rows that were committed together."""
    return IngestBatch.objects.create(**{"server": server, "source": "test", **fields})


def make_deal(account: TradingAccount, **fields: object) -> Deal:
    """A deal of an account: by default an opening buy of one lot without money."""
    defaults = {
        "server": account.server,
        "account": account,
        "ticket": number(),
        "kind": DealKind.BUY,
        "entry": DealEntry.IN,
        "volume_lots": Decimal(1),
        "price": Decimal("1.1"),
        "at": noon(MONDAY),
    }
    values = {**defaults, **fields}
    values.setdefault("batch", None)
    values["batch"] = values["batch"] or make_batch(account.server)
    values.setdefault("stated_as_of", values["at"])
    if DealKind(values["kind"]).is_trade:
        values.setdefault("server_symbol", make_server_symbol(account.server))
        values.setdefault("position_ticket", values["ticket"])
    return Deal.objects.create(**values)


def make_trade(
    account: TradingAccount,
    *,
    day: date = MONDAY,
    profit: str = "0",
    swap: str = "0",
    commission: str = "0",
    fee: str = "0",
    side: Side = Side.BUY,
    lots: str = "1",
    at: datetime | None = None,
    server_symbol: ServerSymbol | None = None,
    batch: IngestBatch | None = None,
    **fields: object,
) -> Trade:
    """A closed round trip and the closing deal that it comes from."""
    at = at or noon(day)
    batch = batch or make_batch(account.server)
    symbol = server_symbol or make_server_symbol(account.server)
    money = {
        "profit": Decimal(profit),
        "swap": Decimal(swap),
        "commission": Decimal(commission),
        "fee": Decimal(fee),
    }
    shared = {
        "server": account.server,
        "account": account,
        "batch": batch,
        "server_symbol": symbol,
        "volume_lots": Decimal(lots),
        "opened_at": at - timedelta(hours=1),
        "open_price": Decimal("1.1"),
    }
    deal = make_deal(
        **shared,
        **money,
        kind=DealKind.SELL if side is Side.BUY else DealKind.BUY,
        entry=DealEntry.OUT,
        price=Decimal("1.2"),
        at=at,
    )
    values = {
        **shared,
        **money,
        "ticket": deal.ticket,
        "leg": deal.leg,
        "deal_revision": deal.revision,
        "position_ticket": deal.position_ticket,
        "side": side,
        "closed_at": at,
        "close_price": Decimal("1.2"),
        "currency": account.currency,
        "business_day": business_day_of(at),
        "first_batch": batch,
    }
    return Trade.objects.create(**{**values, **fields})


def correct_trade(trade: Trade, **changes: object) -> Trade:
    """A later revision of the trade's closing deal, and the trade as it stands after it. Amounts are given as text."""
    before = Deal.objects.filter(server=trade.server, ticket=trade.ticket, leg=trade.leg).order_by("-revision")[0]
    batch = make_batch(trade.server)
    money = {
        name: Decimal(str(value)) for name, value in changes.items() if name in {"profit", "swap", "commission", "fee"}
    }
    at = changes.get("at", before.at)
    cancelled = bool(changes.get("is_cancelled", False))
    values = {
        field.attname: getattr(before, field.attname)
        for field in Deal._meta.concrete_fields
        if field.attname not in {"id", "revision", "batch_id", "recorded_at"}
    }
    kind = DealKind.SELL_CANCELED if cancelled and before.kind == DealKind.SELL else before.kind
    kind = DealKind.BUY_CANCELED if cancelled and before.kind == DealKind.BUY else kind
    zero = {"profit": Decimal(0), "swap": Decimal(0), "commission": Decimal(0), "fee": Decimal(0)} if cancelled else {}
    deal = Deal.objects.create(
        **{**values, **money, **zero, "kind": kind, "at": at, "revision": before.revision + 1, "batch": batch}
    )
    for name, value in money.items():
        setattr(trade, name, value)
    trade.is_cancelled, trade.closed_at, trade.business_day = cancelled, at, business_day_of(at)
    trade.deal_revision, trade.batch = deal.revision, batch
    trade.save()
    return trade


def make_operation(
    account: TradingAccount,
    *,
    amount: str,
    day: date = MONDAY,
    kind: DealKind = DealKind.BALANCE,
    batch: IngestBatch | None = None,
    **fields: object,
) -> BalanceOperation:
    """Money that no trade made, and the deal that it comes from."""
    at = noon(day)
    batch = batch or make_batch(account.server)
    deal = make_deal(
        account, batch=batch, kind=kind, entry=None, profit=Decimal(amount), volume_lots=0, price=None, at=at
    )
    values = {
        "server": account.server,
        "account": account,
        "ticket": deal.ticket,
        "batch": batch,
        "kind": kind,
        "at": at,
        "amount": Decimal(amount),
        "currency": account.currency,
        "business_day": day,
    }
    return BalanceOperation.objects.create(**{**values, **fields})
