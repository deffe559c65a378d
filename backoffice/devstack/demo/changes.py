"""The demo's change requests, in different states: one waits, one was carried out, one is scheduled, one a policy approved."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

from backoffice.core.actors import actor_of_user
from backoffice.core.models import LegalEntity, User
from backoffice.core.services import changes, users
from backoffice.core.types import Actor, Role
from backoffice.devstack.demo.seed import Seeding
from backoffice.kernel import clock
from ib.models import Partner, PartnerEdge, Plan
from ib.services import plans, requests
from ib.types import RuleTerms
from platform_ops.models import Symbol
from platform_ops.rules.specifications import specification_terms
from platform_ops.services import specifications


def write_changes(seeding: Seeding) -> None:
    """Comes after the history and after the second entity, for symbols belong to both."""
    seeding.say("change requests: waiting, scheduled, carried out, approved by a policy")
    _look_after_both_entities(seeding, Role.PLATFORM_OPERATIONS, Role.COMPLIANCE)
    _a_plan_waits(seeding)
    _a_partner_moved(seeding)
    _a_specification_is_scheduled(seeding)
    _a_policy_acts(seeding)


def _look_after_both_entities(seeding: Seeding, *roles: Role) -> None:
    codes = list(LegalEntity.objects.values_list("code", flat=True))
    for person in User.objects.filter(roles__overlap=[role.value for role in roles], entities=seeding.entity):
        users.change_access(
            user_id=person.pk,
            roles=person.roles,
            entity_codes=codes,
            actor=seeding.actor,
            reason="symbols and policies are common to both entities",
        )


def _person(seeding: Seeding, role: Role) -> Actor:
    return actor_of_user(User.objects.filter(roles__contains=[role.value], entities=seeding.entity).order_by("pk")[0])


def _midnight(days: int) -> datetime:
    return (clock.now() + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)


def _a_plan_waits(seeding: Seeding) -> None:
    manager = _person(seeding, Role.PARTNER_MANAGER)
    plan = Plan.objects.get(entity=seeding.entity, code="standard")
    draft = plans.draft_version(plan_id=plan.pk, actor=manager)
    for rule in draft.rules.filter(symbol_group__code__in=["majors", "metals"], level=1):
        plans.remove_rule(rule_id=rule.pk, actor=manager)
        plans.add_rule(
            version_id=draft.pk,
            terms=RuleTerms(
                symbol_group_id=rule.symbol_group_id,
                level=1,
                rate=rule.rate
                + (Decimal(1) if rule.symbol_group is not None and rule.symbol_group.code == "majors" else Decimal(-1)),
                currency=rule.currency,
                pays_close_by=True,
            ),
            actor=manager,
        )
    requests.request_publication(
        version_id=draft.pk, valid_from=_midnight(3), actor=manager, reason="More for majors, less for metals"
    )


def _a_partner_moved(seeding: Seeding) -> None:
    manager, finance = _person(seeding, Role.PARTNER_MANAGER), _person(seeding, Role.FINANCE)
    moved = PartnerEdge.objects.filter(child__entity=seeding.entity, validity__contains=clock.now()).order_by(
        "child_id"
    )
    edge = moved.filter(child__child_edges__isnull=True).first() or moved.first()
    if edge is None:
        return
    tops = Partner.objects.filter(entity=seeding.entity, parent_edges__isnull=True).exclude(
        pk__in=[edge.child_id, edge.parent_id]
    )
    change = requests.request_move(
        partner_id=edge.child_id,
        parent_id=tops.order_by("pk")[0].pk,
        valid_from=_midnight(-5),
        actor=manager,
        reason="Signed over with the last office, counted from then",
    )
    changes.approve_change(change_id=change.pk, actor=finance, reason="Letter of both partners is on file")
    changes.apply_change(change_id=change.pk, actor=finance)


def _a_specification_is_scheduled(seeding: Seeding) -> None:
    operations, administrator = _person(seeding, Role.PLATFORM_OPERATIONS), _person(seeding, Role.ADMINISTRATOR)
    symbol = Symbol.objects.get(code="XAUUSD")
    at = _midnight(2)
    standing = specifications.specification_at(symbol_id=symbol.pk, moment=at)
    assert standing is not None, "the catalogue specifies every symbol"
    now = specifications.read_specification(specification_terms(standing))
    change = specifications.request_specification(
        symbol_id=symbol.pk,
        specification=replace(now, leverage_maximum=50),
        valid_from=at,
        apply_at=at - timedelta(hours=4),
        actor=operations,
        reason="Lower leverage over the holidays",
    )
    changes.approve_change(change_id=change.pk, actor=administrator, reason="As every year")


def _a_policy_acts(seeding: Seeding) -> None:
    administrator, compliance = _person(seeding, Role.ADMINISTRATOR), _person(seeding, Role.COMPLIANCE)
    policy = changes.request_policy(
        kind=specifications.SPECIFICATION_KIND,
        bounds={"swap_points": "1.5", "spread_points": "2"},
        actor=administrator,
        reason="Weekly swaps need no committee",
    )
    changes.submit_change(change_id=policy.pk, actor=administrator)
    changes.approve_change(change_id=policy.pk, actor=compliance, reason="Within the disclosed limits")
    changes.apply_change(change_id=policy.pk, actor=administrator)
    symbol = Symbol.objects.get(code="EURUSD")
    at = _midnight(1)
    standing = specifications.specification_at(symbol_id=symbol.pk, moment=at)
    assert standing is not None, "the catalogue specifies every symbol"
    now = specifications.read_specification(specification_terms(standing))
    for moved, reason in ((Decimal("-0.6"), "Swaps of the week"), (Decimal(-4), "Swaps of the month, as announced")):
        specifications.request_specification(
            symbol_id=symbol.pk,
            specification=replace(now, swap_long=now.swap_long + moved),
            valid_from=at if moved > -1 else at + timedelta(days=7),
            actor=_person(seeding, Role.PLATFORM_OPERATIONS),
            reason=reason,
        )
