"""The figures of a stored statement, worked out from what the database holds, and compared with what the file states."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.currency import Currency
from backoffice.kernel.money import round_money
from platform_ops.gateways.statements import (
    DealRecord,
    RecomputedSummary,
    Statement,
    StatementSummary,
    compare,
    summarise,
)
from platform_ops.gateways.statements import OpenPositionMark as ReadMark
from platform_ops.models import CurrentDeal, OpenPositionMark, StatementImport
from platform_ops.types import DealEntry, DealKind, Side

ZERO = Decimal(0)
KEYS_PER_QUERY = 10_000
FEWEST_DECIMALS_SHOWN = 2
AMOUNTS = (
    "gross_profit",
    "gross_loss",
    "closed_pl",
    "swap",
    "commission",
    "deposits",
    "withdrawals",
    "balance",
    "equity",
)


@dataclass(frozen=True, slots=True)
class CheckedFigures:
    """`figures` as they are shown, amounts as text; `differences` where the file states something else."""

    figures: dict[str, Any]
    differences: list[dict[str, str]]


def check_stored_statement(
    *, stored: StatementImport, statement: Statement, zone: ServerZone, stale: Collection[tuple[int, int]]
) -> CheckedFigures:
    """Recomputes the statement's own summary from the deals and marks that are stored now.

    *stale* names the rows that a later source tells otherwise: there the books rightly differ from this older file, and
    its own row is taken to check the file against itself.
    """
    deals = _read_back(stored=stored, statement=statement, stale=stale)
    marks = [_mark_of(mark, zone) for mark in OpenPositionMark.objects.filter(statement=stored)]
    assert stored.opening_balance is not None
    digits = Currency.of(statement.currency).digits
    summary = summarise(
        deals,
        marks,
        platform=statement.platform,
        currency_digits=digits,
        opening_balance=stored.opening_balance,
        opening_credit=stored.opening_credit or ZERO,
    )
    return CheckedFigures(
        figures=figures_of(statement, summary), differences=differences_of(statement.summary, summary)
    )


def figures_of(statement: Statement, summary: RecomputedSummary) -> dict[str, Any]:
    """Counts, and amounts as text with the digits of the account's currency; `symbols` as the server names them."""
    digits = Currency.of(statement.currency).digits
    symbols = {deal.symbol for deal in statement.deals} | {mark.symbol for mark in statement.open_positions}
    return {
        "closed_trades": summary.closed_trades,
        "open_positions": len(statement.open_positions),
        "cancelled_orders": statement.cancelled_orders,
        "balance_operations": summary.balance_operations,
        **{name: str(round_money(getattr(summary, name), digits)) for name in AMOUNTS},
        "symbols": sorted(symbols - {""}),
    }


def differences_of(stated: StatementSummary, recomputed: RecomputedSummary) -> list[dict[str, str]]:
    """Where the file disagrees with its rows, as text."""
    return [
        {"field": found.field, "stated": str(found.stated), "recomputed": _shown(found.recomputed)}
        for found in compare(stated, recomputed)
    ]


def _shown(amount: Decimal) -> str:
    """An amount without the zeros that only its column added; nothing is rounded away from a difference."""
    plain = f"{amount:f}"
    whole, _, decimals = plain.partition(".")
    decimals = decimals.rstrip("0")
    return f"{whole}.{decimals.ljust(FEWEST_DECIMALS_SHOWN, '0')}" if decimals or "." in plain else whole


def _read_back(
    *, stored: StatementImport, statement: Statement, stale: Collection[tuple[int, int]]
) -> list[DealRecord]:
    """The stored rows under the keys that the file holds. A row that is not stored is missing here, and will show."""
    told = {(deal.ticket, deal.leg): deal for deal in statement.deals}
    tickets = sorted({deal.ticket for deal in statement.deals})
    found: list[DealRecord] = []
    for start in range(0, len(tickets), KEYS_PER_QUERY):
        rows = CurrentDeal.objects.filter(
            server_id=stored.server_id,
            account_id=stored.account_id,
            ticket__in=tickets[start : start + KEYS_PER_QUERY],
        )
        for row in rows:
            record = told.get((row.ticket, row.leg))
            if record is None:
                continue  # A later file closed a ticket that this one shows open.
            found.append(record if (row.ticket, row.leg) in stale else _stored_record(record, row))
    return found


def _stored_record(record: DealRecord, row: CurrentDeal) -> DealRecord:
    """The record with every figure that counts taken from the database."""
    return replace(
        record,
        kind=DealKind(row.kind),
        entry=None if row.entry is None else DealEntry(row.entry),
        volume_lots=row.volume_lots,
        price=row.price,
        profit=row.profit,
        swap=row.swap,
        commission=row.commission,
        fee=row.fee,
    )


def _mark_of(mark: OpenPositionMark, zone: ServerZone) -> ReadMark:
    return ReadMark(
        row=0,
        ticket=mark.ticket,
        position=mark.position_ticket,
        symbol=mark.symbol_name,
        side=Side(mark.side),
        volume_lots=mark.volume_lots,
        open_time=zone.to_local(mark.opened_at),
        open_price=mark.open_price,
        current_price=mark.current_price,
        sl=None,
        tp=None,
        swap=mark.swap,
        commission=mark.commission,
        taxes=mark.taxes,
        profit=mark.profit,
        comment="",
    )
