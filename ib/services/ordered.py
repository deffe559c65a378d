"""Settlement of trades whose worth depends on the trades before them: by partner and month, under the partner's lock.

A settlement of a batch or a day books what stands for itself, and marks the partners' months that it concerns. Here the
marked months are valued in the trades' order and compared with the books; only differences are booked. Marks, lines and
postings are one transaction: a second run books zero, a killed one leaves its marks.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.models import Job
from backoffice.core.services import jobs
from backoffice.core.types import Actor
from backoffice.kernel.ids import uuid7
from ib.engine import booking, ordered
from ib.engine.booking import pin_plan
from ib.engine.card.building import CardFacts
from ib.engine.ordered import GUARD, Candidate, MeasuredTrade, Room
from ib.engine.period_facts import NET_DEPOSITS, Selectors, events_of, placements, rates, revenue
from ib.engine.period_facts import Scope as EventScope
from ib.engine.target import RATE_CARD
from ib.locks import lock_days, lock_ordered_trades
from ib.models import PlanRule, RateCardVersion, SettlementBatch, TradePeriodMark
from ib.rules.amounts import ZERO
from ib.rules.guard import Payout, parts_of_share
from ib.rules.ordered import Measures, OrderedTerms, Valued, value_in_order
from ib.services import posting, quarantine
from ib.services.card import facts_of_card
from ib.services.settling import Booking, Finish, settle_claim
from ib.types import SettlementResult

SETTLE_ORDERED = "ib.settle_ordered"
"""Works off every mark that waits; one job for each settlement that left marks."""
ACTOR = Actor.system("ib.settlement")
WHOLE_MONTH = 100
"""Trades that a partner's month is taken to have, to choose how they are joined."""


@dataclass(frozen=True, slots=True)
class Valuation:
    """What a partner's month is worth: every trade that is valued by the period, and its value if it counts."""

    candidates: list[Candidate]
    valued: list[Valued]

    @property
    def exclusions(self) -> dict[tuple[int, int], str]:
        """By (trade, part) why it counts for nothing."""
        found = {item.key: item.exclusion for item in self.candidates if item.exclusion}
        return found | {
            (item.trade.trade_id, item.trade.part): item.exclusion for item in self.valued if item.exclusion
        }


def value_month(*, partner_id: int, period: date, facts: CardFacts, card: str = RATE_CARD) -> Valuation:
    """Values the trades of a partner's month in their order; writes nothing. Settlement, proof and preview all come here."""
    return value_months(partner_ids=[partner_id], period=period, facts=facts, card=card)[partner_id]


def value_months(
    *,
    partner_ids: Sequence[int],
    period: date,
    facts: CardFacts,
    card: str = RATE_CARD,
    is_guarded: bool = True,
) -> dict[int, Valuation]:
    """`value_month` of several partners, whose trades are read at once; not *is_guarded*: before guards cut anything."""
    held = quarantine.held_trades(ordered.days_of_period(period))
    booking.pin_plan(WHOLE_MONTH * len(partner_ids), facts.of_stage(ordered=True))
    found = ordered.candidates(partner_ids=partner_ids, period=period, facts=facts, held=held, card=card)
    booking.free_plan()
    terms = _terms(
        {item.ordered.terms_rule_id for items in found.values() for item in items if item.ordered is not None}
    )
    valued = {
        partner_id: _value(partner_id, period, found.get(partner_id, []), terms)
        for partner_id in dict.fromkeys(partner_ids)
    }
    return (
        _within_guards(valued, period=period, facts=facts, card=card) if facts.has("guard") and is_guarded else valued
    )


def _within_guards(valued: dict[int, Valuation], *, period: date, facts: CardFacts, card: str) -> dict[int, Valuation]:
    """The same, cut down where a trade would pay more than its guard: who is paid in the trades' order gives in proportion.

    What each would get without the guard is what tiers and caps have counted, so one partner's month hangs on what others
    would get, never on what they are left.
    """
    trades = {
        item.key[0]: item.day for found in valued.values() for item in found.candidates if item.ordered is not None
    }
    rooms: dict[int, list[Room]] = defaultdict(list)
    for room in ordered.rooms_of(trades=trades, facts=facts, card=card):
        rooms[room.trade_id].append(room)
    others = sorted({room.partner_id for found in rooms.values() for room in found} - valued.keys())
    company = (
        value_months(partner_ids=others, period=period, facts=facts, card=card, is_guarded=False) if others else {}
    )
    unguarded = {
        (partner_id, item.trade.trade_id, item.trade.part): item
        for partner_id, found in (valued | company).items()
        for item in found.valued
        if not item.exclusion
    }
    left: dict[tuple[int, int, int], Decimal] = {}
    for trade_rooms in rooms.values():
        left |= _parts_of(trade_rooms, unguarded)
    return {
        partner_id: Valuation(found.candidates, [_cut(item, partner_id, left) for item in found.valued])
        for partner_id, found in valued.items()
    }


def _parts_of(rooms: list[Room], unguarded: dict[tuple[int, int, int], Valued]) -> dict[tuple[int, int, int], Decimal]:
    """By (partner, trade, part) what the guard of a trade leaves; nothing for those who keep what they have."""
    counted = [
        (key, room, unguarded[key])
        for room in rooms
        if (key := (room.partner_id, room.trade_id, room.part)) in unguarded
    ]
    payouts = [Payout(item.target, room.revenue, item.trade.rounding.decimals) for _, room, item in counted]
    first = rooms[0]
    parts = parts_of_share(payouts, first.share, taken=first.taken)
    return {key: part for (key, _, _), part in zip(counted, parts, strict=True) if part is not None}


def _cut(item: Valued, partner_id: int, left: dict[tuple[int, int, int], Decimal]) -> Valued:
    part = left.get((partner_id, item.trade.trade_id, item.trade.part))
    return item if part is None else replace(item, target=min(item.target, part), cap_left=part)


def _value(partner_id: int, period: date, found: list[Candidate], every_rule: dict[int, OrderedTerms]) -> Valuation:
    """The month of a partner with these trades; the terms are looked up among those of *every_rule*."""
    named = {item.ordered.terms_rule_id for item in found if item.ordered is not None}
    if not named:
        return Valuation(found, [])
    terms = {rule_id: rule for rule_id, rule in every_rule.items() if rule_id in named}
    valued = value_in_order(
        (item.ordered for item in found if item.ordered is not None),
        terms=terms,
        measures=_measures(partner_id, period, found, terms),
        paid_before=_paid_before(partner_id, period, terms),
    )
    return Valuation(found, valued)


def settle_month(
    *, partner_id: int, period: date, cause: str, actor: Actor, finish: Finish | None = None
) -> SettlementResult:
    """Books what a partner's month is worth in the trades' order minus what was booked. Removes its marks."""
    authorise(actor, "ib.settle_commissions")

    def work(state: Booking, *, compare_all: bool) -> None:
        _book(state, partner_id=partner_id, period=period)

    claim = SettlementBatch(
        purpose=SettlementBatch.Purpose.PERIOD,
        scope_key=f"{partner_id}:{period:%Y-%m}:{uuid7()}",
        day=period,
        cause=cause,
        actor=actor.label,
    )
    days = ordered.days_with_trades(period)

    def scope() -> Any:
        lock_days(shared=[], exclusive=days)
        return ordered.scope_of_period(
            partner_ids=[partner_id], period=period, held=quarantine.held_trades(ordered.days_of_period(period))
        )

    return settle_claim(claim=claim, days=days, work=work, scope=scope, actor=actor, finish=finish)


def settle_due(*, actor: Actor, periods: Iterable[date] | None = None) -> list[SettlementResult]:
    """Settles every month that a mark names (of these periods, if given), in the order of the months."""
    wanted = None if periods is None else list(periods)
    results = []
    # A month that was valued may mark those who share guarded trades with it; they mark nobody, so twice is enough.
    for _ in range(2):
        for partner_id, period in due_months(periods=wanted):
            results.append(settle_month(partner_id=partner_id, period=period, cause="trades", actor=actor))
    return results


def due_months(*, periods: Iterable[date] | None = None) -> list[tuple[int, date]]:
    """The partners' months that marks name, earlier months first: later ones may look at them."""
    marks = TradePeriodMark.objects.order_by("period", "partner_id")
    if periods is not None:
        marks = marks.filter(period__in=list(periods))
    return list(dict.fromkeys(marks.values_list("partner_id", "period")))


def enqueue_due(*, key: str) -> None:
    """Has a worker settle what is marked."""
    jobs.enqueue(kind=SETTLE_ORDERED, key=key, payload={})


def deposits_changed(*, client_id: int, day: date, cause: str) -> None:
    """Has the months settled again whose tiers look at what the client paid in, or took back, on a day."""
    if ordered.mark_deposits(client_id=client_id, day=day, cause=cause):
        enqueue_due(key=cause)


def rates_changed(*, first: date, last: date, cause: str) -> None:
    """Has the months settled again whose tiers look at deposits of the days: those were converted by their rates."""
    if ordered.mark_deposits_of_days(first=first, last=last, cause=cause):
        enqueue_due(key=cause)


def run_due_job(job: Job, owner: str) -> dict[str, Any]:
    """Settles every marked month, a transaction each, and finishes the job. Killed in between, the marks left are the rest."""
    results = settle_due(actor=ACTOR)
    outcome = {"months": len(results), "lines": sum(result.lines for result in results)}
    with transaction.atomic():
        jobs.finish(job=job, owner=owner, result=outcome)
    return outcome


def difference_rows(*, partner_id: int, period: date, card: RateCardVersion) -> list[dict[str, Any]]:
    """What settling a partner's month would book now. Runs in the caller's transaction; writes to temporary tables only."""
    return month_and_differences(partner_id=partner_id, period=period, card=card)[1]


def month_and_differences(
    *, partner_id: int, period: date, card: RateCardVersion
) -> tuple[Valuation, list[dict[str, Any]]]:
    """What a partner's month is worth, and what settling it would book now. As `difference_rows`."""
    return months_and_differences(partner_ids=[partner_id], period=period, card=card)[partner_id]


def months_and_differences(
    *, partner_ids: Sequence[int], period: date, card: RateCardVersion
) -> dict[int, tuple[Valuation, list[dict[str, Any]]]]:
    """What the months of partners are worth, and what settling each would book now. As `difference_rows`."""
    valued = value_months(partner_ids=partner_ids, period=period, facts=facts_of_card(card))
    return {
        partner_id: (found, _rows_due(partner_id, period, found) if found.candidates else [])
        for partner_id, found in valued.items()
    }


def _rows_due(partner_id: int, period: date, found: Valuation) -> list[dict[str, Any]]:
    select = ordered.difference_of(partner_id=partner_id, period=period, found=found.candidates, valued=found.valued)
    with connection.cursor() as cursor:
        cursor.execute(select)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


_CONCERNED = """
SELECT DISTINCT entry.beneficiary_id
FROM ib_ratecardentry AS entry
JOIN ib_clientreferral AS referral ON referral.partner_id = abs(entry.direct_partner_id)
JOIN platform_ops_tradingaccount AS account ON account.client_id = referral.client_id
JOIN platform_ops_trade AS t ON t.account_id = account.id
WHERE entry.is_current AND entry.needs_period AND t.business_day >= %s AND t.business_day < %s
ORDER BY 1
"""


def partners_of_month(period: date) -> list[int]:
    """Whom trades of the month may pay by the period."""
    with connection.cursor() as cursor:
        cursor.execute(_CONCERNED, [period, ordered.next_month(period)])
        return [row[0] for row in cursor.fetchall()]


def _book(state: Booking, *, partner_id: int, period: date) -> None:
    days = ordered.days_with_trades(period)
    lock_days(shared=days, exclusive=[])
    lock_ordered_trades(partner_id)
    marks = TradePeriodMark.objects.filter(partner_id=partner_id, period=period)
    is_follow_up = marks.filter(cause=GUARD).exists() and not marks.exclude(cause=GUARD).exists()
    marks.delete()
    facts = facts_of_card(state.card)
    if not facts.has("periods"):
        return
    if facts.has("guard") and not is_follow_up:
        ordered.mark_company(partner_ids=_company_of(partner_id, period), period=period)
    found = value_month(partner_id=partner_id, period=period, facts=facts)
    state.trades = len(found.candidates)
    if not found.candidates:
        return
    select = ordered.difference_of(partner_id=partner_id, period=period, found=found.candidates, valued=found.valued)
    pin_plan(len(found.candidates))
    state.sums += booking.book(
        select,
        parameters={},
        booking=posting.booking_days(days),
        batch_id=state.batch.pk,
        condition=booking.NOT_FROZEN,
    )
    booking.free_plan()


_COMPANY = """
SELECT DISTINCT other.beneficiary_id
FROM ib_ratecardentry AS own
JOIN ib_ratecardentry AS other
  ON other.direct_partner_id = own.direct_partner_id AND other.is_current AND other.needs_period
 AND other.beneficiary_id <> own.beneficiary_id
JOIN ib_clientreferral AS referral ON referral.partner_id = abs(own.direct_partner_id)
JOIN platform_ops_tradingaccount AS account ON account.client_id = referral.client_id
JOIN platform_ops_trade AS t ON t.account_id = account.id AND t.business_day >= %s AND t.business_day < %s
WHERE own.beneficiary_id = %s AND own.is_current AND own.needs_period
"""


def _company_of(partner_id: int, period: date) -> list[int]:
    """Whom trades of the partner's month may pay in their order besides the partner."""
    with connection.cursor() as cursor:
        cursor.execute(_COMPANY, [period, ordered.next_month(period), partner_id])
        return [row[0] for row in cursor.fetchall()]


def _terms(rule_ids: set[int]) -> dict[int, OrderedTerms]:
    return {
        rule.pk: OrderedTerms(
            rule_id=rule.pk,
            rate=rule.rate,
            tiers=tuple((tier.from_value, tier.rate) for tier in sorted(rule.tiers.all(), key=lambda t: t.from_value)),
            is_marginal=rule.tier_mode == "marginal",
            hedged_once=rule.hedged_once,
            cap_per_order=rule.cap_per_order,
            cap_client_day=rule.cap_client_day,
            cap_client_lifetime=rule.cap_client_lifetime,
            cap_partner_period=rule.cap_partner_period,
            family=_family(rule),
        )
        for rule in PlanRule.objects.filter(pk__in=rule_ids).select_related("version").prefetch_related("tiers")
    }


_SELECTORS = (
    "symbol_id", "symbol_group_id", "account_group_id", "account_type_id", "country", "campaign", "dimension",
    "dimension_value", "level", "rank",
)  # fmt: skip


def _family(rule: PlanRule) -> tuple[Any, ...]:
    """The same for a rule in every version of its plan: what it is called, and what it is for."""
    return rule.version.plan_id, rule.component, *(getattr(rule, name) for name in _SELECTORS)


def _paid_before(partner_id: int, period: date, terms: dict[int, OrderedTerms]) -> dict[tuple[Hashable, int], Decimal]:
    """What earlier months paid for clients by rules that are capped for a client's life, in whichever version."""
    families = {rule.family for rule in terms.values() if rule.cap_client_lifetime is not None}
    if not families:
        return {}
    plans = {rule.version.plan_id for rule in PlanRule.objects.filter(pk__in=terms).select_related("version")}
    rules = PlanRule.objects.filter(version__plan_id__in=plans).select_related("version")
    family_of = {rule.pk: family for rule in rules if (family := _family(rule)) in families}
    paid: dict[tuple[Hashable, int], Decimal] = defaultdict(Decimal)
    booked = ordered.paid_before(partner_id=partner_id, period=period, rule_ids=sorted(family_of))
    for (rule_id, client_id), amount in booked.items():
        paid[family_of[rule_id], client_id] += amount
    return paid


# ---------------------------------------------------------------------------------------------------------------- tiers


def _measures(
    partner_id: int, period: date, found: list[Candidate], terms: dict[int, OrderedTerms]
) -> dict[int, Measures]:
    """What the tiers of each rule look at, in lots, clients, or the reward's currency."""
    currencies = {item.ordered.terms_rule_id: item.currency for item in found if item.ordered is not None}
    rules = PlanRule.objects.filter(pk__in=[rule_id for rule_id, rule in terms.items() if rule.tiers])
    months: dict[tuple[date, bool], list[MeasuredTrade]] = {}
    measures = {}
    for rule in rules:
        month = _month_before(period) if rule.tier_window == "prior" else period
        key = month, rule.tier_measure == "notional"
        if key not in months:
            months[key] = ordered.measured_trades(partner_id=partner_id, period=month, with_notional=key[1])
        measures[rule.pk] = _measure(rule, partner_id, month, months[key], currencies[rule.pk])
    return measures


def _measure(rule: PlanRule, partner_id: int, month: date, trades: list[MeasuredTrade], currency: str) -> Measures:
    # What is not counted is paid at the rate that what was counted before it has come to.
    counted = [rule.tier_scope == "team" or trade.level <= 1 for trade in trades]
    if rule.tier_measure == "active_clients":
        clients = {trade.client_id for trade, counts in zip(trades, counted, strict=True) if counts}
        return Measures(whole=Decimal(len(clients)))
    if rule.tier_measure in {"deposits", "revenue"}:
        return Measures(whole=_money_measure(rule, partner_id, month, currency))
    if rule.tier_measure == "notional":
        wanted = {(trade.day, trade.currency, currency) for trade in trades}
        found = rates(wanted) if wanted else {}
        added = [(trade.notional or ZERO) * (found[trade.day, trade.currency, currency][0] or ZERO) for trade in trades]
    else:
        added = [trade.lots for trade in trades]
    before: dict[int, tuple[Decimal, Decimal]] = {}
    total = ZERO
    for trade, amount, counts in zip(trades, added, counted, strict=True):
        before[trade.trade_id] = total, amount if counts else ZERO
        total += before[trade.trade_id][1]
    return Measures(before=before, whole=total)


def _money_measure(rule: PlanRule, partner_id: int, month: date, currency: str) -> Decimal:
    """Deposits less what was paid back, or spread and commission, of a whole month in the reward's currency."""
    deepest = None if rule.tier_scope == "team" else 1
    scope = EventScope(
        partner_id=partner_id,
        from_day=month,
        to_day=ordered.days_of_period(month)[-1],
        selectors=Selectors(deepest=deepest),
    )
    amounts: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    if rule.tier_measure == "deposits":
        placed = defaultdict(list)
        for place in placements(scope):
            if deepest is None or place.level <= deepest:
                placed[place.client_id].append(place)
        for event in events_of(scope, kinds=sorted(NET_DEPOSITS)):
            if scope.from_day <= event.day <= scope.to_day and any(
                place.holds(event.at) for place in placed[event.client_id]
            ):
                amounts[event.day, event.currency] += NET_DEPOSITS[event.kind] * (event.amount or ZERO)
    else:
        for row in revenue(scope, spread_sides=rule.spread_sides or "entry"):
            if row.code in {"spread", "commission"}:
                amounts[row.day, row.currency] += row.amount
    found = rates((day, given, currency) for day, given in amounts) if amounts else {}
    return sum(((amount * (found[day, given, currency][0] or ZERO)) for (day, given), amount in amounts.items()), ZERO)


def _month_before(period: date) -> date:
    return date(period.year - (period.month == 1), 12 if period.month == 1 else period.month - 1, 1)
