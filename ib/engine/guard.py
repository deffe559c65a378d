"""The guard of a plan in SQL: all payouts of a trade together stay below a share of its revenue (`ib.rules.guard`).

Only a card with a guarded plan asks for it. What stands for itself goes first; what is valued in the order of trades shares
what that leaves of the revenue.
"""

# ruff: noqa: S608 -- the SQL is built from constants of the engine
from __future__ import annotations

from ib.rules.guard import KEPT_DECIMALS, RATIO_DECIMALS

PRECISION = 40
"""Places of a quotient before it is rounded."""

COLUMNS = """, guard.maximum_share_of_revenue AS guard_share, trade.profit_currency, trade.currency AS account_currency,
               (economics.spread_entry_money + economics.spread_exit_money) / 2 AS guard_spread,
               economics.platform_commission AS guard_commission"""
"""What the guard needs of `measured`: the version's share, and the trade's revenue in the money that it came in."""

JOIN = "\n    LEFT JOIN ib_planversion AS guard ON guard.id = terms.version_id"

REVENUE_COLUMNS = """, measured.guard_share, measured.reward_digits,
           measured.guard_spread * of_symbol.rate + measured.guard_commission * of_account.rate AS revenue"""
REVENUE_JOINS = """
    LEFT JOIN fx AS of_symbol ON of_symbol.day = measured.business_day
     AND of_symbol.rate_currency = measured.profit_currency AND of_symbol.reward_currency = measured.reward_currency
    LEFT JOIN fx AS of_account ON of_account.day = measured.business_day
     AND of_account.rate_currency = measured.account_currency AND of_account.reward_currency = measured.reward_currency
"""


def _bounded(select: str) -> str:
    """A target's rows with what the narrowest guard of the plans that pay the trade leaves each of them (`guard_left`)."""
    return f"""
        SELECT shared.*, CASE
            WHEN share IS NULL OR unknown > 0 THEN NULL
            WHEN without > 0 THEN CASE WHEN target > 0 THEN 0 END
            WHEN ratio > share * 0.01 THEN trunc(round(round(target * share * 0.01, {PRECISION}) / ratio, {KEPT_DECIMALS}),
                                                 reward_digits::integer)
            END AS guard_left
        FROM (
            SELECT valued.*, min(guard_share) OVER same_trade AS share,
                   count(*) FILTER (WHERE revenue IS NULL) OVER same_trade AS unknown,
                   count(*) FILTER (WHERE revenue <= 0) OVER same_trade AS without,
                   sum(round(round(target, {PRECISION}) / nullif(revenue, 0), {RATIO_DECIMALS})) OVER same_trade AS ratio
            FROM ({select}) AS valued
            WINDOW same_trade AS (PARTITION BY valued.trade_id)
        ) AS shared
    """


def guarded(select: str, *, apart: bool = False) -> str:
    """A target's select, cut down where a trade would pay more than the narrowest guard of the plans that pay it.

    *apart*: the select also has the entries that are valued in the trades' order (`is_ordered`), with a target of zero:
    their guards bind here too, and what is left is theirs (`rooms`).
    """
    return f"""
    SELECT partner_id, trade_id, part, day, card_entry_id, rule_id, level, path, quantity, factor, rate, rate_currency,
           tier_before, coalesce(guard_left, cap_left) AS cap_left, fx_rate, fx_date, currency,
           least(target, guard_left) AS target
    FROM ({_bounded(select)}) AS bounded
    {"WHERE NOT is_ordered" if apart else ""}
    """


def rooms(select: str) -> str:
    """For every guarded entry that is valued in the trades' order: (trade, partner, part, share in percent, which part of the
    revenue the other lines of the trade took, the revenue in the reward's money or NULL where it is not known)."""
    return f"""
    SELECT trade_id, partner_id, part, share, taken, CASE WHEN unknown = 0 THEN revenue END
    FROM (
        SELECT bounded.*, sum(CASE WHEN is_ordered THEN 0 ELSE
                   round(round(least(target, guard_left), {PRECISION}) / nullif(revenue, 0), {RATIO_DECIMALS}) END)
                   OVER (PARTITION BY trade_id) AS taken
        FROM ({_bounded(select)}) AS bounded
    ) AS kept
    WHERE is_ordered AND share IS NOT NULL
    ORDER BY trade_id, partner_id, part
    """
