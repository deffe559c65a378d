"""Change requests: each step by who may do it, once, on the state that was looked at."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from backoffice.core.models import AuditRecord, ChangeRequest, OutboxEvent
from backoffice.core.services import changes
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, IllegalTransition, InvalidInput, NotFound
from tests.factories import changes as board
from tests.factories.changes import make_person, word_on, write_on
from tests.factories.platform import make_entity, number

pytestmark = pytest.mark.django_db


class Desk:
    """An entity with somebody who makes changes and somebody who checks them."""

    def __init__(self) -> None:
        board.register()
        self.entity = make_entity()
        self.maker = make_person(Role.PLATFORM_OPERATIONS, entities=[self.entity])
        self.checker = make_person(Role.DEALING, entities=[self.entity])
        self.board = f"board-{number()}"

    def draft(self, word: str = "new", **fields: object) -> ChangeRequest:
        """A draft of the maker."""
        payload = {"board": self.board, "word": word}
        arguments = {"payload": payload, "actor": self.maker, "entity_id": self.entity.pk, "reason": "needed", **fields}
        return changes.draft_change(kind=board.KIND, **arguments)

    def submitted(self, word: str = "new", **fields: object) -> ChangeRequest:
        """A draft that was handed in."""
        return changes.submit_change(change_id=self.draft(word, **fields).pk, actor=self.maker)

    def approved(self, word: str = "new", **fields: object) -> ChangeRequest:
        """A request that the checker approved."""
        change = self.submitted(word, **fields)
        return changes.approve_change(change_id=change.pk, actor=self.checker, reason="agreed")


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_a_change_goes_from_draft_to_verified_and_is_reverted(desk):
    write_on(desk.board, "old")

    change = desk.draft("new")
    assert (change.state, change.before, change.after) == ("draft", {"word": "old"}, {"word": "new"})
    assert change.reference.startswith("CR-") and len(change.reference) == 9
    assert (change.impact_summary, change.impact_figures) == ("The board will say new.", {"Letters": 3})
    assert word_on(desk.board) == "old"

    assert changes.submit_change(change_id=change.pk, actor=desk.maker).state == "submitted"
    approved = changes.approve_change(change_id=change.pk, actor=desk.checker, reason="agreed")
    assert (approved.state, approved.checker_id, approved.policy_id) == ("approved", desk.checker.user_id, None)
    assert word_on(desk.board) == "old"

    applied = changes.apply_change(change_id=change.pk, actor=desk.maker)
    assert applied.state == "verified"
    assert word_on(desk.board) == "new"
    assert applied.executed_hash == applied.approved_hash == applied.payload_hash
    assert applied.outcome == {"board": desk.board, "word": "new", "before": "old"}

    reverted = changes.revert_change(change_id=change.pk, actor=desk.checker, reason="a mistake")
    assert (reverted.state, reverted.closing_reason) == ("reverted", "a mistake")
    assert word_on(desk.board) == "old"
    assert [event.verb for event in change.events.all()] == ["draft", "submit", "approve", "apply", "verify", "revert"]
    actions = AuditRecord.objects.filter(object_type="core.changerequest", object_id=str(change.pk)).order_by("id")
    assert [record.action for record in actions][-3:] == [
        "core.apply_change",
        "core.verify_change",
        "core.revert_change",
    ]
    assert {record.entity_id for record in actions} == {desk.entity.pk}
    assert OutboxEvent.objects.filter(topic="core.change_verified", payload__change_id=change.pk).count() == 1


def test_repeating_a_finished_step_changes_nothing(desk):
    change = desk.approved()
    first = ChangeRequest.objects.get(pk=change.pk)
    changes.submit_change(change_id=change.pk, actor=desk.maker)
    changes.approve_change(change_id=change.pk, actor=desk.checker, reason="again")
    again = ChangeRequest.objects.get(pk=change.pk)
    assert (again.approval_reason, again.approved_at) == (first.approval_reason, first.approved_at)

    changes.apply_change(change_id=change.pk, actor=desk.maker)
    write_on(desk.board, "later")
    assert changes.apply_change(change_id=change.pk, actor=desk.maker).state == "verified"
    assert word_on(desk.board) == "later"
    write_on(desk.board, "new")
    changes.revert_change(change_id=change.pk, actor=desk.checker, reason="back")
    changes.revert_change(change_id=change.pk, actor=desk.checker, reason="back again")
    assert change.events.filter(verb="revert").count() == 1
    assert change.events.filter(verb="apply").count() == 1


def test_the_maker_does_not_approve_even_with_the_right_to_check(desk):
    change = desk.submitted()
    for step in (changes.approve_change, changes.reject_change):
        with pytest.raises(Denied) as refused:
            step(change_id=change.pk, actor=desk.maker, reason="my own")
        assert refused.value.code == "second_person_needed"
    assert ChangeRequest.objects.get(pk=change.pk).state == "submitted"


def test_only_a_person_in_a_session_approves(desk):
    change = desk.submitted()
    service = make_person(Role.DEALING, entities=[desk.entity], is_service=True)
    for actor in (
        Actor.system("job"),
        service,
        replace(desk.checker, capabilities=frozenset({board.CHECK, "core.view_changes"}), is_confined=True),
    ):
        with pytest.raises(Denied) as refused:
            changes.approve_change(change_id=change.pk, actor=actor, reason="by machine")
        assert refused.value.code == "person_needed"
    assert ChangeRequest.objects.get(pk=change.pk).state == "submitted"


def test_without_the_capability_nothing_is_made_approved_applied_or_reverted(desk):
    sales = make_person(Role.SALES, entities=[desk.entity])
    auditor = make_person(Role.AUDITOR, entities=[desk.entity])
    with pytest.raises(Denied):
        desk.draft(actor=desk.checker)
    change = desk.submitted()
    with pytest.raises(NotFound):
        changes.approve_change(change_id=change.pk, actor=sales, reason="x")
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=auditor, reason="x")
    changes.approve_change(change_id=change.pk, actor=desk.checker, reason="agreed")
    with pytest.raises(Denied):
        changes.apply_change(change_id=change.pk, actor=auditor)
    changes.apply_change(change_id=change.pk, actor=desk.maker)
    with pytest.raises(Denied):
        changes.revert_change(change_id=change.pk, actor=auditor, reason="x")
    assert word_on(desk.board) == "new"


def test_a_request_of_another_entity_is_not_there(desk):
    change = desk.submitted()
    stranger = make_person(Role.ADMINISTRATOR, entities=[make_entity()])
    for step in (changes.approve_change, changes.reject_change, changes.withdraw_change, changes.revert_change):
        with pytest.raises(NotFound):
            step(change_id=change.pk, actor=stranger, reason="x")
    with pytest.raises(NotFound):
        desk.draft(actor=stranger)
    assert not ChangeRequest.objects.visible_to(stranger).exists()
    assert ChangeRequest.objects.visible_to(desk.checker).count() == 1


def test_what_concerns_the_whole_broker_is_for_who_sees_all_of_it(desk):
    with pytest.raises(Denied):
        make_entity()
        desk.draft(entity_id=None)
    everybody = make_person(Role.PLATFORM_OPERATIONS, entities=list(type(desk.entity).objects.all()))
    change = desk.draft(entity_id=None, actor=everybody)
    assert change.entity_id is None
    assert not ChangeRequest.objects.visible_to(desk.maker).filter(pk=change.pk).exists()
    assert ChangeRequest.objects.visible_to(everybody).filter(pk=change.pk).exists()


def test_only_the_maker_edits_and_hands_in(desk):
    change = desk.draft()
    colleague = make_person(Role.PLATFORM_OPERATIONS, entities=[desk.entity])
    for step in (
        lambda: changes.submit_change(change_id=change.pk, actor=colleague),
        lambda: changes.edit_change(
            change_id=change.pk, payload={"board": desk.board, "word": "other"}, actor=colleague, reason="x"
        ),
    ):
        with pytest.raises(Denied) as refused:
            step()
        assert refused.value.code == "not_the_maker"
    edited = changes.edit_change(
        change_id=change.pk, payload={"board": desk.board, "word": "other"}, actor=desk.maker, reason="better"
    )
    assert edited.after == {"word": "other"} and edited.payload_hash != change.payload_hash
    changes.submit_change(change_id=change.pk, actor=desk.maker)
    with pytest.raises(Conflict) as frozen:
        changes.edit_change(
            change_id=change.pk, payload={"board": desk.board, "word": "late"}, actor=desk.maker, reason="x"
        )
    assert frozen.value.code == "change_frozen"
    assert ChangeRequest.objects.get(pk=change.pk).payload["word"] == "other"


def test_a_stale_diff_is_neither_handed_in_nor_approved_nor_applied(desk):
    draft, submitted, approved = desk.draft("one"), desk.submitted("two"), desk.approved("three")
    write_on(desk.board, "moved")
    for step in (
        lambda: changes.submit_change(change_id=draft.pk, actor=desk.maker),
        lambda: changes.approve_change(change_id=submitted.pk, actor=desk.checker, reason="x"),
        lambda: changes.apply_change(change_id=approved.pk, actor=desk.maker),
    ):
        with pytest.raises(Conflict) as refused:
            step()
        assert refused.value.code == "change_stale"
    assert word_on(desk.board) == "moved"
    assert changes.is_stale(ChangeRequest.objects.get(pk=approved.pk))

    refreshed = changes.refresh_change(change_id=approved.pk, actor=desk.maker)
    assert (refreshed.state, refreshed.checker_id, refreshed.before) == ("submitted", None, {"word": "moved"})
    changes.approve_change(change_id=approved.pk, actor=desk.checker, reason="still", seen_diff=refreshed.diff_hash)
    assert changes.apply_change(change_id=approved.pk, actor=desk.maker).state == "verified"


def test_an_approval_counts_only_for_the_diff_that_was_looked_at(desk):
    change = desk.submitted()
    seen = change.diff_hash
    write_on(desk.board, "moved")
    changes.refresh_change(change_id=change.pk, actor=desk.maker)
    with pytest.raises(Conflict) as refused:
        changes.approve_change(change_id=change.pk, actor=desk.checker, reason="x", seen_diff=seen)
    assert refused.value.code == "diff_changed"
    assert ChangeRequest.objects.get(pk=change.pk).state == "submitted"


def test_nothing_is_approved_after_it_was_withdrawn_or_rejected(desk):
    withdrawn = changes.withdraw_change(change_id=desk.submitted("one").pk, actor=desk.maker, reason="not now")
    rejected = changes.reject_change(change_id=desk.submitted("two").pk, actor=desk.checker, reason="no")
    for change in (withdrawn, rejected):
        with pytest.raises(IllegalTransition):
            changes.approve_change(change_id=change.pk, actor=desk.checker, reason="x")
        with pytest.raises(IllegalTransition):
            changes.apply_change(change_id=change.pk, actor=desk.maker)
    approved = changes.withdraw_change(change_id=desk.approved("three").pk, actor=desk.maker, reason="stop")
    with pytest.raises(IllegalTransition):
        changes.apply_change(change_id=approved.pk, actor=desk.checker)
    assert word_on(desk.board) is None


@pytest.mark.parametrize(
    ("word", "text"), [("explode", "The board fell down."), ("violate", "The database refused it: duplicate key")]
)
def test_an_application_that_fails_leaves_nothing_behind_and_can_be_tried_again(desk, word, text):
    write_on(desk.board, "old")
    change = desk.approved(word)
    with pytest.raises(Conflict):
        changes.apply_change(change_id=change.pk, actor=desk.maker)
    failed = ChangeRequest.objects.get(pk=change.pk)
    assert failed.state == "failed" and failed.error.startswith(text)
    assert (failed.outcome, failed.executed_hash) == (None, "")
    assert word_on(desk.board) == "old"
    with pytest.raises(Conflict):
        changes.apply_change(change_id=change.pk, actor=desk.maker)
    assert change.events.filter(verb="fail").count() == 2
    changes.withdraw_change(change_id=change.pk, actor=desk.maker, reason="give up")


def test_a_failed_application_that_is_tried_again_succeeds(desk, monkeypatch):
    change = desk.approved("new")
    monkeypatch.setattr(board, "write_on", _raise_conflict)
    with pytest.raises(Conflict):
        changes.apply_change(change_id=change.pk, actor=desk.maker)
    monkeypatch.undo()
    again = changes.apply_change(change_id=change.pk, actor=desk.checker)
    assert (again.state, again.error, again.failed_at) == ("verified", "", None)
    assert word_on(desk.board) == "new"


def _raise_conflict(*_: object) -> None:
    raise Conflict("not today")


def test_what_cannot_be_verified_is_shown_and_not_called_verified(desk):
    change = changes.apply_change(change_id=desk.approved("smudge").pk, actor=desk.maker)
    assert (change.state, change.problems) == ("applied", ["The board says something else."])
    assert changes.revert_change(change_id=change.pk, actor=desk.checker, reason="undo").state == "reverted"


def test_a_revert_that_is_no_longer_possible_is_refused_plainly(desk):
    change = changes.apply_change(change_id=desk.approved("new").pk, actor=desk.maker)
    write_on(desk.board, "someone else")
    with pytest.raises(Conflict) as refused:
        changes.revert_change(change_id=change.pk, actor=desk.checker, reason="undo")
    assert refused.value.message == "Somebody wrote on the board since."
    assert ChangeRequest.objects.get(pk=change.pk).state == "verified"
    assert word_on(desk.board) == "someone else"


def test_a_scheduled_change_is_applied_by_beat_at_its_time(desk):
    moment = clock.now() + timedelta(hours=2)
    change = desk.approved(apply_at=moment)
    assert changes.apply_due_changes() == 0
    with pytest.raises(Conflict) as early:
        changes.apply_change(change_id=change.pk, actor=desk.maker)
    assert early.value.code == "not_due"
    with time_machine.travel(moment + timedelta(seconds=1), tick=False):
        assert changes.apply_due_changes() == 1
        assert changes.apply_due_changes() == 0
    done = ChangeRequest.objects.get(pk=change.pk)
    assert (done.state, done.applied_by) == ("verified", "system:changes")
    assert word_on(desk.board) == "new"


def test_who_checks_applies_a_scheduled_change_at_once_or_moves_it(desk):
    change = desk.approved(apply_at=clock.now() + timedelta(hours=2))
    with pytest.raises(Denied):
        changes.schedule_change(change_id=change.pk, apply_at=None, actor=desk.maker, reason="earlier")
    later = clock.now() + timedelta(hours=5)
    moved = changes.schedule_change(change_id=change.pk, apply_at=later, actor=desk.checker, reason="later")
    assert (moved.state, moved.apply_at) == ("approved", later)
    assert changes.apply_change(change_id=change.pk, actor=desk.checker).state == "verified"


def test_a_scheduled_change_whose_ground_moved_fails_once_and_waits_for_a_person(desk):
    change = desk.approved(apply_at=clock.now() - timedelta(seconds=1))
    other = Desk()
    good = other.approved(apply_at=clock.now() - timedelta(seconds=1))
    write_on(desk.board, "moved")
    assert changes.apply_due_changes() == 1
    failed = ChangeRequest.objects.get(pk=change.pk)
    assert failed.state == "failed" and "changed since" in failed.error
    assert ChangeRequest.objects.get(pk=good.pk).state == "verified"
    assert changes.apply_due_changes() == 0
    assert change.events.filter(verb="fail").count() == 1
    assert word_on(desk.board) == "moved"


def test_a_change_that_kills_its_process_is_tried_a_bounded_number_of_times(desk):
    change = desk.approved(apply_at=clock.now() - timedelta(seconds=1))
    ChangeRequest.objects.filter(pk=change.pk).update(attempts=8, next_attempt_at=None)
    assert changes.apply_due_changes() == 0
    failed = ChangeRequest.objects.get(pk=change.pk)
    assert (failed.state, failed.error) == ("failed", "It was given up after 8 attempts.")


def test_what_a_dead_process_applied_and_did_not_prove_is_proved_by_beat(desk, monkeypatch):
    change = desk.approved()
    with monkeypatch.context() as patch:
        patch.setattr(
            "backoffice.core.services.changes.applying.verify_change",
            lambda *, change_id, actor: ChangeRequest.objects.get(pk=change_id),
        )
        assert changes.apply_change(change_id=change.pk, actor=desk.maker).state == "applied"
    changes.apply_due_changes()
    assert ChangeRequest.objects.get(pk=change.pk).state == "verified"


@pytest.mark.parametrize("reason", ["", "   "])
def test_every_step_needs_a_reason(desk, reason):
    with pytest.raises(InvalidInput):
        desk.draft(reason=reason)
    change = desk.submitted()
    for step, actor in (
        (changes.approve_change, desk.checker),
        (changes.reject_change, desk.checker),
        (changes.withdraw_change, desk.maker),
    ):
        with pytest.raises(InvalidInput):
            step(change_id=change.pk, actor=actor, reason=reason)
    assert ChangeRequest.objects.get(pk=change.pk).state == "submitted"


def test_what_changes_nothing_and_what_has_no_exact_value_is_refused(desk):
    write_on(desk.board, "same")
    with pytest.raises(Conflict) as same:
        desk.draft("same")
    assert same.value.code == "changes_nothing"
    with pytest.raises(InvalidInput):
        desk.draft(payload={"board": desk.board, "word": "x", "amount": 0.1})
    with pytest.raises(InvalidInput):
        desk.draft(payload={"board": desk.board, "word": ""})
    with pytest.raises(InvalidInput):
        desk.draft(apply_at=clock.now().replace(tzinfo=None))
    kept = desk.draft(payload={"board": desk.board, "word": "x", "amount": Decimal("0.10")})
    assert kept.payload["amount"] == "0.10"


def test_a_use_case_that_needs_approval_takes_no_other_object_for_one(desk):
    change = desk.submitted()
    for request in (None, object(), change, ChangeRequest(pk=change.pk, kind=board.KIND, state="approved")):
        with pytest.raises(Denied) as refused:
            changes.require_approved(request, kind=board.KIND, board=desk.board)
        assert refused.value.code == "approval_needed"
    approved = desk.approved("two")
    changes.require_approved(approved, kind=board.KIND, board=desk.board)
    for kind, expected in (("core.approval_policy", {}), (board.KIND, {"board": "another"})):
        with pytest.raises(Denied):
            changes.require_approved(approved, kind=kind, **expected)
