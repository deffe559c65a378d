"""Which partner introduced a client, and from when that counts."""

from __future__ import annotations

from datetime import datetime

from django.apps import apps
from django.db import connection, models, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from ib.locks import limit_waiting
from ib.models import ClientReferral, Partner
from ib.services.shards import days_of_client, enqueue_days
from ib.services.validity import check_moment, cut_off, from_on


@transaction.atomic
def refer_client(
    *, client_id: int, partner_id: int, valid_from: datetime, actor: Actor, reason: str = ""
) -> ClientReferral:
    """The partner counts as the client's introducer from a moment on, until further notice; an earlier one ends then.

    Days since then on which the client traded are settled again. Raises InvalidInput across legal entities.
    """
    authorise(actor, "ib.manage_partners")
    partner = get_visible(Partner.objects.all(), actor, pk=partner_id)
    client = locked_client(client_id, actor)
    if client.entity_id != partner.entity_id:  # type: ignore[attr-defined]
        raise InvalidInput("Client and partner belong to different legal entities.", field="partner_id")
    if partner.status == Partner.Status.CLOSED:
        raise InvalidInput("A closed partner introduces nobody.", field="partner_id", value=partner.pk)
    check_moment(valid_from)
    removed = cut_off(ClientReferral.objects.filter(client_id=client_id), valid_from)
    referral = ClientReferral.objects.create(client_id=client_id, partner=partner, validity=from_on(valid_from))
    _conclude(client, partner.reference, valid_from, removed, actor, reason, cause=f"referral:{referral.pk}")
    return referral


@transaction.atomic
def end_referral(*, client_id: int, valid_from: datetime, actor: Actor, reason: str) -> None:
    """Nobody counts as the client's introducer from a moment on."""
    authorise(actor, "ib.manage_partners")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    check_moment(valid_from)
    client = locked_client(client_id, actor)
    rows = ClientReferral.objects.filter(client_id=client_id)
    get_visible(rows, actor, client_id=client_id)
    removed = cut_off(rows, valid_from)
    _conclude(client, None, valid_from, removed, actor, reason, cause=f"referral_end:{client_id}")


def locked_client(client_id: int, actor: Actor) -> models.Model:
    """The client, if the actor may see it; their referrals wait for each other."""
    limit_waiting()
    client = get_visible(all_clients(), actor, pk=client_id)
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM crm_client WHERE id = %s FOR NO KEY UPDATE", [client_id])
    return client


def all_clients() -> models.QuerySet[models.Model]:
    """All clients. The desk of clients lends its model to a foreign key and not to an import."""
    return apps.get_model("crm", "Client")._default_manager.all()


def _conclude(
    client: models.Model,
    partner: str | None,
    valid_from: datetime,
    removed: list[dict[str, object]],
    actor: Actor,
    reason: str,
    *,
    cause: str,
) -> None:
    enqueue_days(days=days_of_client(client_id=client.pk, since=valid_from), cause=cause, actor=actor)
    audit.record(
        actor=actor,
        action="ib.refer_client",
        target=client,
        reason=reason,
        changes={"partner": partner, "valid_from": valid_from.isoformat(), "replaced": removed},
    )
    outbox.publish(topic="ib.referral_changed", payload={"client_id": client.pk})
