"""Our own deals CSV: what is written is read back equal, and what is wrong is refused by line and field."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements import (
    DealRecord,
    OpenPositionMark,
    Statement,
    StatementFormat,
    StatementSummary,
    read_statement,
    write_deals_csv,
)
from platform_ops.gateways.statements.fields import clean_text
from platform_ops.types import DealEntry, DealKind, Platform, Side

texts = st.text(max_size=40).map(clean_text)
amounts = st.decimals(min_value=-(10**9), max_value=10**9, places=2)
prices = st.decimals(min_value=Decimal("0.5"), max_value=400, places=5)
lots = st.decimals(min_value=0, max_value=1000, places=2)
tickets = st.integers(min_value=1, max_value=2**63 - 1)
moments = st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2099, 1, 1)).map(
    lambda moment: moment.replace(microsecond=0)
)


@st.composite
def deals(draw) -> DealRecord:
    kind = draw(st.sampled_from(DealKind))
    is_trade = kind.is_trade
    return DealRecord(
        row=0,
        ticket=draw(tickets),
        leg=draw(st.integers(0, 1)),
        kind=kind,
        entry=draw(st.sampled_from(DealEntry)) if is_trade else None,
        position=draw(tickets) if is_trade else 0,
        order=draw(st.just(0) | tickets),
        symbol=(draw(texts) or "EURUSD") if is_trade else draw(texts),
        volume_lots=draw(lots),
        price=draw(prices) if is_trade else draw(st.none() | prices),
        time=draw(moments),
        profit=draw(amounts),
        swap=draw(amounts),
        commission=draw(amounts),
        fee=draw(amounts),
        comment=draw(texts),
        price_digits=draw(st.integers(0, 8)),
        open_price=draw(st.none() | prices) if is_trade else None,
        open_time=draw(st.none() | moments) if is_trade else None,
    )


marks = st.builds(
    OpenPositionMark,
    row=st.just(0),
    ticket=tickets,
    position=tickets,
    symbol=texts,
    side=st.sampled_from(Side),
    volume_lots=lots,
    open_time=moments,
    open_price=prices,
    current_price=prices,
    sl=st.none() | prices,
    tp=st.none() | prices,
    swap=amounts,
    commission=amounts,
    taxes=amounts,
    profit=amounts,
    comment=texts,
)
figures = st.none() | amounts
statements = st.builds(
    Statement,
    format=st.just(StatementFormat.DEALS_CSV),
    platform=st.sampled_from(Platform),
    account=tickets.map(str),
    name=texts,
    currency=st.sampled_from(["USD", "JPY", "USDT"]),
    leverage=st.none() | st.integers(1, 5000),
    server_name=texts,
    company=texts,
    as_of=moments,
    deals=st.lists(deals(), max_size=6, unique_by=lambda deal: (deal.ticket, deal.leg)).map(tuple),
    open_positions=st.lists(marks, max_size=3, unique_by=lambda mark: mark.ticket).map(tuple),
    cancelled_orders=st.integers(0, 999),
    working_orders=st.integers(0, 999),
    summary=st.builds(
        StatementSummary,
        **{name: figures for name in StatementSummary.__dataclass_fields__ if name != "total_trades"},
        total_trades=st.none() | st.integers(0, 999),
    ),
    opening_balance=amounts,
    opening_credit=amounts,
    is_hedging=st.sampled_from([True, False, None]),
)


@given(statement=statements)
@hypothesis_settings(max_examples=150, deadline=None)
def test_what_is_written_is_read_back_equal(statement):
    assert read_statement(write_deals_csv(statement), filename="export.csv") == statement


SMALLEST = """backoffice-deals,1
account,77
currency,EUR
platform,mt5
as_of,2024-03-05 18:30
deals,2
open_positions,0

ticket,leg,kind,entry,position,order,symbol,volume_lots,price,time,profit,swap,commission,fee,comment,price_digits,open_price,open_time
1,,balance,,,,,,,2024-03-01 09:00:00,100.00,,,,Deposit,,,
2,0,buy,in,20,20,EURUSD,0.10,1.10000,2024-03-04 10:00:00,,,-0.35,,,5,,

ticket,position,symbol,side,volume_lots,open_time,open_price,current_price,sl,tp,swap,commission,taxes,profit,comment
end
"""


def read(text: str) -> Statement:
    return read_statement(text.encode(), filename="deals.csv")


def test_smallest_file_needs_only_the_required_facts():
    statement = read(SMALLEST)
    assert (statement.account, statement.currency, statement.platform) == ("77", "EUR", Platform.MT5)
    assert (statement.opening_balance, statement.leverage, statement.is_hedging) == (Decimal(0), None, None)
    assert [(deal.row, deal.kind, deal.money) for deal in statement.deals] == [
        (10, DealKind.BALANCE, Decimal("100.00")),
        (11, DealKind.BUY, Decimal("-0.35")),
    ]
    assert statement.summary == StatementSummary()


@pytest.mark.parametrize(
    ("old", "new", "row", "field"),
    [
        ("backoffice-deals,1", "backoffice-deals,2", 1, "backoffice-deals"),
        ("account,77", "account,x7", 2, "account"),
        ("account,77\n", "", None, "account"),
        ("currency,EUR", "currency,euro", 3, "currency"),
        ("platform,mt5", "platform,mt6", 4, "platform"),
        ("as_of,2024-03-05 18:30", "as_of,today", 5, "as_of"),
        ("deals,2\n", "deals,3\n", None, "deals"),
        ("deals,2\n", "deals,2\ndeals,2\n", 7, "deals"),
        ("deals,2\n", "deals,2\nmood,good\n", 7, "mood"),
        ("ticket,leg,kind", "leg,ticket,kind", 9, "columns"),
        (",balance,", ",gift,", 10, "kind"),
        (",balance,,", ",balance,in,", 10, "entry"),
        ("2,0,buy,in", "2,0,buy,", 11, "entry"),
        ("2,0,buy,in", "2,2,buy,in", 11, "leg"),
        ("2,0,buy,in", "0,0,buy,in", 11, "ticket"),
        (",EURUSD,", ",,", 11, "symbol"),
        (",0.10,", ",-0.10,", 11, "volume_lots"),
        (",1.10000,", ",1 100,", 11, "price"),
        (",100.00,", ",1e2,", 10, "profit"),
        (",100.00,", ",100.000000001,", 10, "profit"),
        (",Deposit,,,", ",Deposit,,1.1,", 10, "open_price"),
        (",Deposit,", ',"Dep\nosit",', 11, "comment"),
        (",5,,\n", ",5,,,\n", 11, "columns"),
        (",5,,\n", ",11,,\n", 11, "price_digits"),
        (",5,,\n", ",5,110000,\n", 11, "open_price"),
        ("end\n", "", 13, "file"),
    ],
)
def test_a_wrong_value_is_refused_with_line_and_field(old, new, row, field):
    assert old in SMALLEST
    with pytest.raises(InvalidInput) as refused:
        read(SMALLEST.replace(old, new, 1))
    assert (refused.value.details["row"], refused.value.details["field"]) == (row, field)


def test_conflicting_ticket_is_refused_and_a_copy_counts_once():
    line = "1,,balance,,,,,,,2024-03-01 09:00:00,100.00,,,,Deposit,,,\n"
    trade = "2,0,buy,in,20,20,EURUSD,0.10,1.10000,2024-03-04 10:00:00,,,-0.35,,,5,,\n"
    assert len(read(SMALLEST.replace(trade, line)).deals) == 1
    with pytest.raises(InvalidInput, match="also stands in row 10"):
        read(SMALLEST.replace(trade, line.replace("100.00", "200.00")))


def test_texts_that_spreadsheets_would_run_are_written_harmless():
    statement = read(SMALLEST.replace(",Deposit,", ",'=1+1,"))
    assert statement.deals[0].comment == "=1+1"
    assert b",'=1+1," in write_deals_csv(statement)


def test_example_of_the_documentation_is_read():
    page = (Path(settings.BASE_DIR) / "docs" / "formats" / "deals_csv.md").read_text(encoding="utf-8")
    statement = read(page.split("```\n")[1])
    assert [deal.kind for deal in statement.deals] == [DealKind.BALANCE, DealKind.BUY]
