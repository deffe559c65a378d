"""What-if studies: a plan version or a place in the tree tried on whole months, and the proof that the set-up as it is makes
the very books that there are.

A study is asked for by a person and computed by a worker: each month's trades in a transaction of its own, then what is earned
by the period, then the broker's side. Nothing of a trial stays but the study's own rows, which are written at the end, together
with the end of the job. A killed worker leaves a study that is computed again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import Job, LegalEntity
from backoffice.core.services import audit, jobs
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, round_decimal
from backoffice.kernel.errors import Conflict, DomainError, InvalidInput
from ib.engine import period_facts
from ib.models import Partner, PlanVersion, WhatIfMonth, WhatIfRow, WhatIfStudy
from ib.rules.periods import ZERO, period_of, periods_between, previous_period
from ib.services import plans, quarantine, tree
from ib.services.period_targets import end_of, last_business_day
from ib.services.period_trials import PeriodTrial, try_periods
from ib.services.requests import rules_of, version_terms_of
from ib.services.settlement import days_to_settle
from ib.services.trying import Change, Sums
from ib.services.what_if import try_on_days, value_days

MAXIMUM_MONTHS = 12
STUDY = "ib.what_if_study"
CAPABILITIES = {
    WhatIfStudy.Kind.AS_IT_IS: "ib.settle_commissions",
    WhatIfStudy.Kind.PLAN_VERSION: "ib.manage_plans",
    WhatIfStudy.Kind.PLACE: "ib.manage_partners",
}
STEPS_AFTER_MONTHS = 2
"""What is earned by the period, and the broker's side."""


@dataclass(frozen=True, slots=True)
class Months:
    """Whole months, named by their first days; the last may be the open one, up to today."""

    first: date
    last: date

    def __post_init__(self) -> None:
        today = period_of(clock.today_business_day())
        if self.first.day != 1 or self.last.day != 1:
            raise InvalidInput("A month is named by its first day.", field="from_period")
        if self.last < self.first:
            raise InvalidInput("The last month lies before the first.", field="to_period")
        if self.last > today:
            raise InvalidInput("That month is still to come.", field="to_period")
        if len(self.all) > MAXIMUM_MONTHS:
            raise InvalidInput(f"At most {MAXIMUM_MONTHS} months at once.", field="from_period")

    @property
    def all(self) -> list[date]:
        """Each month."""
        return self.between(self.first, self.last)

    @staticmethod
    def between(first: date, last: date) -> list[date]:
        """Each month from one to another."""
        return periods_between(first, last)


# ------------------------------------------------------------------------------------------------------------- asking


@transaction.atomic
def study_version(*, version_id: int, months: Months, actor: Actor) -> WhatIfStudy:
    """Asks what a version, draft or published, would have paid had it been in force since the first month."""
    authorise(actor, CAPABILITIES[WhatIfStudy.Kind.PLAN_VERSION])
    version = get_visible(PlanVersion.objects.select_related("plan"), actor, pk=version_id)
    plans.require_sound(version)
    if not version.rules.exists():
        raise InvalidInput("A version without rules would pay nobody.", field="version")
    described = {
        "Plan version": str(version),
        **{rule["heading"]: rule["promise"] for rule in rules_of(version)},
        **({"Ranks": ", ".join(name for _, name in ranks)} if (ranks := version_terms_of(version)["ranks"]) else {}),
    }
    return _ask(
        actor,
        months,
        kind=WhatIfStudy.Kind.PLAN_VERSION,
        entity=version.plan.entity,
        version=version,
        described=described,
    )


@transaction.atomic
def study_place(*, partner_id: int, parent_id: int | None, months: Months, actor: Actor) -> WhatIfStudy:
    """Asks what everybody would have earned had a partner stood, with all below, under another since the first month.

    Raises as a move does: for a circle, another legal entity, a closed parent.
    """
    authorise(actor, CAPABILITIES[WhatIfStudy.Kind.PLACE])
    partner = get_visible(Partner.objects.select_related("entity"), actor, pk=partner_id)
    parent = None
    if parent_id is not None:
        parent = get_visible(Partner.objects.all(), actor, pk=parent_id)
        if parent == partner:
            raise InvalidInput("Nobody stands under themselves.", field="parent")
        tree.check_parent(partner, parent, end_of(previous_period(months.first)))
    described = {"Partner": str(partner), "Stands under": str(parent or "nobody")}
    return _ask(
        actor,
        months,
        kind=WhatIfStudy.Kind.PLACE,
        entity=partner.entity,
        partner=partner,
        parent=parent,
        described=described,
    )


@transaction.atomic
def study_books(*, entity_id: int, months: Months, actor: Actor) -> WhatIfStudy:
    """Asks for the months anew by the set-up as it is: they must come to what is booked, to the cent."""
    authorise(actor, CAPABILITIES[WhatIfStudy.Kind.AS_IT_IS])
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    return _ask(
        actor, months, kind=WhatIfStudy.Kind.AS_IT_IS, entity=entity, described={"Tried": "The set-up as it is"}
    )


@transaction.atomic
def study_again(*, study_id: int, actor: Actor) -> WhatIfStudy:
    """The same study once more, on what is known today; the old one stays as it was."""
    study = get_visible(WhatIfStudy.objects.all(), actor, pk=study_id)
    months = Months(study.from_period, study.to_period)
    match study.kind:
        case WhatIfStudy.Kind.PLAN_VERSION:
            return study_version(version_id=study.version_id or 0, months=months, actor=actor)
        case WhatIfStudy.Kind.PLACE:
            return study_place(partner_id=study.partner_id or 0, parent_id=study.parent_id, months=months, actor=actor)
        case _:
            return study_books(entity_id=study.entity_id, months=months, actor=actor)


def _ask(actor: Actor, months: Months, **fields: Any) -> WhatIfStudy:
    waiting = WhatIfStudy.objects.filter(
        state__in=[WhatIfStudy.State.WAITING, WhatIfStudy.State.RUNNING], from_period=months.first, to_period=months.last,
        **{name: fields.get(name) for name in ("kind", "entity", "version", "partner", "parent")},
    )  # fmt: skip
    if (same := waiting.first()) is not None:
        raise Conflict(f"That is being computed already: {same}.", code="study_under_way", study_id=same.pk)
    study = WhatIfStudy.objects.create(
        from_period=months.first,
        to_period=months.last,
        steps=len(months.all) + STEPS_AFTER_MONTHS,
        requested_by=actor.label,
        **fields,
    )
    jobs.enqueue(kind=STUDY, key=str(study.pk), payload={"study_id": study.pk})
    audit.record(actor=actor, action="ib.study", target=study, entity_id=study.entity_id)
    return study


# ---------------------------------------------------------------------------------------------------------- computing


def run_job(job: Job, owner: str) -> dict[str, Any]:
    """Computes the study of a job; a study that a rule refuses says so itself, and its job is done."""
    study = WhatIfStudy.objects.select_related("entity", "version__plan", "partner", "parent").get(
        pk=job.payload["study_id"]
    )
    WhatIfStudy.objects.filter(pk=study.pk).update(state=WhatIfStudy.State.RUNNING, done_steps=0)
    try:
        found = _compute(study)
    except DomainError as error:
        with transaction.atomic():
            WhatIfStudy.objects.filter(pk=study.pk).update(
                state=WhatIfStudy.State.FAILED, problem=error.message[:300], finished_at=clock.now()
            )
            jobs.finish(job=job, owner=owner, result={"problem": error.message})
        return {"problem": error.message}
    with transaction.atomic():
        outcome = _store(study, found)
        jobs.finish(job=job, owner=owner, result=outcome)
    return outcome


@dataclass(slots=True)
class _Found:
    booked: Sums
    then: Sums
    periods: PeriodTrial
    revenue: dict[date, tuple[Decimal, int]]


def _compute(study: WhatIfStudy) -> _Found:
    months = periods_between(study.from_period, study.to_period)
    moment = end_of(previous_period(study.from_period))
    change = _change_of(study)
    booked: Sums = defaultdict(Decimal)
    then: Sums = defaultdict(Decimal)
    for month in months:
        month_booked, month_then = _trades_of(month, change, moment)
        booked |= month_booked
        then |= month_then
        _step(study)
    trial = try_periods(
        entity_id=study.entity_id, change=change, moment=moment, from_period=months[0], to_period=months[-1]
    )
    _step(study)
    revenue = {month: _revenue_of(study.entity, month) for month in months}
    return _Found(booked, then, trial, revenue)


def _step(study: WhatIfStudy) -> None:
    study.done_steps += 1
    WhatIfStudy.objects.filter(pk=study.pk).update(done_steps=study.done_steps)


def _change_of(study: WhatIfStudy) -> Change | None:
    version, partner, parent = study.version, study.partner, study.parent
    if version is not None:

        def publish(moment: datetime) -> None:
            plans.write_publication(
                version=PlanVersion.objects.get(pk=version.pk), valid_from=moment, published_by="study"
            )

        return publish
    if partner is not None:

        def place(moment: datetime) -> None:
            if parent is not None:
                tree.check_parent(partner, parent, moment)
            tree.write_placement(partner=partner, parent=parent, valid_from=moment)

        return place
    return None


_BOOKED = """
SELECT partner_id, currency, sum(amount) FROM ib_commissionline
WHERE day = ANY(%(days)s::date[]) AND NOT trade_id = ANY(%(held)s::bigint[])
GROUP BY 1, 2
"""


def _trades_of(month: date, change: Change | None, moment: datetime) -> tuple[Sums, Sums]:
    """What the month's trades were booked with, and what they would be, in one transaction."""
    last = min(last_business_day(month), clock.today_business_day())
    days = days_to_settle(from_day=month, to_day=last)
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_BOOKED, {"days": days, "held": quarantine.held_trades(days)})
            booked: Sums = {(partner_id, currency, month): amount for partner_id, currency, amount in cursor.fetchall()}
        if change is None:
            return booked, value_days(days=days)
        then: Sums = defaultdict(Decimal, booked)
        for effect in try_on_days(change=change, moment=moment, days=days):
            then[effect.partner_id, effect.currency, month] += effect.difference
    return booked, then


def _revenue_of(entity: LegalEntity, month: date) -> tuple[Decimal, int]:
    """What clients of partners brought in, in the entity's currency at the rates of their days; how many parts have no value."""
    last = min(last_business_day(month), clock.today_business_day())
    rows = period_facts.revenue_of_house(entity_id=entity.pk, from_day=month, to_day=last)
    return _converted([(row.day, row.currency, row.amount, row.unknown) for row in rows], entity.base_currency)


def _converted(amounts: Sequence[tuple[date, str, Decimal, int]], into: str) -> tuple[Decimal, int]:
    rates = period_facts.rates((day, currency, into) for day, currency, _, _ in amounts)
    total, unvalued = ZERO, 0
    for day, currency, amount, unknown in amounts:
        rate, _ = rates[day, currency, into]
        unvalued += unknown + (1 if rate is None and amount else 0)
        total += EXACT.multiply(amount, rate or ZERO)
    return round_decimal(total, Currency.of(into).digits), unvalued


# ------------------------------------------------------------------------------------------------------------ storing


def _store(study: WhatIfStudy, found: _Found) -> dict[str, Any]:
    partners = dict(Partner.objects.filter(entity=study.entity).values_list("pk", "reference"))
    keys = sorted({*found.booked, *found.then, *found.periods.booked, *found.periods.then})
    rows = [
        WhatIfRow(
            study=study,
            partner_id=partner_id,
            period=period,
            currency=currency,
            booked_by_trade=found.booked.get((partner_id, currency, period), ZERO),
            then_by_trade=found.then.get((partner_id, currency, period), ZERO),
            booked_by_period=found.periods.booked.get((partner_id, currency, period), ZERO),
            then_by_period=found.periods.then.get((partner_id, currency, period), ZERO),
        )
        for partner_id, currency, period in keys
        if partner_id in partners
    ]
    study.rows.all().delete()
    study.months.all().delete()
    WhatIfRow.objects.bulk_create(rows, batch_size=1_000)
    WhatIfMonth.objects.bulk_create(_months_of(study, rows, found))
    difference: dict[str, Decimal] = defaultdict(Decimal)
    for row in rows:
        difference[row.currency] += row.difference
    study.difference = {currency: f"{difference[currency]:f}" for currency in sorted(difference)}
    study.waiting_for = [f"{partners.get(pk, pk)}: {why}" for pk, why in sorted(found.periods.waiting.items())]
    study.state, study.finished_at, study.done_steps = WhatIfStudy.State.DONE, clock.now(), study.steps
    study.save(update_fields=["difference", "waiting_for", "state", "finished_at", "done_steps"])
    return {"rows": len(rows), "difference": study.difference}


def _months_of(study: WhatIfStudy, rows: Sequence[WhatIfRow], found: _Found) -> list[WhatIfMonth]:
    """The broker's side; partners' money is converted at the rates of the month's last day, or of today."""
    into = study.entity.base_currency
    months = []
    for month, (revenue, unvalued) in sorted(found.revenue.items()):
        day = min(last_business_day(month), clock.today_business_day())
        of_month = [row for row in rows if row.period == month]
        booked, without = _converted([(day, row.currency, row.booked, 0) for row in of_month], into)
        then, also_without = _converted([(day, row.currency, row.then, 0) for row in of_month], into)
        months.append(
            WhatIfMonth(
                study=study,
                period=month,
                revenue=revenue,
                cost_booked=booked,
                cost_then=then,
                unvalued=unvalued + max(without, also_without),
                currency=into,
            )
        )
    return months
