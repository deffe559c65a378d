"""What a person does about a break: says what it is, accepts it with a reason, or takes that back."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from backoffice.core.access import authorise, visible_to
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from platform_ops.models import ReconciliationBreak
from platform_ops.outer_permissions import ACCEPT_BREAKS, RECONCILE
from platform_ops.services.reconciliation import work

MAX_REASON = 2_000
MAX_AT_ONCE = 500
_State = ReconciliationBreak.State


@transaction.atomic(durable=True)
def explain_break(*, break_id: int, explanation: str, actor: Actor) -> ReconciliationBreak:
    """Notes what is known about a break. It stays open, and blocks what it blocked."""
    authorise(actor, RECONCILE)
    text = _reason(explanation)
    (found,) = _locked([break_id], actor)
    if found.state == _State.RESOLVED:
        raise Conflict("The break is gone.", code="break_resolved")
    before, found.explanation = found.explanation, text
    found.save(update_fields=["explanation"])
    _record(found, "platform.explain_break", actor, text, {"explanation": [before, text]})
    return found


@transaction.atomic(durable=True)
def accept_break(*, break_ids: Sequence[int], reason: str, actor: Actor) -> list[ReconciliationBreak]:
    """Accepts breaks as they stand. They block nothing any more, until their figures change. One accepted already is
    left alone. Raises Conflict for one that is gone.
    """
    authorise(actor, ACCEPT_BREAKS)
    text = _reason(reason)
    found = _locked(break_ids, actor)
    for one in found:
        if one.state == _State.RESOLVED:
            raise Conflict(f"{one} is gone already.", code="break_resolved")
        if one.state == _State.ACCEPTED:
            continue
        one.state, one.explanation = _State.ACCEPTED, text
        one.accepted_by_id, one.accepted_at = actor.user_id, clock.now()
        one.save(update_fields=["state", "explanation", "accepted_by", "accepted_at"])
        _record(one, "platform.accept_break", actor, text, {"state": [_State.OPEN.value, _State.ACCEPTED.value]})
    for server_id in sorted({one.server_id for one in found}):
        work.note_breaks(server_id=server_id)
    return found


@transaction.atomic(durable=True)
def reopen_break(*, break_id: int, reason: str, actor: Actor) -> ReconciliationBreak:
    """Takes an acceptance back."""
    authorise(actor, ACCEPT_BREAKS)
    text = _reason(reason)
    (found,) = _locked([break_id], actor)
    if found.state != _State.ACCEPTED:
        raise Conflict("Only an accepted break can be opened again.", code="break_not_accepted")
    found.state, found.accepted_by_id, found.accepted_at = _State.OPEN, None, None
    found.save(update_fields=["state", "accepted_by", "accepted_at"])
    _record(found, "platform.reopen_break", actor, text, {"state": [_State.ACCEPTED.value, _State.OPEN.value]})
    work.note_breaks(server_id=found.server_id)
    return found


def _locked(break_ids: Sequence[int], actor: Actor) -> list[ReconciliationBreak]:
    if not break_ids or len(break_ids) > MAX_AT_ONCE:
        raise InvalidInput(f"Name one to {MAX_AT_ONCE} breaks.", field="breaks")
    visible = visible_to(ReconciliationBreak.objects.filter(pk__in=break_ids), actor).values("pk")
    found = list(
        ReconciliationBreak.objects.select_for_update(of=("self",))
        .select_related("server")
        .filter(pk__in=visible)
        .order_by("pk")
    )
    if len(found) != len(set(break_ids)):
        raise NotFound("No such break, or it is not yours to see.")
    return found


def _reason(given: str) -> str:
    text = given.strip()
    if not text or len(text) > MAX_REASON:
        raise InvalidInput(f"Say why, in at most {MAX_REASON:,} letters.", field="reason")
    return text


def _record(found: ReconciliationBreak, action: str, actor: Actor, reason: str, changes: dict[str, list[str]]) -> None:
    audit.record(
        actor=actor, action=action, target=found, reason=reason, changes=changes, entity_id=found.server.entity_id
    )
