"""What an actor's inbox shows. Every read goes through the access door."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Q, QuerySet

from backoffice.core.access import visible_to
from backoffice.core.actors import actor_of_user
from backoffice.core.models import User, WorkDelivery, WorkItem
from backoffice.core.services.work_delivery import is_muted_now
from backoffice.core.types import Actor
from backoffice.core.work.kinds import WorkKind, kinds_of_roles, work_kinds
from backoffice.kernel import clock

_not_closed = ~Q(state=WorkItem.State.CLOSED)


class Tab(StrEnum):
    """The three views of the inbox."""

    MINE = "mine"
    DESKS = "desks"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Counts:
    """How much each view holds that is not closed; `muted` are kept out of the first two."""

    mine: int
    desks: int
    overdue: int
    muted: int


def items_for(actor: Actor, tab: Tab) -> QuerySet[WorkItem]:
    """The items of a view. Mine and my desks: not closed, not muted. All: everything the actor may see, closed too."""
    items = visible_to(WorkItem.objects.select_related("owner", "entity"), actor).annotate(is_muted=is_muted_now())
    if tab == Tab.MINE:
        return items.filter(_not_closed, owner=actor.user_id)
    if tab == Tab.DESKS:
        return items.filter(_not_closed, is_muted=False)
    return items


def counts_for(actor: Actor) -> Counts:
    """The figures on the tabs, in two queries."""
    waiting = visible_to(WorkItem.objects.filter(_not_closed), actor)
    audible = waiting.filter(~is_muted_now())
    mine = waiting.filter(owner=actor.user_id).count()
    total = audible.count()
    overdue = audible.filter(due_at__lt=clock.now()).count()
    return Counts(mine=mine, desks=total, overdue=overdue, muted=waiting.filter(is_muted_now()).count())


def badge_count(actor: Actor) -> int:
    """How many items wait for the actor: their own, and those of their desks that nobody has taken. One query."""
    if not actor.is_staff:
        return 0
    waiting = visible_to(WorkItem.objects.filter(_not_closed), actor).filter(~is_muted_now())
    return waiting.filter(Q(owner__isnull=True) | Q(owner=actor.user_id)).order_by().count()


def badge_of_user(user_id: int) -> int:
    """The badge of a person who is not asking just now, for the live stream."""
    user = User.objects.filter(pk=user_id).first()
    return badge_count(actor_of_user(user)) if user is not None else 0


def kinds_for(actor: Actor) -> list[WorkKind]:
    """The kinds that the actor's roles look after."""
    if actor.is_system:
        return work_kinds()
    theirs = set(kinds_of_roles(actor.roles))
    return [kind for kind in work_kinds() if kind.kind in theirs]


def delivery_of(actor: Actor) -> WorkDelivery:
    """How the actor wants to be told; what nobody set is not saved."""
    user_id = actor.user_id or 0
    return WorkDelivery.objects.filter(user=user_id).first() or WorkDelivery(user_id=user_id)
