"""Writing to clients: the message takes its address, brand, language and person from the client."""

from __future__ import annotations

from collections.abc import Mapping

from backoffice.core.models import Message
from backoffice.core.services.messages import queue_message
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from crm.selectors import get_client


def write_to_client(
    *, client_id: int, template: str, variables: Mapping[str, object], actor: Actor, dedupe_key: str = ""
) -> Message:
    """Queues a message to a client that the actor sees. `name` is filled in. Raises InvalidInput without an address."""
    client = get_client(actor=actor, client_id=client_id)
    if not client.email:
        raise InvalidInput("The client has no mail address.", field="to", code="no_address")
    return queue_message(
        template=template,
        to=client.email,
        variables={"name": client.full_name, **variables},
        entity_id=client.entity_id,
        brand_id=client.brand_id,
        language=client.language,
        recipient_type="crm.client",
        recipient_id=client.pk,
        dedupe_key=dedupe_key,
    )
