"""One comparison: both sides read, nothing written.

A server goes on while it is read. An account on which something happened meanwhile is left for the next run, neither
accused nor cleared.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice
from typing import Any, cast

from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from platform_ops.gateways.types import Ability, GatewayAccount, ReadingGateway
from platform_ops.models import TradingServer
from platform_ops.rules.reconciliation import (
    ACCOUNT_KINDS,
    DEAL_KINDS,
    POSITION_KINDS,
    BreakKind,
    Difference,
    compare_accounts,
    compare_deals,
    compare_positions,
    explained_by_deals,
    join_moved,
    without,
)
from platform_ops.services.reconciliation import books

DAY = timedelta(days=1)
SLICE = timedelta(days=366)
MAX_SLICES = 100
MAX_DEALS_PER_SLICE = 200_000
"""A stretch of time with more deals than this is halved until it holds fewer."""
SHORTEST_SLICE = timedelta(seconds=1)
MAX_FRESH_DEALS = 500_000
MAX_DIFFERENCES = 100_000
FRESH = timedelta(minutes=15)
"""What the server did so lately may not have come here yet."""
EXPLAINED_LOGINS = 50
"""For so many accounts with a wrong balance the server's own deals are added up, to say which side disagrees."""
BEGINNING = datetime.fromisoformat("1990-01-01T00:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What differs, which kinds were compared, which accounts were left out, and how much was looked at."""

    differences: list[Difference]
    kinds: frozenset[BreakKind]
    skipped: frozenset[str]
    figures: dict[str, Any] = field(default_factory=dict)


def compare(
    *,
    server: TradingServer,
    gateway: ReadingGateway,
    from_time: datetime,
    to_time: datetime,
    also: Collection[date] = (),
) -> Comparison:
    """Compares a server with the books: deals of the window and of the days *also*, positions and balances as they stand.

    What the connector cannot tell is not compared, and said so. Raises GatewayError when the server does not answer, and
    InvalidInput when more differs or is to be read than one run can hold.
    """
    started = clock.now()
    abilities = gateway.abilities
    accounts = _accounts(gateway)
    positions = list(gateway.positions()) if Ability.POSITIONS in abilities else None
    deals, deal_figures = _deal_differences(server, gateway, from_time=from_time, to_time=to_time, also=also)
    found = list(deals)
    figures: dict[str, Any] = {
        "not_told": sorted(
            ability.value
            for ability in (Ability.ACCOUNTS, Ability.POSITIONS, Ability.DEALS)
            if ability not in abilities
        ),
        **deal_figures,
    }
    kinds: set[BreakKind] = set(DEAL_KINDS) if Ability.DEALS in abilities else set()
    moving = _moving(server, gateway, to_time=to_time) if Ability.DEALS in abilities else set()
    if positions is not None:
        mine = books.our_positions(server)
        found += compare_positions(mine, positions)
        kinds |= POSITION_KINDS
        figures |= {"positions_here": len(mine), "positions_there": len(positions)}
    if accounts is not None:
        here = books.our_accounts(server)
        gone = {login for login in here if login not in accounts}
        # What an archived account did is gone with it: the account itself is the difference.
        found = [
            one
            for one in found
            if one.kind not in (BreakKind.DEAL_EXTRA, BreakKind.POSITION_EXTRA) or one.login not in gone
        ]
        off = compare_accounts(here, accounts, explained=explained_by_deals(found))
        found += _with_causes(off, server=server, gateway=gateway)
        kinds |= ACCOUNT_KINDS
        empty = sum(1 for login, told in accounts.items() if login not in here and not (told.balance or told.credit))
        figures |= {"accounts_here": len(here), "accounts_there": len(accounts), "empty_accounts_only_there": empty}
    skipped = moving | books.written_since(server, started)
    found = without(found, logins=skipped)
    figures["accounts_in_motion"] = len(skipped)
    if hasattr(gateway, "coverage"):
        figures["tables"] = cast(Any, gateway).coverage()
    if len(found) > MAX_DIFFERENCES:
        raise InvalidInput(
            f"{server.code}: more than {MAX_DIFFERENCES:,} differences. The connection or its start is set wrongly.",
            server=server.code,
            count=len(found),
        )
    return Comparison(differences=found, kinds=frozenset(kinds), skipped=frozenset(skipped), figures=figures)


def _accounts(gateway: ReadingGateway) -> dict[str, GatewayAccount] | None:
    if Ability.ACCOUNTS not in gateway.abilities:
        return None
    return {account.login: account for account in gateway.accounts()}


def _deal_differences(
    server: TradingServer, gateway: ReadingGateway, *, from_time: datetime, to_time: datetime, also: Collection[date]
) -> tuple[list[Difference], dict[str, Any]]:
    if Ability.DEALS not in gateway.abilities:
        return [], {}
    skip = books.taken_back(server)
    found: list[Difference] = []
    here = there = 0
    waiting = list(reversed(list(_slices(from_time, to_time, also))))
    while waiting:
        start, end = waiting.pop()
        theirs = list(islice(gateway.deals(from_time=start, to_time=end), MAX_DEALS_PER_SLICE + 1))
        if len(theirs) > MAX_DEALS_PER_SLICE and end - start > SHORTEST_SLICE:
            middle = start + (end - start) / 2
            waiting += [(middle, end), (start, middle)]
            continue
        ours = books.our_deals(server, from_time=start, to_time=end)
        here, there = here + len(ours), there + len(theirs)
        found += compare_deals(ours, theirs)
    found = join_moved(one for one in found if one.ticket not in skip)
    return found, {"deals_here": here, "deals_there": there, "deals_taken_back": len(skip)}


def _slices(from_time: datetime, to_time: datetime, also: Collection[date]) -> Iterator[tuple[datetime, datetime]]:
    """The window in stretches of at most a year; before it, the days on which a deal still differs."""
    for day in sorted(also):
        start = datetime.combine(day, datetime.min.time(), tzinfo=from_time.tzinfo)
        if start < from_time:
            yield start, min(start + DAY, from_time)
    start = from_time
    for _ in range(MAX_SLICES):
        if start >= to_time:
            return
        end = min(start + SLICE, to_time)
        yield start, end
        start = end
    if start < to_time:
        raise InvalidInput(f"A comparison covers at most {MAX_SLICES} years.", field="from")


def _moving(server: TradingServer, gateway: ReadingGateway, *, to_time: datetime) -> set[str]:
    """Logins with deals on the server that are after the window, or quite new, and are not here yet."""
    now = clock.now()
    start = max(to_time, now - FRESH)
    fresh = list(islice(gateway.deals(from_time=start, to_time=now + FRESH), MAX_FRESH_DEALS))
    known = books.known_tickets(server, {deal.ticket for deal in fresh})
    return {deal.login for deal in fresh if (deal.ticket, deal.leg) not in known}


def _with_causes(found: list[Difference], *, server: TradingServer, gateway: ReadingGateway) -> list[Difference]:
    """Says of a wrong balance whether the server's own deals agree with the server's account."""
    wrong = [one for one in found if one.kind is BreakKind.BALANCE][:EXPLAINED_LOGINS]
    if not wrong or Ability.DEALS not in gateway.abilities:
        return found
    sums: dict[str, Decimal] = {one.login: Decimal(0) for one in wrong}
    for deal in gateway.deals(from_time=BEGINNING, to_time=clock.now() + DAY, logins=sorted(sums)):
        if not deal.kind.is_credit:
            sums[deal.login] += deal.money
    told: list[Difference] = []
    for one in found:
        if one.kind is not BreakKind.BALANCE or one.login not in sums:
            told.append(one)
            continue
        own = sums[one.login]
        if own == Decimal(one.ours["balance"]):
            cause = f"The deals of the server itself add up to ours ({own:f}): its account and its deals disagree."
        elif own == Decimal(one.theirs["balance"]):
            cause = "The server's account and its deals agree: deals outside of the compared days differ here."
        else:
            cause = f"The server's own deals add up to {own:f}, which is neither."
        told.append(
            Difference(
                kind=one.kind, login=one.login, fields=one.fields, ours=one.ours,
                theirs={**one.theirs, "sum_of_deals": f"{own:f}"}, amount=one.amount, currency=one.currency, cause=cause,
            )
        )  # fmt: skip
    return told
