"""Trades that are valued in their order: which they are, what their tiers look at, and the comparison with the books.

What is worth what is decided by `ib.rules.ordered`; the trades come from the engine's one statement.
"""

# ruff: noqa: S608 -- the SQL is built from constants of the engine and of the platform's
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection

from backoffice.kernel.currency import Currency
from ib.engine.card.building import CardFacts
from ib.engine.fx import FX_TABLE, RATE_DECIMALS
from ib.engine.period_facts import PLACED
from ib.engine.target import (
    CONVERSION,
    RATE_CARD,
    STAGE_TWO,
    Scope,
    compared,
    measured_select,
    parameters_of,
    scope_of_trades,
    target_select,
)
from ib.models import PlanRule, TradePeriodMark
from ib.rules.amounts import Rounding
from ib.rules.ordered import OrderedTrade, Valued
from platform_ops.selectors.rates import crossed_rates_select
from platform_ops.selectors.trade_economics import Part, trade_economics_select


@dataclass(frozen=True, slots=True)
class Candidate:
    """A trade that an entry values by the period: its trade, if it counts, what of it is stored, and why it does not count."""

    key: tuple[int, int]
    day: date
    ordered: OrderedTrade | None
    exclusion: str
    card_entry_id: int
    rule_id: int | None
    level: int
    path: list[int]
    rate_currency: str
    fx_date: date | None
    currency: str


GUARD = "guard"
"""The cause of a mark that comes of another partner's month."""


def next_month(period: date) -> date:
    """The first day of the following month."""
    return date(period.year + period.month // 12, period.month % 12 + 1, 1)


def month_of(day: date) -> date:
    """The period that a business day belongs to."""
    return day.replace(day=1)


# Whose clients the beneficiaries are paid for by the period; the trades of nobody else are looked at. As an array it is
# found once: the planner would look through the card again for every trade.
_SCOPE = """
t.business_day >= %(first)s AND t.business_day < %(end)s AND NOT t.id = ANY(%(held)s::bigint[])
AND t.account_id = ANY(ARRAY(
    SELECT DISTINCT reached.id FROM {card} AS entry
    JOIN ib_clientreferral AS introduced ON introduced.partner_id = abs(entry.direct_partner_id)
    JOIN platform_ops_tradingaccount AS reached ON reached.client_id = introduced.client_id
    WHERE entry.beneficiary_id = ANY(%(beneficiaries)s) AND entry.is_current AND entry.needs_period))
"""
_MORE = """, card.terms_rule_id, trade.client_id, trade.real_symbol_id, trade.side, trade.volume_lots, trade.closed_at,
               trade.server_id, trade.ticket, trade.leg"""


def days_of_period(period: date) -> list[date]:
    """Every calendar day of the month."""
    return [period + timedelta(days=number) for number in range((next_month(period) - period).days)]


def days_with_trades(period: date) -> list[date]:
    """The days of the month on which a trade was closed."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT wanted.day FROM unnest(%s::date[]) AS wanted(day)"
            " WHERE EXISTS (SELECT 1 FROM platform_ops_trade AS t WHERE t.business_day = wanted.day) ORDER BY 1",
            [days_of_period(period)],
        )
        return [row[0] for row in cursor.fetchall()]


def scope_of_period(*, partner_ids: Sequence[int], period: date, held: Sequence[int], card: str = RATE_CARD) -> Scope:
    """The trades of a month that may pay the partners by the period."""
    parameters = {"first": period, "end": next_month(period), "beneficiaries": list(partner_ids), "held": list(held)}
    return Scope(_SCOPE.format(card=card), "false", tuple(days_with_trades(period)), parameters)


# Only the days and pairs that occur are converted: a month has many, and few of them are a partner's.
_NEEDED_FX = crossed_rates_select(
    days="(SELECT array_agg(DISTINCT business_day) FROM measured)",
    given="(SELECT array_agg(rate_currency) FROM pair_of_measured)",
    into="(SELECT array_agg(reward_currency) FROM pair_of_measured)",
)


def candidates(
    *, partner_ids: Sequence[int], period: date, facts: CardFacts, held: Sequence[int] = (), card: str = RATE_CARD
) -> dict[int, list[Candidate]]:
    """By partner, every trade of the month that an entry values for them by the period."""
    scope = scope_of_period(partner_ids=partner_ids, period=period, held=held, card=card)
    stage = f"{STAGE_TWO} AND card.beneficiary_id = ANY(%(beneficiaries)s)"
    sql = f"""
    WITH measured AS MATERIALIZED ({measured_select(scope, facts, card=card, stage=stage, more=_MORE)}),
    pair_of_measured AS (SELECT DISTINCT rate_currency, reward_currency FROM measured),
    fx AS MATERIALIZED (
        SELECT crossed.day, crossed.rate_currency, crossed.reward_currency, crossed.rate_day,
               round(crossed.rate, {RATE_DECIMALS}) AS rate
        FROM ({_NEEDED_FX}) AS crossed WHERE crossed.rate > 0
    )
    SELECT measured.trade_id, measured.part, measured.business_day, measured.closed_at, measured.client_id,
           measured.real_symbol_id, measured.side, measured.volume_lots, measured.terms_rule_id, measured.rule_id,
           measured.basis, measured.quantity, measured.factor, measured.rate, measured.rate_currency, measured.level,
           measured.path, measured.card_entry_id, measured.reward_currency, measured.reward_digits,
           measured.rounding_mode, measured.rounding_stage, measured.exclusion, fx.rate, fx.rate_day,
           measured.beneficiary_id, measured.server_id, measured.ticket, measured.leg
    FROM measured LEFT JOIN fx {CONVERSION}
    """
    found: dict[int, list[Candidate]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters_of(scope, facts))
        for row in cursor.fetchall():
            found[row[25]].append(_candidate(row))
    return found


def _candidate(row: tuple[Any, ...]) -> Candidate:
    exclusion = row[22] or ("" if row[23] is not None else "missing_rate")
    ordered = None
    if not exclusion:
        ordered = OrderedTrade(
            trade_id=row[0],
            part=row[1],
            day=row[2],
            closed_at=row[3],
            client_id=row[4],
            symbol_id=row[5],
            side=row[6],
            lots=row[7],
            terms_rule_id=row[8],
            own_rate=row[8] == row[9],
            basis=row[10],
            quantity=row[11],
            factor=row[12],
            rate=row[13],
            fx_rate=row[23],
            rate_digits=Currency.of(row[14]).digits,
            rounding=Rounding(row[19], row[20], row[21]),
            ticket=row[26:29],
        )
    return Candidate(
        key=(row[0], row[1]),
        day=row[2],
        ordered=ordered,
        exclusion=exclusion,
        rate_currency=row[14],
        level=row[15],
        path=row[16],
        card_entry_id=row[17],
        currency=row[18],
        rule_id=row[9],
        fx_date=row[24],
    )


@dataclass(frozen=True, slots=True)
class Room:
    """What a guard leaves of a trade to an entry that is valued in the trades' order: at most `share` percent of the revenue,
    of which the other lines took the part `taken`. `revenue` is in the reward's money, None where it is not known."""

    trade_id: int
    partner_id: int
    part: int
    share: Decimal
    taken: Decimal
    revenue: Decimal | None


def rooms_of(*, trades: dict[int, date], facts: CardFacts, card: str = RATE_CARD) -> list[Room]:
    """What guards leave of these trades (with their days), for everybody whom entries in the trades' order pay."""
    if not trades or not facts.has("guard"):
        return []
    scope = scope_of_trades(trade_ids=sorted(trades), days=sorted(set(trades.values())))
    sql = f"WITH {FX_TABLE} SELECT * FROM ({target_select(scope, facts, card=card, is_room=True)}) AS room"
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters_of(scope, facts))
        return [
            Room(trade_id, partner_id, part, share, taken or Decimal(0), revenue)
            for trade_id, partner_id, part, share, taken, revenue in cursor.fetchall()
        ]


def mark_company(*, partner_ids: Iterable[int], period: date) -> None:
    """Marks whoever shares guarded trades with a partner whose month was valued. Such a mark alone marks nobody further."""
    TradePeriodMark.objects.bulk_create(
        [TradePeriodMark(partner_id=partner_id, period=period, cause=GUARD) for partner_id in sorted(partner_ids)]
    )


_MEASURED = """
WITH RECURSIVE {placed},
trade AS MATERIALIZED (
    SELECT t.id, placed.client_id, placed.level, t.business_day, t.closed_at, t.volume_lots, t.currency,
           t.server_id, t.ticket, t.leg
    FROM placed
    JOIN platform_ops_tradingaccount AS account ON account.client_id = placed.client_id AND NOT account.is_demo
    JOIN platform_ops_trade AS t ON t.account_id = account.id AND placed.validity @> t.closed_at
    WHERE NOT t.is_cancelled AND t.volume_lots > 0 AND t.business_day >= %(first)s AND t.business_day < %(end)s
)
SELECT trade.id, trade.client_id, trade.level, trade.business_day, trade.closed_at, trade.volume_lots, trade.currency,
       {notional} AS notional
FROM trade {economics}
ORDER BY trade.closed_at, trade.server_id, trade.ticket, trade.leg
"""


@dataclass(frozen=True, slots=True)
class MeasuredTrade:
    """A trade of a client at or below the partner, for tiers to look at."""

    trade_id: int
    client_id: int
    level: int
    day: date
    lots: Decimal
    currency: str
    notional: Decimal | None


def measured_trades(*, partner_id: int, period: date, with_notional: bool) -> list[MeasuredTrade]:
    """Every trade of the month of the partner's clients and of everybody's below, in order."""
    economics = trade_economics_select("t.id IN (SELECT trade.id FROM trade)", parts=[Part.ACCOUNT_NOTIONAL])
    sql = _MEASURED.format(
        placed=PLACED,
        notional="economics.notional_account" if with_notional else "NULL::numeric",
        economics=f"LEFT JOIN ({economics}) AS economics ON economics.trade_id = trade.id" if with_notional else "",
    )
    parameters = {"partner": partner_id, "clients": None, "first": period, "end": next_month(period)}
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return [MeasuredTrade(row[0], row[1], row[2], row[3], row[5], row[6], row[7]) for row in cursor.fetchall()]


# What was booked for a trade counts for the rule that values it now: what takes it back, or corrects it, names another rule
# or none.
_PAID_BEFORE = """
SELECT entry.terms_rule_id, account.client_id, sum(line.amount)
FROM (
    SELECT DISTINCT ON (booked.trade_id, booked.part, booked.day) booked.trade_id, booked.card_entry_id,
           sum(booked.amount) OVER (PARTITION BY booked.trade_id, booked.part, booked.day) AS amount
    FROM ib_commissionline AS booked
    WHERE booked.partner_id = %s AND booked.day < %s
    ORDER BY booked.trade_id, booked.part, booked.day, booked.seq DESC
) AS line
JOIN ib_ratecardentry AS entry ON entry.id = line.card_entry_id AND entry.terms_rule_id = ANY(%s)
JOIN platform_ops_trade AS t ON t.id = line.trade_id
JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
GROUP BY 1, 2
"""


def paid_before(*, partner_id: int, period: date, rule_ids: Sequence[int]) -> dict[tuple[int, int], Decimal]:
    """By rule and client, what was booked for earlier months."""
    if not rule_ids:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_PAID_BEFORE, [partner_id, period, list(rule_ids)])
        return {(rule_id, client_id): amount for rule_id, client_id, amount in cursor.fetchall()}


_CREATE = """
DROP TABLE IF EXISTS ib_ordered_target;
CREATE TEMP TABLE ib_ordered_target (
    partner_id bigint, trade_id bigint, part smallint, day date, card_entry_id bigint, rule_id bigint, level smallint,
    path bigint[], quantity numeric(36, 12), factor numeric(24, 12), rate numeric(38, 24), rate_currency text,
    tier_before numeric(36, 12), cap_left numeric(24, 8), fx_rate numeric, fx_date date, currency text, target numeric
) ON COMMIT DROP
"""
_WIDTH = 18


def difference_of(*, partner_id: int, period: date, found: Sequence[Candidate], valued: Iterable[Valued]) -> str:
    """A select of what is to be booked for the candidates; writes their targets into a table of this transaction.

    What is excluded, or was paid on another day before, has no target, and what was booked of it is taken back.
    """
    by_key = {(item.trade.trade_id, item.trade.part): item for item in valued}
    with connection.cursor() as cursor:
        cursor.execute(_CREATE)
        for start in range(0, len(found), 1_000):
            rows = [_row(partner_id, item, by_key.get(item.key)) for item in found[start : start + 1_000]]
            places = ", ".join(["(" + ", ".join(["%s"] * _WIDTH) + ")"] * len(rows))
            cursor.execute(f"INSERT INTO ib_ordered_target VALUES {places}", [value for row in rows for value in row])
        cursor.execute("ANALYZE ib_ordered_target")
    booked = f"""l.partner_id = {int(partner_id)} AND l.day >= '{period}' AND l.day < '{next_month(period)}'
        AND EXISTS (SELECT 1 FROM ib_ordered_target AS own
                    WHERE own.trade_id = l.trade_id AND own.part = l.part AND own.day = l.day)"""
    return compared("", "SELECT * FROM ib_ordered_target WHERE target IS NOT NULL", booked)


def _row(partner_id: int, item: Candidate, valued: Valued | None) -> list[Any]:
    key = [partner_id, item.key[0], item.key[1], item.day]
    if valued is None or valued.exclusion:
        return [*key, *[None] * (_WIDTH - len(key))]
    return [
        *key,
        item.card_entry_id,
        item.rule_id,
        item.level,
        item.path,
        valued.trade.quantity,
        valued.factor,
        valued.rate,
        item.rate_currency,
        valued.tier_before,
        valued.cap_left,
        valued.trade.fx_rate,
        item.fx_date,
        item.currency,
        valued.target,
    ]


# Who has to be looked at after trades of a scope were settled: everybody whom entries by the period pay for the clients of
# those trades, whoever was paid for them so far, and whoever has tiers by what a team does and stands, or ever stood, above
# (also by an edge that was taken back). What looks at the month before, or at a client's whole time, concerns later months
# too.
_CONCERNED = """
    SELECT reach.beneficiary_id AS partner_id, date_trunc('month', t.business_day)::date AS period
    FROM platform_ops_trade AS t
    JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
    JOIN ib_clientreferral AS referral ON referral.client_id = account.client_id
    JOIN (SELECT DISTINCT abs(direct_partner_id) AS direct_partner_id, beneficiary_id
          FROM ib_ratecardentry WHERE is_current AND needs_period) AS reach
      ON reach.direct_partner_id = referral.partner_id
    WHERE {trades}
    UNION
    SELECT l.partner_id, date_trunc('month', l.day)::date
    FROM ib_commissionline AS l JOIN ib_ratecardentry AS entry ON entry.id = l.card_entry_id AND entry.needs_period
    WHERE {booked}
"""
_TEAMS = """
    UNION
    SELECT above.partner_id, above.period FROM (
        WITH RECURSIVE edge AS (
            SELECT child_id, parent_id FROM ib_partneredge UNION SELECT child_id, parent_id FROM ib_partneredgeversion
        ), above AS (
            SELECT DISTINCT referral.partner_id, date_trunc('month', t.business_day)::date AS period
            FROM platform_ops_trade AS t
            JOIN platform_ops_tradingaccount AS account ON account.id = t.account_id
            JOIN ib_clientreferral AS referral ON referral.client_id = account.client_id
            WHERE {trades}
            UNION
            SELECT edge.parent_id, above.period FROM above JOIN edge ON edge.child_id = above.partner_id
        ) SELECT * FROM above
    ) AS above
    WHERE above.partner_id IN (
        SELECT entry.beneficiary_id FROM ib_ratecardentry AS entry JOIN ib_planrule AS rule ON rule.id = entry.terms_rule_id
        WHERE entry.is_current AND entry.needs_period AND rule.tier_scope = 'team')
"""
_MARK = """
INSERT INTO ib_tradeperiodmark (partner_id, period, cause)
SELECT DISTINCT due.partner_id, later.period::date, %(cause)s
FROM ({concerned}) AS due
CROSS JOIN LATERAL generate_series(due.period, least(greatest(due.period, (
    SELECT date_trunc('month', max(business_day))::date FROM platform_ops_trade)), due.period + %(later)s * interval '1 month'),
    interval '1 month') AS later(period)
RETURNING partner_id, period
"""
ALL_LATER = 1_200


_MARK_DEPOSITS = """
WITH RECURSIVE edge AS (
    SELECT child_id, parent_id FROM ib_partneredge UNION SELECT child_id, parent_id FROM ib_partneredgeversion
), above AS (
    SELECT partner_id FROM ib_clientreferral WHERE client_id = %(client)s
    UNION
    SELECT edge.parent_id FROM above JOIN edge ON edge.child_id = above.partner_id
)
INSERT INTO ib_tradeperiodmark (partner_id, period, cause)
SELECT DISTINCT entry.beneficiary_id,
       (%(period)s::date + (rule.tier_window = 'prior')::int * interval '1 month')::date, %(cause)s
FROM ib_ratecardentry AS entry
JOIN ib_planrule AS rule ON rule.id = entry.terms_rule_id AND rule.tier_measure = 'deposits'
WHERE entry.is_current AND entry.needs_period AND entry.beneficiary_id IN (SELECT partner_id FROM above)
"""


def mark_deposits(*, client_id: int, day: date, cause: str) -> int:
    """Marks the months whose tiers look at what a client paid in or took back on a day; how many."""
    if not PlanRule.objects.filter(tier_measure="deposits").exists():
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_MARK_DEPOSITS, {"client": client_id, "period": month_of(day), "cause": cause[:80]})
        return int(cursor.rowcount)


_MARK_DEPOSITS_OF_DAYS = """
INSERT INTO ib_tradeperiodmark (partner_id, period, cause)
SELECT DISTINCT entry.beneficiary_id,
       (told.period + (rule.tier_window = 'prior')::int * interval '1 month')::date, %(cause)s
FROM ib_ratecardentry AS entry
JOIN ib_planrule AS rule ON rule.id = entry.terms_rule_id AND rule.tier_measure = 'deposits'
CROSS JOIN (SELECT DISTINCT date_trunc('month', event.day)::date AS period FROM ib_clientevent AS event
            WHERE event.day BETWEEN %(first)s AND %(last)s) AS told
WHERE entry.is_current AND entry.needs_period
"""


def mark_deposits_of_days(*, first: date, last: date, cause: str) -> int:
    """Marks the months whose tiers look at what any client paid in on days of a range; how many."""
    if not PlanRule.objects.filter(tier_measure="deposits").exists():
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_MARK_DEPOSITS_OF_DAYS, {"first": first, "last": last, "cause": cause[:80]})
        return int(cursor.rowcount)


def _concerned(scope: Scope, facts: CardFacts) -> str:
    return (_CONCERNED + (_TEAMS if facts.has("team") else "")).format(trades=scope.trades, booked=scope.booked)


def concerned_partners(scope: Scope, facts: CardFacts) -> list[int]:
    """Whom trades of the scope may pay in their order, or were booked to so far, and whose tiers they move."""
    if not facts.has("periods"):
        return []
    sql = f"SELECT DISTINCT due.partner_id FROM ({_concerned(scope, facts)}) AS due ORDER BY 1"
    with connection.cursor() as cursor:
        cursor.execute(sql, {"days": list(scope.days), **scope.parameters})
        return [row[0] for row in cursor.fetchall()]


def mark_periods(scope: Scope, facts: CardFacts, *, cause: str) -> int:
    """Marks the partners' months that trades of the scope concern; how many."""
    if not facts.has("periods"):
        return 0
    later = ALL_LATER if facts.has("lifetime") else 1 if facts.has("prior") else 0
    with connection.cursor() as cursor:
        cursor.execute(
            _MARK.format(concerned=_concerned(scope, facts)),
            {"days": list(scope.days), **scope.parameters, "cause": cause[:80], "later": later},
        )
        return len(cursor.fetchall())
