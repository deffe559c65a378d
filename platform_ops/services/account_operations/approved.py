"""The kind of change by which money above a person's limit is moved: proposed by one, approved by another."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import Sum

from backoffice.core.changes.kinds import ChangeKind, Impact
from backoffice.core.types import Actor
from backoffice.kernel.currency import Currency
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.account_permissions import APPROVE_MONEY, MOVE_MONEY
from platform_ops.models import BalanceOperation, ServerOperation, TradingAccount
from platform_ops.rules.operations import OperationState, check_money
from platform_ops.services.account_operations.limits import limit_of
from platform_ops.services.account_operations.money import (
    MONEY_CHANGE_KIND,
    check_account,
    request_balance_operation,
)
from platform_ops.types import DealKind

Payload = dict[str, Any]
_CREDIT = (DealKind.CREDIT.value, DealKind.SO_CREDIT_COMPENSATION.value)


def money_change_kind() -> ChangeKind:
    """The kind, for its registration."""
    return ChangeKind(
        kind=MONEY_CHANGE_KIND,
        label="Balance operation",
        desk="platform_ops",
        maker_capability=MOVE_MONEY,
        checker_capability=APPROVE_MONEY,
        title=_title,
        current=_current,
        proposed=_proposed,
        preview=_preview,
        apply=_apply,
        verify=_verify,
        check=_check,
        target=lambda payload: _account(payload),
        entity_of=lambda payload: _account(payload).server.entity_id,
        labels={"operation": "Operation", "amount": "Amount", "account": "Account"},
    )


def _account(payload: Payload) -> TradingAccount:
    found = TradingAccount.objects.select_related("server", "client").filter(pk=payload.get("account_id") or 0).first()
    if found is None:
        raise InvalidInput("No such account.", field="account_id")
    return found


def _amount(payload: Payload) -> tuple[DealKind, Decimal]:
    try:
        return DealKind(int(payload["kind_of_deal"])), Decimal(str(payload["amount"]))
    except (KeyError, ValueError, ArithmeticError) as error:
        raise InvalidInput("The payload names no amount or kind.", field="amount") from error


def _check(payload: Payload) -> None:
    account, (kind, amount) = _account(payload), _amount(payload)
    if payload.get("currency") != account.currency:
        raise Conflict("The account is kept in another currency.", code="other_currency")
    check_money(kind, amount, Currency.of(account.currency).digits)
    check_account(account, kind, amount)


def _title(payload: Payload) -> str:
    account, (kind, amount) = _account(payload), _amount(payload)
    return f"{_words(kind)} of {amount:+,.2f} {account.currency} on {account.login}"


def _words(kind: DealKind) -> str:
    return kind.name.replace("_", " ").capitalize()


def _current(payload: Payload) -> dict[str, Any]:
    return {"operation": "none", "amount": "0", "account": str(_account(payload))}


def _proposed(payload: Payload) -> dict[str, Any]:
    account, (kind, amount) = _account(payload), _amount(payload)
    return {"operation": _words(kind), "amount": f"{amount:+,.2f} {account.currency}", "account": str(account)}


def _preview(payload: Payload, actor: Actor) -> Impact:
    account, (_, amount) = _account(payload), _amount(payload)
    last = BalanceOperation.objects.filter(account=account, is_cancelled=False).order_by("-at")[:5]
    moved = BalanceOperation.objects.filter(account=account, is_cancelled=False).exclude(kind__in=_CREDIT)
    total = moved.aggregate(total=Sum("amount"))["total"] or Decimal(0)
    alone, per_day = limit_of(entity_id=account.server.entity_id, currency=account.currency)
    who = str(account.client) if account.client else "an account without a client"
    direction = "given to" if amount > 0 else "taken from"
    return Impact(
        f"{abs(amount):,.2f} {account.currency} is {direction} {who}, on {account.server}.",
        [
            {"When": f"{item.at:%Y-%m-%d %H:%M}", "Kind": item.get_kind_display(), "Amount": f"{item.amount:+,.2f}"}
            for item in last
        ],
        {
            f"Paid in and out so far, {account.currency}": f"{total:,.2f}",
            f"One person moves alone, {account.currency}": f"{alone:,.2f}, {per_day:,.2f} a day",
        },
    )


def _apply(payload: Payload, actor: Actor, request: Any) -> dict[str, Any]:
    kind, amount = _amount(payload)
    operation = request_balance_operation(
        account_id=int(payload["account_id"]),
        kind=kind,
        amount=amount,
        actor=actor,
        reason=f"{request.reference}: {request.reason}"[:500],
        idempotency_key=f"change:{request.pk}",
        comment=str(payload.get("comment", "")),
        approval=request,
    )
    return {"operation_id": operation.pk, "reference": operation.reference}


def _verify(outcome: dict[str, Any]) -> list[str]:
    operation = ServerOperation.objects.get(pk=outcome["operation_id"])
    state = OperationState(operation.state)
    if state.took_effect:
        return []
    if state in (OperationState.REFUSED, OperationState.CANCELLED):
        return [f"{operation.reference} was {state.value}: {operation.problem}"]
    return [f"{operation.reference} waits for the server."]
