"""Clients: registering them, giving them to staff, opening them to single colleagues, writing down what is known."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.core.validators import validate_email
from django.db import connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.models import Brand, LegalEntity, Team, User
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import Denied, InvalidInput
from crm import events
from crm.models import Client, ClientUserObjectPermission
from crm.permissions import VIEW_CLIENT_CODENAME

REFERENCE_DIGITS = 6
_COUNTRY = re.compile(r"[A-Z]{2}")


def register_client(
    *,
    entity_id: int,
    brand_id: int,
    full_name: str,
    email: str,
    country: str,
    language: str,
    actor: Actor,
    registered_at: datetime | None = None,
    owner_id: int | None = None,
    team_id: int | None = None,
    user_id: int | None = None,
    stage: str = Client.Stage.REGISTERED,
    referral_code: str = "",
) -> Client:
    """A new client of a legal entity, with the next reference (C-000001).

    *referral_code* is what they came with: it is told on with the registration, for whoever knows codes. Raises InvalidInput for a name, address or country that cannot be, a brand, team or owner of another entity;
    Denied when the entity is not the actor's. `registered_at` is aware.
    """
    authorise(actor, "crm.register_client")
    _check_entity(actor, entity_id)
    _check_particulars(full_name=full_name, email=email, country=country, stage=stage)
    with transaction.atomic():
        _check_belongs(entity_id=entity_id, brand_id=brand_id, team_id=team_id, owner_id=owner_id)
        client = Client.objects.create(
            reference=_next_reference(),
            entity_id=entity_id,
            brand_id=brand_id,
            user_id=user_id,
            full_name=full_name.strip(),
            email=email.strip().lower(),
            country=country,
            language=language,
            stage=stage,
            owner_id=owner_id,
            team_id=team_id,
            registered_at=registered_at,
        )
        audit.record(actor=actor, action="crm.register_client", target=client, changes={"stage": str(stage)})
        told = {"code": referral_code.strip()[:40]} if referral_code.strip() else {}
        outbox.publish(topic=events.CLIENT_REGISTERED, payload={"client_id": client.pk, **told})
    return client


def assign_client(*, client_id: int, owner_id: int | None, team_id: int | None, actor: Actor, reason: str) -> Client:
    """Gives a client to a member of staff and a team. Doing it twice changes nothing the second time."""
    authorise(actor, "crm.assign_client")
    with transaction.atomic():
        client = get_visible(Client.objects.select_for_update(of=("self",)), actor, pk=client_id)
        _check_belongs(entity_id=client.entity_id, brand_id=client.brand_id, team_id=team_id, owner_id=owner_id)
        before = {"owner": client.owner_id, "team": client.team_id}
        after = {"owner": owner_id, "team": team_id}
        if before == after:
            return client
        client.owner_id, client.team_id = owner_id, team_id
        client.save(update_fields=["owner", "team"])
        changes = {name: [before[name], after[name]] for name in before if before[name] != after[name]}
        audit.record(actor=actor, action="crm.assign_client", target=client, reason=reason, changes=changes)
        outbox.publish(topic=events.CLIENT_ASSIGNED, payload={"client_id": client.pk})
    return client


def grant_client_exception(*, client_id: int, user_id: int, actor: Actor, reason: str) -> None:
    """Opens one client to one member of staff, beside what role and team give. Repeating it is a no-op."""
    authorise(actor, "crm.grant_client_exception")
    with transaction.atomic():
        client = get_visible(Client.objects.all(), actor, pk=client_id)
        if user_id == actor.user_id:
            raise Denied("Nobody opens a client to themselves; ask a colleague.")
        user = get_visible(User.objects.all(), actor, pk=user_id)
        if not user.is_staff:
            raise InvalidInput("Clients are opened to staff only.", field="user_id", value=user_id)
        _, created = ClientUserObjectPermission.objects.get_or_create(
            user=user, permission=_view_permission(), content_object=client
        )
        if created:
            changes = {"user_id": user.pk}
            audit.record(
                actor=actor, action="crm.grant_client_exception", target=client, reason=reason, changes=changes
            )


def revoke_client_exception(*, client_id: int, user_id: int, actor: Actor, reason: str) -> None:
    """Takes back what `grant_client_exception` gave. Repeating it is a no-op."""
    authorise(actor, "crm.grant_client_exception")
    with transaction.atomic():
        client = get_visible(Client.objects.all(), actor, pk=client_id)
        granted = ClientUserObjectPermission.objects.filter(
            user_id=user_id, permission=_view_permission(), content_object=client
        )
        if granted.delete()[0]:
            changes = {"user_id": user_id}
            audit.record(
                actor=actor, action="crm.revoke_client_exception", target=client, reason=reason, changes=changes
            )


def write_fact(*, client_id: int, fact: str, value: Any, as_of: datetime) -> None:
    """Writes down what a desk knows of a client (equity, last deposit, …); money as a string. The newest `as_of` wins."""
    if not fact or as_of.tzinfo is None:
        raise InvalidInput("A fact has a name and an aware time.", field="fact", value=fact)
    encoded = DjangoJSONEncoder(allow_nan=False).encode(value)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO crm_clientfact (client_id, fact, value, as_of) VALUES (%s, %s, %s::jsonb, %s)
            ON CONFLICT (client_id, fact) DO UPDATE SET value = excluded.value, as_of = excluded.as_of
            WHERE crm_clientfact.as_of <= excluded.as_of
            """,
            [client_id, fact, encoded, as_of],
        )


def _next_reference() -> str:
    """Numbers are never used twice; one whose registration failed is left out."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('crm_client_reference')")
        return f"C-{cursor.fetchone()[0]:0{REFERENCE_DIGITS}d}"


def _check_entity(actor: Actor, entity_id: int) -> None:
    if not actor.is_system and entity_id not in actor.entity_ids:
        raise Denied("You may register clients only for your own legal entities.", entity_id=entity_id)
    if not LegalEntity.objects.filter(pk=entity_id).exists():
        raise InvalidInput("There is no such legal entity.", field="entity_id", value=entity_id)


def _check_particulars(*, full_name: str, email: str, country: str, stage: str) -> None:
    if not full_name.strip():
        raise InvalidInput("A client has a name.", field="full_name", value=full_name)
    if email:
        try:
            validate_email(email.strip())
        except ValidationError:
            raise InvalidInput("This is not an e-mail address.", field="email") from None
    if country and not _COUNTRY.fullmatch(country):
        raise InvalidInput("A country is written as two capital letters.", field="country", value=country)
    if stage not in Client.Stage.values:
        raise InvalidInput(f"There is no stage {stage}.", field="stage", value=stage)


def _check_belongs(*, entity_id: int, brand_id: int, team_id: int | None, owner_id: int | None) -> None:
    """Brand, team and owner must be of the client's legal entity, whose data are kept apart from every other's."""
    if not Brand.objects.filter(pk=brand_id, entity_id=entity_id).exists():
        raise InvalidInput("The brand is not one of this legal entity.", field="brand_id", value=brand_id)
    if team_id is not None and not Team.objects.filter(pk=team_id, entity_id=entity_id).exists():
        raise InvalidInput("The team is not one of this legal entity.", field="team_id", value=team_id)
    if owner_id is not None:
        owner = User.objects.filter(pk=owner_id, entities=entity_id).first()
        if owner is None or not owner.is_staff:
            raise InvalidInput("The owner does not work for this legal entity.", field="owner_id", value=owner_id)


def _view_permission() -> Permission:
    return Permission.objects.get(content_type__app_label="crm", codename=VIEW_CLIENT_CODENAME)
