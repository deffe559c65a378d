"""Change requests under two people at once: one transition, whoever comes first."""

from __future__ import annotations

import signal
from functools import partial

import pytest

from backoffice.core.models import ChangeRequest
from backoffice.core.services import changes
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import DomainError, IllegalTransition
from tests.core.test_changes import Desk
from tests.factories.changes import make_person, word_on
from tests.faults.harness import run_child
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def verbs(change: ChangeRequest) -> list[str]:
    return list(change.events.values_list("verb", flat=True))


def test_two_approvers_at_once_make_one_transition():
    desk = Desk()
    second = make_person(Role.DEALING, entities=[desk.entity])
    change = desk.submitted()
    results = at_once(
        *(
            partial(changes.approve_change, change_id=change.pk, actor=actor, reason="agreed")
            for actor in (desk.checker, second)
        )
    )
    assert not [result for result in results if isinstance(result, DomainError)]
    assert verbs(change).count("approve") == 1
    assert {result.checker_id for result in results} == {ChangeRequest.objects.get(pk=change.pk).checker_id}


def test_an_approval_and_a_withdrawal_at_once_leave_one_story():
    desk = Desk()
    change = desk.submitted()
    results = at_once(
        partial(changes.approve_change, change_id=change.pk, actor=desk.checker, reason="agreed"),
        partial(changes.withdraw_change, change_id=change.pk, actor=desk.maker, reason="not now"),
    )
    state = ChangeRequest.objects.get(pk=change.pk).state
    assert state == "withdrawn"
    assert isinstance(results[0], IllegalTransition) or verbs(change)[-2:] == ["approve", "withdraw"]


def test_two_who_apply_at_once_and_beat_carry_it_out_once():
    desk = Desk()
    change = desk.approved(apply_at=None)
    at_once(
        partial(changes.apply_change, change_id=change.pk, actor=desk.maker),
        partial(changes.apply_change, change_id=change.pk, actor=desk.checker),
        changes.apply_due_changes,
    )
    assert verbs(change).count("apply") == 1
    assert ChangeRequest.objects.get(pk=change.pk).state == "verified"
    assert word_on(desk.board) == "new"


@pytest.mark.faults
@pytest.mark.parametrize("point", ["core.change.after_apply", "core.change.before_commit"])
def test_a_process_that_dies_between_applying_and_marking_leaves_neither(point):
    desk = Desk()
    change = desk.approved()
    status = run_child(lambda: changes.apply_change(change_id=change.pk, actor=Actor.system("child")), crash_at=point)
    assert status == -signal.SIGKILL
    assert ChangeRequest.objects.get(pk=change.pk).state == "approved"
    assert word_on(desk.board) is None
    assert changes.apply_change(change_id=change.pk, actor=desk.maker).state == "verified"
    assert word_on(desk.board) == "new"
