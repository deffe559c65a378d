"""What other systems hear of commissions."""

from __future__ import annotations

from typing import Any

from django.db.models import Count, Sum

from backoffice.core.webhooks.topics import NUMBER, TEXT, object_schema, register_public_topic
from ib.models import CommissionLine, CommissionStatement, Dispute, Partner, Payout, SettlementBatch
from ib.models.payouts import PayoutKind
from ib.permissions import VIEW_PAYOUTS
from ib.services.disputes.common import TOLD_OUTSIDE


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


def describe_statement(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """A statement as it stands when it is told."""
    statement = CommissionStatement.objects.select_related("partner").filter(pk=payload["statement_id"]).first()
    if statement is None:
        return []
    return [
        {
            "entity": statement.partner.entity_id,
            "statement": statement.pk,
            "partner": statement.partner.reference,
            "from_day": statement.from_day.isoformat(),
            "to_day": statement.to_day.isoformat(),
            "state": statement.state,
            "total": f"{statement.total:f}",
            "payable": None if statement.payable is None else f"{statement.payable:f}",
            "currency": statement.currency,
        }
    ]


def describe_payout(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """A payout as it stands when it is told; never where to."""
    payout = Payout.objects.select_related("partner").filter(pk=payload["payout_id"]).first()
    if payout is None:
        return []
    return [
        {
            "entity": payout.partner.entity_id,
            "payout": payout.pk,
            "statement": payout.statement_id,
            "partner": payout.partner.reference,
            "kind": payout.kind,
            "state": payout.state,
            "amount": f"{payout.amount:f}",
            "currency": payout.currency,
            "problem": payout.problem,
        }
    ]


def describe_dispute(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """What happened to a dispute, without what was written in it."""
    dispute = Dispute.objects.select_related("partner").filter(pk=payload["dispute_id"]).first()
    if dispute is None:
        return []
    return [
        {
            "entity": dispute.entity_id,
            "dispute": dispute.reference,
            "step": payload["step"],
            "partner": dispute.partner.reference,
            "about": dispute.subject_reference,
            "cause": dispute.cause,
            "state": dispute.state,
            "decision": dispute.decision,
            "amount": f"{dispute.amount:f}",
            "delta": None if dispute.delta is None else f"{dispute.delta:f}",
            "currency": dispute.currency,
        }
    ]


_DAY = {"type": "string", "format": "date"}
STATEMENT_SCHEMA = object_schema(
    statement=NUMBER,
    partner=TEXT,
    from_day=_DAY,
    to_day=_DAY,
    state={"type": "string", "enum": list(CommissionStatement.State.values)},
    total=TEXT,
    payable={"type": ["string", "null"]},
    currency=TEXT,
)


PAYOUT_SCHEMA = object_schema(
    payout=NUMBER,
    statement=NUMBER,
    partner=TEXT,
    kind={"type": "string", "enum": list(PayoutKind.values)},
    state={"type": "string", "enum": list(Payout.State.values)},
    amount=TEXT,
    currency=TEXT,
    problem=TEXT,
)
DISPUTE_SCHEMA = object_schema(
    dispute=TEXT,
    step={"type": "string", "enum": sorted(step.value for step in TOLD_OUTSIDE)},
    partner=TEXT,
    about=TEXT,
    cause={"type": "string", "enum": list(Dispute.Cause.values)},
    state={"type": "string", "enum": list(Dispute.State.values)},
    decision=TEXT,
    amount=TEXT,
    delta={"type": ["string", "null"]},
    currency=TEXT,
)


def register() -> None:
    """Opens the desk's topics."""
    for topic, title in (
        ("ib.payout_paid", "Partner paid"),
        ("ib.payout_failed", "Partner's payout given up"),
        ("ib.payout_returned", "Partner's payout came back"),
    ):
        register_public_topic(topic, 1, describe_payout, PAYOUT_SCHEMA, title=title, capability=VIEW_PAYOUTS)
    register_public_topic(
        "ib.dispute_changed",
        1,
        describe_dispute,
        DISPUTE_SCHEMA,
        title="Dispute opened, decided, closed or appealed",
        capability="ib.view_disputes",
    )
    for topic, title in (
        ("ib.statement_closed", "Commission statement made"),
        ("ib.statement_approved", "Commission statement approved"),
    ):
        register_public_topic(
            topic, 1, describe_statement, STATEMENT_SCHEMA, title=title, capability="ib.view_statements"
        )
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
