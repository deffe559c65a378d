"""Work items and switches over HTTP: scoped like the inbox, closed to other roles and brokers, conflicts as problems."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backoffice.core.models import AuditRecord, SwitchStop, WorkItem, WorkItemMute
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.kernel import clock as kernel_clock
from tests.api.world import caller_for, make_service, service_caller
from tests.core.work_help import ALARM, FLAPPING, alarm, kinds, person
from tests.logins import make_actor, make_entity

__all__ = ["kinds"]
PROBLEM = "application/problem+json"
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kinds")]
WHY = {"reason": "because"}


def test_the_list_is_the_inbox_of_the_caller() -> None:
    nova, orbis = make_entity(), make_entity("orbis")
    mine = alarm("a", entity_id=nova.pk, evidence={"amount": "1.00"})
    alarm("b", entity_id=orbis.pk)
    work_items.open_item(kind=FLAPPING, group_key="c", title="Another desk's", entity_id=nova.pk)
    of_nobody = alarm("d")
    work_items.close_item(item_id=of_nobody.pk, resolution="Done.", actor=make_actor(person("finance", nova)))
    caller = service_caller(Role.FINANCE, entities=(nova,))

    def keys(**query: str) -> list[str]:
        return [row["group_key"] for row in caller.get("work-items/", query).json()["results"]]

    assert keys() == ["d", "a"]
    assert keys(view="desks") == ["a"]
    assert keys(view="mine") == keys(is_overdue="true") == keys(severity_from="4") == []
    assert keys(state="closed") == ["d"]
    found = caller.get(f"work-items/{mine.public_id}/").json()
    assert (found["entity"], found["evidence"], found["is_muted"]) == ("nova", {"amount": "1.00"}, False)
    assert found["events"][0]["kind"] == "opened"
    assert caller.get("work-items/", {"view": "theirs"}).status_code == 400


def test_an_item_is_taken_given_discussed_closed_and_reopened() -> None:
    nova = make_entity()
    item, colleague = alarm(entity_id=nova.pk), person("finance", nova, name="ann")
    service = make_service(Role.FINANCE, entities=(nova,))
    caller = caller_for(service)
    base = f"work-items/{item.public_id}/"

    assert caller.post(f"{base}take/").json()["owner"] == str(service.public_id)
    assert caller.post(f"{base}put-back/", {}).json()["owner"] is None
    given = caller.post(f"{base}assign/", {"owner": str(colleague.public_id), "reason": "yours"})
    assert (given.status_code, given.json()["owner"]) == (200, str(colleague.public_id))
    taken = caller.post(f"{base}take/")
    assert (taken.status_code, taken.json()["code"], taken["Content-Type"]) == (409, "already_taken", PROBLEM)
    said = [caller.post(f"{base}comment/", {"text": "Rounding."}, key="said") for _ in range(2)]
    assert [answer.status_code for answer in said] == [201, 201]
    assert item.events.filter(kind="commented").count() == 1
    assert caller.post(f"{base}close/", {"resolution": "Booked."}).json()["state"] == "closed"
    newer = alarm(entity_id=nova.pk)
    assert caller.post(f"{base}reopen/", WHY).json()["code"] == "newer_item_open"
    caller.post(f"work-items/{newer.public_id}/close/", {"resolution": "The same."})
    assert caller.post(f"{base}reopen/", WHY).json()["state"] == "open"


def test_an_item_is_given_to_nobody_who_may_not_own_it() -> None:
    nova = make_entity()
    item, stranger = alarm(entity_id=nova.pk), person("finance", make_entity("orbis"), name="ann")
    caller = service_caller(Role.FINANCE, entities=(nova,))
    answers = [
        caller.post(f"work-items/{item.public_id}/assign/", {"owner": owner})
        for owner in (str(stranger.public_id), "00000000-0000-7000-8000-000000000000")
    ]
    assert [(answer.status_code, answer.json()["field"]) for answer in answers] == [(400, "owner")] * 2
    assert answers[0].json()["title"] == answers[1].json()["title"]
    assert WorkItem.objects.get().owner is None


@pytest.mark.parametrize(
    ("verb", "body"),
    [
        ("take", {}),
        ("assign", {"owner": "00000000-0000-7000-8000-000000000000"}),
        ("put-back", {}),
        ("comment", {"text": "x"}),
        ("close", {"resolution": "x"}),
        ("reopen", WHY),
    ],
)
def test_what_is_not_the_callers_is_not_there_and_an_auditor_only_reads(verb: str, body: dict[str, str]) -> None:
    nova, orbis = make_entity(), make_entity("orbis")
    item = alarm(entity_id=nova.pk)
    base = f"work-items/{item.public_id}/"
    for number, (role, entity, status) in enumerate(
        [(Role.FINANCE, orbis, 404), (Role.SALES, nova, 404), (Role.AUDITOR, nova, 403)]
    ):
        caller = caller_for(make_service(role, entities=(entity,), email=f"s{number}@house.test"))
        answer = caller.post(f"{base}{verb}/", body)
        assert (answer.status_code, answer["Content-Type"]) == (status, PROBLEM), role
        assert caller.get(base).status_code == 404
    assert [event.kind for event in item.events.all()] == ["opened"]


def test_mutes_are_made_and_ended_by_the_kinds_own_desk() -> None:
    nova, orbis = make_entity(), make_entity("orbis")
    until = (kernel_clock.now() + timedelta(days=1)).isoformat()
    body = {"kind": ALARM, "entity": "nova", "until": until, "reason": "known"}
    caller = service_caller(Role.FINANCE, entities=(nova,))

    made = caller.post("work-mutes/", body)
    assert (made.status_code, made.json()["entity"], made.json()["group_key"]) == (201, "nova", "")
    assert alarm(entity_id=nova.pk).delivered_at is None
    assert caller.get("work-items/").json()["results"][0]["is_muted"] is True
    for wrong in (
        {"entity": "orbis"},
        {"until": "2020-01-01T00:00:00Z"},
        {"until": "2030-01-01T00:00:00"},
        {"typo": 1},
    ):
        assert caller.post("work-mutes/", body | wrong).status_code == 400, wrong
    assert caller.post("work-mutes/", body | {"entity": None}).json()["code"] == "not_whole_broker"
    assert caller.post("work-mutes/", body | {"kind": FLAPPING}).status_code == 403
    assert WorkItemMute.objects.count() == 1

    stranger = caller_for(make_service(Role.FINANCE, entities=(orbis,), email="o@house.test"))
    address = f"work-mutes/{made.json()['id']}/"
    assert [stranger.get(address).status_code, stranger.post(f"{address}end/", WHY).status_code] == [404, 404]
    assert caller.post(f"{address}end/", WHY).status_code == 200
    assert WorkItemMute.objects.get().until <= kernel_clock.now()


def test_the_caller_says_how_to_be_told() -> None:
    caller = service_caller(Role.FINANCE)
    body = {"plays_sound": True, "mail_from": None}
    assert caller.post("work-delivery/", body).json() == body
    assert caller.post("work-delivery/", body | {"mail_from": 9}).status_code == 400


STOP = {"switch": "sends", "entity": "nova", "reason": "wrong text"}


def test_a_flow_is_stopped_once_and_let_go_on() -> None:
    nova, orbis = make_entity(), make_entity("orbis")
    caller = service_caller(Role.MARKETING, entities=(nova,))

    first, second = caller.post("switch-stops/", STOP), caller.post("switch-stops/", STOP)
    assert (first.status_code, first.json()["is_new"], second.json()["is_new"]) == (200, True, False)
    assert first.json()["is_drained"] is True
    (shown,) = caller.get("switch-stops/", {"is_standing": "true"}).json()["results"]
    assert (shown["switch"], shown["entity"], shown["resumed_at"]) == ("sends", "nova", None)
    stranger = caller_for(make_service(Role.MARKETING, entities=(orbis,), email="o@house.test"))
    assert stranger.get(f"switch-stops/{shown['id']}/").status_code == 404
    assert stranger.get("switch-stops/").json()["results"] == []
    assert stranger.post("switch-stops/resume/", STOP).json()["field"] == "entity"

    assert caller.post("switch-stops/resume/", STOP).json()["resume_reason"] == "wrong text"
    again = caller.post("switch-stops/resume/", STOP)
    assert (again.status_code, again.json()["code"], again["Content-Type"]) == (409, "not_stopped", PROBLEM)
    assert list(AuditRecord.objects.filter(action__endswith="_switch").values_list("action", flat=True)) == [
        "core.resume_switch",
        "core.stop_switch",
    ]


def test_a_stop_needs_its_own_capability_and_the_whole_broker_is_never_meant_by_accident() -> None:
    nova = make_entity()
    make_entity("orbis")
    service = make_service(Role.MARKETING, entities=(nova,))
    caller = caller_for(service)
    assert caller.post("switch-stops/", STOP | {"switch": "withdrawals"}).status_code == 403
    assert caller.post("switch-stops/resume/", STOP | {"switch": "withdrawals"}).status_code == 403
    narrow = caller_for(service, ["core.view_switches"])
    assert narrow.post("switch-stops/", STOP).status_code == 403
    nowhere = {key: value for key, value in STOP.items() if key != "entity"}
    assert caller.post("switch-stops/", nowhere).json()["field"] == "entity"
    assert caller.post("switch-stops/", STOP | {"entity": None}).json()["code"] == "not_whole_broker"
    assert caller.post("switch-stops/", STOP | {"reason": " "}).status_code == 400
    assert SwitchStop.objects.count() == 0


def test_client_money_is_let_go_on_by_a_second_person() -> None:
    nova = make_entity()
    first = service_caller(Role.FINANCE, entities=(nova,))
    second = caller_for(make_service(Role.FINANCE, entities=(nova,), email="second@house.test"))
    body = STOP | {"switch": "withdrawals"}
    first.post("switch-stops/", body, key="stop-1")
    refused = first.post("switch-stops/resume/", body)
    assert (refused.status_code, refused.json()["code"]) == (403, "second_person_needed")
    assert second.post("switch-stops/resume/", body).status_code == 200
