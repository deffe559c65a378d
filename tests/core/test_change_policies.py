"""Policies that act by themselves: recorded as the approval, within their bounds, while they are in force."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine

from backoffice.core.models import AuditRecord, ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Denied, InvalidInput
from tests.core.test_changes import Desk
from tests.core.test_changes_database import published_policy
from tests.factories import changes as board
from tests.factories.changes import make_person, word_on

pytestmark = pytest.mark.django_db


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_policy_approves_what_lies_within_its_bounds_and_is_named_as_the_approval(desk):
    assert desk.submitted("tiny").state == "submitted"
    policy = published_policy(desk, longest=4)

    within = desk.submitted("four")
    assert (within.state, within.policy_id, within.checker_id) == ("verified", policy.pk, None)
    assert within.checked_by == f"{board.KIND} policy v1"
    assert word_on(desk.board) == "four"
    approval = AuditRecord.objects.get(action="core.approve_change", object_id=str(within.pk))
    assert (approval.actor, approval.user_id) == (f"system:policy {board.KIND} v1", None)
    assert approval.changes["policy_version"] == 1

    outside = desk.submitted("fives")
    assert (outside.state, outside.policy_id) == ("submitted", None)
    assert "longer than 4 letters" in outside.events.get(verb="leave_to_person").text
    assert word_on(desk.board) == "four"


def test_another_bound_gives_another_result(desk):
    published_policy(desk, longest=3)
    assert desk.submitted("four").state == "submitted"


def test_a_policy_that_ended_or_belongs_to_another_entity_approves_nothing(desk):
    other = Desk()
    published_policy(other)
    assert desk.submitted("four").state == "submitted"
    policy = published_policy(desk)
    assert desk.submitted("abc").state == "verified"
    changes.end_policy(policy_id=policy.pk, actor=desk.administrator, reason="enough")
    changes.end_policy(policy_id=policy.pk, actor=desk.administrator, reason="again")
    assert desk.submitted("xyz").state == "submitted"


def test_a_later_version_replaces_the_earlier_one_from_its_beginning(desk):
    first = published_policy(desk, longest=4)
    with time_machine.travel(clock.now() + timedelta(hours=1), tick=False):
        second = published_policy(desk, longest=6)
        first.refresh_from_db()
        assert (second.number, first.validity.upper) == (2, second.validity.lower)
        assert desk.submitted("sixsix").checked_by.endswith("v2")


def test_a_policy_waits_for_its_schedule_and_beat_carries_it_out(desk):
    published_policy(desk)
    moment = clock.now() + timedelta(hours=1)
    change = desk.submitted("four", apply_at=moment)
    assert (change.state, word_on(desk.board)) == ("approved", None)
    with time_machine.travel(moment, tick=False):
        assert changes.apply_due_changes() == 1
    assert ChangeRequest.objects.get(pk=change.pk).state == "verified"


def test_reverting_a_policy_ends_it(desk):
    policy = published_policy(desk)
    compliance = make_person(Role.COMPLIANCE, entities=[desk.entity])
    changes.revert_change(change_id=policy.change_id, actor=compliance, reason="too loose")
    assert desk.submitted("four").state == "submitted"


def test_a_policy_is_made_by_two_people_within_readable_bounds(desk):
    administrator = make_person(Role.ADMINISTRATOR, entities=[desk.entity])
    arguments = {"kind": board.KIND, "actor": administrator, "reason": "x", "entity_id": desk.entity.pk}
    for bounds in ({}, {"longest": "many"}):
        with pytest.raises(InvalidInput):
            changes.request_policy(bounds=bounds, **arguments)
    with pytest.raises(InvalidInput):
        changes.request_policy(bounds={"longest": 3}, **{**arguments, "kind": "core.approval_policy"})
    with pytest.raises(InvalidInput):
        changes.request_policy(bounds={"longest": 3}, valid_to=clock.now() - timedelta(days=1), **arguments)
    change = changes.request_policy(bounds={"longest": 3}, **arguments)
    changes.submit_change(change_id=change.pk, actor=administrator)
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=administrator, reason="mine")
    with pytest.raises(Denied):
        changes.request_policy(bounds={"longest": 3}, **{**arguments, "actor": desk.maker})
    assert ChangeRequest.objects.get(pk=change.pk).state == "submitted"
