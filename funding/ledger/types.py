"""What goes into the ledger and what comes out of it, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Literal

from funding.ledger.chart import AccountClass, AccountKind

PostingSide = Literal["D", "C"]


@dataclass(frozen=True, slots=True)
class AccountSpec:
    """Which account of the chart is meant. Two specs are the same account whatever name they would give it."""

    entity_id: int
    kind: AccountKind
    currency: str
    owner_type: str = ""
    owner_id: int = 0
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class PostingLine:
    """One side on one account: `amount` is positive, in `currency`, with no more digits than the currency has."""

    account_id: int
    side: PostingSide
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class EntryDraft:
    """An entry to be booked.

    `business_day` is the day in whose books it stands; `refers_to_day` the earlier, closed day that it concerns, if
    any. Lines on the same account are booked as their net. The key names the request: what it stands for (everything
    here, the concerned day included) may come again and books once.
    """

    entity_id: int
    kind: str
    business_day: date
    description: str
    lines: tuple[PostingLine, ...] | list[PostingLine]
    idempotency_key: str
    refers_to_day: date | None = None
    source_type: str = ""
    source_id: int | None = None
    reason: str = ""
    reverses_id: int | None = None

    @property
    def concerned_day(self) -> date:
        """The day that the entry is about, wherever it is booked."""
        return self.refers_to_day or self.business_day


@dataclass(frozen=True, slots=True)
class TrialBalanceRow:
    """All accounts of one kind and currency of an entity: turnover, and the balance on the side where it stands."""

    entity_id: int
    entity: str
    kind: AccountKind
    account_class: str
    currency: str
    accounts: int
    debits: Decimal
    credits: Decimal

    @property
    def title(self) -> str:
        """The kind as people read it."""
        return str(self.kind.label)

    @property
    def account_class_title(self) -> str:
        """The class as people read it."""
        return str(AccountClass(self.account_class).label)

    @property
    def debit_balance(self) -> Decimal:
        """What debits exceed credits by, or zero."""
        return max(self.debits - self.credits, Decimal(0))

    @property
    def credit_balance(self) -> Decimal:
        """What credits exceed debits by, or zero."""
        return max(self.credits - self.debits, Decimal(0))


@dataclass(frozen=True, slots=True)
class TrialBalanceTotal:
    """The sums of a trial balance in one currency; debit and credit agree or the books are broken."""

    currency: str
    debits: Decimal
    credits: Decimal
    debit_balance: Decimal
    credit_balance: Decimal

    @property
    def agrees(self) -> bool:
        """Whether debits equal credits, in turnover and in balances."""
        return self.debits == self.credits and self.debit_balance == self.credit_balance
