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


# Every figure of a revaluation follows from the others: the difference from target and what was booked, the postings from
# the differences.
_REVALUATIONS = """
WITH lines AS (
    SELECT run.id AS run_id, run.entry_id, line.position_id, line.amount
    FROM funding_revaluationline line JOIN funding_revaluationrun run ON run.id = line.run_id
    WHERE line.amount <> 0
), posted AS (
    SELECT run.id AS run_id, account.owner_id AS position_id,
           sum(CASE posting.side WHEN 'D' THEN posting.amount ELSE -posting.amount END) AS amount
    FROM funding_revaluationrun run
    JOIN ledger_posting posting ON posting.entry_id = run.entry_id
    JOIN ledger_ledgeraccount account ON account.id = posting.account_id AND account.kind = 'fx_revaluation'
    GROUP BY 1, 2
)
SELECT coalesce(lines.run_id, posted.run_id) AS run_id, coalesce(lines.position_id, posted.position_id) AS position_id,
       lines.amount AS line, posted.amount AS posting, 'line and posting differ' AS problem
FROM lines FULL JOIN posted USING (run_id, position_id)
WHERE lines.amount IS DISTINCT FROM posted.amount
UNION ALL
SELECT line.run_id, line.position_id, line.booked_before, coalesce(earlier.amount, 0), 'not what was booked before'
FROM funding_revaluationline line JOIN funding_revaluationrun run ON run.id = line.run_id
LEFT JOIN LATERAL (
    SELECT sum(before.amount) AS amount
    FROM funding_revaluationline before JOIN funding_revaluationrun past ON past.id = before.run_id
    WHERE before.position_id = line.position_id AND past.id < run.id AND past.business_day <= run.business_day
) earlier ON true
WHERE line.booked_before <> coalesce(earlier.amount, 0)
UNION ALL
SELECT line.run_id, line.position_id, line.value, line.balance * line.rate, 'the value is not balance times rate'
FROM funding_revaluationline line
WHERE abs(line.value - line.balance * line.rate) > 0.0000001 * greatest(1, abs(line.balance))
UNION ALL
SELECT line.run_id, line.position_id, line.target, line.value - line.cost, 'the target is not value less cost'
FROM funding_revaluationline line
WHERE abs(line.target - (line.value - line.cost)) > 0.5
ORDER BY 1, 2
"""

# The latest run of an entity, once its day is closed: nothing can be booked there any more but an adjustment elsewhere.
_REVALUED_BALANCES = """
WITH latest AS (
    SELECT DISTINCT ON (run.entity_id) run.id, run.entity_id, run.business_day
    FROM funding_revaluationrun run ORDER BY run.entity_id, run.business_day DESC, run.id DESC
), settled AS (
    SELECT latest.* FROM latest
    WHERE EXISTS (
        SELECT FROM ledger_closedday closed
        WHERE closed.entity_id = latest.entity_id AND closed.business_day >= latest.business_day
    ) AND NOT EXISTS (
        SELECT FROM ledger_journalentry late
        JOIN funding_revaluationrun run ON run.id = latest.id
        WHERE late.entity_id = latest.entity_id AND late.business_day <= latest.business_day
          AND late.reopening_id IS NOT NULL AND late.created_at >= run.made_at
    )
)
SELECT line.run_id, line.position_id, line.balance AS revalued, coalesce(booked.amount, 0) AS ledger
FROM settled
JOIN funding_revaluationline line ON line.run_id = settled.id
JOIN funding_revaluedposition position ON position.id = line.position_id
LEFT JOIN LATERAL (
    SELECT sum(CASE posting.side WHEN 'D' THEN posting.amount ELSE -posting.amount END) AS amount
    FROM ledger_ledgeraccount account
    JOIN ledger_posting posting ON posting.account_id = account.id
    JOIN ledger_journalentry entry ON entry.id = posting.entry_id
    WHERE account.entity_id = position.entity_id AND account.kind = position.kind
      AND account.currency = position.currency
      AND (position.account_id IS NULL OR account.id = position.account_id)
      AND entry.business_day <= settled.business_day
) booked ON true
WHERE line.balance <> coalesce(booked.amount, 0)
ORDER BY 1, 2
"""

_CLOSED_MONTHS = """
WITH standing AS (
    SELECT id, entity_id, month, figures FROM ledger_closedmonth WHERE reopened_by_id IS NULL
), kept AS (
    SELECT standing.id, figure.kind, figure.currency, figure.debits::numeric AS debits, figure.credits::numeric AS credits
    FROM standing,
         jsonb_to_recordset(standing.figures) AS figure (kind text, currency text, debits text, credits text)
), booked AS (
    SELECT standing.id, account.kind::text AS kind, account.currency::text AS currency,
           coalesce(sum(posting.amount) FILTER (WHERE posting.side = 'D'), 0) AS debits,
           coalesce(sum(posting.amount) FILTER (WHERE posting.side = 'C'), 0) AS credits
    FROM standing
    JOIN ledger_journalentry entry ON entry.entity_id = standing.entity_id
     AND entry.business_day >= standing.month AND entry.business_day < standing.month + interval '1 month'
    JOIN ledger_posting posting ON posting.entry_id = entry.id
    JOIN ledger_ledgeraccount account ON account.id = posting.account_id
    GROUP BY 1, 2, 3
)
SELECT coalesce(kept.id, booked.id) AS closed_month_id, coalesce(kept.kind, booked.kind) AS kind,
       coalesce(kept.currency, booked.currency) AS currency, kept.debits AS closed_with_debits, booked.debits,
       kept.credits AS closed_with_credits, booked.credits
FROM kept FULL JOIN booked ON booked.id = kept.id AND booked.kind = kept.kind AND booked.currency = kept.currency
WHERE kept.debits IS DISTINCT FROM booked.debits OR kept.credits IS DISTINCT FROM booked.credits
ORDER BY 1, 2, 3
"""

_JOURNALS = """
SELECT journal.id AS journal_id, journal.reference, journal.entry_id, 'no such number was issued to it' AS problem
FROM funding_manualjournal journal
WHERE NOT EXISTS (
    SELECT FROM core_documentnumber issued
    WHERE issued.entity_id = journal.entity_id AND issued.reference = journal.reference
      AND issued.kind = 'funding.manual_journal' AND issued.subject = 'journal entry ' || journal.entry_id
)
UNION ALL
SELECT NULL, entry.idempotency_key, entry.id, 'a manual entry without its journal'
FROM ledger_journalentry entry
WHERE entry.source_type = 'funding.manual_journal'
  AND NOT EXISTS (SELECT FROM funding_manualjournal journal WHERE journal.entry_id = entry.id)
UNION ALL
SELECT journal.id, journal.reference, journal.entry_id, 'not what its change request approved'
FROM funding_manualjournal journal
LEFT JOIN core_changerequest request ON request.id = journal.change_request_id
WHERE request.id IS NULL OR request.approved_hash = '' OR request.made_by <> journal.made_by
   OR request.checked_by <> journal.approved_by
ORDER BY 3
"""

_RECONCILED = """
WITH last AS (
    SELECT DISTINCT ON (statement_id) statement_id, ledger_balance, difference, items
    FROM funding_reconciliation ORDER BY statement_id, id DESC
)
SELECT statement.id AS statement_id, statement.business_day, last.difference,
       statement.amount - last.ledger_balance AS stated_less_ledger, explained.amount AS explained
FROM last
JOIN funding_balancestatement statement ON statement.id = last.statement_id
LEFT JOIN LATERAL (
    SELECT coalesce(sum((item ->> 'amount')::numeric), 0) AS amount FROM jsonb_array_elements(last.items) AS item
) explained ON true
WHERE last.difference <> statement.amount - last.ledger_balance OR last.difference <> explained.amount
ORDER BY 1
"""

# A reconciled balance whose ledger moved since contradicts nothing: the day is compared again. It is shown as a note.
_MOVED_SINCE = """
WITH last AS (
    SELECT DISTINCT ON (reconciliation.statement_id) reconciliation.statement_id, reconciliation.ledger_balance
    FROM funding_reconciliation reconciliation ORDER BY reconciliation.statement_id, reconciliation.id DESC
)
SELECT statement.id AS statement_id, external.name AS account, statement.business_day,
       last.ledger_balance AS compared_with, coalesce(booked.amount, 0) AS ledger
FROM last
JOIN funding_balancestatement statement ON statement.id = last.statement_id
JOIN funding_externalaccount external ON external.id = statement.account_id
LEFT JOIN LATERAL (
    SELECT sum(CASE posting.side WHEN 'D' THEN posting.amount ELSE -posting.amount END) AS amount
    FROM ledger_posting posting JOIN ledger_journalentry entry ON entry.id = posting.entry_id
    WHERE posting.account_id = external.ledger_account_id AND entry.business_day <= statement.business_day
) booked ON true
WHERE last.ledger_balance <> coalesce(booked.amount, 0)
ORDER BY 1
"""


def result_lines_equal_postings() -> CheckOutcome:
    """Every trading-result line is in the postings of its entry, on the client's side and on the house's."""
    return rows_of_query(_LINES)


def account_balances_equal_operations() -> CheckOutcome:
    """What the ledger owes a trading account is the sum of the money of its deals, through the booked days."""
    return rows_of_query(_BALANCES)


def revaluations_follow_from_their_figures() -> CheckOutcome:
    """Every revaluation books value less cost less what was booked, on the account of each position."""
    return rows_of_query(_REVALUATIONS)


def revalued_balances_equal_the_ledger() -> CheckOutcome:
    """The latest revaluation of closed books saw the balances that the ledger has on its day."""
    return rows_of_query(_REVALUED_BALANCES)


def closed_months_are_unchanged() -> CheckOutcome:
    """What moved in a closed month is what moved in it when it was closed."""
    return rows_of_query(_CLOSED_MONTHS)


def manual_journals_are_whole() -> CheckOutcome:
    """Every manual journal has its number, its entry and its approval, and every manual entry its journal."""
    return rows_of_query(_JOURNALS)


def reconciliations_add_up() -> CheckOutcome:
    """Every reconciled balance is the ledger's and what was explained; where the ledger moved since is a note."""
    outcome = rows_of_query(_RECONCILED)
    return CheckOutcome(rows=outcome.rows, count=outcome.count, notes=rows_of_query(_MOVED_SINCE).rows)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("funding.result_lines_equal_postings", result_lines_equal_postings)
    register_check("funding.account_balances_equal_operations", account_balances_equal_operations)
    register_check("funding.revaluations_follow_from_their_figures", revaluations_follow_from_their_figures)
    register_check("funding.revalued_balances_equal_the_ledger", revalued_balances_equal_the_ledger)
    register_check("funding.closed_months_are_unchanged", closed_months_are_unchanged)
    register_check("funding.manual_journals_are_whole", manual_journals_are_whole)
    register_check("funding.reconciliations_add_up", reconciliations_add_up)
