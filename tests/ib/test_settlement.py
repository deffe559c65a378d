"""Worked figures of the commission engine: who is paid, by which rule, converted and rounded how, and corrected how."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from backoffice.core.books import verify_books
from funding.ledger.models import JournalEntry, LedgerAccount
from funding.ledger.services.periods import close_day
from ib.models import CommissionLine, RateCardEntry, SettlementBatch
from ib.services.settlement import settle_ingest_batch, settle_range
from ib.services.tree import place_partner
from tests.factories import ib as factory
from tests.factories.ib import Broker, after, booked
from tests.factories.platform import MONDAY, SYSTEM, correct_trade, make_batch, make_trade

pytestmark = pytest.mark.django_db

TUESDAY = MONDAY + timedelta(days=1)
IB_CHECKS = [
    "ib.lines_equal_accruals",
    "ib.lines_equal_batches",
    "ib.line_sequence_gapless",
    "ib.default_partition_empty",
    "ib.tree_acyclic",
    "ledger.entries_balance",
    "ledger.balances_equal_postings",
]


def settle(from_day: date = MONDAY, to_day: date = MONDAY + timedelta(days=30)):
    return settle_range(from_day=from_day, to_day=to_day, actor=SYSTEM)


def accrued(partner) -> Decimal:
    account = LedgerAccount.objects.get(kind="partner_accrued", owner_type="partner", owner_id=partner.pk)
    return account.balance.balance


def assert_books_are_right() -> None:
    assert verify_books(IB_CHECKS) == {
        "ok": True,
        "checks": [
            {"name": check["name"], "ok": True, "count": 0, "rows": []} for check in verify_books(IB_CHECKS)["checks"]
        ],
    }


def test_each_level_is_paid_by_the_agreement_of_the_partner_who_stands_there():
    # Given a chain of three partners, and a client of the lowest who trades 1.5 lots
    broker = Broker()
    top = broker.partner()
    middle = broker.partner(parent=top)
    direct = broker.partner(parent=middle)
    make_trade(broker.client_of(direct), lots="1.5", server_symbol=broker.eurusd)
    # When the day is settled
    result = settle()
    # Then level 1 earns 7 a lot, level 2 earns 2, level 3 earns 1, and the accrued accounts say the same
    assert (booked(direct), booked(middle), booked(top)) == (Decimal("10.50"), Decimal("3.00"), Decimal("1.50"))
    assert (accrued(direct), accrued(middle), accrued(top)) == (Decimal("10.50"), Decimal("3.00"), Decimal("1.50"))
    assert (result.trades, result.lines, result.booked) == (1, 3, {"USD": "15.00"})
    assert_books_are_right()


def test_a_rule_for_the_symbol_group_wins_over_the_general_one():
    broker = Broker()
    direct = broker.partner()
    make_trade(broker.client_of(direct), lots="0.5", server_symbol=broker.gold)
    settle()
    assert booked(direct) == Decimal("5.00")


def test_a_rule_of_zero_keeps_the_general_one_from_paying():
    broker = Broker()
    plan = factory.make_plan(broker.entity, (None, 1, "7", "USD"), (broker.metals, 1, "0", "USD"))
    direct = broker.partner(plan=plan)
    make_trade(broker.client_of(direct), server_symbol=broker.gold)
    assert settle().lines == 0


def test_a_partner_without_a_rule_for_the_level_is_passed_over():
    broker = Broker()
    top = broker.partner(plan=factory.make_plan(broker.entity, (None, 1, "7", "USD")))
    direct = broker.partner(parent=top)
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    settle()
    assert (booked(direct), booked(top)) == (Decimal("7.00"), Decimal("0"))


def test_a_yen_partner_is_paid_in_whole_yen_at_the_reference_rate_of_the_last_fixing():
    # Given rates of Friday only: 1 EUR = 1.08 USD = 162.54 JPY, so 1 USD = 150.5 JPY
    broker = Broker()
    factory.quote(MONDAY - timedelta(days=3), USD="1.08", JPY="162.54")
    direct = broker.partner(currency="JPY")
    # When 0.01 lots at 7 USD make 0.07 USD = 10.535 JPY
    make_trade(broker.client_of(direct), lots="0.01", server_symbol=broker.eurusd)
    settle()
    # Then 11 whole yen are booked, and the line names rate and date
    line = CommissionLine.objects.get(partner_id=direct.pk)
    assert (line.amount, line.currency, line.fx_rate) == (Decimal(11), "JPY", Decimal("150.5"))
    assert line.fx_date == MONDAY - timedelta(days=3)
    assert_books_are_right()


def test_an_exact_half_is_rounded_away_from_zero_even_through_a_rate_without_end():
    # Given 1 USD = 1/3 EUR; 0.15 lots × 0.1 USD = 0.015 USD = 0.005 EUR exactly
    broker = Broker()
    factory.quote(MONDAY, USD="3")
    plan = factory.make_plan(broker.entity, (None, 1, "0.1", "USD"))
    direct = broker.partner(currency="EUR", plan=plan)
    make_trade(broker.client_of(direct), lots="0.15", server_symbol=broker.eurusd)
    settle()
    assert booked(direct) == Decimal("0.01")


def test_a_client_of_nobody_an_unmapped_symbol_and_a_missing_rate_earn_nothing():
    broker = Broker()
    direct = broker.partner(currency="JPY")
    unmapped = broker.map("UNKNOWN", None)
    make_trade(broker.client_of(None), server_symbol=broker.eurusd)
    make_trade(broker.client_of(direct), server_symbol=unmapped)
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    assert settle().lines == 0


def test_a_suspended_partner_still_accrues():
    from ib.services.partners import set_partner_status

    broker = Broker()
    direct = broker.partner()
    set_partner_status(partner_id=direct.pk, status="suspended", reason="under review", actor=SYSTEM)
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    settle()
    assert booked(direct) == Decimal("7.00")


def test_a_second_run_books_nothing():
    broker = Broker()
    direct = broker.partner(parent=broker.partner())
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    settle()
    before = list(CommissionLine.objects.values())
    second = settle()
    assert (second.trades, second.lines, second.booked) == (1, 0, {})
    assert list(CommissionLine.objects.values()) == before
    assert_books_are_right()


def test_a_partner_who_moves_in_the_middle_of_a_day_brings_the_old_parent_what_was_before_and_the_new_what_comes_after():
    broker = Broker()
    old, new = broker.partner(), broker.partner()
    direct = broker.partner(parent=old)
    account = broker.client_of(direct)
    make_trade(account, lots="1", server_symbol=broker.eurusd, at=after(MONDAY, 9))
    make_trade(account, lots="2", server_symbol=broker.eurusd, at=after(MONDAY, 10))
    place_partner(partner_id=direct.pk, parent_id=new.pk, valid_from=after(MONDAY, 10), actor=SYSTEM)
    settle()
    assert (booked(direct), booked(old), booked(new)) == (Decimal("21.00"), Decimal("2.00"), Decimal("4.00"))


def test_a_move_in_the_past_leaves_the_lines_before_it_byte_for_byte_and_books_the_difference_after_it():
    broker = Broker()
    old, new = broker.partner(), broker.partner()
    direct = broker.partner(parent=old)
    account = broker.client_of(direct)
    for day in (MONDAY, TUESDAY):
        make_trade(account, day=day, server_symbol=broker.eurusd)
    settle()
    before = list(CommissionLine.objects.filter(day=MONDAY).values())
    # When the partner is moved from Tuesday on, after both days were settled
    place_partner(partner_id=direct.pk, parent_id=new.pk, valid_from=after(TUESDAY), actor=SYSTEM)
    result = settle()
    # Then Monday is untouched; Tuesday's 2.00 go from the old parent to the new one, the partner's own line stays
    assert list(CommissionLine.objects.filter(day=MONDAY).values()) == before
    assert (booked(direct), booked(old), booked(new)) == (Decimal("14.00"), Decimal("2.00"), Decimal("2.00"))
    assert (result.lines, result.booked) == (2, {"USD": "0.00"})
    assert_books_are_right()


def test_a_new_plan_version_pays_from_its_moment_on():
    broker = Broker()
    direct = broker.partner()
    account = broker.client_of(direct)
    make_trade(account, day=MONDAY, server_symbol=broker.eurusd)
    make_trade(account, day=TUESDAY, server_symbol=broker.eurusd)
    factory.publish(broker.plan, (None, 1, "8", "USD"), since=after(TUESDAY))
    settle()
    assert booked(direct) == Decimal("15.00")


def test_a_backdated_plan_version_books_the_difference_and_names_the_new_rule():
    broker = Broker()
    direct = broker.partner()
    make_trade(broker.client_of(direct), day=MONDAY, server_symbol=broker.eurusd)
    settle()
    factory.publish(broker.plan, (None, 1, "6.5", "USD"), since=after(MONDAY))
    result = settle()
    first, second = CommissionLine.objects.filter(partner_id=direct.pk).order_by("seq")
    assert result.booked == {"USD": "-0.50"}
    assert (second.seq, second.target, second.amount) == (1, Decimal("6.50"), Decimal("-0.50"))
    assert second.rule_id != first.rule_id
    assert accrued(direct) == Decimal("6.50")
    assert_books_are_right()


def test_a_referral_to_another_partner_books_the_difference():
    broker = Broker()
    first, second = broker.partner(), broker.partner()
    account = broker.client_of(first)
    make_trade(account, day=MONDAY, server_symbol=broker.eurusd)
    make_trade(account, day=TUESDAY, server_symbol=broker.eurusd)
    settle()
    factory.refer(account.client, second, since=after(TUESDAY))
    settle()
    assert (booked(first), booked(second)) == (Decimal("7.00"), Decimal("7.00"))
    assert_books_are_right()


def test_a_corrected_trade_books_the_exact_difference_in_its_own_batch():
    broker = Broker()
    direct = broker.partner()
    batch = make_batch(broker.server)
    trade = make_trade(broker.client_of(direct), lots="1", server_symbol=broker.eurusd, batch=batch)
    settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)
    corrected = correct_trade(trade)
    corrected.volume_lots = Decimal("0.4")
    corrected.save()
    result = settle_ingest_batch(ingest_batch_id=corrected.batch_id, actor=SYSTEM)
    assert (result.lines, result.booked) == (1, {"USD": "-4.20"})
    line = CommissionLine.objects.get(partner_id=direct.pk, seq=1)
    assert SettlementBatch.objects.get(pk=line.batch_id).ingest_batch_id == corrected.batch_id
    assert accrued(direct) == Decimal("2.80")
    assert_books_are_right()


def test_a_cancelled_trade_is_taken_back_whole_and_a_revived_one_paid_again():
    broker = Broker()
    direct = broker.partner()
    trade = make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    settle_ingest_batch(ingest_batch_id=trade.batch_id, actor=SYSTEM)
    correct_trade(trade, is_cancelled=True)
    settle_ingest_batch(ingest_batch_id=trade.batch_id, actor=SYSTEM)
    assert booked(direct) == Decimal(0)
    assert settle().lines == 0
    correct_trade(trade)
    settle_ingest_batch(ingest_batch_id=trade.batch_id, actor=SYSTEM)
    assert [line.amount for line in CommissionLine.objects.order_by("seq")] == [7, -7, 7]
    assert_books_are_right()


def test_a_trade_whose_close_moves_to_another_day_moves_its_commission():
    broker = Broker()
    direct = broker.partner()
    trade = make_trade(broker.client_of(direct), server_symbol=broker.eurusd, at=after(MONDAY, 12))
    settle_ingest_batch(ingest_batch_id=trade.batch_id, actor=SYSTEM)
    correct_trade(trade, at=after(TUESDAY, 12))
    result = settle_ingest_batch(ingest_batch_id=trade.batch_id, actor=SYSTEM)
    assert result.booked == {"USD": "0.00"}
    amounts = {(line.day, line.seq): line.amount for line in CommissionLine.objects.all()}
    assert amounts == {(MONDAY, 0): 7, (MONDAY, 1): -7, (TUESDAY, 0): 7}
    assert settle().lines == 0
    assert_books_are_right()


def test_an_ingest_batch_is_settled_once():
    broker = Broker()
    direct = broker.partner()
    trade = make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    first = settle_ingest_batch(ingest_batch_id=trade.batch_id, actor=SYSTEM)
    again = settle_ingest_batch(ingest_batch_id=trade.batch_id, actor=SYSTEM)
    assert (first.lines, again.lines, again.booked) == (1, 1, {"USD": "7.00"})
    assert CommissionLine.objects.count() == 1


def test_a_batch_that_comes_after_its_day_was_settled_books_only_what_is_missing():
    broker = Broker()
    direct = broker.partner()
    batch = make_batch(broker.server)
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd, batch=batch)
    settle()
    result = settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)
    assert result.lines == 0
    assert booked(direct) == Decimal("7.00")


def test_a_symbol_mapped_later_is_paid_by_the_difference():
    broker = Broker()
    direct = broker.partner()
    unmapped = broker.map("GOLD#", None)
    make_trade(broker.client_of(direct), server_symbol=unmapped)
    settle()
    unmapped.symbol = broker.gold.symbol
    unmapped.save()
    assert settle().booked == {"USD": "10.00"}


def test_what_concerns_a_closed_day_is_booked_in_the_open_one_and_refers_back():
    broker = Broker()
    direct = broker.partner()
    trade = make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    settle()
    close_day(entity_id=broker.entity.pk, business_day=MONDAY, actor=SYSTEM)
    correct_trade(trade, is_cancelled=True)
    settle_ingest_batch(ingest_batch_id=trade.batch_id, actor=SYSTEM)
    entry = JournalEntry.objects.get(kind="adjustment")
    assert (entry.business_day, entry.refers_to_day) == (TUESDAY, MONDAY)
    line = CommissionLine.objects.get(seq=1)
    assert (line.day, line.booked_day, line.amount) == (MONDAY, TUESDAY, Decimal(-7))
    assert_books_are_right()


def test_a_frozen_account_keeps_what_it_has_until_it_is_released():
    broker = Broker()
    direct, other = broker.partner(), broker.partner()
    trade = make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    other_trade = make_trade(broker.client_of(other), server_symbol=broker.eurusd)
    settle()
    LedgerAccount.objects.filter(kind="partner_accrued", owner_id=direct.pk).update(is_frozen=True)
    correct_trade(trade, is_cancelled=True)
    correct_trade(other_trade, is_cancelled=True)
    settle()
    assert (booked(direct), booked(other)) == (Decimal("7.00"), Decimal("0"))
    LedgerAccount.objects.filter(kind="partner_accrued", owner_id=direct.pk).update(is_frozen=False)
    settle()
    assert booked(direct) == Decimal("0")
    assert_books_are_right()


def test_a_recompiled_card_keeps_the_entries_that_are_still_true():
    broker = Broker()
    direct = broker.partner()
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    settle()
    kept = set(RateCardEntry.objects.filter(is_current=True).values_list("pk", flat=True))
    broker.partner()
    settle()
    current = set(RateCardEntry.objects.filter(is_current=True).values_list("pk", flat=True))
    assert kept < current
    assert not RateCardEntry.objects.filter(is_current=False).exists()
