"""The ledger's share of `verify_books`."""

from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query

_UNBALANCED = """
SELECT p.entry_id, p.currency, e.description,
       sum(p.amount) FILTER (WHERE p.side = 'D') AS debits, sum(p.amount) FILTER (WHERE p.side = 'C') AS credits
FROM ledger_posting p JOIN ledger_journalentry e ON e.id = p.entry_id
GROUP BY p.entry_id, p.currency, e.description
HAVING sum(CASE p.side WHEN 'D' THEN p.amount ELSE -p.amount END) <> 0
UNION ALL
SELECT e.id, '', e.description, 0, 0 FROM ledger_journalentry e
WHERE NOT EXISTS (SELECT 1 FROM ledger_posting p WHERE p.entry_id = e.id)
UNION ALL
SELECT p.entry_id, p.currency, 'posting ' || p.id || ' is not in the currency or entity of account ' || a.id, 0, 0
FROM ledger_posting p JOIN ledger_ledgeraccount a ON a.id = p.account_id JOIN ledger_journalentry e ON e.id = p.entry_id
WHERE a.currency <> p.currency OR a.entity_id <> e.entity_id
ORDER BY 1, 2
"""

_BALANCES = """
SELECT a.id AS account_id, a.name, a.currency, b.balance, s.debits AS posted_debits, s.credits AS posted_credits,
       b.debits, b.credits
FROM ledger_ledgeraccount a
LEFT JOIN ledger_accountbalance b ON b.account_id = a.id
LEFT JOIN LATERAL (
    SELECT coalesce(sum(amount) FILTER (WHERE side = 'D'), 0) AS debits,
           coalesce(sum(amount) FILTER (WHERE side = 'C'), 0) AS credits
    FROM ledger_posting p WHERE p.account_id = a.id
) s ON true
WHERE b.account_id IS NULL OR b.debits <> s.debits OR b.credits <> s.credits
   OR b.balance <> CASE WHEN a.is_debit_normal THEN s.debits - s.credits ELSE s.credits - s.debits END
ORDER BY a.id
"""

_HOLDS = """
SELECT b.account_id, a.name, b.held, b.balance, b.floor, coalesce(h.pending, 0) AS pending_holds
FROM ledger_accountbalance b
JOIN ledger_ledgeraccount a ON a.id = b.account_id
LEFT JOIN (SELECT account_id, sum(amount) AS pending FROM ledger_hold WHERE state = 'pending' GROUP BY account_id) h
    ON h.account_id = b.account_id
WHERE b.held <> coalesce(h.pending, 0) OR b.balance < b.floor + b.held
   OR b.floor IS DISTINCT FROM ledger_floor_of(a.kind)
ORDER BY b.account_id
"""


def entries_balance() -> CheckOutcome:
    """Every entry has postings that balance per currency, in the currency and entity of their accounts."""
    return rows_of_query(_UNBALANCED)


def balances_equal_postings() -> CheckOutcome:
    """Every account's running balance is the sum of its postings."""
    return rows_of_query(_BALANCES)


def holds_consistent() -> CheckOutcome:
    """What an account holds is the sum of its pending holds, and its balance covers floor and holds."""
    return rows_of_query(_HOLDS)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("ledger.entries_balance", entries_balance)
    register_check("ledger.balances_equal_postings", balances_equal_postings)
    register_check("ledger.holds_consistent", holds_consistent)
