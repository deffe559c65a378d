"""Clients of a viewpoint: how far they came, cohorts by month of registration, the best and the sleeping, and each of them.

A partner reads clients whom they introduced themselves one by one, with names as the house's policy says; of clients of
partners below there are sums by introducer, so that every list adds up to the figure that leads to it.
"""

# ruff: noqa: S608 -- the SQL is built from constants of this package
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any

from django.apps import apps

from backoffice.core.access import visible_to
from backoffice.kernel import clock
from backoffice.kernel.errors import NotFound
from ib.engine.period_facts import VALID_EVENT
from ib.rules.masking import NameDisplay, shown_email, shown_name
from ib.selectors.data_centre import sources
from ib.selectors.data_centre.sources import fetch, rate_join, rates, reading, with_tables
from ib.selectors.data_centre.viewpoint import Filters, Viewpoint

MAXIMUM_CLIENTS = 5_000
SLEEPS_AFTER_DAYS = 30
COHORT_MONTHS = 12


class Show(StrEnum):
    """Which clients a list holds; each leads on from a figure, or answers a question of its own."""

    ALL = "all"
    REGISTERED = "registered"
    OPENED = "opened"
    VERIFIED = "verified"
    FIRST_DEPOSIT = "first_deposit"
    PAYING = "paying"
    ACTIVE = "active"
    BEST = "best"
    SLEEPING = "sleeping"
    JOINED_OPENED = "joined_opened"
    JOINED_VERIFIED = "joined_verified"
    JOINED_DEPOSITED = "joined_deposited"
    JOINED_TRADED = "joined_traded"
    JOINED_ACTIVE = "joined_active"


SHOW_TITLES = {
    Show.ALL: "All clients",
    Show.REGISTERED: "Registered in these days",
    Show.OPENED: "Opened an account in these days",
    Show.VERIFIED: "Verified in these days",
    Show.FIRST_DEPOSIT: "First deposit in these days",
    Show.PAYING: "Deposited or withdrew in these days",
    Show.ACTIVE: "Traded in these days",
    Show.BEST: "Best clients",
    Show.SLEEPING: "Sleeping clients",
    Show.JOINED_OPENED: "Registered in these days, with an account",
    Show.JOINED_VERIFIED: "Registered in these days and verified since",
    Show.JOINED_DEPOSITED: "Registered in these days, with a deposit since",
    Show.JOINED_TRADED: "Registered in these days, with a trade since",
    Show.JOINED_ACTIVE: "Registered in these days and still active",
}

_JOINED = "card.joined BETWEEN %(from)s AND %(to)s"
_CONDITIONS = {
    Show.ALL: "TRUE",
    Show.REGISTERED: _JOINED,
    Show.OPENED: "card.opened_in_days > 0",
    Show.VERIFIED: "card.verified_in_days",
    Show.FIRST_DEPOSIT: "card.first_deposit_in_days",
    Show.PAYING: "card.payments > 0",
    Show.ACTIVE: "card.trades > 0",
    Show.BEST: "card.trades > 0 OR card.commission > 0",
    Show.SLEEPING: "(card.last_trade < %(sleeping)s OR card.last_trade IS NULL AND card.first_deposit < %(sleeping)s)",
    Show.JOINED_OPENED: f"{_JOINED} AND card.accounts > 0",
    Show.JOINED_VERIFIED: f"{_JOINED} AND card.verified IS NOT NULL",
    Show.JOINED_DEPOSITED: f"{_JOINED} AND card.first_deposit IS NOT NULL",
    Show.JOINED_TRADED: f"{_JOINED} AND card.first_trade IS NOT NULL",
    Show.JOINED_ACTIVE: f"{_JOINED} AND card.last_trade >= %(sleeping)s",
}
_ORDERS = {Show.BEST: "card.commission DESC, card.lots DESC", Show.SLEEPING: "card.last_trade DESC NULLS LAST"}
_ANYWHERE = "card.joined DESC"


@dataclass(frozen=True, slots=True)
class ClientRow:
    """A client: how far they came, and what they did in the days. Money in the viewpoint's currency."""

    client_id: int
    reference: str
    name: str
    email: str
    country: str
    campaign: str
    level: int
    introducer_id: int
    introducer: str
    joined: date
    left: datetime | None
    accounts: int
    verified: date | None
    first_deposit: date | None
    first_trade: date | None
    last_trade: date | None
    deposits: Decimal
    withdrawals: Decimal
    trades: int
    lots: Decimal
    commission: Decimal
    currency: str


@dataclass(frozen=True, slots=True)
class Through:
    """Clients of a partner below, as a sum."""

    introducer_id: int
    introducer: str
    clients: int
    deposits: Decimal
    withdrawals: Decimal
    trades: int
    lots: Decimal
    commission: Decimal
    currency: str


# When each client did something first, and last, while they counted for the viewpoint; by index, account by account.
_THEN = "people.spans @> {at}"
_TRADE_THEN = f"""
        SELECT t.business_day FROM platform_ops_trade AS t
        WHERE t.account_id = account.id AND NOT t.is_cancelled AND t.volume_lots > 0 AND {_THEN.format(at="t.closed_at")}"""
_LIVES = f"""
life AS MATERIALIZED (
    SELECT people.client_id, count(account.id) AS accounts,
           count(account.id) FILTER (WHERE {sources.OPENED_HERE} AND {sources.day_of("greatest(account.opened_at, people.joined_at)")}
                                           BETWEEN %(from)s AND %(to)s) AS opened_in_days,
           min(first.business_day) AS first_trade, max(last.business_day) AS last_trade
    FROM people
    LEFT JOIN platform_ops_tradingaccount AS account
      ON account.client_id = people.client_id AND {sources.OWN_ACCOUNT}
    LEFT JOIN LATERAL ({_TRADE_THEN} ORDER BY t.closed_at LIMIT 1) AS first ON true
    LEFT JOIN LATERAL ({_TRADE_THEN} ORDER BY t.closed_at DESC LIMIT 1) AS last ON true
    GROUP BY people.client_id
),
fact AS MATERIALIZED (
    SELECT event.client_id, min(event.day) FILTER (WHERE event.kind = 'kyc_verified') AS verified,
           min(event.day) FILTER (WHERE event.kind = 'deposit') AS first_deposit
    FROM people
    JOIN ib_clientevent AS event ON event.client_id = people.client_id AND {_THEN.format(at="event.at")}
    WHERE event.kind IN ('kyc_verified', 'deposit') AND {VALID_EVENT}
    GROUP BY event.client_id
)"""

_DOINGS = f"""
did AS MATERIALIZED (
    SELECT traded.client_id, count(*) AS trades, sum(traded.volume_lots) AS lots FROM traded GROUP BY 1
),
payment AS MATERIALIZED (
    SELECT told.client_id, count(*) FILTER (WHERE told.kind <> 'kyc_verified') AS payments,
           bool_or(told.is_first AND told.kind = 'kyc_verified') AS verified_in_days,
           bool_or(told.is_first AND told.kind = 'deposit') AS first_deposit_in_days,
           coalesce(sum(told.amount * fx.rate) FILTER (WHERE told.kind = 'deposit'), 0) AS deposits,
           coalesce(sum(told.amount * fx.rate) FILTER (WHERE told.kind = 'withdrawal'), 0) AS withdrawals
    FROM told {rate_join("told")} GROUP BY 1
)"""

# Commission by client: on their trades, and by the period where a line is about them.
_EARNED = """
money AS MATERIALIZED (
    SELECT client_id, day, currency, sum(amount) AS amount FROM (
        SELECT client_id, day, currency, amount FROM line
        UNION ALL
        SELECT client_id, day, currency, amount FROM period_line
    ) AS each WHERE client_id IS NOT NULL GROUP BY 1, 2, 3
)"""


_BY_CLIENT = """
earned AS MATERIALIZED (
    SELECT money.client_id, sum(money.amount * money_rate.rate) AS commission
    FROM money
    LEFT JOIN money_rate ON money_rate.day = money.day AND money_rate.rate_currency = money.currency
    GROUP BY 1
)"""

_CARD = """
card AS MATERIALIZED (
    SELECT people.client_id, people.level, people.introducer_id, people.country, people.campaign, people.day AS joined, people.left_at,
           life.accounts, life.opened_in_days, fact.verified, fact.first_deposit, life.first_trade, life.last_trade,
           coalesce(payment.payments, 0) AS payments, coalesce(payment.verified_in_days, false) AS verified_in_days,
           coalesce(payment.first_deposit_in_days, false) AS first_deposit_in_days,
           coalesce(payment.deposits, 0) AS deposits, coalesce(payment.withdrawals, 0) AS withdrawals,
           coalesce(did.trades, 0) AS trades, coalesce(did.lots, 0) AS lots, coalesce(earned.commission, 0) AS commission
    FROM people
    LEFT JOIN life ON life.client_id = people.client_id
    LEFT JOIN fact ON fact.client_id = people.client_id
    LEFT JOIN payment ON payment.client_id = people.client_id
    LEFT JOIN did ON did.client_id = people.client_id
    LEFT JOIN earned ON earned.client_id = people.client_id
)"""


def _cards(view: Viewpoint, filters: Filters) -> str:
    return with_tables(
        view,
        sources.CAMPAIGNS,
        sources.PEOPLE,
        sources.TRADED,
        sources.TOLD,
        rates("told"),
        _LIVES,
        _DOINGS,
        sources.lines(filters, has_client=True),
        sources.PERIOD_LINES,
        _EARNED,
        rates("money", name="money_rate"),
        _BY_CLIENT,
        _CARD,
    )


def _more(filters: Filters, limit: int = MAXIMUM_CLIENTS) -> dict[str, Any]:
    return {"sleeping": filters.to_day - timedelta(days=SLEEPS_AFTER_DAYS), "limit": limit}


def client_rows(
    view: Viewpoint, filters: Filters, show: Show = Show.ALL, *, reference: str = "", limit: int = MAXIMUM_CLIENTS
) -> list[ClientRow]:
    """Clients one by one: of a partner, those who were introduced directly; of staff, everybody below; at most *limit*."""
    own = "AND card.level <= 1" if view.is_own else ""
    named = "AND client.reference = %(reference)s" if reference else ""
    sql = f"""
    {_cards(view, filters)}
    SELECT card.client_id, client.reference, client.full_name, client.email, card.country, card.campaign, card.level,
           card.introducer_id, introducer.reference || ' ' || introducer.name, card.joined, card.left_at,
           card.accounts, card.verified,
           card.first_deposit, card.first_trade, card.last_trade, card.deposits, card.withdrawals, card.trades, card.lots,
           card.commission
    FROM card
    JOIN crm_client AS client ON client.id = card.client_id
    JOIN ib_partner AS introducer ON introducer.id = card.introducer_id
    WHERE ({_CONDITIONS[show]}) {own} {named}
    ORDER BY {_ORDERS.get(show, _ANYWHERE)}, client.reference
    LIMIT %(limit)s
    """
    with reading():
        rows = fetch(sql, view, filters, reference=reference, **_more(filters, limit))
    return _masked([ClientRow(*(*row, view.currency)) for row in rows], view)


def clients_through(view: Viewpoint, filters: Filters, show: Show = Show.ALL) -> list[Through]:
    """What a partner reads of the clients of partners below: sums by introducer. Nothing for staff, who read them all."""
    if not view.is_own:
        return []
    sql = f"""
    {_cards(view, filters)}
    SELECT card.introducer_id, introducer.reference || ' ' || introducer.name, count(*), sum(card.deposits),
           sum(card.withdrawals), sum(card.trades), sum(card.lots), sum(card.commission)
    FROM card JOIN ib_partner AS introducer ON introducer.id = card.introducer_id
    WHERE ({_CONDITIONS[show]}) AND card.level > 1
    GROUP BY 1, 2 ORDER BY 3 DESC, 2 LIMIT %(limit)s
    """
    with reading():
        return [Through(*(*row, view.currency)) for row in fetch(sql, view, filters, **_more(filters))]


def client_sums(view: Viewpoint, filters: Filters, show: Show = Show.ALL) -> Through:
    """The sums of all that `client_rows` lists, however many they are."""
    own = "AND card.level <= 1" if view.is_own else ""
    sql = f"""
    {_cards(view, filters)}
    SELECT 0, '', count(*), coalesce(sum(card.deposits), 0), coalesce(sum(card.withdrawals), 0),
           coalesce(sum(card.trades), 0), coalesce(sum(card.lots), 0), coalesce(sum(card.commission), 0)
    FROM card WHERE ({_CONDITIONS[show]}) {own}
    """
    with reading():
        (row,) = fetch(sql, view, filters, **_more(filters))
    return Through(*(*row, view.currency))


def one_client(view: Viewpoint, filters: Filters, reference: str) -> ClientRow:
    """A client by number. Raises NotFound for one who is not the viewer's to read one by one."""
    found = client_rows(view, replace(filters, level=None, country="", campaign=""), reference=reference)
    if not found:
        raise NotFound("No such client, or not one of yours.", reference=reference)
    return found[0]


def _masked(rows: Sequence[ClientRow], view: Viewpoint) -> list[ClientRow]:
    """Names as the house's policy says, of those who left none; staff read those of clients who are theirs to see."""
    shown = set(named_clients(view, [row.client_id for row in rows]))
    return [_of_display(row, NameDisplay.FULL if row.client_id in shown else display_now(view, row)) for row in rows]


def display_now(view: Viewpoint, client: ClientRow) -> NameDisplay:
    """As the house's policy says; of somebody who left nothing."""
    return NameDisplay.HIDDEN if client.left is not None and client.left <= clock.now() else view.display


def named_clients(view: Viewpoint, client_ids: Sequence[int]) -> list[int]:
    """Whose names the viewer reads in full, whatever the policy: clients whom staff see through the access door."""
    if view.is_own:
        return []
    clients = apps.get_model("crm", "Client")._default_manager.filter(pk__in=client_ids)
    return list(visible_to(clients, view.actor).order_by().values_list("pk", flat=True))


def _of_display(row: ClientRow, display: NameDisplay) -> ClientRow:
    return replace(row, name=shown_name(row.name, display), email=shown_email(row.email, display))


# ---------------------------------------------------------------------------------------------------------------- funnel


@dataclass(frozen=True, slots=True)
class FunnelStep:
    """How many of those who registered in the days came so far, and in how many days half of them did."""

    show: Show
    title: str
    clients: int
    median_days: int | None

    def percent_of(self, whole: int) -> Decimal:
        """Of a hundred, to one place."""
        return (Decimal(100 * self.clients) / whole).quantize(Decimal("0.1")) if whole else Decimal(0)


_STEPS = (
    (Show.REGISTERED, "Registered", "joined"),
    (Show.JOINED_OPENED, "Account opened", ""),
    (Show.JOINED_VERIFIED, "Verified", "verified"),
    (Show.JOINED_DEPOSITED, "First deposit", "first_deposit"),
    (Show.JOINED_TRADED, "First trade", "first_trade"),
    (Show.JOINED_ACTIVE, "Active in the last 30 days", ""),
)


def funnel(view: Viewpoint, filters: Filters) -> list[FunnelStep]:
    """How far the clients came who registered in the days, up to now."""
    columns = []
    for show, _, moment in _STEPS:
        columns.append(f"count(*) FILTER (WHERE {_CONDITIONS[show]})")
        columns.append(
            f"percentile_disc(0.5) WITHIN GROUP (ORDER BY greatest(card.{moment} - card.joined, 0))"
            if moment and moment != "joined"
            else "NULL::integer"
        )
    tables = with_tables(view, sources.CAMPAIGNS, sources.PEOPLE, _LIVES, _BARE_CARD)
    with reading():
        values = fetch(
            f"{tables} SELECT {', '.join(columns)} FROM card WHERE {_JOINED}", view, filters, **_more(filters)
        )[0]
    return [
        FunnelStep(show, title, values[2 * place], values[2 * place + 1])
        for place, (show, title, _) in enumerate(_STEPS)
    ]


_BARE_CARD = """
card AS MATERIALIZED (
    SELECT people.client_id, people.day AS joined, life.accounts, fact.verified, fact.first_deposit, life.first_trade,
           life.last_trade
    FROM people
    LEFT JOIN life ON life.client_id = people.client_id
    LEFT JOIN fact ON fact.client_id = people.client_id
)"""


# --------------------------------------------------------------------------------------------------------------- cohorts


@dataclass(frozen=True, slots=True)
class CohortMonth:
    """What a cohort did in one month."""

    month: date
    active: int
    commission: Decimal


@dataclass(frozen=True, slots=True)
class Cohort:
    """The clients who registered in a month, and what became of them, month by month."""

    month: date
    clients: int
    deposited: int
    months: tuple[CohortMonth, ...]
    currency: str

    @property
    def commission(self) -> Decimal:
        """What they brought in all."""
        return sum((month.commission for month in self.months), Decimal(0))


_COHORTS = """
size AS (
    SELECT date_trunc('month', people.day)::date AS month, count(*) AS clients, count(fact.first_deposit) AS deposited
    FROM people LEFT JOIN fact ON fact.client_id = people.client_id
    WHERE people.day BETWEEN %(from)s AND %(to)s GROUP BY 1
),
active AS (
    SELECT date_trunc('month', people.day)::date AS month, date_trunc('month', traded.day)::date AS later,
           count(DISTINCT traded.client_id) AS active
    FROM traded JOIN people ON people.client_id = traded.client_id AND people.day BETWEEN %(from)s AND %(to)s
    GROUP BY 1, 2
),
brought AS (
    SELECT date_trunc('month', people.day)::date AS month, date_trunc('month', money.day)::date AS later,
           sum(money.amount * money_rate.rate) AS commission
    FROM money
    JOIN people ON people.client_id = money.client_id AND people.day BETWEEN %(from)s AND %(to)s
    LEFT JOIN money_rate ON money_rate.day = money.day AND money_rate.rate_currency = money.currency
    GROUP BY 1, 2
)
SELECT size.month, size.clients, size.deposited, coalesce(active.later, brought.later), coalesce(active.active, 0),
       coalesce(brought.commission, 0)
FROM size
LEFT JOIN (active FULL JOIN brought ON brought.month = active.month AND brought.later = active.later)
  ON coalesce(active.month, brought.month) = size.month
ORDER BY size.month, 4
"""


def cohorts(view: Viewpoint, filters: Filters) -> list[Cohort]:
    """Clients by month of registration, over the year that ends with the filters' last day: active and commission since."""
    last = filters.to_day.replace(day=1)
    first = _months_before(last, COHORT_MONTHS - 1)
    year = replace(filters, from_day=first, symbol_group_id=None)
    tables = with_tables(
        view,
        sources.CAMPAIGNS,
        sources.PEOPLE,
        sources.TRADED,
        _FACTS,
        sources.lines(year, has_client=True),
        sources.PERIOD_LINES,
        _EARNED,
        rates("money", name="money_rate"),
    )
    with reading():
        rows = fetch(f"{tables}, {_COHORTS.lstrip()}", view, year)
    found: dict[date, Cohort] = {}
    for month, clients, deposited, later, active, commission in rows:
        cohort = found.setdefault(month, Cohort(month, clients, deposited, (), view.currency))
        if later is not None and later >= month:
            found[month] = replace(cohort, months=(*cohort.months, CohortMonth(later, active, commission)))
    return [_filled(cohort, last) for cohort in found.values()]


_FACTS = f"""
fact AS MATERIALIZED (
    SELECT event.client_id, min(event.day) AS first_deposit
    FROM people
    JOIN ib_clientevent AS event ON event.client_id = people.client_id AND {_THEN.format(at="event.at")}
    WHERE event.kind = 'deposit' AND {VALID_EVENT}
    GROUP BY event.client_id
)"""


def _filled(cohort: Cohort, last: date) -> Cohort:
    """With a month for each up to the last, zeros included."""
    known = {month.month: month for month in cohort.months}
    months, month = [], cohort.month
    while month <= last:
        months.append(known.get(month, CohortMonth(month, 0, Decimal(0))))
        month = (month + timedelta(days=31)).replace(day=1)
    return replace(cohort, months=tuple(months))


def _months_before(month: date, number: int) -> date:
    for _ in range(number):
        month = (month - timedelta(days=1)).replace(day=1)
    return month
