"""MT5 reports in the shapes that no sample shows: partial closes, close-by, reversals, other money, other languages."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import pytest

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements import compare, read_statement, summarise_statement
from platform_ops.gateways.statements.positions import weighted_price
from platform_ops.types import DealEntry, DealKind
from tests.contracts.statement_builders import (
    DE,
    mt5_deal,
    mt5_open,
    mt5_order,
    mt5_position,
    mt5_report,
    mt5_rows,
    xlsx,
)

T = "2024.03.04 {}:00:00".format


def read(data: bytes):
    return read_statement(data, filename="report.xlsx")


def trade(ticket, kind, entry, lots, order, *, hour=10, price=1.1, profit=0, symbol="EURUSD", **rest):
    return mt5_deal(ticket, kind, profit, symbol=symbol, entry=entry, lots=lots, price=price, order=order,
                    at=T(hour), **rest)  # fmt: skip


def links(statement) -> dict[int, tuple]:
    return {
        deal.ticket: (deal.position, deal.open_price)
        for deal in statement.deals
        if deal.entry is not None and deal.entry.closes
    }


def test_every_kind_of_money_finds_its_figure():
    # given: 22 rows of money around one trade; in-commission goes to gross loss, dividends to neither
    deals = [
        mt5_deal(1, "balance", 1000, 1500, comment="Deposit"),
        mt5_deal(2, "balance", -100, 1400),
        mt5_deal(3, "credit", 50, 1400),
        mt5_deal(4, "dividend", -0.56, 1399.44, symbol="SP500", entry="in", comment="SP500 div. 0.54 USD / lot"),
        mt5_deal(5, "interest", 1.06, 1400.5),
        mt5_deal(6, "correction", 0.5, 1401),
        trade(7, "buy", "in", "0.1", 70, commission=-0.35, balance=1400.65),
        trade(8, "sell", "out", "0.1", 71, hour=12, price=1.101, profit=10, commission=-0.35, fee=-0.05, swap=-0.1,
              balance=1410.15, comment="[so 18.80%/0.94/5.00]"),
    ]  # fmt: skip
    data = mt5_report(
        deals,
        positions=[mt5_position(70, "buy", "0.1", 10, swap=-0.1, commission=-0.7)],
        balance=1410.15,
        credit=50,
        equity=1460.15,
        gross=(9.15, 9.5, -0.35),
        trades=1,
    )
    # when
    statement = read(data)
    ours = summarise_statement(statement, currency_digits=2)
    # then
    assert compare(statement.summary, ours) == []
    assert statement.opening_balance == Decimal(500)
    assert (ours.deposits, ours.withdrawals, ours.credit) == (Decimal(1000), Decimal(-100), Decimal(50))
    assert (ours.other_operations, ours.balance_operations) == (Decimal(1), 6)
    assert (ours.gross_profit, ours.gross_loss) == (Decimal("9.50"), Decimal("-0.35"))
    assert (ours.commission, ours.swap, ours.taxes) == (Decimal("-0.70"), Decimal("-0.10"), Decimal("-0.05"))
    assert [deal.kind for deal in statement.deals[3:6]] == [DealKind.DIVIDEND, DealKind.INTEREST, DealKind.CORRECTION]
    assert statement.deals[3].entry is None
    assert statement.deals[7].comment == "[so 18.80%/0.94/5.00]"
    assert links(statement) == {8: (70, Decimal("1.1"))}


def test_floating_leaves_open_swap_to_equity():
    statement = read(
        mt5_report(
            [mt5_deal(1, "balance", 100, 100), trade(2, "buy", "in", "0.1", 20, balance=100)],
            opened=[mt5_open(20, "buy", "0.1", -4.55, swap=-0.08)],
            balance=100,
            floating=-4.55,
            equity=95.37,
        )
    )
    ours = summarise_statement(statement, currency_digits=2)
    assert compare(statement.summary, ours) == []
    assert (ours.floating_pl, ours.equity) == (Decimal("-4.55"), Decimal("95.37"))
    assert [(mark.ticket, mark.position) for mark in statement.open_positions] == [(20, 20)]


def test_hedging_partial_closes_gather_under_the_row_they_add_up_to():
    # given: two equal positions; one closed in three parts, the other at once, in the same second as a part
    deals = [
        trade(1, "buy", "in", "0.3", 10),
        trade(2, "buy", "in", "0.3", 11, price=1.2),
        trade(3, "sell", "out", "0.1", 12, hour=11, profit=1, price=1.11),
        trade(4, "sell", "out", "0.1", 13, hour=12, profit=2, price=1.12),
        trade(5, "sell", "out", "0.3", 14, hour=13, profit=-9, price=1.13),
        trade(6, "sell", "out", "0.1", 15, hour=13, profit=3, price=1.13),
    ]
    positions = [
        mt5_position(10, "buy", "0.3", 6, closed=T(13), close_price=1.12),
        mt5_position(11, "buy", "0.3", -9, open_price=1.2, closed=T(13), close_price=1.13),
    ]
    # when / then
    assert links(read(mt5_report(deals, positions=positions))) == {
        3: (10, Decimal("1.1")),
        4: (10, Decimal("1.1")),
        5: (11, Decimal("1.2")),
        6: (10, Decimal("1.1")),
    }


def test_hedging_partial_close_of_a_position_still_open_goes_where_there_is_room():
    deals = [
        trade(1, "buy", "in", "0.1", 10),
        trade(2, "buy", "in", "0.3", 11, price=1.2),
        trade(3, "sell", "out", "0.2", 12, hour=11, profit=1, price=1.21),
    ]
    opened = [mt5_open(10, "buy", "0.1", 0), mt5_open(11, "buy", "0.1", 0, open_price=1.2)]
    assert links(read(mt5_report(deals, opened=opened))) == {3: (11, Decimal("1.2"))}


def test_hedging_close_by_links_each_deal_to_its_own_position():
    deals = [
        trade(1, "buy", "in", "0.1", 10),
        trade(2, "sell", "in", "0.1", 11, price=1.105),
        trade(3, "sell", "out by", "0.1", 12, hour=12, price=1.105, profit=50),
        trade(4, "buy", "out by", "0.1", 12, hour=12, price=1.1, profit=0),
    ]
    positions = [
        mt5_position(10, "buy", "0.1", 50, close_price=1.105),
        mt5_position(11, "sell", "0.1", 0, open_price=1.105, close_price=1.1),
    ]
    statement = read(mt5_report(deals, positions=positions))
    assert links(statement) == {3: (10, Decimal("1.1")), 4: (11, Decimal("1.105"))}
    assert [deal.entry for deal in statement.deals[2:]] == [DealEntry.OUT_BY, DealEntry.OUT_BY]
    assert summarise_statement(statement, currency_digits=2).closed_trades == 2


def test_hedging_equal_closings_follow_their_comments_then_their_tickets():
    deals = [
        trade(1, "buy", "in", "0.1", 10, comment="alpha"),
        trade(2, "buy", "in", "0.1", 11, comment="beta"),
        trade(3, "sell", "out", "0.1", 12, hour=12, price=1.101, profit=10, comment="beta"),
        trade(4, "sell", "out", "0.1", 13, hour=12, price=1.101, profit=10, comment="alpha"),
    ]
    positions = [mt5_position(10, "buy", "0.1", 10), mt5_position(11, "buy", "0.1", 10)]
    assert {ticket: link[0] for ticket, link in links(read(mt5_report(deals, positions=positions))).items()} == {
        3: 11,
        4: 10,
    }


def test_closing_of_a_position_opened_before_the_report_takes_it_from_its_row():
    deals = [trade(3, "sell", "out", "0.1", 12, hour=12, price=1.101, profit=10, balance=60.61)]
    positions = [mt5_position(5, "buy", "0.1", 10, opened="2024.02.01 08:00:00", open_price=1.05)]
    for mode in ("Hedge", "Netting"):
        statement = read(mt5_report(deals, positions=positions, mode=mode, balance=60.61))
        (deal,) = statement.deals
        assert (deal.position, deal.open_price, deal.open_time) == (5, Decimal("1.05"), datetime(2024, 2, 1, 8))
        assert statement.opening_balance == Decimal("50.61")


def test_closing_that_nothing_explains_is_its_own_position_without_opening():
    deals = [trade(3, "sell", "out", "0.1", 12, profit=10)]
    for mode in ("Hedge", "Netting"):
        (deal,) = read(mt5_report(deals, mode=mode)).deals
        assert (deal.position, deal.open_price, deal.open_time) == (12, None, None)


def test_netting_additions_reduction_and_reversal_keep_one_position():
    # given: 0.1 @ 1.10 + 0.3 @ 1.12, 0.2 out, then 0.5 sold: 0.2 close, 0.3 open short; then closed, and anew
    deals = [
        trade(1, "buy", "in", "0.1", 10, price=1.1),
        trade(2, "buy", "in", "0.3", 11, price=1.12),
        trade(3, "sell", "out", "0.2", 12, hour=11, price=1.13, profit=30),
        trade(4, "sell", "in/out", "0.5", 13, hour=12, price=1.14, profit=50),
        trade(5, "buy", "out", "0.3", 14, hour=13, price=1.13, profit=30),
        trade(6, "sell", "in", "0.1", 15, hour=14, price=1.12),
    ]
    opened = [mt5_open(15, "sell", "0.1", 1, opened=T(14), open_price=1.12)]
    # when
    statement = read(mt5_report(deals, opened=opened, mode="Netting"))
    # then
    assert links(statement) == {
        3: (10, Decimal("1.115")),
        4: (10, Decimal("1.115")),
        5: (10, Decimal("1.14")),
    }
    assert [deal.position for deal in statement.deals] == [10, 10, 10, 10, 10, 15]
    assert statement.deals[3].entry is DealEntry.INOUT
    assert statement.deals[4].open_time == datetime(2024, 3, 4, 12)
    assert summarise_statement(statement, currency_digits=2).closed_trades == 3


def test_netting_open_row_after_a_reversal_belongs_to_the_position_it_continues():
    deals = [trade(1, "buy", "in", "0.1", 10), trade(2, "sell", "in/out", "0.3", 11, hour=11, price=1.2, profit=9)]
    opened = [mt5_open(11, "sell", "0.2", 0, opened=T(11), open_price=1.2)]
    (mark,) = read(mt5_report(deals, opened=opened, mode="Netting")).open_positions
    assert (mark.ticket, mark.position) == (11, 10)


def test_unstated_margin_mode_is_found_from_the_rows():
    deals = [
        trade(1, "buy", "in", "0.1", 10, price=1.1),
        trade(2, "buy", "in", "0.1", 11, price=1.2),
        trade(3, "sell", "out", "0.2", 12, hour=12, price=1.3, profit=30),
    ]
    positions = [mt5_position(10, "buy", "0.2", 30, open_price=1.15, close_price=1.3)]
    statement = read(mt5_report(deals, positions=positions, mode="?"))
    assert statement.is_hedging is None
    assert links(statement) == {3: (10, Decimal("1.15"))}


def test_report_in_another_language_is_read_by_its_shape():
    deals = [
        mt5_deal(1, "Kontostand", 1000, 1000),
        trade(2, "Kauf", "Eingang", "0.1", 20, balance=1000),
        trade(3, "Verkauf", "Ausgang", "0.1", 21, hour=12, price=1.101, profit=10, balance=1010),
    ]
    statement = read(
        mt5_report(
            deals,
            positions=[mt5_position(20, "Kauf", "0.1", 10)],
            orders=[mt5_order(20), mt5_order(22, "0.5 / 0", state="storniert")],
            working=[mt5_order(23, "0.5 / 0", state="platziert")],
            balance=1010,
            equity=1010,
            gross=(10, 10, 0),
            trades=1,
            words=DE,
        )
    )
    assert compare(statement.summary, summarise_statement(statement, currency_digits=2)) == []
    assert (statement.cancelled_orders, statement.working_orders) == (1, 1)
    assert links(statement) == {3: (20, Decimal("1.1"))}
    assert (statement.account, statement.server_name, statement.company) == ("2002", "Test-Server", "Test Broker Ltd")


@pytest.mark.parametrize(
    ("buy", "out"),
    [("compra", "salida"), ("achat", "sortie"), ("покупка", "выход"), ("kupno", "wyjście"), ("买入", "出场"),
     ("acquisto", "uscita"), ("compra", "saída"), ("alış", "çıkış"), ("買い", "決済"), ("BUY", "Out")],
)  # fmt: skip
def test_words_of_other_languages(buy, out):
    (deal,) = read(mt5_report([trade(3, buy, out, "0.1", 12)])).deals
    assert (deal.kind, deal.entry) == (DealKind.BUY, DealEntry.OUT)


def test_older_report_without_fee_column():
    deals = [
        mt5_deal(1, "balance", 100, 100),
        trade(2, "buy", "in", "0.1", 20, commission=-0.35, balance=99.65, comment="no fee here"),
    ]
    statement = read(mt5_report(deals, with_fee=False, balance=99.65, equity=99.65, gross=(-0.35, 0, -0.35)))
    assert compare(statement.summary, summarise_statement(statement, currency_digits=2)) == []
    assert (statement.deals[1].fee, statement.deals[1].comment) == (Decimal(0), "no fee here")


def test_binary_noise_of_cells_is_dropped():
    deals = [
        mt5_deal(1, "balance", 0.1 + 0.2, 0.30000000000000004),
        trade(2, "buy", "in", 0.1, 20, price=143.37700000000001),
    ]
    statement = read(mt5_report(deals))
    assert statement.deals[0].profit == Decimal("0.3")
    assert (statement.deals[1].price, statement.deals[1].price_digits) == (Decimal("143.377"), 3)


def test_running_balance_that_skips_a_row_shows_in_the_balance():
    deals = [mt5_deal(1, "balance", 100, 100), mt5_deal(3, "balance", 10, 160)]
    statement = read(mt5_report(deals, balance=160, equity=160))
    found = {item.field: item for item in compare(statement.summary, summarise_statement(statement, currency_digits=2))}
    assert set(found) == {"balance", "equity"}
    assert (found["balance"].stated, found["balance"].recomputed) == (Decimal(160), Decimal(110))


def test_identical_deal_counts_once_and_a_conflict_names_both_rows():
    deal = mt5_deal(1, "balance", 100, 100)
    assert len(read(mt5_report([deal, deal])).deals) == 1
    with pytest.raises(InvalidInput) as refused:
        read(mt5_report([deal, mt5_deal(1, "balance", 101, 100)]))
    assert (refused.value.details["row"], "row 8" in refused.value.message) == (9, True)


@pytest.mark.parametrize(
    ("deal", "field"),
    [
        (mt5_deal(2, "present", 1, 1), "Type"),
        (trade(2, "buy", "sideways", "0.1", 20), "Direction"),
        (trade(2, "buy", "in", "much", 20), "Volume"),
        (trade(2, "buy", "in", "0.1", 20, price="market"), "Price"),
        (trade(2, "buy", "in", "0.1", None), "Order"),
        (trade(2, "buy", "in", "0.1", 20, symbol=None), "Symbol"),
        (trade(2, "buy", "in", "0.1", 20, profit="12..5"), "Profit"),
        (trade(2, "buy", "in", "0.1", 20, balance=None), "Balance"),
        (mt5_deal("x", "balance", 1, 1), "Deal"),
        (mt5_deal(2, "balance", 1, 1, at="yesterday"), "Time"),
    ],
)
def test_a_deal_that_cannot_be_read_is_refused_with_row_and_field(deal, field):
    with pytest.raises(InvalidInput) as refused:
        read(mt5_report([mt5_deal(1, "balance", 1, 1), deal]))
    assert (refused.value.details["row"], refused.value.details["field"]) == (9, field)


def test_a_lost_decimal_point_is_refused_wherever_it_stands():
    money = [mt5_deal(1, "balance", 1, 1)]
    for figures, field in (
        ({"positions": [mt5_position(10, "buy", "0.1", 10, tp=70507)]}, "T / P"),
        ({"positions": [mt5_position(10, "buy", "0.1", 10, close_price=70507)]}, "Close Price"),
        ({"orders": [mt5_order(10, tp=70507, price=0.705)]}, "T / P"),
        ({"opened": [mt5_open(10, "buy", "0.1", 10, current=70507)]}, "Market Price"),
    ):
        with pytest.raises(InvalidInput) as refused:
            read(mt5_report(money, **figures))
        assert (refused.value.details["field"], refused.value.details["value"]) == (field, "70507")
        assert refused.value.details["row"] is not None


def test_reports_without_their_parts_are_refused():
    deals = [mt5_deal(1, "balance", 100, 100), trade(2, "sell", "out", "0.1", 20, profit=1, balance=101)]
    rows = mt5_rows(deals, balance=101, equity=101, gross=(1, 1, 0), trades=1)
    whole = read(xlsx(rows))
    assert len(whole.deals) == 2
    # every shorter sheet lacks something, up to the last row
    for length in range(len(rows)):
        with pytest.raises(InvalidInput):
            read(xlsx(rows[:length]))
    # and so does a sheet without one of the lines above the deals, or without a title
    for missing in (2, 4, 5, 6):
        with pytest.raises(InvalidInput):
            read(xlsx(rows[:missing] + rows[missing + 1 :]))


def test_weighted_price_is_exact_where_it_can_be_and_bounded_where_not():
    assert weighted_price(Decimal("163.537"), Decimal("0.03"), Decimal("163.552"), Decimal("0.27")) == Decimal(
        "163.5505"
    )
    third = weighted_price(Decimal("1.00000"), Decimal("0.01"), Decimal("2.00000"), Decimal("0.02"))
    assert third == Decimal("1.6666666667")
    assert str(weighted_price(Decimal("1.10000"), Decimal(1), Decimal("1.20000"), Decimal(1))) == "1.15000"
