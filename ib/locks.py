"""Every lock the desk takes, in the one order in which they may be taken: rate card, days, then the ledger.

Advisory locks are taken per purpose and live until the transaction ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from django.db import connection

from ib.models import Partner, PlanVersion

# First numbers of the advisory lock pairs; the second says which one of its kind.
_CARD = 7_401_001
_DAY = 7_401_002
_LEDGER = 7_401_003
_TREE = 7_401_004
_PARTITIONS = 7_401_005
_PERIODS = 7_401_007
_ORDERED = 7_401_008

DAY_LOCKS = 256
"""Days share this many locks, so that a statement over ten years does not fill the table of locks."""

PERIOD_LOCKS = 2**31
"""The second number of a lock has 31 bits; partners that far apart would only wait for each other."""

SETTLEMENT_LOCK_TIMEOUT_MS = 30_000
"""A settlement may wait for another one of the same day, which takes a second or two per hundred thousand trades."""
USE_CASE_LOCK_TIMEOUT_MS = 3_000


def limit_waiting(milliseconds: int = USE_CASE_LOCK_TIMEOUT_MS) -> None:
    """Bounds how long any lock of this transaction is waited for."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{milliseconds}ms"])


def lock_card_compilation() -> None:
    """One compilation at a time."""
    _exclusive(_CARD, 0)


def lock_days(*, shared: Iterable[date], exclusive: Iterable[date]) -> None:
    """Shared: trades that nobody else settles by their batch. Exclusive: whatever compares with what was booked.

    The locks are taken in the order of their numbers, whatever their mode, so two settlements cannot wait for each other.
    """
    numbers = {day.toordinal() % DAY_LOCKS: False for day in shared}
    numbers.update({day.toordinal() % DAY_LOCKS: True for day in exclusive})
    for number in sorted(numbers):
        if numbers[number]:
            _exclusive(_DAY, number)
        else:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock_shared(%s, %s)", [_DAY, number])


def lock_ledger_posting() -> None:
    """Settlements post one after the other: they touch the same balances in any order and would deadlock."""
    _exclusive(_LEDGER, 0)


def lock_tree() -> None:
    """One change of the partner tree at a time, so that a cycle cannot arise from two moves."""
    _exclusive(_TREE, 0)


def lock_partitions() -> None:
    """One process at a time makes partitions."""
    _exclusive(_PARTITIONS, 0)


def lock_partner_periods(partner_id: int) -> None:
    """One settlement of a partner's periods at a time. Taken before the ledger's locks and after no other."""
    _exclusive(_PERIODS, partner_id % PERIOD_LOCKS)


def lock_ordered_trades(partner_id: int) -> None:
    """One settlement of a partner's trades by the period at a time. Taken after the days."""
    _exclusive(_ORDERED, partner_id % PERIOD_LOCKS)


def lock_partner(partner_id: int) -> Partner | None:
    """The partner, locked."""
    return Partner.objects.select_for_update().filter(pk=partner_id).first()


def lock_plan_version(version_id: int) -> PlanVersion | None:
    """The plan version, locked with its plan, so that two versions are not published at once."""
    return (
        PlanVersion.objects.select_for_update(of=("self", "plan")).select_related("plan").filter(pk=version_id).first()
    )


def _exclusive(purpose: int, number: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [purpose, number])
