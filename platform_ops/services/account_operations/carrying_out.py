"""Carrying operations out: claimed in one transaction, sent outside of any, recorded in another.

Who works on an operation holds a lock of its database session. A process that dies loses it with its connection, so an
operation that says it is being sent while nobody holds its lock was sent by somebody who is dead: it is uncertain, and
looked up. A process that merely stands still keeps its lock, and nobody sends in its place.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog
from django.db import transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise, get_visible
from backoffice.core.locks import advisory_key, release_session_lock, try_session_lock
from backoffice.core.services import changes
from backoffice.core.services.switches import Switch, SwitchedOff, register_guard, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Denied, DomainError
from platform_ops.gateways.errors import GatewayError, GatewayRefused, GatewayUncertain, NotOffered
from platform_ops.models import ServerOperation, TradingAccount
from platform_ops.rules.operations import (
    MAXIMUM_ATTEMPTS,
    OperationKind,
    OperationState,
    Step,
    is_paid_out,
    pause_after,
    settles_at,
)
from platform_ops.services import connections
from platform_ops.services.account_operations import sending
from platform_ops.services.account_operations.common import (
    CAPABILITY_OF_KIND,
    MAX_NOTE,
    WORKER,
    Credentials,
    Outcome,
    locked,
    move_on,
)
from platform_ops.services.account_operations.sending import Answer

crash_points.declare("platform.operation.before_send", "platform.operation.after_send")
register_guard("platform_ops.services.account_operations.carrying_out.carry_out", Switch.SERVER_PUSHES)

ROUNDS = 3
"""Sent, looked up, sent again: no more than that in one go."""
SWITCHED_OFF_PAUSE = timedelta(seconds=30)
MAX_SWEPT = 100

_log = structlog.get_logger(__name__)


def carry_out(*, operation_id: int, actor: Actor = WORKER, is_forced: bool = False) -> Outcome:
    """Brings an operation as far as it goes now; repeating it changes nothing that is finished.

    Somebody else at work on it, a pause that is not over and a stopped switch leave it as it is; a person may force it past
    the pause and the number of attempts, never past the look-up. Credentials are in the outcome only of the call that
    made them. Raises NotFound and Denied like its request did.
    """
    visible = get_visible(ServerOperation.objects.all(), actor, pk=operation_id)
    if not (actor.is_system or visible.made_by_user_id == actor.user_id):
        authorise(actor, CAPABILITY_OF_KIND[OperationKind(visible.kind)])
    key = advisory_key("platform", "server operation", str(operation_id))
    if not try_session_lock(key):
        return Outcome(_read(operation_id))
    credentials: Credentials | None = None
    try:
        for _ in range(ROUNDS):
            operation = _claim(operation_id, actor, is_forced=is_forced)
            is_forced = False
            if operation is None:
                break
            if operation.state == OperationState.SENDING:
                credentials = _send(operation, actor) or credentials
            else:
                _look_up(operation, actor)
    finally:
        release_session_lock(key)
    operation = _read(operation_id)
    _prove_change(operation)
    return Outcome(operation, credentials if OperationState(operation.state).took_effect else None)


def carry_out_due(*, limit: int = MAX_SWEPT) -> int:
    """Carries on with what waits: fresh requests, lost answers, what a dead process left. Returns how many were touched."""
    waiting = ServerOperation.objects.filter(finished_at__isnull=True, next_try_at__lte=clock.now())
    due = list(waiting.order_by("next_try_at").values_list("pk", flat=True)[:limit])
    for operation_id in due:
        try:
            carry_out(operation_id=operation_id)
        except DomainError as error:
            _log.warning("operation_waits", operation_id=operation_id, code=error.code)
    return len(due)


@transaction.atomic(durable=True)
def _claim(operation_id: int, actor: Actor, *, is_forced: bool) -> ServerOperation | None:
    """The operation, ready to be sent (state sending) or looked up (state uncertain); None when nothing is to be done."""
    operation = locked(operation_id)
    state, now = OperationState(operation.state), clock.now()
    if state is OperationState.SENDING:
        move_on(operation, Step.LOSE, WORKER, "Who sent it is gone: the answer is lost.", next_try_at=now)
        return operation
    waits = operation.next_try_at is None or operation.next_try_at > now
    if state.is_final or (waits and not is_forced):
        return None
    if state is OperationState.UNCERTAIN:
        return operation
    if (operation.attempts >= MAXIMUM_ATTEMPTS and not is_forced) or (
        state is OperationState.NOT_FOUND and operation.kind == OperationKind.CHANGE_PASSWORD
    ):
        _give_up(operation)
        return None
    try:
        require_open(Switch.SERVER_PUSHES, entity_id=operation.entity_id)
        if (
            operation.amount is not None
            and operation.deal_kind is not None
            and is_paid_out(operation.deal_kind, operation.amount)
        ):
            require_open(Switch.WITHDRAWALS, entity_id=operation.entity_id)
    except SwitchedOff as error:
        operation.problem, operation.next_try_at = error.message[:MAX_NOTE], now + SWITCHED_OFF_PAUSE
        operation.save(update_fields=["problem", "next_try_at"])
        return None
    return move_on(
        operation,
        Step.SEND,
        actor,
        attempts=operation.attempts + 1,
        sent_at=now,
        first_sent_at=operation.first_sent_at or now,
        # Nobody sweeps what was just sent; if its worker dies, this is when it is noticed.
        next_try_at=now + pause_after(1),
        problem="",
    )


def _give_up(operation: ServerOperation) -> None:
    """Nothing more happens by itself; a work item tells people. A password that may not stand is simply made anew."""
    if operation.kind == OperationKind.CHANGE_PASSWORD:
        text = "Whether the password was set is not known: make a new one."
        move_on(operation, Step.CANCEL, WORKER, text, problem=text)
        return
    if operation.next_try_at is not None:
        operation.next_try_at = None
        operation.save(update_fields=["next_try_at"])


def _send(operation: ServerOperation, actor: Actor) -> Credentials | None:
    """Sends a claimed operation and records what came of it."""
    was_sent = False
    try:
        with connections.open_gateway(server_id=operation.server_id, writing=True) as gateway:
            answer = sending.look_up(operation, gateway) if operation.attempts > 1 else None
            if answer is not None:
                _record_found(operation.pk, actor, answer)
                return None
            # Proves that the server is there and takes us, before anything is sent that could be lost.
            gateway.clock()
            crash_points.reach("platform.operation.before_send")
            was_sent = True
            answer = sending.send(operation, gateway)
    except GatewayUncertain as error:
        _record_lost(operation.pk, actor, error.message)
        return None
    except NotOffered as error:
        _record_refused(operation.pk, actor, error.message, "")
        return None
    except GatewayRefused as error:
        code = sending.code_of(error)
        if was_sent and code in sending.OUT_OF_TIME:
            _record_lost(operation.pk, actor, error.message)
        elif was_sent:
            _record_refused(operation.pk, actor, sending.words_of(error), code)
        else:
            _record_kept_back(operation.pk, actor, error.message)
        return None
    except GatewayError as error:
        if was_sent:
            _record_lost(operation.pk, actor, error.message)
        else:
            _record_kept_back(operation.pk, actor, error.message)
        return None
    except DomainError as error:
        # Ours, before anything went out: no connection is set up, or the input is one that no server takes.
        if was_sent:
            _record_refused(operation.pk, actor, error.message, "")
        else:
            _record_kept_back(operation.pk, actor, error.message)
        return None
    crash_points.reach("platform.operation.after_send")
    _record_done(operation.pk, actor, answer)
    return answer.credentials


def _look_up(operation: ServerOperation, actor: Actor) -> None:
    """Asks the server what became of an operation whose answer was lost."""
    try:
        with connections.open_gateway(server_id=operation.server_id) as gateway:
            answer = sending.look_up(operation, gateway)
    except DomainError as error:
        _record_unknown(operation.pk, error.message, clock.now() + pause_after(operation.attempts))
        return
    if answer is not None:
        _record_found(operation.pk, actor, answer)
        return
    assert operation.sent_at is not None
    options = connections.connection_of(operation.server_id).options
    longest = timedelta(seconds=int(options.get("answer_seconds", 0)))
    settled = settles_at(sent_at=operation.sent_at, longest_answer=longest)
    if clock.now() >= settled:
        _record_missed(operation.pk, actor)
    else:
        _record_unknown(operation.pk, "The server does not know it yet.", settled)


@transaction.atomic(durable=True)
def _record_done(operation_id: int, actor: Actor, answer: Answer) -> None:
    operation = locked(operation_id)
    _take_effect(operation, actor, answer, Step.CONFIRM)


@transaction.atomic(durable=True)
def _record_found(operation_id: int, actor: Actor, answer: Answer) -> None:
    """The server has it. What carries the reference but moved something else is left to a person."""
    operation = locked(operation_id)
    if OperationState(operation.state).is_final:
        return
    if operation.state == OperationState.SENDING:
        move_on(operation, Step.LOSE, actor, "An earlier attempt had come through.")
    if operation.kind == OperationKind.MOVE_MONEY and answer.deal_ticket is None:
        operation.problem, operation.next_try_at = answer.note[:MAX_NOTE], None
        operation.save(update_fields=["problem", "next_try_at"])
        return
    _take_effect(operation, actor, answer, Step.FIND)


def _take_effect(operation: ServerOperation, actor: Actor, answer: Answer, step: Step) -> None:
    """The operation happened: our own rows follow in the same transaction."""
    fields: dict[str, object] = {"problem": "", "server_code": ""}
    if operation.kind == OperationKind.MOVE_MONEY:
        fields["deal_ticket"] = answer.deal_ticket
    elif operation.kind == OperationKind.OPEN_ACCOUNT:
        fields |= {"login": answer.login, "account": _opened_account(operation, answer.login)}
    elif changed := sending.account_fields(operation):
        assert operation.account is not None
        account = TradingAccount.objects.select_for_update(of=("self",)).get(pk=operation.account.pk)
        for name, value in changed.items():
            setattr(account, name, value)
        account.save(update_fields=[name.removesuffix("_id") for name in changed])
    move_on(operation, step, actor, answer.note, **fields)


def _opened_account(operation: ServerOperation, login: str) -> TradingAccount:
    """Our row of the account. A deal of it may have come in first, which registered the login without a client."""
    group = operation.group
    assert group is not None
    account, is_new = TradingAccount.objects.get_or_create(
        server_id=operation.server_id, login=login, defaults={"currency": group.currency}
    )
    if not is_new and account.client_id not in (None, operation.client_id):
        raise Denied(f"Login {login} belongs to another client.", code="login_of_another")
    account.client_id = operation.client_id
    account.group, account.account_type_id, account.currency = group, operation.account_type_id, group.currency
    account.name = str(operation.request.get("name", ""))[:160]
    account.leverage, account.is_demo = int(operation.request["leverage"]), group.is_demo
    account.position_mode, account.status = group.position_mode, TradingAccount.Status.ACTIVE
    account.opened_at = operation.requested_at
    account.save()
    return account


@transaction.atomic(durable=True)
def _record_refused(operation_id: int, actor: Actor, why: str, code: str) -> None:
    move_on(locked(operation_id), Step.REFUSE, actor, why, problem=why[:MAX_NOTE], server_code=code[:20])


@transaction.atomic(durable=True)
def _record_lost(operation_id: int, actor: Actor, why: str) -> None:
    move_on(locked(operation_id), Step.LOSE, actor, why, problem=why[:MAX_NOTE], next_try_at=clock.now())


@transaction.atomic(durable=True)
def _record_kept_back(operation_id: int, actor: Actor, why: str) -> None:
    """Nothing was sent. What was sent before and looked up in vain waits as not found, never as if it were new."""
    operation = locked(operation_id)
    again = clock.now() + pause_after(operation.attempts)
    if operation.attempts > 1:
        move_on(operation, Step.LOSE, actor, why, problem=why[:MAX_NOTE], next_try_at=again)
        return
    move_on(operation, Step.KEEP_BACK, actor, why, problem=why[:MAX_NOTE], next_try_at=again)
    operation.attempts, operation.sent_at, operation.first_sent_at = 0, None, None
    operation.save(update_fields=["attempts", "sent_at", "first_sent_at"])
    if operation.kind == OperationKind.CHANGE_PASSWORD:
        text = f"The server could not be reached: {why}"
        move_on(operation, Step.CANCEL, actor, text, problem=text[:MAX_NOTE])


@transaction.atomic(durable=True)
def _record_missed(operation_id: int, actor: Actor) -> None:
    operation = locked(operation_id)
    if operation.state == OperationState.UNCERTAIN:
        text = "The server had its time and does not know it: it did not happen."
        move_on(operation, Step.MISS, actor, text, problem=text, next_try_at=clock.now())


@transaction.atomic(durable=True)
def _record_unknown(operation_id: int, why: str, again: datetime) -> None:
    operation = locked(operation_id)
    if operation.state == OperationState.UNCERTAIN:
        operation.problem, operation.next_try_at = why[:MAX_NOTE], again
        operation.save(update_fields=["problem", "next_try_at"])


def _prove_change(operation: ServerOperation) -> None:
    """The change request that asked for it is proved as soon as the server has done it."""
    if operation.change_request_id is not None and OperationState(operation.state).is_final:
        changes.verify_change(change_id=operation.change_request_id, actor=WORKER)


def _read(operation_id: int) -> ServerOperation:
    return ServerOperation.objects.select_related("server", "account", "client", "group").get(pk=operation_id)
