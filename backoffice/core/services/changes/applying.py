"""Carrying out what was approved, proving it, and taking it back.

The change and the step of its request are one transaction: a process that dies in between leaves neither. What fails is
rolled back whole and noted afterwards, so that a person sees why and tries again.
"""

from __future__ import annotations

import copy
from datetime import datetime
from typing import Any

import structlog
from django.db import DatabaseError, OperationalError, connection, transaction
from django.db.models import Q

from backoffice.core import crash_points
from backoffice.core.access import authorise, holds
from backoffice.core.changes.kinds import ChangeKind, change_kind
from backoffice.core.changes.rules import DUE, ChangeState, checked_reason, next_state, plain_json
from backoffice.core.models import ChangeRequest
from backoffice.core.services.backoff import delay_after
from backoffice.core.services.changes.common import (
    locked_change,
    payload_digest,
    require_fresh,
    require_same_payload,
    write_down,
)
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, DomainError, NotFound, Retryable

BEAT = Actor.system("changes")
MAX_ATTEMPTS = 8
MAX_ERROR_LENGTH = 2_000

crash_points.declare("core.change.after_apply", "core.change.before_commit")

_log = structlog.get_logger(__name__)


class _FailedError(Exception):
    """The kind could not carry the change out; everything it did is rolled back."""

    def __init__(self, cause: DomainError) -> None:
        super().__init__(str(cause))
        self.cause = cause


def apply_change(*, change_id: int, actor: Actor) -> ChangeRequest:
    """Carries out an approved request (or tries a failed one again), and proves it. Repeating it changes nothing.

    Raises Conflict (`change_stale`) when the state moved since the diff was taken, (`not_due`) before its time unless
    who may check it says so. When the kind refuses, nothing of it stays, the request is marked as failed with the error,
    and that error is raised.
    """
    try:
        change = _apply_once(change_id=change_id, actor=actor)
    except _FailedError as failed:
        # What passes by itself is no failure: the request stays approved, and the same call may come again.
        if not isinstance(failed.cause, Retryable):
            _note_failure(change_id=change_id, actor=actor, error=failed.cause)
        raise failed.cause from failed
    return verify_change(change_id=change.pk, actor=actor)


@transaction.atomic
def verify_change(*, change_id: int, actor: Actor) -> ChangeRequest:
    """Asks the kind what is still wrong after the application: nothing makes it verified, anything else is shown."""
    change = locked_change(change_id, actor)
    if next_state("verify", change.state) is None:
        return change
    kind = change_kind(change.kind)
    try:
        with transaction.atomic():
            problems = list(kind.verify(change.outcome or {}))
    except (DomainError, DatabaseError) as error:
        problems = [_text_of(error)]
    change.verified_at, change.problems = clock.now(), problems
    if not problems:
        change.state = ChangeState.VERIFIED
    change.save()
    write_down(change, "verify", actor, text="; ".join(problems), changes={"problems": problems})
    return change


@transaction.atomic
def revert_change(*, change_id: int, actor: Actor, reason: str) -> ChangeRequest:
    """Restores what was before an applied request. Repeating it changes nothing.

    Raises Denied without the kind's right to revert, Conflict when the kind cannot be reverted or no longer can.
    """
    change = locked_change(change_id, actor)
    kind = change_kind(change.kind)
    authorise(actor, kind.who_reverts)
    why = checked_reason(reason)
    state = next_state("revert", change.state)
    if state is None:
        return change
    if kind.revert is None:
        raise Conflict(f"{kind.label}: this cannot be reverted.", code="not_revertible")
    try:
        with transaction.atomic():
            undone = kind.revert(copy.deepcopy(change.outcome or {}), actor, why)
            _check_constraints_now()
    except DatabaseError as error:
        raise _as_domain_error(error, "It cannot be reverted any more") from error
    change.state = state
    change.closed_at, change.closed_by, change.closed_by_user_id = clock.now(), actor.label[:200], actor.user_id
    change.closing_reason, change.revert_outcome = why, plain_json(undone or {}, field="outcome")
    change.save()
    write_down(change, "revert", actor, text=why, changes={"outcome": change.revert_outcome})
    return change


def apply_due_changes(*, limit: int = 50) -> int:
    """Carries out the approved requests whose time has come, and proves those that a dead process left unproved.

    Returns how many were applied. An attempt is counted before it begins, so that a change which kills its process is
    tried a bounded number of times, after growing pauses.
    """
    applied = 0
    for change_id in _due(clock.now(), limit):
        if not _claim(change_id):
            continue
        try:
            apply_change(change_id=change_id, actor=BEAT)
            applied += 1
        except Retryable as error:
            _log.warning("change_waits", change_id=change_id, code=error.code)
        except DomainError as error:
            # A refusal of the kind is noted by then; one before it (the state moved) is a failure too, for nobody watches.
            # A request that was moved in time or withdrawn meanwhile is none.
            if error.code != "not_due":
                _note_failure(change_id=change_id, actor=BEAT, error=error)
            _log.warning("change_failed", change_id=change_id, code=error.code)
    unproved = ChangeRequest.objects.filter(state=ChangeState.APPLIED, verified_at__isnull=True).order_by("pk")
    for change_id in unproved.values_list("pk", flat=True)[:limit]:
        verify_change(change_id=change_id, actor=BEAT)
    return applied


def require_approved(request: Any, *, kind: str, **expected: Any) -> None:
    """Raises Denied unless *request* is an approved request of the kind whose payload says what is expected.

    For use cases that need four eyes: they are handed the request by their kind's `apply` and ask here.
    """
    is_approved = isinstance(request, ChangeRequest) and request.pk is not None and connection.in_atomic_block
    if is_approved:
        # Read again under the lock that the application holds: an object in memory proves nothing.
        row = ChangeRequest.objects.filter(pk=request.pk, kind=kind, state__in=[state.value for state in DUE]).first()
        wanted = plain_json(expected, field="payload")
        is_approved = row is not None and all(row.payload.get(name) == value for name, value in wanted.items())
    if not is_approved:
        raise Denied("This needs a change request that another person approved.", code="approval_needed", kind=kind)


@transaction.atomic
def _apply_once(*, change_id: int, actor: Actor) -> ChangeRequest:
    change = locked_change(change_id, actor)
    kind = change_kind(change.kind)
    if not holds(actor, kind.checker_capability):
        authorise(actor, kind.maker_capability)
    state = next_state("apply", change.state)
    if state is None:
        return change
    _require_due(change, kind, actor)
    require_same_payload(change)
    require_fresh(change, kind)
    payload = copy.deepcopy(change.payload)
    outcome = _carry_out(kind, payload, actor, change)
    crash_points.reach("core.change.after_apply")
    change.state = state
    change.executed_hash = payload_digest(payload)
    change.applied_at, change.applied_by, change.applied_by_user_id = clock.now(), actor.label[:200], actor.user_id
    change.outcome = outcome
    change.error, change.failed_at, change.next_attempt_at = "", None, None
    change.save()
    write_down(
        change,
        "apply",
        actor,
        changes={"executed_hash": change.executed_hash, "outcome": outcome, "approved_by": change.checked_by},
    )
    crash_points.reach("core.change.before_commit")
    return change


def _carry_out(kind: ChangeKind, payload: dict[str, Any], actor: Actor, change: ChangeRequest) -> dict[str, Any]:
    """Runs the kind's `apply`, with every constraint checked before it counts as done. Raises _FailedError."""
    try:
        with transaction.atomic():
            kind.check(payload)
            outcome: dict[str, Any] = plain_json(kind.apply(payload, actor, change) or {}, field="outcome")
            _check_constraints_now()
    except DomainError as error:
        raise _FailedError(error) from error
    except DatabaseError as error:
        raise _FailedError(_as_domain_error(error, "The database refused it")) from error
    return outcome


def _check_constraints_now() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("SET CONSTRAINTS ALL DEFERRED")


def _require_due(change: ChangeRequest, kind: ChangeKind, actor: Actor) -> None:
    if change.apply_at is None or change.apply_at <= clock.now():
        return
    if actor.is_system or not holds(actor, kind.checker_capability) or change.maker_id == actor.user_id:
        raise Conflict(
            f"It was approved for {change.apply_at:%Y-%m-%d %H:%M} UTC.",
            code="not_due",
            apply_at=change.apply_at.isoformat(),
        )


@transaction.atomic
def _note_failure(*, change_id: int, actor: Actor, error: DomainError) -> None:
    """Marks the request as failed with what went wrong; the transaction of the attempt is rolled back by then."""
    change = locked_change(change_id, actor)
    if change.state not in DUE:
        return
    message = _text_of(error)
    if change.state == ChangeState.FAILED and change.error == message and actor is BEAT:
        return
    change.state, change.error, change.failed_at = ChangeState.FAILED, message, clock.now()
    change.next_attempt_at = None
    change.save()
    write_down(change, "fail", actor, text=message, changes={"code": error.code})


def _due(now: datetime, limit: int) -> list[int]:
    """Approved requests whose time has come and that are not pausing after an attempt, the oldest first.

    A failed one waits for a person: trying it again unasked could carry out what nobody expects any more.
    """
    due = ChangeRequest.objects.filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now), state=ChangeState.APPROVED, apply_at__lte=now
    )
    return list(due.order_by("apply_at", "pk").values_list("pk", flat=True)[:limit])


@transaction.atomic
def _claim(change_id: int) -> bool:
    """Counts the attempt; False when another process is at it, or the last attempt is used up."""
    change = (
        ChangeRequest.objects.select_for_update(of=("self",), no_key=True, skip_locked=True)
        .filter(pk=change_id, state=ChangeState.APPROVED)
        .first()
    )
    now = clock.now()
    if change is None or (change.next_attempt_at is not None and change.next_attempt_at > now):
        return False
    if change.attempts >= MAX_ATTEMPTS:
        error = NotFound(f"It was given up after {MAX_ATTEMPTS} attempts.", code="attempts_used_up")
        _note_failure(change_id=change.pk, actor=BEAT, error=error)
        return False
    change.attempts += 1
    change.next_attempt_at = now + delay_after(change.attempts)
    change.save(update_fields=["attempts", "next_attempt_at"])
    return True


def _as_domain_error(error: DatabaseError, what: str) -> DomainError:
    first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    if isinstance(error, OperationalError):
        return Retryable(f"{what} for now: {first_line}", code="database_busy")
    return Conflict(f"{what}: {first_line}", code="database_refused")


def _text_of(error: Exception) -> str:
    text = error.message if isinstance(error, DomainError) else f"{type(error).__name__}: {error}"
    return (text.strip() or type(error).__name__)[:MAX_ERROR_LENGTH]
