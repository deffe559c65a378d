"""Settlement of partners' periods: books target minus booked of everything that is earned by the period.

A partner is settled under a lock of its own, from the earliest period that a mark speaks of up to today. Marks, lines, states,
balances, postings and the end of the job are one transaction: a killed process leaves nothing, a second run finds nothing.
What concerns a closed day is booked in the first open one. A frozen account waits with all that it would have to give back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from backoffice.core import crash_points
from backoffice.core.access import authorise, visible_to
from backoffice.core.services import jobs, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.errors import Conflict, DomainError, MissingRate, NotFound
from funding.ledger.chart import AccountKind
from funding.ledger.models import LedgerAccount
from funding.ledger.services.accounts import get_accounts_bulk
from funding.ledger.services.entries import EntryDraft, PostingLine, post_entries
from funding.ledger.types import AccountSpec, PostingSide
from ib.engine import period_lines
from ib.engine.period_lines import BookedLine, DueLine, LineKey, TargetLine
from ib.locks import SETTLEMENT_LOCK_TIMEOUT_MS, limit_waiting, lock_ledger_posting, lock_partner_periods
from ib.models import Partner, PeriodLine, PeriodMark, PeriodSettlement
from ib.rules.period_words import PeriodFacts, digest
from ib.rules.periods import ZERO, LineKind, Money, period_of, previous_period
from ib.services import period_work
from ib.services.clawbacks import add_clawbacks
from ib.services.period_balances import Balance, add_balances, store_balances
from ib.services.period_overrides import SET_UP, add_overrides, add_overrides_paid, mark_payers
from ib.services.period_ranks import add_rank_bonuses
from ib.services.period_targets import World, add_active_clients, add_net_revenue, end_of, open_world
from ib.services.period_terms import PERIOD_BASES
from ib.services.posting import PARTNER_OWNER, booking_days
from ib.services.rewards import Claim, add_rewards, store_claims
from ib.types import ProofResult

MAXIMUM_ROWS = 200
"""Contradictions that a proof lists; it counts them all."""
SOURCE_TYPE = "ib.period_settlement"
SETTLE_PERIODS = "ib.settle_periods"
ACTOR = Actor.system("ib.periods")
MARKS_AT_ONCE = 20_000
RETRY = timedelta(hours=1)
"""How long a partner who waits (frozen account, missing rate) is left alone before the next look."""
LOOK_BACK_DAYS = 20
"""Days of a month during which the one before is looked for; jobs are remembered for thirty."""

crash_points.declare("ib.periods.after_marks", "ib.periods.after_lines", "ib.periods.after_postings")

_READING_ORDER = (
    LineKind.NET_REVENUE,
    LineKind.OVERRIDE,
    LineKind.ACTIVE_CLIENT,
    LineKind.CPA,
    LineKind.RANK_BONUS,
    LineKind.CARRY_OVER,
    LineKind.OVERRIDE_PAID,
    LineKind.CLAWBACK,
)

Finish = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class PeriodResult:
    """What a settlement of a partner's periods did: lines written, their sum by currency, and why it waits, if it does."""

    lines: int
    booked: dict[str, str]
    waiting: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"lines": self.lines, "booked": self.booked, "waiting": self.waiting}


@dataclass(frozen=True, slots=True)
class Valuation:
    """What a partner's periods are worth, with the states that go with it."""

    world: World
    claims: list[Claim]
    balances: list[Balance]

    @property
    def lines(self) -> dict[LineKey, TargetLine]:
        """The target of every key."""
        return self.world.lines


def value_periods(*, partner: Partner, from_period: date, now: datetime) -> Valuation:
    """Values every period from one on; writes nothing. Settlement, proof and preview all come here."""
    world = open_world(partner=partner, from_period=from_period, now=now)
    add_net_revenue(world)
    add_active_clients(world)
    claims = add_rewards(world)
    add_rank_bonuses(world)
    add_overrides(world)
    balances = add_balances(world)
    add_overrides_paid(world)
    add_clawbacks(world, claims)
    return Valuation(world, claims, balances)


def settle_partner(
    *,
    partner_id: int,
    actor: Actor,
    from_day: date | None = None,
    cause: str = "",
    finish: Finish | None = None,
) -> PeriodResult:
    """Books what a partner's periods are worth minus what was booked, from the marks' earliest day or a given one on.

    Without marks and without a day there is nothing to do. When it must wait, nothing is written and the marks stay.
    *finish* is called in the same transaction.
    """
    authorise(actor, "ib.settle_commissions")
    try:
        return _settle(partner_id=partner_id, actor=actor, from_day=from_day, cause=cause, finish=finish)
    except MissingRate as error:
        return _wait(partner_id, from_day, error, finish)
    except Conflict as error:
        if error.code != "account_frozen":
            raise
        return _wait(partner_id, from_day, error, finish)


@transaction.atomic(durable=True)
def _settle(*, partner_id: int, actor: Actor, from_day: date | None, cause: str, finish: Finish | None) -> PeriodResult:
    limit_waiting(SETTLEMENT_LOCK_TIMEOUT_MS)
    lock_partner_periods(partner_id)
    partner = Partner.objects.filter(pk=partner_id).first()
    if partner is None:
        raise NotFound("No such partner.", partner_id=partner_id)
    marks = list(PeriodMark.objects.filter(is_spread=True, partner_id=partner_id))
    days = [mark.day for mark in marks] + ([from_day] if from_day is not None else [])
    result = PeriodResult(0, {})
    if days:
        PeriodMark.objects.filter(pk__in=[mark.pk for mark in marks]).delete()
        crash_points.reach("ib.periods.after_marks")
        named = cause or (min(mark.source for mark in marks) if marks else "asked")
        first = _first_period(partner, min(days))
        result = _book(partner, first, cause=named, actor=actor)
        _follow(partner, first, marks)
        if any(mark.problem for mark in marks):
            period_work.note_partner(partner_id)
    if finish is not None:
        finish(result.as_dict())
    return result


def _follow(partner: Partner, first: date, marks: Sequence[PeriodMark]) -> None:
    """Where the set-up changed, those who pay the partner's overrides are due too."""
    if any(mark.source in SET_UP for mark in marks):
        mark_payers(partner_id=partner.pk, from_period=first)


def try_partner(*, partner_id: int) -> PeriodResult:
    """As `settle_partner`, but only lines and balances are written: for a trial on copies of their tables.

    Nothing is locked, posted or published, and a frozen account does not wait. Raises MissingRate.
    """
    partner = Partner.objects.get(pk=partner_id)
    marks = list(PeriodMark.objects.filter(is_spread=True, partner_id=partner_id))
    PeriodMark.objects.filter(pk__in=[mark.pk for mark in marks]).delete()
    first = _first_period(partner, min(mark.day for mark in marks))
    result = _book(partner, first, cause="trial", actor=ACTOR, is_trial=True)
    _follow(partner, first, marks)
    return result


def _first_period(partner: Partner, day: date) -> date:
    """The period of the day, but none before anything could be earned."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT min(coalesce(platform_business_day(lower(validity)), '1970-01-01')) FROM ib_agreement WHERE partner_id = %s",
            [partner.pk],
        )
        signed = cursor.fetchone()[0]
    if signed is None or signed <= day:
        return period_of(day)
    booked = PeriodLine.objects.filter(partner=partner).order_by("period").values_list("period", flat=True).first()
    return period_of(day) if booked is not None and booked < period_of(signed) else period_of(signed)


def _book(partner: Partner, from_period: date, *, cause: str, actor: Actor, is_trial: bool = False) -> PeriodResult:
    valuation = value_periods(partner=partner, from_period=from_period, now=clock.now())
    due = differences(partner, from_period, valuation.lines)
    store_claims(valuation.world, valuation.claims)
    changed = store_balances(valuation.world, valuation.balances)
    booked: dict[str, Decimal] = defaultdict(Decimal)
    for item in due:
        booked[item.key.currency] += item.amount
    for currency in sorted(booked):
        of_currency = [item for item in due if item.key.currency == currency]
        if is_trial:
            _write(
                partner, of_currency, from_period, cause, actor, {item.line.day: item.line.day for item in of_currency}
            )
        else:
            _book_currency(partner, of_currency, from_period, cause, actor)
    if due or changed:
        _mark_above(partner, from_period)
    return PeriodResult(len(due), {currency: f"{booked[currency]:f}" for currency in sorted(booked)})


def _book_currency(partner: Partner, due: Sequence[DueLine], from_period: date, cause: str, actor: Actor) -> None:
    """Lines and entries of one currency, with their control totals."""
    days = {item.day: item.booked_day for item in _booking(partner, {item.line.day for item in due})}
    settlement = _write(partner, due, from_period, cause, actor, days)
    crash_points.reach("ib.periods.after_lines")
    _post(partner, settlement, due, days, actor)
    crash_points.reach("ib.periods.after_postings")
    outbox.publish(topic="ib.periods_settled", payload={"period_settlement_id": settlement.pk})


def _write(
    partner: Partner, due: Sequence[DueLine], from_period: date, cause: str, actor: Actor, days: dict[date, date]
) -> PeriodSettlement:
    """The lines of one currency, with the settlement that holds their control totals."""
    settlement = PeriodSettlement.objects.create(
        partner=partner,
        from_period=from_period,
        to_period=max(item.key.period for item in due),
        cause=cause[:80],
        actor=actor.label,
        lines=len(due),
        booked=sum((item.amount for item in due), ZERO),
        currency=due[0].key.currency,
    )
    period_lines.write_lines(settlement=settlement, lines=due, booked_days=days)
    return settlement


def differences(partner: Partner, from_period: date, targets: dict[LineKey, TargetLine]) -> list[DueLine]:
    """Target minus booked: a line for each key whose amount or reason is not as booked."""
    booked = period_lines.booked_lines(partner_id=partner.pk, from_period=from_period)
    found = []
    for key, line in targets.items():
        known = booked.get(key)
        if known is None:
            if line.target or line.facts.parts:
                found.append(DueLine(key, line, 0, line.target))
        elif line.target != known.amount or digest(line.facts) != known.facts_digest:
            found.append(DueLine(key, line, known.seq + 1, line.target - known.amount))
    for key, known in booked.items():
        if key not in targets:
            gone = _gone(key, known)
            if known.amount or digest(gone.facts) != known.facts_digest:
                found.append(DueLine(key, gone, known.seq + 1, -known.amount))
    order = {kind.value: number for number, kind in enumerate(_READING_ORDER)}
    return sorted(
        found, key=lambda item: (item.key.period, order[item.key.kind], item.key.rule_id or 0, item.key.subject_id)
    )


def _gone(key: LineKey, known: BookedLine) -> TargetLine:
    """What nothing pays for any more."""
    facts = PeriodFacts(
        kind=LineKind(key.kind),
        period=key.period,
        money=Money(key.currency, known.decimals, known.rounding),
        level=known.level,
        cause_event_id=known.cause_event_id,
    )
    return TargetLine(facts, ZERO, known.day)


# ------------------------------------------------------------------------------------------------------------- ledger


def _booking(partner: Partner, days: Iterable[date]) -> list[Any]:
    return [item for item in booking_days(days) if item.entity_id == partner.entity_id]


def _post(
    partner: Partner, settlement: PeriodSettlement, due: Sequence[DueLine], days: dict[date, date], actor: Actor
) -> None:
    """One entry for each business day: commission expense against the partner's accrued account."""
    sums: dict[date, Decimal] = defaultdict(Decimal)
    for item in due:
        sums[item.line.day] += item.amount
    sums = {day: amount for day, amount in sums.items() if amount}
    if not sums:
        return
    expense = AccountSpec(
        entity_id=partner.entity_id, kind=AccountKind.COMMISSION_EXPENSE, currency=settlement.currency
    )
    accrued = AccountSpec(
        entity_id=partner.entity_id,
        kind=AccountKind.PARTNER_ACCRUED,
        currency=settlement.currency,
        owner_type=PARTNER_OWNER,
        owner_id=partner.pk,
    )
    accounts = get_accounts_bulk(specs=[expense, accrued])
    if any(amount < 0 for amount in sums.values()):
        _refuse_frozen(accounts[accrued])
    drafts = [
        _draft(settlement, partner, day, days[day], amount, accounts[expense].pk, accounts[accrued].pk)
        for day, amount in sorted(sums.items())
    ]
    lock_ledger_posting()
    post_entries(drafts=drafts, actor=actor)


def _refuse_frozen(account: LedgerAccount) -> None:
    if LedgerAccount.objects.filter(pk=account.pk, is_frozen=True).exists():
        raise Conflict("The partner's accrued account is frozen; what is taken back waits.", code="account_frozen")


def _draft(
    settlement: PeriodSettlement,
    partner: Partner,
    day: date,
    booked_day: date,
    amount: Decimal,
    expense: int,
    accrued: int,
) -> EntryDraft:
    late = booked_day != day
    sides: tuple[PostingSide, PostingSide] = ("D", "C") if amount > 0 else ("C", "D")
    return EntryDraft(
        entity_id=partner.entity_id,
        kind="adjustment" if late else "commission",
        business_day=booked_day,
        refers_to_day=day if late else None,
        description=f"Partner commission by the period, {day:%Y-%m-%d}, settlement P{settlement.pk}",
        lines=[
            PostingLine(expense, sides[0], abs(amount), settlement.currency),
            PostingLine(accrued, sides[1], abs(amount), settlement.currency),
        ],
        idempotency_key=f"ib:periods:{settlement.pk}:{day.isoformat()}",
        source_type=SOURCE_TYPE,
        source_id=settlement.pk,
        reason="The day's books were closed when this was settled." if late else "",
    )


# -------------------------------------------------------------------------------------------------------------- marks


@transaction.atomic
def _wait(partner_id: int, from_day: date | None, error: DomainError, finish: Finish | None) -> PeriodResult:
    """Leaves a note why the partner is not settled; the marks that there are stay."""
    lock_partner_periods(partner_id)
    marks = PeriodMark.objects.filter(is_spread=True, partner_id=partner_id)
    if not marks.exists():
        PeriodMark.objects.create(
            source="waiting", partner_id=partner_id, day=from_day or clock.today_business_day(), is_spread=True
        )
    marks.update(problem=error.message[:200])
    period_work.note_partner(partner_id)
    result = PeriodResult(0, {}, waiting=error.message)
    if finish is not None:
        finish(result.as_dict())
    return result


def _mark_above(partner: Partner, from_period: date) -> None:
    """Whoever stands above may have an override on this, or carry the losses of the group."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO ib_periodmark (source, partner_id, day, is_spread)
            SELECT DISTINCT 'below', agreement.partner_id, %s::date, true
            FROM ib_partneredge AS edge
            JOIN ib_agreement AS agreement ON agreement.partner_id = edge.parent_id
            JOIN ib_planversion AS version ON version.plan_id = agreement.plan_id AND version.state = 'published'
            JOIN ib_planrule AS rule ON rule.version_id = version.id AND rule.basis = ANY(%s)
            WHERE edge.child_id IN (
                WITH RECURSIVE upwards AS (
                    SELECT %s::bigint AS partner_id
                    UNION SELECT above.parent_id FROM upwards JOIN ib_partneredge AS above
                      ON above.child_id = upwards.partner_id)
                SELECT partner_id FROM upwards)
              AND (rule.distribution = 'override' OR version.carry_over = 'group')
            """,
            [from_period, list(PERIOD_BASES), partner.pk],
        )


def enqueue_due(*, limit: int = MARKS_AT_ONCE) -> int:
    """Finds who is due by the marks and gives each a job; how many jobs that were. Marks of one partner share a job."""
    with transaction.atomic():
        period_lines.spread_marks(bases=PERIOD_BASES, limit=limit)
    now = clock.now()
    newest: dict[int, PeriodMark] = {}
    for mark in PeriodMark.objects.filter(is_spread=True).order_by("id")[:limit]:
        if mark.partner_id is not None:
            newest[mark.partner_id] = mark
    for partner_id, mark in newest.items():
        round_number = int((now - mark.at) / RETRY) if mark.problem else 0
        jobs.enqueue(
            kind=SETTLE_PERIODS,
            key=f"{partner_id}:{mark.pk}:{round_number}",
            payload={"partner_id": partner_id},
        )
    return len(newest)


def enqueue_ended() -> int:
    """Gives every partner with a plan by the period a job for the month that ended, once; how many there were."""
    today = clock.today_business_day()
    if today.day > LOOK_BACK_DAYS:
        return 0
    ended = previous_period(period_of(today))
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT DISTINCT agreement.partner_id FROM ib_agreement AS agreement
            JOIN ib_planversion AS version ON version.plan_id = agreement.plan_id AND version.state = 'published'
            JOIN ib_planrule AS rule ON rule.version_id = version.id AND rule.basis = ANY(%s)
            ORDER BY 1
            """,
            [list(PERIOD_BASES)],
        )
        partners = [row[0] for row in cursor.fetchall()]
    for partner_id in partners:
        jobs.enqueue(
            kind=SETTLE_PERIODS,
            key=f"{partner_id}:month:{ended:%Y-%m}",
            payload={"partner_id": partner_id, "from_day": ended.isoformat(), "cause": f"month:{ended:%Y-%m}"},
        )
    return len(partners)


def settle_due(*, actor: Actor, limit: int = 1_000) -> list[PeriodResult]:
    """Settles here and now whoever is due by the marks, those below before those above. For people and tests."""
    authorise(actor, "ib.settle_commissions")
    results: list[PeriodResult] = []
    seen: set[tuple[int, int]] = set()
    for _ in range(limit):
        with transaction.atomic():
            period_lines.spread_marks(bases=PERIOD_BASES, limit=MARKS_AT_ONCE)
        mark = next(
            (
                item
                for item in PeriodMark.objects.filter(is_spread=True).order_by("id")
                if (item.partner_id or 0, item.pk) not in seen
            ),
            None,
        )
        if mark is None or mark.partner_id is None:
            break
        seen |= {
            (mark.partner_id, pk)
            for pk in PeriodMark.objects.filter(partner_id=mark.partner_id).values_list("pk", flat=True)
        }
        results.append(settle_partner(partner_id=mark.partner_id, actor=actor))
    return results


# -------------------------------------------------------------------------------------------------- proof and preview


def prove_partner(*, partner: Partner, from_period: date) -> list[dict[str, Any]]:
    """What settling the partner's periods would book now: nothing, if the books are right. Writes nothing."""
    valuation = value_periods(partner=partner, from_period=from_period, now=clock.now())
    return [
        {
            "problem": "difference",
            "partner_id": partner.pk,
            "kind": due.key.kind,
            "period": due.key.period,
            "subject": f"{due.key.subject_type} {due.key.subject_id}",
            "expected": due.line.target,
            "booked": due.line.target - due.amount,
            "difference": due.amount,
            "currency": due.key.currency,
        }
        for due in differences(partner, from_period, valuation.lines)
    ]


def prove_periods(*, from_day: date, to_day: date, actor: Actor) -> ProofResult:
    """Values the periods of the range anew, for every partner with a line or a plan by the period; writes nothing."""
    authorise(actor, "ib.view_commissions")
    first, last = period_of(from_day), period_of(to_day)
    booked = PeriodLine.objects.filter(period__gte=first, period__lte=last)
    bound = Partner.objects.filter(agreements__plan__versions__rules__basis__in=PERIOD_BASES)
    partners = Partner.objects.filter(pk__in=booked.order_by().values("partner_id")) | bound
    rows: list[dict[str, Any]] = []
    for partner in visible_to(partners.distinct(), actor).order_by("pk"):
        rows += [row for row in prove_partner(partner=partner, from_period=first) if row["period"] <= last]
    return ProofResult(trades=0, lines=booked.count(), rows=tuple(rows[:MAXIMUM_ROWS]), count=len(rows))


def expected_lines(*, partner: Partner) -> list[tuple[LineKey, TargetLine]]:
    """What the open period would pay if it ended now; nothing of it is booked yet but rewards and clawbacks."""
    current = period_of(clock.today_business_day())
    valuation = value_periods(partner=partner, from_period=current, now=end_of(current))
    return [(key, line) for key, line in valuation.lines.items() if key.period == current]


def trades_changed(*, batch_id: int) -> None:
    """Marks the clients of an ingest batch: those on the way to a reward, and those who traded in a period that is over."""
    month = day_bounds(_weekday(period_of(clock.today_business_day())))[0]
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO ib_periodmark (source, client_id, day)
            SELECT 'trades', account.client_id, min(t.business_day)
            FROM platform_ops_trade AS t JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
            WHERE t.batch_id = %(batch)s AND account.client_id IS NOT NULL AND NOT account.is_demo
              AND EXISTS (SELECT 1 FROM ib_planrule WHERE basis = ANY(%(bases)s))
              AND (t.closed_at < %(month)s
                   OR EXISTS (SELECT 1 FROM ib_cpaclaim AS claim
                              WHERE claim.client_id = account.client_id AND claim.state IN ('waiting', 'expired')))
            GROUP BY account.client_id
            """,
            {"batch": batch_id, "bases": list(PERIOD_BASES), "month": month},
        )


def rates_changed(*, first: date, last: date) -> None:
    """Marks whoever may be paid by the period in money that rates of the days convert.

    Of periods that are over that is every partner who is paid by the period; of the open one, of which only rewards are
    booked, those who introduced a client on the way to a reward.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO ib_periodmark (source, partner_id, client_id, day)
            SELECT 'rates', each.partner_id, NULL::bigint, %(first)s
            FROM (SELECT partner_id FROM ib_agreement UNION SELECT partner_id FROM ib_periodline) AS each
            WHERE %(first)s < %(open)s
              AND (EXISTS (SELECT 1 FROM ib_planrule WHERE basis = ANY(%(bases)s)) OR EXISTS (SELECT 1 FROM ib_periodline))
            UNION ALL
            SELECT DISTINCT 'rates', NULL::bigint, claim.client_id, greatest(%(first)s, %(open)s)
            FROM ib_cpaclaim AS claim
            WHERE claim.state IN ('waiting', 'expired') AND EXISTS (
                SELECT 1 FROM ib_clientevent AS event
                WHERE event.client_id = claim.client_id AND event.day BETWEEN %(first)s AND %(last)s)
            """,
            {
                "first": first,
                "last": last,
                "open": period_of(clock.today_business_day()),
                "bases": list(PERIOD_BASES),
            },
        )


def mark_disputed() -> int:
    """Marks clients with a chargeback or fraud, whose trade lines may have changed since; how many there were."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO ib_periodmark (source, client_id, day)
            SELECT 'disputed', event.client_id, min(event.day) FROM ib_clientevent AS event
            WHERE event.kind IN ('chargeback', 'fraud') AND event.reverses_id IS NULL
            GROUP BY event.client_id
            """
        )
        return int(cursor.rowcount)


def _weekday(day: date) -> date:
    while day.weekday() > 4:
        day += timedelta(days=1)
    return day
