"""Rewards per client (CPA): who is on the way to one, who has earned it, and a person's refusal.

A client has one reward per component and level for ever, by the rule that was in force, for the partner who stood there,
when the first deposit was made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of
from backoffice.kernel.decimals import round_decimal
from backoffice.kernel.errors import Conflict, InvalidInput, Misconfigured
from ib.engine import period_facts as facts
from ib.engine.period_facts import EventRow, Placement, Scope, Wanted
from ib.models import CpaClaim, PeriodMark
from ib.rules.period_words import PeriodFacts
from ib.rules.periods import (
    ONE,
    ZERO,
    CpaFacts,
    CpaNeed,
    CpaOutcome,
    CpaState,
    Dated,
    LineKind,
    Need,
    Reached,
    judge_cpa,
    period_of,
)
from ib.rules.references import plain
from ib.services.period_targets import World, add_line, converted, rate_on
from ib.services.period_terms import CPA, RuleTerms

DECIDE = "ib.decide_rewards"
_UNITS = {CpaNeed.LOTS: "lots", CpaNeed.ACTIVE_CLIENTS: "clients who qualified in the month"}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A client with a first deposit, and the rule that promised a reward for it."""

    client_id: int
    placement: Placement
    terms: RuleTerms
    first: EventRow


@dataclass(frozen=True, slots=True)
class Claim:
    """A candidate and where it stands. `lost_by` is the event that cost an earned reward."""

    candidate: Candidate
    outcome: CpaOutcome
    lost_by: int | None = None

    @property
    def key(self) -> tuple[int, str, int]:
        """What there is one of for ever."""
        return self.candidate.client_id, self.candidate.terms.component, self.candidate.placement.level

    @property
    def period(self) -> date | None:
        """The period in which the reward was earned."""
        at = self.outcome.qualified_at
        return period_of(business_day_of(at)) if at is not None else None


def add_rewards(world: World) -> list[Claim]:
    """Judges every client with a first deposit, and adds a line for each reward earned in the span."""
    rules = [terms for terms in world.rules if terms.basis == CPA and not terms.is_override]
    if not rules:
        return []
    kinds = ["deposit", "chargeback", "refund", "fraud"]
    events: dict[int, list[EventRow]] = defaultdict(list)
    for event in facts.events_of(Scope(world.partner.pk, world.from_period, world.from_period), kinds=kinds):
        events[event.client_id].append(event)
    candidates = [candidate for held in events.values() for candidate in _candidates(world, rules, held)]
    claims = _judged(world, candidates, events)
    claims = _with_company(world, claims)
    for claim in claims:
        if claim.outcome.earned and claim.period is not None and claim.period >= world.from_period:
            _add_reward(world, claim)
    return claims


def _candidates(world: World, rules: Sequence[RuleTerms], events: Sequence[EventRow]) -> Iterable[Candidate]:
    first = next((event for event in events if event.kind == "deposit"), None)
    if first is None:
        return
    promised: set[str] = set()
    for terms in rules:
        if terms.component in promised:
            continue
        placement = world.counts(first.client_id, first.at, terms)
        if placement is not None:
            promised.add(terms.component)
            yield Candidate(first.client_id, placement, terms, first)


def _judged(world: World, candidates: Sequence[Candidate], events: dict[int, list[EventRow]]) -> list[Claim]:
    by_rule: dict[int, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        by_rule[candidate.terms.rule_id].append(candidate)
    refused = {
        (row.client_id, row.component, row.level): row.declined_reason
        for row in CpaClaim.objects.filter(partner=world.partner, declined_at__isnull=False)
    }
    found = []
    for group in by_rule.values():
        terms = group[0].terms
        lots, revenue = _reached(terms, group)
        for candidate in group:
            client_id = candidate.client_id
            known = events[client_id]
            fraud = next((event for event in known if event.kind == "fraud"), None)
            outcome = judge_cpa(
                terms.cpa,
                CpaFacts(
                    deposits=_dated(known, ["deposit"], terms.currency),
                    taken_back=_dated(known, ["chargeback", "refund"], terms.currency),
                    lots=lots.get(client_id, Reached()),
                    revenue=revenue.get(client_id, Reached()),
                    fraud_at=fraud.at if fraud else None,
                    declined_reason=refused.get((client_id, terms.component, candidate.placement.level), ""),
                ),
                now=world.now,
            )
            if outcome is not None:
                found.append(Claim(candidate, outcome, _lost_by(outcome, known)))
    return found


def _reached(terms: RuleTerms, group: Sequence[Candidate]) -> tuple[dict[int, Reached], dict[int, Reached]]:
    """When the clients came to the lots and the revenue that the rule asks for."""

    def wanted(amount: Decimal) -> list[Wanted]:
        days = terms.cpa.qualify_days
        return [
            Wanted(
                item.client_id,
                item.first.at,
                item.first.at + timedelta(days=days) if days is not None else None,
                amount,
            )
            for item in group
        ]

    lots: dict[int, Reached] = {}
    revenue: dict[int, Reached] = {}
    if terms.cpa.minimum_lots is not None:
        found = facts.lots_reached(wanted(terms.cpa.minimum_lots))
        lots = {client_id: Reached(total, at) for client_id, (total, at) in found.items()}
    if terms.cpa.minimum_revenue is not None:
        found = facts.revenue_reached(wanted(terms.cpa.minimum_revenue), currency=terms.currency)
        revenue = {client_id: Reached(total, at) for client_id, (total, at) in found.items()}
    return lots, revenue


def _dated(events: Sequence[EventRow], kinds: Sequence[str], currency: str) -> tuple[Dated, ...]:
    wanted = [event for event in events if event.kind in kinds]
    amounts = converted([(event.day, event.currency, event.amount or ZERO) for event in wanted], currency)
    return tuple(Dated(event.at, amount) for event, amount in zip(wanted, amounts, strict=True))


def _lost_by(outcome: CpaOutcome, events: Sequence[EventRow]) -> int | None:
    if outcome.state is not CpaState.CLAWED_BACK:
        return None
    kinds = {"fraud"} if outcome.reason == "fraud" else {"chargeback", "refund"}
    return next((event.event_id for event in events if event.kind in kinds and event.at == outcome.lost_at), None)


def _with_company(world: World, claims: Sequence[Claim]) -> list[Claim]:
    """Where a rule asks for several clients in a month, those of a month with fewer wait, or have come to nothing."""
    counted: dict[tuple[int, date], int] = defaultdict(int)
    for claim in claims:
        if claim.outcome.earned and claim.period is not None:
            counted[claim.candidate.terms.rule_id, claim.period] += 1
    found = []
    for claim in claims:
        wanted = claim.candidate.terms.minimum_active_clients
        period = claim.period
        if wanted is None or period is None or not claim.outcome.earned:
            found.append(claim)
            continue
        there = counted[claim.candidate.terms.rule_id, period]
        if there >= wanted:
            found.append(claim)
            continue
        is_over = period < world.current
        outcome = replace(
            claim.outcome,
            state=CpaState.EXPIRED if is_over else CpaState.WAITING,
            missing=(Need(CpaNeed.ACTIVE_CLIENTS, Decimal(wanted), Decimal(there)),),
            qualified_at=None,
            reason=f"only {there} of {wanted} clients qualified in {period:%B %Y}" if is_over else "",
        )
        found.append(Claim(claim.candidate, outcome))
    return found


def _add_reward(world: World, claim: Claim) -> None:
    terms, at = claim.candidate.terms, claim.outcome.qualified_at
    if at is None or claim.period is None:
        raise Misconfigured("A reward that was earned has its moment.", client_id=claim.candidate.client_id)
    day = business_day_of(at)
    fx_rate, fx_date = rate_on(day, terms.currency, terms.money.currency)
    line = PeriodFacts(
        kind=LineKind.CPA,
        period=claim.period,
        money=terms.money,
        quantity=ONE,
        rate=terms.rate,
        rate_currency=terms.currency,
        fx_rate=fx_rate,
        fx_date=fx_date,
        level=claim.candidate.placement.level,
        earned_at=at,
    )
    add_line(world, line, rule_id=terms.rule_id, subject=("client", claim.candidate.client_id), day=day)


def store_claims(world: World, claims: Sequence[Claim]) -> int:
    """Brings the stored states to what was judged; how many changed. Who refused one by hand stays with it."""
    fields = _STATE_FIELDS
    stored = {(row.client_id, row.component, row.level): row for row in CpaClaim.objects.filter(
        client_id__in={claim.candidate.client_id for claim in claims}
    )}  # fmt: skip
    changed = []
    for claim in claims:
        row = stored.get(claim.key) or CpaClaim(
            client_id=claim.candidate.client_id,
            component=claim.candidate.terms.component,
            level=claim.candidate.placement.level,
        )
        before = {name: getattr(row, name, None) for name in fields} if row.pk else None
        for name, new in _state_of(world, claim).items():
            setattr(row, name, new)
        if before != {name: getattr(row, name) for name in fields}:
            row.updated_at = clock.now()
            changed.append(row)
    CpaClaim.objects.bulk_create(
        changed,
        update_conflicts=True,
        unique_fields=["client", "component", "level"],
        update_fields=[*(name.removesuffix("_id") for name in fields), "updated_at"],
        batch_size=500,
    )
    keys = {claim.key for claim in claims}
    gone = [
        row.pk
        for row in CpaClaim.objects.filter(partner=world.partner)
        if (row.client_id, row.component, row.level) not in keys
    ]
    CpaClaim.objects.filter(pk__in=gone).delete()
    return len(changed) + len(gone)


_STATE_FIELDS = (
    "partner_id", "rule_id", "state", "first_deposit_at", "first_deposit", "qualified_at", "expires_at", "reward",
    "currency", "missing", "reason",
)  # fmt: skip


def _state_of(world: World, claim: Claim) -> dict[str, Any]:
    terms, outcome = claim.candidate.terms, claim.outcome
    return {
        "partner_id": world.partner.pk,
        "rule_id": terms.rule_id,
        "state": outcome.state.value,
        "first_deposit_at": outcome.first_deposit_at,
        "first_deposit": round_decimal(outcome.deposit, 8),
        "qualified_at": outcome.qualified_at,
        "expires_at": outcome.expires_at,
        "reward": terms.rate,
        "currency": terms.currency,
        "missing": [need_words(need, terms.currency) for need in outcome.missing],
        "reason": outcome.reason[:300],
    }


def need_words(need: Need, currency: str) -> str:
    """What is waited for: `first deposit: 60 of 100 USD`."""
    unit = _UNITS.get(need.what, currency)
    title = {
        CpaNeed.DEPOSIT: "first deposit",
        CpaNeed.LOTS: "volume",
        CpaNeed.REVENUE: "spread and commission",
        CpaNeed.ACTIVE_CLIENTS: "company",
    }[need.what]
    return f"{title}: {plain(round_decimal(need.reached, 2))} of {plain(need.wanted)} {unit}"


@transaction.atomic
def decline_reward(*, claim_id: int, reason: str, actor: Actor) -> CpaClaim:
    """A person refuses the reward for a client; what was booked for it is taken back at the next settlement.

    Raises Conflict when it was refused before, or came to nothing by itself.
    """
    return _decide(claim_id=claim_id, reason=reason, actor=actor, declines=True)


@transaction.atomic
def restore_reward(*, claim_id: int, reason: str, actor: Actor) -> CpaClaim:
    """Takes a person's refusal back; the rules decide again."""
    return _decide(claim_id=claim_id, reason=reason, actor=actor, declines=False)


def _decide(*, claim_id: int, reason: str, actor: Actor, declines: bool) -> CpaClaim:
    authorise(actor, DECIDE)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    claim = get_visible(CpaClaim.objects.select_for_update(of=("self",)), actor, pk=claim_id)
    if declines == (claim.declined_at is not None):
        raise Conflict("That is so already." if declines else "Nobody refused it.", code="already_decided")
    if declines and claim.state == CpaClaim.State.EXPIRED:
        raise Conflict("It came to nothing by itself.", code="already_decided")
    claim.declined_at = clock.now() if declines else None
    claim.declined_by = actor.label if declines else ""
    claim.declined_reason = reason.strip()[:300] if declines else ""
    claim.save(update_fields=["declined_at", "declined_by", "declined_reason"])
    PeriodMark.objects.create(
        source="reward_declined" if declines else "reward_restored",
        client_id=claim.client_id,
        day=business_day_of(claim.first_deposit_at),
    )
    audit.record(
        actor=actor,
        action="ib.decline_reward" if declines else "ib.restore_reward",
        target=claim,
        reason=reason,
        entity_id=claim.partner.entity_id,
    )
    return claim
