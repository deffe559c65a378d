"""Who sees and does what on the ground: every role against rows of its own legal entity and of another's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.apps import apps
from django.db import models, transaction
from django.test import Client as Browser
from django.test import RequestFactory

from backoffice.core import access
from backoffice.core.access import capabilities, get_visible, holds, visible_to
from backoffice.core.actors import actor_of
from backoffice.core.models import (
    AuditRecord,
    AuditSeal,
    Brand,
    Job,
    JobRun,
    LegalEntity,
    OutboxEvent,
    ProcessHeartbeat,
    Team,
    TeamMembership,
    User,
)
from backoffice.core.types import NOBODY, PORTAL_ROLES, STAFF_ROLES, Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Denied, Misconfigured, NotFound
from tests.logins import log_in, make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db

ROLES = sorted(Role.values)
MACHINERY = {"administrator", "auditor", "platform_operations"}


def world(code: str) -> dict[type[models.Model], models.Model]:
    """One row of each kind in a legal entity."""
    entity = make_entity(code)
    person = make_user(f"someone@{code}.example.com", "sales", entities=(entity,))
    team = Team.objects.create(entity=entity, name="North")
    with transaction.atomic():
        record = AuditRecord.objects.create(actor="x", action="x", object_type="x", object_id="1", entity=entity)
    return {
        LegalEntity: entity,
        Brand: Brand.objects.create(entity=entity, code=f"{code}-brand", name=code),
        Team: team,
        TeamMembership: TeamMembership.objects.create(team=team, user=person),
        User: person,
        AuditRecord: record,
    }


EXPECTED: dict[type[models.Model], frozenset[str]] = {
    LegalEntity: STAFF_ROLES,
    Brand: STAFF_ROLES,
    Team: STAFF_ROLES,
    TeamMembership: STAFF_ROLES,
    User: frozenset({"administrator", "auditor", "compliance"}),
    AuditRecord: frozenset({"administrator", "auditor", "compliance"}),
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_rows_of_its_entity_as_declared_and_never_anothers(role: str) -> None:
    own, foreign = world("own"), world("foreign")
    actor = make_actor(make_user("me@example.com", role, entities=(make_entity("own"),)))

    for model, roles in EXPECTED.items():
        seen = set(visible_to(model._default_manager.all(), actor))
        assert (own[model] in seen) == (role in roles), model
        assert foreign[model] not in seen, model


@pytest.mark.parametrize("role", ROLES)
def test_a_role_without_entities_sees_nobody_elses_rows(role: str) -> None:
    rows = world("own")
    actor = make_actor(make_user("me@example.com", role))

    for model, row in rows.items():
        assert row not in visible_to(model._default_manager.all(), actor), model


@pytest.mark.parametrize("role", ROLES)
def test_everybody_sees_their_own_login(role: str) -> None:
    me = make_user("me@example.com", role)
    make_user("other@example.com", role)

    assert list(visible_to(User.objects.all(), make_actor(me))) == [me]


@pytest.mark.parametrize("role", ROLES)
def test_the_machinery_is_seen_by_those_who_tend_it(role: str) -> None:
    Job.objects.create(kind="k", key="1")
    JobRun.objects.create(job="j", slot="1")
    OutboxEvent.objects.create(topic="t")
    ProcessHeartbeat.objects.create(name="beat", beat_at=clock.now())
    AuditSeal.objects.create(
        number=1, first_xid=0, end_xid=1, record_count=0, manifest=b"", previous_digest=b"", digest=b""
    )
    actor = make_actor(make_user("me@example.com", role, entities=(make_entity(),)))

    for model in (Job, JobRun, OutboxEvent, ProcessHeartbeat, AuditSeal):
        assert visible_to(model._default_manager.all(), actor).exists() == (role in MACHINERY), model


@pytest.mark.parametrize("role", ROLES)
def test_acts_of_no_entity_are_seen_by_administrators_and_auditors(role: str) -> None:
    with transaction.atomic():
        AuditRecord.objects.create(actor="x", action="x", object_type="x", object_id="1")
    actor = make_actor(make_user("me@example.com", role, entities=(make_entity(),)))

    assert visible_to(AuditRecord.objects.all(), actor).exists() == (role in {"administrator", "auditor"})


def test_a_person_of_two_entities_is_listed_once() -> None:
    one, two = make_entity("one"), make_entity("two")
    both = make_user("both@example.com", "sales", entities=(one, two))
    admin = make_actor(make_user("admin@example.com", "administrator", entities=(one, two)))

    assert list(visible_to(User.objects.all(), admin)).count(both) == 1


def test_nobody_sees_and_holds_nothing() -> None:
    world("own")

    for label in access.scoped_models():
        model = apps.get_model(label)
        assert not visible_to(model._default_manager.all(), NOBODY).exists(), label
    assert [name for name in capabilities() if holds(NOBODY, name)] == []


def test_a_model_without_a_declared_scope_is_invisible() -> None:
    from backoffice.core.models import IdempotencyRecord

    IdempotencyRecord.objects.create(scope="s", key="k", request_hash=b"")
    admin = make_actor(make_user("a@example.com", "administrator", entities=(make_entity(),)))

    assert not visible_to(IdempotencyRecord.objects.all(), admin).exists()


def test_what_is_hidden_is_told_like_what_does_not_exist() -> None:
    hidden = world("foreign")[Brand]
    actor = make_actor(make_user("me@example.com", "administrator", entities=(make_entity("own"),)))

    with pytest.raises(NotFound) as of_hidden:
        get_visible(Brand.objects.all(), actor, pk=hidden.pk)
    with pytest.raises(NotFound) as of_missing:
        get_visible(Brand.objects.all(), actor, pk=hidden.pk + 1000)

    assert (of_hidden.value.message, of_hidden.value.details) == (of_missing.value.message, of_missing.value.details)


CAPABILITIES: dict[str, frozenset[str]] = {
    "core.enter_desk": STAFF_ROLES,
    "core.view_organisation": STAFF_ROLES,
    "core.manage_organisation": frozenset({"administrator"}),
    "core.view_users": frozenset({"administrator", "auditor", "compliance"}),
    "core.manage_users": frozenset({"administrator"}),
    "core.view_audit": frozenset({"administrator", "auditor", "compliance"}),
    "core.view_work": frozenset(MACHINERY),
    "core.retry_work": frozenset({"administrator", "platform_operations"}),
}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("capability", sorted(CAPABILITIES))
def test_a_verb_is_held_by_the_declared_roles_only(role: str, capability: str) -> None:
    actor = Actor(label="x", user_id=1, roles=frozenset({role}))

    assert holds(actor, capability) == (role in CAPABILITIES[capability])
    if role not in CAPABILITIES[capability]:
        with pytest.raises(Denied):
            access.authorise(actor, capability)


def test_no_portal_role_holds_a_verb_of_the_ground() -> None:
    for role in PORTAL_ROLES:
        actor = Actor(label="x", user_id=1, roles=frozenset({role}))
        assert [name for name in CAPABILITIES if holds(actor, name)] == []


def test_an_undeclared_verb_is_a_mistake_and_no_denial() -> None:
    with pytest.raises(Misconfigured):
        holds(NOBODY, "core.fly")


def request_of(browser: Browser, user: User, *, second_factor: bool) -> Any:
    """A request of the user's session, as a view gets it."""
    log_in(browser, user, second_factor=second_factor)
    request = RequestFactory().get("/")
    request.session = browser.session
    request.user = user
    return request


@pytest.mark.parametrize("role", sorted(STAFF_ROLES))
def test_a_staff_session_without_second_factor_acts_with_no_right_at_all(client: Browser, role: str) -> None:
    rows = world("own")
    user = make_user("me@example.com", role, entities=(make_entity("own"),))

    actor = actor_of(request_of(client, user, second_factor=False))

    assert (actor.roles, actor.entity_ids, actor.is_staff) == (frozenset(), frozenset(), False)
    assert [name for name in capabilities() if holds(actor, name)] == []
    for model, row in rows.items():
        assert row not in visible_to(model._default_manager.all(), actor)


def test_the_second_factor_gives_the_roles_back(client: Browser) -> None:
    user = make_user("me@example.com", "finance", "trader", entities=(make_entity("own"),))

    assert actor_of(request_of(client, user, second_factor=False)).roles == {"trader"}
    assert actor_of(request_of(client, user, second_factor=True)).roles == {"finance", "trader"}


@pytest.mark.parametrize("role", sorted(PORTAL_ROLES))
def test_portal_roles_need_no_second_factor(client: Browser, role: str) -> None:
    user = make_user("me@example.com", role)

    assert actor_of(request_of(client, user, second_factor=False)).roles == {role}


def test_the_record_of_another_login_in_the_session_does_not_count(client: Browser) -> None:
    """A session that changes hands keeps no second factor of the person before."""
    first = make_user("first@example.com", "finance", entities=(make_entity(),))
    second = make_user("second@example.com", "administrator", entities=(make_entity(),))
    request = request_of(client, first, second_factor=True)

    request.user = second

    assert actor_of(request).roles == frozenset()


def desk_pages() -> list[str]:
    """Addresses of the desk that need no object."""
    from django.urls import get_resolver

    pages = ["/desk/", "/desk/search/", "/desk/password_change/"]
    for pattern in get_resolver().url_patterns:
        if str(pattern.pattern) == "desk/":
            for inner in pattern.url_patterns:
                route = str(inner.pattern)
                if "<" not in route and "^" not in route:
                    pages.append(f"/desk/{route}")
    return sorted(set(pages))


Visit = Callable[[str], int]


def test_no_page_of_the_desk_opens_without_a_second_factor(client: Browser) -> None:
    user = make_user("me@example.com", *sorted(STAFF_ROLES), entities=(make_entity(),))
    log_in(client, user, second_factor=False)

    pages = desk_pages()
    opened = [page for page in pages if client.get(page).status_code not in {302, 403, 404, 405}]

    assert len(pages) > 3
    assert opened == []


def test_no_page_of_the_desk_opens_to_portal_people_or_strangers(client: Browser) -> None:
    strangers = [page for page in desk_pages() if client.get(page).status_code not in {302, 403, 404, 405}]
    log_in(client, make_user("tom@example.com", "trader", "ib"))
    portal = [page for page in desk_pages() if client.get(page).status_code not in {302, 403, 404, 405}]

    assert (strangers, portal) == ([], [])


def test_the_desk_has_no_login_of_its_own(client: Browser) -> None:
    """Django's form would check a password without rate limit and without a second factor."""
    make_user("me@example.com", "administrator")

    answer = client.post("/desk/login/", {"username": "me@example.com", "password": "correct horse battery"})

    assert answer.status_code == 302
    assert answer.headers["Location"].startswith("/account/login/")
    assert "_auth_user_id" not in client.session


def test_the_api_refuses_a_staff_session_without_second_factor(client: Browser) -> None:
    log_in(client, make_user("me@example.com", "administrator"), second_factor=False)

    assert client.get("/api/v1/me/").status_code == 403

    log_in(client, User.objects.get())
    assert client.get("/api/v1/me/").status_code == 200
