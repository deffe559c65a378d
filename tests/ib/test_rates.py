"""Published worked figures on the pure rules: who of a chain earns at which rate, and what a measure is worth."""

from __future__ import annotations

from decimal import Decimal

import pytest

from ib.rules.amounts import (
    Conversion,
    Rounding,
    SpreadTerms,
    credit_factor,
    news_factor,
    reward,
    reward_by_steps,
    spread_money,
)
from ib.rules.rates import (
    Negotiated,
    Node,
    RateRule,
    TradeClass,
    VersionRules,
    chain_rates,
    levels_of,
    lost_rules,
)

EURUSD = TradeClass(symbol_id=0, symbol_group_id=1)
CENTS = Rounding(2)


def rule(rate, *, position=1, basis="per_lot", **fields) -> RateRule:
    currency = "USD" if basis == "per_lot" else ""
    values = {"rule_id": position, "component": "main", "position": position, "currency": currency, **fields}
    return RateRule(basis=basis, rate=Decimal(str(rate)), **values)


def node(*rules: RateRule, number=1, ranks=(), rank="", depth=None, pays_own=False, **fields) -> Node:
    version = VersionRules(number, rules, ranks, depth, pays_own) if rules else None
    return Node(version=version, rank=rank, **fields)


def earned(chain, trade=EURUSD) -> list[str]:
    by_index = {item.index: item.rate for item in chain_rates(chain, trade)}
    return [f"{by_index.get(index, Decimal(0)).normalize():f}" for index in range(len(chain))]


RANKS = ("bronze", "silver", "gold", "diamond", "platinum")


def test_ranks_with_compression_pay_what_those_below_did_not_take():
    # IB-01: rates of the ranks 1, 2, 3, 4, 5 add up from the lowest; a rank that was passed below earns nothing
    rules = tuple(
        rule(number, position=number, rank=code, distribution="difference", cumulative=True)
        for number, code in enumerate(RANKS, start=1)
    )
    held = ["bronze", "gold", "gold", "diamond", "silver", "gold", "diamond", "platinum", "platinum"]
    chain = [node(*rules, ranks=RANKS, rank=rank) for rank in held]
    assert earned(chain) == ["1", "5", "0", "4", "0", "0", "0", "5", "0"]


def test_the_same_rank_above_has_its_bonus_on_top():
    rules = tuple(
        rule(rate, position=number, rank=code, distribution="difference", same_rank_percent=Decimal(10))
        for number, (code, rate) in enumerate([("bronze", 4), ("silver", 6)], start=1)
    )
    chain = [node(*rules, ranks=RANKS[:2], rank=rank) for rank in ("bronze", "bronze", "silver")]
    assert earned(chain) == ["4", "0.4", "2"]


def share(percent, **fields) -> RateRule:
    return rule(percent, basis="platform_commission_share", distribution="difference", **fields)


def test_differences_are_paid_to_two_levels_only():
    # IB-02: a fee of 10; D 60 %, C 70 %, B 80 %, and only two partners above the trader are paid
    chain = [node(share(percent), depth=2) for percent in (60, 70, 80)]
    rates = earned(chain)
    assert rates == ["60", "10", "0"]
    paid = [
        reward(basis="platform_commission_share", quantity=Decimal(10), rate=Decimal(r), rounding=CENTS) for r in rates
    ]
    assert paid == [Decimal("6.00"), Decimal("1.00"), Decimal("0.00")]


@pytest.mark.parametrize("fields", [{"is_trader": True}, {"is_own": True}])
def test_a_partner_who_trades_is_no_level_of_its_own(fields):
    # IB-03: D trades itself and is paid 6; the two above it are the two levels that are paid
    chain = [node(share(60), depth=2, pays_own=True, **fields), node(share(70), depth=2), node(share(80), depth=2)]
    assert levels_of(chain) == [0, 1, 2]
    assert earned(chain) == ["60", "10", "10"]


def test_own_trades_are_paid_only_where_the_plan_says_so():
    chain = [node(share(60), is_own=True), node(share(70))]
    assert earned(chain) == ["0", "70"]
    assert [lost.why for lost in lost_rules(chain, EURUSD)] == ["the plan does not pay own trades"]


def test_a_ratio_pays_each_level_its_own_part():
    # IB-04: a fee of 10; 30 % to the direct partner, 20 % to the one above
    rules = (
        rule(30, basis="platform_commission_share", level=1),
        rule(20, basis="platform_commission_share", level=2, position=2),
    )
    assert earned([node(*rules), node(*rules)]) == ["30", "20"]


def test_what_is_passed_up_is_taken_from_the_one_below():
    # IB-05: 1001 gets 3 and passes 1 to 1002, which passes 0.3 to 1003
    chain = [node(rule(3)), node(rule(1, distribution="pass_up")), node(rule("0.3", distribution="pass_up"))]
    assert earned(chain) == ["2", "0.7", "0.3"]


@pytest.mark.parametrize("distribution", ["absolute", "difference"])
def test_a_part_of_the_rate_above_is_paid_out_of_it(distribution):
    # IB-06: of 10 the sub-partner is allocated 70 %
    master = node(rule(10, distribution=distribution))
    assert earned([node(rule(70, distribution="allocation", currency="")), master]) == ["7", "3"]
    assert earned([node(negotiated=(Negotiated("main", percent=Decimal(70)),)), master]) == ["7", "3"]


def test_a_rebate_to_the_trader_comes_out_of_the_share_of_the_partner_and_never_exceeds_it():
    master = node(rule(10))
    trader = Negotiated("main", rate=Decimal("2.5"))
    assert earned([node(is_trader=True, negotiated=(trader,)), master]) == ["2.5", "7.5"]
    greedy = Negotiated("main", rate=Decimal(99))
    assert earned([node(is_trader=True, negotiated=(greedy,)), master]) == ["10", "0"]


def test_parts_of_parts_add_up_to_the_whole():
    chain = [
        node(rule(50, distribution="allocation", currency="")),
        node(rule(70, distribution="allocation", currency="")),
        node(rule(10)),
    ]
    assert earned(chain) == ["3.5", "3.5", "3"]


def test_a_negotiated_rate_stays_below_the_ceiling_of_the_partner_above():
    chain = [node(rule(5, distribution="difference"), negotiated=(Negotiated("main", rate=Decimal(9)),))]
    assert earned(chain) == ["5"]
    above = node(rule(7, distribution="difference"))
    assert earned([*chain, above]) == ["7", "0"]


def test_an_override_on_top_leaves_the_one_below_what_it_has():
    # IB-07: the client of B earns B 10 cents; A has 20 % of it, not deducted
    override = rule(20, distribution="override", override_of="direct", funded_by="broker", currency="")
    assert earned([node(rule(10)), node(override)]) == ["10", "2"]
    # Taken from the downline it is 8 and 2; on everybody below it is 20 % of all that is earned there
    taken = rule(20, distribution="override", override_of="direct", funded_by="downline", currency="")
    assert earned([node(rule(10)), node(taken)]) == ["8", "2"]
    all_below = rule(20, distribution="override", override_of="all", funded_by="broker", currency="")
    assert earned([node(rule(10)), node(rule(5)), node(all_below)]) == ["10", "5", "3"]


def test_the_difference_of_rates_is_the_masters_override():
    # IB-08: the master has 7 a lot, the sub-partner 5
    assert earned([node(rule(5)), node(rule(7, distribution="difference"))]) == ["5", "2"]


def test_coefficients_by_level_are_paid_on_top_of_each_other():
    # IB-09: 100 %, 35 % and 10 % of the full commission
    rules = tuple(
        rule(percent, basis="platform_commission_share", level=level, position=level)
        for level, percent in enumerate((100, 35, 10), start=1)
    )
    assert earned([node(*rules)] * 3) == ["100", "35", "10"]


def test_components_add_up_and_the_first_match_of_each_wins():
    # A hybrid: an amount per lot, on gold another one, and a share of the commission beside it
    rules = (
        rule(5, position=1, rule_id=1, symbol_group_id=2),
        rule(3, position=2, rule_id=2),
        rule(2, position=3, rule_id=3),
        rule(10, position=4, rule_id=4, component="share", basis="platform_commission_share"),
    )
    chain = [node(*rules)]
    assert [(item.part, item.terms.rule_id, item.rate) for item in chain_rates(chain, EURUSD)] == [
        (0, 2, Decimal(3)),
        (1, 4, Decimal(10)),
    ]
    assert [(lost.rule_id, lost.why) for lost in lost_rules(chain, EURUSD)] == [
        (1, "it is for another symbol group"),
        (3, "rule 2 goes before it"),
    ]
    gold = TradeClass(symbol_id=0, symbol_group_id=2)
    assert [item.terms.rule_id for item in chain_rates(chain, gold)] == [1, 4]


def test_a_rule_for_some_accounts_pays_for_those_only():
    rules = (rule(5, position=1, requires=frozenset({("country", "CY")})), rule(3, position=2))
    cyprus = TradeClass(symbol_id=0, symbol_group_id=1, attributes=frozenset({("country", "CY")}))
    assert earned([node(*rules)], cyprus) == ["5"]
    assert earned([node(*rules)]) == ["3"]


@pytest.mark.parametrize(
    ("basis", "quantity", "rate", "decimals", "expected"),
    [
        ("platform_commission_share", "70", "10", 2, "7.00"),  # IB-11
        ("per_lot", "10", "2", 2, "20.00"),  # IB-12
        ("per_lot", "5", "2", 2, "10.00"),  # IB-13
        ("per_lot", "50", "0.50", 2, "25.00"),  # IB-15
        ("spread_share", "68", "30", 2, "20.40"),  # SP-01: 5 lots at 13.6
        ("spread_share", "35", "45", 2, "15.75"),  # SP-03: capped at 35
        ("spread_share", "46", "45", 2, "20.70"),  # SP-03 without its cap
        ("spread_share", "16", "50", 2, "8.00"),  # SP-05: 0.16 × 100 oz
        ("spread_share", "20000", "20", 2, "4000.00"),
        ("points", "0.01", "15", 2, "0.15"),  # TR-04
        ("platform_commission_share", "1000", "45", 2, "450.00"),  # TR-01
        ("spread_share", "16000", "20", 2, "3200.00"),  # TR-02, in pounds
        ("platform_commission_share", "24", "15", 2, "3.60"),  # FX-01, converted once
    ],
)
def test_a_measure_is_worth_its_rate(basis, quantity, rate, decimals, expected):
    amount = reward(basis=basis, quantity=Decimal(quantity), rate=Decimal(rate), rounding=Rounding(decimals))
    assert str(amount) == expected


@pytest.mark.parametrize(("lots", "expected"), [("1", "2.2169"), ("0.1", "0.2217"), ("0.01", "0.0222")])
def test_decimals_are_the_plans(lots, expected):
    # TR-05: 20 basis points of a hundredth of the turnover, to four places
    notional = Decimal("110843.27") * Decimal(lots) * Decimal("0.01")
    amount = reward(basis="spread_share", quantity=notional, rate=Decimal("0.2"), rounding=Rounding(4))
    assert str(amount) == expected


def test_a_spread_is_measured_at_its_ends_capped_and_guarded():
    # SP-04: half at the opening, half at the closing: 4 points on 3 lots at 35 %
    both = SpreadTerms(sides="half_half")
    money = spread_money(both, point_value=Decimal(3), entry_points=Decimal(4), exit_points=Decimal(4))
    assert reward(basis="spread_share", quantity=money, rate=Decimal(35), rounding=CENTS) == Decimal("4.20")
    # SP-03: 46 points count as 35
    capped = spread_money(
        SpreadTerms(cap_points=Decimal(35)), point_value=Decimal(1), entry_points=Decimal(46), exit_points=None
    )
    assert capped == Decimal(35)
    # SP-06: above the average the reward is what it is at the average
    guarded = SpreadTerms(average_points=Decimal("13.6"))
    for current in ("13.6", "20", "37.5"):
        factor = news_factor(guarded, entry_points=Decimal(current)) or Decimal(1)
        money = spread_money(guarded, point_value=Decimal(5), entry_points=Decimal(current), exit_points=None)
        paid = reward(basis="spread_share", quantity=money, rate=Decimal(30), factor=factor, rounding=CENTS)
        assert paid == Decimal("20.40")
    # Without a market price there is no spread, and that is not a spread of zero
    assert spread_money(both, point_value=Decimal(3), entry_points=Decimal(4), exit_points=None) is None


def test_a_spread_in_yen_is_converted_and_not_taken_for_dollars():
    # SP-X1: 0.020 × 100 000 = 2 000 JPY, 20 % of it 400 JPY = 3.36 USD; the page says 4 USD, one dollar a point
    rate = Decimal(1) / Decimal("118.878")
    amount = reward(
        basis="spread_share", quantity=Decimal(2000), rate=Decimal(20), fx_rate=rate, rounding=CENTS, rate_digits=0
    )
    assert amount == Decimal("3.36")


def test_rounding_after_each_step_of_two_conversions_costs_what_the_page_says():
    # FX-01: 24 EUR → 30.52 USD → 4.58 USD → 3.44 EUR; unrounded to the end it is 3.43, converted once 3.60
    there, back = [Conversion(Decimal("1.27151"))], [Conversion(1 / Decimal("1.3333"))]
    for stage, expected in (("step", "3.44"), ("line", "3.43")):
        amount = reward_by_steps(
            base=Decimal(24), before=there, percent=Decimal(15), after=back, rounding=Rounding(2, stage=stage)
        )
        assert str(amount) == expected


@pytest.mark.parametrize(("mode", "expected"), [("half_up", "0.13"), ("half_even", "0.12"), ("down", "0.12")])
def test_the_mode_of_rounding_is_the_plans(mode, expected):
    amount = reward(basis="per_lot", quantity=Decimal("0.125"), rate=Decimal(1), rounding=Rounding(2, mode))
    assert str(amount) == expected


def test_a_cap_pays_what_it_leaves_and_credit_counts_for_nothing():
    capped = reward(basis="per_lot", quantity=Decimal(140), rate=Decimal(1), rounding=CENTS, cap_left=Decimal(100))
    assert capped == Decimal(100)
    assert credit_factor(equity=Decimal(1000), credit=Decimal(250)) == Decimal("0.75")
    assert credit_factor(equity=Decimal(100), credit=Decimal(250)) == 0
