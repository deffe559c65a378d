"""MT5 ReportHistory, as the MT5 terminal saves it in XLSX, in any of its languages.

Owns the layout: sections and columns are recognised by their shape and order, never by their labels. The Deals
section is the truth; Positions and Open Positions say which deal belongs to which position.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

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
from platform_ops.gateways.statements.positions import (
    ClosedPosition,
    Links,
    OpenPosition,
    PositionLink,
    TradeDeal,
    link_positions,
)
from platform_ops.gateways.statements.types import (
    ZERO,
    DealRecord,
    OpenPositionMark,
    Statement,
    StatementFormat,
    StatementSummary,
)
from platform_ops.gateways.statements.vocabulary import deal_entry, deal_kind
from platform_ops.gateways.statements.workbook import SheetRow
from platform_ops.types import DealEntry, DealKind, Platform, Side

POSITIONS, ORDERS, DEALS, OPEN_POSITIONS, WORKING_ORDERS = (
    "Positions",
    "Orders",
    "Deals",
    "Open Positions",
    "Working Orders",
)
MAX_FACT_ROWS = 20
_VALUE_COLUMN = 3
_BALANCE_ROWS = 4
_TRADES_RESULT_ROW = 5

_ACCOUNT = re.compile(r"(\d{1,18}) ?\(([^()]*)\)")
_CURRENCY = re.compile(r"[A-Z]{3,5}")
_ORDER_VOLUME = re.compile(r"(\S.*?) ?/ ?(\S.*)")
_MARGIN_MODES = {"hedge": True, "hedging": True, "netting": False, "exchange": False}


def read_mt5_rows(rows: Sequence[SheetRow], kind: StatementFormat = StatementFormat.MT5_REPORT) -> Statement:
    """Read an MT5 report from its rows. Raises InvalidInput with row and field for whatever cannot be read."""
    report = _split(rows)
    facts = _read_facts(report.facts)
    deals = once_per_ticket([_read_deal(row, report.has_fee) for row in report.sections[DEALS]])
    # A position may stand here twice (closed, reversed, closed again); it carries no money, so only copies go.
    closed = list(dict.fromkeys(_read_closed(row) for row in report.sections.get(POSITIONS, ())))
    marks = once_per_ticket([_read_mark(row) for row in report.sections.get(OPEN_POSITIONS, ())])
    orders = [_read_order(row) for row in report.sections.get(ORDERS, ())]
    working = [_read_order(row) for row in report.sections.get(WORKING_ORDERS, ())]
    summary = _read_summary(report, needs_results=any(deal.entry and deal.entry.closes for deal in deals))
    assert summary.balance is not None
    assert summary.credit is not None

    links = link_positions(
        [deal.as_trade() for deal in deals if deal.kind.is_trade],
        closed,
        [
            OpenPosition(mark.ticket, mark.symbol, mark.side, mark.volume_lots, mark.open_time, mark.open_price)
            for mark in marks
        ],
        is_hedging=facts.is_hedging,
    )
    records = _records(deals, links)
    last_moments = [*(deal.time for deal in deals), *(mark.open_time for mark in marks)]
    return Statement(
        format=kind,
        platform=Platform.MT5,
        account=facts.account,
        name=facts.name,
        currency=facts.currency,
        leverage=None,
        server_name=facts.server_name,
        company=facts.company,
        as_of=max([facts.printed_at, *last_moments]),
        deals=records,
        open_positions=tuple(_linked_mark(mark, links) for mark in marks),
        cancelled_orders=sum(filled == 0 for filled in orders),
        working_orders=len(working),
        summary=summary,
        opening_balance=deals[0].balance - deals[0].balance_change if deals else summary.balance,
        opening_credit=summary.credit - sum((deal.money for deal in records if deal.kind.is_credit), ZERO),
        is_hedging=facts.is_hedging,
    )


@dataclass(frozen=True, slots=True)
class _Facts:
    account: str
    name: str
    currency: str
    server_name: str
    company: str
    printed_at: datetime
    is_hedging: bool | None


@dataclass(slots=True)
class _Report:
    """The rows of the sheet under the part of the report they belong to."""

    facts: list[SheetRow] = field(default_factory=list)
    sections: dict[str, list[SheetRow]] = field(default_factory=dict)
    has_fee: bool = True
    closing: list[SheetRow] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Deal:
    """A row of the Deals section. `balance` is the running balance printed after it."""

    row: int = field(compare=False)
    ticket: int
    order: int
    symbol: str
    kind: DealKind
    entry: DealEntry | None
    lots: Decimal
    price: Decimal | None
    price_digits: int | None
    time: datetime
    profit: Decimal
    swap: Decimal
    commission: Decimal
    fee: Decimal
    comment: str
    balance: Decimal

    @property
    def balance_change(self) -> Decimal:
        return ZERO if self.kind.is_credit else self.profit + self.swap + self.commission + self.fee

    def as_trade(self) -> TradeDeal:
        assert self.entry is not None
        assert self.price is not None
        return TradeDeal(
            ticket=self.ticket,
            order=self.order,
            symbol=self.symbol,
            side=Side.BUY if self.kind is DealKind.BUY else Side.SELL,
            entry=self.entry,
            lots=self.lots,
            price=self.price,
            time=self.time,
            profit=self.profit,
            swap=self.swap,
            comment=self.comment,
        )


def _split(rows: Sequence[SheetRow]) -> _Report:
    """Sort the rows into facts, sections and closing figures."""
    report = _Report()
    index = 0
    while index < len(rows) and not _is_title(rows, index):
        report.facts.append(rows[index])
        index += 1
        if len(report.facts) > MAX_FACT_ROWS:
            break
    while index < len(rows) and _is_title(rows, index):
        title, header = rows[index], rows[index + 1]
        name = _section_name(header, after_deals=DEALS in report.sections)
        if name is None or name in report.sections:
            refuse("not a section of an MT5 report", row=title.number, field="section", value=title.text(0))
        if name == DEALS:
            report.has_fee = 13 in header.filled
        section = report.sections.setdefault(name, [])
        index += 2
        while index < len(rows) and rows[index].filled >= {0, 1}:
            section.append(rows[index])
            index += 1
        index = _skip_totals(rows, index, name)
    report.closing = list(rows[index:])
    if DEALS not in report.sections:
        refuse("the spreadsheet is not an MT5 history report: it has no Deals", row=None, field="section")
    return report


def _is_title(rows: Sequence[SheetRow], index: int) -> bool:
    """A section title stands alone in its row, above a row of at least ten labels."""
    if rows[index].filled != {0} or index + 1 >= len(rows):
        return False
    header = rows[index + 1]
    return len(header.filled) >= 10 and all(isinstance(header.values[place], str) for place in header.filled)


def _section_name(header: SheetRow, *, after_deals: bool) -> str | None:
    """Name a section by which columns its header fills. Positions prints time and price twice; sections of orders
    and of open positions leave the eleventh column empty."""
    filled = header.filled
    if filled == set(range(13)) and header.text(0) == header.text(8) and header.text(5) == header.text(9):
        return POSITIONS
    if filled in (set(range(14)), set(range(13))):
        return DEALS
    if filled == {*range(10), 11, 12}:
        return OPEN_POSITIONS
    if filled == {*range(10), 11}:
        return WORKING_ORDERS if after_deals else ORDERS
    return None


def _skip_totals(rows: Sequence[SheetRow], index: int, name: str) -> int:
    """Pass the row of sums under Deals and Open Positions: builds disagree on what it sums, so nothing is read.

    Deals always end with it, so that a report that lost its tail is noticed.
    """
    is_totals = index < len(rows) and bool(rows[index].filled) and min(rows[index].filled) >= 8
    if is_totals:
        return index + 1
    if name == DEALS:
        refuse("the row does not belong to a list of deals", row=rows[min(index, len(rows) - 1)].number, field="Deals")
    return index


def _read_facts(rows: Sequence[SheetRow]) -> _Facts:
    """Name, account, company and date: known by the shape of the account and of the date between them."""
    values = [(row, row.values[_VALUE_COLUMN]) for row in rows if row.values[_VALUE_COLUMN] is not None]
    place = next((i for i, (_, value) in enumerate(values) if _ACCOUNT.fullmatch(str(value))), None)
    if place is None:
        refuse("the account line is missing", row=None, field="Account")
    row, text = values[place]
    match = _ACCOUNT.fullmatch(str(text))
    assert match is not None
    details = [part.strip() for part in match.group(2).split(",")]
    if not _CURRENCY.fullmatch(details[0].upper()):
        refuse("not a currency", row=row.number, field="Currency", value=details[0])
    if len(values) < place + 2:
        refuse("the date of the report is missing", row=None, field="Date")
    date_row, printed = values[-1]
    return _Facts(
        account=match.group(1),
        name=clean_text(values[place - 1][1]) if place > 0 else "",
        currency=details[0].upper(),
        server_name=details[1] if len(details) > 1 else "",
        company=clean_text(values[place + 1][1]) if len(values) > place + 2 else "",
        printed_at=read_time(printed, row=date_row.number, field="Date"),
        is_hedging=_MARGIN_MODES.get(details[-1].casefold()),
    )


def _read_deal(row: SheetRow, has_fee: bool) -> _Deal:
    number = row.number
    kind = deal_kind(row.text(3))
    if kind is None:
        refuse("not a known type of deal", row=number, field="Type", value=row.text(3))
    after_fee = 1 if has_fee else 0
    entry: DealEntry | None = None
    price: Decimal | None = None
    lots = ZERO
    order = 0
    if kind.is_trade:
        entry = deal_entry(row.text(4))
        if entry is None:
            refuse("not a known direction", row=number, field="Direction", value=row.text(4))
        lots = read_lots(row.values[5], row=number, field="Volume")
        price = read_price(row.values[6], row=number, field="Price")
        order = read_ticket(row.values[7], row=number, field="Order")
        if not row.text(2):
            refuse("the symbol is missing", row=number, field="Symbol")
    return _Deal(
        row=number,
        ticket=read_ticket(row.values[1], row=number, field="Deal"),
        order=order,
        symbol=row.text(2),
        kind=kind,
        entry=entry,
        lots=lots,
        price=price,
        price_digits=row.decimals[6],
        time=read_time(row.values[0], row=number, field="Time"),
        profit=read_amount(row.values[10 + after_fee], row=number, field="Profit"),
        swap=read_amount(row.values[9 + after_fee], row=number, field="Swap"),
        commission=read_amount(row.values[8], row=number, field="Commission"),
        fee=read_amount(row.values[9], row=number, field="Fee") if has_fee else ZERO,
        comment=row.text(12 + after_fee),
        balance=read_amount(row.values[11 + after_fee], row=number, field="Balance"),
    )


def _read_side(row: SheetRow) -> Side:
    kind = deal_kind(row.text(3))
    if kind is None or not kind.is_trade:
        refuse("not a side", row=row.number, field="Type", value=row.text(3))
    return Side.BUY if kind is DealKind.BUY else Side.SELL


def _check_levels(row: SheetRow, price: Decimal) -> tuple[Decimal | None, Decimal | None]:
    sl = read_level(row.values[6], row=row.number, field="S / L")
    tp = read_level(row.values[7], row=row.number, field="T / P")
    check_plausible_level(sl, price, row=row.number, field="S / L")
    check_plausible_level(tp, price, row=row.number, field="T / P")
    return sl, tp


def _read_closed(row: SheetRow) -> ClosedPosition:
    number = row.number
    open_price = read_price(row.values[5], row=number, field="Price")
    close_price = read_price(row.values[9], row=number, field="Close Price")
    _check_levels(row, open_price)
    check_plausible_level(close_price, open_price, row=number, field="Close Price")
    check_plausible_level(open_price, close_price, row=number, field="Price")
    return ClosedPosition(
        row=number,
        ticket=read_ticket(row.values[1], row=number, field="Position"),
        symbol=row.text(2),
        side=_read_side(row),
        lots=read_lots(row.values[4], row=number, field="Volume"),
        open_time=read_time(row.values[0], row=number, field="Time"),
        open_price=open_price,
        close_time=read_time(row.values[8], row=number, field="Close Time"),
        close_price=close_price,
        commission=read_amount(row.values[10], row=number, field="Commission"),
        swap=read_amount(row.values[11], row=number, field="Swap"),
        profit=read_amount(row.values[12], row=number, field="Profit"),
    )


def _read_mark(row: SheetRow) -> OpenPositionMark:
    number = row.number
    open_price = read_price(row.values[5], row=number, field="Price")
    current_price = read_price(row.values[8], row=number, field="Market Price")
    check_plausible_level(current_price, open_price, row=number, field="Market Price")
    sl, tp = _check_levels(row, open_price)
    ticket = read_ticket(row.values[1], row=number, field="Position")
    return OpenPositionMark(
        row=number,
        ticket=ticket,
        position=ticket,
        symbol=row.text(2),
        side=_read_side(row),
        volume_lots=read_lots(row.values[4], row=number, field="Volume"),
        open_time=read_time(row.values[0], row=number, field="Time"),
        open_price=open_price,
        current_price=current_price,
        sl=sl,
        tp=tp,
        swap=read_amount(row.values[9], row=number, field="Swap"),
        commission=ZERO,
        taxes=ZERO,
        profit=read_amount(row.values[11], row=number, field="Profit"),
        comment=row.text(12),
    )


def _linked_mark(mark: OpenPositionMark, links: Links) -> OpenPositionMark:
    return replace(mark, position=links.open_rows[mark.ticket])


def _read_order(row: SheetRow) -> Decimal:
    """The filled volume of an order, printed as `initial / filled`; a cancelled order has none."""
    number = row.number
    read_ticket(row.values[1], row=number, field="Order")
    price = row.values[5]
    if isinstance(price, Decimal):
        _check_levels(row, price)
    match = _ORDER_VOLUME.fullmatch(str(row.values[4]))
    if match is None:
        refuse("not an order volume", row=number, field="Volume", value=row.values[4])
    read_lots(match.group(1), row=number, field="Volume")
    return read_lots(match.group(2), row=number, field="Volume")


def _records(deals: Sequence[_Deal], links: Links) -> tuple[DealRecord, ...]:
    digits = _symbol_digits(deals)
    records = []
    for deal in deals:
        link = links.deals[deal.ticket] if deal.kind.is_trade else PositionLink(0)
        if link.open_price is not None and deal.price is not None:
            check_plausible_level(deal.price, link.open_price, row=deal.row, field="Price")
            check_plausible_level(link.open_price, deal.price, row=deal.row, field="Price")
        records.append(
            DealRecord(
                row=deal.row,
                ticket=deal.ticket,
                leg=0,
                kind=deal.kind,
                entry=deal.entry,
                position=link.position,
                order=deal.order,
                symbol=deal.symbol,
                volume_lots=deal.lots,
                price=deal.price,
                time=deal.time,
                profit=deal.profit,
                swap=deal.swap,
                commission=deal.commission,
                fee=deal.fee,
                comment=deal.comment,
                price_digits=digits.get(deal.symbol, 0) if deal.kind.is_trade else 0,
                open_price=link.open_price,
                open_time=link.open_time,
            )
        )
    return tuple(records)


def _symbol_digits(deals: Sequence[_Deal]) -> dict[str, int]:
    """Price digits of each symbol: the format its prices are shown in, else the longest price seen."""
    digits: dict[str, int] = {}
    for deal in deals:
        if deal.price is not None:
            shown = deal.price_digits if deal.price_digits is not None else 0
            digits[deal.symbol] = max(digits.get(deal.symbol, 0), shown, decimals_of(deal.price))
    return digits


def _read_summary(report: _Report, *, needs_results: bool) -> StatementSummary:
    """Balance block and Results, by their order: four rows of two figures, then the result rows."""
    title = next((i for i, row in enumerate(report.closing) if row.filled == {0} and not _is_label(row.text(0))), None)
    block = report.closing[:title] if title is not None else report.closing
    figures = [row for row in block if isinstance(row.values[_VALUE_COLUMN], Decimal)]
    results = report.closing[title + 1 :] if title is not None else []
    if len(figures) < _BALANCE_ROWS:
        last = block[-1].number if block else None
        refuse("the report ends before its balance figures", row=last, field="Balance")
    if needs_results and len(results) <= _TRADES_RESULT_ROW:
        last = report.closing[-1].number
        refuse("the report ends before its results", row=last, field="Results")

    balance, credit, floating, equity = figures[:_BALANCE_ROWS]
    stated = StatementSummary(
        floating_pl=_figure(floating, 3, "Floating P/L"),
        credit=_figure(credit, 3, "Credit Facility"),
        balance=_figure(balance, 3, "Balance"),
        equity=_figure(equity, 3, "Equity"),
        margin=_figure(credit, 9, "Margin"),
        free_margin=_figure(balance, 9, "Free Margin"),
    )
    if len(results) <= _TRADES_RESULT_ROW:
        return stated
    trades = _figure(results[_TRADES_RESULT_ROW], 3, "Total Trades")
    if trades != trades.to_integral_value() or trades < 0:
        refuse("not a number of trades", row=results[_TRADES_RESULT_ROW].number, field="Total Trades", value=trades)
    return replace(
        stated,
        total_net_profit=_figure(results[0], 3, "Total Net Profit"),
        gross_profit=_figure(results[0], 7, "Gross Profit"),
        gross_loss=-abs(_figure(results[0], 11, "Gross Loss")),
        total_trades=int(trades),
    )


def _is_label(text: str) -> bool:
    return text.endswith((":", "\uff1a"))


def _figure(row: SheetRow, column: int, name: str) -> Decimal:
    return read_amount(row.values[column], row=row.number, field=name)
