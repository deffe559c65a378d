"""How other rooms' figures of accounts are grouped by partner: the path from the top of the tree to who introduced the client."""

from __future__ import annotations

from platform_ops.services.swap_desk.figures import register_grouping

MAX_DEPTH = 50

_PATH = f"""
WITH RECURSIVE path (partner_id, height) AS (
    SELECT referral.partner_id, 0 FROM ib_clientreferral referral
     WHERE referral.client_id = account.client_id AND referral.validity @> now()
    UNION ALL
    SELECT edge.parent_id, path.height + 1 FROM path
      JOIN ib_partneredge edge ON edge.child_id = path.partner_id AND edge.validity @> now()
     WHERE path.height < {MAX_DEPTH}
)
SELECT string_agg(partner.name, ' › ' ORDER BY path.height DESC) AS name
  FROM path JOIN ib_partner partner ON partner.id = path.partner_id
"""  # noqa: S608 -- built from a constant


def register() -> None:
    """Tells the swap desk; called once when the application starts."""
    register_grouping("partner", "Partner", _PATH)
