"""Who sees change requests and approval policies. Denied by default: a kind is seen by who may make or check it."""

from __future__ import annotations

from django.db.models import Q

from backoffice.core.access import declare_capability, holds, register_scope
from backoffice.core.changes.kinds import ChangeKind, change_kinds
from backoffice.core.organisation.scope import stands_for
from backoffice.core.types import STAFF_ROLES, Actor, Role

VIEW_CHANGES = "core.view_changes"
VIEW_EVERY_CHANGE = "core.view_every_change"
VIEW_POLICIES = "core.view_approval_policies"
MAKE_POLICIES = "core.make_approval_policies"
CHECK_POLICIES = "core.check_approval_policies"

_OVERSEERS = (Role.ADMINISTRATOR, Role.AUDITOR, Role.COMPLIANCE)


def declare() -> None:
    """Declares the verbs and the scopes. Called once, when the process starts."""
    declare_capability(VIEW_CHANGES, STAFF_ROLES)
    declare_capability(VIEW_EVERY_CHANGE, _OVERSEERS)
    declare_capability(VIEW_POLICIES, STAFF_ROLES)
    declare_capability(MAKE_POLICIES, (Role.ADMINISTRATOR,))
    declare_capability(CHECK_POLICIES, (Role.ADMINISTRATOR, Role.COMPLIANCE))
    register_scope("core.ChangeRequest", changes_of)
    register_scope("core.ApprovalPolicy", _policies_of)


def may_see_kind(actor: Actor, kind: ChangeKind) -> bool:
    """Whether requests of the kind are the actor's business: they oversee all, or may make or check it."""
    return (
        holds(actor, VIEW_EVERY_CHANGE)
        or holds(actor, kind.maker_capability)
        or holds(actor, kind.checker_capability)
        or holds(actor, kind.who_reverts)
    )


def changes_of(actor: Actor) -> Q | None:
    """Requests of the kinds that are the actor's business, of their legal entities.

    A request for the whole broker speaks of every entity, so it is for those who see them all.
    """
    if not actor.is_staff or not holds(actor, VIEW_CHANGES):
        return None
    of_entities = _of_entities(actor)
    if of_entities is None or holds(actor, VIEW_EVERY_CHANGE):
        return of_entities
    return of_entities & Q(kind__in=[kind.kind for kind in change_kinds() if may_see_kind(actor, kind)])


def _policies_of(actor: Actor) -> Q | None:
    if not actor.is_staff or not holds(actor, VIEW_POLICIES):
        return None
    of_entities = _of_entities(actor)
    if of_entities is None or holds(actor, VIEW_EVERY_CHANGE):
        return of_entities
    return of_entities & Q(kind__in=[kind.kind for kind in change_kinds() if may_see_kind(actor, kind)])


def _of_entities(actor: Actor) -> Q | None:
    if not actor.entity_ids:
        return None
    theirs = Q(entity__in=actor.entity_ids)
    return theirs | Q(entity__isnull=True) if stands_for(actor, None) else theirs
