"""The one target: what every (trade, partner) is worth by the rate card, the referrals and the reference rates.

Settlement books target minus booked; the proof compares the two; previews read the target without writing. All of them
build their statement here, so no second copy of the rule exists in SQL. `ib.rules` has the same arithmetic for one
line, to explain it. This module writes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from ib.engine.fx import FX_TABLE, PRODUCT_DECIMALS


@dataclass(frozen=True, slots=True)
class Scope:
    """Which trades (`t`) are valued and which booked lines (`l`) they are compared with; both named by parameters."""

    trades: str
    booked: str
    days: tuple[date, ...]
    parameters: dict[str, Any] = field(default_factory=dict)


def scope_of_day(day: date, *, held: Sequence[int] = ()) -> Scope:
    """Every trade of a business day, against everything booked for that day; without the trades that are set aside."""
    if not held:
        return Scope("t.business_day = %(day)s", "l.day = %(day)s", (day,), {"day": day})
    return Scope(
        "t.business_day = %(day)s AND NOT t.id = ANY(%(held)s)",
        "l.day = %(day)s AND NOT l.trade_id = ANY(%(held)s)",
        (day,),
        {"day": day, "held": list(held)},
    )


def narrowed(scope: Scope, trade_ids: Sequence[int]) -> Scope:
    """The part of a scope that concerns these trades."""
    return Scope(
        f"({scope.trades}) AND t.id = ANY(%(only)s)",
        f"({scope.booked}) AND l.trade_id = ANY(%(only)s)",
        scope.days,
        {**scope.parameters, "only": list(trade_ids)},
    )


def scope_of_trades(*, trade_ids: Sequence[int], days: Sequence[date]) -> Scope:
    """Some trades, against what was booked for them on any of the days on which they have ever closed."""
    return Scope(
        "t.id = ANY(%(trade_ids)s)",
        "l.day = ANY(%(days)s) AND l.trade_id = ANY(%(trade_ids)s)",
        tuple(days),
        {"trade_ids": list(trade_ids)},
    )


def scope_of_new_trades(*, batch_id: int, except_ids: Sequence[int], days: Sequence[date]) -> Scope:
    """The trades of an ingest batch, save the named ones, of which nothing can have been booked."""
    return Scope(
        "t.batch_id = %(batch_id)s AND NOT t.id = ANY(%(except_ids)s::bigint[])",
        "false",
        tuple(days),
        {"batch_id": batch_id, "except_ids": list(except_ids)},
    )


def parameters_of(scope: Scope, currency_pairs: Sequence[Sequence[str]]) -> dict[str, Any]:
    """The parameters of a statement built for the scope: its own, its days and the pairs of the rate card."""
    return {
        **scope.parameters,
        "days": list(scope.days),
        "rate_currencies": [pair[0] for pair in currency_pairs],
        "reward_currencies": [pair[1] for pair in currency_pairs],
    }


# Which direct partner and symbol group a trade belongs to. OFFSET 0 keeps the planner from mixing this with the card: it
# would join the card by partner alone first, and carry a dozen groups too many.
def _placed_trades(scope: Scope) -> str:
    return f"""
    (SELECT t.id, t.business_day, t.closed_at, t.volume_lots, referral.partner_id, symbol.group_id
     FROM platform_ops_trade AS t
     JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
     JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
     JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
     JOIN ib_clientreferral AS referral
       ON referral.client_id = account.client_id AND referral.validity @> t.closed_at
     WHERE NOT t.is_cancelled AND NOT account.is_demo AND {scope.trades}
     OFFSET 0)
    """  # noqa: S608 - own text


RATE_CARD = "ib_ratecardentry"


def trades_on_the_card(scope: Scope, *, card: str = RATE_CARD) -> str:
    """FROM clause: the scope's trades (`trade`) with every entry of the card that values them (`card`).

    *card* names the table of the entries: the rate card itself, or one that a preview compiled for a set-up that is only
    proposed.

    The join is by equality; time is only a residual filter, because three range conditions in one query make the planner
    expect a single row. Who is paid, at which level and by which rule was compiled beforehand.
    """
    return f"""
    FROM {_placed_trades(scope)} AS trade
    JOIN {card} AS card
      ON card.is_current
     AND card.direct_partner_id = trade.partner_id
     AND card.symbol_group_id = trade.group_id
     AND (card.valid_from IS NULL OR card.valid_from <= trade.closed_at)
     AND (card.valid_to IS NULL OR trade.closed_at < card.valid_to)
    """


CONVERSION = """
      ON fx.day = trade.business_day
     AND fx.rate_currency = card.rate_currency
     AND fx.reward_currency = card.reward_currency
"""


def target_select(scope: Scope, *, card: str = RATE_CARD) -> str:
    """The target of every (trade, partner) of the scope; the statement must define `fx` (see `FX_TABLE`).

    OFFSET 0 has the card joined before the rates: by the day alone every trade would meet every pair of currencies first.
    """
    return f"""
    SELECT valued.beneficiary_id AS partner_id, valued.trade_id, valued.business_day AS day,
           valued.card_entry_id, valued.rule_id, valued.level, valued.path,
           valued.volume_lots AS quantity, valued.rate, valued.rate_currency,
           fx.rate AS fx_rate, fx.rate_day AS fx_date, valued.reward_currency AS currency,
           round(round(valued.volume_lots * valued.rate * fx.rate, {PRODUCT_DECIMALS}),
                 valued.reward_digits::integer) AS target
    FROM (
        SELECT trade.id AS trade_id, trade.business_day, trade.volume_lots, card.id AS card_entry_id,
               card.beneficiary_id, card.rule_id, card.level, card.path, card.rate, card.rate_currency,
               card.reward_currency, card.reward_digits
        {trades_on_the_card(scope, card=card)}
        OFFSET 0
    ) AS valued
    JOIN fx
      ON fx.day = valued.business_day
     AND fx.rate_currency = valued.rate_currency
     AND fx.reward_currency = valued.reward_currency
    """  # noqa: S608 - own text


def new_lines_select(scope: Scope) -> str:
    """The first lines of trades of which nothing was booked: the whole target at seq 0."""
    return f"""
    WITH {FX_TABLE}
    SELECT partner_id, trade_id, 0 AS seq, day, card_entry_id, rule_id, level, quantity, rate,
           rate_currency, fx_rate, fx_date, target, target AS amount, currency
    FROM ({target_select(scope)}) AS target
    """  # noqa: S608 - own text


def difference_select(scope: Scope) -> str:
    """Target minus booked for the scope: one row for each (trade, partner) whose amount or reason is not as booked.

    An unchanged reason is: same rule, level, tree path, volume, rate and conversion. The identity of the card entry is
    no reason by itself: an entry gets a successor whenever its validity is cut, which changes nothing for the past.
    """
    return f"""
    WITH {FX_TABLE},
    target AS MATERIALIZED ({target_select(scope)}),
    booked AS MATERIALIZED (
        SELECT DISTINCT ON (l.partner_id, l.trade_id, l.day)
               l.partner_id, l.trade_id, l.day, l.seq, l.level, l.rule_id, l.card_entry_id, l.quantity,
               l.rate, l.rate_currency, l.fx_rate, l.currency,
               sum(l.amount) OVER (PARTITION BY l.partner_id, l.trade_id, l.day) AS amount
        FROM ib_commissionline AS l
        WHERE {scope.booked}
        ORDER BY l.partner_id, l.trade_id, l.day, l.seq DESC
    )
    SELECT coalesce(target.partner_id, booked.partner_id) AS partner_id,
           coalesce(target.trade_id, booked.trade_id) AS trade_id,
           coalesce(booked.seq + 1, 0) AS seq,
           coalesce(target.day, booked.day) AS day,
           target.card_entry_id, target.rule_id,
           coalesce(target.level, booked.level) AS level,
           coalesce(target.quantity, 0) AS quantity,
           coalesce(target.rate, 0) AS rate,
           coalesce(target.rate_currency, booked.rate_currency) AS rate_currency,
           coalesce(target.fx_rate, 1) AS fx_rate, target.fx_date,
           coalesce(target.target, 0) AS target,
           coalesce(target.target, 0) - coalesce(booked.amount, 0) AS amount,
           coalesce(target.currency, booked.currency) AS currency
    FROM target
    FULL JOIN booked
      ON booked.partner_id = target.partner_id AND booked.trade_id = target.trade_id AND booked.day = target.day
    LEFT JOIN ib_ratecardentry AS booked_card ON booked_card.id = booked.card_entry_id
    WHERE booked.partner_id IS NULL
       OR coalesce(target.target, 0) <> booked.amount
       OR (target.rule_id, target.level, target.path, target.quantity, target.rate, target.rate_currency,
           target.fx_rate)
          IS DISTINCT FROM
          (booked.rule_id, CASE WHEN booked.rule_id IS NOT NULL THEN booked.level END, booked_card.path,
           CASE WHEN booked.rule_id IS NOT NULL THEN booked.quantity END,
           CASE WHEN booked.rule_id IS NOT NULL THEN booked.rate END,
           CASE WHEN booked.rule_id IS NOT NULL THEN booked.rate_currency END,
           CASE WHEN booked.rule_id IS NOT NULL THEN booked.fx_rate END)
    """  # noqa: S608 - own text
