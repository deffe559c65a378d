"""Which MT4 tickets are one position.

Closing part of an MT4 order closes its ticket and opens the rest under a new one. The comments tie them: `to #N`
on the closed ticket, `from #N` (or `split from #N`) on the rest; after a partial close-by the closed ticket only
says `partial close`. A `close hedge by #N` names the opposite order, which is a position of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Protocol

from platform_ops.types import Side

_NAMED_LINK = re.compile(r"\b(?:from|to) #(\d{1,18})\b", re.IGNORECASE)
_HEDGE_LINK = re.compile(r"\bclose hedge by #(\d{1,18})\b", re.IGNORECASE)
_PARTIAL_CLOSE = re.compile(r"\bpartial close\b", re.IGNORECASE)


class ChainTicket(Protocol):
    """What a ticket must tell to be tied to others. `close_time` is None while it is open."""

    @property
    def ticket(self) -> int: ...
    @property
    def symbol(self) -> str: ...
    @property
    def side(self) -> Side: ...
    @property
    def open_time(self) -> datetime: ...
    @property
    def open_price(self) -> Decimal: ...
    @property
    def close_time(self) -> datetime | None: ...
    @property
    def comment(self) -> str: ...


def root_tickets(tickets: Sequence[ChainTicket]) -> dict[int, int]:
    """For every ticket the first ticket of its chain, which may be known from comments alone."""
    known = {ticket.ticket: ticket for ticket in tickets}
    chains = _Chains()
    for ticket in tickets:
        chains.add(ticket.ticket)
        for number in _NAMED_LINK.findall(ticket.comment):
            other = known.get(int(number))
            if other is None or _same_direction(ticket, other):
                chains.join(ticket.ticket, int(number))
        for number in _HEDGE_LINK.findall(ticket.comment):
            other = known.get(int(number))
            if other is not None and _same_opening(ticket, other):
                chains.join(ticket.ticket, other.ticket)
    _join_unnamed_rests(tickets, chains)
    return {ticket.ticket: chains.root(ticket.ticket) for ticket in tickets}


def _join_unnamed_rests(tickets: Iterable[ChainTicket], chains: _Chains) -> None:
    """Tie a `partial close` without a number to its rest: the last ticket with the same opening that outlived it."""
    by_opening: dict[tuple[object, ...], list[ChainTicket]] = defaultdict(list)
    for ticket in tickets:
        by_opening[_opening(ticket)].append(ticket)
    for group in by_opening.values():
        if len(group) == 1:
            continue
        group.sort(key=lambda ticket: ticket.ticket)
        last = group[-1]
        for ticket in group[:-1]:
            outlived = last.close_time is None or (
                ticket.close_time is not None and last.close_time >= ticket.close_time
            )
            if outlived and _PARTIAL_CLOSE.search(ticket.comment):
                chains.join(ticket.ticket, last.ticket)


def _opening(ticket: ChainTicket) -> tuple[object, ...]:
    return ticket.symbol, ticket.side, ticket.open_time, ticket.open_price


def _same_direction(one: ChainTicket, other: ChainTicket) -> bool:
    return one.symbol == other.symbol and one.side == other.side


def _same_opening(one: ChainTicket, other: ChainTicket) -> bool:
    return _opening(one) == _opening(other)


class _Chains:
    """Disjoint sets of tickets; the root of each is its smallest number, so it cannot depend on row order."""

    def __init__(self) -> None:
        self._parent: dict[int, int] = {}

    def add(self, ticket: int) -> None:
        self._parent.setdefault(ticket, ticket)

    def root(self, ticket: int) -> int:
        while self._parent[ticket] != ticket:
            self._parent[ticket] = self._parent[self._parent[ticket]]
            ticket = self._parent[ticket]
        return ticket

    def join(self, one: int, other: int) -> None:
        self.add(one)
        self.add(other)
        first, second = sorted((self.root(one), self.root(other)))
        self._parent[second] = first
