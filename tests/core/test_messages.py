"""Messages: variables, texts, wishes of people, the switch, retries, and what the mail provider reports."""

from __future__ import annotations

import base64
import json
import re
import smtplib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import SuspiciousOperation
from django.core.mail.backends.locmem import EmailBackend
from django.db import DatabaseError, IntegrityError, transaction
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import Settings

from backoffice.core.messages.catcher import caught_mail, caught_mails
from backoffice.core.messages.kinds import MessageTemplateDefinition, register_template, template_definitions
from backoffice.core.messages.rendering import check_texts
from backoffice.core.models import (
    AuditRecord,
    Brand,
    Consent,
    Job,
    LegalEntity,
    Message,
    MessageTemplateVersion,
    Suppression,
)
from backoffice.core.services import consents, jobs, message_delivery, switches
from backoffice.core.services import message_templates as templates
from backoffice.core.services.messages import SEND_JOB_KIND, queue_message, record_delivery_event, send_again
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from crm.models import Client
from tests.core.test_files import make_client
from tests.logins import make_actor, make_entity, make_user
from tests.mails import mails

pytestmark = pytest.mark.django_db
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


@pytest.fixture
def person() -> Client:
    return make_client()


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


def test_a_message_is_sent_once_in_html_and_text_under_its_number(person: Client) -> None:
    Brand.objects.update(support_email="help@nova.example")
    message = receipt(person)
    assert state_of(message) == "queued"
    assert mail.outbox == []

    (sent,) = mails()

    assert state_of(message) == "sent"
    assert (sent.subject, sent.to, sent.reply_to) == ("10.00 EUR received", [person.email], ["help@nova.example"])
    assert sent.from_email.startswith("nova <")
    assert sent.extra_headers["Message-ID"] == f"<{message.public_id}@localhost>"
    assert "Dear Anna, 10.00 EUR. Look: https://example.com/x?a=1&b=2" in sent.body
    html = str(sent.alternatives[0][0])
    assert 'href="https://example.com/x?a=1&amp;b=2"' in html
    assert "<style" in html or "style=" in html
    assert "BOVAR" not in html
    assert mails() == [sent]


def test_values_are_escaped_and_cannot_break_the_header(person: Client) -> None:
    receipt(person, variables={"name": "<script>x</script>{{ amount }}", "amount": "1\r\nBcc: all@example.com"})

    (sent,) = mails()

    html = str(sent.alternatives[0][0])
    assert "<script>" not in html
    assert "&lt;script&gt;x&lt;/script&gt;{{ amount }}" in html
    assert sent.subject == "1 Bcc: all@example.com received"
    assert "Bcc" not in sent.message()


@pytest.mark.parametrize(
    ("variables", "code"),
    [
        ({"name": "Anna"}, "missing_variable"),
        ({**VALUES, "extra": "1"}, "unknown_variable"),
        ({**VALUES, "desk_url": "javascript:alert(1)"}, "unsafe_variable"),
        ({**VALUES, "desk_url": 'https://x.example/" onclick="x'}, "unsafe_variable"),
        ({**VALUES, "name": "x" * 5_001}, "unsafe_variable"),
    ],
)
def test_wrong_variables_are_refused_before_anything_is_stored(
    person: Client, variables: dict[str, str], code: str
) -> None:
    with pytest.raises(InvalidInput) as error:
        queue_message(template=SERVICE, to=person.email, variables=variables, entity_id=person.entity_id)

    assert error.value.code == code
    assert not Message.objects.exists()
    assert not Job.objects.exists()


@pytest.mark.parametrize("to", ["", "no address", "a@b@c.example", "x@example.com\nBcc: y@example.com"])
def test_an_impossible_address_is_refused(person: Client, to: str) -> None:
    with pytest.raises(InvalidInput):
        queue_message(template=SERVICE, to=to, variables=VALUES, entity_id=person.entity_id)
    assert not Message.objects.exists()


def test_marketing_cannot_pass_as_service(person: Client) -> None:
    with pytest.raises(InvalidInput) as error:
        queue_message(
            template=NEWS,
            to=person.email,
            variables={"name": "A"},
            entity_id=person.entity_id,
            category="service",
        )
    assert error.value.code == "category_differs"
    with pytest.raises(NotFound):
        queue_message(template="test.nothing", to=person.email, variables={}, entity_id=person.entity_id)


def test_the_same_key_is_one_message(person: Client) -> None:
    first = receipt(person, dedupe_key="deposit 7")
    second = receipt(person, dedupe_key="deposit 7", variables={"name": "Berta"})

    assert first.pk == second.pk
    assert len(mails()) == 1
    with pytest.raises(IntegrityError), transaction.atomic():
        Message.objects.filter(pk=receipt(person).pk).update(dedupe_key="deposit 7")


def test_a_message_of_a_transaction_that_failed_was_never_queued(person: Client) -> None:
    class AbandonedError(Exception):
        pass

    with pytest.raises(AbandonedError), transaction.atomic():
        receipt(person)
        raise AbandonedError

    assert mails() == []
    assert not Message.objects.exists()


def test_the_values_of_a_security_message_are_forgotten_when_it_was_sent(person: Client) -> None:
    message = queue_message(
        template="account.password_reset",
        to=person.email,
        variables={"name": "Anna", "reset_url": "https://example.com/secret"},
        entity_id=person.entity_id,
    )
    kept = receipt(person)

    assert len(mails()) == 2

    message.refresh_from_db()
    kept.refresh_from_db()
    assert (message.state, message.variables) == ("sent", "")
    assert "10.00 EUR" in kept.variables
    assert message_delivery.render_message(kept).subject == "10.00 EUR received"


# Who wants what


def test_marketing_needs_the_persons_consent(person: Client) -> None:
    message = news(person)

    assert mails() == []
    assert state_of(message) == "suppressed"
    assert message.outcome == "The person has not agreed to marketing."

    agree(person)
    allowed = news(person)
    assert len(mails()) == 1
    assert state_of(allowed) == "sent"


def test_consent_that_was_taken_back_while_the_message_waited_counts(person: Client) -> None:
    agree(person)
    message = news(person)
    agree(person, is_given=False)

    assert mails() == []
    assert state_of(message) == "suppressed"


def test_consent_of_another_entity_or_person_does_not_count(person: Client) -> None:
    agree(make_client("other"))

    assert mails() == []
    assert state_of(news(person)) == "queued"
    assert mails() == []
    assert Message.objects.get().state == "suppressed"


def test_the_link_unsubscribes_without_signing_in_and_only_by_a_post(person: Client, client: Browser) -> None:
    agree(person)
    news(person)
    (sent,) = mails()
    link = re.fullmatch(r"<(http://localhost:8000(/mail/unsubscribe/\S+))>", sent.extra_headers["List-Unsubscribe"])
    assert link is not None
    assert sent.extra_headers["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert link[1] in sent.body
    path = link[2]

    shown = client.get(path)
    assert shown.status_code == 200
    assert person.email not in shown.content.decode()
    assert not Suppression.objects.exists()

    strict = Browser(enforce_csrf_checks=True)
    for _ in range(2):
        assert strict.post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200

    assert Suppression.objects.count() == 1
    assert [entry.is_given for entry in Consent.objects.order_by("id")] == [True, False]
    late = news(person)
    assert len(mails()) == 1
    assert state_of(late) == "suppressed"
    assert client.get(path[:-3] + "xx/").status_code == 404
    assert client.post("/mail/unsubscribe/nonsense/").status_code == 404


def test_who_agrees_again_is_written_to_again(person: Client) -> None:
    agree(person)
    news(person)
    mails()
    consents.unsubscribe(token=consents.unsubscribe_token(Message.objects.get()))

    agree(person)

    message = news(person)
    assert len(mails()) == 2
    assert state_of(message) == "sent"


def test_suppressed_marketing_stops_neither_service_nor_security(person: Client) -> None:
    agree(person)
    consents.suppress_address(
        entity_id=person.entity_id, address=person.email.upper(), scope="marketing", reason="Asked", actor=SYSTEM
    )
    service, marketing = receipt(person), news(person)
    security = queue_message(
        template="account.password_reset",
        to=person.email,
        variables={"name": "A", "reset_url": "https://example.com/"},
        entity_id=person.entity_id,
    )

    assert len(mails()) == 2
    assert [state_of(each) for each in (service, security, marketing)] == ["sent", "sent", "suppressed"]


def test_an_address_that_does_not_work_gets_nothing_until_it_is_lifted(person: Client) -> None:
    entry = consents.suppress_address(
        entity_id=person.entity_id, address=person.email, scope="all", reason="Bounced", actor=SYSTEM
    )
    stopped = receipt(person)
    other = receipt(make_client("other"))
    assert [sent.to for sent in mails()] == [["anna-other@example.com"]]
    assert [state_of(stopped), state_of(other)] == ["suppressed", "sent"]

    officer = make_actor(make_user("c@example.com", Role.COMPLIANCE.value, entities=(person.entity,)))
    consents.lift_suppression(suppression_id=entry.pk, reason="Works again", actor=officer)

    assert state_of(receipt(person)) == "queued"
    assert len(mails()) == 2
    with pytest.raises(Conflict):
        consents.lift_suppression(suppression_id=entry.pk, reason="Again", actor=officer)


def test_wishes_are_never_rewritten(person: Client) -> None:
    agree(person)
    entry = consents.suppress_address(
        entity_id=person.entity_id, address=person.email, scope="all", reason="x", actor=SYSTEM
    )
    for act in (
        lambda: Consent.objects.update(is_given=False),
        lambda: Consent.objects.all().delete(),
        lambda: Suppression.objects.update(is_lifted=True),
        lambda: Suppression.objects.all().delete(),
    ):
        with pytest.raises(DatabaseError), transaction.atomic():
            act()
    assert consents.suppressions_of(entity_id=person.entity_id, address=person.email) == {"all": entry}


def test_only_those_whose_work_it_is_change_wishes(person: Client) -> None:
    dealer = make_actor(make_user("d@example.com", Role.DEALING.value, entities=(person.entity,)))
    stranger = make_actor(make_user("m@example.com", Role.MARKETING.value, entities=(make_entity("other"),)))

    with pytest.raises(Denied):
        consents.suppress_address(
            entity_id=person.entity_id, address=person.email, scope="all", reason="x", actor=dealer
        )
    with pytest.raises(Denied):
        consents.suppress_address(
            entity_id=person.entity_id, address=person.email, scope="all", reason="x", actor=stranger
        )
    with pytest.raises(NotFound):
        consents.record_consent(person=person, category="marketing", is_given=True, evidence="x", actor=stranger)
    assert not Suppression.objects.exists()
    assert not Consent.objects.exists()


# The switch


def test_a_stopped_switch_holds_messages_and_lets_them_go_later(person: Client) -> None:
    boss = make_actor(make_user("boss@example.com", Role.ADMINISTRATOR.value, entities=(person.entity,)))
    switches.stop(switch=switches.Switch.SENDS, actor=boss, reason="Wrong text", entity_id=person.entity_id)
    held = receipt(person)
    security = queue_message(
        template="account.password_reset",
        to=person.email,
        variables={"name": "A", "reset_url": "https://example.com/"},
        entity_id=person.entity_id,
    )

    assert [sent.subject for sent in mails()] == ["Choose a new password"]
    assert [state_of(held), state_of(security)] == ["queued", "sent"]
    assert held.held_at is not None
    assert message_delivery.release_held() == 0

    switches.resume(switch=switches.Switch.SENDS, actor=boss, reason="Mended", entity_id=person.entity_id)
    assert message_delivery.release_held() == 1
    assert len(mails()) == 2
    assert state_of(held) == "sent"


# The mail server


class Troubled(EmailBackend):
    """A mail server with moods."""

    moods: list[Exception | None] = []
    opening: list[Exception] = []

    def open(self) -> bool:
        if Troubled.opening:
            raise Troubled.opening.pop(0)
        return True

    def send_messages(self, messages: Any) -> int:
        mood = Troubled.moods.pop(0) if Troubled.moods else None
        if mood is not None:
            raise mood
        return super().send_messages(messages)


@pytest.fixture
def server(settings: Settings) -> Iterator[type[Troubled]]:
    settings.EMAIL_BACKEND = "tests.core.test_messages.Troubled"
    yield Troubled
    Troubled.moods, Troubled.opening = [], []


def run_again() -> None:
    """What a worker does at the next tick, pauses left out."""
    Job.objects.filter(state=Job.State.READY).update(run_after=clock.now() - timedelta(seconds=1))
    mails()


@pytest.mark.parametrize(
    "trouble",
    [
        smtplib.SMTPResponseException(451, b"try later anna@example.com"),
        ConnectionResetError("gone"),
        smtplib.SMTPRecipientsRefused({"x": (450, b"busy")}),
    ],
)
def test_a_server_that_says_later_is_asked_again(person: Client, server: type[Troubled], trouble: Exception) -> None:
    server.moods = [trouble, None]
    message = receipt(person)

    assert mails() == []
    assert state_of(message) == "queued"
    assert "anna" not in message.outcome
    run_again()

    assert state_of(message) == "sent"
    assert len(mail.outbox) == 1


def test_a_server_that_is_away_is_asked_ten_times_with_growing_pauses(person: Client, server: type[Troubled]) -> None:
    server.opening = [ConnectionRefusedError("no")] * 20
    message = receipt(person)
    for _ in range(9):
        run_again()
        assert state_of(message) == "queued"
    run_again()

    assert state_of(message) == "failed"
    assert message.outcome == "ConnectionRefusedError"
    assert len(server.opening) == 10

    server.opening = []
    boss = make_actor(make_user("boss@example.com", Role.ADMINISTRATOR.value, entities=(person.entity,)))
    send_again(message_id=message.pk, actor=boss, reason="The server is back")
    run_again()
    assert state_of(message) == "sent"
    with pytest.raises(Conflict):
        send_again(message_id=message.pk, actor=boss, reason="Twice")
    assert len(mail.outbox) == 1


def test_an_address_that_is_refused_for_good_is_not_written_to_again(person: Client, server: type[Troubled]) -> None:
    server.moods = [smtplib.SMTPRecipientsRefused({person.email: (550, b"no such user")})]
    bounced = receipt(person)

    assert mails() == []
    assert state_of(bounced) == "bounced"
    later = receipt(person)
    assert mails() == []
    assert state_of(later) == "suppressed"
    assert Suppression.objects.get().source == "bounced"


def test_a_server_that_refuses_the_message_ends_it(person: Client, server: type[Troubled]) -> None:
    server.moods = [smtplib.SMTPDataError(554, b"spam")]
    message = receipt(person)

    assert mails() == []
    assert (state_of(message), message.outcome) == ("failed", "SMTPDataError 554")
    assert not Suppression.objects.exists()


def test_marketing_that_may_have_gone_out_is_not_sent_twice(person: Client, server: type[Troubled]) -> None:
    agree(person)
    server.moods = [smtplib.SMTPServerDisconnected("in the middle"), None]
    message = news(person)

    mails()
    run_again()

    assert state_of(message) == "failed"
    assert mail.outbox == []


@pytest.mark.parametrize(("event", "state"), [("bounced", "bounced"), ("complained", "sent")])
def test_what_the_provider_reports_stops_the_address(person: Client, event: str, state: str) -> None:
    message = receipt(person)
    mails()

    for _ in range(2):
        assert record_delivery_event(public_id=str(message.public_id), event=event, detail="mailbox gone")

    assert state_of(message) == state
    assert Suppression.objects.count() == 1
    assert not record_delivery_event(public_id="", provider_id="", event=event)
    assert not record_delivery_event(provider_id="unknown", event="bounced")
    assert not record_delivery_event(public_id=str(message.public_id), event="opened")


def test_messages_whose_job_was_given_up_come_to_an_end(person: Client) -> None:
    message = receipt(person)
    message_delivery.claim(message_id=message.pk, owner="dead")
    Job.objects.filter(kind=SEND_JOB_KIND).update(state=Job.State.FAILED)

    assert message_delivery.fail_abandoned() == 1
    assert message_delivery.fail_abandoned() == 0

    assert state_of(message) == "failed"


def test_a_worker_that_lost_its_lease_cannot_end_the_message(person: Client) -> None:
    message = receipt(person)
    slow = message_delivery.claim(message_id=message.pk, owner="slow")
    quick = message_delivery.claim(message_id=message.pk, owner="quick")
    assert slow is not None and quick is not None

    message_delivery._end(slow, Message.State.FAILED, outcome="late")

    assert state_of(message) == "sending"


def test_the_catcher_keeps_a_message_once_and_reads_it_back(person: Client, settings: Settings, tmp_path: Any) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = (
        "backoffice.core.messages.catcher.CatcherBackend",
        str(tmp_path / "m"),
    )
    message = receipt(person)
    jobs.run_ready(kind=SEND_JOB_KIND, owner="test")
    Message.objects.update(state="queued", finished_at=None, rounds=2)
    message.refresh_from_db()
    jobs.enqueue(kind=SEND_JOB_KIND, key="again", payload={"message_id": message.pk})
    jobs.run_ready(kind=SEND_JOB_KIND, owner="test")

    (caught,) = caught_mails()

    assert (caught.number, caught.to, caught.subject) == (str(message.public_id), person.email, "10.00 EUR received")
    assert "Dear Anna" in caught.text
    assert "<html" in caught.html.lower()
    assert caught_mail(caught.number) == caught
    assert (tmp_path / "m" / f"{caught.number}.eml").stat().st_mode & 0o777 == 0o600
    for number in ("../../etc/passwd", "nothing", ""):
        with pytest.raises(NotFound):
            caught_mail(number)


# Texts


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


def test_a_bounce_that_the_provider_posts_stops_the_address(person: Client, settings: Settings, rf: Any) -> None:
    from anymail.webhooks.postmark import PostmarkTrackingWebhookView

    settings.ANYMAIL = {"WEBHOOK_SECRET": "user:secret"}
    message = receipt(person)
    mails()
    report = {
        "RecordType": "Bounce",
        "Type": "HardBounce",
        "MessageID": "pm-1",
        "Email": person.email,
        "BouncedAt": "2026-03-02T10:00:00Z",
        "Metadata": {"message": str(message.public_id)},
    }
    view = PostmarkTrackingWebhookView.as_view()

    def post(login: str) -> int:
        basic = "Basic " + base64.b64encode(login.encode()).decode()
        request = rf.post("/x", json.dumps(report), content_type="application/json", HTTP_AUTHORIZATION=basic)
        return int(view(request).status_code)

    with pytest.raises(SuspiciousOperation):
        post("user:wrong")
    assert state_of(message) == "sent"
    for _ in range(2):
        assert post("user:secret") == 200

    assert state_of(message) == "bounced"
    assert [entry.scope for entry in Suppression.objects.all()] == ["all"]
    report["Metadata"] = {"message": "nonsense"}
    assert post("user:secret") == 200
