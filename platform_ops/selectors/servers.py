"""How the trading servers are: what the health board, the API, the metrics and the readiness page show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.core.cache import cache
from django.db.models import Count, F, Q

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, day_bounds
from platform_ops.models import (
    Deal,
    DropCopySession,
    LiquidityFill,
    ReconciliationBreak,
    ServerConnection,
    ServerSync,
    SyncGap,
    TradingServer,
)
from platform_ops.rules.following import gap_after

MAX_SERVERS = 200
MAX_GAPS = 50
TIMELINE = timedelta(hours=24)
COUNTED_SECONDS = 10
HEARTBEAT_LATE = timedelta(minutes=2)
_State = ServerSync.State


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerHealth:
    """One server as the board shows it. Seconds are as of `at`; None where nobody knows."""

    server: TradingServer
    connection: ServerConnection | None
    sync: ServerSync | None
    at: datetime
    lag_seconds: int | None
    heartbeat_seconds: int | None
    last_deal_seconds: int | None
    deals_today: int
    breaks: int
    open_gaps: int
    gaps: tuple[SyncGap, ...]
    drop_copy: DropCopySession | None = None
    """The FIX session, where the server is a provider's drop copy; its deals are executions then."""

    @property
    def state(self) -> str:
        """What following the server comes to now: a state of `ServerSync`, `silent` or `not_connected`."""
        if self.connection is None:
            return "not_connected"
        if not self.connection.is_enabled:
            return _State.STOPPED
        if self.sync is None or self.sync.heartbeat_at is None:
            return _State.WAITING
        is_silent = self.heartbeat_seconds is not None and self.heartbeat_seconds > HEARTBEAT_LATE.total_seconds()
        waits = self.sync.next_try_at is not None and self.sync.next_try_at > self.at - HEARTBEAT_LATE
        return "silent" if is_silent and not waits else self.sync.state

    @property
    def label(self) -> str:
        """The state in words."""
        return _LABELS[self.state]

    @property
    def tone(self) -> str:
        """Good, warn, bad or quiet."""
        if self.state == _State.LIVE and (self.open_gaps or self.is_behind):
            return "warn"
        return _TONES[self.state]

    @property
    def is_behind(self) -> bool:
        """Whether what was read is older than it should be."""
        if self.lag_seconds is None or self.connection is None:
            return False
        return self.lag_seconds > gap_after(timedelta(seconds=self.connection.interval_seconds)).total_seconds()


_LABELS = {
    **{value: str(label) for value, label in _State.choices},
    _State.CLOCK_OFF: "Held: clock off",
    _State.FAILED: "Held: bad answer",
    "silent": "Nobody follows it",
    "not_connected": "Not connected",
}
_TONES = {
    _State.LIVE: "good",
    _State.CATCHING_UP: "warn",
    _State.WAITING: "quiet",
    _State.STOPPED: "quiet",
    "not_connected": "quiet",
    _State.UNREACHABLE: "bad",
    _State.CLOCK_OFF: "bad",
    _State.FAILED: "bad",
    "silent": "bad",
}


def server_health(*, actor: Actor, now: datetime | None = None) -> list[ServerHealth]:
    """Every server that the actor sees, those that need somebody first."""
    at = now or clock.now()
    servers = list(visible_to(TradingServer.objects.select_related("entity"), actor).order_by("code")[:MAX_SERVERS])
    numbers = [server.pk for server in servers]
    connections = {row.server_id: row for row in ServerConnection.objects.filter(server__in=numbers).defer("password")}
    syncs = {row.server_id: row for row in ServerSync.objects.filter(server__in=numbers)}
    gaps = _gaps_by_server(numbers, at)
    deals = _deals_today(numbers, at)
    sessions = {row.server_id: row for row in DropCopySession.objects.filter(server__in=numbers)}
    deals |= _executions_today(sessions, at)
    breaks = _counts(ReconciliationBreak.objects.filter(server__in=numbers, state="open"))
    rows = [
        ServerHealth(
            server=server,
            connection=connections.get(server.pk),
            sync=syncs.get(server.pk),
            at=at,
            lag_seconds=_age(syncs.get(server.pk), "cursor_at", at),
            heartbeat_seconds=_age(syncs.get(server.pk), "heartbeat_at", at),
            last_deal_seconds=_age(syncs.get(server.pk), "last_deal_at", at),
            deals_today=deals.get(server.pk, 0),
            breaks=breaks.get(server.pk, 0),
            open_gaps=sum(gap.filled_at is None for gap in gaps.get(server.pk, ())),
            gaps=tuple(gaps.get(server.pk, ())),
            drop_copy=sessions.get(server.pk),
        )
        for server in servers
    ]
    order = {"bad": 0, "warn": 1, "good": 2, "quiet": 3}
    return sorted(rows, key=lambda row: (order[row.tone], row.state == "not_connected", row.server.code))


def recent_gaps(*, actor: Actor, limit: int = MAX_GAPS) -> list[SyncGap]:
    """The last gaps of the servers that the actor sees, open ones first."""
    gaps = visible_to(SyncGap.objects.select_related("server"), actor)
    return list(gaps.order_by(F("filled_at").desc(nulls_first=True), "-pk")[: min(limit, MAX_GAPS)])


def followed_until(*, server_id: int) -> datetime | None:
    """Up to when everything of the server was read without an open gap; None when it is not followed at all."""
    connection = ServerConnection.objects.filter(server_id=server_id, is_enabled=True).exists()
    sync = ServerSync.objects.filter(server_id=server_id).first() if connection else None
    if sync is None:
        return None
    gap = SyncGap.objects.filter(server_id=server_id, filled_at__isnull=True).order_by("from_at").first()
    if gap is None or sync.cursor_at is None:
        return sync.cursor_at
    return min(sync.cursor_at, gap.filled_to or gap.from_at)


def lag_by_server() -> dict[str, float]:
    """Seconds by which each followed server's records are behind; -1 before its first."""
    now = clock.now()
    syncs = ServerSync.objects.filter(server__connection__is_enabled=True).select_related("server")
    return {
        sync.server.code: -1.0 if sync.cursor_at is None else max(0.0, (now - sync.cursor_at).total_seconds())
        for sync in syncs[:MAX_SERVERS]
    }


def servers_by_state() -> dict[str, float]:
    """How many followed servers stand in each state."""
    counts = dict.fromkeys(_State.values, 0.0)
    rows = ServerSync.objects.filter(server__connection__is_enabled=True).order_by().values("state")
    for row in rows.annotate(count=Count("pk")):
        counts[row["state"]] = float(row["count"])
    return counts


def open_gap_count() -> float:
    """Gaps that are not refilled."""
    return float(SyncGap.objects.filter(filled_at__isnull=True).count())


def readiness() -> dict[str, Any]:
    """Counts for the readiness page. A server that is away does not make the installation unready."""
    lags = lag_by_server()
    states = servers_by_state()
    return {
        "ok": True,
        "servers": len(lags),
        "live": int(states[_State.LIVE]),
        "worst_lag_seconds": round(max(lags.values(), default=0.0), 1),
        "open_gaps": int(open_gap_count()),
    }


def _gaps_by_server(numbers: list[int], at: datetime) -> dict[int, list[SyncGap]]:
    found: dict[int, list[SyncGap]] = {}
    recent = SyncGap.objects.filter(server__in=numbers).filter(Q(filled_at__isnull=True) | Q(to_at__gte=at - TIMELINE))
    for gap in recent.order_by("server", "from_at")[: MAX_SERVERS * MAX_GAPS]:
        found.setdefault(gap.server_id, []).append(gap)
    return found


def _deals_today(numbers: list[int], at: datetime) -> dict[int, int]:
    """Counted once for all who look within seconds: the board asks again and again, and a day has many deals."""
    start, end = day_bounds(business_day_of(at))
    key = f"platform:deals-today:{start:%Y%m%d}"
    counts: dict[int, int] | None = cache.get(key)
    if counts is None:
        counts = _counts(Deal.objects.filter(revision=0, at__gte=start, at__lt=end))
        cache.set(key, counts, COUNTED_SECONDS)
    return {number: counts.get(number, 0) for number in numbers}


def _executions_today(sessions: Mapping[int, DropCopySession], at: datetime) -> dict[int, int]:
    """What providers executed today, by server of their drop copy."""
    if not sessions:
        return {}
    start, end = day_bounds(business_day_of(at))
    providers = {session.provider_id: server for server, session in sessions.items()}
    fills = LiquidityFill.objects.filter(
        provider__in=providers, revision=0, executed_at__gte=start, executed_at__lt=end
    )
    counted = fills.order_by().values("provider").annotate(count=Count("pk"))
    found = {providers[row["provider"]]: int(row["count"]) for row in counted}
    return {server: found.get(server, 0) for server in sessions}


def _counts(rows: Any) -> dict[int, int]:
    counted: Iterable[dict[str, Any]] = rows.order_by().values("server").annotate(count=Count("pk"))
    return {row["server"]: row["count"] for row in counted}


def _age(sync: ServerSync | None, name: str, at: datetime) -> int | None:
    moment = None if sync is None else getattr(sync, name)
    return None if moment is None else max(0, round((at - moment).total_seconds()))
