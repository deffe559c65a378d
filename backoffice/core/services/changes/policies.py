"""Approval policies: versions of bounds within which changes of a kind need no person. They come about by a change
request of their own, which two people make and check."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import F

from backoffice.core.access import authorise, get_visible
from backoffice.core.changes.kinds import ChangeKind, Impact, change_kind, register_change_kind
from backoffice.core.changes.permissions import CHECK_POLICIES, MAKE_POLICIES
from backoffice.core.changes.rules import checked_moment, checked_reason
from backoffice.core.locks import advisory_key
from backoffice.core.models import ApprovalPolicy, ChangeRequest, LegalEntity
from backoffice.core.organisation.scope import require_stands_for
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput

POLICY_KIND = "core.approval_policy"
_NO_RANGE = DateTimeTZRange(empty=True)


def policy_in_force(*, kind: str, entity_id: int | None, at: datetime) -> ApprovalPolicy | None:
    """The policy version of the kind at a moment: that of the legal entity, else that of the whole broker."""
    of_entity = models.Q(entity__isnull=True)
    if entity_id is not None:
        of_entity |= models.Q(entity_id=entity_id)
    found = ApprovalPolicy.objects.filter(of_entity, kind=kind, validity__contains=at)
    return found.order_by(F("entity").asc(nulls_last=True)).first()


def request_policy(
    *,
    kind: str,
    bounds: dict[str, Any],
    actor: Actor,
    reason: str,
    entity_id: int | None = None,
    valid_from: datetime | None = None,
    valid_to: datetime | None = None,
) -> ChangeRequest:
    """Drafts the change request for a policy version; what was in force ends where it begins."""
    from backoffice.core.services.changes.drafting import draft_change

    payload = {
        "kind": kind,
        "entity_id": entity_id,
        "bounds": bounds,
        "valid_from": _text(checked_moment(valid_from, field="valid_from")),
        "valid_to": _text(checked_moment(valid_to, field="valid_to")),
    }
    return draft_change(kind=POLICY_KIND, payload=payload, actor=actor, reason=reason, entity_id=entity_id)


@transaction.atomic
def end_policy(*, policy_id: int, actor: Actor, reason: str) -> ApprovalPolicy:
    """Ends a policy version now. One person is enough: without it people decide again. Repeating it changes nothing."""
    authorise(actor, CHECK_POLICIES)
    why = checked_reason(reason)
    policy = get_visible(ApprovalPolicy.objects.all(), actor, pk=policy_id)
    require_stands_for(actor, policy.entity_id)
    policy = ApprovalPolicy.objects.select_for_update(of=("self",)).get(pk=policy.pk)
    now = clock.now()
    if policy.validity.isempty or (policy.validity.upper is not None and policy.validity.upper <= now):
        return policy
    _end(policy, now, actor=actor, reason=why)
    return policy


def _end(policy: ApprovalPolicy, at: datetime, *, actor: Actor, reason: str) -> None:
    begun = policy.validity.lower is None or policy.validity.lower < at
    policy.validity = DateTimeTZRange(policy.validity.lower, at) if begun else _NO_RANGE
    policy.ended_by, policy.end_reason = actor.label[:200], reason
    policy.save(update_fields=["validity", "ended_by", "end_reason"])
    audit.record(
        actor=actor, action="core.end_approval_policy", target=policy, reason=reason, entity_id=policy.entity_id
    )


def _check(payload: dict[str, Any]) -> None:
    kind = change_kind(str(payload.get("kind", "")))
    if not kind.may_act_by_policy:
        raise InvalidInput(f"{kind.label}: a person always decides.", field="kind", value=kind.kind)
    bounds = payload.get("bounds")
    if not isinstance(bounds, dict) or not bounds:
        raise InvalidInput("A policy without bounds would approve anything.", field="bounds")
    if kind.check_bounds is not None:
        kind.check_bounds(bounds)
    start, end = _moment(payload.get("valid_from")), _moment(payload.get("valid_to"))
    if end is not None and end <= (start or clock.now()):
        raise InvalidInput("The policy ends before it begins.", field="valid_to")
    entity_id = payload.get("entity_id")
    if entity_id is not None and not LegalEntity.objects.filter(pk=entity_id).exists():
        raise InvalidInput("No such legal entity.", field="entity_id")


def _latest(payload: dict[str, Any]) -> ApprovalPolicy | None:
    start = max(_moment(payload.get("valid_from")) or clock.now(), clock.now())
    rows = ApprovalPolicy.objects.filter(kind=payload["kind"], entity_id=payload.get("entity_id"))
    return rows.filter(validity__contains=start).first()


def _current(payload: dict[str, Any]) -> dict[str, Any]:
    policy = _latest(payload)
    return {"version": policy.number, "bounds": policy.bounds} if policy else {"version": None, "bounds": None}


def _proposed(payload: dict[str, Any]) -> dict[str, Any]:
    return {
        "version": _next_number(payload),
        "bounds": payload["bounds"],
        "valid_from": payload.get("valid_from") or "its application",
        "valid_to": payload.get("valid_to") or "further notice",
    }


def _next_number(payload: dict[str, Any]) -> int:
    rows = ApprovalPolicy.objects.filter(kind=payload["kind"], entity_id=payload.get("entity_id"))
    return (rows.aggregate(last=models.Max("number"))["last"] or 0) + 1


def _preview(payload: dict[str, Any], actor: Actor) -> Impact:
    """Which of the latest requests of the kind the policy would have approved by itself."""
    kind = change_kind(payload["kind"])
    rows = []
    recent = ChangeRequest.objects.filter(kind=kind.kind, submitted_at__isnull=False)
    for change in recent.filter(entity_id=payload.get("entity_id")).order_by("-pk")[:50]:
        assert kind.outside_bounds is not None
        outside = kind.outside_bounds(
            change.payload, Impact(change.impact_summary, change.impact_rows, change.impact_figures), payload["bounds"]
        )
        rows.append(
            {
                "Request": change.reference,
                "Title": change.title,
                "By policy": "no" if outside else "yes",
                "Why not": "; ".join(outside),
            }
        )
    alone = sum(row["By policy"] == "yes" for row in rows)
    summary = f"Of the latest {len(rows)} requests of this kind it would have approved {alone} without a person."
    return Impact(summary, rows, {"Requests looked at": len(rows), "Approved by the policy": alone})


def _apply(payload: dict[str, Any], actor: Actor, request: Any) -> dict[str, Any]:
    # Versions of one kind and entity are numbered one after the other.
    from django.db import connection

    with connection.cursor() as cursor:
        key = advisory_key("core", "approval policy", payload["kind"], str(payload.get("entity_id")))
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [key])
    if request.maker_id is None or request.checker_id is None:
        raise Denied("A policy is made and checked by two people.", code="second_person_needed")
    start = max(_moment(payload.get("valid_from")) or clock.now(), clock.now())
    end = _moment(payload.get("valid_to"))
    if end is not None and end <= start:
        raise Conflict("The policy would have ended by now.", code="policy_over")
    replaced = []
    rows = ApprovalPolicy.objects.select_for_update(of=("self",)).filter(
        kind=payload["kind"], entity_id=payload.get("entity_id"), validity__overlap=DateTimeTZRange(start, end)
    )
    for earlier in rows.order_by("pk"):
        replaced.append(earlier.number)
        _end(earlier, start, actor=actor, reason=f"Replaced by {request.reference}.")
    policy = ApprovalPolicy.objects.create(
        kind=payload["kind"],
        entity_id=payload.get("entity_id"),
        number=_next_number(payload),
        bounds=payload["bounds"],
        validity=DateTimeTZRange(start, end),
        change=request,
        maker_id=request.maker_id,
        checker_id=request.checker_id,
        published_at=clock.now(),
    )
    audit.record(
        actor=actor,
        action="core.publish_approval_policy",
        target=policy,
        reason=request.reason,
        changes={"bounds": policy.bounds, "number": policy.number, "replaced": replaced},
        entity_id=policy.entity_id,
    )
    return {"policy_id": policy.pk, "number": policy.number, "bounds": policy.bounds, "replaced": replaced}


def _verify(outcome: dict[str, Any]) -> list[str]:
    policy = ApprovalPolicy.objects.filter(pk=outcome["policy_id"]).first()
    if policy is None:
        return ["The policy version is not there."]
    return [] if policy.bounds == outcome["bounds"] else ["The bounds are not those that were approved."]


def _revert(outcome: dict[str, Any], actor: Actor, reason: str) -> dict[str, Any]:
    """Ends the version; an earlier one does not come back by itself, for published versions never change."""
    policy = ApprovalPolicy.objects.select_for_update(of=("self",)).get(pk=outcome["policy_id"])
    now = clock.now()
    if not policy.validity.isempty and (policy.validity.upper is None or policy.validity.upper > now):
        _end(policy, now, actor=actor, reason=reason)
    return {"ended": policy.number}


def _moment(text: Any) -> datetime | None:
    if text in (None, ""):
        return None
    try:
        return checked_moment(datetime.fromisoformat(str(text)), field="valid_from")
    except ValueError as error:
        raise InvalidInput("This is no moment.", field="valid_from", value=str(text)) from error


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def register_policy_kind() -> None:
    """A policy version comes about like any other change."""
    register_change_kind(
        ChangeKind(
            kind=POLICY_KIND,
            label="Approval policy",
            desk="organisation",
            maker_capability=MAKE_POLICIES,
            checker_capability=CHECK_POLICIES,
            title=lambda payload: f"Let a policy approve: {change_kind(payload['kind']).label}",
            current=_current,
            proposed=_proposed,
            preview=_preview,
            apply=_apply,
            verify=_verify,
            revert=_revert,
            check=_check,
            labels={
                "version": "Version",
                "bounds": "Bounds",
                "valid_from": "In force from",
                "valid_to": "In force until",
            },
            entity_of=lambda payload: payload.get("entity_id"),
        )
    )
