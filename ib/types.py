"""What the desk's use cases and selectors hand over: frozen, and free of models."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any


@dataclass(frozen=True, slots=True)
class SettlementResult:
    """What a settlement booked: trades looked at, lines written, their sum by currency (decimal text), seconds taken."""

    trades: int
    lines: int
    booked: dict[str, str]
    seconds: Decimal

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"trades": self.trades, "lines": self.lines, "booked": self.booked, "seconds": str(self.seconds)}


class Coverage(StrEnum):
    """What became of a closed trade. `UNMATCHED` is an alarm: booked and target differ."""

    PAID = "paid"
    EXCLUDED = "excluded"
    UNMATCHED = "unmatched"


class Exclusion(StrEnum):
    """Why a trade earns nobody a commission."""

    CANCELLED = "cancelled"
    DEMO_ACCOUNT = "demo_account"
    ACCOUNT_NOT_ASSIGNED = "account_not_assigned"
    CLIENT_NOT_REFERRED = "client_not_referred"
    SYMBOL_NOT_MAPPED = "symbol_not_mapped"
    NO_RULE = "no_rule"
    MISSING_RATE = "missing_rate"
    ACCOUNT_FROZEN = "account_frozen"
    SET_ASIDE = "set_aside"


EXCLUSION_TEXTS: dict[Exclusion, str] = {
    Exclusion.CANCELLED: "the trade was cancelled",
    Exclusion.DEMO_ACCOUNT: "the account is a demo account",
    Exclusion.ACCOUNT_NOT_ASSIGNED: "the account belongs to no client yet",
    Exclusion.CLIENT_NOT_REFERRED: "no partner introduced the client",
    Exclusion.SYMBOL_NOT_MAPPED: "the server's symbol is not mapped yet",
    Exclusion.NO_RULE: "no rule pays for it",
    Exclusion.MISSING_RATE: "a conversion rate is missing",
    Exclusion.ACCOUNT_FROZEN: "the partner's account is frozen; what is taken back waits",
    Exclusion.SET_ASIDE: "the books refused it; the trades that were set aside say why",
}


@dataclass(frozen=True, slots=True)
class CoverageRow:
    """A group of trades of a day that met the same fate."""

    day: date
    status: Coverage
    reason: Exclusion | None
    trades: int

    @property
    def text(self) -> str:
        """The reason as people read it."""
        return EXCLUSION_TEXTS[self.reason] if self.reason else ""


@dataclass(frozen=True, slots=True)
class UncoveredTrade:
    """A trade that is excluded or unmatched, with the reason."""

    trade_id: int
    ticket: int
    day: date
    status: Coverage
    reason: Exclusion | None


@dataclass(frozen=True, slots=True)
class LineFacts:
    """Everything that a commission line follows from, gathered for its explanation."""

    reference: str
    partner: str
    trade_ticket: int
    server: str
    symbol: str
    symbol_group: str
    closed_at: datetime
    trade_lots: Decimal
    day: date
    booked_day: date
    level: int
    path: tuple[str, ...]
    rule: str
    plan: str
    plan_version: int
    base_lots: Decimal
    amount_per_lot: Decimal
    rate_currency: str
    fx_rate: Decimal
    fx_date: date | None
    fx_source: str
    currency: str
    target: Decimal
    booked_before: Decimal
    amount: Decimal
    cause: str


@dataclass(frozen=True, slots=True)
class ExplainedStep:
    """One step of an explanation: what it is about, in words, and the figure that comes out of it."""

    title: str
    text: str
    figure: str = ""


@dataclass(frozen=True, slots=True)
class Explanation:
    """How a line came about. `amount` was computed anew here; `agrees` says whether it is the stored one."""

    steps: tuple[ExplainedStep, ...]
    target: Decimal
    amount: Decimal
    currency: str
    agrees: bool


@dataclass(frozen=True, slots=True)
class ProofResult:
    """What the proof of stored lines found: how many it derived anew, and the rows that are not as they should be."""

    trades: int
    lines: int
    rows: tuple[dict[str, Any], ...] = field(default_factory=tuple)
    count: int = 0

    @property
    def ok(self) -> bool:
        """Whether every line is as the rules say."""
        return self.count == 0


class Grouping(StrEnum):
    """By what a partner's commission is summed."""

    DAY = "day"
    SOURCE = "source"
    LEVEL = "level"
    SYMBOL_GROUP = "symbol_group"


@dataclass(frozen=True, slots=True)
class CommissionSum:
    """What a partner earned from one day, client, level or symbol group."""

    key: str
    currency: str
    amount: Decimal
    lots: Decimal
    trades: int


@dataclass(frozen=True, slots=True)
class OwnLine:
    """A commission line as its partner sees it: of clients of others only the partner through whom they came."""

    reference: str
    day: date
    closed_at: datetime
    ticket: int
    source: str
    symbol: str
    symbol_group: str
    level: int
    lots: Decimal
    amount: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class PartnerBalances:
    """What a partner's three ledger accounts hold, in the partner's currency."""

    accrued: Decimal
    payable: Decimal
    wallet: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class PartnerClient:
    """A client of a partner, with the e-mail address masked, and what they traded in a period."""

    reference: str
    email: str
    country: str
    since: date | None
    trades: int
    lots: Decimal
    last_trade: date | None


@dataclass(frozen=True, slots=True)
class TreeNode:
    """A partner in the tree as it stands now; depth 0 is a root of what is shown."""

    partner_id: int
    parent_id: int | None
    depth: int
    reference: str
    name: str
    status: str
    currency: str
    clients: int
    plan: str
