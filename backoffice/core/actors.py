"""Who acts in a request.

This is where the second factor is enforced for every door at once: a staff login whose session has not shown it acts
with no staff role and no legal entity, so that desk, portal and API alike find nothing that it may see or do.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from backoffice.core.identity.second_factor import session_passed_second_factor
from backoffice.core.models import User
from backoffice.core.types import NOBODY, PORTAL_ROLES, Actor


def actor_of_user(user: User) -> Actor:
    """The actor a logged-in person is: roles and legal entities as they stand now. An inactive person is nobody."""
    if not user.is_active:
        return NOBODY
    return Actor(
        label=user.email,
        user_id=user.pk,
        roles=frozenset(user.roles),
        entity_ids=frozenset(user.entities.values_list("pk", flat=True)),
    )


def actor_of(request: HttpRequest | Any) -> Actor:
    """The actor of a request, read once per request; without a login, nobody; staff only with a second factor."""
    known = getattr(request, "_backoffice_actor", None)
    if known is not None:
        return known  # type: ignore[no-any-return]
    user = getattr(request, "user", None)
    # Another system acts through its API keys alone: a session of its login, however it came about, opens nothing.
    is_person = isinstance(user, User) and user.is_authenticated and not user.is_service
    actor = actor_of_user(user) if isinstance(user, User) and is_person else NOBODY
    if user is not None and actor.user_id and actor.is_staff and not session_passed_second_factor(request):
        actor = Actor(label=actor.label, user_id=actor.user_id, roles=actor.roles & PORTAL_ROLES)
    request._backoffice_actor = actor  # type: ignore[union-attr]
    return actor
