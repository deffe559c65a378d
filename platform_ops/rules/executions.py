"""What the messages about an order say was executed. Pure; the answer is the same in whatever order they came.

Providers tell an execution several times, under different numbers: what counts is how far the cumulative quantity of
the order (tag 14) has come. A correction (G) replaces an execution, a bust (H) takes it back; both name it (19).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from platform_ops.gateways.fix.messages import FixMessage
from platform_ops.types import Side

ZERO = Decimal(0)
EXECUTION_REPORT, TRADE_CAPTURE = "8", "AE"
TRADE, CORRECT, CANCEL = "F", "G", "H"
FILLS = frozenset({TRADE, "1", "2"})
"""ExecType of a fill: F in FIX 4.4, 1 and 2 in earlier versions."""

NO_ORDER = frozenset({"", "0", "NONE"})
NO_EXECUTION = frozenset({"", "0", "NONE"})
PRICE_DECIMALS = Decimal(1).scaleb(-10)
_SIDES = {"1": Side.BUY, "2": Side.SELL, "5": Side.SELL}
_LIVE = frozenset({"0", "1", "5", "6", "A", "E"})
_PARTIES = frozenset({447, 452, 802, 523, 803})
_SIDE_TAGS = frozenset({37, 198, 11, 526, 1, 453, 448, 447, 452, 802, 523, 803, 15, 120, 12, 13, 118, 119, 528, 58})


class FillState(StrEnum):
    """What became of an execution."""

    DONE = "done"
    CORRECTED = "corrected"
    BUSTED = "busted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One message about one order, in our words. `quantity` is what it says was just filled, `cumulative` in all."""

    order_id: str
    kind: str
    exec_type: str
    exec_id: str
    refers_to: str
    side: Side | None
    symbol: str
    id_source: str
    quantity: Decimal
    price: Decimal | None
    cumulative: Decimal | None
    average: Decimal | None
    ordered: Decimal | None
    leaves: Decimal | None
    status: str
    at: datetime
    sent_at: datetime
    sequence: int
    client_order_id: str = ""
    account: str = ""
    currency: str = ""
    trade_date: date | None = None
    settlement_date: date | None = None
    parties: tuple[tuple[str, str], ...] = ()
    message_id: int = 0
    report_id: str = ""

    @property
    def ids(self) -> set[str]:
        """The numbers by which a later message may name it."""
        return {self.exec_id, self.report_id} - NO_EXECUTION

    @property
    def is_fill(self) -> bool:
        """Whether something was executed by it."""
        return self.exec_type in FILLS and self.quantity > 0


@dataclass(slots=True, kw_only=True)
class Fill:
    """An execution of an order: the n-th, what it is now, and who told of it."""

    number: int
    quantity: Decimal
    price: Decimal
    cumulative: Decimal
    report: Report
    state: FillState = FillState.DONE
    is_price_derived: bool = False
    exec_ids: set[str] = field(default_factory=set)
    reports: int = 1


@dataclass(frozen=True, slots=True)
class Executions:
    """All executions of an order, and what does not add up about it."""

    fills: list[Fill]
    problems: list[str]


def reports_of(message: FixMessage, message_id: int = 0) -> list[Report]:
    """What a message says about orders: one report, one for each side of a trade capture, none for session traffic."""
    if message.kind == EXECUTION_REPORT:
        return [_execution_report(message, message_id)]
    if message.kind == TRADE_CAPTURE:
        return _trade_capture(message, message_id)
    return []


def executions_of(reports: Iterable[Report]) -> Executions:
    """The executions of one order from every report about it."""
    told = sorted(reports, key=lambda one: (one.at, one.sent_at, one.sequence, one.cumulative or ZERO))
    fills: list[Fill] = []
    problems: list[str] = []
    for report in told:
        if report.exec_type == CANCEL:
            _bust(report, fills, problems)
        elif report.exec_type == CORRECT:
            _correct(report, fills, problems)
        elif report.is_fill:
            _fill(report, fills)
        _check(report, fills, problems)
    return Executions(fills, problems)


def _execution_report(message: FixMessage, message_id: int) -> Report:
    return Report(
        order_id=_name(message, 37),
        kind=EXECUTION_REPORT,
        exec_type=message.get(150),
        exec_id=_name(message, 17),
        refers_to=_name(message, 19),
        side=_SIDES.get(message.get(54)),
        symbol=message.get(55) or message.get(48),
        id_source="" if message.get(55) else message.get(22),
        quantity=message.number(32) or ZERO,
        price=message.number(31),
        cumulative=message.number(14),
        average=message.number(6),
        ordered=message.number(38),
        leaves=message.number(151),
        status=message.get(39),
        at=message.moment(60) if message.get(60) else message.sent_at,
        sent_at=message.sent_at,
        sequence=message.sequence,
        client_order_id=message.get(11)[:64],
        account=message.get(1)[:64],
        currency=message.get(15)[:8],
        trade_date=message.day(75),
        settlement_date=message.day(64),
        parties=_parties(message),
        message_id=message_id,
    )


def _trade_capture(message: FixMessage, message_id: int) -> list[Report]:
    """A trade of a drop copy. 487: 0 new, 1 cancel, 2 replace; earlier reports are named by 572 or 19.

    All sides of a trade hang under the order of the first; further ones are numbered.
    """
    sides = message.groups(552, 54, _SIDE_TAGS)
    exec_type = {"1": CANCEL, "2": CORRECT}.get(message.get(487), TRADE)
    trade_id = message.get(17) or message.get(571)
    found = []
    order_id = (message.get(37) or trade_id)[:60]
    for place, side in enumerate(sides or [message]):
        found.append(
            Report(
                order_id=order_id if place == 0 else f"{order_id}/{place + 1}",
                kind=TRADE_CAPTURE,
                exec_type=exec_type,
                exec_id=trade_id[:64],
                refers_to=(message.get(19) or message.get(572))[:64],
                side=_SIDES.get(side.get(54)),
                symbol=message.get(55) or message.get(48),
                id_source="" if message.get(55) else message.get(22),
                quantity=message.number(32) or ZERO,
                price=message.number(31),
                cumulative=None,
                average=None,
                ordered=None,
                leaves=None,
                status="",
                at=message.moment(60) if message.get(60) else message.sent_at,
                sent_at=message.sent_at,
                sequence=message.sequence,
                client_order_id=(side.get(11) or message.get(11))[:64],
                account=(side.get(1) or message.get(1))[:64],
                currency=(side.get(15) or message.get(15))[:8],
                trade_date=message.day(75),
                settlement_date=message.day(64),
                parties=_parties(side),
                message_id=message_id,
                report_id=message.get(571)[:64],
            )
        )
    return found


def _parties(message: FixMessage) -> tuple[tuple[str, str], ...]:
    """Role (452) and name (448) of each party; sub-parties may be persons and are left out."""
    return tuple(
        (party.get(452), party.get(448)[:64]) for party in message.groups(453, 448, _PARTIES) if party.get(448)
    )


def _name(message: FixMessage, tag: int) -> str:
    value = message.get(tag)
    if len(value) > 64:
        message.refuse(tag, "longer than any real one", value)
    return value


def _live(fills: Sequence[Fill]) -> Decimal:
    return sum((fill.quantity for fill in fills if fill.state is not FillState.BUSTED), ZERO)


def _fill(report: Report, fills: list[Fill]) -> None:
    """A fill counts as far as it carries the cumulative quantity on; what does not is a repetition."""
    assert report.quantity > 0
    done = _live(fills)
    known = _named(report.exec_id, fills)
    if known is not None:
        _repeat(report, known)
        return
    reached = report.cumulative
    if reached is None:
        same = _same_trade(report, fills)
        if same is not None:
            _repeat(report, same)
            return
        reached = done + report.quantity
    step = reached - done
    if step <= 0:
        repeated = _ending_at(reached, fills) or _same_trade(report, fills)
        if repeated is not None:
            _repeat(report, repeated)
        return
    price, is_derived = _price_of(report, fills, step)
    if price is None:
        return
    fills.append(
        Fill(
            number=len(fills) + 1,
            quantity=step,
            price=price,
            cumulative=reached,
            report=report,
            is_price_derived=is_derived,
            exec_ids=report.ids,
        )
    )


def _price_of(report: Report, fills: Sequence[Fill], step: Decimal) -> tuple[Decimal | None, bool]:
    """The price of what was filled since; where a report in between is missing, what the average prices leave for it."""
    if step == report.quantity or report.average is None or report.cumulative is None or not report.average:
        return report.price, step != report.quantity
    paid = sum((fill.price * fill.quantity for fill in fills if fill.state is not FillState.BUSTED), ZERO)
    return ((report.average * report.cumulative - paid) / step).quantize(PRICE_DECIMALS), True


def _named(exec_id: str, fills: Sequence[Fill]) -> Fill | None:
    if exec_id in NO_EXECUTION:
        return None
    return next((fill for fill in fills if exec_id in fill.exec_ids), None)


def _ending_at(cumulative: Decimal, fills: Sequence[Fill]) -> Fill | None:
    reached = ZERO
    for fill in fills:
        if fill.state is FillState.BUSTED:
            continue
        reached += fill.quantity
        if reached == cumulative:
            return fill
    return None


def _same_trade(report: Report, fills: Sequence[Fill]) -> Fill | None:
    """The execution that a report without a cumulative quantity repeats under another number."""
    if report.kind == TRADE_CAPTURE and all(fill.report.kind == TRADE_CAPTURE for fill in fills):
        return None  # trade captures are told apart by their own numbers
    return next(
        (
            fill
            for fill in fills
            if fill.state is not FillState.BUSTED
            and (fill.quantity, fill.price) == (report.quantity, report.price)
            and fill.report.kind != report.kind
        ),
        None,
    )


def _repeat(report: Report, fill: Fill) -> None:
    """Told once more. The number of a real execution goes before the 0 of an announcement."""
    fill.reports += 1
    if not fill.exec_ids and report.exec_id not in NO_EXECUTION:
        fill.report = replace(report, quantity=fill.quantity, price=fill.price)
    fill.exec_ids |= report.ids


def _bust(report: Report, fills: list[Fill], problems: list[str]) -> None:
    fill = _referred(report, fills)
    if fill is None:
        problems.append(
            f"A bust (message {report.sequence}) names execution {report.refers_to or '?'}, which nobody told."
        )
        return
    fill.state = FillState.BUSTED
    fill.reports += 1


def _correct(report: Report, fills: list[Fill], problems: list[str]) -> None:
    fill = _referred(report, fills)
    if fill is None:
        problems.append(
            f"A correction (message {report.sequence}) names execution {report.refers_to or '?'}, which nobody told."
        )
        return
    if report.quantity <= 0 or report.price is None:
        problems.append(f"A correction (message {report.sequence}) states no quantity or price.")
        return
    fill.quantity, fill.price = report.quantity, report.price
    fill.is_price_derived = False
    fill.state = FillState.CORRECTED
    fill.reports += 1
    fill.exec_ids |= report.ids


def _referred(report: Report, fills: Sequence[Fill]) -> Fill | None:
    named = _named(report.refers_to, fills)
    if named is None and report.refers_to in NO_EXECUTION and len(fills) == 1:
        return fills[0]
    return named


def _check(report: Report, fills: Sequence[Fill], problems: list[str]) -> None:
    """A live order's parts must add up, and what it says is filled must be what its fills say."""
    if report.status in _LIVE and None not in (report.ordered, report.cumulative, report.leaves) and report.ordered:
        assert report.cumulative is not None
        assert report.leaves is not None
        if report.ordered != report.cumulative + report.leaves:
            problems.append(
                f"Message {report.sequence}: ordered {report.ordered} is not filled {report.cumulative} and open "
                f"{report.leaves}."
            )
    if report.cumulative is not None and report.kind == EXECUTION_REPORT and report.exec_type != "8":
        done = _live(fills)
        if report.exec_type in (CANCEL, CORRECT) and done != report.cumulative:
            problems.append(
                f"Message {report.sequence}: {report.cumulative} is filled by what it says, {done} by what was told."
            )
