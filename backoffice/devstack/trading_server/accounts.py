"""Accounts: opened, changed, given passwords and money, under the rules of the platform."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.records import CREDIT_ACTIONS, DEFAULT_RIGHTS, MONEY_ACTIONS, Deal, User
from backoffice.devstack.trading_server.retcodes import (
    NOT_FOUND,
    PARAMETERS,
    TRADE_NO_MONEY,
    USER_HAS_TRADES,
    USER_LOGIN_EXISTS,
    USER_OTHER_CURRENCY,
    USER_OTHER_SERVER,
    USER_PASSWORD,
    Refused,
)

SHORTEST_PASSWORD = 8
LARGEST_LOGIN = 2**63 - 1
LARGEST_LEVERAGE = 10_000
LONGEST_COMMENT = 32
_DETAILS = {
    name.upper(): name
    for name in (
        "Company", "Account", "Country", "City", "State", "ZipCode", "Address", "Phone", "Email", "ID", "Status",
        "Comment", "PhonePassword", "MQID", "LeadSource", "LeadCampaign", "TradeAccounts", "Language", "ClientID",
        "Color", "Agent",
    )
}  # fmt: skip


def integer(parameters: Mapping[str, Any], name: str, default: int | None = None) -> int:
    """A whole number of a command. Raises Refused, naming it."""
    text = str(parameters.get(name, "")).strip()
    if not text and default is not None:
        return default
    try:
        return int(text)
    except ValueError as error:
        raise Refused(PARAMETERS, f"Invalid parameters: {name}") from error


def number(parameters: Mapping[str, Any], name: str, default: Decimal | None = None) -> Decimal:
    """A decimal number of a command. Raises Refused, naming it."""
    text = str(parameters.get(name, "")).strip()
    if not text and default is not None:
        return default
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise Refused(PARAMETERS, f"Invalid parameters: {name}") from error
    if not value.is_finite():
        raise Refused(PARAMETERS, f"Invalid parameters: {name}")
    return value


def open_account(dealing: Dealing, given: Mapping[str, Any]) -> User:
    """Opens an account; login 0 takes the next free one. Parameter names are in capitals."""
    broker = dealing.broker
    group = str(given.get("GROUP", ""))
    if group not in broker.groups:
        raise Refused(NOT_FOUND, f"Group {group} not found")
    login = integer(given, "LOGIN", 0)
    if not 0 <= login <= LARGEST_LOGIN:
        raise Refused(PARAMETERS, "Invalid parameters: LOGIN")
    if login in broker.users:
        raise Refused(USER_LOGIN_EXISTS)
    main, investor = str(given.get("PASS_MAIN", "")), str(given.get("PASS_INVESTOR", ""))
    for password in (main, investor):
        _check_password(password)
    with broker.transaction():
        if not login:
            login = broker.counters["login"]
            while login in broker.users:
                login += 1
            broker.put("counter", "login", login + 1)
        user = User(
            login=login,
            group=group,
            name=str(given.get("NAME", "")),
            leverage=_leverage(given, 100),
            rights=integer(given, "RIGHTS", DEFAULT_RIGHTS),
            main_digest=broker.digest(login, main),
            investor_digest=broker.digest(login, investor),
            registered_msc=broker.now_msc(),
            details=_details(given),
        )
        broker.put("user", login, user)
    return user


def change_account(dealing: Dealing, given: Mapping[str, Any]) -> User:
    """Changes what is given. A group is refused while there are trades, on another server, or in another currency."""
    broker = dealing.broker
    user = broker.user(integer(given, "LOGIN"))
    group = str(given.get("GROUP") or user.group)
    leverage = _leverage(given, user.leverage)
    rights = integer(given, "RIGHTS", user.rights)
    if group != user.group:
        _check_group(dealing, user, group)
    user.group, user.leverage, user.rights = group, leverage, rights
    user.name = str(given.get("NAME", user.name))
    user.details = {**user.details, **_details(given)}
    broker.put("user", user.login, user)
    return user


def _check_group(dealing: Dealing, user: User, group: str) -> None:
    broker = dealing.broker
    wanted = broker.group_terms.get(group)
    if wanted is None:
        raise Refused(NOT_FOUND, f"Group {group} not found")
    now = broker.group_of(user)
    if broker.positions_of[user.login] or any(order.login == user.login for order in broker.orders.values()):
        raise Refused(USER_HAS_TRADES)
    if wanted.server != now.server:
        raise Refused(USER_OTHER_SERVER)
    if wanted.currency != now.currency:
        raise Refused(USER_OTHER_CURRENCY)


def delete_account(dealing: Dealing, login: int) -> None:
    """Takes an account away; its deals stay in the archive of nobody."""
    broker = dealing.broker
    broker.user(login)
    if broker.positions_of[login]:
        raise Refused(USER_HAS_TRADES)
    broker.remove("user", login)


def change_password(dealing: Dealing, login: int, kind: str, password: str) -> None:
    """Sets the main or the investor's password."""
    broker = dealing.broker
    user = broker.user(login)
    _check_password(password)
    digest = broker.digest(login, password)
    if _is_investor(kind):
        user.investor_digest = digest
    else:
        user.main_digest = digest
    broker.put("user", login, user)


def check_password(dealing: Dealing, login: int, kind: str, password: str) -> None:
    """Raises Refused when the password is not the account's."""
    user = dealing.broker.user(login)
    if not dealing.broker.password_fits(user, password, is_investor=_is_investor(kind)):
        raise Refused(USER_PASSWORD)


def balance_operation(
    dealing: Dealing, *, login: int, action: int, amount: Decimal, comment: str, checks_margin: bool, dealer: int = 0
) -> Deal:
    """Moves money by a deal of its own. With the check, nothing is taken that the free margin does not hold."""
    broker = dealing.broker
    user = broker.user(login)
    digits = broker.group_of(user).digits
    if action not in MONEY_ACTIONS:
        raise Refused(PARAMETERS, "Invalid parameters: TYPE")
    if not amount or amount != amount.quantize(Decimal(1).scaleb(-digits)):
        raise Refused(PARAMETERS, "Invalid parameters: BALANCE")
    if checks_margin and amount < 0:
        standing = broker.standing(login)
        held = standing.credit if action in CREDIT_ACTIONS else standing.balance
        if min(held, standing.free) + amount < 0:
            raise Refused(TRADE_NO_MONEY)
    return dealing.money(login, action, amount, comment[:LONGEST_COMMENT], dealer=dealer)


def _leverage(given: Mapping[str, Any], default: int) -> int:
    leverage = integer(given, "LEVERAGE", default)
    if not 1 <= leverage <= LARGEST_LEVERAGE:
        raise Refused(PARAMETERS, "Invalid parameters: LEVERAGE")
    return leverage


def _check_password(password: str) -> None:
    """The platform wants length and at least two kinds of characters."""
    kinds = sum((any(c.islower() for c in password), any(c.isupper() for c in password)))
    kinds += any(c.isdigit() for c in password)
    if len(password) < SHORTEST_PASSWORD or kinds < 2:
        raise Refused(USER_PASSWORD)


def _is_investor(kind: str) -> bool:
    if kind.upper() not in {"MAIN", "INVESTOR"}:
        raise Refused(PARAMETERS, "Invalid parameters: TYPE")
    return kind.upper() == "INVESTOR"


def _details(given: Mapping[str, Any]) -> dict[str, str]:
    return {_DETAILS[name]: str(value) for name, value in given.items() if name in _DETAILS}
