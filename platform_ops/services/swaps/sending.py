"""Due charges to the trading server: each handed over, once, to an operation there, and ended as that ends.

The hand-over writes the operation and the charge's new state in one transaction; what is sent, looked up and found again is
the operation's own business (`services/account_operations`), so a process that dies at any point loses nothing and charges
nobody twice. No books move here: the deal comes back through the server's history like any other, and only it is counted.
"""

from __future__ import annotations

import time
from typing import Any

import structlog
from django.db import transaction

from backoffice.core import crash_points
from backoffice.core.services import audit
from backoffice.core.services.switches import Switch, SwitchedOff, require_open
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError
from platform_ops.models import ServerOperation, SwapCharge, SwapSetting, TradingServer
from platform_ops.rules.operations import OperationState
from platform_ops.services.account_operations import carry_out, request_balance_operation
from platform_ops.services.swaps.work import note_charges
from platform_ops.types import DealKind

WORKER = Actor.system("swap charges")
KEY = "swap-charge:"
"""What the idempotency keys of charges' operations begin with; the charge's own reference follows."""
MAX_AT_ONCE = 500
MAX_UNDER_WAY = 50
"""So many operations of charges may be unfinished on one server: one that is gone does not fill the queue of operations."""
SECONDS_PER_PASS = 20.0
MAX_PROBLEM = 300

crash_points.declare("platform.swap_charges.after_hand_over")

_log = structlog.get_logger(__name__)


def send_due_charges(*, server_id: int | None = None, limit: int = MAX_AT_ONCE) -> int:
    """Sends the due charges of servers whose charges go there; returns how many have ended since the last time.

    While pushes to servers are stopped, and while a server cannot be reached, charges stay due and say why. A charge that
    our own side refuses (a closed account is paid nothing) stays due with its problem, behind all others.
    """
    settings = SwapSetting.objects.filter(channel=SwapSetting.Channel.SERVER).select_related("server")
    if server_id is not None:
        settings = settings.filter(server=server_id)
    ended = settle_charges(server_id=server_id)
    for setting in settings.order_by("server_id"):
        ended += _send_of_server(setting.server, limit)
        note_charges(setting.server)
    return ended


def settle_charges(*, server_id: int | None = None) -> int:
    """Ends the charges whose operations have ended; how many. What an event would have told, and was lost, is found here."""
    under_way = SwapCharge.objects.filter(state=SwapCharge.State.SENDING, operation__finished_at__isnull=False)
    if server_id is not None:
        under_way = under_way.filter(account__server=server_id)
    return sum(_settle(charge_id) for charge_id in under_way.values_list("pk", flat=True)[:MAX_AT_ONCE])


def settle_operation(payload: dict[str, Any], event: object = None) -> None:
    """The handler of `platform.operation_finished`: the charge that the operation was for ends with it.

    An operation that was given up and is found on the server after all makes its charge a done one; what was charged in its
    place is then paid back by the next comparison of target and charges.
    """
    charge = SwapCharge.objects.filter(operation=payload["operation_id"]).first()
    if charge is not None:
        _settle(charge.pk)


def _send_of_server(server: TradingServer, limit: int) -> int:
    due = SwapCharge.objects.filter(account__server=server, state=SwapCharge.State.DUE)
    under_way = SwapCharge.objects.filter(account__server=server, state=SwapCharge.State.SENDING)
    ids = list(due.order_by("attempts", "pk").values_list("pk", flat=True)[:limit])
    if not ids:
        return 0
    try:
        require_open(Switch.SERVER_PUSHES, entity_id=server.entity_id)
    except SwitchedOff as error:
        due.exclude(problem=error.message[:MAX_PROBLEM]).update(problem=error.message[:MAX_PROBLEM])
        return 0
    free = MAX_UNDER_WAY - under_way.count()
    until = time.monotonic() + SECONDS_PER_PASS
    ended = 0
    for charge_id in ids:
        if free <= 0 or time.monotonic() > until:
            break
        operation = _hand_over(charge_id)
        if operation is None:
            continue
        crash_points.reach("platform.swap_charges.after_hand_over")
        state = OperationState(carry_out(operation_id=operation.pk).operation.state)
        if state.is_final:
            ended += _settle(charge_id)
        else:
            free -= 1
        if state is OperationState.REQUESTED:
            # The server is not to be reached: the operation waits for it, and the others stay where they are.
            break
    return ended


def _hand_over(charge_id: int) -> ServerOperation | None:
    """Makes the charge an operation, unless somebody else did; None where nothing is to be carried out."""
    try:
        return _request(charge_id)
    except SwitchedOff:
        return None
    except DomainError as error:
        _keep_back(charge_id, error.message)
        _log.warning("swap_charge_kept_back", charge_id=charge_id, code=error.code)
        return None


@transaction.atomic(durable=True)
def _request(charge_id: int) -> ServerOperation | None:
    charge = _locked(charge_id)
    if charge.state != SwapCharge.State.DUE:
        return None
    operation = request_balance_operation(
        account_id=charge.account_id,
        kind=DealKind(charge.kind),
        amount=charge.amount,
        actor=WORKER,
        reason=f"{charge.reference}: {charge.get_kind_display()} of {charge.day}",
        idempotency_key=f"{KEY}{charge.reference}",
        comment=f"swap {charge.day:%Y-%m-%d}",
        # It is owed whatever the account can spare.
        checks_margin=False,
        is_bulk=True,
    )
    charge.operation, charge.state, charge.problem = operation, SwapCharge.State.SENDING, ""
    charge.attempts += 1
    charge.save(update_fields=["operation", "state", "problem", "attempts"])
    return operation


@transaction.atomic(durable=True)
def _keep_back(charge_id: int, why: str) -> None:
    charge = _locked(charge_id)
    if charge.state == SwapCharge.State.DUE:
        charge.problem = why[:MAX_PROBLEM]
        charge.attempts = min(charge.attempts + 1, 30_000)
        charge.save(update_fields=["problem", "attempts"])


@transaction.atomic
def _settle(charge_id: int) -> bool:
    """Brings a charge to what its operation came to; whether that changed it."""
    charge = _locked(charge_id)
    operation = charge.operation
    if operation is None or charge.state == SwapCharge.State.DONE:
        return False
    state = OperationState(operation.state)
    if state.took_effect:
        charge.state, charge.deal_ticket, charge.problem = SwapCharge.State.DONE, operation.deal_ticket, ""
        charge.done_at = operation.finished_at or clock.now()
    elif state.is_final and charge.state == SwapCharge.State.SENDING:
        charge.state, charge.problem = SwapCharge.State.REFUSED, operation.problem[:MAX_PROBLEM]
    else:
        return False
    charge.save(update_fields=["state", "deal_ticket", "problem", "done_at"])
    audit.record(
        actor=WORKER,
        action=f"platform.swap_charge_{charge.state}",
        target=charge,
        reason=charge.problem,
        changes={"operation": operation.reference, "deal": operation.deal_ticket},
        entity_id=operation.entity_id,
    )
    return True


def _locked(charge_id: int) -> SwapCharge:
    return SwapCharge.objects.select_for_update(of=("self",)).select_related("operation").get(pk=charge_id)
