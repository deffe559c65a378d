"""Enumerations of what a trading server reports, with stable numbers (MetaTrader 5's where it has them)."""

from __future__ import annotations

from enum import IntEnum, StrEnum

IMPORT_JOB_KIND = "platform.import_statement"
"""The kind of the jobs that book uploaded statement files; a job's key is the import's id."""


class Platform(StrEnum):
    """Whose rules a record follows: MT4 and MT5 count trades and floating profit differently."""

    MT4 = "mt4"
    MT5 = "mt5"


class Side(IntEnum):
    """Direction of a deal or position; the value is the sign of the exposure."""

    BUY = 1
    SELL = -1

    @property
    def opposite(self) -> Side:
        """The side that closes this one."""
        return Side.SELL if self is Side.BUY else Side.BUY


class DealKind(IntEnum):
    """What a row of the deal history is."""

    BUY = 0
    SELL = 1
    BALANCE = 2
    CREDIT = 3
    CHARGE = 4
    CORRECTION = 5
    BONUS = 6
    COMMISSION = 7
    COMMISSION_DAILY = 8
    COMMISSION_MONTHLY = 9
    AGENT_DAILY = 10
    AGENT_MONTHLY = 11
    INTEREST = 12
    BUY_CANCELED = 13
    SELL_CANCELED = 14
    DIVIDEND = 15
    DIVIDEND_FRANKED = 16
    TAX = 17
    AGENT = 18
    SO_COMPENSATION = 19
    SO_CREDIT_COMPENSATION = 20

    @property
    def is_trade(self) -> bool:
        """Whether the deal changed a position."""
        return self in (DealKind.BUY, DealKind.SELL)

    @property
    def is_credit(self) -> bool:
        """Whether the money goes to the credit facility and not to the balance."""
        return self in (DealKind.CREDIT, DealKind.SO_CREDIT_COMPENSATION)


class DealEntry(IntEnum):
    """Whether a deal opens, closes, reverses, or closes by an opposite position."""

    IN = 0
    OUT = 1
    INOUT = 2
    OUT_BY = 3

    @property
    def closes(self) -> bool:
        """Whether the deal realised a result; a reversal does, and opens the rest."""
        return self is not DealEntry.IN
