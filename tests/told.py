"""What other systems hear."""

from __future__ import annotations

from typing import Any

import jsonschema

from backoffice.core.models import PublicEvent
from backoffice.core.services import outbox
from backoffice.core.webhooks.topics import find_public_topic


def told(topic: str) -> list[dict[str, Any]]:
    """The public events of a topic, each checked against its schema; delivered to who registered for them."""
    outbox.deliver_due()
    found = find_public_topic(topic)
    assert found is not None
    events = list(PublicEvent.objects.filter(topic=topic).order_by("id"))
    for event in events:
        jsonschema.Draft202012Validator(found.schema).validate(event.data)
    return [event.data for event in events]
