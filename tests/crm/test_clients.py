"""Registering, assigning and opening clients, and the facts that desks write down."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backoffice.core.models import AuditRecord, Brand, LegalEntity, OutboxEvent, Team, TeamMembership
from backoffice.core.types import Actor
from backoffice.kernel.errors import Denied, InvalidInput, NotFound
from crm import selectors
from crm.models import Client, ClientFact, ClientUserObjectPermission
from crm.services import clients
from tests.logins import make_actor, make_entity, make_user

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def make_brand(entity: LegalEntity) -> Brand:
    """The brand of an entity."""
    brand, _ = Brand.objects.get_or_create(entity=entity, code=f"{entity.code}-brand", defaults={"name": entity.code})
    return brand


def register(entity: LegalEntity | None = None, **changes: Any) -> Client:
    """A client of the entity, registered by the system unless told otherwise."""
    entity = entity or make_entity()
    given: dict[str, Any] = {
        "entity_id": entity.pk,
        "brand_id": make_brand(entity).pk,
        "full_name": "Tom Trader",
        "email": "Tom@Example.com",
        "country": "CY",
        "language": "en",
        "actor": SYSTEM,
    }
    return clients.register_client(**(given | changes))


def test_a_client_is_registered_with_the_next_reference() -> None:
    first, second = register(), register(full_name=" Una ", stage="lead", registered_at=NOON)

    assert int(second.reference.removeprefix("C-")) == int(first.reference.removeprefix("C-")) + 1
    assert len(first.reference) == len("C-000001")
    kept = Client.objects.get(pk=second.pk)
    assert (kept.full_name, kept.email, kept.stage, kept.registered_at) == ("Una", "tom@example.com", "lead", NOON)
    assert Client.objects.get(pk=first.pk).stage == "registered"


def test_a_registration_is_audited_without_the_persons_name_and_announced() -> None:
    client = register()

    record = AuditRecord.objects.get()
    assert (record.action, record.object_id, record.object_label) == (
        "crm.register_client",
        str(client.pk),
        client.reference,
    )
    assert "Tom" not in str(record.__dict__)
    event = OutboxEvent.objects.get()
    assert (event.topic, event.payload) == ("crm.client_registered", {"client_id": client.pk})


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"full_name": "  "}, "full_name"),
        ({"email": "nobody"}, "email"),
        ({"country": "cy"}, "country"),
        ({"country": "CYP"}, "country"),
        ({"stage": "king"}, "stage"),
        ({"brand_id": 0}, "brand_id"),
        ({"team_id": 0}, "team_id"),
        ({"owner_id": 0}, "owner_id"),
        ({"entity_id": 0}, "entity_id"),
    ],
)
def test_bad_input_is_refused_with_its_field_and_registers_nobody(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        register(**changes)

    assert refused.value.details["field"] == field
    assert (Client.objects.count(), AuditRecord.objects.count(), OutboxEvent.objects.count()) == (0, 0, 0)


def test_brand_team_and_owner_must_be_of_the_clients_entity() -> None:
    entity, other = make_entity("nova"), make_entity("other")
    foreign_team = Team.objects.create(entity=other, name="South")
    foreign_owner = make_user("s@example.com", "sales", entities=(other,))
    trader = make_user("t@example.com", "trader", entities=(entity,))

    for changes in (
        {"brand_id": make_brand(other).pk},
        {"team_id": foreign_team.pk},
        {"owner_id": foreign_owner.pk},
        {"owner_id": trader.pk},
    ):
        with pytest.raises(InvalidInput):
            register(entity, **changes)

    assert not Client.objects.exists()


def test_staff_register_only_for_their_own_entities() -> None:
    sales = make_actor(make_user("s@example.com", "sales", entities=(make_entity("nova"),)))

    with pytest.raises(Denied):
        register(make_entity("other"), actor=sales)
    register(make_entity("nova"), actor=sales)

    assert [client.entity.code for client in Client.objects.all()] == ["nova"]


@pytest.mark.parametrize(
    "role", ["compliance", "finance", "dealing", "auditor", "marketing", "trader", "ib", "retention"]
)
def test_other_roles_register_nobody(role: str) -> None:
    entity = make_entity()
    actor = make_actor(make_user("x@example.com", role, entities=(entity,)))

    with pytest.raises(Denied):
        register(entity, actor=actor)

    assert not Client.objects.exists()


def test_assigning_a_client_is_audited_once() -> None:
    entity = make_entity()
    owner = make_user("s@example.com", "sales", entities=(entity,))
    team = Team.objects.create(entity=entity, name="North")
    admin = make_actor(make_user("a@example.com", "administrator", entities=(entity,)))
    client = register(entity)

    for _ in range(2):
        clients.assign_client(
            client_id=client.pk, owner_id=owner.pk, team_id=team.pk, actor=admin, reason="round robin"
        )

    client.refresh_from_db()
    assert (client.owner, client.team) == (owner, team)
    record = AuditRecord.objects.get(action="crm.assign_client")
    assert record.changes == {"owner": [None, owner.pk], "team": [None, team.pk]}
    assert OutboxEvent.objects.filter(topic="crm.client_assigned").count() == 1


def test_an_administrator_cannot_assign_another_entitys_client() -> None:
    admin = make_actor(make_user("a@example.com", "administrator", entities=(make_entity("nova"),)))
    client = register(make_entity("other"))

    with pytest.raises(NotFound):
        clients.assign_client(client_id=client.pk, owner_id=None, team_id=None, actor=admin, reason="")


def test_one_client_is_opened_to_one_colleague_and_closed_again() -> None:
    entity = make_entity()
    sales_login = make_user("s@example.com", "sales", entities=(entity,))
    sales = make_actor(sales_login)
    officer = make_actor(make_user("c@example.com", "compliance", "administrator", entities=(entity,)))
    opened, closed = register(entity), register(entity)
    assert list(selectors.clients(actor=sales)) == []

    for _ in range(2):
        clients.grant_client_exception(client_id=opened.pk, user_id=sales_login.pk, actor=officer, reason="complaint")

    assert list(selectors.clients(actor=sales)) == [opened]
    with pytest.raises(NotFound):
        selectors.get_client(actor=sales, client_id=closed.pk)
    assert AuditRecord.objects.filter(action="crm.grant_client_exception").count() == 1

    for _ in range(2):
        clients.revoke_client_exception(client_id=opened.pk, user_id=sales_login.pk, actor=officer, reason="closed")
    assert list(selectors.clients(actor=sales)) == []
    assert AuditRecord.objects.filter(action="crm.revoke_client_exception").count() == 1


def test_a_client_is_opened_to_staff_only_and_never_to_oneself() -> None:
    entity = make_entity()
    client = register(entity)
    officer = make_actor(make_user("c@example.com", "administrator", entities=(entity,)))
    trader = make_user("t@example.com", "trader", entities=(entity,))

    assert officer.user_id is not None
    with pytest.raises(Denied):
        clients.grant_client_exception(client_id=client.pk, user_id=officer.user_id, actor=officer, reason="")
    with pytest.raises(InvalidInput):
        clients.grant_client_exception(client_id=client.pk, user_id=trader.pk, actor=officer, reason="")

    assert not ClientUserObjectPermission.objects.exists()


def test_sales_cannot_open_clients() -> None:
    entity = make_entity()
    client = register(entity)
    sales = make_actor(make_user("s@example.com", "sales", entities=(entity,)))
    other = make_user("o@example.com", "sales", entities=(entity,))

    with pytest.raises(Denied):
        clients.grant_client_exception(client_id=client.pk, user_id=other.pk, actor=sales, reason="")

    assert not ClientUserObjectPermission.objects.exists()


def test_the_newest_fact_wins_whatever_arrives_last() -> None:
    client = register()
    clients.write_fact(client_id=client.pk, fact="equity", value="10.00", as_of=NOON)
    clients.write_fact(client_id=client.pk, fact="equity", value="30.00", as_of=NOON + timedelta(hours=1))
    clients.write_fact(client_id=client.pk, fact="equity", value="20.00", as_of=NOON + timedelta(minutes=30))
    clients.write_fact(client_id=client.pk, fact="stage", value={"kyc": "open"}, as_of=NOON)

    assert ClientFact.objects.get(fact="equity").value == "30.00"
    assert selectors.facts_of(actor=SYSTEM, client_id=client.pk) == {"equity": "30.00", "stage": {"kyc": "open"}}


@pytest.mark.parametrize(("fact", "as_of"), [("", NOON), ("equity", datetime(2026, 3, 2))])
def test_a_fact_has_a_name_and_an_aware_time(fact: str, as_of: datetime) -> None:
    client = register()

    with pytest.raises(InvalidInput):
        clients.write_fact(client_id=client.pk, fact=fact, value=1, as_of=as_of)

    assert not ClientFact.objects.exists()


def test_facts_of_a_hidden_client_are_hidden() -> None:
    client = register(make_entity("other"))
    clients.write_fact(client_id=client.pk, fact="equity", value="1", as_of=NOON)
    finance = make_actor(make_user("f@example.com", "finance", entities=(make_entity("nova"),)))

    with pytest.raises(NotFound):
        selectors.facts_of(actor=finance, client_id=client.pk)


def test_the_client_of_a_login_is_found() -> None:
    login = make_user("tom@example.com", "trader")
    client = register(user_id=login.pk)

    assert selectors.client_of_user(actor=make_actor(login)) == client
    assert selectors.client_of_user(actor=make_actor(make_user("x@example.com", "trader"))) is None


def test_a_team_member_and_a_lead_see_the_teams_clients() -> None:
    entity = make_entity()
    team = Team.objects.create(entity=entity, name="North")
    member = make_user("m@example.com", "sales", entities=(entity,))
    lead = make_user("l@example.com", "retention", entities=(entity,))
    TeamMembership.objects.create(team=team, user=member)
    TeamMembership.objects.create(team=team, user=lead, is_lead=True)
    client = register(entity, team_id=team.pk)

    assert list(selectors.clients(actor=make_actor(member))) == [client]
    assert list(selectors.clients(actor=make_actor(lead))) == [client]
