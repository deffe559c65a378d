"""Corrections of deals whose time is long past, where a source marks what it changes (`gateways/changes.py`).

The usual window reads by the time of a deal, so a deal that staff correct a week later lies far behind it. A second cursor
follows the marks instead. It moves only after everything up to it was booked; what is told again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta

from backoffice.kernel import clock
from platform_ops.gateways.changes import ChangeReadingGateway
from platform_ops.gateways.errors import NotOffered
from platform_ops.gateways.types import GatewayDeal, ReadingGateway
from platform_ops.models import Deal, ServerConnection, ServerSync
from platform_ops.services.sync import state
from platform_ops.services.sync.records import book_deals, portions

EVERY = timedelta(seconds=60)
"""How often marks are read at most: a correction by hand can wait a minute."""
FIRST_REACH = timedelta(hours=24)
"""How far back the marks are read when a server is followed for the first time."""
COMPLAINTS_NAMED = 5


@dataclass(slots=True)
class Changes:
    """What the marks brought: corrected deals, deals that the window had missed, and complaints about single records."""

    corrected: int = 0
    new: int = 0
    complaints: list[str] = field(default_factory=list)


def read_changes(
    connection: ServerConnection,
    sync: ServerSync,
    gateway: ReadingGateway,
    *,
    reach: timedelta = timedelta(),
    before_booking: Callable[[], None] = lambda: None,
) -> Changes:
    """Books what the source marks as changed since the cursor, less the connection's overlap and *reach*.

    Nothing happens where the source marks nothing, and within a minute of the last time unless *reach* asks for more.
    *before_booking* is called ahead of each portion. Raises GatewayError; the cursor then stays where it was.
    """
    told = Changes()
    now = clock.now()
    if not isinstance(gateway, ChangeReadingGateway):
        return told
    if sync.changes_at is not None and not reach and now - sync.changes_at < EVERY:
        return told
    since = (sync.changes_at or now - FIRST_REACH) - timedelta(seconds=connection.overlap_seconds) - reach
    try:
        for portion in portions(gateway.changed_deals(since=since)):
            before_booking()
            ours = list(_ours(connection, portion))
            booked = book_deals(server=connection.server, gateway=gateway, deals=ours, as_of=clock.now())
            told.corrected, told.new = told.corrected + booked.corrected, told.new + booked.new
            told.complaints += [complaint for _, complaint in booked.refused]
    except NotOffered:
        # An export without the column that marks changes.
        return told
    state.note_changes(
        sync, until=sync.changes_at if told.complaints else now, deals=told.new, corrected=told.corrected
    )
    return told


def _ours(connection: ServerConnection, deals: Iterable[GatewayDeal]) -> Iterator[GatewayDeal]:
    """The deals that belong to the books: of the time before they began, only those that are in them already."""
    early = {deal.ticket for deal in deals if deal.at < connection.started_at}
    known = set(
        Deal.objects.filter(server=connection.server_id, ticket__in=early).values_list("ticket", flat=True)
        if early
        else ()
    )
    return (deal for deal in deals if deal.at >= connection.started_at or deal.ticket in known)
