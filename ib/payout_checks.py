"""The desk's share of `verify_books` that concerns payouts: what states say is what the ledger says, and nothing else."""

from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query

# By entity and currency: approved less paid is what stands payable; what is paid to wallets is what they hold.
_PAYABLE = """
WITH owed AS (
    SELECT statement.partner_id, statement.currency, sum(statement.payable) AS amount
    FROM ib_commissionstatement AS statement WHERE statement.state = 'approved' GROUP BY 1, 2
), paid AS (
    SELECT partner_id, currency, sum(amount) FILTER (WHERE state = 'paid') AS amount,
           sum(amount) FILTER (WHERE state = 'under_way') AS held
    FROM ib_payout GROUP BY 1, 2
), booked AS (
    SELECT account.id, account.owner_id AS partner_id, account.currency, balance.balance AS amount,
           (SELECT coalesce(sum(hold.amount), 0) FROM ledger_hold AS hold
            WHERE hold.account_id = account.id AND hold.state = 'pending'
              AND hold.idempotency_key LIKE 'ib:payout:%%') AS held
    FROM ledger_ledgeraccount AS account JOIN ledger_accountbalance AS balance ON balance.account_id = account.id
    WHERE account.kind = 'partner_payable' AND account.owner_type = 'partner'
)
SELECT partner_id, currency, coalesce(owed.amount, 0) - coalesce(paid.amount, 0) AS by_state,
       coalesce(booked.amount, 0) AS in_ledger, coalesce(paid.held, 0) AS under_way, coalesce(booked.held, 0) AS held
FROM owed FULL JOIN paid USING (partner_id, currency) FULL JOIN booked USING (partner_id, currency)
WHERE coalesce(owed.amount, 0) - coalesce(paid.amount, 0) <> coalesce(booked.amount, 0)
   OR coalesce(paid.held, 0) <> coalesce(booked.held, 0)
ORDER BY 1, 2
"""

# Each payout that was paid has one entry of its amount on its account; a returned one has another, back.
_ENTRIES = """
SELECT coalesce(payout.id, moved.payout_id) AS payout_id, payout.kind, payout.state, payout.amount,
       moved.entries, moved.paid, moved.kinds
FROM (SELECT *, CASE state WHEN 'paid' THEN 1 WHEN 'returned' THEN 2 ELSE 0 END AS expected,
             CASE kind WHEN 'wallet' THEN 'partner_wallet' WHEN 'bank' THEN 'bank' ELSE 'suspense' END AS lands_on
      FROM ib_payout) AS payout
FULL JOIN (
    SELECT entry.source_id AS payout_id, count(DISTINCT entry.id) AS entries,
           sum(CASE WHEN account.kind = 'partner_payable'
                    THEN CASE posting.side WHEN 'D' THEN posting.amount ELSE -posting.amount END ELSE 0 END) AS paid,
           string_agg(DISTINCT account.kind, ',') FILTER (WHERE account.kind <> 'partner_payable') AS kinds
    FROM ledger_journalentry AS entry
    JOIN ledger_posting AS posting ON posting.entry_id = entry.id
    JOIN ledger_ledgeraccount AS account ON account.id = posting.account_id
    WHERE entry.source_type = 'ib.payout' GROUP BY entry.source_id
) AS moved ON moved.payout_id = payout.id
WHERE payout.id IS NULL OR coalesce(moved.entries, 0) <> payout.expected
   OR coalesce(moved.paid, 0) <> CASE payout.state WHEN 'paid' THEN payout.amount ELSE 0 END
   OR (payout.expected > 0 AND moved.kinds <> payout.lands_on)
ORDER BY 1
"""

# Operations and files say what payouts say: none took effect for a payout that failed, none is paid without.
_OUTSIDE = """
SELECT payout.id AS payout_id, payout.state, operation.state AS operation_state, operation.amount AS moved, payout.amount
FROM ib_payout AS payout JOIN platform_ops_serveroperation AS operation ON operation.id = payout.operation_id
WHERE operation.amount <> payout.amount OR operation.account_id <> payout.account_id
   OR (payout.state = 'paid' AND operation.state NOT IN ('done', 'found'))
   OR (payout.state = 'failed' AND operation.state IN ('done', 'found'))
UNION ALL
SELECT file.id, 'file', file.reference, file.total, sum(payout.amount)
FROM ib_paymentfile AS file LEFT JOIN ib_payout AS payout ON payout.file_id = file.id
GROUP BY file.id HAVING file.total <> coalesce(sum(payout.amount), 0) OR file.payments <> count(payout.id)
ORDER BY 1
"""


def payouts_equal_payable() -> CheckOutcome:
    """Approved less paid is what stands payable; what is under way is held."""
    return rows_of_query(_PAYABLE)


def payouts_have_their_entries() -> CheckOutcome:
    """Each payment moved its amount once, to where it says."""
    return rows_of_query(_ENTRIES)


def payouts_equal_outside() -> CheckOutcome:
    """Servers and files say what payouts say."""
    return rows_of_query(_OUTSIDE)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("ib.payouts_equal_payable", payouts_equal_payable)
    register_check("ib.payouts_have_their_entries", payouts_have_their_entries)
    register_check("ib.payouts_equal_outside", payouts_equal_outside)
