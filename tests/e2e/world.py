"""A small broker for the browser, made by the use cases: people of every door, partners, clients and a week of trades.

    Northgate Markets Ltd, server MT5-LIVE
      Alpha Partners (login) ← Beta Partners ← client Bruno Keller (login), account 800001 in USD
      Omega Partners (login)                 ← client Olga Nowak, account 800002 in USD
    No partner: client Cesar Ortega, account 800003 in EUR

The plan pays 6.00 USD a lot to who introduced the client and 1.50 to the partner above.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from backoffice.core.models import Brand, LegalEntity, User
from backoffice.core.services import users
from backoffice.core.types import Actor, Role
from crm.models import Client
from crm.services.clients import register_client
from ib.models import Partner
from ib.services import partners, plans, referrals, tree
from ib.types import RuleTerms
from platform_ops.gateways.types import CalculationMode
from platform_ops.models import IngestBatch, TradingAccount, TradingServer
from platform_ops.services import catalogue, prices
from platform_ops.services.catalogue import Specification
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.types import DealEntry, DealKind
from tests.logins import PASSWORD

__all__ = ["PASSWORD", "TUESDAY", "World", "make_world"]

SYSTEM = Actor.system("e2e")
START = datetime(2026, 1, 1, tzinfo=UTC)
MONDAY = date(2026, 3, 2)
TUESDAY = date(2026, 3, 3)


@dataclass
class World:
    """What was made, by the names used in the module's picture."""

    entity: LegalEntity
    brand: Brand
    server: TradingServer
    people: dict[str, User] = field(default_factory=dict)
    partners: dict[str, Partner] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    accounts: dict[str, TradingAccount] = field(default_factory=dict)
    tickets: int = 7_000_000

    def person(self, role: Role) -> User:
        """The login of a role; made when first asked for."""
        if role.value not in self.people:
            self.people[role.value] = self.login(f"{role.value.replace('_', '-')}@broker.example", role)
        return self.people[role.value]

    def login(self, email: str, role: Role) -> User:
        """A new login."""
        return users.create_user(
            email=email,
            full_name=email.split("@")[0].replace("-", " ").title(),
            roles=[role],
            entity_codes=[self.entity.code],
            actor=SYSTEM,
            password=PASSWORD,
        )

    def trade(
        self, login: str, *, lots: str, profit: str, day: date = MONDAY, symbol: str = "EURUSD", hour: int = 10
    ) -> IngestBatch:
        """A round trip of an account that was closed on a day."""
        self.tickets += 10
        opened = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
        account = self.accounts[login]
        shared = {"account_id": account.pk, "position_ticket": self.tickets, "symbol": symbol}
        records = [
            IngestRecord(
                ticket=self.tickets, kind=DealKind.BUY, at=opened, entry=DealEntry.IN, volume_lots=Decimal(lots),
                price=Decimal("1.10000"), **shared,
            ),
            IngestRecord(
                ticket=self.tickets + 1, kind=DealKind.SELL, at=opened + timedelta(hours=1), entry=DealEntry.OUT,
                volume_lots=Decimal(lots), price=Decimal("1.10100"), profit=Decimal(profit), **shared,
            ),
        ]  # fmt: skip
        return self.ingest(records)

    def open_position(self, login: str, *, lots: str, symbol: str = "EURUSD", day: date = TUESDAY) -> IngestBatch:
        """A position that stays open."""
        self.tickets += 10
        at = datetime(day.year, day.month, day.day, 14, tzinfo=UTC)
        return self.ingest(
            [
                IngestRecord(
                    account_id=self.accounts[login].pk, ticket=self.tickets, position_ticket=self.tickets,
                    kind=DealKind.BUY, entry=DealEntry.IN, at=at, symbol=symbol, volume_lots=Decimal(lots),
                    price=Decimal("1.10000"),
                )
            ]
        )  # fmt: skip

    def deposit(self, login: str, amount: str, *, day: date = MONDAY) -> IngestBatch:
        """Money that arrives on an account."""
        self.tickets += 10
        at = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
        account_id = self.accounts[login].pk
        record = IngestRecord(
            account_id=account_id, ticket=self.tickets, kind=DealKind.BALANCE, at=at, profit=Decimal(amount)
        )
        return self.ingest([record])

    def ingest(self, records: list[IngestRecord]) -> IngestBatch:
        """Books deals as a connector would."""
        as_of = max(record.at for record in records)
        return ingest_records(server_id=self.server.pk, source="e2e", records=records, as_of=as_of)


def make_world() -> World:
    """The whole of it, before any settlement, posting or report."""
    entity = LegalEntity.objects.create(
        code="northgate-cy", name="Northgate Markets Ltd", country="CY", base_currency="EUR", regulator="CySEC"
    )
    brand = Brand.objects.create(entity=entity, code="northgate", name="Northgate")
    server = catalogue.register_server(
        entity_id=entity.pk, code="MT5-LIVE", name="MT5 Live", platform="mt5", zone="EET_US", actor=SYSTEM
    )
    world = World(entity=entity, brand=brand, server=server)
    _catalogue()
    _partners(world)
    _clients(world)
    _trades(world)
    return world


def _catalogue() -> None:
    symbols = (
        ("EURUSD", "forex", "majors", "EUR", "USD", 5, "100000", "0.0001", "forex"),
        ("XAUUSD", "metal", "metals", "XAU", "USD", 2, "100", "0.01", "cfd"),
    )
    for code, asset_class, group, base, profit, digits, contract, pip, mode in symbols:
        catalogue.register_symbol(
            code=code,
            name=code,
            asset_class=asset_class,
            group_code=group,
            group_name=group.capitalize(),
            base_asset=base,
            profit_currency=profit,
            specification=Specification(
                digits=digits,
                contract_size=Decimal(contract),
                pip_size=Decimal(pip),
                calculation_mode=CalculationMode.FOREX if mode == "forex" else CalculationMode.CFD_LEVERAGE,
                margin_currency=base if mode == "forex" else profit,
            ),
            valid_from=START,
            actor=SYSTEM,
        )


def _partners(world: World) -> None:
    plan = plans.create_plan(entity_id=world.entity.pk, code="standard", name="Standard rebate", actor=SYSTEM)
    version = plans.draft_version(plan_id=plan.pk, actor=SYSTEM)
    for level, amount in enumerate(("6.00", "1.50"), start=1):
        plans.add_rule(
            version_id=version.pk,
            terms=RuleTerms(
                symbol_group_id=None, level=level, rate=Decimal(amount), currency="USD", pays_close_by=True
            ),
            actor=SYSTEM,
        )
    plans.publish_version(version_id=version.pk, valid_from=START, actor=SYSTEM)
    for name, has_login, parent in (("Alpha", True, ""), ("Beta", False, "Alpha"), ("Omega", True, "")):
        partner = partners.register_partner(
            entity_id=world.entity.pk, brand_id=world.brand.pk, name=f"{name} Partners", currency="USD", actor=SYSTEM
        )
        world.partners[name] = partner
        plans.sign_agreement(partner_id=partner.pk, plan_id=plan.pk, valid_from=START, actor=SYSTEM)
        if parent:
            tree.place_partner(
                partner_id=partner.pk, parent_id=world.partners[parent].pk, valid_from=START, actor=SYSTEM
            )
        if has_login:
            world.people[name] = world.login(f"{name.lower()}@partners.example", Role.IB)
            partners.link_partner_login(partner_id=partner.pk, user_id=world.people[name].pk, actor=SYSTEM)


def _clients(world: World) -> None:
    for login, name, country, currency, partner in (
        ("800001", "Bruno Keller", "DE", "USD", "Beta"),
        ("800002", "Olga Nowak", "PL", "USD", "Omega"),
        ("800003", "Cesar Ortega", "ES", "EUR", ""),
    ):
        group = catalogue.register_account_group(
            server_id=world.server.pk,
            name=f"real\\standard-{currency.lower()}",
            currency=currency,
            account_type_code="standard",
            account_type_name="Standard",
            actor=SYSTEM,
        )
        user = world.login("bruno@example.com", Role.TRADER) if name == "Bruno Keller" else None
        if user is not None:
            world.people["Bruno"] = user
        client = register_client(
            entity_id=world.entity.pk,
            brand_id=world.brand.pk,
            full_name=name,
            email=f"{name.split()[0].lower()}@example.com",
            country=country,
            language="en",
            registered_at=START,
            user_id=user.pk if user else None,
            actor=SYSTEM,
        )
        world.clients[name] = client
        world.accounts[login] = catalogue.open_account(
            server_id=world.server.pk,
            login=login,
            client_id=client.pk,
            group_id=group.pk,
            name=name,
            leverage=30,
            opened_at=START,
            actor=SYSTEM,
        )
        if partner:
            referrals.refer_client(
                client_id=client.pk, partner_id=world.partners[partner].pk, valid_from=START, actor=SYSTEM
            )


def _trades(world: World) -> None:
    for login in world.accounts:
        world.deposit(login, "5000.00")
    world.trade("800001", lots="2.00", profit="200.00")
    world.trade("800001", lots="0.50", profit="-75.00", hour=14)
    world.trade("800002", lots="3.00", profit="-310.00")
    world.trade("800003", lots="1.00", profit="95.00")
    world.open_position("800001", lots="1.00")
    for code, bid, ask in (("EURUSD", "1.10200", "1.10210"), ("XAUUSD", "2650.10", "2650.40")):
        for day in (MONDAY, TUESDAY):
            prices.store_daily_prices(business_day=day, prices={code: (Decimal(bid), Decimal(ask))}, source="e2e")
