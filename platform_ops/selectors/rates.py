"""Reference rates as a provider of conversion rates: the same rule in Python as `fx_cross` has in SQL."""

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


def rate_provider() -> PerEuroRateProvider:
    """Rates as they are stored now; a new provider sees what was loaded since. Previous-business-day rule, ten days."""
    return PerEuroRateProvider(_StoredDays(), source="reference")
