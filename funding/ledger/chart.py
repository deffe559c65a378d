"""The chart of accounts: every kind of ledger account, its class, its normal side and whether it may go below zero.

The chart is per legal entity and currency; kinds with an owner exist once per owner (a trading account, a client, a
partner, a bank account). `docs/chart-of-accounts.md` is generated from this module.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.db import models


class AccountClass(models.TextChoices):
    """The class of an account decides its normal side: assets and expenses by debit, the rest by credit."""

    ASSET = "asset", "Asset"
    LIABILITY = "liability", "Liability"
    EQUITY = "equity", "Equity"
    INCOME = "income", "Income"
    EXPENSE = "expense", "Expense"


class AccountKind(models.TextChoices):
    """What an account is for."""

    BANK = "bank", "Bank"
    PSP = "psp", "Payment provider"
    LIQUIDITY_PROVIDER = "liquidity_provider", "Liquidity provider"
    CLIENT_RECEIVABLE = "client_receivable", "Client receivable"
    SUSPENSE = "suspense", "Suspense: money on its way"
    CLIENT_LIABILITY = "client_liability", "Client money on a trading account"
    CLIENT_CREDIT = "client_credit", "Client credit on a trading account"
    CLIENT_WALLET = "client_wallet", "Client wallet"
    PARTNER_ACCRUED = "partner_accrued", "Partner commission accrued"
    PARTNER_PAYABLE = "partner_payable", "Partner commission payable"
    PARTNER_WALLET = "partner_wallet", "Partner wallet"
    OPENING_EQUITY = "opening_equity", "Opening balances taken over"
    HOUSE_BOOK_A = "house_book_a", "House result, A book"
    HOUSE_BOOK_B = "house_book_b", "House result, B book"
    SWAP_INCOME = "swap_income", "Swaps"
    COMMISSION_INCOME = "commission_income", "Trading commission charged"
    FEE_INCOME = "fee_income", "Fees and charges"
    COMMISSION_EXPENSE = "commission_expense", "Partner commission"
    BONUS_EXPENSE = "bonus_expense", "Bonuses and credit given"
    COMPENSATION_EXPENSE = "compensation_expense", "Compensation and corrections"
    ROUNDING = "rounding", "Rounding"
    FX_POSITION = "fx_position", "Currency position"


@dataclass(frozen=True, slots=True)
class KindRule:
    """The class of a kind, and the lowest balance it may have in its normal side (None: no limit)."""

    account_class: AccountClass
    floor: int | None = None


_A, _L, _Q, _I, _X = (
    AccountClass.ASSET,
    AccountClass.LIABILITY,
    AccountClass.EQUITY,
    AccountClass.INCOME,
    AccountClass.EXPENSE,
)

KIND_RULES: dict[AccountKind, KindRule] = {
    AccountKind.BANK: KindRule(_A),
    AccountKind.PSP: KindRule(_A),
    AccountKind.LIQUIDITY_PROVIDER: KindRule(_A),
    AccountKind.CLIENT_RECEIVABLE: KindRule(_A, 0),
    AccountKind.SUSPENSE: KindRule(_A),
    # A trading account may stand below zero between a loss and its compensation; wallets never may.
    AccountKind.CLIENT_LIABILITY: KindRule(_L),
    AccountKind.CLIENT_CREDIT: KindRule(_L),
    AccountKind.CLIENT_WALLET: KindRule(_L, 0),
    AccountKind.PARTNER_ACCRUED: KindRule(_L),
    AccountKind.PARTNER_PAYABLE: KindRule(_L, 0),
    AccountKind.PARTNER_WALLET: KindRule(_L, 0),
    AccountKind.OPENING_EQUITY: KindRule(_Q),
    AccountKind.HOUSE_BOOK_A: KindRule(_I),
    AccountKind.HOUSE_BOOK_B: KindRule(_I),
    AccountKind.SWAP_INCOME: KindRule(_I),
    AccountKind.COMMISSION_INCOME: KindRule(_I),
    AccountKind.FEE_INCOME: KindRule(_I),
    AccountKind.COMMISSION_EXPENSE: KindRule(_X),
    AccountKind.BONUS_EXPENSE: KindRule(_X),
    AccountKind.COMPENSATION_EXPENSE: KindRule(_X),
    AccountKind.ROUNDING: KindRule(_X),
    AccountKind.FX_POSITION: KindRule(_Q),
}

DEBIT_CLASSES = frozenset({AccountClass.ASSET, AccountClass.EXPENSE})


def is_debit_normal(kind: AccountKind) -> bool:
    """Whether an account of this kind grows by debit."""
    return KIND_RULES[kind].account_class in DEBIT_CLASSES
