"""Reference rates as a provider of conversion rates: the same rule in Python as `fx_cross` has in SQL.

`crossed_rates_select` is that rule for many days and pairs at once: the rates are read once, and not again for each pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal

from django.db import connection

from backoffice.kernel.fx import PerEuroRateProvider

_DAY = "SELECT currency, per_euro FROM platform_ops_fxrateused WHERE date = %s"


class _StoredDays(Mapping[date, Mapping[str, Decimal]]):
    """The days of the table, each read at its first use and kept while the provider lives."""

    def __init__(self) -> None:
        self._known: dict[date, Mapping[str, Decimal]] = {}

    def __getitem__(self, day: date) -> Mapping[str, Decimal]:
        if day not in self._known:
            with connection.cursor() as cursor:
                cursor.execute(_DAY, [day])
                self._known[day] = dict(cursor.fetchall())
        if not self._known[day]:
            raise KeyError(day)
        return self._known[day]

    def __iter__(self) -> Iterator[date]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


# By equality: the last of eleven days on which both currencies were fixed. A comparison of ranges would try every rate for
# every day of a long range. The logarithm only counts places, and thirty of them show the first of any quotient there can be.
_CROSSED = """
    WITH pair AS MATERIALIZED (
        SELECT DISTINCT rate_currency, reward_currency
        FROM unnest({given}::text[], {into}::text[]) AS named(rate_currency, reward_currency)
    ), used AS MATERIALIZED (
        SELECT reference.date, reference.currency::text AS currency, reference.per_euro
        FROM platform_ops_fxrateused AS reference
        WHERE reference.date BETWEEN (SELECT min(day) FROM unnest({days}::date[]) AS asked(day)) - 10
                                 AND (SELECT max(day) FROM unnest({days}::date[]) AS asked(day))
          AND reference.currency = ANY({given}::text[] || {into}::text[])
    ), quoted AS (
        SELECT DISTINCT ON (wanted.day, pair.rate_currency, pair.reward_currency)
               wanted.day, pair.rate_currency, pair.reward_currency, wanted.day - back.days AS rate_day,
               round(coalesce(target.per_euro, 1), 60) / coalesce(given.per_euro, 1) AS quotient
        FROM unnest({days}::date[]) AS wanted(day)
        CROSS JOIN generate_series(0, 10) AS back(days)
        CROSS JOIN pair
        LEFT JOIN used AS given ON given.date = wanted.day - back.days AND given.currency = pair.rate_currency
        LEFT JOIN used AS target ON target.date = wanted.day - back.days AND target.currency = pair.reward_currency
        WHERE pair.rate_currency <> pair.reward_currency
          AND (given.per_euro IS NOT NULL OR pair.rate_currency = 'EUR')
          AND (target.per_euro IS NOT NULL OR pair.reward_currency = 'EUR')
        ORDER BY wanted.day, pair.rate_currency, pair.reward_currency, back.days
    )
    SELECT wanted.day, pair.rate_currency, pair.reward_currency, quoted.rate_day,
           CASE WHEN pair.rate_currency = pair.reward_currency THEN 1
                WHEN (pair.rate_currency, pair.reward_currency) IN (('USC', 'USD'), ('EUC', 'EUR')) THEN 0.01
                WHEN (pair.rate_currency, pair.reward_currency) IN (('USD', 'USC'), ('EUR', 'EUC')) THEN 100
                ELSE round(quoted.quotient, 33 - floor(log(trunc(quoted.quotient, 30)))::integer) END AS rate
    FROM (SELECT DISTINCT day FROM unnest({days}::date[]) AS asked(day)) AS wanted
    CROSS JOIN pair
    LEFT JOIN quoted
      ON quoted.day = wanted.day AND quoted.rate_currency = pair.rate_currency
     AND quoted.reward_currency = pair.reward_currency
"""


def crossed_rates_select(*, days: str, given: str, into: str) -> str:
    """A SELECT of `day, rate_currency, reward_currency, rate_day, rate` for every day and pair; rate NULL where there is none.

    *days*, *given* and *into* are SQL expressions of arrays: dates, and the pairs' currencies place by place. The rate is
    what `fx_cross` gives; `rate_day` is when it was fixed, NULL for a currency by itself.
    """
    return _CROSSED.format(days=days, given=given, into=into)


def rate_provider() -> PerEuroRateProvider:
    """Rates as they are stored now; a new provider sees what was loaded since. Previous-business-day rule, ten days."""
    return PerEuroRateProvider(_StoredDays(), source="reference")
