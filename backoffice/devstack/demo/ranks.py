"""The demo's ladder of ranks: conditions, bonuses, the month that ended decided, a rank by hand, a draft with a guard."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from backoffice.core.actors import actor_of_user
from backoffice.core.models import User
from backoffice.core.types import Role
from backoffice.devstack.demo.seed import Seeding
from backoffice.kernel import clock
from ib.models import Partner, PartnerEdge
from ib.rules.periods import period_of, previous_period
from ib.rules.ranks import Condition
from ib.services import agreed_rates, negotiated_rates, plan_drafts, plans, ranks
from ib.services.period_targets import end_of
from ib.types import RuleTerms, VersionTerms


def write_ranks(seeding: Seeding) -> None:
    """Conditions for the ranks, the month that ended, and what people do beside them."""
    seeding.say(
        "ranks: conditions, the month that ended, a rank by hand, a rate for a sub-partner, a draft with a guard"
    )
    plan_id = seeding.groups["plan", "ranks", False]
    # From the beginning of this month on, so that little of what was paid is settled again.
    ended = previous_period(period_of(clock.today_business_day()))
    version = plans.draft_version(plan_id=plan_id, actor=seeding.actor)
    ladder = (
        (
            "silver",
            [Condition("lots", "team", "month", Decimal(15)), Condition("active_clients", "own", "month", Decimal(2))],
            1,
        ),
        ("gold", [Condition("lots", "team", "quarter", Decimal(120))], 2),
    )
    for code, conditions, patience in ladder:
        plan_drafts.set_rank(
            version_id=version.pk, code=code, conditions=conditions, keep_months=patience, actor=seeding.actor
        )
    # Who reaches silver has an amount once, gold one for each month.
    for code, amount, bonus_for in (("silver", 150, "reached"), ("gold", 400, "kept")):
        bonus = RuleTerms(
            basis="rank_bonus",
            rate=Decimal(amount),
            currency="USD",
            component="bonus",
            rank=code,
            bonus_for=bonus_for,
        )
        plans.add_rule(version_id=version.pk, terms=bonus, actor=seeding.actor)
    plans.publish_version(version_id=version.pk, valid_from=end_of(ended), actor=seeding.actor)
    ranks.evaluate_ranks(period=ended, actor=seeding.actor)
    _by_hand(seeding, plan_id)
    _sub_partner_rate()
    draft = plans.draft_version(plan_id=plan_id, actor=seeding.actor)
    guarded = VersionTerms(depth_limit=4, maximum_share_of_revenue=Decimal(60))
    plans.set_version_terms(version_id=draft.pk, terms=guarded, actor=seeding.actor)


def _by_hand(seeding: Seeding, plan_id: int) -> None:
    """A partner on trial, for a month and a half."""
    partner = Partner.objects.filter(agreements__plan_id=plan_id).order_by("-pk").first()
    if partner is not None:
        start = clock.now()
        agreed_rates.give_rank(
            partner_id=partner.pk,
            rank="silver",
            valid_from=start,
            until=start + timedelta(days=45),
            reason="A trial, agreed with the new office",
            actor=seeding.actor,
        )


def _sub_partner_rate() -> None:
    """The demo's own login gives a part of its rate to somebody below."""
    user = User.objects.filter(email="ib@demo.example", roles__contains=[Role.IB.value]).first()
    own = Partner.objects.filter(user=user).first() if user is not None else None
    if user is None or own is None:
        return
    edges = PartnerEdge.objects.filter(parent=own, validity__contains=clock.now()).exclude(child__kind="trader")
    for edge in edges.order_by("child_id")[:1]:
        if negotiated_rates.components_of(own=own, child=edge.child, at=clock.now()):
            negotiated_rates.set_sub_partner_rate(
                partner_id=edge.child_id, allocation_percent=Decimal(60), actor=actor_of_user(user)
            )
