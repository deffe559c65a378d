"""MT4 Statement and DetailedStatement, as the MT4 terminal saves them in HTML.

Owns the layout: sections in a fixed order, two rows per ticket where the terminal prints magic numbers, the
summary block. A file that stops before its end, or a row that cannot be read, refuses the whole file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from platform_ops.gateways.statements.chains import root_tickets
from platform_ops.gateways.statements.fields import (
    check_plausible_level,
    clean_text,
    decimals_of,
    once_per_ticket,
    read_amount,
    read_level,
    read_lots,
    read_price,
    read_ticket,
    read_time,
    refuse,
)
from platform_ops.gateways.statements.html_rows import HtmlRow, HtmlTable, read_rows
from platform_ops.gateways.statements.types import (
    ZERO,
    DealRecord,
    OpenPositionMark,
    Statement,
    StatementFormat,
    StatementSummary,
)
from platform_ops.types import DealEntry, DealKind, Platform, Side

CLOSED, OPEN, WORKING, SUMMARY, DETAILS = (
    "closed transactions:",
    "open trades:",
    "working orders:",
    "summary:",
    "details:",
)
_REQUIRED_SECTIONS = (CLOSED, OPEN, WORKING, SUMMARY)
_SECTIONS = (*_REQUIRED_SECTIONS, DETAILS)

_SIDES = {"buy": Side.BUY, "sell": Side.SELL}
_TRADE_KIND = {Side.BUY: DealKind.BUY, Side.SELL: DealKind.SELL}
_MONEY_KINDS = {"balance": DealKind.BALANCE, "credit": DealKind.CREDIT}
_PENDING_TYPES = frozenset({"buy limit", "sell limit", "buy stop", "sell stop", "buy stop limit", "sell stop limit"})
_COLUMNS_WITH_TAXES = 14
_COLUMNS_WITHOUT_TAXES = 13

_MONTHS = {
    name: number
    for number, name in enumerate(
        (
            "january",
            "february",
            "march",
            "april",
            "may",
            "june",
            "july",
            "august",
            "september",
            "october",
            "november",
            "december",
        ),
        start=1,
    )
}
_PRINTED_AT = re.compile(r"(\d{4}) (\w+) (\d{1,2}), (\d{1,2}):(\d{2})(?::(\d{2}))?")
# Terminals that print no second row put the magic number only here; the comment must read the same from both.
_MAGIC_PREFIX = re.compile(r"\A#\d+(?: |\Z)")

_SUMMARY_LABELS = {
    "deposit_withdrawal": "deposit/withdrawal:",
    "credit": "credit facility:",
    "closed_pl": "closed trade p/l:",
    "floating_pl": "floating p/l:",
    "margin": "margin:",
    "balance": "balance:",
    "equity": "equity:",
    "free_margin": "free margin:",
}


def looks_like_mt4(text: str) -> bool:
    """Whether the text is an HTML page with MT4's first section title."""
    lowered = text[: 64 * 1024].lower()
    return "<" in lowered and "closed transactions:" in lowered


def read_mt4(text: str, finish: Callable[[str], str]) -> Statement:
    """Read an MT4 statement. Raises InvalidInput with row and field for whatever cannot be read."""
    table = read_rows(text, finish)
    if not table.is_complete:
        last = table.rows[-1].number if table.rows else None
        refuse("the file ends before its end; it was cut", row=last, field="file")
    facts, sections = _split_sections(table)
    closed = _read_closed(sections[CLOSED])
    open_trades = _read_tickets(sections[OPEN], is_open=True)
    working = sum(1 for row in _data_rows(sections[WORKING]) if not _is_note(row) and _pending_type(row))
    summary = _read_summary(sections[SUMMARY], sections.get(DETAILS))

    tickets = once_per_ticket([*closed.tickets, *open_trades])
    money_rows = once_per_ticket(closed.money_rows)
    _refuse_shared_tickets(tickets, money_rows)
    roots = root_tickets(tickets)
    deals = [*money_rows, *(leg for ticket in tickets for leg in ticket.legs(roots[ticket.ticket]))]
    deals.sort(key=lambda deal: (deal.row, deal.leg))
    marks = tuple(ticket.mark(roots[ticket.ticket]) for ticket in tickets if ticket.close_time is None)
    assert summary.balance is not None
    assert summary.closed_pl is not None
    assert summary.deposit_withdrawal is not None
    assert summary.credit is not None
    credit_rows = sum((deal.profit for deal in money_rows if deal.kind.is_credit), ZERO)
    return Statement(
        format=StatementFormat.MT4_DETAILED if DETAILS in sections else StatementFormat.MT4_STATEMENT,
        platform=Platform.MT4,
        account=facts.account,
        name=facts.name,
        currency=facts.currency,
        leverage=facts.leverage,
        server_name="",
        company=table.heading,
        as_of=max([facts.printed_at, *(deal.time for deal in deals)]),
        deals=tuple(deals),
        open_positions=marks,
        cancelled_orders=closed.cancelled_orders,
        working_orders=working,
        summary=summary,
        opening_balance=summary.balance - summary.closed_pl - summary.deposit_withdrawal,
        opening_credit=summary.credit - credit_rows,
        is_hedging=True,
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    account: str
    name: str
    currency: str
    leverage: int | None
    printed_at: datetime


@dataclass(frozen=True, slots=True)
class _Ticket:
    """A bought or sold order as one row prints it; open while `close_time` is None."""

    row: int = field(compare=False)
    ticket: int
    side: Side
    symbol: str
    lots: Decimal
    open_time: datetime
    open_price: Decimal
    sl: Decimal | None
    tp: Decimal | None
    close_time: datetime | None
    close_price: Decimal
    commission: Decimal
    taxes: Decimal
    swap: Decimal
    profit: Decimal
    price_digits: int
    comment: str = ""

    def legs(self, root: int) -> Iterator[DealRecord]:
        """The opening, and the closing once there is one.

        The opening carries no comment: MT4 has one comment per ticket and rewrites it at the close, and an opening
        must read the same in every snapshot of the account.
        """
        opening = DealRecord(
            row=self.row,
            ticket=self.ticket,
            leg=0,
            kind=_TRADE_KIND[self.side],
            entry=DealEntry.IN,
            position=root,
            order=self.ticket,
            symbol=self.symbol,
            volume_lots=self.lots,
            price=self.open_price,
            time=self.open_time,
            profit=ZERO,
            swap=ZERO,
            commission=ZERO,
            fee=ZERO,
            comment="",
            price_digits=self.price_digits,
        )
        yield opening
        if self.close_time is not None:
            yield replace(
                opening,
                leg=1,
                kind=_TRADE_KIND[self.side.opposite],
                entry=DealEntry.OUT,
                price=self.close_price,
                time=self.close_time,
                profit=self.profit,
                swap=self.swap,
                commission=self.commission,
                fee=self.taxes,
                comment=self.comment,
                open_price=self.open_price,
                open_time=self.open_time,
            )

    def mark(self, root: int) -> OpenPositionMark:
        return OpenPositionMark(
            row=self.row,
            ticket=self.ticket,
            position=root,
            symbol=self.symbol,
            side=self.side,
            volume_lots=self.lots,
            open_time=self.open_time,
            open_price=self.open_price,
            current_price=self.close_price,
            sl=self.sl,
            tp=self.tp,
            swap=self.swap,
            commission=self.commission,
            taxes=self.taxes,
            profit=self.profit,
            comment=self.comment,
        )


@dataclass(slots=True)
class _Closed:
    tickets: list[_Ticket] = field(default_factory=list)
    money_rows: list[DealRecord] = field(default_factory=list)
    cancelled_orders: int = 0


def _split_sections(table: HtmlTable) -> tuple[_Facts, dict[str, list[HtmlRow]]]:
    """The account line, and the rows under each section title; refuses missing or misplaced sections."""
    facts: _Facts | None = None
    sections: dict[str, list[HtmlRow]] = {}
    current: list[HtmlRow] | None = None
    for row in table.rows:
        title = row.text(0).lower() if len(row.cells) == 1 else ""
        if title in _SECTIONS:
            if title in sections or any(later in sections for later in _SECTIONS[_SECTIONS.index(title) :]):
                refuse("the section stands twice or out of order", row=row.number, field=row.text(0))
            current = sections.setdefault(title, [])
        elif current is not None:
            current.append(row)
        elif row.text(0).lower().startswith("account:"):
            facts = _read_facts(row)
    if facts is None:
        refuse("the account line is missing", row=None, field="Account")
    for name in _REQUIRED_SECTIONS:
        if name not in sections:
            refuse("the section is missing", row=None, field=name.rstrip(":").capitalize())
    return facts, sections


def _read_facts(row: HtmlRow) -> _Facts:
    named: dict[str, str] = {}
    printed_at: datetime | None = None
    for cell in row.cells:
        label, colon, value = cell.text.partition(":")
        if match := _PRINTED_AT.fullmatch(cell.text):
            printed_at = _printed_time(match, row)
        elif colon:
            named.setdefault(label.strip().lower(), value.strip())
    account = str(read_ticket(named.get("account"), row=row.number, field="Account"))
    currency = named.get("currency", "").upper()
    if not re.fullmatch(r"[A-Z]{3,5}", currency):
        refuse("not a currency", row=row.number, field="Currency", value=currency)
    if printed_at is None:
        refuse("the date of the statement is missing", row=row.number, field="Date", value=row.text(4))
    leverage = re.fullmatch(r"1:(\d{1,6})", named.get("leverage", ""))
    return _Facts(
        account=account,
        name=named.get("name", ""),
        currency=currency,
        leverage=int(leverage.group(1)) if leverage else None,
        printed_at=printed_at,
    )


def _printed_time(match: re.Match[str], row: HtmlRow) -> datetime:
    year, month, day, hour, minute, second = match.groups()
    number = _MONTHS.get(month.lower())
    if number is None:
        refuse("not a month", row=row.number, field="Date", value=match.group())
    moment = f"{year}.{number:02d}.{int(day):02d} {int(hour):02d}:{minute}:{second or '00'}"
    return read_time(moment, row=row.number, field="Date")


def _data_rows(rows: Iterable[HtmlRow]) -> Iterator[HtmlRow]:
    """Ticket, money, order and note rows: all but headers, blank rows, totals and `No transactions`."""
    for row in rows:
        first = row.cells[0]
        label = next((cell.text.lower() for cell in row.cells if cell.text), "")
        is_total = not first.text and first.span >= 10
        if row.is_blank or is_total or label in ("ticket", "closed p/l:", "floating p/l:", "no transactions"):
            continue
        yield row


def _is_note(row: HtmlRow) -> bool:
    """The second row of a ticket: blank, magic number, comment."""
    return len(row.cells) == 3 and not row.cells[0].text and row.cells[0].span == 9


def _pending_type(row: HtmlRow) -> str:
    kind = row.text(2).lower()
    read_ticket(row.text(0), row=row.number, field="Ticket")
    if kind not in _PENDING_TYPES:
        refuse("not a pending order", row=row.number, field="Type", value=row.text(2))
    return kind


def _read_closed(rows: Sequence[HtmlRow]) -> _Closed:
    closed = _Closed()
    trade_rows: list[HtmlRow] = []
    for row in _data_rows(rows):
        kind = row.text(2).lower()
        if _is_note(row) or kind in _SIDES:
            trade_rows.append(row)
        elif kind in _MONEY_KINDS:
            closed.money_rows.append(_read_money_row(row, _MONEY_KINDS[kind]))
        elif _pending_type(row):
            closed.cancelled_orders += 1
            trade_rows.append(row)
    closed.tickets = _read_tickets(trade_rows, is_open=False)
    return closed


def _read_money_row(row: HtmlRow, kind: DealKind) -> DealRecord:
    if len(row.cells) != 5:
        refuse("a money row has five cells", row=row.number, field="Type", value=row.text(2))
    return DealRecord(
        row=row.number,
        ticket=read_ticket(row.text(0), row=row.number, field="Ticket"),
        leg=0,
        kind=kind,
        entry=None,
        position=0,
        order=0,
        symbol="",
        volume_lots=ZERO,
        price=None,
        time=read_time(row.text(1), row=row.number, field="Open Time"),
        profit=read_amount(row.text(4), row=row.number, field="Profit"),
        swap=ZERO,
        commission=ZERO,
        fee=ZERO,
        comment=row.text(3) or row.cells[0].title,
        price_digits=0,
    )


def _read_tickets(rows: Iterable[HtmlRow], *, is_open: bool) -> list[_Ticket]:
    """Bought and sold orders with their comments; pending orders among them only carry their notes away."""
    tickets: list[_Ticket] = []
    is_ticket = False
    for row in _data_rows(rows):
        if _is_note(row):
            if is_ticket:
                tickets[-1] = replace(tickets[-1], comment=row.text(2))
            continue
        is_ticket = row.text(2).lower() in _SIDES
        if is_ticket:
            tickets.append(_read_ticket_row(row, is_open=is_open))
        elif is_open:
            refuse("not a trade", row=row.number, field="Type", value=row.text(2))
    return tickets


def _read_ticket_row(row: HtmlRow, *, is_open: bool) -> _Ticket:
    number = row.number
    has_taxes = len(row.cells) == _COLUMNS_WITH_TAXES
    if not has_taxes and len(row.cells) != _COLUMNS_WITHOUT_TAXES:
        refuse(f"a trade has {_COLUMNS_WITH_TAXES} cells", row=number, field="Ticket", value=row.text(0))
    open_price = read_price(row.text(5), row=number, field="Price")
    sl = read_level(row.text(6), row=number, field="S / L")
    tp = read_level(row.text(7), row=number, field="T / P")
    close_price = read_price(row.text(9), row=number, field="Close Price")
    for name, level in (("S / L", sl), ("T / P", tp), ("Close Price", close_price)):
        check_plausible_level(level, open_price, row=number, field=name)
    check_plausible_level(open_price, close_price, row=number, field="Price")
    symbol = row.text(4)
    if not symbol:
        refuse("the symbol is missing", row=number, field="Item")
    return _Ticket(
        row=number,
        ticket=read_ticket(row.text(0), row=number, field="Ticket"),
        side=_SIDES[row.text(2).lower()],
        symbol=symbol,
        lots=read_lots(row.text(3), row=number, field="Size"),
        open_time=read_time(row.text(1), row=number, field="Open Time"),
        open_price=open_price,
        sl=sl,
        tp=tp,
        close_time=None if is_open else read_time(row.text(8), row=number, field="Close Time"),
        close_price=close_price,
        commission=read_amount(row.text(10), row=number, field="Commission"),
        taxes=read_amount(row.text(11), row=number, field="Taxes") if has_taxes else ZERO,
        swap=read_amount(row.text(-2 + len(row.cells)), row=number, field="Swap"),
        profit=read_amount(row.text(-1 + len(row.cells)), row=number, field="Profit"),
        price_digits=max(decimals_of(open_price), decimals_of(close_price)),
        comment=_MAGIC_PREFIX.sub("", row.cells[0].title),
    )


def _refuse_shared_tickets(tickets: Sequence[_Ticket], money_rows: Sequence[DealRecord]) -> None:
    rows = {ticket.ticket: ticket.row for ticket in tickets}
    for record in money_rows:
        if record.ticket in rows:
            refuse(
                f"the ticket also stands in row {rows[record.ticket]} with other figures",
                row=record.row,
                field="Ticket",
                value=record.ticket,
            )


def _read_summary(rows: Sequence[HtmlRow], details: Sequence[HtmlRow] | None) -> StatementSummary:
    figures = _labelled(rows)
    summary = StatementSummary(
        **{name: _stated(figures, label, section="Summary") for name, label in _SUMMARY_LABELS.items()},
        total_trades=None,
    )
    if details is None:
        return summary
    detailed = _labelled(details)
    trades = _stated(detailed, "total trades:", section="Details")
    if trades != trades.to_integral_value() or trades < 0:
        refuse("not a number of trades", row=None, field="Total Trades", value=trades)
    return replace(
        summary,
        gross_profit=_stated(detailed, "gross profit:", section="Details"),
        # MT4 prints the gross loss without its sign.
        gross_loss=-abs(_stated(detailed, "gross loss:", section="Details")),
        total_net_profit=_stated(detailed, "total net profit:", section="Details"),
        total_trades=int(trades),
    )


def _labelled(rows: Iterable[HtmlRow]) -> dict[str, tuple[int, str]]:
    """Label → (row, printed value); the first of a label counts."""
    found: dict[str, tuple[int, str]] = {}
    for row in rows:
        for label, value in zip(row.cells, row.cells[1:], strict=False):
            if label.text.endswith(":"):
                found.setdefault(label.text.lower(), (row.number, value.text))
    return found


def _stated(figures: dict[str, tuple[int, str]], label: str, *, section: str) -> Decimal:
    name = clean_text(label.rstrip(":")).title()
    if label not in figures:
        refuse(f"the figure is missing from the {section}", row=None, field=name)
    row, text = figures[label]
    return read_amount(text, row=row, field=name)
