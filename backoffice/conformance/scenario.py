"""What a scenario says, as it was read: every key of the format is a field here, with its type. docs/formats/conformance.md.

Whatever refers to something names its code. A mapping of terms (`Terms`) is read against the fields of the model that it
becomes, so the format knows a new field of a rule without a change here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""From when on something counts, where the file does not say."""

Terms = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbol:
    """A symbol with its specification."""

    code: str
    group: str = "majors"
    asset_class: str = "forex"
    base_asset: str = ""
    profit_currency: str = "USD"
    specification: Terms = field(default_factory=dict, metadata={"model": "platform_ops.SymbolSpec"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountGroup:
    """A group of accounts on the server."""

    name: str
    currency: str = "USD"
    account_type: str = ""
    is_demo: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """From which measure on a rule has another rate."""

    from_value: Decimal
    rate: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A rule of a plan: the tiers, and every other field by its name."""

    terms: Terms = field(metadata={"model": "ib.PlanRule", "rest": True})
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCondition:
    """At least so much of something over a time: what earns a rank."""

    measure: str = field(metadata={"choices": ("lots", "active_clients", "deposits")})
    threshold: Decimal
    scope: str = field(default="team", metadata={"choices": ("own", "team")})
    window: str = field(default="month", metadata={"choices": ("month", "quarter")})
    currency: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank:
    """A rank of a version, from the lowest on: what earns it, and for how many months below that it is kept."""

    code: str
    name: str = ""
    conditions: tuple[RankCondition, ...] = ()
    keep_months: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """By how much volume in a symbol group or of an account group counts."""

    weight: Decimal
    symbol_group: str = ""
    account_group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of a plan, published from a moment on."""

    rules: tuple[Rule, ...]
    valid_from: datetime = field(default=BEGINNING, metadata={"key": "from"})
    ranks: tuple[Rank, ...] = ()
    weights: tuple[Weight, ...] = ()
    policy: Terms = field(default_factory=dict, metadata={"model": "ib.PlanVersion"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A commission plan with its versions, oldest first."""

    code: str
    versions: tuple[Version, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parent:
    """Who stands above, from a moment on; without a partner: nobody."""

    partner: str = ""
    valid_from: datetime = field(default=BEGINNING, metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A rank held, from a moment on."""

    rank: str
    valid_from: datetime = field(default=BEGINNING, metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiated:
    """A rate that a partner gets instead of the plan's, or a part of the rate of the partner above.

    `by` is the partner above who gave it; without one the desk did.
    """

    rate: Decimal | None = None
    allocation_percent: Decimal | None = None
    component: str = "main"
    by: str = ""
    valid_from: datetime = field(default=BEGINNING, metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A plan that binds a partner, from a moment on."""

    plan: str
    valid_from: datetime = field(default=BEGINNING, metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Partner:
    """A partner, the dated places in the tree, ranks, negotiated rates and plans. `client` is the client they are."""

    code: str
    currency: str = "USD"
    kind: str = "rebate"
    client: str = ""
    parents: tuple[Parent, ...] = ()
    ranks: tuple[Holding, ...] = ()
    negotiated: tuple[Negotiated, ...] = ()
    plans: tuple[Signed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Introduced:
    """Who introduced a client, from a moment on; without a partner: nobody."""

    partner: str = ""
    valid_from: datetime = field(default=BEGINNING, metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A client."""

    code: str
    country: str = "CY"
    registered: datetime = BEGINNING
    introduced_by: tuple[Introduced, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimension:
    """A dimension of an account, such as book or campaign, from a moment on."""

    dimension: str
    value: str
    valid_from: datetime = field(default=BEGINNING, metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A trading account."""

    login: str
    client: str = ""
    currency: str = "USD"
    group: str = ""
    account_type: str = ""
    is_demo: bool = False
    dimensions: tuple[Dimension, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Market:
    """The market when a deal was executed, as far as it is known."""

    bid: Decimal | None = None
    ask: Decimal | None = None
    gateway: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trade:
    """A closed trade. `position` joins the parts in which one position was closed; `commission` is of the closing deal,
    `open_commission` of the whole opening deal; both negative where the client pays.
    """

    ticket: int
    account: str
    symbol: str
    lots: Decimal
    closed: datetime
    side: str = field(default="buy", metadata={"choices": ("buy", "sell")})
    opened: datetime | None = None
    open_price: Decimal | None = None
    close_price: Decimal = Decimal(1)
    profit: Decimal = Decimal(0)
    swap: Decimal = Decimal(0)
    commission: Decimal = Decimal(0)
    open_commission: Decimal = Decimal(0)
    fee: Decimal = Decimal(0)
    position: int | None = None
    is_close_by: bool = False
    open_market: Market | None = None
    close_market: Market | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """Money on an account that no trade made: a deposit, a withdrawal, credit."""

    ticket: int
    account: str
    amount: Decimal
    at: datetime
    kind: str = field(default="balance", metadata={"choices": ("balance", "credit", "bonus", "charge", "correction")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A fact about a client that another desk told."""

    client: str
    kind: str
    at: datetime
    reference: str
    amount: Decimal | None = None
    currency: str = ""
    disputed_from: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What a partner is to be paid for a trade by a component, all bookings together."""

    partner: str
    trade: int
    amount: Decimal
    currency: str = "USD"
    component: str = "main"


@dataclass(frozen=True, slots=True, kw_only=True)
class Excluded:
    """A trade for which a partner (or, without one, anybody) is not paid, and the reason's code."""

    trade: int
    reason: str
    partner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PeriodLine:
    """What a partner is to be paid for a period by a rule and a subject, all bookings together."""

    partner: str
    kind: str
    period: date
    amount: Decimal
    subject: str = ""
    currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How far a client is on the way to a partner's reward."""

    client: str
    partner: str
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A partner's balance of losses in a period."""

    partner: str
    period: date
    opening: Decimal
    closing: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedRank:
    """What the newest look at a partner's month came to: the rank of the next month, and how that is called."""

    partner: str
    period: date
    follows: str = ""
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """The balance of one of a partner's ledger accounts."""

    partner: str
    amount: Decimal
    currency: str = "USD"
    ledger: str = field(default="accrued", metadata={"choices": ("accrued", "payable", "wallet")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Total:
    """All lines of a partner together, by trade and by period."""

    partner: str
    amount: Decimal
    currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """A commission statement of a partner."""

    partner: str
    starts: date
    earned: Decimal
    currency: str = "USD"
    state: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What must stand in the books. A list that is given is complete: what stands there beside it is a difference."""

    lines: tuple[Line, ...] | None = None
    excluded: tuple[Excluded, ...] | None = None
    period_lines: tuple[PeriodLine, ...] | None = None
    claims: tuple[Claim, ...] | None = None
    carried: tuple[Carried, ...] | None = None
    ranks: tuple[DecidedRank, ...] | None = None
    balances: tuple[Balance, ...] | None = None
    totals: tuple[Total, ...] | None = None
    statements: tuple[Statement, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settle:
    """Settles a range of business days; without bounds, every day on which a trade was ever closed."""

    from_day: date | None = field(default=None, metadata={"key": "from"})
    to_day: date | None = field(default=None, metadata={"key": "to"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Puts a partner, with everybody below, under another one or at the top."""

    partner: str
    parent: str = ""
    valid_from: datetime = field(metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Refer:
    """Another partner (or nobody) introduced the client, from a moment on."""

    client: str
    partner: str = ""
    valid_from: datetime = field(metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveRank:
    """A partner gets a rank."""

    partner: str
    rank: str
    valid_from: datetime = field(metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Negotiate:
    """A partner gets a negotiated rate."""

    partner: str
    rate: Decimal | None = None
    allocation_percent: Decimal | None = None
    component: str = "main"
    by: str = ""
    valid_from: datetime = field(metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """A partner signs a plan."""

    partner: str
    plan: str
    valid_from: datetime = field(metadata={"key": "from"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Publish:
    """A plan gets one more version."""

    plan: str
    version: Version


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing that happens, then what must stand in the books. `refused` is the code of the refusal that must come."""

    arrive: tuple[int, ...] | None = None
    settle: Settle | None = None
    settle_periods: bool | None = None
    decide_ranks: date | None = None
    correct: Trade | None = None
    cancel: int | None = None
    move: Move | None = None
    refer: Refer | None = None
    rank: GiveRank | None = None
    negotiate: Negotiate | None = None
    sign: Sign | None = None
    publish: Publish | None = None
    event: Event | None = None
    reverse_event: str | None = None
    rates: dict[date, dict[str, Decimal]] | None = None
    close_statements: bool | None = None
    refused: str = ""
    expect: Expectation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The whole file."""

    scenario: str
    title: str
    source: str = ""
    note: str = ""
    base_currency: str = "EUR"
    rates: dict[date, dict[str, Decimal]] = field(default_factory=dict)
    symbols: tuple[Symbol, ...] = ()
    account_types: tuple[str, ...] = ()
    account_groups: tuple[AccountGroup, ...] = ()
    plans: tuple[Plan, ...] = ()
    partners: tuple[Partner, ...] = ()
    clients: tuple[Client, ...] = ()
    accounts: tuple[Account, ...] = ()
    trades: tuple[Trade, ...] = ()
    operations: tuple[Operation, ...] = ()
    events: tuple[Event, ...] = ()
    steps: tuple[Step, ...] = ()
    expect: Expectation | None = None
