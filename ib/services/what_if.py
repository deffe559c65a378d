"""What a change of the set-up would do to the partners: the engine's own target function, on a rate card compiled for the
set-up as it would be. Everything is tried out in savepoints that are rolled back; nothing of it is ever committed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal

from django.db import connection

from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, day_bounds, previous_business_day
from ib.engine import booking
from ib.engine.card.building import Built, CardFacts, build_card
from ib.engine.fx import FX_TABLE
from ib.engine.ordered import month_of
from ib.engine.target import Scope, parameters_of, target_select
from ib.rules.periods import period_of, previous_period
from ib.services import ordered, quarantine
from ib.services.period_targets import end_of
from ib.services.period_trials import try_periods
from ib.services.settlement import MAXIMUM_DAYS, days_to_settle
from ib.services.trying import Change, Sums, undone

PREVIEW_BUSINESS_DAYS = 20
"""How many of the last business days a set-up is tried on."""

PREVIEW_PARTNERS = 300
"""How many partners a preview settles by the period while somebody waits; more are for a study."""

_CARD_NOW, _CARD_THEN = "ib_what_if_now", "ib_what_if_then"

# Only (direct partner, group) pairs whose entries differ are valued: the rest is paid the same.
_CHANGED_PAIRS = f"""
CREATE TEMP TABLE ib_what_if_pairs ON COMMIT DROP AS
SELECT DISTINCT direct_partner_id, symbol_group_id FROM (
    SELECT now.direct_partner_id, now.symbol_group_id FROM {_CARD_NOW} AS now
    WHERE NOT EXISTS (SELECT 1 FROM {_CARD_THEN} AS other WHERE other.content_key = now.content_key)
    UNION ALL
    SELECT proposed.direct_partner_id, proposed.symbol_group_id FROM {_CARD_THEN} AS proposed
    WHERE NOT EXISTS (SELECT 1 FROM {_CARD_NOW} AS other WHERE other.content_key = proposed.content_key)
) AS differing
"""  # noqa: S608 - built of constants only

_ALL_PAIRS = f"""
CREATE TEMP TABLE ib_what_if_pairs ON COMMIT DROP AS
SELECT DISTINCT direct_partner_id, symbol_group_id FROM {_CARD_NOW}
"""  # noqa: S608 - built of constants only

_TRADES = """
t.business_day = ANY(%(days)s::date[]) AND NOT t.id = ANY(%(held)s::bigint[]) AND t.account_id IN (
    SELECT concerned.id FROM ib_clientreferral AS introduced
    JOIN platform_ops_tradingaccount AS concerned ON concerned.client_id = introduced.client_id
    WHERE introduced.partner_id IN (SELECT abs(direct_partner_id) FROM ib_what_if_pairs))
"""


@dataclass(frozen=True, slots=True)
class PartnerEffect:
    """What a partner earns on a month's trades now and would earn then; the month is named by its first day."""

    partner_id: int
    currency: str
    month: date
    now: Decimal
    then: Decimal

    @property
    def difference(self) -> Decimal:
        """Gained (above zero) or lost."""
        return self.then - self.now


@dataclass(frozen=True, slots=True)
class WhatIf:
    """A proposed set-up tried on the last business days, and what it books again when it begins in the past.

    Both by partner and month. `left_out` partners earn by the period what was too much to value here.
    """

    days: int
    first_day: date
    effects: list[PartnerEffect] = field(default_factory=list)
    booked_again: list[PartnerEffect] = field(default_factory=list)
    days_again: int = 0
    left_out: int = 0


def compare_set_ups(*, change: Change, valid_from: datetime) -> WhatIf:
    """Tries the change out: as if it had been valid for the last business days, and from *valid_from* as it is meant.

    What is earned by the period is tried on the last month that is over.
    """
    days = _last_business_days(PREVIEW_BUSINESS_DAYS)
    begin = day_bounds(days[0])[0]
    past = _days_since(valid_from)
    with undone():
        now = _compile(_CARD_NOW).facts
        effects = _effects(change, min(begin, valid_from), days, now)
        again = _effects(change, valid_from, past, now) if past else []
    current = period_of(clock.today_business_day())
    over = previous_period(current)
    left_out, of_month = _by_period(change, min(end_of(previous_period(over)), valid_from), over, over)
    first = period_of(business_day_of(valid_from))
    if first <= current and valid_from <= clock.now():
        _, since = _by_period(change, valid_from, first, current)
        again += since
    return WhatIf(
        days=len(days),
        first_day=days[0],
        effects=effects + of_month,
        booked_again=_changed(again),
        days_again=len(past),
        left_out=left_out,
    )


def _by_period(change: Change, moment: datetime, first: date, last: date) -> tuple[int, list[PartnerEffect]]:
    """How many were too many to value, and what the months would pay by the period, where that is not what is booked."""
    trial = try_periods(
        entity_id=None, change=change, moment=moment, from_period=first, to_period=last, at_most=PREVIEW_PARTNERS
    )
    keys = sorted({*trial.booked, *trial.then})
    return trial.left_out, _changed([PartnerEffect(*key, trial.booked[key], trial.then[key]) for key in keys])


def try_on_days(*, change: Change, moment: datetime, days: Sequence[date]) -> list[PartnerEffect]:
    """What the trades of the days pay now and would pay, if the change had been valid from the moment on.

    Only what the change touches is valued: a partner who is not named is paid the same.
    """
    with undone():
        return _effects(change, moment, days, _compile(_CARD_NOW).facts)


def value_days(*, days: Sequence[date]) -> Sums:
    """What the set-up as it is makes of the days' trades, by partner, currency and month: the whole target, not a look at the
    books. Trades that are set aside are left out."""
    with undone():
        facts = _compile(_CARD_NOW).facts
        with connection.cursor() as cursor:
            cursor.execute(_ALL_PAIRS)
            for table in (_CARD_NOW, "ib_what_if_pairs"):
                cursor.execute(f"ANALYZE {table}")
        sums = defaultdict(
            Decimal, {(item.partner_id, item.currency, item.month): item.now for item in _sums(days, facts, None)}
        )
        for key, amount in _months(_paid_in_order(_CARD_NOW, facts), days, facts, _CARD_NOW).items():
            sums[key] += amount
    return sums


def _effects(change: Change, moment: datetime, days: Sequence[date], now: CardFacts) -> list[PartnerEffect]:
    with undone():
        change(moment)
        then = _compile(_CARD_THEN).facts
        with connection.cursor() as cursor:
            cursor.execute(_CHANGED_PAIRS)
            for table in (_CARD_NOW, _CARD_THEN, "ib_what_if_pairs"):
                cursor.execute(f"ANALYZE {table}")
        found = _sums(days, now, then)
        in_order = sorted({*_paid_in_order(_CARD_NOW, now), *_paid_in_order(_CARD_THEN, then)})
        months_then = _months(in_order, days, then, _CARD_THEN)
    # What tiers look at depends on the tree: the months as they are now are valued where the change is undone.
    months_now = _months(in_order, days, now, _CARD_NOW)
    return _together(found, months_now, months_then)


def _sums(days: Sequence[date], now: CardFacts, then: CardFacts | None) -> list[PartnerEffect]:
    """What the days' trades pay by the card as it is and by the proposed one; without one, nothing stands against it."""
    scope = Scope(_TRADES, "false", tuple(days), {"held": quarantine.held_trades(list(days))})
    other = then or now
    both = CardFacts(tuple(sorted({*now.pairs, *other.pairs})), tuple(sorted({*now.symbols, *other.symbols})))
    parameters = parameters_of(scope, both)
    paid_now = _paid(scope, _CARD_NOW, now)
    paid_then = f"SELECT * FROM ({paid_now}) AS nobody WHERE false" if then is None else _paid(scope, _CARD_THEN, then)  # noqa: S608
    statement = f"""
    WITH {FX_TABLE}, paid_now AS ({paid_now}), paid_then AS ({paid_then})
    SELECT coalesce(paid_now.partner_id, paid_then.partner_id) AS partner_id,
           coalesce(paid_now.currency, paid_then.currency), coalesce(paid_now.month, paid_then.month) AS month,
           coalesce(paid_now.amount, 0), coalesce(paid_then.amount, 0)
    FROM paid_now FULL JOIN paid_then
      ON paid_then.partner_id = paid_now.partner_id AND paid_then.currency = paid_now.currency
     AND paid_then.month = paid_now.month
    ORDER BY 1, 2, 3
    """  # noqa: S608 - own text
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT count(*) FROM platform_ops_trade AS t WHERE {_TRADES}",  # noqa: S608 - own text
            {**scope.parameters, "days": list(days)},
        )
        booking.pin_plan(cursor.fetchone()[0])
        cursor.execute(statement, parameters)
        found = [PartnerEffect(*row) for row in cursor.fetchall()]
    booking.free_plan()
    return found


def _months(partner_ids: list[int], days: Sequence[date], facts: CardFacts, card: str) -> Sums:
    """What the days' trades earn in their order, by partner, currency and month. Whole months are valued for it."""
    sums: Sums = defaultdict(Decimal)
    wanted = set(days)
    if not facts.has("periods") or not partner_ids:
        return sums
    for period in sorted({month_of(day) for day in days}):
        months = ordered.value_months(partner_ids=partner_ids, period=period, facts=facts, card=card)
        for partner_id, month in months.items():
            currencies = {item.key: item.currency for item in month.candidates}
            for item in month.valued:
                if item.trade.day in wanted:
                    sums[partner_id, currencies[item.trade.trade_id, item.trade.part], period] += item.target
    return sums


def _together(found: list[PartnerEffect], now: Sums, then: Sums) -> list[PartnerEffect]:
    """What stands for itself, and what is earned in the trades' order."""
    sums_now, sums_then = defaultdict(Decimal, now), defaultdict(Decimal, then)
    for item in found:
        key = item.partner_id, item.currency, item.month
        sums_now[key] += item.now
        sums_then[key] += item.then
    return [PartnerEffect(*key, sums_now[key], sums_then[key]) for key in sorted({*sums_now, *sums_then})]


def _paid_in_order(card: str, facts: CardFacts) -> list[int]:
    """Whom changed entries pay by the period, and everybody whose tiers look at a team: a change may move what they see."""
    if not facts.has("periods"):
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT DISTINCT entry.beneficiary_id FROM {card} AS entry"  # noqa: S608 - a constant
            " LEFT JOIN ib_what_if_pairs AS changed USING (direct_partner_id, symbol_group_id)"
            " JOIN ib_planrule AS terms ON terms.id = entry.terms_rule_id"
            " WHERE entry.needs_period AND (changed.direct_partner_id IS NOT NULL OR terms.tier_scope = 'team') ORDER BY 1"
        )
        return [row[0] for row in cursor.fetchall()]


def _paid(scope: Scope, card: str, facts: CardFacts) -> str:
    """What the trades of the scope pay each partner by a card."""
    filtered = f"(SELECT entry.* FROM {card} AS entry JOIN ib_what_if_pairs USING (direct_partner_id, symbol_group_id))"  # noqa: S608 - constants
    return (
        "SELECT partner_id, currency, date_trunc('month', day)::date AS month, sum(target) AS amount"  # noqa: S608 - own text
        f" FROM ({target_select(scope, facts, card=filtered)}) AS target GROUP BY 1, 2, 3"
    )


def _compile(table: str) -> Built:
    """Compiles the set-up as it stands in this transaction into a table like the rate card."""
    built = build_card()
    with connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMP TABLE {table} ON COMMIT DROP AS"  # noqa: S608 - a constant
            " SELECT row_number() OVER () AS id, true AS is_current, build.* FROM ib_card_build AS build"
        )
        cursor.execute(f"CREATE INDEX ON {table} (direct_partner_id, symbol_group_id)")
    return built


def _changed(effects: list[PartnerEffect]) -> list[PartnerEffect]:
    return [effect for effect in effects if effect.difference]


def _last_business_days(number: int) -> list[date]:
    """The last business days up to today, the earliest first."""
    days = [clock.today_business_day()]
    while len(days) < number:
        days.append(previous_business_day(days[-1]))
    return days[::-1]


def _days_since(moment: datetime) -> list[date]:
    """The days with trades on which a change from the moment on is booked again; none for a moment that is to come."""
    today = clock.today_business_day()
    first = max(business_day_of(moment), today - timedelta(days=MAXIMUM_DAYS - 1))
    return days_to_settle(from_day=first, to_day=today) if first <= today else []
