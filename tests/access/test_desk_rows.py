"""Whose rows a page shows: another legal entity's, another owner's are not there, whichever way one asks."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from backoffice.core.models import AuditRecord, LegalEntity, Team, TeamMembership, User
from backoffice.core.types import Actor, Role
from crm.models import Client, ClientUserObjectPermission
from crm.services.clients import register_client
from tests.factories.platform import make_brand
from tests.logins import log_in, make_entity, make_user

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")


def make_client(entity: LegalEntity, name: str, *, owner: User | None = None) -> Client:
    return register_client(
        entity_id=entity.pk,
        brand_id=make_brand(entity).pk,
        full_name=name,
        email=f"{name.lower()}@world.test",
        country="CY",
        language="en",
        owner_id=owner.pk if owner else None,
        actor=SYSTEM,
    )


def body(response: object) -> str:
    """The whole text of an answer, streamed or not."""
    if getattr(response, "streaming", False):
        return b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    return response.content.decode()  # type: ignore[attr-defined]


def test_another_entitys_client_is_not_there_in_any_way(client: Browser) -> None:
    # given: a client of ours and one of another entity's
    ours, theirs = make_entity("ours"), make_entity("theirs")
    mine, hidden = make_client(ours, "Visible"), make_client(theirs, "Hidden")
    log_in(client, make_user("boss@house.test", Role.ADMINISTRATOR, entities=(ours,)))
    listing = reverse("admin:crm_client_changelist")

    # when
    seen = body(client.get(listing))
    searched = body(client.get(listing, {"q": "Hidden"}))
    exported = body(client.get(reverse("admin:crm_client_export", args=["csv"])))
    found = body(client.get(reverse("admin:search"), {"s": "Hidden", "extended": "1"}))
    detail = client.get(reverse("admin:crm_client_change", args=[hidden.pk]))
    history = client.get(reverse("admin:crm_client_history", args=[hidden.pk]))
    api = client.get("/api/v1/clients/")
    api_detail = client.get(f"/api/v1/clients/{hidden.public_id}/")

    # then
    assert mine.reference in seen
    assert mine.reference in exported
    for text in (seen, searched, exported, found, body(api)):
        assert hidden.reference not in text
        assert hidden.email not in text
    assert (detail.status_code, history.status_code, api_detail.status_code) == (302, 302, 404)


def test_filters_offer_no_name_of_another_entity(client: Browser) -> None:
    # given: staff of two entities who own clients
    ours, theirs = make_entity("ours"), make_entity("theirs")
    make_client(ours, "Visible", owner=make_user("colleague@house.test", Role.SALES, entities=(ours,)))
    make_client(theirs, "Hidden", owner=make_user("stranger@other.test", Role.SALES, entities=(theirs,)))
    log_in(client, make_user("boss@house.test", Role.ADMINISTRATOR, entities=(ours,)))

    # when
    page = body(client.get(reverse("admin:crm_client_changelist")))

    # then
    assert "Colleague" in page
    assert "Stranger" not in page
    assert "Theirs Markets" not in page


def test_sales_see_their_own_and_what_was_opened_to_them_by_name(client: Browser) -> None:
    # given
    ours = make_entity("ours")
    me = make_user("me@house.test", Role.SALES, entities=(ours,))
    own = make_client(ours, "Own", owner=me)
    others = make_client(ours, "Others")
    opened = make_client(ours, "Opened")
    ClientUserObjectPermission.objects.create(
        user=me,
        content_object=opened,
        permission=Permission.objects.get(codename="view_client", content_type__app_label="crm"),
    )
    log_in(client, me)

    # when
    page = body(client.get(reverse("admin:crm_client_changelist")))

    # then
    assert own.reference in page
    assert opened.reference in page
    assert others.reference not in page


def test_a_link_to_what_the_viewer_may_not_open_is_plain_text(client: Browser) -> None:
    # given: a client with an owner; sales may not open users, administrators may
    ours = make_entity("ours")
    me = make_user("me@house.test", Role.SALES, entities=(ours,))
    make_client(ours, "Own", owner=me)
    user_page = reverse("admin:core_user_change", args=[me.pk])

    # when
    as_sales = body(log_in(client, me).get(reverse("admin:crm_client_changelist")))
    boss = make_user("boss@house.test", Role.ADMINISTRATOR, entities=(ours,))
    as_boss = body(log_in(client, boss).get(reverse("admin:crm_client_changelist")))

    # then
    assert user_page not in as_sales
    assert user_page in as_boss


def make_rows(entity: LegalEntity, owner: User, first: int, last: int) -> None:
    for number in range(first, last):
        client = make_client(entity, f"Person{number}", owner=owner)
        team = Team.objects.create(entity=entity, name=f"Team {number}")
        colleague = make_user(f"colleague{number}@house.test", Role.SALES, entities=(entity,))
        TeamMembership.objects.create(team=team, user=colleague)
        AuditRecord.objects.create(
            actor="x", action="y", object_type="crm.client", object_id=str(client.pk), entity=entity
        )


@pytest.mark.parametrize("name", ["crm_client", "core_user", "core_team", "core_brand", "core_auditrecord"])
def test_a_list_costs_the_same_number_of_queries_however_long_it_is(name: str, client: Browser) -> None:
    # given
    ours = make_entity("ours")
    boss = make_user("boss@house.test", Role.ADMINISTRATOR, entities=(ours,))
    log_in(client, boss)
    address = reverse(f"admin:{name}_changelist")

    # when: two rows, then eight
    make_rows(ours, boss, 0, 2)
    client.get(address)
    with CaptureQueriesContext(
        connection,
    ) as few:
        client.get(address)
    make_rows(ours, boss, 2, 8)
    with CaptureQueriesContext(connection) as many:
        client.get(address)

    # then
    assert len(many) == len(few), "\n".join(query["sql"][:200] for query in many.captured_queries)
    assert len(many) <= 20
