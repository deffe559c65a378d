"""A client with an account on a simulated server, reached over the wire like a real one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from itertools import count
from typing import Any

from backoffice.core.models import LegalEntity, User
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from platform_ops.gateways.types import GatewayDeal
from platform_ops.models import (
    AccountGroup,
    AccountOffer,
    AccountType,
    OperationLimit,
    ServerOperation,
    TradingAccount,
    TradingServer,
)
from platform_ops.services.connections import ConnectionTerms, open_gateway, save_connection
from platform_ops.services.ingest import IngestRecord, ingest_records
from tests.factories.platform import SYSTEM, make_brand, make_client, make_entity, make_server, staff
from tests.logins import make_user
from tests.trading_server import EURO_GROUP, HEDGING_GROUP, HEDGING_LOGIN, NETTING_GROUP, RunningServer

_keys = count(1)


def key() -> str:
    """A key that no other request has."""
    return f"test:{next(_keys)}"


@dataclass
class Ground:
    """What the tests act on."""

    live: RunningServer
    entity: LegalEntity
    server: TradingServer
    account: TradingAccount
    client: Any
    offer: AccountOffer
    group: AccountGroup

    def operator(self, number: int = 1) -> Actor:
        """Who runs the platform."""
        return self._person(Role.PLATFORM_OPERATIONS, f"operator{number}@broker.example")

    def finance(self) -> Actor:
        """Who approves."""
        return self._person(Role.FINANCE, "finance@broker.example")

    def dealer(self, number: int = 1) -> Actor:
        """Who looks after prices."""
        return self._person(Role.DEALING, f"dealer{number}@broker.example")

    def trader(self) -> Actor:
        """The client, logged in."""
        return Actor(label="trader", user_id=self.client.user_id, roles=frozenset({Role.TRADER.value}))

    def _person(self, role: Role, email: str) -> Actor:
        user = User.objects.filter(email=email).first() or make_user(email, role.value, entities=(self.entity,))
        return staff(role, entities=[self.entity], user_id=user.pk)

    def money_deals(self, reference: str) -> list[Any]:
        """What the server booked under a reference."""
        return [deal for deal in self.live.deals(int(self.account.login)) if reference in deal.comment]

    def balance(self) -> Decimal:
        """The account's balance on the server."""
        return Decimal(str(self.live.standing(int(self.account.login)).balance))

    def sync(self) -> None:
        """The account's history comes in, as the synchronisation would bring it."""
        now = clock.now()
        with open_gateway(server_id=self.server.pk) as gateway:
            deals = list(
                gateway.deals(
                    from_time=now - timedelta(days=3), to_time=now + timedelta(days=1), logins=[self.account.login]
                )
            )
        ingest_records(
            server_id=self.server.pk,
            source="sync",
            records=[record_of(deal, self.account) for deal in deals],
            as_of=clock.now(),
        )


def record_of(deal: GatewayDeal, account: TradingAccount) -> IngestRecord:
    """A deal as the ingest takes it."""
    return IngestRecord(
        ticket=deal.ticket, leg=deal.leg, login=account.login, currency=account.currency, kind=int(deal.kind),
        entry=None if deal.entry is None else int(deal.entry), at=deal.at, position_ticket=deal.position_ticket,
        order_ticket=deal.order_ticket, symbol=deal.symbol, volume_lots=deal.volume_lots, price=deal.price,
        profit=deal.profit, swap=deal.swap, commission=deal.commission, fee=deal.fee, comment=deal.comment,
    )  # fmt: skip


def make_ground(live: RunningServer, *, host: str = "", port: int = 0) -> Ground:
    """The rows; the connection leads to *port* where that is a proxy's."""
    entity = make_entity()
    server = make_server(entity, platform="mt5")
    save_connection(
        server_id=server.pk,
        terms=ConnectionTerms(
            kind="mt5_web", host=host or live.host, port=port or live.port, login=str(live.login), password=live.password,
            options={"answer_seconds": 3},
        ),
        actor=SYSTEM,
    )  # fmt: skip
    account_type = AccountType.objects.create(
        entity=entity, code="standard", name="Standard", leverage_choices=[30, 100, 500],
        leverage_by_class={"retail": 100}, is_offered=True,
    )  # fmt: skip
    group = AccountGroup.objects.create(server=server, name=HEDGING_GROUP, account_type=account_type, currency="USD")
    for name, currency, is_demo in ((NETTING_GROUP, "USD", False), (EURO_GROUP, "EUR", False)):
        AccountGroup.objects.create(
            server=server, name=name, account_type=account_type, currency=currency, is_demo=is_demo
        )
    offer = AccountOffer.objects.create(
        account_type=account_type, currency="USD", live_group=group, minimum_deposit=Decimal(100)
    )
    user = make_user(f"trader{next(_keys)}@client.example", Role.TRADER.value)
    client = make_client(make_brand(entity), user=user, stage="verified")
    account = TradingAccount.objects.create(
        server=server, login=str(HEDGING_LOGIN), client=client, group=group, account_type=account_type, currency="USD",
        leverage=100,
    )  # fmt: skip
    # The server outlives the test's rows: logins that are chosen begin where no earlier test has been.
    TradingAccount.objects.create(
        server=server, login=str(200_000 + 1_000 * next(_keys)), currency="USD", client=client
    )
    OperationLimit.objects.create(entity=entity, currency="USD", alone_up_to=Decimal(1000), alone_per_day=Decimal(2500))
    return Ground(live, entity, server, account, client, offer, group)


def states(operation: ServerOperation) -> list[str]:
    """The steps of an operation, in order."""
    return list(operation.events.order_by("id").values_list("state", flat=True))
