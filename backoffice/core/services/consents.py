"""Who wants which messages: suppressed addresses and consents, both only ever added to. The last entry counts.

A suppression belongs to an address of a legal entity and has a scope: `marketing`, or `all` for an address that does
not work or whose holder complained. Security messages pass a suppression of marketing, as service messages do; nothing
passes `all`. Marketing needs, besides, the consent of the person.
"""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core import signing
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models, transaction

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.models import Consent, LegalEntity, Message, MessageCategory, Suppression
from backoffice.core.sealing.fields import blind_lookup
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound

EMAIL = "email"
UNSUBSCRIBE_SALT = "core.unsubscribe"
MAX_TEXT = 300
_SOURCES = {
    "bounced": (Suppression.Source.BOUNCED, Suppression.Scope.ALL),
    "complained": (Suppression.Source.COMPLAINED, Suppression.Scope.ALL),
    "unsubscribed": (Suppression.Source.UNSUBSCRIBED, Suppression.Scope.MARKETING),
}


def suppressions_of(*, entity_id: int | None, address: str) -> dict[str, Suppression]:
    """The suppressions of an address that stand, by scope."""
    found = Suppression.objects.filter(entity_id=entity_id, **blind_lookup(Suppression, "address_index", address))
    last: dict[str, Suppression] = {}
    for entry in found.order_by("id"):
        last[entry.scope] = entry
    return {scope: entry for scope, entry in last.items() if not entry.is_lifted}


def has_consent(*, entity_id: int | None, recipient_type: str, recipient_id: int | None, category: str) -> bool:
    """Whether the person's last word is yes. Without a person there is no consent."""
    if not recipient_type or recipient_id is None:
        return False
    last = (
        Consent.objects.filter(
            entity_id=entity_id,
            recipient_type=recipient_type.lower(),
            recipient_id=recipient_id,
            category=category,
            channel=EMAIL,
        )
        .order_by("-id")
        .first()
    )
    return last is not None and last.is_given


def why_unwanted(message: Message) -> str:
    """Why the message must not be sent; empty when it may."""
    standing = suppressions_of(entity_id=message.entity_id, address=message.address)
    if Suppression.Scope.ALL in standing:
        return f"The address is suppressed: {standing[Suppression.Scope.ALL].get_source_display().lower()}."
    if message.category != MessageCategory.MARKETING:
        return ""
    if Suppression.Scope.MARKETING in standing:
        return "The address does not want marketing."
    agreed = has_consent(
        entity_id=message.entity_id,
        recipient_type=message.recipient_type,
        recipient_id=message.recipient_id,
        category=message.category,
    )
    return "" if agreed else "The person has not agreed to marketing."


def suppress_address(*, entity_id: int, address: str, scope: str, reason: str, actor: Actor) -> Suppression:
    """Stops messages of a scope to an address. One that is stopped already stays as it is."""
    return _change(entity_id, address, scope, reason, actor, is_lifted=False)


def lift_suppression(*, suppression_id: int, reason: str, actor: Actor) -> Suppression:
    """Lets messages of the scope go to the address again, by a further entry. Consent is not given by it."""
    authorise(actor, "core.manage_suppressions")
    entry = get_visible(Suppression.objects.all(), actor, pk=suppression_id)
    if entry.entity_id is None:
        raise Conflict("This entry belongs to no legal entity.", code="suppression_without_entity")
    return _change(entry.entity_id, entry.address, entry.scope, reason, actor, is_lifted=True)


def _change(entity_id: int, address: str, scope: str, reason: str, actor: Actor, *, is_lifted: bool) -> Suppression:
    authorise(actor, "core.manage_suppressions")
    _own_entity(entity_id, actor)
    address = address.strip()
    try:
        validate_email(address)
    except ValidationError:
        raise InvalidInput("This is no mail address.", field="address") from None
    if scope not in Suppression.Scope.values:
        raise InvalidInput("There is no such scope.", field="scope")
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    with transaction.atomic():
        LegalEntity.objects.select_for_update(no_key=True).get(pk=entity_id)
        standing = suppressions_of(entity_id=entity_id, address=address).get(scope)
        if is_lifted and standing is None:
            raise Conflict("The address is not suppressed in this scope.", code="not_suppressed")
        if not is_lifted and standing is not None:
            return standing
        return _append(entity_id, address, scope, Suppression.Source.STAFF, reason.strip(), actor, is_lifted=is_lifted)


def _append(
    entity_id: int | None,
    address: str,
    scope: str,
    source: str,
    reason: str,
    actor: Actor,
    *,
    is_lifted: bool = False,
) -> Suppression:
    entry = Suppression.objects.create(
        entity_id=entity_id,
        address=address,
        scope=scope,
        source=source,
        reason=reason[:MAX_TEXT],
        actor=actor.label,
        is_lifted=is_lifted,
    )
    action = "core.lift_suppression" if is_lifted else "core.suppress_address"
    audit.record(actor=actor, action=action, target=entry, reason=reason, changes={"scope": scope, "source": source})
    return entry


def suppress_for_event(*, message: Message, event: str, detail: str, actor: Actor) -> None:
    """What follows from a bounce, a complaint or an unsubscribing that the provider reports."""
    source, scope = _SOURCES[event]
    if event == "unsubscribed":
        _withdraw(message, evidence=f"Reported by the mail provider for message {message.public_id}", actor=actor)
    if scope not in suppressions_of(entity_id=message.entity_id, address=message.address):
        _append(message.entity_id, message.address, scope, source, detail or source.label, actor)


def record_consent(
    *, person: models.Model, category: str, is_given: bool, evidence: str, actor: Actor, channel: str = EMAIL
) -> Consent:
    """Writes down that a person agreed, or took it back, and how that is known. The same again changes nothing.

    Raises NotFound for a person whom the actor does not see, InvalidInput without evidence or a known category.
    """
    authorise(actor, "core.record_consent")
    if not visible_to(type(person)._default_manager.filter(pk=person.pk), actor).exists():
        raise NotFound("No such person, or not yours to see.")
    if category != MessageCategory.MARKETING or channel != EMAIL:
        raise InvalidInput("Consent is asked for marketing by mail.", field="category")
    if not evidence.strip():
        raise InvalidInput("Say how the person's will is known.", field="evidence")
    label = person._meta.label_lower
    entity_id = getattr(person, "entity_id", None)
    with transaction.atomic():
        last = (
            Consent.objects.filter(
                entity_id=entity_id, recipient_type=label, recipient_id=person.pk, category=category, channel=channel
            )
            .order_by("-id")
            .first()
        )
        if last is not None and last.is_given == is_given:
            return last
        entry = Consent.objects.create(
            entity_id=entity_id,
            recipient_type=label,
            recipient_id=person.pk,
            category=category,
            channel=channel,
            is_given=is_given,
            evidence=evidence.strip()[:MAX_TEXT],
            actor=actor.label,
        )
        action = "core.give_consent" if is_given else "core.withdraw_consent"
        audit.record(actor=actor, action=action, target=person, reason=evidence, changes={"category": category})
        if is_given:
            _lift_own_unsubscribing(person, entity_id, evidence, actor)
    return entry


def _lift_own_unsubscribing(person: models.Model, entity_id: int | None, evidence: str, actor: Actor) -> None:
    """Who unsubscribed and agrees again means it; an entry of staff or a complaint stays."""
    address = str(getattr(person, "email", ""))
    if not address:
        return
    standing = suppressions_of(entity_id=entity_id, address=address).get(Suppression.Scope.MARKETING)
    if standing is not None and standing.source == Suppression.Source.UNSUBSCRIBED:
        _append(entity_id, address, standing.scope, standing.source, evidence, actor, is_lifted=True)


def consents_of(*, person: models.Model, actor: Actor) -> list[Consent]:
    """Every word of a person on messages, newest first. Empty for a person whom the actor does not see."""
    if not visible_to(type(person)._default_manager.filter(pk=person.pk), actor).exists():
        return []
    found = Consent.objects.filter(recipient_type=person._meta.label_lower, recipient_id=person.pk)
    return list(found.order_by("-id")[:50])


def unsubscribe_token(message: Message) -> str:
    """What names the message in the link to unsubscribe; it cannot be guessed and opens nothing else."""
    return signing.Signer(salt=UNSUBSCRIBE_SALT).sign(message.public_id.hex)


def message_of_token(token: str) -> Message:
    """The message of a link. Raises NotFound for one that was not made here."""
    try:
        number = signing.Signer(salt=UNSUBSCRIBE_SALT).unsign(token)
    except signing.BadSignature:
        raise NotFound("This link is not valid.", code="link_invalid") from None
    message = Message.objects.select_related("brand", "entity").filter(public_id=number).first()
    if message is None:
        raise NotFound("This link is not valid.", code="link_invalid")
    return message


def unsubscribe(*, token: str) -> Message:
    """Stops marketing to the address of the message and takes the person's consent back. Repeating changes nothing."""
    with transaction.atomic():
        message = message_of_token(token)
        actor = Actor.system("unsubscribe_link")
        if message.entity_id is not None:
            LegalEntity.objects.select_for_update(no_key=True).get(pk=message.entity_id)
        standing = suppressions_of(entity_id=message.entity_id, address=message.address)
        if Suppression.Scope.MARKETING not in standing:
            _append(
                message.entity_id,
                message.address,
                Suppression.Scope.MARKETING,
                Suppression.Source.UNSUBSCRIBED,
                f"By the link in message {message.public_id}",
                actor,
            )
        _withdraw(message, evidence=f"By the link in message {message.public_id}", actor=actor)
    return message


def _withdraw(message: Message, *, evidence: str, actor: Actor) -> None:
    if not message.recipient_type or message.recipient_id is None:
        return
    model: Any = apps.get_model(message.recipient_type)
    person = model._default_manager.filter(pk=message.recipient_id).first()
    if person is not None:
        record_consent(
            person=person, category=MessageCategory.MARKETING, is_given=False, evidence=evidence, actor=actor
        )


def _own_entity(entity_id: int, actor: Actor) -> None:
    if not actor.is_system and entity_id not in actor.entity_ids:
        raise Denied("This legal entity is not yours.", entity_id=entity_id)
