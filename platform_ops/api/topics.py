"""What other systems hear of this desk."""

from __future__ import annotations

from typing import Any

from backoffice.core.webhooks.topics import (
    ID,
    ID_OR_NULL,
    NUMBER,
    TEXT,
    TEXT_OR_NULL,
    object_schema,
    register_public_topic,
)
from platform_ops.events import ACCOUNT_ASSIGNED, STATEMENT_REFUSED, TRADES_CHANGED
from platform_ops.models import IngestBatch, StatementImport, TradingAccount
from platform_ops.permissions import VIEW_PLATFORM


def describe_trades(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Which batch changed how much on which server."""
    batch = IngestBatch.objects.select_related("server").filter(pk=payload["batch_id"]).first()
    if batch is None:
        return None
    return {
        "entity": batch.server.entity_id,
        "batch": batch.pk,
        "server": batch.server.code,
        "source": batch.source,
        "new_deals": batch.new_deals,
        "corrected_deals": batch.corrected_deals,
        "changed_trades": batch.changed_trades,
        "changed_positions": batch.changed_positions,
        "changed_operations": batch.changed_operations,
    }


def describe_refusal(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Which file was refused, and where and why."""
    refused = StatementImport.objects.select_related("server").filter(pk=payload["import_id"]).first()
    if refused is None:
        return None
    row = refused.error.get("row")
    return {
        "entity": refused.server.entity_id,
        "import": str(refused.public_id),
        "server": refused.server.code,
        "file_name": refused.file_name,
        "sha256": refused.sha256,
        "code": str(refused.error.get("code", "")),
        "message": str(refused.error.get("message", "")),
        "row": None if row is None else str(row),
        "field": refused.error.get("field"),
    }


def describe_assignment(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Whose account it now is."""
    account = TradingAccount.objects.select_related("server", "client").filter(pk=payload["account_id"]).first()
    if account is None:
        return None
    client = account.client
    return {
        "entity": account.server.entity_id,
        "account": str(account.public_id),
        "server": account.server.code,
        "login": account.login,
        "client": str(client.public_id) if client is not None else None,
    }


def register() -> None:
    """Opens the desk's topics."""
    register_public_topic(
        TRADES_CHANGED,
        1,
        describe_trades,
        object_schema(
            batch=NUMBER,
            server=TEXT,
            source=TEXT,
            new_deals=NUMBER,
            corrected_deals=NUMBER,
            changed_trades=NUMBER,
            changed_positions=NUMBER,
            changed_operations=NUMBER,
        ),
        title="Trades changed",
        capability=VIEW_PLATFORM,
    )
    register_public_topic(
        STATEMENT_REFUSED,
        1,
        describe_refusal,
        object_schema(
            file_name=TEXT,
            sha256=TEXT,
            code=TEXT,
            message=TEXT,
            row=TEXT_OR_NULL,
            field=TEXT_OR_NULL,
            server=TEXT,
            **{"import": ID},
        ),
        title="Statement refused",
        capability=VIEW_PLATFORM,
    )
    register_public_topic(
        ACCOUNT_ASSIGNED,
        1,
        describe_assignment,
        object_schema(account=ID, server=TEXT, login=TEXT, client=ID_OR_NULL),
        title="Account assigned",
        capability=VIEW_PLATFORM,
    )
