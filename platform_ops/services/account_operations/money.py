"""Money on accounts: balance and credit operations, corrections and charges, with limits and four eyes.

The books follow when the deal comes back; here is only the intent and what the server made of it.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.core.services.idempotency import run_once
from backoffice.core.services.switches import Switch, register_guard, require_open
from backoffice.core.types import Actor
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from backoffice.kernel.ids import uuid7
from platform_ops.account_permissions import MOVE_MONEY
from platform_ops.models import BalanceOperation, ServerOperation, TradingAccount
from platform_ops.rules.operations import MONEY_KINDS, OperationKind, OperationState, check_money, is_paid_out
from platform_ops.selectors.account_catalogue import minimum_deposit
from platform_ops.services.account_operations.common import locked_account, write_request
from platform_ops.services.account_operations.limits import why_approval_is_needed
from platform_ops.types import DealKind

MONEY_CHANGE_KIND = "platform.balance_operation"
MAX_COMMENT_TEXT = 16
register_guard("platform_ops.services.account_operations.money.request_balance_operation", Switch.SERVER_PUSHES)


@transaction.atomic
def request_balance_operation(
    *,
    account_id: int,
    kind: DealKind,
    amount: Decimal,
    actor: Actor,
    reason: str,
    idempotency_key: str,
    comment: str = "",
    checks_margin: bool | None = None,
    approval: Any = None,
    is_bulk: bool = False,
) -> ServerOperation:
    """Writes down that money is to be moved on an account's server; `carry_out` moves it. The same key moves it once.

    *amount* is signed from the client's side, in the account's currency. *approval* is the change request that approved
    it, handed in by its own application. Margin is checked for what is taken unless *checks_margin* says otherwise.
    Raises InvalidInput for an amount that cannot be booked or a first deposit below the minimum, Denied
    (`approval_needed`) above what one person may move alone, SwitchedOff while pushes (or, for money out, withdrawals)
    are stopped.
    """
    if approval is None:
        authorise(actor, MOVE_MONEY)
    else:
        changes.require_approved(
            approval, kind=MONEY_CHANGE_KIND, account_id=account_id, amount=plain(amount), kind_of_deal=int(kind)
        )
    account = locked_account(account_id, Actor.system("approved change") if approval is not None else actor)
    check_money(kind, amount, Currency.of(account.currency).digits)
    operation = ServerOperation(
        entity_id=account.server.entity_id,
        server_id=account.server_id,
        account=account,
        client_id=account.client_id,
        login=account.login,
        kind=OperationKind.MOVE_MONEY.value,
        deal_kind=int(kind),
        amount=amount,
        currency=account.currency,
        change_request=approval,
        is_bulk=is_bulk,
    )
    request = {
        "deal_kind": kind.name.lower(),
        "amount": plain(amount),
        "currency": account.currency,
        "comment": comment.strip()[:MAX_COMMENT_TEXT],
        "checks_margin": amount < 0 if checks_margin is None else checks_margin,
    }
    if not ServerOperation.objects.filter(idempotency_key=idempotency_key).exists():
        check_account(account, kind, amount)
        if is_paid_out(kind, amount):
            require_open(Switch.WITHDRAWALS, entity_id=account.server.entity_id)
        needed = [] if approval is not None else why_approval_is_needed(account=account, amount=amount, actor=actor)
        if needed:
            raise Denied(f"A second person must agree: {needed[0]}.", code="approval_needed", kind=MONEY_CHANGE_KIND)
    return write_request(
        operation=operation, request=request, idempotency_key=idempotency_key, actor=actor, reason=reason
    )[0]


def propose_balance_operation(
    *,
    account_id: int,
    kind: DealKind,
    amount: Decimal,
    actor: Actor,
    reason: str,
    idempotency_key: str,
    comment: str = "",
) -> ChangeRequest:
    """Hands a money operation in for approval by another person; nothing is sent before. The same key proposes once."""
    authorise(actor, MOVE_MONEY)
    with transaction.atomic():
        account = locked_account(account_id, actor)
        check_money(kind, amount, Currency.of(account.currency).digits)
        check_account(account, kind, amount)
    payload = {
        "account_id": account_id,
        "kind_of_deal": int(kind),
        "amount": plain(amount),
        "currency": account.currency,
        "comment": comment.strip()[:MAX_COMMENT_TEXT],
    }

    def execute() -> dict[str, Any]:
        # Two equal operations are two: what makes a payload one of its own is drawn here.
        draft = changes.draft_change(
            kind=MONEY_CHANGE_KIND,
            payload=payload | {"id": str(uuid7())},
            actor=actor,
            reason=reason,
            entity_id=account.server.entity_id,
        )
        return {"change_id": changes.submit_change(change_id=draft.pk, actor=actor).pk}

    found = run_once(
        scope=f"{MONEY_CHANGE_KIND}:{actor.user_id}",
        key=idempotency_key,
        request={**payload, "reason": reason},
        execute=execute,
    )
    return ChangeRequest.objects.get(pk=found["change_id"])


def plain(amount: Decimal) -> str:
    """The amount as text, the same for 100 and 100.00: what is compared with an earlier request."""
    return f"{amount.normalize():f}"


def check_account(account: TradingAccount, kind: DealKind, amount: Decimal) -> None:
    """Raises Conflict or InvalidInput for money that the account does not take."""
    if kind not in MONEY_KINDS:
        raise InvalidInput("This is no kind of money operation.", field="kind")
    if account.status == TradingAccount.Status.CLOSED and amount > 0:
        raise Conflict("The account is closed: nothing is paid in.", code="account_closed")
    if kind is not DealKind.BALANCE or amount < 0:
        return
    least = minimum_deposit(account)
    if amount < least and not _had_deposit(account):
        raise InvalidInput(
            f"A first deposit on this account is at least {least:,.2f} {account.currency}.",
            code="below_minimum_deposit",
            field="amount",
            value=str(amount),
        )


def _had_deposit(account: TradingAccount) -> bool:
    if BalanceOperation.objects.filter(
        account=account, kind=DealKind.BALANCE.value, amount__gt=0, is_cancelled=False
    ).exists():
        return True
    asked = ServerOperation.objects.filter(account=account, deal_kind=DealKind.BALANCE.value, amount__gt=0)
    return asked.exclude(state__in=[OperationState.REFUSED.value, OperationState.CANCELLED.value]).exists()
