"""Two kinds of messages and a person who gets them, for the tests of messages."""

from __future__ import annotations

from typing import Any

from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template, template_definitions
from backoffice.core.models import (
    Message,
)
from backoffice.core.services import consents
from backoffice.core.services.messages import queue_message
from backoffice.core.types import Actor
from crm.models import Client

SYSTEM = Actor.system("test")
SERVICE, NEWS = "test.receipt", "test.news"
SECTION = "<mj-section><mj-column><mj-text>{}</mj-text></mj-column></mj-section>"
if SERVICE not in {each.code for each in template_definitions()}:
    register_template(
        MessageTemplateDefinition(
            code=SERVICE,
            label="Receipt",
            category="service",
            variables={"name": "Anna", "amount": "10.00 EUR", "desk_url": "https://example.com/"},
            must_show=("amount",),
            subject="{{ amount }} received",
            mjml=SECTION.format('Dear {{ name }}, {{ amount }}. <a href="{{ desk_url }}">Look</a>'),
        )
    )
    register_template(
        MessageTemplateDefinition(
            code=NEWS,
            label="News",
            category="marketing",
            variables={"name": "Anna"},
            subject="News for {{ name }}",
            mjml=SECTION.format("Dear {{ name }}"),
        )
    )
VALUES = {"name": "Anna", "amount": "10.00 EUR", "desk_url": "https://example.com/x?a=1&b=2"}


def receipt(person: Client, **changes: Any) -> Message:
    values = {**VALUES, **changes.pop("variables", {})}
    return queue_message(template=SERVICE, to=person.email, variables=values, entity_id=person.entity_id, **changes)


def news(person: Client) -> Message:
    return queue_message(
        template=NEWS,
        to=person.email,
        variables={"name": "Anna"},
        entity_id=person.entity_id,
        recipient_type="crm.client",
        recipient_id=person.pk,
    )


def agree(person: Client, *, is_given: bool = True) -> None:
    consents.record_consent(
        person=person, category="marketing", is_given=is_given, evidence="Ticked the box", actor=SYSTEM
    )


def state_of(message: Message) -> str:
    message.refresh_from_db()
    return message.state
