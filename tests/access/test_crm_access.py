"""Every role against clients: its own, its team's, its entity's and another entity's."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from backoffice.core.access import holds, visible_to
from backoffice.core.models import Team, TeamMembership
from backoffice.core.types import STAFF_ROLES, Actor, Role
from backoffice.kernel import clock
from crm.models import Client, ClientFact
from crm.services import clients
from tests.crm.test_clients import register
from tests.logins import make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db

ROLES = sorted(Role.values)
WHOLE_ENTITY = {
    "administrator",
    "auditor",
    "compliance",
    "dealing",
    "finance",
    "marketing",
    "partner_manager",
    "platform_operations",
}


@pytest.mark.parametrize("role", ROLES)
def test_a_role_sees_exactly_its_clients(role: str) -> None:
    entity, other = make_entity("own"), make_entity("other")
    me = make_user("me@example.com", role, entities=(entity,))
    my_team = Team.objects.create(entity=entity, name="Mine")
    TeamMembership.objects.create(team=my_team, user=me)
    foreign_team = Team.objects.create(entity=entity, name="Theirs")
    staff = role in STAFF_ROLES
    rows = {
        "myself": register(entity, user_id=me.pk),
        "owned": register(entity, owner_id=me.pk if staff else None),
        "of my team": register(entity, team_id=my_team.pk),
        "of another team": register(entity, team_id=foreign_team.pk),
        "of nobody": register(entity),
        "of another entity": register(other),
    }
    expected: set[str] = set()
    if role in WHOLE_ENTITY:
        expected = set(rows) - {"of another entity"}
    elif role in {"sales", "retention"}:
        expected = {"owned", "of my team"}
    elif role == "trader":
        expected = {"myself"}

    seen = set(visible_to(Client.objects.all(), make_actor(me)))

    assert {name for name, client in rows.items() if client in seen} == expected
    for client in rows.values():
        clients.write_fact(client_id=client.pk, fact="equity", value="1", as_of=clock.now())
    facts = {fact.client for fact in visible_to(ClientFact.objects.select_related("client"), make_actor(me))}
    assert facts == seen


def test_who_moved_to_another_entity_sees_nothing_of_the_old_one() -> None:
    old, new = make_entity("old"), make_entity("new")
    sales = make_user("s@example.com", "sales", entities=(old,))
    register(old, owner_id=sales.pk)
    sales.entities.set([new])

    assert not visible_to(Client.objects.all(), make_actor(sales)).exists()


@pytest.mark.parametrize("role", ROLES)
def test_the_verbs_of_the_desk(role: str) -> None:
    actor = Actor(label="x", user_id=1, roles=frozenset({role}))

    assert holds(actor, "crm.view_clients") == (role in STAFF_ROLES)
    assert holds(actor, "crm.register_client") == (role in {"sales", "platform_operations", "administrator"})
    assert holds(actor, "crm.assign_client") == (role == "administrator")
    assert holds(actor, "crm.grant_client_exception") == (role in {"administrator", "compliance"})


def test_named_exceptions_cost_one_statement_however_many_they_are() -> None:
    entity = make_entity()
    sales = make_user("s@example.com", "sales", entities=(entity,))
    officer = make_actor(make_user("c@example.com", "administrator", entities=(entity,)))
    for _ in range(5):
        clients.grant_client_exception(
            client_id=register(entity).pk, user_id=sales.pk, actor=officer, reason="complaint"
        )
    actor = make_actor(sales)

    with CaptureQueriesContext(connection) as queries:
        seen = list(visible_to(Client.objects.all(), actor))

    assert len(seen) == 5
    assert len(queries) == 1
