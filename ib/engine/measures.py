"""What a rule measures of a trade, and why a trade does not count: columns of the target's statement.

Only what the card's entries ask for is joined: a broker who pays per lot joins nothing. A quantity whose data is lacking
is NULL with a reason, never zero.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ib.engine import guard
from ib.engine.card.building import OF_THE_WHOLE_CARD, CardFacts
from ib.rules.amounts import QUANTITY_DECIMALS
from platform_ops.selectors.trade_economics import Part, trade_economics_select

_HALF = "economics.spread_exit_points"
_CAPPED_ENTRY = "least(economics.spread_entry_points, terms.spread_cap_points)"
_CAPPED_EXIT = f"least({_HALF}, terms.spread_cap_points)"
_SPREAD = f"""CASE WHEN terms.spread_sides = 'half_half'
                     THEN economics.point_value * CASE WHEN economics.spread_entry_points IS NOT NULL AND {_HALF} IS NOT NULL
                          THEN ({_CAPPED_ENTRY} + {_CAPPED_EXIT}) / 2 END
                     ELSE economics.point_value * CASE WHEN economics.spread_entry_points IS NOT NULL
                          THEN {_CAPPED_ENTRY} END END"""
_SPREAD_REASON = """coalesce(economics.spread_entry_reason,
                    CASE WHEN terms.spread_sides = 'half_half' THEN economics.spread_exit_reason END)"""

_QUANTITIES = {
    "points_basis": ("points", "economics.point_value", "economics.terms_reason"),
    "spread": ("spread_share", _SPREAD, _SPREAD_REASON),
    "markup": ("markup_share", "economics.markup_money", "economics.markup_reason"),
    "commission": ("platform_commission_share", "economics.platform_commission", "economics.commission_reason"),
    "notional": ("notional_per_million", "economics.notional_account / 1000000", "economics.notional_reason"),
    "profit": ("client_profit_share", "trade.profit", "NULL"),
}

# What was on the account after the trade, by its own deals and operations. Credit is no money of the client's.
_BALANCES = """
    LEFT JOIN (
        SELECT t.id AS trade_id, sum(deal.profit + deal.swap + deal.commission + deal.fee) AS equity,
               coalesce(sum(deal.profit) FILTER (WHERE deal.kind = 3), 0) AS credit
        FROM platform_ops_trade AS t
        JOIN platform_ops_currentdeal AS deal
          ON deal.account_id = t.account_id AND (deal.at, deal.ticket, deal.leg) <= (t.closed_at, t.ticket, t.leg)
        WHERE {scope}
        GROUP BY t.id
    ) AS balances ON balances.trade_id = trade.id
"""
_CREDIT = f"""CASE WHEN balances.equity > 0
              THEN greatest(round((balances.equity - balances.credit) / balances.equity, {QUANTITY_DECIMALS}), 0) ELSE 0 END"""


_FIGURE = re.compile(r"economics\.(\w+)")
FIGURE_PREFIX = "figure_"
"""What the trade's column of a figure begins with: the trade has columns of the same names."""


@dataclass(frozen=True, slots=True)
class Measures:
    """Pieces of the statement: further columns of the trade, joins after the card, and the columns that come of them.

    `figures` is the select of the trades' economics of which the columns in `used` are asked for; '' when none is.
    """

    trade_columns: str = ""
    figures: str = ""
    used: tuple[str, ...] = ()
    joins: str = ""
    quantity: str = "trade.volume_lots"
    currency: str = "card.rate_currency"
    factor: str = "NULL::numeric"
    order_cap: str = "NULL::numeric"
    exclusion: str = "NULL::text"


def measures_of(facts: CardFacts, scope: str, *, wants_terms: bool = False) -> Measures:
    """The pieces for a card of these traits; *scope* is the condition on the trades `t`."""
    if not wants_terms and not (facts.traits - OF_THE_WHOLE_CARD - {"steps", "modes"}):
        return Measures()
    joins = ""
    if facts.has("terms", "spread", "guard") or wants_terms:
        joins += "\n    LEFT JOIN ib_planrule AS terms ON terms.id = card.terms_rule_id"
    if facts.has("guard"):
        joins += guard.JOIN
    if facts.has("balances"):
        joins += _BALANCES.format(scope=scope)
    used = _used_figures(facts)
    return Measures(
        trade_columns=", t.side, t.profit, t.currency, t.opened_at, account.client_id, symbol.id AS real_symbol_id,"
        " symbol.profit_currency" + (", t.server_id, t.ticket, t.leg" if wants_terms else ""),
        figures=_figures(facts, scope, used) if used else "",
        used=used,
        joins=joins,
        quantity=of_the_trade(_quantity(facts)),
        currency=_currency(facts),
        factor=of_the_trade(_factor(facts)),
        order_cap="terms.cap_per_order" if facts.has("order_caps") else "NULL::numeric",
        exclusion=of_the_trade(_exclusion(facts)),
    )


def of_the_trade(expression: str) -> str:
    """The expression with the figures where they are joined: at the trade, before it meets the entries of the card."""
    return _FIGURE.sub(rf"trade.{FIGURE_PREFIX}\1", expression)


def _used_figures(facts: CardFacts) -> tuple[str, ...]:
    of_guard = guard.COLUMNS if facts.has("guard") else ""
    return tuple(sorted({*_FIGURE.findall(_quantity(facts) + _factor(facts) + _exclusion(facts) + of_guard)}))


def _figures(facts: CardFacts, scope: str, used: tuple[str, ...]) -> str:
    parts: set[Part] = set()
    if facts.has("spread", "markup", "news", "guard"):
        parts.add(Part.MARKET)
    if facts.has("commission", "guard"):
        parts.add(Part.COMMISSION)
    if facts.has("notional"):
        parts.add(Part.ACCOUNT_NOTIONAL)
    if facts.has("close_by"):
        parts.add(Part.CLOSE_BY)
    # As a table of their own the figures are worked out once for each trade; otherwise once more for every row they are
    # compared with. Only those that are used are.
    return f"""
        WITH figures AS MATERIALIZED (
            SELECT {", ".join(("trade_id", *used))} FROM ({trade_economics_select(scope, parts=parts)}) AS figure
        ) SELECT * FROM figures"""  # noqa: S608 - built of the platform's and own text


def _quantity(facts: CardFacts) -> str:
    cases = [
        f"WHEN '{basis}' THEN round({quantity}, {QUANTITY_DECIMALS})"
        for trait, (basis, quantity, _) in _QUANTITIES.items()
        if facts.has(trait)
    ]
    return f"CASE card.basis {' '.join(cases)} ELSE trade.volume_lots END" if cases else "trade.volume_lots"


def _currency(facts: CardFacts) -> str:
    if not facts.has("money"):
        return "card.rate_currency"
    return """CASE WHEN card.rate_currency <> '' THEN card.rate_currency
               WHEN card.basis IN ('platform_commission_share', 'client_profit_share', 'notional_per_million')
               THEN trade.currency ELSE trade.profit_currency END"""


def _factor(facts: CardFacts) -> str:
    factors = ["card.weight"] if facts.has("weights") else []
    if facts.has("news"):
        factors.append(
            "CASE WHEN economics.spread_entry_points > terms.average_spread_points"
            f" THEN round(terms.average_spread_points / economics.spread_entry_points, {QUANTITY_DECIMALS}) ELSE 1 END"
        )
    if facts.has("credit"):
        factors.append(f"CASE WHEN terms.uses_credit_coefficient THEN {_CREDIT} ELSE 1 END")
    return f"nullif(round({' * '.join(factors)}, {QUANTITY_DECIMALS}), 1)" if factors else "NULL::numeric"


def _exclusion(facts: CardFacts) -> str:
    cases = []
    if facts.has("close_by"):
        cases.append("WHEN economics.is_close_by AND NOT terms.pays_close_by THEN 'closed_by'")
    if facts.has("terms"):
        held = "extract(epoch FROM trade.closed_at - trade.opened_at)"
        cases += [
            "WHEN trade.opened_at IS NULL AND coalesce(terms.minimum_hold_seconds, terms.maximum_hold_seconds) IS NOT NULL"
            " THEN 'hold_unknown'",
            f"WHEN {held} < terms.minimum_hold_seconds THEN 'held_too_short'",
            f"WHEN {held} > terms.maximum_hold_seconds THEN 'held_too_long'",
            "WHEN trade.volume_lots < terms.minimum_lots THEN 'too_few_lots'",
            "WHEN terms.side = 'buy' AND trade.side < 0 OR terms.side = 'sell' AND trade.side > 0 THEN 'other_side'",
            "WHEN terms.only_profitable AND trade.profit <= 0 THEN 'not_profitable'",
        ]
    if facts.has("points"):
        cases += [
            "WHEN terms.minimum_points IS NOT NULL AND economics.points IS NULL THEN economics.points_reason",
            "WHEN abs(economics.points) < terms.minimum_points THEN 'too_few_points'",
        ]
    if facts.has("profit"):
        cases.append("WHEN card.basis = 'client_profit_share' AND trade.profit <= 0 THEN 'not_profitable'")
    if facts.has("balances"):
        cases.append("WHEN NOT terms.pays_negative_balance AND balances.equity < 0 THEN 'negative_balance'")
    for trait, (basis, quantity, reason) in _QUANTITIES.items():
        if facts.has(trait):
            lacking = f"coalesce({reason}, 'no_market_price')"
            cases.append(f"WHEN card.basis = '{basis}' AND ({quantity}) IS NULL THEN {lacking}")
            cases.append(f"WHEN card.basis = '{basis}' AND ({quantity}) <= 0 THEN 'nothing_to_share'")
    return f"CASE {' '.join(cases)} END" if cases else "NULL::text"
