"""What other systems hear of commissions."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Sum

from backoffice.core.webhooks.topics import NUMBER, object_schema, register_public_topic
from ib.models import CommissionLine, Partner, SettlementBatch


def describe_settlement(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """What a settlement booked, each legal entity its own part."""
    batch = SettlementBatch.objects.filter(pk=payload["settlement_batch_id"]).first()
    if batch is None:
        return []
    common = {"settlement": batch.pk, "purpose": batch.purpose, "day": batch.day.isoformat() if batch.day else None}
    if len(batch.entity_ids) == 1:
        return [{"entity": batch.entity_ids[0], **common, "lines": batch.lines, "booked": batch.booked}]
    entity_of = dict(Partner.objects.filter(entity__in=batch.entity_ids).values_list("pk", "entity_id"))
    lines = CommissionLine.objects.filter(batch_id=batch.pk).order_by()
    parts: dict[int, dict[str, Any]] = {
        entity_id: {"entity": entity_id, **common, "lines": 0, "booked": {}} for entity_id in sorted(batch.entity_ids)
    }
    totals: dict[tuple[int, str], Any] = {}
    for partner_id, currency, amount, count in lines.values_list("partner_id", "currency").annotate(
        Sum("amount"), Count("trade_id")
    ):
        entity_id = entity_of[partner_id]
        parts[entity_id]["lines"] += count
        totals[entity_id, currency] = totals.get((entity_id, currency), 0) + amount
    for (entity_id, currency), amount in sorted(totals.items()):
        parts[entity_id]["booked"][currency] = f"{amount:f}"
    return list(parts.values())


def register() -> None:
    """Opens the desk's topics."""
    register_public_topic(
        "ib.commissions_settled",
        1,
        describe_settlement,
        object_schema(
            settlement=NUMBER,
            purpose={"type": "string", "enum": list(SettlementBatch.Purpose.values)},
            day={"type": ["string", "null"], "format": "date"},
            lines=NUMBER,
            booked={"type": "object", "additionalProperties": {"type": "string"}},
        ),
        title="Commissions settled",
        capability="ib.view_commissions",
    )
