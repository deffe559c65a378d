"""Funding's share of `verify_books`."""

# ruff: noqa: S608 -- the SQL is built from constants of this module
from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query
from funding.rules import BOOKS, COMPONENT_RULES, contra_belongs_to_account, contra_kind

# (component, book, kind of the client's side, kind of the house's side, whether that is kept per trading account)
_SIDES = ", ".join(
    f"('{component}', '{book}', '{rule.client_kind.value}', '{contra_kind(component, book).value}',"
    f" {contra_belongs_to_account(component)})"
    for component, rule in sorted(COMPONENT_RULES.items())
    for book in (BOOKS if rule.by_book else ("",))
)

_LINES = f"""
WITH sides (component, book, client_kind, house_kind, per_account) AS (VALUES {_SIDES}),
lines AS (
    SELECT line.entry_id, line.currency, sides.client_kind AS kind, line.account_id AS owner_id, line.amount
    FROM funding_tradingresultline line JOIN sides USING (component, book)
    UNION ALL
    SELECT line.entry_id, line.currency, sides.house_kind,
           CASE WHEN sides.per_account THEN line.account_id ELSE 0 END, -line.amount
    FROM funding_tradingresultline line JOIN sides USING (component, book)
), booked AS (
    SELECT entry_id, currency, kind, owner_id, sum(amount) AS amount FROM lines GROUP BY 1, 2, 3, 4
), posted AS (
    SELECT posting.entry_id, posting.currency, account.kind::text, account.owner_id,
           sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END) AS amount
    FROM ledger_posting posting
    JOIN ledger_journalentry entry ON entry.id = posting.entry_id AND entry.source_type = 'trading_results'
    JOIN ledger_ledgeraccount account ON account.id = posting.account_id
    GROUP BY 1, 2, 3, 4
)
SELECT coalesce(booked.entry_id, posted.entry_id) AS entry_id, coalesce(booked.currency, posted.currency) AS currency,
       coalesce(booked.kind, posted.kind) AS kind, coalesce(booked.owner_id, posted.owner_id) AS trading_account_id,
       booked.amount AS lines, posted.amount AS postings
FROM booked FULL JOIN posted
  ON posted.entry_id = booked.entry_id AND posted.currency = booked.currency AND posted.kind = booked.kind
 AND posted.owner_id = booked.owner_id
WHERE coalesce(booked.amount, 0) <> coalesce(posted.amount, 0)
ORDER BY 1, 3, 4
"""

# Compared are the accounts of servers whose results were posted, over the rows of booked days. An account waits while a
# batch that no run has seen brought it rows of those days (or corrections, or an opening), or while one of its days is
# held: the next run books them.
_BALANCES = """
WITH through AS (
    SELECT server_id, max(business_day) AS day FROM funding_tradingresultrun GROUP BY server_id
), unseen AS (
    SELECT batch.id FROM platform_ops_ingestbatch batch
    WHERE NOT EXISTS (SELECT 1 FROM funding_bookedbatch taken WHERE taken.batch_id = batch.id)
), waiting AS (
    SELECT deal.account_id FROM platform_ops_deal deal JOIN through ON through.server_id = deal.server_id
    WHERE deal.batch_id IN (SELECT id FROM unseen)
      AND (deal.revision > 0 OR platform_business_day(deal.at) <= through.day)
    UNION
    SELECT operation.account_id FROM platform_ops_balanceoperation operation
    WHERE operation.is_opening AND operation.batch_id IN (SELECT id FROM unseen)
    UNION
    SELECT deal.account_id FROM platform_ops_deal deal
    JOIN platform_ops_businessday held
      ON held.server_id = deal.server_id AND held.is_held AND held.day = platform_business_day(deal.at)
), money AS (
    SELECT deal.account_id, deal.kind IN (3, 20) AS is_credit, deal.profit + deal.swap + deal.commission + deal.fee AS amount
    FROM platform_ops_currentdeal deal JOIN through ON through.server_id = deal.server_id
    WHERE deal.kind NOT IN (13, 14) AND platform_business_day(deal.at) <= through.day
    UNION ALL
    SELECT operation.account_id, operation.kind IN (3, 20), operation.amount
    FROM platform_ops_balanceoperation operation JOIN through ON through.server_id = operation.server_id
    WHERE operation.is_opening AND NOT operation.is_cancelled AND operation.business_day <= through.day
), stated AS (
    SELECT account_id, is_credit, sum(amount) AS amount FROM money GROUP BY 1, 2
), booked AS (
    SELECT ledger.owner_id AS account_id, ledger.kind = 'client_credit' AS is_credit, sum(balance.balance) AS amount
    FROM ledger_ledgeraccount ledger JOIN ledger_accountbalance balance ON balance.account_id = ledger.id
    WHERE ledger.owner_type = 'trading_account' AND ledger.kind IN ('client_liability', 'client_credit')
    GROUP BY 1, 2
)
SELECT account.id AS trading_account_id, account.login, account.currency,
       CASE WHEN is_credit THEN 'client_credit' ELSE 'client_liability' END AS kind,
       coalesce(stated.amount, 0) AS operations, coalesce(booked.amount, 0) AS ledger
FROM stated FULL JOIN booked USING (account_id, is_credit)
JOIN platform_ops_tradingaccount account ON account.id = account_id
JOIN through ON through.server_id = account.server_id
WHERE coalesce(stated.amount, 0) <> coalesce(booked.amount, 0)
  AND account.id NOT IN (SELECT account_id FROM waiting)
ORDER BY account.id, is_credit
"""


def result_lines_equal_postings() -> CheckOutcome:
    """Every trading-result line is in the postings of its entry, on the client's side and on the house's."""
    return rows_of_query(_LINES)


def account_balances_equal_operations() -> CheckOutcome:
    """What the ledger owes a trading account is the sum of the money of its deals, through the booked days."""
    return rows_of_query(_BALANCES)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("funding.result_lines_equal_postings", result_lines_equal_postings)
    register_check("funding.account_balances_equal_operations", account_balances_equal_operations)
