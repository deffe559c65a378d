"""The proof of stored lines: every one is derived anew by the engine's own target and compared with what stands there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.types import Actor
from ib.engine import booking
from ib.engine.ordered import month_of
from ib.engine.target import Scope, difference_select, parameters_of, scope_of_day
from ib.models import RateCardVersion
from ib.services import ordered
from ib.services.card import ensure_current_card, facts_of_card
from ib.services.quarantine import held_trades
from ib.services.settlement import days_to_settle
from ib.types import ProofResult

PARTNERS_AT_ONCE = 200
"""Partners whose months are read by one statement."""
MAXIMUM_ROWS = 200
"""Contradictions that a proof lists; it counts them all."""

# Each line by itself: its arithmetic, its place in the sequence, and the entry of the rate card that it names.
_LINES_BY_THEMSELVES = """
SELECT 'line' AS problem, line.partner_id, line.trade_id, line.part, line.seq, line.day, line.target AS stored_target,
       line.derived AS derived_target, line.amount AS stored_amount,
       line.derived - coalesce(line.before, 0) AS derived_amount, line.currency
FROM (
    SELECT l.partner_id, l.trade_id, l.part, l.seq, l.day, l.target, l.amount, l.currency, l.level, l.rule_id, l.rate,
           l.rate_currency, l.card_entry_id, card.beneficiary_id, card.rule_id AS card_rule_id, card.level AS card_level,
           card.rate AS card_rate, card.rate_currency AS card_currency, card.reward_currency, card.part AS card_part,
           card.needs_period, card.id AS card_id,
           lag(l.target) OVER sequence AS before, row_number() OVER sequence - 1 AS place,
           CASE WHEN l.card_entry_id IS NULL THEN 0
                ELSE ib_reward(card.basis, l.quantity, l.factor, l.rate, l.rate_currency, l.fx_rate, card.rounding_stage,
                               card.rounding_mode, card.reward_digits::integer, l.cap_left)
           END AS derived
    FROM ib_commissionline AS l
    LEFT JOIN ib_ratecardentry AS card ON card.id = l.card_entry_id
    WHERE l.day = %(day)s
    WINDOW sequence AS (PARTITION BY l.partner_id, l.trade_id, l.part, l.day ORDER BY l.seq)
) AS line
WHERE line.derived IS NULL
   OR line.target <> line.derived
   OR line.amount <> line.derived - coalesce(line.before, 0)
   OR line.seq <> line.place
   OR (line.card_entry_id IS NOT NULL
       AND (line.card_id IS NULL
            OR (line.beneficiary_id, line.card_rule_id, line.card_level, line.reward_currency, line.card_part)
               IS DISTINCT FROM (line.partner_id, line.rule_id, line.level::smallint, line.currency, line.part)
            OR (NOT line.needs_period AND line.card_rate <> line.rate)
            OR (line.card_currency <> '' AND line.card_currency <> line.rate_currency)))
ORDER BY line.partner_id, line.trade_id, line.part, line.seq
"""


def days_of_book() -> tuple[date, date]:
    """The first and the last day of which anything is to be proved: a trade, a line of a trade or one of a month."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT coalesce(min(first), current_date), coalesce(max(last), current_date) FROM (
                SELECT min(business_day) AS first, max(business_day) AS last FROM platform_ops_trade
                UNION ALL SELECT min(day), max(day) FROM ib_commissionline
                UNION ALL SELECT min(period), max(period) FROM ib_periodline) AS book
            """
        )
        first, last = cursor.fetchone()
        return first, last


def prove_range(*, from_day: date, to_day: date, actor: Actor) -> ProofResult:
    """Derives every line of the days anew and compares; writes nothing. Each day is read in one snapshot."""
    authorise(actor, "ib.view_commissions")
    days = days_to_settle(from_day=from_day, to_day=to_day)
    card = ensure_current_card(actor=Actor.system("ib.proof"))
    rows: list[dict[str, Any]] = []
    trades = lines = count = 0
    for day in days:
        day_trades, day_lines, found = _prove_day(day, card)
        trades, lines, count = trades + day_trades, lines + day_lines, count + len(found)
        rows += found[: MAXIMUM_ROWS - len(rows)]
    for found in _months(days, card):
        count += len(found)
        rows += found[: MAXIMUM_ROWS - len(rows)]
    return ProofResult(trades=trades, lines=lines, rows=tuple(rows), count=count)


def _months(days: Iterable[date], card: RateCardVersion) -> Iterator[list[dict[str, Any]]]:
    """What settling the partners' months that the days belong to would book now."""
    if "periods" not in card.traits:
        return
    for period in sorted({month_of(day) for day in days}):
        partner_ids = ordered.partners_of_month(period)
        for start in range(0, len(partner_ids), PARTNERS_AT_ONCE):
            with transaction.atomic():
                some = partner_ids[start : start + PARTNERS_AT_ONCE]
                found = ordered.months_and_differences(partner_ids=some, period=period, card=card)
                yield [_said(row) for _, rows in found.values() for row in rows]


@transaction.atomic
def _prove_day(day: date, card: RateCardVersion) -> tuple[int, int, list[dict[str, Any]]]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM platform_ops_trade WHERE business_day = %s AND NOT is_cancelled", [day])
        trades = int(cursor.fetchone()[0])
        cursor.execute("SELECT count(*) FROM ib_commissionline WHERE day = %s", [day])
        lines = int(cursor.fetchone()[0])
    booking.pin_plan(max(trades, lines), facts_of_card(card))
    found = _rows(_LINES_BY_THEMSELVES, {"day": day})
    found += differences(scope_of_day(day, held=held_trades([day])), card)
    booking.free_plan()
    return trades, lines, found


def differences(scope: Scope, card: RateCardVersion) -> list[dict[str, Any]]:
    """What settling the scope would book now: target, booked and difference by trade and partner."""
    facts = facts_of_card(card)
    rows = _rows(difference_select(scope, facts), parameters_of(scope, facts))
    return [_said(row) for row in rows]


def _said(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "problem": "difference",
        "partner_id": row["partner_id"],
        "trade_id": row["trade_id"],
        "day": row["day"],
        "expected": row["target"],
        "booked": row["target"] - row["amount"],
        "difference": row["amount"],
        "currency": row["currency"],
    }


def _rows(sql: str, parameters: dict[str, Any]) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        names = [column.name for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
