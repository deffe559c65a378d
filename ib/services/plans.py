"""Commission plans: drafted, published from a moment, never changed after; and the agreements that bind partners.

What partners earn hangs on a publication, so a person publishes by a change request (`ib.plan_publication`) that another
person approved.
"""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import ChangeRequest, LegalEntity
from backoffice.core.services import audit, changes, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import exact_decimal
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from ib.locks import limit_waiting, lock_plan_version
from ib.models import Agreement, Plan, PlanRank, PlanRule, PlanTier, PlanVersion, PlanWeight, RankCondition
from ib.rules.terms import check_decimals, check_terms, check_version_terms
from ib.services.partners import locked_partner
from ib.services.validity import check_moment, cut_off, from_on, text_of
from ib.types import RuleTerms, VersionTerms

HIGHEST_WEIGHT = Decimal(1_000)
WEIGHT_DECIMALS = 6

PLAN_PUBLICATION = "ib.plan_publication"
"""The kind of change request that publishes a version."""


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
        copy_of_rules(latest, draft)
    audit.record(
        actor=actor,
        action="ib.draft_plan_version",
        target=draft,
        changes={"number": draft.number},
        entity_id=plan.entity_id,
    )
    return draft


@transaction.atomic
def add_rule(*, version_id: int, terms: RuleTerms, actor: Actor) -> PlanRule:
    """Adds a rule to a draft. Raises InvalidInput, naming the field, for terms that contradict each other.

    A rate of zero is a rule too: it keeps later ones from paying.
    """
    authorise(actor, "ib.manage_plans")
    version = locked_draft(version_id, actor)
    check_terms(terms)
    if terms.rank and not version.ranks.filter(code=terms.rank).exists():
        raise InvalidInput("The version has no rank of that code.", field="rank", value=terms.rank)
    others = list(PlanRule.objects.filter(version=version, component=terms.component))
    if any(selectors_of(other) == selectors_of(terms) for other in others):
        raise Conflict("The component has a rule for exactly that.", code="rule_exists", level=terms.level)
    place = _make_room(others, terms)
    values = {
        field.name: getattr(terms, field.name) for field in fields(terms) if field.name not in {"tiers", "position"}
    }
    values["currency"] = Currency.of(terms.currency).code if terms.currency else ""
    rule = PlanRule.objects.create(version=version, position=place, **values)
    PlanTier.objects.bulk_create([PlanTier(rule=rule, from_value=start, rate=rate) for start, rate in terms.tiers])
    audit.record(
        actor=actor,
        action="ib.add_rule",
        target=version,
        changes={"rule": str(rule)},
        entity_id=version.plan.entity_id,
    )
    return rule


_SELECTORS = [
    "symbol_id",
    "symbol_group_id",
    "account_group_id",
    "account_type_id",
    "country",
    "campaign",
    "dimension",
    "dimension_value",
    "level",
    "rank",
]


def selectors_of(rule: Any) -> tuple[Any, ...]:
    """What a rule applies to; two rules of a component with the same could never both pay."""
    return tuple(getattr(rule, name) or None if name != "level" else rule.level for name in _SELECTORS)


def _closeness(rule: Any) -> tuple[int, int]:
    """How closely a rule selects: a symbol more than a group, and by how many further things."""
    where = 2 if rule.symbol_id is not None else 1 if rule.symbol_group_id is not None else 0
    return where, sum(value is not None for value in selectors_of(rule)[2:])


def _make_room(others: list[PlanRule], terms: RuleTerms) -> int:
    """The position of a rule: the stated one, or before the first that selects less closely; others move up."""
    if terms.position is not None:
        if any(other.position == terms.position for other in others):
            raise Conflict("The component has a rule in that position.", code="position_taken", position=terms.position)
        return terms.position
    later = [other.position for other in others if _closeness(other) < _closeness(terms)]
    if not later:
        return max((other.position for other in others), default=0) + 1
    place = min(later)
    for other in sorted(others, key=lambda item: -item.position):
        if other.position >= place:
            PlanRule.objects.filter(pk=other.pk).update(position=other.position + 1)
    return place


@transaction.atomic
def set_version_terms(*, version_id: int, terms: VersionTerms, actor: Actor) -> PlanVersion:
    """How a draft treats money, and how far up it pays. Raises InvalidInput, naming the field."""
    authorise(actor, "ib.manage_plans")
    version = locked_draft(version_id, actor)
    check_version_terms(terms)
    before = {field.name: getattr(version, field.name) for field in fields(terms)}
    for name in before:
        setattr(version, name, getattr(terms, name))
    version.save(update_fields=list(before))
    changed = {
        name: [str(value), str(getattr(terms, name))] for name, value in before.items() if value != getattr(terms, name)
    }
    audit.record(
        actor=actor, action="ib.set_version_terms", target=version, changes=changed, entity_id=version.plan.entity_id
    )
    return version


@transaction.atomic
def add_rank(*, version_id: int, code: str, name: str, actor: Actor) -> PlanRank:
    """Adds a rank to a draft, above those that it has."""
    authorise(actor, "ib.manage_plans")
    version = locked_draft(version_id, actor)
    if not code.strip() or not name.strip():
        raise InvalidInput("A rank needs a code and a name.", field="name")
    if version.ranks.filter(code=code.strip()).exists():
        raise Conflict("The version has a rank of that code.", code="rank_exists", rank=code)
    rank = PlanRank.objects.create(
        version=version, code=code.strip(), name=name.strip(), position=version.ranks.count() + 1
    )
    audit.record(
        actor=actor, action="ib.add_rank", target=version, changes={"rank": rank.code}, entity_id=version.plan.entity_id
    )
    return rank


@transaction.atomic
def set_weight(
    *,
    version_id: int,
    weight: Decimal,
    actor: Actor,
    symbol_group_id: int | None = None,
    account_group_id: int | None = None,
) -> PlanWeight:
    """By how much volume in a symbol group, or of an account group, counts in a draft."""
    authorise(actor, "ib.manage_plans")
    version = locked_draft(version_id, actor)
    amount = exact_decimal(weight, field="weight")
    if not 0 <= amount <= HIGHEST_WEIGHT or amount != round(amount, WEIGHT_DECIMALS):
        raise InvalidInput(f"A weight lies between 0 and {HIGHEST_WEIGHT}.", field="weight", value=str(weight))
    if (symbol_group_id is None) == (account_group_id is None):
        raise InvalidInput("A weight is of a symbol group or of an account group.", field="symbol_group")
    row, _ = PlanWeight.objects.update_or_create(
        version=version,
        symbol_group_id=symbol_group_id,
        account_group_id=account_group_id,
        defaults={"weight": amount},
    )
    audit.record(
        actor=actor,
        action="ib.set_weight",
        target=version,
        changes={"weight": str(row)},
        entity_id=version.plan.entity_id,
    )
    return row


@transaction.atomic
def remove_rule(*, rule_id: int, actor: Actor) -> None:
    """Takes a rule out of a draft."""
    authorise(actor, "ib.manage_plans")
    rule = visible_to(PlanRule.objects.all(), actor).filter(pk=rule_id).first()
    if rule is None:
        raise NotFound("No such rule, or it is not yours to see.", rule_id=rule_id)
    version = locked_draft(rule.version_id, actor)
    audit.record(
        actor=actor,
        action="ib.remove_rule",
        target=version,
        changes={"rule": str(rule)},
        entity_id=version.plan.entity_id,
    )
    rule.delete()


@transaction.atomic
def publish_version(
    *, version_id: int, valid_from: datetime, actor: Actor, reason: str = "", approval: Any = None
) -> PlanVersion:
    """Makes a draft the plan's valid version from a moment on; earlier versions end then and are never changed otherwise.

    A moment in the past is allowed: the next compilation of the rate card settles exactly the days it touches. *approval*
    is the change request that carries this out; raises Denied (`approval_needed`) for a person without one, and for everybody
    InvalidInput (`version_not_sound`) for a version that cannot mean what it says.
    """
    check_moment(valid_from)
    if approval is not None:
        changes.require_approved(
            approval, kind=PLAN_PUBLICATION, version_id=version_id, valid_from=valid_from.isoformat()
        )
    else:
        authorise(actor, "ib.manage_plans")
        if not actor.is_system:
            raise Denied("Publishing needs a change request that another person approved.", code="approval_needed")
    version = locked_draft(version_id, actor, by=approval)
    if not version.rules.exists():
        raise InvalidInput("A version without rules would pay nobody.", field="version_id", value=version_id)
    check_decimals(reward_currency=version.reward_currency, decimals=version.rounding_decimals)
    require_sound(version)
    ended = write_publication(version=version, valid_from=valid_from, published_by=actor.label)
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


def require_sound(version: PlanVersion) -> None:
    """Raises InvalidInput (`version_not_sound`) for a version that cannot mean what it says."""
    from ib.selectors.plans import unsound_in  # reads plans by what stands here

    unsound = unsound_in(version)
    if unsound:
        raise InvalidInput(
            unsound[0].text, code="version_not_sound", field="rules", found=[item.text for item in unsound]
        )


def write_publication(*, version: PlanVersion, valid_from: datetime, published_by: str) -> list[dict[str, Any]]:
    """Writes the publication, unchecked; which versions it ended. For the use case above and for previews."""
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
    version.published_by = published_by
    version.save(update_fields=["state", "validity", "published_at", "published_by"])
    return ended


def validities_of(plan_id: int) -> list[dict[str, Any]]:
    """The published versions of a plan and when they count, as plain data; those that never counted are left out."""
    found = PlanVersion.objects.filter(plan_id=plan_id, state=PlanVersion.State.PUBLISHED, validity__isempty=False)
    return [
        {
            "version_id": version.pk,
            "from": version.validity.lower.isoformat() if version.validity.lower else None,
            "to": version.validity.upper.isoformat() if version.validity.upper else None,
        }
        for version in found.order_by("number")
    ]


def take_back_publication(
    *, version_id: int, expected: list[dict[str, Any]], before: list[dict[str, Any]], actor: Actor, reason: str
) -> list[int]:
    """Has a published version never count, and what counted before it count again. In the caller's transaction.

    A published version never changes, so what had been cut off is published again: as a new version with the same rules,
    for the time that was taken from it. Returns the numbers of those versions. Raises Conflict when the plan was
    published again since.
    """
    limit_waiting()
    version = lock_plan_version(version_id)
    if version is None or validities_of(version.plan_id) != expected:
        raise Conflict("The plan was published again since; revert that first.", code="moved_on")
    begin = version.validity.lower
    assert begin is not None, "a published version has a beginning"
    version.validity = DateTimeTZRange(empty=True)
    version.save(update_fields=["validity"])
    restored = []
    for row in before:
        end = datetime.fromisoformat(row["to"]) if row["to"] else None
        if row in expected:
            continue
        start = max(datetime.fromisoformat(row["from"]), begin) if row["from"] else begin
        restored.append(_published_copy(row["version_id"], DateTimeTZRange(start, end), actor).number)
    audit.record(
        actor=actor,
        action="ib.take_back_plan_version",
        target=version,
        reason=reason,
        changes={"restored_as": restored},
        entity_id=version.plan.entity_id,
    )
    outbox.publish(topic="ib.plan_published", payload={"plan_version_id": version.pk})
    return restored


def _published_copy(version_id: int, validity: DateTimeTZRange, actor: Actor) -> PlanVersion:
    """A version with the rules of another one, published for a time."""
    origin = PlanVersion.objects.get(pk=version_id)
    latest = PlanVersion.objects.filter(plan_id=origin.plan_id).order_by("-number").first()
    copy = PlanVersion.objects.create(plan_id=origin.plan_id, number=latest.number + 1 if latest else 1)
    copy_of_rules(origin, copy)
    copy.state, copy.validity = PlanVersion.State.PUBLISHED, validity
    copy.published_at, copy.published_by = clock.now(), actor.label
    copy.save(update_fields=["state", "validity", "published_at", "published_by"])
    return copy


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


def copy_of_rules(origin: PlanVersion, copy: PlanVersion) -> None:
    """Everything that a version says: its terms, ranks, weights, rules and their tiers."""
    for name in (field.name for field in fields(VersionTerms)):
        setattr(copy, name, getattr(origin, name))
    copy.save(update_fields=[field.name for field in fields(VersionTerms)])
    for rows in (origin.ranks.all(), origin.weights.all()):
        rows.model._default_manager.bulk_create([_copied(row, version_id=copy.pk) for row in rows])
    ranks = dict(copy.ranks.values_list("code", "pk"))
    RankCondition.objects.bulk_create(
        [
            _copied(condition, rank_id=ranks[rank.code])
            for rank in origin.ranks.prefetch_related("conditions")
            for condition in rank.conditions.all()
        ]
    )
    for rule in origin.rules.prefetch_related("tiers"):
        tiers = list(rule.tiers.all())
        twin = _copied(rule, version_id=copy.pk)
        twin.save(force_insert=True)
        PlanTier.objects.bulk_create([_copied(tier, rule_id=twin.pk) for tier in tiers])


def _copied(row: Any, **changed: Any) -> Any:
    """A new row like another one."""
    values = {
        field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if not field.primary_key
    }
    return type(row)(**(values | changed))


def locked_draft(version_id: int, actor: Actor, *, by: Any = None) -> PlanVersion:
    """The draft, locked. While a change request to publish it is open, only that request touches it."""
    limit_waiting()
    get_visible(PlanVersion.objects.all(), actor, pk=version_id)
    version = lock_plan_version(version_id)
    if version is None:
        raise NotFound("No such plan version.", version_id=version_id)
    if version.state != PlanVersion.State.DRAFT:
        raise IllegalTransition("A published version never changes; draft a new one.", version_id=version_id)
    if by is None:
        waiting = ChangeRequest.objects.filter(
            kind=PLAN_PUBLICATION, target_id=str(version_id), state__in=["submitted", "approved", "failed"]
        ).first()
        if waiting is not None:
            raise Conflict(f"{waiting.reference} asks to publish this draft: withdraw it first.", code="under_review")
    return version
