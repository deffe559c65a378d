"""Reads of clients. Every one takes the actor and goes through the access door."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.types import Actor
from crm.models import Client, ClientFact

VIEW_CLIENTS = "crm.view_clients"


def clients(*, actor: Actor) -> QuerySet[Client]:
    """The clients that the actor may see."""
    return visible_to(Client.objects.select_related("entity", "brand", "owner", "team"), actor)


def get_client(*, actor: Actor, client_id: int) -> Client:
    """One client. Raises NotFound for one that does not exist or is not the actor's to see."""
    return get_visible(Client.objects.all(), actor, pk=client_id)


def client_of_user(*, actor: Actor) -> Client | None:
    """The client that the logged-in person is; None for staff and partners who do not trade."""
    return Client.objects.filter(user_id=actor.user_id).first() if actor.user_id else None


def facts_of(*, actor: Actor, client_id: int) -> dict[str, Any]:
    """What the desks wrote down of a client, by name of the fact. Raises NotFound like `get_client`."""
    authorise(actor, VIEW_CLIENTS)
    client = get_client(actor=actor, client_id=client_id)
    return dict(ClientFact.objects.filter(client=client).values_list("fact", "value"))
