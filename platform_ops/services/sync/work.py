"""Work items of following servers: what a person must see to, read from the books like every other item."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db.models import Q, QuerySet
from django.urls import reverse

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from platform_ops.models import ServerConnection, ServerSync, SyncGap

SERVER_UNREACHABLE = "platform.server_unreachable"
SERVER_CLOCK = "platform.server_clock"
SERVER_ANSWERS = "platform.server_answers"
SYNC_GAP = "platform.sync_gap"
PROVIDER_SILENT = "platform.lp_silent"
PROVIDER_REFUSES = "platform.lp_refuses"

UNREACHABLE_AFTER = timedelta(minutes=5)
UNFOLLOWED_AFTER = timedelta(minutes=5)
"""A server that should be followed and of which no process has said anything for so long."""

GAP_OPEN_AFTER = timedelta(minutes=30)
_State = ServerSync.State
_DROP_COPY = Q(server__connection__kind=ServerConnection.Kind.FIX_DROP_COPY)


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    operations, administrator = Role.PLATFORM_OPERATIONS.value, Role.ADMINISTRATOR.value
    dealing = Role.DEALING.value
    for kind, label, due_hours, conditions, clears_after in (
        (SERVER_UNREACHABLE, "Server out of reach", 1, unreachable_servers, 60),
        (SERVER_CLOCK, "Server clock that is off", 1, off_clocks, 60),
        (SERVER_ANSWERS, "Server that answers what cannot be", 2, garbled_servers, 120),
        (PROVIDER_SILENT, "Provider's drop copy is silent", 1, silent_providers, 60),
        (PROVIDER_REFUSES, "Provider refuses the drop copy", 1, refusing_providers, 60),
        (SYNC_GAP, "Gap that is not refilled", 4, open_gaps, 0),
    ):
        register_work_kind(
            WorkKind(
                kind=kind,
                label=label,
                desk="platform_ops",
                roles=(operations, administrator),
                due_hours=due_hours,
                severity=Severity.HIGH,
                clears_after_seconds=clears_after,
                escalate_after_hours=2,
                escalate_to_roles=(dealing,),
                action_label="Open server health",
                conditions=conditions,
                closes_by_hand=False,
            )
        )


def note_sync(*, server_id: int) -> None:
    """Brings the items of a server to where following it stands."""
    sync = ServerSync.objects.select_related("server").get(server_id=server_id)
    prefix = f"{sync.server.code}:"
    for kind, conditions in (
        (SERVER_UNREACHABLE, unreachable_servers),
        (SERVER_CLOCK, off_clocks),
        (SERVER_ANSWERS, garbled_servers),
        (PROVIDER_SILENT, silent_providers),
        (PROVIDER_REFUSES, refusing_providers),
    ):
        keys = [f"{prefix}sync"]
        work_items.reconcile(
            kind=kind,
            prefix=prefix,
            conditions=lambda conditions=conditions, keys=keys: conditions(keys),  # type: ignore[misc]
            reason="It is followed again.",
        )


def note_gaps(*, server_id: int) -> None:
    """Clears the items of gaps that are filled."""
    code = ServerSync.objects.values_list("server__code", flat=True).get(server_id=server_id)
    work_items.reconcile(
        kind=SYNC_GAP,
        prefix=f"{code}:",
        conditions=lambda: [found for found in open_gaps(None) if found.group_key.startswith(f"{code}:")],
        reason="It was read to its end.",
    )


def unreachable_servers(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Servers out of reach for minutes, and servers that no process follows though they should be."""
    for sync in _away(_of(group_keys).exclude(_DROP_COPY)):
        is_down = sync.state == _State.UNREACHABLE
        what = "has not answered" if is_down else "is followed by no process"
        yield _condition(
            sync,
            f"{sync.server.code} {what} since {_since(sync)}",
            problem=sync.message or "No process has said anything about it.",
            consequence="No deals come in; exposure, commissions and margins are as old as the last one read.",
        )


def silent_providers(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Drop copies that are silent for minutes, or that no process follows though they should be."""
    for sync in _away(_of(group_keys).filter(_DROP_COPY)):
        what = "is silent" if sync.state == _State.UNREACHABLE else "is followed by no process"
        yield _condition(
            sync,
            f"The drop copy {sync.server.code} {what} since {_since(sync)}",
            problem=sync.message or "No process has said anything about it.",
            consequence="What the provider fills for us is not seen: our hedges stand unproved until it is back. "
            "Everything is asked for then.",
        )


def refusing_providers(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Drop copies whose provider refuses us, or whose numbers do not fit."""
    enabled = Q(server__connection__is_enabled=True)
    for sync in _of(group_keys).filter(_DROP_COPY, enabled, state__in=(_State.FAILED, _State.CLOCK_OFF)):
        yield _condition(
            sync,
            f"The drop copy {sync.server.code} is refused",
            problem=sync.message,
            consequence="It is tried again and again, but needs a person: the user, the names or the numbers must be "
            "agreed on with the provider.",
        )


def _away(syncs: QuerySet[ServerSync]) -> QuerySet[ServerSync]:
    now = clock.now()
    silent = Q(heartbeat_at__lt=now - UNFOLLOWED_AFTER) & Q(
        Q(next_try_at__isnull=True) | Q(next_try_at__lt=now - UNFOLLOWED_AFTER)
    )
    down = Q(state=_State.UNREACHABLE, down_since__lte=now - UNREACHABLE_AFTER)
    enabled = Q(server__connection__is_enabled=True)
    return syncs.filter(enabled & (down | silent))


def _since(sync: ServerSync) -> str:
    since = sync.down_since if sync.state == _State.UNREACHABLE and sync.down_since else sync.heartbeat_at
    return f"{since:%Y-%m-%d %H:%M} UTC"


def off_clocks(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Servers that are held because their clock is off."""
    for sync in _of(group_keys).exclude(_DROP_COPY).filter(state=_State.CLOCK_OFF, server__connection__is_enabled=True):
        yield _condition(
            sync,
            f"The clock of {sync.server.code} is {_offset_words(sync)} off",
            problem=sync.message,
            consequence="Nothing is read until the clock, or the zone that we keep for the server, is right.",
        )


def garbled_servers(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Servers whose answers cannot be read, or some of whose records cannot be booked."""
    for sync in _of(group_keys).exclude(_DROP_COPY).filter(state=_State.FAILED, server__connection__is_enabled=True):
        yield _condition(
            sync,
            f"{sync.server.code} answers what cannot be booked",
            problem=sync.message,
            consequence="What is named is not in the books and is asked for again and again; nothing else is held up "
            "that could be read.",
        )


def open_gaps(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Gaps that stayed open for too long after they were found."""
    gaps = SyncGap.objects.filter(filled_at__isnull=True, found_at__lte=clock.now() - GAP_OPEN_AFTER)
    for gap in gaps.filter(server__connection__is_enabled=True).select_related("server"):
        key = f"{gap.server.code}:{gap.pk}"
        if group_keys is not None and key not in group_keys:
            continue
        yield WorkCondition(
            group_key=key,
            title=f"{gap.server.code} was not read from {gap.from_at:%Y-%m-%d %H:%M} UTC on",
            evidence={
                "server": gap.server.code,
                "from": gap.from_at.isoformat(),
                "to": gap.to_at.isoformat(),
                "read to": gap.filled_to.isoformat() if gap.filled_to else None,
                "cause": gap.cause,
                "consequence": "Deals of that time are missing from the books.",
            },
            entity_id=gap.server.entity_id,
            target=gap.server,
            url=_board(),
            since=gap.found_at + GAP_OPEN_AFTER,
        )


def _of(group_keys: list[str] | None) -> QuerySet[ServerSync]:
    found = ServerSync.objects.select_related("server").order_by("server__code")
    if group_keys is None:
        return found
    return found.filter(server__code__in=[key.partition(":")[0] for key in group_keys])


def _condition(sync: ServerSync, title: str, *, problem: str, consequence: str) -> WorkCondition:
    return WorkCondition(
        group_key=f"{sync.server.code}:sync",
        title=title,
        evidence={
            "server": sync.server.code,
            "problem": problem,
            "read to": sync.cursor_at.isoformat() if sync.cursor_at else None,
            "last deal": sync.last_deal_at.isoformat() if sync.last_deal_at else None,
            "clock ahead by seconds": None if sync.clock_offset_seconds is None else str(sync.clock_offset_seconds),
            "consequence": consequence,
        },
        entity_id=sync.server.entity_id,
        target=sync.server,
        url=_board(),
    )


def _board() -> str:
    return reverse("admin:platform_ops_server_health")


def _offset_words(sync: ServerSync) -> str:
    seconds = round(abs(float(sync.clock_offset_seconds or 0)))
    seconds = round(seconds / 60) * 60 if seconds > 600 else seconds
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    parts = (f"{hours} h" if hours else "", f"{minutes} min" if minutes else "", f"{seconds} s" if seconds < 60 else "")
    return " ".join(part for part in parts if part)
