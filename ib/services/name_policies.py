"""What partners read of their clients' names: asked for by one person, in force by a change request that another approved."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateRange

from backoffice.core.access import authorise, get_visible
from backoffice.core.changes.kinds import ChangeKind, Impact, register_change_kind
from backoffice.core.models import ChangeRequest, LegalEntity
from backoffice.core.services import audit, changes
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Denied, InvalidInput
from ib.locks import limit_waiting
from ib.models import NamePolicy, Partner
from ib.models.name_policies import NameDisplayChoice
from ib.permissions import APPROVE_CHANGES
from ib.rules.masking import DEFAULT_DISPLAY, NameDisplay, shown_email, shown_login, shown_name

NAME_POLICY = "ib.name_policy"
MAKER = "ib.manage_partners"
EXAMPLE = ("Anna Example", "anna@example.com", "8800417")
"""A client who does not exist, to show what a policy leaves of one."""

Payload = dict[str, Any]


def display_of(*, entity_id: int, day: date | None = None) -> NameDisplay:
    """What partners of the entity read of their clients on a day (today unless it says otherwise)."""
    wanted = day or clock.today_business_day()
    found = NamePolicy.objects.filter(entity_id=entity_id, validity__contains=wanted).values_list("display", flat=True)
    standing = found.first()
    return NameDisplay(standing) if standing else DEFAULT_DISPLAY


def request_name_policy(*, entity_id: int, display: str, valid_from: date, actor: Actor, reason: str) -> ChangeRequest:
    """A change request for what partners of an entity read from a day on. Handed in at once.

    Raises InvalidInput naming the field, NotFound for an entity that the actor does not see.
    """
    authorise(actor, MAKER)
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if valid_from < clock.today_business_day():
        raise InvalidInput("Names are shown or masked from today on at the earliest.", field="valid_from")
    payload = {"entity_id": entity.pk, "display": display, "valid_from": valid_from.isoformat()}
    change = changes.draft_change(
        kind=NAME_POLICY, payload=payload, actor=actor, reason=reason, entity_id=entity.pk, target=entity
    )
    return changes.submit_change(change_id=change.pk, actor=actor)


@transaction.atomic
def put_name_policy(*, payload: Payload, actor: Actor, approval: str) -> NamePolicy:
    """Writes the policy: what was in force ends on the day before, what was planned for later no longer holds.

    For persons only through a change request; the system (a seed, an import) may write it with its own approval.
    """
    authorise(actor, MAKER)
    if actor.user_id is not None:
        raise Denied("What partners read is changed by a request that another person approves.", code="needs_approval")
    return _write(payload=payload, actor=actor, approval=approval)


def _write(*, payload: Payload, actor: Actor, approval: str) -> NamePolicy:
    check_payload(payload)
    limit_waiting()
    # What was read in the past was read: a late approval begins today.
    valid_from = max(date.fromisoformat(payload["valid_from"]), clock.today_business_day())
    LegalEntity.objects.select_for_update().get(pk=payload["entity_id"])
    standing = NamePolicy.objects.filter(entity_id=payload["entity_id"])
    for policy in standing.filter(validity__endswith__gt=valid_from) | standing.filter(validity__endswith__isnull=True):
        if policy.validity.lower is None or policy.validity.lower < valid_from:
            policy.validity = DateRange(policy.validity.lower, valid_from)
            policy.save(update_fields=["validity"])
        else:
            policy.delete()
    made = NamePolicy.objects.create(
        entity_id=payload["entity_id"],
        display=payload["display"],
        validity=DateRange(valid_from, None),
        approved_by=approval[:200],
    )
    audit.record(actor=actor, action="ib.put_name_policy", target=made, changes=payload, entity_id=made.entity_id)
    return made


def check_payload(payload: Payload) -> None:
    """Raises InvalidInput naming the field that is wrong."""
    if payload["display"] not in NameDisplayChoice.values:
        raise InvalidInput("In full, by initials, or hidden.", field="display", value=payload["display"])
    try:
        date.fromisoformat(payload["valid_from"])
    except (TypeError, ValueError):
        raise InvalidInput("A day.", field="valid_from", value=str(payload["valid_from"])) from None


def register() -> None:
    """Registers the kind of change request. Called once, when the process starts."""
    register_change_kind(
        ChangeKind(
            kind=NAME_POLICY,
            label="What partners read of their clients",
            desk="ib",
            maker_capability=MAKER,
            checker_capability=APPROVE_CHANGES,
            title=lambda payload: f"{_words(payload['display'])}: {_entity(payload)} from {payload['valid_from']}",
            current=lambda payload: _read(display_of(entity_id=payload["entity_id"])),
            proposed=lambda payload: _read(NameDisplay(payload["display"])),
            preview=_preview,
            apply=_apply,
            verify=_verify,
            check=check_payload,
            labels={"display": "Partners read", "example": "Of Anna Example they read"},
            target=lambda payload: LegalEntity.objects.filter(pk=payload["entity_id"]).first(),
            entity_of=lambda payload: int(payload["entity_id"]),
        )
    )


def _words(display: str) -> str:
    return str(NameDisplayChoice(display).label)


def _entity(payload: Payload) -> str:
    return str(LegalEntity.objects.get(pk=payload["entity_id"]))


def _read(display: NameDisplay) -> dict[str, Any]:
    name, email, login = EXAMPLE
    shown = (shown_name(name, display), shown_email(email, display), shown_login(login, display))
    return {"display": _words(display), "example": ", ".join(part for part in shown if part) or "the client's number"}


def _preview(payload: Payload, actor: Actor) -> Impact:
    """Whose view changes."""
    partners = Partner.objects.filter(entity_id=payload["entity_id"], user__isnull=False).count()
    return Impact(
        summary=f"{partners} partners with a login read their clients differently.",
        rows=[],
        figures={"Partners with a login": partners},
    )


def _apply(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    changes.require_approved(request, kind=NAME_POLICY, entity_id=payload["entity_id"])
    with transaction.atomic():
        made = _write(payload=payload, actor=actor, approval=f"change {request.reference}")
    return {"policy_id": made.pk}


def _verify(outcome: dict[str, Any]) -> list[str]:
    return [] if NamePolicy.objects.filter(pk=outcome["policy_id"]).exists() else ["The policy is not there."]
