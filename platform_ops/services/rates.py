"""Reference rates: loaded from the central bank's files, or continued by the broker's own fixing.

A rate that is restated replaces the old one and is reported; loading the same file again changes nothing.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.services import outbox
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from platform_ops.events import RATES_CHANGED
from platform_ops.gateways.ecb import ReferenceRate, bundled_history, read_rates
from platform_ops.permissions import LOAD_RATES

ECB = "ECB"
MAXIMUM_CORRECTIONS_SHOWN = 100

_STAGE = "CREATE TEMPORARY TABLE staged_rate (day date, currency text, per_euro numeric) ON COMMIT DROP"
_CORRECTED = """
UPDATE platform_ops_fxreferencerate AS stored SET per_euro = staged.per_euro
FROM staged_rate AS staged, platform_ops_fxreferencerate AS before
WHERE stored.source = %s AND stored.date = staged.day AND stored.currency = staged.currency
  AND before.id = stored.id AND stored.per_euro <> staged.per_euro
RETURNING stored.date, stored.currency, before.per_euro, stored.per_euro
"""
_NEW = """
WITH added AS (
    INSERT INTO platform_ops_fxreferencerate (source, date, currency, per_euro)
    SELECT %s, day, currency, per_euro FROM staged_rate ON CONFLICT (source, currency, date) DO NOTHING RETURNING date
) SELECT count(*), min(date), max(date) FROM added
"""


@dataclass(frozen=True, slots=True)
class RateCorrection:
    """A stored rate that a later file states otherwise."""

    day: date
    currency: str
    before: Decimal
    after: Decimal


@dataclass(frozen=True, slots=True)
class RateLoad:
    """What a load changed."""

    new: int
    corrections: list[RateCorrection] = field(default_factory=list)


def load_reference_rates(*, actor: Actor, data: bytes | None = None) -> RateLoad:
    """Stores the rates of a central-bank file (default: the history that comes with the installation)."""
    return _store(read_rates(bundled_history() if data is None else data), source=ECB, actor=actor)


def continue_reference_rates(*, per_euro: Mapping[date, Mapping[str, Decimal]], source: str, actor: Actor) -> RateLoad:
    """Stores the broker's own fixing under a source of its own. It counts only where the central bank has no rate."""
    if not source or source == ECB:
        raise InvalidInput("The broker's own fixing needs a source name of its own.", field="source", value=source)
    rates = [
        ReferenceRate(day, currency, rate) for day, quoted in per_euro.items() for currency, rate in quoted.items()
    ]
    if any(not rate.per_euro.is_finite() or rate.per_euro <= 0 for rate in rates):
        raise InvalidInput("A rate must be above zero.", field="per_euro")
    return _store(rates, source=source, actor=actor)


@transaction.atomic
def _store(rates: Iterable[ReferenceRate], *, source: str, actor: Actor) -> RateLoad:
    authorise(actor, LOAD_RATES)
    lines = "".join(f"{rate.day}\t{rate.currency}\t{rate.per_euro}\n" for rate in rates)
    with connection.cursor() as cursor:
        # One loader at a time: two that restate the same rate would each report the other's value as theirs.
        cursor.execute("LOCK TABLE platform_ops_fxreferencerate IN SHARE ROW EXCLUSIVE MODE")
        cursor.execute(_STAGE)
        cursor.copy_expert("COPY staged_rate FROM STDIN", io.StringIO(lines))
        cursor.execute(_CORRECTED, [source])
        corrections = [RateCorrection(*row) for row in cursor.fetchmany(MAXIMUM_CORRECTIONS_SHOWN)]
        cursor.execute(_NEW, [source])
        new, *ends = cursor.fetchone()
        cursor.execute("DROP TABLE staged_rate")
    if new or corrections:
        days = sorted({correction.day.isoformat() for correction in corrections})
        ends = sorted([*days, *(day.isoformat() for day in ends if day is not None)])
        span = {"first_day": ends[0], "last_day": ends[-1]}
        outbox.publish(topic=RATES_CHANGED, payload={"source": source, "new": new, "corrected_days": days, **span})
    return RateLoad(new=new, corrections=corrections)
