"""Settlements at the same time, in real transactions: whatever meets, every trade is paid once."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from functools import partial

import pytest

from backoffice.core.books import verify_books
from backoffice.kernel.errors import Conflict
from ib.engine.partitions import ensure_line_partitions, missing_partitions
from ib.models import CommissionLine, PartnerEdge, RateCardVersion, SettlementBatch
from ib.services.card import compile_rate_card
from ib.services.settlement import settle_ingest_batch, settle_range
from ib.services.tree import place_partner
from tests.factories import ib as factory
from tests.factories.ib import Broker, after, booked
from tests.factories.platform import MONDAY, SYSTEM, correct_trade, make_batch, make_trade
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


def settle():
    return settle_range(from_day=MONDAY, to_day=MONDAY + timedelta(days=4), actor=SYSTEM)


def test_two_runs_over_the_same_days_pay_every_trade_once():
    broker = Broker()
    direct = broker.partner(parent=broker.partner())
    account = broker.client_of(direct)
    for number in range(12):
        make_trade(account, day=MONDAY + timedelta(days=number % 4), server_symbol=broker.eurusd)
    results = at_once(settle, settle)
    assert sum(result.lines for result in results) == 24
    assert CommissionLine.objects.count() == 24
    assert booked(direct) == Decimal("84.00")
    assert verify_books()["ok"]


def test_one_ingest_batch_taken_by_four_workers_is_settled_once():
    broker = Broker()
    direct = broker.partner()
    batch = make_batch(broker.server)
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd, batch=batch)
    at_once(*[partial(settle_ingest_batch, ingest_batch_id=batch.pk, actor=SYSTEM)] * 4)
    assert booked(direct) == Decimal("7.00")
    assert SettlementBatch.objects.count() == 1


def test_a_batch_and_a_run_over_its_day_pay_every_trade_once():
    broker = Broker()
    direct = broker.partner()
    account = broker.client_of(direct)
    batches = [make_batch(broker.server) for _ in range(3)]
    for batch in batches:
        make_trade(account, server_symbol=broker.eurusd, batch=batch)
    at_once(settle, *(partial(settle_ingest_batch, ingest_batch_id=batch.pk, actor=SYSTEM) for batch in batches))
    assert booked(direct) == Decimal("21.00")
    assert verify_books()["ok"]


def test_a_correction_settled_while_the_first_booking_runs_ends_with_the_corrected_amount():
    broker = Broker()
    direct = broker.partner()
    trade = make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    first = trade.batch_id
    correct_trade(trade, is_cancelled=True)
    at_once(
        partial(settle_ingest_batch, ingest_batch_id=first, actor=SYSTEM),
        partial(settle_ingest_batch, ingest_batch_id=trade.batch_id, actor=SYSTEM),
        settle,
    )
    settle()
    assert booked(direct) == Decimal(0)
    assert verify_books()["ok"]


def test_a_move_and_a_plan_change_during_a_run_are_booked_by_the_next_at_the_latest():
    broker = Broker()
    old, new = broker.partner(), broker.partner()
    direct = broker.partner(parent=old)
    make_trade(broker.client_of(direct), server_symbol=broker.eurusd)
    at_once(
        settle,
        partial(place_partner, partner_id=direct.pk, parent_id=new.pk, valid_from=after(MONDAY), actor=SYSTEM),
        partial(factory.publish, broker.plan, (None, 1, "5", "USD"), (None, 2, "3", "USD"), since=after(MONDAY)),
    )
    settle()
    assert (booked(direct), booked(old), booked(new)) == (Decimal("5.00"), Decimal(0), Decimal("3.00"))
    assert verify_books()["ok"]


def test_two_moves_that_would_make_a_circle_cannot_both_succeed():
    broker = Broker()
    one, two = broker.partner(), broker.partner()
    results = at_once(
        partial(place_partner, partner_id=one.pk, parent_id=two.pk, valid_from=after(MONDAY), actor=SYSTEM),
        partial(place_partner, partner_id=two.pk, parent_id=one.pk, valid_from=after(MONDAY), actor=SYSTEM),
    )
    refused = [result for result in results if isinstance(result, Conflict)]
    assert [error.code for error in refused] == ["tree_cycle"]
    assert PartnerEdge.objects.count() == 1


def test_partitions_asked_for_by_many_at_once_are_made_once():
    # Given days without partitions (an earlier run on the same database may have left some)
    days = missing_partitions(MONDAY + timedelta(days=400 + number) for number in range(1000))[:3]
    made = at_once(*[partial(ensure_line_partitions, days)] * 4)
    assert sum(made) == 3
    assert missing_partitions(days) == []


def test_the_card_compiled_by_many_at_once_has_one_active_version():
    broker = Broker()
    broker.partner()
    at_once(*[partial(compile_rate_card, actor=SYSTEM)] * 4)
    assert RateCardVersion.objects.count() == 1
