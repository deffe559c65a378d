"""Messages to people: queued in the transaction of what happened, sent afterwards by a job.

    queue_message(template="core.password_reset", to=user.email, variables={"reset_url": url},
                  entity_id=entity.pk, language=user.language, recipient_type="core.user", recipient_id=user.pk)

Nothing here opens a network connection; `services.message_delivery` does. Whether a message is wanted (suppression,
consent) is asked when it is sent, not when it is queued: people change their minds in between.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.messages.kinds import check_variables, template_definition
from backoffice.core.models import Brand, Message, MessageCategory
from backoffice.core.services import audit, jobs
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from backoffice.kernel.ids import uuid7

SEND_JOB_KIND = "core.send_message"
MAX_KEY_LENGTH = 200
EMAIL = "email"


def queue_message(
    *,
    template: str,
    to: str,
    variables: Mapping[str, object],
    entity_id: int | None,
    brand_id: int | None = None,
    language: str = "en",
    category: str = "",
    recipient_type: str = "",
    recipient_id: int | None = None,
    dedupe_key: str = "",
) -> Message:
    """Writes a message to be sent once, in the caller's transaction if there is one. The same *dedupe_key* again
    returns the message that it named first, whatever the rest says.

    *category* is the template's; naming another is a mistake, so that marketing cannot pass as something else.
    *recipient_type* is a model's label (`crm.client`), *recipient_id* its row: whose consent counts. Raises NotFound
    for an unknown template, InvalidInput for a missing or unknown variable, an unsafe value, or no mail address.
    """
    definition = template_definition(template)
    if category and category != definition.category:
        raise InvalidInput(f"{template} is a {definition.category} message.", code="category_differs", field="category")
    values = check_variables(definition, variables)
    address = to.strip()
    try:
        validate_email(address)
    except ValidationError:
        raise InvalidInput("This is no mail address.", code="address_invalid", field="to") from None
    if len(dedupe_key) > MAX_KEY_LENGTH or bool(recipient_type) != (recipient_id is not None):
        raise InvalidInput("The key is too long, or the recipient is half given.", field="dedupe_key")
    number = uuid7()
    message = Message(
        public_id=number,
        template=template,
        category=definition.category,
        entity_id=entity_id,
        brand_id=_brand(entity_id, brand_id),
        language=(language or "en").lower()[:10],
        address=address,
        variables=json.dumps(values),
        recipient_type=recipient_type.lower(),
        recipient_id=recipient_id,
        dedupe_key=dedupe_key or str(number),
    )
    return write_message(message)


def write_message(message: Message) -> Message:
    """Stores a whole message and its job, unless its key is taken; returns the message of the key."""
    with transaction.atomic():
        Message.objects.bulk_create([message], ignore_conflicts=True)
        stored = Message.objects.get(dedupe_key=message.dedupe_key)
        if stored.public_id == message.public_id:
            enqueue_sending(stored)
    return stored


def _brand(entity_id: int | None, brand_id: int | None) -> int | None:
    """The brand; the entity's only one when none is named. Raises InvalidInput for another entity's."""
    if brand_id is None:
        own = list(Brand.objects.filter(entity_id=entity_id).values_list("pk", flat=True)[:2]) if entity_id else []
        return own[0] if len(own) == 1 else None
    if not Brand.objects.filter(pk=brand_id, entity_id=entity_id).exists():
        raise InvalidInput("This brand belongs to another legal entity.", field="brand")
    return brand_id


def enqueue_sending(message: Message) -> None:
    """Makes the job of the message's present round."""
    jobs.enqueue(kind=SEND_JOB_KIND, key=f"{message.public_id}:{message.rounds}", payload={"message_id": message.pk})


def values_of(message: Message) -> dict[str, str]:
    """The values that the message was queued with; empty once they were erased."""
    return dict(json.loads(message.variables)) if message.variables else {}


def send_again(*, message_id: int, actor: Actor, reason: str) -> Message:
    """Gives a failed message a new round of attempts. Raises Conflict for any other, and when its values were erased."""
    authorise(actor, "core.manage_messages")
    visible = get_visible(Message.objects.all(), actor, pk=message_id)
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=visible.pk)
        if message.state != Message.State.FAILED:
            raise Conflict("Only a failed message can be sent again.", code="message_not_failed")
        message.state = Message.State.QUEUED
        message.finished_at = message.handed_over_at = None
        message.attempts, message.outcome = 0, ""
        message.rounds += 1
        message.save(update_fields=["state", "finished_at", "handed_over_at", "attempts", "outcome", "rounds"])
        enqueue_sending(message)
        audit.record(actor=actor, action="core.send_message_again", target=message, reason=reason)
    return message


def record_delivery_event(*, provider_id: str = "", public_id: str = "", event: str, detail: str = "") -> bool:
    """What the mail provider reports of a message (`bounced`, `complained`, `unsubscribed`, `failed`).

    A hard bounce and a complaint stop further messages to the address. False when no message is meant, or nothing
    follows from the event. Repeating it changes nothing.
    """
    from backoffice.core.services import consents  # consents read messages, too

    try:
        lookup: dict[str, Any] = {"public_id": UUID(public_id)} if public_id else {"provider_id": provider_id}
    except ValueError:
        return False
    if not any(lookup.values()) or event not in ("bounced", "complained", "unsubscribed", "failed"):
        return False
    with transaction.atomic():
        message = Message.objects.select_for_update().filter(**lookup).first()
        if message is None:
            return False
        actor = Actor.system("mail_provider")
        if event == "bounced" and message.state in (Message.State.SENT, Message.State.SENDING):
            message.state, message.outcome = Message.State.BOUNCED, detail[:300] or "The address does not work."
            message.finished_at = message.finished_at or clock.now()
            message.save(update_fields=["state", "outcome", "finished_at"])
        if event == "failed":
            return True
        consents.suppress_for_event(message=message, event=event, detail=detail, actor=actor)
    return True


def is_marketing(message: Message) -> bool:
    """Whether the person must have agreed to it."""
    return message.category == MessageCategory.MARKETING
