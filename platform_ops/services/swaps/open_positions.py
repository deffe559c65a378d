"""What was open on a server just before an instant, as SQL.

A position that no deal has touched since then is as it stands; the few others are walked again over their deals up to the
instant. So what is opened, enlarged or closed while a rollover runs, or before it runs late, changes nothing.
Parameters: `server` and `cut`. What happens at the very instant of the cut belongs to the day after it.
"""

# ruff: noqa: S608 -- the SQL is built from constants
from __future__ import annotations

from platform_ops.services.projections import POSITIONS_BEFORE

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
