"""What was executed, by the messages about an order: captured ones and hostile sequences."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations

import pytest

from platform_ops.gateways.fix import FixMessage, read_message, split_messages
from platform_ops.rules.executions import Executions, FillState, Report, executions_of, reports_of
from tests.platform_ops.liquidity.test_messages import captured, fix


def reports(*messages: FixMessage) -> list[Report]:
    return [report for message in messages for report in reports_of(message)]


def report(
    exec_type: str,
    *,
    cum: object,
    qty: object = 0,
    px: object = "1.1",
    exec_id: str = "E",
    second: int = 0,
    **more: object,
) -> FixMessage:
    fields: list[tuple[int, object]] = [
        (37, "ORD"), (17, exec_id), (150, exec_type), (39, "1"), (54, 1), (55, "EUR/USD"), (32, qty), (31, px), (14, cum),
        (6, more.pop("avg", px)), (60, f"20261102-10:00:{second:02d}"),
    ]  # fmt: skip
    fields += [(int(tag.removeprefix("t")), value) for tag, value in more.items()]
    return read_message(fix(*fields))


def done(found: Executions) -> list[tuple[Decimal, Decimal]]:
    return [(fill.quantity, fill.price) for fill in found.fills if fill.state is not FillState.BUSTED]


def test_the_captured_orders_were_executed_once() -> None:
    by_order: dict[str, list[Report]] = {}
    naive: dict[str, Decimal] = {}
    for raw in split_messages(captured()):
        for one in reports_of(read_message(raw)):
            by_order.setdefault(one.order_id, []).append(one)
            if one.is_fill:
                naive[one.order_id] = naive.get(one.order_id, Decimal(0)) + one.quantity
    executed = {order: sum(quantity for quantity, _ in done(executions_of(told))) for order, told in by_order.items()}
    assert {order: quantity for order, quantity in executed.items() if quantity} == {
        "AAIm0gAAAAAVcFaM": 10, "174290346": 1000, "43179208": 20000,
    }  # fmt: skip
    assert (naive["174290346"], naive["43179208"]) == (2000, 40000)
    fxcm = executions_of(by_order["174290346"]).fills[0]
    assert (fxcm.report.exec_id, fxcm.reports, fxcm.price) == ("715531945", 2, Decimal("1.37432"))
    assert all(executions_of(told).problems == [] for told in by_order.values())


def test_any_order_of_arrival_tells_the_same() -> None:
    told = reports(
        report("0", cum=0, exec_id="N"),
        report("F", cum=10, qty=10, px="1.1", exec_id="A", second=1),
        report("F", cum=30, qty=20, px="1.2", exec_id="B", second=2),
        report("F", cum=30, qty=20, px="1.2", exec_id="B2", second=2),
    )
    answers = {tuple(done(executions_of(order))) for order in permutations(told)}
    assert answers == {((Decimal(10), Decimal("1.1")), (Decimal(20), Decimal("1.2")))}


def test_a_lost_report_is_worked_out_from_the_average() -> None:
    found = executions_of(reports(report("F", cum=30, qty=20, px="1.2", avg="1.1666666667", exec_id="B")))
    (fill,) = found.fills
    assert (fill.quantity, fill.is_price_derived) == (Decimal(30), True)
    assert abs(fill.price - Decimal("1.1666666667")) < Decimal("1e-9")


def test_a_correction_replaces_and_a_bust_takes_back() -> None:
    first = report("F", cum=10, qty=10, exec_id="A")
    second = report("F", cum=30, qty=20, px="1.2", exec_id="B", second=1)
    corrected = report("G", cum=30, qty=10, px="1.15", exec_id="C", second=2, t19="A")
    busted = report("H", cum=10, exec_id="D", second=3, t19="B")
    found = executions_of(reports(first, second, corrected, busted))
    assert done(found) == [(Decimal(10), Decimal("1.15"))]
    assert [fill.state for fill in found.fills] == [FillState.CORRECTED, FillState.BUSTED]
    assert found.problems == []
    again = report("F", cum=30, qty=20, px="1.3", exec_id="E2", second=4)
    assert done(executions_of(reports(first, second, corrected, busted, again))) == [
        (Decimal(10), Decimal("1.15")), (Decimal(20), Decimal("1.3")),
    ]  # fmt: skip


def test_a_correction_may_itself_be_corrected() -> None:
    found = executions_of(
        reports(
            report("F", cum=10, qty=10, exec_id="A"),
            report("G", cum=8, qty=8, exec_id="B", second=1, t19="A"),
            report("G", cum=7, qty=7, exec_id="C", second=2, t19="B"),
        )
    )
    assert done(found) == [(Decimal(7), Decimal("1.1"))]


@pytest.mark.parametrize("exec_type", ["G", "H"])
def test_what_names_an_unknown_execution_is_told(exec_type: str) -> None:
    found = executions_of(
        reports(
            report("F", cum=10, qty=10, exec_id="A"), report(exec_type, cum=10, qty=5, exec_id="B", second=1, t19="Z")
        )
    )
    assert done(found) == [(Decimal(10), Decimal("1.1"))]
    assert "names execution Z, which nobody told" in found.problems[0]


def test_parts_that_do_not_add_up_are_told() -> None:
    found = executions_of(reports(report("0", cum=0, exec_id="N", t38=10, t151=9)))
    assert found.problems == ["Message 7: ordered 10 is not filled 0 and open 9."]


def test_a_trade_capture_and_an_execution_report_of_one_trade_count_once() -> None:
    capture = read_message(
        fix((571, "T1"), (487, 0), (17, "A"), (55, "EUR/USD"), (32, 10), (31, "1.1"), (60, "20261102-10:00:01"),
            (552, 1), (54, 2), (37, "ORD"), (1, "ACC"), kind="AE")
    )  # fmt: skip
    plain = report("F", cum=10, qty=10, exec_id="A")
    for told in ([capture, plain], [plain, capture]):
        found = executions_of(reports(*told))
        assert done(found) == [(Decimal(10), Decimal("1.1"))]
        assert found.fills[0].reports == 2
    other = read_message(
        fix((571, "T9"), (487, 0), (17, "Z"), (55, "EUR/USD"), (32, 10), (31, "1.1"), (60, "20261102-10:00:01"),
            (552, 1), (54, 1), (37, "ORD"), kind="AE")
    )  # fmt: skip
    assert len(done(executions_of(reports(plain, other)))) == 1


def test_a_trade_capture_is_taken_back_by_its_report() -> None:
    def capture(number: str, action: int, second: int, *more: tuple[int, object]) -> FixMessage:
        return read_message(
            fix((571, number), (487, action), *more, (55, "EUR/USD"), (32, 10), (31, "1.1"),
                (60, f"20261102-10:00:{second:02d}"), (552, 1), (54, 1), (37, "ORD"), kind="AE")
        )  # fmt: skip

    found = executions_of(reports(capture("T1", 0, 0, (17, "A")), capture("T2", 1, 1, (572, "T1"))))
    assert done(found) == []
    two = executions_of(reports(capture("T1", 0, 0, (17, "A")), capture("T3", 0, 1, (17, "B"))))
    assert len(done(two)) == 2


def test_a_rejected_order_executes_nothing() -> None:
    rejected = read_message(fix((37, "NONE"), (17, 0), (150, 8), (39, 8), (54, 7), (32, 0), (14, 0), (151, 0), (38, 0)))
    assert executions_of(reports_of(rejected)).fills == []
