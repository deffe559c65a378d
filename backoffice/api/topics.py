"""What other systems hear of the ground: work items, change requests."""

from __future__ import annotations

from typing import Any

from backoffice.core.models import ChangeRequest
from backoffice.core.webhooks.topics import ID, NUMBER, TEXT, object_schema, register_public_topic


def describe_work_item(payload: dict[str, Any]) -> dict[str, Any]:
    """Which item, of what kind, how urgent; no evidence, which may name people."""
    return {
        "entity": payload["entity_id"],
        "item": payload["item_id"],
        "kind": payload["kind"],
        "desk": payload["desk"],
        "title": payload["title"],
        "severity": payload["severity"],
        "opened_at": payload["opened_at"],
        "due_at": payload["due_at"],
        "escalation_level": payload["escalation_level"],
    }


def describe_change(payload: dict[str, Any]) -> dict[str, Any] | None:
    """Which change was carried out."""
    change = ChangeRequest.objects.filter(pk=payload["change_id"]).first()
    if change is None:
        return None
    return {
        "entity": change.entity_id,
        "change": str(change.public_id),
        "reference": change.reference,
        "kind": change.kind,
        "title": change.title,
    }


def register() -> None:
    """Opens the topics."""
    register_public_topic(
        "work.item_opened",
        1,
        describe_work_item,
        object_schema(
            item=ID,
            kind=TEXT,
            desk=TEXT,
            title=TEXT,
            severity=TEXT,
            opened_at={"type": "string", "format": "date-time"},
            due_at={"type": "string", "format": "date-time"},
            escalation_level=NUMBER,
        ),
        title="Work item opened",
        capability="core.read_events",
    )
    register_public_topic(
        "core.change_applied",
        1,
        describe_change,
        object_schema(change=ID, reference=TEXT, kind=TEXT, title=TEXT),
        title="Change applied",
        capability="core.read_events",
    )
