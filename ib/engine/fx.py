"""The conversion rates of a settlement, as one small common table expression.

A settlement needs few rates: its days times the pairs of the rate card. They are looked up once (`fx_cross` holds the
rule), so the big join meets a table of some rows and not the history of rates.
"""

from __future__ import annotations

RATE_DECIMALS = 24
"""Decimal places that a line stores of its rate. Fine enough that rate × lots × amount is exact to 18 places, where
an exact half is recognised as one (the kernel's conversion rounds there too)."""

PRODUCT_DECIMALS = 18

FX_TABLE = f"""
fx AS MATERIALIZED (
    SELECT wanted.day, pair.rate_currency, pair.reward_currency, pair.rate_digits,
           round(crossed.rate, {RATE_DECIMALS}) AS rate, quoted.day AS rate_day
    FROM unnest(%(days)s::date[]) AS wanted(day)
    CROSS JOIN unnest(%(rate_currencies)s::text[], %(reward_currencies)s::text[], %(rate_digits)s::integer[])
        AS pair(rate_currency, reward_currency, rate_digits)
    CROSS JOIN LATERAL (
        SELECT fx_cross(wanted.day, pair.rate_currency, pair.reward_currency) AS rate OFFSET 0
    ) AS crossed
    CROSS JOIN LATERAL (
        SELECT max(complete.date) AS day FROM (
            SELECT reference.date FROM platform_ops_fxrateused AS reference
            WHERE reference.date BETWEEN wanted.day - 10 AND wanted.day
              AND reference.currency IN (pair.rate_currency, pair.reward_currency)
              AND pair.rate_currency <> pair.reward_currency
            GROUP BY reference.date
            HAVING count(*) = CASE WHEN 'EUR' IN (pair.rate_currency, pair.reward_currency) THEN 1 ELSE 2 END
        ) AS complete
    ) AS quoted
    WHERE crossed.rate > 0
)
"""  # noqa: S608 - own text
