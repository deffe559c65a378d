"""What follows from deals: trades, open positions, balance operations. Set-based, for the rows that a batch touched.

Owns the SQL that says what each projection must hold (`*_TARGET`); a load, a rebuild and the proof in `verify_books` all
read the same text, so they can differ only in which rows they look at. Never writes a deal.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module
from __future__ import annotations

from dataclasses import dataclass

from django.db import IntegrityError, connection, transaction
from django.db.backends.utils import CursorWrapper

from platform_ops.services.staging import ANALYZE_FROM_ROWS

# Which deals a target is computed for. `low` is the highest deal id before the batch: the batch's own rows are a range
# of the primary key, and need no index of their own.
OF_BATCH = "deal.id > %(low)s AND deal.batch_id = %(batch)s"
OF_SERVER = "deal.server_id = %(server)s"
OF_ALL = "TRUE"

_CLOSES = "deal.kind IN (0, 1, 13, 14) AND deal.entry IN (1, 2, 3)"
# A closing whose opening, or whose closed part of a reversal, only the whole position can tell.
_NEEDS_WALK = "deal.position_ticket <> 0 AND (deal.entry = 2 OR deal.open_price IS NULL)"
_SIGN = "CASE WHEN deal.kind IN (0, 13) THEN 1 ELSE -1 END"

# What the house took back counts as nothing, whatever the server goes on telling of it: the trade, and the correction that
# undid its money. There are few, so they are looked up in a small hash.
_TAKEN_BACK = """(deal.server_id, deal.ticket, deal.leg) IN (
    SELECT taken.server_id, taken.ticket, taken.leg FROM platform_ops_tradecancellation taken)"""
_UNDOES = """(deal.server_id, deal.ticket) IN (
    SELECT taken.server_id, taken.correction_ticket FROM platform_ops_tradecancellation taken
     WHERE taken.correction_ticket IS NOT NULL)"""

_TRADE_COLUMNS = """server_id, ticket, leg, deal_revision, account_id, server_symbol_id, position_ticket, side, volume_lots,
    opened_at, closed_at, open_price, close_price, profit, swap, commission, fee, currency, business_day, is_cancelled"""
TRADE_FACTS = """account_id, server_symbol_id, position_ticket, side, volume_lots, opened_at, closed_at, open_price,
    close_price, profit, swap, commission, fee, currency, business_day, is_cancelled"""

_PLAIN_TRADES = f"""
SELECT deal.server_id, deal.ticket, deal.leg, deal.revision AS deal_revision, deal.account_id, deal.server_symbol_id,
       deal.position_ticket, -({_SIGN}) AS side, deal.volume_lots, deal.opened_at, deal.at AS closed_at, deal.open_price,
       deal.price AS close_price, deal.profit, deal.swap, deal.commission, deal.fee, account.currency,
       platform_business_day(deal.at) AS business_day, deal.kind > 1 OR {_TAKEN_BACK} AS is_cancelled
  FROM {{deals}} deal
  JOIN platform_ops_tradingaccount account ON account.id = deal.account_id
 WHERE {{scope}} AND {_CLOSES} AND NOT ({_NEEDS_WALK})
"""

# `before` is the position just before the deal; a cancelled deal moves nothing.
_WALKED_TRADES = f"""
SELECT walked.server_id, walked.ticket, walked.leg, walked.revision AS deal_revision, walked.account_id,
       walked.server_symbol_id, walked.position_ticket, -walked.direction AS side,
       CASE WHEN walked.entry = 2 AND (before).volume * walked.direction < 0
            THEN least(walked.volume_lots, abs((before).volume)) ELSE walked.volume_lots END::numeric(20, 8) AS volume_lots,
       coalesce(walked.opened_at, (before).opened_at) AS opened_at, walked.at AS closed_at,
       coalesce(walked.open_price, (before).price)::numeric(24, 10) AS open_price, walked.price AS close_price,
       walked.profit, walked.swap, walked.commission, walked.fee, account.currency,
       platform_business_day(walked.at) AS business_day,
       walked.kind > 1 OR {_TAKEN_BACK.replace("deal.", "walked.")} AS is_cancelled
  FROM (
    SELECT deal.*, {_SIGN} AS direction,
           platform_position_walk(deal.entry, CASE WHEN deal.kind > 1 THEN 0 ELSE {_SIGN} * deal.volume_lots END,
                                  deal.price, deal.at)
               OVER (PARTITION BY deal.account_id, deal.position_ticket ORDER BY deal.at, deal.ticket, deal.leg
                     ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
      FROM platform_ops_currentdeal deal
      JOIN (
        SELECT DISTINCT deal.account_id, deal.position_ticket
          FROM platform_ops_deal deal {{touched}}
         WHERE {_NEEDS_WALK} AND deal.entry > 0
      ) chosen USING (account_id, position_ticket)
     WHERE deal.kind IN (0, 1, 13, 14) AND deal.entry IS NOT NULL
  ) walked
  JOIN platform_ops_tradingaccount account ON account.id = walked.account_id
 WHERE walked.entry = 2 OR (walked.entry IN (1, 3) AND walked.open_price IS NULL)
"""

_OPERATION_COLUMNS = """server_id, ticket, leg, deal_revision, account_id, kind, at, amount, currency, business_day, comment,
    is_cancelled, is_opening"""
OPERATION_FACTS = "account_id, kind, at, amount, currency, business_day, comment, is_cancelled"

_OPERATIONS = f"""
SELECT deal.server_id, deal.ticket, deal.leg, deal.revision AS deal_revision, deal.account_id, deal.kind, deal.at,
       deal.profit + deal.swap + deal.commission + deal.fee AS amount, account.currency,
       platform_business_day(deal.at) AS business_day, deal.comment, {_UNDOES} AS is_cancelled, FALSE AS is_opening
  FROM {{deals}} deal
  JOIN platform_ops_tradingaccount account ON account.id = deal.account_id
 WHERE {{scope}} AND deal.kind NOT IN (0, 1, 13, 14)
"""

# A position with one opening price and no reversal is a sum. Only the others are walked, deal by deal.
_OPEN_POSITIONS = f"""
WITH summed AS (
    SELECT deal.account_id, deal.position_ticket, min(deal.server_symbol_id) AS server_symbol_id,
           sum(CASE WHEN deal.entry = 0 THEN deal.volume_lots ELSE -deal.volume_lots END) AS volume_lots,
           min(deal.price) FILTER (WHERE deal.entry = 0) AS open_price,
           min(deal.at) FILTER (WHERE deal.entry = 0) AS opened_at,
           min(deal.kind) FILTER (WHERE deal.entry = 0) AS kind,
           bool_or(deal.entry = 2)
               OR min(deal.price) FILTER (WHERE deal.entry = 0) <> max(deal.price) FILTER (WHERE deal.entry = 0)
               OR min(deal.kind) FILTER (WHERE deal.entry = 0) <> max(deal.kind) FILTER (WHERE deal.entry = 0)
               AS needs_walk
      FROM platform_ops_currentdeal deal {{touched}}
     WHERE deal.kind IN (0, 1) AND deal.position_ticket <> 0 {{until}}
     GROUP BY deal.account_id, deal.position_ticket
), walked AS (
    SELECT deal.account_id, deal.position_ticket, min(deal.server_symbol_id) AS server_symbol_id,
           platform_position_walk(deal.entry, {_SIGN} * deal.volume_lots, deal.price, deal.at
                                  ORDER BY deal.at, deal.ticket, deal.leg) AS state
      FROM platform_ops_currentdeal deal
      JOIN summed USING (account_id, position_ticket)
     WHERE summed.needs_walk AND deal.kind IN (0, 1) {{until}}
     GROUP BY deal.account_id, deal.position_ticket
)
SELECT account_id, position_ticket, server_symbol_id, CASE WHEN kind = 0 THEN 1 ELSE -1 END AS side, volume_lots,
       open_price, opened_at
  FROM summed WHERE NOT needs_walk AND volume_lots > 0 AND open_price IS NOT NULL
UNION ALL
SELECT account_id, position_ticket, server_symbol_id, sign((state).volume)::integer, abs((state).volume)::numeric(20, 8),
       (state).price::numeric(24, 10), (state).opened_at
  FROM walked WHERE (state).volume <> 0
"""
POSITION_FACTS = "server_symbol_id, side, volume_lots, open_price, opened_at"

_CURRENT = "platform_ops_currentdeal"
_ONLY_TOUCHED = "JOIN platform_ingest_touched touched USING (account_id, position_ticket)"

TRADE_TARGET = _PLAIN_TRADES.format(deals=_CURRENT, scope="{scope}") + "UNION ALL" + _WALKED_TRADES.format(touched="")
"""Every trade there must be; format with the scope of deals (walked positions are always all)."""
OPERATION_TARGET = _OPERATIONS.format(deals=_CURRENT, scope="{scope}")
"""Every balance operation that a deal made there must be, openings apart."""
POSITION_TARGET = _OPEN_POSITIONS.format(touched="", until="")
"""Every open position there must be."""
POSITIONS_BEFORE = _OPEN_POSITIONS.format(touched="{touched}", until="AND deal.at < %(cut)s")
"""What was open just before an instant (`cut`); format with a join to the positions that are meant."""


@dataclass(frozen=True, slots=True)
class Projected:
    """How many rows of each projection changed."""

    trades: int
    positions: int
    operations: int


_CREATE_TOUCHED = """
CREATE TEMPORARY TABLE IF NOT EXISTS platform_ingest_touched (account_id bigint, position_ticket bigint)
ON COMMIT DELETE ROWS
"""
# The positions of the batch's deals, and those that corrected deals belonged to before.
_FILL_TOUCHED = f"""
INSERT INTO platform_ingest_touched
SELECT deal.account_id, deal.position_ticket FROM platform_ops_deal deal
 WHERE {OF_BATCH} AND deal.position_ticket <> 0
UNION
SELECT earlier.account_id, earlier.position_ticket
  FROM platform_ops_deal deal
  JOIN platform_ops_deal earlier
    ON earlier.server_id = deal.server_id AND earlier.ticket = deal.ticket AND earlier.leg = deal.leg
   AND earlier.revision = deal.revision - 1
 WHERE {OF_BATCH} AND deal.revision > 0 AND earlier.position_ticket <> 0
"""
_FILL_ALL_TOUCHED = """
INSERT INTO platform_ingest_touched
SELECT deal.account_id, deal.position_ticket FROM platform_ops_deal deal
 WHERE deal.server_id = %(server)s AND deal.position_ticket <> 0
UNION
SELECT position.account_id, position.position_ticket
  FROM platform_ops_position position
  JOIN platform_ops_tradingaccount account ON account.id = position.account_id
 WHERE account.server_id = %(server)s
"""


def _assignments(columns: str) -> str:
    return ", ".join(f"{name.strip()} = excluded.{name.strip()}" for name in columns.split(","))


def prefixed(columns: str, prefix: str) -> str:
    """The columns of a list, each with the name of its table."""
    return ", ".join(f"{prefix}.{name.strip()}" for name in columns.split(","))


def _upsert(
    table: str, columns: str, facts: str, target: str, conflict: str, born: str = "", *, are_new: bool = False
) -> str:
    """Brings a projection to its target. Only rows whose facts change are touched and take the batch's number.

    *born* is the column that keeps the number of the batch that made the row. *are_new* says that none of the rows can
    stand already, which saves looking.
    """
    batches = ["batch_id", born] if born else ["batch_id"]
    insert = f"""
    INSERT INTO {table} AS present ({columns}, {", ".join(batches)})
    SELECT {prefixed(columns, "target")}, {", ".join("%(batch)s" for _ in batches)} FROM ({target}) target
    """
    if are_new:
        return insert
    return f"""{insert}
    ON CONFLICT {conflict} DO UPDATE SET {_assignments(facts)}, deal_revision = excluded.deal_revision,
        batch_id = excluded.batch_id
     WHERE ({prefixed(facts, "present")}) IS DISTINCT FROM ({prefixed(facts, "excluded")})
    """


def _follow_revision(table: str) -> str:
    """A correction that leaves the facts as they were changes nothing that anyone counts, only where to look it up."""
    return f"""
    UPDATE {table} present SET deal_revision = deal.revision
      FROM platform_ops_deal deal
     WHERE {OF_BATCH} AND deal.revision > 0 AND deal.server_id = present.server_id AND deal.ticket = present.ticket
       AND deal.leg = present.leg AND deal.revision > present.deal_revision
    """


def _cancel(table: str, belongs: str, scope: str) -> str:
    """What the latest revision no longer calls a trade (or an operation) keeps its row and counts as nothing."""
    return f"""
    UPDATE {table} present SET is_cancelled = TRUE, deal_revision = deal.revision, batch_id = %(batch)s
      FROM platform_ops_currentdeal deal
     WHERE {scope} AND deal.server_id = present.server_id AND deal.ticket = present.ticket
       AND deal.leg = present.leg AND NOT ({belongs}) AND NOT present.is_cancelled
    """


_TRADE_KEY = "(server_id, ticket, leg)"
_TRADE_BORN = "first_batch_id"
_OPERATION_KEY = "(server_id, ticket, leg) WHERE NOT is_opening"
_IS_OPERATION = "deal.kind NOT IN (0, 1, 13, 14)"

_POSITIONS = f"""
WITH target AS MATERIALIZED ({_OPEN_POSITIONS.format(touched=_ONLY_TOUCHED, until="")}),
gone AS (
    DELETE FROM platform_ops_position present
     USING platform_ingest_touched touched
     WHERE present.account_id = touched.account_id AND present.position_ticket = touched.position_ticket
       AND NOT EXISTS (
        SELECT 1 FROM target
         WHERE target.account_id = present.account_id AND target.position_ticket = present.position_ticket
     )
    RETURNING 1
), kept AS (
    INSERT INTO platform_ops_position AS present (account_id, position_ticket, {POSITION_FACTS}, batch_id)
    SELECT account_id, position_ticket, {POSITION_FACTS}, %(batch)s FROM target
    ON CONFLICT (account_id, position_ticket) DO UPDATE SET {_assignments(POSITION_FACTS)},
        batch_id = excluded.batch_id
     WHERE ({prefixed(POSITION_FACTS, "present")}) IS DISTINCT FROM ({prefixed(POSITION_FACTS, "excluded")})
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM kept)
"""


def project_batch(*, batch_id: int, low: int, rows: int, has_corrections: bool) -> Projected:
    """Brings every projection that the batch's deals touch to its target. *rows* is about how many deals there are."""
    values = {"batch": batch_id, "low": low}
    return _project(
        values, deals="platform_ops_deal", scope=OF_BATCH, fill=_FILL_TOUCHED, rows=rows, revised=has_corrections
    )


def project_server(*, server_id: int, batch_id: int) -> Projected:
    """Brings every projection of a server to its target, from its current deals alone."""
    values = {"batch": batch_id, "server": server_id}
    projected = _project(
        values, deals=_CURRENT, scope=OF_SERVER, fill=_FILL_ALL_TOUCHED, rows=ANALYZE_FROM_ROWS, revised=True
    )
    with connection.cursor() as cursor:
        orphans = [_cancel_orphans(cursor, table, values) for table in ("trade", "balanceoperation")]
    return Projected(projected.trades + orphans[0], projected.positions, projected.operations + orphans[1])


def _project(values: dict[str, int], *, deals: str, scope: str, fill: str, rows: int, revised: bool) -> Projected:
    plain = _PLAIN_TRADES.format(deals=deals, scope=scope)
    walked = _WALKED_TRADES.format(touched=_ONLY_TOUCHED)
    operations = _OPERATIONS.format(deals=deals, scope=scope)
    trade, operation = "platform_ops_trade", "platform_ops_balanceoperation"
    with connection.cursor() as cursor:

        def run(statement: str) -> int:
            cursor.execute(statement, values)
            return int(cursor.rowcount)

        cursor.execute(_CREATE_TOUCHED)
        cursor.execute("TRUNCATE platform_ingest_touched")
        run(fill)
        if rows >= ANALYZE_FROM_ROWS:
            cursor.execute("ANALYZE platform_ingest_touched")
        trade_of_plain = (trade, _TRADE_COLUMNS, TRADE_FACTS, plain, _TRADE_KEY, _TRADE_BORN)
        operation_of_deal = (operation, _OPERATION_COLUMNS, OPERATION_FACTS, operations, _OPERATION_KEY)
        trades = changed = 0
        try:
            if not revised:
                # Every deal is new, and so is what follows from it alone: nothing has to be looked up row by row.
                with transaction.atomic():
                    trades = run(_upsert(*trade_of_plain, are_new=True))
                    changed = run(_upsert(*operation_of_deal, are_new=True))
        except IntegrityError:
            # Only where a row without a deal stands in the way, which no load has made.
            revised = True
        if revised:
            trades = run(_upsert(*trade_of_plain))
            changed = run(_upsert(*operation_of_deal))
        trades += run(_upsert(trade, _TRADE_COLUMNS, TRADE_FACTS, walked, _TRADE_KEY, _TRADE_BORN))
        if revised:
            trades += run(_cancel(trade, _CLOSES, scope))
            changed += run(_cancel(operation, _IS_OPERATION, scope))
            if scope == OF_BATCH:
                run(_follow_revision(trade))
                run(_follow_revision(operation))
        cursor.execute(_POSITIONS, values)
        positions = int(cursor.fetchone()[0])
    return Projected(trades=trades, positions=positions, operations=changed)


def _cancel_orphans(cursor: CursorWrapper, table: str, values: dict[str, int]) -> int:
    """Rows that no deal explains at all count as nothing; they stay, because settled lines may name them."""
    cursor.execute(
        f"""
        UPDATE platform_ops_{table} present SET is_cancelled = TRUE, batch_id = %(batch)s
         WHERE present.server_id = %(server)s AND present.ticket IS NOT NULL AND NOT present.is_cancelled
           AND NOT EXISTS (
            SELECT 1 FROM platform_ops_deal deal
             WHERE deal.server_id = present.server_id AND deal.ticket = present.ticket AND deal.leg = present.leg
         )
        """,
        values,
    )
    return int(cursor.rowcount)
