"""Two brokers in one database, made by the same steps under different names, and what of the second must stay unseen.

The steps use the product's own use cases where these make rows of many tables, and fill every scoped table that is still
empty with a plain row: a table that somebody adds later is thereby in the test without being named here.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.fields.ranges import RangeField
from django.db import Error, connection, models, transaction
from django.db.backends.postgresql.psycopg_any import DateRange, DateTimeTZRange

from backoffice.core.access import scoped_models
from backoffice.core.models import LegalEntity, Team, TeamMembership, User
from backoffice.core.services import audit, entities, terms
from backoffice.core.services.users import create_user
from backoffice.core.types import STAFF_ROLES, Role
from crm.services.clients import register_client
from funding.ledger.services.accounts import get_account
from funding.ledger.services.holds import place_hold
from funding.ledger.services.periods import close_day, reopen_days
from funding.services import external_balances, manual_journals
from funding.services.revaluation import revalue_books
from funding.services.trading_results import post_trading_results
from platform_ops.services.rates import continue_reference_rates
from platform_ops.types import DealKind
from tests.factories import ib, periods
from tests.factories import platform as factories
from tests.factories.platform import MONDAY, SYSTEM
from tests.funding.finance_world import approve
from tests.funding.ledger_help import post
from tests.logins import make_actor, make_user

PROJECT_APPS = frozenset(
    {"core", "crm", "platform_ops", "funding", "ledger", "ib", "risk", "marketing", "reports", "migration", "desk"}
)
# Shorter texts are words of the product and of the catalogue, which both brokers share.
SHORTEST_SECRET = 6
# Tables that belong to no legal entity: the market's, and the machinery's, which hold ids and never names.
SHARED = {
    "core.AuditSeal",
    "core.Job",
    "core.JobRun",
    "core.OutboxEvent",
    "core.ProcessHeartbeat",
    "platform_ops.DailyPrice",
    "platform_ops.FxReferenceRate",
    "platform_ops.Quote",
    "platform_ops.Symbol",
    "platform_ops.SymbolGroup",
    "platform_ops.SymbolSpec",
    "platform_ops.MarketCalendar",
    "platform_ops.MarketCalendar_groups",
    "platform_ops.MarketCalendar_symbols",
    "platform_ops.Holiday",
    "platform_ops.SpecificationImport",
    "platform_ops.DividendEvent",
    "platform_ops.PriceSource",
    "platform_ops.PriceFilterSetting",
    "platform_ops.SymbolPriceState",
    "platform_ops.PriceFeed",
    "platform_ops.TickBatch",
    "platform_ops.BufferedTick",
    "platform_ops.TickFile",
    "platform_ops.RejectionEpisode",
    "platform_ops.RejectedTick",
    "platform_ops.PriceBar",
    "ib.RateCardVersion",
}

_serial = itertools.count(900_001)


@dataclass
class Broker:
    """One of the two."""

    code: str
    entity: LegalEntity
    currency: str
    staff: User
    trader: User
    partner_login: User
    rows: dict[type[models.Model], list[Any]] = field(default_factory=dict)
    refusals: dict[str, str] = field(default_factory=dict)


def own_models() -> list[type[models.Model]]:
    """Every table of the product, the versions of rows included."""
    return [model for model in apps.get_models() if model._meta.app_label in PROJECT_APPS and model._meta.managed]


def keys_of_all_rows() -> dict[type[models.Model], set[Any]]:
    """Which rows stand now."""
    return {model: set(model._default_manager.values_list("pk", flat=True)) for model in own_models()}


def _new_rows(model: type[models.Model], before: dict[type[models.Model], set[Any]]) -> models.QuerySet[Any]:
    """Rows that were not there then."""
    keys = list(before.get(model, ()))
    return model._default_manager.exclude(pk__in=keys) if keys else model._default_manager.all()


def make_broker(code: str, *, currency: str, rate: str) -> Broker:
    """A broker whose every name holds *code*, who keeps money in *currency* and in euro."""
    before = keys_of_all_rows()
    continue_reference_rates(
        per_euro={day: {currency: Decimal(rate)} for day in (MONDAY, date(2026, 3, 3))},
        source="House fixing",
        actor=SYSTEM,
    )
    entity = LegalEntity.objects.create(
        code=code,
        name=f"{code.title()} Markets Ltd",
        country="CY",
        regulator=f"{code} authority",
        licence_number=f"{code}-licence",
        base_currency="EUR",
        currencies=["EUR", currency],
    )
    broker = Broker(code, entity, currency, *_people(code, entity))
    _trade(broker)
    _keep_books(broker)
    _finance(broker)
    for label in sorted(set(scoped_models()) - {label.lower() for label in SHARED}):
        _fill_if_empty(apps.get_model(label), broker, before)
    broker.rows = {
        model: rows
        for model in own_models()
        if model._meta.label not in SHARED and (rows := list(_new_rows(model, before)))
    }
    return broker


def secrets_of(hidden: Broker, seen: Broker) -> set[str]:
    """What tells of the hidden broker: texts that only its rows hold, and the addresses of its rows on the desk."""
    return _texts(hidden) - _texts(seen) | {
        f"/{model._meta.app_label}/{model._meta.model_name}/{row.pk}/"
        for model, rows in hidden.rows.items()
        for row in rows
        if not isinstance(row.pk, int) or row.pk > 0
    } - {
        f"/{model._meta.app_label}/{model._meta.model_name}/{row.pk}/"
        for model, rows in seen.rows.items()
        for row in rows
    }


def _texts(broker: Broker) -> set[str]:
    found = set()
    for model, rows in broker.rows.items():
        names = [f.attname for f in model._meta.concrete_fields if isinstance(f, models.CharField | models.UUIDField)]
        texts = [f.attname for f in model._meta.concrete_fields if isinstance(f, models.TextField)]
        for row in rows:
            for name in (*names, *texts):
                value = row.__dict__.get(name)
                if isinstance(value, UUID | str) and SHORTEST_SECRET <= len(str(value)) <= 200:
                    found.add(str(value))
    return found


def _people(code: str, entity: LegalEntity) -> tuple[User, User, User]:
    everybody = make_user(f"boss@{code}.test", *sorted(STAFF_ROLES), entities=(entity,))
    everybody.full_name = f"{code} boss"
    everybody.save()
    trader = make_user(f"trader@{code}.test", Role.TRADER)
    partner = make_user(f"partner@{code}.test", Role.IB)
    create_user(
        email=f"sales@{code}.test",
        full_name=f"{code} sales",
        roles=[Role.SALES],
        entity_codes=[code],
        actor=SYSTEM,
        password=f"{code} correct horse",
    )
    team = Team.objects.create(entity=entity, name=f"{code} team")
    TeamMembership.objects.create(team=team, user=everybody)
    return everybody, trader, partner


def _trade(broker: Broker) -> None:
    code, entity = broker.code, broker.entity
    brand = entities.add_brand(
        entity_id=entity.pk, code=f"{code}-brand", name=f"{code} brand", support_email=f"help@{code}.test", actor=SYSTEM
    )
    client = register_client(
        entity_id=entity.pk,
        brand_id=brand.pk,
        full_name=f"{code} client",
        email=f"client@{code}.test",
        country="CY",
        language="en",
        owner_id=broker.staff.pk,
        user_id=broker.trader.pk,
        actor=SYSTEM,
    )
    server = factories.make_server(entity, code=f"{code}-mt5", name=f"{code} server")
    account = factories.make_account(
        server, currency=broker.currency, login=str(next(_serial)), client=client, name=f"{code} account"
    )
    factories.put_in_book(account, "A")
    symbol = factories.make_server_symbol(server, f"EURUSD.{code}", factories.make_symbol("EURUSD"))
    factories.make_trade(account, profit="7654321.09", server_symbol=symbol)
    factories.make_operation(account, amount="8765432.10", kind=DealKind.BALANCE, comment=f"{code} comment")
    post_trading_results(business_day=MONDAY, server_id=server.pk, actor=SYSTEM)
    master = ib.make_partner(brand, currency=broker.currency, name=f"{code} master", user_id=broker.partner_login.pk)
    child = ib.make_partner(
        brand, currency=broker.currency, name=f"{code} child", email=f"child@{code}.test", parent=master
    )
    plan = ib.make_plan(entity, (None, 1, "6", "EUR"), code=f"{code}-plan")
    ib.sign(child, plan)
    ib.refer(client, child)
    by_period = periods.make_period_plan(
        brand,
        periods.rule("net_revenue_share", "10"),
        periods.rule("cpa", "25", currency=broker.currency, component="reward"),
        carry_over="plan",
    )
    ib.sign(master, by_period)
    for kind, amount in (("deposit", "6543219.01"), ("bonus", "5432198.07"), ("chargeback", "6543219.01")):
        periods.tell(
            client, kind, amount, at=factories.noon(MONDAY), currency=broker.currency, reference=f"{code}-{kind}"
        )
    periods.settle()


def _keep_books(broker: Broker) -> None:
    code, entity, currency = broker.code, broker.entity, broker.currency
    bank = get_account(entity_id=entity.pk, kind="bank", currency=currency, name=f"{code} bank")
    capital = get_account(entity_id=entity.pk, kind="capital", currency=currency, name=f"{code} funds")
    get_account(entity_id=entity.pk, kind="bank_charges", currency=currency, name=f"{code} charges")
    wallet = get_account(
        entity_id=entity.pk,
        kind="client_wallet",
        currency=currency,
        owner_type="client",
        owner_id=1,
        name=f"{code} wallet",
    )
    post(
        entity,
        (bank, "D", "1000"),
        (capital, "C", "900"),
        (wallet, "C", "100"),
        description=f"{code} booking",
        idempotency_key=f"{code}:first",
    )
    place_hold(account_id=wallet.pk, amount=Decimal(5), reason=f"{code} hold", idempotency_key=f"{code}:hold")


def _finance(broker: Broker) -> None:
    code, entity, currency = broker.code, broker.entity, broker.currency
    account = entities.add_bank_account(
        entity_id=entity.pk,
        name=f"{code} house bank",
        purpose="own_money",
        currency=currency,
        bank_name=f"{code} savings bank",
        account_number=f"{next(_serial)}00",
        is_iban=False,
        actor=SYSTEM,
        reason=f"{code} reason",
    )
    draft = terms.draft_terms(
        entity_id=entity.pk, kind="privacy", title=f"{code} privacy", body=f"{code} text", actor=SYSTEM
    )
    terms.publish_terms(terms_id=draft.pk, valid_from=date(2099, 1, 1), actor=SYSTEM, reason=f"{code} law")
    revalue_books(entity_id=entity.pk, business_day=date(2026, 3, 3), actor=SYSTEM)
    external = external_balances.open_external_account(
        entity_id=entity.pk,
        kind="bank",
        name=f"{code} outside",
        currency=currency,
        watched_from=MONDAY,
        bank_account_id=account.pk,
        is_main=True,
        actor=SYSTEM,
    )
    statement = external_balances.enter_balance(
        account_id=external.pk, business_day=MONDAY, amount=Decimal("1001"), note=f"{code} note", actor=SYSTEM
    )
    external_balances.explain_difference(
        statement_id=statement.pk, amount=Decimal(1), description=f"{code} interest", actor=SYSTEM
    )
    external_balances.reconcile_balance(statement_id=statement.pk, actor=SYSTEM, note=f"{code} settled")
    external_balances.enter_balance(
        account_id=external.pk, business_day=date(2026, 3, 3), amount=Decimal("1777"), actor=SYSTEM
    )
    maker = make_actor(broker.staff)
    checker = make_actor(make_user(f"second@{code}.test", Role.FINANCE, entities=(entity,)))
    ledger = {name: get_account(entity_id=entity.pk, kind=name, currency=currency) for name in ("bank", "bank_charges")}
    change = manual_journals.propose_journal(
        entity_id=entity.pk,
        business_day=MONDAY,
        description=f"{code} charges of March",
        reason=f"{code} invoice",
        lines=[
            manual_journals.JournalLine(ledger["bank_charges"].pk, "D", Decimal("12.34"), currency),
            manual_journals.JournalLine(ledger["bank"].pk, "C", Decimal("12.34"), currency),
        ],
        actor=maker,
        idempotency_key=f"{code}:journal",
    )
    approve(change, checker)
    close_day(entity_id=entity.pk, business_day=MONDAY, actor=SYSTEM)
    reopen_days(
        entity_id=entity.pk,
        from_day=MONDAY,
        through_day=MONDAY,
        reason=f"{code} late invoice",
        requested_by=f"one@{code}.test",
        approved_by=f"two@{code}.test",
        actor=SYSTEM,
    )
    with transaction.atomic():
        audit.record(actor=maker, action="test.act", target=entity, reason=f"{code} audited")


# What a table's own rules ask of a row beyond the kinds of its columns.
FITTING: dict[str, dict[str, Any]] = {
    "core.WebhookEndpoint": {"topics": ["test.topic"]},
    "core.UserSession": {"session_key": lambda code: f"{code}sessionkey"},
    "core.ApiKey": {"scopes": ["funding.view_ledger"]},
    "ib.CarryBalance": dict.fromkeys(("opening", "lapsed", "set_off", "carried", "closing"), Decimal(0)),
    "ib.PeriodLine": {"period": date(2026, 3, 1)},
    "ib.RankEvaluation": {"period": date(2026, 3, 1)},
    "ib.RankCondition": {"measure": "lots", "threshold": Decimal(5), "currency": ""},
    "ib.PayoutTerms": {"review_days": 1, "hold_days": 1, "minimum_payout": Decimal(0)},
    "ib.Dispute": {"subject": "unpaid_trade", "trade_id": 1, "amount": Decimal(0), "state": "received", "decision": ""},
    "ib.GoodwillLimit": {"per_case": Decimal(1), "per_month": Decimal(1)},
    "ib.Payout": {
        "kind": "wallet",
        "state": "failed",
        "problem": "refused",
        "ended_at": datetime(2026, 3, 2, tzinfo=UTC),
    },
    "ib.PayoutMethod": {"kind": "wallet", "state": "requested"},
    "ib.PartnerLink": {"code": lambda code: f"{code}-link", "landing_path": "/"},
    "ib.ClientClaim": {"state": "standing", "claimed_by_type": "partner", "evidence": {}},
    "ib.StatementPaper": {"kind": "invoice", "digest": ""},
    "ib.WhatIfStudy": {"from_period": date(2026, 3, 1), "to_period": date(2026, 3, 1)},
    "ib.CommissionStatement": {"earned": Decimal(70), "total": Decimal(70), "from_day": MONDAY, "to_day": MONDAY},
    "platform_ops.GroupSymbolOverride": {"spread_points": 12},
    "platform_ops.OrderExecution": {"hour": 12, "volume_lots": Decimal(1), "filled_lots": Decimal(1)},
    "platform_ops.ServerOperationEvent": {"state": "requested"},
    "platform_ops.SwapTerm": {"mode": 1, "cause": "no_swap"},
    "platform_ops.ReconciliationRun": {"window_to": datetime(2026, 3, 6, tzinfo=UTC)},
    "platform_ops.ServerOperation": {"kind": "change_leverage", "reference": lambda code: f"BO-{next(_serial):012d}"},
    "platform_ops.SwapLine": {"cause": "no_swap"},
    "platform_ops.SymbolDrift": {"field": "digits"},
    "platform_ops.SyncGap": {"to_at": datetime(2026, 3, 6, tzinfo=UTC)},
}
NEEDED: dict[str, set[str]] = {
    "ib.PlanWeight": {"symbol_group"},
    "ib.TermsAcceptance": {"partner"},
    "platform_ops.AccountOffer": {"live_group"},
    "platform_ops.ServerOperation": {"account"},
    "platform_ops.SwapFreePolicy": {"account_type"},
    "platform_ops.SwapMarkupRule": {"account_group"},
    "platform_ops.SwapRate": {"group"},
    "platform_ops.SymbolNameRule": {"server"},
}
"""Relations that may be empty, but not in a row that stands for all."""

# --- filling ------------------------------------------------------------------------------------------------------------


def _fill_if_empty(model: type[models.Model], broker: Broker, before: dict[type[models.Model], set[Any]]) -> None:
    if not model._meta.managed or _new_rows(model, before).exists():
        return
    try:
        _fill(model, broker, before, depth=0)
    except (Error, ValueError, TypeError, AttributeError, LookupError) as refusal:
        broker.refusals[model._meta.label_lower] = f"{type(refusal).__name__}: {str(refusal)[:160]}"


def _fill(model: type[models.Model], broker: Broker, before: dict[type[models.Model], set[Any]], *, depth: int) -> Any:
    if model is LegalEntity:
        return broker.entity
    # What belongs to nobody is the same for both: its names tell of neither.
    rows = model._default_manager.all() if model._meta.label in SHARED else _new_rows(model, before)
    known = rows.first()
    if known is not None or depth > 3:
        return known
    values: dict[str, Any] = {}
    for column in model._meta.concrete_fields:
        if column.is_relation:
            related = column.remote_field.model
            wanted = (
                not column.null
                or related._meta.label in {"core.LegalEntity", "core.Brand"}
                or (related is User and column.name == "user")
                or column.name in NEEDED.get(model._meta.label, ())
            )
            if wanted:
                values[column.name] = (
                    broker.staff if related is User else _fill(related, broker, before, depth=depth + 1)
                )
        elif not (column.primary_key and isinstance(column, models.AutoField)) and not _has_value(column):
            values[column.name] = _value_of(column, broker.code)
    if "entity_ids" in {column.name for column in model._meta.concrete_fields}:
        values["entity_ids"] = [broker.entity.pk]
    for name, value in FITTING.get(model._meta.label, {}).items():
        values[name] = value(broker.code) if callable(value) else value
    with transaction.atomic():
        with connection.cursor() as cursor:
            # Rows that only a use case may write are written all the same: here it is who sees them that counts.
            cursor.execute("SET LOCAL session_replication_role = 'replica'")
        row = model(**values)
        row.save(force_insert=True)
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL session_replication_role = 'origin'")
    return row


def _has_value(column: models.Field[Any, Any]) -> bool:
    may_be_empty = column.null or (column.blank and isinstance(column, models.CharField | models.TextField))
    return column.has_default() or column.has_db_default() or may_be_empty or column.generated


def _value_of(column: models.Field[Any, Any], code: str) -> Any:
    if column.choices:
        return next(iter(dict(column.flatchoices)))
    if isinstance(column, models.EmailField):
        return f"{column.name}@{code}.test"
    if isinstance(column, models.CharField | models.TextField):
        length = column.max_length or 60
        return "EUR"[:length] if "currency" in column.name else f"{code}-{column.name}-{next(_serial)}"[-length:]
    if isinstance(column, models.DateTimeField):
        is_end = any(word in column.name for word in ("expire", "end", "until", "due"))
        return datetime.combine(date(2026, 3, 6) if is_end else MONDAY, time(12, 10), tzinfo=UTC)
    if isinstance(column, models.DateField):
        return MONDAY
    if isinstance(column, RangeField):
        is_days = "Date" in type(column).__name__ and "Time" not in type(column).__name__
        return DateRange(MONDAY, None) if is_days else DateTimeTZRange(datetime(2026, 3, 2, tzinfo=UTC), None)
    if isinstance(column, ArrayField):
        return []
    if isinstance(column, models.BinaryField):
        return code.encode()
    if isinstance(column, models.JSONField):
        return {}
    if isinstance(column, models.BooleanField):
        return False
    return next(_serial) % 30_000


def missing_tables(broker: Broker, exempt: Iterable[str]) -> dict[str, str]:
    """Scoped tables of which the broker has no row, so that nothing was tried there; and what refused one."""
    have = {model._meta.label_lower for model in broker.rows} | {label.lower() for label in exempt}
    wanted = {label for label in scoped_models() if apps.get_model(label)._meta.managed} - have
    return {label: broker.refusals.get(label, "no row") for label in sorted(wanted)}
