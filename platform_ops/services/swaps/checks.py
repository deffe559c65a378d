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
from platform_ops.services.swaps.open_positions import OPEN, TOUCHED

PROVED_LINES = 2_000
"""How many lines of a server's last day are computed once more, by the pure rules, at each proof."""

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
 WHERE charge.state = 'done' AND (operation.id IS NULL OR operation.amount <> charge.amount)
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


def _last_runs() -> list[SwapRun]:
    """The first run of each server's last computed day."""
    days = SwapRun.objects.values("server").annotate(last=Max("day")).values_list("server", "last")
    return [
        SwapRun.objects.select_related("server").get(server_id=server_id, day=day, number=1) for server_id, day in days
    ]
