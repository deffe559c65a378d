"""A provider's drop copy over a real socket: nothing twice, nothing lost, whoever dies and when."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import Error, transaction

from backoffice.core.models import AuditRecord, WorkItem
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from platform_ops.gateways.fix.drop_copy import DropCopyGateway
from platform_ops.models import (
    CurrentFill,
    DropCopyMessage,
    DropCopySession,
    LiquidityFill,
    LiquidityMessage,
    LiquidityProvider,
    LiquiditySymbol,
    ServerConnection,
    ServerSync,
    SyncGap,
)
from platform_ops.services import connections
from platform_ops.services.connections import ConnectionTerms, gateway_of, save_connection
from platform_ops.services.liquidity import save_provider
from platform_ops.services.liquidity.drop_copies import prune_drop_copy_log, set_drop_copy_numbers
from platform_ops.services.sync import drop_copies, follow_once
from platform_ops.services.sync.work import refusing_providers
from tests.api.receiver import make_certificate
from tests.api.world import caller_for, make_service
from tests.drop_copy import COMP_ID, HOUSE, PASSWORD, USER, RunningProvider, running_provider
from tests.factories.platform import make_entity, make_server, make_symbol
from tests.faults.harness import run_child
from tests.tls_front import tls_front

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")
OPTIONS: dict[str, Any] = {
    "provider": "prime",
    "sender_comp_id": HOUSE,
    "target_comp_id": COMP_ID,
    "heartbeat_seconds": 5,
}


class World:
    """Our side: a provider, a server row that stands for its drop copy, and a gateway that stays open."""

    def __init__(self, lp: RunningProvider) -> None:
        self.lp = lp
        entity = make_entity()
        make_symbol("EURUSD")
        self.provider = save_provider(code="prime", name="Prime", comp_id=COMP_ID, entity_id=entity.pk, actor=SYSTEM)
        self.server = make_server(entity)
        self.connect()
        self.gateway: DropCopyGateway | None = None

    def connect(self, port: int | None = None, **options: Any) -> ServerConnection:
        """Sets the connection."""
        terms = ConnectionTerms(
            kind="fix_drop_copy", host="127.0.0.1", port=port or self.lp.port, login=USER, password=PASSWORD,
            options={**OPTIONS, **options}, interval_seconds=1, started_at=clock.now() - timedelta(hours=1),
        )  # fmt: skip
        return save_connection(server_id=self.server.pk, terms=terms, actor=SYSTEM)

    def follow(self, *, until_fills: int = 0, steps: int = 40) -> str:
        """Follows step by step until it caught up and so many executions stand; the last state.

        How much one step reads is a matter of the machine's speed.
        """
        state = ""
        for _ in range(steps):
            if self.gateway is None:
                self.gateway = gateway_of(ServerConnection.objects.get(server=self.server))  # type: ignore[assignment]
            followed = follow_once(server_id=self.server.pk, gateway=self.gateway)
            state = followed.state
            if state not in ("live", "catching_up"):
                self.leave()
                return state
            if state == "live" and CurrentFill.objects.count() >= until_fills:
                break
        return state

    def leave(self) -> None:
        """Our process dies: the connection is cut without a logout."""
        if self.gateway is not None:
            self.gateway.close()
        self.gateway = None

    @property
    def session(self) -> DropCopySession:
        return DropCopySession.objects.get()

    def set_numbers(self, **numbers: int) -> None:
        DropCopySession.objects.update(**numbers)


@pytest.fixture(autouse=True)
def short_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drop_copies, "SECONDS_AT_ONCE", 0.1)
    monkeypatch.setattr("platform_ops.gateways.fix.drop_copy.POLL_SECONDS", 0.05)


@pytest.fixture
def world(db: None, tmp_path: Path) -> Iterator[World]:
    with running_provider(tmp_path / "memory") as lp:
        made = World(lp)
        yield made
        made.leave()


def quantities() -> list[Decimal]:
    return sorted(CurrentFill.objects.values_list("quantity", flat=True))


def test_executions_come_in_once_though_each_is_told_twice(world: World) -> None:
    assert world.follow() == "live"
    world.lp.fill(quantity=3000, parts=2)

    assert world.follow(until_fills=2) == "live"

    assert quantities() == [1500, 1500]
    fill = CurrentFill.objects.first()
    assert fill is not None
    assert (fill.symbol.code, fill.side, fill.client_order_id, fill.units) == ("EURUSD", 1, "H1", 1500)  # type: ignore[union-attr]
    # new, and each of two parts told twice
    assert LiquidityMessage.objects.count() == 5
    session = world.session
    assert (session.state, session.messages, session.fills, session.gaps, session.next_in) == ("live", 5, 2, 0, 7)
    assert DropCopyMessage.objects.filter(is_incoming=True, kind="8").count() == 5
    assert DropCopyMessage.objects.filter(client_order_id="H1", symbol="EUR/USD").count() == 5
    sync = ServerSync.objects.get(server=world.server)
    assert (sync.state, sync.lag_seconds, sync.deals) == ("live", 0, 2)
    assert sync.last_deal_at is not None


def test_what_was_filled_while_we_were_away_is_asked_for_and_seen_as_a_gap(world: World) -> None:
    world.follow()
    world.lp.fill()
    world.follow(until_fills=1)
    world.leave()
    world.lp.fill(quantity=2000)
    world.lp.fill(quantity=4000)

    assert world.follow(until_fills=3) == "live"

    assert quantities() == [1000, 2000, 4000]
    gap = SyncGap.objects.get()
    assert gap.filled_at is not None
    assert gap.deals == 2
    assert "were missed" in gap.cause
    session = world.session
    assert (session.gaps, session.gap_to, session.state) == (1, None, "live")
    assert session.fetched == 6


def test_the_provider_dies_and_comes_back_and_all_of_it_is_here(world: World) -> None:
    world.follow()
    world.lp.kill()

    assert world.follow() == "unreachable"
    assert world.session.state == "away"

    world.lp.start()
    world.lp.fill()
    assert world.follow(until_fills=1) == "live"
    assert quantities() == [1000]


def test_a_message_that_the_provider_lost_is_asked_for_at_once(world: World) -> None:
    world.follow()
    world.lp.fill("lose", quantity=5000)
    world.lp.fill(quantity=1000)

    assert world.follow(until_fills=2) == "live"

    assert quantities() == [1000, 5000]
    assert world.session.gaps == 1
    assert world.session.next_in == world.lp.do("status")["next_out"]


@pytest.mark.faults
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("point", ["platform.drop_copy.before_commit", "platform.drop_copy.after_commit"])
def test_killed_before_the_commit_it_loses_nothing_and_after_it_doubles_nothing(world: World, point: str) -> None:
    # Given a session that stands, and a process that dies with an execution in its hands
    world.follow()
    before = (world.session.next_in, world.session.next_out)
    world.leave()
    world.lp.fill()
    assert run_child(partial(world.follow, until_fills=9), crash_at=point) == -signal.SIGKILL
    # Then it is there whole or not at all, with its numbers
    if point == drop_copies.BEFORE_COMMIT:
        assert (world.session.next_in, world.session.next_out) == before
        assert not LiquidityMessage.objects.exists()
    # When the next one follows, then it is there once
    for _ in range(4):
        assert world.follow() == "live"
    assert quantities() == [1000]
    assert LiquidityMessage.objects.count() == 3
    # each part is told twice, under two names: whether they come in one step or in two, it is one execution
    assert {(fill.number, fill.quantity, fill.state) for fill in LiquidityFill.objects.all()} == {(1, 1000, "done")}


def test_a_bust_takes_the_execution_back(world: World) -> None:
    world.follow()
    world.lp.fill(parts=2)
    world.follow(until_fills=2)
    world.lp.do("bust")
    for _ in range(4):
        world.follow()

    assert quantities() == [500]
    assert LiquidityFill.objects.filter(state="busted").count() == 1


def test_a_wrong_password_waits_for_a_person_who_is_told(world: World) -> None:
    ServerConnection.objects.update(password="")
    row = ServerConnection.objects.get()
    row.password = "wrong"
    row.save()

    assert world.follow() == "failed"

    assert "unknown user or wrong password" in ServerSync.objects.get().message
    item = WorkItem.objects.get(kind="platform.lp_refuses")
    assert item.title == f"The drop copy {world.server.code} is refused"
    assert world.session.state == "refused"
    assert not WorkItem.objects.filter(kind="platform.server_answers").exists()


def test_a_number_that_is_too_low_ends_the_session_with_both_numbers_named(world: World) -> None:
    world.follow()
    world.lp.do("low")

    assert world.follow(until_fills=9) == "failed"

    message = ServerSync.objects.get().message
    assert "too low, expecting 2 but received 1" in message


def test_a_number_of_ours_that_the_provider_knows_is_refused_until_it_is_set(world: World) -> None:
    world.follow()
    world.leave()
    world.set_numbers(next_out=1)

    assert world.follow() == "failed"
    assert "MsgSeqNum too low" in ServerSync.objects.get().message

    world.set_numbers(next_out=world.lp.do("status")["next_in"])
    assert world.follow() == "live"
    assert not list(refusing_providers(None))


def test_garbled_bytes_are_passed_over_and_counted(world: World) -> None:
    world.follow()
    world.lp.do("garble")
    world.lp.do("truncate")
    world.lp.fill()

    assert world.follow(until_fills=1) == "live"
    assert world.session.garbled >= 2


def test_a_silent_provider_is_left_and_a_person_told_after_minutes(world: World) -> None:
    world.follow()
    world.leave()
    world.lp.do("silent")
    gateway = gateway_of(ServerConnection.objects.get())
    object.__setattr__(gateway._terms, "logon_seconds", 0.2)  # type: ignore[attr-defined]
    world.gateway = gateway  # type: ignore[assignment]

    assert world.follow() == "unreachable"
    assert "No answer to the logon" in ServerSync.objects.get().message
    assert not WorkItem.objects.filter(kind="platform.lp_silent").exists()

    ServerSync.objects.update(down_since=clock.now() - timedelta(minutes=6))
    world.lp.kill()
    assert world.follow() == "unreachable"
    assert WorkItem.objects.get(kind="platform.lp_silent").state == "open"
    world.lp.start()


def test_a_figure_that_no_table_holds_is_named_and_the_session_goes_on(world: World) -> None:
    world.follow()
    world.lp.fill(quantity=1000, price="1" + "0" * 17)
    world.lp.fill(quantity=2000)

    assert world.follow(until_fills=1) == "live"

    assert quantities() == [2000]
    assert world.session.unreadable >= 1
    assert WorkItem.objects.get(kind="platform.lp_log").evidence["provider"] == "prime"


def test_a_field_that_cannot_be_is_rejected_to_the_provider_and_the_session_goes_on(world: World) -> None:
    world.follow()
    world.lp._loop.call_soon_threadsafe(
        world.lp.provider._tell, "8", [(37, "X1"), (150, "F"), (39, "2"), (54, "1"), (55, "EUR/USD"), (32, "many")]
    )
    world.lp.fill(quantity=2000)

    assert world.follow(until_fills=1) == "live"

    assert world.session.unreadable == 1
    reject = DropCopyMessage.objects.get(is_incoming=False, kind="3")
    assert "|371=32|" in reject.text


def test_the_providers_own_side_is_turned_round(world: World) -> None:
    world.connect(side="theirs")
    world.follow()
    world.lp.fill(side=1)
    world.follow(until_fills=1)

    assert CurrentFill.objects.get().side == -1
    world.leave()
    DropCopySession.objects.update(state="away")
    world.connect(side="ours")
    assert world.follow() == "failed"
    assert "booked with tag 54" in ServerSync.objects.get().message


def test_the_connections_names_are_mapped_and_a_persons_are_left(world: World) -> None:
    gold = make_symbol("XAUUSD")
    world.connect(symbols={"GOLD.LP": "XAUUSD", "4001/8": "EURUSD"})
    world.follow()
    world.lp.fill(symbol="GOLD.LP")
    world.follow(until_fills=1)

    assert CurrentFill.objects.get().symbol_id == gold.pk
    assert LiquiditySymbol.objects.get(name="4001", id_source="8").symbol.code == "EURUSD"  # type: ignore[union-attr]
    world.leave()
    DropCopySession.objects.update(state="away")
    world.connect(symbols={"GOLD.LP": "NOSUCH"})
    assert world.follow() == "failed"
    assert "NOSUCH" in ServerSync.objects.get().message


def test_numbers_that_begin_anew_with_each_logon(world: World) -> None:
    world.connect(resets_on_logon=True)
    world.follow()
    world.lp.fill()
    world.follow(until_fills=1)
    world.leave()

    assert world.follow() == "live"
    assert (world.session.next_in, world.session.next_out) == (2, 2)
    assert quantities() == [1000]


def test_a_drop_copy_belongs_to_a_provider_of_the_same_legal_entity(world: World) -> None:
    LiquidityProvider.objects.update(comp_id="OTHER")

    assert world.follow() == "failed"
    assert "sends as OTHER" in ServerSync.objects.get().message


def test_a_test_of_the_connection_does_not_disturb_the_session(world: World) -> None:
    world.follow()
    numbers = (world.session.next_in, world.session.next_out)

    outcome = connections.test_connection(server_id=world.server.pk, actor=SYSTEM)

    assert outcome.is_good
    assert outcome.abilities == ("executions",)
    assert world.follow() == "live"
    assert (world.session.next_in, world.session.next_out) == numbers


def test_the_log_keeps_no_password_and_never_changes(world: World) -> None:
    world.follow()

    logon = DropCopyMessage.objects.get(kind="A", is_incoming=False)
    assert PASSWORD not in logon.text
    assert "|554=******|" in logon.text
    with pytest.raises(Error), transaction.atomic():
        DropCopyMessage.objects.update(text="")


def test_it_logs_out_when_it_is_told_to_stop(world: World) -> None:
    world.follow()
    assert world.gateway is not None
    world.gateway._is_closing.set()

    follow_once(server_id=world.server.pk, gateway=world.gateway)

    assert world.session.state == "stopped"
    assert DropCopyMessage.objects.filter(kind="5").count() == 2
    world.gateway = None
    assert world.follow() == "live"
    assert world.session.gaps == 0


def test_the_numbers_are_set_by_a_person_with_a_reason_and_the_session_follows(world: World) -> None:
    world.follow()
    session = world.session
    with pytest.raises(Conflict):
        set_drop_copy_numbers(
            session_id=session.pk, next_in=1, next_out=9, actor=SYSTEM, reason="agreed", known=(99, 99)
        )
    for wrong in ({"next_in": 0}, {"reason": " "}):
        with pytest.raises(InvalidInput):
            set_drop_copy_numbers(
                **{"session_id": session.pk, "next_in": 2, "next_out": 9, "actor": SYSTEM, "reason": "agreed", **wrong}
            )
    set_drop_copy_numbers(session_id=session.pk, next_in=2, next_out=9, actor=SYSTEM, reason="agreed with the desk")

    # The provider misses what lies between; it asks, and gets a gap that is filled.
    assert world.follow() == "live"
    world.lp.fill()
    assert world.follow(until_fills=1) == "live"
    assert world.session.next_out >= 10
    assert AuditRecord.objects.get(action="platform.set_drop_copy_numbers").reason == "agreed with the desk"


def test_an_encrypted_session_is_taken_only_from_whom_the_named_authority_vouches_for(
    world: World, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path)
    vouched = {"tls": True, "tls_ca": certificate[0].read_text()}
    with tls_front(world.lp.port, certificate) as port:
        for options in ({"tls": True}, {**vouched, "tls_name": "prime.example"}):
            world.connect(port, **options)
            world.follow()
            assert world.session.state == "refused"
            assert "certificate is not trusted" in world.session.note
        assert not DropCopyMessage.objects.exists()

        world.connect(port, **vouched)
        assert world.follow() == "live"
        world.lp.fill()
        assert world.follow(until_fills=1) == "live"
        world.leave()


def test_the_session_its_messages_and_its_numbers_are_on_the_api(world: World) -> None:
    world.follow()
    own = (world.provider.entity,)
    operator = caller_for(make_service(Role.PLATFORM_OPERATIONS, entities=own))
    reader = caller_for(make_service(Role.AUDITOR, entities=own, email="reader@house.test"))
    stranger = caller_for(make_service(Role.PLATFORM_OPERATIONS, entities=(make_entity(),), email="x@house.test"))
    session = reader.get("drop-copies/prime/").json()
    assert (session["provider"], session["state"], session["next_in"]) == ("prime", "live", 2)
    (logon,) = reader.get("drop-copy-messages/", {"kind": "A", "is_incoming": "true"}).json()["results"]
    assert "35=A" in logon["text"]
    assert PASSWORD not in reader.get("drop-copy-messages/").content.decode()

    body = {"next_in": 2, "next_out": 9, "known_next_in": 99, "known_next_out": 99, "reason": "agreed"}
    where = "drop-copies/prime/set-numbers/"
    assert operator.post(where, body, key="a").json()["code"] == "numbers_moved"
    seen = {"known_next_in": session["next_in"], "known_next_out": session["next_out"]}
    assert reader.post(where, body | seen, key="b").status_code == 403
    assert stranger.post(where, body | seen, key="c").status_code == 404
    assert stranger.get("drop-copy-messages/").json()["results"] == []
    assert world.session.resets == 0
    assert operator.post(where, body | seen, key="d").json()["next_out"] == 9
    assert world.session.resets == 1


def test_the_log_is_removed_after_its_time_and_the_evidence_stays(world: World) -> None:
    world.follow()
    world.lp.fill()
    world.follow(until_fills=1)
    kept = LiquidityMessage.objects.count()
    DropCopyMessage.objects.create(
        provider=world.provider, is_incoming=True, kind="0", sequence=1, text="old", at=clock.now() - timedelta(days=31)
    )

    assert prune_drop_copy_log(keep_days=30) == 1
    assert DropCopyMessage.objects.exists()
    assert LiquidityMessage.objects.count() == kept
    with pytest.raises(InvalidInput):
        prune_drop_copy_log(keep_days=0)
