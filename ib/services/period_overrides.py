"""Overrides on what partners below earned by the period: on top of it by the broker, or out of it by those below.

What is taken back from those below (chargebacks, fraud) is taken off the override in the period in which it is taken back.

Where those below pay, the payer's side is worked out first, once, as a line of the payer's own; the partner above is then
due exactly what that line gave away, in the payer's currency, so that both together come to nothing. It is taken from what
is left after carried losses and never makes a loss: whoever has nothing of that kind gives nothing. Of several above the
nearest one is served first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal

from django.db import connection
from django.db.models import Sum

from backoffice.kernel.currency import Currency
from ib.engine import period_lines
from ib.models import Partner, PeriodLine, PlanRule, PlanVersion
from ib.rules.period_words import LinePart, PeriodFacts
from ib.rules.periods import ZERO, LineKind, Money, PartCode
from ib.services.period_targets import World, add_line, converted, end_of, last_business_day
from ib.services.period_terms import CPA, NET_REVENUE, PER_ACTIVE_CLIENT, PERIOD_BASES, RuleTerms, rules_of

KINDS_OF_BASIS = {
    NET_REVENUE: (LineKind.NET_REVENUE, LineKind.CARRY_OVER),
    CPA: (LineKind.CPA,),
    PER_ACTIVE_CLIENT: (LineKind.ACTIVE_CLIENT,),
}
TAKEN_OF_BASIS = {
    NET_REVENUE: PartCode.NET_REVENUE,
    CPA: PartCode.CPA,
    PER_ACTIVE_CLIENT: PartCode.ACTIVE_CLIENT,
}
SET_UP = ("ib_agreement", "ib_planversion", "ib_partneredge")
"""Sources of marks that speak of who has an override on whom; what clients do changes the payers' own lines first."""
A_MOMENT = timedelta(microseconds=1)

Held = dict[tuple[str, str], Decimal]
"""By basis and currency, what a partner earned of it in a period."""


def add_overrides(world: World) -> None:
    """A line for each override rule and each period that is over: a percentage of what those below were booked."""
    for terms in world.rules:
        if terms.is_override and terms.is_funded_below:
            _add_given(world, terms)
        elif terms.is_override:
            for period in world.ended:
                if terms.binds_at(end_of(period) - A_MOMENT):
                    _add_override(world, terms, period)


def _add_override(world: World, terms: RuleTerms, period: date) -> None:
    below = period_lines.partners_below(
        partner_id=world.partner.pk, at=end_of(period) - A_MOMENT, direct=terms.override_direct
    )
    earned = _taken_back(below, period, TAKEN_OF_BASIS[terms.basis])
    lines = PeriodLine.objects.filter(partner_id__in=below, period=period, kind__in=KINDS_OF_BASIS[terms.basis])
    for partner_id, currency, amount in (
        lines.order_by().values_list("partner_id", "currency").annotate(sum=Sum("amount"))
    ):
        earned[partner_id, currency] += amount
    rows = [(partner_id, currency, amount) for (partner_id, currency), amount in sorted(earned.items()) if amount]
    day = last_business_day(period)
    amounts = converted([(day, currency, amount) for _, currency, amount in rows], terms.money.currency)
    parts = tuple(
        LinePart(PartCode.DOWNLINE, amount, original, currency, subject_id=partner_id)
        for (partner_id, currency, original), amount in zip(rows, amounts, strict=True)
    )
    if parts:
        line = PeriodFacts(
            kind=LineKind.OVERRIDE,
            period=period,
            money=terms.money,
            quantity=sum((part.amount for part in parts), ZERO),
            rate=terms.rate,
            parts=parts,
        )
        add_line(world, line, rule_id=terms.rule_id, subject=("partner", world.partner.pk), day=day)


def _taken_back(below: list[int], period: date, code: PartCode) -> dict[tuple[int, str], Decimal]:
    """By partner and currency, what clawbacks of the period took back of what the rule is an override on: zero or less."""
    found: dict[tuple[int, str], Decimal] = defaultdict(lambda: ZERO)
    newest: dict[tuple[int, int, str], PeriodLine] = {}
    rows = PeriodLine.objects.filter(partner_id__in=below, period=period, kind=LineKind.CLAWBACK)
    for row in rows.order_by("seq").prefetch_related("parts"):
        newest[row.partner_id, row.subject_id, row.currency] = row
    for (partner_id, _, currency), row in newest.items():
        found[partner_id, currency] += sum((part.amount for part in row.parts.all() if part.code == code), ZERO)
    return found


# ------------------------------------------------------------------------------------------------------ paid by those below


def _add_given(world: World, terms: RuleTerms) -> None:
    """A line for each payer and period: what the payer's own line says that it gives away by this rule."""
    rows = PeriodLine.objects.filter(
        kind=LineKind.OVERRIDE_PAID,
        rule_id=terms.rule_id,
        subject_type=PeriodLine.Subject.PARTNER,
        subject_id=world.partner.pk,
        period__gte=world.from_period,
        period__lt=world.current,
    )
    newest: dict[tuple[int, date, str], PeriodLine] = {}
    for row in rows.order_by("seq"):
        newest[row.partner_id, row.period, row.currency] = row
    for (payer_id, period, currency), row in newest.items():
        if row.rate is None:
            continue
        line = PeriodFacts(
            kind=LineKind.OVERRIDE,
            period=period,
            money=Money(currency, row.decimals, row.rounding),
            quantity=row.quantity,
            measure=row.measure,
            rate=row.rate,
            parts=(LinePart(PartCode.DOWNLINE, row.quantity, row.quantity, currency, subject_id=payer_id),),
        )
        add_line(world, line, rule_id=terms.rule_id, subject=("partner", payer_id), day=row.day)


def add_overrides_paid(world: World) -> None:
    """A line for each partner above who has an override at this partner's expense, and each period that is over."""
    if not world.ended or not _somebody_takes():
        return
    known: dict[int, list[RuleTerms]] = {}
    for period in world.ended:
        held = _earned(world, period)
        left, payable = dict(held), _payable(world, period)
        for above_id, depth, terms in _takers(world.partner.pk, period, known) if held else ():
            for basis, currency in held:
                if basis != terms.basis:
                    continue
                room = min(left[basis, currency], payable[currency])
                of = currency, held[basis, currency], room
                given = _give(world, terms, (above_id, depth), period, of)
                left[basis, currency] += given
                payable[currency] += given


def _somebody_takes() -> bool:
    return PlanRule.objects.filter(
        version__state=PlanVersion.State.PUBLISHED, basis__in=PERIOD_BASES, funded_by=PlanRule.FundedBy.DOWNLINE
    ).exists()


def _earned(world: World, period: date) -> Held:
    """What the partner's lines of the period come to, by basis and currency; only what is more than nothing."""
    found: Held = defaultdict(lambda: ZERO)
    for key, line in world.lines.items():
        if key.period == period:
            for basis, kinds in KINDS_OF_BASIS.items():
                if key.kind in kinds:
                    found[basis, key.currency] += line.target
    return {key: amount for key, amount in found.items() if amount > 0}


def _payable(world: World, period: date) -> dict[str, Decimal]:
    """By currency, what the period pays the partner in all, after losses."""
    found: dict[str, Decimal] = defaultdict(lambda: ZERO)
    for key, line in world.lines.items():
        if key.period == period:
            found[key.currency] += line.target
    return {currency: max(amount, ZERO) for currency, amount in found.items()}


def _takers(partner_id: int, period: date, known: dict[int, list[RuleTerms]]) -> Iterator[tuple[int, int, RuleTerms]]:
    """(partner above, how far above, rule) of everybody who has an override at this partner's expense, the nearest first."""
    moment = end_of(period) - A_MOMENT
    for above_id, depth in period_lines.partners_above(partner_id=partner_id, at=moment):
        if above_id not in known:
            rules = rules_of(Partner.objects.get(pk=above_id))
            known[above_id] = [terms for terms in rules if terms.is_override and terms.is_funded_below]
        for terms in known[above_id]:
            if terms.binds_at(moment) and (depth == 1 or not terms.override_direct):
                yield above_id, depth, terms


def _give(
    world: World, terms: RuleTerms, above: tuple[int, int], period: date, of: tuple[str, Decimal, Decimal]
) -> Decimal:
    """Adds the line of what is given away, and returns its amount: zero or less."""
    currency, earned, left = of
    digits = Currency.of(currency).digits
    decimals = digits if terms.stated_decimals is None else min(terms.stated_decimals, digits)
    line = PeriodFacts(
        kind=LineKind.OVERRIDE_PAID,
        period=period,
        money=Money(currency, decimals, terms.money.mode),
        quantity=earned,
        measure=left,
        rate=terms.rate,
        level=above[1],
    )
    day = last_business_day(period)
    return add_line(world, line, rule_id=terms.rule_id, subject=("partner", above[0]), day=day).target


_MARK_PAYERS = """
WITH RECURSIVE edge AS (
    SELECT child_id, parent_id FROM ib_partneredge UNION SELECT child_id, parent_id FROM ib_partneredgeversion
), below AS (
    SELECT child_id AS partner_id FROM edge WHERE parent_id = %(partner)s
    UNION SELECT edge.child_id FROM below JOIN edge ON edge.parent_id = below.partner_id
)
INSERT INTO ib_periodmark (source, partner_id, day, is_spread)
SELECT 'above', payer.partner_id, %(day)s::date, true
FROM (
    SELECT partner_id FROM below
    UNION SELECT partner_id FROM ib_periodline
    WHERE kind = 'override_paid' AND subject_type = 'partner' AND subject_id = %(partner)s
) AS payer
WHERE payer.partner_id <> %(partner)s
  AND EXISTS (SELECT 1 FROM ib_periodline AS line WHERE line.partner_id = payer.partner_id)
  AND (EXISTS (SELECT 1 FROM ib_periodline
               WHERE kind = 'override_paid' AND subject_type = 'partner' AND subject_id = %(partner)s)
       OR EXISTS (SELECT 1 FROM ib_agreement AS agreement
                  JOIN ib_planversion AS version ON version.plan_id = agreement.plan_id AND version.state = 'published'
                  JOIN ib_planrule AS rule ON rule.version_id = version.id AND rule.funded_by = 'downline'
                   AND rule.basis = ANY(%(bases)s)
                  WHERE agreement.partner_id = %(partner)s))
"""


def mark_payers(*, partner_id: int, from_period: date) -> int:
    """Marks everybody who ever stood below and earned by the period, if the partner has overrides at their expense."""
    with connection.cursor() as cursor:
        cursor.execute(_MARK_PAYERS, {"partner": partner_id, "day": from_period, "bases": list(PERIOD_BASES)})
        return int(cursor.rowcount)
