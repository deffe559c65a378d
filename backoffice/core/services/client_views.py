"""Looking at the portal as a client sees it: to help them, for a quarter of an hour, without being able to do anything.

Only people of the portal can be looked at, never a colleague, and only those whom the viewer may see anyway; desks
register whom that is. The door (`identity_middleware`) refuses every request that could change something, runs each
page in a read-only transaction, and has every page written down here first.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import QuerySet

from backoffice.core.access import authorise, holds, visible_to
from backoffice.core.models import ClientView, User
from backoffice.core.services import audit
from backoffice.core.types import PORTAL_ROLES, Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput, NotFound
from backoffice.kernel.registry import Registry

VIEW_AS_CLIENT = "core.view_as_client"
LONGEST_VIEW = timedelta(minutes=15)
MAX_PATH_LENGTH = 200
MAX_REASON_LENGTH = 500

PortalRows = Callable[[], QuerySet]
_portal_rows: Registry[PortalRows] = Registry("rows of portal people")


def register_viewable(name: str, rows: PortalRows) -> None:
    """Adds what people of the portal are to a desk (its clients, its partners): rows with a `user`, behind the door."""
    _portal_rows.register(name, rows)


def may_view(*, actor: Actor, person: User) -> bool:
    """Whether the actor may look at the portal as this person: in each capacity that the person has, the actor sees them.

    Somebody who is client and partner shows both on the portal, so seeing the client alone is not enough.
    """
    if not holds(actor, VIEW_AS_CLIENT) or person.pk == actor.user_id or not _is_client(person):
        return False
    capacities = [rows().filter(user_id=person.pk) for _, rows in _portal_rows.items()]
    held = [rows for rows in capacities if rows.exists()]
    return bool(held) and all(visible_to(rows, actor).exists() for rows in held)


def start_client_view(*, user_id: int, actor: Actor, reason: str) -> ClientView:
    """Begins a view of at most `LONGEST_VIEW`; one that was open ends.

    Raises NotFound for a login that is no client's or not the actor's to see, InvalidInput without a reason.
    """
    authorise(actor, VIEW_AS_CLIENT)
    reason = reason.strip()[:MAX_REASON_LENGTH]
    if not reason:
        raise InvalidInput("Say why you look at the portal as this client.", field="reason")
    with transaction.atomic():
        staff = User.objects.select_for_update(of=("self",)).get(pk=actor.user_id or 0)
        person = User.objects.filter(pk=user_id).first()
        if person is None or not may_view(actor=actor, person=person):
            raise NotFound("No such client, or it is not yours to see.", user_id=user_id)
        for standing in ClientView.objects.filter(staff=staff, ended_at__isnull=True):
            _end(standing, actor=actor, reason=ClientView.EndReason.REPLACED)
        now = clock.now()
        view = ClientView.objects.create(
            staff=staff, person=person, reason=reason, started_at=now, expires_at=now + LONGEST_VIEW
        )
        _record(view, actor, "core.start_client_view", {"until": view.expires_at.isoformat()})
    return view


def end_client_view(*, view_id: int, actor: Actor) -> None:
    """Ends the actor's own view; ending it twice is ending it once."""
    with transaction.atomic():
        view = ClientView.objects.select_for_update(of=("self",)).filter(pk=view_id, staff_id=actor.user_id).first()
        if view is not None and view.ended_at is None:
            _end(view, actor=actor, reason=ClientView.EndReason.ENDED)


def standing_view(*, view_id: int, actor: Actor) -> ClientView | None:
    """The actor's view if it still stands; one whose time is up, or that is no longer allowed, is ended and gone."""
    view = ClientView.objects.select_related("person").filter(pk=view_id, staff_id=actor.user_id).first()
    if view is None or view.ended_at is not None:
        return None
    if clock.now() >= view.expires_at:
        reason = ClientView.EndReason.EXPIRED
    elif not may_view(actor=actor, person=view.person):
        reason = ClientView.EndReason.REVOKED
    else:
        return view
    with transaction.atomic():
        _end(view, actor=actor, reason=reason)
    return None


def note_page(*, view: ClientView, actor: Actor, path: str, is_refused: bool = False) -> None:
    """Writes down a page that was asked for, before it is shown or refused."""
    action = "core.refuse_in_client_view" if is_refused else "core.see_page_as_client"
    with transaction.atomic():
        _record(view, actor, action, {"path": path[:MAX_PATH_LENGTH]})


def actor_of_view(*, view: ClientView, actor: Actor) -> Actor:
    """Whom the portal shows its pages to: the client, by a name that says who is looking."""
    person = view.person
    return Actor(
        label=f"{actor.label} looking as {person.email}",
        user_id=person.pk,
        roles=frozenset(person.roles) & PORTAL_ROLES,
        entity_ids=frozenset(person.entities.values_list("pk", flat=True)),
    )


def end_expired_views() -> int:
    """Closes the records of views whose time is up and whose viewer has not come back; how many."""
    actor = Actor.system("client views")
    with transaction.atomic():
        due = ClientView.objects.select_for_update(skip_locked=True, of=("self",)).select_related("person")
        expired = list(due.filter(ended_at__isnull=True, expires_at__lte=clock.now())[:1_000])
        for view in expired:
            _end(view, actor=actor, reason=ClientView.EndReason.EXPIRED)
    return len(expired)


def _is_client(person: User) -> bool:
    """A person of the portal and nothing else: who also works here, or is another system, is none."""
    roles = set(person.roles)
    return bool(roles) and roles <= PORTAL_ROLES and person.is_active and not person.is_service


def _end(view: ClientView, *, actor: Actor, reason: str) -> None:
    view.ended_at, view.end_reason = clock.now(), reason
    view.save(update_fields=["ended_at", "end_reason"])
    _record(view, actor, "core.end_client_view", {"ended": str(reason)})


def _record(view: ClientView, actor: Actor, action: str, changes: dict[str, str]) -> None:
    entity_id = view.person.entities.order_by("pk").values_list("pk", flat=True).first()
    audit.record(
        actor=actor, action=action, target=view.person, reason=view.reason, changes=changes, entity_id=entity_id
    )
