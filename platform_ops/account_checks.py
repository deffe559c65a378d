"""The share of operations and complaints in `verify_books`: nothing booked twice, everything that was done came back."""

from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query

# A deal of ours that came back must be of one operation, with its amount and on its account; no reference stands in two.
_ONCE = """
WITH told AS (
    SELECT deal.server_id, deal.account_id, deal.ticket, deal.kind, deal.amount,
           substring(deal.comment FROM '(BO-[0-9A-HJKMNP-TV-Z]{12})') AS reference
      FROM platform_ops_balanceoperation deal
     WHERE NOT deal.is_opening AND deal.comment LIKE '%%BO-%%'
)
SELECT operation.reference, server.code AS server, operation.login, operation.amount, count(told.ticket) AS deals,
       CASE WHEN count(told.ticket) > 1 THEN 'booked more than once'
            WHEN operation.state IN ('refused', 'cancelled') THEN 'booked although it was given up'
            ELSE 'booked otherwise than asked for' END AS problem
  FROM platform_ops_serveroperation operation
  JOIN told ON told.reference = operation.reference AND told.server_id = operation.server_id
  JOIN platform_ops_tradingserver server ON server.id = operation.server_id
 WHERE operation.kind = 'move_money'
 GROUP BY operation.id, server.code
HAVING count(told.ticket) > 1 OR operation.state IN ('refused', 'cancelled')
    OR bool_or(told.amount <> operation.amount OR told.kind <> operation.deal_kind
               OR told.account_id <> operation.account_id
               OR (operation.deal_ticket IS NOT NULL AND told.ticket <> operation.deal_ticket))
 ORDER BY 1
"""

# A cancelled trade is cancelled, its correction undoes exactly what it moved, and neither counts.
_CANCELLATIONS = """
SELECT server.code AS server, taken.ticket, trade.is_cancelled, undone.amount,
       trade.profit + trade.swap + trade.commission + trade.fee AS moved,
       CASE WHEN NOT trade.is_cancelled THEN 'the trade still counts'
            WHEN undone.id IS NOT NULL AND NOT undone.is_cancelled THEN 'the correction still counts'
            ELSE 'the correction is not what the trade moved' END AS problem
  FROM platform_ops_tradecancellation taken
  JOIN platform_ops_tradingserver server ON server.id = taken.server_id
  JOIN platform_ops_pricecomplaint complaint ON complaint.id = taken.complaint_id
  JOIN platform_ops_trade trade
    ON trade.server_id = taken.server_id AND trade.ticket = taken.ticket AND trade.leg = taken.leg
  LEFT JOIN platform_ops_balanceoperation undone
    ON undone.server_id = taken.server_id AND undone.ticket = taken.correction_ticket AND NOT undone.is_opening
 WHERE NOT trade.is_cancelled OR NOT coalesce(undone.is_cancelled, TRUE)
    OR (undone.id IS NOT NULL
        AND undone.amount <> -(trade.profit + trade.swap + trade.commission + trade.fee))
 ORDER BY 1, 2
"""


def operations_booked_once() -> CheckOutcome:
    """No operation of ours is in the books twice, or otherwise than it was asked for."""
    return rows_of_query(_ONCE)


def cancellations_are_whole() -> CheckOutcome:
    """What was taken back counts as nothing, on both sides."""
    return rows_of_query(_CANCELLATIONS)


def register() -> None:
    """Adds the checks; called once when the application starts."""
    register_check("platform.operations_booked_once", operations_booked_once)
    register_check("platform.cancellations_are_whole", cancellations_are_whole)
