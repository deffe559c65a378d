"""The figures of a statement, worked out again from its records.

Pure arithmetic over records, whether freshly read or loaded back from the database. Both platforms count a closing
deal's net (profit, swap, commission, fee or taxes) as one trade, zero as a profit. They differ in two things: MT5
charges commission on opening deals, which all goes to gross loss, and MT4's floating figure includes swap and
commission of open trades while MT5's leaves the swap to equity.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from platform_ops.gateways.statements.types import (
    ZERO,
    DealRecord,
    Difference,
    OpenPositionMark,
    RecomputedSummary,
    Statement,
    StatementSummary,
)
from platform_ops.types import DealKind, Platform


def summarise(
    deals: Sequence[DealRecord],
    marks: Sequence[OpenPositionMark],
    *,
    platform: Platform,
    currency_digits: int,
    opening_balance: Decimal,
    opening_credit: Decimal = ZERO,
) -> RecomputedSummary:
    """Recompute every figure that the records determine. Sums are exact; `currency_digits` only pads them."""
    trades = [deal for deal in deals if deal.kind.is_trade]
    money_rows = [deal for deal in deals if not deal.kind.is_trade]
    closings = [deal for deal in trades if deal.entry is None or deal.entry.closes]
    results = [deal.money for deal in closings]
    gross_profit = _total(result for result in results if result >= 0)
    gross_loss = _total(result for result in results if result < 0)
    gross_loss += _total(deal.money for deal in trades if deal.entry is not None and not deal.entry.closes)

    transfers = [deal.money for deal in money_rows if deal.kind is DealKind.BALANCE]
    deposits = _total(amount for amount in transfers if amount > 0)
    withdrawals = _total(amount for amount in transfers if amount < 0)
    other = _total(d.money for d in money_rows if d.kind is not DealKind.BALANCE and not d.kind.is_credit)
    credit = opening_credit + _total(deal.money for deal in money_rows if deal.kind.is_credit)
    closed_pl = gross_profit + gross_loss
    balance = opening_balance + closed_pl + deposits + withdrawals + other

    open_costs = _total(mark.swap + mark.commission + mark.taxes for mark in marks)
    floating = _total(mark.profit for mark in marks)
    equity = balance + credit + floating + open_costs
    if platform is Platform.MT4:
        floating += open_costs

    def padded(amount: Decimal) -> Decimal:
        return pad_decimals(amount, currency_digits)

    return RecomputedSummary(
        closed_trades=len(closings),
        gross_profit=padded(gross_profit),
        gross_loss=padded(gross_loss),
        closed_pl=padded(closed_pl),
        swap=padded(_total(deal.swap for deal in trades)),
        commission=padded(_total(deal.commission for deal in trades)),
        taxes=padded(_total(deal.fee for deal in trades)),
        deposits=padded(deposits),
        withdrawals=padded(withdrawals),
        credit=padded(credit),
        balance=padded(balance),
        floating_pl=padded(floating),
        equity=padded(equity),
        balance_operations=len(money_rows),
        other_operations=padded(other),
    )


def summarise_statement(statement: Statement, *, currency_digits: int) -> RecomputedSummary:
    """`summarise` for a statement just read."""
    return summarise(
        statement.deals,
        statement.open_positions,
        platform=statement.platform,
        currency_digits=currency_digits,
        opening_balance=statement.opening_balance,
        opening_credit=statement.opening_credit,
    )


def compare(stated: StatementSummary, recomputed: RecomputedSummary) -> list[Difference]:
    """Where the file's own figures and its rows disagree; figures that the file does not state are passed over.

    Margin and free margin are not compared: they depend on rates that no statement prints.
    """
    pairs = (
        ("closed_pl", stated.closed_pl, recomputed.closed_pl),
        ("floating_pl", stated.floating_pl, recomputed.floating_pl),
        ("deposit_withdrawal", stated.deposit_withdrawal, recomputed.deposit_withdrawal),
        ("credit", stated.credit, recomputed.credit),
        ("balance", stated.balance, recomputed.balance),
        ("equity", stated.equity, recomputed.equity),
        ("gross_profit", stated.gross_profit, recomputed.gross_profit),
        ("gross_loss", stated.gross_loss, recomputed.gross_loss),
        ("total_net_profit", stated.total_net_profit, recomputed.closed_pl),
        (
            "total_trades",
            None if stated.total_trades is None else Decimal(stated.total_trades),
            Decimal(recomputed.closed_trades),
        ),
    )
    return [
        Difference(field=field, stated=said, recomputed=ours)
        for field, said, ours in pairs
        if said is not None and said != ours
    ]


def pad_decimals(amount: Decimal, digits: int) -> Decimal:
    """The same amount written with at least `digits` decimals; it never rounds, so no difference can hide."""
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and -exponent < digits:
        amount = amount.quantize(Decimal(1).scaleb(-digits))
    return amount if amount else amount.copy_abs()


def _total(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)
