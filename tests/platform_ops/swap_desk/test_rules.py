"""Mark-up and guard rules, without a database. PR-02: above 10 % is flagged; 200 % doubles, −200 % turns the sign."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import SwapMode
from platform_ops.rules.swap_desk import (
    Code,
    Markup,
    MarkupKind,
    Rates,
    Weight,
    apply_markup,
    change_percent,
    check_bounds,
    check_markup,
    check_rate,
    findings,
    is_blocked,
    is_flagged,
    is_sign_flip,
    marked_up,
    reasons_outside,
    rule_for,
    slipped_digits,
)

D = Decimal
TEN = D(10)


def found(new: str, old: str | None, *, provider: str | None = None, expected: str | None = None, flag: Decimal = TEN):
    def rates(text: str | None) -> Rates | None:
        return None if text is None else Rates(*(D(part) for part in text.split("/")))

    rows = findings(
        rates(new), current=rates(old), provider=rates(provider), expected=rates(expected), flag_percent=flag
    )
    return {(finding.code, finding.side): finding.weight for finding in rows}


@pytest.mark.parametrize(
    ("new", "old", "flagged"),
    [
        ("-6.50", "-6.50", False),
        ("-7.15", "-6.50", False),  # exactly 10 %
        ("-7.16", "-6.50", True),
        ("-5.85", "-6.50", False),
        ("-5.84", "-6.50", True),
        ("0", "0", False),
        ("-0.01", "0", True),
    ],
)
def test_pr_02_a_change_above_ten_percent_is_flagged(new: str, old: str, flagged: bool) -> None:
    assert is_flagged(D(new), D(old), flag_percent=TEN) is flagged


def test_pr_02_custom_percentages_double_and_turn_the_sign() -> None:
    assert marked_up(D("-3.5"), MarkupKind.CUSTOM, D(200), digits=2) == D("-7.00")
    assert marked_up(D("-3.5"), MarkupKind.CUSTOM, D(-200), digits=2) == D("7.00")
    assert is_sign_flip(D("7.00"), D("-3.5"))
    assert not is_sign_flip(D("-7.00"), D("-3.5"))


@pytest.mark.parametrize(
    ("kind", "value", "rate", "expected"),
    [
        (MarkupKind.PERCENT, "10", "-10", "-11"),
        (MarkupKind.PERCENT, "10", "5", "4.5"),
        (MarkupKind.PERCENT, "150", "2", "-1"),
        (MarkupKind.PERCENT, "10", "0", "0"),
        (MarkupKind.ABSOLUTE, "2", "-10", "-12"),
        (MarkupKind.ABSOLUTE, "2", "1", "-1"),
        # Rounded to what the client pays, on both sides of zero.
        (MarkupKind.PERCENT, "10", "-0.333", "-0.37"),
        (MarkupKind.PERCENT, "10", "0.333", "0.29"),
    ],
)
def test_a_markup_goes_against_the_client(kind: MarkupKind, value: str, rate: str, expected: str) -> None:
    assert marked_up(D(rate), kind, D(value), digits=2) == D(expected)


rates = st.decimals(min_value=-1000, max_value=1000, places=4)
amounts = st.decimals(min_value=0, max_value=500, places=2)


@given(rate=rates, value=amounts, kind=st.sampled_from([MarkupKind.PERCENT, MarkupKind.ABSOLUTE]))
def test_no_markup_ever_favours_the_client(rate: Decimal, value: Decimal, kind: MarkupKind) -> None:
    assert marked_up(rate, kind, value, digits=2) <= rate


def test_rounding_follows_how_the_rate_is_stated() -> None:
    percent = Markup(MarkupKind.PERCENT, D(10), D(10))
    assert apply_markup(Rates(D("-2.5"), D("1.2"), SwapMode.INTEREST_CURRENT_PRICE), percent) == Rates(
        D("-2.75"), D("1.08"), SwapMode.INTEREST_CURRENT_PRICE
    )


@pytest.mark.parametrize("markup", [("percent", "-1", "0"), ("absolute", "0", "-2"), ("percent", "1001", "0"),
                                    ("custom", "0", "1001"), ("percent", "NaN", "0"), ("custom", "0", "Infinity")])  # fmt: skip
def test_a_markup_that_cannot_be_meant_is_refused(markup: tuple[str, str, str]) -> None:
    with pytest.raises(InvalidInput):
        check_markup(Markup(MarkupKind(markup[0]), D(markup[1]), D(markup[2])))


@pytest.mark.parametrize(
    ("new", "old", "places"),
    [("-65", "-6.5", 1), ("-68", "-6.5", 1), ("-55", "-6.5", 1), ("-0.65", "-6.5", -1), ("-0.072", "-6.5", -2),
     ("65", "-6.5", 1), ("-30", "-6.5", 0), ("-6.6", "-6.5", 0), ("0", "-6.5", 0), ("-6.5", "0", 0), ("-650", "-6.5", 2)],
)  # fmt: skip
def test_a_slipped_decimal_point_is_recognised(new: str, old: str, places: int) -> None:
    assert slipped_digits(D(new), D(old)) == places


def test_what_blocks_and_what_is_only_flagged() -> None:
    assert found("-6.5/2.1", "-6.5/2.1") == {}
    assert found("-7.0/2.1", "-6.5/2.1") == {}
    assert found("-7.5/2.1", "-6.5/2.1") == {(Code.CHANGE, "long"): Weight.FLAG}
    assert found("-7.5/2.1", "-6.5/2.1", flag=D(20)) == {}
    assert found("-65/2.1", "-6.5/2.1") == {(Code.TIMES_TEN, "long"): Weight.BLOCK}
    assert found("-6.5/0.21", "-6.5/2.1") == {(Code.TIMES_TEN, "short"): Weight.BLOCK}
    assert found("-32.5/2.1", "-6.5/2.1") == {(Code.LEAP, "long"): Weight.BLOCK}
    assert found("-6.5/-2.1", "-6.5/2.1") == {(Code.SIGN_FLIP, "short"): Weight.BLOCK}
    assert found("-6.5/0", "-6.5/2.1") == {(Code.TO_ZERO, "short"): Weight.BLOCK}
    assert found("-6.5/2.1", None) == {(Code.NO_RATE_YET, ""): Weight.FLAG}
    assert found("1/2.1", "1/2.1") == {(Code.BOTH_PAY_CLIENT, ""): Weight.BLOCK}
    assert found("-6.5/2.1", "-6.5/2.1", provider="-7/2.0") == {
        (Code.BELOW_PROVIDER, "long"): Weight.FLAG,
        (Code.BELOW_PROVIDER, "short"): Weight.FLAG,
    }
    # The sign and the point slipped at once.
    assert set(found("65/2.1", "-6.5/2.1")) == {
        (Code.SIGN_FLIP, "long"), (Code.TIMES_TEN, "long"), (Code.BOTH_PAY_CLIENT, ""),
    }  # fmt: skip


def test_exchanged_columns_are_noticed() -> None:
    assert (Code.EXCHANGED, "") in found("2.1/-6.5", "-6.5/2.1")
    assert (Code.EXCHANGED, "") not in found("-6.4/2.2", "-6.5/2.1")


def test_a_figure_typed_over_the_sheets_is_held_against_the_rules_too() -> None:
    # given: no rate in force, the rules make −7.15 of the sheet's −6.5, and somebody types −71.5
    assert (Code.TIMES_TEN, "long") in found("-71.5/2.0", None, provider="-6.5/2.1", expected="-7.15/2.0")
    # and what equals the rules' figure is held against today's alone
    assert found("-7.15/2.0", "-7.0/2.0", provider="-6.5/2.1", expected="-7.15/2.0") == {}


def test_another_mode_blocks_instead_of_comparing_what_cannot_be_compared() -> None:
    new = Rates(D("-2.5"), D("1"), SwapMode.INTEREST_CURRENT_PRICE)
    old = Rates(D("-6.5"), D("2.1"), SwapMode.POINTS)
    result = findings(new, current=old, provider=None, expected=None, flag_percent=TEN)
    assert [(finding.code, finding.weight) for finding in result] == [(Code.MODE_CHANGED, Weight.BLOCK)]


def test_only_a_real_explanation_lifts_a_block() -> None:
    rows = findings(Rates(D(-65), D(2)), current=Rates(D("-6.5"), D(2)), provider=None, expected=None, flag_percent=TEN)
    assert is_blocked(rows, "")
    assert is_blocked(rows, "   ok    ")
    assert not is_blocked(rows, "The central bank raised its rate overnight.")


def test_rates_that_cannot_be_stored_are_refused() -> None:
    for value, mode in (("NaN", 1), ("Infinity", 1), ("100001", 1), ("0.1234567", 1), ("1", 0)):
        with pytest.raises(InvalidInput) as refused:
            check_rate(D(value), mode=SwapMode(mode), field="long")
        assert refused.value.details["field"] == "long"
    assert str(check_rate(D("-0"), mode=SwapMode.POINTS, field="long")) == "0"


@dataclass
class Rule:
    name: str
    symbol_id: int | None = None
    symbol_group_id: int | None = None
    account_group_id: int | None = None


def test_the_narrower_rule_goes_before_the_wider() -> None:
    everything, majors = Rule("all"), Rule("majors", symbol_group_id=7)
    euro, vip = Rule("euro", symbol_id=1), Rule("majors for vip", symbol_group_id=7, account_group_id=3)
    rules = [everything, majors, euro, vip]

    def name(symbol: int, group: int, accounts: int | None) -> str:
        return rule_for(rules, symbol_id=symbol, symbol_group_id=group, account_group_id=accounts).name

    assert name(1, 7, None) == "euro"
    assert name(2, 7, None) == "majors"
    assert name(2, 8, None) == "all"
    assert name(2, 7, 3) == "majors for vip"
    assert name(2, 7, 4) == "majors"
    assert rule_for([euro], symbol_id=2, symbol_group_id=7, account_group_id=None) is None


def test_a_policy_acts_within_its_bounds_and_never_on_what_was_explained() -> None:
    def row(long: str, before: str | None, explanation: str = "") -> dict[str, object]:
        standing = {"mode": 1, "long": before, "short": "1"} if before else None
        return {
            "symbol": "EURUSD",
            "mode": 1,
            "long": long,
            "short": "1",
            "before": standing,
            "explanation": explanation,
        }

    bounds = {"change_percent": "10", "nightly_cost": "500"}
    assert reasons_outside([row("-7.15", "-6.5")], bounds, nightly_change=D(-400)) == []
    assert reasons_outside([row("-7.16", "-6.5")], bounds, nightly_change=D(0)) == ["EURUSD long moves by 10.2 %"]
    assert reasons_outside([row("-6.5", "-6.5", "typed by hand")], bounds, nightly_change=D(0)) != []
    assert reasons_outside([row("-6.5", None)], bounds, nightly_change=D(0)) == ["EURUSD has no rate yet"]
    assert reasons_outside([row("-6.5", "-6.5")], bounds, nightly_change=D(501)) == ["a night moves 501.00"]
    assert reasons_outside([row("-6.5", "-6.5")], bounds, nightly_change=None) != []
    for bad in ({}, {"nightly_cost": "1"}, {"change_percent": "x"}, {"change_percent": "-1"},
                {"change_percent": "NaN"}, {"change_percent": "1", "other": "1"}):  # fmt: skip
        with pytest.raises(InvalidInput):
            check_bounds(bad)


def test_change_is_measured_by_the_old_rate() -> None:
    assert change_percent(D("-7"), D("-5")) == 40
    assert change_percent(D("-5"), D("0")) is None
