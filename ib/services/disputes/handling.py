"""Looking into a dispute: taken in hand, asked back and answered, rejected, withdrawn, appealed against."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from backoffice.core.access import authorise, holds
from backoffice.core.types import Actor
from backoffice.core.work.kinds import due_from
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied
from ib.dispute_rules import (
    ANSWER_DAYS,
    APPEAL_DAYS,
    APPEAL_HOURS,
    DisputeDecision,
    DisputeState,
    DisputeStep,
    appeal_until,
    due_after_pause,
    next_state,
)
from ib.models import Dispute
from ib.services.disputes import evidence
from ib.services.disputes.common import (
    HANDLE,
    OPEN,
    checked_text,
    end_pause,
    freeze,
    is_of_partner,
    lines_of,
    locked_dispute,
    standing_decision,
    sum_of,
    unfreeze,
    write_down,
)


@transaction.atomic
def take_dispute(*, dispute_id: int, actor: Actor) -> Dispute:
    """Makes the actor the one who looks into it. An appeal is for somebody else than who decided first."""
    authorise(actor, HANDLE)
    dispute = locked_dispute(dispute_id, actor)
    if dispute.state == DisputeState.IN_WORK and dispute.owner_id == actor.user_id:
        return dispute
    dispute.state = next_state("take", dispute.state).value
    check_not_first_decider(dispute, actor)
    dispute.owner_id = actor.user_id or None
    dispute.save(update_fields=["state", "owner"])
    write_down(
        dispute, DisputeStep.TAKEN, actor=actor, tell="Somebody at our partner desk is looking into your dispute now."
    )
    return dispute


@transaction.atomic
def ask_partner(*, dispute_id: int, question: str, actor: Actor) -> Dispute:
    """Asks the partner something; the clock stands still until the answer, or for two weeks at most."""
    authorise(actor, HANDLE)
    words = checked_text(question, field="question", question="Write what you want to know.")
    dispute = locked_dispute(dispute_id, actor)
    dispute.state = next_state("ask", dispute.state).value
    check_not_first_decider(dispute, actor)
    dispute.owner_id = dispute.owner_id or actor.user_id or None
    dispute.asked_at = clock.now()
    dispute.answer_until = dispute.asked_at + timedelta(days=ANSWER_DAYS)
    dispute.save(update_fields=["state", "owner", "asked_at", "answer_until"])
    write_down(
        dispute, DisputeStep.ASKED, actor=actor, text=words,
        tell=f"We have a question: {words} Please answer by {dispute.answer_until:%Y-%m-%d}; until then our clock stands still.",
    )  # fmt: skip
    return dispute


@transaction.atomic
def answer_question(*, dispute_id: int, answer: str, actor: Actor) -> Dispute:
    """The partner's answer; the clock goes on with the time that was left. The desk may write one down for a partner."""
    _require_side(actor)
    words = checked_text(answer, field="answer", question="Write your answer.")
    dispute = locked_dispute(dispute_id, actor)
    dispute.state = next_state("answer", dispute.state).value
    resume(dispute)
    dispute.save(update_fields=["state", "due_at", "asked_at", "answer_until", "reminded_at", "paused_seconds"])
    write_down(dispute, DisputeStep.ANSWERED, actor=actor, text=words)
    return dispute


@transaction.atomic
def write_message(*, dispute_id: int, text: str, actor: Actor) -> Dispute:
    """A message on the timeline, to the other side. Raises Conflict for a dispute that is closed."""
    _require_side(actor)
    words = checked_text(text, field="text", question="Write something.")
    dispute = locked_dispute(dispute_id, actor)
    if not dispute.is_open:
        raise Conflict("The dispute is closed.", code="dispute_closed")
    tell = "" if is_of_partner(dispute, actor) else words
    write_down(dispute, DisputeStep.WROTE, actor=actor, text=words, tell=tell)
    return dispute


@transaction.atomic
def note_dispute(*, dispute_id: int, note: str, actor: Actor) -> Dispute:
    """A note of the desk to itself: the partner never sees it."""
    authorise(actor, HANDLE)
    words = checked_text(note, field="note", question="Write the note.")
    dispute = locked_dispute(dispute_id, actor)
    write_down(dispute, DisputeStep.NOTED, actor=actor, text=words, is_internal=True)
    return dispute


@transaction.atomic
def reject_dispute(*, dispute_id: int, reason: str, actor: Actor) -> Dispute:
    """Decides that the amount stands. The partner reads the reason, and may appeal once."""
    authorise(actor, HANDLE)
    words = checked_text(reason, field="reason", question="Say why the amount stands.")
    dispute = locked_dispute(dispute_id, actor)
    dispute.state = next_state("reject", dispute.state).value
    check_not_first_decider(dispute, actor)
    standing_decision(dispute, decision=DisputeDecision.REJECT, reason=words, actor=actor)
    dispute.closed_at = clock.now()
    dispute.owner_id = dispute.owner_id or actor.user_id or None
    dispute.save()
    unfreeze(dispute)
    appeal = "" if dispute.appealed_at else f" You may appeal within {APPEAL_DAYS} days."
    write_down(
        dispute, DisputeStep.DECIDED, actor=actor, text=words,
        tell=f"We have looked into it: the amount stands. {words}{appeal}", changes={"decision": dispute.decision},
    )  # fmt: skip
    return dispute


@transaction.atomic
def withdraw_dispute(*, dispute_id: int, actor: Actor, reason: str = "") -> Dispute:
    """The partner takes the dispute back; the amount is free again, and nothing else changes."""
    _require_side(actor)
    dispute = locked_dispute(dispute_id, actor)
    if dispute.state == DisputeState.CLOSED and dispute.decision == DisputeDecision.WITHDRAW:
        return dispute
    dispute.state = next_state("withdraw", dispute.state).value
    standing_decision(dispute, decision=DisputeDecision.WITHDRAW, reason=reason.strip(), actor=actor)
    dispute.closed_at = clock.now()
    dispute.save()
    unfreeze(dispute)
    write_down(
        dispute, DisputeStep.CLOSED, actor=actor, text=reason.strip() or "Withdrawn.", tell="Your dispute is withdrawn."
    )
    return dispute


@transaction.atomic
def appeal_dispute(*, dispute_id: int, text: str, actor: Actor) -> Dispute:
    """The partner does not accept the decision: once, within thirty days. Somebody else decides again, on new evidence."""
    _require_side(actor)
    words = checked_text(text, field="text", question="Say why the decision is wrong.")
    dispute = locked_dispute(dispute_id, actor)
    state = next_state("appeal", dispute.state).value
    now = clock.now()
    if dispute.appealed_at is not None:
        raise Conflict("There is one appeal, and it was decided.", code="appealed_already")
    if dispute.decision == DisputeDecision.WITHDRAW or dispute.decided_at is None:
        raise Conflict("What was withdrawn was not decided.", code="nothing_to_appeal")
    if now > appeal_until(dispute.decided_at):
        raise Conflict(f"An appeal is made within {APPEAL_DAYS} days.", code="appeal_too_late")
    dispute.first_decision, dispute.first_decided_by_user_id = dispute.decision, dispute.decided_by_user_id
    dispute.state, dispute.appealed_at, dispute.owner_id = state, now, None
    dispute.decision = dispute.decision_reason = dispute.decided_by = dispute.correction = ""
    dispute.decided_at = dispute.decided_by_user_id = dispute.closed_at = dispute.change_request = dispute.delta = None
    dispute.delta_lines = []
    dispute.due_at = due_from(now, APPEAL_HOURS)
    booked = list(lines_of(dispute))
    dispute.booked_before = sum_of(booked)
    freeze(dispute, f"Appeal in dispute {dispute.reference}")
    dispute.save()
    evidence.take_evidence(dispute, booked)
    write_down(
        dispute, DisputeStep.APPEALED, actor=actor, text=words,
        tell=f"We have received your appeal. Somebody else decides by {dispute.due_at:%Y-%m-%d %H:%M} UTC.",
    )  # fmt: skip
    return dispute


def check_not_first_decider(dispute: Dispute, actor: Actor) -> None:
    """Raises Denied when who decided the dispute would decide the appeal too."""
    if dispute.appealed_at and actor.user_id and dispute.first_decided_by_user_id == actor.user_id:
        raise Denied("Somebody else decides an appeal than who decided first.", code="same_person")


def resume(dispute: Dispute) -> None:
    """Lets the clock go on where it stood still."""
    if dispute.asked_at is not None:
        dispute.due_at = due_after_pause(dispute.due_at, asked_at=dispute.asked_at, now=clock.now())
    end_pause(dispute)


def _require_side(actor: Actor) -> None:
    """Partners act on their own disputes, the desk on those it sees."""
    if not holds(actor, HANDLE):
        authorise(actor, OPEN)
