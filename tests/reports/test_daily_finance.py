"""The daily finance report: worked figures, agreement of paper and CSV, and what it says when something is missing."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from decimal import Decimal

import pytest
from pypdf import PdfReader

from backoffice.reports.rules import shown_text
from backoffice.reports.selectors import issued_bytes
from backoffice.reports.services.issue import build_report, issue_report
from funding.ledger.services.periods import close_day
from platform_ops.models import DailyPrice, FxReferenceRate, Trade
from tests.factories import platform
from tests.factories.platform import MONDAY, SYSTEM
from tests.reports import world

pytestmark = pytest.mark.django_db
D = Decimal


@pytest.fixture(autouse=True)
def frozen(time_machine):
    time_machine.move_to(world.TUESDAY_MORNING, tick=False)
    return time_machine


@pytest.fixture
def broker():
    broker = world.make_broker()
    world.trade_monday(broker)
    return broker


def build(broker, until=None):
    return build_report(
        definition="daily_finance", entity_id=broker.entity.pk, as_of=MONDAY, recorded_until=until, actor=SYSTEM
    )


def rows(report, code: str) -> list[dict[str, object]]:
    section = report.section(code)
    return [dict(zip([column.key for column in section.columns], row, strict=True)) for row in section.rows]


def total(report, code: str) -> dict[str, object]:
    section = report.section(code)
    return dict(zip([column.key for column in section.columns], section.totals[0], strict=True))


def test_client_money_is_gross_by_currency_and_converted_row_by_row(broker):
    # when
    report = build(broker)
    # then
    assert rows(report, "client_money") == [
        {
            "currency": "EUR",
            "deposit_count": 1,
            "deposits": D(2000),
            "withdrawal_count": 0,
            "withdrawals": D(0),
            "net": D(2000),
            "deposits_base": D("2000.00"),
            "withdrawals_base": D(0),
            "net_base": D("2000.00"),
        },
        {
            "currency": "USD",
            "deposit_count": 2,
            "deposits": D(1500),
            "withdrawal_count": 1,
            "withdrawals": D("-250.50"),
            "net": D("1249.50"),
            "deposits_base": D("1200.00"),
            "withdrawals_base": D("-200.40"),
            "net_base": D("999.60"),
        },
    ]
    assert total(report, "client_money")["net_base"] == D("2999.60")


def test_results_follow_the_ledger_by_book_and_the_house_has_the_other_side(broker):
    # given
    world.post_results(broker)
    # when
    report = build(broker)
    # then
    a_book, b_book = rows(report, "client_results")
    assert (a_book["book"], a_book["currency"], a_book["trades"], a_book["total"]) == ("A", "EUR", 1, D(80))
    assert (b_book["book"], b_book["trades"]) == ("B", 2)
    assert (b_book["profit"], b_book["swap"], b_book["commission"]) == (D("-80.10"), D("-2.20"), D("-10.50"))
    assert b_book["total_base"] == D("-74.24")  # −92.80 USD at 0.8
    house = {(row["account"], row["currency"]): row["result"] for row in rows(report, "house_result")}
    assert house == {
        ("House result, A book", "EUR"): D(-80),
        ("House result, B book", "USD"): D("80.10"),
        ("Swaps and interest", "USD"): D("2.20"),
        ("Trading commission charged", "USD"): D("10.50"),
        ("Bonuses and credit given", "USD"): D(-50),
    }


def test_swaps_are_split_into_charged_and_paid(broker):
    assert rows(build(broker), "swaps") == [
        {
            "symbol_group": "Majors",
            "currency": "USD",
            "charged": D("-3.30"),
            "paid": D("1.10"),
            "net": D("-2.20"),
            "net_base": D("-1.76"),
        }
    ]


def test_liabilities_at_day_end_tell_positive_and_negative_balances_apart(broker):
    # given
    poor = platform.make_account(broker.server, currency="USD")
    platform.make_trade(poor, profit="-75")
    world.post_results(broker)
    # when
    found = {row["currency"]: row for row in rows(build(broker), "client_liabilities")}
    # then: 1,500 − 250.50 − 92.80 on the account, 50 of credit
    dollars = found["USD"]
    assert (dollars["positive"], dollars["negative"]) == (D("1156.70"), D("-75"))
    assert (dollars["credit"], dollars["total"]) == (D(50), D("1131.70"))
    assert found["EUR"]["total"] == D(2080)


def test_partner_commission_and_liability(broker):
    # given
    partner = world.make_partner(broker)
    world.accrue(broker, partner, "12.34")
    # when
    report = build(broker)
    # then
    (row,) = rows(report, "partner_commission")
    assert (row["booked"], row["accrued"], row["liability"], row["liability_base"]) == (
        D("12.34"),
        D("12.34"),
        D("12.34"),
        D("9.87"),
    )
    (annex,) = rows(report, "partners")
    assert (annex["partner"], annex["booked"], annex["accrued"]) == ("IB-T001", D("12.34"), D("12.34"))


def test_exposure_is_that_of_the_end_of_the_day(broker, frozen):
    # given: the position is closed on Tuesday
    report = build(broker)
    # then
    (row,) = rows(report, "exposure_symbols")
    assert (row["symbol"], row["net_lots"]) == ("EURUSD", D(2))
    assert row["notional"] == D("192016.00")  # 200,000 × 1.2001 × 0.8
    assert row["floating"] == D("1600.00")  # 200,000 × 0.0100 × 0.8
    assert {leg["asset"]: leg["units"] for leg in rows(report, "exposure_currencies")} == {
        "EUR": D(200_000),
        "USD": D(-240_020),
    }


def test_controls_agree_once_the_results_are_posted_and_name_what_does_not(broker):
    # given
    before = {(row["control"], row["currency"]): row["outcome"] for row in rows(build(broker), "controls")}
    assert before["Deposits less withdrawals: servers, ledger", "USD"] == "DIFFERS"
    assert any("controls do not agree" in remark for remark in build(broker).remarks)
    # when
    world.post_results(broker)
    report = build(broker)
    # then
    assert {row["outcome"] for row in rows(report, "controls")} == {"agrees"}
    assert not any("controls" in remark for remark in report.remarks)
    balance = next(row for row in rows(report, "controls") if row["control"].startswith("Trial balance"))
    assert balance["first"] == balance["second"] != 0


def test_what_was_recorded_later_is_not_in_it(broker, frozen):
    # given
    world.post_results(broker)
    then = build(broker).recorded_until
    frozen.move_to(world.TUESDAY_MORNING + timedelta(hours=2), tick=False)
    platform.make_operation(broker.euros, amount="999")
    # then
    assert total(build(broker, then), "client_money")["net_base"] == D("2999.60")
    assert total(build(broker), "client_money")["net_base"] == D("3998.60")


def test_a_late_booking_is_shown_apart_from_the_day_it_was_booked_on(broker, frozen):
    # given: Monday's books are closed, then a trade is corrected
    world.post_results(broker)
    close_day(entity_id=broker.entity.pk, business_day=MONDAY, actor=SYSTEM)
    platform.correct_trade(Trade.objects.get(account=broker.euros), profit="100")
    world.post_results(broker)
    # when
    tuesday = MONDAY + timedelta(days=1)
    report = build_report(
        definition="daily_finance", entity_id=broker.entity.pk, as_of=tuesday, recorded_until=None, actor=SYSTEM
    )
    # then
    (row,) = rows(report, "client_results")
    assert (row["concerns"], row["profit"], row["trades"]) == ("earlier days", D(20), 0)


def test_a_currency_without_a_rate_is_left_out_of_totals_and_named(broker):
    # given
    crowns = platform.make_account(broker.server, currency="CZK")
    platform.make_operation(crowns, amount="7000")
    # when
    report = build(broker)
    # then
    row = next(row for row in rows(report, "client_money") if row["currency"] == "CZK")
    assert (row["deposits"], row["deposits_base"], row["net_base"]) == (D(7000), None, None)
    assert total(report, "client_money")["net_base"] == D("2999.60")
    assert "No reference rate for CZK: left out of every total in EUR." in report.remarks


def test_demo_accounts_are_not_the_brokers_money(broker):
    # given
    platform.make_operation(platform.make_account(broker.server, is_demo=True), amount="100000")
    # then
    assert total(build(broker), "client_money")["net_base"] == D("2999.60")


def test_an_empty_day_says_so_in_every_section():
    # given
    broker = world.make_broker()
    # when
    data = issued_bytes(
        issue_report(definition="daily_finance", entity_id=broker.entity.pk, as_of=MONDAY, format="csv", actor=SYSTEM)
    ).decode()
    # then
    assert "No deposit and no withdrawal on this day." in data
    assert "No open position at the end of the day." in data
    assert "client_money,row" not in data


def test_only_the_largest_symbols_are_named_and_the_rest_is_one_row(broker):
    # given
    for place in range(25):
        symbol = platform.make_symbol(f"X{place:02}USD", base_asset=f"X{place:02}", profit_currency="USD")
        platform.make_spec(symbol, contract_size=D(1))
        DailyPrice.objects.create(
            symbol=symbol, business_day=MONDAY, bid=D(place + 1), ask=D(place + 1), source="quote"
        )
        platform.make_deal(
            broker.dollars, server_symbol=platform.make_server_symbol(broker.server, symbol.code, symbol)
        )
    # when
    found = rows(build(broker), "exposure_symbols")
    # then
    assert len(found) == 21
    assert found[0]["symbol"] == "EURUSD"
    assert found[-1]["symbol"] == "6 others"
    assert found[-1]["notional"] == sum(D(place + 1) for place in range(6)) * D("0.8")


def test_paper_and_csv_agree_to_the_cent(broker):
    # given
    world.post_results(broker)
    world.accrue(broker, world.make_partner(broker), "12.34")
    report = build(broker)
    issue = {"definition": "daily_finance", "entity_id": broker.entity.pk, "as_of": MONDAY, "actor": SYSTEM}
    # when
    table = world.read_csv(issued_bytes(issue_report(format="csv", **issue)))
    paper = PdfReader(io.BytesIO(issued_bytes(issue_report(format="pdf", **issue))))
    text = re.sub(r"\s+", " ", " ".join(page.extract_text() for page in paper.pages))
    # then: every total of the CSV, and every row, stands on paper
    checked = 0
    for section in report.sections:
        for kind, found in ((section.code, section.rows), (f"{section.code}:total", section.totals)):
            for row, cells in zip(found, table.get(kind, []), strict=True):
                shown = [shown_text(section, row, column) for column in section.columns]
                assert " ".join(cell for cell in shown if cell) in text, shown
                plain = [cell.replace(",", "").replace("\u2212", "-") for cell in shown]
                assert plain == [cell.replace(",", "") for cell in cells.values()]
                checked += 1
    assert checked > 20
    assert "Page 1 of" in text
    assert f"licence {broker.entity.licence_number}" in text


def test_the_totals_are_sums_of_their_rows(broker):
    # given: rates that never divide evenly
    FxReferenceRate.objects.update(per_euro=D("1.0837"))
    world.post_results(broker)
    report = build(broker)
    # then
    for section in report.sections:
        for place, column in enumerate(section.columns):
            if section.totals and isinstance(section.totals[0][place], D):
                assert section.totals[0][place] == sum(row[place] for row in section.rows), (section.code, column.key)


def test_the_report_says_when_the_day_is_not_proved(broker):
    assert build(broker).remarks[0] == "Preliminary: the business day is not proved on nova-mt5."
