"""The partner tree: dated edges, moved from a moment on with everything below.

Who earns what hangs on it, so a person moves a partner by a change request (`ib.tree_move`) that another person approved;
a partner at whom nothing hangs yet is placed directly.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Q

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, changes, outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from ib.locks import limit_waiting, lock_tree
from ib.models import ClientReferral, CommissionLine, NegotiatedRate, Partner, PartnerEdge
from ib.rules import plain
from ib.services.partners import locked_partner
from ib.services.validity import check_moment, cut_off, from_on

TREE_MOVE = "ib.tree_move"
"""The kind of change request that moves a partner."""

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
    *,
    partner_id: int,
    parent_id: int | None,
    valid_from: datetime,
    actor: Actor,
    reason: str = "",
    approval: Any = None,
) -> PartnerEdge | None:
    """Puts a partner, with everybody below, under a parent (or at the top) from a moment on, until further notice.

    A moment in the past is allowed: the next compilation of the rate card settles exactly the days it touches. What had
    been planned for later is removed. *approval* is the change request that carries this out. Raises Conflict
    (`tree_cycle`) when the parent stands below the partner at any time from then on, InvalidInput across legal entities,
    Denied (`approval_needed`) for a person without approval, unless nothing hangs at the partner yet.
    """
    check_moment(valid_from)
    if approval is not None:
        changes.require_approved(
            approval, kind=TREE_MOVE, partner_id=partner_id, parent_id=parent_id, valid_from=valid_from.isoformat()
        )
    else:
        authorise(actor, "ib.manage_partners")
    limit_waiting()
    lock_tree()
    partner = locked_partner(partner_id, actor)
    if approval is None and not actor.is_system and something_hangs_at(partner):
        raise Denied("Moving a partner needs a change request that another person approved.", code="approval_needed")
    parent = get_visible(Partner.objects.all(), actor, pk=parent_id) if parent_id is not None else None
    if parent is not None:
        check_parent(partner, parent, valid_from)
    rates = [_rate_row(rate) for rate in rates_ended_by(partner=partner, parent=parent, valid_from=valid_from)]
    removed, edge = write_placement(partner=partner, parent=parent, valid_from=valid_from)
    audit.record(
        actor=actor,
        action="ib.place_partner",
        target=partner,
        reason=reason,
        changes={
            "parent": parent.reference if parent else None,
            "valid_from": valid_from.isoformat(),
            "replaced": removed,
            **({"rates_ended": rates} if rates else {}),
        },
    )
    outbox.publish(topic="ib.tree_changed", payload={"partner_id": partner.pk})
    return edge


def write_placement(
    *, partner: Partner, parent: Partner | None, valid_from: datetime
) -> tuple[list[dict[str, Any]], PartnerEdge | None]:
    """Writes the edge, unchecked; what was cut off, and the new edge. For the use case above and for previews.

    A rate that a parent gave out of the own one ends where the partner leaves that parent: nobody else promised it.
    """
    for rate in rates_ended_by(partner=partner, parent=parent, valid_from=valid_from):
        cut_off(NegotiatedRate.objects.filter(pk=rate.pk), valid_from)
    removed = cut_off(PartnerEdge.objects.filter(child=partner), valid_from)
    if parent is None:
        return removed, None
    return removed, PartnerEdge.objects.create(child=partner, parent=parent, validity=from_on(valid_from))


def rates_ended_by(*, partner: Partner, parent: Partner | None, valid_from: datetime) -> list[NegotiatedRate]:
    """What another partner than the new parent had given the partner for any time from the moment on."""
    given = NegotiatedRate.objects.filter(partner=partner, set_by__isnull=False).select_related("set_by")
    given = given.filter(Q(validity__endswith__gt=valid_from) | Q(validity__endswith__isnull=True))
    if parent is not None:
        given = given.exclude(set_by=parent)
    return list(given.order_by("component", "validity"))


def rates_given(partner_id: int) -> list[dict[str, Any]]:
    """Every rate that a partner above gave, as plain data: what a move ends and what its reversal restores."""
    given = NegotiatedRate.objects.filter(partner_id=partner_id, set_by__isnull=False)
    return [_rate_row(rate) for rate in given.order_by("component", "validity")]


def restore_rates(*, partner_id: int, expected: list[dict[str, Any]], before: list[dict[str, Any]]) -> None:
    """Puts the rates that partners above gave back to what they were *before*. In the caller's transaction.

    Raises Conflict when they are no longer the *expected* ones, so what was agreed on since the move stays.
    """
    if expected == before:
        return
    if rates_given(partner_id) != expected:
        raise Conflict("A rate was agreed on since the move; end that first.", code="moved_on")
    NegotiatedRate.objects.filter(partner_id=partner_id, set_by__isnull=False).delete()
    for row in before:
        start, end = (datetime.fromisoformat(row[name]) if row[name] else None for name in ("from", "to"))
        NegotiatedRate.objects.create(
            partner_id=partner_id,
            component=row["component"],
            rate=Decimal(row["rate"]) if row["rate"] is not None else None,
            allocation_percent=Decimal(row["percent"]) if row["percent"] is not None else None,
            set_by_id=row["set_by_id"],
            validity=DateTimeTZRange(start, end),
        )


def rate_words(rate: NegotiatedRate) -> str:
    """What a partner was given, in words."""
    how_much = f"{plain(rate.rate)}" if rate.rate is not None else f"{plain(rate.allocation_percent or Decimal(0))} %"
    given_by = f" by {rate.set_by.reference}" if rate.set_by is not None else ""
    return f"{rate.component}: {how_much} given{given_by}"


def _rate_row(rate: NegotiatedRate) -> dict[str, Any]:
    return {
        "component": rate.component,
        "rate": plain(rate.rate) if rate.rate is not None else None,
        "percent": plain(rate.allocation_percent) if rate.allocation_percent is not None else None,
        "set_by_id": rate.set_by_id,
        "from": rate.validity.lower.isoformat() if rate.validity.lower else None,
        "to": rate.validity.upper.isoformat() if rate.validity.upper else None,
    }


def edges_above(partner_id: int) -> list[dict[str, Any]]:
    """Where a partner ever stood, as plain data: what a move changes and what its reversal restores."""
    return [_as_row(edge) for edge in PartnerEdge.objects.filter(child_id=partner_id).order_by("validity")]


def restore_edges(
    *,
    partner_id: int,
    expected: list[dict[str, Any]],
    before: list[dict[str, Any]],
    since: datetime,
    actor: Actor,
    reason: str,
) -> None:
    """Puts the edges above a partner back to what they were *before*. In the caller's transaction.

    Raises Conflict when they are no longer the *expected* ones, or a parent of then can no longer take the partner.
    """
    limit_waiting()
    lock_tree()
    partner = locked_partner(partner_id, actor)
    if edges_above(partner.pk) != expected:
        raise Conflict(f"{partner.reference} was moved again since; revert that first.", code="moved_on")
    kept = [row for row in before if row in expected]
    for edge in PartnerEdge.objects.filter(child=partner).order_by("pk"):
        if _as_row(edge) not in kept:
            edge.delete()
    for row in before:
        if row in kept:
            continue
        parent = Partner.objects.get(pk=row["parent_id"])
        start = datetime.fromisoformat(row["from"]) if row["from"] else None
        end = datetime.fromisoformat(row["to"]) if row["to"] else None
        check_parent(partner, parent, max(start or since, since))
        PartnerEdge.objects.create(child=partner, parent=parent, validity=DateTimeTZRange(start, end))
    audit.record(
        actor=actor,
        action="ib.restore_partner_place",
        target=partner,
        reason=reason,
        changes={"edges": [expected, before]},
    )
    outbox.publish(topic="ib.tree_changed", payload={"partner_id": partner.pk})


def _as_row(edge: PartnerEdge) -> dict[str, Any]:
    return {
        "parent_id": edge.parent_id,
        "from": edge.validity.lower.isoformat() if edge.validity.lower else None,
        "to": edge.validity.upper.isoformat() if edge.validity.upper else None,
    }


def something_hangs_at(partner: Partner) -> bool:
    """Whether the partner ever stood somewhere, has anybody below, introduced a client or earned a line."""
    return (
        PartnerEdge.objects.filter(Q(child=partner) | Q(parent=partner)).exists()
        or ClientReferral.objects.filter(partner=partner).exists()
        or CommissionLine.objects.filter(partner_id=partner.pk).exists()
    )


def check_parent(partner: Partner, parent: Partner, valid_from: datetime) -> None:
    """Raises InvalidInput or Conflict when the parent cannot take the partner from the moment on."""
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
