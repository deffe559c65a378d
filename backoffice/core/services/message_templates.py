"""The texts of messages: drafted, previewed, published by version. A published version never changes.

Which text a message gets: the newest published one of its brand and language, else of its brand in any language, else of
its language in any brand, else the one for any brand and language, else the text in the code.
"""

from __future__ import annotations

import json

from django.db import transaction

from backoffice.core.access import authorise, get_visible, visible_to
from backoffice.core.messages.kinds import HOUSE_VARIABLES, MessageTemplateDefinition, template_definition
from backoffice.core.messages.rendering import RenderedMail, check_texts, render
from backoffice.core.models import Brand, LegalEntity, Message, MessageCategory, MessageTemplateVersion, User
from backoffice.core.services import audit
from backoffice.core.services.messages import write_message
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from backoffice.kernel.ids import uuid7

MANAGE = "core.manage_templates"
State = MessageTemplateVersion.State


def choose_version(*, code: str, brand_id: int | None, language: str) -> MessageTemplateVersion | None:
    """The published text for a brand and a language (`pt-br` falls back to `pt`); None for the text in the code."""
    wanted = language.lower()
    languages = list(dict.fromkeys([wanted, wanted.partition("-")[0], ""]))
    brands = [brand_id, None] if brand_id is not None else [None]
    newest: dict[tuple[int | None, str], MessageTemplateVersion] = {}
    published = MessageTemplateVersion.objects.filter(code=code, state=State.PUBLISHED, language__in=languages)
    for version in published.order_by("number"):
        newest[(version.brand_id, version.language)] = version
    for brand in brands:
        for each in languages:
            if (brand, each) in newest:
                return newest[(brand, each)]
    return None


def house_values(*, entity: LegalEntity | None, brand: Brand | None) -> dict[str, str]:
    """What the house fills in of itself."""
    if brand is None:
        values = dict.fromkeys(HOUSE_VARIABLES, "")
        name = entity.name if entity else "Broker back office"
        return values | {"brand_name": name, "entity_name": name, "brand_colour": HOUSE_VARIABLES["brand_colour"]}
    return {
        "brand_name": brand.name,
        "brand_colour": brand.accent_colour,
        "entity_name": brand.entity.name,
        "support_email": brand.support_email,
    }


def save_draft(
    *, code: str, brand_id: int | None, language: str, subject: str, mjml: str, note: str, actor: Actor
) -> MessageTemplateVersion:
    """Writes the draft of a template for a brand and a language; there is one at a time, and it is written over.

    Raises NotFound for an unknown template or a brand that is not the actor's, InvalidInput for a text that names an
    unknown variable, leaves out one it must show, is no MJML, or holds something that acts.
    """
    authorise(actor, MANAGE)
    definition = template_definition(code)
    brand = _brand(brand_id, actor)
    language = _language(language)
    check_texts(definition, subject=subject, mjml=mjml)
    with transaction.atomic():
        family = MessageTemplateVersion.objects.select_for_update(of=("self",)).filter(
            code=code, brand=brand, language=language
        )
        versions = list(family.order_by("number"))
        draft = next((version for version in versions if version.state == State.DRAFT), None)
        if draft is None:
            number = versions[-1].number + 1 if versions else 1
            draft = MessageTemplateVersion(code=code, brand=brand, language=language, number=number)
        draft.subject, draft.mjml, draft.note = subject, mjml, note[:200]
        draft.written_by_id, draft.written_at = actor.user_id, clock.now()
        draft.save()
        audit.record(actor=actor, action="core.draft_template", target=draft, entity_id=_entity_of(brand))
    return draft


def publish_template(*, version_id: int, actor: Actor) -> MessageTemplateVersion:
    """Makes a draft the text that is sent from now on. Publishing it again changes nothing."""
    authorise(actor, MANAGE)
    with transaction.atomic():
        draft = _locked(version_id, actor)
        if draft.state == State.PUBLISHED:
            return draft
        # The definition may have changed since the draft was written.
        check_texts(template_definition(draft.code), subject=draft.subject, mjml=draft.mjml)
        draft.state, draft.published_at = State.PUBLISHED, clock.now()
        draft.published_by_id = actor.user_id
        draft.save()
        audit.record(
            actor=actor,
            action="core.publish_template",
            target=draft,
            changes={"number": draft.number},
            entity_id=_entity_of(draft.brand),
        )
    return draft


def discard_draft(*, version_id: int, actor: Actor) -> None:
    """Forgets a draft. Raises Conflict for a published version, which stays."""
    authorise(actor, MANAGE)
    with transaction.atomic():
        draft = _locked(version_id, actor)
        if draft.state == State.PUBLISHED:
            raise Conflict("A published version stays.", code="version_published")
        audit.record(actor=actor, action="core.discard_template_draft", target=draft, entity_id=_entity_of(draft.brand))
        draft.delete()


def _locked(version_id: int, actor: Actor) -> MessageTemplateVersion:
    visible = get_visible(MessageTemplateVersion.objects.all(), actor, pk=version_id)
    found = MessageTemplateVersion.objects.select_for_update(of=("self",)).filter(pk=visible.pk).first()
    if found is None:
        raise NotFound("No such version.")
    _brand(found.brand_id, actor)
    return found


def _brand(brand_id: int | None, actor: Actor) -> Brand | None:
    """The brand, through the door. A text for every brand needs an actor who stands for every legal entity."""
    if brand_id is not None:
        return get_visible(Brand.objects.all(), actor, pk=brand_id)
    if not actor.is_system and LegalEntity.objects.exclude(pk__in=actor.entity_ids).exists():
        raise Denied("A text for every brand needs a person who works for every legal entity; choose a brand.")
    return None


def _language(language: str) -> str:
    text = language.strip().lower()
    if text and not all(part.isalnum() for part in text.split("-")):
        raise InvalidInput("A language is written en, de or pt-br.", field="language")
    return text[:10]


def _entity_of(brand: Brand | None) -> int | None:
    return brand.entity_id if brand is not None else None


def preview(
    *, definition: MessageTemplateDefinition, subject: str, mjml: str, brand: Brand | None = None
) -> RenderedMail:
    """The mail with sample values, in a brand's look. Raises InvalidInput for a text that cannot be sent."""
    check_texts(definition, subject=subject, mjml=mjml)
    values = definition.samples()
    if brand is not None:
        values |= house_values(entity=brand.entity, brand=brand)
    return render(definition, subject=subject, mjml=mjml, values=values)


def preview_version(*, version_id: int, actor: Actor) -> RenderedMail:
    """A version with sample values."""
    authorise(actor, "core.view_templates")
    version = get_visible(MessageTemplateVersion.objects.select_related("brand__entity"), actor, pk=version_id)
    definition = template_definition(version.code)
    return preview(definition=definition, subject=version.subject, mjml=version.mjml, brand=version.brand)


def send_test(*, version_id: int, actor: Actor) -> Message:
    """Sends a version, draft or published, with sample values to the person who asks, and to nobody else."""
    authorise(actor, MANAGE)
    version = get_visible(MessageTemplateVersion.objects.select_related("brand"), actor, pk=version_id)
    definition = template_definition(version.code)
    check_texts(definition, subject=version.subject, mjml=version.mjml)
    samples = {name: value for name, value in definition.samples().items() if name not in HOUSE_VARIABLES}
    number = uuid7()
    message = Message(
        public_id=number,
        dedupe_key=str(number),
        template=version.code,
        version=version,
        # Asked for by the reader, so neither consent nor suppression of marketing counts.
        category=MessageCategory.SERVICE,
        entity_id=_entity_of(version.brand) or min(actor.entity_ids, default=None),
        brand=version.brand,
        address=_own_address(actor),
        variables=json.dumps(samples),
        recipient_type="core.user",
        recipient_id=actor.user_id,
    )
    with transaction.atomic():
        audit.record(actor=actor, action="core.send_test_message", target=version, entity_id=message.entity_id)
        return write_message(message)


def _own_address(actor: Actor) -> str:
    user = User.objects.filter(pk=actor.user_id or 0).first()
    if user is None:
        raise Denied("A test goes to a person.")
    return user.email


def visible_versions(*, code: str, actor: Actor) -> list[MessageTemplateVersion]:
    """The versions of a template that the actor may see, newest first."""
    authorise(actor, "core.view_templates")
    found = MessageTemplateVersion.objects.select_related("brand", "written_by", "published_by").filter(code=code)
    return list(visible_to(found, actor).order_by("brand__code", "language", "-number")[:200])
