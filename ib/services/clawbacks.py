"""What is taken back: a chargeback takes the commission of the disputed time, fraud everything from its date on.

A withdrawal takes nothing back, and a cancelled trade is corrected by its own lines. Every clawback is a line of its own that
names its cause. It follows what the trade lines hold now, so a later correction of a trade moves it too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from decimal import Decimal

from backoffice.kernel.business_day import business_day_of
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT
from ib.engine import period_facts as facts
from ib.engine.period_facts import EventRow, Scope
from ib.engine.period_lines import LineKey
from ib.models import PeriodLine
from ib.rules.period_words import LinePart, PeriodFacts
from ib.rules.periods import (
    ONE,
    ZERO,
    Dispute,
    LineKind,
    Money,
    PartCode,
    charged_back_share,
    last_day,
    period_of,
    revenue_taken_back,
    share_of,
    shares_by_day,
    taken_back,
)
from ib.services.period_targets import World, add_line, converted, revenue_parts
from ib.services.period_terms import NET_REVENUE, RuleTerms
from ib.services.rewards import Claim

Shares = dict[int, dict[date, Decimal]]
"""By event, the share that it takes of each day."""


def add_clawbacks(world: World, claims: Sequence[Claim]) -> None:
    """Adds a line for every chargeback and fraud of the span that takes something back."""
    scope = Scope(world.partner.pk, world.from_period, world.from_period)
    known = facts.events_of(scope, kinds=["deposit", "chargeback", "fraud"])
    causes = [event for event in known if event.kind != "deposit"]
    clients = sorted({event.client_id for event in causes if period_of(event.day) >= world.from_period})
    lost = _lost_rewards(world, claims)
    if not clients and not lost:
        return
    refunds = {event.event_id: event for event in facts.events_of(scope, kinds=["refund"])} if lost else {}
    by_cause: dict[tuple[int, str], dict[PartCode, Decimal]] = defaultdict(lambda: defaultdict(Decimal))
    for client_id in clients:
        own = [event for event in causes if event.client_id == client_id]
        deposits = [event for event in known if event.client_id == client_id and event.kind == "deposit"]
        disputes = [dispute_of(event, deposits, until=business_day_of(world.now)) for event in own]
        _take_trades(world, client_id, disputes, by_cause)
        _take_revenue(world, client_id, disputes, by_cause)
        _take_active(world, client_id, disputes, by_cause)
    for event_id, currency, reward in lost:
        by_cause[event_id, currency][PartCode.CPA] += reward
    events = {event.event_id: event for event in causes} | refunds
    for (event_id, currency), taken in by_cause.items():
        if period_of(events[event_id].day) >= world.from_period:
            _add_clawback(world, events[event_id], currency, taken)


def dispute_of(event: EventRow, deposits: Sequence[EventRow], *, until: date) -> Dispute:
    """Which days a chargeback or a fraud disputes, and which share of them.

    A chargeback that does not say since when disputes the time since the latest deposit before it that is large enough,
    else since the first one, else its own period. The share is what was charged back of the deposits of that time.
    """
    if event.kind == "fraud":
        return Dispute(event.event_id, event.day, until, ONE)
    before = [deposit for deposit in deposits if deposit.at <= event.at]
    if event.disputed_from is not None:
        start = business_day_of(event.disputed_from)
    else:
        charged = event.amount or ZERO
        enough = [item for item in before if item.currency == event.currency and (item.amount or ZERO) >= charged]
        found = enough[-1] if enough else before[0] if before else None
        start = found.day if found is not None else period_of(event.day)
    disputed = [deposit for deposit in before if deposit.day >= start]
    amounts = converted([(item.day, item.currency, item.amount or ZERO) for item in disputed], event.currency)
    share = charged_back_share(charged_back=event.amount or ZERO, deposits=sum(amounts, ZERO))
    return Dispute(event.event_id, start, event.day, share)


Taken = dict[tuple[int, str], dict[PartCode, Decimal]]


def _take_trades(world: World, client_id: int, disputes: Sequence[Dispute], taken: Taken) -> None:
    """The disputed share of what the partner's trade lines hold of the client."""
    rows = facts.commission_of_clients(
        partner_id=world.partner.pk,
        clients=[client_id],
        from_day=min(dispute.from_day for dispute in disputes),
        to_day=max(dispute.to_day for dispute in disputes),
    )
    held: dict[str, dict[date, Decimal]] = defaultdict(dict)
    for _, day, currency, amount in rows:
        held[currency][day] = amount
    for currency, by_day in held.items():
        for event_id, shares in shares_by_day(disputes, sorted(by_day)).items():
            taken[event_id, currency][PartCode.TRADE_COMMISSION] += taken_back(by_day, shares)


def _take_revenue(world: World, client_id: int, disputes: Sequence[Dispute], taken: Taken) -> None:
    """The disputed share of the client's part in each paid share of net revenue."""
    first = period_of(min(dispute.from_day for dispute in disputes))
    last = period_of(max(dispute.to_day for dispute in disputes))
    for terms in world.rules:
        if terms.basis != NET_REVENUE or terms.is_override:
            continue
        rates = _effective_rates(world, terms)
        if not rates:
            continue
        parts = revenue_parts(world, terms, first=first, last=last, clients=[client_id])
        for (period, _), dated in parts.items():
            by_day: dict[date, Decimal] = defaultdict(Decimal)
            for day, part in dated:
                by_day[day] += part.amount
            for event_id, shares in shares_by_day(disputes, sorted(by_day)).items():
                lost = revenue_taken_back(taken_back(by_day, shares), rates.get(period, ZERO))
                taken[event_id, terms.money.currency][PartCode.NET_REVENUE] += lost


def _effective_rates(world: World, terms: RuleTerms) -> dict[date, Decimal]:
    """By period, how much of its base the rule paid, in percent: of the lines that are due now, else of those booked."""
    found: dict[date, Decimal] = {}
    rows = PeriodLine.objects.filter(
        partner=world.partner, rule_id=terms.rule_id, kind=LineKind.NET_REVENUE, period__lt=world.from_period
    ).order_by("period", "seq")
    for row in rows:
        found[row.period] = share_of(terms.share, base=row.quantity, measure=row.measure or ZERO).effective_rate
    for key, line in world.lines.items():
        if key.kind == LineKind.NET_REVENUE and key.rule_id == terms.rule_id:
            measured = line.facts.measure or ZERO
            found[key.period] = share_of(terms.share, base=line.facts.quantity, measure=measured).effective_rate
    return found


def _take_active(world: World, client_id: int, disputes: Sequence[Dispute], taken: Taken) -> None:
    """The disputed share of what was paid because the client was active."""
    paid: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    rows = PeriodLine.objects.filter(
        partner=world.partner,
        kind=LineKind.ACTIVE_CLIENT,
        subject_type="client",
        subject_id=client_id,
        period__lt=world.from_period,
    )
    for row in rows:
        paid[row.period, row.currency] += row.amount
    for key, line in world.lines.items():
        if key.kind == LineKind.ACTIVE_CLIENT and key.subject_id == client_id:
            paid[key.period, key.currency] += line.target
    for (period, currency), amount in paid.items():
        left = ONE
        for dispute in disputes:
            if dispute.from_day <= last_day(period) and dispute.to_day >= period:
                share = min(dispute.share, left)
                left -= share
                taken[dispute.event_id, currency][PartCode.ACTIVE_CLIENT] += EXACT.multiply(amount, share)


def _lost_rewards(world: World, claims: Sequence[Claim]) -> list[tuple[int, str, Decimal]]:
    """(event, currency, reward) of rewards that were earned and lost."""
    found = []
    for claim in claims:
        if claim.lost_by is None or claim.period is None:
            continue
        terms = claim.candidate.terms
        key = LineKey(
            LineKind.CPA, terms.rule_id, "client", claim.candidate.client_id, claim.period, terms.money.currency
        )
        if key in world.lines:
            found.append((claim.lost_by, terms.money.currency, world.lines[key].target))
            continue
        rows = PeriodLine.objects.filter(
            partner=world.partner, kind=LineKind.CPA, rule_id=terms.rule_id, subject_id=claim.candidate.client_id
        )
        reward = sum((row.amount for row in rows if row.period == claim.period), ZERO)
        found.append((claim.lost_by, terms.money.currency, reward))
    return found


def _add_clawback(world: World, event: EventRow, currency: str, taken: dict[PartCode, Decimal]) -> None:
    money = Money(currency, Currency.of(currency).digits)
    parts = tuple(
        LinePart(code, -amount, -amount, currency)
        for code in PartCode
        if (amount := money.rounded(taken.get(code, ZERO))) > 0
    )
    if not parts:
        return
    line = PeriodFacts(
        kind=LineKind.CLAWBACK,
        period=period_of(event.day),
        money=money,
        quantity=sum((part.amount for part in parts), ZERO),
        parts=parts,
        cause_event_id=event.event_id,
        earned_at=event.at,
    )
    add_line(world, line, rule_id=None, subject=("event", event.event_id), day=event.day)
