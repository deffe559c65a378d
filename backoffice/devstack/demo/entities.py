"""The demo's second legal entity, with brand, staff, server, clients and books of its own, and what both entities keep:
currencies, bank accounts, terms, balances stated by banks and providers, and a manual journal that two people made.
"""

from __future__ import annotations

import dataclasses
from datetime import timedelta
from decimal import Decimal
from itertools import islice

from schwifty import IBAN

from backoffice.core.actors import actor_of_user
from backoffice.core.models import LegalEntity, User
from backoffice.core.services import changes, entities, terms, users
from backoffice.core.types import Actor, Role
from backoffice.devstack.demo.behaviour import AccountPlan
from backoffice.devstack.demo.history import record_of
from backoffice.devstack.demo.seed import Seeding, demo_secret
from backoffice.devstack.demo.world import TicketCounter
from backoffice.devstack.logins import DEMO_MAIL_DOMAIN, DEMO_PASSWORD
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, day_bounds
from crm.services import clients as crm_clients
from funding.journal_rules import JournalLine
from funding.ledger.models import LedgerAccount
from funding.ledger.selectors import ledger_balances_on
from funding.ledger.services.accounts import get_account
from funding.ledger.services.periods import booking_day
from funding.services import deposits, external_balances, manual_journals
from platform_ops.models import TradingAccount, TradingServer
from platform_ops.services import catalogue, dimensions
from platform_ops.services.business_day import run_business_day
from platform_ops.services.ingest import ingest_records
from platform_ops.types import DealKind

CLIENTS = 8
FIRST_LOGIN, FIRST_TICKET = 6_600_001, 91_000_001
SECOND_STAFF = f"international@{DEMO_MAIL_DOMAIN}"
RISK_DISCLOSURE = (
    "Contracts for difference are complex instruments and come with a high risk of losing money rapidly due to leverage. "
    "You should consider whether you understand how they work and whether you can afford to lose your money."
)


def write_entities(seeding: Seeding) -> None:
    """Everything above; comes after the history of the first entity."""
    seeding.say("the second legal entity, and the balances of both")
    international = _second_entity(seeding)
    _trade(seeding, international)
    for entity in (seeding.entity, international):
        _keeps(seeding, entity)
    _limit_currencies(seeding)
    _journal(seeding)


def _second_entity(seeding: Seeding) -> LegalEntity:
    actor = seeding.actor
    entity = entities.register_entity(
        code="northgate-intl",
        name="Northgate International Ltd",
        country="SC",
        base_currency="USD",
        regulator="FSA Seychelles",
        licence_number="SD999 (invented)",
        currencies=["USD", "EUR"],
        actor=actor,
    )
    entities.add_brand(
        entity_id=entity.pk,
        code="northgate-global",
        name="Northgate Global",
        support_email="support@northgate-global.example",
        accent_colour="#0f766e",
        actor=actor,
    )
    person = users.create_user(
        email=SECOND_STAFF,
        full_name="Ines Duarte",
        roles=[Role.ADMINISTRATOR, Role.FINANCE],
        entity_codes=[entity.code],
        actor=actor,
        password=DEMO_PASSWORD,
    )
    users.set_up_one_time_codes(user_id=person.pk, actor=actor, secret=demo_secret(SECOND_STAFF))
    # The heads of the house look after both; everybody else sees the entity they work for.
    for head in User.objects.filter(roles__overlap=[Role.ADMINISTRATOR, Role.AUDITOR], entities=seeding.entity):
        users.change_access(
            user_id=head.pk,
            roles=head.roles,
            entity_codes=[seeding.entity.code, entity.code],
            actor=actor,
            reason="looks after both entities",
        )
    return entity


def _trade(seeding: Seeding, entity: LegalEntity) -> None:
    """A few clients with the habits of the first entity's, on a server of their own, through the last day."""
    actor, day = seeding.actor, seeding.world.last_day
    server = catalogue.register_server(
        entity_id=entity.pk,
        code="MT5-INTL",
        name="Northgate MT5 International",
        platform="mt5",
        zone="EET_US",
        actor=actor,
    )
    groups = {
        currency: catalogue.register_account_group(
            server_id=server.pk,
            name=f"global\\standard-{currency.lower()}",
            currency=currency,
            account_type_code="standard",
            account_type_name="Standard",
            actor=actor,
        ).pk
        for currency in ("USD", "EUR")
    }
    plans = [
        (client.person, plan)
        for client in seeding.world.clients
        for plan in client.accounts
        if plan.platform == "mt5" and plan.currency in groups
    ]
    world = dataclasses.replace(seeding.world, tickets={"mt5": TicketCounter(FIRST_TICKET)})
    records, money = [], []
    for number, (person, plan) in enumerate(islice(plans, CLIENTS)):
        plan = dataclasses.replace(plan, login=str(FIRST_LOGIN + number), seed=plan.seed + 1)
        name = f"{person.full_name.split()[0]} {chr(65 + number)}. Global"
        account = _open(
            seeding, entity, server=server, group_id=groups[plan.currency], plan=plan, name=name, number=number
        )
        for deal in world.history_of(plan):
            records.append(record_of(deal, account.pk, deal.symbol))
            if deal.kind == DealKind.BALANCE and deal.entry is None:
                money.append((account.pk, plan.currency, deal))
    for account_id, currency, deal in money:
        pay = deposits.receive_deposit if deal.profit > 0 else deposits.pay_withdrawal
        pay(
            account_id=account_id,
            amount=abs(deal.profit),
            currency=currency,
            method="psp",
            reference=f"{deal.comment} {deal.ticket}",
            business_day=business_day_of(deal.at),
            idempotency_key=f"demo:intl:{deal.ticket}",
            actor=actor,
        )
    ingest_records(server_id=server.pk, source="demo:MT5-INTL", records=records, as_of=day_bounds(day)[1])
    run_business_day(server_id=server.pk, day=day, actor=Actor.system("business_day"))


def _open(
    seeding: Seeding,
    entity: LegalEntity,
    *,
    server: TradingServer,
    group_id: int,
    plan: AccountPlan,
    name: str,
    number: int,
) -> TradingAccount:
    """A client of the entity with one account, in the B-book."""
    client = crm_clients.register_client(
        entity_id=entity.pk,
        brand_id=entity.brands.get().pk,
        full_name=name,
        email=f"client{number + 1}@northgate-global.example",
        country="SC",
        language="en",
        registered_at=plan.active_from - timedelta(days=1),
        stage="active",
        actor=seeding.actor,
    )
    account = catalogue.open_account(
        server_id=server.pk,
        login=plan.login,
        client_id=client.pk,
        group_id=group_id,
        name=name,
        leverage=500,
        opened_at=plan.active_from - timedelta(hours=1),
        actor=seeding.actor,
    )
    dimensions.set_dimension(
        account_id=account.pk, dimension="book", value="B", valid_from=account.opened_at, actor=seeding.actor
    )
    return account


def _keeps(seeding: Seeding, entity: LegalEntity) -> None:
    """Terms, bank accounts, and what banks and providers stated for the last day: one of them is not the ledger's."""
    actor, day = seeding.actor, seeding.world.last_day
    draft = terms.draft_terms(
        entity_id=entity.pk, kind="risk_disclosure", title="Risk disclosure", body=RISK_DISCLOSURE, actor=actor
    )
    terms.publish_terms(terms_id=draft.pk, valid_from=clock.now().date(), actor=actor, reason="first version")
    main = LedgerAccount.objects.filter(entity=entity, kind__in=["bank", "psp"], owner_type="").order_by(
        "kind", "currency"
    )
    balances = ledger_balances_on(account_ids=[account.pk for account in main], day=day)
    for number, ledger in enumerate(main):
        bank = None
        if ledger.kind == "bank":
            bank = entities.add_bank_account(
                entity_id=entity.pk,
                name=f"Client money {ledger.currency}",
                purpose="client_money",
                currency=ledger.currency,
                bank_name="Commerzbank",
                account_number=str(
                    IBAN.generate("DE", bank_code="37040044", account_code=f"{53201000 + entity.pk * 10 + number:010}")
                ),
                actor=actor,
                reason="opened for clients",
            ).pk
        external = external_balances.open_external_account(
            entity_id=entity.pk,
            kind=ledger.kind,
            name=f"{'House bank' if bank else 'Card provider'} {ledger.currency}",
            currency=ledger.currency,
            watched_from=day,
            bank_account_id=bank,
            is_main=True,
            actor=actor,
        )
        fee = Decimal("12") if number == 0 else Decimal(0)
        statement = external_balances.enter_balance(
            account_id=external.pk, business_day=day, amount=balances[ledger.pk] - fee, note="statement", actor=actor
        )
        if not fee:
            external_balances.reconcile_balance(statement_id=statement.pk, actor=actor)


def _limit_currencies(seeding: Seeding) -> None:
    kept = set(LedgerAccount.objects.filter(entity=seeding.entity).values_list("currency", flat=True))
    entities.set_currencies(
        entity_id=seeding.entity.pk,
        currencies=sorted({*kept, seeding.entity.base_currency, "USD", "GBP", "JPY"}),
        actor=seeding.actor,
        reason="what the licence covers",
    )


def _journal(seeding: Seeding) -> None:
    """A bank charge: one journal that is booked, and one that waits for its second pair of eyes."""
    entity = seeding.entity
    maker = actor_of_user(User.objects.filter(roles__contains=[Role.FINANCE], entities=entity).order_by("pk")[0])
    checker = actor_of_user(
        User.objects.filter(roles__contains=[Role.ADMINISTRATOR], entities=entity).order_by("pk")[0]
    )
    day = booking_day(entity_id=entity.pk, business_day=seeding.world.last_day)
    if day > clock.today_business_day():
        return
    bank = get_account(entity_id=entity.pk, kind="bank", currency="EUR")
    charges = get_account(entity_id=entity.pk, kind="bank_charges", currency="EUR")
    for key, amount, description in (("1", "12.00", "Account fee"), ("2", "84.50", "Transfer fees")):
        change = manual_journals.propose_journal(
            entity_id=entity.pk,
            business_day=day,
            description=description,
            reason="statement of the bank",
            lines=[
                JournalLine(charges.pk, "D", Decimal(amount), "EUR"),
                JournalLine(bank.pk, "C", Decimal(amount), "EUR"),
            ],
            actor=maker,
            idempotency_key=f"demo:journal:{key}",
        )
        if key == "1":
            changes.approve_change(change_id=change.pk, actor=checker, reason="seen on the statement")
            changes.apply_change(change_id=change.pk, actor=checker)
