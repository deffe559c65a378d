"""Dated ranks of partners as rows: what somebody gave by hand stands, the rest of the time is the rules'."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.backends.postgresql.psycopg_any import DateTimeTZRange
from django.db.models import Q

from backoffice.kernel.ranges import TimeRange
from ib.models import PartnerRank
from ib.services.validity import text_of

AUTOMATIC, MANUAL = PartnerRank.Source.AUTOMATIC, PartnerRank.Source.MANUAL


def rank_at(partner_id: int, at: datetime) -> PartnerRank | None:
    """The rank that a partner holds at a moment."""
    return PartnerRank.objects.filter(partner_id=partner_id, validity__contains=at).first()


def ranks_of(partner_id: int) -> list[dict[str, Any]]:
    """Every row of a partner as plain data, in the order of time."""
    return [
        {
            "rank": row.rank,
            "source": row.source,
            "from": row.validity.lower.isoformat() if row.validity.lower else None,
            "to": row.validity.upper.isoformat() if row.validity.upper else None,
            "reason": row.reason,
        }
        for row in PartnerRank.objects.filter(partner_id=partner_id).order_by("validity")
    ]


def write_automatic(
    *, partner_id: int, rank: str, start: datetime, end: datetime | None, reason: str
) -> list[dict[str, Any]]:
    """Has the rules' rank hold from start to end wherever nobody gave another by hand; what was replaced, for the audit.

    Writes nothing when it stands like that already. An empty rank is none.
    """
    span = TimeRange(start, end)
    free = [span]
    for row in _rows(partner_id, span).filter(source=MANUAL):
        free = [piece for part in free for piece in _without(part, row)]
    wanted = [(rank, piece.start, piece.end) for piece in free] if rank else []
    standing = list(_rows(partner_id, span).filter(source=AUTOMATIC).order_by("validity"))
    if _joined([(row.rank, *_within(row, span)) for row in standing]) == _joined(wanted):
        return []
    replaced = [{"row": str(row), "was": text_of(row.validity)} for row in standing]
    for row in standing:
        take_out(row, span)
    for _, since, until in wanted:
        PartnerRank.objects.create(
            partner_id=partner_id,
            rank=rank,
            validity=DateTimeTZRange(since, until),
            source=AUTOMATIC,
            reason=reason[:300],
        )
    return replaced or [{"row": "none", "was": "none"}]


def write_by_hand(*, partner_id: int, rank: str, start: datetime, until: datetime | None, reason: str) -> list[Any]:
    """Has a rank hold by hand; what it replaced. What the rules say goes on after its end.

    Other ranks by hand from then on no longer hold.
    """
    span = TimeRange(start, None)
    standing = list(_rows(partner_id, span).order_by("validity"))
    replaced = [{"row": str(row), "was": text_of(row.validity)} for row in standing]
    going_on = _going_on(standing, until)
    for row in standing:
        take_out(row, span)
    for row in (_by_hand(partner_id, rank, start, until, reason), *going_on):
        row.save(force_insert=True)
    return replaced


def _by_hand(partner_id: int, rank: str, start: datetime, until: datetime | None, reason: str) -> PartnerRank:
    validity = DateTimeTZRange(start, until)
    return PartnerRank(partner_id=partner_id, rank=rank, validity=validity, source=MANUAL, reason=reason[:300])


def _going_on(rows: list[PartnerRank], until: datetime | None) -> list[PartnerRank]:
    """What the rules said, to stand again after a rank by hand."""
    if until is None:
        return []
    rest = TimeRange(until, None)
    pieces = [(row, rest.intersect(_range(row))) for row in rows if row.source == AUTOMATIC]
    return [
        PartnerRank(
            partner_id=row.partner_id,
            rank=row.rank,
            validity=DateTimeTZRange(piece.start, piece.end),
            source=AUTOMATIC,
            reason=row.reason,
        )
        for row, piece in pieces
        if piece is not None
    ]


def restore(partner_id: int, rows: list[dict[str, Any]]) -> None:
    """Puts all rows back as plain data had them."""
    PartnerRank.objects.filter(partner_id=partner_id).delete()
    for row in rows:
        start, end = (datetime.fromisoformat(row[name]) if row[name] else None for name in ("from", "to"))
        PartnerRank.objects.create(
            partner_id=partner_id,
            rank=row["rank"],
            source=row["source"],
            reason=row["reason"],
            validity=DateTimeTZRange(start, end),
        )


def take_out(row: PartnerRank, span: TimeRange[datetime]) -> None:
    """Leaves of a row what lies outside of a span; a part after it becomes a row of its own."""
    rest = _range(row).subtract(span)
    if row.validity.lower is None:
        row.validity = DateTimeTZRange(None, span.start)
        row.save(update_fields=["validity"])
        rest = [piece for piece in rest if piece.start >= span.start]
    elif rest and rest[0].start == row.validity.lower:
        row.validity = DateTimeTZRange(rest[0].start, rest[0].end)
        row.save(update_fields=["validity"])
        rest = rest[1:]
    else:
        row.delete()
    for piece in rest:
        PartnerRank.objects.create(
            partner_id=row.partner_id,
            rank=row.rank,
            source=row.source,
            reason=row.reason,
            validity=DateTimeTZRange(piece.start, piece.end),
        )


def _rows(partner_id: int, span: TimeRange[datetime]) -> Any:
    rows = PartnerRank.objects.filter(partner_id=partner_id)
    later = Q(validity__endswith__gt=span.start) | Q(validity__endswith__isnull=True)
    rows = rows.filter(later)
    if span.end is not None:
        rows = rows.filter(Q(validity__startswith__lt=span.end) | Q(validity__startswith__isnull=True))
    return rows


_EARLIEST = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def _range(row: PartnerRank) -> TimeRange[datetime]:
    return TimeRange(row.validity.lower or _EARLIEST, row.validity.upper)


def _within(row: PartnerRank, span: TimeRange[datetime]) -> tuple[datetime, datetime | None]:
    piece = _range(row).intersect(span)
    assert piece is not None, "the row was found by overlapping"
    return piece.start, piece.end


def _without(part: TimeRange[datetime], row: PartnerRank) -> list[TimeRange[datetime]]:
    return part.subtract(_range(row))


def _joined(pieces: list[tuple[str, datetime, datetime | None]]) -> list[tuple[str, datetime, datetime | None]]:
    """Pieces that touch and say the same are one."""
    joined: list[tuple[str, datetime, datetime | None]] = []
    for piece in pieces:
        if joined and joined[-1][0] == piece[0] and joined[-1][2] == piece[1]:
            joined[-1] = (piece[0], joined[-1][1], piece[2])
        else:
            joined.append(piece)
    return joined
