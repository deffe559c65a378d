"""Messages: who wants what, addresses that do not work, and the switch that holds them."""

from __future__ import annotations

import re

import pytest
from django.db import DatabaseError, transaction
from django.test import Client as Browser

from backoffice.core.models import (
    Consent,
    Message,
    Suppression,
)
from backoffice.core.services import consents, message_delivery, switches
from backoffice.core.services.messages import queue_message
from backoffice.core.types import Role
from backoffice.kernel.errors import Conflict, Denied, NotFound
from crm.models import Client
from tests.core.messages_help import SYSTEM, agree, news, receipt, state_of
from tests.core.test_files import make_client
from tests.logins import make_actor, make_entity, make_user
from tests.mails import mails

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> Client:
    return make_client()


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
