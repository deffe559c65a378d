"""Who may see and use the ground: the organisation, the people, the audit trail, the machinery."""

from __future__ import annotations

from django.db.models import Q

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.types import STAFF_ROLES, Actor, Role

ADMINISTRATOR = Role.ADMINISTRATOR.value
AUDITOR = Role.AUDITOR.value
COMPLIANCE = Role.COMPLIANCE.value
OPERATIONS = Role.PLATFORM_OPERATIONS.value


def declare() -> None:
    """Declares the verbs of the ground and whose rows each role sees. Called once, when the process starts."""
    _declare_capabilities()
    _register_scopes()


def _declare_capabilities() -> None:
    declare_capability("core.enter_desk", STAFF_ROLES)
    declare_capability("core.view_organisation", STAFF_ROLES)
    declare_capability("core.manage_organisation", [ADMINISTRATOR])
    declare_capability("core.view_users", [ADMINISTRATOR, AUDITOR, COMPLIANCE])
    declare_capability("core.manage_users", [ADMINISTRATOR])
    declare_capability("core.view_audit", [ADMINISTRATOR, AUDITOR, COMPLIANCE])
    declare_capability("core.view_work", [ADMINISTRATOR, AUDITOR, OPERATIONS])
    declare_capability("core.retry_work", [ADMINISTRATOR, OPERATIONS])


def _register_scopes() -> None:
    register_scope("core.LegalEntity", role_entity_scope("pk", *STAFF_ROLES))
    register_scope("core.Brand", role_entity_scope("entity", *STAFF_ROLES))
    register_scope("core.Team", role_entity_scope("entity", *STAFF_ROLES))
    register_scope("core.TeamMembership", role_entity_scope("team__entity", *STAFF_ROLES))
    register_scope("core.User", _own_login)
    register_scope("core.User", _colleagues)
    register_scope("core.AuditRecord", role_entity_scope("entity", ADMINISTRATOR, AUDITOR, COMPLIANCE))
    register_scope("core.AuditRecord", _acts_of_no_entity)
    # The machinery belongs to no legal entity; its rows carry ids, never names or amounts of clients.
    for label in ("core.AuditSeal", "core.Job", "core.JobRun", "core.OutboxEvent", "core.ProcessHeartbeat"):
        register_scope(label, _machinery)


def _own_login(actor: Actor) -> Q | None:
    return Q(pk=actor.user_id) if actor.user_id else None


def _colleagues(actor: Actor) -> Q | None:
    """People of the actor's entities, for the roles that look after logins."""
    if not actor.has_role(ADMINISTRATOR, AUDITOR, COMPLIANCE) or not actor.entity_ids:
        return None
    # A subquery, not a join: a person of two entities must not appear twice.
    from backoffice.core.models import User

    members = User.entities.through.objects.filter(legalentity__in=actor.entity_ids)
    return Q(pk__in=members.values("user_id"))


def _acts_of_no_entity(actor: Actor) -> Q | None:
    return Q(entity__isnull=True) if actor.has_role(ADMINISTRATOR, AUDITOR) else None


def _machinery(actor: Actor) -> Q | None:
    return Q() if actor.has_role(ADMINISTRATOR, AUDITOR, OPERATIONS) else None
