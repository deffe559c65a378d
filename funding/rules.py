"""Pure decisions of funding: which component a row of a trading account is, and where it is booked."""

from __future__ import annotations

from dataclasses import dataclass

from funding.ledger.chart import AccountKind
from platform_ops.types import DealKind

TRADING_ACCOUNT = "trading_account"
CLIENT = "client"
BOOKS = ("A", "B")
DEFAULT_BOOK = "B"
"""The house takes the other side of an account that risk has put into no book."""


@dataclass(frozen=True, slots=True)
class ComponentRule:
    """The two sides of a component: the client's account, and the house's account against which it is booked.

    `by_book` means that the house's side depends on the book in which the account was at the time.
    """

    client_kind: AccountKind
    contra_kind: AccountKind
    by_book: bool = False


_BALANCE = AccountKind.CLIENT_LIABILITY
_CREDIT = AccountKind.CLIENT_CREDIT

COMPONENT_RULES: dict[str, ComponentRule] = {
    "profit": ComponentRule(_BALANCE, AccountKind.HOUSE_BOOK_B, by_book=True),
    "dividend": ComponentRule(_BALANCE, AccountKind.HOUSE_BOOK_B, by_book=True),
    "swap": ComponentRule(_BALANCE, AccountKind.SWAP_INCOME),
    "interest": ComponentRule(_BALANCE, AccountKind.SWAP_INCOME),
    "commission": ComponentRule(_BALANCE, AccountKind.COMMISSION_INCOME),
    "fee": ComponentRule(_BALANCE, AccountKind.FEE_INCOME),
    "deposit": ComponentRule(_BALANCE, AccountKind.SUSPENSE),
    "bonus": ComponentRule(_BALANCE, AccountKind.BONUS_EXPENSE),
    "agent": ComponentRule(_BALANCE, AccountKind.COMMISSION_EXPENSE),
    "correction": ComponentRule(_BALANCE, AccountKind.COMPENSATION_EXPENSE),
    "opening": ComponentRule(_BALANCE, AccountKind.OPENING_EQUITY),
    "credit": ComponentRule(_CREDIT, AccountKind.BONUS_EXPENSE),
    "opening_credit": ComponentRule(_CREDIT, AccountKind.OPENING_EQUITY),
}

COMPONENT_OF_KIND: dict[DealKind, str] = {
    DealKind.BALANCE: "deposit",
    DealKind.CREDIT: "credit",
    DealKind.CHARGE: "fee",
    DealKind.CORRECTION: "correction",
    DealKind.BONUS: "bonus",
    DealKind.COMMISSION: "commission",
    DealKind.COMMISSION_DAILY: "commission",
    DealKind.COMMISSION_MONTHLY: "commission",
    DealKind.AGENT_DAILY: "agent",
    DealKind.AGENT_MONTHLY: "agent",
    DealKind.INTEREST: "interest",
    DealKind.DIVIDEND: "dividend",
    DealKind.DIVIDEND_FRANKED: "dividend",
    DealKind.TAX: "fee",
    DealKind.AGENT: "agent",
    DealKind.SO_COMPENSATION: "correction",
    DealKind.SO_CREDIT_COMPENSATION: "credit",
}
"""What a balance operation of each kind is. Trades and cancelled trades are none."""

BOOKED_BY_BOOK = frozenset(component for component, rule in COMPONENT_RULES.items() if rule.by_book)


def contra_kind(component: str, book: str) -> AccountKind:
    """The house's side of a component."""
    rule = COMPONENT_RULES[component]
    if rule.by_book:
        return AccountKind.HOUSE_BOOK_A if book == "A" else AccountKind.HOUSE_BOOK_B
    return rule.contra_kind


def contra_belongs_to_account(component: str) -> bool:
    """Whether the house's side is kept per trading account: money on its way is, so that what never arrived is seen."""
    return COMPONENT_RULES[component].contra_kind is AccountKind.SUSPENSE
