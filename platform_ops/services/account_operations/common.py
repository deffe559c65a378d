"""What every operation shares: its row, its reference, its steps written down, and how it ends."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, outbox
from backoffice.core.services.idempotency import MAX_KEY_LENGTH, request_hash
from backoffice.core.services.switches import Switch, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, IdempotencyMismatch, InvalidInput
from platform_ops.account_permissions import CHANGE_ACCOUNTS, MOVE_MONEY, OPEN_ACCOUNTS
from platform_ops.events import OPERATION_FINISHED
from platform_ops.models import ServerOperation, ServerOperationEvent, TradingAccount
from platform_ops.rules.operations import (
    REFERENCE_ALPHABET,
    REFERENCE_LENGTH,
    OperationKind,
    OperationState,
    Step,
    next_state,
)

MAX_REASON = 500
MAX_NOTE = 500
WORKER = Actor.system("account operations")
CAPABILITY_OF_KIND = {
    OperationKind.OPEN_ACCOUNT: OPEN_ACCOUNTS,
    OperationKind.MOVE_MONEY: MOVE_MONEY,
    OperationKind.CHANGE_GROUP: CHANGE_ACCOUNTS,
    OperationKind.CHANGE_LEVERAGE: CHANGE_ACCOUNTS,
    OperationKind.CHANGE_ACCESS: CHANGE_ACCOUNTS,
    OperationKind.CHANGE_PASSWORD: CHANGE_ACCOUNTS,
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens an account. Lives in memory, is shown once and kept by nobody."""

    server: str
    login: str
    main_password: str = field(default="", repr=False)
    investor_password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """An operation as it stands now; credentials only for who carried it out, at that moment."""

    operation: ServerOperation
    credentials: Credentials | None = None

    @property
    def text(self) -> str:
        """What is told to people."""
        operation = self.operation
        state = OperationState(operation.state)
        if state.took_effect:
            ticket = f" Deal {operation.deal_ticket}." if operation.deal_ticket else ""
            return f"{operation.reference}: done on {operation.server.code}.{ticket}"
        if state is OperationState.REFUSED:
            return f"{operation.reference}: refused. {operation.problem}"
        if state is OperationState.CANCELLED:
            return f"{operation.reference}: not done. {operation.problem}"
        if state is OperationState.UNCERTAIN:
            return f"{operation.reference}: the answer was lost. It is looked up on the server before anything else happens."
        return f"{operation.reference}: waits. {operation.problem}".strip()


def write_request(
    *, operation: ServerOperation, request: dict[str, Any], idempotency_key: str, actor: Actor, reason: str
) -> tuple[ServerOperation, bool]:
    """Stores an operation and its first step, unless its key stands already; whether it is new.

    Call it inside the transaction of the request. Raises IdempotencyMismatch for a key that stands for something else,
    SwitchedOff while pushes to servers are stopped.
    """
    why = checked_reason(reason)
    if not 0 < len(idempotency_key) <= MAX_KEY_LENGTH:
        raise InvalidInput(f"A key has 1 to {MAX_KEY_LENGTH} characters.", field="idempotency_key")
    digest = request_hash(
        {"kind": operation.kind, "account": operation.account_id, "client": operation.client_id, **request}
    )
    known = known_request(idempotency_key, digest)
    if known is not None:
        return known, False
    require_open(Switch.SERVER_PUSHES, entity_id=operation.entity_id)
    operation.reference = new_reference()
    operation.idempotency_key, operation.request_hash, operation.request = idempotency_key, digest, request
    operation.reason, operation.made_by, operation.made_by_user_id = why, actor.label[:200], actor.user_id
    operation.requested_at = operation.next_try_at = clock.now()
    try:
        with transaction.atomic():
            operation.save(force_insert=True)
    except IntegrityError as error:
        # Two callers with one key at once: the first is kept.
        known = known_request(idempotency_key, digest)
        if known is None:
            raise Conflict("Another operation took this place just now; ask again.", code="operation_taken") from error
        return known, False
    note(operation, actor, why)
    audit.record(
        actor=actor,
        action=f"platform.request_{operation.kind}",
        target=operation,
        reason=why,
        changes={"reference": operation.reference, "login": operation.login, **request},
        entity_id=operation.entity_id,
    )
    return operation, True


def known_request(idempotency_key: str, digest: bytes) -> ServerOperation | None:
    """The operation of a key. Raises IdempotencyMismatch when it asked for something else."""
    known = ServerOperation.objects.filter(idempotency_key=idempotency_key).first()
    if known is not None and bytes(known.request_hash) != digest:
        raise IdempotencyMismatch("This key was used before for another operation.", key=idempotency_key)
    return known


def new_reference() -> str:
    """A reference that nothing else has: 60 random bits."""
    drawn = "".join(secrets.choice(REFERENCE_ALPHABET) for _ in range(REFERENCE_LENGTH - 3))
    return f"BO-{drawn}"


def checked_reason(reason: str) -> str:
    """The reason as it is kept."""
    why = reason.strip()
    if not why:
        raise InvalidInput("Say why.", field="reason")
    if len(why) > MAX_REASON:
        raise InvalidInput(f"The reason has at most {MAX_REASON} letters.", field="reason")
    return why


def locked(operation_id: int) -> ServerOperation:
    """The operation, locked until the transaction ends."""
    return (
        ServerOperation.objects.select_for_update(of=("self",))
        .select_related("server", "account", "client", "group")
        .get(pk=operation_id)
    )


def locked_account(account_id: int, actor: Actor) -> TradingAccount:
    """An account that the actor sees, locked until the transaction ends."""
    visible = get_visible(TradingAccount.objects.all(), actor, pk=account_id)
    return (
        TradingAccount.objects.select_for_update(of=("self",))
        .select_related("server", "group", "account_type", "client")
        .get(pk=visible.pk)
    )


def require_no_other(account: TradingAccount, kind: OperationKind) -> None:
    """Raises Conflict while another change of the same kind is under way on the account: they would overtake each other."""
    waiting = ServerOperation.objects.filter(account=account, kind=kind.value, finished_at__isnull=True).first()
    if waiting is not None:
        raise Conflict(
            f"{waiting.reference} is still under way on this account.",
            code="operation_under_way",
            reference=waiting.reference,
        )


def move_on(operation: ServerOperation, step: Step, actor: Actor, text: str = "", **fields: Any) -> ServerOperation:
    """Takes a locked operation one step further and writes the step down. Raises IllegalTransition."""
    state = next_state(operation.state, step)
    now = clock.now()
    operation.state = state.value
    for name, value in fields.items():
        setattr(operation, name, value)
    if state.is_final:
        operation.finished_at, operation.next_try_at = now, None
    operation.save()
    note(operation, actor, text)
    if state.is_final:
        audit.record(
            actor=actor,
            action=f"platform.operation_{state.value}",
            target=operation,
            reason=text[:MAX_REASON],
            changes={"deal": operation.deal_ticket, "attempts": operation.attempts, "code": operation.server_code},
            entity_id=operation.entity_id,
        )
        outbox.publish(
            topic=OPERATION_FINISHED,
            payload={"operation_id": operation.pk, "state": state.value},
            shard_key=f"operation:{operation.pk}",
        )
    return operation


def note(operation: ServerOperation, actor: Actor, text: str = "") -> None:
    """Writes down where the operation stands."""
    ServerOperationEvent.objects.create(
        operation=operation, state=operation.state, actor=actor.label[:200], note=text[:MAX_NOTE]
    )


@transaction.atomic
def cancel_operation(*, operation_id: int, actor: Actor, reason: str) -> ServerOperation:
    """Gives an operation up that was not sent, or that the server does not know although it had its time.

    Raises IllegalTransition for one that is under way or whose answer is lost: nobody may say that it did not happen.
    """
    visible = get_visible(ServerOperation.objects.all(), actor, pk=operation_id)
    authorise(actor, CAPABILITY_OF_KIND[OperationKind(visible.kind)])
    operation = locked(visible.pk)
    if operation.state == OperationState.CANCELLED:
        return operation
    why = checked_reason(reason)
    return move_on(operation, Step.CANCEL, actor, why, problem=f"Given up: {why}"[:MAX_NOTE])
