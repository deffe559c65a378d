"""The daily proof of what partners are paid: every closed trade has its fate, and all payouts stay within the revenue.

What a day's trades paid all partners together is set against what they brought in, where the market tells it. Above the
limit (`IB_PAYOUT_LIMIT_PERCENT`) somebody has to look: a plan pays more than it earns. The figures are kept with the
day's step, so the work item says what was found then.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from backoffice.core.books import CheckOutcome
from backoffice.core.models import Job, OutboxEvent, Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from backoffice.kernel.decimals import divide, round_decimal
from ib.engine import booking
from ib.engine.target import difference_select, parameters_of, scope_of_day
from ib.models import RateCardVersion, TradePeriodMark
from ib.services.card import facts_of_card, is_outdated
from ib.services.quarantine import held_trades
from ib.services.settling import pinned_plan
from platform_ops.selectors.day_steps import DoneStep, done_steps
from platform_ops.selectors.trade_economics import Part, trade_economics_select

PAYOUTS_ABOVE_LIMIT = "ib.payouts_above_limit"
STEP = "commissions"
LOOK_BACK_DAYS = 30
DAYS_PROVED_AGAIN = 5
ROWS_SHOWN = 50
HUNDRED = Decimal(100)

# Only trades whose whole revenue is known count on either side. A rate is looked up once for each pair, not for each line.
_PAYOUTS = """
WITH fx AS MATERIALIZED (
    SELECT given.currency, base.currency AS base_currency,
           fx_cross(%(day)s, given.currency, base.currency) AS rate
    FROM (SELECT currency FROM platform_ops_tradingaccount UNION SELECT profit_currency FROM platform_ops_symbol
          UNION SELECT currency FROM ib_commissionline WHERE day = %(day)s) AS given
    CROSS JOIN (SELECT DISTINCT base_currency FROM core_legalentity) AS base(currency)
), valued AS MATERIALIZED (
    SELECT t.id, server.entity_id, entity.base_currency,
           (economics.spread_entry_money + economics.spread_exit_money) / 2
               * of_symbol.rate + economics.platform_commission * of_account.rate AS revenue
    FROM platform_ops_trade AS t
    JOIN platform_ops_tradingserver AS server ON server.id = t.server_id
    JOIN core_legalentity AS entity ON entity.id = server.entity_id
    JOIN ({economics}) AS economics ON economics.trade_id = t.id
    LEFT JOIN fx AS of_symbol
      ON of_symbol.currency = economics.profit_currency AND of_symbol.base_currency = entity.base_currency
    LEFT JOIN fx AS of_account
      ON of_account.currency = t.currency AND of_account.base_currency = entity.base_currency
    WHERE t.business_day = %(day)s AND NOT t.is_cancelled
), paid AS (
    SELECT l.trade_id, sum(l.amount * fx.rate) AS amount
    FROM ib_commissionline AS l JOIN valued ON valued.id = l.trade_id
    LEFT JOIN fx ON fx.currency = l.currency AND fx.base_currency = valued.base_currency
    WHERE l.day = %(day)s GROUP BY 1
)
SELECT valued.entity_id, valued.base_currency, count(*), sum(paid.amount), sum(valued.revenue)
FROM paid JOIN valued ON valued.id = paid.trade_id
WHERE valued.revenue IS NOT NULL AND paid.amount IS NOT NULL
GROUP BY 1, 2 ORDER BY 1
"""


def limit() -> Decimal:
    """Percent of the revenue that all payouts of a day may come to."""
    return Decimal(settings.IB_PAYOUT_LIMIT_PERCENT)


def payouts_of_day(day: date) -> list[dict[str, Any]]:
    """By legal entity what the day's trades paid and brought in, in its base currency: of trades whose revenue is known."""
    economics = trade_economics_select("t.business_day = %(day)s", parts=[Part.MARKET, Part.COMMISSION])
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM platform_ops_trade WHERE business_day = %s", [day])
        with pinned_plan(cursor.fetchone()[0] * booking.TRADES_WITH_MARKET):
            cursor.execute(_PAYOUTS.format(economics=economics), {"day": day})
            rows = cursor.fetchall()
    found = []
    for entity_id, currency, trades, paid, revenue in rows:
        percent = round_decimal(divide(paid * HUNDRED, revenue), 2) if revenue > 0 else None
        found.append(
            {
                "entity_id": entity_id,
                "currency": currency,
                "trades": trades,
                "paid": f"{round_decimal(paid, 2):f}",
                "revenue": f"{round_decimal(revenue, 2):f}",
                "percent": None if percent is None else f"{percent:f}",
                "limit": f"{limit():f}",
                "is_above": paid > 0 and (percent is None or percent > limit()),
            }
        )
    return found


# ---------------------------------------------------------------------------------------------------------- work items


def register_work() -> None:
    """Adds the kind; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=PAYOUTS_ABOVE_LIMIT,
            label="Partners paid more than the limit of revenue",
            desk="ib",
            roles=(Role.PARTNER_MANAGER.value, Role.FINANCE.value, Role.ADMINISTRATOR.value),
            due_hours=24,
            severity=Severity.HIGH,
            escalate_after_hours=48,
            escalate_to_roles=(Role.ADMINISTRATOR.value,),
            conditions=payouts_above_limit,
        )
    )


def note_payouts() -> None:
    """Brings the items to what the proofs of the last days found."""
    work_items.reconcile(
        kind=PAYOUTS_ABOVE_LIMIT,
        prefix="",
        conditions=lambda: payouts_above_limit(None),
        reason="The day is long past.",
    )


def payouts_above_limit(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every proved day of the last weeks on which an entity paid more than the limit."""
    found: dict[str, WorkCondition] = {}
    for step in done_steps(step=STEP, since=clock.today_business_day() - timedelta(days=LOOK_BACK_DAYS)):
        for row in step.outcome.get("payouts", []):
            key = f"{step.day}:{row['entity_id']}"
            if row["is_above"] and (group_keys is None or key in group_keys):
                found[key] = _condition(key, step, row)
    return list(found.values())


def _condition(key: str, step: DoneStep, row: dict[str, Any]) -> WorkCondition:
    share = f"{row['percent']} %" if row["percent"] is not None else "more than all"
    return WorkCondition(
        group_key=key,
        title=f"Partners were paid {share} of the revenue of {step.day}",
        evidence={
            "day": step.day.isoformat(),
            "paid": f"{row['paid']} {row['currency']}",
            "revenue": f"{row['revenue']} {row['currency']}",
            "limit": f"{row['limit']} %",
            "trades whose revenue is known": row["trades"],
            "what to do": "See which plan pays so much, and give it a guard or lower rates.",
        },
        entity_id=row["entity_id"],
        since=step.finished_at,
    )


# ---------------------------------------------------------------------------------------------------------------- check


def trades_accounted() -> CheckOutcome:
    """On the days proved last every trade is still paid what it should be, unless work waits. Notes: days above the limit."""
    steps = done_steps(step=STEP, since=clock.today_business_day() - timedelta(days=LOOK_BACK_DAYS))
    notes = [{"day": step.day, **row} for step in steps for row in step.outcome.get("payouts", []) if row["is_above"]]
    card = RateCardVersion.objects.filter(is_active=True).first()
    if not steps or card is None or is_outdated(card) or _work_waits():
        return CheckOutcome(notes=notes)
    rows: list[dict[str, Any]] = []
    for day in sorted({step.day for step in steps})[-DAYS_PROVED_AGAIN:]:
        rows += _unmatched(day, card)
    return CheckOutcome(rows=rows[:ROWS_SHOWN], count=len(rows), notes=notes)


_UNMATCHED = """
WITH part AS ({difference})
SELECT part.trade_id, part.partner_id, part.amount, part.currency
FROM part
LEFT JOIN ledger_ledgeraccount AS frozen
  ON frozen.owner_type = 'partner' AND frozen.owner_id = part.partner_id AND frozen.kind = 'partner_accrued'
 AND frozen.is_frozen AND part.amount < 0
WHERE frozen.id IS NULL AND part.amount <> 0
ORDER BY part.trade_id, part.partner_id
"""


def _unmatched(day: date, card: RateCardVersion) -> list[dict[str, Any]]:
    facts, scope = facts_of_card(card), scope_of_day(day, held=held_trades([day]))
    with connection.cursor() as cursor:
        cursor.execute(_UNMATCHED.format(difference=difference_select(scope, facts)), parameters_of(scope, facts))
        return [
            {
                "day": day,
                "trade_id": trade_id,
                "partner_id": partner_id,
                "unbooked": f"{amount:f}",
                "currency": currency,
            }
            for trade_id, partner_id, amount, currency in cursor.fetchall()
        ]


def _work_waits() -> bool:
    """Whether something is on its way that may change what trades pay: then a difference is no contradiction."""
    return (
        Job.objects.filter(kind__startswith="ib.").exclude(state=Job.State.DONE).exists()
        or OutboxEvent.objects.filter(delivered_at__isnull=True).exists()
        or TradePeriodMark.objects.exists()
    )
