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
    CAPITAL = "capital", "Own funds"
    HOUSE_BOOK_A = "house_book_a", "House result, A book"
    HOUSE_BOOK_B = "house_book_b", "House result, B book"
    SWAP_INCOME = "swap_income", "Swaps and interest"
    COMMISSION_INCOME = "commission_income", "Trading commission charged"
    FEE_INCOME = "fee_income", "Fees and charges"
    COMMISSION_EXPENSE = "commission_expense", "Partner commission"
    BONUS_EXPENSE = "bonus_expense", "Bonuses and credit given"
    COMPENSATION_EXPENSE = "compensation_expense", "Compensation and corrections"
    BANK_CHARGES = "bank_charges", "Bank and provider charges"
    ROUNDING = "rounding", "Rounding"
    FX_POSITION = "fx_position", "Currency position"
    FX_REVALUATION = "fx_revaluation", "Revaluation of foreign balances"
    UNREALISED_FX = "unrealised_fx", "Exchange gains and losses, unrealised"


@dataclass(frozen=True, slots=True)
class KindRule:
    """The class of a kind, what is booked there, whose it is, and its floor.

    `owner` names what the account exists once for ("" for once per entity and currency). `floor` is the lowest balance
    in the normal side (None: no limit); the database keeps it.
    """

    account_class: AccountClass
    purpose: str
    owner: str = ""
    floor: int | None = None


_A, _L, _Q, _I, _X = (
    AccountClass.ASSET,
    AccountClass.LIABILITY,
    AccountClass.EQUITY,
    AccountClass.INCOME,
    AccountClass.EXPENSE,
)

KIND_RULES: dict[AccountKind, KindRule] = {
    AccountKind.BANK: KindRule(_A, "Money at a bank.", "external account, or nothing for the main one"),
    AccountKind.PSP: KindRule(
        _A,
        "Money at a payment provider, on its way to the bank.",
        "external account, or nothing for the main one",
    ),
    AccountKind.LIQUIDITY_PROVIDER: KindRule(_A, "Money and results at a liquidity provider.", "external account"),
    AccountKind.CLIENT_RECEIVABLE: KindRule(
        _A, "What a client owes after a chargeback that the wallet could not cover.", "client", 0
    ),
    AccountKind.SUSPENSE: KindRule(
        _A,
        "Between the outside and a trading server: a deposit credits it when the money arrives and debits it when the "
        "server shows the balance operation; a withdrawal the other way round. What stays is money on its way.",
        "trading_account or client",
    ),
    # A trading account may stand below zero between a loss and its compensation; wallets never may.
    AccountKind.CLIENT_LIABILITY: KindRule(
        _L,
        "The balance of a trading account as its server states it, without credit. May be negative until compensated.",
        "trading_account",
    ),
    AccountKind.CLIENT_CREDIT: KindRule(_L, "Credit that the broker lent to a trading account.", "trading_account"),
    AccountKind.CLIENT_WALLET: KindRule(_L, "Client money outside any trading account.", "client", 0),
    AccountKind.PARTNER_ACCRUED: KindRule(
        _L, "Commission earned and not yet approved; corrections may take it below zero.", "partner"
    ),
    AccountKind.PARTNER_PAYABLE: KindRule(_L, "Commission of approved statements.", "partner", 0),
    AccountKind.PARTNER_WALLET: KindRule(_L, "Commission that the partner may withdraw.", "partner", 0),
    AccountKind.OPENING_EQUITY: KindRule(
        _Q, "The other side of balances that existed before the history we hold; nets to zero as history arrives."
    ),
    AccountKind.CAPITAL: KindRule(_Q, "What the owners paid in, less what they took out."),
    AccountKind.HOUSE_BOOK_A: KindRule(
        _I, "The house's side of clients' realised results and dividends while their account is in the A book."
    ),
    AccountKind.HOUSE_BOOK_B: KindRule(
        _I, "The house's side of clients' realised results and dividends while their account is in the B book."
    ),
    AccountKind.SWAP_INCOME: KindRule(_I, "Swaps charged to clients less swaps and interest paid to them."),
    AccountKind.COMMISSION_INCOME: KindRule(_I, "Trading commission charged to clients."),
    AccountKind.FEE_INCOME: KindRule(_I, "Fees, charges and taxes taken on trading accounts."),
    AccountKind.COMMISSION_EXPENSE: KindRule(_X, "Commission of partners, accrued or paid on a server."),
    AccountKind.BONUS_EXPENSE: KindRule(_X, "Bonuses and credit given to clients, less what was taken back."),
    AccountKind.COMPENSATION_EXPENSE: KindRule(
        _X, "Corrections and compensations, negative balances made good included."
    ),
    AccountKind.BANK_CHARGES: KindRule(_X, "What banks and payment providers charge the house."),
    AccountKind.ROUNDING: KindRule(_X, "What is left over when an amount is rounded to the digits of its currency."),
    AccountKind.FX_POSITION: KindRule(_Q, "Both sides of a conversion: what the house holds of a currency through it."),
    AccountKind.FX_REVALUATION: KindRule(
        _A,
        "In the base currency: what a balance in another currency is worth at the day's reference rate, less what it was "
        "worth when it came. Follows the balance that it belongs to; booked by the revaluation alone.",
        "revalued position",
    ),
    AccountKind.UNREALISED_FX: KindRule(
        _I, "In the base currency: the other side of every revaluation. A loss stands as a debit."
    ),
}

DEBIT_CLASSES = frozenset({AccountClass.ASSET, AccountClass.EXPENSE})


def is_debit_normal(kind: AccountKind) -> bool:
    """Whether an account of this kind grows by debit."""
    return KIND_RULES[kind].account_class in DEBIT_CLASSES
