"""The page of one object: opens, shows its fields, its history and the panels that desks registered for it."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord, JobRun, OutboxEvent, ProcessHeartbeat, Team, User
from backoffice.core.services import audit, jobs
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.ui import panels
from backoffice.ui.panels import register_panel
from crm.models import Client, ClientFact
from tests.factories.platform import make_brand, make_client
from tests.logins import log_in, make_entity, make_user


@pytest.fixture
def boss(client: Browser, db: None) -> User:
    user = make_user("boss@house.test", Role.ADMINISTRATOR, entities=(make_entity(),))
    log_in(client, user)
    return user


def make_one_of_each(boss: User) -> list[Any]:
    """One visible row of every model of the organisation and the machinery."""
    entity = make_entity()
    customer = make_client(make_brand(entity))
    with transaction.atomic():
        audit.record(actor=Actor.system("test"), action="a.b", target=customer, reason="R", changes={"x": [1, 2]})
    jobs.enqueue(kind="k", key="1", payload={"n": 1})
    rows: list[Any] = [entity, customer.brand, customer, boss, Team.objects.create(entity=entity, name="T")]
    rows += [AuditRecord.objects.get(), jobs.Job.objects.get(), JobRun.objects.create(job="j", slot="s")]
    rows += [OutboxEvent.objects.create(topic="t", payload={"a": 1})]
    rows += [ProcessHeartbeat.objects.create(name="beat", beat_at=clock.now())]
    return rows


def test_every_object_of_the_organisation_has_a_page(client: Browser, boss: User) -> None:
    for row in make_one_of_each(boss):
        # given
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"

        # when
        page = client.get(reverse(f"{name}_change", args=[row.pk]))
        history = client.get(reverse(f"{name}_history", args=[row.pk]))

        # then
        assert (page.status_code, history.status_code) == (200, 200), name
        assert str(row) in page.content.decode().replace("&#x27;", "'"), name


def test_a_page_without_change_capability_has_no_form_to_send(client: Browser, boss: User) -> None:
    # given
    customer = make_client(make_brand(make_entity()), full_name="Ada")
    address = reverse("admin:crm_client_change", args=[customer.pk])

    # when
    page = client.get(address).content.decode()
    sent = client.post(address, {"full_name": "Eve"})

    # then: nothing to save, and what is sent anyway is refused
    customer.refresh_from_db()
    assert 'name="_save"' not in page
    assert 'name="full_name"' not in page
    assert sent.status_code == 403
    assert customer.full_name == "Ada"


def test_nothing_can_be_deleted_by_address(client: Browser, boss: User) -> None:
    # given
    rows = make_one_of_each(boss)

    # when
    answers = {}
    for row in rows:
        name = f"admin:{row._meta.app_label}_{row._meta.model_name}"
        answers[name] = client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code

    # then
    assert set(answers.values()) == {403}
    assert Client.objects.count() == 1


def test_the_history_of_an_object_says_who_did_what_and_why(client: Browser, boss: User) -> None:
    # given
    customer = make_client(make_brand(make_entity()))
    with transaction.atomic():
        audit.record(
            actor=Actor.system("nightly"), action="crm.move", target=customer, reason="Because", changes={"a": 1}
        )

    # when
    page = client.get(reverse("admin:crm_client_history", args=[customer.pk])).content.decode()

    # then
    for words in ("system:nightly", "crm.move", "Because", "{&quot;a&quot;: 1}"):
        assert words in page


def test_desks_show_what_they_know_of_a_client(client: Browser, boss: User, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: a fact, a panel for everybody and one for a capability the viewer lacks
    monkeypatch.setattr(panels, "_panels", {key: dict(value) for key, value in panels._panels.items()})
    customer = make_client(make_brand(make_entity()))
    ClientFact.objects.create(client=customer, fact="kyc_state", value="verified")
    register_panel("crm.Client", "test.open", "Open panel", lambda row, actor: f"for {row.reference}", order=50)
    register_panel("crm.Client", "test.empty", "Empty panel", lambda row, actor: "", order=51)
    monkeypatch.setattr("backoffice.ui.panels.holds", lambda actor, capability: capability != "secret")
    register_panel("crm.Client", "test.secret", "Secret panel", lambda row, actor: "secret", capability="secret")

    # when
    page = client.get(reverse("admin:crm_client_change", args=[customer.pk])).content.decode()

    # then
    assert "Kyc state" in page
    assert f"for {customer.reference}" in page
    assert "Empty panel" not in page
    assert "Secret panel" not in page


def test_every_admin_of_the_desk_names_a_readable_scope() -> None:
    # then: a list is bounded by the door in exactly one way
    for model_admin in admin.site._registry.values():
        named = [model_admin.entity_path, model_admin.visible_through, model_admin.is_reference_data]
        assert sum(map(bool, named)) <= 1
