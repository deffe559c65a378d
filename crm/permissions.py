"""Who may see and use clients.

Sales and retention see the clients they own and, as a team's lead, the whole team's; other staff see those of their
legal entities where their work needs it; a trader sees their own record. A named exception is a row of guardian's
direct table. Desks above add their scopes (introducing brokers, partner managers).
"""

from __future__ import annotations

from django.db.models import Q

from backoffice.core.access import declare_capability, register_scope, role_entity_scope
from backoffice.core.models import TeamMembership
from backoffice.core.types import STAFF_ROLES, Actor, Role
from crm.models import ClientUserObjectPermission

WHOLE_ENTITY_ROLES = (
    Role.ADMINISTRATOR.value,
    Role.AUDITOR.value,
    Role.COMPLIANCE.value,
    Role.DEALING.value,
    Role.FINANCE.value,
    Role.PLATFORM_OPERATIONS.value,
)
OWNING_ROLES = (Role.SALES.value, Role.RETENTION.value)
VIEW_PERMISSION = "view_client"


def declare() -> None:
    """Declares the verbs of the desk and whose clients each role sees. Called once, when the process starts."""
    declare_capability("crm.view_client", STAFF_ROLES - {Role.MARKETING.value})
    declare_capability("crm.export_client", [Role.ADMINISTRATOR, Role.COMPLIANCE, Role.FINANCE])
    declare_capability("crm.register_client", [Role.SALES, Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR])
    register_scope("crm.Client", role_entity_scope("entity", *WHOLE_ENTITY_ROLES))
    register_scope("crm.Client", _own_and_led)
    register_scope("crm.Client", _named_exceptions)
    register_scope("crm.Client", _own_record)


def _own_and_led(actor: Actor) -> Q | None:
    if not actor.has_role(*OWNING_ROLES) or not actor.entity_ids:
        return None
    led = TeamMembership.objects.filter(user_id=actor.user_id, is_lead=True).values("team_id")
    return (Q(owner_id=actor.user_id) | Q(team_id__in=led)) & Q(entity__in=actor.entity_ids)


def _named_exceptions(actor: Actor) -> Q | None:
    if not actor.is_staff:
        return None
    named = ClientUserObjectPermission.objects.filter(user_id=actor.user_id, permission__codename=VIEW_PERMISSION)
    return Q(pk__in=named.values("content_object_id"))


def _own_record(actor: Actor) -> Q | None:
    return Q(user_id=actor.user_id) if actor.has_role(Role.TRADER.value) else None
