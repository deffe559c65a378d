"""The whole invented broker as plain data, before anything is written: clients, accounts, partners, histories."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal

from backoffice.devstack.demo.behaviour import HABITS, AccountPlan, DemoDeal, TicketCounter, Trader
from backoffice.devstack.demo.people import Person, invent_person
from backoffice.devstack.demo.prices import PricePaths, path_start
from backoffice.kernel.business_day import day_bounds, previous_business_day

SEED = 20_260_901
CLIENTS, PARTNERS, LEVELS, BUSINESS_DAYS = 300, 40, 5, 60
FIRST_TICKET = {"mt4": 20_400_001, "mt5": 71_000_001}
FIRST_LOGIN = {"mt4": 410_001, "mt5": 8_800_001}
DEPOSITS = {
    "USD": (500, 1000, 2000, 5000, 10000, 25000),
    "EUR": (500, 1000, 2000, 5000, 10000, 20000),
    "GBP": (500, 1000, 2500, 5000, 12000),
    "JPY": (50000, 100000, 300000, 1000000, 2000000),
}


@dataclass(frozen=True, slots=True)
class DemoPartner:
    """A partner: the number of the partner above (None at the top), reward currency, plan, and since when."""

    number: int
    parent: int | None
    level: int
    person: Person
    currency: str
    plan: str


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A client, the partner who introduced them (None: they came alone), and their accounts."""

    number: int
    person: Person
    partner: int | None
    registered_at: datetime
    accounts: tuple[AccountPlan, ...]


@dataclass(frozen=True, slots=True)
class World:
    """Everything the seed writes."""

    first_day: date
    last_day: date
    paths: PricePaths
    partners: tuple[DemoPartner, ...]
    clients: tuple[DemoClient, ...]
    tickets: dict[str, TicketCounter]

    def history_of(self, plan: AccountPlan) -> list[DemoDeal]:
        """The deal history of an account; ask for each account once, in order, so that tickets are the same each time."""
        return Trader(plan, self.paths, self.tickets[plan.platform]).history()


def business_days_until(last_day: date, number: int) -> list[date]:
    """The *number* business days that end with *last_day*, oldest first."""
    days = [last_day]
    while len(days) < number:
        days.append(previous_business_day(days[-1]))
    return days[::-1]


def invent_world(*, last_day: date, seed: int = SEED) -> World:
    """The broker whose history ends with the business day *last_day*. The same day and seed give the same broker."""
    source = random.Random(seed)  # noqa: S311 - a demo, not a secret
    days = business_days_until(last_day, BUSINESS_DAYS)
    start = path_start(day_bounds(days[0])[0])
    end = day_bounds(last_day)[1]
    paths = PricePaths(start=start, days=(end - start).days + 1, seed=seed)
    partners = _invent_partners(source)
    clients = _invent_clients(source, partners, start, end)
    tickets = {platform: TicketCounter(first) for platform, first in FIRST_TICKET.items()}
    return World(days[0], last_day, paths, tuple(partners), tuple(clients), tickets)


def _invent_partners(source: random.Random) -> list[DemoPartner]:
    """A tree whose levels grow like real ones: few masters, many in the middle, five levels deep at least once."""
    partners: list[DemoPartner] = []
    by_level: dict[int, list[int]] = {level: [] for level in range(1, LEVELS + 1)}
    for number in range(1, PARTNERS + 1):
        level = number if number <= LEVELS else source.choices(range(1, LEVELS + 1), weights=(4, 11, 11, 6, 3))[0]
        parent = source.choice(by_level[level - 1]) if level > 1 else None
        person = invent_person(source, 9000 + number)
        currency = {"EUR": "EUR", "GBP": "GBP", "JPY": "JPY"}.get(person.country.currency, "USD")
        plan = "premium" if level == 1 else "standard"
        partners.append(DemoPartner(number, parent, level, person, currency, plan))
        by_level[level].append(number)
    return partners


def _invent_clients(
    source: random.Random, partners: list[DemoPartner], start: datetime, end: datetime
) -> list[DemoClient]:
    next_login = dict(FIRST_LOGIN)
    clients = []
    weights = [1 + 4 * source.random() for _ in partners]
    for number in range(1, CLIENTS + 1):
        person = invent_person(source, number)
        partner = source.choices(partners, weights=weights)[0].number if source.random() < 0.78 else None
        registered_at = start + (end - start) * (source.random() ** 2) * 0.85 + timedelta(hours=2)
        accounts = []
        for _ in range(1 if source.random() < 0.85 else 2):
            platform = "mt5" if source.random() < 0.65 else "mt4"
            accounts.append(_invent_account(source, person, platform, next_login, registered_at, end))
        clients.append(DemoClient(number, person, partner, registered_at, tuple(accounts)))
    return clients


def _invent_account(
    source: random.Random,
    person: Person,
    platform: str,
    next_login: dict[str, int],
    registered_at: datetime,
    end: datetime,
) -> AccountPlan:
    login = str(next_login[platform])
    next_login[platform] += 1
    habit = source.choices(HABITS, weights=[habit.share for habit in HABITS])[0]
    active_from = registered_at + timedelta(hours=source.randrange(2, 40))
    stays = source.random() < 0.7
    active_to = end if stays else min(end, active_from + timedelta(days=source.randrange(5, 45)))
    currency = person.country.currency
    return AccountPlan(
        login=login, currency=currency, platform=platform, is_ecn=source.random() < 0.35, habit=habit,
        first_deposit=Decimal(source.choice(DEPOSITS[currency])), active_from=active_from,
        active_to=max(active_to, active_from + timedelta(hours=3)), seed=source.randrange(2**32),
    )  # fmt: skip
