"""Where a partner stands: the rank held, what was reached this month, what is missing to the next rank, and the history."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from ib.models import Partner, PartnerRank, PlanVersion, RankEvaluation
from ib.rules.periods import period_of
from ib.rules.ranks import Missing, RankTerms, condition_text, earned_rank, missing_to_next
from ib.services.rank_rows import rank_at
from ib.services.ranks import candidates_at, figures_of, rank_terms_of

EVALUATIONS_SHOWN = 24


@dataclass(frozen=True, slots=True)
class RankProgress:
    """How a partner stands in a running month. `earned` is what would follow if the month ended now."""

    plan: str
    period: date
    held: str
    held_name: str
    by_hand_until: datetime | None
    is_by_hand: bool
    keep_months: int
    earned: str
    earned_name: str
    next_name: str
    missing: tuple[Missing, ...]
    ranks: tuple[tuple[str, tuple[str, ...]], ...]


def rank_progress(*, actor: Actor, partner: Partner, now: datetime | None = None) -> RankProgress | None:
    """Where the partner stands; None where its plan does not decide on ranks by itself, or it is not the actor's to see."""
    if not visible_to(Partner.objects.all(), actor).filter(pk=partner.pk).exists():
        return None
    at = now or clock.now()
    found = candidates_at(at, [partner.pk])
    if not found:
        return None
    ranks = rank_terms_of(found[0].version_id)
    period = period_of(clock.today_business_day() if now is None else at.date())
    figures = figures_of(found, {found[0].version_id: ranks}, period)[partner.pk]
    standing = rank_at(partner.pk, at)
    held = standing.rank if standing is not None else ""
    names = {rank.code: rank for rank in ranks}
    upper, missing = missing_to_next(ranks, figures, held=held)
    earned = earned_rank(ranks, figures)
    is_by_hand = standing is not None and standing.source == PartnerRank.Source.MANUAL
    return RankProgress(
        plan=PlanVersion.objects.select_related("plan").get(pk=found[0].version_id).plan.name,
        period=period,
        held=held,
        held_name=_name(names, held),
        by_hand_until=standing.validity.upper if is_by_hand and standing is not None else None,
        is_by_hand=is_by_hand,
        keep_months=names[held].keep_months if held in names else 0,
        earned=earned,
        earned_name=_name(names, earned),
        next_name=upper.name if upper is not None else "",
        missing=missing,
        ranks=tuple((rank.name, tuple(condition_text(item) for item in rank.conditions)) for rank in ranks),
    )


def rank_history(*, actor: Actor, partner: Partner) -> list[PartnerRank]:
    """Every rank of the partner, the newest first."""
    return list(visible_to(PartnerRank.objects.filter(partner=partner), actor).order_by("-validity"))


def evaluations_of(*, actor: Actor, partner: Partner, limit: int = EVALUATIONS_SHOWN) -> list[RankEvaluation]:
    """What was decided about the partner's months, the newest first."""
    rows = visible_to(RankEvaluation.objects.filter(partner=partner), actor)
    return list(rows.order_by("-period", "-seq")[:limit])


def _name(names: dict[str, RankTerms], code: str) -> str:
    return names[code].name if code in names else code or "none"
