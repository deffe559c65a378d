"""The balances of losses that are carried from period to period."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from django.db.models import F, Sum

from backoffice.kernel.currency import Currency
from ib.engine import period_lines
from ib.models import CarryBalance, PeriodLine
from ib.rules.period_words import LinePart, PeriodFacts
from ib.rules.periods import (
    ZERO,
    CarryScope,
    CarryStep,
    CarryTerms,
    LineKind,
    Money,
    PartCode,
    Vintage,
    carry_over,
    previous_period,
)
from ib.services.period_targets import World, add_line, converted, end_of, last_business_day
from ib.services.period_terms import NET_REVENUE, RuleTerms

_WIDE = (CarryScope.PARTNER, CarryScope.GROUP)
_A_MOMENT = timedelta(microseconds=1)
EARNINGS = (LineKind.NET_REVENUE, LineKind.OVERRIDE, LineKind.ACTIVE_CLIENT, LineKind.CPA, LineKind.RANK_BONUS)


# ------------------------------------------------------------------------------------------------- balances of losses


@dataclass(frozen=True, slots=True)
class BalanceKey:
    """Whose losses: those of one plan, or (None) of everything that the partner earns by the period."""

    plan_id: int | None
    currency: str


@dataclass(frozen=True, slots=True)
class Balance:
    """One period of a balance."""

    key: BalanceKey
    period: date
    terms: CarryTerms
    step: CarryStep


def add_balances(world: World) -> list[Balance]:
    """Sets each period's result off against carried losses, adds the line that corrects it, and returns the balances."""
    carried, borne = _opening(world), _Borne.before(world)
    found: list[Balance] = []
    for period in world.ended:
        due = _terms_of(world, period)
        for key in set(carried) - set(due):
            if carried[key].vintages:
                due[key] = carried[key].terms
        for key, terms in sorted(due.items(), key=lambda item: (item[0].plan_id or 0, item[0].currency)):
            held = carried[key].vintages if key in carried else ()
            group = ZERO
            if terms.scope is CarryScope.GROUP:
                # What lapses in the period was not borne: the head gets none of it back.
                lapsed = carry_over(terms, period=period, vintages=held, result=ZERO).lapsed
                left = borne[key.currency].without(held, lapsed).outstanding
                group = min(_group(world, period, key.currency), left)
            result = _result(world, key, period) + group
            step = carry_over(terms, period=period, vintages=held, result=result)
            if key.plan_id is None:
                borne[key.currency] = borne[key.currency].after(period, held, step, group)
            carried[key] = _Carried(terms, step.vintages)
            if step.opening or step.result or step.closing:
                found.append(Balance(key, period, terms, step))
                _add_correction(world, key, period, step, group)
    return found


@dataclass(frozen=True, slots=True)
class _Carried:
    terms: CarryTerms
    vintages: tuple[Vintage, ...]


@dataclass(frozen=True, slots=True)
class _Borne:
    """What the head of a group bore of the losses below and has not had back: the most that it gets of what is earned back.

    What was forgiven, or lapsed while it was carried, nobody bore. Of a period's loss the head's own part is set off first,
    and the group's is forgiven first.
    """

    outstanding: Decimal = ZERO
    carried: tuple[tuple[date, Decimal], ...] = ()

    @staticmethod
    def before(world: World) -> dict[str, _Borne]:
        """By currency, as the stored balances and lines of the periods before the span say."""
        stored = {"partner": world.partner, "period__lt": world.from_period}
        groups: dict[tuple[date, str], Decimal] = {}
        lines = PeriodLine.objects.filter(kind=LineKind.CARRY_OVER, subject_type="partner", **stored)
        for line in lines.order_by("seq").prefetch_related("parts"):
            parts = [part.amount for part in line.parts.all() if part.code == PartCode.GROUP_LOSS]
            groups[line.period, line.currency] = sum(parts, ZERO)
        found: dict[str, _Borne] = defaultdict(_Borne)
        held: dict[str, tuple[Vintage, ...]] = {}
        for row in CarryBalance.objects.filter(plan__isnull=True, **stored).order_by("period"):
            group = groups.get((row.period, row.currency), ZERO)
            found[row.currency] = found[row.currency].after(row.period, held.get(row.currency, ()), row, group)
            held[row.currency] = _vintages(row)
        return found

    def without(self, held: tuple[Vintage, ...], lapsed: Decimal) -> _Borne:
        """After the oldest of what is carried lapsed, as far as it was the group's."""
        rest, outstanding, parts = -lapsed, self.outstanding, dict(self.carried)
        for vintage in held:
            gone = min(rest, -vintage.amount)
            rest -= gone
            outstanding -= min(gone, parts.get(vintage.period, ZERO))
        return replace(self, outstanding=max(outstanding, ZERO))

    def after(self, period: date, held: tuple[Vintage, ...], step: CarryStep | CarryBalance, group: Decimal) -> _Borne:
        """After a period that began with the losses that were held and had so much of the group in its result."""
        left = self.without(held, step.lapsed)
        if group >= 0:
            return replace(left, outstanding=max(left.outstanding - group, ZERO))
        outstanding = left.outstanding - group - min(step.forgiven, -group)
        return _Borne(outstanding, (*left.carried, (period, min(step.carried, -group))))


def _vintages(row: CarryBalance) -> tuple[Vintage, ...]:
    return tuple(Vintage(date.fromisoformat(day), Decimal(amount)) for day, amount in row.vintages)


def _opening(world: World) -> dict[BalanceKey, _Carried]:
    """The balances with which the span opens, from the period before it."""
    before = previous_period(world.from_period)
    found = {}
    for row in CarryBalance.objects.filter(partner=world.partner, period=before):
        known = [terms.carry for terms in world.rules if row.plan_id in (None, terms.plan_id)]
        terms = next((item for item in reversed(known) if item.scope == row.scope), CarryTerms(CarryScope(row.scope)))
        found[BalanceKey(row.plan_id, row.currency)] = _Carried(terms, _vintages(row))
    return found


def _terms_of(world: World, period: date) -> dict[BalanceKey, CarryTerms]:
    """By balance, how losses of the period are carried: as the last version in force in it says."""
    found: dict[BalanceKey, CarryTerms] = {}
    for terms in world.rules:
        if _is_in_force(terms, period) and (terms.basis == NET_REVENUE or terms.carry.scope in _WIDE):
            plan_id = None if terms.carry.scope in _WIDE else terms.plan_id
            found[BalanceKey(plan_id, terms.money.currency)] = terms.carry
    return found


def _is_in_force(terms: RuleTerms, period: date) -> bool:
    first = end_of(previous_period(period))
    last = end_of(period)
    return any((start is None or start < last) and (end is None or end > first) for start, end in terms.windows)


def _result(world: World, key: BalanceKey, period: date) -> Decimal:
    """What the lines of the period come to: shares of net revenue of the plan, or everything that is earned by the period."""
    plans = {terms.rule_id: terms for terms in world.rules}
    total = ZERO
    for line_key, line in world.lines.items():
        if line_key.period != period or line_key.currency != key.currency or line_key.kind not in EARNINGS:
            continue
        terms = plans[line_key.rule_id or 0]
        is_wide = terms.carry.scope in _WIDE
        if (key.plan_id is None and is_wide) or (
            terms.plan_id == key.plan_id and not is_wide and line_key.kind == LineKind.NET_REVENUE
        ):
            total += line.target
    return total


def _group(world: World, period: date, currency: str) -> Decimal:
    """What the partners below earned back of their losses in the period, less what they carry from it.

    Their losses weigh on the head of the group until they have earned them back; one that lapses below is not earned back.
    What is below a head of another group stands in that head's balance already and is not counted a second time.
    """
    at_end = end_of(period) - _A_MOMENT
    below = set(period_lines.partners_below(partner_id=world.partner.pk, at=at_end))
    heads = CarryBalance.objects.filter(partner_id__in=below, period__lte=period, scope=CarryScope.GROUP)
    for head in heads.order_by("partner_id").values_list("partner_id", flat=True).distinct():
        below -= set(period_lines.partners_below(partner_id=head, at=at_end))
    rows = CarryBalance.objects.filter(partner_id__in=below, period=period)
    sums = rows.order_by("currency").values("currency").annotate(sum=Sum(F("set_off") - F("carried")))
    day = last_business_day(period)
    total = sum(converted([(day, row["currency"], row["sum"]) for row in sums], currency), ZERO)
    return Money(currency, Currency.of(currency).digits).rounded(total)


def _add_correction(world: World, key: BalanceKey, period: date, step: CarryStep, group: Decimal) -> None:
    """The line that turns the lines of the period into what is payable."""
    parts = [
        (PartCode.GROUP_LOSS, group),
        (PartCode.SET_OFF, -step.set_off),
        (PartCode.CARRIED, step.carried),
        (PartCode.FORGIVEN, step.forgiven),
    ]
    if not any(amount for _, amount in parts):
        return
    own = step.result - group
    line = PeriodFacts(
        kind=LineKind.CARRY_OVER,
        period=period,
        money=Money(key.currency, Currency.of(key.currency).digits),
        quantity=own,
        measure=step.opening - step.lapsed,
        parts=tuple(LinePart(code, amount, amount, key.currency) for code, amount in parts if amount),
    )
    subject = ("partner", world.partner.pk) if key.plan_id is None else ("plan", key.plan_id)
    add_line(world, line, rule_id=None, subject=subject, day=last_business_day(period))


def store_balances(world: World, balances: Iterable[Balance]) -> int:
    """Brings the stored balances of the span to what was computed; how many changed."""
    stored = {
        (row.plan_id, row.currency, row.period): row
        for row in CarryBalance.objects.filter(partner=world.partner, period__gte=world.from_period)
    }
    changed = 0
    kept: set[tuple[int | None, str, date]] = set()
    for balance in balances:
        place = (balance.key.plan_id, balance.key.currency, balance.period)
        kept.add(place)
        row = _row(world, balance)
        known = stored.get(place)
        if known is not None and _same(known, row):
            continue
        changed += 1
        if known is not None:
            row.pk = known.pk
        row.save()
    gone = [row.pk for place, row in stored.items() if place not in kept]
    CarryBalance.objects.filter(pk__in=gone).delete()
    return changed + len(gone)


_COMPARED = ("scope", "opening", "lapsed", "result", "set_off", "carried", "forgiven", "closing", "vintages")


def _row(world: World, balance: Balance) -> CarryBalance:
    step = balance.step
    return CarryBalance(
        partner=world.partner,
        plan_id=balance.key.plan_id,
        period=balance.period,
        scope=balance.terms.scope.value,
        opening=step.opening,
        lapsed=step.lapsed,
        result=step.result,
        set_off=step.set_off,
        carried=step.carried,
        forgiven=step.forgiven,
        closing=step.closing,
        vintages=[[item.period.isoformat(), f"{item.amount:f}"] for item in step.vintages],
        currency=balance.key.currency,
    )


def _same(known: CarryBalance, row: CarryBalance) -> bool:
    return all(getattr(known, name) == getattr(row, name) for name in _COMPARED)
