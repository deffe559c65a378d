"""What is written down about following a server: its state, its cursor, the gaps. The cursor only moves forwards."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Greatest

from platform_ops.models import ServerConnection, ServerSync, SyncGap
from platform_ops.rules.following import gap_after, retry_delay
from platform_ops.services.sync import work

State = ServerSync.State
MAX_MESSAGE = 500


def sync_of(server_id: int) -> ServerSync:
    """The row of the server; made when there is none."""
    sync, _ = ServerSync.objects.select_related("server").get_or_create(server_id=server_id)
    return sync


def _write(sync: ServerSync, *, state: str, now: datetime, **values: Any) -> None:
    """One statement; tells the work items when the state is another one."""
    changed = sync.state != state
    values = {"state": state, "updated_at": now, "heartbeat_at": now, **values}
    if changed:
        values["state_since"] = now
    ServerSync.objects.filter(pk=sync.pk).update(**values)
    sync.refresh_from_db()
    if changed or sync.down_since is not None or state == State.FAILED:
        work.note_sync(server_id=sync.server_id)


@transaction.atomic
def note_failure(sync: ServerSync, *, state: str, message: str, now: datetime, slowest: float = 0.0) -> float:
    """The server could not be followed just now. Returns the seconds until the next try."""
    failures = sync.failures + 1
    delay = max(retry_delay(failures, jitter=random.random()), slowest)  # noqa: S311 -- spreads tries, guards nothing
    down_since = sync.down_since or now
    _note_gap(sync, now=now, cause=message)
    _write(
        sync,
        state=state,
        now=now,
        failures=failures,
        message=message[:MAX_MESSAGE],
        next_try_at=now + timedelta(seconds=delay),
        down_since=down_since,
        lag_seconds=_lag(sync, now),
    )
    return delay


def note_clock(sync: ServerSync, *, offset: timedelta) -> None:
    """Writes down how far the server's clock is ahead of ours."""
    ServerSync.objects.filter(pk=sync.pk).update(clock_offset_seconds=_seconds(offset))


@transaction.atomic
def hold_for_clock(sync: ServerSync, *, offset: timedelta, now: datetime) -> float:
    """The server's times cannot be believed: nothing is read. Returns the seconds until the next look at its clock."""
    note_clock(sync, offset=offset)
    side = "ahead of" if offset > timedelta() else "behind"
    message = (
        f"The clock of {sync.server.code} is {_words(offset)} {side} what its zone says. Nothing is read until it is "
        "right: deals would be booked with wrong times."
    )
    return note_failure(sync, state=State.CLOCK_OFF, message=message, now=now)


@transaction.atomic
def note_started(sync: ServerSync, connection: ServerConnection, *, now: datetime) -> datetime:
    """The cursor to read from; a stretch that was not followed becomes a gap."""
    _note_gap(sync, now=now, cause=sync.message or "It was not followed.", connection=connection)
    return sync.cursor_at or connection.started_at


@transaction.atomic
def note_window(
    sync: ServerSync,
    *,
    cursor: datetime,
    is_live: bool,
    last_deal_at: datetime | None,
    deals: int,
    now: datetime,
    problem: str = "",
    wait_seconds: float = 0.0,
) -> None:
    """A window was read and booked up to *cursor*. With a *problem*, some of its records wait for a person."""
    ServerSync.objects.filter(pk=sync.pk).update(
        cursor_at=Greatest(F("cursor_at"), cursor),
        deals=F("deals") + deals,
        last_success_at=now,
        **({} if last_deal_at is None else {"last_deal_at": Greatest(F("last_deal_at"), last_deal_at)}),
    )
    sync.refresh_from_db()
    _fill_gaps(sync, deals=deals, now=now)
    state = State.FAILED if problem else State.LIVE if is_live else State.CATCHING_UP
    _write(
        sync,
        state=state,
        now=now,
        failures=0 if not problem else sync.failures,
        message=problem[:MAX_MESSAGE],
        next_try_at=now + timedelta(seconds=wait_seconds) if wait_seconds else None,
        down_since=None,
        lag_seconds=_lag(sync, now),
    )


def note_changes(sync: ServerSync, *, until: datetime | None, deals: int, corrected: int) -> None:
    """The marks of change were read up to a moment (None: not yet to any), and brought so many deals and corrections."""
    ServerSync.objects.filter(pk=sync.pk).update(
        changes_at=F("changes_at") if until is None else Greatest(F("changes_at"), until),
        deals=F("deals") + deals,
        corrected_deals=F("corrected_deals") + corrected,
    )
    sync.refresh_from_db()


def note_stopped(server_id: int, *, now: datetime, message: str = "") -> None:
    """Nobody follows the server any more, on purpose."""
    sync = sync_of(server_id)
    if sync.state != State.STOPPED:
        _write(sync, state=State.STOPPED, now=now, message=message[:MAX_MESSAGE], next_try_at=None, down_since=None)


@transaction.atomic
def note_late(sync: ServerSync, *, from_at: datetime, to_at: datetime, deals: int, now: datetime) -> SyncGap:
    """Deals came after their time had been read: a gap, found and filled at once."""
    return SyncGap.objects.create(
        server_id=sync.server_id,
        from_at=from_at,
        to_at=max(to_at, from_at + timedelta(seconds=1)),
        filled_to=to_at,
        cause="The server told these deals after their time had been read.",
        found_at=now,
        filled_at=now,
        deals=deals,
    )


def _note_gap(sync: ServerSync, *, now: datetime, cause: str, connection: ServerConnection | None = None) -> None:
    """Opens the gap, or lets the open one grow, once nothing was read for too long."""
    if sync.cursor_at is None or sync.last_success_at is None:
        return
    interval = connection or ServerConnection.objects.filter(server_id=sync.server_id).first()
    allowed = gap_after(timedelta(seconds=interval.interval_seconds if interval else 5))
    open_gap = SyncGap.objects.filter(server_id=sync.server_id, filled_at__isnull=True).order_by("-pk").first()
    if open_gap is not None and now - sync.last_success_at > allowed:
        SyncGap.objects.filter(pk=open_gap.pk, to_at__lt=now).update(to_at=now)
    elif open_gap is None and now - sync.last_success_at > allowed and sync.state != State.CATCHING_UP:
        SyncGap.objects.create(
            server_id=sync.server_id, from_at=sync.cursor_at, to_at=now, cause=cause[:200], found_at=now
        )


def _fill_gaps(sync: ServerSync, *, deals: int, now: datetime) -> None:
    assert sync.cursor_at is not None
    for gap in SyncGap.objects.filter(server_id=sync.server_id, filled_at__isnull=True):
        if sync.cursor_at <= gap.from_at:
            continue
        gap.filled_to = min(sync.cursor_at, gap.to_at)
        gap.deals += deals
        if sync.cursor_at >= gap.to_at:
            gap.filled_at = now
        gap.save(update_fields=["filled_to", "deals", "filled_at"])
        if gap.filled_at is not None:
            work.note_gaps(server_id=sync.server_id)


def _lag(sync: ServerSync, now: datetime) -> int | None:
    return None if sync.cursor_at is None else max(0, round((now - sync.cursor_at).total_seconds()))


def _seconds(offset: timedelta) -> Decimal:
    return Decimal(round(offset / timedelta(milliseconds=1))) / 1000


def _words(offset: timedelta) -> str:
    seconds = abs(round(offset.total_seconds()))
    if seconds > 600:  # servers tell whole seconds; an hour is an hour
        seconds = round(seconds / 60) * 60
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    parts = [
        f"{hours} h" if hours else "",
        f"{minutes} min" if minutes else "",
        f"{seconds % 60} s" if not hours else "",
    ]
    return " ".join(part for part in parts if part)
