"""Editing a draft of a plan: rules are changed and reordered, ranks get conditions, a draft begins as a copy.

A published version never changes: every use case here raises IllegalTransition for one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from django.db import transaction

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import Conflict, InvalidInput, NotFound
from ib.models import PlanRank, PlanRule, PlanTier, PlanVersion, PlanWeight, RankCondition
from ib.rules.ranks import Condition, check_conditions, condition_text
from ib.rules.terms import check_terms
from ib.services.plans import copy_of_rules, draft_version, locked_draft, selectors_of
from ib.types import RuleTerms

OUT_OF_THE_WAY = 1_000_000
"""Added to positions while rows change places, which are unique at every moment."""


@transaction.atomic
def draft_copy(*, version_id: int, actor: Actor) -> PlanVersion:
    """The plan's draft with everything that a version says; what stood in the draft before is gone.

    Raises Conflict for a copy of the draft itself, or while a change request asks to publish the draft.
    """
    authorise(actor, "ib.manage_plans")
    origin = get_visible(PlanVersion.objects.all(), actor, pk=version_id)
    if origin.state == PlanVersion.State.DRAFT:
        raise Conflict("This is the draft itself.", code="is_draft")
    draft = locked_draft(draft_version(plan_id=origin.plan_id, actor=actor).pk, actor)
    PlanTier.objects.filter(rule__version=draft).delete()
    for rows in (draft.rules, draft.ranks, draft.weights):
        rows.all().delete()
    copy_of_rules(origin, draft)
    audit.record(
        actor=actor,
        action="ib.copy_plan_version",
        target=draft,
        changes={"from": origin.number, "to": draft.number},
        entity_id=draft.plan.entity_id,
    )
    return draft


@transaction.atomic
def edit_rule(*, rule_id: int, terms: RuleTerms, actor: Actor) -> PlanRule:
    """Changes everything that a rule of a draft says. Its place stays, unless the component changes or one is stated.

    Raises InvalidInput, naming the field, for terms that contradict each other, Conflict (`rule_exists`) where another
    rule of the component selects exactly the same.
    """
    authorise(actor, "ib.manage_plans")
    rule = _visible_rule(rule_id, actor)
    version = locked_draft(rule.version_id, actor)
    check_terms(terms)
    if terms.rank and not version.ranks.filter(code=terms.rank).exists():
        raise InvalidInput("The version has no rank of that code.", field="rank", value=terms.rank)
    others = list(PlanRule.objects.filter(version=version, component=terms.component).exclude(pk=rule.pk))
    if any(selectors_of(other) == selectors_of(terms) for other in others):
        raise Conflict("The component has a rule for exactly that.", code="rule_exists", level=terms.level)
    before = str(rule)
    taken = {other.position for other in others}
    wanted = terms.position if terms.position is not None else rule.position
    if wanted in taken:
        if terms.position is not None:
            raise Conflict("The component has a rule in that position.", code="position_taken", position=wanted)
        wanted = max(taken) + 1
    for field in fields(terms):
        if field.name not in {"tiers", "position"}:
            setattr(rule, field.name, getattr(terms, field.name))
    rule.position = wanted
    rule.currency = Currency.of(terms.currency).code if terms.currency else ""
    rule.save()
    PlanTier.objects.filter(rule=rule).delete()
    PlanTier.objects.bulk_create([PlanTier(rule=rule, from_value=start, rate=rate) for start, rate in terms.tiers])
    rule = PlanRule.objects.get(pk=rule.pk)
    audit.record(
        actor=actor,
        action="ib.edit_rule",
        target=version,
        changes={"rule": [before, str(rule)]},
        entity_id=version.plan.entity_id,
    )
    return rule


@transaction.atomic
def move_rule(*, rule_id: int, place: int, actor: Actor) -> PlanRule:
    """Puts a rule of a draft in a place of its component, counted from 1; the others make room.

    Raises InvalidInput for a place that the component does not have.
    """
    authorise(actor, "ib.manage_plans")
    rule = _visible_rule(rule_id, actor)
    version = locked_draft(rule.version_id, actor)
    ordered = list(PlanRule.objects.filter(version=version, component=rule.component).order_by("position"))
    if not 1 <= place <= len(ordered):
        raise InvalidInput(f"A place from 1 to {len(ordered)}.", field="place", value=place)
    rest = [other.pk for other in ordered if other.pk != rule.pk]
    rest.insert(place - 1, rule.pk)
    for number, pk in enumerate(rest, start=1):
        PlanRule.objects.filter(pk=pk).update(position=number + OUT_OF_THE_WAY)
    for number, pk in enumerate(rest, start=1):
        PlanRule.objects.filter(pk=pk).update(position=number)
    rule = PlanRule.objects.get(pk=rule.pk)
    audit.record(
        actor=actor,
        action="ib.move_rule",
        target=version,
        changes={"rule": str(rule), "place": place},
        entity_id=version.plan.entity_id,
    )
    return rule


@transaction.atomic
def set_rank(
    *,
    version_id: int,
    code: str,
    actor: Actor,
    name: str = "",
    conditions: Sequence[Condition] = (),
    keep_months: int = 0,
) -> PlanRank:
    """What a rank of a draft is called, what earns it, and for how many months it outlives that.

    Raises NotFound for a rank that the draft does not have, InvalidInput, naming the field.
    """
    authorise(actor, "ib.manage_plans")
    version = locked_draft(version_id, actor)
    rank = version.ranks.filter(code=code).first()
    if rank is None:
        raise NotFound("The version has no rank of that code.", rank=code)
    exact = [
        Condition(
            item.measure,
            item.scope,
            item.window,
            exact_decimal(item.threshold, field="threshold"),
            Currency.of(item.currency).code if item.currency else "",
        )
        for item in conditions
    ]
    check_conditions(exact, keep_months=keep_months)
    rank.name, rank.keep_months = name.strip() or rank.name, keep_months
    rank.save(update_fields=["name", "keep_months"])
    rank.conditions.all().delete()
    RankCondition.objects.bulk_create(
        [
            RankCondition(
                rank=rank,
                measure=item.measure,
                scope=item.scope,
                window=item.window,
                threshold=item.threshold,
                currency=item.currency,
            )
            for item in exact
        ]
    )
    audit.record(
        actor=actor,
        action="ib.set_rank",
        target=version,
        changes={
            "rank": rank.code,
            "conditions": [condition_text(item) for item in exact],
            "keep_months": keep_months,
        },
        entity_id=version.plan.entity_id,
    )
    return rank


@transaction.atomic
def remove_rank(*, version_id: int, code: str, actor: Actor) -> None:
    """Takes a rank out of a draft; those above move down. Raises Conflict (`rank_in_use`) while a rule names it."""
    authorise(actor, "ib.manage_plans")
    version = locked_draft(version_id, actor)
    rank = version.ranks.filter(code=code).first()
    if rank is None:
        raise NotFound("The version has no rank of that code.", rank=code)
    naming = version.rules.filter(rank=code).first()
    if naming is not None:
        raise Conflict(f"A rule names this rank: {naming}.", code="rank_in_use", rank=code)
    rank.delete()
    for number, other in enumerate(version.ranks.order_by("position"), start=1):
        PlanRank.objects.filter(pk=other.pk).update(position=number)
    audit.record(
        actor=actor,
        action="ib.remove_rank",
        target=version,
        changes={"rank": code},
        entity_id=version.plan.entity_id,
    )


@transaction.atomic
def move_rank(*, version_id: int, code: str, place: int, actor: Actor) -> PlanRank:
    """Puts a rank of a draft in a place, counted from the lowest. Raises InvalidInput for a place that is not there."""
    authorise(actor, "ib.manage_plans")
    version = locked_draft(version_id, actor)
    ordered = list(version.ranks.order_by("position"))
    rank = next((item for item in ordered if item.code == code), None)
    if rank is None:
        raise NotFound("The version has no rank of that code.", rank=code)
    if not 1 <= place <= len(ordered):
        raise InvalidInput(f"A place from 1 to {len(ordered)}.", field="place", value=place)
    rest = [item for item in ordered if item.pk != rank.pk]
    rest.insert(place - 1, rank)
    for offset in (1_000, 0):
        for number, item in enumerate(rest, start=1):
            PlanRank.objects.filter(pk=item.pk).update(position=number + offset)
    audit.record(
        actor=actor,
        action="ib.move_rank",
        target=version,
        changes={"rank": code, "place": place},
        entity_id=version.plan.entity_id,
    )
    return PlanRank.objects.get(pk=rank.pk)


@transaction.atomic
def remove_weight(*, weight_id: int, actor: Actor) -> None:
    """Takes a weight out of a draft: volume counts whole again."""
    authorise(actor, "ib.manage_plans")
    weight = visible_to(PlanWeight.objects.all(), actor).filter(pk=weight_id).first()
    if weight is None:
        raise NotFound("No such weight, or it is not yours to see.", weight_id=weight_id)
    version = locked_draft(weight.version_id, actor)
    audit.record(
        actor=actor,
        action="ib.remove_weight",
        target=version,
        changes={"weight": str(weight)},
        entity_id=version.plan.entity_id,
    )
    weight.delete()


def _visible_rule(rule_id: int, actor: Actor) -> PlanRule:
    rule = visible_to(PlanRule.objects.all(), actor).filter(pk=rule_id).first()
    if rule is None:
        raise NotFound("No such rule, or it is not yours to see.", rule_id=rule_id)
    return rule
