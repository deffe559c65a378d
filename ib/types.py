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


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleTerms:
    """Everything that a rule of a plan says; `ib.models.PlanRule` tells what each field means.

    Without a `position` the rule goes before the first one of its component that selects less closely. `tiers` are pairs
    (from which measure on, rate).
    """

    rate: Decimal
    basis: str = "per_lot"
    currency: str = ""
    component: str = "main"
    position: int | None = None
    symbol_id: int | None = None
    symbol_group_id: int | None = None
    account_group_id: int | None = None
    account_type_id: int | None = None
    country: str = ""
    campaign: str = ""
    dimension: str = ""
    dimension_value: str = ""
    level: int | None = None
    rank: str = ""
    distribution: str = "absolute"
    cumulative: bool = False
    override_of: str = ""
    funded_by: str = ""
    same_rank_percent: Decimal | None = None
    bonus_for: str = ""
    spread_sides: str = ""
    spread_cap_points: Decimal | None = None
    average_spread_points: Decimal | None = None
    minimum_hold_seconds: int | None = None
    maximum_hold_seconds: int | None = None
    minimum_points: Decimal | None = None
    minimum_lots: Decimal | None = None
    side: str = ""
    only_profitable: bool = False
    pays_close_by: bool = False
    hedged_once: bool = False
    pays_negative_balance: bool = True
    uses_credit_coefficient: bool = False
    cap_per_order: Decimal | None = None
    cap_client_day: Decimal | None = None
    cap_client_lifetime: Decimal | None = None
    cap_partner_period: Decimal | None = None
    base_cap: Decimal | None = None
    minimum_amount: Decimal | None = None
    window_hours: int | None = None
    minimum_deposit: Decimal | None = None
    minimum_lots_total: Decimal | None = None
    minimum_revenue: Decimal | None = None
    qualify_days: int | None = None
    clawback_days: int | None = None
    minimum_active_clients: int | None = None
    tier_measure: str = ""
    tier_mode: str = ""
    tier_window: str = ""
    tier_scope: str = ""
    tiers: tuple[tuple[Decimal, Decimal], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionTerms:
    """How a version of a plan treats money, and how far up it pays; `ib.models.PlanVersion` tells what each means."""

    reward_currency: str = ""
    rounding_stage: str = "line"
    rounding_mode: str = "half_up"
    rounding_decimals: int | None = None
    depth_limit: int | None = None
    pays_own_trades: bool = False
    maximum_share_of_revenue: Decimal | None = None
    carry_over: str = "none"
    carry_cap: Decimal | None = None
    carry_reset_months: int | None = None


class Coverage(StrEnum):
    """What became of a closed trade. `UNMATCHED` is an alarm: booked and target differ."""

    PAID = "paid"
    EXCLUDED = "excluded"
    UNMATCHED = "unmatched"


class Exclusion(StrEnum):
    """Why a trade earns nobody a commission."""

    CANCELLED = "cancelled"
    ZERO_VOLUME = "zero_volume"
    DEMO_ACCOUNT = "demo_account"
    ACCOUNT_NOT_ASSIGNED = "account_not_assigned"
    CLIENT_NOT_REFERRED = "client_not_referred"
    SYMBOL_NOT_MAPPED = "symbol_not_mapped"
    NO_RULE = "no_rule"
    MISSING_RATE = "missing_rate"
    ACCOUNT_FROZEN = "account_frozen"
    SET_ASIDE = "set_aside"
    NO_MARKET_PRICE = "no_market_price"
    NO_GATEWAY_PRICE = "no_gateway_price"
    NO_SPECIFICATION = "no_specification"
    NO_OPENING_PRICE = "no_opening_price"
    OPENING_UNKNOWN = "opening_unknown"
    NO_RATE = "no_rate"
    HELD_TOO_SHORT = "held_too_short"
    HELD_TOO_LONG = "held_too_long"
    HOLD_UNKNOWN = "hold_unknown"
    TOO_FEW_POINTS = "too_few_points"
    TOO_FEW_LOTS = "too_few_lots"
    OTHER_SIDE = "other_side"
    NOT_PROFITABLE = "not_profitable"
    CLOSED_BY = "closed_by"
    NEGATIVE_BALANCE = "negative_balance"
    NOTHING_TO_SHARE = "nothing_to_share"
    HEDGED = "hedged"


EXCLUSION_TEXTS: dict[Exclusion, str] = {
    Exclusion.CANCELLED: "the trade was cancelled",
    Exclusion.ZERO_VOLUME: "it has no volume",
    Exclusion.DEMO_ACCOUNT: "the account is a demo account",
    Exclusion.ACCOUNT_NOT_ASSIGNED: "the account belongs to no client yet",
    Exclusion.CLIENT_NOT_REFERRED: "no partner introduced the client",
    Exclusion.SYMBOL_NOT_MAPPED: "the server's symbol is not mapped yet",
    Exclusion.NO_RULE: "no rule pays for it",
    Exclusion.MISSING_RATE: "a conversion rate is missing",
    Exclusion.ACCOUNT_FROZEN: "the partner's account is frozen; what is taken back waits",
    Exclusion.SET_ASIDE: "the books refused it; the trades that were set aside say why",
    Exclusion.NO_MARKET_PRICE: "no market price",
    Exclusion.NO_GATEWAY_PRICE: "no price of the liquidity provider",
    Exclusion.NO_SPECIFICATION: "the symbol had no specification when the trade was closed",
    Exclusion.NO_OPENING_PRICE: "no opening price",
    Exclusion.OPENING_UNKNOWN: "the deals that opened the position are not all known",
    Exclusion.NO_RATE: "no reference rate for its turnover",
    Exclusion.HELD_TOO_SHORT: "held for less than the plan asks",
    Exclusion.HELD_TOO_LONG: "held for longer than the plan allows",
    Exclusion.HOLD_UNKNOWN: "when it was opened is not known",
    Exclusion.TOO_FEW_POINTS: "the price moved less than the plan asks",
    Exclusion.TOO_FEW_LOTS: "fewer lots than the plan asks",
    Exclusion.OTHER_SIDE: "the plan pays the other side only",
    Exclusion.NOT_PROFITABLE: "the client did not profit",
    Exclusion.CLOSED_BY: "closed by an opposite position",
    Exclusion.NEGATIVE_BALANCE: "it left the account below zero",
    Exclusion.NOTHING_TO_SHARE: "what the plan measures is nothing",
    Exclusion.HEDGED: "the client's opposite side was paid already",
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
class ExcludedPart:
    """Why a rule for a partner does not count a trade, for which others, or another rule of theirs, may be paid."""

    trade_id: int
    ticket: int
    partner_id: int
    part: int
    reason: Exclusion


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
    quantity: Decimal
    rate: Decimal
    rate_currency: str
    fx_rate: Decimal
    fx_date: date | None
    fx_source: str
    currency: str
    target: Decimal
    booked_before: Decimal
    amount: Decimal
    cause: str
    basis: str = "per_lot"
    component: str = "main"
    factor: Decimal | None = None
    tier_before: Decimal | None = None
    cap_left: Decimal | None = None
    rounding_mode: str = "half_up"
    rounding_stage: str = "line"
    decimals: int | None = None
    card_rate: Decimal | None = None
    weight: Decimal = Decimal(1)
    tiers: tuple[tuple[Decimal, Decimal], ...] = ()
    is_paid: bool = True
    is_share_of_revenue: bool = False
    is_guarded: bool = False
    lost: tuple[str, ...] = ()


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
    """A client of a partner, named as the house's policy says, and what they traded in a period."""

    reference: str
    email: str
    country: str
    since: date | None
    trades: int
    lots: Decimal
    last_trade: date | None
    name: str = ""


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


@dataclass(frozen=True, slots=True)
class ApplicationDetails:
    """What somebody says who wants to become a partner. Promises are for a month."""

    applicant: str
    name: str
    email: str
    country: str
    kind: str
    currency: str = "USD"
    contact_name: str = ""
    company_number: str = ""
    phone: str = ""
    language: str = "en"
    website: str = ""
    promised_clients: int = 0
    promised_lots: Decimal = Decimal(0)
    promotion: str = ""
    client_id: int | None = None


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Another applicant or partner with the same mail address or company number."""

    label: str
    why: str
    state: str
    application_id: int | None = None
    partner_id: int | None = None
