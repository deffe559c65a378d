"""The tables of a whole broker: which are taken along, which are evidence, which stay behind and why.

Everything that the project's apps keep is taken along unless this module says otherwise, so a table that a desk adds is not
forgotten. Numbers (primary keys) stay what they are: keys, references and digests are built on them. See ADR 17.
"""

# ruff: noqa: S608 -- the SQL is built from the models' own names
from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import models

from backoffice.core.fields import TransactionIdField
from backoffice.core.history import RowVersion
from backoffice.core.models import LegalEntity, User

LEFT_BEHIND: dict[str, str] = {
    "core.ApiKey": "secret; keys are made anew",
    "core.ApiKey_entities": "belongs to API keys",
    "core.WebhookEndpoint": "secret; endpoints are set up anew",
    "core.WebhookDelivery": "belongs to webhook endpoints",
    "core.PublicEvent": "the stream of events begins anew at the receiving side",
    "core.OutboxEvent": "machinery; what was under way is found again by the next business day",
    "core.Job": "machinery",
    "core.JobRun": "machinery",
    "core.ProcessHeartbeat": "machinery",
    "core.IdempotencyRecord": "answers to requests of days; the ledger keeps its own keys",
    "core.UserSession": "sessions end with the installation",
    "core.WorkDelivery": "machinery",
    "core.User_groups": "not used",
    "core.User_user_permissions": "not used",
    "ledger.AccountBalance": "follows from postings and holds",
    "platform_ops.ServerConnection": "secret; connections are set up anew",
    "platform_ops.ServerSync": "machinery; followed anew from the connection's start",
    "platform_ops.DropCopySession": "machinery; its numbers are agreed on anew with the provider",
    "platform_ops.DropCopyMessage": "a log that is removed after its time; what executions rest on is kept",
    "platform_ops.SymbolPriceState": "machinery; prices begin anew with the first tick",
    "platform_ops.PriceFeed": "machinery; prices begin anew with the first tick",
    "platform_ops.TickBatch": "machinery; the mark of what a feed delivered already",
    "platform_ops.BufferedTick": "ticks stay where they were stored",
    "platform_ops.TickFile": "ticks stay where they were stored",
    "ib.ConfigChange": "marks of changes that the next compilation reads",
    "ib.PeriodMark": "marks of changes that the next settlement of periods reads",
    "ib.TradePeriodMark": "marks of changes that the next settlement of trades by the period reads",
    "ib.AccountClassSpan": "compiled anew with the rate card",
    "ib.LinkVisitor": "digests of a day's browsers, removed after days",
    "ib.WhatIfStudy": "asked for anew where it is needed",
    "ib.WhatIfRow": "belongs to studies",
    "ib.WhatIfMonth": "belongs to studies",
    "risk.ExposureRun": "calculated anew",
    "risk.ExposureRow": "calculated anew",
}
EVIDENCE = frozenset({"core.AuditRecord", "core.AuditSeal"})
"""Written into the export to be read, and not loaded: seals and row versions name transactions of the old server."""

CONSTANTS: dict[tuple[str, str], str] = {("core_user", "password"): "'!' || gen_random_uuid()"}
"""Columns that never leave the house, and what stands in them on the receiving side."""
DROPPED_COLUMNS = frozenset({("core_user", "last_login")})
"""Columns that are left empty on the receiving side."""

FIRST = ("core_legalentity", "core_brand", "core_user")
LEDGER = ("ledger_ledgeraccount", "ledger_journalentry", "ledger_posting", "ledger_hold", "ledger_closedday")
"""Loaded in this order with their triggers at work: balances are made by them, not copied."""

PRIVATE_FILES = "private_files"
FILE_PATHS = ("stored_path", "path", "storage_path")
"""Columns that name a file of the private storage."""

_SHARED = frozenset(
    {
        "platform_ops.SymbolGroup",
        "platform_ops.Symbol",
        "platform_ops.SymbolSpec",
        "platform_ops.MarketCalendar",
        "platform_ops.MarketCalendar_groups",
        "platform_ops.MarketCalendar_symbols",
        "platform_ops.Holiday",
        "platform_ops.SpecificationImport",
        "platform_ops.Quote",
        "platform_ops.DailyPrice",
        "platform_ops.FxReferenceRate",
        "platform_ops.DividendEvent",
        "platform_ops.PriceSource",
        "platform_ops.PriceFilterSetting",
        "platform_ops.RejectionEpisode",
        "platform_ops.RejectedTick",
        "platform_ops.PriceBar",
        "reports.SigningKey",
        "ib.RateCardVersion",
        "ib.AccountClass",
    }
)
"""Belong to no legal entity: an export of one entity holds them whole."""

_PARTNERS = "SELECT id FROM ib_partner WHERE entity_id = %(entity)s"
_GROUPS = (
    "SELECT account_group.id FROM platform_ops_accountgroup account_group"
    " JOIN platform_ops_tradingserver server ON server.id = account_group.server_id WHERE server.entity_id = %(entity)s"
)
_SCOPES: dict[str, str] = {
    "core.LegalEntity": "id = %(entity)s",
    "core.User": "id IN (SELECT user_id FROM core_user_entities WHERE legalentity_id = %(entity)s"
    " UNION SELECT user_id FROM crm_client WHERE entity_id = %(entity)s AND user_id IS NOT NULL"
    " UNION SELECT user_id FROM ib_partner WHERE entity_id = %(entity)s AND user_id IS NOT NULL)",
    "ib.CommissionLine": f"partner_id IN ({_PARTNERS})",
    "ib.RateCardEntry": f"beneficiary_id IN ({_PARTNERS})",
    "ib.SettlementBatch": "%(entity)s = ANY (entity_ids) OR ingest_batch_id IN (SELECT batch.id"
    " FROM platform_ops_ingestbatch batch JOIN platform_ops_tradingserver server ON server.id = batch.server_id"
    " WHERE server.entity_id = %(entity)s)",
    "platform_ops.FxReferenceRate": "TRUE",
    "platform_ops.SwapRate": f"group_id IS NULL OR group_id IN ({_GROUPS})",
    "platform_ops.SwapFreePolicy": f"group_id IN ({_GROUPS}) OR account_type_id IN (SELECT id FROM platform_ops_accounttype"
    " WHERE entity_id = %(entity)s) OR account_id IN (SELECT account.id FROM platform_ops_tradingaccount account"
    " JOIN platform_ops_tradingserver server ON server.id = account.server_id WHERE server.entity_id = %(entity)s)",
    # A provider's sheet and its change request concern the whole broker; the rates that came of it are taken along.
    "platform_ops.SwapSheet": "FALSE",
    "platform_ops.SwapSheetRow": "FALSE",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the export."""

    model: type[models.Model]
    name: str
    columns: tuple[str, ...]
    """In the order of the file."""
    expressions: dict[str, str] = field(default_factory=dict)
    """What is written for a column instead of its value."""
    translated: dict[str, str] = field(default_factory=dict)
    """What is stored for a column that the file names in words; `{}` stands for the words."""
    constants: dict[str, str] = field(default_factory=dict)
    is_evidence: bool = False
    has_totals: bool = False

    @property
    def label(self) -> str:
        """The model's label."""
        return self.model._meta.label

    @property
    def order(self) -> str:
        """The columns that put its rows in one order, whatever the server's collation."""
        keys = [key for key in self.model._meta.pk_fields if key.column]
        texts = (models.CharField, models.TextField)
        return ", ".join(f'"{key.column}" COLLATE "C"' if isinstance(key, texts) else f'"{key.column}"' for key in keys)


@cache
def tables() -> tuple[Table, ...]:
    """Every table of the export: first what the others stand on, the ledger last."""
    found = [_table(model) for model in _models()]
    rank = {name: place for place, name in enumerate(FIRST)}
    after = {name: place for place, name in enumerate(LEDGER)}
    return tuple(
        sorted(
            found,
            key=lambda table: (
                table.is_evidence,
                table.name in after,
                after.get(table.name, 0),
                rank.get(table.name, len(rank)),
                table.name,
            ),
        )
    )


def loaded_tables() -> tuple[Table, ...]:
    """The tables that a rebuilt broker is filled from."""
    return tuple(table for table in tables() if not table.is_evidence)


def project_apps() -> frozenset[str]:
    """Labels of the apps that are the project's own."""
    root = str(settings.BASE_DIR)
    return frozenset(
        config.label
        for config in apps.get_app_configs()
        if config.path.startswith(root) and "site-packages" not in config.path
    )


def _models() -> list[type[models.Model]]:
    ours = project_apps()
    return [
        model
        for model in apps.get_models(include_auto_created=True)
        if model._meta.app_label in ours
        and model._meta.managed
        and not model._meta.proxy
        and model._meta.label not in LEFT_BEHIND
    ]


def _table(model: type[models.Model]) -> Table:
    name = model._meta.db_table
    is_evidence = model._meta.label in EVIDENCE or issubclass(model, RowVersion)
    columns, expressions, translated = [], {}, {}
    for part in model._meta.concrete_fields:
        column = part.column
        if not column or getattr(part, "generated", False) or (name, column) in DROPPED_COLUMNS:
            continue
        if (name, column) in CONSTANTS or (isinstance(part, TransactionIdField) and not is_evidence):
            continue
        columns.append(column)
        target = part.related_model if isinstance(part, (models.ForeignKey, models.OneToOneField)) else None
        if target is Permission:
            expressions[column] = _PERMISSION_NAME.format(column=column)
            translated[column] = _PERMISSION_ID
        elif target is ContentType:
            expressions[column] = _CONTENT_TYPE_NAME.format(column=column)
            translated[column] = _CONTENT_TYPE_ID
        elif isinstance(target, type) and issubclass(target, models.Model) and _stays(target) and part.null:
            expressions[column] = f'NULL::{_type_of(part)} AS "{column}"'
    return Table(
        model=model,
        name=name,
        columns=tuple(columns),
        expressions=expressions,
        translated=translated,
        constants={column: text for (table, column), text in CONSTANTS.items() if table == name},
        is_evidence=is_evidence,
        has_totals={"amount", "currency"} <= set(columns) and not is_evidence,
    )


def _type_of(part: models.Field) -> str:  # type: ignore[type-arg]
    target = part.target_field if isinstance(part, models.ForeignKey) else part
    return "uuid" if isinstance(target, models.UUIDField) else "bigint"


def _stays(model: type[models.Model]) -> bool:
    return (
        model._meta.label in LEFT_BEHIND
        or model._meta.label in EVIDENCE
        or (model._meta.app_label not in project_apps())
    )


_PERMISSION_NAME = (
    "(SELECT type.app_label || '.' || granted.codename FROM auth_permission granted JOIN django_content_type type"
    ' ON type.id = granted.content_type_id WHERE granted.id = "{column}") AS "{column}"'
)
_PERMISSION_ID = (
    "(SELECT granted.id FROM auth_permission granted JOIN django_content_type type ON type.id = granted.content_type_id"
    " WHERE type.app_label || '.' || granted.codename = {})"
)
_CONTENT_TYPE_NAME = (
    "(SELECT type.app_label || '.' || type.model FROM django_content_type type"
    ' WHERE type.id = "{column}") AS "{column}"'
)
_CONTENT_TYPE_ID = "(SELECT type.id FROM django_content_type type WHERE type.app_label || '.' || type.model = {})"


def scope_of(model: type[models.Model]) -> str | None:
    """The condition (with `entity`) that keeps the rows of one legal entity; None if no way leads there."""
    return _scope(model, frozenset())


def _scope(model: type[models.Model], seen: frozenset[str]) -> str | None:
    label = model._meta.label
    if label in _SHARED:
        return "TRUE"
    if label in _SCOPES:
        return _SCOPES[label]
    if label in seen or len(seen) > 6:
        return None
    links = [
        part
        for part in model._meta.concrete_fields
        if isinstance(part, models.ForeignKey) and part.related_model != model
    ]
    for part in links:
        if part.related_model is LegalEntity:
            return f'"{part.column}" = %(entity)s'
    for part in sorted(links, key=lambda link: (link.related_model is User, link.null)):
        target = part.related_model
        if not isinstance(target, type) or target._meta.label in _SHARED or _stays(target):
            continue
        condition = _scope(target, seen | {label})
        if condition is not None and condition != "TRUE":
            # Conditions name their columns without a table, so each level is a query of its own.
            key = target._meta.pk.column
            return f'"{part.column}" IN (SELECT "{key}" FROM {target._meta.db_table} WHERE {condition})'
    return None
