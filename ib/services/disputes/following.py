"""From the decision to the money: a correction is made where the mistake is, and the dispute waits for its difference.

Nothing here books anything: the change is settled again by the engine, and what comes out beyond what was booked when
the dispute was opened is the delta. A dispute whose correction was refused, or changed nothing, comes back to the desk.
"""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import structlog
from django.db import transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible
from backoffice.core.changes.rules import ChangeState
from backoffice.core.models import ChangeRequest, Job
from backoffice.core.types import Actor
from backoffice.core.work.kinds import due_from
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, DomainError, InvalidInput
from ib.dispute_rules import (
    NEEDS_CHANGE_REQUEST,
    REMIND_AFTER,
    Correction,
    DisputeDecision,
    DisputeState,
    DisputeStep,
    next_state,
)
from ib.models import Dispute
from ib.rules import money_text
from ib.services.disputes.common import (
    HANDLE,
    KEEPER,
    checked_text,
    lines_since,
    locked_dispute,
    standing_decision,
    sum_of,
    unfreeze,
    write_down,
)
from ib.services.disputes.handling import check_not_first_decider, resume
from ib.services.shards import RESETTLE_DAY, SETTLE_BATCH

MOST_AT_ONCE = 200
NOTHING_AFTER = timedelta(hours=24)
"""A correction of which nothing came within a day, with nothing left to settle, changed nothing."""
HOURS_AFTER_RETURN = 24
ENDED = (ChangeState.REJECTED, ChangeState.WITHDRAWN, ChangeState.REVERTED)
DONE = (ChangeState.APPLIED, ChangeState.VERIFIED)
_log = structlog.get_logger(__name__)

crash_points.declare("ib.dispute.before_close")


@transaction.atomic
def correct_dispute(
    *, dispute_id: int, correction: str, reason: str, actor: Actor, change_reference: str = ""
) -> Dispute:
    """Decides that the partner is right: the mistake is corrected where it is, and the difference is waited for.

    *correction* says where; of the plan and the tree it names the change request (CR-…) that corrects it, whose second
    person approves there. When the difference was posted already, the dispute closes at once.
    """
    authorise(actor, HANDLE)
    words = checked_text(reason, field="reason", question="Say what was wrong and how it is corrected.")
    if correction not in Correction.values:
        raise InvalidInput("Choose where the mistake is corrected.", field="correction", value=correction)
    change = _change_of(change_reference, correction, actor)
    dispute = locked_dispute(dispute_id, actor)
    dispute.state = next_state("correct", dispute.state).value
    check_not_first_decider(dispute, actor)
    resume(dispute)
    standing_decision(dispute, decision=DisputeDecision.CORRECT, reason=words, actor=actor)
    dispute.correction, dispute.change_request = correction, change
    dispute.owner_id = dispute.owner_id or actor.user_id or None
    dispute.save()
    write_down(
        dispute, DisputeStep.DECIDED, actor=actor, text=words,
        tell=f"You are right: {words} The line is settled again, and the difference is booked.",
        changes={"decision": dispute.decision, "correction": correction, "change": change_reference},
    )  # fmt: skip
    _follow_locked(dispute)
    return dispute


def _change_of(reference: str, correction: str, actor: Actor) -> ChangeRequest | None:
    given = reference.strip()
    if not given:
        if Correction(correction) in NEEDS_CHANGE_REQUEST:
            raise InvalidInput("Name the change request that corrects it.", field="change_reference")
        return None
    try:
        change = get_visible(ChangeRequest.objects.all(), actor, reference__iexact=given)
    except DomainError:
        raise InvalidInput("There is no such change request.", field="change_reference", value=given) from None
    if change.state in ENDED:
        raise InvalidInput(
            f"{change.reference} is {change.get_state_display().lower()}: it corrects nothing.",
            field="change_reference",
        )
    return change


def follow_disputes(*, limit: int = MOST_AT_ONCE) -> int:
    """Closes the disputes whose difference is posted, and returns those whose correction came to nothing; how many."""
    waiting = Dispute.objects.filter(state=DisputeState.CORRECTING).order_by("decided_at", "pk")
    moved = 0
    for dispute_id in list(waiting.values_list("pk", flat=True)[:limit]):
        try:
            moved += _follow(dispute_id)
        except DomainError as error:
            _log.warning("dispute_waits", dispute_id=dispute_id, code=error.code)
    return moved


@transaction.atomic
def _follow(dispute_id: int) -> bool:
    return _follow_locked(locked_dispute(dispute_id, KEEPER))


def _follow_locked(dispute: Dispute) -> bool:
    """One look at a dispute that is being corrected; whether it moved on."""
    if dispute.state != DisputeState.CORRECTING:
        return False
    change = dispute.change_request
    if change is not None and change.state in ENDED:
        why = change.closing_reason or change.get_state_display()
        return_to_work(dispute, f"Change request {change.reference} was {change.get_state_display().lower()}: {why}")
        return True
    if dispute.decision != DisputeDecision.CORRECT or (change is not None and change.state not in DONE):
        return False
    new = lines_since(dispute)
    if delta := sum_of(new):
        close_with(dispute, delta=delta, lines=[line.reference for line in new])
        return True
    if dispute.decided_at is not None and clock.now() - dispute.decided_at > NOTHING_AFTER and not _is_under_way():
        return_to_work(dispute, "Everything is settled again, and nothing came of the correction for this line.")
        return True
    return False


def _is_under_way() -> bool:
    """Whether any day or batch still waits for its settlement."""
    kinds = [RESETTLE_DAY, SETTLE_BATCH]
    return Job.objects.filter(kind__in=kinds).exclude(state__in=[Job.State.DONE, Job.State.FAILED]).exists()


def close_with(dispute: Dispute, *, delta: Decimal, lines: list[str]) -> None:
    """Ends a dispute with what was booked for it; the frozen amount is free again. In the caller's transaction."""
    dispute.state = next_state("finish", dispute.state).value
    dispute.delta, dispute.delta_lines, dispute.closed_at = delta, lines, clock.now()
    dispute.save()
    unfreeze(dispute)
    crash_points.reach("ib.dispute.before_close")
    booked = f"{money_text(delta, dispute.currency)} {dispute.currency}"
    where = f" (line {', '.join(lines)})" if lines else ""
    word = "Goodwill" if dispute.decision == DisputeDecision.GOODWILL else "The difference"
    text = f"{word} of {booked} was booked{where}."
    write_down(dispute, DisputeStep.CLOSED, actor=KEEPER, text=text, tell=text, changes={"delta": str(delta)})


def return_to_work(dispute: Dispute, why: str) -> None:
    """Takes a decision back of which nothing came: the dispute is to be decided anew, and the amount stays frozen."""
    dispute.state = next_state("return", dispute.state).value
    dispute.decision = dispute.decision_reason = dispute.decided_by = dispute.correction = ""
    dispute.decided_at = dispute.decided_by_user_id = dispute.change_request = None
    dispute.due_at = max(dispute.due_at, due_from(clock.now(), HOURS_AFTER_RETURN))
    dispute.save()
    write_down(dispute, DisputeStep.NOTED, actor=KEEPER, text=why, is_internal=True)
    write_down(
        dispute, DisputeStep.RETURNED, actor=KEEPER, text="The correction came to nothing; it is decided anew.",
        tell=f"The correction came to nothing. We decide anew by {dispute.due_at:%Y-%m-%d %H:%M} UTC.",
    )  # fmt: skip


def chase_disputes(*, limit: int = MOST_AT_ONCE) -> dict[str, int]:
    """Reminds partners who were asked and did not answer, and lets the clock go on where they never do."""
    now = clock.now()
    asked = Dispute.objects.filter(state=DisputeState.ASKED)
    unanswered = asked.filter(answer_until__lte=now).order_by("pk").values_list("pk", flat=True)
    resumed = sum(_resume(dispute_id) for dispute_id in list(unanswered[:limit]))
    silent = asked.filter(asked_at__lte=now - REMIND_AFTER, reminded_at__isnull=True).order_by("pk")
    reminded = sum(_remind(dispute_id) for dispute_id in list(silent.values_list("pk", flat=True)[:limit]))
    return {"resumed": resumed, "reminded": reminded}


@transaction.atomic
def _resume(dispute_id: int) -> bool:
    dispute = locked_dispute(dispute_id, KEEPER)
    if dispute.answer_until is None or dispute.answer_until > clock.now():
        return False
    dispute.state = next_state("answer", dispute.state).value
    resume(dispute)
    dispute.save()
    write_down(
        dispute, DisputeStep.RESUMED, actor=KEEPER, text="No answer came; it goes on without one.",
        tell="You have not answered our question. We decide with what we know.",
    )  # fmt: skip
    return True


@transaction.atomic
def _remind(dispute_id: int) -> bool:
    dispute = locked_dispute(dispute_id, KEEPER)
    if dispute.asked_at is None or dispute.reminded_at is not None or dispute.answer_until is None:
        return False
    dispute.reminded_at = clock.now()
    dispute.save(update_fields=["reminded_at"])
    write_down(
        dispute, DisputeStep.REMINDED, actor=KEEPER, text="The partner was reminded of the question.",
        tell=f"We still wait for your answer, until {dispute.answer_until:%Y-%m-%d}.",
    )  # fmt: skip
    return True


def require_correcting(dispute: Dispute) -> None:
    """Raises Conflict when the dispute no longer waits for what is about to be booked for it."""
    if dispute.state != DisputeState.CORRECTING:
        raise Conflict("The dispute no longer waits for this.", code="dispute_moved_on", state=dispute.state)
