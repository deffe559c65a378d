"""Small MT4 statements whose own summary is right, for tests that care about what is booked from them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from tests.contracts.statement_builders import mt4_money, mt4_statement, mt4_trade


@dataclass(frozen=True)
class Ticket:
    """A bought order; open while `closed` is empty."""

    ticket: int
    profit: str = "5.00"
    lots: str = "0.10"
    comment: str = ""
    symbol: str = "eurusd"
    opened: str = "2024.03.04 10:00:00"
    closed: str = "2024.03.04 12:00:00"

    def row(self) -> str:
        """The HTML row."""
        return mt4_trade(
            self.ticket, "buy", self.lots, self.profit, comment=self.comment, symbol=self.symbol, opened=self.opened,
            closed=self.closed or "&nbsp;",
        )  # fmt: skip


def open_ticket(ticket: int, *, lots: str = "0.10", profit: str = "2.00", comment: str = "") -> Ticket:
    """A ticket that is still open."""
    return Ticket(ticket, profit=profit, lots=lots, comment=comment, closed="")


def statement_of(
    *tickets: Ticket,
    deposit: str = "1000.00",
    printed: str = "2024 March 5, 18:30",
    account: str = "1001",
    opening: str = "0.00",
    stated_closed: str | None = None,
) -> bytes:
    """A statement with one deposit (none when it is zero) and the tickets; *opening* was there before."""
    closed = [ticket for ticket in tickets if ticket.closed]
    opened = [ticket for ticket in tickets if not ticket.closed]
    total = sum((Decimal(ticket.profit) for ticket in closed), Decimal("0.00"))
    floating = sum((Decimal(ticket.profit) for ticket in opened), Decimal("0.00"))
    balance = Decimal(opening) + total + Decimal(deposit)
    money = mt4_money(1, "balance", deposit) if Decimal(deposit) else ""
    text = mt4_statement(
        money + "".join(ticket.row() for ticket in closed),
        "".join(ticket.row() for ticket in opened),
        closed_pl=stated_closed or str(total),
        deposit=deposit,
        floating=str(floating),
        balance=str(balance),
        equity=str(balance + floating),
    )
    return text.replace("2024 March 5, 18:30", printed).replace("1001", account).encode()
