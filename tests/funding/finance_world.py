"""Two people of finance and what they book, for tests of journals, periods and balances."""

from __future__ import annotations

from backoffice.core.models import ChangeRequest, LegalEntity
from backoffice.core.services import changes
from backoffice.core.types import Actor, Role
from tests.factories.platform import number
from tests.logins import make_actor, make_user


def person(entity: LegalEntity, *roles: str) -> Actor:
    """A person of an entity, finance unless said otherwise, with a login of their own."""
    name = f"person{number()}@house.test"
    return make_actor(make_user(name, *(roles or (Role.FINANCE,)), entities=(entity,)))


def approve(change: ChangeRequest, checker: Actor) -> ChangeRequest:
    """The approval of a request; it is carried out at once."""
    approved = changes.approve_change(change_id=change.pk, actor=checker, reason="looked at it")
    if approved.state == "approved":
        approved = changes.apply_change(change_id=change.pk, actor=checker)
    approved.refresh_from_db()
    return approved
