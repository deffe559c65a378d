"""Who may see and use the ground: the organisation, the people, the audit trail, the machinery."""

from __future__ import annotations

from django.db.models import CharField, Exists, Q
from django.db.models.functions import Cast

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.models.switches import Switch
from backoffice.core.types import STAFF_ROLES, Actor, Role
from backoffice.core.work.kinds import kinds_of_roles, kinds_of_whole_broker

ADMINISTRATOR = Role.ADMINISTRATOR.value
AUDITOR = Role.AUDITOR.value
COMPLIANCE = Role.COMPLIANCE.value
OPERATIONS = Role.PLATFORM_OPERATIONS.value
DEALING = Role.DEALING.value
FINANCE = Role.FINANCE.value
MARKETING = Role.MARKETING.value
PARTNER_MANAGER = Role.PARTNER_MANAGER.value

# Who may stop a flow, and who may let it go on again. Stopping is given widely: it harms less than what it stops.
SWITCH_HOLDERS: dict[Switch, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Switch.WITHDRAWALS: ((FINANCE, COMPLIANCE, ADMINISTRATOR), (FINANCE, COMPLIANCE, ADMINISTRATOR)),
    Switch.PAYOUTS: (
        (FINANCE, COMPLIANCE, PARTNER_MANAGER, ADMINISTRATOR),
        (FINANCE, COMPLIANCE, ADMINISTRATOR),
    ),
    Switch.HEDGES: ((DEALING, ADMINISTRATOR), (DEALING, ADMINISTRATOR)),
    Switch.SENDS: ((MARKETING, COMPLIANCE, ADMINISTRATOR), (MARKETING, COMPLIANCE, ADMINISTRATOR)),
    Switch.SERVER_PUSHES: ((OPERATIONS, DEALING, ADMINISTRATOR), (OPERATIONS, ADMINISTRATOR)),
}


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
    declare_capability("core.view_api_keys", [ADMINISTRATOR, AUDITOR])
    declare_capability("core.manage_api_keys", [ADMINISTRATOR])
    declare_capability("core.view_webhooks", [ADMINISTRATOR, AUDITOR, OPERATIONS])
    declare_capability("core.manage_webhooks", [ADMINISTRATOR])
    declare_capability("core.read_events", STAFF_ROLES)
    declare_capability("core.view_audit", [ADMINISTRATOR, AUDITOR, COMPLIANCE])
    declare_capability("core.view_work", [ADMINISTRATOR, AUDITOR, OPERATIONS])
    declare_capability("core.retry_work", [ADMINISTRATOR, OPERATIONS])
    declare_capability("core.view_inbox", STAFF_ROLES)
    declare_capability("core.work_on_items", STAFF_ROLES - {AUDITOR})
    declare_capability("core.view_switches", STAFF_ROLES)
    for switch, (stopping, resuming) in SWITCH_HOLDERS.items():
        declare_capability(f"core.stop_{switch.value}", stopping)
        declare_capability(f"core.resume_{switch.value}", resuming)


def _register_scopes() -> None:
    register_scope("core.LegalEntity", role_entity_scope("pk", *STAFF_ROLES))
    register_scope("core.Brand", role_entity_scope("entity", *STAFF_ROLES))
    register_scope("core.Team", role_entity_scope("entity", *STAFF_ROLES))
    register_scope("core.TeamMembership", role_entity_scope("team__entity", *STAFF_ROLES))
    register_scope("core.User", _own_login)
    register_scope("core.User", _colleagues)
    register_scope("core.ApiKey", _keys_of_colleagues)
    for label, path in (
        ("core.WebhookEndpoint", "entity"),
        ("core.WebhookDelivery", "endpoint__entity"),
    ):
        register_scope(label, role_entity_scope(path, ADMINISTRATOR, AUDITOR, OPERATIONS))
    # Which topics of them is decided by the capability that each topic names.
    register_scope("core.PublicEvent", role_entity_scope("entity", *STAFF_ROLES))
    register_scope("core.AuditRecord", role_entity_scope("entity", ADMINISTRATOR, AUDITOR, COMPLIANCE))
    register_scope("core.AuditRecord", _acts_of_no_entity)
    register_scope("core.SwitchStop", role_entity_scope("entity", *STAFF_ROLES))
    register_scope("core.SwitchStop", _of_the_whole_broker)
    register_scope("core.WorkItem", items_of)
    register_scope("core.WorkItemMute", _mutes_of)
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


def _keys_of_colleagues(actor: Actor) -> Q | None:
    """Keys whose owners the actor looks after."""
    if not actor.has_role(ADMINISTRATOR, AUDITOR) or not actor.entity_ids:
        return None
    from backoffice.core.models import User

    members = User.entities.through.objects.filter(legalentity__in=actor.entity_ids)
    return Q(owner__in=members.values("user_id"))


def _acts_of_no_entity(actor: Actor) -> Q | None:
    """Acts that concern the whole broker. What was done to a login concerns the entities of that person alone."""
    if not actor.has_role(ADMINISTRATOR, AUDITOR):
        return None
    of_nobody = Q(entity__isnull=True) & ~Q(object_type="core.user")
    if not actor.entity_ids:
        return of_nobody
    from backoffice.core.models import User

    members = User.entities.through.objects.filter(legalentity__in=actor.entity_ids)
    as_text = members.values_list(Cast("user_id", CharField()), flat=True)
    return of_nobody | Q(entity__isnull=True, object_type="core.user", object_id__in=as_text)


def _of_the_whole_broker(actor: Actor) -> Q | None:
    return Q(entity__isnull=True) if actor.is_staff else None


def items_of(actor: Actor) -> Q | None:
    """Items of the kinds that the actor's roles look after, and those escalated to them, of their legal entities or none.

    Owning an item grants nothing: who loses the role no longer sees it, and the sweep puts it back.
    """
    if not actor.is_staff:
        return None
    from backoffice.core.models import LegalEntity

    theirs = Q(kind__in=kinds_of_roles(actor.roles)) | Q(escalated_roles__overlap=sorted(actor.roles))
    of_nobody = Q(entity__isnull=True)
    if of_all := kinds_of_whole_broker():
        of_nobody &= ~Q(kind__in=of_all) | ~Q(Exists(LegalEntity.objects.exclude(pk__in=actor.entity_ids)))
    return theirs & (Q(entity__in=actor.entity_ids) | of_nobody)


def _mutes_of(actor: Actor) -> Q | None:
    if not actor.is_staff:
        return None
    return Q(kind__in=kinds_of_roles(actor.roles)) & (Q(entity__in=actor.entity_ids) | Q(entity__isnull=True))


def _machinery(actor: Actor) -> Q | None:
    return Q() if actor.has_role(ADMINISTRATOR, AUDITOR, OPERATIONS) else None
