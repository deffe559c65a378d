"""Messages: retries, and what the mail server and the mail provider report."""

from __future__ import annotations

import base64
import json
import smtplib
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.core.exceptions import SuspiciousOperation
from django.core.mail.backends.locmem import EmailBackend
from pytest_django import Settings

from backoffice.core.messages.catcher import caught_mail, caught_mails
from backoffice.core.models import (
    Job,
    Message,
    Suppression,
)
from backoffice.core.services import jobs, message_delivery
from backoffice.core.services.messages import SEND_JOB_KIND, record_delivery_event, send_again
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, NotFound
from crm.models import Client
from tests.core.messages_help import agree, news, receipt, state_of
from tests.core.test_files import make_client
from tests.logins import make_actor, make_user
from tests.mails import mails

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> Client:
    return make_client()


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
    settings.EMAIL_BACKEND = "tests.core.test_message_delivery.Troubled"
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
