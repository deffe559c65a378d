"""Action views: what will happen, confirmation, one act per submission, a refusal that changes nothing."""

from __future__ import annotations

import re

import pytest
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord, OutboxEvent, User
from backoffice.core.types import Role
from backoffice.kernel import clock
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def boss(client: Browser) -> User:
    user = make_user("boss@house.test", Role.ADMINISTRATOR, entities=(make_entity(),))
    log_in(client, user)
    return user


def key_of(page: str) -> str:
    found = re.search(r'name="idempotency_key" value="([^"]+)"', page)
    assert found is not None
    return found[1]


def test_an_act_is_described_first_and_done_after_the_confirmation(client: Browser, boss: User) -> None:
    # given: a colleague's login
    colleague = make_user("colleague@house.test", Role.SALES, entities=(make_entity(),))
    address = reverse("admin:core_user_close", args=[colleague.pk])
    form = {"reason": "Left the house", "idempotency_key": key_of(client.get(address).content.decode())}

    # when: the form is sent
    described = client.post(address, form)

    # then: nothing has happened yet, the same key is carried on
    colleague.refresh_from_db()
    assert colleague.is_active
    assert "Please confirm" in described.content.decode()
    assert key_of(described.content.decode()) == form["idempotency_key"]

    # when: it is confirmed
    done = client.post(address, form | {"confirmed": "yes"})

    # then
    colleague.refresh_from_db()
    assert (done.status_code, done.url) == (302, reverse("admin:core_user_change", args=[colleague.pk]))
    assert not colleague.is_active
    record = AuditRecord.objects.get(action="core.deactivate_user")
    assert (record.actor, record.reason, record.object_id) == (boss.email, "Left the house", str(colleague.pk))


def test_a_confirmation_sent_twice_acts_once(client: Browser, boss: User) -> None:
    # given
    colleague = make_user("colleague@house.test", Role.SALES, entities=(make_entity(),))
    address = reverse("admin:core_user_close", args=[colleague.pk])
    form = {"reason": "Left", "confirmed": "yes", "idempotency_key": key_of(client.get(address).content.decode())}

    # when
    client.post(address, form)
    client.post(address, form)

    # then
    assert AuditRecord.objects.filter(action="core.deactivate_user").count() == 1


def test_a_refusal_of_the_domain_is_shown_on_the_form_and_changes_nothing(client: Browser, boss: User) -> None:
    # given: an event that is alive cannot be retried
    event = OutboxEvent.objects.create(topic="t")
    address = reverse("admin:core_outboxevent_retry", args=[event.pk])

    # when
    answer = client.post(address, {"reason": "Try", "confirmed": "yes"})

    # then
    assert answer.status_code == 409
    assert "Only an event that was given up can be retried." in answer.content.decode()
    assert not AuditRecord.objects.filter(action="core.retry_dead_event").exists()


def test_a_dead_event_is_delivered_again(client: Browser, boss: User) -> None:
    # given
    event = OutboxEvent.objects.create(topic="t", dead_at=clock.now(), attempts=9)

    # when
    client.post(reverse("admin:core_outboxevent_retry", args=[event.pk]), {"reason": "Mended", "confirmed": "yes"})

    # then
    event.refresh_from_db()
    assert (event.dead_at, event.attempts) == (None, 0)


def test_an_invalid_field_is_named_and_nothing_changes(client: Browser, boss: User) -> None:
    # given: an address that is taken
    make_user("taken@house.test", Role.SALES)
    address = reverse("admin:core_user_create")
    form = {
        "email": "taken@house.test",
        "full_name": "Twin",
        "roles": ["sales"],
        "entities": ["nova"],
        "confirmed": "yes",
    }

    # when
    answer = client.post(address, form)

    # then
    assert answer.status_code == 400
    assert list(answer.context["form"].errors) == ["email"]
    assert User.objects.filter(full_name="Twin").count() == 0


def test_a_new_user_gets_roles_and_entities(client: Browser, boss: User) -> None:
    # when
    form = {
        "email": "new@house.test",
        "full_name": "New",
        "roles": ["finance"],
        "entities": ["nova"],
        "confirmed": "yes",
    }
    answer = client.post(reverse("admin:core_user_create"), form)

    # then
    made = User.objects.get(email="new@house.test")
    assert answer.status_code == 302
    assert (made.roles, list(made.entities.values_list("code", flat=True))) == (["finance"], ["nova"])


def test_an_entity_that_is_not_ones_own_cannot_be_given(client: Browser, boss: User) -> None:
    # given
    make_entity("foreign")

    # when
    form = {
        "email": "spy@house.test",
        "full_name": "Spy",
        "roles": ["finance"],
        "entities": ["foreign"],
        "confirmed": "yes",
    }
    answer = client.post(reverse("admin:core_user_create"), form)

    # then
    assert answer.status_code == 400
    assert not User.objects.filter(email="spy@house.test").exists()


def test_an_action_on_what_is_not_visible_does_not_exist(client: Browser, boss: User) -> None:
    # given: a login of another entity
    stranger = make_user("stranger@other.test", Role.SALES, entities=(make_entity("foreign"),))

    # when
    answer = client.post(reverse("admin:core_user_close", args=[stranger.pk]), {"reason": "x", "confirmed": "yes"})

    # then
    stranger.refresh_from_db()
    assert answer.status_code == 404
    assert stranger.is_active


def test_a_role_without_the_capability_cannot_act_by_address(client: Browser) -> None:
    # given: an auditor, who may see users but not change them
    entity = make_entity()
    log_in(client, make_user("auditor@house.test", Role.AUDITOR, entities=(entity,)))
    colleague = make_user("colleague@house.test", Role.SALES, entities=(entity,))
    address = reverse("admin:core_user_close", args=[colleague.pk])

    # when
    answers = (client.get(address).status_code, client.post(address, {"reason": "x", "confirmed": "yes"}).status_code)

    # then
    colleague.refresh_from_db()
    assert answers == (403, 403)
    assert colleague.is_active
    assert "Close login" not in client.get(reverse("admin:core_user_change", args=[colleague.pk])).content.decode()


def test_reference_data_changed_in_the_admin_is_in_the_audit(client: Browser, boss: User) -> None:
    # when: a team is made with a member
    form = {
        "entity": str(make_entity().pk),
        "name": "Limassol",
        "teammembership_set-TOTAL_FORMS": "1",
        "teammembership_set-INITIAL_FORMS": "0",
        "teammembership_set-0-user": str(boss.pk),
        "teammembership_set-0-is_lead": "on",
    }
    answer = client.post(reverse("admin:core_team_add"), form)

    # then
    assert answer.status_code == 302
    actions = list(AuditRecord.objects.order_by("id").values_list("action", "actor"))
    assert actions == [("core.team_added", boss.email), ("core.team_rows_changed", boss.email)]
