"""What waits on the platform is in the inbox, opened and closed by the use cases themselves."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine

from backoffice.core.books import verify_books
from backoffice.core.models import LegalEntity, OutboxEvent, WorkItem
from backoffice.core.services import work_items, work_sweep
from backoffice.core.types import Actor, Role
from backoffice.core.work.inbox import Tab, items_for
from backoffice.kernel.business_day import day_bounds
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.models import (
    BusinessDay,
    BusinessDayStep,
    ServerSymbol,
    StatementImport,
    TradingAccount,
    TradingServer,
)
from platform_ops.services import business_day as days
from platform_ops.services import work
from platform_ops.services.accounts import assign_account
from platform_ops.services.business_day import hold_day, release_day, run_business_day
from platform_ops.services.imports import import_statement
from platform_ops.services.ingest import IngestRecord, ingest_records
from platform_ops.services.symbols import map_server_symbol
from platform_ops.types import DealEntry, DealKind
from tests.factories.platform import (
    MONDAY,
    make_account,
    make_client,
    make_entity,
    make_server,
    make_symbol,
    noon,
    staff,
)
from tests.platform_ops.statements import Ticket, statement_of

pytestmark = pytest.mark.django_db

SYSTEM = Actor.system("test")


def record(ticket: int, *, symbol: str, entry: DealEntry, login: str = "100") -> IngestRecord:
    """One deal of a position in a symbol, opened by an even ticket and closed by the odd one after it."""
    is_closing = entry == DealEntry.OUT
    return IngestRecord(
        ticket=ticket,
        kind=DealKind.SELL if is_closing else DealKind.BUY,
        at=noon(MONDAY) + timedelta(minutes=ticket),
        login=login,
        currency="USD",
        entry=entry,
        position_ticket=ticket // 2,
        symbol=symbol,
        volume_lots=Decimal(1),
        price=Decimal("1.1"),
        open_price=Decimal("1.1") if is_closing else None,
        opened_at=noon(MONDAY) if is_closing else None,
    )


def round_trip(number: int, symbol: str, login: str = "100") -> list[IngestRecord]:
    """A position that was opened and closed: one trade."""
    return [
        record(number * 2, symbol=symbol, entry=DealEntry.IN, login=login),
        record(number * 2 + 1, symbol=symbol, entry=DealEntry.OUT, login=login),
    ]


def load(server: TradingServer, *records: IngestRecord) -> None:
    """An ingest of the records."""
    ingest_records(server_id=server.pk, source="test", records=records, as_of=noon(MONDAY) + timedelta(days=1))


def items(kind: str) -> list[tuple[str, str, int]]:
    """The items of a kind: their group, state and how often they were seen."""
    found = WorkItem.objects.filter(kind=kind).order_by("id")
    return list(found.values_list("group_key", "state", "occurrences"))


def inbox_is_right() -> bool:
    """Whether the proof holds."""
    outcome = verify_books(["work.inbox_equals_reality"])
    assert [check["name"] for check in outcome["checks"]] == ["work.inbox_equals_reality"]
    return bool(outcome["ok"])


# Names without a symbol


def test_an_unknown_name_opens_an_item_with_its_waiting_trades_and_closes_it_once_mapped() -> None:
    server = make_server(code="live")
    symbol = make_symbol("XAUUSD")
    load(server, *round_trip(1, "GOLD_weird"), *round_trip(2, "GOLD_weird"))

    assert items(work.UNMATCHED_SYMBOL) == [("live:GOLD_weird", "open", 1)]
    item = WorkItem.objects.get(kind=work.UNMATCHED_SYMBOL)
    assert (item.entity_id, item.evidence["waiting_trades"]) == (server.entity_id, 2)
    assert inbox_is_right()

    load(server, *round_trip(3, "GOLD_weird"))
    item.refresh_from_db()
    assert (item.occurrences, item.evidence["waiting_trades"]) == (2, 3)
    load(server, *round_trip(3, "GOLD_weird"))
    item.refresh_from_db()
    assert item.occurrences == 2

    name = ServerSymbol.objects.get(name="GOLD_weird")
    map_server_symbol(server_symbol_id=name.pk, symbol_id=symbol.pk, actor=SYSTEM, reason="")
    item.refresh_from_db()
    assert (item.state, item.resolution) == ("closed", "GOLD_weird means XAUUSD.")
    assert inbox_is_right()
    assert OutboxEvent.objects.filter(topic="work.item_opened", payload__kind=work.UNMATCHED_SYMBOL).count() == 1


def test_a_name_that_the_rules_map_opens_nothing() -> None:
    make_symbol("EURUSD")
    load(make_server(), *round_trip(1, "EURUSD"))
    assert items(work.UNMATCHED_SYMBOL) == []


def test_a_symbol_that_comes_later_closes_the_item_at_the_next_load() -> None:
    server = make_server(code="live")
    load(server, *round_trip(1, "EURUSD"))
    assert items(work.UNMATCHED_SYMBOL) == [("live:EURUSD", "open", 1)]
    make_symbol("EURUSD")
    load(server, *round_trip(2, "EURUSD"))
    assert items(work.UNMATCHED_SYMBOL) == [("live:EURUSD", "closed", 1)]
    assert inbox_is_right()


def test_a_flood_of_unknown_names_is_one_item(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MAX_SEPARATE_ITEMS", 3)
    server = make_server(code="live")
    load(server, *round_trip(1, "A_1"), *round_trip(2, "A_2"), *round_trip(3, "A_3"))
    assert [state for _, state, _ in items(work.UNMATCHED_SYMBOL)] == ["open"] * 3
    load(server, *round_trip(4, "A_4"))
    states = {key: state for key, state, _ in items(work.UNMATCHED_SYMBOL)}
    assert states == {"live:A_1": "closed", "live:A_2": "closed", "live:A_3": "closed", "live:*": "open"}
    assert inbox_is_right()


def test_a_load_that_fails_opens_nothing() -> None:
    server = make_server()
    bad = record(2, symbol="A_1", entry=DealEntry.IN, login="")
    with pytest.raises(InvalidInput):
        load(server, *round_trip(2, "A_1"), bad)
    assert not WorkItem.objects.exists()
    assert not OutboxEvent.objects.exists()


# Accounts without a client


def test_an_unknown_account_opens_an_item_that_closes_when_it_is_assigned() -> None:
    client = make_client()
    server = make_server(client.entity, code="live")
    make_symbol("EURUSD")
    load(server, *round_trip(1, "EURUSD", "100"), *round_trip(2, "EURUSD", "200"))
    load(server, *round_trip(3, "EURUSD", "100"))
    assert items(work.UNASSIGNED_ACCOUNT) == [("live:100", "open", 1), ("live:200", "open", 1)]

    account = TradingAccount.objects.get(login="100")
    assign_account(account_id=account.pk, client_id=client.pk, actor=SYSTEM, reason="")
    assert items(work.UNASSIGNED_ACCOUNT) == [("live:100", "closed", 1), ("live:200", "open", 1)]
    assert inbox_is_right()


def test_very_many_unknown_accounts_are_one_item_and_come_apart_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "MAX_SEPARATE_ITEMS", 2)
    client = make_client()
    server = make_server(client.entity, code="live")
    make_symbol("EURUSD")
    load(server, *(deal for number in range(1, 4) for deal in round_trip(number, "EURUSD", f"{number}00")))
    assert items(work.UNASSIGNED_ACCOUNT) == [("live:*", "open", 1)]
    assert WorkItem.objects.get(kind=work.UNASSIGNED_ACCOUNT).title == "3 accounts on live have no client"

    account = TradingAccount.objects.get(login="100")
    assign_account(account_id=account.pk, client_id=client.pk, actor=SYSTEM, reason="")
    states = {key: state for key, state, _ in items(work.UNASSIGNED_ACCOUNT)}
    assert states == {"live:*": "closed", "live:200": "open", "live:300": "open"}
    assert inbox_is_right()


def test_what_no_use_case_saw_the_sweep_opens_and_the_proof_names() -> None:
    account = make_account(make_server(code="live"), login="700")
    outcome = verify_books(["work.inbox_equals_reality"])["checks"][0]
    assert outcome["rows"] == [{"kind": work.UNASSIGNED_ACCOUNT, "group": "live:700", "problem": "no item is open"}]
    work_sweep.sweep()
    assert inbox_is_right()
    TradingAccount.objects.filter(pk=account.pk).update(client=make_client())
    assert not inbox_is_right()
    work_sweep.sweep()
    assert items(work.UNASSIGNED_ACCOUNT) == [("live:700", "closed", 1)]
    assert inbox_is_right()


# Refused files


def give(data: bytes, name: str = "july.htm") -> StatementImport:
    """A file for the server."""
    return import_statement(server_code="live", data=data, file_name=name, actor=SYSTEM)


def test_a_refused_file_waits_until_somebody_settles_it() -> None:
    server = make_server(code="live")
    refused = give(b"not a statement")

    item = WorkItem.objects.get(kind=work.QUARANTINED_IMPORT)
    assert (item.group_key, item.entity_id) == (f"live:{refused.sha256}", server.entity_id)
    assert item.evidence["problem"] == refused.error["message"]
    give(b"not a statement")
    item.refresh_from_db()
    assert item.occurrences == 2
    assert inbox_is_right()

    actor = staff(Role.PLATFORM_OPERATIONS, entities=[server.entity])
    work_items.close_item(item_id=item.pk, resolution="The client sends a new one.", actor=actor)
    assert inbox_is_right()
    assert work_sweep.sweep()["opened"] == 0
    give(b"not a statement")
    assert [state for _, state, _ in items(work.QUARANTINED_IMPORT)] == ["closed"]


def test_a_refused_file_is_settled_by_a_good_one_of_the_same_name() -> None:
    make_server(code="live")
    good = statement_of(Ticket(2))
    give(good[: len(good) // 2])
    give(b"something else", "august.htm")
    assert give(good).state == StatementImport.State.STORED

    found = dict(WorkItem.objects.filter(kind=work.QUARANTINED_IMPORT).values_list("evidence__file", "state"))
    assert found == {"july.htm": "closed", "august.htm": "open"}
    assert inbox_is_right()


# Business days that wait


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Two steps; the first fails while `problem` says why."""
    behaviour: dict[str, Any] = {"problem": ""}

    def first(day: BusinessDay) -> dict[str, Any]:
        if behaviour["problem"]:
            raise Conflict(behaviour["problem"])
        return {}

    monkeypatch.setattr(days, "_steps", {})
    days.register_step("deals_complete", 10, first)
    days.register_step("prices_fixed", 20, lambda day: {})
    return behaviour


def run(server: TradingServer) -> BusinessDay:
    """The day's run."""
    return run_business_day(server_id=server.pk, day=MONDAY, actor=SYSTEM)


def test_a_step_that_fails_opens_an_item_and_the_day_that_goes_on_closes_it(step: dict[str, Any]) -> None:
    server = make_server(code="live")
    step["problem"] = "Two files are missing."
    day = run(server)
    run(server)

    assert items(work.WAITING_DAY) == [("live:2026-03-02:deals_complete", "open", 1)]
    item = WorkItem.objects.get(kind=work.WAITING_DAY)
    assert (item.target_id, item.evidence["problem"]) == (str(day.pk), "Two files are missing.")
    assert inbox_is_right()

    step["problem"] = ""
    assert run(server).state == BusinessDay.State.CLOSED
    assert items(work.WAITING_DAY) == [("live:2026-03-02:deals_complete", "closed", 1)]
    assert inbox_is_right()


def test_a_day_that_is_held_longer_than_a_day_may_wait_opens_an_item(step: dict[str, Any]) -> None:
    server = make_server(code="live")
    end = day_bounds(MONDAY)[1]
    with time_machine.travel(end, tick=False) as traveller:
        day = days.open_business_day(server_id=server.pk, day=MONDAY)
        hold_day(business_day_id=day.pk, reason="The bank file is late.", actor=SYSTEM)
        traveller.shift(work.STEP_MAY_WAIT - timedelta(seconds=1))
        work_sweep.sweep()
        assert items(work.WAITING_DAY) == []
        traveller.shift(1)
        assert inbox_is_right()
        traveller.shift(work_sweep.SWEEP_GRACE)
        assert not inbox_is_right()
        work_sweep.sweep()
        item = WorkItem.objects.get(kind=work.WAITING_DAY)
        assert (item.evidence["state"], item.evidence["problem"]) == ("held", "Held: The bank file is late.")
        assert inbox_is_right()

        release_day(business_day_id=day.pk, reason="It came.", actor=SYSTEM)
        run(server)
        item.refresh_from_db()
        assert item.state == "closed"
        assert inbox_is_right()
    assert BusinessDayStep.objects.filter(state=BusinessDayStep.State.DONE).count() == 2


def test_desks_see_what_their_roles_look_after_in_their_entity() -> None:
    server = make_server(code="live")
    load(server, *round_trip(1, "A_1"))
    elsewhere = make_entity()

    def seen(role: Role, entity: LegalEntity) -> int:
        return items_for(staff(role, entities=[entity]), Tab.ALL).count()

    counts = {role: seen(role, server.entity) for role in Role}
    assert {role for role, count in counts.items() if count} == {Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR}
    assert [seen(role, elsewhere) for role in Role] == [0] * len(Role)
