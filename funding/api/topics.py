"""What other systems hear of money in and out."""

from __future__ import annotations

from typing import Any

from django.apps import apps

from backoffice.core.webhooks.topics import AMOUNT, DAY, ID, ID_OR_NULL, TEXT, object_schema, register_public_topic
from funding.events import DEPOSIT_RECEIVED, WITHDRAWAL_PAID
from funding.ledger.models import JournalEntry


def describe_movement(payload: dict[str, Any]) -> dict[str, Any] | None:
    """The entry, whose money it is, how much."""
    entry = JournalEntry.objects.filter(pk=payload["entry_id"]).first()
    if entry is None:
        return None
    return {
        "entity": entry.entity_id,
        "entry": str(entry.public_id),
        "account": _public_id("platform_ops", "TradingAccount", payload.get("account_id")),
        "client": _public_id("crm", "Client", payload.get("client_id")),
        "amount": payload["amount"],
        "currency": payload["currency"],
        "business_day": entry.business_day.isoformat(),
        "reference": entry.reason,
    }


def _public_id(app: str, model: str, pk: int | None) -> str | None:
    if pk is None:
        return None
    found = apps.get_model(app, model)._default_manager.filter(pk=pk).values_list("public_id", flat=True).first()
    return None if found is None else str(found)


def register() -> None:
    """Opens the desk's topics."""
    schema = object_schema(
        entry=ID,
        account=ID_OR_NULL,
        client=ID_OR_NULL,
        amount=AMOUNT,
        currency=TEXT,
        business_day=DAY,
        reference=TEXT,
    )
    for topic, title in ((DEPOSIT_RECEIVED, "Deposit received"), (WITHDRAWAL_PAID, "Withdrawal paid")):
        register_public_topic(topic, 1, describe_movement, schema, title=title, capability="funding.view_ledger")
