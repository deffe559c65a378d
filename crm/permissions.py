"""Who sees which clients, and who may do what with them. Desks above add scopes (introducing brokers)."""

from __future__ import annotations

from django.db.models import Q

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.models import TeamMembership
from backoffice.core.types import STAFF_ROLES, Actor, Role
from crm.models import ClientUserObjectPermission

VIEW_CLIENT_CODENAME = "view_client"
# These roles work with every client of their legal entities.
ENTITY_WIDE_ROLES = (
    Role.ADMINISTRATOR.value,
    Role.AUDITOR.value,
    Role.COMPLIANCE.value,
    Role.DEALING.value,
    Role.FINANCE.value,
    Role.MARKETING.value,
    Role.PARTNER_MANAGER.value,
    Role.PLATFORM_OPERATIONS.value,
)
# These see the clients they own, and those of the teams they belong to.
TEAM_ROLES = (Role.SALES.value, Role.RETENTION.value)


def declare() -> None:
    """Declares the desk's verbs and scopes. Called once, when the process starts."""
    declare_capability("crm.view_clients", STAFF_ROLES)
    declare_capability("crm.export_client", [Role.ADMINISTRATOR, Role.COMPLIANCE, Role.FINANCE])
    declare_capability("crm.register_client", [Role.SALES, Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR])
    declare_capability("crm.assign_client", [Role.ADMINISTRATOR])
    declare_capability("crm.grant_client_exception", [Role.ADMINISTRATOR, Role.COMPLIANCE])
    # The facts of a client are seen by who sees the client: the same conditions, one relation further.
    for label, path in (("crm.Client", ""), ("crm.ClientFact", "client")):
        register_scope(label, role_entity_scope(_join(path, "entity"), *ENTITY_WIDE_ROLES))
        register_scope(label, _OwnAndTeams(path))
        register_scope(label, _NamedExceptions(path))
        register_scope(label, _OwnSelf(path))


def _join(path: str, name: str) -> str:
    return f"{path}__{name}" if path else name


class _OwnAndTeams:
    """Clients of the actor's entities that the actor owns, or that belong to a team of the actor's."""

    def __init__(self, path: str) -> None:
        self.entity = f"{_join(path, 'entity')}__in"
        self.owner = _join(path, "owner")
        self.team = f"{_join(path, 'team')}__in"

    def __call__(self, actor: Actor) -> Q | None:
        if actor.user_id is None or not actor.has_role(*TEAM_ROLES) or not actor.entity_ids:
            return None
        teams = TeamMembership.objects.filter(user_id=actor.user_id).values("team_id")
        return Q(**{self.entity: actor.entity_ids}) & (Q(**{self.owner: actor.user_id}) | Q(**{self.team: teams}))


class _NamedExceptions:
    """Single clients that were opened to a member of staff by name: one subquery, however many clients there are."""

    def __init__(self, path: str) -> None:
        self.pk = f"{_join(path, 'pk')}__in"
        self.entity = f"{_join(path, 'entity')}__in"

    def __call__(self, actor: Actor) -> Q | None:
        if actor.user_id is None or not actor.is_staff:
            return None
        opened = ClientUserObjectPermission.objects.filter(
            user_id=actor.user_id, permission__codename=VIEW_CLIENT_CODENAME
        )
        single = Q(**{self.pk: opened.values("content_object_id")})
        return single & Q(**{self.entity: actor.entity_ids}) if actor.is_confined else single


class _OwnSelf:
    """A trader sees the client that he is, and nobody else."""

    def __init__(self, path: str) -> None:
        self.user = _join(path, "user")

    def __call__(self, actor: Actor) -> Q | None:
        return Q(**{self.user: actor.user_id}) if actor.has_role(Role.TRADER.value) and actor.user_id else None
