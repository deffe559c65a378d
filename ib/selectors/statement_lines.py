"""What a statement is made of, line by line: the file that adds up to the cent.

A statement counts what was booked in its days, whatever day a trade is of: a correction of an earlier month stands in the
statement of the month in which it was booked. Everything without a line of its own (booked by hand, or late into days that
were stated before) is one row with its sum, so that the rows always add up to what the statement says was earned.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection

from backoffice.core.types import Actor
from ib.models import CommissionAdjustment, CommissionStatement
from ib.selectors.commissions import booked_lines
from ib.selectors.partners import check_own_or_staff
from ib.selectors.period_lines import own_period_lines
from ib.statement_rules import PART_TITLES

ZERO = Decimal(0)
ON_TRADES, BY_PERIOD, GOODWILL = "ib.settlement_batch", "ib.period_settlement", "ib.adjustment"


@dataclass(frozen=True, slots=True)
class StatementLine:
    """One line, or a sum that has no lines. `day` is the day it belongs to, `booked_day` that of the ledger's entry."""

    what: str
    reference: str
    booked_day: date | None
    day: date | None
    closed_at: datetime | None
    ticket: int | None
    source: str
    symbol: str
    lots: Decimal | None
    amount: Decimal
    currency: str


def statement_lines(*, actor: Actor, statement: CommissionStatement) -> list[StatementLine]:
    """Lines of a statement by source, each as its partner may read it. Their amounts add up to `statement.earned`."""
    check_own_or_staff(actor, statement.partner, "ib.view_statements")
    first = _first_day(statement)
    rows = [*_on_trades(statement, first, actor), *_by_period(statement, first, actor), *_goodwill(statement, first)]
    by_source: dict[str, Decimal] = {}
    for row in rows:
        by_source[row.what] = by_source.get(row.what, ZERO) + row.amount
    for source, amount in statement.parts:
        title = PART_TITLES.get(source, source)
        rest = Decimal(amount) - by_source.pop(title, ZERO)
        if rest:
            rows.append(_sum(title, rest, statement))
    return rows


def _first_day(statement: CommissionStatement) -> date:
    """The day after the statement before; the first one counts everything before it."""
    before = CommissionStatement.objects.filter(
        partner_id=statement.partner_id, currency=statement.currency, number=statement.number - 1
    ).first()
    return before.to_day + timedelta(days=1) if before is not None else date.min


def _on_trades(statement: CommissionStatement, first: date, actor: Actor) -> list[StatementLine]:
    lines = booked_lines(
        actor=actor, partner=statement.partner, currency=statement.currency, first=first, last=statement.to_day
    )
    return [
        StatementLine(
            PART_TITLES[ON_TRADES], line.reference, booked_day, line.day, line.closed_at, line.ticket, line.source,
            line.symbol, line.lots, line.amount, line.currency,
        )
        for line, booked_day in lines
    ]  # fmt: skip


def _by_period(statement: CommissionStatement, first: date, actor: Actor) -> list[StatementLine]:
    lines = own_period_lines(actor=actor, partner=statement.partner).filter(
        currency=statement.currency, booked_day__range=(first, statement.to_day)
    )
    return [
        StatementLine(
            PART_TITLES[BY_PERIOD], line.reference, line.booked_day, line.day, None, None,
            f"{line.get_kind_display()} {line.client_reference or ''}".strip(), "", None, line.amount, line.currency,  # type: ignore[attr-defined]
        )
        for line in lines.order_by("booked_day", "pk")
    ]  # fmt: skip


def _goodwill(statement: CommissionStatement, first: date) -> list[StatementLine]:
    given = CommissionAdjustment.objects.filter(
        partner_id=statement.partner_id, currency=statement.currency, booked_day__range=(first, statement.to_day)
    )
    return [
        StatementLine(
            PART_TITLES[GOODWILL], f"G-{item.pk}", item.booked_day, item.booked_day, None, None, "", "", None, item.amount,
            item.currency,
        )
        for item in given.order_by("booked_day", "pk")
    ]  # fmt: skip


def _sum(title: str, amount: Decimal, statement: CommissionStatement) -> StatementLine:
    return StatementLine(title, "", None, None, None, None, "", "", None, amount, statement.currency)


def count_lines(statement: CommissionStatement) -> int:
    """How many lines on trades there are, before any is read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM ib_commissionline WHERE partner_id = %s AND currency = %s AND booked_day BETWEEN %s AND %s",
            [statement.partner_id, statement.currency, _first_day(statement), statement.to_day],
        )
        return int(cursor.fetchone()[0])
