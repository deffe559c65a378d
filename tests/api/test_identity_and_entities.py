"""Sessions, sign-ins, access, departures, and what legal entities have, over HTTP."""

from __future__ import annotations

import pytest
from django.test import Client as Browser

from backoffice.core.models import LeaverRecord, LoginEvent, UserSession
from backoffice.core.services import entities, terms
from backoffice.core.types import Role
from tests.api.world import SYSTEM, Caller, caller_for, make_service
from tests.logins import log_in, make_entity, make_user

PROBLEM = "application/problem+json"
NOWHERE = "00000000-0000-7000-8000-000000000000"
pytestmark = pytest.mark.django_db


def caller_of(role: str, code: str = "nova") -> Caller:
    return caller_for(make_service(role, entities=(make_entity(code),), email=f"{role}-{code}@service.test"))


def test_a_person_sees_and_ends_their_own_other_sessions_only() -> None:
    ann, bob = (make_user(f"{name}@house.test", Role.SALES, entities=(make_entity(),)) for name in ("ann", "bob"))
    browser = log_in(Browser(), ann)
    other = UserSession.objects.create(user=ann, session_key="other-key")
    of_bob = UserSession.objects.create(user=bob, session_key="bobs-key")
    UserSession.objects.get_or_create(user=ann, session_key=browser.session.session_key)

    shown = {row["id"]: row["is_current"] for row in browser.get("/api/v1/sessions/").json()}
    assert (len(shown), shown[str(other.public_id)], sorted(shown.values())) == (2, False, [False, True])

    def end(public_id: object) -> int:
        return browser.post(f"/api/v1/sessions/{public_id}/end/", {}, content_type="application/json").status_code

    current = next(public_id for public_id, is_current in shown.items() if is_current)
    assert [end(of_bob.public_id), end(current), end(other.public_id), end(other.public_id)] == [404, 404, 204, 404]
    assert list(UserSession.objects.filter(ended_at__isnull=False)) == [other]
    key = caller_for(ann)
    answers = [key.get("sessions/"), key.post(f"sessions/{current}/end/", {})]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(403, "person_needed")] * 2
    assert Browser().get("/api/v1/sessions/").status_code == 401


def test_sign_ins_are_seen_by_who_sees_the_person() -> None:
    own = make_user("ann@house.test", Role.SALES, entities=(make_entity(),))
    other = make_user("bob@house.test", Role.SALES, entities=(make_entity("orbis"),))
    seen, hidden = (LoginEvent.objects.create(user=user, email=user.email, kind="login") for user in (own, other))
    caller = caller_of(Role.COMPLIANCE)
    (row,) = caller.get("login-events/", {"kind": "login"}).json()["results"]
    assert (row["id"], row["user"]) == (seen.pk, str(own.public_id))
    assert caller.get(f"login-events/{hidden.pk}/").status_code == 404
    far = caller.get("login-events/", {"at_from": "0285-08-17T16:28:10+22:19"})
    assert (far.status_code, len(far.json()["results"])) == (200, 1)
    assert caller.get("login-events/", {"at_from": "0001-01-01T00:00:00+01:00"}).status_code == 400
    assert caller_of(Role.SALES).get("login-events/").status_code == 403


def test_the_access_review_holds_the_callers_people() -> None:
    make_user("ann@house.test", Role.SALES, entities=(make_entity(),))
    make_user("bob@house.test", Role.SALES, entities=(make_entity("orbis"),))
    body = caller_of(Role.AUDITOR).get("access-review/").json()
    emails = {row["email"] for row in body["rows"]}
    assert ("ann@house.test" in emails, "bob@house.test" in emails, len(body["digest"])) == (True, False, 64)
    assert caller_of(Role.SALES).get("access-review/").status_code == 403


def test_a_departure_is_previewed_and_recorded_once() -> None:
    leaver = make_user("ann@house.test", Role.SALES, entities=(make_entity(),))
    other = make_user("bob@house.test", Role.SALES, entities=(make_entity("orbis"),))
    make_user("boss@house.test", Role.ADMINISTRATOR, entities=(make_entity(),))
    caller = caller_of(Role.ADMINISTRATOR)
    body = {"user": str(leaver.public_id)}
    assert {step["key"] for step in caller.post("leavers/preview/", body).json()} >= {"sessions"}
    assert caller.post("leavers/preview/", {"user": str(other.public_id)}).json()["field"] == "user"
    assert caller.post("leavers/", body).json()["field"] == "reason"
    assert caller_of(Role.COMPLIANCE).post("leavers/", body | {"reason": "x"}).status_code == 403
    leaver.refresh_from_db()
    assert (LeaverRecord.objects.count(), leaver.is_active) == (0, True)

    done = caller.post("leavers/", body | {"reason": "moves on"}, key="leaver-1")
    assert (done.status_code, done.json()["user"]) == (201, str(leaver.public_id)), done.content
    again = caller.post("leavers/", body | {"reason": "moves on"})
    assert (again.status_code, again.json()["code"], again["Content-Type"]) == (409, "already_left", PROBLEM)
    assert caller_of(Role.ADMINISTRATOR, "orbis").get(f"leavers/{done.json()['id']}/").status_code == 404
    assert LeaverRecord.objects.count() == 1


def test_bank_accounts_are_masked_and_terms_and_currencies_are_read() -> None:
    nova, orbis = make_entity(), make_entity("orbis")
    for entity in (nova, orbis):
        entities.add_bank_account(
            entity_id=entity.pk,
            name="Clients EUR",
            purpose="client_money",
            currency="EUR",
            bank_name="Bank",
            account_number="DE89370400440532013000",
            actor=SYSTEM,
            reason="opened",
        )
        terms.draft_terms(entity_id=entity.pk, kind="privacy", title="Privacy", body="Text", actor=SYSTEM)
    caller = caller_of(Role.FINANCE)
    answer = caller.get("entity-bank-accounts/", {"currency": "EUR"})
    (account,) = answer.json()["results"]
    assert (account["entity"], account["number_tail"]) == ("nova", "3000")
    assert b"37040044" not in answer.content
    (version,) = caller.get("terms-versions/", {"kind": "privacy"}).json()["results"]
    assert (version["entity"], version["number"], version["valid_from"]) == ("nova", 1, None)
    assert caller.get("entities/nova/").json()["currencies"] == []
    assert caller.get("document-numbers/").json()["results"] == []
    for path in (
        f"entity-bank-accounts/{orbis.bank_accounts.get().public_id}/",
        f"terms-versions/{orbis.terms.get().public_id}/",
        "document-numbers/1/",
    ):
        assert caller.get(path).status_code == 404
    refused = [caller_of(Role.SALES).get("entity-bank-accounts/"), caller_of(Role.DEALING).get("document-numbers/")]
    assert [(found.status_code, found["Content-Type"]) for found in refused] == [(403, PROBLEM)] * 2
