"""This desk's share of `verify_books`: projections equal their deals, statements equal the books.

The targets are the very texts that loads and rebuilds bring the projections to, computed here over everything.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module and of projections
from __future__ import annotations

from typing import Any

from backoffice.core.books import CheckOutcome, register_check, rows_of_query
from platform_ops.models import BalanceOperation, StatementImport
from platform_ops.services.openings import wanted_openings
from platform_ops.services.projections import (
    OF_ALL,
    OPERATION_FACTS,
    OPERATION_TARGET,
    POSITION_FACTS,
    POSITION_TARGET,
    TRADE_FACTS,
    TRADE_TARGET,
    prefixed,
)

# A row that no deal explains may stay, cancelled: it counts as nothing, and settled lines may name it.
_BY_TICKET = """
SELECT server.code AS server, coalesce(stored.ticket, target.ticket) AS ticket, coalesce(stored.leg, target.leg) AS leg,
       CASE WHEN stored.id IS NULL THEN 'missing' WHEN target.ticket IS NULL THEN 'no deal' ELSE 'differs' END AS problem,
       {shown}
  FROM (SELECT * FROM {table} WHERE {condition}) stored
  FULL JOIN ({target}) target
    ON target.server_id = stored.server_id AND target.ticket = stored.ticket AND target.leg = stored.leg
  JOIN platform_ops_tradingserver server ON server.id = coalesce(stored.server_id, target.server_id)
 WHERE stored.id IS NULL OR (target.ticket IS NULL AND NOT stored.is_cancelled)
    OR (target.ticket IS NOT NULL AND ({stored_facts}) IS DISTINCT FROM ({target_facts}))
 ORDER BY 1, 2, 3
"""

_TRADES = _BY_TICKET.format(
    table="platform_ops_trade",
    condition="TRUE",
    target=TRADE_TARGET.format(scope=OF_ALL),
    stored_facts=prefixed(TRADE_FACTS, "stored"),
    target_facts=prefixed(TRADE_FACTS, "target"),
    shown="stored.profit AS profit, target.profit AS profit_of_deal, stored.volume_lots AS lots, "
    "target.volume_lots AS lots_of_deal",
)
_OPERATIONS = _BY_TICKET.format(
    table="platform_ops_balanceoperation",
    condition="NOT is_opening",
    target=OPERATION_TARGET.format(scope=OF_ALL),
    stored_facts=prefixed(OPERATION_FACTS, "stored"),
    target_facts=prefixed(OPERATION_FACTS, "target"),
    shown="stored.amount AS amount, target.amount AS amount_of_deal",
)
_POSITIONS = f"""
SELECT account.login AS account, coalesce(stored.position_ticket, target.position_ticket) AS position_ticket,
       CASE WHEN stored.id IS NULL THEN 'missing' WHEN target.position_ticket IS NULL THEN 'not open'
            ELSE 'differs' END AS problem,
       stored.volume_lots AS lots, target.volume_lots AS lots_of_deals, stored.open_price AS open_price,
       target.open_price AS open_price_of_deals
  FROM platform_ops_position stored
  FULL JOIN ({POSITION_TARGET}) target USING (account_id, position_ticket)
  JOIN platform_ops_tradingaccount account ON account.id = account_id
 WHERE stored.id IS NULL OR target.position_ticket IS NULL
    OR ({prefixed(POSITION_FACTS, "stored")}) IS DISTINCT FROM ({prefixed(POSITION_FACTS, "target")})
 ORDER BY 1, 2
"""

# The latest statement of each account that agreed with its own rows, against deals and openings up to its moment.
_STATEMENTS = """
WITH latest AS (
    SELECT DISTINCT ON (account_id) id, account_id, file_name, as_of, stated_balance, matches_statement, finished_at
      FROM platform_ops_statementimport
     WHERE state = 'stored' AND repeats_id IS NULL
     ORDER BY account_id, as_of DESC, id DESC
)
SELECT account.login AS account, latest.file_name, latest.as_of, latest.stated_balance,
       told.money + opened.money AS balance_of_books
  FROM latest
  JOIN platform_ops_tradingaccount account ON account.id = latest.account_id
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(deal.profit + deal.swap + deal.commission + deal.fee), 0) AS money
      FROM platform_ops_currentdeal deal
     WHERE deal.account_id = latest.account_id AND deal.at <= latest.as_of AND deal.kind NOT IN (3, 13, 14, 20)
 ) told
 CROSS JOIN LATERAL (
    SELECT coalesce(sum(operation.amount), 0) AS money
      FROM platform_ops_balanceoperation operation
     WHERE operation.account_id = latest.account_id AND operation.is_opening AND NOT operation.is_cancelled
       AND operation.kind <> 3 AND operation.at <= latest.as_of
 ) opened
 WHERE latest.matches_statement AND latest.stated_balance IS DISTINCT FROM told.money + opened.money
   -- A deal corrected after the statement was printed makes the books right and the statement old.
   AND NOT EXISTS (
        SELECT FROM platform_ops_deal correction
         WHERE correction.account_id = latest.account_id AND correction.revision > 0
           AND correction.at <= latest.as_of AND correction.recorded_at > latest.finished_at)
 ORDER BY 1
"""


def trades_equal_deals() -> CheckOutcome:
    """Every trade is what its closing deal, and where needed its position, says."""
    return rows_of_query(_TRADES)


def positions_equal_deals() -> CheckOutcome:
    """What is open is what the deals of each position leave open."""
    return rows_of_query(_POSITIONS)


def operations_equal_deals() -> CheckOutcome:
    """Every balance operation is what its deal says, and every opening what the stored statements leave unexplained."""
    told = rows_of_query(_OPERATIONS)
    openings = _wrong_openings()
    return CheckOutcome(rows=[*told.rows, *CheckOutcome.of(openings).rows], count=told.count + len(openings))


def statements_balance() -> CheckOutcome:
    """The books give the balance that the latest statement of each account states, unless a correction followed it."""
    return rows_of_query(_STATEMENTS)


_EXECUTIONS = """
SELECT server.code AS server, execution.order_ticket, execution.symbol, account.login AS account,
       execution.requested_price, execution.filled_price, execution.slippage_points
  FROM platform_ops_orderexecution execution
  JOIN platform_ops_tradingserver server ON server.id = execution.server_id
  JOIN platform_ops_tradingaccount account ON account.id = execution.account_id
  LEFT JOIN platform_ops_serversymbol named ON named.id = execution.server_symbol_id
 WHERE account.server_id <> execution.server_id
    OR (named.id IS NOT NULL AND (named.server_id <> execution.server_id OR named.name <> execution.symbol))
    OR (execution.slippage_points IS NOT NULL AND sign(execution.slippage_points)
        <> sign(round(execution.side * (execution.requested_price - execution.filled_price), 10)))
 ORDER BY 1, 2
"""


def executions_are_of_their_server() -> CheckOutcome:
    """Every order's account and symbol are its own server's, and its slippage points where its prices say."""
    return rows_of_query(_EXECUTIONS)


def _wrong_openings() -> list[dict[str, Any]]:
    held = {
        (opening.statement_id, opening.kind): opening
        for opening in BalanceOperation.objects.filter(is_opening=True, is_cancelled=False).select_related("account")
    }
    wrong = []
    accounts = (
        StatementImport.objects.filter(state=StatementImport.State.STORED, repeats__isnull=True, account__isnull=False)
        .order_by("account_id")
        .values_list("account_id", "account__login")
        .distinct()
    )
    for account_id, login in accounts:
        for (statement, kind), amount in wanted_openings(account_id).items():
            opening = held.pop((statement.pk, int(kind)), None)
            if opening is None or opening.amount != amount:
                found = None if opening is None else str(opening.amount)
                wrong.append({"account": login, "problem": "opening", "amount": found, "amount_wanted": str(amount)})
    wrong.extend(
        {"account": opening.account.login, "problem": "opening", "amount": str(opening.amount), "amount_wanted": None}
        for opening in held.values()
    )
    return wrong


def register() -> None:
    """Adds the checks to the registry; called once when the application starts."""
    register_check("platform.trades_equal_deals", trades_equal_deals)
    register_check("platform.positions_equal_deals", positions_equal_deals)
    register_check("platform.operations_equal_deals", operations_equal_deals)
    register_check("platform.statements_balance", statements_balance)
    register_check("platform.executions_are_of_their_server", executions_are_of_their_server)
