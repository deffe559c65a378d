"""The days on which the market of a symbol is closed all day, for counting nights."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from django.db import connection

# A symbol keeps the holidays of the calendars that name it or its group; a shortened day is a day like any other.
_HOLIDAYS = """
SELECT symbol.id, holiday.day
  FROM platform_ops_symbol symbol
  JOIN (
    SELECT own.symbol_id, NULL::bigint AS group_id, own.marketcalendar_id FROM platform_ops_marketcalendar_symbols own
    UNION ALL
    SELECT NULL, shared.symbolgroup_id, shared.marketcalendar_id FROM platform_ops_marketcalendar_groups shared
  ) kept ON kept.symbol_id = symbol.id OR kept.group_id = symbol.group_id
  JOIN platform_ops_holiday holiday
    ON holiday.calendar_id = kept.marketcalendar_id AND holiday.opens_minute IS NULL
   AND holiday.day BETWEEN %s AND %s
 WHERE symbol.id = ANY (%s)
"""


def holidays_of(*, symbol_ids: Collection[int], from_day: date, to_day: date) -> Mapping[int, frozenset[date]]:
    """Full holidays by symbol between two days, both included; symbols without any are left out."""
    found: dict[int, set[date]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_HOLIDAYS, [from_day, to_day, list(symbol_ids)])
        for symbol_id, day in cursor.fetchall():
            found.setdefault(symbol_id, set()).add(day)
    return {symbol_id: frozenset(days) for symbol_id, days in found.items()}
