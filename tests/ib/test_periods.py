"""Published figures of revenue shares, carried losses, rewards per client and clawbacks, through the real services."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from backoffice.core.books import verify_books
from backoffice.core.models import WorkItem
from funding.ledger.models import JournalEntry, LedgerAccount
from funding.ledger.services.periods import close_day
from ib.models import CarryBalance, PeriodLine, PeriodMark
from ib.services.client_events import reverse_client_event
from ib.services.periods import prove_partner, prove_periods, settle_partner
from ib.services.settlement import settle_range
from tests.factories import ib as factory
from tests.factories import periods
from tests.factories.periods import APRIL, MARCH, House, earned, make_period_plan, rule, settle, tell
from tests.factories.platform import SYSTEM, make_trade

pytestmark = pytest.mark.django_db

D = Decimal


def at(day: date, hours: int = 12) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours)


def accrued(partner) -> Decimal:
    account = LedgerAccount.objects.filter(kind="partner_accrued", owner_type="partner", owner_id=partner.pk).first()
    return account.balance.balance if account else D(0)


def assert_settled(*partners) -> None:
    """The accrued accounts hold what the lines say, a second settlement books nothing, and the books are right."""
    assert settle() == 0
    for partner in partners:
        assert settle_partner(partner_id=partner.pk, from_day=MARCH, actor=SYSTEM).lines == 0
        assert prove_partner(partner=partner, from_period=MARCH) == []
    proof = prove_periods(from_day=MARCH, to_day=date(2026, 6, 30), actor=SYSTEM)
    assert proof.ok and proof.lines > 0
    found = verify_books(
        [
            "ib.period_lines_equal_accruals",
            "ib.period_lines_equal_settlements",
            "ib.period_line_sequence_gapless",
            "ib.period_lines_explained",
            "ib.carried_losses_chain",
            "ib.rewards_once",
            "ledger.entries_balance",
        ]
    )
    assert [check for check in found["checks"] if not check["ok"]] == []


def test_nc01_a_loss_of_march_is_set_off_in_april():
    # Given 30 % of net revenue with losses carried over; March −10 000, April +15 000
    house = House()
    partner = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "30"), carry_over="plan"))
    account = house.client_of(partner)
    house.loses(account, "-10000", date(2026, 3, 10))
    house.loses(account, "15000", date(2026, 4, 10))
    # When the periods are settled
    settle()
    # Then March pays 0 and April 30 % of 5 000
    assert earned(partner, MARCH) == 0
    assert earned(partner, APRIL) == D("1500")
    assert accrued(partner) == D("1500")
    assert earned(partner, MARCH, "net_revenue") == D("-3000")
    assert_settled(partner)
    # And without carrying over each month stands alone
    plain = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "30")))
    other = house.client_of(plain)
    house.loses(other, "-10000", date(2026, 3, 10))
    house.loses(other, "15000", date(2026, 4, 10))
    settle()
    assert (earned(plain, MARCH), earned(plain, APRIL)) == (D(0), D("4500"))


def test_nc03_a_balance_opens_with_the_loss_of_the_month_before_or_with_nothing():
    # Given January +2 000 and February −1 500 as shares (100 %)
    house = House()
    january, february = date(2026, 1, 1), date(2026, 2, 1)
    for policy, opening in (("plan", D("-1500")), ("none", D(0))):
        partner = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "100"), carry_over=policy))
        account = house.client_of(partner)
        house.loses(account, "2000", date(2026, 1, 13))
        house.loses(account, "-1500", date(2026, 2, 10))
        house.loses(account, "100", date(2026, 3, 10))
        settle()
        # Then January is paid, February pays nothing, and March opens with the loss only where it is carried
        assert (earned(partner, january), earned(partner, february)) == (D(2000), D(0))
        balance = CarryBalance.objects.filter(partner=partner, period=MARCH).first()
        assert (balance.opening if balance else D(0)) == opening
        assert earned(partner, MARCH) == (D(0) if policy == "plan" else D(100))


def test_nc05_and_ncx1_costs_are_taken_off_before_the_share_and_a_loss_keeps_its_own_figure():
    # Given 40 % of net revenue: loss of the client 27 000, bonus 1 000, fees 500, royalty 1 200
    house = House()
    partner = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "40"), carry_over="plan"))
    account = house.client_of(partner)
    house.loses(account, "27000", date(2026, 3, 10))
    for kind, amount in (("bonus", "1000"), ("fee", "500"), ("royalty", "1200")):
        tell(account.client_id, kind, amount, at=at(date(2026, 3, 12)))
    # And in April a win of 15 000 with bonus 500, fees 300, royalty 700: the page's −5 400 forgot a sign
    house.loses(account, "-15000", date(2026, 4, 14))
    for kind, amount in (("bonus", "500"), ("fee", "300"), ("royalty", "700")):
        tell(account.client_id, kind, amount, at=at(date(2026, 4, 15)))
    settle()
    assert earned(partner, MARCH) == D("9720")
    assert (earned(partner, APRIL, "net_revenue"), earned(partner, APRIL)) == (D("-6600"), D(0))
    line = PeriodLine.objects.get(partner=partner, period=MARCH, kind="net_revenue")
    assert [(part.code, part.amount) for part in line.parts.all() if part.amount] == [
        ("client_loss", D(27000)),
        ("bonus", D(-1000)),
        ("fee", D(-500)),
        ("royalty", D(-1200)),
    ]
    assert_settled(partner)


def test_losses_are_capped_lapse_and_weigh_on_the_whole_partner_where_the_plan_says_so():
    # Given three partners with the same loss of 1 000 in March and earnings of 300 in each of three months after
    house = House()
    policies = {
        "cap": {"carry_over": "plan", "carry_cap": D(400)},
        "months": {"carry_over": "plan", "carry_reset_months": 1},
        "plain": {"carry_over": "plan"},
    }
    paid = {}
    for name, policy in policies.items():
        partner = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "100"), **policy))
        account = house.client_of(partner)
        house.loses(account, "-1000", date(2026, 3, 10))
        for month in (4, 5, 6):
            house.loses(account, "300", date(2026, month, 14))
        settle()
        paid[name] = [earned(partner, date(2026, month, 1)) for month in (3, 4, 5, 6)]
        assert_settled(partner)
    # Then a cap of 400 leaves 400 to earn back, one month lets the rest lapse, and otherwise nothing is paid yet
    assert paid == {"cap": [0, 0, D(200), D(300)], "months": [0, 0, D(300), D(300)], "plain": [0, 0, 0, 0]}


def test_a_loss_of_the_partner_is_set_off_against_rewards_too():
    rules = (
        rule("net_revenue_share", "50"),
        rule("cpa", "250", currency="USD", component="cpa", minimum_deposit="100", window_hours=24),
    )
    house = House()
    paid = {}
    for scope in ("plan", "partner"):
        partner = house.partner(make_period_plan(house.brand, *rules, carry_over=scope))
        account = house.client_of(partner)
        tell(account.client_id, "deposit", "200", at=at(date(2026, 3, 3)))
        house.loses(account, "-200", date(2026, 3, 10))
        settle()
        paid[scope] = earned(partner, MARCH)
        assert_settled(partner)
    assert paid == {"plan": D(250), "partner": D(150)}


def test_the_head_of_a_group_bears_what_those_below_carry_and_gets_it_back():
    # Given a master with 10 % of the level below and losses carried by the group; a sub-partner with 40 % of their own
    house = House()
    group = make_period_plan(house.brand, rule("net_revenue_share", "10"), carry_over="group")
    alone = make_period_plan(house.brand, rule("net_revenue_share", "10"), carry_over="plan")
    own = make_period_plan(house.brand, rule("net_revenue_share", "40", level=1), carry_over="plan")
    paid = {}
    for name, plan in (("group", group), ("alone", alone)):
        master = house.partner(plan)
        sub = house.partner(own, parent=master)
        house.loses(house.client_of(master), "10000", date(2026, 3, 10))
        account = house.client_of(sub)
        house.loses(account, "-1000", date(2026, 3, 10))
        house.loses(account, "1000", date(2026, 4, 14))
        settle()
        paid[name] = (earned(master, MARCH), earned(master, APRIL), earned(sub))
        assert_settled(master, sub)
    # Then alone the master has 10 % of 9 000 and of 1 000; with the group the sub-partner's −400 weighs on March
    assert paid == {"group": (D(500), D(500), D(0)), "alone": (D(900), D(100), D(0))}


def test_tr01_tr02_and_tr06_tiers_by_turnover_marginal_bands_a_minimum_and_conversion():
    house = House()
    # TR-01: 45 % of 1 000
    plain = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "45")))
    house.loses(house.client_of(plain), "1000", date(2026, 3, 10))
    # TR-02: 20 000 USD ÷ 1.25 = 16 000 GBP; the tier of the lots says 20 %
    factory.quote(date(2026, 3, 10), USD="1.25", GBP="1")
    converted = house.partner(
        make_period_plan(
            house.brand,
            rule(
                "net_revenue_share", "10", tiers=(("100", "20"),),
                tier_measure="lots", tier_mode="retroactive", tier_window="this", tier_scope="own",
            ),
        ),
        currency="GBP",
    )  # fmt: skip
    house.loses(house.client_of(converted), "20000", date(2026, 3, 10), lots="250")
    # TR-06: 1 % to 300 k, 0.5 % above, at least 1 000
    bands = rule(
        "net_revenue_share", "1", tiers=(("300000", "0.5"),), minimum_amount="1000",
        tier_measure="revenue", tier_mode="marginal", tier_window="this", tier_scope="own",
    )  # fmt: skip
    plan = make_period_plan(house.brand, bands)
    figures = {"50000": "1000", "100000": "1000", "200000": "2000", "400000": "3500", "800000": "5500"}
    partners = {}
    for base in figures:
        partners[base] = house.partner(plan)
        house.loses(house.client_of(partners[base]), base, date(2026, 3, 10))
    settle()
    assert earned(plain) == D(450)
    assert earned(converted) == D(3200)
    assert {base: earned(partner) for base, partner in partners.items()} == {k: D(v) for k, v in figures.items()}
    assert_settled(plain, converted, *partners.values())


def test_tiers_of_the_prior_month_and_of_the_team():
    house = House()
    tier = {"tier_measure": "lots", "tier_mode": "retroactive"}
    prior = make_period_plan(
        house.brand,
        rule("net_revenue_share", "10", level=1, tiers=(("5", "30"),), tier_window="prior", tier_scope="own", **tier),
    )
    team = make_period_plan(
        house.brand,
        rule("net_revenue_share", "10", level=1, tiers=(("5", "30"),), tier_window="this", tier_scope="team", **tier),
    )
    by_prior, master = house.partner(prior), house.partner(team)
    sub = house.partner(None, parent=master)
    account = house.client_of(by_prior)
    house.loses(account, "100", date(2026, 3, 10), lots="5")
    house.loses(account, "100", date(2026, 4, 14), lots="1")
    house.loses(house.client_of(master), "100", date(2026, 3, 10), lots="2")
    house.loses(house.client_of(sub), "100", date(2026, 3, 10), lots="3")
    settle()
    assert (earned(by_prior, MARCH), earned(by_prior, APRIL)) == (D(10), D(30))
    assert earned(master) == D(30)


def test_cp02_and_cp04_what_is_paid_in_within_a_day_and_every_condition_together():
    # Given 250 for a client with 100 paid in within 24 hours, 5 lots and 80 of commission and spread
    house = House()
    partner = house.partner(
        make_period_plan(
            house.brand,
            rule("cpa", "250", currency="USD", minimum_deposit="100", window_hours=24, minimum_lots_total="5",
                 qualify_days=720),
        )
    )  # fmt: skip
    early, late, poor = (house.client_of(partner) for _ in range(3))
    for account, hours in ((early, 23), (late, 25)):
        tell(account.client_id, "deposit", "60", at=at(date(2026, 3, 3), 12))
        tell(account.client_id, "deposit", "60", at=at(date(2026, 3, 3), 12 + hours))
    tell(poor.client_id, "deposit", "500", at=at(date(2026, 3, 3)))
    for account in (early, late):
        make_trade(account, day=date(2026, 3, 5), lots="3", server_symbol=house.broker.eurusd)
        make_trade(account, day=date(2026, 4, 7), lots="2", server_symbol=house.broker.eurusd)
    make_trade(poor, day=date(2026, 3, 5), lots="4.99", server_symbol=house.broker.eurusd)
    # When settled
    settle()
    # Then only the first one has earned the reward, on the day of the fifth lot, and the others say what is lacking
    assert earned(partner) == D(250)
    assert earned(partner, APRIL) == D(250)
    assert periods.claim_of(early).state == "qualified"
    assert periods.claim_of(early).qualified_at.date() == date(2026, 4, 7)
    assert (periods.claim_of(late).state, periods.claim_of(late).missing) == (
        "waiting",
        ["first deposit: 60 of 100 USD"],
    )
    assert periods.claim_of(poor).missing == ["volume: 4.99 of 5 lots"]
    assert_settled(partner)


def test_cp03_what_is_not_qualified_in_time_expires_with_the_reason():
    house = House()
    partner = house.partner(
        make_period_plan(house.brand, rule("cpa", "250", currency="USD", minimum_lots_total="5", qualify_days=30))
    )
    account = house.client_of(partner)
    tell(account.client_id, "deposit", "500", at=at(date(2026, 3, 3)))
    make_trade(account, day=date(2026, 4, 7), lots="50", server_symbol=house.broker.eurusd)
    settle()
    claim = periods.claim_of(account)
    assert (claim.state, claim.reason, earned(partner)) == ("expired", "not qualified in time", D(0))


def test_cp04_a_reward_asks_for_company_within_the_month():
    house = House()
    partner = house.partner(
        make_period_plan(house.brand, rule("cpa", "1000", currency="USD", minimum_active_clients=3))
    )
    two = [house.client_of(partner) for _ in range(2)]
    three = [house.client_of(partner) for _ in range(3)]
    for account in two:
        tell(account.client_id, "deposit", "100", at=at(date(2026, 3, 3)))
    for account in three:
        tell(account.client_id, "deposit", "100", at=at(date(2026, 4, 7)))
    settle()
    assert (earned(partner, MARCH), earned(partner, APRIL)) == (D(0), D(3000))
    assert periods.claim_of(two[0]).reason == "only 2 of 3 clients qualified in March 2026"


def test_cp06_the_partner_above_has_a_reward_of_their_own_and_one_client_pays_once():
    # Given 250 at level 1, 40 at level 2
    house = House()
    plan = make_period_plan(
        house.brand,
        rule("cpa", "250", currency="USD", level=1, component="cpa", position=0),
        rule("cpa", "40", currency="USD", level=2, component="cpa", position=1),
    )
    top = house.partner(plan)
    direct, other = house.partner(plan, parent=top), house.partner(plan, parent=top)
    account = house.client_of(direct)
    tell(account.client_id, "deposit", "500", at=at(date(2026, 3, 3)))
    # And the client moves to another partner afterwards, and pays in again there
    from ib.services.referrals import refer_client

    refer_client(client_id=account.client_id, partner_id=other.pk, valid_from=at(date(2026, 4, 1)), actor=SYSTEM)
    tell(account.client_id, "deposit", "500", at=at(date(2026, 4, 8)))
    settle()
    assert (earned(direct), earned(top), earned(other)) == (D(250), D(40), D(0))
    assert_settled(top, direct, other)


def test_an_override_is_a_percentage_of_what_those_below_earned():
    house = House()
    own = make_period_plan(house.brand, rule("net_revenue_share", "30", level=1))
    above = make_period_plan(
        house.brand,
        rule("net_revenue_share", "10", level=1, distribution="override", override_of="direct", funded_by="broker"),
    )
    top = house.partner(above)
    middle = house.partner(own, parent=top)
    low = house.partner(own, parent=middle)
    house.loses(house.client_of(middle), "1000", date(2026, 3, 10))
    house.loses(house.client_of(low), "5000", date(2026, 3, 10))
    settle()
    # Then the top has 10 % of the 300 of the one directly below, not of the 1 500 further down
    assert (earned(middle), earned(low), earned(top)) == (D(300), D(1500), D(30))
    assert_settled(top, middle, low)


def test_an_amount_for_each_active_client_by_the_rules_own_definition():
    house = House()
    partner = house.partner(
        make_period_plan(house.brand, rule("per_active_client", "15", currency="USD", minimum_lots_total="2"))
    )
    active, idle = house.client_of(partner), house.client_of(partner)
    make_trade(active, day=date(2026, 3, 5), lots="1.5", server_symbol=house.broker.eurusd)
    make_trade(active, day=date(2026, 3, 9), lots="0.5", server_symbol=house.broker.eurusd)
    make_trade(idle, day=date(2026, 3, 9), lots="1.99", server_symbol=house.broker.eurusd)
    make_trade(active, day=date(2026, 4, 7), lots="1", server_symbol=house.broker.eurusd)
    settle()
    assert (earned(partner), earned(partner, MARCH)) == (D(15), D(15))
    assert_settled(partner)


def test_cb01_a_chargeback_takes_back_the_disputed_commission_and_a_withdrawal_nothing():
    # Given 7 a lot by the trade, and a client who pays in 1 000 on 3 March and trades 10 lots before and 10 after it
    house = House()
    partner = house.partner(house.broker.plan)
    account, calm = house.client_of(partner), house.client_of(partner)
    for own in (account, calm):
        tell(own.client_id, "deposit", "1000", at=at(date(2026, 3, 3)))
        make_trade(own, day=date(2026, 3, 2), lots="10", server_symbol=house.broker.eurusd)
        make_trade(own, day=date(2026, 3, 5), lots="10", server_symbol=house.broker.eurusd)
        make_trade(own, day=date(2026, 5, 5), lots="10", server_symbol=house.broker.eurusd)
    settle_range(from_day=date(2026, 3, 1), to_day=date(2026, 5, 31), actor=SYSTEM)
    assert accrued(partner) == D(420)
    # When 250 of it are charged back in April, and the calm one withdraws everything
    cause = tell(account.client_id, "chargeback", "250", at=at(date(2026, 4, 7)))
    tell(calm.client_id, "withdrawal", "1000", at=at(date(2026, 4, 7)))
    settle()
    # Then a quarter of what the days from the deposit to the chargeback brought is taken back: 70 × 25 %
    line = PeriodLine.objects.get(partner=partner)
    assert (line.kind, line.amount, line.cause_event, line.period) == ("clawback", D("-17.50"), cause, APRIL)
    assert accrued(partner) == D("402.50")
    # And a second chargeback of the rest takes the rest, never more
    tell(account.client_id, "chargeback", "900", at=at(date(2026, 4, 8)), disputed_from=at(date(2026, 3, 3)))
    settle()
    assert earned(partner) == D(-70)
    # And what was told wrongly is taken out again
    reverse_client_event(event_id=cause.pk, reference="undo-1", reason="told twice", actor=SYSTEM)
    settle()
    assert earned(partner) == D(-63)
    assert_settled(partner)


def test_fraud_takes_back_everything_of_the_client_from_its_date_the_reward_and_the_share_too():
    house = House()
    plan = make_period_plan(
        house.brand,
        rule("net_revenue_share", "10"),
        rule("cpa", "250", currency="USD", component="cpa"),
        rule("per_active_client", "15", currency="USD", component="active"),
        rule("per_lot", "7", currency="USD", component="lots"),
    )
    partner = house.partner(plan)
    account, honest = house.client_of(partner), house.client_of(partner)
    for own in (account, honest):
        tell(own.client_id, "deposit", "1000", at=at(date(2026, 3, 3)))
        house.loses(own, "600", date(2026, 3, 10))
        house.loses(own, "400", date(2026, 3, 20))
    settle()
    before = earned(partner)
    assert before == D(100 + 100 + 500 + 30)
    tell(account.client_id, "fraud", at=at(date(2026, 3, 15)))
    settle()
    # Then the reward (250), the activity (15) and the share of what came after the date (40) go
    assert earned(partner, kind="clawback") == D(-305)
    tell(honest.client_id, "chargeback", "1000", at=at(date(2026, 6, 9)))
    settle()
    assert earned(partner) == D(730 - 305 - 250 - 15 - 100)
    assert_settled(partner)


def test_a_chargeback_after_the_days_of_clawback_leaves_the_reward():
    house = House()
    partner = house.partner(
        make_period_plan(house.brand, rule("cpa", "250", currency="USD", minimum_deposit="100", clawback_days=60))
    )
    soon, late = house.client_of(partner), house.client_of(partner)
    for own in (soon, late):
        tell(own.client_id, "deposit", "100", at=at(date(2026, 3, 3)))
    tell(soon.client_id, "chargeback", "10", at=at(date(2026, 4, 7)))
    tell(late.client_id, "chargeback", "100", at=at(date(2026, 6, 9)))
    settle()
    assert (earned(partner, kind="cpa"), earned(partner, kind="clawback")) == (D(500), D(-250))
    assert (periods.claim_of(soon).state, periods.claim_of(soon).reason) == ("clawed_back", "chargeback")
    assert periods.claim_of(late).state == "qualified"


def test_a_person_declines_a_reward_with_a_reason_and_the_books_follow():
    from ib.services.rewards import decline_reward, restore_reward

    house = House()
    partner = house.partner(make_period_plan(house.brand, rule("cpa", "250", currency="USD")))
    account = house.client_of(partner)
    tell(account.client_id, "deposit", "100", at=at(date(2026, 3, 3)))
    settle()
    claim = periods.claim_of(account)
    decline_reward(claim_id=claim.pk, reason="The same person twice.", actor=SYSTEM)
    settle()
    claim.refresh_from_db()
    assert (claim.state, claim.reason, earned(partner), accrued(partner)) == (
        "declined", "The same person twice.", D(0), D(0),
    )  # fmt: skip
    restore_reward(claim_id=claim.pk, reason="They are twins.", actor=SYSTEM)
    settle()
    assert accrued(partner) == D(250)
    assert_settled(partner)


def test_late_news_about_a_closed_period_is_an_adjustment_in_the_open_one():
    house = House()
    partner = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "40")))
    account = house.client_of(partner)
    house.loses(account, "1000", date(2026, 3, 10))
    settle()
    close_day(entity_id=partner.entity_id, business_day=date(2026, 4, 30), actor=SYSTEM)
    tell(account.client_id, "bonus", "100", at=at(date(2026, 3, 12)))
    settle()
    line = PeriodLine.objects.get(partner=partner, seq=1)
    assert (line.amount, line.day, line.booked_day) == (D(-40), date(2026, 3, 31), date(2026, 5, 1))
    entry = JournalEntry.objects.get(source_type="ib.period_settlement", source_id=line.settlement_id)
    assert (entry.kind, entry.business_day, entry.refers_to_day) == ("adjustment", date(2026, 5, 1), date(2026, 3, 31))
    assert_settled(partner)


def test_a_frozen_account_waits_with_what_it_would_give_back():
    from funding.ledger.services.accounts import freeze_account, release_account
    from ib.services.periods import settle_due

    house = House()
    partner = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "40")))
    account = house.client_of(partner)
    house.loses(account, "1000", date(2026, 3, 10))
    settle()
    held = LedgerAccount.objects.get(kind="partner_accrued", owner_id=partner.pk)
    freeze_account(account_id=held.pk, actor=SYSTEM, reason="under review")
    tell(account.client_id, "bonus", "100", at=at(date(2026, 3, 12)))
    assert [result.waiting for result in settle_due(actor=SYSTEM)] == [
        "The partner's accrued account is frozen; what is taken back waits."
    ]
    assert (accrued(partner), PeriodMark.objects.exclude(problem="").count()) == (D(400), 1)
    item = WorkItem.objects.get(kind="ib.periods_wait")
    assert (item.state, item.entity_id, item.target_id) == ("open", partner.entity_id, str(partner.pk))
    assert item.evidence["why"] == "The partner's accrued account is frozen; what is taken back waits."
    release_account(account_id=held.pk, actor=SYSTEM, reason="cleared")
    settle()
    assert accrued(partner) == D(360)
    item.refresh_from_db()
    assert item.state == "closed"
    assert_settled(partner)


def test_a_missing_rate_waits_and_says_so_and_nothing_is_taken_for_zero():
    from ib.services.periods import settle_due

    house = House()
    partner = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "40")), currency="JPY")
    house.loses(house.client_of(partner), "1000", date(2026, 3, 10))
    waiting = [result.waiting for result in settle_due(actor=SYSTEM)]
    assert waiting == ["No reference rate from USD to JPY on 2026-03-10."]
    factory.quote(date(2026, 3, 10), USD="1", JPY="150.5")
    settle()
    assert earned(partner) == D(60200)


def test_trades_without_a_market_price_are_counted_and_said():
    from ib.selectors.period_lines import explain_period_line

    house = House()
    partner = house.partner(make_period_plan(house.brand, rule("net_revenue_share", "50")))
    account = house.client_of(partner, book="A")
    make_trade(account, day=date(2026, 3, 10), server_symbol=house.broker.eurusd)
    tell(account.client_id, "fee", "10", at=at(date(2026, 3, 12)))
    settle()
    line = PeriodLine.objects.get(partner=partner, period=MARCH, kind="net_revenue")
    parts = {part.code: (part.amount, part.count, part.unknown) for part in line.parts.all()}
    assert parts["spread"] == (D(0), 0, 1)
    _, explanation = explain_period_line(actor=SYSTEM, reference=line.reference)
    assert explanation.agrees
    assert any("1 trade could not be valued" in step.text for step in explanation.steps)


def test_a_change_of_plan_and_a_move_in_the_tree_in_the_past_book_only_the_difference():
    from ib.services.tree import place_partner

    house = House()
    plan = make_period_plan(house.brand, rule("net_revenue_share", "30", level=1))
    above = make_period_plan(house.brand, rule("net_revenue_share", "10", level=2))
    old, new = house.partner(above), house.partner(above)
    partner = house.partner(plan, parent=old)
    account = house.client_of(partner)
    house.loses(account, "1000", date(2026, 3, 10))
    house.loses(account, "1000", date(2026, 3, 20))
    settle()
    assert (earned(partner), earned(old), earned(new)) == (D(600), D(200), D(0))
    # When the plan pays 40 % from 16 March on, and the partner stands elsewhere from then on
    make_period_plan(
        house.brand, rule("net_revenue_share", "40", level=1), plan=plan, since=datetime(2026, 3, 16, tzinfo=UTC)
    )
    place_partner(partner_id=partner.pk, parent_id=new.pk, valid_from=datetime(2026, 3, 16, tzinfo=UTC), actor=SYSTEM)
    settle()
    assert (earned(partner), earned(old), earned(new)) == (D(700), D(100), D(100))
    assert_settled(partner, old, new)


def test_a_partner_reads_their_own_lines_and_never_who_the_clients_of_others_are(client):
    from backoffice.core.types import Role
    from tests.logins import log_in, make_user

    house = House()
    plan = make_period_plan(house.brand, rule("cpa", "40", currency="USD"))
    top, other = house.partner(plan), house.partner(plan)
    sub = house.partner(None, parent=top)
    own, theirs = house.client_of(top), house.client_of(sub)
    for account in (own, theirs):
        tell(account.client_id, "deposit", "500", at=at(date(2026, 3, 3)))
    settle()
    user = make_user("top@broker.example", Role.IB.value)
    top.user = user
    top.save()
    log_in(client, user)
    lines = list(PeriodLine.objects.filter(partner=top).order_by("level"))
    addresses = ["/portal/commission/months/", "/portal/rewards/", "/portal/commission/months/?export=csv"]
    addresses += [f"/portal/commission/months/{line.reference}/" for line in lines]
    addresses += ["/api/v1/own/period-lines/", "/api/v1/own/rewards/"]
    bodies = []
    for address in addresses:
        answer = client.get(address)
        assert answer.status_code == 200, address
        data = b"".join(answer.streaming_content) if answer.streaming else answer.content
        bodies.append(data.decode())
    assert all(theirs.client.reference not in body for body in bodies)
    assert sum(own.client.reference in body for body in bodies) == 6
    hidden = make_period_plan(house.brand, rule("cpa", "40", currency="USD"))
    assert hidden.pk and other.pk
    stranger = house.client_of(other)
    tell(stranger.client_id, "deposit", "500", at=at(date(2026, 3, 3)))
    settle()
    foreign = PeriodLine.objects.get(partner=other)
    assert client.get(f"/portal/commission/months/{foreign.reference}/").status_code == 404
    assert client.get(f"/api/v1/own/period-lines/{foreign.reference}/explanation/").status_code == 404


def test_those_below_pay_an_override_out_of_what_is_left_to_the_cent_and_in_their_currency():
    # Given a head who takes 80 % of everybody below, a middle who takes a third of the next one, and 30 % at the bottom
    house = House()
    own = make_period_plan(
        house.brand,
        rule("net_revenue_share", "30", level=1),
        rule("cpa", "100", currency="EUR", level=1, component="cpa"),
        carry_over="plan",
        reward_currency="EUR",
    )
    below = {"distribution": "override", "funded_by": "downline"}
    all_of_them = make_period_plan(house.brand, rule("net_revenue_share", "80", override_of="all", **below))
    a_third = make_period_plan(house.brand, rule("net_revenue_share", "33.3333", override_of="direct", **below))
    head = house.partner(all_of_them)
    middle = house.partner(a_third, parent=head)
    low = house.partner(own, parent=middle)
    account = house.client_of(low)
    for day in (date(2026, 2, 10), date(2026, 3, 3), date(2026, 3, 10)):
        factory.quote(day, USD="1.25")
    house.loses(account, "-100", date(2026, 2, 10))
    house.loses(account, "1000.05", date(2026, 3, 10))
    tell(account.client_id, "deposit", "200", at=at(date(2026, 3, 3)))
    settle()
    # Then 240.01 less a loss of 24 is shared out: the nearest takes a third, the head what is left of 80 %
    assert earned(low, MARCH, "net_revenue") == D("240.01")
    given = {row.subject_id: row for row in PeriodLine.objects.filter(partner=low, kind="override_paid", period=MARCH)}
    assert (given[middle.pk].amount, given[head.pk].amount) == (D("-72.00"), D("-144.01"))
    assert given[head.pk].measure == D("144.01") and given[head.pk].quantity == D("216.01")
    got = PeriodLine.objects.filter(kind="override", period=MARCH).order_by("partner")
    assert [(row.partner_id, row.amount, row.currency) for row in got] == [
        (head.pk, D("144.01"), "EUR"),
        (middle.pk, D("72.00"), "EUR"),
    ]
    # And the reward for the client is nobody's but the payer's; February gave nothing
    assert earned(low, MARCH) == D("100.00") and earned(low, date(2026, 2, 1)) == 0
    assert_settled(head, middle, low)
    assert verify_books(["ib.given_overrides_are_received"])["ok"]
    # When a bonus is told late, both sides follow by the difference
    tell(account.client_id, "bonus", "500", at=at(date(2026, 3, 11)))
    settle()
    sums = {key: earned(key, MARCH, "override") for key in (head, middle)}
    assert (
        sum(sums.values())
        == -sum(row.amount for row in PeriodLine.objects.filter(partner=low, kind="override_paid", period=MARCH))
        == D("96.01")
    )
    # And when the middle is taken out of the chain in time, the head stands directly above
    from ib.services.tree import place_partner

    place_partner(partner_id=low.pk, parent_id=head.pk, valid_from=at(date(2026, 3, 20)), actor=SYSTEM)
    settle()
    assert (earned(head, MARCH), earned(middle, MARCH)) == (D("76.81"), D(0))
    assert_settled(head, middle, low)
    assert verify_books(["ib.given_overrides_are_received"])["ok"]


def test_those_below_cannot_give_more_than_they_have_nor_a_bonus():
    from django.db import IntegrityError, transaction

    from backoffice.kernel.errors import InvalidInput
    from ib.rules.terms import check_terms
    from ib.types import RuleTerms

    terms = {"distribution": "override", "override_of": "all", "funded_by": "downline"}
    check_terms(RuleTerms(rate=D(100), basis="net_revenue_share", **terms))
    for wrong, field in (
        ({"rate": D("100.5"), "basis": "net_revenue_share"}, "rate"),
        ({"rate": D(10), "basis": "rank_bonus", "rank": "gold", "bonus_for": "kept"}, "distribution"),
    ):
        with pytest.raises(InvalidInput) as refused:
            check_terms(RuleTerms(**terms, **wrong))
        assert refused.value.details["field"] == field
        with pytest.raises(IntegrityError), transaction.atomic():
            make_period_plan(
                House().brand,
                rule(
                    **{
                        "rate": str(wrong["rate"]),
                        "basis": wrong["basis"],
                        **{name: value for name, value in wrong.items() if name not in ("rate", "basis")},
                    },
                    **terms,
                ),
            )
