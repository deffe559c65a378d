"""When a colleague leaves: everything or nothing, with a successor, with evidence; and the review of who may do what."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.identity import one_time_codes
from backoffice.core.models import (
    AccessReview,
    ApiKey,
    AuditRecord,
    LeaverRecord,
    Team,
    TeamMembership,
    User,
    UserSession,
    WorkItem,
)
from backoffice.core.services import access_review, api_keys, leavers, users, work_items
from backoffice.core.types import Actor
from backoffice.core.work.kinds import work_kinds
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput
from crm.models import Client, ClientUserObjectPermission
from crm.services import clients
from tests.factories.platform import make_brand, make_client
from tests.logins import log_in, make_actor, make_entity, make_user

SYSTEM = Actor.system("test")


def _office(*codes: str) -> tuple[User, User, User]:
    """An administrator, a leaver and a successor of the same entities."""
    entities = tuple(make_entity(code) for code in codes or ("nova",))
    return (
        make_user("admin@example.com", "administrator", entities=entities),
        make_user("leaver@example.com", "sales", "platform_operations", entities=entities),
        make_user("successor@example.com", "sales", "platform_operations", entities=entities),
    )


def _with_everything(leaver: User) -> tuple[Client, WorkItem]:
    """Two clients, a team, a named exception, a key, codes, a session and a taken work item."""
    entity = make_entity()
    brand = make_brand(entity)
    client = make_client(brand, owner=leaver)
    make_client(brand, owner=leaver)
    opened = make_client(brand)
    clients.grant_client_exception(client_id=opened.pk, user_id=leaver.pk, actor=SYSTEM, reason="helps out")
    team = Team.objects.create(entity=entity, name="Desk one")
    TeamMembership.objects.create(team=team, user=leaver, is_lead=True)
    one_time_codes.enrol(leaver)
    kind = next(kind for kind in work_kinds() if "platform_operations" in {str(role) for role in kind.roles})
    item = work_items.open_item(kind=kind.kind, group_key="left over", title="Left over", entity_id=entity.pk)
    work_items.take_item(item_id=item.pk, actor=make_actor(leaver))
    api_keys.issue_key(
        owner_id=leaver.pk,
        name="own script",
        scopes=["crm.view_clients"],
        expires_at=clock.now() + timedelta(days=30),
        actor=SYSTEM,
    )
    return client, item


@pytest.mark.django_db
def test_a_departure_closes_every_way_in_and_hands_the_work_over() -> None:
    # given a colleague with everything, signed in
    admin, leaver, successor = _office()
    client, item = _with_everything(leaver)
    browser = log_in(Browser(), leaver)
    assert browser.get("/desk/").status_code == 200
    actor = make_actor(admin)
    # when the departure is looked at, then nothing has changed yet
    steps = {
        step.key: step.count
        for step in leavers.preview_leaver(user_id=leaver.pk, successor_id=successor.pk, actor=actor)
    }
    assert steps == {
        "sessions": 1,
        "api_keys": 1,
        "second_factors": 1,
        "teams": 1,
        "work_items": 1,
        "clients": 2,
        "client_exceptions": 1,
    }
    assert not LeaverRecord.objects.exists()
    # when it is carried out
    record = leavers.record_leaver(user_id=leaver.pk, successor_id=successor.pk, actor=actor, reason="Resigned")
    # then no door is open
    leaver.refresh_from_db()
    assert (leaver.is_active, leaver.roles, leaver.has_usable_password()) == (False, [], False)
    assert browser.get("/desk/").status_code == 302
    assert not UserSession.objects.filter(user=leaver, ended_at=None).exists()
    assert ApiKey.objects.get(owner=leaver).revoked_at is not None
    assert not TeamMembership.objects.filter(user=leaver).exists()
    assert not ClientUserObjectPermission.objects.filter(user=leaver).exists()
    # the work is the successor's
    client.refresh_from_db()
    item.refresh_from_db()
    assert client.owner == successor
    assert item.owner == successor
    assert Client.objects.filter(owner=successor).count() == 2
    # and the evidence says what was done, and cannot be changed
    assert record.evidence["roles"] == ["platform_operations", "sales"]
    assert record.evidence["sessions"] == {"ended": 1}
    assert record.evidence["clients"]["handed_over"] == 2
    assert record.evidence["work_items"] == {"handed_over": 1, "put_back": 0}
    assert AuditRecord.objects.filter(action="core.record_leaver", object_id=str(leaver.pk)).count() == 1


def _state(leaver: User) -> tuple[Any, ...]:
    return (
        User.objects.filter(pk=leaver.pk).values_list("is_active", "roles", "password").get(),
        Client.objects.filter(owner=leaver).count(),
        TeamMembership.objects.filter(user=leaver).count(),
        ApiKey.objects.filter(owner=leaver, revoked_at=None).count(),
        UserSession.objects.filter(user=leaver, ended_at=None).count(),
        WorkItem.objects.filter(owner=leaver).count(),
        LeaverRecord.objects.count(),
    )


@pytest.mark.django_db
def test_a_departure_that_is_refused_changes_nothing() -> None:
    admin, leaver, successor = _office()
    _with_everything(leaver)
    log_in(Browser(), leaver)
    stranger = make_user("far@example.com", "sales", entities=(make_entity("other"),))
    trader = make_user("trader@example.com", "trader")
    actor, before = make_actor(admin), _state(leaver)
    refusals: list[tuple[type[Exception], dict[str, Any]]] = [
        (InvalidInput, {"successor_id": None}),
        (InvalidInput, {"successor_id": stranger.pk}),
        (InvalidInput, {"successor_id": trader.pk}),
        (InvalidInput, {"successor_id": leaver.pk}),
        (InvalidInput, {"successor_id": successor.pk, "reason": " "}),
        (Denied, {"successor_id": successor.pk, "actor": make_actor(successor)}),
        (Denied, {"user_id": admin.pk, "successor_id": successor.pk}),
    ]
    for expected, changes in refusals:
        with pytest.raises(expected):
            leavers.record_leaver(**({"user_id": leaver.pk, "actor": actor, "reason": "Resigned"} | changes))
        assert _state(leaver) == before, changes


@pytest.mark.django_db
def test_who_also_works_elsewhere_is_dismissed_only_by_who_administers_both() -> None:
    admin, _, successor = _office()
    both = make_user("both@example.com", "sales", entities=(make_entity(), make_entity("other")))
    with pytest.raises(Denied):
        leavers.record_leaver(user_id=both.pk, successor_id=successor.pk, actor=make_actor(admin), reason="Resigned")
    assert User.objects.get(pk=both.pk).is_active


@pytest.mark.django_db
def test_somebody_leaves_once() -> None:
    admin, leaver, _ = _office()
    for expected in (None, Conflict):
        if expected is None:
            leavers.record_leaver(user_id=leaver.pk, successor_id=None, actor=make_actor(admin), reason="Resigned")
            continue
        with pytest.raises(expected, match="left already"):
            leavers.record_leaver(user_id=leaver.pk, successor_id=None, actor=make_actor(admin), reason="Resigned")
    assert LeaverRecord.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["leaver", "close", "role"])
def test_the_last_administrator_stays(way: str) -> None:
    # given one administrator of an entity, and another who does not see it
    admin, _, successor = _office()
    elsewhere = make_user("second@example.com", "administrator", entities=(make_entity("other"),))

    def remove() -> None:
        if way == "leaver":
            leavers.record_leaver(user_id=admin.pk, successor_id=successor.pk, actor=SYSTEM, reason="Resigned")
        elif way == "close":
            users.set_active(user_id=admin.pk, active=False, actor=SYSTEM, reason="Resigned")
        else:
            users.change_access(
                user_id=admin.pk, roles=["finance"], entity_codes=["nova"], actor=SYSTEM, reason="Moves on"
            )

    # when the administrator would go, then it is refused while nobody else administers the entity
    with pytest.raises(Conflict, match="Nobody else administers Nova"):
        remove()
    assert User.objects.get(pk=admin.pk).roles == ["administrator"]
    elsewhere.entities.add(make_entity())
    remove()
    with pytest.raises(Conflict, match="last administrator"):
        users.set_active(user_id=elsewhere.pk, active=False, actor=SYSTEM, reason="Resigned")


@pytest.mark.django_db(transaction=True)
def test_two_administrators_who_remove_each_other_leave_one() -> None:
    entity = make_entity()
    pair = [make_user(f"a{number}@example.com", "administrator", entities=(entity,)) for number in range(2)]
    barrier, outcomes = threading.Barrier(2), []

    def remove(actor: User, target: User) -> None:
        barrier.wait()
        try:
            users.set_active(user_id=target.pk, active=False, actor=make_actor(actor), reason="you first")
            outcomes.append("done")
        except Conflict as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=remove, args=pair), threading.Thread(target=remove, args=pair[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "last_administrator"]
    assert User.objects.filter(is_active=True).count() == 1


@pytest.mark.django_db
def test_the_desk_shows_what_will_happen_and_then_does_it() -> None:
    admin, leaver, successor = _office()
    _with_everything(leaver)
    browser = log_in(Browser(), admin)
    url = reverse("admin:core_user_leaver", args=[leaver.pk])
    given = {"successor": str(successor.pk), "reason": "Resigned", "idempotency_key": "one"}
    preview = browser.post(url, given).content.decode()
    assert "Clients go to the successor" in preview
    assert User.objects.get(pk=leaver.pk).is_active
    assert browser.post(url, {**given, "confirmed": "yes"}).status_code == 302
    assert not User.objects.get(pk=leaver.pk).is_active
    assert browser.get(reverse("admin:core_leaverrecord_changelist")).status_code == 200
    page = browser.get(reverse("admin:core_leaverrecord_change", args=[LeaverRecord.objects.get().pk]))
    assert "handed over 2" in page.content.decode()


@pytest.mark.django_db
def test_the_review_says_who_may_do_what_and_what_stands_out() -> None:
    admin, leaver, successor = _office()
    _with_everything(leaver)
    User.objects.filter(pk=successor.pk).update(
        last_login=clock.now() - timedelta(days=91), created_at=clock.now() - timedelta(days=200)
    )
    make_user("far@example.com", "finance", entities=(make_entity("other"),))
    make_user("trader@example.com", "trader", entities=(make_entity(),))
    rows = {row.email: row for row in access_review.review_rows(actor=make_actor(admin))}
    assert set(rows) == {admin.email, leaver.email, successor.email}
    assert rows[leaver.email].roles == "Sales, Platform operations"
    assert (rows[leaver.email].teams, rows[leaver.email].exceptions, rows[leaver.email].api_keys) == (
        "Desk one (lead)",
        1,
        1,
    )
    assert (rows[leaver.email].second_factor, rows[leaver.email].remark) == ("one-time codes", "")
    assert rows[successor.email].is_dormant
    assert rows[successor.email].remark == "not used for 90 days; no second factor"


@pytest.mark.django_db
def test_a_review_is_exported_and_signed_as_it_was_read() -> None:
    _, leaver, _ = _office()
    auditor = make_user("auditor@example.com", "auditor", entities=(make_entity(),))
    browser = log_in(Browser(), auditor)
    page = browser.get(reverse("admin:organisation_access_review"))
    assert leaver.email in page.content.decode()
    exported = b"".join(browser.get(reverse("admin:organisation_access_review"), {"export": "csv"}).streaming_content)  # type: ignore[attr-defined]
    assert leaver.email in exported.decode()
    pdf = browser.get(reverse("admin:organisation_access_review"), {"export": "pdf"})
    assert pdf.content.startswith(b"%PDF")
    actor = make_actor(auditor)
    digest = access_review.digest_of(access_review.review_rows(actor=actor))
    # what has changed since is not signed
    leaver.roles = ["finance"]
    leaver.save()
    with pytest.raises(Conflict, match="read it again"):
        access_review.sign_review(actor=actor, note="All is well", digest=digest)
    digest = access_review.digest_of(access_review.review_rows(actor=actor))
    url = reverse("admin:organisation_sign_access_review")
    assert "Sign" in browser.get(url, {"digest": digest}).content.decode()
    answer = browser.post(url, {"note": "All is well", "digest": digest, "confirmed": "yes"})
    assert answer.status_code == 302
    review = AccessReview.objects.get()
    assert (review.reviewer, review.digest, review.row_count) == (auditor, digest, len(review.rows))
    # and it is seen only by who sees all of it
    far = make_user("far@example.com", "auditor", entities=(make_entity("other"),))
    assert not access_review.reviews(actor=make_actor(far)).exists()
    with pytest.raises(Denied):
        access_review.review_rows(actor=make_actor(leaver))
