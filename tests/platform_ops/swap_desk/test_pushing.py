"""Telling the servers, over a real socket to a simulated one: verified by reading back, lost answers looked up, taken back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
import time_machine

from backoffice.core.models import ChangeRequest, LegalEntity, WorkItem
from backoffice.core.services import changes, jobs, switches, work_sweep
from backoffice.core.services.switches import Switch
from backoffice.core.types import Role
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied
from platform_ops.gateways.errors import GatewayRefused
from platform_ops.gateways.group_symbols import GroupSymbol
from platform_ops.gateways.mt5web.client import Mt5WebGateway
from platform_ops.models import AccountGroup, SwapPush, SymbolSpec
from platform_ops.services.connections import ConnectionTerms, open_gateway, save_connection
from platform_ops.services.swap_desk import pushes, pushing
from platform_ops.services.swap_desk.proposing import propose_sheet
from platform_ops.services.swap_desk.work import UNPUSHED_SWAPS
from tests.factories import platform
from tests.factories.changes import make_person
from tests.factories.platform import SYSTEM
from tests.platform_ops.swap_desk.ground import SHEET, Desk
from tests.trading_server import HEDGING_GROUP, NETTING_GROUP, RunningServer, running_server

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture(scope="module")
def live() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def desk(live: RunningServer, db: None) -> Iterator[Desk]:
    desk = Desk()
    connect(desk, live)
    with open_gateway(server_id=desk.server.pk, writing=True) as gateway:
        gateway.change_symbol(name="EURUSD", changes={"swap_long": D("-6.5"), "swap_short": D("2.1")})
        gateway.change_symbol(name="XAUUSD", changes={"swap_long": D(-30), "swap_short": D(12)})
    yield desk
    live.lift()


def connect(desk: Desk, live: RunningServer, port: int | None = None) -> None:
    terms = ConnectionTerms(
        kind="mt5_web", host=live.host, port=port or live.port, login=str(live.login), password=live.password,
        options={"answer_seconds": 1},
    )  # fmt: skip
    save_connection(server_id=desk.server.pk, terms=terms, actor=SYSTEM)


def on_server(desk: Desk, name: str = "EURUSD") -> tuple[Decimal, Decimal]:
    with open_gateway(server_id=desk.server.pk) as gateway:
        terms = {symbol.name: symbol.terms for symbol in gateway.symbols()}[name]
    return terms.swap_long, terms.swap_short


def applied(desk: Desk, text: str = SHEET) -> ChangeRequest:
    change = propose_sheet(sheet_id=desk.sheet(text).pk, actor=desk.maker, reason="weekly")
    changes.approve_change(change_id=change.pk, actor=desk.checker, reason="fine")
    return changes.apply_change(change_id=change.pk, actor=desk.checker)


def states(change: ChangeRequest, direction: str = "apply") -> dict[str, str]:
    rows = SwapPush.objects.filter(change=change, direction=direction).select_related("server_symbol")
    return {row.server_symbol.name: row.state for row in rows}


def later(seconds: int = 300) -> time_machine.travel:
    return time_machine.travel(clock.now() + timedelta(seconds=seconds), tick=True)


def run() -> int:
    return jobs.run_ready(kind=pushes.PUSH_JOB_KIND, owner="test")


def test_applied_pushed_verified_reverted(desk: Desk) -> None:
    # given: applied here, not yet there
    change = applied(desk)
    assert change.state == "applied" and len(change.problems) == 1
    assert on_server(desk) == (D("-6.5"), D("2.1"))

    # when: the job tells the server and reads it back
    assert run() == 1
    change.refresh_from_db()
    assert (change.state, change.problems) == ("verified", [])
    assert on_server(desk) == (D("-6.6"), D("2.2"))
    push = SwapPush.objects.get(change=change, server_symbol__name="EURUSD")
    assert (push.before_long, push.read_long, push.attempts) == (D("-6.5"), D("-6.6"), 1)

    # when: a repeat sends nothing, a reversal puts back what the server had
    assert pushing.push_due() == 0
    changes.revert_change(change_id=change.pk, actor=desk.checker, reason="the provider was wrong")
    assert states(change, "revert") == {"EURUSD": "queued", "XAUUSD": "queued"}
    assert run() == 1
    assert states(change, "revert") == {"EURUSD": "verified", "XAUUSD": "verified"}
    assert (on_server(desk), on_server(desk, "XAUUSD")) == ((D("-6.5"), D("2.1")), (D(-30), D(12)))


@pytest.mark.parametrize(("fault", "arrived"), [("drop_after", True), ("drop_before", False), ("cut_answer", True)])
def test_a_lost_answer_is_looked_up_before_anything_is_repeated(
    desk: Desk, live: RunningServer, fault: str, arrived: bool
) -> None:
    change = applied(desk)
    live.fault(fault, commands="SYMBOL_ADD*", times=1)
    run()
    first = SwapPush.objects.get(change=change, server_symbol__name="EURUSD")
    assert first.attempts == 1
    assert first.state == ("verified" if arrived else "queued")
    assert on_server(desk)[0] == (D("-6.6") if arrived else D("-6.5"))

    # when: the next tick goes on; what arrived is not sent again
    pushing.push_due()
    first.refresh_from_db()
    assert (first.state, first.attempts) == ("verified", 1 if arrived else 2)
    assert states(change)["XAUUSD"] == "verified"
    change.refresh_from_db()
    assert change.state == "verified"


def test_a_server_that_is_gone_keeps_its_pushes_and_gets_a_work_item(desk: Desk, live: RunningServer) -> None:
    change = applied(desk)
    connect(desk, live, port=1)
    run()
    assert set(states(change).values()) == {"unreachable"}
    assert pushing.push_due() == 0  # pauses
    with later(3_700):
        work_sweep.sweep()
        item = WorkItem.objects.get(kind=UNPUSHED_SWAPS)
        assert desk.server.code in item.title
        connect(desk, live)
        assert pushing.push_due() == 2
        work_sweep.sweep()
        item.refresh_from_db()
        assert item.closed_at is not None
    change.refresh_from_db()
    assert change.state == "verified"


def test_a_stop_of_server_pushes_holds_them_back_until_resumed(desk: Desk) -> None:
    change = applied(desk)
    stopper = make_person(Role.ADMINISTRATOR, entities=list(LegalEntity.objects.all()))
    switches.stop(switch=Switch.SERVER_PUSHES, actor=stopper, reason="maintenance")
    run()
    assert set(states(change).values()) == {"queued"}
    assert "stopped since" in SwapPush.objects.filter(change=change).first().message
    assert on_server(desk) == (D("-6.5"), D("2.1"))


def test_points_of_another_number_of_digits_are_other_points(desk: Desk) -> None:
    # given: the house states EURUSD with four digits, the server with five
    SymbolSpec.objects.filter(symbol=desk.symbols["EURUSD"]).update(digits=4)
    change = applied(desk)
    run()
    assert on_server(desk) == (D(-66), D(22))
    push = SwapPush.objects.get(change=change, server_symbol__name="EURUSD")
    assert (push.state, push.read_long, push.before_long) == ("verified", D("-6.6"), D("-0.65"))
    changes.revert_change(change_id=change.pk, actor=desk.checker, reason="back")
    run()
    assert on_server(desk) == (D("-6.5"), D("2.1"))


def test_part_of_a_server_refuses_and_is_told_by_symbol(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    # given: a symbol that the server does not have
    desk.names["EURUSD"].name = "EURUSD.x"
    desk.names["EURUSD"].save()
    change = applied(desk)
    run()
    assert states(change) == {"EURUSD.x": "refused", "XAUUSD": "verified"}
    change.refresh_from_db()
    assert change.state == "applied"
    assert change.problems == [
        f"{desk.server.code} EURUSD.x: refused by the server. {desk.server.code} has no symbol EURUSD.x."
    ]

    # when: it is mended there, the rest is tried again
    desk.names["EURUSD"].name = "EURUSD"
    desk.names["EURUSD"].save()
    assert pushes.retry_pushes(change_id=change.pk, actor=desk.maker) == 1
    run()
    change.refresh_from_db()
    assert change.state == "verified"


def test_a_newer_change_supersedes_one_that_never_arrived(desk: Desk, live: RunningServer) -> None:
    first = applied(desk)
    applied(desk, SHEET.replace("-6.60", "-6.90"))
    pushing.push_due()
    assert states(first)["EURUSD"] == "superseded"
    assert on_server(desk) == (D("-6.9"), D("2.2"))


def test_two_passes_at_once_send_once(desk: Desk) -> None:
    change = applied(desk)
    claimed = pushing._claim(desk.server)
    assert len(claimed) == 2
    assert pushing.push_server(server_id=desk.server.pk) == 0
    with later(300):
        # The first one died with its claim.
        assert pushing.push_due() == 2
    assert set(states(change).values()) == {"verified"}


def test_a_group_and_a_server_without_connection_are_for_a_hand(desk: Desk) -> None:
    other = platform.make_server(desk.entity)
    platform.make_server_symbol(other, "EURUSD", desk.symbols["EURUSD"])
    change = applied(desk)
    run()
    assert set(SwapPush.objects.filter(change=change, server=other).values_list("state", flat=True)) == {"by_hand"}
    with pytest.raises(Denied):
        pushes.confirm_by_hand(change_id=change.pk, server_id=other.pk, actor=desk.checker, reason="seen")
    pushes.confirm_by_hand(change_id=change.pk, server_id=other.pk, actor=desk.maker, reason="read in the terminal")
    change.refresh_from_db()
    assert change.state == "verified"
    with pytest.raises(Conflict):
        pushes.confirm_by_hand(change_id=change.pk, server_id=other.pk, actor=desk.maker, reason="again")


def test_the_server_says_no(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: object, **given: object) -> None:
        raise GatewayRefused("Not enough permissions.", server="x")

    change = applied(desk)
    monkeypatch.setattr(Mt5WebGateway, "change_symbol", refuse)
    run()
    assert set(states(change).values()) == {"refused"}
    assert on_server(desk) == (D("-6.5"), D("2.1"))


# Swaps of a group of accounts, as the group's own settings of the symbol

OF_GROUPS = "Symbol,Swap long,Swap short,Group\nEURUSD,-6.60,2.20,\nXAUUSD,-31.0,12.5,\nEURUSD,{},{}\n"


def in_group(desk: Desk, group: str = HEDGING_GROUP) -> GroupSymbol:
    with open_gateway(server_id=desk.server.pk) as gateway:
        return gateway.symbol_in_group(name="EURUSD", group=group)  # type: ignore[attr-defined,no-any-return]


def of_group(change: ChangeRequest) -> SwapPush:
    return SwapPush.objects.get(change=change, group__isnull=False, direction="apply")


@pytest.fixture
def grouped(desk: Desk) -> Iterator[Desk]:
    AccountGroup.objects.create(server=desk.server, name=HEDGING_GROUP, currency="USD")
    yield desk
    with open_gateway(server_id=desk.server.pk, writing=True) as gateway:
        gateway.change_group_symbol(  # type: ignore[attr-defined]
            name="EURUSD", group=HEDGING_GROUP, changes=dict.fromkeys(("swap_mode", "swap_long", "swap_short"))
        )


def test_the_rate_of_a_group_is_pushed_as_its_own_setting_verified_and_taken_back(grouped: Desk) -> None:
    desk = grouped
    assert in_group(desk).own == frozenset()
    change = applied(desk, OF_GROUPS.format("-5.00,1.50", HEDGING_GROUP))
    assert run() == 1
    change.refresh_from_db()
    assert (change.state, change.problems) == ("verified", [])
    seen = in_group(desk)
    assert (seen.terms.swap_long, seen.terms.swap_short) == (D(-5), D("1.5"))
    assert seen.own == {"swap_mode", "swap_long", "swap_short"}
    # The symbol's own rate and the other groups have theirs, and nothing else of the group was touched
    assert on_server(desk) == (D("-6.6"), D("2.2"))
    assert in_group(desk, NETTING_GROUP).terms.swap_long == D("-6.6")
    with open_gateway(server_id=desk.server.pk) as gateway:
        group = next(group for group in gateway.groups() if group.name == HEDGING_GROUP)
    assert (group.currency, group.is_hedging, group.margin_call_percent) == ("USD", True, D(100))
    # Taken back, the group follows the symbol again
    changes.revert_change(change_id=change.pk, actor=desk.checker, reason="wrong sheet")
    run()
    assert on_server(desk) == (D("-6.5"), D("2.1"))
    after = in_group(desk)
    assert (after.terms.swap_long, after.terms.swap_short) == (D("-6.5"), D("2.1"))
    assert set(SwapPush.objects.filter(change=change, direction="revert").values_list("state", flat=True)) == {
        "verified"
    }


def test_a_groups_rate_that_equals_the_symbols_is_stated_all_the_same(grouped: Desk) -> None:
    change = applied(grouped, OF_GROUPS.format("-6.60,2.20", HEDGING_GROUP))
    run()
    assert of_group(change).state == "verified"
    assert in_group(grouped).own == {"swap_mode", "swap_long", "swap_short"}
    # So a later change of the symbol alone does not move the group
    with open_gateway(server_id=grouped.server.pk, writing=True) as gateway:
        gateway.change_symbol(name="EURUSD", changes={"swap_long": D("-6.9")})
    assert on_server(grouped)[0] == D("-6.9")
    assert in_group(grouped).terms.swap_long == D("-6.6")


@pytest.mark.parametrize("fault", ["drop_after", "drop_before"])
def test_a_lost_answer_of_a_group_is_read_back(grouped: Desk, live: RunningServer, fault: str) -> None:
    live.fault(fault, commands="GROUP_ADD", times=1)
    change = applied(grouped, OF_GROUPS.format("-5.00,1.50", HEDGING_GROUP))
    run()
    assert of_group(change).state == ("verified" if fault == "drop_after" else "queued")
    with later():
        pushing.push_due()
    assert of_group(change).state == "verified"
    assert in_group(grouped).terms.swap_long == D(-5)


def test_a_group_that_the_server_does_not_know_is_named(desk: Desk) -> None:
    change = applied(desk, OF_GROUPS.format("-5.00,1.50", desk.group.name))
    run()
    change.refresh_from_db()
    assert of_group(change).state == "refused"
    assert change.state == "applied"
    assert "EURUSD in real\\vip" in change.problems[0]
    pushes.confirm_by_hand(
        change_id=change.pk, server_id=desk.server.pk, actor=desk.maker, reason="the group is called otherwise there"
    )
    change.refresh_from_db()
    assert change.state == "verified"


def test_a_connection_that_cannot_set_groups_leaves_their_rates_to_a_hand(
    grouped: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    class SymbolsOnly:
        """A session that knows nothing of groups' own settings."""

        def __init__(self, gateway: object) -> None:
            self._gateway = gateway

        def __getattr__(self, name: str) -> object:
            if name in ("change_group_symbol", "symbol_in_group"):
                raise AttributeError(name)
            return getattr(self._gateway, name)

    @contextmanager
    def opened(*, server_id: int, writing: bool = False) -> Iterator[SymbolsOnly]:
        with open_gateway(server_id=server_id, writing=writing) as gateway:
            yield SymbolsOnly(gateway)

    monkeypatch.setattr(pushing, "open_gateway", opened)
    change = applied(grouped, OF_GROUPS.format("-5.00,1.50", HEDGING_GROUP))
    run()
    assert of_group(change).state == "by_hand"
    change.refresh_from_db()
    assert change.problems == [
        f"{grouped.server.code} EURUSD in {HEDGING_GROUP}: to be set by hand. The connection cannot set swaps of a group: "
        f"set EURUSD in {HEDGING_GROUP} on the server by hand."
    ]
