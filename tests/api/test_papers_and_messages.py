"""A client's papers and consents, messages, texts and suppressed addresses over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from backoffice.core.models import AuditRecord, Consent, Message, MessageTemplateVersion, StoredFile, Suppression
from backoffice.core.services.files import store_file
from backoffice.core.types import Role
from backoffice.kernel import clock
from crm.documents import PURPOSE
from tests.api.world import SYSTEM, Caller, caller_for, make_brand, make_client, make_service, service_caller
from tests.core.test_file_checks import document, picture
from tests.logins import make_entity

PROBLEM = "application/problem+json"
NOWHERE = "00000000-0000-7000-8000-000000000000"
pytestmark = pytest.mark.django_db


def give(caller: Caller, client: Any, data: bytes, name: str = "passport.jpg", key: str = "") -> Any:
    headers = {"Authorization": f"Bearer {caller.text}"} | ({"Idempotency-Key": key} if key else {})
    body = {"document": SimpleUploadedFile(name, data)}
    return caller.browser.post(f"/api/v1/clients/{client.public_id}/documents/", body, headers=headers)


def caller_of(role: str, code: str = "nova") -> Caller:
    return caller_for(make_service(role, entities=(make_entity(code),), email=f"{role}-{code}@house.test"))


def test_a_paper_is_given_once_listed_and_handed_out_on_record() -> None:
    client, caller = make_client(make_entity()), service_caller(Role.COMPLIANCE)
    given = [give(caller, client, picture(), key="paper-1") for _ in range(2)]
    assert [answer.status_code for answer in given] == [201, 201], given[0].content
    assert StoredFile.objects.count() == 1
    paper = given[0].json()
    assert (paper["state"], paper["content_type"], paper["original_name"]) == ("clean", "image/jpeg", "passport.jpg")
    (listed,) = caller.get(f"clients/{client.public_id}/documents/").json()
    assert listed == paper

    content = caller.get(f"client-documents/{paper['id']}/content/", Accept="application/octet-stream, */*")
    assert (content.status_code, content["Content-Type"]) == (200, "application/octet-stream")
    assert (len(content.content), content["Cache-Control"]) == (paper["size_bytes"], "private, no-store")
    assert content["Content-Disposition"].startswith("attachment")
    assert AuditRecord.objects.filter(action="core.view_file").count() == 1


def test_a_refused_paper_is_told_and_never_handed_out() -> None:
    client, caller = make_client(make_entity()), service_caller(Role.COMPLIANCE)
    paper = give(caller, client, b"MZ" + b"\x00" * 100).json()
    assert (paper["state"], paper["reason"] != "") == ("refused", True)
    answer = caller.get(f"client-documents/{paper['id']}/content/")
    assert (answer.status_code, answer.json()["code"], answer["Content-Type"]) == (409, "file_not_clean", PROBLEM)


def test_what_cannot_be_a_paper_leaves_nothing_behind() -> None:
    client, caller = make_client(make_entity()), service_caller(Role.COMPLIANCE)
    assert give(caller, client, b"").status_code == 400
    large = give(caller, client, b"x" * (15 * 1024 * 1024 + 1))
    assert (large.status_code, large.json()["code"]) == (400, "too_large")
    assert caller.post(f"clients/{client.public_id}/documents/", {"document": "text"}).status_code == 415
    assert StoredFile.objects.count() == 0


def test_papers_of_other_people_are_not_there() -> None:
    client = make_client(make_entity())
    paper = store_file(
        purpose=PURPOSE, data=picture(), file_name="a.jpg", actor=SYSTEM, entity_id=client.entity_id, owner=client
    )
    for caller, status in (
        (caller_of(Role.COMPLIANCE, "orbis"), 404),
        (caller_of(Role.SALES), 404),
        (caller_of(Role.MARKETING), 403),
    ):
        answers = [
            caller.get(f"clients/{client.public_id}/documents/"),
            caller.get(f"client-documents/{paper.public_id}/content/"),
            give(caller, client, document(), "a.pdf"),
        ]
        assert [(answer.status_code, answer["Content-Type"]) for answer in answers] == [(status, PROBLEM)] * 3
    auditor = caller_of(Role.AUDITOR)
    assert auditor.get(f"client-documents/{paper.public_id}/content/").status_code == 200
    assert give(auditor, client, document(), "a.pdf").status_code == 403
    assert auditor.get(f"client-documents/{NOWHERE}/content/").status_code == 404
    assert StoredFile.objects.count() == 1


def test_consent_is_recorded_and_withdrawn() -> None:
    client, caller = make_client(make_entity()), service_caller(Role.COMPLIANCE)
    address = f"clients/{client.public_id}/consents/"
    assert caller.post(address, {"is_given": True, "evidence": "Form of May"}).json()["is_given"] is True
    assert caller.post(address, {"is_given": True, "evidence": "Again"}).json()["evidence"] == "Form of May"
    assert caller.post(address, {"is_given": False, "evidence": "Call"}).json()["is_given"] is False
    assert [entry["is_given"] for entry in caller.get(address).json()] == [False, True]
    for wrong in ({"evidence": "x"}, {"is_given": True, "evidence": ""}, {"is_given": True, "evidence": "x", "y": 1}):
        assert caller.post(address, wrong).status_code == 400
    body = {"is_given": True, "evidence": "x"}
    assert caller_of(Role.COMPLIANCE, "orbis").post(address, body).status_code == 404
    assert caller_of(Role.AUDITOR).post(address, body).status_code == 403
    assert Consent.objects.count() == 2


def make_message(code: str, **fields: Any) -> Message:
    entity = make_entity(code)
    return Message.objects.create(
        template="core.test", category="service", entity=entity, address=f"a@{code}.test", dedupe_key=code, **fields
    )


def test_messages_are_read_without_what_was_filled_in_and_a_failed_one_is_sent_again() -> None:
    failed = make_message("nova", state="failed", finished_at=clock.now(), variables='{"name": "secret"}')
    other = make_message("orbis")
    caller = service_caller(Role.ADMINISTRATOR)
    (shown,) = caller.get("messages/").json()["results"]
    assert (shown["id"], shown["address"], shown["state"]) == (str(failed.public_id), "a@nova.test", "failed")
    assert b"secret" not in caller.get(f"messages/{failed.public_id}/").content
    assert caller.get(f"messages/{other.public_id}/").status_code == 404
    address = f"messages/{failed.public_id}/send-again/"
    assert caller_of(Role.COMPLIANCE).post(address, {"reason": "x"}).status_code == 403
    assert caller.post(address, {"reason": "the provider is back"}).json()["state"] == "queued"
    again = caller.post(address, {"reason": "once more"})
    assert (again.status_code, again.json()["code"], again["Content-Type"]) == (409, "message_not_failed", PROBLEM)
    assert caller.post(f"messages/{other.public_id}/send-again/", {"reason": "x"}).status_code == 404
    assert service_caller_refused("messages/")


def service_caller_refused(path: str) -> bool:
    return bool(caller_of(Role.SALES).get(path).status_code == 403)


def test_texts_are_those_of_the_callers_brands_and_of_every_brand() -> None:
    for number, brand in enumerate([make_brand(make_entity()), make_brand(make_entity("orbis")), None], start=1):
        MessageTemplateVersion.objects.create(
            code="core.test", brand=brand, number=number, subject=f"s{number}", mjml="<mj-text>x</mj-text>"
        )
    caller = caller_of(Role.MARKETING)
    assert [row["subject"] for row in caller.get("message-template-versions/").json()["results"]] == ["s3", "s1"]
    hidden = MessageTemplateVersion.objects.get(number=2)
    assert caller.get(f"message-template-versions/{hidden.public_id}/").status_code == 404
    assert service_caller_refused("message-template-versions/")


def test_an_address_is_suppressed_and_let_go() -> None:
    make_entity("orbis")
    caller = caller_of(Role.MARKETING)
    body = {"entity": "nova", "address": "Ann@X.test", "scope": "all", "reason": "asked by phone"}
    first, second = caller.post("suppressions/", body), caller.post("suppressions/", body)
    assert (first.status_code, first.json()["id"]) == (200, second.json()["id"])
    (found,) = caller.get("suppressions/", {"address": "ann@x.test"}).json()["results"]
    assert (found["scope"], found["is_lifted"], found["source"]) == ("all", False, "staff")
    assert caller.get("suppressions/", {"address": "b@x.test"}).json()["results"] == []
    lift = f"suppressions/{found['id']}/lift/"
    assert caller_of(Role.MARKETING, "orbis").post(lift, {"reason": "x"}).status_code == 404
    assert caller_of(Role.AUDITOR).post(lift, {"reason": "x"}).status_code == 403
    assert caller.post("suppressions/", body | {"entity": "orbis"}).json()["field"] == "entity"
    assert caller.post("suppressions/", body | {"address": "nobody"}).json()["field"] == "address"
    assert caller.post(lift, {"reason": "asked again"}).json()["is_lifted"] is True
    again = caller.post(lift, {"reason": "asked again"})
    assert (again.status_code, again.json()["code"], again["Content-Type"]) == (409, "not_suppressed", PROBLEM)
    assert Suppression.objects.count() == 2
