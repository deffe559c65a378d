"""Work items: one open item of a group, what people do with it, mutes, hysteresis, escalation, the sweep's proof."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from backoffice.core.books import verify_books
from backoffice.core.models import AuditRecord, OutboxEvent, Severity, WorkItem, WorkItemEvent, WorkItemMute
from backoffice.core.services import work_delivery, work_items, work_sweep
from backoffice.core.types import Actor
from backoffice.core.work.inbox import Tab, badge_count, badge_of_user, counts_for, items_for
from backoffice.core.work.kinds import WorkCondition
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, Misconfigured, NotFound
from tests.core.work_help import ALARM, FLAPPING, READABLE, SETTLED, alarm, kinds, person, standing, states
from tests.logins import make_actor, make_entity

__all__ = ["kinds"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kinds")]

WEDNESDAY = datetime(2026, 7, 1, 9, tzinfo=UTC)
SYSTEM = Actor.system("test")


@pytest.fixture
def clock() -> Any:
    with time_machine.travel(WEDNESDAY, tick=False) as traveller:
        yield traveller


def delivered() -> list[str]:
    """The topics of what was told to the outside."""
    return list(OutboxEvent.objects.filter(topic__startswith="work.").order_by("id").values_list("topic", flat=True))


# One open item of a group


def test_a_storm_of_repeats_is_one_item_and_one_delivery() -> None:
    for number in range(1_000):
        alarm(evidence={"number": number})

    item = WorkItem.objects.get()
    assert (item.occurrences, item.evidence) == (1_000, {"number": 999})
    assert delivered() == ["work.item_opened"]
    assert states(item) == ["opened"]
    assert item.events.get().data == {"number": 0}


def test_an_item_is_due_by_its_kind_and_says_what_the_outside_may_know(clock: Any) -> None:
    item = alarm(title="  Two cents are missing ", evidence={"client": "Jane Doe"}, target=make_entity())

    assert (item.title, item.due_at, item.severity) == ("Two cents are missing", WEDNESDAY + timedelta(hours=4), 2)
    assert (item.target_type, work_delivery.target_of(item)) == ("core.legalentity", make_entity())
    payload = OutboxEvent.objects.get(topic="work.item_opened").payload
    assert payload["item_id"] == str(item.public_id)
    assert (payload["kind"], payload["severity"], payload["title"]) == (ALARM, "normal", "Two cents are missing")
    assert "Jane" not in str(payload)


def test_a_repeat_may_make_it_worse_but_never_milder_and_keeps_the_due_time(clock: Any) -> None:
    first = alarm()
    clock.shift(timedelta(hours=1))
    worse = alarm(severity=Severity.CRITICAL, due_at=WEDNESDAY + timedelta(days=3))
    milder = alarm(severity=Severity.LOW)

    assert worse.pk == milder.pk == first.pk
    assert (milder.severity, milder.due_at, milder.last_seen_at) == (4, first.due_at, WEDNESDAY + timedelta(hours=1))


def test_a_closed_group_opens_anew(clock: Any) -> None:
    first = alarm()
    work_items.clear_item(kind=ALARM, group_key="a", reason="Gone.")
    second = alarm()

    assert (second.pk != first.pk, second.occurrences, WorkItem.objects.count()) == (True, 1, 2)
    assert delivered() == ["work.item_opened"] * 2


def test_many_groups_are_opened_in_few_statements() -> None:
    conditions = [WorkCondition(group_key=f"k{number:03}", title="T") for number in range(300)]
    with CaptureQueriesContext(
        connection,
    ) as queries:
        items = work_items.open_items(kind=ALARM, conditions=[*conditions, *conditions])

    assert [item.group_key for item in items] == [condition.group_key for condition in conditions]
    assert {item.occurrences for item in items} == {1}
    assert len(queries) <= 10
    assert len(delivered()) == 300


@pytest.mark.parametrize(
    "fields",
    [
        {"group_key": ""},
        {"group_key": "x" * 201},
        {"title": "  "},
        {"evidence": {"text": "x" * 20_001}},
        {"url": "https://elsewhere.example/"},
        {"url": "//elsewhere.example/"},
        {"url": "javascript:alert(1)"},
    ],
)
def test_what_cannot_be_an_item_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        alarm(**fields)
    assert not WorkItem.objects.exists()
    assert delivered() == []


def test_a_kind_that_nobody_registered_is_refused() -> None:
    with pytest.raises(NotFound):
        work_items.open_item(kind="t.unknown", group_key="a", title="A")


def test_a_group_never_leads_into_another_entitys_item() -> None:
    first = alarm(entity_id=make_entity("one").pk)
    with pytest.raises(Misconfigured):
        alarm(entity_id=make_entity("two").pk, evidence={"secret": 1})
    first.refresh_from_db()
    assert (first.occurrences, first.evidence) == (1, {})


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE core_workitem SET state = 'gone'",
        "UPDATE core_workitem SET state = 'closed'",
        "UPDATE core_workitem SET state = 'taken'",
        "UPDATE core_workitem SET clearing_since = now()",
        "UPDATE core_workitem SET occurrences = 0",
        "UPDATE core_workitemevent SET text = 'nothing happened'",
        "DELETE FROM core_workitemevent",
        "INSERT INTO core_workitemmute (kind, group_key, reason, muted_by, muted_at, until) "
        "VALUES ('k', '', '', 'x', now(), now())",
        "INSERT INTO core_workitemmute (kind, group_key, reason, muted_by, muted_at, until) "
        "VALUES ('k', '', 'r', 'x', now(), now() - interval '1 day')",
    ],
)
def test_the_database_refuses_what_cannot_be(sql: str) -> None:
    alarm()
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(sql)


def test_the_database_refuses_a_second_open_item_of_a_group() -> None:
    item = alarm()
    with pytest.raises(IntegrityError), transaction.atomic():
        WorkItem.objects.create(kind=ALARM, group_key="a", title="Again", due_at=item.due_at)


# What people do


def test_an_item_from_taking_to_closing_and_back(clock: Any) -> None:
    entity = make_entity()
    ann, bob = person("finance", entity, name="ann"), person("finance", entity, name="bob")
    item = alarm(entity_id=entity.pk)

    work_items.take_item(item_id=item.pk, actor=make_actor(ann))
    work_items.take_item(item_id=item.pk, actor=make_actor(ann))
    with pytest.raises(Conflict, match="Ann has taken it"):
        work_items.take_item(item_id=item.pk, actor=make_actor(bob))
    work_items.comment_item(item_id=item.pk, text="Looks like a rounding.", actor=make_actor(ann))
    work_items.assign_item(item_id=item.pk, user_id=bob.pk, actor=make_actor(ann), reason="You know this.")
    work_items.put_back_item(item_id=item.pk, actor=make_actor(bob))
    work_items.close_item(item_id=item.pk, resolution="Booked.", actor=make_actor(bob))
    work_items.close_item(item_id=item.pk, resolution="Again.", actor=make_actor(ann))
    clock.shift(timedelta(days=1))
    back = work_items.reopen_item(item_id=item.pk, reason="It was not.", actor=make_actor(ann))

    assert (back.state, back.owner, back.closed_by, back.due_at) == (
        "open", None, "", WEDNESDAY + timedelta(days=1, hours=4),
    )  # fmt: skip
    assert states(item) == ["opened", "taken", "commented", "assigned", "put_back", "closed", "reopened"]
    assert list(AuditRecord.objects.order_by("id").values_list("action", "actor", "entity_id")) == [
        ("core.assign_work_item", "ann@house.test", entity.pk),
        ("core.close_work_item", "bob@house.test", entity.pk),
        ("core.reopen_work_item", "ann@house.test", entity.pk),
    ]


def test_a_closed_item_is_not_reopened_beside_a_newer_one() -> None:
    actor = make_actor(person("finance"))
    first = alarm()
    work_items.close_item(item_id=first.pk, resolution="Done.", actor=actor)
    alarm()

    with pytest.raises(Conflict):
        work_items.reopen_item(item_id=first.pk, reason="Not done.", actor=actor)
    first.refresh_from_db()
    assert (first.state, first.resolution) == ("closed", "Done.")


def test_an_item_goes_only_to_who_sees_it_and_may_work_on_it() -> None:
    entity, elsewhere = make_entity("one"), make_entity("two")
    item = alarm(entity_id=entity.pk)
    actor = make_actor(person("finance", entity, name="ann"))
    gone = person("finance", entity, name="gone")
    gone.is_active = False
    gone.save()
    strangers = [
        person("finance", elsewhere, name="other-entity"),
        person("dealing", entity, name="other-desk"),
        person("trader", entity, name="client"),
        gone,
    ]

    for stranger in strangers:
        with pytest.raises(InvalidInput):
            work_items.assign_item(item_id=item.pk, user_id=stranger.pk, actor=actor)
    with pytest.raises(InvalidInput):
        work_items.assign_item(item_id=item.pk, user_id=0, actor=actor)
    assert WorkItem.objects.get().owner is None


VERBS = {
    "take": lambda item, actor: work_items.take_item(item_id=item, actor=actor),
    "assign": lambda item, actor: work_items.assign_item(item_id=item, user_id=actor.user_id, actor=actor),
    "put back": lambda item, actor: work_items.put_back_item(item_id=item, actor=actor),
    "comment": lambda item, actor: work_items.comment_item(item_id=item, text="x", actor=actor),
    "close": lambda item, actor: work_items.close_item(item_id=item, resolution="x", actor=actor),
    "reopen": lambda item, actor: work_items.reopen_item(item_id=item, reason="x", actor=actor),
}


@pytest.mark.parametrize("verb", sorted(VERBS))
def test_what_is_not_yours_to_see_is_not_yours_to_change(verb: str) -> None:
    entity, elsewhere = make_entity("one"), make_entity("two")
    item = alarm(entity_id=entity.pk)
    before = WorkItem.objects.values().get()

    for stranger, error in (
        (person("finance", elsewhere, name="other-entity"), NotFound),
        (person("dealing", entity, name="other-desk"), NotFound),
        (person("auditor", entity), Denied),
        (person("trader", entity), Denied),
    ):
        with pytest.raises(error):
            VERBS[verb](item.pk, make_actor(stranger))
    assert WorkItem.objects.values().get() == before
    assert states(item) == ["opened"]


def test_many_at_once_say_which_were_refused() -> None:
    ann, bob = (make_actor(person("finance", name=name)) for name in ("ann", "bob"))
    items = [alarm(key) for key in "abc"]
    work_items.take_item(item_id=items[1].pk, actor=bob)

    done, refused = work_items.take_items(item_ids=[item.pk for item in items] + [0], actor=ann)

    assert (done, len(refused)) == (2, 2)
    assert refused[1] == f"#{items[1].pk}: Bob has taken it already."
    with pytest.raises(InvalidInput):
        work_items.take_items(item_ids=list(range(201)), actor=ann)


def test_what_closes_by_itself_is_not_closed_by_hand_while_it_stands() -> None:
    actor = make_actor(person("dealing"))
    standing["k"] = WorkCondition(group_key="k", title="It stands")
    work_sweep.rebuild_items()
    item = WorkItem.objects.get(kind=READABLE)

    with pytest.raises(Conflict, match="closes by itself"):
        work_items.close_item(item_id=item.pk, resolution="I say so.", actor=actor)
    standing.clear()
    work_items.close_item(item_id=item.pk, resolution="It is gone.", actor=actor)
    assert WorkItem.objects.get(kind=READABLE).state == "closed"


# Hysteresis


def test_an_item_closes_only_after_the_condition_stayed_gone(clock: Any) -> None:
    item = work_items.open_item(kind=FLAPPING, group_key="a", title="A")
    work_items.clear_item(kind=FLAPPING, group_key="a", reason="Quiet.")
    clock.shift(299)
    work_items.clear_item(kind=FLAPPING, group_key="a", reason="Quiet again.")
    assert work_sweep.close_what_stayed_clear() == 0
    clock.shift(1)
    assert work_sweep.close_what_stayed_clear() == 1

    item.refresh_from_db()
    assert (item.state, item.resolution, item.closed_by, item.clears_at) == ("closed", "Quiet.", "system:work", None)
    assert states(item) == ["opened", "clearing", "closed"]


def test_a_condition_that_comes_back_cancels_the_closing(clock: Any) -> None:
    item = work_items.open_item(kind=FLAPPING, group_key="a", title="A")
    work_items.clear_item(kind=FLAPPING, group_key="a", reason="Quiet.")
    clock.shift(299)
    again = work_items.open_item(kind=FLAPPING, group_key="a", title="A")
    clock.shift(3_600)

    assert work_sweep.close_what_stayed_clear() == 0
    assert (again.pk, again.occurrences, again.clears_at, again.clear_reason) == (item.pk, 2, None, "")
    assert states(item) == ["opened", "clearing", "came_back"]
    assert delivered() == ["work.item_opened"]


def test_clearing_what_is_not_open_is_nothing() -> None:
    assert work_items.clear_item(kind=ALARM, group_key="a", reason="Gone.") is None


# Mutes


def mute(**changes: Any) -> WorkItemMute:
    """A mute of finance's alarms for a day."""
    wanted: dict[str, Any] = {
        "kind": ALARM,
        "until": WEDNESDAY + timedelta(days=1),
        "reason": "Known.",
        "actor": SYSTEM,
    }
    return work_items.mute_items(**{**wanted, **changes})


def test_a_muted_item_is_recorded_counted_found_and_not_delivered(clock: Any) -> None:
    mute()
    item = alarm()
    actor = make_actor(person("finance"))

    assert delivered() == []
    assert (badge_count(actor), counts_for(actor).muted, counts_for(actor).desks) == (0, 1, 0)
    assert list(items_for(actor, Tab.DESKS)) == []
    assert [(found.pk, found.is_muted) for found in items_for(actor, Tab.ALL)] == [(item.pk, True)]  # type: ignore[attr-defined]


def test_a_mute_expires_by_itself_and_what_still_stands_is_delivered_once(clock: Any) -> None:
    mute()
    item = alarm()
    gone = alarm("gone")
    work_items.clear_item(kind=ALARM, group_key="gone", reason="Gone.")
    clock.shift(timedelta(days=1) - timedelta(seconds=1))
    assert work_sweep.deliver_what_was_muted() == 0
    clock.shift(1)
    assert work_sweep.deliver_what_was_muted() == 1
    assert work_sweep.deliver_what_was_muted() == 0

    assert delivered() == ["work.item_opened"]
    assert (states(item)[-1], states(gone)[-1]) == ("delivered", "closed")


def test_a_mute_of_one_group_or_entity_leaves_the_others_loud(clock: Any) -> None:
    entity, elsewhere = make_entity("one"), make_entity("two")
    mute(group_key="a")
    mute(entity_id=entity.pk)

    alarm("a")
    alarm("of-entity", entity_id=entity.pk)
    loud = [alarm("b"), alarm("elsewhere", entity_id=elsewhere.pk)]

    told = OutboxEvent.objects.filter(topic="work.item_opened").values_list("payload__item_id", flat=True)
    assert sorted(told) == sorted(str(item.public_id) for item in loud)


def test_a_mute_ends_early_with_a_reason_and_both_are_in_the_audit(clock: Any) -> None:
    actor = make_actor(person("finance", make_entity()))
    kept = mute(actor=actor)
    item = alarm()
    clock.shift(60)

    work_items.end_mute(mute_id=kept.pk, reason="Mended.", actor=actor)
    work_sweep.sweep()

    item.refresh_from_db()
    assert item.delivered_at is not None
    assert list(AuditRecord.objects.values_list("action", "reason").order_by("id")) == [
        ("core.mute_work_items", "Known."),
        ("core.end_mute", "Mended."),
    ]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"reason": "  "}, InvalidInput),
        ({"until": WEDNESDAY}, InvalidInput),
        ({"until": WEDNESDAY + timedelta(days=93)}, InvalidInput),
        ({"kind": "t.unknown"}, NotFound),
        ({"kind": FLAPPING}, Denied),
        ({"entity_id": None}, Denied),
        ({"entity_id": 0}, NotFound),
    ],
)
def test_a_mute_that_may_not_be_changes_nothing(changes: dict[str, Any], error: type[Exception], clock: Any) -> None:
    entity = make_entity("one")
    make_entity("two")
    actor = make_actor(person("finance", entity))
    with pytest.raises(error):
        mute(**{"actor": actor, "entity_id": entity.pk, **changes})
    assert (WorkItemMute.objects.count(), AuditRecord.objects.count()) == (0, 0)


# Escalation


def test_an_overdue_item_calls_in_one_role_after_the_other_each_told_once(clock: Any) -> None:
    item = alarm()
    compliance = make_actor(person("compliance"))
    for hours, level in ((5.9, 0), (6, 1), (7.9, 1), (8, 2), (100, 2)):
        clock.move_to(WEDNESDAY + timedelta(hours=hours))
        work_sweep.escalate_overdue()
        work_sweep.escalate_overdue()
        item.refresh_from_db()
        assert (hours, item.escalation_level) == (hours, level)

    assert item.escalated_roles == ["administrator", "compliance"]
    assert [found.pk for found in items_for(compliance, Tab.DESKS)] == [item.pk]
    assert delivered() == ["work.item_opened", "work.item_escalated", "work.item_escalated"]
    roles = (
        OutboxEvent.objects.filter(topic="work.item_escalated").order_by("id").values_list("payload__role", flat=True)
    )
    assert list(roles) == ["compliance", "administrator"]


def test_nobody_is_called_in_for_what_is_muted_clearing_or_closed(clock: Any) -> None:
    mute(group_key="muted", until=WEDNESDAY + timedelta(days=3))
    items = [alarm(key) for key in ("muted", "closed")]
    work_items.clear_item(kind=ALARM, group_key="closed", reason="Gone.")
    clock.shift(timedelta(days=2))

    assert work_sweep.escalate_overdue() == 0
    assert [WorkItem.objects.get(pk=item.pk).escalation_level for item in items] == [0, 0]


# The sweep and its proof


def test_the_sweep_brings_the_inbox_to_reality_and_verify_books_proves_it() -> None:
    standing["a"] = WorkCondition(group_key="a", title="A stands")
    wrong = verify_books(["work.inbox_equals_reality"])["checks"][0]
    assert wrong["rows"] == [
        {"kind": READABLE, "group": "a", "problem": "no item is open"},
        {"kind": SETTLED, "group": "a", "problem": "no item is open"},
    ]
    assert work_sweep.sweep()["opened"] == 2
    assert work_sweep.sweep()["opened"] == 0
    assert verify_books(["work.inbox_equals_reality"])["ok"]

    standing.clear()
    wrong = verify_books(["work.inbox_equals_reality"])["checks"][0]
    assert {row["problem"] for row in wrong["rows"]} == {"its condition is gone"}
    assert work_sweep.sweep()["cleared"] == 2
    assert verify_books(["work.inbox_equals_reality"])["ok"]
    assert set(WorkItem.objects.values_list("occurrences", flat=True)) == {1}


def test_what_a_person_declared_settled_stays_closed_until_it_begins_anew(clock: Any) -> None:
    actor = make_actor(person("dealing"))
    standing["a"] = WorkCondition(group_key="a", title="A", since=WEDNESDAY)
    work_sweep.rebuild_items(kinds=[SETTLED])
    work_items.close_item(item_id=WorkItem.objects.get().pk, resolution="We live with it.", actor=actor)
    assert work_sweep.rebuild_items(kinds=[SETTLED]) == {"opened": 0, "cleared": 0}

    standing["a"] = WorkCondition(group_key="a", title="A", since=WEDNESDAY + timedelta(hours=1))
    assert work_sweep.rebuild_items(kinds=[SETTLED]) == {"opened": 1, "cleared": 0}


def test_the_proof_lets_the_sweep_come_by_where_only_time_made_it_true(clock: Any) -> None:
    standing["a"] = WorkCondition(group_key="a", title="A", since=WEDNESDAY)
    assert verify_books(["work.inbox_equals_reality"])["ok"]
    clock.shift(work_sweep.SWEEP_GRACE)
    assert not verify_books(["work.inbox_equals_reality"])["ok"]


def test_one_desk_that_cannot_read_its_conditions_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    standing["a"] = WorkCondition(group_key="a", title="A")
    standing["b"] = WorkCondition(group_key="", title="No key")
    work_sweep.rebuild_items()
    assert not WorkItem.objects.exists()
    del standing["b"]
    assert work_sweep.rebuild_items() == {"opened": 2, "cleared": 0}


def test_who_loses_the_role_loses_the_item_and_the_desk_gets_it_back() -> None:
    ann = person("finance")
    item = alarm()
    work_items.take_item(item_id=item.pk, actor=make_actor(ann))
    assert work_sweep.put_back_of_leavers() == 0
    ann.roles = ["sales"]
    ann.save()

    assert list(items_for(make_actor(ann), Tab.ALL)) == []
    assert badge_of_user(ann.pk) == 0
    assert work_sweep.put_back_of_leavers() == 1
    item.refresh_from_db()
    assert (item.state, item.owner, states(item)[-1]) == ("open", None, "put_back")


# The badge


def test_the_badge_counts_what_is_mine_or_nobodys_in_one_query() -> None:
    entity, elsewhere = make_entity("one"), make_entity("two")
    ann, bob = (make_actor(person("finance", entity, name=name)) for name in ("ann", "bob"))
    alarm("free", entity_id=entity.pk)
    alarm("of-nobody-else", entity_id=None)
    work_items.take_item(item_id=alarm("anns", entity_id=entity.pk).pk, actor=ann)
    work_items.take_item(item_id=alarm("bobs", entity_id=entity.pk).pk, actor=bob)
    alarm("elsewhere", entity_id=elsewhere.pk)
    work_items.open_item(kind=FLAPPING, group_key="dealing", title="D", entity_id=entity.pk)

    with CaptureQueriesContext(connection) as queries:
        assert badge_count(ann) == 3
    assert len(queries) == 1
    assert badge_count(make_actor(person("trader", entity))) == 0


def test_the_badge_is_announced_to_who_sees_the_item_after_the_commit(
    monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    entity, elsewhere = make_entity("one"), make_entity("two")
    ann = person("finance", entity, name="ann")
    person("finance", elsewhere, name="bob")
    person("dealing", entity)
    told: list[tuple[str, dict[str, Any]]] = []
    monkeypatch.setattr(work_delivery, "announce", lambda *, channel, event, data: told.append((channel, data)))

    with django_capture_on_commit_callbacks(execute=True):
        alarm(entity_id=entity.pk)
        assert told == []
    with django_capture_on_commit_callbacks(execute=True):
        alarm(entity_id=entity.pk)

    assert told == [(f"desk:{ann.pk}", {"is_new": True})]


def test_how_a_person_is_told_is_theirs_to_say() -> None:
    actor = make_actor(person("finance"))
    kept = work_items.set_delivery(actor=actor, plays_sound=True, mail_from=None)
    assert (kept.user_id, kept.plays_sound, kept.mail_from) == (actor.user_id, True, None)
    with pytest.raises(InvalidInput):
        work_items.set_delivery(actor=actor, plays_sound=True, mail_from=9)
    with pytest.raises(Denied):
        work_items.set_delivery(actor=make_actor(person("trader")), plays_sound=True, mail_from=None)
    assert WorkItemEvent.objects.count() == 0
