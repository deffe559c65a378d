"""The desk's share of `verify_books` that concerns disputes: what is open is frozen, what is decided has come to its end."""

from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query

# The disputed line as it stands in the books, and the hold that keeps exactly its amount out of the statements.
_FROZEN = """
SELECT dispute.reference, dispute.subject_reference, dispute.state, dispute.amount, line.amount AS line_amount,
       hold.amount AS held
FROM ib_dispute AS dispute
LEFT JOIN LATERAL (
    SELECT l.amount FROM ib_commissionline AS l
    WHERE dispute.subject = 'trade_line' AND l.partner_id = dispute.partner_id AND l.trade_id = dispute.trade_id
      AND l.part = dispute.line_part AND l.seq = dispute.line_seq AND l.day = dispute.line_day
    UNION ALL
    SELECT p.amount FROM ib_periodline AS p WHERE p.id = dispute.period_line_id
) AS line ON true
LEFT JOIN ib_statementhold AS hold
  ON hold.id = dispute.hold_id AND hold.released_at IS NULL AND hold.partner_id = dispute.partner_id
 AND hold.line_reference = dispute.subject_reference
WHERE (dispute.subject <> 'unpaid_trade' AND line.amount IS DISTINCT FROM dispute.amount)
   OR (dispute.state <> 'closed' AND dispute.amount > 0 AND hold.amount IS DISTINCT FROM dispute.amount)
   OR (dispute.state = 'closed' AND hold.id IS NOT NULL)
ORDER BY dispute.id
"""

# A correction: at least one line was booked after the dispute came, by as much as it says. Goodwill: its adjustment.
_CAME_TO_AN_END = """
SELECT dispute.reference, dispute.decision, dispute.delta, booked.amount AS booked
FROM ib_dispute AS dispute
LEFT JOIN LATERAL (
    SELECT sum(found.amount) AS amount FROM (
        SELECT l.amount FROM ib_commissionline AS l
        WHERE dispute.decision = 'correct' AND l.partner_id = dispute.partner_id AND l.trade_id = dispute.trade_id
          AND concat_ws('-', l.partner_id, l.trade_id, nullif(l.part, 0), l.seq, to_char(l.day, 'YYYYMMDD'))
              = ANY(dispute.delta_lines)
        UNION ALL
        SELECT p.amount FROM ib_periodline AS p
        WHERE dispute.decision = 'correct' AND dispute.period_line_id IS NOT NULL AND p.partner_id = dispute.partner_id
          AND 'P-' || to_char(p.period, 'YYYYMM') || '-' || p.id = ANY(dispute.delta_lines)
        UNION ALL
        SELECT a.amount FROM ib_commissionadjustment AS a
        WHERE dispute.decision = 'goodwill' AND a.change_request_id = dispute.change_request_id AND a.reverses_id IS NULL
    ) AS found
) AS booked ON true
WHERE dispute.state = 'closed'
  AND (dispute.decision IN ('correct', 'goodwill') AND dispute.delta IS DISTINCT FROM booked.amount
       OR dispute.decision = 'reject' AND dispute.decision_reason = '')
ORDER BY dispute.id
"""

_ADJUSTMENTS = """
SELECT coalesce(made.id, posted.adjustment_id) AS adjustment_id, made.amount, posted.amount AS accrued,
       posted.entries, change.state AS change_state
FROM ib_commissionadjustment AS made
FULL JOIN (
    SELECT entry.source_id AS adjustment_id, account.owner_id AS partner_id, posting.currency,
           count(DISTINCT entry.id) AS entries,
           sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END) AS amount
    FROM ledger_journalentry AS entry
    JOIN ledger_posting AS posting ON posting.entry_id = entry.id
    JOIN ledger_ledgeraccount AS account
      ON account.id = posting.account_id AND account.kind = 'partner_accrued' AND account.owner_type = 'partner'
    WHERE entry.source_type = 'ib.adjustment'
    GROUP BY entry.source_id, account.owner_id, posting.currency
) AS posted
  ON posted.adjustment_id = made.id AND posted.partner_id = made.partner_id AND posted.currency = made.currency
LEFT JOIN core_changerequest AS change ON change.id = made.change_request_id
WHERE made.id IS NULL OR posted.amount IS DISTINCT FROM made.amount OR posted.entries <> 1
   OR change.maker_id IS NOT DISTINCT FROM change.checker_id
   OR change.state NOT IN ('applied', 'verified', 'reverted')
ORDER BY 1
"""

_EVIDENCE = """
SELECT dispute.reference, evidence.number, evidence.audience, 'the kept bytes are not those of the digest' AS problem
FROM ib_disputeevidence AS evidence JOIN ib_dispute AS dispute ON dispute.id = evidence.dispute_id
WHERE evidence.digest <> encode(sha256(convert_to(evidence.body, 'UTF8')), 'hex')
UNION ALL
SELECT dispute.reference, 0, '', 'nothing was kept when it came'
FROM ib_dispute AS dispute
WHERE (SELECT count(*) FROM ib_disputeevidence AS kept WHERE kept.dispute_id = dispute.id)
      <> CASE WHEN dispute.appealed_at IS NULL THEN 2 ELSE 4 END
ORDER BY 1, 2, 3
"""


def disputes_frozen() -> CheckOutcome:
    """Open disputes hold exactly their line's amount, closed ones hold nothing."""
    return rows_of_query(_FROZEN)


def disputes_decided() -> CheckOutcome:
    """What was decided has its difference, its goodwill or its reason."""
    return rows_of_query(_CAME_TO_AN_END)


def adjustments_booked() -> CheckOutcome:
    """Every adjustment is booked once, by two people; no other entry says that it is one."""
    return rows_of_query(_ADJUSTMENTS)


def dispute_evidence_intact() -> CheckOutcome:
    """Evidence was kept for every dispute and is what its digest names."""
    return rows_of_query(_EVIDENCE)


def register() -> None:
    """Adds the checks to the registry."""
    register_check("ib.disputes_frozen", disputes_frozen)
    register_check("ib.disputes_decided", disputes_decided)
    register_check("ib.adjustments_booked", adjustments_booked)
    register_check("ib.dispute_evidence_intact", dispute_evidence_intact)
