"""A broker's Monday for report tests: money in and out, trades in two books and currencies, commission, open positions."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from django.utils import timezone

from backoffice.core.models import LegalEntity, User
from backoffice.core.types import Actor, Role
from funding.ledger.services.accounts import get_account
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entry
from funding.services.trading_results import post_trading_results
from ib.models import Partner
from platform_ops.models import DailyPrice, FxReferenceRate, TradingAccount, TradingServer
from platform_ops.types import DealKind, Side
from tests.factories import platform
from tests.factories.platform import MONDAY, SYSTEM
from tests.logins import make_user

TUESDAY_MORNING = datetime(2026, 3, 3, 10, tzinfo=UTC)


@dataclass
class Broker:
    entity: LegalEntity
    server: TradingServer
    dollars: TradingAccount
    euros: TradingAccount


def make_broker() -> Broker:
    """An entity in euro with a dollar account in the B book and a euro account in the A book; EUR/USD was 1.25."""
    entity = platform.make_entity(
        code="nova",
        name="Nova Markets Ltd",
        country="CY",
        regulator="CySEC",
        licence_number="123/45",
        base_currency="EUR",
    )
    brand = platform.make_brand(entity, code="nova-one", name="Nova One")
    server = platform.make_server(entity, code="nova-mt5")
    dollars = platform.make_account(server, currency="USD", login="1001", client=platform.make_client(brand))
    euros = platform.make_account(server, currency="EUR", login="1002", client=platform.make_client(brand))
    platform.put_in_book(euros, "A")
    FxReferenceRate.objects.create(date=MONDAY, currency="USD", per_euro=Decimal("1.25"))
    return Broker(entity, server, dollars, euros)


def trade_monday(broker: Broker) -> None:
    """Deposits of 1,000.00 and 500.00 USD and 2,000.00 EUR, a withdrawal, trades, a credit, and a position left open."""
    platform.make_operation(broker.dollars, amount="1000")
    platform.make_operation(broker.dollars, amount="500")
    platform.make_operation(broker.dollars, amount="-250.50")
    platform.make_operation(broker.euros, amount="2000")
    platform.make_operation(broker.dollars, amount="50", kind=DealKind.CREDIT)
    symbol = platform.make_symbol("EURUSD", group=platform.make_symbol_group(code="majors", name="Majors"))
    platform.make_spec(symbol)
    DailyPrice.objects.create(
        symbol=symbol, business_day=MONDAY, bid=Decimal("1.2000"), ask=Decimal("1.2002"), source="quote"
    )
    named = platform.make_server_symbol(broker.server, "EURUSD.m", symbol)
    for profit, swap, commission in (("-120.10", "-3.30", "-7"), ("40", "1.10", "-3.50")):
        platform.make_trade(
            broker.dollars, profit=profit, swap=swap, commission=commission, server_symbol=named, side=Side.BUY
        )
    platform.make_trade(broker.euros, profit="80", server_symbol=named)
    platform.make_deal(broker.dollars, server_symbol=named, volume_lots=Decimal("2"), price=Decimal("1.1900"))


def post_results(broker: Broker) -> None:
    post_trading_results(business_day=MONDAY, server_id=broker.server.pk, actor=SYSTEM)


def make_partner(
    broker: Broker, *, name: str = "Introducer", reference: str = "IB-T001", currency: str = "USD"
) -> Partner:
    return Partner.objects.create(
        reference=reference, entity=broker.entity, brand=broker.entity.brands.get(), name=name, currency=currency
    )


def accrue(broker: Broker, partner: Partner, amount: str) -> None:
    """A commission in the ledger as a settlement books it."""
    expense = get_account(entity_id=broker.entity.pk, kind="commission_expense", currency=partner.currency)
    accrued = get_account(
        entity_id=broker.entity.pk,
        kind="partner_accrued",
        currency=partner.currency,
        owner_type="partner",
        owner_id=partner.pk,
    )
    post_entry(
        draft=EntryDraft(
            entity_id=broker.entity.pk,
            kind="commission",
            business_day=MONDAY,
            description="Partner commission",
            lines=[
                PostingLine(expense.pk, "D", Decimal(amount), partner.currency),
                PostingLine(accrued.pk, "C", Decimal(amount), partner.currency),
            ],
            idempotency_key=f"test:{partner.pk}:{amount}:{timezone.now().timestamp()}",
            source_type="ib.settlement_batch",
            source_id=1,
        ),
        actor=SYSTEM,
    )


def finance(entity: LegalEntity, *roles: Role) -> Actor:
    """A person of the entity with the given roles, by default finance; the login exists."""
    user = User.objects.filter(email="finance@broker.example").first() or make_user("finance@broker.example")
    return Actor(
        label=user.email,
        user_id=user.pk,
        roles=frozenset(str(role) for role in roles or (Role.FINANCE,)),
        entity_ids=frozenset({entity.pk}),
    )


def read_csv(data: bytes) -> dict[str, list[dict[str, str]]]:
    """Sections of a report's CSV: rows by column name, totals under `<section>:total`, the head under `meta`."""
    found: dict[str, list[dict[str, str]]] = {"meta": []}
    names: dict[str, list[str]] = {}
    for section, kind, *cells in csv.reader(io.StringIO(data.decode())):
        if kind == "meta":
            found["meta"].append({cells[0]: cells[1]})
        elif kind == "columns":
            names[section] = cells
            found[section] = []
        elif kind in ("row", "total"):
            key = section if kind == "row" else f"{section}:total"
            found.setdefault(key, []).append(
                {name: cell for name, cell in zip(names[section], cells, strict=True) if name}
            )
    return found
