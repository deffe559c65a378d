"""The desk's screens of files and messages: papers of a client, texts and their previews, the folder of caught mails."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client as Browser
from django.urls import reverse
from pytest_django import Settings

from backoffice.core.models import AuditRecord, Consent, LegalEntity, Message, MessageTemplateVersion, StoredFile
from backoffice.core.models import Suppression as Entry
from backoffice.core.services import jobs
from backoffice.core.services.messages import SEND_JOB_KIND
from backoffice.core.types import Role
from backoffice.desk.admin.message_templates import TemplatePage, TemplatePreview, TemplatesPage, WriteTemplate
from backoffice.desk.admin.messages import CaughtMailBody, CaughtMailPage, CaughtMailsPage, MessageContent
from crm.models import Client
from tests.core.messages_help import SERVICE, receipt
from tests.core.test_file_checks import document, picture, with_place
from tests.core.test_files import make_client
from tests.logins import log_in, make_user
from tests.mails import mails

pytestmark = pytest.mark.django_db


@pytest.fixture
def person() -> Client:
    return make_client()


@pytest.fixture
def staff(client: Browser, person: Client) -> Browser:
    """A person of compliance who is an administrator, too."""
    roles = (Role.ADMINISTRATOR.value, Role.COMPLIANCE.value)
    return log_in(client, make_user("boss@example.com", *roles, entities=tuple(LegalEntity.objects.all())))


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return str(answer.content.decode())


def upload(browser: Browser, person: Client, name: str, data: bytes) -> Any:
    url = f"{reverse('admin:crm_client_changelist')}{person.pk}/do/document/"
    return browser.post(url, {"document": SimpleUploadedFile(name, data), "idempotency_key": "k1"})


def test_a_paper_is_given_seen_and_opened_on_the_clients_page(staff: Browser, person: Client) -> None:
    page = reverse("admin:crm_client_change", args=[person.pk])
    assert "No document yet." in text_of(staff.get(page))

    assert upload(staff, person, "passport.jpg", with_place()).status_code == 302

    shown = text_of(staff.get(page))
    stored = StoredFile.objects.get()
    assert "passport.jpg" in shown
    assert f"{reverse('stored_file', args=[stored.public_id])}?show=1" in shown
    assert staff.get(reverse("stored_file", args=[stored.public_id])).status_code == 200
    assert AuditRecord.objects.filter(action="core.view_file").count() == 1


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("passport.png", picture(), "The name ends in .png, but the content is a JPEG file."),
        ("drawing.svg", b"<svg onload='x()'/>", "Accepted are: CSV, JPG, PDF, PNG, WEBP, XLSX."),
        ("bill.pdf", document()[:-30], "cut short"),
        ("nothing.pdf", b"", "empty"),
    ],
)
def test_a_paper_that_is_refused_says_why(staff: Browser, person: Client, name: str, data: bytes, reason: str) -> None:
    answer = upload(staff, person, name, data)

    assert answer.status_code == 400
    assert reason in answer.content.decode().replace("&#x27;", "'")
    assert not StoredFile.objects.filter(state="clean").exists()


def test_papers_are_for_those_who_need_them(person: Client) -> None:
    upload(
        log_in(Browser(), make_user("c@example.com", "compliance", entities=(person.entity,))),
        person,
        "a.pdf",
        document(),
    )
    dealer = log_in(Browser(), make_user("d@example.com", "dealing", entities=(person.entity,)))

    page = text_of(dealer.get(reverse("admin:crm_client_change", args=[person.pk])))

    assert "a.pdf" not in page
    assert upload(dealer, person, "b.pdf", document()).status_code == 403
    assert dealer.get(reverse("stored_file", args=[StoredFile.objects.get().public_id])).status_code == 404
    assert dealer.get(reverse("admin:core_storedfile_changelist")).status_code == 403


def test_a_file_is_erased_from_its_page(staff: Browser, person: Client) -> None:
    upload(staff, person, "a.pdf", document())
    stored = StoredFile.objects.get()
    assert "a.pdf" in text_of(staff.get(reverse("admin:core_storedfile_changelist")))

    url = f"{reverse('admin:core_storedfile_changelist')}{stored.pk}/do/erase/"
    assert "gone for good" in text_of(staff.post(url, {"reason": "Asked", "idempotency_key": "k"}))
    assert staff.post(url, {"reason": "Asked", "confirmed": "yes", "idempotency_key": "k"}).status_code == 302

    stored.refresh_from_db()
    assert stored.erased_at is not None
    assert staff.get(reverse("stored_file", args=[stored.public_id])).status_code == 404


def test_consent_is_recorded_on_the_clients_page(staff: Browser, person: Client) -> None:
    url = f"{reverse('admin:crm_client_changelist')}{person.pk}/do/consent/"
    given = {"is_given": "yes", "evidence": "Call of 3 March", "confirmed": "yes", "idempotency_key": "k"}

    assert staff.post(url, given).status_code == 302

    assert Consent.objects.get().is_given
    assert "Call of 3 March" in text_of(staff.get(reverse("admin:crm_client_change", args=[person.pk])))


def test_a_text_is_written_previewed_tested_and_published(staff: Browser, person: Client) -> None:
    assert "Receipt" in text_of(staff.get(TemplatesPage.url()))
    assert "No other text was written" in text_of(staff.get(TemplatePage.url(code=SERVICE)))
    words = "<mj-section><mj-column><mj-text>Hej {{ name }}, {{ amount }}</mj-text></mj-column></mj-section>"
    form = {
        "language": "sv",
        "subject": "Kvitto {{ amount }}",
        "mjml": words,
        "note": "Swedish",
        "idempotency_key": "k",
    }

    refused = staff.post(WriteTemplate.url(code=SERVICE), {**form, "mjml": words + "{{ salary }}"})
    assert refused.status_code == 400
    assert "There is no variable {{ salary }}." in refused.content.decode()
    saved = staff.post(WriteTemplate.url(code=SERVICE), form)
    version = MessageTemplateVersion.objects.get()
    assert saved["Location"] == reverse("admin:core_messagetemplateversion_change", args=[version.pk])

    page = text_of(staff.get(saved["Location"]))
    assert TemplatePreview.url(code=SERVICE, version_id=version.pk) in page
    preview = staff.get(TemplatePreview.url(code=SERVICE, version_id=version.pk))
    assert "Hej Anna, 10.00 EUR" in text_of(preview)
    assert "sandbox" in preview["Content-Security-Policy"]
    assert "script-src" not in preview["Content-Security-Policy"]
    assert preview["X-Frame-Options"] == "SAMEORIGIN"
    assert "Hej" not in text_of(staff.get(TemplatePreview.url(code=SERVICE, version_id=0)))

    base = f"{reverse('admin:core_messagetemplateversion_changelist')}{version.pk}"
    assert staff.post(f"{base}/do/test/", {"confirmed": "yes", "idempotency_key": "k"}).status_code == 302
    assert mails()[0].to == ["boss@example.com"]
    assert staff.post(f"{base}/do/publish/", {"confirmed": "yes", "idempotency_key": "k"}).status_code == 302
    version.refresh_from_db()
    assert version.state == "published"
    assert text_of(staff.get(f"{WriteTemplate.url(code=SERVICE)}?from={version.pk}")).count("Kvitto") == 1


def test_marketing_writes_texts_and_sees_no_messages(person: Client) -> None:
    writer = log_in(Browser(), make_user("m@example.com", "marketing", entities=(person.entity,)))

    assert writer.get(TemplatesPage.url()).status_code == 200
    assert writer.get(reverse("admin:core_message_changelist")).status_code == 403
    assert writer.get(CaughtMailsPage.url()).status_code == 403
    dealer = log_in(Browser(), make_user("d@example.com", "dealing", entities=(person.entity,)))
    for url in (TemplatesPage.url(), TemplatePage.url(code=SERVICE), TemplatePreview.url(code=SERVICE, version_id=0)):
        assert dealer.get(url).status_code == 403


def test_what_was_written_is_shown_on_record_and_of_the_own_entities_only(staff: Browser, person: Client) -> None:
    message, theirs = receipt(person), receipt(make_client("other"))
    mails()
    shown = text_of(staff.get(reverse("admin:core_message_changelist")))
    assert person.email in shown
    assert theirs.address not in shown

    answer = staff.get(MessageContent.url(message_id=message.pk))

    assert "Dear Anna" in text_of(answer)
    assert "sandbox" in answer["Content-Security-Policy"]
    assert AuditRecord.objects.filter(action="core.view_message").count() == 1
    assert staff.get(MessageContent.url(message_id=theirs.pk)).status_code == 404
    assert staff.get(reverse("admin:core_message_change", args=[message.pk])).status_code == 200
    Message.objects.filter(pk=message.pk).update(category="security")
    message.refresh_from_db()
    message.variables = ""
    message.save()
    assert staff.get(MessageContent.url(message_id=message.pk)).status_code == 404


def test_an_address_is_suppressed_and_lifted_on_the_desk(staff: Browser, person: Client) -> None:
    base = reverse("admin:core_suppression_changelist")
    given = {"entity": person.entity_id, "address": person.email, "scope": "all", "reason": "Asked", "confirmed": "yes"}

    assert staff.post(f"{base}do/suppress/", {**given, "idempotency_key": "k"}).status_code == 302

    entry = Entry.objects.get()
    assert person.email in text_of(staff.get(base))
    lift = {"reason": "Works", "confirmed": "yes", "idempotency_key": "k"}
    assert staff.post(f"{base}{entry.pk}/do/lift/", lift).status_code == 302
    assert [each.is_lifted for each in Entry.objects.order_by("id")] == [False, True]


def test_caught_mails_are_shown_where_mails_are_caught_only(
    staff: Browser, person: Client, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / ("0" * 32 + ".eml")).write_text("Subject: old\n\nold")
    settings.EMAIL_FILE_PATH = str(tmp_path)
    assert "No mail was caught." in text_of(staff.get(CaughtMailsPage.url()))
    assert staff.get(CaughtMailPage.url(number="0" * 32)).status_code == 404
    (tmp_path / ("0" * 32 + ".eml")).unlink()
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = "backoffice.core.messages.catcher.CatcherBackend", str(tmp_path)
    assert "No mail was caught." in text_of(staff.get(CaughtMailsPage.url()))
    message = receipt(person)
    jobs.run_ready(kind=SEND_JOB_KIND, owner="test")

    assert "10.00 EUR received" in text_of(staff.get(CaughtMailsPage.url()))
    number = str(message.public_id)
    assert "Dear Anna" in text_of(staff.get(CaughtMailPage.url(number=number)))
    body = staff.get(CaughtMailBody.url(number=number))
    assert "Dear Anna" in text_of(body)
    assert "sandbox" in body["Content-Security-Policy"]
    assert staff.get(CaughtMailPage.url(number="0" * 32)).status_code == 404
    dealer = log_in(Browser(), make_user("d@example.com", "dealing", entities=(person.entity,)))
    assert dealer.get(CaughtMailsPage.url()).status_code == 403
