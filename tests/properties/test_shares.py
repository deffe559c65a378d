"""Whatever a chain looks like, the parts of a rate are the whole, and rounding loses or adds no more than half a unit a line."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from ib.rules.amounts import Rounding, reward
from ib.rules.rates import Node, RateRule, TradeClass, VersionRules, chain_rates

TRADE = TradeClass(0, 1)
rates = st.decimals("0", "50", places=3)
percents = st.decimals("0", "100", places=2)
quantities = st.decimals("0.01", "500", places=2)


def rule(rate: Decimal, distribution: str = "absolute", **more: object) -> RateRule:
    return RateRule(1, "main", 1, "per_lot", rate, "USD", distribution=distribution, **more)  # type: ignore[arg-type]


def node(rate: Decimal, distribution: str = "absolute", **more: object) -> Node:
    return Node(version=VersionRules(1, (rule(rate, distribution, **more),)))


def paid(chain: list[Node]) -> list[Decimal]:
    found = [Decimal(0)] * len(chain)
    for earning in chain_rates(chain, TRADE):
        found[earning.index] += earning.rate
    return found


@given(st.lists(rates, min_size=1, max_size=8))
def test_differences_add_up_to_the_highest_rate_on_the_way(stated: list[Decimal]) -> None:
    assert sum(paid([node(rate, "difference") for rate in stated])) == max(stated)


@given(rates, st.lists(percents, max_size=6))
def test_parts_of_the_rate_above_add_up_to_that_rate(top: Decimal, parts: list[Decimal]) -> None:
    chain = [*(node(part, "allocation") for part in parts), node(top)]

    assert sum(paid(chain)) == top
    assert all(amount >= 0 for amount in paid(chain))


@given(rates, st.lists(rates, max_size=6))
def test_what_is_passed_up_is_taken_from_below_and_nobody_has_less_than_nothing(
    first: Decimal, asked: list[Decimal]
) -> None:
    found = paid([node(first), *(node(rate, "pass_up") for rate in asked)])

    assert sum(found) == first
    assert min(found) >= 0


@given(rates, percents, st.sampled_from(["direct", "all"]))
def test_an_override_paid_by_those_below_costs_the_broker_nothing(rate: Decimal, percent: Decimal, of: str) -> None:
    below = node(rate)
    own = paid([below, node(percent, "override", override_of=of, funded_by="downline")])
    on_top = paid([below, node(percent, "override", override_of=of, funded_by="broker")])

    assert sum(own) == rate
    assert sum(on_top) - rate == own[1] == on_top[1]


@given(st.lists(rates, min_size=1, max_size=8), quantities, st.sampled_from([0, 2, 3]))
def test_rounded_lines_are_the_whole_but_for_half_a_unit_each(
    stated: list[Decimal], quantity: Decimal, decimals: int
) -> None:
    found = paid([node(rate, "difference") for rate in stated])
    rounding = Rounding(decimals)
    lines = [reward(basis="per_lot", quantity=quantity, rate=rate, rounding=rounding) for rate in found]
    whole = quantity * max(stated)

    assert abs(sum(lines) - whole) <= len([rate for rate in found if rate]) * Decimal(1).scaleb(-decimals) / 2
    opposite = replace(rounding, mode="down")
    assert sum(reward(basis="per_lot", quantity=quantity, rate=rate, rounding=opposite) for rate in found) <= whole
