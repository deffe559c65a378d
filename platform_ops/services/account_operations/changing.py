"""Changing an account on its server: group, leverage, access, password. What the books already know to be refused is not sent."""

from __future__ import annotations

from django.db import transaction

from backoffice.core.access import authorise, get_visible, holds
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from platform_ops.account_permissions import CHANGE_ACCOUNTS, OWN_ACCOUNTS
from platform_ops.models import AccountGroup, Position, ServerOperation, TradingAccount
from platform_ops.rules.operations import OperationKind
from platform_ops.selectors.account_catalogue import class_of_client, leverage_allowed
from platform_ops.services.account_operations.common import locked_account, require_no_other, write_request
from platform_ops.services.account_operations.sending import ACCESS

LARGEST_LEVERAGE = 3_000


@transaction.atomic
def request_group_change(
    *, account_id: int, group_id: int, actor: Actor, reason: str, idempotency_key: str
) -> ServerOperation:
    """Moves an account to another group of its server, in its currency, demo to demo and live to live.

    Raises Conflict with the codes `has_open_trades` (3008), `other_server` (3009) and `other_currency` (3010), by which the
    server itself would refuse.
    """
    authorise(actor, CHANGE_ACCOUNTS)
    account = locked_account(account_id, actor)
    group = get_visible(AccountGroup.objects.select_related("server"), actor, pk=group_id)
    request = {"group": group.name, "from": account.group.name if account.group else ""}
    operation = _operation(account, OperationKind.CHANGE_GROUP)
    operation.group = group
    if not _is_known(idempotency_key):
        if group.server_id != account.server_id:
            raise Conflict("The group is on another server.", code="other_server", field="group")
        if group.currency != account.currency:
            raise Conflict(
                f"The group is kept in {group.currency}, the account in {account.currency}.",
                code="other_currency",
                field="group",
            )
        if group.is_demo != account.is_demo:
            raise Conflict("Demo and live accounts do not mix.", code="demo_and_live", field="group")
        if group.pk == account.group_id:
            raise Conflict("The account is in this group already.", code="changes_nothing", field="group")
        _require_no_open_trades(account)
        require_no_other(account, OperationKind.CHANGE_GROUP)
    return write_request(
        operation=operation, request=request, idempotency_key=idempotency_key, actor=actor, reason=reason
    )[0]


@transaction.atomic
def request_leverage_change(
    *, account_id: int, leverage: int, actor: Actor, reason: str, idempotency_key: str
) -> ServerOperation:
    """Changes an account's leverage within what its type and its client's class allow.

    A client asks for their own account, without open positions. Raises InvalidInput (`leverage_not_offered`).
    """
    by_desk = holds(actor, CHANGE_ACCOUNTS)
    if not by_desk:
        authorise(actor, OWN_ACCOUNTS)
    account = locked_account(account_id, actor)
    if not _is_known(idempotency_key):
        _check_leverage(account, leverage)
        if not by_desk:
            _require_own(account, actor)
            _require_no_open_trades(account)
        require_no_other(account, OperationKind.CHANGE_LEVERAGE)
    return write_request(
        operation=_operation(account, OperationKind.CHANGE_LEVERAGE),
        request={"leverage": leverage},
        idempotency_key=idempotency_key,
        actor=actor,
        reason=reason,
    )[0]


@transaction.atomic
def request_access_change(
    *, account_id: int, access: str, actor: Actor, reason: str, idempotency_key: str
) -> ServerOperation:
    """Sets what an account may do: `active`, `read_only` (no trading) or `closed` (no login either)."""
    authorise(actor, CHANGE_ACCOUNTS)
    account = locked_account(account_id, actor)
    if access not in ACCESS:
        raise InvalidInput("Access is active, read_only or closed.", field="access", value=access)
    if not _is_known(idempotency_key):
        if access == account.status:
            raise Conflict("The account stands so already.", code="changes_nothing", field="access")
        if access == TradingAccount.Status.CLOSED:
            _require_no_open_trades(account)
        require_no_other(account, OperationKind.CHANGE_ACCESS)
    return write_request(
        operation=_operation(account, OperationKind.CHANGE_ACCESS),
        request={"access": access},
        idempotency_key=idempotency_key,
        actor=actor,
        reason=reason,
    )[0]


@transaction.atomic
def request_new_password(
    *, account_id: int, is_investor: bool, actor: Actor, reason: str, idempotency_key: str
) -> ServerOperation:
    """Has a new password made for an account. It is drawn when it is sent, shown by that call of `carry_out`, kept nowhere."""
    if not holds(actor, CHANGE_ACCOUNTS):
        authorise(actor, OWN_ACCOUNTS)
    account = locked_account(account_id, actor)
    if not holds(actor, CHANGE_ACCOUNTS):
        _require_own(account, actor)
    if not _is_known(idempotency_key):
        if account.status == TradingAccount.Status.CLOSED:
            raise Conflict("The account is closed.", code="account_closed")
        require_no_other(account, OperationKind.CHANGE_PASSWORD)
    return write_request(
        operation=_operation(account, OperationKind.CHANGE_PASSWORD),
        request={"is_investor": is_investor},
        idempotency_key=idempotency_key,
        actor=actor,
        reason=reason,
    )[0]


def _operation(account: TradingAccount, kind: OperationKind) -> ServerOperation:
    return ServerOperation(
        entity_id=account.server.entity_id,
        server_id=account.server_id,
        account=account,
        client_id=account.client_id,
        login=account.login,
        kind=kind.value,
    )


def _is_known(idempotency_key: str) -> bool:
    """Whether the request was made before: a repetition is answered, not checked against what it has changed itself."""
    return ServerOperation.objects.filter(idempotency_key=idempotency_key).exists()


def _check_leverage(account: TradingAccount, leverage: int) -> None:
    if leverage == account.leverage:
        raise Conflict("The account has this leverage already.", code="changes_nothing", field="leverage")
    account_type = account.account_type
    if account_type is not None and account_type.leverage_choices:
        client_class = class_of_client(client_id=account.client_id) if account.client_id else "retail"
        allowed = leverage_allowed(account_type, client_class)
        if leverage not in allowed:
            raise InvalidInput(
                f"Leverage is one of {', '.join(f'1:{choice}' for choice in allowed) or 'none'}.",
                code="leverage_not_offered",
                field="leverage",
                value=leverage,
            )
    elif not 1 <= leverage <= LARGEST_LEVERAGE:
        raise InvalidInput(f"Leverage is 1 to {LARGEST_LEVERAGE}.", field="leverage", value=leverage)


def _require_own(account: TradingAccount, actor: Actor) -> None:
    if account.client is None or account.client.user_id != actor.user_id:
        raise Denied("This is not your account.", capability=CHANGE_ACCOUNTS)


def _require_no_open_trades(account: TradingAccount) -> None:
    count = Position.objects.filter(account=account).count()
    if count:
        raise Conflict(
            f"The account has {count} open {'position' if count == 1 else 'positions'}: they are closed first.",
            code="has_open_trades",
        )
