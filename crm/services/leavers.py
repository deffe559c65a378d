"""What the client desk does when a colleague leaves: clients get a new owner, named exceptions are taken back."""

from __future__ import annotations

from typing import Any

from backoffice.core.models import User
from backoffice.core.services import outbox
from backoffice.core.services.leavers import LeaverDuty, register_leaver_duty
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from crm import events
from crm.models import Client, ClientUserObjectPermission

MAX_CLIENTS_AT_ONCE = 20_000


def register() -> None:
    """Adds the desk's duties. Called once, when the process starts."""
    register_leaver_duty(
        LeaverDuty("clients", "Clients go to the successor", lambda user: user.owned_clients.count(), _hand_over, True)
    )
    register_leaver_duty(
        LeaverDuty(
            "client_exceptions",
            "Clients opened by name are closed",
            lambda user: ClientUserObjectPermission.objects.filter(user=user).count(),
            _take_back,
        )
    )


def _hand_over(user: User, successor: User | None, actor: Actor, reason: str) -> dict[str, Any]:
    """Gives every client of the leaver's to the successor, who must work for the clients' legal entities."""
    owned = Client.objects.select_for_update(of=("self",)).filter(owner=user).order_by("pk")
    clients = list(owned.values_list("pk", "entity_id", "reference")[: MAX_CLIENTS_AT_ONCE + 1])
    if len(clients) > MAX_CLIENTS_AT_ONCE:
        raise InvalidInput(f"More than {MAX_CLIENTS_AT_ONCE:,} clients: hand some over first.", field="successor")
    if not clients:
        return {"handed_over": 0}
    if successor is None:
        raise InvalidInput("Somebody must take over the clients.", field="successor")
    served = set(successor.entities.values_list("pk", flat=True))
    if not {entity_id for _, entity_id, _ in clients} <= served:
        raise InvalidInput("The successor does not work for every client's legal entity.", field="successor")
    numbers = [pk for pk, _, _ in clients]
    Client.objects.filter(pk__in=numbers).update(owner=successor)
    for number in numbers:
        outbox.publish(topic=events.CLIENT_ASSIGNED, payload={"client_id": number})
    return {"handed_over": len(clients), "clients": [reference for _, _, reference in clients]}


def _take_back(user: User, successor: User | None, actor: Actor, reason: str) -> dict[str, Any]:
    exceptions = ClientUserObjectPermission.objects.filter(user=user).select_related("content_object")
    references = sorted(exception.content_object.reference for exception in exceptions)
    ClientUserObjectPermission.objects.filter(user=user).delete()
    return {"closed": references}


def exceptions_of(user_ids: list[int]) -> dict[int, int]:
    """How many clients are opened by name to each of the logins; for the access review."""
    found: dict[int, int] = {}
    for user_id in ClientUserObjectPermission.objects.filter(user_id__in=user_ids).values_list("user_id", flat=True):
        found[user_id] = found.get(user_id, 0) + 1
    return found
