"""Plans of every kind on real trades: what is measured, who shares it, what is left of it in the trades' order, and why."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest

from backoffice.core.books import verify_books
from backoffice.core.services import jobs
from ib.models import CommissionLine, NegotiatedRate, PartnerRank, RateCardEntry
from ib.selectors import coverage, explain_line, partners_excluded
from ib.services import plans
from ib.services.ordered import SETTLE_ORDERED
from ib.services.proof import prove_range
from ib.services.settlement import settle_ingest_batch, settle_range
from ib.services.validity import from_on
from ib.types import Coverage, Exclusion, RuleTerms, VersionTerms
from platform_ops.models import DealMarket
from tests.factories import ib as factory
from tests.factories.ib import LONG_AGO, Broker, booked
from tests.factories.platform import (
    MONDAY,
    SYSTEM,
    correct_trade,
    make_batch,
    make_deal,
    make_spec,
    make_symbol,
    make_trade,
    noon,
    put_in_book,
)

pytestmark = pytest.mark.django_db

NEXT_MONTH = (MONDAY.replace(day=1) + timedelta(days=40)).replace(day=1) + timedelta(days=3)
LAST = NEXT_MONTH + timedelta(days=25)
IB_CHECKS = [
    "ib.lines_equal_accruals",
    "ib.lines_equal_batches",
    "ib.line_sequence_gapless",
    "ib.default_partition_empty",
    "ledger.balances_equal_postings",
]


def lots(rate: str, **fields) -> RuleTerms:
    """An amount per lot; trades that closed another one count, for they are not what is looked at."""
    values = {"basis": "per_lot", "currency": "USD", "pays_close_by": True, **fields}
    return RuleTerms(rate=Decimal(rate), **values)


def share(basis: str, rate: str, **fields) -> RuleTerms:
    return RuleTerms(rate=Decimal(rate), basis=basis, **{"pays_close_by": True, **fields})


FIRST = MONDAY.replace(day=1)


def settle(from_day: date = FIRST, to_day: date = LAST):
    return settle_range(from_day=from_day, to_day=to_day, actor=SYSTEM)


def settled_and_proved() -> None:
    """Settles; a second run books nothing, every line is derived and explained to its cent, and the books add up."""
    settle()
    assert settle().lines == 0
    assert prove_range(from_day=MONDAY.replace(day=1), to_day=LAST, actor=SYSTEM).rows == ()
    for line in CommissionLine.objects.all():
        _, explanation = explain_line(actor=SYSTEM, reference=line.reference)
        assert explanation.agrees, (line.reference, explanation)
    found = verify_books(IB_CHECKS)
    assert found["ok"], found


def amounts(partner) -> list[str]:
    """By trade what is booked, in the order of the trades."""
    sums: dict[int, Decimal] = {}
    for line in CommissionLine.objects.filter(partner_id=partner.pk).order_by("trade_id"):
        sums[line.trade_id] = sums.get(line.trade_id, Decimal(0)) + line.amount
    return [f"{amount:.2f}" for amount in sums.values()]


def on(broker: Broker, *rules: RuleTerms, parent=None, money=None, ranks=()):
    """A partner on a plan of these rules, with a client's account."""
    plan = factory.make_plan_of(broker.entity, *rules, money=money, ranks=ranks)
    partner = broker.partner(plan=plan, parent=parent)
    return partner, broker.client_of(partner)


def trade(broker: Broker, account, size: str = "1", *, day: date = MONDAY, hours: int = 0, **fields):
    return make_trade(
        account, lots=size, at=noon(day) + timedelta(hours=hours), **{"server_symbol": broker.eurusd, **fields}
    )


def test_ranks_share_by_difference_and_a_promotion_counts_from_its_day():
    broker = Broker()
    ranks = [lots("3", rank="silver", distribution="difference"), lots("5", rank="gold", distribution="difference")]
    plan = factory.make_plan_of(broker.entity, *ranks, ranks=("silver", "gold"))
    top = broker.partner(plan=plan)
    low = broker.partner(plan=plan, parent=top)
    for partner, rank in ((top, "gold"), (low, "silver")):
        PartnerRank.objects.create(
            partner=partner, rank=rank, validity=from_on(LONG_AGO), source=PartnerRank.Source.AUTOMATIC
        )
    account = broker.client_of(low)
    trade(broker, account, "2")
    trade(broker, account, "2", day=MONDAY + timedelta(days=1))
    settled_and_proved()
    assert (amounts(low), amounts(top)) == (["6.00", "6.00"], ["4.00", "4.00"])
    # When the lower one is promoted from Tuesday on, only Tuesday changes
    held = PartnerRank.objects.get(partner=low)
    held.validity = type(held.validity)(held.validity.lower, noon(MONDAY) + timedelta(hours=8))
    held.save()
    PartnerRank.objects.create(
        partner=low,
        rank="gold",
        validity=from_on(noon(MONDAY) + timedelta(hours=8)),
        source="manual",
        reason="good work",
    )
    settled_and_proved()
    assert (amounts(low), amounts(top)) == (["6.00", "10.00"], ["4.00", "0.00"])


def test_a_client_with_a_rebate_is_a_node_that_is_paid_out_of_the_partners_share():
    broker = Broker()
    partner, _ = on(broker, lots("10", level=1))
    account = broker.client_of(None)
    trader = factory.make_partner(broker.brand, parent=partner, kind="trader", client_id=account.client_id)
    factory.refer(account.client, trader)
    NegotiatedRate.objects.create(
        partner=trader, allocation_percent=Decimal(30), validity=from_on(LONG_AGO), set_by=partner
    )
    trade(broker, account, "2")
    settled_and_proved()
    assert (amounts(trader), amounts(partner)) == (["6.00"], ["14.00"])
    assert CommissionLine.objects.get(partner_id=trader.pk).level == 0
    assert CommissionLine.objects.get(partner_id=partner.pk).level == 1


def test_a_hybrid_has_a_line_for_each_part_and_a_symbol_a_rate_of_its_own():
    broker = Broker()
    exotic = broker.map("EXOTIC", make_symbol("QQQUSD", group=broker.majors))
    partner, account = on(
        broker,
        lots("5"),
        lots("9", symbol_id=exotic.symbol_id),
        lots("1", component="extra", symbol_group_id=broker.metals.pk),
    )
    trade(broker, account)
    trade(broker, account, server_symbol=exotic)
    trade(broker, account, server_symbol=broker.gold)
    settled_and_proved()
    assert amounts(partner) == ["5.00", "9.00", "6.00"]
    assert [line.part for line in CommissionLine.objects.order_by("trade_id", "part")] == [0, 0, 0, 1]


def test_accounts_of_a_country_or_a_dimension_have_the_rate_of_their_class_at_the_time():
    broker = Broker()
    partner, account = on(broker, lots("5"), lots("8", country="CY"), lots("2", dimension="book", dimension_value="A"))
    trade(broker, account)
    settled_and_proved()
    assert amounts(partner) == ["5.00"]
    put_in_book(account, "A", start=noon(MONDAY) + timedelta(hours=6))
    trade(broker, account, day=MONDAY + timedelta(days=1))
    cyprus = broker.client_of(partner)
    type(cyprus.client).objects.filter(pk=cyprus.client_id).update(country="CY")
    trade(broker, cyprus)
    settled_and_proved()
    assert amounts(partner) == ["5.00", "2.00", "8.00"]


def test_points_turnover_profit_and_commission_are_measured_and_nothing_is_taken_for_zero():
    broker = Broker()
    make_spec(broker.eurusd.symbol, digits=5, contract_size=100_000)
    partner, account = on(
        broker,
        share("points", "2", component="points"),
        share("notional_per_million", "25", component="turnover"),
        share("client_profit_share", "10", component="profit"),
        share("spread_share", "20", component="spread"),
    )
    trade(broker, account, "2", profit="50")
    settled_and_proved()
    entries = dict(RateCardEntry.objects.values_list("pk", "component"))
    by_part = {entries[line.card_entry_id]: line.amount for line in CommissionLine.objects.all()}
    # 2 points of a dollar a lot each; 2 lots at 1.2 are 240,000; a tenth of 50; no market price at all
    assert by_part["points"] == Decimal("4.00")
    assert by_part["turnover"] == Decimal("6.00")
    assert by_part["profit"] == Decimal("5.00")
    assert "spread" not in by_part
    assert partners_excluded(actor=SYSTEM, day=MONDAY) == [(partner.reference, Exclusion.NO_MARKET_PRICE, 1)]
    [row] = coverage(actor=SYSTEM, from_day=MONDAY, to_day=MONDAY)
    assert row.status is Coverage.PAID


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"minimum_hold_seconds": 7_200}, Exclusion.HELD_TOO_SHORT),
        ({"maximum_hold_seconds": 60}, Exclusion.HELD_TOO_LONG),
        ({"minimum_lots": Decimal(2)}, Exclusion.TOO_FEW_LOTS),
        ({"side": "sell"}, Exclusion.OTHER_SIDE),
        ({"only_profitable": True}, Exclusion.NOT_PROFITABLE),
        ({"minimum_points": Decimal(100_000)}, Exclusion.TOO_FEW_POINTS),
    ],
)
def test_a_trade_that_a_condition_bars_is_excluded_with_the_reason(fields, reason):
    broker = Broker()
    make_spec(broker.eurusd.symbol, digits=5, contract_size=100_000)
    partner, account = on(broker, lots("5", **fields))
    trade(broker, account, profit="-1", opened_at=noon(MONDAY) - timedelta(hours=1))
    settled_and_proved()
    assert amounts(partner) == []
    [row] = coverage(actor=SYSTEM, from_day=MONDAY, to_day=MONDAY)
    assert (row.status, row.reason, row.trades) == (Coverage.EXCLUDED, reason, 1)


def test_marginal_tiers_pay_each_slice_its_own_rate_and_later_trades_are_tiered_again():
    # 5 a lot up to 10 lots, 6 from there, 8 from 20: 4, 8 and 10 lots
    broker = Broker()
    tiers = ((Decimal(10), Decimal(6)), (Decimal(20), Decimal(8)))
    fields = {
        "tier_measure": "lots",
        "tier_mode": "marginal",
        "tier_window": "this",
        "tier_scope": "own",
        "tiers": tiers,
    }
    partner, account = on(broker, lots("5", **fields))
    made = [trade(broker, account, size, hours=hour) for hour, size in enumerate(("4", "8", "10"))]
    settled_and_proved()
    assert amounts(partner) == ["20.00", "42.00", "64.00"]
    assert list(CommissionLine.objects.order_by("trade_id").values_list("tier_before", flat=True)) == [0, 4, 12]
    # When the first is cancelled the others move down, and only the differences are booked
    correct_trade(made[0], is_cancelled=True)
    settled_and_proved()
    assert amounts(partner) == ["0.00", "40.00", "58.00"]
    assert booked(partner) == Decimal("98.00")


def test_retroactive_tiers_pay_everything_the_rate_that_was_reached_and_the_prior_month_the_next_one():
    broker = Broker()
    fields = {
        "tier_measure": "lots",
        "tier_mode": "retroactive",
        "tier_scope": "team",
        "tiers": ((Decimal(10), Decimal(7)),),
    }
    partner, account = on(broker, lots("5", tier_window="this", **fields))
    later, other = on(broker, lots("5", tier_window="prior", **fields))
    for owner in (account, other):
        trade(broker, owner, "6")
        trade(broker, owner, "6", hours=1)
        trade(broker, owner, "1", day=NEXT_MONTH)
    settled_and_proved()
    assert amounts(partner) == ["42.00", "42.00", "5.00"]
    assert amounts(later) == ["30.00", "30.00", "7.00"]


def test_sp08_caps_pay_ten_of_eleven_orders_and_a_lifetime_ends_it():
    # 100 an order, 1 000 a client and day, here 1 050 for ever: 11 orders of 140 pay 10 × 100, the day after 50
    broker = Broker()
    caps = {"cap_per_order": Decimal(100), "cap_client_day": Decimal(1000), "cap_client_lifetime": Decimal(1050)}
    partner, account = on(broker, lots("140", **caps))
    for minute in range(11):
        make_trade(account, at=noon(MONDAY) + timedelta(minutes=minute), server_symbol=broker.eurusd)
    trade(broker, account, day=NEXT_MONTH)
    settled_and_proved()
    assert amounts(partner) == ["100.00"] * 10 + ["0.00", "50.00"]


def test_hg02_of_hedged_volume_the_larger_side_is_paid_once():
    broker = Broker()
    partner, account = on(broker, lots("10", hedged_once=True))
    for hour, (size, side) in enumerate((("1.5", 1), ("1.0", -1), ("0.8", -1))):
        trade(broker, account, size, hours=hour, side=side)
    settled_and_proved()
    assert booked(partner) == Decimal("18.00")
    assert amounts(partner) == ["15.00", "3.00"]
    rows = {row.reason: row.trades for row in coverage(actor=SYSTEM, from_day=MONDAY, to_day=MONDAY)}
    assert rows == {None: 2, Exclusion.HEDGED: 1}


def test_trades_in_any_order_of_arrival_earn_the_same_and_a_batch_leaves_its_month_to_the_worker():
    broker = Broker()
    fields = {"tier_measure": "lots", "tier_mode": "marginal", "tier_window": "this", "tier_scope": "own"}
    partner, account = on(broker, lots("5", **fields, tiers=((Decimal(2), Decimal(9)),)))
    for hour in (3, 1, 2):
        batch = make_batch(broker.server)
        trade(broker, account, "1", hours=hour, batch=batch)
        settle_ingest_batch(ingest_batch_id=batch.pk, actor=SYSTEM)
        jobs.run_ready(kind=SETTLE_ORDERED, owner="test")
    by_time = {line.trade_id: Decimal(0) for line in CommissionLine.objects.all()}
    for line in CommissionLine.objects.all():
        by_time[line.trade_id] += line.amount
    assert sorted(by_time.values()) == [Decimal(5), Decimal(5), Decimal(9)]
    settled_and_proved()
    assert booked(partner) == Decimal(19)


def test_the_mode_of_rounding_and_the_currency_are_the_versions():
    broker = Broker()
    factory.quote(MONDAY, USD="1.25")
    plan = factory.make_plan_of(
        broker.entity,
        lots("1.111"),
        money=VersionTerms(reward_currency="EUR", rounding_mode="down", rounding_decimals=1),
    )
    partner = broker.partner(plan=plan)
    account = broker.client_of(partner)
    trade(broker, account)
    settled_and_proved()
    line = CommissionLine.objects.get(partner_id=partner.pk)
    # 1.111 USD are 0.8888 EUR, of which one digit is left
    assert (line.amount, line.currency) == (Decimal("0.8"), "EUR")


def test_half_the_weight_pays_half_and_own_trades_only_where_the_plan_says_so():
    broker = Broker()
    plan = plans.create_plan(entity_id=broker.entity.pk, code="weighed", name="Weighed", actor=SYSTEM)
    draft = plans.draft_version(plan_id=plan.pk, actor=SYSTEM)
    plans.set_weight(version_id=draft.pk, weight=Decimal("0.5"), symbol_group_id=broker.metals.pk, actor=SYSTEM)
    plans.add_rule(version_id=draft.pk, terms=lots("8"), actor=SYSTEM)
    plans.publish_version(version_id=draft.pk, valid_from=LONG_AGO, actor=SYSTEM)
    partner = broker.partner(plan=plan)
    account = broker.client_of(partner)
    trade(broker, account)
    trade(broker, account, server_symbol=broker.gold)
    settled_and_proved()
    assert amounts(partner) == ["8.00", "4.00"]
    # The client turns out to be the partner: own trades, which this plan does not pay
    type(partner).objects.filter(pk=partner.pk).update(client_id=account.client_id)
    settled_and_proved()
    assert amounts(partner) == ["0.00", "0.00"]
    factory.publish_terms(plan, lots("8"), since=LONG_AGO, money=VersionTerms(pays_own_trades=True))
    settled_and_proved()
    assert amounts(partner) == ["8.00", "4.00"]


def test_a_share_of_the_spread_is_capped_and_guarded_against_news():
    # A market of 20 points at the opening and 10 at the closing; a point is worth a dollar a lot
    broker = Broker()
    make_spec(broker.eurusd.symbol, digits=5, contract_size=100_000, pip_size=Decimal("0.0001"))
    type(broker.eurusd.symbol).objects.filter(pk=broker.eurusd.symbol_id).update(profit_currency="USD")
    shares = {
        "plain": {},
        "capped": {"spread_cap_points": Decimal(15)},
        "halves": {"spread_sides": "half_half"},
        "guarded": {"average_spread_points": Decimal(10)},
    }
    _, account = on(broker, *(share("spread_share", "50", component=name, **more) for name, more in shares.items()))
    made = trade(broker, account, "2")
    opening = make_deal(
        account=account,
        server_symbol=broker.eurusd,
        kind=0,
        entry=0,
        position_ticket=made.position_ticket,
        at=made.opened_at,
        volume_lots=Decimal(2),
    )
    for deal, points in ((opening, 20), (made, 10)):
        DealMarket.objects.create(
            server=broker.server,
            ticket=deal.ticket,
            leg=deal.leg,
            bid=Decimal("1.1"),
            ask=Decimal("1.1") + Decimal(points) / 100_000,
            stated_as_of=noon(MONDAY),
        )
    settled_and_proved()
    entries = dict(RateCardEntry.objects.values_list("pk", "component"))
    found = {entries[line.card_entry_id]: f"{line.amount:.2f}" for line in CommissionLine.objects.all()}
    assert found == {"plain": "20.00", "capped": "15.00", "halves": "15.00", "guarded": "10.00"}
