"""Sets aside the trades that the books refuse, so that the thousands beside them are settled.

Nothing of this runs while settlement succeeds, save one look at the (empty) list of what is set aside. When a settlement
fails in a way that another try cannot mend, its trades are halved again and again, each half booked on trial and rolled
back, until the guilty ones stand alone; they are written down with what the books said, and the settlement starts over
without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from typing import Any

import structlog
from django.db import DataError, IntegrityError, InternalError, connection, transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, InvalidInput
from ib.models import QuarantinedTrade
from ib.services import work
from ib.services.shards import RESETTLE_DAY, enqueue_days

REFUSED = (DataError, IntegrityError, InternalError, InvalidInput, ArithmeticError)
"""Refusals that the same rows meet again however often they are tried: overflow, a constraint, a trigger, a rule."""
MAXIMUM_SET_ASIDE = 100
"""More than this at once is not a few bad trades but a fault of the set-up: the settlement then fails as a whole."""
MAXIMUM_REASON_LENGTH = 1_000

Trial = Callable[[Sequence[int]], None]
"""Books only these trades. It runs inside a savepoint that is rolled back whatever it does."""


class _UndoneError(Exception):
    """Ends a trial that succeeded."""


def held_trades(days: Iterable[date]) -> list[int]:
    """The trades of the days that are set aside now, in the version in which they were."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT held.trade_id FROM ib_quarantinedtrade AS held"
            " JOIN platform_ops_trade AS t ON t.id = held.trade_id AND t.batch_id = held.trade_batch_id"
            " WHERE held.released_at IS NULL AND held.day = ANY(%s) ORDER BY held.trade_id",
            [list(days)],
        )
        return [row[0] for row in cursor.fetchall()]


def guilty_trades(*, trade_ids: Sequence[int], trial: Trial) -> dict[int, Exception]:
    """The trades that are refused by themselves, each with the refusal. Needs a transaction; leaves nothing in it.

    Takes about twice the work of one settlement for a single bad trade. Empty when only their combination is refused, or
    when more than `MAXIMUM_SET_ASIDE` are bad.
    """
    guilty: dict[int, Exception] = {}
    waiting = [list(trade_ids)]
    while waiting:
        part = waiting.pop()
        refusal = _tried(part, trial) if part else None
        if refusal is None:
            continue
        if len(part) == 1:
            guilty[part[0]] = refusal
            if len(guilty) > MAXIMUM_SET_ASIDE:
                return {}
            continue
        middle = len(part) // 2
        waiting += [part[middle:], part[:middle]]
    return guilty


def _tried(trade_ids: Sequence[int], trial: Trial) -> Exception | None:
    try:
        with transaction.atomic():
            trial(trade_ids)
            raise _UndoneError
    except _UndoneError:
        return None
    except REFUSED as error:
        return error


_SET_ASIDE = """
INSERT INTO ib_quarantinedtrade
    (trade_id, trade_batch_id, day, ticket, entity_id, error, reason, cause, attempts, quarantined_at, released_by, release_reason)
SELECT t.id, t.batch_id, t.business_day, t.ticket, server.entity_id, %(error)s, %(reason)s, %(cause)s, 1, %(now)s, '', ''
FROM platform_ops_trade AS t JOIN platform_ops_tradingserver AS server ON server.id = t.server_id
WHERE t.id = %(trade_id)s
ON CONFLICT (trade_id) DO UPDATE SET
    trade_batch_id = excluded.trade_batch_id, day = excluded.day, error = excluded.error, reason = excluded.reason,
    cause = excluded.cause, attempts = ib_quarantinedtrade.attempts + 1, quarantined_at = excluded.quarantined_at,
    released_at = NULL, released_by = '', release_reason = ''
"""


def set_aside(*, guilty: dict[int, Exception], cause: str, actor: Actor) -> None:
    """Writes the trades down, with an audit record each. A trade that was set aside before is so again."""
    for trade_id, refusal in sorted(guilty.items()):
        with connection.cursor() as cursor:
            cursor.execute(
                _SET_ASIDE,
                {
                    "trade_id": trade_id,
                    "error": getattr(refusal, "code", "") or type(refusal).__name__,
                    "reason": reason_text(refusal),
                    "cause": cause,
                    "now": clock.now(),
                },
            )
        row = QuarantinedTrade.objects.get(trade_id=trade_id)
        audit.record(
            actor=actor,
            action="ib.set_trade_aside",
            target=row,
            reason=row.reason,
            changes={"trade": [None, trade_id], "day": [None, row.day.isoformat()]},
            entity_id=row.entity_id,
        )
        structlog.get_logger(__name__).error("trade_set_aside", trade_id=trade_id, error=row.error, cause=cause)
    for day in QuarantinedTrade.objects.filter(trade_id__in=guilty).order_by("day").values_list("day").distinct():
        work.note_day(day=day[0])


def reason_text(refusal: Exception) -> str:
    """The first line of what the books said; never empty."""
    words = (str(refusal).strip() or type(refusal).__name__).splitlines()
    return words[0][:MAXIMUM_REASON_LENGTH]


@transaction.atomic(durable=True)
def release_trade(*, quarantine_id: int, actor: Actor, reason: str) -> QuarantinedTrade:
    """Puts a trade back and has its day settled again. Raises NotFound, or Conflict if it is not set aside any more.

    If its cause was not mended, the settlement sets it aside anew.
    """
    authorise(actor, "ib.settle_commissions")
    if not reason.strip():
        raise InvalidInput("Say what was mended.", field="reason")
    row: QuarantinedTrade = get_visible(QuarantinedTrade.objects.select_for_update(), actor, pk=quarantine_id)
    if row.released_at is not None:
        raise Conflict("The trade was put back already.", code="already_released", trade_id=row.trade_id)
    row.released_at, row.released_by, row.release_reason = clock.now(), actor.label, reason
    row.save(update_fields=["released_at", "released_by", "release_reason"])
    work.note_day(day=row.day)
    enqueue_days(days=[row.day], cause=f"release:{row.trade_id}", actor=actor, kind=RESETTLE_DAY)
    audit.record(actor=actor, action="ib.release_trade", target=row, reason=reason, entity_id=row.entity_id)
    return row


def rows_set_aside() -> list[dict[str, Any]]:
    """Every trade that is set aside now, for the proofs: which, since when and why."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT held.trade_id, held.ticket, held.day, held.error, held.reason"
            " FROM ib_quarantinedtrade AS held"
            " JOIN platform_ops_trade AS t ON t.id = held.trade_id AND t.batch_id = held.trade_batch_id"
            " WHERE held.released_at IS NULL ORDER BY held.day, held.trade_id"
        )
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
