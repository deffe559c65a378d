"""Money on a trading server, and what kills it: the answer cut on the wire, kill -9 between send and record, two at once."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from decimal import Decimal

import pytest
from django.db import connection

from backoffice.core.books import verify_books
from backoffice.core.services import outbox
from backoffice.kernel import clock
from platform_ops.models import BalanceOperation, ServerOperation, SwapCharge
from platform_ops.services.account_operations import carry_out, carry_out_due, request_balance_operation
from platform_ops.services.complaints import finish_complaints
from platform_ops.services.swaps.charges import charge_day
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.services.swaps.sending import send_due_charges
from platform_ops.services.swaps.settings import set_swap_setting
from platform_ops.types import DealKind
from tests.factories.platform import SYSTEM
from tests.faults.harness import run_child
from tests.platform_ops.account_operations.ground import Ground, key, make_ground, states
from tests.platform_ops.complaints.test_complaints import cancelled_case
from tests.platform_ops.swaps import ground as swaps
from tests.threads import at_once
from tests.trading_server import RunningServer, running_server

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


@pytest.fixture(scope="module")
def live() -> Iterator[RunningServer]:
    with running_server() as server:
        yield server


@pytest.fixture
def ground(transactional_db: None, live: RunningServer) -> Iterator[Ground]:
    yield make_ground(live)
    live.lift()


class CuttingProxy:
    """Stands between us and the server. Armed, it lets a command with the marker through and cuts the connection instead of
    handing the answer back (`lose_answer`), or cuts it before the command gets through (`lose_command`)."""

    def __init__(self, host: str, port: int) -> None:
        self._to = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.mode, self.marker, self.cuts = "", b"", 0
        threading.Thread(target=self._accept, daemon=True).start()

    def arm(self, mode: str, marker: str) -> None:
        """Cuts once, at the next command that holds the marker."""
        self.mode, self.marker = mode, marker.encode("utf-16-le")

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._listener.accept()
            except OSError:
                return
            theirs = socket.create_connection(self._to)
            cut = threading.Event()
            threading.Thread(target=self._commands, args=(ours, theirs, cut), daemon=True).start()
            threading.Thread(target=self._answers, args=(theirs, ours, cut), daemon=True).start()

    def _commands(self, ours: socket.socket, theirs: socket.socket, cut: threading.Event) -> None:
        while data := _read(ours):
            if self.mode and self.marker in data:
                mode, self.mode = self.mode, ""
                self.cuts += 1
                if mode == "lose_command":
                    break
                cut.set()
            theirs.sendall(data)
            if cut.is_set():
                # The answer is read by the other thread and thrown away.
                return
        _end(ours, theirs)

    def _answers(self, theirs: socket.socket, ours: socket.socket, cut: threading.Event) -> None:
        while data := _read(theirs):
            if cut.is_set():
                break
            ours.sendall(data)
        _end(ours, theirs)


def _read(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""


def _end(*sockets: socket.socket) -> None:
    for each in sockets:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue
        finally:
            each.close()


def deposit(ground: Ground, idempotency_key: str = "") -> ServerOperation:
    return request_balance_operation(
        account_id=ground.account.pk, kind=DealKind.BALANCE, amount=Decimal("250.00"), actor=ground.operator(),
        reason="Deposit", idempotency_key=idempotency_key or key(),
    )  # fmt: skip


def assert_booked_once(ground: Ground, operation: ServerOperation) -> None:
    """One deal on the server, one in the books, and everything proves."""
    (deal,) = ground.money_deals(operation.reference)
    operation.refresh_from_db()
    assert operation.deal_ticket == deal.ticket
    ground.sync()
    outbox.deliver_due()
    assert BalanceOperation.objects.filter(ticket=deal.ticket, amount=Decimal(250)).count() == 1
    operation.refresh_from_db()
    assert operation.recognised_at is not None
    assert [check for check in verify_books()["checks"] if not check["ok"]] == []


@pytest.mark.parametrize(("mode", "ends"), [("lose_answer", "found"), ("lose_command", "uncertain")])
def test_a_connection_cut_on_the_wire_never_books_twice(
    live: RunningServer, transactional_db: None, mode: str, ends: str
) -> None:
    proxy = CuttingProxy(live.host, live.port)
    ground = make_ground(live, host="127.0.0.1", port=proxy.port)
    before = ground.balance()
    operation = deposit(ground)
    proxy.arm(mode, "TRADE_BALANCE")

    outcome = carry_out(operation_id=operation.pk)

    assert proxy.cuts == 1
    assert outcome.operation.state == ends
    for _ in range(3):
        carry_out(operation_id=operation.pk, is_forced=True)
    booked = 1 if mode == "lose_answer" else 0
    assert len(ground.money_deals(operation.reference)) == booked
    assert ground.balance() == before + 250 * booked
    if mode == "lose_command":
        # It had its time: now it is sent again, under the same reference
        ServerOperation.objects.filter(pk=operation.pk).update(
            sent_at="2020-01-01T00:00Z", first_sent_at="2020-01-01T00:00Z"
        )
        assert carry_out(operation_id=operation.pk, is_forced=True).operation.state == "done"
    assert_booked_once(ground, operation)
    proxy.close()


@pytest.mark.parametrize(
    ("point", "deals"), [("platform.operation.before_send", 0), ("platform.operation.after_send", 1)]
)
def test_a_worker_killed_between_send_and_record_is_followed_by_a_look_up(
    ground: Ground, point: str, deals: int
) -> None:
    operation = deposit(ground)
    assert run_child(lambda: carry_out(operation_id=operation.pk), crash_at=point) == -signal.SIGKILL
    operation.refresh_from_db()
    assert operation.state == "sending"
    assert len(ground.money_deals(operation.reference)) == deals
    # Another worker comes by: the lock died with its holder, and the answer counts as lost
    ServerOperation.objects.filter(pk=operation.pk).update(next_try_at=clock.now())
    carry_out_due()
    operation.refresh_from_db()
    assert operation.state == ("found" if deals else "uncertain")
    assert len(ground.money_deals(operation.reference)) == deals
    ServerOperation.objects.filter(pk=operation.pk, state="uncertain").update(
        sent_at="2020-01-01T00:00Z", next_try_at=clock.now()
    )
    carry_out_due()
    assert_booked_once(ground, operation)
    expected = ["requested", "sending", "uncertain"]
    assert states(operation) == expected + (["found"] if deals else ["not_found", "sending", "done"])


@pytest.mark.parametrize(
    ("point", "deals"),
    [
        ("platform.swap_charges.after_hand_over", 0),
        ("platform.operation.before_send", 0),
        ("platform.operation.after_send", 1),
    ],
)
def test_a_charge_of_swaps_whose_sender_is_killed_is_charged_once(ground: Ground, point: str, deals: int) -> None:
    eurusd = swaps.symbol()
    swaps.rate(eurusd, "-10")
    set_swap_setting(
        server_id=ground.server.pk, mode="post", cut="server_midnight", channel="server", starts_on=swaps.TUESDAY,
        actor=SYSTEM, reason="test",
    )  # fmt: skip
    swaps.ingest(ground.server, [swaps.deal(ground.account, 1, swaps.at(swaps.TUESDAY, 9))])
    charge_day(run=run_rollover(server_id=ground.server.pk, day=swaps.TUESDAY, actor=SYSTEM), actor=SYSTEM)

    assert run_child(send_due_charges, crash_at=point) == -signal.SIGKILL

    operation, charge = ServerOperation.objects.get(), SwapCharge.objects.get()
    assert (charge.state, charge.operation_id) == ("sending", operation.pk)
    assert len(ground.money_deals(operation.reference)) == deals
    # Whoever comes by: the next sender of charges hands over nothing again, beat's sweep looks up first
    ServerOperation.objects.update(next_try_at=clock.now())
    send_due_charges()
    carry_out_due()
    assert len(ground.money_deals(operation.reference)) == (0 if point == "platform.operation.before_send" else 1)
    ServerOperation.objects.filter(state="uncertain").update(sent_at="2020-01-01T00:00Z", next_try_at=clock.now())
    carry_out_due()
    send_due_charges()
    charge.refresh_from_db()
    operation.refresh_from_db()
    (deal,) = ground.money_deals(operation.reference)
    assert (charge.state, charge.deal_ticket, deal.profit) == ("done", deal.ticket, Decimal(-10))
    ground.sync()
    outbox.deliver_due()
    assert BalanceOperation.objects.filter(ticket=deal.ticket, amount=Decimal(-10)).count() == 1
    assert [check for check in verify_books()["checks"] if not check["ok"]] == []


def test_two_workers_and_a_double_click_move_money_once(ground: Ground) -> None:
    same, actor = key(), ground.operator()

    def press() -> ServerOperation:
        operation = request_balance_operation(
            account_id=ground.account.pk, kind=DealKind.BALANCE, amount=Decimal("250.00"), actor=actor, reason="Deposit",
            idempotency_key=same,
        )  # fmt: skip
        carry_out(operation_id=operation.pk)
        return operation

    ground.live.fault("slow", commands="TRADE_BALANCE", times=1, seconds=0.3)
    pressed = at_once(press, press, press, carry_out_due)
    assert len({operation.pk for operation in pressed[:3]}) == 1
    assert ServerOperation.objects.count() == 1
    for operation in pressed[:1]:
        carry_out(operation_id=operation.pk)
        assert_booked_once(ground, operation)


def test_a_worker_that_stands_still_keeps_its_place(ground: Ground) -> None:
    operation = deposit(ground)
    ground.live.fault("slow", commands="TRADE_BALANCE", times=1, seconds=1)
    first = threading.Thread(target=lambda: (carry_out(operation_id=operation.pk), connection.close()))
    first.start()
    while not ServerOperation.objects.filter(pk=operation.pk, state="sending").exists():
        threading.Event().wait(0.01)
    # However often somebody forces it: nobody sends, and nobody calls it lost, while its sender lives
    for _ in range(3):
        assert carry_out(operation_id=operation.pk, is_forced=True).operation.state == "sending"
    first.join()
    assert_booked_once(ground, operation)
    assert states(operation) == ["requested", "sending", "done"]


@pytest.mark.parametrize("point", ["platform.complaint.after_cancellation", "platform.complaint.before_close"])
def test_a_complaint_whose_end_is_killed_is_ended_once_by_the_next(
    live: RunningServer, transactional_db: None, point: str
) -> None:
    case, complaint = cancelled_case(live)
    carry_out_due()
    assert run_child(finish_complaints, crash_at=point) == -signal.SIGKILL
    complaint.refresh_from_db()
    assert complaint.state == "approved"
    assert finish_complaints() == 1
    assert finish_complaints() == 0
    complaint.refresh_from_db()
    case.trade.refresh_from_db()
    assert (complaint.state, case.trade.is_cancelled) == ("closed", True)
