"""Messages: variables, escaping, once and once only."""

from __future__ import annotations

import pytest
from django.core import mail
from django.db import IntegrityError, transaction

from backoffice.core.models import (
    Brand,
    Job,
    Message,
)
from backoffice.core.services import message_delivery
from backoffice.core.services.messages import queue_message
from backoffice.kernel.errors import InvalidInput, NotFound
from crm.models import Client
from tests.core.messages_help import NEWS, SERVICE, VALUES, receipt, state_of
from tests.core.test_files import make_client
from tests.mails import mails

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> Client:
    return make_client()


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
