"""What a partner's periods are worth now: every rule by the period applied to the facts, without a look at what was booked.

Settlement, proof and preview all ask here. A missing conversion rate is MissingRate: nothing is valued at zero in silence.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

from backoffice.kernel.business_day import business_day_of, day_bounds, previous_business_day
from backoffice.kernel.decimals import EXACT, round_decimal
from backoffice.kernel.errors import MissingRate
from ib.engine import period_facts as facts
from ib.engine.period_facts import EventRow, Placement, Scope, Selectors
from ib.engine.period_lines import LineKey, TargetLine
from ib.models import Partner
from ib.rules.period_words import LinePart, PeriodFacts, value
from ib.rules.periods import (
    COST_PARTS,
    PART_DECIMALS,
    ZERO,
    Activity,
    LineKind,
    PartCode,
    cut_bands,
    is_active,
    next_period,
    period_of,
    periods_between,
    previous_period,
    tier_rate,
)
from ib.services.period_terms import NET_REVENUE, PER_ACTIVE_CLIENT, RuleTerms, rules_of

COST_KINDS = tuple(sorted(code.value for code in COST_PARTS))
Amounts = list[tuple[date, str, Decimal]]


@dataclass(slots=True)
class World:
    """One partner, the span of periods that is valued, and what was read of it so far."""

    partner: Partner
    from_period: date
    now: datetime
    rules: list[RuleTerms]
    placements: dict[int, list[Placement]]
    lines: dict[LineKey, TargetLine] = field(default_factory=dict)
    _dimensions: dict[int, list[tuple[str, str, datetime | None, datetime | None]]] | None = None

    @property
    def current(self) -> date:
        """The period that is still open."""
        return period_of(business_day_of(self.now))

    @property
    def periods(self) -> list[date]:
        """Every period that is valued, the open one included."""
        return periods_between(self.from_period, self.current)

    @property
    def ended(self) -> list[date]:
        """Those that are over."""
        return [period for period in self.periods if period < self.current]

    def scope(self, first: date, last: date, **more: object) -> Scope:
        """The partner's clients from the first day of a period to the last of another."""
        return Scope(
            partner_id=self.partner.pk,
            from_day=first,
            to_day=previous_business_day(next_period(last)),
            **more,  # type: ignore[arg-type]
        )

    def counts(self, client_id: int, at: datetime, terms: RuleTerms) -> Placement | None:
        """Where the client stood at the moment, if the rule is in force then and the client is its own."""
        if not terms.binds_at(at):
            return None
        found = next((item for item in self.placements.get(client_id, ()) if item.holds(at)), None)
        if found is None or not self._selects(terms.selectors, found, at):
            return None
        return None if any(self._selects(other, found, at) for other in terms.earlier) else found

    def _selects(self, selectors: Selectors, placement: Placement, at: datetime) -> bool:
        if selectors.level is not None and selectors.level != placement.level:
            return False
        if selectors.deepest is not None and placement.level > selectors.deepest:
            return False
        if selectors.country and selectors.country != placement.country:
            return False
        named = [("campaign", selectors.campaign)] if selectors.campaign else []
        if selectors.dimension:
            named.append((selectors.dimension, selectors.dimension_value))
        return all(self._has(placement.client_id, dimension, wanted, at) for dimension, wanted in named)

    def _has(self, client_id: int, dimension: str, wanted: str, at: datetime) -> bool:
        if self._dimensions is None:
            self._dimensions = defaultdict(list)
            names = {"campaign", *(rule.selectors.dimension for rule in self.rules)} - {""}
            for owner, name, held, start, end in facts.client_dimensions(
                clients=list(self.placements), dimensions=sorted(names)
            ):
                self._dimensions[owner].append((name, held, start, end))
        return any(
            name == dimension and held == wanted and (start is None or start <= at) and (end is None or at < end)
            for name, held, start, end in self._dimensions.get(client_id, ())
        )


def open_world(*, partner: Partner, from_period: date, now: datetime) -> World:
    """Reads whose clients count for the partner, and by which rules."""
    placed: dict[int, list[Placement]] = defaultdict(list)
    for placement in facts.placements(Scope(partner.pk, from_period, from_period)):
        placed[placement.client_id].append(placement)
    return World(partner, from_period, now, rules_of(partner), dict(placed))


def converted(amounts: Amounts, into: str) -> list[Decimal]:
    """Amounts in another currency by the reference rates of their days, to 8 places. Raises MissingRate."""
    rates = facts.rates((day, currency, into) for day, currency, _ in amounts)
    found = []
    for day, currency, amount in amounts:
        rate, _ = rates[day, currency, into]
        if rate is None and amount:
            raise MissingRate(
                f"No reference rate from {currency} to {into} on {day}.", day=day.isoformat(), base=currency, quote=into
            )
        found.append(round_decimal(EXACT.multiply(amount, rate or ZERO), PART_DECIMALS))
    return found


def last_business_day(period: date) -> date:
    """The business day that closes a period."""
    return previous_business_day(next_period(period))


def end_of(period: date) -> datetime:
    """The moment at which a period is over."""
    return day_bounds(last_business_day(period))[1]


def sells_no_trades(selectors: Selectors) -> bool:
    """Whether a rule selects clients only: then costs and swaps, which belong to no trade, are its too."""
    return (
        selectors.symbol_id is None
        and selectors.symbol_group_id is None
        and selectors.account_group_id is None
        and selectors.account_type_id is None
    )


# -------------------------------------------------------------------------------------------------------- net revenue


@dataclass(slots=True)
class _Sum:
    original: Decimal = ZERO
    amount: Decimal = ZERO
    count: int = 0
    unknown: int = 0


def revenue_parts(
    world: World, terms: RuleTerms, *, first: date, last: date, clients: Sequence[int] | None = None
) -> dict[tuple[date, int | None], list[tuple[date, LinePart]]]:
    """The parts of net revenue by (period, client if clients are named), each with its day; costs are negative."""
    scope = world.scope(
        first,
        last,
        windows=terms.multirange,
        selectors=terms.selectors,
        earlier=terms.earlier,
        clients=None if clients is None else tuple(clients),
    )
    rows = facts.revenue(scope, spread_sides=terms.spread_sides, by_client=clients is not None)
    found: list[tuple[date, int | None, str, str, Decimal, int, int]] = [
        (row.day, row.client_id, row.code, row.currency, row.amount, row.count, row.unknown) for row in rows
    ]
    if sells_no_trades(terms.selectors):
        for event in facts.events_of(scope, kinds=COST_KINDS):
            if scope.from_day <= event.day <= scope.to_day and world.counts(event.client_id, event.at, terms):
                owner = event.client_id if clients is not None else None
                found.append((event.day, owner, event.kind, event.currency, -(event.amount or ZERO), 1, 0))
    amounts = converted([(day, currency, amount) for day, _, _, currency, amount, _, _ in found], terms.money.currency)
    parts: dict[tuple[date, int | None], list[tuple[date, LinePart]]] = defaultdict(list)
    for (day, owner, code, currency, original, count, unknown), amount in zip(found, amounts, strict=True):
        part = LinePart(PartCode(code), amount, original, currency, count, unknown)
        parts[period_of(day), owner].append((day, part))
    return parts


def summed(parts: Iterable[LinePart]) -> tuple[LinePart, ...]:
    """Parts of the same kind and currency together, in the order of the kinds."""
    sums: dict[tuple[PartCode, str], _Sum] = defaultdict(_Sum)
    for part in parts:
        held = sums[part.code, part.currency]
        held.original += part.original
        held.amount += part.amount
        held.count += part.count
        held.unknown += part.unknown
    order = {code: index for index, code in enumerate(PartCode)}
    return tuple(
        LinePart(code, held.amount, held.original, currency, held.count, held.unknown)
        for (code, currency), held in sorted(sums.items(), key=lambda item: (order[item[0][0]], item[0][1]))
    )


def add_net_revenue(world: World) -> None:
    """A line for each rule on net revenue and each period that is over and in which it was in force."""
    if not world.ended:
        return
    for terms in world.rules:
        if terms.basis != NET_REVENUE or terms.is_override:
            continue
        first = previous_period(world.from_period) if terms.tier_prior else world.from_period
        by_period = revenue_parts(world, terms, first=first, last=world.ended[-1])
        bases = {period: sum((part.amount for _, part in parts), ZERO) for (period, _), parts in by_period.items()}
        measures = tier_measures(world, terms, bases=bases, first=first)
        for period in world.ended:
            parts = by_period.get((period, None))
            if not parts:
                continue
            line = PeriodFacts(
                kind=LineKind.NET_REVENUE,
                period=period,
                money=terms.money,
                quantity=bases[period],
                measure=measures.get(previous_period(period) if terms.tier_prior else period, ZERO)
                if terms.share.tiers
                else None,
                rate=terms.rate,
                level=terms.selectors.level,
                share=terms.share,
                parts=summed(part for _, part in parts),
            )
            _add(world, line, rule_id=terms.rule_id, subject=("partner", world.partner.pk))


def tier_measures(world: World, terms: RuleTerms, *, bases: dict[date, Decimal], first: date) -> dict[date, Decimal]:
    """By period, what the rule's tiers look at."""
    if not terms.share.tiers:
        return {}
    scope = world.scope(first, world.ended[-1], selectors=Selectors(level=None if terms.tier_team else 1))
    found: dict[date, Decimal] = defaultdict(lambda: ZERO)
    if terms.tier_measure == "revenue":
        if not terms.tier_team:
            return bases
        team = replace(terms, selectors=replace(terms.selectors, level=None), earlier=())
        for (period, _), parts in revenue_parts(world, team, first=first, last=world.ended[-1]).items():
            found[period] = sum((part.amount for _, part in parts), ZERO)
    elif terms.tier_measure == "lots":
        for _, period, _, lots in facts.volume(scope):
            found[period] += lots
    elif terms.tier_measure == "notional":
        rows = facts.notional(scope)
        amounts = converted([(day, currency, amount) for day, currency, amount, _ in rows], terms.currency)
        for (day, _, _, _), amount in zip(rows, amounts, strict=True):
            found[period_of(day)] += amount
    elif terms.tier_measure == "deposits":
        kinds = facts.NET_DEPOSITS
        events = [event for event in facts.events_of(scope, kinds=sorted(kinds)) if _stands(world, event, terms)]
        amounts = converted(
            [(item.day, item.currency, kinds[item.kind] * (item.amount or ZERO)) for item in events], terms.currency
        )
        for event, amount in zip(events, amounts, strict=True):
            found[period_of(event.day)] += amount
    else:
        for period, active in active_clients(world, terms, scope=scope).items():
            found[period] = Decimal(len(active))
    return found


def _stands(world: World, event: EventRow, terms: RuleTerms) -> bool:
    placed = next((item for item in world.placements.get(event.client_id, ()) if item.holds(event.at)), None)
    return placed is not None and (terms.tier_team or placed.level == 1)


# ------------------------------------------------------------------------------------------------------ active clients


def active_clients(world: World, terms: RuleTerms, *, scope: Scope) -> dict[date, list[int]]:
    """By period, the clients who count as active by the rule's own definition."""
    activity: dict[tuple[date, int], Activity] = defaultdict(Activity)
    for client_id, period, trades, lots in facts.volume(scope):
        activity[period, client_id] = Activity(trades=trades, lots=lots)
    if terms.active.minimum_deposit is not None:
        deposits = [
            event
            for event in facts.events_of(scope, kinds=["deposit"])
            if scope.from_day <= event.day <= scope.to_day and world.counts(event.client_id, event.at, terms)
        ]
        amounts = converted([(item.day, item.currency, item.amount or ZERO) for item in deposits], terms.currency)
        for event, amount in zip(deposits, amounts, strict=True):
            key = period_of(event.day), event.client_id
            activity[key] = replace(activity[key], deposits=activity[key].deposits + amount)
    if terms.active.minimum_revenue is not None:
        rows = [row for row in facts.revenue(scope, by_client=True) if row.code in {"spread", "commission"}]
        amounts = converted([(row.day, row.currency, row.amount) for row in rows], terms.currency)
        for row, amount in zip(rows, amounts, strict=True):
            key = period_of(row.day), row.client_id or 0
            activity[key] = replace(activity[key], revenue=activity[key].revenue + amount)
    found: dict[date, list[int]] = defaultdict(list)
    for (period, client_id), done in sorted(activity.items()):
        if is_active(terms.active, done):
            found[period].append(client_id)
    return found


def add_active_clients(world: World) -> None:
    """A line for each client who was active in a period that is over."""
    if not world.ended:
        return
    for terms in world.rules:
        if terms.basis != PER_ACTIVE_CLIENT or terms.is_override:
            continue
        scope = world.scope(
            world.from_period,
            world.ended[-1],
            windows=terms.multirange,
            selectors=terms.selectors,
            earlier=terms.earlier,
        )
        for period, clients in active_clients(world, terms, scope=scope).items():
            if len(clients) < (terms.minimum_active_clients or 0):
                continue
            day = last_business_day(period)
            fx_rate, fx_date = rate_on(day, terms.currency, terms.money.currency)
            for number, client_id in enumerate(clients, start=1):
                line = PeriodFacts(
                    kind=LineKind.ACTIVE_CLIENT,
                    period=period,
                    money=terms.money,
                    quantity=Decimal(number),
                    measure=Decimal(len(clients)),
                    rate=_rate_of_client(terms, number=number, count=len(clients)),
                    rate_currency=terms.currency,
                    fx_rate=fx_rate,
                    fx_date=fx_date,
                    level=terms.selectors.level,
                )
                _add(world, line, rule_id=terms.rule_id, subject=("client", client_id))


def _rate_of_client(terms: RuleTerms, *, number: int, count: int) -> Decimal:
    """With marginal tiers each client has the rate of its own place among the active ones."""
    if not terms.share.tiers:
        return terms.rate
    if not terms.share.marginal:
        return tier_rate(terms.rate, terms.share.tiers, Decimal(count))
    return cut_bands(terms.rate, terms.share.tiers, Decimal(number))[-1].rate


def rate_on(day: date, given: str, into: str) -> tuple[Decimal, date | None]:
    """The reference rate of a day, with the day it was fixed. Raises MissingRate."""
    rate, fixed = facts.rates([(day, given, into)])[day, given, into]
    if rate is None:
        raise MissingRate(f"No reference rate from {given} to {into} on {day}.", day=day.isoformat())
    return rate, fixed


def _add(world: World, line: PeriodFacts, *, rule_id: int | None, subject: tuple[str, int]) -> None:
    add_line(world, line, rule_id=rule_id, subject=subject, day=last_business_day(line.period))


def add_line(
    world: World, line: PeriodFacts, *, rule_id: int | None, subject: tuple[str, int], day: date
) -> TargetLine:
    """Puts a line among the targets."""
    key = LineKey(line.kind.value, rule_id, subject[0], subject[1], line.period, line.money.currency)
    target = TargetLine(line, value(line), day)
    world.lines[key] = target
    return target
