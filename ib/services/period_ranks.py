"""Bonuses for ranks: an amount for the month that first earns a rank, or for each month that earns or keeps it.

What counts is the decision about a month that stands. A later look that asks for another rank counts once its change
request was carried out; then the bonus follows it, and what was paid for the decision before is taken back.
"""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from backoffice.core.models import ChangeRequest
from ib.models import RankEvaluation
from ib.models.rank_rules import RankOutcome
from ib.rules.period_words import PeriodFacts
from ib.rules.periods import DecidedMonth, LineKind, bonus_months
from ib.services.period_targets import World, add_line, end_of, last_business_day, rate_on
from ib.services.period_terms import RANK_BONUS, RuleTerms

ONCE = "reached"
CARRIED_OUT = ("applied", "verified", "verification_failed")
"""States of a change request whose effect stands."""


def add_rank_bonuses(world: World) -> None:
    """A line for each bonus that a decided month of the span is due."""
    rules = [terms for terms in world.rules if terms.basis == RANK_BONUS]
    if not rules:
        return
    months = decided_months(world.partner.pk)
    for terms in rules:
        for period in bonus_months(months, rank=terms.rank, once=terms.bonus_for == ONCE):
            # By the version that decided: the one in force when the month was over.
            if period in world.ended and terms.binds_at(end_of(period)):
                _add_bonus(world, terms, period)


def decided_months(partner_id: int) -> list[DecidedMonth]:
    """By month the decision that stands. A rank given by hand is no merit: what was earned counts then."""
    rows = list(RankEvaluation.objects.filter(partner_id=partner_id).order_by("period", "seq"))
    asked = [row.change_reference for row in rows if row.outcome == RankOutcome.ASKED and row.change_reference]
    carried_out = set(
        ChangeRequest.objects.filter(reference__in=asked, state__in=CARRIED_OUT).values_list("reference", flat=True)
    )
    found: dict[date, DecidedMonth] = {}
    for row in rows:
        if row.outcome == RankOutcome.ASKED and row.change_reference and row.change_reference not in carried_out:
            continue
        rank = row.earned if row.outcome == RankOutcome.BY_HAND else row.follows
        found[row.period] = DecidedMonth(row.period, rank)
    return list(found.values())


def _add_bonus(world: World, terms: RuleTerms, period: date) -> None:
    day = last_business_day(period)
    fx_rate, fx_date = rate_on(day, terms.currency, terms.money.currency)
    line = PeriodFacts(
        kind=LineKind.RANK_BONUS,
        period=period,
        money=terms.money,
        quantity=Decimal(1),
        rate=terms.rate,
        rate_currency=terms.currency,
        fx_rate=fx_rate,
        fx_date=fx_date,
        earned_at=end_of(period),
    )
    add_line(world, line, rule_id=terms.rule_id, subject=("partner", world.partner.pk), day=day)
