"""The one target: what every (trade, partner, part of a plan) is worth by the rate card, the referrals and the rates.

Settlement books target minus booked; the proof compares the two; previews read the target without writing. All of them
build their statement here, so no second copy of the rule exists in SQL. `ib.rules` has the same arithmetic for one
line, to explain it. This module writes nothing.
"""

# ruff: noqa: S608 -- the SQL is built from constants of the engine and of the platform's
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from backoffice.kernel.currency import Currency
from ib.engine import guard
from ib.engine.card.building import OF_THE_WHOLE_CARD, CardFacts
from ib.engine.fx import FX_TABLE
from ib.engine.measures import FIGURE_PREFIX, Measures, measures_of, of_the_trade
from ib.rules.amounts import PRODUCT_DECIMALS, SHARES


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


def scope_of_few_new_trades(*, batch_id: int, trade_ids: Sequence[int], days: Sequence[date]) -> Scope:
    """As `scope_of_new_trades`, with the trades by name: a plan that is made once for all batches expects few of them."""
    return Scope(
        "t.id = ANY(%(trade_ids)s) AND t.batch_id = %(batch_id)s",
        "false",
        tuple(days),
        {"batch_id": batch_id, "trade_ids": list(trade_ids)},
    )


def parameters_of(scope: Scope, facts: CardFacts) -> dict[str, Any]:
    """The parameters of a statement built for the scope: its own, its days and the conversions of the rate card."""
    return {
        **scope.parameters,
        "days": list(scope.days),
        "rate_currencies": [pair[0] for pair in facts.pairs],
        "reward_currencies": [pair[1] for pair in facts.pairs],
        "rate_digits": [Currency.of(pair[0]).digits for pair in facts.pairs],
        "named_symbols": list(facts.symbols),
    }


# Which direct partner, symbols and accounts a trade belongs to. OFFSET 0 keeps the planner from mixing this with the card:
# it would join the card by partner alone first, and carry a dozen groups too many.
def _placed_trades(scope: Scope, facts: CardFacts, measures: Measures) -> str:
    direct, joins = "referral.partner_id", ""
    if facts.has("own"):
        direct = "CASE WHEN own.id IS NULL THEN referral.partner_id ELSE -referral.partner_id END"
        joins += """
     LEFT JOIN ib_partner AS own
       ON own.id = referral.partner_id AND own.client_id = account.client_id AND own.kind <> 'trader'"""
    account_class = "0::bigint"
    if facts.has("classes"):
        account_class = "coalesce(span.account_class_id, 0)"
        joins += """
     LEFT JOIN ib_accountclassspan AS span
       ON span.account_id = account.id AND coalesce(span.validity @> t.closed_at, false)"""
    symbol = "0::bigint"
    if facts.has("symbols"):
        symbol = "CASE WHEN symbol.id = ANY(%(named_symbols)s::bigint[]) THEN symbol.id ELSE 0 END"
    placed = f"""
    (SELECT t.id, t.business_day, t.closed_at, t.volume_lots, {direct} AS partner_id, symbol.group_id,
            {symbol} AS symbol_id, {account_class} AS account_class_id{measures.trade_columns}
     FROM platform_ops_trade AS t
     JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
     JOIN platform_ops_serversymbol AS server_symbol ON server_symbol.id = t.server_symbol_id
     JOIN platform_ops_symbol AS symbol ON symbol.id = server_symbol.symbol_id
     JOIN ib_clientreferral AS referral
       ON referral.client_id = account.client_id AND referral.validity @> t.closed_at{joins}
     WHERE NOT t.is_cancelled AND t.volume_lots > 0 AND NOT account.is_demo AND {scope.trades}
     OFFSET 0)
    """
    if not measures.used:
        return placed
    # The figures join here, and not behind the card: a trade has one row of them and five entries.
    figures = ", ".join(f"economics.{name} AS {FIGURE_PREFIX}{name}" for name in measures.used)
    return f"""
    (SELECT placed.*, {figures} FROM {placed} AS placed
     LEFT JOIN ({measures.figures}) AS economics ON economics.trade_id = placed.id
     OFFSET 0)
    """


RATE_CARD = "ib_ratecardentry"
STAGE_ONE, STAGE_TWO, BOTH = "AND NOT card.needs_period", "AND card.needs_period", ""


def _of_stage(facts: CardFacts, stage: str) -> CardFacts:
    """What the entries of a stage ask for; a card that nobody asked by stage asks for everything."""
    return facts if stage == BOTH else facts.of_stage(ordered=stage.startswith(STAGE_TWO))


def trades_on_the_card(
    scope: Scope, facts: CardFacts, measures: Measures, *, card: str = RATE_CARD, stage: str = BOTH
) -> str:
    """FROM clause: the scope's trades (`trade`) with every entry of the card that values them (`card`).

    *card* names the table of the entries: the rate card itself, or one that a preview compiled for a set-up that is only
    proposed.

    The join is by equality; time is only a residual filter, because three range conditions in one query make the planner
    expect a single row. Who is paid, at which level and by which rule was compiled beforehand.
    """
    keys = ""
    if facts.has("symbols"):
        keys += " AND card.symbol_id = trade.symbol_id"
    if facts.has("classes"):
        keys += " AND card.account_class_id = trade.account_class_id"
    else:
        keys += " AND card.account_class_id = 0"
    return f"""
    FROM {_placed_trades(scope, facts, measures)} AS trade
    JOIN {card} AS card
      ON card.direct_partner_id = trade.partner_id AND card.symbol_group_id = trade.group_id{keys}
     AND card.is_current {stage if facts.has("periods") else ""}
     AND (card.valid_from IS NULL OR card.valid_from <= trade.closed_at)
     AND (card.valid_to IS NULL OR trade.closed_at < card.valid_to)
    """


CONVERSION = """
      ON fx.day = measured.business_day
     AND fx.rate_currency = measured.rate_currency
     AND fx.reward_currency = measured.reward_currency
"""


def measured_select(scope: Scope, facts: CardFacts, *, card: str = RATE_CARD, stage: str = BOTH, more: str = "") -> str:
    """Every (trade, entry of the card) of the scope with its quantity, or the reason why it is excluded. OFFSET 0 has the
    card joined before the rates: by the day alone every trade would meet every pair of currencies first.

    *more* are further columns of `trade`, `card` and `terms` that the caller needs.
    """
    measures = measures_of(_of_stage(facts, stage), scope.trades, wants_terms=bool(more))
    return f"""
        SELECT trade.id AS trade_id, trade.business_day, card.id AS card_entry_id, card.beneficiary_id, card.rule_id,
               card.level, card.path, card.part, card.rate, card.basis, card.reward_currency, card.reward_digits,
               card.rounding_mode, card.rounding_stage, card.needs_period, {measures.currency} AS rate_currency,
               {measures.quantity} AS quantity, {measures.factor} AS factor, {measures.order_cap} AS cap_left,
               {measures.exclusion} AS exclusion{of_the_trade(more)}
        {trades_on_the_card(scope, facts, measures, card=card, stage=stage)}
        {measures.joins}
        OFFSET 0
    """


def target_select(
    scope: Scope, facts: CardFacts, *, card: str = RATE_CARD, stage: str = STAGE_ONE, is_room: bool = False
) -> str:
    """The target of every (trade, partner, part) of the scope; the statement must define `fx` (see `FX_TABLE`).

    What is excluded has no target. *is_room*: what guards leave to what is valued in the trades' order (`guard.rooms`).
    """
    # Guards of what is valued in the trades' order bind the other lines of a trade too.
    is_spanned = _is_spanned(facts, stage)
    stage = BOTH if is_spanned else stage
    whole, facts = facts, _of_stage(facts, stage)
    product = "measured.quantity * measured.rate"
    if facts.has("weights", "news", "credit"):
        product += " * coalesce(measured.factor, 1)"
    if facts.has("shares"):
        product += f" * CASE WHEN measured.basis IN ({SHARE_LIST}) THEN 0.01 ELSE 1 END"
    if facts.has("steps"):
        inner = rounded(product, "fx.rate_digits", facts)
        product = f"CASE measured.rounding_stage WHEN 'step' THEN {inner} ELSE {product} END"
    target = rounded(f"{product} * fx.rate", "measured.reward_digits::integer", facts)
    if facts.has("order_caps"):
        target = f"least({target}, measured.cap_left)"
    excluded = "WHERE measured.exclusion IS NULL" if facts.traits - OF_THE_WHOLE_CARD else ""
    of_guard, columns, joins = "", "", ""
    if facts.has("guard"):
        of_guard, columns, joins = guard.COLUMNS, guard.REVENUE_COLUMNS, guard.REVENUE_JOINS
    if is_spanned:
        target = f"CASE WHEN measured.needs_period THEN 0 ELSE {target} END"
        columns += ", measured.needs_period AS is_ordered"
    select = f"""
    SELECT measured.beneficiary_id AS partner_id, measured.trade_id, measured.part, measured.business_day AS day,
           measured.card_entry_id, measured.rule_id, measured.level, measured.path, measured.quantity, measured.factor,
           measured.rate, measured.rate_currency, NULL::numeric AS tier_before, measured.cap_left,
           fx.rate AS fx_rate, fx.rate_day AS fx_date, measured.reward_currency AS currency, {target} AS target{columns}
    FROM ({measured_select(scope, whole, card=card, stage=stage, more=of_guard)}) AS measured
    JOIN fx {CONVERSION}{joins}
    {excluded}
    """
    if is_room:
        return guard.rooms(select)
    return guard.guarded(select, apart=is_spanned) if facts.has("guard") else select


def _is_spanned(facts: CardFacts, stage: str) -> bool:
    return stage == STAGE_ONE and facts.has("guard") and facts.has("periods")


SHARE_LIST = ", ".join(f"'{basis}'" for basis in sorted(SHARES))


def rounded(expression: str, digits: str, facts: CardFacts) -> str:
    """Kept to 18 places, then rounded: half away from zero unless some plan wants it otherwise."""
    if facts.has("modes"):
        return f"ib_round({expression}, {digits}, measured.rounding_mode)"
    return f"round(round({expression}, {PRODUCT_DECIMALS}), {digits})"


_TARGET_COLUMNS = (
    "partner_id, trade_id, part, day, card_entry_id, rule_id, level, quantity, factor, rate, rate_currency, tier_before,"
    " cap_left, fx_rate, fx_date, currency"
)


def new_lines_select(scope: Scope, facts: CardFacts) -> str:
    """The first lines of trades of which nothing was booked: the whole target at seq 0."""
    return f"""
    WITH {FX_TABLE}
    SELECT {_TARGET_COLUMNS}, 0 AS seq, target, target AS amount
    FROM ({target_select(scope, facts)}) AS target
    """


def difference_select(scope: Scope, facts: CardFacts) -> str:
    """Target minus booked for the scope: one row for each (trade, partner, part) whose amount or reason is not as booked.

    What trades earn by the period is not compared here (see `ib.engine.periods`); what no rule pays any more is.
    """
    condition = scope.booked
    owned = ""
    if facts.has("periods"):
        measures = measures_of(CardFacts(), scope.trades)
        trades = trades_on_the_card(scope, facts, measures, stage=STAGE_TWO)
        owned = f"""
    owned AS MATERIALIZED (SELECT card.beneficiary_id AS partner_id, trade.id AS trade_id, card.part {trades}),"""
        # NOT IN is looked up in a hash; an anti join would be a nested one, for the planner expects a single row of these.
        condition = f"""({scope.booked}) AND (l.partner_id, l.trade_id, l.part) NOT IN (
            SELECT owned.partner_id, owned.trade_id, owned.part FROM owned)"""
    return compared(f"{FX_TABLE},{owned}", f"SELECT * FROM ({target_select(scope, facts)}) AS valued", condition)


def compared(before: str, target: str, booked: str) -> str:
    """Rows of a target that differ from the booked lines `l` that the condition names, and what is to be booked for them.

    An unchanged reason is: same rule, level, tree path, quantity, factor, rate, tier, cap and conversion. The identity of
    the card entry is no reason by itself: an entry gets a successor whenever its validity is cut, which changes nothing
    for the past.
    """
    of_entry = ", ".join(
        f"CASE WHEN booked.card_entry_id IS NOT NULL THEN booked.{name} END"
        for name in ("level", "quantity", "rate", "rate_currency", "fx_rate")
    )
    return f"""
    WITH {before}
    target AS MATERIALIZED ({target}),
    booked AS MATERIALIZED (
        SELECT DISTINCT ON (l.partner_id, l.trade_id, l.part, l.day)
               l.partner_id, l.trade_id, l.part, l.day, l.seq, l.level, l.rule_id, l.card_entry_id, l.quantity, l.factor,
               l.rate, l.rate_currency, l.tier_before, l.cap_left, l.fx_rate, l.currency,
               sum(l.amount) OVER (PARTITION BY l.partner_id, l.trade_id, l.part, l.day) AS amount
        FROM ib_commissionline AS l
        WHERE {booked}
        ORDER BY l.partner_id, l.trade_id, l.part, l.day, l.seq DESC
    )
    SELECT coalesce(target.partner_id, booked.partner_id) AS partner_id,
           coalesce(target.trade_id, booked.trade_id) AS trade_id,
           coalesce(target.part, booked.part) AS part,
           coalesce(booked.seq + 1, 0) AS seq,
           coalesce(target.day, booked.day) AS day,
           target.card_entry_id, target.rule_id,
           coalesce(target.level, booked.level) AS level,
           coalesce(target.quantity, 0) AS quantity, target.factor,
           coalesce(target.rate, 0) AS rate,
           coalesce(target.rate_currency, booked.rate_currency) AS rate_currency,
           target.tier_before, target.cap_left,
           coalesce(target.fx_rate, 1) AS fx_rate, target.fx_date,
           coalesce(target.target, 0) AS target,
           coalesce(target.target, 0) - coalesce(booked.amount, 0) AS amount,
           coalesce(target.currency, booked.currency) AS currency
    FROM target
    FULL JOIN booked
      ON booked.partner_id = target.partner_id AND booked.trade_id = target.trade_id AND booked.part = target.part
     AND booked.day = target.day
    LEFT JOIN ib_ratecardentry AS booked_card ON booked_card.id = booked.card_entry_id
    WHERE booked.partner_id IS NULL
       OR coalesce(target.target, 0) <> booked.amount
       OR (target.rule_id, target.path, target.factor, target.tier_before, target.cap_left, target.level, target.quantity,
           target.rate, target.rate_currency, target.fx_rate)
          IS DISTINCT FROM
          (booked.rule_id, booked_card.path, booked.factor, booked.tier_before, booked.cap_left, {of_entry})
    """
