"""Synthetic statements in the shapes that the terminals save, for cases that no real file shows."""

from __future__ import annotations

import io
from html import escape

from openpyxl import Workbook

MT4_COLUMNS = (
    "<tr align=center><td>Ticket</td><td>Open Time</td><td>Type</td><td>Size</td><td>Item</td><td>Price</td>"
    "<td>S / L</td><td>T / P</td><td>Close Time</td><td>Price</td><td>Commission</td><td>Taxes</td><td>Swap</td>"
    "<td>Profit</td></tr>"
)


def mt4_trade(
    ticket: int,
    side: str,
    lots: str,
    profit: str,
    *,
    symbol: str = "eurusd",
    opened: str = "2024.03.04 10:00:00",
    closed: str = "2024.03.04 12:00:00",
    open_price: str = "1.10000",
    close_price: str = "1.10100",
    sl: str = "0.00000",
    tp: str = "0.00000",
    commission: str = "0.00",
    taxes: str = "0.00",
    swap: str = "0.00",
    comment: str = "",
    magic: int | None = None,
) -> str:
    """A ticket row (and its note row where it has a magic number); `closed` is `&nbsp;` for an open trade."""
    title = f"#{magic} {comment}" if magic is not None else comment
    attribute = f' title="{escape(title)}"' if title else ""
    cells = (opened, side, lots, symbol, open_price, sl, tp, closed, close_price, commission, taxes, swap, profit)
    row = f"<tr align=right><td{attribute}>{ticket}</td>" + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>\n"
    if magic is not None:
        row += f"<tr align=right><td colspan=9>&nbsp;</td><td>{magic}</td><td colspan=3>{escape(comment)}</td></tr>\n"
    return row


def mt4_money(ticket: int, kind: str, amount: str, comment: str = "", at: str = "2024.03.01 09:00:00") -> str:
    return (
        f'<tr align=right><td title="{escape(comment)}">{ticket}</td><td nowrap>{at}</td><td>{kind}</td>'
        f"<td colspan=10 align=left>{escape(comment)}</td><td class=mspt>{amount}</td></tr>\n"
    )


def mt4_cancelled(ticket: int, comment: str = "cancelled") -> str:
    return (
        f'<tr><td title="{comment}">{ticket}</td><td>2024.03.04 10:00:00</td><td>buy limit</td><td>0.10</td>'
        "<td>eurusd</td><td>1.10000</td><td>0.00000</td><td>0.00000</td><td>2024.03.04 11:00:00</td><td>1.10100</td>"
        f"<td colspan=4>{comment}</td></tr>\n"
    )


def mt4_working(ticket: int) -> str:
    return (
        f"<tr><td>{ticket}</td><td>2024.03.04 10:00:00</td><td>sell stop</td><td>0.10</td><td>eurusd</td>"
        "<td>1.09000</td><td>0.00000</td><td>0.00000</td><td>&nbsp;</td><td>1.10100</td><td colspan=4></td></tr>\n"
    )


def mt4_statement(
    closed: str = "",
    opened: str = "",
    working: str = "",
    *,
    currency: str = "USD",
    leverage: str = "1:100",
    closed_pl: str = "0.00",
    deposit: str = "0.00",
    credit: str = "0.00",
    floating: str = "0.00",
    balance: str = "0.00",
    equity: str = "0.00",
    gross: tuple[str, str, str, int] | None = None,
) -> str:
    """A whole statement; `gross` (profit, loss without sign, net, trades) makes it a detailed one."""
    details = ""
    if gross is not None:
        details = (
            "<tr><td colspan=14><b>Details:</b></td></tr>"
            f"<tr><td>Gross Profit:</td><td>{gross[0]}</td><td>Gross Loss:</td><td>{gross[1]}</td>"
            f"<td>Total Net Profit:</td><td>{gross[2]}</td></tr><tr><td>Total Trades:</td><td>{gross[3]}</td></tr>"
        )
    return (
        "<html><head><title>Statement: 1001 - Test</title><style><!-- td { font: 8pt } //--></style></head><body>"
        "<div><b>Test Broker Ltd.</b></div><table><tr align=left><td colspan=2><b>Account: 1001</b></td>"
        f"<td colspan=5><b>Name: Test</b></td><td><b>Currency: {currency}</b></td><td><b>Leverage: {leverage}</b></td>"
        "<td><b>2024 March 5, 18:30</b></td></tr>\n"
        f"<tr><td colspan=13><b>Closed Transactions:</b></td></tr>{MT4_COLUMNS}{closed or NO_TRANSACTIONS}"
        "<tr><td colspan=10>&nbsp;</td><td>0.00</td><td>0.00</td><td>0.00</td><td>0.00</td></tr>"
        f"<tr><td colspan=12><b>Closed P/L:</b></td><td colspan=2><b>{closed_pl}</b></td></tr>"
        f"<tr><td colspan=14><b>Open Trades:</b></td></tr>{MT4_COLUMNS}{opened or NO_TRANSACTIONS}"
        "<tr><td colspan=10>&nbsp;</td><td colspan=2><b>Floating P/L:</b></td>"
        f"<td colspan=2><b>{floating}</b></td></tr>"
        f"<tr><td colspan=14><b>Working Orders:</b></td></tr>{working or NO_TRANSACTIONS}"
        '<tr><td colspan=14 style="font: 1pt arial">&nbsp;</td></tr>'
        "<tr><td colspan=14><b>Summary:</b></td></tr>"
        f"<tr><td>Deposit/Withdrawal:</td><td>{deposit}</td><td>Credit Facility:</td><td>{credit}</td></tr>"
        f"<tr><td>Closed Trade P/L:</td><td>{closed_pl}</td><td>Floating P/L:</td><td>{floating}</td>"
        "<td>Margin:</td><td>0.00</td></tr>"
        f"<tr><td>Balance:</td><td>{balance}</td><td>Equity:</td><td>{equity}</td>"
        f"<td>Free Margin:</td><td>{equity}</td></tr>{details}</table></body></html>\n"
    )


NO_TRANSACTIONS = "<tr align=right><td colspan=13 align=center>No transactions</td></tr>\n"

EN = {
    "facts": ("Name:", "Account:", "Company:", "Date:"),
    "sections": ("Positions", "Orders", "Deals", "Open Positions", "Working Orders", "Results"),
    "time": "Time",
    "price": "Price",
}
DE = {
    "facts": ("Name:", "Konto:", "Unternehmen:", "Datum:"),
    "sections": ("Positionen", "Aufträge", "Abschlüsse", "Offene Positionen", "Aktive Aufträge", "Ergebnisse"),
    "time": "Zeit",
    "price": "Preis",
}


def mt5_deal(ticket, kind, profit=0, balance=0, *, symbol=None, entry=None, lots=None, price=None, order=None,
             commission=0, fee=0, swap=0, comment=None, at="2024.03.04 10:00:00"):  # fmt: skip
    return [at, ticket, symbol, kind, entry, lots, price, order, commission, fee, swap, profit, balance, comment]


def mt5_position(ticket, side, lots, profit, *, symbol="EURUSD", opened="2024.03.04 10:00:00", open_price=1.1,
                 closed="2024.03.04 12:00:00", close_price=1.101, swap=0, commission=0, tp=None):  # fmt: skip
    return [opened, ticket, symbol, side, lots, open_price, None, tp, closed, close_price, commission, swap, profit]


def mt5_open(ticket, side, lots, profit, *, symbol="EURUSD", opened="2024.03.04 10:00:00", open_price=1.1,
             current=1.101, swap=0):  # fmt: skip
    return [opened, ticket, symbol, side, lots, open_price, None, None, current, swap, None, profit, None]


def mt5_order(ticket, volume="0.1 / 0.1", *, tp=None, price="market", state="filled"):
    return ["2024.03.04 10:00:00", ticket, "EURUSD", "buy", volume, price, None, tp, "2024.03.04 10:00:00", state]


def mt5_rows(deals, *, positions=(), opened=(), orders=(), working=(), mode="Hedge", balance=0, credit=0, floating=0,
             equity=0, gross=(0, 0, 0), trades=0, words=EN, with_fee=True):  # fmt: skip
    """The rows of a report's only sheet. `gross` is net, profit, loss as the report states them."""
    name, account, company, date = words["facts"]
    titles = words["sections"]
    time, price = words["time"], words["price"]
    filler = [f"label {number}" for number in range(20)]
    rows = [
        ["Trade History Report"],
        [name, None, None, "Test Trader"],
        [account, None, None, f"2002 (USD, Test-Server, demo, {mode})"],
        [company, None, None, "Test Broker Ltd"],
        [date, None, None, "2024.03.05 18:30"],
    ]
    if positions:
        rows += [[titles[0]], [time, *filler[:4], price, *filler[4:6], time, price, *filler[6:9]], *positions]
    if orders:
        rows += [[titles[1]], [*filler[:10], None, filler[10]], *orders]
    rows += [[titles[2]], filler[: 14 if with_fee else 13]]
    rows += deals if with_fee else [deal[:9] + deal[10:] for deal in deals]
    rows += [[None] * 8 + [0, 0, 0, 0, balance]]
    if opened:
        rows += [[titles[3]], [*filler[:10], None, *filler[10:12]], *opened, [None] * 10 + [0, 0]]
    if working:
        rows += [[titles[4]], [*filler[:10], None, filler[10]], *working]
    rows += [
        ["Balance:", None, None, balance, None, None, "Free Margin:", None, None, equity],
        ["Credit Facility:", None, None, credit, None, None, "Margin:", None, None, 0],
        ["Floating P/L:", None, None, floating, None, None, "Margin Level:", None, None, 0],
        ["Equity:", None, None, equity],
        [],
        [titles[5]],
        ["Net:", None, None, gross[0], "Profit:", None, None, gross[1], "Loss:", None, None, gross[2]],
        ["Profit Factor:", None, None, 1.5],
        ["Recovery Factor:", None, None, 0.5],
        ["Balance Drawdown:"],
        ["Balance Drawdown Absolute:", None, None, 1],
        ["Total Trades:", None, None, trades],
    ]
    return rows


def xlsx(rows) -> bytes:
    workbook = Workbook()
    sheet = workbook.active
    for row in rows:
        sheet.append(row)
    buffer = io.BytesIO()
    workbook.save(buffer)
    return buffer.getvalue()


def mt5_report(deals, **figures) -> bytes:
    return xlsx(mt5_rows(deals, **figures))
