"""What was open on a server just before an instant, as SQL.

A position that no deal has touched since then is as it stands; the few others are walked again over their deals up to the
instant. So what is opened, enlarged or closed while a rollover runs, or before it runs late, changes nothing.
Parameters: `server` and `cut`. What happens at the very instant of the cut belongs to the day after it.
"""

# ruff: noqa: S608 -- the SQL is built from constants
from __future__ import annotations

from typing import Any

from platform_ops.services.projections import POSITIONS_BEFORE
from platform_ops.services.swaps.formula import ACCOUNTS

_WALKED = POSITIONS_BEFORE.format(touched="JOIN touched USING (account_id, position_ticket)")

TOUCHED = """
touched AS MATERIALIZED (
    SELECT DISTINCT deal.account_id, deal.position_ticket
      FROM platform_ops_currentdeal deal
     WHERE deal.server_id = %(server)s AND deal.at >= %(cut)s AND deal.kind IN (0, 1) AND deal.position_ticket <> 0
)
"""
"""The common table expression that `OPEN` reads."""

OPEN = f"""
SELECT stored.account_id, stored.position_ticket, stored.server_symbol_id, stored.side::integer AS side,
       stored.volume_lots, stored.open_price, stored.opened_at
  FROM platform_ops_position stored
 WHERE stored.opened_at < %(cut)s
   AND NOT EXISTS (
    SELECT FROM touched
     WHERE touched.account_id = stored.account_id AND touched.position_ticket = stored.position_ticket
   )
UNION ALL
SELECT account_id, position_ticket, server_symbol_id, side, volume_lots, open_price, opened_at
  FROM ({_WALKED}) walked
"""
"""The positions, of every server: join the accounts of one."""

_PREPARE = (
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS platform_swap_touched (account_id bigint, position_ticket bigint)
    ON COMMIT DELETE ROWS
    """,
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS platform_swap_walked (
        account_id bigint, position_ticket bigint, server_symbol_id bigint, side integer, volume_lots numeric(20, 8),
        open_price numeric(24, 10), opened_at timestamptz
    ) ON COMMIT DELETE ROWS
    """,
    "TRUNCATE platform_swap_touched, platform_swap_walked",
    """
    INSERT INTO platform_swap_touched
    SELECT DISTINCT deal.account_id, deal.position_ticket
      FROM platform_ops_currentdeal deal
     WHERE deal.server_id = %(server)s AND deal.at >= %(cut)s AND deal.kind IN (0, 1) AND deal.position_ticket <> 0
    """,
    f"""
    INSERT INTO platform_swap_walked
    WITH touched AS MATERIALIZED (SELECT account_id, position_ticket FROM platform_swap_touched)
    SELECT account_id, position_ticket, server_symbol_id, side, volume_lots, open_price, opened_at FROM ({_WALKED}) walked
    """,
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS platform_swap_account (account_id bigint, kind integer) ON COMMIT DELETE ROWS
    """,
    """
    CREATE TEMPORARY TABLE IF NOT EXISTS platform_swap_chosen (
        server_symbol_id bigint, side integer, kind integer, term_id bigint
    ) ON COMMIT DELETE ROWS
    """,
    "TRUNCATE platform_swap_account, platform_swap_chosen",
    f"""
    INSERT INTO platform_swap_account
    SELECT account.id,
           dense_rank() OVER (ORDER BY account.group_id, account.type_id, account.currency, account.special)
      FROM ({ACCOUNTS} WHERE account.server_id = %(server)s) account
    """,
    "ANALYZE platform_swap_touched, platform_swap_walked, platform_swap_account",
)

OPEN_PREPARED = """
SELECT stored.account_id, stored.position_ticket, stored.server_symbol_id, stored.side::integer AS side,
       stored.volume_lots, stored.open_price, stored.opened_at
  FROM platform_ops_position stored
 WHERE stored.opened_at < %(cut)s
   AND NOT EXISTS (
    SELECT FROM platform_swap_touched touched
     WHERE touched.account_id = stored.account_id AND touched.position_ticket = stored.position_ticket
   )
UNION ALL
SELECT account_id, position_ticket, server_symbol_id, side, volume_lots, open_price, opened_at FROM platform_swap_walked
"""
"""The same positions, once `prepare_open` has walked those that were touched since the cut.

`platform_swap_account` then numbers the server's accounts by what makes their kind, so that a position finds its term by
three numbers; `platform_swap_chosen` is to be filled with the terms.
"""


def prepare_open(cursor: Any, values: dict[str, Any]) -> None:
    """Walks the positions that deals have touched since the cut, for this transaction: few, wherever there are many."""
    for statement in _PREPARE:
        cursor.execute(statement, values)
