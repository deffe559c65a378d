"""Booked period lines: what stands, what is to be written, and which partners are due. It decides nothing by itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from django.db import connection

from ib.models import PeriodLine, PeriodLinePart, PeriodSettlement
from ib.rules.period_words import PeriodFacts, digest

MAXIMUM_DEPTH = 100


@dataclass(frozen=True, slots=True)
class LineKey:
    """What a period line is of; differences of one key follow each other by their number."""

    kind: str
    rule_id: int | None
    subject_type: str
    subject_id: int
    period: date
    currency: str


@dataclass(frozen=True, slots=True)
class TargetLine:
    """What a key is worth now: its facts, their value, and the business day that it belongs to."""

    facts: PeriodFacts
    target: Decimal
    day: date


@dataclass(frozen=True, slots=True)
class BookedLine:
    """What was booked of a key so far."""

    seq: int
    amount: Decimal
    facts_digest: str
    level: int | None
    day: date
    decimals: int
    rounding: str
    cause_event_id: int | None


@dataclass(frozen=True, slots=True)
class DueLine:
    """A line that is to be written: target minus booked, or another reason for the same amount."""

    key: LineKey
    line: TargetLine
    seq: int
    amount: Decimal


_BOOKED = """
SELECT DISTINCT ON (kind, rule_id, subject_type, subject_id, period, currency)
       kind, rule_id, subject_type, subject_id, period, currency, seq,
       sum(amount) OVER (PARTITION BY kind, rule_id, subject_type, subject_id, period, currency), facts_digest, level, day,
       decimals, rounding, cause_event_id
FROM ib_periodline
WHERE partner_id = %s AND period >= %s
ORDER BY kind, rule_id, subject_type, subject_id, period, currency, seq DESC
"""


def booked_lines(*, partner_id: int, from_period: date) -> dict[LineKey, BookedLine]:
    """Everything that was booked for the partner from a period on."""
    with connection.cursor() as cursor:
        cursor.execute(_BOOKED, [partner_id, from_period])
        return {LineKey(*row[:6]): BookedLine(*row[6:]) for row in cursor.fetchall()}


def write_lines(
    *, settlement: PeriodSettlement, lines: Sequence[DueLine], booked_days: dict[date, date]
) -> list[PeriodLine]:
    """Inserts lines with their parts. A key and number that exist are an IntegrityError."""
    rows = [
        PeriodLine(
            settlement=settlement,
            partner_id=settlement.partner_id,
            kind=due.key.kind,
            rule_id=due.key.rule_id,
            subject_type=due.key.subject_type,
            subject_id=due.key.subject_id,
            period=due.key.period,
            currency=due.key.currency,
            seq=due.seq,
            level=due.line.facts.level,
            cause_event_id=due.line.facts.cause_event_id,
            earned_at=due.line.facts.earned_at,
            quantity=due.line.facts.quantity,
            measure=due.line.facts.measure,
            rate=due.line.facts.rate,
            rate_currency=due.line.facts.rate_currency,
            fx_rate=due.line.facts.fx_rate,
            fx_date=due.line.facts.fx_date,
            decimals=due.line.facts.money.decimals,
            rounding=due.line.facts.money.mode,
            target=due.line.target,
            amount=due.amount,
            day=due.line.day,
            booked_day=booked_days[due.line.day],
            facts_digest=digest(due.line.facts),
        )
        for due in lines
    ]
    PeriodLine.objects.bulk_create(rows, batch_size=1_000)
    PeriodLinePart.objects.bulk_create(
        [
            PeriodLinePart(
                line=row,
                position=position,
                code=part.code.value,
                subject_id=part.subject_id,
                original=part.original,
                currency=part.currency,
                amount=part.amount,
                count=part.count,
                unknown=part.unknown,
            )
            for row, due in zip(rows, lines, strict=True)
            for position, part in enumerate(due.line.facts.parts)
        ],
        batch_size=2_000,
    )
    return rows


# Marks speak of clients and partners; whoever introduced the client at any time, and everybody who ever stood above, may be
# due. Those without a rule by the period and without a line have nothing to settle. UNION ends a circle.
_SPREAD = """
WITH RECURSIVE taken AS (
    DELETE FROM ib_periodmark WHERE id IN (SELECT id FROM ib_periodmark WHERE NOT is_spread ORDER BY id LIMIT %(limit)s
                                           FOR UPDATE SKIP LOCKED)
    RETURNING source, client_id, partner_id, day
), touched AS (
    SELECT coalesce(taken.partner_id, referral.partner_id) AS partner_id, taken.day, taken.source
    FROM taken LEFT JOIN ib_clientreferral AS referral ON referral.client_id = taken.client_id
), first AS (
    SELECT partner_id, min(day) AS day, {source} AS source FROM touched WHERE partner_id IS NOT NULL GROUP BY 1
), upwards AS (
    SELECT partner_id, day, source FROM first
    UNION
    SELECT edge.parent_id, upwards.day, upwards.source
    FROM upwards JOIN ib_partneredge AS edge ON edge.child_id = upwards.partner_id
), due AS (
    SELECT partner_id, min(day) AS day, {source} AS source FROM upwards GROUP BY partner_id
)
INSERT INTO ib_periodmark (source, partner_id, day, is_spread)
SELECT due.source, due.partner_id, due.day, true
FROM due
WHERE EXISTS (
        SELECT 1 FROM ib_agreement AS agreement
        JOIN ib_planversion AS version ON version.plan_id = agreement.plan_id AND version.state = 'published'
        JOIN ib_planrule AS rule ON rule.version_id = version.id
        WHERE agreement.partner_id = due.partner_id AND rule.basis = ANY(%(bases)s))
   OR EXISTS (SELECT 1 FROM ib_periodline AS line WHERE line.partner_id = due.partner_id)
   OR EXISTS (
        SELECT 1 FROM ib_clientevent AS event
        JOIN ib_clientreferral AS referral ON referral.client_id = event.client_id
        WHERE event.kind IN ('chargeback', 'fraud')
          AND (referral.partner_id = due.partner_id OR EXISTS (
                SELECT 1 FROM ib_partneredge AS edge WHERE edge.parent_id = due.partner_id)))
RETURNING id, partner_id
"""
# What speaks of the set-up is not lost behind what clients did: more follows from it.
_SPREAD = _SPREAD.format(source="coalesce(min(source) FILTER (WHERE source LIKE 'ib\\_%%'), min(source))")


def spread_marks(*, bases: Iterable[str], limit: int) -> list[tuple[int, int]]:
    """Turns marks into one for each partner who is due; (mark, partner) of those."""
    with connection.cursor() as cursor:
        cursor.execute(_SPREAD, {"bases": list(bases), "limit": limit})
        return list(cursor.fetchall())


_BELOW = """
WITH RECURSIVE below AS (
    SELECT edge.child_id AS partner_id, 1 AS depth, ARRAY[%(partner)s::bigint, edge.child_id] AS path
    FROM ib_partneredge AS edge WHERE edge.parent_id = %(partner)s AND edge.validity @> %(at)s::timestamptz
    UNION ALL
    SELECT edge.child_id, below.depth + 1, below.path || edge.child_id
    FROM below JOIN ib_partneredge AS edge ON edge.parent_id = below.partner_id
    WHERE edge.validity @> %(at)s::timestamptz AND edge.child_id <> ALL(below.path) AND below.depth < %(depth)s
)
SELECT partner_id, depth FROM below ORDER BY depth, partner_id
"""


_ABOVE = """
WITH RECURSIVE above AS (
    SELECT edge.parent_id AS partner_id, 1 AS depth, ARRAY[%(partner)s::bigint, edge.parent_id] AS path
    FROM ib_partneredge AS edge WHERE edge.child_id = %(partner)s AND edge.validity @> %(at)s::timestamptz
    UNION ALL
    SELECT edge.parent_id, above.depth + 1, above.path || edge.parent_id
    FROM above JOIN ib_partneredge AS edge ON edge.child_id = above.partner_id
    WHERE edge.validity @> %(at)s::timestamptz AND edge.parent_id <> ALL(above.path) AND above.depth < %(depth)s
)
SELECT partner_id, depth FROM above ORDER BY depth
"""


def partners_above(*, partner_id: int, at: datetime) -> list[tuple[int, int]]:
    """(partner, how far above) of those who stood above a partner at a moment, the nearest first."""
    with connection.cursor() as cursor:
        cursor.execute(_ABOVE, {"partner": partner_id, "at": at, "depth": MAXIMUM_DEPTH})
        return list(cursor.fetchall())


def partners_below(*, partner_id: int, at: datetime, direct: bool = False) -> list[int]:
    """Those who stood below a partner at a moment; only the next level, if asked."""
    with connection.cursor() as cursor:
        cursor.execute(_BELOW, {"partner": partner_id, "at": at, "depth": 1 if direct else MAXIMUM_DEPTH})
        return [row[0] for row in cursor.fetchall()]
