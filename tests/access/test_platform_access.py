"""Every role against trading accounts and what happened on them: own clients', the entity's, another entity's."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from backoffice.core.access import get_visible, visible_to
from backoffice.core.models import AuditRecord, OutboxEvent, User
from backoffice.core.types import Actor, Role
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, NotFound
from platform_ops.models import (
    BalanceOperation,
    CurrentDeal,
    Position,
    ServerSymbol,
    Symbol,
    SymbolGroup,
    Trade,
    TradingAccount,
    TradingServer,
)
from platform_ops.services.accounts import assign_account
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.symbols import map_server_symbol
from platform_ops.types import DealEntry, DealKind
from tests.factories.platform import make_brand, make_client, make_server
from tests.logins import make_actor, make_entity, make_user
from tests.platform_ops.test_ingest import AS_OF, CLOSING, OPENING, deal, money

pytestmark = pytest.mark.django_db

WHOLE_ENTITY = {"administrator", "auditor", "compliance", "dealing", "finance", "platform_operations"}
EVERY_CLIENT = {"marketing", "partner_manager"}


def fill(server: TradingServer, login: str, number: int) -> TradingAccount:
    """An account with a deposit, a trade and an open position."""

    def mine(record: IngestRecord, ticket: int) -> IngestRecord:
        return replace(record, ticket=ticket, login=login, position_ticket=record.position_ticket and number)

    records = [
        mine(money(1, "100"), number),
        mine(OPENING, number + 1),
        mine(replace(CLOSING, volume_lots=Decimal("0.5")), number + 2),
    ]
    ingest_records(server_id=server.pk, source="test", records=records, as_of=AS_OF)
    return TradingAccount.objects.get(server=server, login=login)


@pytest.mark.parametrize("role", sorted(Role.values))
def test_a_role_sees_exactly_its_accounts_and_what_happened_on_them(role: str) -> None:
    # given: accounts of a client of mine, of somebody's, of nobody, and of another entity
    entity, other = make_entity("own"), make_entity("other")
    me = make_user("me@house.test", role, entities=(entity,))
    brand, server = make_brand(entity), make_server(entity)
    staff = role not in ("trader", "ib")
    owners = {
        "mine": make_client(brand, user=me) if role == "trader" else make_client(brand, owner=me if staff else None),
        "somebody's": make_client(brand),
        "nobody's": None,
    }
    accounts = {}
    for place, (name, owner) in enumerate(owners.items()):
        account = accounts[name] = fill(server, str(1000 + place), 100 * (place + 1))
        account.client = owner
        account.save()
    accounts["another entity's"] = fill(make_server(other), "2000", 900)

    # when: everything is looked at through the door
    actor = make_actor(me)

    # then
    expected: set[str] = set()
    if role in WHOLE_ENTITY:
        expected = {"mine", "somebody's", "nobody's"}
    elif role in EVERY_CLIENT:
        expected = {"mine", "somebody's"}
    elif role in ("sales", "retention", "trader"):
        expected = {"mine"}
    numbers = {account.pk: name for name, account in accounts.items()}
    assert {numbers[row.pk] for row in visible_to(TradingAccount.objects.all(), actor)} == expected
    for model in (Trade, Position, BalanceOperation, CurrentDeal):
        rows = visible_to(model._default_manager.all(), actor)
        assert {numbers[pk] for pk in rows.values_list("account_id", flat=True)} == expected, model


def test_looking_through_the_door_is_one_query_however_many_accounts() -> None:
    entity = make_entity()
    me = make_user("me@house.test", Role.SALES, entities=(entity,))
    brand, server = make_brand(entity), make_server(entity)
    for number in range(3):
        account = fill(server, str(1000 + number), 100 * (number + 1))
        account.client = make_client(brand, owner=me)
        account.save()
    actor = make_actor(me)

    with CaptureQueriesContext(connection) as seen:
        assert len(visible_to(Trade.objects.all(), actor)) == 3
    assert len(seen) == 1


def operator(*entities: Model) -> Actor:
    return make_actor(make_user("ops@house.test", Role.PLATFORM_OPERATIONS, entities=tuple(entities)))  # type: ignore[arg-type]


def test_an_account_is_assigned_once_and_told_about() -> None:
    entity = make_entity()
    client, account = make_client(make_brand(entity)), fill(make_server(entity), "1000", 100)
    actor = operator(entity)

    for _ in range(2):
        assign_account(account_id=account.pk, client_id=client.pk, actor=actor, reason="")

    account.refresh_from_db()
    assert account.client == client
    assert OutboxEvent.objects.filter(topic="platform.account_assigned").count() == 1
    assert AuditRecord.objects.get(action="platform.assign_account").changes == {"client": [None, client.pk]}

    with pytest.raises(InvalidInput, match="Say why"):
        assign_account(account_id=account.pk, client_id=make_client(client.brand).pk, actor=actor, reason=" ")
    account.refresh_from_db()
    assert account.client == client


def test_an_account_is_not_assigned_across_entities_or_by_others() -> None:
    ours, theirs = make_entity("ours"), make_entity("theirs")
    account, stranger = fill(make_server(ours), "1000", 100), make_client(make_brand(theirs))
    both = operator(ours, theirs)
    User.objects.filter(email="ops@house.test").update(email="first@house.test")

    with pytest.raises(Conflict):
        assign_account(account_id=account.pk, client_id=stranger.pk, actor=both, reason="x")
    with pytest.raises(NotFound):
        assign_account(account_id=account.pk, client_id=stranger.pk, actor=operator(ours), reason="x")
    sales = make_actor(make_user("s@house.test", Role.SALES, entities=(ours,)))
    with pytest.raises(Denied):
        assign_account(account_id=account.pk, client_id=stranger.pk, actor=sales, reason="x")
    assert TradingAccount.objects.get().client is None
    assert not OutboxEvent.objects.filter(topic="platform.account_assigned").exists()


def test_a_name_is_mapped_told_about_and_changed_only_with_a_reason() -> None:
    entity = make_entity()
    server = make_server(entity)
    ingest_records(
        server_id=server.pk,
        source="test",
        records=[deal(1, DealKind.BUY, DealEntry.IN, 1, symbol="GOLD")],
        as_of=AS_OF,
    )
    group = SymbolGroup.objects.create(code="metals", name="Metals")
    gold, silver = (
        Symbol.objects.create(code=code, asset_class="metal", group=group, base_asset=code[:3], profit_currency="USD")
        for code in ("XAUUSD", "XAGUSD")
    )
    name = ServerSymbol.objects.get(name="GOLD")
    actor = operator(entity)

    map_server_symbol(server_symbol_id=name.pk, symbol_id=gold.pk, actor=actor, reason="")
    with pytest.raises(InvalidInput, match="Say why"):
        map_server_symbol(server_symbol_id=name.pk, symbol_id=silver.pk, actor=actor, reason="")

    name.refresh_from_db()
    assert (name.symbol, name.mapped_by) == (gold, "by ops@house.test")
    assert OutboxEvent.objects.filter(topic="platform.symbol_mapped").count() == 1
    with pytest.raises(Denied):
        map_server_symbol(
            server_symbol_id=name.pk,
            symbol_id=silver.pk,
            actor=make_actor(make_user("f@house.test", Role.FINANCE, entities=(entity,))),
            reason="x",
        )


def test_what_is_not_visible_is_reported_like_what_does_not_exist() -> None:
    account = fill(make_server(make_entity("theirs")), "1000", 100)
    actor = operator(make_entity("ours"))

    for pk in (account.pk, 999_999):
        with pytest.raises(NotFound) as refusal:
            get_visible(TradingAccount.objects.all(), actor, pk=pk)
        assert refusal.value.message == "No such trading account, or it is not yours to see."
