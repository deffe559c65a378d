"""MT4 statements in the shapes that no sample shows: close-by, credit, stop-out, period statements, bad rows."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements import StatementFormat, compare, read_statement, summarise_statement
from platform_ops.types import DealEntry, DealKind, Side
from tests.contracts.statement_builders import (
    mt4_cancelled,
    mt4_money,
    mt4_statement,
    mt4_trade,
    mt4_working,
)


def read(page: str | bytes):
    data = page.encode() if isinstance(page, str) else page
    return read_statement(data, filename="statement.htm")


def positions_of(statement) -> dict[int, int]:
    return {deal.ticket: deal.position for deal in statement.deals}


def test_money_costs_and_open_trades_add_up_to_the_stated_figures():
    # given: a deposit, a withdrawal, credit, a win, a loss that costs make a loss, a zero, an open trade
    page = mt4_statement(
        closed=mt4_money(1, "balance", "1 000.00", "Deposit")
        + mt4_money(2, "balance", "-100.00", "Withdrawal")
        + mt4_money(3, "credit", "50.00", "Welcome credit")
        + mt4_trade(11, "buy", "0.10", "10.00", commission="-0.70", swap="-0.10", taxes="-0.20")
        + mt4_trade(12, "sell", "0.10", "0.50", commission="-0.70", comment="[so: 29.4%/10.1/34.2]")
        + mt4_trade(13, "sell", "0.10", "0.00")
        + mt4_cancelled(14),
        opened=mt4_trade(15, "buy", "0.20", "-5.00", closed="&nbsp;", swap="-0.30", commission="-1.40"),
        working=mt4_working(16),
        closed_pl="8.80",
        deposit="900.00",
        credit="50.00",
        floating="-6.70",
        balance="908.80",
        equity="952.10",
        gross=("9.00", "0.20", "8.80", 3),
    )
    # when
    statement = read(page)
    ours = summarise_statement(statement, currency_digits=2)
    # then
    assert compare(statement.summary, ours) == []
    assert statement.format is StatementFormat.MT4_DETAILED
    assert (ours.deposits, ours.withdrawals, ours.credit) == (Decimal(1000), Decimal(-100), Decimal(50))
    assert (ours.gross_profit, ours.gross_loss, ours.closed_trades) == (Decimal("9.00"), Decimal("-0.20"), 3)
    assert (ours.commission, ours.swap, ours.taxes) == (Decimal("-1.40"), Decimal("-0.10"), Decimal("-0.20"))
    assert (ours.balance_operations, ours.floating_pl, ours.equity) == (3, Decimal("-6.70"), Decimal("952.10"))
    assert (statement.cancelled_orders, statement.working_orders) == (1, 1)
    assert (statement.opening_balance, statement.opening_credit) == (0, 0)
    assert (statement.account, statement.name, statement.company) == ("1001", "Test", "Test Broker Ltd.")
    assert (statement.leverage, statement.as_of) == (100, datetime(2024, 3, 5, 18, 30))


def test_a_closed_ticket_is_an_opening_without_money_and_a_closing_with_all_of_it():
    statement = read(mt4_statement(closed=mt4_trade(11, "buy", "0.10", "10.00", commission="-0.70", comment="[tp]")))
    opening, closing = statement.deals
    assert (opening.leg, opening.kind, opening.entry, opening.price) == (
        0,
        DealKind.BUY,
        DealEntry.IN,
        Decimal("1.1"),
    )
    assert (opening.money, opening.comment, opening.open_price) == (0, "", None)
    assert (closing.leg, closing.kind, closing.entry, closing.price) == (
        1,
        DealKind.SELL,
        DealEntry.OUT,
        Decimal("1.101"),
    )
    assert (closing.money, closing.comment) == (Decimal("9.30"), "[tp]")
    assert (closing.open_price, closing.open_time) == (Decimal("1.1"), datetime(2024, 3, 4, 10, 0))
    assert (closing.position, closing.order, closing.price_digits) == (11, 11, 5)


def test_the_comment_has_no_magic_number_with_or_without_a_second_row():
    closed = (
        mt4_trade(11, "buy", "0.10", "1.00", magic=8013, comment="trend[sl]")
        + mt4_cancelled(12)
        + "<tr><td colspan=9>&nbsp;</td><td>8013</td><td colspan=3>cancelled</td></tr>"
        + mt4_trade(13, "buy", "0.10", "1.00", comment="#8013 trend[tp]")
    )
    statement = read(mt4_statement(closed=closed))
    assert [deal.comment for deal in statement.deals if deal.leg == 1] == ["trend[sl]", "trend[tp]"]


def test_partial_close_chain_of_three_shares_the_first_ticket():
    closed = (
        mt4_trade(30, "buy", "0.01", "1.00", comment="from #20")
        + mt4_trade(10, "buy", "0.05", "5.00", comment="to #20")
        + mt4_trade(20, "buy", "0.02", "2.00", comment="from #10[sl]")
        + mt4_trade(40, "buy", "0.02", "2.00")
    )
    assert positions_of(read(mt4_statement(closed=closed))) == {10: 10, 20: 10, 30: 10, 40: 40}


def test_chain_whose_first_ticket_is_not_in_the_file_is_known_from_comments():
    closed = mt4_trade(30, "buy", "0.01", "1.00", comment="from #20")
    opened = mt4_trade(40, "buy", "0.01", "1.00", closed="&nbsp;", comment="split from #30")
    statement = read(mt4_statement(closed=closed, opened=opened))
    assert positions_of(statement) == {30: 20, 40: 20}
    assert [(mark.ticket, mark.position) for mark in statement.open_positions] == [(40, 20)]


def test_close_by_keeps_the_opposite_orders_apart_and_joins_the_rest():
    # given: 0.03 bought closed by 0.01 sold; the rest of 0.02 lives on under ticket 12 with the opening of 10
    closed = (
        mt4_trade(10, "buy", "0.01", "1.00", comment="partial close")
        + mt4_trade(11, "sell", "0.00", "0.00", opened="2024.03.04 11:00:00", comment="close hedge by #10")
        + mt4_trade(12, "buy", "0.02", "2.00", closed="2024.03.04 15:00:00")
    )
    # when / then
    assert positions_of(read(mt4_statement(closed=closed))) == {10: 10, 11: 11, 12: 10}


def test_link_to_an_opposite_order_joins_nothing():
    closed = mt4_trade(10, "buy", "0.01", "1.00", comment="to #11") + mt4_trade(11, "sell", "0.01", "1.00")
    assert positions_of(read(mt4_statement(closed=closed))) == {10: 10, 11: 11}


def test_period_statement_opens_with_what_the_account_held_before():
    statement = read(
        mt4_statement(
            closed=mt4_trade(11, "buy", "0.10", "10.00"),
            closed_pl="10.00",
            balance="2 510.00",
            equity="2 530.00",
            credit="20.00",
        )
    )
    assert (statement.opening_balance, statement.opening_credit) == (Decimal("2500.00"), Decimal("20.00"))
    assert compare(statement.summary, summarise_statement(statement, currency_digits=2)) == []


def test_interest_and_dividend_rows_are_balance_as_mt4_books_them():
    statement = read(
        mt4_statement(
            closed=mt4_money(1, "balance", "-12", "Interest") + mt4_money(2, "balance", "3", "Dividend SP500"),
            currency="JPY",
            deposit="-9",
            balance="991",
            equity="991",
        )
    )
    ours = summarise_statement(statement, currency_digits=0)
    assert [deal.kind for deal in statement.deals] == [DealKind.BALANCE, DealKind.BALANCE]
    assert (ours.deposits, ours.withdrawals, ours.balance) == (Decimal(3), Decimal(-12), Decimal(991))
    assert compare(statement.summary, ours) == []


def test_statement_without_taxes_column_is_read():
    row = mt4_trade(11, "buy", "0.10", "10.00", swap="-1.00", taxes="TAXES").replace("<td>TAXES</td>", "")
    closing = read(mt4_statement(closed=row)).deals[1]
    assert (closing.fee, closing.swap, closing.profit) == (Decimal(0), Decimal("-1.00"), Decimal("10.00"))


def test_rows_that_disagree_with_the_summary_are_read_and_reported():
    statement = read(
        mt4_statement(
            closed=mt4_trade(11, "buy", "0.10", "10.00"),
            closed_pl="11.00",
            balance="11.00",
            equity="11.00",
            gross=("11.00", "0.00", "11.00", 2),
        )
    )
    found = {item.field for item in compare(statement.summary, summarise_statement(statement, currency_digits=2))}
    assert found == {"closed_pl", "balance", "equity", "gross_profit", "total_net_profit", "total_trades"}


def test_identical_repetition_counts_once_and_a_conflict_names_both_rows():
    once = mt4_trade(11, "buy", "0.10", "10.00") + mt4_money(1, "balance", "5.00")
    assert len(read(mt4_statement(closed=once + once)).deals) == 3
    with pytest.raises(InvalidInput) as refused:
        read(mt4_statement(closed=mt4_trade(11, "buy", "0.10", "10.00") + mt4_trade(11, "buy", "0.10", "10.01")))
    assert (refused.value.details["row"], refused.value.details["value"]) == (5, "11")
    assert "row 4" in refused.value.message
    for closed, opened in (
        (mt4_trade(11, "buy", "0.10", "10.00"), mt4_trade(11, "buy", "0.10", "10.00", closed="&nbsp;")),
        (mt4_trade(11, "buy", "0.10", "10.00") + mt4_money(11, "balance", "5.00"), ""),
    ):
        with pytest.raises(InvalidInput, match="also stands in row 4"):
            read(mt4_statement(closed=closed, opened=opened))


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (mt4_trade(11, "buy", "0.10", "1O.00"), "Profit"),
        (mt4_trade(11, "buy", "0,1x", "1.00"), "Size"),
        (mt4_trade(11, "buy", "-0.10", "1.00"), "Size"),
        (mt4_trade(11, "buy", "0.10", "1.00", swap="1 86 728"), "Swap"),
        (mt4_trade(11, "buy", "0.10", "1.00", tp="70507"), "T / P"),
        (mt4_trade(11, "buy", "0.10", "1.00", close_price="110100"), "Close Price"),
        (mt4_trade(11, "buy", "0.10", "1.00", open_price="1,101"), "Price"),
        (mt4_trade(11, "buy", "0.10", "NaN"), "Profit"),
        (mt4_trade(11, "buy", "0.10", "1e9"), "Profit"),
        (mt4_trade(11, "buy", "0.10", "123456789012345678.00"), "Profit"),
        (mt4_trade(11, "buy", "0.10", "1.00", closed="2024.13.04 10:00:00"), "Close Time"),
        (mt4_trade(11, "buy", "0.10", "1.00", symbol="&nbsp;"), "Item"),
        (mt4_trade(0, "buy", "0.10", "1.00"), "Ticket"),
        (mt4_trade(11, "bought", "0.10", "1.00"), "Type"),
        (mt4_money(1, "balance", "abc"), "Profit"),
    ],
)
def test_a_value_that_cannot_be_read_is_refused_with_row_and_field(row, field):
    with pytest.raises(InvalidInput) as refused:
        read(mt4_statement(closed=row))
    assert (refused.value.details["row"], refused.value.details["field"]) == (4, field)
    assert refused.value.code == "invalid_input"


@pytest.mark.parametrize(
    ("cut", "field"),
    [
        ("<tr><td colspan=14><b>Open Trades:</b></td></tr>", "Open trades"),
        ("<tr><td colspan=14><b>Summary:</b></td></tr>", "Summary"),
        ("<td>Balance:</td><td>0.00</td>", "Balance"),
        ("<td>Total Net Profit:</td><td>0.00</td>", "Total Net Profit"),
        ("<b>Account: 1001</b>", "Account"),
        ("<b>2024 March 5, 18:30</b>", "Date"),
        ("</html>", "file"),
    ],
)
def test_a_missing_part_refuses_the_file(cut, field):
    page = mt4_statement(gross=("0.00", "0.00", "0.00", 0))
    assert cut in page
    with pytest.raises(InvalidInput) as refused:
        read(page.replace(cut, ""))
    assert refused.value.details["field"] == field


@pytest.mark.parametrize(
    ("encoding", "comment", "expected"),
    [
        ("cp1251", "Ёлка по тренду", "Ёлка по тренду"),
        ("gb18030", "随时更改密码，谨慎", "随时更改密码，谨慎"),
        ("utf-8", "Übertrag €", "Übertrag €"),
        ("utf-8-sig", "入金", "入金"),
        ("utf-16", "Пополнение", "Пополнение"),
    ],
)
def test_comments_are_read_in_whatever_encoding_the_terminal_saved(encoding, comment, expected):
    statement = read(mt4_statement(closed=mt4_money(1, "balance", "5.00", comment)).encode(encoding))
    assert (statement.deals[0].comment, statement.deals[0].profit) == (expected, Decimal("5.00"))


def test_undecodable_and_unstorable_bytes_survive_in_comments_and_never_touch_money():
    page = mt4_statement(closed=mt4_money(1, "balance", "1 000.00", "COMMENT"), deposit="1 000.00", balance="1 000.00")
    data = page.encode().replace(b"COMMENT", b"\xcb\xe6\xca\xb1\xb8\xfc\xb8\x00\xff").replace(b"1 000", b"1\xa0000")
    statement = read(data)
    assert statement.deals[0].profit == Decimal(1000)
    comment = statement.deals[0].comment
    assert comment.startswith("随时更")
    assert "\x00" not in comment
    assert comment.encode("utf-8").decode("utf-8") == comment


def test_sides_and_symbols_of_open_trades():
    opened = mt4_trade(7, "sell", "1.50", "-5 000.00", closed="&nbsp;", symbol="XAUUSD#", sl="1.20000", magic=1)
    (mark,) = read(mt4_statement(opened=opened)).open_positions
    assert (mark.side, mark.symbol, mark.volume_lots, mark.sl, mark.tp) == (
        Side.SELL,
        "XAUUSD#",
        Decimal("1.5"),
        Decimal("1.2"),
        None,
    )
    assert mark.profit == Decimal(-5000)


def test_leverage_placeholder_means_unknown():
    assert read(mt4_statement(leverage="<!--LEVERAGE-->")).leverage is None
