"""Commission plans: drafted, published from a moment, never changed after; and the agreements that bind partners."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import Conflict, IllegalTransition, InvalidInput, NotFound
from ib.locks import limit_waiting, lock_plan_version
from ib.models import Agreement, Plan, PlanRule, PlanVersion
from ib.services.partners import locked_partner
from ib.services.validity import check_moment, cut_off, from_on, text_of

AMOUNT_DECIMALS = 8
HIGHEST_AMOUNT_PER_LOT = Decimal(1_000_000)
DEEPEST_LEVEL = 100


@transaction.atomic
def create_plan(*, entity_id: int, code: str, name: str, actor: Actor) -> Plan:
    """A new plan with an empty first draft."""
    authorise(actor, "ib.manage_plans")
    entity = get_visible(LegalEntity.objects.all(), actor, pk=entity_id)
    if not code.strip() or not name.strip():
        raise InvalidInput("A plan needs a code and a name.", field="name")
    if Plan.objects.filter(entity=entity, code=code).exists():
        raise Conflict("A plan of that code exists.", code="plan_exists", plan=code)
    plan = Plan.objects.create(entity=entity, code=code.strip(), name=name.strip())
    PlanVersion.objects.create(plan=plan, number=1)
    audit.record(actor=actor, action="ib.create_plan", target=plan, changes={"code": plan.code, "name": plan.name})
    return plan


@transaction.atomic
def draft_version(*, plan_id: int, actor: Actor) -> PlanVersion:
    """The plan's draft: the one that exists, or a new one with the rules of the latest version."""
    authorise(actor, "ib.manage_plans")
    limit_waiting()
    plan = get_visible(Plan.objects.all(), actor, pk=plan_id)
    Plan.objects.select_for_update().get(pk=plan.pk)
    latest = PlanVersion.objects.filter(plan=plan).order_by("-number").first()
    if latest is not None and latest.state == PlanVersion.State.DRAFT:
        return latest
    draft = PlanVersion.objects.create(plan=plan, number=latest.number + 1 if latest else 1)
    if latest is not None:
        PlanRule.objects.bulk_create(
            [
                PlanRule(
                    version=draft,
                    kind=rule.kind,
                    symbol_group_id=rule.symbol_group_id,
                    level=rule.level,
                    amount_per_lot=rule.amount_per_lot,
                    currency=rule.currency,
                )
                for rule in latest.rules.all()
            ]
        )
    audit.record(
        actor=actor,
        action="ib.draft_plan_version",
        target=draft,
        changes={"number": draft.number},
        entity_id=plan.entity_id,
    )
    return draft


@transaction.atomic
def add_rule(
    *,
    version_id: int,
    symbol_group_id: int | None,
    level: int,
    amount_per_lot: Decimal,
    currency: str,
    actor: Actor,
) -> PlanRule:
    """Adds a rule to a draft: an amount per lot for a symbol group (None: every group) and a level.

    An amount of zero is a rule too: it keeps a more general one from paying.
    """
    authorise(actor, "ib.manage_plans")
    version = _locked_draft(version_id, actor)
    amount = exact_decimal(amount_per_lot, field="amount_per_lot")
    if not 0 <= amount <= HIGHEST_AMOUNT_PER_LOT or amount != round(amount, AMOUNT_DECIMALS):
        raise InvalidInput(
            f"The amount must lie between 0 and {HIGHEST_AMOUNT_PER_LOT}, with at most {AMOUNT_DECIMALS} decimals.",
            field="amount_per_lot",
            value=str(amount),
        )
    if not 1 <= level <= DEEPEST_LEVEL:
        raise InvalidInput(f"The level must lie between 1 and {DEEPEST_LEVEL}.", field="level", value=level)
    if PlanRule.objects.filter(version=version, level=level, symbol_group_id=symbol_group_id).exists():
        raise Conflict("The version has a rule for that group and level.", code="rule_exists", level=level)
    rule = PlanRule.objects.create(
        version=version,
        symbol_group_id=symbol_group_id,
        level=level,
        amount_per_lot=amount,
        currency=Currency.of(currency).code,
    )
    audit.record(
        actor=actor,
        action="ib.add_rule",
        target=version,
        changes={"rule": str(rule)},
        entity_id=version.plan.entity_id,
    )
    return rule


@transaction.atomic
def remove_rule(*, rule_id: int, actor: Actor) -> None:
    """Takes a rule out of a draft."""
    authorise(actor, "ib.manage_plans")
    rule = visible_to(PlanRule.objects.all(), actor).filter(pk=rule_id).first()
    if rule is None:
        raise NotFound("No such rule, or it is not yours to see.", rule_id=rule_id)
    version = _locked_draft(rule.version_id, actor)
    audit.record(
        actor=actor,
        action="ib.remove_rule",
        target=version,
        changes={"rule": str(rule)},
        entity_id=version.plan.entity_id,
    )
    rule.delete()


@transaction.atomic
def publish_version(*, version_id: int, valid_from: datetime, actor: Actor, reason: str = "") -> PlanVersion:
    """Makes a draft the plan's valid version from a moment on; earlier versions end then and are never changed otherwise.

    A moment in the past is allowed: the next compilation of the rate card settles exactly the days it touches.
    """
    authorise(actor, "ib.manage_plans")
    check_moment(valid_from)
    version = _locked_draft(version_id, actor)
    if not version.rules.exists():
        raise InvalidInput("A version without rules would pay nobody.", field="version_id", value=version_id)
    ended = []
    for earlier in PlanVersion.objects.filter(
        plan_id=version.plan_id, state=PlanVersion.State.PUBLISHED, validity__isempty=False
    ):
        if earlier.validity.upper is not None and earlier.validity.upper <= valid_from:
            continue
        ended.append({"version": earlier.number, "was": text_of(earlier.validity)})
        begun = earlier.validity.lower is not None and earlier.validity.lower < valid_from
        earlier.validity = DateTimeTZRange(earlier.validity.lower, valid_from) if begun else DateTimeTZRange(empty=True)
        earlier.save(update_fields=["validity"])
    version.state = PlanVersion.State.PUBLISHED
    version.validity = from_on(valid_from)
    version.published_at = clock.now()
    version.published_by = actor.label
    version.save(update_fields=["state", "validity", "published_at", "published_by"])
    audit.record(
        actor=actor,
        action="ib.publish_plan_version",
        target=version,
        reason=reason,
        changes={
            "valid_from": valid_from.isoformat(),
            "ended": ended,
            "rules": [str(rule) for rule in version.rules.all()],
        },
        entity_id=version.plan.entity_id,
    )
    outbox.publish(topic="ib.plan_published", payload={"plan_version_id": version.pk})
    return version


@transaction.atomic
def sign_agreement(*, partner_id: int, plan_id: int, valid_from: datetime, actor: Actor, reason: str = "") -> Agreement:
    """Binds a partner to a plan from a moment on, until further notice; an earlier agreement ends then."""
    authorise(actor, "ib.manage_partners")
    check_moment(valid_from)
    partner = locked_partner(partner_id, actor)
    plan = get_visible(Plan.objects.all(), actor, pk=plan_id)
    if plan.entity_id != partner.entity_id:
        raise InvalidInput("Plan and partner belong to different legal entities.", field="plan_id", value=plan_id)
    removed = cut_off(Agreement.objects.filter(partner=partner), valid_from)
    agreement = Agreement.objects.create(partner=partner, plan=plan, validity=from_on(valid_from))
    audit.record(
        actor=actor,
        action="ib.sign_agreement",
        target=partner,
        reason=reason,
        changes={"plan": plan.code, "valid_from": valid_from.isoformat(), "replaced": removed},
    )
    outbox.publish(topic="ib.agreement_signed", payload={"agreement_id": agreement.pk})
    return agreement


def _locked_draft(version_id: int, actor: Actor) -> PlanVersion:
    limit_waiting()
    get_visible(PlanVersion.objects.all(), actor, pk=version_id)
    version = lock_plan_version(version_id)
    if version is None:
        raise NotFound("No such plan version.", version_id=version_id)
    if version.state != PlanVersion.State.DRAFT:
        raise IllegalTransition("A published version never changes; draft a new one.", version_id=version_id)
    return version
