"""How a server is reached: who may set it, what is kept secret, and that nothing is called inside a transaction."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.test import Client as Browser
from django.urls import reverse

from backoffice.core.models import AuditRecord, LegalEntity
from backoffice.core.services import switches
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Denied, InvalidInput, Misconfigured, NotFound
from platform_ops.gateways.errors import NotOffered
from platform_ops.models import Deal, ServerConnection, ServerSync, SyncGap, TradingServer
from platform_ops.selectors import servers
from platform_ops.services import connections
from platform_ops.services.connections import ConnectionTerms, open_gateway, save_connection, test_connection
from platform_ops.services.sync import follow_once
from platform_ops.types import DealKind
from tests.factories.platform import make_entity, make_server, staff
from tests.logins import log_in, make_user
from tests.platform_ops.conformance.own_worlds import write_csv
from tests.platform_ops.sync.conftest import SYSTEM, connect
from tests.trading_server import RunningServer

pytestmark = pytest.mark.django_db
check_connection = test_connection
check_connection.__test__ = False  # type: ignore[attr-defined]
TERMS = ConnectionTerms(kind="mt5_web", host="mt5.example", port=443, login="1000", password="Se-cret-9")


def operator_of(entity: LegalEntity) -> Browser:
    """A browser in which platform operations is logged in."""
    return log_in(Browser(), make_user("operator@broker.example", Role.PLATFORM_OPERATIONS, entities=(entity,)))


def test_a_session_for_reading_cannot_change_the_server(server: TradingServer, simulated: RunningServer) -> None:
    before = simulated.standing(5001)
    with open_gateway(server_id=server.pk) as gateway:
        with pytest.raises(NotOffered):
            gateway.balance_operation(login="5001", kind=DealKind.BALANCE, amount=1, comment="x")  # type: ignore[arg-type]
        assert gateway.find_operation(login="5001", reference="R-1", since=clock.now()) is None
        assert len(list(gateway.accounts())) == 3

    assert simulated.standing(5001) == before


def test_a_session_for_writing_asks_the_switch(server: TradingServer) -> None:
    administrator = Actor.system("administrator")
    switches.stop(switch=switches.Switch.SERVER_PUSHES, actor=administrator, reason="Maintenance")

    with pytest.raises(switches.SwitchedOff), open_gateway(server_id=server.pk, writing=True):
        pass
    with open_gateway(server_id=server.pk) as gateway:
        assert gateway.clock()


def test_no_server_is_called_inside_a_transaction(server: TradingServer) -> None:
    with transaction.atomic(), pytest.raises(Misconfigured), open_gateway(server_id=server.pk):
        pass


def test_a_server_without_a_connection_is_named(db: None) -> None:
    with pytest.raises(NotFound), open_gateway(server_id=make_server().pk):
        pass


def test_the_password_is_sealed_and_nowhere_to_be_read(db: None) -> None:
    entity = make_entity()
    actor = staff(Role.PLATFORM_OPERATIONS, entities=[entity])

    saved = save_connection(server_id=make_server(entity).pk, terms=TERMS, actor=actor, reason="New server")

    assert ServerConnection.objects.get().password == "Se-cret-9"
    with connection.cursor() as cursor:
        cursor.execute("SELECT password FROM platform_ops_serverconnection")
        assert "Se-cret-9" not in cursor.fetchone()[0]
        cursor.execute("SELECT row_to_json(v)::text FROM platform_ops_serverconnectionversion v")
        assert "password" not in cursor.fetchone()[0]
    record = AuditRecord.objects.get(action="platform.save_connection")
    assert "Se-cret-9" not in str(record.changes)
    assert record.changes["password"] == ["", "set"]
    assert saved.options == {"batches": True, "answer_seconds": 30}


def test_another_address_needs_the_password_again(db: None) -> None:
    server = make_server()
    save_connection(server_id=server.pk, terms=TERMS, actor=SYSTEM)
    moved = ConnectionTerms(kind="mt5_web", host="evil.example", port=443, login="1000")

    with pytest.raises(InvalidInput) as caught:
        save_connection(server_id=server.pk, terms=moved, actor=SYSTEM)

    assert caught.value.details["field"] == "password"
    assert ServerConnection.objects.get().host == "mt5.example"
    kept = ConnectionTerms(kind="mt5_web", host="mt5.example", port=443, login="1000", interval_seconds=9)
    assert save_connection(server_id=server.pk, terms=kept, actor=SYSTEM).password == "Se-cret-9"


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"kind": "telepathy"}, "kind"),
        ({"host": ""}, "host"),
        ({"port": None}, "host"),
        ({"port": 70_000}, "port"),
        ({"host": "a b"}, "host"),
        ({"host": "x/y"}, "host"),
        ({"interval_seconds": 0}, "interval_seconds"),
        ({"overlap_seconds": 100_000}, "overlap_seconds"),
        ({"options": {"unknown": 1}}, "options"),
        ({"options": {"batches": "yes"}}, "options"),
        ({"options": {"answer_seconds": True}}, "options"),
        ({"options": {"answer_seconds": 0}}, "options"),
        ({"options": [1]}, "options"),
        ({"started_at": "future"}, "started_at"),
        ({"kind": "files", "options": {"folder": "../etc"}}, "options"),
        ({"kind": "files", "options": {"folder": ""}}, "options"),
    ],
)
def test_terms_that_do_not_fit_are_refused_with_their_field(
    db: None, settings: object, tmp_path: Path, terms: dict[str, object], field: str
) -> None:
    settings.DEALS_INBOX = str(tmp_path)  # type: ignore[attr-defined]
    if terms.get("started_at"):
        terms = {"started_at": clock.now() + timedelta(days=1)}
    given = {"kind": "mt5_web", "host": "mt5.example", "port": 443, "login": "1", "password": "p", **terms}

    with pytest.raises(InvalidInput) as caught:
        save_connection(server_id=make_server().pk, terms=ConnectionTerms(**given), actor=SYSTEM)  # type: ignore[arg-type]

    assert caught.value.details["field"] == field
    assert ServerConnection.objects.count() == 0


@pytest.mark.parametrize("role", [Role.DEALING, Role.FINANCE, Role.SALES, Role.AUDITOR, Role.COMPLIANCE])
def test_only_operators_set_and_test_connections(db: None, role: Role) -> None:
    entity = make_entity()
    server, actor = make_server(entity), staff(role, entities=[entity])

    with pytest.raises(Denied):
        save_connection(server_id=server.pk, terms=TERMS, actor=actor)
    with pytest.raises(Denied):
        check_connection(server_id=server.pk, actor=actor)
    assert ServerConnection.objects.count() == 0


def test_servers_of_another_entity_do_not_exist(db: None) -> None:
    server, stranger = make_server(), staff(Role.PLATFORM_OPERATIONS, entities=[make_entity()])

    with pytest.raises(NotFound):
        save_connection(server_id=server.pk, terms=TERMS, actor=stranger)
    assert servers.server_health(actor=stranger) == []


def test_a_test_says_what_it_found(server: TradingServer, simulated: RunningServer) -> None:
    good = check_connection(server_id=server.pk, actor=SYSTEM)
    connect(server, simulated, password="wrong")
    bad = check_connection(server_id=server.pk, actor=SYSTEM)

    assert good.is_good and good.offset_seconds is not None and abs(good.offset_seconds) < 5
    assert not bad.is_good and "password is wrong" in bad.problem
    assert AuditRecord.objects.filter(action="platform.test_connection").count() == 2


def test_what_a_test_found_is_written_down_in_a_transaction_of_its_own(
    server: TradingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a desk that asks outside of any transaction, as it must before it talks to a server
    depths, record = [], connections.audit.record

    def watched(**given: object) -> object:
        depths.append(len(connection.savepoint_ids))
        return record(**given)

    monkeypatch.setattr(connections.audit, "record", watched)

    # when a server is tested that does not answer
    outside = len(connection.savepoint_ids)
    check_connection(server_id=server.pk, actor=SYSTEM)

    # then what is written is one transaction deeper than the caller
    assert depths == [outside + 1]


def test_the_board_shows_every_state_and_is_exported(server: TradingServer, simulated: RunningServer) -> None:
    other = make_server(server.entity)
    connect(other, simulated, port=1)
    follow_once(server_id=server.pk)
    follow_once(server_id=other.pk)
    now = clock.now()
    SyncGap.objects.create(
        server=server,
        from_at=now - timedelta(hours=2),
        to_at=now - timedelta(hours=1),
        cause="<b>cut</b>",
        found_at=now,
    )
    browser: Browser = operator_of(server.entity)

    page = browser.get(reverse("admin:platform_ops_server_health")).content.decode()
    data = browser.get(reverse("admin:platform_ops_server_health_data")).json()["html"]
    file = b"".join(browser.get(reverse("admin:platform_ops_server_health") + "?export=csv"))  # type: ignore[arg-type]

    for text in (page, data):
        assert server.code in text and other.code in text
        assert "Unreachable" in text
        assert "&lt;b&gt;cut&lt;/b&gt;" in text
    assert server.code.encode() in file


def test_the_connection_pages_never_show_the_password(server: TradingServer, simulated: RunningServer) -> None:
    browser: Browser = operator_of(server.entity)
    row = ServerConnection.objects.get()
    pages = [
        reverse("admin:platform_ops_serverconnection_changelist"),
        reverse("admin:platform_ops_serverconnection_change", args=[row.pk]),
        reverse("admin:platform_ops_serverconnection_edit_connection", args=[row.pk]),
        reverse("admin:platform_ops_serverconnection_history", args=[row.pk]),
    ]

    for address in pages:
        answer = browser.get(address)
        assert answer.status_code == 200, address
        assert simulated.password not in answer.content.decode()


def test_an_empty_board_says_what_to_do(db: None) -> None:
    browser: Browser = operator_of(make_entity())

    assert "No server has a connection yet" in browser.get(reverse("admin:platform_ops_server_health")).content.decode()


def test_a_watched_folder_is_followed_like_a_server(db: None, settings: object, tmp_path: Path) -> None:
    settings.DEALS_INBOX = str(tmp_path)  # type: ignore[attr-defined]
    (tmp_path / "old").mkdir()
    server = make_server(zone="EET_US")
    terms = ConnectionTerms(kind="files", options={"folder": "old"}, started_at=clock.now() - timedelta(days=1_200))
    save_connection(server_id=server.pk, terms=terms, actor=SYSTEM)
    ServerSync.objects.filter(server=server).update(
        cursor_at=clock.now(), last_success_at=clock.now() - timedelta(days=1)
    )
    assert follow_once(server_id=server.pk).new_deals == 0
    ServerSync.objects.filter(server=server).update(last_success_at=clock.now() - timedelta(minutes=10))

    # A file that is put there today tells deals of two years ago.
    write_csv(tmp_path / "old" / "account.csv", account="100")
    assert follow_once(server_id=server.pk).new_deals == 4

    write_csv(tmp_path / "old" / "bad.csv", account="100", text="backoffice-deals,1\naccount,x\n")
    refused = follow_once(server_id=server.pk)
    assert refused.state == ServerSync.State.FAILED
    assert server.code in refused.message and "bad.csv" in refused.message
    assert Deal.objects.count() == 4


def test_figures_for_the_readiness_page_and_the_metrics(server: TradingServer, simulated: RunningServer) -> None:
    assert servers.lag_by_server() == {server.code: -1.0}
    follow_once(server_id=server.pk)

    ready = servers.readiness()

    assert (ready["ok"], ready["servers"], ready["live"], ready["open_gaps"]) == (True, 1, 1, 0)
    assert servers.servers_by_state()["live"] == 1.0
    assert server.code not in str(ready)
