"""What closed trades were worth to the house, for any number of them at once; `rules.economics` is the same for one.

`trade_economics_select` gives a SELECT that another statement may join by `trade_id`. Every join in it keeps all the
trades (LEFT JOIN) and is by equality, with time as a residual filter only: no estimate of the planner falls to one row,
and a statement over 100,000 trades is joined by hashing. A figure whose data is lacking is NULL with its reason.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this module and from the caller's own text
from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import fields
from enum import StrEnum

from django.db import connection

from platform_ops.rules.economics import MODES_WITHOUT_UNITS, MONEY_DECIMALS, Missing, TradeEconomics


class Part(StrEnum):
    """A group of figures that costs a join of its own. What needs only the trade and its symbol is always there."""

    CLOSE_BY = "close_by"
    MARKET = "market"
    COMMISSION = "commission"
    ACCOUNT_NOTIONAL = "account_notional"


EVERYTHING = frozenset(Part)

_PRECISION = 40
"""Places of a quotient before it is rounded, so that a half is recognised as one."""

_UNITLESS = ", ".join(str(mode.value) for mode in sorted(MODES_WITHOUT_UNITS))

# The symbol's terms at the closing. `coalesce` tells the planner nothing about the range, which is better than what it
# believes of one. A group's own terms change none of the fields that a figure depends on.
_PLACED = """
placed AS MATERIALIZED (
    SELECT t.id, t.server_id, t.ticket, t.leg, t.account_id, t.position_ticket, t.side, t.volume_lots, t.opened_at,
           t.closed_at, t.open_price, t.close_price, t.commission, t.currency AS account_currency, t.business_day,
           symbol.id AS symbol_id, symbol.base_asset, symbol.profit_currency,
           spec.id AS specification_id, spec.digits, spec.pip_size, spec.calculation_mode, spec.contract_size,
           spec.tick_size, spec.tick_value, spec.face_value
      FROM platform_ops_trade AS t
      LEFT JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
      LEFT JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
      LEFT JOIN platform_ops_symbolspec AS spec
        ON spec.symbol_id = symbol.id AND coalesce(spec.validity @> t.closed_at, false)
     WHERE {scope}
)"""

# What opened the trades of MT5 positions. Where one deal did, its figures are the opening's; any other position is
# walked, deal by deal, with the average of what is held, as its price is.
_OPENED = f"""
position AS MATERIALIZED (
    SELECT DISTINCT account_id, position_ticket FROM placed WHERE leg = 0 AND position_ticket <> 0
),
deal AS MATERIALIZED (
    SELECT deal.server_id, deal.account_id, deal.position_ticket, deal.ticket, deal.leg, deal.kind, deal.entry, deal.at,
           deal.price, deal.commission, deal.volume_lots, CASE WHEN deal.kind IN (0, 13) THEN 1 ELSE -1 END AS direction
      FROM position
      JOIN platform_ops_currentdeal AS deal USING (account_id, position_ticket)
     WHERE deal.kind IN (0, 1, 13, 14) AND deal.entry IS NOT NULL
),
opened AS MATERIALIZED (
    SELECT account_id, position_ticket, min(server_id) AS server_id, min(ticket) FILTER (WHERE entry = 0 AND kind < 2) AS ticket,
           min(leg) FILTER (WHERE entry = 0 AND kind < 2) AS leg, min(at) FILTER (WHERE entry = 0 AND kind < 2) AS at,
           min(direction) FILTER (WHERE entry = 0 AND kind < 2) AS direction, min(price) FILTER (WHERE entry = 0 AND kind < 2) AS price,
           sum(volume_lots) FILTER (WHERE entry = 0 AND kind < 2) AS volume_lots,
           sum(commission) FILTER (WHERE entry = 0 AND kind < 2) AS commission,
           count(*) FILTER (WHERE entry = 0 AND kind < 2) <> 1 -- a cancelled reversal too closes no more than was held
               OR bool_or(entry = 2)
               OR coalesce(sum(volume_lots) FILTER (WHERE entry IN (1, 3) AND kind < 2), 0)
                  > sum(volume_lots) FILTER (WHERE entry = 0 AND kind < 2) AS is_walked
      FROM deal
     GROUP BY account_id, position_ticket
),
walked AS MATERIALIZED (
    SELECT server_id, ticket, leg, entry, volume_lots, (by_commission).volume AS held,
           (by_commission).price AS commission_per_lot, (by_spread).price AS spread, (by_markup).price AS markup
      FROM (
        SELECT deal.server_id, deal.ticket, deal.leg, deal.entry, deal.volume_lots,
               platform_position_walk(deal.entry, CASE WHEN deal.kind > 1 THEN 0 ELSE deal.direction * deal.volume_lots END,
                   round(deal.commission, {_PRECISION}) / nullif(deal.volume_lots, 0), deal.at) OVER earlier
                   AS by_commission,
               platform_position_walk(deal.entry, CASE WHEN deal.kind > 1 THEN 0 ELSE deal.direction * deal.volume_lots END,
                   CASE WHEN market.ask >= market.bid THEN round(market.ask - market.bid, {_PRECISION}) END, deal.at)
                   OVER earlier AS by_spread,
               platform_position_walk(deal.entry, CASE WHEN deal.kind > 1 THEN 0 ELSE deal.direction * deal.volume_lots END,
                   round(deal.direction * (deal.price - market.gateway_price), {_PRECISION}), deal.at) OVER earlier
                   AS by_markup
          FROM deal
          LEFT JOIN platform_ops_currentdealmarket AS market
            ON market.server_id = deal.server_id AND market.ticket = deal.ticket AND market.leg = deal.leg
         -- Inside `coalesce` the planner can only look it up in a hash, whatever it believes of two tables just made.
         WHERE coalesce((deal.account_id, deal.position_ticket) IN
                        (SELECT account_id, position_ticket FROM opened WHERE is_walked), false)
        WINDOW earlier AS (PARTITION BY deal.account_id, deal.position_ticket ORDER BY deal.at, deal.ticket, deal.leg
                           ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
      ) AS walking
)"""

# By which deal a trade was opened, if by one: an MT4 ticket by its own first leg, an MT5 position by its only opening.
_OPENED_BY_ONE = """
      LEFT JOIN opened
        ON placed.leg = 0 AND opened.account_id = placed.account_id AND opened.position_ticket = placed.position_ticket
       AND placed.position_ticket <> 0 AND NOT opened.is_walked AND opened.direction = placed.side
       AND opened.volume_lots > 0 AND opened.volume_lots >= placed.volume_lots
       AND (opened.at, opened.ticket, opened.leg) < (placed.closed_at, placed.ticket, placed.leg)
      LEFT JOIN walked
        ON walked.server_id = placed.server_id AND walked.ticket = placed.ticket AND walked.leg = placed.leg
       AND placed.leg = 0 AND walked.held * placed.side > 0 AND abs(walked.held) >= placed.volume_lots
"""
_MARKETS = """
      LEFT JOIN platform_ops_currentdealmarket AS entry_market
        ON entry_market.server_id = placed.server_id
       AND entry_market.ticket = CASE placed.leg WHEN 1 THEN placed.ticket ELSE opened.ticket END
       AND entry_market.leg = CASE placed.leg WHEN 1 THEN 0 ELSE opened.leg END
       AND (placed.leg = 0 OR placed.volume_lots > 0)
      LEFT JOIN platform_ops_currentdealmarket AS exit_market
        ON exit_market.server_id = placed.server_id AND exit_market.ticket = placed.ticket
       AND exit_market.leg = placed.leg
"""
_CLOSED_BY = """
      LEFT JOIN (
        SELECT deal.server_id, deal.ticket, deal.leg FROM platform_ops_currentdeal AS deal
         WHERE deal.entry = 3 OR (deal.comment::text ~* '(close hedge by #|partial close)' AND deal.leg = 1)
      ) AS closed_by
        ON closed_by.server_id = placed.server_id AND closed_by.ticket = placed.ticket AND closed_by.leg = placed.leg
"""

# A rate is looked up once for each day and pair of currencies, not once a trade.
_FX = """
crossed AS MATERIALIZED (
    SELECT business_day, profit_currency, account_currency, fx_cross(business_day, profit_currency, account_currency) AS rate
      FROM (
        SELECT DISTINCT business_day, profit_currency, account_currency FROM placed
         WHERE specification_id IS NOT NULL AND profit_currency <> account_currency
      ) AS pair
)"""
_CROSSED = """
      LEFT JOIN crossed
        ON crossed.business_day = placed.business_day AND crossed.profit_currency = placed.profit_currency
       AND crossed.account_currency = placed.account_currency
"""


def _worth(distance: str) -> str:
    return (
        "platform_move_value(placed.calculation_mode, placed.contract_size, placed.tick_size, placed.tick_value, "
        f"placed.face_value, {distance}, placed.volume_lots)"
    )


def _reason(missing: Missing, *figures: str) -> str:
    """A reason's column: why there are no terms, else the reason where one of the figures is NULL."""
    lacking = " OR ".join(f"{figure} IS NULL" for figure in figures)
    return f"CASE WHEN {_TERMS_REASON} IS NOT NULL THEN {_TERMS_REASON} WHEN {lacking} THEN '{missing.value}' END"


_TERMS_REASON = (
    f"CASE WHEN placed.symbol_id IS NULL THEN '{Missing.SYMBOL.value}' "
    f"WHEN placed.specification_id IS NULL THEN '{Missing.SPECIFICATION.value}' END"
)
_IF_TERMS = "CASE WHEN placed.specification_id IS NOT NULL THEN {} END"
_POINT = "(10::numeric ^ (-placed.digits::integer))"
_POINTS = f"round((placed.close_price - placed.open_price) * placed.side * 10::numeric ^ placed.digits::integer, {MONEY_DECIMALS})"
_ENTRY = "coalesce(walked.spread, CASE WHEN entry_market.ask >= entry_market.bid THEN entry_market.ask - entry_market.bid END)"
_EXIT = "CASE WHEN exit_market.ask >= exit_market.bid THEN exit_market.ask - exit_market.bid END"
_ENTRY_MARKUP = (
    "coalesce(walked.markup, placed.side * (CASE placed.leg WHEN 1 THEN placed.open_price ELSE opened.price END"
    " - entry_market.gateway_price))"
)
_EXIT_MARKUP = "placed.side * (exit_market.gateway_price - placed.close_price)"
_COMMISSION = f"""
    CASE
        WHEN placed.leg = 1 THEN placed.commission
        WHEN walked.held IS NOT NULL THEN
            CASE WHEN walked.volume_lots = placed.volume_lots THEN placed.commission
                 ELSE round(placed.commission * placed.volume_lots, {_PRECISION}) / walked.volume_lots END
            + walked.commission_per_lot * placed.volume_lots
        WHEN opened.ticket IS NOT NULL THEN
            placed.commission
            + round(opened.commission * placed.volume_lots, {_PRECISION}) / nullif(opened.volume_lots, 0)
    END"""
_UNITS = "round(placed.volume_lots * placed.contract_size, 12)"
_NOTIONAL_ACCOUNT = f"""
    CASE WHEN placed.base_asset = placed.account_currency AND placed.calculation_mode NOT IN ({_UNITLESS}) THEN {_UNITS}
         WHEN placed.profit_currency = placed.account_currency THEN {_worth("placed.close_price")}
         ELSE round({_worth("placed.close_price")} * crossed.rate, {MONEY_DECIMALS}) END"""

_BASE = {
    "trade_id": "placed.id",
    "account_currency": "placed.account_currency",
    "profit_currency": _IF_TERMS.format("placed.profit_currency"),
    "base_asset": _IF_TERMS.format("placed.base_asset"),
    "terms_reason": _TERMS_REASON,
    "pip_points": f"round(placed.pip_size * 10::numeric ^ placed.digits::integer, {MONEY_DECIMALS})",
    "point_value": _worth(_POINT),
    "points": _POINTS,
    "points_reason": _reason(Missing.OPENING_PRICE, "placed.open_price"),
    "hold_seconds": "extract(epoch FROM placed.closed_at - placed.opened_at)",
    "notional_base": _UNITS,
    "notional_profit": _worth("placed.close_price"),
}
_BY_PART: dict[Part, dict[str, str]] = {
    Part.CLOSE_BY: {"is_close_by": "closed_by.ticket IS NOT NULL"},
    Part.MARKET: {
        "spread_entry_points": f"round({_ENTRY} * 10::numeric ^ placed.digits::integer, {MONEY_DECIMALS})",
        "spread_entry_money": _worth(_ENTRY),
        "spread_entry_reason": _reason(Missing.MARKET_PRICE, _ENTRY),
        "spread_exit_points": f"round({_EXIT} * 10::numeric ^ placed.digits::integer, {MONEY_DECIMALS})",
        "spread_exit_money": _worth(_EXIT),
        "spread_exit_reason": _reason(Missing.MARKET_PRICE, _EXIT),
        "markup_entry_money": _worth(_ENTRY_MARKUP),
        "markup_exit_money": _worth(_EXIT_MARKUP),
        "markup_money": f"{_worth(_ENTRY_MARKUP)} + {_worth(_EXIT_MARKUP)}",
        "markup_reason": _reason(Missing.GATEWAY_PRICE, _ENTRY_MARKUP, _EXIT_MARKUP),
    },
    Part.COMMISSION: {
        "platform_commission": f"round(-({_COMMISSION}), {MONEY_DECIMALS})",
        "commission_reason": f"CASE WHEN ({_COMMISSION}) IS NULL THEN '{Missing.OPENING.value}' END",
    },
    Part.ACCOUNT_NOTIONAL: {
        "notional_account": _IF_TERMS.format(_NOTIONAL_ACCOUNT),
        "notional_reason": _reason(Missing.RATE, _NOTIONAL_ACCOUNT),
    },
}


def trade_economics_select(scope: str, *, parts: Collection[Part] = EVERYTHING) -> str:
    """A SELECT of the figures of every trade that *scope* holds for, one row each; join it by `trade_id`.

    *scope* is a condition on `platform_ops_trade AS t`, with its parameters in the caller's hands. Columns are those of
    `TradeEconomics` with `trade_id` before them; those of a part that is not asked for are left out, and cost nothing.
    """
    columns = dict(_BASE)
    for part in Part:
        if part in parts:
            columns |= _BY_PART[part]
    needs_opening = Part.MARKET in parts or Part.COMMISSION in parts
    tables = [_PLACED.format(scope=scope)]
    joins = ""
    if needs_opening:
        tables.append(_OPENED)
        joins += _OPENED_BY_ONE
    if Part.MARKET in parts:
        joins += _MARKETS
    if Part.CLOSE_BY in parts:
        joins += _CLOSED_BY
    if Part.ACCOUNT_NOTIONAL in parts:
        tables.append(_FX)
        joins += _CROSSED
    shown = ",\n           ".join(f"{expression} AS {name}" for name, expression in columns.items())
    return f"WITH {','.join(tables)}\n    SELECT {shown}\n      FROM placed{joins}"


def platform_trade_economics(*, trade_ids: Iterable[int]) -> dict[int, TradeEconomics]:
    """The figures of some trades, by the trade's id; unknown trades are left out."""
    names = [field.name for field in fields(TradeEconomics)]
    select = trade_economics_select("t.id = ANY(%(trade_ids)s)")
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT trade_id, {', '.join(names)} FROM ({select}) AS economics", {"trade_ids": list(trade_ids)}
        )
        return {row[0]: _economics(dict(zip(names, row[1:], strict=True))) for row in cursor.fetchall()}


def _economics(values: dict[str, object]) -> TradeEconomics:
    for name, value in values.items():
        if name.endswith("_reason") and value is not None:
            values[name] = Missing(str(value))
    return TradeEconomics(**values)  # type: ignore[arg-type]
