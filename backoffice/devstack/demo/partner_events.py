"""What makes the demo's data centre alive: campaigns of accounts, identities verified, money in and out, a chargeback."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal

from backoffice.core.actors import actor_of_user
from backoffice.core.models import User
from backoffice.core.types import Role
from backoffice.devstack.demo.seed import Seeding
from backoffice.devstack.demo.world import SEED
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from ib.models import ClientReferral
from ib.models.client_events import ClientEventKind
from ib.services import name_policies
from ib.services.client_events import ClientFact, record_client_event
from platform_ops.models import BalanceOperation
from platform_ops.services import dimensions

CAMPAIGNS = ("autumn-webinar", "video-course", "search-ads", "telegram")
EVERY_ACCOUNT_WITH_A_CAMPAIGN = 3
VERIFIED_SHARE = 0.82
SOURCE = "demo"


def write_partner_events(seeding: Seeding) -> None:
    """Comes after the history, whose deposits and withdrawals it tells again as facts about introduced clients."""
    seeding.say("campaigns, identities verified, deposits and withdrawals of introduced clients")
    source = random.Random(SEED + 7)  # noqa: S311 - a demo, not a secret
    introduced = set(ClientReferral.objects.values_list("client_id", flat=True))
    _campaigns(seeding, introduced, source)
    _payments(seeding, introduced)
    _verified(seeding, introduced, source)
    _policy(seeding)


def _campaigns(seeding: Seeding, introduced: set[int], source: random.Random) -> None:
    for client in seeding.world.clients:
        if client.number % EVERY_ACCOUNT_WITH_A_CAMPAIGN or seeding.clients[client.number] not in introduced:
            continue
        code = source.choice(CAMPAIGNS)
        for plan in client.accounts:
            dimensions.set_dimension(
                account_id=seeding.accounts[plan.platform, plan.login],
                dimension="campaign",
                value=code,
                valid_from=client.registered_at,
                actor=seeding.actor,
            )


def _payments(seeding: Seeding, introduced: set[int]) -> None:
    """The balance operations of the servers, as payments; the oldest withdrawal's client disputes a deposit as well."""
    operations = (
        BalanceOperation.objects.filter(account__client__in=introduced).select_related("account").order_by("at", "pk")
    )
    first_deposit: dict[int, BalanceOperation] = {}
    for operation in operations:
        client_id = operation.account.client_id
        if not operation.amount or client_id is None:
            continue
        kind = ClientEventKind.DEPOSIT if operation.amount > 0 else ClientEventKind.WITHDRAWAL
        _tell(
            seeding, client_id, kind, operation.at, f"payment-{operation.pk}",
            amount=abs(operation.amount), currency=operation.account.currency,
        )  # fmt: skip
        if kind is ClientEventKind.DEPOSIT:
            first_deposit.setdefault(client_id, operation)
    for client_id, operation in list(first_deposit.items())[:1]:
        digits = Currency.of(operation.account.currency).digits
        _tell(
            seeding, client_id, ClientEventKind.CHARGEBACK, operation.at + timedelta(days=9), "chargeback-1",
            amount=round(abs(operation.amount) / 4, digits), currency=operation.account.currency,
            disputed_from=operation.at,
        )  # fmt: skip


def _verified(seeding: Seeding, introduced: set[int], source: random.Random) -> None:
    for client in seeding.world.clients:
        client_id = seeding.clients[client.number]
        if client_id not in introduced or source.random() > VERIFIED_SHARE:
            continue
        at = client.registered_at + timedelta(hours=source.randrange(3, 90))
        _tell(seeding, client_id, ClientEventKind.KYC_VERIFIED, at, f"identity-{client_id}")


def _tell(
    seeding: Seeding,
    client_id: int,
    kind: ClientEventKind,
    at: datetime,
    reference: str,
    *,
    amount: Decimal | None = None,
    currency: str = "",
    disputed_from: datetime | None = None,
) -> None:
    if at >= clock.now():
        return
    fact = ClientFact(
        client_id=client_id,
        kind=kind,
        at=at,
        source=SOURCE,
        reference=reference,
        amount=amount,
        currency=currency,
        disputed_from=disputed_from,
    )
    record_client_event(fact=fact, actor=seeding.actor)


def _policy(seeding: Seeding) -> None:
    """Somebody asks for more to be masked; another person has to agree."""
    manager = User.objects.filter(roles__contains=[Role.PARTNER_MANAGER]).order_by("pk").first()
    if manager is None:
        return
    name_policies.request_name_policy(
        entity_id=seeding.entity.pk,
        display="hidden",
        valid_from=clock.today_business_day() + timedelta(days=30),
        actor=actor_of_user(manager),
        reason="Partners need numbers only; initials led to calls past us.",
    )
