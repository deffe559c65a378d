"""The merge: what the staging table tells becomes new deals and new revisions, nothing twice and nothing lost.

Owns the rule of who knows best. The latest revision of a row is what the latest source tells that names the row; an
earlier source that comes later is counted as stale. A source that leaves a fact out (opening price and time, position,
order) does not take it away from one that told it. So the current deals follow from what was told, not from the order
in which it came. The caller holds the server's lock.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from django.db import IntegrityError, connection, transaction

from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from platform_ops.services.accounts import register_accounts
from platform_ops.services.staging import STAGE
from platform_ops.services.symbols import register_server_symbols

_UNIQUE_REVISION = "platform_deal_revision_unique"

_DEAL_COLUMNS = """server_id, ticket, leg, revision, account_id, batch_id, kind, entry, position_ticket, order_ticket,
    server_symbol_id, volume_lots, price, at, open_price, opened_at, profit, swap, commission, fee, comment,
    stated_as_of, recorded_at"""

_BY_LOGIN = (
    "JOIN platform_ops_tradingaccount account ON account.server_id = %(server)s AND account.login = staged.login"
)
_BY_ID = "JOIN platform_ops_tradingaccount account ON account.server_id = %(server)s AND account.id = staged.account_id"
_SYMBOL = "LEFT JOIN platform_ops_serversymbol symbol ON symbol.server_id = %(server)s AND symbol.name = staged.symbol"

_INSERT_NEW = f"""
INSERT INTO platform_ops_deal ({_DEAL_COLUMNS})
SELECT %(server)s, staged.ticket, staged.leg, 0, account.id, %(batch)s, staged.kind, staged.entry, staged.position_ticket,
       staged.order_ticket, symbol.id, staged.volume_lots, staged.price, staged.at, staged.open_price, staged.opened_at, staged.profit,
       staged.swap, staged.commission, staged.fee, coalesce(staged.comment, ''), %(as_of)s, %(now)s
  FROM {STAGE} staged
  {{account}}
  {_SYMBOL}
 WHERE NOT EXISTS (
    SELECT 1 FROM platform_ops_deal known
     WHERE known.server_id = %(server)s AND known.ticket = staged.ticket AND known.leg = staged.leg
       AND known.revision = 0
 )
"""

# What a staged row says and what the books say, column by column. What the row leaves out it does not deny.
_TOLD = """(staged.kind, staged.entry, coalesce(nullif(staged.position_ticket, 0), deal.position_ticket),
    coalesce(nullif(staged.order_ticket, 0), deal.order_ticket), symbol.id, staged.volume_lots, staged.price, staged.at,
    coalesce(staged.open_price, deal.open_price), coalesce(staged.opened_at, deal.opened_at), staged.profit, staged.swap,
    staged.commission, staged.fee, coalesce(staged.comment, ''))"""
_KNOWN = """(deal.kind, deal.entry, deal.position_ticket, deal.order_ticket, deal.server_symbol_id, deal.volume_lots,
    deal.price, deal.at, deal.open_price, deal.opened_at, deal.profit, deal.swap, deal.commission, deal.fee,
    deal.comment)"""

# How many staged rows stand in the books just as they say, on their own account: the new ones, and every repetition.
_STANDS_AS_TOLD = f"""
SELECT count(*)
  FROM {STAGE} staged
  {{account}}
  JOIN platform_ops_currentdeal deal
    ON deal.server_id = %(server)s AND deal.ticket = staged.ticket AND deal.leg = staged.leg
   AND deal.account_id = account.id
  {_SYMBOL}
 WHERE {_TOLD} IS NOT DISTINCT FROM {_KNOWN}
"""

# `told`: rows that say something else than the current deal. `is_fresh`: no later source has told this row.
# `fills`: a stale row that adds a fact which the current deal lacks.
_INSERT_CORRECTIONS = f"""
WITH told AS MATERIALIZED (
    SELECT staged.*, symbol.id AS symbol_id, coalesce(staged.comment, '') AS said,
           deal.account_id AS owner_id, deal.revision AS known_revision, deal.stated_as_of AS known_as_of,
           deal.kind AS known_kind, deal.entry AS known_entry, deal.position_ticket AS known_position,
           deal.order_ticket AS known_order, deal.server_symbol_id AS known_symbol, deal.volume_lots AS known_volume,
           deal.price AS known_price, deal.at AS known_at, deal.open_price AS known_open_price,
           deal.opened_at AS known_opened_at, deal.profit AS known_profit, deal.swap AS known_swap,
           deal.commission AS known_commission, deal.fee AS known_fee, deal.comment AS known_comment,
           deal.stated_as_of <= %(as_of)s AND NOT EXISTS (
               SELECT 1 FROM platform_ops_statementimport later
                WHERE later.account_id = deal.account_id AND later.state = 'stored' AND later.repeats_id IS NULL
                  AND later.as_of > %(as_of)s
                  AND staged.ticket = ANY (CASE staged.leg WHEN 0 THEN later.opening_tickets ELSE later.closing_tickets END)
           ) AS is_fresh
      FROM {STAGE} staged
      JOIN platform_ops_currentdeal deal
        ON deal.server_id = %(server)s AND deal.ticket = staged.ticket AND deal.leg = staged.leg
      {_SYMBOL}
     WHERE {_TOLD} IS DISTINCT FROM {_KNOWN}
), weighed AS (
    SELECT *, NOT is_fresh AND (
               (known_open_price IS NULL AND open_price IS NOT NULL)
            OR (known_opened_at IS NULL AND opened_at IS NOT NULL)
            OR (known_position = 0 AND position_ticket <> 0)
            OR (known_order = 0 AND order_ticket <> 0)) AS fills
      FROM told
), corrected AS (
    INSERT INTO platform_ops_deal ({_DEAL_COLUMNS})
    SELECT %(server)s, ticket, leg, known_revision + 1, owner_id, %(batch)s,
           CASE WHEN is_fresh THEN kind ELSE known_kind END,
           CASE WHEN is_fresh THEN entry ELSE known_entry END,
           CASE WHEN position_ticket <> 0 AND (is_fresh OR known_position = 0) THEN position_ticket
                ELSE known_position END,
           CASE WHEN order_ticket <> 0 AND (is_fresh OR known_order = 0) THEN order_ticket ELSE known_order END,
           CASE WHEN is_fresh THEN symbol_id ELSE known_symbol END,
           CASE WHEN is_fresh THEN volume_lots ELSE known_volume END,
           CASE WHEN is_fresh THEN price ELSE known_price END,
           CASE WHEN is_fresh THEN at ELSE known_at END,
           CASE WHEN is_fresh THEN coalesce(open_price, known_open_price)
                ELSE coalesce(known_open_price, open_price) END,
           CASE WHEN is_fresh THEN coalesce(opened_at, known_opened_at)
                ELSE coalesce(known_opened_at, opened_at) END,
           CASE WHEN is_fresh THEN profit ELSE known_profit END,
           CASE WHEN is_fresh THEN swap ELSE known_swap END,
           CASE WHEN is_fresh THEN commission ELSE known_commission END,
           CASE WHEN is_fresh THEN fee ELSE known_fee END,
           CASE WHEN is_fresh THEN said ELSE known_comment END,
           CASE WHEN is_fresh THEN %(as_of)s ELSE known_as_of END,
           %(now)s
      FROM weighed
     WHERE is_fresh OR fills
    RETURNING 1
)
SELECT (SELECT count(*) FROM corrected), array_agg(ticket), array_agg(leg) FROM told WHERE NOT is_fresh
"""

_RELINK = f"""
WITH moved AS (SELECT unnest(%(old)s::bigint[]) AS old_root, unnest(%(new)s::bigint[]) AS new_root)
INSERT INTO platform_ops_deal ({_DEAL_COLUMNS})
SELECT server_id, ticket, leg, revision + 1, account_id, %(batch)s, kind, entry, moved.new_root, order_ticket,
       server_symbol_id, volume_lots, price, at, open_price, opened_at, profit, swap, commission, fee, comment,
       stated_as_of, %(now)s
  FROM platform_ops_currentdeal deal
  JOIN moved ON moved.old_root = deal.position_ticket
 WHERE deal.account_id = %(account)s
"""

_FOREIGN_TICKET = f"""
SELECT staged.ticket, owner.login
  FROM {STAGE} staged
  {{account}}
  JOIN platform_ops_deal deal
    ON deal.server_id = %(server)s AND deal.ticket = staged.ticket AND deal.leg = staged.leg AND deal.revision = 0
  JOIN platform_ops_tradingaccount owner ON owner.id = deal.account_id
 WHERE deal.account_id <> account.id
 LIMIT 1
"""

_CONTRADICTION = f"""
SELECT ticket FROM (SELECT DISTINCT * FROM {STAGE}) told GROUP BY ticket, leg HAVING count(*) > 1 LIMIT 1
"""
_REMOVE_REPETITIONS = f"""
DELETE FROM {STAGE} staged
 USING (SELECT ticket, leg, min(ctid) AS kept FROM {STAGE} GROUP BY ticket, leg HAVING count(*) > 1) repeated
 WHERE staged.ticket = repeated.ticket AND staged.leg = repeated.leg AND staged.ctid <> repeated.kept
"""


@dataclass(frozen=True, slots=True)
class MergeOutcome:
    """How many rows of the staging table were new, corrected the books, or were stale; (ticket, leg) of the stale."""

    new_deals: int = 0
    corrected_deals: int = 0
    stale: frozenset[tuple[int, int]] = field(default_factory=frozenset)


def merge_stage(*, server_id: int, batch_id: int, as_of: datetime, staged: int) -> MergeOutcome:
    """Books the staging table as deals of *batch_id*. Registers accounts and symbols that nobody knew.

    Raises InvalidInput when a row contradicts another of the same batch, names an account of another server, or a ticket
    that belongs to another account.
    """
    by_login = register_accounts(server_id=server_id, stage=STAGE)
    register_server_symbols(server_id=server_id, stage=STAGE)
    account = _BY_LOGIN if by_login else _BY_ID
    values: dict[str, int | datetime] = {"server": server_id, "batch": batch_id, "as_of": as_of, "now": clock.now()}
    with connection.cursor() as cursor:
        try:
            with transaction.atomic():
                cursor.execute(_INSERT_NEW.format(account=account), values)
                new_deals = cursor.rowcount
        except IntegrityError as error:
            if _UNIQUE_REVISION not in str(error):
                raise
            staged = _remove_repetitions(staged)
            cursor.execute(_INSERT_NEW.format(account=account), values)
            new_deals = cursor.rowcount
        if new_deals == staged:
            return MergeOutcome(new_deals=new_deals)
        # Most files repeat what is known and correct nothing; one pass tells.
        cursor.execute(_STANDS_AS_TOLD.format(account=account), values)
        if cursor.fetchone()[0] == staged:
            return MergeOutcome(new_deals=new_deals)
        _remove_repetitions(staged)
        cursor.execute(_FOREIGN_TICKET.format(account=account), values)
        if foreign := cursor.fetchone():
            ticket, login = foreign
            raise InvalidInput(
                f"Ticket {ticket} belongs to account {login} on this server.",
                code="ticket_of_other_account",
                field="ticket",
                value=ticket,
            )
        cursor.execute(_INSERT_CORRECTIONS, values)
        corrected, tickets, legs = cursor.fetchone()
        stale = frozenset(zip(tickets or (), legs or (), strict=True))
    return MergeOutcome(new_deals=new_deals, corrected_deals=corrected, stale=stale)


def relink_positions(*, account_id: int, batch_id: int, roots: Mapping[int, int]) -> int:
    """Moves the current deals of positions to the positions they turned out to belong to; returns their number.

    A file that tells more of a chain of partial closes may show that two positions are one. Only the link changes, so
    the revision keeps the moment of its content.
    """
    if not roots:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            _RELINK,
            {
                "account": account_id,
                "batch": batch_id,
                "old": list(roots.keys()),
                "new": list(roots.values()),
                "now": clock.now(),
            },
        )
        return int(cursor.rowcount)


def _remove_repetitions(staged: int) -> int:
    """Counts a row that was sent twice once, and refuses one that was sent with two meanings; returns what is left."""
    with connection.cursor() as cursor:
        cursor.execute(_CONTRADICTION)
        if contradiction := cursor.fetchone():
            raise InvalidInput(
                f"Ticket {contradiction[0]} stands in the batch twice with different figures.",
                field="ticket",
                value=contradiction[0],
            )
        cursor.execute(_REMOVE_REPETITIONS)
        return staged - int(cursor.rowcount)
