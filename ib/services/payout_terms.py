"""Payout terms: asked for by one person, in force by a change request that another one approved."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from backoffice.core.access import authorise, get_visible
from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.models import ChangeRequest, LegalEntity
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import InvalidInput
from ib.locks import limit_waiting
from ib.models import CommissionStatement, Partner, PayoutTerms
from ib.models.statements import StatementPeriod
from ib.permissions import APPROVE_CHANGES

PAYOUT_TERMS = "ib.payout_terms"
LONGEST_WAIT_DAYS = 366
HIGHEST_AMOUNT = Decimal(10) ** 12
MAKER = "ib.manage_plans"

Payload = dict[str, Any]


def request_payout_terms(
    *,
    entity_id: int,
    partner_id: int | None,
    valid_from: date,
    period: str,
    review_days: int,
    hold_days: int,
    minimum_payout: Decimal,
    automatic_up_to: Decimal | None,
    actor: Actor,
    reason: str,
    allows_partial: bool = False,
) -> ChangeRequest:
    """A change request for the terms of an entity, or of one partner of it, from a day on. Handed in at once.

    Raises InvalidInput naming the field, NotFound for what the actor does not see.
    """
    authorise(actor, MAKER)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if partner_id is not None:
        get_visible(Partner.objects.all(), actor, pk=partner_id)
    payload = {
        "entity_id": entity.pk,
        "partner_id": partner_id,
        "valid_from": valid_from.isoformat(),
        "period": period,
        "review_days": review_days,
        "hold_days": hold_days,
        "minimum_payout": str(minimum_payout),
        "automatic_up_to": None if automatic_up_to is None else str(automatic_up_to),
        "allows_partial": allows_partial,
    }
    change = changes.draft_change(
        kind=PAYOUT_TERMS, payload=payload, actor=actor, reason=reason, entity_id=entity.pk, target=entity
    )
    return changes.submit_change(change_id=change.pk, actor=actor)


@transaction.atomic
def put_payout_terms(*, payload: Payload, actor: Actor, approval: str) -> PayoutTerms:
    """Writes the terms: what was in force ends on the day before, what was planned for later no longer holds.

    For persons only through a change request; the system (a seed, an import) may write them with its own approval.
    """
    authorise(actor, MAKER)
    check_payload(payload)
    limit_waiting()
    valid_from = date.fromisoformat(payload["valid_from"])
    LegalEntity.objects.select_for_update().get(pk=payload["entity_id"])
    standing = PayoutTerms.objects.filter(entity_id=payload["entity_id"], partner_id=payload["partner_id"])
    for terms in standing.filter(validity__endswith__gt=valid_from) | standing.filter(validity__endswith__isnull=True):
        if terms.validity.lower is None or terms.validity.lower < valid_from:
            terms.validity = DateRange(terms.validity.lower, valid_from)
            terms.save(update_fields=["validity"])
        elif terms.statements.exists():
            raise InvalidInput(
                f"Statements were made by the terms of {terms.validity.lower} already.", field="valid_from"
            )
        else:
            terms.delete()
    limit = payload["automatic_up_to"]
    made = PayoutTerms.objects.create(
        entity_id=payload["entity_id"],
        partner_id=payload["partner_id"],
        validity=DateRange(valid_from, None),
        period=payload["period"],
        review_days=payload["review_days"],
        hold_days=payload["hold_days"],
        minimum_payout=Decimal(payload["minimum_payout"]),
        automatic_up_to=None if limit is None else Decimal(limit),
        allows_partial=bool(payload.get("allows_partial", False)),
        approved_by=approval[:200],
    )
    audit.record(
        actor=actor, action="ib.put_payout_terms", target=made, changes=payload, entity_id=payload["entity_id"]
    )
    return made


def check_payload(payload: Payload) -> None:
    """Raises InvalidInput naming the field that is wrong."""
    if payload["period"] not in StatementPeriod.values:
        raise InvalidInput("Daily, weekly or monthly.", field="period", value=payload["period"])
    for name in ("review_days", "hold_days"):
        if not isinstance(payload[name], int) or not 0 <= payload[name] <= LONGEST_WAIT_DAYS:
            raise InvalidInput(f"Between 0 and {LONGEST_WAIT_DAYS} days.", field=name, value=payload[name])
    for name in ("minimum_payout", "automatic_up_to"):
        if payload[name] is None and name == "automatic_up_to":
            continue
        amount = exact_decimal(Decimal(payload[name]), field=name)
        if not 0 <= amount <= HIGHEST_AMOUNT:
            raise InvalidInput(f"Between 0 and {HIGHEST_AMOUNT}.", field=name, value=payload[name])
    partner_id = payload["partner_id"]
    if partner_id is not None and not Partner.objects.filter(pk=partner_id, entity_id=payload["entity_id"]).exists():
        raise InvalidInput("The partner is not one of this legal entity.", field="partner_id", value=partner_id)


def register() -> None:
    """Registers the kind of change request. Called once, when the process starts."""
    register_change_kind(
        ChangeKind(
            kind=PAYOUT_TERMS,
            label="Payout terms of partners",
            desk="ib",
            maker_capability=MAKER,
            checker_capability=APPROVE_CHANGES,
            title=lambda payload: f"Payout terms of {_whose(payload)} from {payload['valid_from']}",
            current=_current,
            proposed=_in_words,
            preview=_preview,
            apply=_apply,
            verify=_verify,
            check=check_payload,
            labels={
                "period": "Statements",
                "review_days": "Days of review",
                "hold_days": "Days on hold",
                "minimum_payout": "Minimum payout",
                "automatic_up_to": "Approved without a person up to",
                "allows_partial": "Payment in parts",
            },
            target=lambda payload: LegalEntity.objects.filter(pk=payload["entity_id"]).first(),
            entity_of=lambda payload: int(payload["entity_id"]),
        )
    )


def _whose(payload: Payload) -> str:
    if payload["partner_id"] is not None:
        return str(Partner.objects.get(pk=payload["partner_id"]))
    return str(LegalEntity.objects.get(pk=payload["entity_id"]))


def _standing(payload: Payload) -> PayoutTerms | None:
    return PayoutTerms.objects.filter(
        entity_id=payload["entity_id"],
        partner_id=payload["partner_id"],
        validity__contains=date.fromisoformat(payload["valid_from"]),
    ).first()


def _current(payload: Payload) -> dict[str, Any]:
    terms = _standing(payload)
    if terms is None:
        return {}
    return _in_words(
        {
            "period": terms.period,
            "review_days": terms.review_days,
            "hold_days": terms.hold_days,
            "minimum_payout": str(terms.minimum_payout),
            "automatic_up_to": None if terms.automatic_up_to is None else str(terms.automatic_up_to),
            "allows_partial": terms.allows_partial,
        }
    )


def _in_words(payload: Payload) -> dict[str, Any]:
    limit = payload["automatic_up_to"]
    return {
        "period": StatementPeriod(payload["period"]).label,
        "review_days": payload["review_days"],
        "hold_days": payload["hold_days"],
        "minimum_payout": f"{Decimal(payload['minimum_payout']).normalize():f}",
        "automatic_up_to": "never" if limit is None else f"{Decimal(limit).normalize():f}",
        "allows_partial": "yes" if payload.get("allows_partial") else "no",
    }


def _preview(payload: Payload, actor: Actor) -> Impact:
    """The partners concerned, and which of their statements of the last quarter the limit would have approved."""
    partners = Partner.objects.filter(entity_id=payload["entity_id"])
    if payload["partner_id"] is not None:
        partners = partners.filter(pk=payload["partner_id"])
    since = date.fromisoformat(payload["valid_from"]) - timedelta(days=92)
    recent = CommissionStatement.objects.filter(partner__in=partners, to_day__gte=since)
    limit = payload["automatic_up_to"]
    alone = recent.filter(total__lte=Decimal(limit)).count() if limit is not None else 0
    below = recent.filter(total__lt=Decimal(payload["minimum_payout"])).count()
    figures = {
        "Partners": partners.count(),
        "Statements of the last 92 days": recent.count(),
        "Of these approved without a person": alone,
        "Of these below the minimum": below,
    }
    return Impact(
        summary=f"{figures['Partners']} partners; {alone} of {recent.count()} recent statements without a person.",
        rows=[],
        figures=figures,
    )


def _apply(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    changes.require_approved(request, kind=PAYOUT_TERMS, entity_id=payload["entity_id"])
    made = put_payout_terms(payload=payload, actor=actor, approval=f"change {request.reference}")
    return {"terms_id": made.pk}


def _verify(outcome: dict[str, Any]) -> list[str]:
    return [] if PayoutTerms.objects.filter(pk=outcome["terms_id"]).exists() else ["The terms are not there."]
