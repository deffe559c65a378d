"""The conversion rates of a settlement, as one small common table expression.

A settlement needs few rates: its days times the pairs of the rate card. They are looked up once, by the platform's rule,
so the big join meets a table of some rows and not the history of rates.
"""

from __future__ import annotations

from platform_ops.selectors.rates import crossed_rates_select

RATE_DECIMALS = 24
"""Decimal places that a line stores of its rate. Fine enough that rate × lots × amount is exact to 18 places, where
an exact half is recognised as one (the kernel's conversion rounds there too)."""

PRODUCT_DECIMALS = 18

FX_TABLE = f"""
fx AS MATERIALIZED (
    SELECT crossed.day, crossed.rate_currency, crossed.reward_currency, pair.rate_digits,
           round(crossed.rate, {RATE_DECIMALS}) AS rate, crossed.rate_day
    FROM ({crossed_rates_select(days="%(days)s", given="%(rate_currencies)s", into="%(reward_currencies)s")}) AS crossed
    JOIN unnest(%(rate_currencies)s::text[], %(reward_currencies)s::text[], %(rate_digits)s::integer[])
        AS pair(rate_currency, reward_currency, rate_digits)
      ON pair.rate_currency = crossed.rate_currency AND pair.reward_currency = crossed.reward_currency
    WHERE crossed.rate > 0
)
"""  # noqa: S608 - own text
