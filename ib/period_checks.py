"""The share of `verify_books` of what is earned by the period: lines against the ledger, against each other and against their facts."""

from __future__ import annotations

from typing import Any

from backoffice.core.books import CheckOutcome, register_check, rows_of_query
from ib.models import PeriodLine
from ib.rules.period_words import digest, value
from ib.selectors.period_lines import stored_facts

ROWS_SHOWN = 50
LINES_AT_ONCE = 2_000

_EQUAL_ACCRUALS = """
SELECT coalesce(line.settlement_id, posted.settlement_id) AS period_settlement_id,
       coalesce(line.partner_id, posted.partner_id) AS partner_id, coalesce(line.currency, posted.currency) AS currency,
       coalesce(line.amount, 0) AS lines, coalesce(posted.amount, 0) AS accrued
FROM (
    SELECT settlement_id, partner_id, currency, sum(amount) AS amount FROM ib_periodline GROUP BY 1, 2, 3
) AS line
FULL JOIN (
    SELECT entry.source_id AS settlement_id, account.owner_id AS partner_id, posting.currency,
           sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END) AS amount
    FROM ledger_posting AS posting
    JOIN ledger_journalentry AS entry ON entry.id = posting.entry_id AND entry.source_type = 'ib.period_settlement'
    JOIN ledger_ledgeraccount AS account
      ON account.id = posting.account_id AND account.kind = 'partner_accrued' AND account.owner_type = 'partner'
    GROUP BY 1, 2, 3
) AS posted
  ON posted.settlement_id = line.settlement_id AND posted.partner_id = line.partner_id AND posted.currency = line.currency
WHERE coalesce(line.amount, 0) <> coalesce(posted.amount, 0)
ORDER BY 1
"""

_EQUAL_SETTLEMENTS = """
SELECT settlement.id AS period_settlement_id, settlement.lines AS stated_lines, count(line.id) AS lines,
       settlement.booked AS stated, coalesce(sum(line.amount), 0) AS booked
FROM ib_periodsettlement AS settlement
LEFT JOIN ib_periodline AS line
  ON line.settlement_id = settlement.id AND line.partner_id = settlement.partner_id AND line.currency = settlement.currency
GROUP BY settlement.id
HAVING settlement.lines <> count(line.id) OR settlement.booked <> coalesce(sum(line.amount), 0)
ORDER BY 1
"""

_SEQUENCE = """
SELECT line.id, line.partner_id, line.kind, line.period, line.seq, line.place AS expected_seq, line.amount,
       line.target - line.before AS expected_amount, line.currency
FROM (
    SELECT l.*, row_number() OVER sequence - 1 AS place, coalesce(lag(l.target) OVER sequence, 0) AS before
    FROM ib_periodline AS l
    WINDOW sequence AS (PARTITION BY l.partner_id, l.kind, l.rule_id, l.subject_type, l.subject_id, l.period, l.currency
                        ORDER BY l.seq)
) AS line
WHERE line.seq <> line.place OR line.amount <> line.target - line.before
ORDER BY 1
"""

# A balance opens with what the one before closed with, unless there was none.
_CHAIN = """
SELECT balance.partner_id, balance.plan_id, balance.period, balance.opening, before.closing AS closed_before, balance.currency
FROM ib_carrybalance AS balance
LEFT JOIN ib_carrybalance AS before
  ON before.partner_id = balance.partner_id AND before.plan_id IS NOT DISTINCT FROM balance.plan_id
 AND before.currency = balance.currency AND before.period = (balance.period - interval '1 month')::date
WHERE balance.opening <> coalesce(before.closing, 0)
ORDER BY 1, 3
"""

_REWARDS_ONCE = """
SELECT line.subject_id AS client_id, rule.component, line.level, count(DISTINCT line.partner_id) AS partners,
       sum(line.amount) AS booked
FROM (
    SELECT partner_id, rule_id, subject_id, period, max(level) AS level, sum(amount) AS amount
    FROM ib_periodline WHERE kind = 'cpa' GROUP BY 1, 2, 3, 4
) AS line
JOIN ib_planrule AS rule ON rule.id = line.rule_id
WHERE line.amount > 0
GROUP BY line.subject_id, rule.component, line.level
HAVING count(*) > 1
ORDER BY 1
"""


# Until the partner above was settled again, a mark says that the two differ.
_GIVEN_IS_RECEIVED = """
SELECT payer AS payer_id, receiver AS receiver_id,
       period, currency,
       coalesce(given.amount, 0) AS given, coalesce(received.amount, 0) AS received
FROM (
    SELECT partner_id AS payer, subject_id AS receiver, rule_id, period, currency, sum(amount) AS amount
    FROM ib_periodline WHERE kind = 'override_paid' GROUP BY 1, 2, 3, 4, 5
) AS given
FULL JOIN (
    SELECT line.subject_id AS payer, line.partner_id AS receiver, line.rule_id, line.period, line.currency,
           sum(line.amount) AS amount
    FROM ib_periodline AS line JOIN ib_planrule AS rule ON rule.id = line.rule_id AND rule.funded_by = 'downline'
    WHERE line.kind = 'override' GROUP BY 1, 2, 3, 4, 5
) AS received USING (payer, receiver, rule_id, period, currency)
WHERE coalesce(given.amount, 0) + coalesce(received.amount, 0) <> 0
  AND NOT EXISTS (SELECT 1 FROM ib_periodmark AS mark WHERE mark.partner_id = receiver)
ORDER BY 1, 2, 3
"""


def explained() -> CheckOutcome:
    """Every line's target is what its own columns, parts and rule give, and its digest is that of its facts."""
    rows: list[dict[str, Any]] = []
    count = 0
    lines = PeriodLine.objects.select_related("rule__version").prefetch_related("parts", "rule__tiers").order_by("pk")
    for line in lines.iterator(chunk_size=LINES_AT_ONCE):
        facts = stored_facts(line)
        derived = value(facts)
        if derived != line.target or digest(facts) != line.facts_digest:
            count += 1
            if len(rows) < ROWS_SHOWN:
                rows.append({"line": line.reference, "target": str(line.target), "derived": str(derived)})
    return CheckOutcome(rows=rows, count=count)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("ib.period_lines_equal_accruals", lambda: rows_of_query(_EQUAL_ACCRUALS))
    register_check("ib.period_lines_equal_settlements", lambda: rows_of_query(_EQUAL_SETTLEMENTS))
    register_check("ib.period_line_sequence_gapless", lambda: rows_of_query(_SEQUENCE))
    register_check("ib.period_lines_explained", explained)
    register_check("ib.carried_losses_chain", lambda: rows_of_query(_CHAIN))
    register_check("ib.given_overrides_are_received", lambda: rows_of_query(_GIVEN_IS_RECEIVED))
    register_check("ib.rewards_once", lambda: rows_of_query(_REWARDS_ONCE))
