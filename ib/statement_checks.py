"""The desk's share of `verify_books` that concerns statements: each counts what the ledger says, and moves it once."""

from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query

# Every statement with those before it counts exactly the postings of its days and earlier that stood when it was closed.
_COUNT_ONCE = """
SELECT partner.reference AS partner, statement.number, statement.to_day, counted.earned, posted.amount AS posted,
       counted.earned - posted.amount AS difference
FROM ib_commissionstatement AS statement
JOIN ib_partner AS partner ON partner.id = statement.partner_id
CROSS JOIN LATERAL (
    SELECT sum(other.earned) AS earned FROM ib_commissionstatement AS other
    WHERE other.partner_id = statement.partner_id AND other.number <= statement.number
) AS counted
CROSS JOIN LATERAL (
    SELECT coalesce(sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END), 0) AS amount
    FROM ledger_ledgeraccount AS account
    JOIN ledger_posting AS posting ON posting.account_id = account.id
    JOIN ledger_journalentry AS entry ON entry.id = posting.entry_id
    WHERE account.owner_type = 'partner' AND account.owner_id = statement.partner_id
      AND account.kind = 'partner_accrued' AND account.currency = statement.currency
      AND entry.source_type <> 'ib.statement' AND entry.business_day <= statement.to_day
      AND entry.created_at <= statement.closed_at
) AS posted
WHERE counted.earned <> posted.amount
ORDER BY 1, 2
"""

# An approved statement has one entry: its total leaves accrued, what is payable arrives. No other statement has one.
_EQUAL_LEDGER = """
SELECT coalesce(statement.id, moved.statement_id) AS statement_id, statement.state, statement.total,
       moved.accrued AS taken_from_accrued, statement.payable, moved.payable AS made_payable
FROM (SELECT * FROM ib_commissionstatement WHERE state = 'approved') AS statement
FULL JOIN (
    SELECT entry.source_id AS statement_id, count(DISTINCT entry.id) AS entries,
           sum(CASE WHEN account.kind = 'partner_accrued'
                    THEN CASE posting.side WHEN 'D' THEN posting.amount ELSE -posting.amount END ELSE 0 END) AS accrued,
           sum(CASE WHEN account.kind = 'partner_payable'
                    THEN CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END ELSE 0 END) AS payable
    FROM ledger_journalentry AS entry
    JOIN ledger_posting AS posting ON posting.entry_id = entry.id
    JOIN ledger_ledgeraccount AS account ON account.id = posting.account_id
    WHERE entry.source_type = 'ib.statement'
    GROUP BY entry.source_id
) AS moved ON moved.statement_id = statement.id
WHERE statement.id IS NULL OR moved.statement_id IS NULL OR moved.entries <> 1
   OR moved.accrued <> statement.total OR moved.payable <> statement.payable
ORDER BY 1
"""

# What is carried is in exactly one later statement of the same partner, and nothing else is carried in.
_CARRIED_ONCE = """
SELECT statement.id AS statement_id, statement.carried_in, coalesce(carried.amount, 0) AS carried
FROM ib_commissionstatement AS statement
LEFT JOIN (
    SELECT carried_to_id, sum(total) AS amount FROM ib_commissionstatement
    WHERE carried_to_id IS NOT NULL GROUP BY carried_to_id
) AS carried ON carried.carried_to_id = statement.id
WHERE statement.carried_in <> coalesce(carried.amount, 0)
ORDER BY 1
"""


def statements_count_once() -> CheckOutcome:
    """No posting is counted by two statements, and none of a stated day by none."""
    return rows_of_query(_COUNT_ONCE)


def statements_equal_ledger() -> CheckOutcome:
    """What is approved moved from accrued to payable, once, and nothing else did."""
    return rows_of_query(_EQUAL_LEDGER)


def statements_carried_once() -> CheckOutcome:
    """What statements carry is in the next one, once."""
    return rows_of_query(_CARRIED_ONCE)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("ib.statements_count_once", statements_count_once)
    register_check("ib.statements_equal_ledger", statements_equal_ledger)
    register_check("ib.statements_carried_once", statements_carried_once)
