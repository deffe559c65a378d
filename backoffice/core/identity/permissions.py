"""Who may see sign-ins and sessions, run the leaver procedure, review access, and look at the portal as a client."""

from __future__ import annotations

from django.db.models import Q

from backoffice.core.access import declare_capability, register_scope
from backoffice.core.types import Actor, Role

ADMINISTRATOR = Role.ADMINISTRATOR.value
AUDITOR = Role.AUDITOR.value
COMPLIANCE = Role.COMPLIANCE.value
DEALING = Role.DEALING.value


def declare() -> None:
    """Declares the verbs and scopes of identity. Called once, when the process starts."""
    declare_capability("core.view_login_events", [ADMINISTRATOR, AUDITOR, COMPLIANCE])
    declare_capability("core.compare_logins", [ADMINISTRATOR, AUDITOR, COMPLIANCE, DEALING])
    declare_capability("core.run_leaver", [ADMINISTRATOR])
    declare_capability("core.view_leavers", [ADMINISTRATOR, AUDITOR, COMPLIANCE])
    declare_capability("core.review_access", [ADMINISTRATOR, AUDITOR, COMPLIANCE])
    declare_capability("core.sign_access_review", [ADMINISTRATOR, AUDITOR, COMPLIANCE])
    declare_capability(
        "core.view_as_client",
        [ADMINISTRATOR, COMPLIANCE, Role.SALES, Role.RETENTION, Role.PARTNER_MANAGER],
    )
    # A sign-in, a session or a departure is seen by who sees the person; a review by who sees all it covers.
    for label, path in (
        ("core.LoginEvent", "user"),
        ("core.UserSession", "user"),
        ("core.LeaverRecord", "user"),
        ("core.ClientView", "staff"),
    ):
        register_scope(label, _OfColleagues(path))
    register_scope("core.LoginEvent", _of_nobody_known)
    register_scope("core.AccessReview", _own_entities_only)


class _OfColleagues:
    """Rows about people of the actor's entities, for the roles that look after logins."""

    def __init__(self, path: str) -> None:
        self.user = f"{path}_id__in"

    def __call__(self, actor: Actor) -> Q | None:
        if not actor.has_role(ADMINISTRATOR, AUDITOR, COMPLIANCE) or not actor.entity_ids:
            return None
        from backoffice.core.models import User

        members = User.entities.through.objects.filter(legalentity__in=actor.entity_ids)
        return Q(**{self.user: members.values("user_id")})


def _of_nobody_known(actor: Actor) -> Q | None:
    """Attempts under addresses that are nobody's login."""
    return Q(user__isnull=True) if actor.has_role(ADMINISTRATOR, AUDITOR) else None


def _own_entities_only(actor: Actor) -> Q | None:
    if not actor.has_role(ADMINISTRATOR, AUDITOR, COMPLIANCE) or not actor.entity_ids:
        return None
    return Q(entity_ids__contained_by=sorted(actor.entity_ids))
