"""The partner tree: dated edges, moved from a moment on with everything below."""

from __future__ import annotations

from datetime import datetime

from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, InvalidInput
from ib.locks import limit_waiting, lock_tree
from ib.models import Partner, PartnerEdge
from ib.services.partners import locked_partner
from ib.services.validity import check_moment, cut_off, from_on

# Everybody who stands above the new parent at any time after the move, by the part of the time they do.
_ABOVE = """
WITH RECURSIVE above AS (
    SELECT %(parent)s::bigint AS partner_id, tstzrange(%(from)s, NULL) AS validity
    UNION
    SELECT edge.parent_id, above.validity * edge.validity
    FROM above JOIN ib_partneredge AS edge ON edge.child_id = above.partner_id AND edge.validity && above.validity
)
SELECT 1 FROM above WHERE partner_id = %(child)s LIMIT 1
"""


@transaction.atomic
def place_partner(
    *, partner_id: int, parent_id: int | None, valid_from: datetime, actor: Actor, reason: str = ""
) -> PartnerEdge | None:
    """Puts a partner, with everybody below, under a parent (or at the top) from a moment on, until further notice.

    A moment in the past is allowed: the next compilation of the rate card settles exactly the days it touches. What had
    been planned for later is removed. Raises Conflict (`tree_cycle`) when the parent stands below the partner at any
    time from then on, InvalidInput across legal entities.
    """
    authorise(actor, "ib.manage_partners")
    check_moment(valid_from)
    limit_waiting()
    lock_tree()
    partner = locked_partner(partner_id, actor)
    parent = get_visible(Partner.objects.all(), actor, pk=parent_id) if parent_id is not None else None
    if parent is not None:
        _check_parent(partner, parent, valid_from)
    removed = cut_off(PartnerEdge.objects.filter(child=partner), valid_from)
    edge = None
    if parent is not None:
        edge = PartnerEdge.objects.create(child=partner, parent=parent, validity=from_on(valid_from))
    audit.record(
        actor=actor,
        action="ib.place_partner",
        target=partner,
        reason=reason,
        changes={
            "parent": parent.reference if parent else None,
            "valid_from": valid_from.isoformat(),
            "replaced": removed,
        },
    )
    outbox.publish(topic="ib.tree_changed", payload={"partner_id": partner.pk})
    return edge


def _check_parent(partner: Partner, parent: Partner, valid_from: datetime) -> None:
    if parent.entity_id != partner.entity_id:
        raise InvalidInput("Parent and partner belong to different legal entities.", field="parent_id", value=parent.pk)
    if parent.status == Partner.Status.CLOSED:
        raise InvalidInput("A closed partner takes nobody under it.", field="parent_id", value=parent.pk)
    with connection.cursor() as cursor:
        cursor.execute(_ABOVE, {"parent": parent.pk, "child": partner.pk, "from": valid_from})
        if cursor.fetchone() is not None:
            raise Conflict(
                f"{parent} stands below {partner}: that would be a circle.",
                code="tree_cycle",
                partner_id=partner.pk,
                parent_id=parent.pk,
            )
