"""What the use cases of disputes share: the locks, the timeline, the audit, the money that is frozen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from backoffice.core.access import holds, visible_to
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput, NotFound
from ib.dispute_rules import DisputeStep
from ib.locks import limit_waiting, lock_partner
from ib.models import CommissionLine, Dispute, DisputeEvent, PeriodLine
from ib.services import statements
from ib.services.disputes import letters, work

HANDLE = "ib.handle_disputes"
OPEN = "ib.dispute_lines"
KEEPER = Actor.system("ib.disputes")
MAX_TEXT = 4_000
TOLD_OUTSIDE = frozenset({DisputeStep.OPENED, DisputeStep.DECIDED, DisputeStep.CLOSED, DisputeStep.APPEALED})
"""Steps that other systems hear of; what was written and asked is between the partner and the desk."""


def locked_dispute(dispute_id: int, actor: Actor) -> Dispute:
    """The dispute under its partner's lock and its own. Raises NotFound for one that the actor does not see."""
    limit_waiting()
    partner_id = (
        visible_to(Dispute.objects.all(), actor).filter(pk=dispute_id).values_list("partner_id", flat=True).first()
    )
    if partner_id is None or lock_partner(partner_id) is None:
        raise NotFound("No such dispute, or it is not yours to see.", dispute_id=dispute_id)
    locked = Dispute.objects.select_for_update(of=("self",))
    return locked.select_related("partner", "entity", "change_request", "period_line").get(pk=dispute_id)


def checked_text(text: str, *, field: str, question: str) -> str:
    """The text without space around it. Raises InvalidInput for none, or too much."""
    words = text.strip()
    if not words:
        raise InvalidInput(question, field=field)
    if len(words) > MAX_TEXT:
        raise InvalidInput(f"At most {MAX_TEXT} letters.", field=field)
    return words


def is_of_partner(dispute: Dispute, actor: Actor) -> bool:
    """Whether the actor is the partner whose dispute it is, and not the desk."""
    return not actor.is_system and not holds(actor, HANDLE) and dispute.partner.user_id == actor.user_id


def write_down(
    dispute: Dispute,
    step: DisputeStep,
    *,
    actor: Actor,
    text: str = "",
    tell: str = "",
    is_internal: bool = False,
    changes: dict[str, Any] | None = None,
) -> DisputeEvent:
    """A step on the timeline, in the audit, in the inbox of the desk and, with *tell*, in a message to the partner."""
    by_partner = is_of_partner(dispute, actor)
    event = DisputeEvent.objects.create(
        dispute=dispute,
        step=step.value,
        text=text,
        by=actor.label[:200],
        by_user_id=actor.user_id or None,
        is_by_partner=by_partner,
        is_internal=is_internal,
    )
    audit.record(
        actor=actor,
        action=f"ib.dispute_{step.value}",
        target=dispute,
        reason=text[:500],
        changes={"state": dispute.state, **(changes or {})},
        entity_id=dispute.entity_id,
    )
    work.note_dispute(dispute.pk)
    if step in TOLD_OUTSIDE:
        outbox.publish(topic="ib.dispute_changed", payload={"dispute_id": dispute.pk, "step": step.value})
    if tell:
        letters.tell_partner(dispute, what=tell, event_id=event.pk)
    return event


def freeze(dispute: Dispute, reason: str) -> None:
    """Keeps the line's amount out of statements; what pays nothing, or was taken back, has nothing to keep."""
    if dispute.amount <= 0:
        return
    dispute.hold = statements.hold_line(
        partner_id=dispute.partner_id,
        line_reference=dispute.subject_reference,
        booked_day=booked_day_of(dispute),
        amount=dispute.amount,
        reason=reason,
        actor=KEEPER,
    )


def unfreeze(dispute: Dispute) -> None:
    """Gives the line's amount back to the statements."""
    if dispute.hold_id is not None:
        statements.release_line(line_reference=dispute.subject_reference, actor=KEEPER)


def booked_day_of(dispute: Dispute) -> Any:
    """In which day's books the disputed line stands."""
    if dispute.period_line is not None:
        return dispute.period_line.booked_day
    where = {"part": dispute.line_part, "seq": dispute.line_seq, "day": dispute.line_day}
    return lines_of(dispute).values_list("booked_day", flat=True).get(**where)


def lines_of(dispute: Dispute) -> Any:
    """Everything that the partner has for the disputed trade, or for the subject of the disputed period line."""
    if dispute.period_line is not None:
        line = dispute.period_line
        return PeriodLine.objects.filter(
            partner_id=line.partner_id,
            kind=line.kind,
            rule_id=line.rule_id,
            subject_type=line.subject_type,
            subject_id=line.subject_id,
            period=line.period,
            currency=line.currency,
        ).order_by("seq")
    return CommissionLine.objects.filter(partner_id=dispute.partner_id, trade_id=dispute.trade_id or 0).order_by(
        "day", "part", "seq"
    )


def booked_of(dispute: Dispute) -> Decimal:
    """The sum of these lines."""
    return sum_of(lines_of(dispute))


def sum_of(lines: Iterable[Any]) -> Decimal:
    """What the lines booked, all of them in the partner's currency."""
    return sum((line.amount for line in lines), Decimal(0))


def lines_since(dispute: Dispute, *, first: bool = False) -> list[Any]:
    """The lines that were not booked yet when the evidence was kept: of the appeal, if there was one, or the *first*."""
    kept = dispute.evidence.filter(audience="desk").order_by("number" if first else "-number").first()
    known = {line["line"] for line in json.loads(kept.body)["lines"]} if kept is not None else set()
    return [line for line in lines_of(dispute) if line.reference not in known]


def standing_decision(dispute: Dispute, *, decision: str, reason: str, actor: Actor) -> None:
    """Writes who decided what, and why, onto the dispute; the clock of an unanswered question ends."""
    dispute.decision, dispute.decision_reason = decision, reason
    dispute.decided_at, dispute.decided_by = clock.now(), actor.label[:200]
    dispute.decided_by_user_id = actor.user_id or None
    end_pause(dispute)


def end_pause(dispute: Dispute) -> None:
    """Counts how long the partner was waited for, and starts the clock again where it stood."""
    if dispute.asked_at is None:
        return
    now = clock.now()
    dispute.paused_seconds += max(0, int((now - dispute.asked_at).total_seconds()))
    dispute.asked_at = dispute.answer_until = dispute.reminded_at = None
