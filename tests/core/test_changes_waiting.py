"""What waits for approval is in the inbox of those who may approve it, and of nobody else, until it is decided."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backoffice.core.access import visible_to
from backoffice.core.changes.kinds import change_kinds
from backoffice.core.models import ChangeRequest, User, WorkItem
from backoffice.core.services import changes, work_delivery, work_items, work_sweep
from backoffice.core.services.changes import waiting
from backoffice.core.types import Role
from backoffice.core.work.kinds import is_registered, work_kind
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict
from tests.core.test_changes import Desk
from tests.core.test_changes_database import published_policy
from tests.factories import changes as board
from tests.factories.changes import make_person
from tests.factories.platform import make_entity

pytestmark = pytest.mark.django_db
KIND = waiting.work_kind_of(board.KIND)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def item_of(change: ChangeRequest) -> WorkItem:
    """The one item of a request."""
    return WorkItem.objects.get(kind=KIND, group_key=change.reference)


def test_a_submitted_request_is_one_item_of_its_checkers_until_it_is_decided(desk):
    # given a draft, which is nobody's work yet
    change = desk.draft()
    assert not WorkItem.objects.filter(kind=KIND).exists()
    # when it is handed in, twice
    for _ in range(2):
        changes.submit_change(change_id=change.pk, actor=desk.maker)
    # then one item waits, with what a checker asks first
    item = item_of(change)
    assert (item.state, item.occurrences, item.entity_id, item.target_id) == ("open", 1, desk.entity.pk, str(change.pk))
    assert item.title == f"{change.reference} waits for approval: {change.title}"
    assert item.evidence["impact"] == "The board will say new."
    assert item.evidence["made_by"] == desk.maker.label
    # and it is seen by who may check, in its entity, and by nobody else
    others = make_entity()
    for actor, sees in (
        (desk.checker, True),
        (make_person(Role.SALES, entities=[desk.entity]), False),
        (make_person(Role.DEALING, entities=[others]), False),
    ):
        assert visible_to(WorkItem.objects.filter(pk=item.pk), actor).exists() is sees
    # and it cannot be put out of sight by hand
    with pytest.raises(Conflict) as refused:
        work_items.close_item(item_id=item.pk, resolution="done", actor=desk.checker)
    assert refused.value.code == "condition_stands"
    # when it is approved
    changes.approve_change(change_id=change.pk, actor=desk.checker, reason="agreed")
    # then nothing waits any more
    assert (item_of(change).state, item_of(change).resolution) == ("closed", "It was approved.")


@pytest.mark.parametrize(
    ("decide", "said"),
    [("reject_change", "It was rejected."), ("withdraw_change", "It was withdrawn.")],
)
def test_a_request_that_is_refused_or_taken_back_waits_no_longer(desk, decide, said):
    change = desk.submitted()
    actor = desk.checker if decide == "reject_change" else desk.maker
    getattr(changes, decide)(change_id=change.pk, actor=actor, reason="no")
    assert (item_of(change).state, item_of(change).resolution) == ("closed", said)


def test_an_approval_that_falls_opens_a_new_item(desk):
    change = desk.approved()
    changes.refresh_change(change_id=change.pk, actor=desk.maker)
    states = (
        WorkItem.objects.filter(kind=KIND, group_key=change.reference).order_by("pk").values_list("state", flat=True)
    )
    assert list(states) == ["closed", "open"]


def test_what_a_policy_approves_never_waits(desk):
    published_policy(desk, longest=5)
    assert desk.submitted("new").state == "verified"
    assert not WorkItem.objects.filter(kind=KIND).exists()
    left_to_a_person = desk.submitted("much longer")
    assert item_of(left_to_a_person).state == "open"


def test_a_request_that_is_to_be_carried_out_soon_is_due_before(desk):
    at = clock.now() + timedelta(minutes=30)
    assert item_of(desk.submitted(apply_at=at)).due_at == at


def test_the_sweep_opens_what_is_missing_and_clears_what_is_gone(desk):
    # given a request that was handed in past the use case, as before there were such items, and one that was decided so
    lost, decided = desk.draft("one"), desk.submitted("two")
    ChangeRequest.objects.filter(pk=lost.pk).update(state="submitted", submitted_at=clock.now())
    ChangeRequest.objects.filter(pk=decided.pk).update(
        state="withdrawn", closed_at=clock.now(), closed_by="somebody", closing_reason="x"
    )
    later = clock.now() + timedelta(hours=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clock, "now", lambda: later)
        assert {row["group"] for row in work_sweep.inbox_equals_reality().rows} >= {lost.reference, decided.reference}
    # when the sweep comes by
    work_sweep.rebuild_items(kinds=[KIND])
    # then the inbox is what stands
    assert (item_of(lost).state, item_of(decided).state) == ("open", "closed")


def test_a_request_for_the_whole_broker_is_work_of_who_sees_it_all(desk):
    # given a checker of one entity, and one of every entity
    whole = make_person(Role.DEALING, entities=list(type(desk.entity).objects.all()))
    overseer = make_person(Role.PLATFORM_OPERATIONS, entities=list(type(desk.entity).objects.all()))
    change = desk.draft(entity_id=None, actor=overseer)
    assert visible_to(WorkItem.objects.all(), whole).count() == 0
    # when a request of no entity is handed in
    changes.submit_change(change_id=change.pk, actor=overseer)
    item = item_of(change)
    # then only the latter is shown and told of it
    second = make_entity()
    assert visible_to(WorkItem.objects.filter(pk=item.pk), desk.checker).exists() is False
    assert visible_to(WorkItem.objects.filter(pk=item.pk), whole).exists() is False
    User.objects.get(pk=whole.user_id).entities.add(second)
    told = set(work_delivery.people_who_see(item).values_list("pk", flat=True))
    assert whole.user_id in told
    assert desk.checker.user_id not in told


def test_every_kind_of_change_has_people_who_are_told_of_it():
    for kind in change_kinds():
        assert is_registered(waiting.work_kind_of(kind.kind)), kind.kind
        assert work_kind(waiting.work_kind_of(kind.kind)).roles, kind.kind
