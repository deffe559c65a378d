"""Messages: their texts, who may write them, and which one is taken."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import DatabaseError, transaction
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.messages.kinds import template_definitions
from backoffice.core.messages.rendering import check_texts
from backoffice.core.models import (
    AuditRecord,
    LegalEntity,
    Message,
    MessageTemplateVersion,
)
from backoffice.core.services import message_delivery
from backoffice.core.services import message_templates as templates
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from crm.models import Client
from tests.core.messages_help import NEWS, SECTION, SERVICE, SYSTEM, receipt, state_of
from tests.core.test_files import make_client
from tests.logins import make_actor, make_user
from tests.mails import mails

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> Client:
    return make_client()


def test_every_message_in_the_code_can_be_sent() -> None:
    for definition in template_definitions():
        rendered = templates.preview(definition=definition, subject=definition.subject, mjml=definition.mjml)
        assert rendered.subject
        assert "{{" not in rendered.html
        assert all(definition.variables[name] in rendered.text + rendered.subject for name in definition.must_show)


@pytest.fixture
def author(person: Client) -> Actor:
    return make_actor(make_user("author@example.com", Role.MARKETING.value, entities=tuple(LegalEntity.objects.all())))


def draft(actor: Actor, words: str = "Hello {{ name }}, {{ amount }}", **changes: Any) -> MessageTemplateVersion:
    given = {"code": SERVICE, "brand_id": None, "language": "", "subject": "S {{ amount }}", "note": ""}
    return templates.save_draft(**{**given, "mjml": SECTION.format(words), "actor": actor, **changes})


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("{{ amount }} {{ salary }}", "unknown_variable"),
        ("Hello {{ name }}", "missing_variable"),
        ("{{ amount }} {% include 'x' %}", "invalid_input"),
        ("{{ amount }} {{ name.password }}", "invalid_input"),
        ("{{ amount|safe }}", "invalid_input"),
        ("{{ amount }} <script>x</script>", "mjml_unsafe"),
        ("{{ amount }} <a href='javascript:x'>x</a>", "mjml_unsafe"),
        ("{{ amount }} <a href='{{ name }}'>x</a>", "mjml_unsafe"),
        ("{{ amount }} <b onclick='x'>x</b>", "mjml_unsafe"),
        ("{{ amount }} <b style='color:{{ name }}'>x</b>", "mjml_unsafe"),
        ("{{ amount }} <iframe src='https://x.example/'></iframe>", "mjml_unsafe"),
        ("{{ amount }} <form action='https://x.example/'><input></form>", "mjml_unsafe"),
        ("{{ amount }}</mj-text><mj-include path='/etc/passwd' /><mj-text>", "mjml_damaged"),
        ("{{ amount }}</mj-text><mj-nothing/>", "mjml_damaged"),
        ("BOVARxnamexEND {{ amount }}", "invalid_input"),
    ],
)
def test_a_text_that_is_wrong_or_acts_is_not_saved(author: Actor, words: str, code: str) -> None:
    with pytest.raises(InvalidInput) as error:
        draft(author, words)

    assert error.value.code == code
    assert not MessageTemplateVersion.objects.exists()


def test_marketing_always_shows_how_to_unsubscribe(author: Actor) -> None:
    whole = "<mjml><mj-body><mj-section><mj-column><mj-text>x</mj-text></mj-column></mj-section></mj-body></mjml>"
    with pytest.raises(InvalidInput, match="unsubscribe_url"):
        draft(author, code=NEWS, subject="S", mjml=whole)

    with_link = whole.replace(">x<", "><a href='{{ unsubscribe_url }}'>Stop</a><")
    assert draft(author, code=NEWS, subject="S", mjml=with_link).number == 1


def test_versions_are_written_over_as_drafts_and_stay_when_published(author: Actor) -> None:
    first = draft(author)
    assert draft(author, subject="Better {{ amount }}").pk == first.pk
    for _ in range(2):
        templates.publish_template(version_id=first.pk, actor=author)
    second = draft(author, subject="Second {{ amount }}")

    assert (first.number, second.number) == (1, 2)
    for act in (
        lambda: MessageTemplateVersion.objects.filter(pk=first.pk).update(subject="x"),
        lambda: MessageTemplateVersion.objects.filter(pk=first.pk).delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            act()
    with pytest.raises(Conflict):
        templates.discard_draft(version_id=first.pk, actor=author)
    templates.discard_draft(version_id=second.pk, actor=author)
    assert [version.subject for version in MessageTemplateVersion.objects.all()] == ["Better {{ amount }}"]
    assert AuditRecord.objects.filter(action="core.publish_template").count() == 1


def test_a_message_takes_the_nearest_text_there_is(person: Client, author: Actor) -> None:
    own = person.brand_id

    def said(language: str) -> str:
        message = receipt(person, language=language, brand_id=own)
        sent = mails()[-1]
        assert state_of(message) == "sent"
        return sent.subject.split()[0]

    def publish(word: str, **where: Any) -> None:
        version = draft(author, subject=word + " {{ amount }}", **where)
        assert said("de") != word, "a draft is never sent"
        templates.publish_template(version_id=version.pk, actor=author)

    assert said("de") == "10.00"
    publish("any")
    assert said("de") == "any"
    publish("deutsch", language="de")
    assert [said("de"), said("de-AT"), said("fr")] == ["deutsch", "deutsch", "any"]
    publish("brand", brand_id=own)
    assert [said("de"), said("fr")] == ["brand", "brand"]
    publish("marke", brand_id=own, language="de")
    assert [said("de"), said("fr")] == ["marke", "brand"]


def test_the_version_that_was_sent_is_remembered(person: Client, author: Actor) -> None:
    version = templates.publish_template(version_id=draft(author).pk, actor=author)
    message = receipt(person)
    mails()
    templates.publish_template(version_id=draft(author, subject="New {{ amount }}").pk, actor=author)

    message.refresh_from_db()
    assert message.version_id == version.pk
    assert message_delivery.render_message(message).subject == "S 10.00 EUR"


def test_a_test_goes_to_who_asks_with_sample_values(author: Actor) -> None:
    version = draft(author)

    templates.send_test(version_id=version.pk, actor=author)

    (sent,) = mails()
    assert (sent.to, sent.subject) == (["author@example.com"], "S 10.00 EUR")


def test_texts_of_other_entities_are_not_seen_and_not_written(person: Client) -> None:
    theirs = make_client("other")
    writer = make_actor(make_user("w@example.com", Role.MARKETING.value, entities=(person.entity,)))
    with pytest.raises(NotFound):
        draft(writer, brand_id=theirs.brand_id)
    with pytest.raises(Denied):
        draft(writer)
    foreign = draft(SYSTEM, brand_id=theirs.brand_id)
    assert templates.visible_versions(code=SERVICE, actor=writer) == []
    with pytest.raises(NotFound):
        templates.publish_template(version_id=foreign.pk, actor=writer)
    with pytest.raises(Denied):
        draft(make_actor(make_user("d@example.com", Role.DEALING.value, entities=(person.entity,))))


def test_a_definition_must_be_sound() -> None:
    sound = next(each for each in template_definitions() if each.code == SERVICE)
    check_texts(sound, subject=sound.subject, mjml=sound.mjml)
    for subject in ("", "x" * 201, "a\nb"):
        with pytest.raises(InvalidInput):
            check_texts(sound, subject=subject, mjml=sound.mjml)


def test_the_reset_page_and_its_mail_speak_the_persons_brand(client: Browser, person: Client) -> None:
    person.user = make_user("tom@example.com", Role.TRADER.value)
    person.save()

    client.post(reverse("account_reset_password"), {"email": "tom@example.com"})

    (sent,) = mails()
    message = Message.objects.get()
    assert (message.entity_id, message.brand_id, message.category) == (person.entity_id, person.brand_id, "security")
    assert "/account/password/reset/key/" in sent.body
    assert message.variables == ""
