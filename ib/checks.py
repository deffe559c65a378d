"""The desk's share of `verify_books`: lines against the ledger, against their batches and against each other."""

from __future__ import annotations

from backoffice.core.books import CheckOutcome, register_check, rows_of_query
from ib.engine.booking import LINE_HASH
from ib.services import quarantine

_LINES_EQUAL_ACCRUALS = """
SELECT coalesce(line.partner_id, posted.partner_id) AS partner_id,
       (SELECT reference FROM ib_partner WHERE id = coalesce(line.partner_id, posted.partner_id)) AS partner,
       coalesce(line.currency, posted.currency) AS currency,
       coalesce(line.batch_id, posted.batch_id) AS settlement_batch_id,
       coalesce(line.amount, 0) AS lines, coalesce(posted.amount, 0) AS accrued,
       coalesce(line.amount, 0) - coalesce(posted.amount, 0) AS difference
FROM (
    SELECT partner_id, currency, batch_id, sum(amount) AS amount
    FROM ib_commissionline GROUP BY partner_id, currency, batch_id
) AS line
FULL JOIN (
    SELECT account.owner_id AS partner_id, posting.currency, entry.source_id AS batch_id,
           sum(CASE posting.side WHEN 'C' THEN posting.amount ELSE -posting.amount END) AS amount
    FROM ledger_posting AS posting
    JOIN ledger_journalentry AS entry ON entry.id = posting.entry_id AND entry.source_type = 'ib.settlement_batch'
    JOIN ledger_ledgeraccount AS account
      ON account.id = posting.account_id AND account.kind = 'partner_accrued' AND account.owner_type = 'partner'
    GROUP BY account.owner_id, posting.currency, entry.source_id
) AS posted
  ON posted.partner_id = line.partner_id AND posted.currency = line.currency AND posted.batch_id = line.batch_id
WHERE coalesce(line.amount, 0) <> coalesce(posted.amount, 0)
ORDER BY 1, 4
"""

_LINES_EQUAL_BATCHES = f"""
SELECT coalesce(batch.id, found.batch_id) AS settlement_batch_id, batch.scope_key,
       coalesce(batch.lines, 0) AS batch_lines, coalesce(found.lines, 0) AS lines,
       batch.booked AS batch_booked, found.booked AS lines_booked
FROM (
    SELECT part.batch_id, sum(part.lines) AS lines, sum(part.digest)::text AS digest,
           jsonb_object_agg(part.currency, part.amount) AS booked
    FROM (
        SELECT l.batch_id, l.currency, count(*) AS lines, sum(l.amount) AS amount, sum({LINE_HASH.format("l")}) AS digest
        FROM ib_commissionline AS l GROUP BY l.batch_id, l.currency
    ) AS part
    GROUP BY part.batch_id
) AS found
FULL JOIN ib_settlementbatch AS batch ON batch.id = found.batch_id
WHERE batch.id IS NULL
   OR batch.lines <> coalesce(found.lines, 0)
   OR batch.line_digest <> coalesce(found.digest, '0')
   OR EXISTS (
        SELECT 1
        FROM jsonb_each_text(batch.booked) AS stated(currency, amount)
        FULL JOIN jsonb_each_text(coalesce(found.booked, '{{}}'::jsonb)) AS summed(currency, amount)
          ON summed.currency = stated.currency
        WHERE stated.amount::numeric IS DISTINCT FROM summed.amount::numeric)
ORDER BY 1
"""  # noqa: S608 - own text

# A line that stands for itself: the first books its target, each later one what is left; no number is missing.
_LINE_SEQUENCE = """
SELECT line.partner_id, line.trade_id, line.part, line.day, line.seq, line.place AS expected_seq, line.amount,
       line.target - coalesce(line.before, 0) AS expected_amount, line.currency
FROM (
    SELECT l.partner_id, l.trade_id, l.part, l.day, l.seq, l.amount, l.target, l.currency,
           lag(l.target) OVER sequence AS before, row_number() OVER sequence - 1 AS place
    FROM ib_commissionline AS l
    WINDOW sequence AS (PARTITION BY l.partner_id, l.trade_id, l.part, l.day ORDER BY l.seq)
) AS line
WHERE line.seq <> line.place OR line.amount <> line.target - coalesce(line.before, 0)
ORDER BY 1, 2, 3, 4
"""

_DEFAULT_PARTITION = """
SELECT partner_id, trade_id, part, seq, day FROM ib_line_default ORDER BY day, partner_id, trade_id, seq
"""

# From every partner upwards, keeping only the time during which the whole chain holds; meeting the start is a circle.
_CYCLES = """
SELECT DISTINCT walk.start_id AS partner_id,
       (SELECT reference FROM ib_partner WHERE id = walk.start_id) AS partner, walk.validity::text AS during
FROM (
    WITH RECURSIVE walk AS (
        SELECT edge.child_id AS start_id, edge.parent_id AS at_id, edge.validity, ARRAY[edge.child_id] AS path
        FROM ib_partneredge AS edge
        UNION ALL
        SELECT walk.start_id, edge.parent_id, walk.validity * edge.validity, walk.path || walk.at_id
        FROM walk JOIN ib_partneredge AS edge ON edge.child_id = walk.at_id AND edge.validity && walk.validity
        WHERE walk.at_id <> ALL(walk.path)
    )
    SELECT start_id, at_id, validity FROM walk
) AS walk
WHERE walk.at_id = walk.start_id
ORDER BY 1
"""


_LINES_EXPLAINED = """
SELECT line.partner_id, line.trade_id, line.seq, line.day, line.amount, line.target, line.explained, line.booked
FROM (
    SELECT found.partner_id, found.trade_id, found.seq, found.day, found.amount, found.target,
           ib_reward(entry.basis, found.quantity, found.factor, found.rate, found.rate_currency, found.fx_rate,
                     entry.rounding_stage, entry.rounding_mode, entry.reward_digits::integer, found.cap_left) AS explained,
           sum(found.amount) OVER (PARTITION BY found.partner_id, found.trade_id, found.part, found.day ORDER BY found.seq) AS booked
    FROM ib_commissionline AS found LEFT JOIN ib_ratecardentry AS entry ON entry.id = found.card_entry_id
) AS line
WHERE line.booked <> line.target OR line.explained <> line.target
ORDER BY line.day, line.trade_id, line.partner_id, line.seq
"""


def lines_explained() -> CheckOutcome:
    """Every line's target is what its own lots, rate and conversion give, and all lines of a trade so far sum to it."""
    return rows_of_query(_LINES_EXPLAINED)


def lines_equal_accruals() -> CheckOutcome:
    """Per partner, currency and settlement: the sum of the lines is what the accrued account received."""
    return rows_of_query(_LINES_EQUAL_ACCRUALS)


def lines_equal_batches() -> CheckOutcome:
    """Every settlement's control totals and digest are those of its lines, and every line has a settlement."""
    return rows_of_query(_LINES_EQUAL_BATCHES)


def line_sequence_gapless() -> CheckOutcome:
    """Lines of a trade, partner and day are numbered without gaps, and each books target minus the one before."""
    return rows_of_query(_LINE_SEQUENCE)


def default_partition_empty() -> CheckOutcome:
    """No line lies outside of its day's partition."""
    return rows_of_query(_DEFAULT_PARTITION)


def tree_acyclic() -> CheckOutcome:
    """Nobody stands above themselves at any time."""
    return rows_of_query(_CYCLES)


# What is set aside must be a trade that is there, and no settlement may have booked it since.
_SET_ASIDE = """
SELECT held.trade_id, held.ticket, held.day, held.reason, line.batch_id AS booked_by
FROM ib_quarantinedtrade AS held
LEFT JOIN platform_ops_trade AS t ON t.id = held.trade_id
LEFT JOIN LATERAL (
    SELECT l.batch_id FROM ib_commissionline AS l JOIN ib_settlementbatch AS batch ON batch.id = l.batch_id
    WHERE l.trade_id = held.trade_id AND l.day = held.day AND batch.created_at > held.quarantined_at
    ORDER BY l.batch_id LIMIT 1) AS line ON t.batch_id = held.trade_batch_id
WHERE held.released_at IS NULL AND (t.id IS NULL OR line.batch_id IS NOT NULL)
ORDER BY held.day, held.trade_id
"""


def trades_set_aside() -> CheckOutcome:
    """No trade that is set aside was booked meanwhile; those that are set aside are told, each with the reason."""
    found = rows_of_query(_SET_ASIDE)
    return CheckOutcome(rows=found.rows, count=found.count, notes=quarantine.rows_set_aside())


def register() -> None:
    """Adds the checks to the registry."""
    register_check("ib.lines_explained", lines_explained)
    register_check("ib.lines_equal_accruals", lines_equal_accruals)
    register_check("ib.lines_equal_batches", lines_equal_batches)
    register_check("ib.line_sequence_gapless", line_sequence_gapless)
    register_check("ib.default_partition_empty", default_partition_empty)
    register_check("ib.tree_acyclic", tree_acyclic)
    register_check("ib.trades_set_aside", trades_set_aside)
