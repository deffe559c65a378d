"""The arithmetic of one reward: what a measured quantity is worth at a rate, converted and rounded.

The set-based engine has the same formula in SQL (`ib.engine.target`); tests hold the two together to the last digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

from backoffice.kernel.currency import Currency
from backoffice.kernel.decimals import EXACT, divide, round_decimal

PRODUCT_DECIMALS = 18
"""Places to which the product is kept before it is rounded to the currency, so that a rate that cannot be written out
in full does not turn an exact half into a little less."""
RATE_DECIMALS = 24
QUANTITY_DECIMALS = 12
ROUNDING = {"half_up": ROUND_HALF_UP, "half_even": ROUND_HALF_EVEN, "down": ROUND_DOWN}
ZERO = Decimal(0)
ONE = Decimal(1)
HUNDREDTH = Decimal("0.01")

SHARES = frozenset({"spread_share", "markup_share", "platform_commission_share", "client_profit_share"})
"""Bases whose rate is percent of the quantity."""


@dataclass(frozen=True, slots=True)
class Rounding:
    """How a plan rounds: to how many decimals, in which mode, and whether after each step."""

    decimals: int
    mode: str = "half_up"
    stage: str = "line"

    def rounded(self, amount: Decimal, decimals: int | None = None) -> Decimal:
        """The amount rounded, after it was kept to 18 places."""
        if int(amount.as_tuple().exponent) < -PRODUCT_DECIMALS:
            amount = round_decimal(amount, PRODUCT_DECIMALS)
        return round_decimal(amount, self.decimals if decimals is None else decimals, ROUNDING[self.mode])


@dataclass(frozen=True, slots=True)
class Conversion:
    """One step from a currency to the next: the rate, and the digits of the currency that it comes from and leads to."""

    rate: Decimal
    from_digits: int = 2
    to_digits: int = 2


def product(*, basis: str, quantity: Decimal, rate: Decimal, factor: Decimal = ONE) -> Decimal:
    """Quantity × factor × rate, unrounded; for a share a hundredth of it."""
    amount = EXACT.multiply(EXACT.multiply(quantity, factor), rate)
    return EXACT.multiply(amount, HUNDREDTH) if basis in SHARES else amount


def reward(
    *,
    basis: str,
    quantity: Decimal,
    rate: Decimal,
    rounding: Rounding,
    factor: Decimal = ONE,
    fx_rate: Decimal = ONE,
    rate_digits: int | None = None,
    cap_left: Decimal | None = None,
) -> Decimal:
    """What a trade earns: the product, converted once, rounded as the plan says, and at most what a cap leaves.

    Rounded by the line, nothing is rounded before the end. Rounded by the step, the product is rounded to the digits of
    its own currency (*rate_digits*) before it is converted.
    """
    amount = product(basis=basis, quantity=quantity, rate=rate, factor=factor)
    if rounding.stage == "step" and rate_digits is not None:
        amount = rounding.rounded(amount, rate_digits)
    amount = rounding.rounded(EXACT.multiply(amount, fx_rate))
    return amount if cap_left is None else min(amount, max(cap_left, ZERO))


def reward_by_steps(
    *, base: Decimal, before: Sequence[Conversion], percent: Decimal, after: Sequence[Conversion], rounding: Rounding
) -> Decimal:
    """A share of a base that is converted before the share is taken and after, rounded at every step if the plan says so.

    The engine converts once, from the money of the trade to the reward's. This shows what a chain of conversions costs:
    15 % of 24 EUR is 3.60, and 3.44 by way of dollars with a rounding at each step.
    """
    by_step = rounding.stage == "step"
    amount = base
    for step in before:
        amount = EXACT.multiply(amount, step.rate)
        amount = rounding.rounded(amount, step.to_digits) if by_step else amount
    amount = EXACT.multiply(EXACT.multiply(amount, percent), HUNDREDTH)
    amount = rounding.rounded(amount, before[-1].to_digits) if by_step and before else amount
    for step in after:
        amount = EXACT.multiply(amount, step.rate)
        amount = rounding.rounded(amount, step.to_digits) if by_step else amount
    return rounding.rounded(amount)


def commission(*, lots: Decimal, amount_per_lot: Decimal, fx_rate: Decimal, currency: str) -> Decimal:
    """Lots × amount × rate, rounded once to the currency's digits, half away from zero."""
    return reward(
        basis="per_lot",
        quantity=lots,
        rate=amount_per_lot,
        fx_rate=fx_rate,
        rounding=Rounding(Currency.of(currency).digits),
    )


@dataclass(frozen=True, slots=True)
class SpreadTerms:
    """How a spread is measured: at which ends, capped at how many points, and the average above which news is assumed."""

    sides: str = "entry"
    cap_points: Decimal | None = None
    average_points: Decimal | None = None


def spread_money(
    terms: SpreadTerms, *, point_value: Decimal, entry_points: Decimal | None, exit_points: Decimal | None
) -> Decimal | None:
    """The money of the spread that a share is taken of; None where a market price is missing.

    `point_value` is what a point is worth for the trade's lots.
    """
    ends = [entry_points] if terms.sides == "entry" else [entry_points, exit_points]
    if any(points is None for points in ends):
        return None
    capped = [
        points if terms.cap_points is None else min(points, terms.cap_points) for points in ends if points is not None
    ]
    total = EXACT.multiply(point_value, sum(capped, ZERO))
    return round_decimal(divide(total, Decimal(len(ends))), QUANTITY_DECIMALS)


def news_factor(terms: SpreadTerms, *, entry_points: Decimal | None) -> Decimal | None:
    """Average ÷ current where the spread was wider than its average; None where nothing is reduced."""
    if terms.average_points is None or entry_points is None or entry_points <= terms.average_points:
        return None
    return round_decimal(divide(terms.average_points, entry_points), QUANTITY_DECIMALS)


def credit_factor(*, equity: Decimal, credit: Decimal) -> Decimal:
    """The part of the equity that is the client's own: (equity − credit) ÷ equity, between nothing and all."""
    if equity <= 0:
        return ZERO
    return round_decimal(max(divide(equity - credit, equity), ZERO), QUANTITY_DECIMALS)
