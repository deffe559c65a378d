"""Ranks by themselves: every partner's month is looked at when it is over, and the rank of the next month follows from it.

A month is decided once. When trades or facts of it change later, it is looked at again, it alone: another rank is then
asked for by a change request, for what was paid by the old one is in the books.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise
from backoffice.core.models import ChangeRequest, Job
from backoffice.core.services import audit, changes, job_runs, jobs
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from ib.engine.rank_facts import RankFacts, read_rank_facts
from ib.locks import limit_waiting, lock_partner
from ib.models import Partner, PartnerRank, PlanRank, RankEvaluation
from ib.rules import plain
from ib.rules.periods import last_day, next_period, period_of, previous_period
from ib.rules.ranks import (
    Condition,
    Decision,
    Figure,
    RankTerms,
    condition_text,
    decide,
    first_of_window,
)
from ib.services.period_targets import end_of
from ib.services.rank_rows import rank_at, write_automatic

ACTOR = Actor.system("ib.ranks")
EVALUATE_RANKS = "ib.evaluate_ranks"
"""The kind of job that looks at a month again, and the name of the scheduled run."""
PARTNER_RANK = "ib.partner_rank"
"""The kind of change request that gives a rank for a time that has begun."""
GRACE = timedelta(hours=6)
"""After a month's last business day, so that its last trades are in."""
PARTNERS_AT_ONCE = 500

crash_points.declare("ib.ranks.after_partner")

Figures = dict[int, dict[Figure, Decimal]]


@dataclass(frozen=True, slots=True)
class RankRun:
    """What looking at a month came to: how many partners, and how many of each outcome that was written."""

    period: date
    partners: int
    outcomes: dict[str, int]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"period": self.period.isoformat(), "partners": self.partners, "outcomes": self.outcomes}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A partner whose plan decides on ranks by itself."""

    partner_id: int
    version_id: int


_CANDIDATES = """
SELECT agreement.partner_id, version.id
FROM ib_agreement AS agreement
JOIN ib_planversion AS version
  ON version.plan_id = agreement.plan_id AND version.state = 'published' AND version.validity @> %(at)s
JOIN ib_partner AS partner ON partner.id = agreement.partner_id AND partner.kind <> 'trader' AND partner.status <> 'closed'
WHERE agreement.validity @> %(at)s
  AND (%(partners)s::bigint[] IS NULL OR agreement.partner_id = ANY(%(partners)s::bigint[]))
  AND EXISTS (SELECT 1 FROM ib_planrank AS plan_rank JOIN ib_rankcondition AS condition ON condition.rank_id = plan_rank.id
              WHERE plan_rank.version_id = version.id)
ORDER BY agreement.partner_id
"""


def evaluate_ranks(*, period: date, actor: Actor, partner_ids: Iterable[int] | None = None, cause: str = "") -> RankRun:
    """Looks at a month that is over and gives the ranks of the next one; a second look writes nothing.

    *cause* says why it is looked at again; a correction that is asked for names it. Raises InvalidInput for a month that
    is not over, MissingRate when deposits cannot be converted. Each partner is a transaction of its own.
    """
    authorise(actor, "ib.manage_partners")
    if period.day != 1 or end_of(period) > clock.now():
        raise InvalidInput("Only a month that is over can be looked at.", field="period", value=period.isoformat())
    begin = end_of(period)
    found = candidates_at(begin, partner_ids)
    terms = {version_id: rank_terms_of(version_id) for version_id in {item.version_id for item in found}}
    outcomes: dict[str, int] = {}
    for start in range(0, len(found), PARTNERS_AT_ONCE):
        part = found[start : start + PARTNERS_AT_ONCE]
        figures = figures_of(part, terms, period)
        for item in part:
            outcome = _evaluate_one(item, terms[item.version_id], figures[item.partner_id], period, actor, cause)
            if outcome:
                outcomes[outcome] = outcomes.get(outcome, 0) + 1
            crash_points.reach("ib.ranks.after_partner")
    return RankRun(period, len(found), dict(sorted(outcomes.items())))


def evaluate_due(*, now: datetime | None = None) -> RankRun | None:
    """Looks at the last month once it is over for some hours; None when that was done. For beat and the business day."""
    at = now or clock.now()
    period = previous_period(period_of(at.date()))
    if end_of(period) + GRACE > at:
        return None
    found: list[RankRun] = []

    def execute() -> dict[str, Any]:
        found.append(evaluate_ranks(period=period, actor=ACTOR))
        return found[0].as_dict()

    ran = job_runs.run_slot(job=EVALUATE_RANKS, slot=period.isoformat(), execute=execute)
    return found[0] if ran else None


def look_again(*, batch_id: int) -> int:
    """Has the months be looked at again that trades of an ingest batch belong to and that were decided; how many."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT date_trunc('month', t.business_day)::date FROM platform_ops_trade AS t
            WHERE t.batch_id = %s AND t.business_day < %s
            """,
            [batch_id, period_of(clock.today_business_day())],
        )
        months = [row[0] for row in cursor.fetchall()]
    return enqueue_months(months, key=f"batch:{batch_id}")


def enqueue_months(months: Sequence[date], *, key: str) -> int:
    """Enqueues a further look at those of the months in which a look, or the two months after, was taken already."""
    decided = _decided_of(months)
    for period in decided:
        jobs.enqueue(kind=EVALUATE_RANKS, key=f"{period}:{key}"[:200], payload={"period": period.isoformat()})
    return len(decided)


def look_again_at_client(*, client_id: int, day: date, cause: str) -> int:
    """Has the decided months be looked at again that a fact about a client concerns, for those above the client only.

    *cause* says in few words what was told; a correction that follows names it. How many months that are.
    """
    if day >= period_of(clock.today_business_day()):
        return 0
    decided = _decided_of([period_of(day)])
    for period in decided:
        jobs.enqueue(
            kind=EVALUATE_RANKS,
            key=f"{period}:client:{client_id}:{cause}"[:200],
            payload={"period": period.isoformat(), "client_id": client_id, "cause": cause},
        )
    return len(decided)


def _decided_of(months: Sequence[date]) -> list[date]:
    """Of the months and the two after each, whose windows look back, those that somebody was looked at in."""
    concerned = {later for month in months for later in (month, next_period(month), next_period(next_period(month)))}
    looked = RankEvaluation.objects.filter(period__in=sorted(concerned)).order_by()
    return sorted(looked.values_list("period", flat=True).distinct())


_ABOVE_CLIENT = """
WITH RECURSIVE above AS (
    SELECT referral.partner_id FROM ib_clientreferral AS referral WHERE referral.client_id = %s
    UNION
    SELECT edge.parent_id FROM above JOIN ib_partneredge AS edge ON edge.child_id = above.partner_id
)
SELECT partner_id FROM above ORDER BY 1
"""


def _ever_above(client_id: int) -> list[int]:
    """Whoever introduced a client at any time, and everybody who ever stood above."""
    with connection.cursor() as cursor:
        cursor.execute(_ABOVE_CLIENT, [client_id])
        return [row[0] for row in cursor.fetchall()]


def run_job(job: Job, owner: str) -> dict[str, Any]:
    """Looks at the month of a job again and finishes the job."""
    client_id = job.payload.get("client_id")
    outcome = evaluate_ranks(
        period=date.fromisoformat(job.payload["period"]),
        actor=ACTOR,
        partner_ids=_ever_above(client_id) if client_id is not None else None,
        cause=job.payload.get("cause", ""),
    ).as_dict()
    with transaction.atomic():
        jobs.finish(job=job, owner=owner, result=outcome)
    return outcome


def candidates_at(at: datetime, partner_ids: Iterable[int] | None = None) -> list[Candidate]:
    """The partners whose plan in force at the moment decides on ranks by itself."""
    wanted = None if partner_ids is None else list(partner_ids)
    with connection.cursor() as cursor:
        cursor.execute(_CANDIDATES, {"at": at, "partners": wanted})
        return [Candidate(*row) for row in cursor.fetchall()]


def rank_terms_of(version_id: int) -> tuple[RankTerms, ...]:
    """The ranks of a version from the lowest, with what earns them."""
    ranks = PlanRank.objects.filter(version_id=version_id).order_by("position").prefetch_related("conditions")
    return tuple(
        RankTerms(
            code=rank.code,
            name=rank.name,
            conditions=tuple(
                Condition(item.measure, item.scope, item.window, item.threshold, item.currency)
                for item in rank.conditions.all()
            ),
            keep_months=rank.keep_months,
        )
        for rank in ranks
    )


def figures_of(items: Sequence[Candidate], terms: dict[int, tuple[RankTerms, ...]], period: date) -> Figures:
    """What each partner reached in the windows that end with the month, as far as its version asks for it."""
    conditions = [item for ranks in terms.values() for rank in ranks for item in rank.conditions]
    read: dict[str, RankFacts] = {}
    for window in sorted({item.window for item in conditions}):
        currencies = {item.currency for item in conditions if item.window == window and item.currency}
        read[window] = read_rank_facts(
            partner_ids=[item.partner_id for item in items],
            first=first_of_window(window, period),
            last=last_day(period),
            currencies=sorted(currencies),
        )
    return {
        item.partner_id: {
            condition.figure: _figure(read[condition.window], item.partner_id, condition)
            for rank in terms[item.version_id]
            for condition in rank.conditions
        }
        for item in items
    }


def _figure(facts: RankFacts, partner_id: int, condition: Condition) -> Decimal:
    if condition.measure == "lots":
        return facts.lots.get((partner_id, condition.scope), Decimal(0))
    if condition.measure == "active_clients":
        return facts.active_clients.get((partner_id, condition.scope), Decimal(0))
    return facts.deposits.get((partner_id, condition.scope, condition.currency), Decimal(0))


@transaction.atomic
def _evaluate_one(
    item: Candidate,
    ranks: tuple[RankTerms, ...],
    figures: dict[Figure, Decimal],
    period: date,
    actor: Actor,
    cause: str,
) -> str:
    """Decides a partner's month; the outcome that was written, empty where nothing was."""
    limit_waiting()
    partner = lock_partner(item.partner_id)
    assert partner is not None, "it has an agreement"
    begin = end_of(period)
    last = RankEvaluation.objects.filter(partner=partner, period=period).order_by("-seq").first()
    given = rank_at(partner.pk, begin)
    by_hand = given if given is not None and given.source == PartnerRank.Source.MANUAL else None
    standing = rank_at(partner.pk, begin - timedelta(microseconds=1))
    held = standing.rank if standing is not None else ""
    decision = decide(ranks, figures, held=held, misses_before=_misses_before(partner.pk, period, held))
    if by_hand is not None:
        # What the rules say goes on where the rank by hand ends.
        decision = replace(decision, outcome="by_hand", follows=by_hand.rank)
    if last is not None and (last.earned, last.follows, last.misses) == _said(decision):
        return ""
    if last is not None and last.outcome == "by_hand" and (by_hand is None or last.earned == decision.earned):
        # Whether a rank was given by hand since is no matter of what was traded; what the month earned is.
        return ""
    row = _row(partner, item.version_id, ranks, figures, period, held, decision)
    if last is None:
        automatic = decision.earned if by_hand is not None else decision.follows
        replaced = write_automatic(
            partner_id=partner.pk, rank=automatic, start=begin, end=None, reason=f"by {period:%Y-%m}"
        )
        row.save(force_insert=True)
        if replaced:
            _audit(partner, row, actor, replaced)
        return row.outcome
    return _correct(partner, row, last, ranks, actor, cause)


def _correct(
    partner: Partner,
    row: RankEvaluation,
    last: RankEvaluation,
    ranks: tuple[RankTerms, ...],
    actor: Actor,
    cause: str,
) -> str:
    """A later look: another rank is asked for, from the next month until that one was decided itself."""
    row.seq = last.seq + 1
    following = RankEvaluation.objects.filter(partner=partner, period=next_period(row.period)).exists()
    until = end_of(next_period(row.period)) if following else None
    wanted, begin, changed = row.follows, end_of(row.period), row.follows != last.follows
    if row.outcome == "by_hand":
        # What somebody gave stands; another rank is asked for only where the rules' own follows it.
        given = rank_at(partner.pk, begin)
        end = given.validity.upper if given is not None else None
        changed = end is not None and (until is None or end < until)
        wanted, begin = row.earned, end or begin
    if changed:
        names = {rank.code: rank.name for rank in ranks}
        request = ask_for_rank(
            partner=partner,
            rank=wanted,
            valid_from=begin,
            until=until,
            is_automatic=True,
            reason=f"{row.period:%Y-%m} earns {names.get(wanted, 'no rank')} by what is known of it now"
            + (f": {cause}" if cause else ""),
            actor=actor,
        )
        row.change_reference = request.reference if request is not None else ""
        row.outcome = row.outcome if row.outcome == "by_hand" else "asked"
    row.save(force_insert=True)
    return row.outcome


def ask_for_rank(
    *,
    partner: Partner,
    rank: str,
    valid_from: datetime,
    until: datetime | None,
    is_automatic: bool,
    reason: str,
    actor: Actor,
    submit: bool = True,
) -> ChangeRequest | None:
    """A change request for a rank during a time; None where it stands like that already."""
    payload = {
        "partner_id": partner.pk,
        "rank": rank,
        "valid_from": valid_from.isoformat(),
        "until": until.isoformat() if until is not None else None,
        "is_automatic": is_automatic,
    }
    standing = rank_at(partner.pk, valid_from)
    if is_automatic and (standing.rank if standing is not None else "") == rank:
        return None
    change = changes.draft_change(
        kind=PARTNER_RANK, payload=payload, actor=actor, reason=reason, entity_id=partner.entity_id, target=partner
    )
    return changes.submit_change(change_id=change.pk, actor=actor) if submit else change


def _misses_before(partner_id: int, period: date, held: str) -> int:
    """Months in a row, up to the one before, in which the held rank was missed already."""
    before = RankEvaluation.objects.filter(partner_id=partner_id, period=previous_period(period)).order_by("-seq")
    last = before.first()
    return last.misses if last is not None and last.held == held and last.follows == held else 0


def _said(decision: Decision) -> tuple[str, str, int]:
    return decision.earned, decision.follows, decision.misses


def _row(
    partner: Partner,
    version_id: int,
    ranks: tuple[RankTerms, ...],
    figures: dict[Figure, Decimal],
    period: date,
    held: str,
    decision: Decision,
) -> RankEvaluation:
    return RankEvaluation(
        partner=partner,
        version_id=version_id,
        period=period,
        held=held,
        earned=decision.earned,
        follows=decision.follows,
        misses=decision.misses,
        outcome=decision.outcome,
        measures=[
            {
                "rank": rank.code,
                "condition": condition_text(item),
                "needed": plain(item.threshold),
                "reached": plain(figures[item.figure]),
                "met": figures[item.figure] >= item.threshold,
            }
            for rank in ranks
            for item in rank.conditions
        ],
    )


def _audit(partner: Partner, row: RankEvaluation, actor: Actor, replaced: list[dict[str, Any]]) -> None:
    audit.record(
        actor=actor,
        action="ib.rank_by_rules",
        target=partner,
        reason=f"{row.period:%Y-%m}: {row.get_outcome_display()}",
        changes={"rank": [row.held, row.follows], "misses": row.misses, "replaced": replaced},
        entity_id=partner.entity_id,
    )
