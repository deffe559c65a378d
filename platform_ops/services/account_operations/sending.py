"""What goes over the wire for each kind of operation, and how what happened is read back. No transaction is open here."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from platform_ops.gateways.errors import GatewayRefused
from platform_ops.gateways.types import GatewayAccount, NewAccount, TradingGateway
from platform_ops.models import ServerOperation, TradingAccount
from platform_ops.rules.operations import CLOCK_SLACK, OperationKind, comment_of
from platform_ops.services.account_operations.common import Credentials
from platform_ops.services.account_operations.logins import next_logins
from platform_ops.types import DealKind

TAKEN = frozenset({"3003", "3004", "3013", "17"})
"""The server's codes for a login that somebody has."""
OUT_OF_TIME = frozenset({"9", "10011", "10012"})
"""Refusals that do not say that nothing happened."""
LOGINS_TRIED = 8

_PASSWORD_LETTERS = ("abcdefghijkmnpqrstuvwxyz", "ABCDEFGHJKLMNPQRSTUVWXYZ", "23456789", "#@!%*-+?")
_PASSWORD_LENGTH = 14

ACCESS = {"active": (True, True), "read_only": (True, False), "closed": (False, False)}
"""Of each status of an account: whether it may log in, and whether it may trade."""

WORDS = {
    "3002": "The group has no logins left on the server.",
    "3006": "The server finds the password too weak.",
    "3008": "The account has open trades: they are closed first.",
    "3009": "The group is on another server.",
    "3010": "The group is kept in another currency.",
    "10019": "The account has not enough free margin.",
    "8": "Our login on the server may not do this.",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered: the deal of a money operation, the login of an opening."""

    deal_ticket: int | None = None
    login: str = ""
    note: str = ""
    credentials: Credentials | None = field(default=None, repr=False)


def new_password() -> str:
    """A password with small and capital letters, digits and a sign; nothing that people confuse."""
    drawn = [secrets.choice(letters) for letters in _PASSWORD_LETTERS]
    everything = "".join(_PASSWORD_LETTERS)
    drawn += [secrets.choice(everything) for _ in range(_PASSWORD_LENGTH - len(drawn))]
    secrets.SystemRandom().shuffle(drawn)
    # A sign at the beginning would be taken for a formula or an option where the password is pasted.
    while not drawn[0].isalpha():
        drawn.append(drawn.pop(0))
    return "".join(drawn)


def code_of(error: GatewayRefused) -> str:
    """The server's own code."""
    return str(error.details.get("retcode", ""))


def words_of(error: GatewayRefused) -> str:
    """The refusal in words for the desk."""
    return WORDS.get(code_of(error), error.message)


def send(operation: ServerOperation, gateway: TradingGateway) -> Answer:
    """Does what the operation asks. Raises the gateway's errors."""
    return _SENDERS[OperationKind(operation.kind)](operation, gateway)


def look_up(operation: ServerOperation, gateway: TradingGateway) -> Answer | None:
    """What of the operation is found on the server; None where it is not there (yet)."""
    return _FINDERS[OperationKind(operation.kind)](operation, gateway)


def _move_money(operation: ServerOperation, gateway: TradingGateway) -> Answer:
    assert operation.amount is not None and operation.deal_kind is not None
    ticket = gateway.balance_operation(
        login=operation.login,
        kind=DealKind(operation.deal_kind),
        amount=operation.amount,
        comment=comment_of(operation.reference, str(operation.request.get("comment", ""))),
        checks_margin=bool(operation.request.get("checks_margin", True)),
    )
    return Answer(deal_ticket=ticket)


def _find_money(operation: ServerOperation, gateway: TradingGateway) -> Answer | None:
    assert operation.first_sent_at is not None
    deal = gateway.find_operation(
        login=operation.login, reference=operation.reference, since=operation.first_sent_at - CLOCK_SLACK
    )
    if deal is None:
        return None
    differs = deal.kind != operation.deal_kind or deal.money != operation.amount or deal.login != operation.login
    told = f"Deal {deal.ticket} carries the reference, but moved {deal.money} as {deal.kind.name.lower()}."
    return Answer(deal_ticket=None if differs else deal.ticket, note=told if differs else "")


def _open(operation: ServerOperation, gateway: TradingGateway) -> Answer:
    assert operation.group is not None
    passwords = new_password(), new_password()
    logins = [operation.login, *next_logins(operation.server_id, after=operation.login, count=LOGINS_TRIED)]
    for number, login in enumerate(logins):
        try:
            opened = gateway.open_account(
                account=NewAccount(
                    group=operation.group.name,
                    name=str(operation.request.get("name", "")),
                    leverage=int(operation.request["leverage"]),
                    main_password=passwords[0],
                    investor_password=passwords[1],
                    email=str(operation.request.get("email", "")),
                    country=str(operation.request.get("country", "")),
                    comment=operation.reference,
                    login=login,
                )
            )
        except GatewayRefused as error:
            if code_of(error) not in TAKEN or number == len(logins) - 1:
                raise
            # It is ours already if an earlier attempt came through; else somebody else has the login.
            if _is_ours(_read(gateway, login), operation):
                return Answer(login=login, note="It was opened by an earlier attempt.")
            continue
        return Answer(
            login=opened,
            credentials=Credentials(
                server=operation.server.name,
                login=opened,
                main_password=passwords[0],
                investor_password=passwords[1],
            ),
        )
    raise AssertionError("unreachable: the last login either opens or raises")


def _find_opened(operation: ServerOperation, gateway: TradingGateway) -> Answer | None:
    """Among the logins that the attempts may have used."""
    for login in (operation.login, *next_logins(operation.server_id, after=operation.login, count=LOGINS_TRIED)):
        if _is_ours(_read(gateway, login), operation):
            return Answer(login=login)
    return None


def _is_ours(account: GatewayAccount | None, operation: ServerOperation) -> bool:
    return account is not None and operation.reference in account.comment


def _read(gateway: TradingGateway, login: str) -> GatewayAccount | None:
    return next(iter(gateway.accounts(logins=[login])), None)


def _change(operation: ServerOperation, gateway: TradingGateway) -> Answer:
    if operation.kind == OperationKind.CHANGE_GROUP:
        assert operation.group is not None
        gateway.change_account(login=operation.login, group=operation.group.name)
    elif operation.kind == OperationKind.CHANGE_LEVERAGE:
        gateway.change_account(login=operation.login, leverage=int(operation.request["leverage"]))
    else:
        enabled, trading = ACCESS[operation.request["access"]]
        gateway.change_account(login=operation.login, is_enabled=enabled, is_trading_allowed=trading)
    return Answer()


def _find_change(operation: ServerOperation, gateway: TradingGateway) -> Answer | None:
    account = _read(gateway, operation.login)
    if account is None:
        return None
    if operation.kind == OperationKind.CHANGE_GROUP:
        assert operation.group is not None
        stands = account.group == operation.group.name
    elif operation.kind == OperationKind.CHANGE_LEVERAGE:
        stands = account.leverage == int(operation.request["leverage"])
    else:
        stands = (account.is_enabled, account.is_trading_allowed) == ACCESS[operation.request["access"]]
    return Answer() if stands else None


def _set_password(operation: ServerOperation, gateway: TradingGateway) -> Answer:
    password, is_investor = new_password(), bool(operation.request.get("is_investor"))
    gateway.change_password(login=operation.login, password=password, is_investor=is_investor)
    return Answer(
        credentials=Credentials(
            server=operation.server.name,
            login=operation.login,
            main_password="" if is_investor else password,
            investor_password=password if is_investor else "",
        )
    )


def _find_password(operation: ServerOperation, gateway: TradingGateway) -> Answer | None:
    """Nobody knows the password of a lost attempt: it counts as not set, and another one is made."""
    return None


_SENDERS: dict[OperationKind, Callable[[ServerOperation, TradingGateway], Answer]] = {
    OperationKind.MOVE_MONEY: _move_money,
    OperationKind.OPEN_ACCOUNT: _open,
    OperationKind.CHANGE_GROUP: _change,
    OperationKind.CHANGE_LEVERAGE: _change,
    OperationKind.CHANGE_ACCESS: _change,
    OperationKind.CHANGE_PASSWORD: _set_password,
}
_FINDERS: dict[OperationKind, Callable[[ServerOperation, TradingGateway], Answer | None]] = {
    OperationKind.MOVE_MONEY: _find_money,
    OperationKind.OPEN_ACCOUNT: _find_opened,
    OperationKind.CHANGE_GROUP: _find_change,
    OperationKind.CHANGE_LEVERAGE: _find_change,
    OperationKind.CHANGE_ACCESS: _find_change,
    OperationKind.CHANGE_PASSWORD: _find_password,
}


def account_fields(operation: ServerOperation) -> dict[str, object]:
    """What an effective change makes of our own row of the account."""
    if operation.kind == OperationKind.CHANGE_GROUP:
        assert operation.group is not None
        return {"group": operation.group, "account_type_id": operation.group.account_type_id}
    if operation.kind == OperationKind.CHANGE_LEVERAGE:
        return {"leverage": int(operation.request["leverage"])}
    if operation.kind == OperationKind.CHANGE_ACCESS:
        return {"status": TradingAccount.Status(operation.request["access"]).value}
    return {}
