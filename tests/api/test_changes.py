"""Change requests over HTTP: read by whose business they are, made by keys, approved by people only."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client as Browser

from backoffice.core.models import ApprovalPolicy, ChangeRequest, LegalEntity, User
from backoffice.core.services import changes
from backoffice.core.types import Role
from tests.api.world import Caller, caller_for, make_service, service_caller
from tests.factories import changes as board
from tests.factories.changes import word_on, write_on
from tests.logins import log_in, make_actor, make_entity, make_user

PROBLEM = "application/problem+json"
BOARD = "api-board"
WHY = {"reason": "agreed"}
pytestmark = pytest.mark.django_db


class Session:
    """Calls the API with a person's own session."""

    def __init__(self, user: User) -> None:
        self.browser = log_in(Browser(), user)

    def get(self, path: str) -> Any:
        """GET."""
        return self.browser.get(f"/api/v1/{path}")

    def post(self, path: str, body: Any = None, key: str = "") -> Any:
        """POST."""
        headers = {"Idempotency-Key": key} if key else {}
        return self.browser.post(f"/api/v1/{path}", body or {}, content_type="application/json", headers=headers)


class Desk:
    """An entity with a maker and a checker."""

    def __init__(self) -> None:
        board.register()
        self.entity: LegalEntity = make_entity()
        make_entity("orbis")
        self.maker = make_user("maker@house.test", Role.PLATFORM_OPERATIONS, entities=(self.entity,))
        self.checker = make_user("checker@house.test", Role.DEALING, entities=(self.entity,))
        write_on(BOARD, "old")

    def draft(self, word: str = "new") -> ChangeRequest:
        """A draft of the maker's."""
        payload = {"board": BOARD, "word": word}
        actor = make_actor(self.maker)
        return changes.draft_change(
            kind=board.KIND, payload=payload, actor=actor, entity_id=self.entity.pk, reason="needed"
        )

    def submitted(self, word: str = "new") -> ChangeRequest:
        """A draft handed in."""
        return changes.submit_change(change_id=self.draft(word).pk, actor=make_actor(self.maker))


@pytest.fixture
def desk() -> Desk:
    return Desk()


def key_of(user_role: str, entity: LegalEntity, email: str) -> Caller:
    return caller_for(make_service(user_role, entities=(entity,), email=email))


@pytest.mark.django_db(transaction=True)
def test_a_request_goes_from_draft_to_its_proof_and_back(desk: Desk) -> None:
    change = desk.draft()
    maker, checker = Session(desk.maker), Session(desk.checker)
    base = f"changes/{change.public_id}/"

    shown = checker.get(base).json()
    assert (shown["before"], shown["after"], shown["impact_figures"]) == (
        {"word": "old"},
        {"word": "new"},
        {"Letters": 3},
    )
    assert shown["is_stale"] is False
    assert maker.post(f"{base}submit/", key="hand-in").json()["state"] == "submitted"
    own = maker.post(f"{base}approve/", WHY | {"seen_diff": shown["diff_hash"]})
    assert (own.status_code, own["Content-Type"]) == (403, PROBLEM)
    other = checker.post(f"{base}approve/", WHY | {"seen_diff": "0" * 64})
    assert (other.status_code, other.json()["code"], other["Content-Type"]) == (409, "diff_changed", PROBLEM)
    assert checker.post(f"{base}approve/", WHY).json()["field"] == "seen_diff"
    approved = checker.post(f"{base}approve/", WHY | {"seen_diff": shown["diff_hash"]})
    assert (approved.json()["state"], approved.json()["is_policy_approved"]) == ("approved", False)
    assert word_on(BOARD) == "old"
    applied = [maker.post(f"{base}apply/", key="now") for _ in range(2)]
    assert [answer.json()["state"] for answer in applied] == ["verified", "verified"]
    assert word_on(BOARD) == "new"
    assert checker.post(f"{base}revert/", {"reason": "a mistake"}).json()["state"] == "reverted"
    assert word_on(BOARD) == "old"


def test_a_key_never_decides(desk: Desk) -> None:
    change = desk.submitted()
    caller = key_of(Role.DEALING, desk.entity, "robot@house.test")
    base = f"changes/{change.public_id}/"
    for verb, body in (
        ("approve", WHY | {"seen_diff": change.diff_hash}),
        ("reject", WHY),
        ("schedule", WHY | {"apply_at": "2099-01-01T00:00:00Z"}),
    ):
        answer = caller.post(f"{base}{verb}/", body)
        assert (answer.status_code, answer.json()["code"]) == (403, "person_needed"), verb
    own_key = caller_for(desk.checker)
    refused = own_key.post(f"{base}approve/", WHY | {"seen_diff": change.diff_hash})
    assert (refused.status_code, refused.json()["code"]) == (403, "person_needed")
    change.refresh_from_db()
    assert (change.state, change.apply_at) == ("submitted", None)


def test_a_request_is_rejected_withdrawn_scheduled_and_refreshed(desk: Desk) -> None:
    maker, checker = Session(desk.maker), Session(desk.checker)
    rejected, withdrawn, later = desk.submitted("one"), desk.submitted("two"), desk.submitted("three")
    assert checker.post(f"changes/{rejected.public_id}/reject/", WHY).json()["state"] == "rejected"
    assert maker.post(f"changes/{withdrawn.public_id}/withdraw/", WHY).json()["closing_reason"] == "agreed"
    when = {"apply_at": "2099-01-01T00:00:00Z", "reason": "at night"}
    assert checker.post(f"changes/{later.public_id}/schedule/", when).json()["apply_at"] == "2099-01-01T00:00:00Z"
    write_on(BOARD, "moved")
    assert maker.get(f"changes/{later.public_id}/").json()["is_stale"] is True
    stale = checker.post(f"changes/{later.public_id}/approve/", WHY | {"seen_diff": later.diff_hash})
    assert (stale.status_code, stale.json()["code"]) == (409, "change_stale")
    assert maker.post(f"changes/{later.public_id}/refresh/").json()["before"] == {"word": "moved"}
    again = checker.post(f"changes/{rejected.public_id}/withdraw/", WHY)
    assert (again.status_code, again["Content-Type"]) == (409, PROBLEM)


@pytest.mark.django_db(transaction=True)
def test_a_refusal_while_it_is_carried_out_stays_written_down(desk: Desk) -> None:
    change = desk.submitted("explode")
    changes.approve_change(change_id=change.pk, actor=make_actor(desk.checker), reason="agreed")
    answer = Session(desk.maker).post(f"changes/{change.public_id}/apply/", key="now")
    assert (answer.status_code, answer.json()["code"], answer["Content-Type"]) == (409, "board_fell", PROBLEM)
    change.refresh_from_db()
    assert (change.state, word_on(BOARD)) == ("failed", "old")


@pytest.mark.parametrize("verb", ["submit", "approve", "reject", "withdraw", "schedule", "apply", "revert", "refresh"])
def test_what_is_not_the_callers_is_not_there(desk: Desk, verb: str) -> None:
    change = desk.submitted()
    body: dict[str, Any] = {} if verb in {"submit", "apply", "refresh"} else dict(WHY)
    more: dict[str, dict[str, Any]] = {"approve": {"seen_diff": change.diff_hash}, "schedule": {"apply_at": None}}
    body |= more.get(verb, {})
    elsewhere = make_entity("orbis")
    for number, (role, entity) in enumerate([(Role.DEALING, elsewhere), (Role.SALES, desk.entity)]):
        caller = key_of(role, entity, f"s{number}@house.test")
        assert caller.get("changes/").json()["results"] == []
        answer = caller.post(f"changes/{change.public_id}/{verb}/", body)
        assert (answer.status_code, answer["Content-Type"]) == (404, PROBLEM)
    auditor = key_of(Role.AUDITOR, desk.entity, "auditor@house.test")
    assert auditor.get("changes/", {"state": "submitted"}).json()["results"][0]["id"] == str(change.public_id)
    if verb not in {"submit", "revert"}:
        assert auditor.post(f"changes/{change.public_id}/{verb}/", body).status_code == 403
    change.refresh_from_db()
    assert change.state == "submitted"


def test_a_policy_is_requested_by_one_and_ended_by_another(desk: Desk) -> None:
    administrator = make_user("admin@house.test", Role.ADMINISTRATOR, entities=(desk.entity,))
    second = make_user("second@house.test", Role.COMPLIANCE, entities=(desk.entity,))
    body = {"kind": board.KIND, "entity": "nova", "bounds": {"longest": 3}, "reason": "small ones"}
    assert service_caller(Role.SALES).post("approval-policies/", body).status_code == 403
    assert Session(administrator).post("approval-policies/", body | {"bounds": {}}).status_code == 400
    assert Session(administrator).post("approval-policies/", body | {"entity": "orbis"}).json()["field"] == "entity"
    made = Session(administrator).post("approval-policies/", body, key="policy-1")
    assert (made.status_code, made.json()["state"]) == (201, "draft")
    change = ChangeRequest.objects.get()
    changes.submit_change(change_id=change.pk, actor=make_actor(administrator))
    changes.approve_change(change_id=change.pk, actor=make_actor(second), reason="agreed")
    changes.apply_change(change_id=change.pk, actor=make_actor(second))

    (policy,) = Session(second).get("approval-policies/").json()["results"]
    assert (policy["kind"], policy["bounds"], policy["validity"]["valid_to"]) == (board.KIND, {"longest": 3}, None)
    stranger = key_of(Role.COMPLIANCE, make_entity("orbis"), "o@house.test")
    assert stranger.post(f"approval-policies/{policy['id']}/end/", WHY).status_code == 404
    ended = Session(second).post(f"approval-policies/{policy['id']}/end/", WHY)
    assert (ended.status_code, ended.json()["end_reason"]) == (200, "agreed")
    assert ApprovalPolicy.objects.get().ended_by == "second@house.test"
