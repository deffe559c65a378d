"""For whom an actor may decide: one legal entity, or the whole broker."""

from __future__ import annotations

from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel.errors import Denied, NotFound


def stands_for(actor: Actor, entity_id: int | None) -> bool:
    """Whether the actor stands for the entity; for the whole broker (None), for every legal entity there is."""
    if actor.is_system:
        return True
    if entity_id is not None:
        return entity_id in actor.entity_ids
    return not LegalEntity.objects.exclude(pk__in=actor.entity_ids).exists()


def require_stands_for(actor: Actor, entity_id: int | None) -> None:
    """Raises NotFound for an entity that does not exist or is not the actor's, Denied for a broker they see in part."""
    if entity_id is not None and not LegalEntity.objects.filter(pk=entity_id).exists():
        raise NotFound("No such legal entity, or it is not yours to see.", entity_id=entity_id)
    if stands_for(actor, entity_id):
        return
    if entity_id is not None:
        raise NotFound("No such legal entity, or it is not yours to see.", entity_id=entity_id)
    raise Denied("Who sees every legal entity decides for the whole broker; name yours.", code="not_whole_broker")
