"""Setting a server up from plain data: groups, symbols and accounts with their first money."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from backoffice.devstack.trading_server.dealing import Dealing
from backoffice.devstack.trading_server.records import BALANCE, User
from backoffice.devstack.trading_server.terms import (
    checked_symbol,
    group_configuration,
    group_terms,
    symbol_configuration,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountPlan:
    """An account as it is set up; passwords are left out where nobody logs in."""

    login: int
    group: str
    name: str = ""
    leverage: int = 100
    deposit: Decimal = Decimal(0)
    main_password: str = ""
    investor_password: str = ""


def set_up(
    dealing: Dealing,
    *,
    groups: Iterable[Mapping[str, Any]] = (),
    symbols: Iterable[Mapping[str, Any]] = (),
    accounts: Iterable[AccountPlan] = (),
    quotes: Mapping[str, tuple[object, object]] | None = None,
    first_ticket: int | None = None,
) -> None:
    """Puts in what is not there yet; what is there stays as it was changed since."""
    broker = dealing.broker
    with broker.transaction():
        if first_ticket is not None and broker.counters["ticket"] < first_ticket:
            broker.put("counter", "ticket", first_ticket)
        for given in groups:
            if given["Group"] not in broker.groups:
                whole = group_configuration(given)
                group_terms(whole)
                broker.put("group", str(given["Group"]), whole)
        for given in symbols:
            if given["Symbol"] not in broker.symbols:
                whole = symbol_configuration(given)
                checked_symbol(whole)
                broker.put("symbol", str(given["Symbol"]), whole)
        for plan in accounts:
            if plan.login not in broker.users:
                _open(dealing, plan)
    for name, (bid, ask) in (quotes or {}).items():
        dealing.price(name, Decimal(str(bid)), Decimal(str(ask)))


def _open(dealing: Dealing, plan: AccountPlan) -> None:
    broker = dealing.broker
    user = User(
        login=plan.login,
        group=plan.group,
        name=plan.name,
        leverage=plan.leverage,
        main_digest=broker.digest(plan.login, plan.main_password) if plan.main_password else "",
        investor_digest=broker.digest(plan.login, plan.investor_password) if plan.investor_password else "",
        registered_msc=broker.now_msc(),
    )
    broker.put("user", plan.login, user)
    if plan.deposit:
        dealing.money(plan.login, BALANCE, plan.deposit, "opening balance")
