"""Daily partitions of the commission lines: made ahead of their use, in short transactions of their own.

A line whose day has no partition lands in the DEFAULT one; that keeps it safe but blocks the partition of its day from
being made, so a check (`ib.default_partition_empty`) raises it at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta

from django.db import connection, transaction

from ib.locks import lock_partitions

LINE_TABLE = "ib_commissionline"
MAXIMUM_DAYS_AT_ONCE = 64
"""Partitions made in one transaction: each takes several locks, and the table of locks is shared."""

# Reads the catalogue, and does not ask to_regclass(): that answers from a cache of this connection, which has not yet heard
# of a table that another one made while this one waited for its lock.
_MISSING = """
SELECT wanted.day FROM unnest(%s::date[]) AS wanted(day)
WHERE NOT EXISTS (
    SELECT 1 FROM pg_inherits AS inherits JOIN pg_class AS part ON part.oid = inherits.inhrelid
    WHERE inherits.inhparent = %s::regclass AND part.relname = 'ib_line_d' || to_char(wanted.day, 'YYYYMMDD'))
ORDER BY wanted.day
"""


def partition_name(day: date) -> str:
    """The table that holds a day's lines."""
    return f"ib_line_d{day:%Y%m%d}"


def missing_partitions(days: Iterable[date]) -> list[date]:
    """Those of the days that have no partition yet, in order."""
    wanted = sorted(set(days))
    if not wanted:
        return []
    with connection.cursor() as cursor:
        cursor.execute(_MISSING, [wanted, LINE_TABLE])
        return [row[0] for row in cursor.fetchall()]


def ensure_line_partitions(days: Iterable[date]) -> int:
    """Makes the partitions that are missing; how many. Safe when several processes ask at once."""
    made = 0
    missing = missing_partitions(days)
    for start in range(0, len(missing), MAXIMUM_DAYS_AT_ONCE):
        with transaction.atomic():
            lock_partitions()
            for day in missing_partitions(missing[start : start + MAXIMUM_DAYS_AT_ONCE]):
                _make_partition(day)
                made += 1
    return made


def _make_partition(day: date) -> None:
    """Attaching takes a weaker lock on the parent than CREATE … PARTITION OF, so settlements of other days go on."""
    name, following = partition_name(day), day + timedelta(days=1)
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE TABLE {name} (LIKE {LINE_TABLE} INCLUDING ALL)")
        cursor.execute(f"ALTER TABLE {LINE_TABLE} ATTACH PARTITION {name} FOR VALUES FROM ('{day}') TO ('{following}')")
        # Row triggers come with the parent; one against TRUNCATE is each table's own.
        cursor.execute(
            f"CREATE TRIGGER ib_line_never_emptied BEFORE TRUNCATE ON {name} FOR EACH STATEMENT"
            " EXECUTE FUNCTION ib_refuse_change('commission lines never change')"
        )
