"""What a partner earns by the period and not by the trade: pure decisions and arithmetic, without a database.

Settlement values a period with these functions, and an explanation rebuilds a stored line with the same ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from enum import StrEnum

from backoffice.kernel.decimals import EXACT, divide, round_decimal

ZERO = Decimal(0)
ONE = Decimal(1)
HUNDRED = Decimal(100)
PART_DECIMALS = 8
"""Places to which a converted part of a base is kept, in the line and in its explanation alike."""
PRODUCT_DECIMALS = 18
ROUNDING = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}


class LineKind(StrEnum):
    """What a period line pays or takes back."""

    CPA = "cpa"
    ACTIVE_CLIENT = "active_client"
    NET_REVENUE = "net_revenue"
    OVERRIDE = "override"
    CARRY_OVER = "carry_over"
    CLAWBACK = "clawback"
    RANK_BONUS = "rank_bonus"
    OVERRIDE_PAID = "override_paid"


class PartCode(StrEnum):
    """What a line is made of: the parts of a revenue, of a settled balance, or of what is taken back."""

    SPREAD = "spread"
    COMMISSION = "commission"
    SWAP_MARKUP = "swap_markup"
    CLIENT_LOSS = "client_loss"
    BONUS = "bonus"
    FEE = "fee"
    PAYMENT_COST = "payment_cost"
    ROYALTY = "royalty"
    DOWNLINE = "downline"
    SET_OFF = "set_off"
    CARRIED = "carried"
    FORGIVEN = "forgiven"
    GROUP_LOSS = "group_loss"
    TRADE_COMMISSION = "trade_commission"
    NET_REVENUE = "net_revenue"
    CPA = "cpa"
    ACTIVE_CLIENT = "active_client"
    DEPOSIT = "deposit"
    LOTS = "lots"
    REVENUE = "revenue"


COST_PARTS = frozenset({PartCode.BONUS, PartCode.FEE, PartCode.PAYMENT_COST, PartCode.ROYALTY})


def period_of(day: date) -> date:
    """The period that a business day belongs to, named by its first day: the calendar month."""
    return day.replace(day=1)


def next_period(start: date) -> date:
    """The first day of the following period."""
    return date(start.year + start.month // 12, start.month % 12 + 1, 1)


def previous_period(start: date) -> date:
    """The first day of the period before."""
    return period_of(start - timedelta(days=1))


def last_day(start: date) -> date:
    """The last day of the period."""
    return next_period(start) - timedelta(days=1)


def periods_between(first: date, last: date) -> list[date]:
    """Every period from one to another, both included."""
    found, at = [], first
    while at <= last:
        found.append(at)
        at = next_period(at)
    return found


@dataclass(frozen=True, slots=True)
class Tier:
    """From which measure on a rate holds."""

    from_value: Decimal
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Money:
    """How a plan rounds: the reward's currency, its decimals and the mode; rounded once, at the end."""

    currency: str
    decimals: int
    mode: str = "half_up"

    def rounded(self, amount: Decimal) -> Decimal:
        """The amount as it is booked."""
        product = round_decimal(amount, PRODUCT_DECIMALS)
        return round_decimal(product, self.decimals, ROUNDING[self.mode])


@dataclass(frozen=True, slots=True)
class ShareTerms:
    """A share of something: percent, tiers on a measure, and the bounds of base and reward."""

    rate: Decimal
    tiers: tuple[Tier, ...] = ()
    marginal: bool = False
    measures_base: bool = False
    """The tiers stand on the base itself (revenue of this period), so that marginal bands cut the base."""
    base_cap: Decimal | None = None
    minimum: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Band:
    """A slice of the base at one rate."""

    amount: Decimal
    rate: Decimal


@dataclass(frozen=True, slots=True)
class Share:
    """A valued share: its bands, what they sum to, and whether base or reward met a bound."""

    bands: tuple[Band, ...]
    base: Decimal
    earned: Decimal
    amount: Decimal
    capped: bool
    raised: bool

    @property
    def effective_rate(self) -> Decimal:
        """Percent of the base that was earned, before the minimum; zero for a base of zero."""
        return divide(EXACT.multiply(self.earned, HUNDRED), self.base) if self.base else ZERO


def tier_rate(rate: Decimal, tiers: Sequence[Tier], measure: Decimal) -> Decimal:
    """The rate that a measure reaches: that of the highest tier at or below it, else the rule's own."""
    for tier in sorted(tiers, key=lambda tier: tier.from_value, reverse=True):
        if measure >= tier.from_value:
            return tier.rate
    return rate


def cut_bands(rate: Decimal, tiers: Sequence[Tier], measure: Decimal) -> tuple[Band, ...]:
    """A positive measure cut at the tiers: each slice at its own rate."""
    steps = sorted(tiers, key=lambda tier: tier.from_value)
    edges = [(ZERO, rate), *((tier.from_value, tier.rate) for tier in steps)]
    bands = []
    for index, (start, band_rate) in enumerate(edges):
        end = edges[index + 1][0] if index + 1 < len(edges) else None
        upper = measure if end is None else min(measure, end)
        if upper > start:
            bands.append(Band(upper - start, band_rate))
    return tuple(bands)


def share_of(terms: ShareTerms, *, base: Decimal, measure: Decimal) -> Share:
    """What a share of a base is worth, unrounded.

    Marginal tiers on the base cut the base itself; marginal tiers on another measure give the average rate of that
    measure's slices. A negative base takes the rate of the lowest tier: no loss is shared at the rate of a success.
    """
    capped = terms.base_cap is not None and base > terms.base_cap
    used = terms.base_cap if capped and terms.base_cap is not None else base
    if not terms.tiers:
        bands: tuple[Band, ...] = (Band(used, terms.rate),)
    elif terms.measures_base and terms.marginal and used > 0:
        bands = cut_bands(terms.rate, terms.tiers, used)
    elif terms.marginal and measure > 0 and not terms.measures_base:
        slices = cut_bands(terms.rate, terms.tiers, measure)
        weighted = sum((EXACT.multiply(band.amount, band.rate) for band in slices), ZERO)
        bands = (Band(used, divide(weighted, measure)),)
    else:
        bands = (Band(used, tier_rate(terms.rate, terms.tiers, max(measure, ZERO))),)
    earned = sum((percent(band.amount, band.rate) for band in bands), ZERO)
    raised = terms.minimum is not None and used > 0 and earned < terms.minimum
    amount = terms.minimum if raised and terms.minimum is not None else earned
    return Share(bands=bands, base=used, earned=earned, amount=amount, capped=capped, raised=raised)


def percent(amount: Decimal, rate: Decimal) -> Decimal:
    """A rate of 20 is a fifth."""
    return EXACT.divide(EXACT.multiply(amount, rate), HUNDRED)


# ------------------------------------------------------------------------------------------------ carrying losses over


class CarryScope(StrEnum):
    """Whose earnings a loss is set off against."""

    NONE = "none"
    PLAN = "plan"
    PARTNER = "partner"
    GROUP = "group"


@dataclass(frozen=True, slots=True)
class Vintage:
    """A loss that is still carried, and the period that made it; the amount is negative."""

    period: date
    amount: Decimal


@dataclass(frozen=True, slots=True)
class CarryTerms:
    """How losses are carried: whether, at most how much (a positive amount), and for how many periods."""

    scope: CarryScope = CarryScope.NONE
    cap: Decimal | None = None
    months: int | None = None


@dataclass(frozen=True, slots=True)
class CarryStep:
    """One period of a balance of losses. `payable` is never negative; balances never positive."""

    opening: Decimal
    lapsed: Decimal
    result: Decimal
    set_off: Decimal
    carried: Decimal
    forgiven: Decimal
    payable: Decimal
    vintages: tuple[Vintage, ...]

    @property
    def closing(self) -> Decimal:
        """What the next period opens with."""
        return sum((vintage.amount for vintage in self.vintages), ZERO)

    @property
    def correction(self) -> Decimal:
        """What turns the period's result into what is payable."""
        return self.payable - self.result


def carry_over(terms: CarryTerms, *, period: date, vintages: Sequence[Vintage], result: Decimal) -> CarryStep:
    """Sets a period's result off against the losses carried into it, the oldest first.

    A loss lapses when more than `months` periods have passed since its own. Without carrying, a negative result is borne
    by the broker and nothing is left for later.
    """
    opening = sum((vintage.amount for vintage in vintages), ZERO)
    held = [item for item in vintages if not _is_lapsed(terms, item.period, period)]
    lapsed = opening - sum((item.amount for item in held), ZERO)
    if terms.scope is CarryScope.NONE:
        held, lapsed = [], opening
    if result >= 0:
        held, set_off = _set_off(held, result)
        return CarryStep(opening, lapsed, result, set_off, ZERO, ZERO, result - set_off, tuple(held))
    carried = ZERO if terms.scope is CarryScope.NONE else -result
    if terms.cap is not None:
        room = max(terms.cap + sum((item.amount for item in held), ZERO), ZERO)
        carried = min(carried, room)
    if carried:
        held = [*held, Vintage(period, -carried)]
    return CarryStep(opening, lapsed, result, ZERO, carried, -result - carried, ZERO, tuple(held))


def _set_off(held: Sequence[Vintage], result: Decimal) -> tuple[list[Vintage], Decimal]:
    left, rest = [], result
    for item in held:
        used = min(rest, -item.amount)
        rest -= used
        if item.amount + used:
            left.append(Vintage(item.period, item.amount + used))
    return left, result - rest


def _is_lapsed(terms: CarryTerms, born: date, period: date) -> bool:
    if terms.months is None:
        return False
    return (period.year - born.year) * 12 + period.month - born.month > terms.months


# --------------------------------------------------------------------------------------------------------------- CPA


class CpaState(StrEnum):
    """How far a client is on the way to the reward."""

    WAITING = "waiting"
    QUALIFIED = "qualified"
    EXPIRED = "expired"
    DECLINED = "declined"
    CLAWED_BACK = "clawed_back"


class CpaNeed(StrEnum):
    """What a client may still lack."""

    DEPOSIT = "deposit"
    LOTS = "lots"
    REVENUE = "revenue"
    ACTIVE_CLIENTS = "active_clients"


@dataclass(frozen=True, slots=True)
class CpaTerms:
    """When a client's introducer has earned the reward; None asks for nothing."""

    window_hours: int | None = None
    minimum_deposit: Decimal | None = None
    minimum_lots: Decimal | None = None
    minimum_revenue: Decimal | None = None
    qualify_days: int | None = None
    clawback_days: int | None = None


@dataclass(frozen=True, slots=True)
class Dated:
    """An amount and the moment it is of."""

    at: datetime
    amount: Decimal


@dataclass(frozen=True, slots=True)
class Reached:
    """A running total: what it came to, and when it reached what was asked for (None: not yet)."""

    total: Decimal = ZERO
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CpaFacts:
    """What is known of a client. Deposits and what was taken back are in the rule's currency."""

    deposits: tuple[Dated, ...]
    taken_back: tuple[Dated, ...] = ()
    lots: Reached = Reached()
    revenue: Reached = Reached()
    fraud_at: datetime | None = None
    declined_reason: str = ""


@dataclass(frozen=True, slots=True)
class Need:
    """What is asked for, and how much of it is there."""

    what: CpaNeed
    wanted: Decimal
    reached: Decimal


@dataclass(frozen=True, slots=True)
class CpaOutcome:
    """A client's state, and everything that people ask about it."""

    state: CpaState
    first_deposit_at: datetime
    deposit: Decimal
    expires_at: datetime | None
    qualified_at: datetime | None
    missing: tuple[Need, ...] = ()
    lost_at: datetime | None = None
    reason: str = ""

    @property
    def earned(self) -> bool:
        """Whether the reward was earned, even if it was taken back later by a line of its own."""
        return self.state in {CpaState.QUALIFIED, CpaState.CLAWED_BACK}


def first_deposits(facts: CpaFacts, window_hours: int | None) -> tuple[Dated, ...]:
    """The deposits that count as the first one: those within the window after it; without a window, it alone."""
    ordered = sorted(facts.deposits, key=lambda deposit: deposit.at)
    if not ordered:
        return ()
    end = ordered[0].at + timedelta(hours=window_hours or 0)
    return tuple(deposit for deposit in ordered if deposit.at <= end) if window_hours else (ordered[0],)


def judge_cpa(terms: CpaTerms, facts: CpaFacts, *, now: datetime) -> CpaOutcome | None:
    """Where a client stands; None before the first deposit.

    Every condition must be met within the days to qualify. The reward is earned at the moment the last one is met. What is
    charged back before that moment counts as never paid in; afterwards, within the days of clawback, the reward is lost
    when what is left of the first deposit is no longer enough.
    """
    first = first_deposits(facts, terms.window_hours)
    if not first:
        return None
    start = first[0].at
    expires = start + timedelta(days=terms.qualify_days) if terms.qualify_days is not None else None
    paid_in = sum((deposit.amount for deposit in first), ZERO)
    met, missing = _conditions(terms, facts, first, expires)
    outcome = CpaOutcome(CpaState.WAITING, start, paid_in, expires, None, tuple(missing))
    if facts.declined_reason:
        return replace(outcome, state=CpaState.DECLINED, reason=facts.declined_reason)
    qualified = None if missing else max([start, *met])
    if qualified is not None:
        left = _left_of(facts, first, qualified)
        if left < (terms.minimum_deposit or ZERO) or left <= 0:
            needs = (Need(CpaNeed.DEPOSIT, terms.minimum_deposit or ZERO, left),)
            outcome, qualified = replace(outcome, missing=needs), None
    if facts.fraud_at is not None and (qualified is None or facts.fraud_at <= qualified):
        return replace(outcome, state=CpaState.DECLINED, reason="fraud", lost_at=facts.fraud_at)
    if qualified is None:
        expired = expires is not None and now > expires
        return replace(outcome, state=CpaState.EXPIRED, reason="not qualified in time") if expired else outcome
    lost_at, reason = _lost(terms, facts, first, qualified)
    state = CpaState.CLAWED_BACK if lost_at else CpaState.QUALIFIED
    return replace(outcome, state=state, qualified_at=qualified, lost_at=lost_at, reason=reason)


def _conditions(
    terms: CpaTerms, facts: CpaFacts, first: Sequence[Dated], expires: datetime | None
) -> tuple[list[datetime], list[Need]]:
    """When each condition was met, and those that are not (or not in time)."""
    met: list[datetime] = []
    missing: list[Need] = []
    deposit_at, left = _deposit_reached(terms.minimum_deposit, facts, first)
    asked = (
        (CpaNeed.DEPOSIT, terms.minimum_deposit, Reached(left, deposit_at)),
        (CpaNeed.LOTS, terms.minimum_lots, facts.lots),
        (CpaNeed.REVENUE, terms.minimum_revenue, facts.revenue),
    )
    for what, wanted, reached in asked:
        if wanted is None and not (what is CpaNeed.DEPOSIT and deposit_at is None):
            continue
        if reached.at is not None and (expires is None or reached.at <= expires):
            met.append(reached.at)
        else:
            missing.append(Need(what, wanted or ZERO, reached.total))
    return met, missing


def _deposit_reached(
    wanted: Decimal | None, facts: CpaFacts, first: Sequence[Dated]
) -> tuple[datetime | None, Decimal]:
    """When the first deposits came to what is asked for, and what they came to in all."""
    total, reached = ZERO, None
    for deposit in first:
        total += deposit.amount
        left = _left_of(facts, first, deposit.at)
        if reached is None and left > 0 and left >= (wanted or ZERO):
            reached = deposit.at
    return reached, total


def _left_of(facts: CpaFacts, first: Sequence[Dated], at: datetime) -> Decimal:
    """What is left of the first deposits at a moment, without what was charged back until then."""
    paid_in = sum((deposit.amount for deposit in first if deposit.at <= at), ZERO)
    return paid_in - sum((item.amount for item in facts.taken_back if item.at <= at), ZERO)


def _lost(terms: CpaTerms, facts: CpaFacts, first: Sequence[Dated], qualified: datetime) -> tuple[datetime | None, str]:
    """When an earned reward was lost, and why."""
    if facts.fraud_at is not None:
        return facts.fraud_at, "fraud"
    until = qualified + timedelta(days=terms.clawback_days) if terms.clawback_days is not None else None
    paid_in = sum((deposit.amount for deposit in first), ZERO)
    back = ZERO
    for item in sorted(facts.taken_back, key=lambda item: item.at):
        back += item.amount
        if until is not None and item.at > until:
            break
        left = paid_in - back
        if left < (terms.minimum_deposit or ZERO) or left <= 0:
            return item.at, "chargeback"
    return None, ""


# ---------------------------------------------------------------------------------------------------- active clients


@dataclass(frozen=True, slots=True)
class ActiveTerms:
    """What makes a client active within a period; with nothing stated, one closed trade does."""

    minimum_lots: Decimal | None = None
    minimum_deposit: Decimal | None = None
    minimum_revenue: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Activity:
    """What a client did within a period; money in the rule's currency."""

    trades: int = 0
    lots: Decimal = ZERO
    deposits: Decimal = ZERO
    revenue: Decimal = ZERO


def is_active(terms: ActiveTerms, activity: Activity) -> bool:
    """Whether the client counts."""
    asked = (
        (terms.minimum_lots, activity.lots),
        (terms.minimum_deposit, activity.deposits),
        (terms.minimum_revenue, activity.revenue),
    )
    stated = [(wanted, reached) for wanted, reached in asked if wanted is not None]
    if not stated:
        return activity.trades > 0
    return all(reached >= wanted for wanted, reached in stated)


# ---------------------------------------------------------------------------------------------------------- clawback


def charged_back_share(*, charged_back: Decimal, deposits: Decimal) -> Decimal:
    """Which share of the disputed deposits was charged back, at most the whole; without a known deposit, the whole."""
    if charged_back <= 0:
        return ZERO
    return ONE if charged_back >= deposits else divide(charged_back, deposits)


@dataclass(frozen=True, slots=True)
class Dispute:
    """Why commission is taken back: all or a share of what a client brought on days of a span, both ends included."""

    event_id: int
    from_day: date
    to_day: date
    share: Decimal


def shares_by_day(disputes: Sequence[Dispute], days: Sequence[date]) -> dict[int, dict[date, Decimal]]:
    """For each dispute the share that it takes of each day. Together they never take more than the whole of a day."""
    taken: dict[date, Decimal] = {}
    found: dict[int, dict[date, Decimal]] = {}
    for dispute in disputes:
        for day in days:
            if dispute.from_day <= day <= dispute.to_day:
                share = min(dispute.share, ONE - taken.get(day, ZERO))
                if share > 0:
                    taken[day] = taken.get(day, ZERO) + share
                    found.setdefault(dispute.event_id, {})[day] = share
    return found


def taken_back(by_day: dict[date, Decimal], shares: dict[date, Decimal]) -> Decimal:
    """The part of a client's amounts by day that the shares take, unrounded and positive."""
    return sum((EXACT.multiply(by_day[day], share) for day, share in shares.items() if day in by_day), ZERO)


def revenue_taken_back(base: Decimal, effective_rate: Decimal) -> Decimal:
    """What a share of revenue had paid for a client: nothing, if the client brought a loss."""
    return percent(base, effective_rate) if base > 0 and effective_rate > 0 else ZERO


# ------------------------------------------------------------------------------------------------- bonuses for ranks


@dataclass(frozen=True, slots=True)
class DecidedMonth:
    """A month whose decision stands: the rank that it leads to by what was reached; empty for none."""

    period: date
    rank: str


def bonus_months(months: Sequence[DecidedMonth], *, rank: str, once: bool) -> list[date]:
    """The months for which a rank's bonus is due: every one that leads to it, or only the first one ever.

    Who loses the rank and reaches it again has had the bonus for reaching it.
    """
    found = sorted(month.period for month in months if month.rank == rank)
    return found[:1] if once else found


# ------------------------------------------------------------------------------------- bonus as a share of net deposits


def net_deposit_bonus(*, rate: Decimal, movements: Sequence[Decimal], money: Money) -> list[Decimal]:
    """The bonus that stands after each deposit (positive) or withdrawal (negative): a percentage of what is left, and
    none once nothing is."""
    held, found = ZERO, []
    for movement in movements:
        held += movement
        found.append(money.rounded(max(percent(held, rate), ZERO)))
    return found
