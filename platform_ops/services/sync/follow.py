"""One step of following a server: look at its clock, read the next window, book it, move the cursor.

Nothing is booked while the server's clock is off, and the cursor never moves past a record that could not be booked: it is
read again until somebody mends it. No transaction is open while the server is asked.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog

from backoffice.kernel import clock
from backoffice.kernel.business_day import ServerZone
from backoffice.kernel.errors import DomainError, Retryable
from platform_ops.gateways.errors import GatewayError, GatewayGarbled, GatewayUnavailable
from platform_ops.gateways.types import Ability, ReadingGateway
from platform_ops.models import ServerConnection, ServerSync
from platform_ops.rules.following import Window, clock_offset, is_off, next_window
from platform_ops.services.connections import connection_of, open_gateway
from platform_ops.services.execution import store_orders
from platform_ops.services.sync import drop_copies, state
from platform_ops.services.sync.changes import read_changes
from platform_ops.services.sync.records import book_deals, portions

LOOK_BACK = timedelta(hours=24)
SECONDS_BETWEEN_REFUSALS = 30.0
"""How often a window with a record that cannot be booked is read again."""

Opener = Callable[[], AbstractContextManager[ReadingGateway]]


@dataclass(frozen=True, slots=True)
class Followed:
    """What a step came to. `wait_seconds` until the next one; 0 while there is more to catch up."""

    state: str
    wait_seconds: float
    new_deals: int = 0
    corrected_deals: int = 0
    message: str = ""


def follow_once(*, server_id: int, gateway: ReadingGateway | None = None) -> Followed:
    """Reads and books the next window of a server, over *gateway* or a session of its own.

    Never raises for what a server does: that is an outcome. Raises NotFound without a connection.
    """
    connection = connection_of(server_id)
    sync = state.sync_of(server_id)
    if not connection.is_enabled:
        state.note_stopped(server_id, now=clock.now(), message="The connection is switched off.")
        return Followed(ServerSync.State.STOPPED, float(connection.interval_seconds))
    try:
        if gateway is not None:
            return _step(connection, sync, gateway)
        with open_gateway(server_id=server_id) as own:
            return _step(connection, sync, own)
    except (GatewayUnavailable, Retryable) as error:
        return _failed(sync, ServerSync.State.UNREACHABLE, error)
    except DomainError as error:
        # What the server answers cannot be, or it refuses us: asking at once again would not help.
        return _failed(sync, ServerSync.State.FAILED, error, slowest=_slowest(error))


def look_back(*, server_id: int, gateway: ReadingGateway | None = None, reach: timedelta = LOOK_BACK) -> int:
    """Reads what was read before once more, for deals that the server told late; how many there were.

    What is found becomes a gap that was filled. Raises GatewayError; the usual step will meet the same.
    """
    connection = connection_of(server_id)
    if gateway is None:
        with open_gateway(server_id=server_id) as own:
            return _look_back(connection, own, reach)
    return _look_back(connection, gateway, reach)


def _step(connection: ServerConnection, sync: ServerSync, gateway: ReadingGateway) -> Followed:
    if Ability.EXECUTIONS in gateway.abilities:
        told = drop_copies.follow(connection, sync, gateway)
        return Followed(sync.state, 0.0, told.fills, told.corrected)
    zone = ServerZone.parse(connection.server.zone)
    offset = _offset(connection, gateway)
    if is_off(offset):
        return _held(sync, offset)
    state.note_clock(sync, offset=offset)
    now = clock.now()
    cursor = state.note_started(sync, connection, now=now)
    window = next_window(
        cursor=cursor, now=now, overlap=timedelta(seconds=connection.overlap_seconds), offset=offset, zone=zone
    )
    news = getattr(gateway, "earliest_news", None)
    earliest = None if news is None else news(since=sync.last_success_at or connection.started_at)
    if earliest is not None and earliest < window.start:
        window = replace(window, start=max(earliest, connection.started_at))
    try:
        return _read(connection, sync, gateway, window)
    except _ClockJumped as jump:
        return _held(sync, jump.offset)


class _ClockJumped(Exception):  # noqa: N818 -- not an error of ours, and it goes no further than this module
    """The server's clock jumped between the look at it and the answer."""

    def __init__(self, offset: timedelta) -> None:
        super().__init__()
        self.offset = offset


def _offset(connection: ServerConnection, gateway: ReadingGateway) -> timedelta:
    """How far the server's clock is ahead; a source without a clock is believed."""
    if Ability.TIME not in gateway.abilities:
        return timedelta()
    local = gateway.clock().local
    return clock_offset(server_local=local, now=clock.now(), zone=ServerZone.parse(connection.server.zone))


def _held(sync: ServerSync, offset: timedelta) -> Followed:
    delay = state.hold_for_clock(sync, offset=offset, now=clock.now())
    return Followed(ServerSync.State.CLOCK_OFF, delay, message=sync.message)


def _read(connection: ServerConnection, sync: ServerSync, gateway: ReadingGateway, window: Window) -> Followed:
    new = corrected = 0
    last_deal_at: datetime | None = None
    refused: list[tuple[datetime, str]] = []

    def believe_the_clock() -> None:
        if is_off(offset := _offset(connection, gateway)):
            raise _ClockJumped(offset)

    for portion in portions(gateway.deals(from_time=window.start, to_time=window.end)):
        believe_the_clock()
        booked = book_deals(server=connection.server, gateway=gateway, deals=portion, as_of=clock.now())
        new, corrected = new + booked.new, corrected + booked.corrected
        last_deal_at = max([deal.at for deal in portion] + ([last_deal_at] if last_deal_at else []))
        refused += [(deal.at, complaint) for deal, complaint in booked.refused]
    if connection.syncs_orders and Ability.ORDERS in gateway.abilities:
        _store_orders(connection, gateway, window)
    complaints, new_in_window = [complaint for _, complaint in refused], new
    if window.is_live:
        changes = read_changes(connection, sync, gateway, before_booking=believe_the_clock)
        new, corrected, complaints = new + changes.new, corrected + changes.corrected, complaints + changes.complaints
    cursor, problem, wait = window.cursor, "", float(connection.interval_seconds if window.is_live else 0)
    if refused:
        # Everything else is booked; the cursor waits before the first that was not.
        first_at = min(at for at, _ in refused)
        cursor = min(cursor, max(first_at, window.start))
    if complaints:
        problem = complaints[0] if len(complaints) == 1 else f"{complaints[0]} ({len(complaints)} such deals)"
        wait = max(wait, SECONDS_BETWEEN_REFUSALS)
    state.note_window(
        sync,
        cursor=cursor,
        is_live=window.is_live,
        last_deal_at=last_deal_at,
        deals=new_in_window,
        now=clock.now(),
        problem=problem,
        wait_seconds=wait,
    )
    return Followed(sync.state, wait, new, corrected, problem)


def _store_orders(connection: ServerConnection, gateway: ReadingGateway, window: Window) -> None:
    store_orders(server_id=connection.server_id, orders=gateway.orders(from_time=window.start, to_time=window.end))


def _look_back(connection: ServerConnection, gateway: ReadingGateway, reach: timedelta) -> int:
    sync = state.sync_of(connection.server_id)
    if sync.cursor_at is None or Ability.DEALS not in gateway.abilities:
        return 0
    # What the usual window reads is not looked at here, so that whatever is new was missed.
    until = sync.cursor_at - timedelta(seconds=connection.overlap_seconds)
    since = max(until - reach, connection.started_at)
    found = 0
    for portion in portions(gateway.deals(from_time=since, to_time=until) if since < until else ()):
        booked = book_deals(server=connection.server, gateway=gateway, deals=portion, as_of=clock.now())
        if booked.new:
            found += booked.new
            state.note_late(sync, from_at=portion[0].at, to_at=portion[-1].at, deals=booked.new, now=clock.now())
    # An export may come later than its marks say: they are looked through once more, too.
    return found + read_changes(connection, sync, gateway, reach=reach).new


def _failed(sync: ServerSync, failed_as: str, error: DomainError, *, slowest: float = 0.0) -> Followed:
    structlog.get_logger(__name__).warning(
        "server_not_followed", server=sync.server.code, code=error.code, problem=error.message[:300]
    )
    delay = state.note_failure(sync, state=failed_as, message=error.message, now=clock.now(), slowest=slowest)
    return Followed(failed_as, delay, message=error.message)


def _slowest(error: DomainError) -> float:
    return 0.0 if isinstance(error, GatewayGarbled) or not isinstance(error, GatewayError) else SECONDS_BETWEEN_REFUSALS
