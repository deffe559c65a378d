"""What became of every closed trade: paid, excluded with a reason, or unmatched. The daily proof reads it."""

from __future__ import annotations

from datetime import date
from typing import Any

from django.db import connection, transaction

from backoffice.core.access import authorise
from backoffice.core.types import Actor
from ib.engine import booking
from ib.engine.card.building import CardFacts
from ib.engine.fx import FX_TABLE
from ib.engine.ordered import concerned_partners, month_of
from ib.engine.target import (
    CONVERSION,
    Scope,
    difference_select,
    measured_select,
    narrowed,
    parameters_of,
    scope_of_day,
)
from ib.models import RateCardVersion
from ib.services import ordered
from ib.services.card import ensure_current_card, facts_of_card
from ib.services.quarantine import held_trades
from ib.services.settlement import days_to_settle
from ib.types import Coverage, CoverageRow, ExcludedPart, Exclusion, UncoveredTrade

MAXIMUM_UNCOVERED = 500


def coverage(*, actor: Actor, from_day: date, to_day: date) -> list[CoverageRow]:
    """What became of every closed trade of the days: paid, excluded with a reason, or unmatched, counted by day."""
    authorise(actor, "ib.view_commissions")
    rows: list[CoverageRow] = []
    for day in days_to_settle(from_day=from_day, to_day=to_day):
        for status, reason, trades in _fates(
            actor, day, "SELECT status, reason, count(*) FROM fate GROUP BY status, reason ORDER BY status, reason"
        ):
            rows.append(CoverageRow(day, Coverage(status), Exclusion(reason) if reason else None, trades))
    return rows


def uncovered_trades(*, actor: Actor, day: date, reason: Exclusion | None = None) -> list[UncoveredTrade]:
    """The trades of a day that nobody is paid for (for that reason, if given); unmatched ones first. Bounded."""
    authorise(actor, "ib.view_commissions")
    rows = _fates(
        actor,
        day,
        "SELECT trade_id, ticket, status, reason FROM fate WHERE status <> 'paid'"
        " AND (%(reason)s::text IS NULL OR reason = %(reason)s) ORDER BY status DESC, trade_id LIMIT %(limit)s",
        {"reason": reason.value if reason else None, "limit": MAXIMUM_UNCOVERED},
    )
    return [
        UncoveredTrade(trade_id, ticket, day, Coverage(status), Exclusion(found) if found else None)
        for trade_id, ticket, status, found in rows
    ]


# In their order they are worth nothing to anybody, and nobody is paid for them by themselves. What lacks a rate has no
# worth yet, so that is said of it first.
_WORTHLESS = "due.standing = 0 AND due.valued = due.beneficiaries AND t.id = ANY(%(worthless)s)"


def _fate_table(scope: Scope, facts: CardFacts) -> str:
    """`fate`: what became of each trade. A trade is paid only when every beneficiary of it could be valued."""
    return f"""
    {FX_TABLE},
    due AS (
        SELECT measured.trade_id, count(*) FILTER (WHERE measured.exclusion IS NULL) AS beneficiaries,
               count(fx.rate) FILTER (WHERE measured.exclusion IS NULL) AS valued,
               count(*) FILTER (WHERE measured.exclusion IS NULL AND NOT measured.needs_period) AS standing,
               min(measured.exclusion) AS exclusion
        FROM ({measured_select(scope, facts)}) AS measured
        LEFT JOIN fx {CONVERSION}
        GROUP BY measured.trade_id
    ),
    difference AS (
        SELECT part.trade_id, bool_and(frozen.id IS NOT NULL) AS waits
        FROM ({difference_select(scope, facts)}) AS part
        LEFT JOIN ledger_ledgeraccount AS frozen
          ON frozen.owner_type = 'partner' AND frozen.owner_id = part.partner_id AND frozen.kind = 'partner_accrued'
         AND frozen.is_frozen AND part.amount < 0
        GROUP BY part.trade_id
    ),
    fate AS (
        SELECT t.id AS trade_id, t.ticket,
               CASE WHEN t.id = ANY(%(set_aside)s) THEN 'excluded'
                    WHEN t.id = ANY(%(unsettled)s) THEN 'unmatched'
                    WHEN difference.trade_id IS NULL AND due.beneficiaries > 0 AND {_WORTHLESS} THEN 'excluded'
                    WHEN difference.trade_id IS NOT NULL AND NOT difference.waits THEN 'unmatched'
                    WHEN difference.trade_id IS NULL AND due.valued = due.beneficiaries AND due.beneficiaries > 0 THEN 'paid'
                    ELSE 'excluded' END AS status,
               CASE WHEN t.id = ANY(%(set_aside)s) THEN 'set_aside'
                    WHEN t.id = ANY(%(unsettled)s) THEN NULL
                    WHEN difference.trade_id IS NOT NULL THEN CASE WHEN difference.waits THEN 'account_frozen' END
                    WHEN due.beneficiaries > 0 AND {_WORTHLESS} THEN 'hedged'
                    WHEN due.valued = due.beneficiaries AND due.beneficiaries > 0 THEN NULL
                    WHEN t.is_cancelled THEN 'cancelled'
                    WHEN t.volume_lots = 0 THEN 'zero_volume'
                    WHEN account.is_demo THEN 'demo_account'
                    WHEN account.client_id IS NULL THEN 'account_not_assigned'
                    WHEN referral.id IS NULL THEN 'client_not_referred'
                    WHEN server_symbol.symbol_id IS NULL THEN 'symbol_not_mapped'
                    WHEN due.trade_id IS NULL THEN 'no_rule'
                    WHEN due.beneficiaries = 0 THEN due.exclusion
                    ELSE 'missing_rate' END AS reason
        FROM platform_ops_trade AS t
        JOIN platform_ops_tradingserver AS server ON server.id = t.server_id
        JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
        JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
        LEFT JOIN ib_clientreferral AS referral
          ON referral.client_id = account.client_id AND referral.validity @> t.closed_at
        LEFT JOIN due ON due.trade_id = t.id
        LEFT JOIN difference ON difference.trade_id = t.id
        WHERE (t.business_day = %(day)s OR difference.trade_id IS NOT NULL)
          AND (%(every_entity)s OR server.entity_id = ANY(%(entities)s::bigint[]))
    )
    """  # noqa: S608 - own text


def fate_of_trade(*, trade_id: int, day: date) -> tuple[Coverage, Exclusion | None]:
    """What became of one trade of a day, and why. For the desk's own use cases: it asks nobody's rights."""
    select = "SELECT status, reason FROM fate WHERE trade_id = %(trade)s"
    rows = _fates(Actor.system("ib.coverage"), day, select, {"trade": trade_id}, only=trade_id)
    if not rows:
        return Coverage.UNMATCHED, None
    status, reason = rows[0]
    return Coverage(status), Exclusion(reason) if reason else None


def exclusion_of(*, trade_id: int, day: date, partner_id: int) -> Exclusion | None:
    """Why a rule that is for the partner does not count the trade; None where no rule of theirs says so."""
    facts = facts_of_card(ensure_current_card(actor=Actor.system("ib.coverage")))
    scope = narrowed(scope_of_day(day), [trade_id])
    with connection.cursor() as cursor:
        cursor.execute(
            f"WITH {FX_TABLE} SELECT measured.exclusion FROM ({measured_select(scope, facts)}) AS measured"  # noqa: S608 - own text
            " WHERE measured.beneficiary_id = %(partner)s AND measured.exclusion IS NOT NULL ORDER BY 1 LIMIT 1",
            {**parameters_of(scope, facts), "partner": partner_id},
        )
        row = cursor.fetchone()
    return Exclusion(row[0]) if row else None


@transaction.atomic
def _fates(
    actor: Actor, day: date, select: str, parameters: dict[str, Any] | None = None, *, only: int | None = None
) -> list[tuple[Any, ...]]:
    card = ensure_current_card(actor=Actor.system("ib.coverage"))
    held = held_trades([day])
    scope = scope_of_day(day, held=held)
    if only is not None:
        scope = narrowed(scope, [only])
    facts = facts_of_card(card)
    unsettled, worthless = _by_month(scope, day, card)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM platform_ops_trade WHERE business_day = %s", [day])
        booking.pin_plan(cursor.fetchone()[0], facts)
        cursor.execute(
            f"WITH {_fate_table(scope, facts)} {select}",
            {
                **parameters_of(scope, facts),
                **(parameters or {}),
                "set_aside": held,
                "unsettled": unsettled,
                "worthless": worthless,
                "every_entity": actor.is_system,
                "entities": sorted(actor.entity_ids),
            },
        )
        rows = list(cursor.fetchall())
    booking.free_plan()
    return rows


def _by_month(scope: Scope, day: date, card: RateCardVersion) -> tuple[list[int], list[int]]:
    """Of the scope's trades that are valued in their order: those whose booking differs, and those that so pay nobody.

    Only the months of partners whom these trades may pay, or did pay, are valued, each once.
    """
    facts, period = facts_of_card(card), month_of(day)
    unsettled: set[int] = set()
    excluded: set[int] = set()
    paid: set[int] = set()
    partner_ids = concerned_partners(scope, facts)
    months = ordered.months_and_differences(partner_ids=partner_ids, period=period, card=card)
    for found, rows in months.values():
        excluded |= {item.trade.trade_id for item in found.valued if item.exclusion}
        paid |= {item.trade.trade_id for item in found.valued if not item.exclusion}
        unsettled |= {row["trade_id"] for row in rows if row["day"] == day}
    return sorted(unsettled), sorted(excluded - paid)


_EXCLUDED_PARTS = """
WITH {fx}
SELECT t.id, t.ticket, measured.beneficiary_id, measured.part, coalesce(measured.exclusion, 'missing_rate') AS reason
FROM ({measured}) AS measured
JOIN platform_ops_trade AS t ON t.id = measured.trade_id
JOIN ib_partner AS partner ON partner.id = measured.beneficiary_id
LEFT JOIN fx {conversion}
WHERE (measured.exclusion IS NOT NULL OR fx.rate IS NULL)
  AND (%(every_entity)s OR partner.entity_id = ANY(%(entities)s::bigint[]))
ORDER BY 1, 3, 4 LIMIT %(limit)s
"""


def excluded_parts(*, actor: Actor, day: date) -> list[ExcludedPart]:
    """What rules do not count of a day's trades, by trade, partner and part of the plan, with the reason. Bounded."""
    authorise(actor, "ib.view_commissions")
    card = ensure_current_card(actor=Actor.system("ib.coverage"))
    facts, scope = facts_of_card(card), scope_of_day(day)
    sql = _EXCLUDED_PARTS.format(fx=FX_TABLE, measured=measured_select(scope, facts), conversion=CONVERSION)
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            {
                **parameters_of(scope, facts),
                "every_entity": actor.is_system,
                "entities": sorted(actor.entity_ids),
                "limit": MAXIMUM_UNCOVERED,
            },
        )
        return [
            ExcludedPart(trade_id, ticket, partner_id, part, Exclusion(reason))
            for trade_id, ticket, partner_id, part, reason in cursor.fetchall()
        ]


_EXCLUDED_PARTNERS = """
WITH {fx}
SELECT partner.reference, measured.exclusion, count(*)
FROM ({measured}) AS measured JOIN ib_partner AS partner ON partner.id = measured.beneficiary_id
WHERE measured.exclusion IS NOT NULL AND (%(every_entity)s OR partner.entity_id = ANY(%(entities)s::bigint[]))
GROUP BY 1, 2 ORDER BY 1, 2
"""


def partners_excluded(*, actor: Actor, day: date) -> list[tuple[str, Exclusion, int]]:
    """By partner, why trades of a day that a rule of theirs is for do not count, and how many. Others may be paid for them."""
    authorise(actor, "ib.view_commissions")
    card = ensure_current_card(actor=Actor.system("ib.coverage"))
    facts, scope = facts_of_card(card), scope_of_day(day)
    sql = _EXCLUDED_PARTNERS.format(fx=FX_TABLE, measured=measured_select(scope, facts))
    with connection.cursor() as cursor:
        cursor.execute(
            sql,
            {
                **parameters_of(scope, facts),
                "every_entity": actor.is_system,
                "entities": sorted(actor.entity_ids),
            },
        )
        return [(reference, Exclusion(reason), trades) for reference, reason, trades in cursor.fetchall()]
