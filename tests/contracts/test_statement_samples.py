"""Real statements: every figure that the file states, and that the oracle beside it was computed to, comes out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import settings

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.statements import (
    Statement,
    StatementFormat,
    compare,
    read_statement,
    summarise_statement,
    write_deals_csv,
)
from platform_ops.types import DealEntry, DealKind, Side

pytestmark = pytest.mark.sample_data

MT4_FILES = (
    "patrick_20171018_detailed.htm",
    "patrick_20171107_detailed.htm",
    "petro_20190402_1655_detailed.htm",
    "petro_20190402_1740_detailed.htm",
    "sujay_20260528_detailed.htm",
    "ty_20190526_detailed.htm",
    "ty_20190613_detailed.htm",
    "ty_20190714_detailed.htm",
    "ty_20190921_2249_statement.htm",
    "ty_20190921_detailed.htm",
    "ty_20200516_detailed.htm",
)
MT5_FILES = (
    "darwinex_3000090143_demo_hedge.xlsx",
    "fxpro_5500995_netting.xlsx",
    "fxpro_5503127_netting_es.xlsx",
    "mq_5006391922_hedge.xlsx",
)
CURRENCY_DIGITS = {"JPY": 0, "USD": 2}
TERMINAL_CUTS = 60


def sample_path(folder: str, name: str) -> Path:
    path = Path(settings.SAMPLE_DATA_DIR) / folder / name
    if not path.exists():
        pytest.skip(f"sample data is absent: {path}")
    return path


def read_sample(folder: str, name: str) -> Statement:
    return read_statement(sample_path(folder, name).read_bytes(), filename=name)


def oracle_of(folder: str, name: str) -> dict:
    return json.loads(sample_path(folder, "oracle.json").read_text())[name]


def printed(figure: str) -> Decimal:
    return Decimal(figure.replace(" ", ""))


@pytest.mark.parametrize("name", MT4_FILES)
def test_mt4_statement_recomputes_to_its_own_summary_and_to_the_oracle(name):
    # given
    oracle = oracle_of("statements_mt4", name)
    # when
    statement = read_sample("statements_mt4", name)
    ours = summarise_statement(statement, currency_digits=CURRENCY_DIGITS[statement.currency])
    # then
    assert compare(statement.summary, ours) == []
    assert (ours.closed_trades, ours.balance_operations) == (oracle["n_closed"], oracle["n_balance"])
    assert (statement.cancelled_orders, statement.working_orders) == (oracle["n_cancelled"], oracle["n_working"])
    assert len(statement.open_positions) == oracle["n_open"]
    assert (ours.commission, ours.taxes, ours.swap) == tuple(
        Decimal(oracle[key]) for key in ("commission", "taxes", "swap")
    )
    assert sum(deal.profit for deal in statement.deals if deal.leg == 1) == Decimal(oracle["profit"])
    assert ours.closed_pl == Decimal(oracle["rows_closed_pl"])
    assert (ours.gross_profit, ours.gross_loss) == (
        Decimal(oracle["rows_gross_profit"]),
        Decimal(oracle["rows_gross_loss"]),
    )
    assert ours.deposits + ours.withdrawals == Decimal(oracle["rows_deposits"])
    assert (ours.credit, ours.floating_pl) == (Decimal(oracle["rows_credit"]), Decimal(oracle["rows_floating"]))
    assert sum(mark.profit for mark in statement.open_positions) == Decimal(oracle["rows_open_profit"])
    stated = oracle["summary"]
    assert (ours.balance, ours.equity) == (printed(stated["Balance"]), printed(stated["Equity"]))
    assert (statement.summary.margin, statement.summary.free_margin) == (
        printed(stated["Margin"]),
        printed(stated["Free Margin"]),
    )
    assert statement.format == (
        StatementFormat.MT4_DETAILED if "Gross Profit" in stated else StatementFormat.MT4_STATEMENT
    )
    if "Gross Profit" in stated:
        assert ours.gross_profit == printed(stated["Gross Profit"])
        assert ours.gross_loss == -printed(stated["Gross Loss"])
        assert ours.closed_trades == int(stated["Total Trades"])


@pytest.mark.parametrize("name", MT5_FILES)
def test_mt5_report_recomputes_to_its_own_summary_and_to_the_oracle(name):
    # given: the oracle keeps the stated figures in the order in which the report prints them, in its language
    oracle = oracle_of("statements_mt5", name)
    stated = [Decimal(str(value)) for value in list(oracle["tail"].values())[:10]]
    trades = next(Decimal(str(oracle["tail"][key])) for key in oracle["tail"] if key.startswith("Total") and key[6:] in
                  ("Trades", "de operaciones ejecutadas"))  # fmt: skip
    # when
    statement = read_sample("statements_mt5", name)
    ours = summarise_statement(statement, currency_digits=CURRENCY_DIGITS[statement.currency])
    # then
    assert compare(statement.summary, ours) == []
    assert len(statement.deals) == oracle["deals"]
    commission, fee, swap, profit = (Decimal(figure) for figure in oracle["deals_sum"])
    assert (ours.commission, ours.taxes, ours.swap) == (commission, fee, swap)
    assert sum(deal.profit for deal in statement.deals) == profit
    assert statement.opening_balance == Decimal(oracle["opening"])
    assert ours.balance == Decimal(oracle["final_running"]) == stated[0]
    assert (ours.credit, ours.floating_pl, ours.equity) == (stated[2], stated[4], stated[6])
    assert (ours.closed_pl, ours.gross_profit, ours.gross_loss) == (stated[7], stated[8], stated[9])
    assert ours.closed_trades == trades
    closings = [deal for deal in statement.deals if deal.entry is DealEntry.OUT]
    assert len(closings) == oracle["entries"]["out"]
    assert sum(deal.entry is DealEntry.IN for deal in statement.deals) == oracle["entries"]["in"]
    assert len({deal.position for deal in closings}) == oracle["positions"]
    assert ours.deposits == sum(Decimal(row[2]) for row in oracle["nontrade"])


@pytest.mark.parametrize("name", MT5_FILES)
def test_mt5_closings_find_the_positions_that_the_report_prints(name):
    # given: the Positions section, read plainly
    from platform_ops.gateways.statements.workbook import read_first_sheet

    rows = [row.values for row in read_first_sheet(sample_path("statements_mt5", name).read_bytes())]
    first = next(index for index, row in enumerate(rows) if row[6] == "S / L") + 1
    printed_rows = {}
    for row in rows[first:]:
        if row[1] is None:
            break
        printed_rows[int(row[1])] = (row[2], row[0], row[5], row[8], row[9], row[12])
    # when
    statement = read_sample("statements_mt5", name)
    # then: each is closed by exactly one deal, at the printed opening and closing
    found = {
        deal.position: (
            deal.symbol,
            f"{deal.open_time:%Y.%m.%d %H:%M:%S}",
            deal.open_price,
            f"{deal.time:%Y.%m.%d %H:%M:%S}",
            deal.price,
            deal.profit,
        )
        for deal in statement.deals
        if deal.entry is DealEntry.OUT
    }
    assert found == printed_rows


def test_mt5_netting_additions_belong_to_the_first_order_at_the_weighted_price():
    statement = read_sample("statements_mt5", "fxpro_5500995_netting.xlsx")
    added = [deal for deal in statement.deals if deal.position == 58667543]
    assert [(deal.order, deal.entry, deal.volume_lots) for deal in added] == [
        (58667543, DealEntry.IN, Decimal("0.03")),
        (58667555, DealEntry.IN, Decimal("0.27")),
        (58667933, DealEntry.OUT, Decimal("0.3")),
    ]
    assert added[-1].open_price == Decimal("1670.233")
    assert statement.is_hedging is False
    assert statement.cancelled_orders == 13
    assert {deal.symbol: deal.price_digits for deal in added} == {"GOLD": 2}


def test_mt5_report_is_never_older_than_its_last_row():
    # The terminal printed its own computer's clock, eight hours behind the server.
    statement = read_sample("statements_mt5", "fxpro_5503127_netting_es.xlsx")
    assert statement.as_of == datetime(2022, 9, 26, 22, 18, 25)
    assert (statement.server_name, statement.company) == ("FxPro-MT5", "FxPro Financial Services Ltd")


def test_mt4_partial_close_chain_shares_its_first_ticket():
    statement = read_sample("statements_mt4", "ty_20200516_detailed.htm")
    chain = [deal for deal in statement.deals if deal.position == 10884298]
    assert [(deal.ticket, deal.leg, deal.kind, deal.volume_lots, deal.profit) for deal in chain] == [
        (10884298, 0, DealKind.SELL, Decimal("0.04"), Decimal(0)),
        (10884298, 1, DealKind.BUY, Decimal("0.04"), Decimal(716)),
        (10888957, 0, DealKind.SELL, Decimal("0.01"), Decimal(0)),
        (10888957, 1, DealKind.BUY, Decimal("0.01"), Decimal(304)),
    ]
    assert {deal.open_price for deal in chain if deal.leg == 1} == {Decimal("1.29307")}
    assert {deal.price_digits for deal in chain} == {5}


def test_mt4_snapshots_of_one_account_never_contradict_each_other():
    # given: every record of every snapshot, oldest first
    names = [name for name in MT4_FILES if name.startswith("ty_")]
    seen: dict[tuple[int, int], object] = {}
    positions: dict[int, int] = {}
    # when / then
    for name in sorted(names):
        for deal in read_sample("statements_mt4", name).deals:
            assert positions.setdefault(deal.ticket, deal.position) == deal.position
            if deal.leg == 1 or deal.kind is DealKind.BALANCE:
                assert seen.setdefault((deal.ticket, deal.leg), deal) == deal


def test_mt4_comments_in_an_undeclared_chinese_code_page_are_text():
    statement = read_sample("statements_mt4", "sujay_20260528_detailed.htm")
    assert "随时更改密码，谨慎_XAUUSD_9[sl]" in {deal.comment for deal in statement.deals}
    assert statement.leverage is None
    assert statement.company == "Startrader Financial Markets Limited"
    assert not any("\ufffd" in deal.comment for deal in statement.deals)


def test_mt4_open_trades_are_marks_and_opening_legs():
    statement = read_sample("statements_mt4", "petro_20190402_1740_detailed.htm")
    (mark,) = statement.open_positions
    assert (mark.side, mark.symbol, mark.profit, mark.swap) == (
        Side.BUY,
        "eurchf",
        Decimal("24.51"),
        Decimal("-0.75"),
    )
    assert [(deal.leg, deal.entry) for deal in statement.deals if deal.ticket == mark.ticket] == [(0, DealEntry.IN)]
    assert statement.opening_balance == Decimal("2484.53")


@pytest.mark.parametrize(
    ("folder", "name"), [*(("statements_mt4", name) for name in MT4_FILES), *(("statements_mt5", name) for name in MT5_FILES)]
)  # fmt: skip
def test_deals_csv_carries_a_real_statement_unchanged(folder, name):
    statement = read_sample(folder, name)
    copy = read_statement(write_deals_csv(statement), filename="copy.csv")
    assert copy == replace(statement, format=StatementFormat.DEALS_CSV)


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("statements_mt4", "petro_20190402_1740_detailed.htm"),
        ("statements_mt4", "patrick_20171018_detailed.htm"),
        ("statements_mt5", "fxpro_5503127_netting_es.xlsx"),
        ("statements_mt5", "darwinex_3000090143_demo_hedge.xlsx"),
    ],
)
def test_a_real_file_cut_anywhere_is_refused_or_whole(folder, name):
    # given
    data = sample_path(folder, name).read_bytes()
    whole = read_statement(data, filename=name)
    cuts = {len(data) * step // TERMINAL_CUTS for step in range(TERMINAL_CUTS)}
    cuts |= {len(data) - tail for tail in range(1, 40)}
    # when / then
    refused = 0
    for cut in sorted(cuts):
        try:
            assert read_statement(data[:cut], filename=name) == whole
        except InvalidInput as error:
            refused += 1
            assert error.details["file"] == name
    assert refused >= TERMINAL_CUTS
