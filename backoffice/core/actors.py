"""Who acts in a request."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from backoffice.core.models import User
from backoffice.core.types import NOBODY, Actor


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
    """The actor of a request, read once per request; without a login, nobody."""
    known = getattr(request, "_backoffice_actor", None)
    if known is not None:
        return known  # type: ignore[no-any-return]
    user = getattr(request, "user", None)
    actor = actor_of_user(user) if isinstance(user, User) and user.is_authenticated else NOBODY
    request._backoffice_actor = actor
    return actor
