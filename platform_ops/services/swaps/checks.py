"""The share of swaps in `verify_books`: lines follow their formula, every open position has one, charges follow lines."""

# ruff: noqa: S608 -- the SQL is built from constants
from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import connection
from django.db.models import Max

from backoffice.core.books import CheckOutcome, register_check, rows_of_query
from platform_ops.gateways.types import SwapMode
from platform_ops.models import IngestBatch, SwapLine, SwapRun, SwapTerm
from platform_ops.rules.swaps import Applies, Cause, Term, money_of
from platform_ops.services.swaps.charges import FIRST_BOOK_TICKET
from platform_ops.services.swaps.open_positions import OPEN, TOUCHED
from platform_ops.types import DealKind

PROVED_LINES = 2_000
"""How many lines of a server's last day are computed once more, by the pure rules, at each proof."""
PROVED_DAYS = 31
"""Of how many days of each server the lines are held against what was charged."""

_WITHOUT_LINE = f"""
WITH {TOUCHED}
SELECT account.login AS account, coalesce(position.position_ticket, line.position_ticket) AS position,
       CASE WHEN line.account_id IS NULL THEN 'open at the cut, no line' ELSE 'line, not open at the cut' END AS problem
  FROM ({OPEN}) position
  FULL JOIN (
    SELECT line.account_id, line.position_ticket FROM platform_ops_swapline line
      JOIN platform_ops_tradingaccount owner ON owner.id = line.account_id
     WHERE line.day = %(day)s AND owner.server_id = %(server)s
     GROUP BY line.account_id, line.position_ticket
    HAVING bool_or(line.seq = 0) AND (bool_or(line.volume_lots > 0) AND NOT bool_or(line.volume_lots = 0))
  ) line USING (account_id, position_ticket)
  JOIN platform_ops_tradingaccount account ON account.id = account_id
 WHERE account.server_id = %(server)s AND (line.account_id IS NULL OR position.account_id IS NULL)
 ORDER BY 1, 2
"""

_CHARGES = """
SELECT charge.reference, charge.amount, charge.deal_ticket, operation.amount AS booked,
       CASE WHEN operation.id IS NULL THEN 'no deal' ELSE 'the deal says otherwise' END AS problem
  FROM platform_ops_swapcharge charge
  JOIN platform_ops_tradingaccount account ON account.id = charge.account_id
  JOIN platform_ops_swapsetting setting ON setting.server_id = account.server_id AND setting.channel = 'books'
  LEFT JOIN platform_ops_balanceoperation operation
    ON operation.server_id = account.server_id AND operation.ticket = charge.deal_ticket AND NOT operation.is_cancelled
 WHERE charge.state = 'done' AND charge.operation_id IS NULL
   AND (operation.id IS NULL OR operation.amount <> charge.amount)
"""

_FEES = """
SELECT account.login AS account, coalesce(due.day, charged.day) AS day, due.amount AS due, charged.amount AS charged
  FROM (
    SELECT line.account_id, line.day, sum(line.fee) AS amount FROM platform_ops_swapline line
     WHERE EXISTS (SELECT FROM platform_ops_swapcharge charge WHERE charge.day = line.day)
     GROUP BY line.account_id, line.day HAVING sum(line.fee) <> 0
  ) due
  FULL JOIN (
    SELECT charge.account_id, charge.day, sum(charge.amount) AS amount FROM platform_ops_swapcharge charge
     WHERE charge.kind IN (4, 5) AND charge.state <> 'refused' GROUP BY charge.account_id, charge.day
    HAVING sum(charge.amount) <> 0
  ) charged USING (account_id, day)
  JOIN platform_ops_tradingaccount account ON account.id = account_id
  JOIN platform_ops_swapsetting setting ON setting.server_id = account.server_id
 WHERE due.amount IS DISTINCT FROM charged.amount
   AND NOT EXISTS (
    SELECT FROM platform_ops_swapcharge refused
     WHERE refused.account_id = account.id AND refused.day = coalesce(due.day, charged.day) AND refused.state = 'refused')
   AND EXISTS (
    SELECT FROM platform_ops_swapcharge settled JOIN platform_ops_swaprun run ON run.id = settled.run_id
     WHERE run.server_id = account.server_id AND settled.day = coalesce(due.day, charged.day))
"""

_GRACE = "interval '15 minutes'"
"""How long what was just computed or answered may take to be written down on the other side."""

# What a charge says of its operation is what the operation says, and its deal is in the books with the same amount.
_OPERATIONS = f"""
SELECT charge.reference, server.code AS server, account.login AS account, charge.amount, charge.state,
       operation.reference AS operation,
       CASE WHEN operation.id IS NULL THEN 'done, and nothing carried it out'
            WHEN operation.amount <> charge.amount OR operation.deal_kind <> charge.kind
              OR operation.account_id <> charge.account_id THEN 'its operation does something else'
            WHEN operation.state NOT IN ('done', 'found') THEN 'done, but its operation is not'
            WHEN charge.state <> 'done' THEN 'not done, but its operation is'
            WHEN operation.deal_ticket IS DISTINCT FROM charge.deal_ticket THEN 'another deal than its operation''s'
            ELSE 'its deal in the books says otherwise' END AS problem
  FROM platform_ops_swapcharge charge
  JOIN platform_ops_tradingaccount account ON account.id = charge.account_id
  JOIN platform_ops_tradingserver server ON server.id = account.server_id
  LEFT JOIN platform_ops_serveroperation operation ON operation.id = charge.operation_id
  LEFT JOIN platform_ops_balanceoperation deal
    ON deal.server_id = account.server_id AND deal.ticket = charge.deal_ticket AND NOT deal.is_opening
 WHERE (operation.id IS NULL AND charge.state = 'done' AND charge.deal_ticket < {FIRST_BOOK_TICKET})
    OR operation.amount <> charge.amount OR operation.deal_kind <> charge.kind
    OR operation.account_id <> charge.account_id
    OR (charge.state = 'done' AND operation.state NOT IN ('done', 'found'))
    OR (charge.state = 'done' AND operation.deal_ticket IS DISTINCT FROM charge.deal_ticket
        AND operation.id IS NOT NULL)
    OR (charge.state <> 'done' AND operation.state IN ('done', 'found') AND operation.finished_at < now() - {_GRACE})
    OR (charge.state = 'done' AND operation.recognised_at IS NOT NULL
        AND (deal.id IS NULL OR deal.is_cancelled OR deal.amount <> charge.amount OR deal.kind <> charge.kind))
 ORDER BY 1
"""

# On servers that take our charges: every amount of the lines is charged or waits to be, or the server refused it and a work
# item says so. Swaps and dividends are charged where we charge them, fees everywhere.
_CARRIED_OUT = f"""
WITH day AS (
    SELECT DISTINCT ON (run.server_id, run.day) run.server_id, run.day, run.mode = 'post' AND setting.mode = 'post' AS posts
      FROM platform_ops_swaprun run
      JOIN platform_ops_swapsetting setting
        ON setting.server_id = run.server_id AND setting.channel = 'server' AND setting.starts_on <= run.day
     WHERE run.day > (SELECT max(newest.day) FROM platform_ops_swaprun newest WHERE newest.server_id = run.server_id)
                     - %s
       AND NOT EXISTS (
        SELECT FROM platform_ops_swaprun fresh
         WHERE fresh.server_id = run.server_id AND fresh.day = run.day AND fresh.created_at > now() - {_GRACE})
     ORDER BY run.server_id, run.day, run.number DESC
), target AS (
    SELECT line.account_id, line.day, part.kind, sum(part.amount) AS amount
      FROM day
      JOIN platform_ops_swapline line ON line.day = day.day
      JOIN platform_ops_tradingaccount account ON account.id = line.account_id AND account.server_id = day.server_id
     CROSS JOIN LATERAL (VALUES ('fee', line.fee), ('swap', CASE WHEN day.posts THEN line.swap END),
                                ('dividend', CASE WHEN day.posts THEN line.dividend END)) AS part (kind, amount)
     WHERE part.amount <> 0
     GROUP BY 1, 2, 3
), charged AS (
    SELECT charge.account_id, charge.day, sum(charge.amount) AS amount,
           CASE charge.kind WHEN {DealKind.INTEREST.value} THEN 'swap' WHEN {DealKind.DIVIDEND.value} THEN 'dividend'
                ELSE 'fee' END AS kind
      FROM day
      JOIN platform_ops_swapcharge charge ON charge.day = day.day AND charge.state <> 'refused'
      JOIN platform_ops_tradingaccount account ON account.id = charge.account_id AND account.server_id = day.server_id
     WHERE day.posts OR charge.kind IN ({DealKind.CHARGE.value}, {DealKind.CORRECTION.value})
     GROUP BY 1, 2, 4
)
SELECT server.code AS server, account.login AS account, day, kind, coalesce(target.amount, 0) AS due,
       coalesce(charged.amount, 0) AS charged, 'neither charged nor waiting' AS problem
  FROM target FULL JOIN charged USING (account_id, day, kind)
  JOIN platform_ops_tradingaccount account ON account.id = account_id
  JOIN platform_ops_tradingserver server ON server.id = account.server_id
 WHERE coalesce(target.amount, 0) <> coalesce(charged.amount, 0)
   AND NOT EXISTS (
    SELECT FROM platform_ops_swapcharge refused
     WHERE refused.account_id = account.id AND refused.day = coalesce(target.day, charged.day)
       AND refused.state = 'refused')
 ORDER BY 1, 3, 2, 4
"""


def lines_follow_rules() -> CheckOutcome:
    """Lines of each server's last days, computed again by the pure rules."""
    wrong: list[dict[str, Any]] = []
    for run in _last_runs():
        lines = SwapLine.objects.filter(run=run, day=run.day, seq=0).select_related("term", "account")
        for line in lines.order_by("account_id", "position_ticket")[:PROVED_LINES]:
            money = money_of(
                term_of_row(line.term), lots=line.volume_lots, open_price=line.open_price, opened_at=line.opened_at
            )
            if (money.swap, money.dividend, money.fee, money.lp_swap, str(money.cause)) != (
                line.swap, line.dividend, line.fee, line.lp_swap, line.cause,
            ):  # fmt: skip
                wrong.append(
                    {
                        "day": str(line.day),
                        "account": line.account.login,
                        "position": line.position_ticket,
                        "line": f"{line.swap} {line.dividend} {line.fee}",
                        "rules": f"{money.swap} {money.dividend} {money.fee}",
                    }
                )
    return CheckOutcome.of(wrong)


def every_open_position_has_its_line() -> CheckOutcome:
    """Exactly what was open at the cut of each server's last day has a line, unless deals came in since."""
    rows: list[dict[str, Any]] = []
    for run in _last_runs():
        newest = IngestBatch.objects.filter(server=run.server_id).aggregate(at=Max("created_at"))["at"]
        last = SwapRun.objects.filter(server=run.server_id, day=run.day).order_by("-number")[0]
        if newest is not None and newest >= last.created_at - timedelta(seconds=1):
            continue
        with connection.cursor() as cursor:
            cursor.execute(_WITHOUT_LINE, {"server": run.server_id, "day": run.day, "cut": run.cut_at})
            names = [column[0] for column in cursor.description or ()]
            rows += [
                {"server": run.server.code, "day": str(run.day), **dict(zip(names, row, strict=True))}
                for row in cursor.fetchall()
            ]
    return CheckOutcome.of(rows)


def charges_follow_lines() -> CheckOutcome:
    """What was charged has its deal, and the fees charged are the fees of the lines."""
    booked, fees = rows_of_query(_CHARGES), rows_of_query(_FEES)
    return CheckOutcome(rows=[*booked.rows, *fees.rows], count=booked.count + fees.count)


def charges_are_carried_out() -> CheckOutcome:
    """Every amount of the lines of the last days is charged on the server, or waits where people see it, and is so once."""
    lines, operations = rows_of_query(_CARRIED_OUT, [PROVED_DAYS]), rows_of_query(_OPERATIONS)
    return CheckOutcome(rows=[*lines.rows, *operations.rows], count=lines.count + operations.count)


def term_of_row(row: SwapTerm) -> Term:
    """A stored term as the rules know it."""
    return Term(
        digits=row.digits,
        mode=SwapMode(row.mode),
        value=row.value,
        nights=row.nights,
        weight=row.weight,
        unit=row.unit,
        cause=Cause(row.cause),
        dividend_in_swap=row.dividend_in_swap,
        lp_weight=row.lp_weight,
        divisor=row.divisor,
        uses_open_price=row.uses_open_price,
        rounds_unit_first=row.rounds_unit_first,
        swap_applies=Applies(row.swap_applies),
        fee_applies=Applies(row.fee_applies),
        grace_start=row.grace_start,
        fee_unit=row.fee_unit,
        dividend_unit=row.dividend_unit,
        inputs=row.inputs,
    )


def register() -> None:
    """Adds the checks to the registry; called once when the application starts."""
    register_check("platform.swap_lines_follow_rules", lines_follow_rules)
    register_check("platform.swap_lines_complete", every_open_position_has_its_line)
    register_check("platform.swap_charges_follow_lines", charges_follow_lines)
    register_check("platform.swap_charges_carried_out", charges_are_carried_out)


def _last_runs() -> list[SwapRun]:
    """The first run of each server's last computed day."""
    days = SwapRun.objects.values("server").annotate(last=Max("day")).values_list("server", "last")
    return [
        SwapRun.objects.select_related("server").get(server_id=server_id, day=day, number=1) for server_id, day in days
    ]
