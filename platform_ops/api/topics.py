"""What other systems hear of this desk."""

from __future__ import annotations

from typing import Any

from backoffice.core.webhooks.topics import (
    AMOUNT,
    DAY,
    ID,
    ID_OR_NULL,
    NUMBER,
    TEXT,
    TEXT_OR_NULL,
    object_schema,
    register_public_topic,
)
from platform_ops.events import (
    ACCOUNT_ASSIGNED,
    OPERATION_FINISHED,
    RECONCILIATION_BREAK_OPENED,
    STATEMENT_REFUSED,
    SWAPS_COMPUTED,
    SYMBOL_DRIFT_FOUND,
    TRADES_CHANGED,
)
from platform_ops.models import (
    IngestBatch,
    ReconciliationBreak,
    ReconciliationRun,
    ServerOperation,
    StatementImport,
    SwapRun,
    SymbolDrift,
    TradingAccount,
    TradingServer,
)
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.specifications import value_in_words

AMOUNT_OR_NULL = {"anyOf": [AMOUNT, {"type": "null"}]}
NUMBER_OR_NULL = {"type": ["integer", "null"]}


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


def describe_operation(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Which operation ended, and how: done and found took effect, refused and cancelled did not."""
    operation = (
        ServerOperation.objects.select_related("server", "account", "client").filter(pk=payload["operation_id"]).first()
    )
    if operation is None:
        return None
    return {
        "entity": operation.entity_id,
        "operation": str(operation.public_id),
        "reference": operation.reference,
        "server": operation.server.code,
        "account": str(operation.account.public_id) if operation.account is not None else None,
        "login": operation.login,
        "client": str(operation.client.public_id) if operation.client is not None else None,
        "kind": operation.kind,
        "state": payload["state"],
        "amount": None if operation.amount is None else f"{operation.amount:f}",
        "currency": operation.currency or None,
        "deal_ticket": operation.deal_ticket,
        "problem": operation.problem,
    }


def describe_swaps(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Which rollover wrote how many lines; a later run of the same day wrote differences only."""
    run = SwapRun.objects.select_related("server").filter(pk=payload["run_id"]).first()
    if run is None:
        return None
    return {
        "entity": run.server.entity_id,
        "run": run.pk,
        "server": run.server.code,
        "day": run.day.isoformat(),
        "number": run.number,
        "mode": run.mode,
        "positions": run.positions,
        "lines": payload["lines"],
    }


def describe_breaks(payload: dict[str, Any]) -> dict[str, Any] | None:
    """How many differences of which kind, and the first of them. They are read with their figures on the API."""
    run = ReconciliationRun.objects.select_related("server").filter(pk=payload["run_id"]).first()
    if run is None:
        return None
    found = ReconciliationBreak.objects.filter(pk__in=payload["break_ids"]).order_by("pk")
    return {
        "entity": run.server.entity_id,
        "run": str(run.public_id),
        "server": run.server.code,
        "business_day": None if run.business_day is None else run.business_day.isoformat(),
        "kind": payload["kind"],
        "opened": payload["opened"],
        "breaks": [
            {
                "break": str(one.public_id),
                "login": one.login,
                "ticket": one.ticket,
                "amount": None if one.amount is None else f"{one.amount:f}",
                "currency": one.currency or None,
                "cause": one.cause,
            }
            for one in found
        ],
    }


def describe_drift(payload: dict[str, Any]) -> dict[str, Any] | None:
    """How many fields a server states otherwise than approved, and the first of them."""
    server = TradingServer.objects.filter(pk=payload["server_id"]).first()
    if server is None:
        return None
    found = (
        SymbolDrift.objects.select_related("server_symbol__symbol").filter(pk__in=payload["drift_ids"]).order_by("pk")
    )
    return {
        "entity": server.entity_id,
        "server": server.code,
        "found": payload["found"],
        "drifts": [
            {
                "drift": one.pk,
                "name": one.server_symbol.name,
                "symbol": one.server_symbol.symbol.code if one.server_symbol.symbol is not None else None,
                "field": one.field,
                "approved": value_in_words(one.field, one.approved),
                "stated": value_in_words(one.field, one.stated),
            }
            for one in found
        ],
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
    _register_operations()
    _register_differences()


def _register_operations() -> None:
    register_public_topic(
        OPERATION_FINISHED,
        1,
        describe_operation,
        object_schema(
            operation=ID,
            reference=TEXT,
            server=TEXT,
            account=ID_OR_NULL,
            login=TEXT,
            client=ID_OR_NULL,
            kind=TEXT,
            state=TEXT,
            amount=AMOUNT_OR_NULL,
            currency=TEXT_OR_NULL,
            deal_ticket=NUMBER_OR_NULL,
            problem=TEXT,
        ),
        title="Operation on a server finished",
        capability=VIEW_PLATFORM,
    )
    register_public_topic(
        SWAPS_COMPUTED,
        1,
        describe_swaps,
        object_schema(run=NUMBER, server=TEXT, day=DAY, number=NUMBER, mode=TEXT, positions=NUMBER, lines=NUMBER),
        title="Swaps computed",
        capability=VIEW_PLATFORM,
    )


def _register_differences() -> None:
    one_break = object_schema(
        login=TEXT,
        ticket=NUMBER_OR_NULL,
        amount=AMOUNT_OR_NULL,
        currency=TEXT_OR_NULL,
        cause=TEXT,
        **{"break": ID},
    )
    register_public_topic(
        RECONCILIATION_BREAK_OPENED,
        1,
        describe_breaks,
        object_schema(
            run=ID,
            server=TEXT,
            business_day={"type": ["string", "null"], "format": "date"},
            kind=TEXT,
            opened=NUMBER,
            breaks={"type": "array", "items": one_break},
        ),
        title="Differences from a server opened",
        capability=VIEW_PLATFORM,
    )
    one_drift = object_schema(drift=NUMBER, name=TEXT, symbol=TEXT_OR_NULL, field=TEXT, approved=TEXT, stated=TEXT)
    register_public_topic(
        SYMBOL_DRIFT_FOUND,
        1,
        describe_drift,
        object_schema(server=TEXT, found=NUMBER, drifts={"type": "array", "items": one_drift}),
        title="Symbols found to drift",
        capability=VIEW_PLATFORM,
    )
