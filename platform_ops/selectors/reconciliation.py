"""Where each server stands in its comparison with the books."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Count

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from platform_ops.models import ReconciliationBreak, ReconciliationRun, TradingServer

_State = ReconciliationBreak.State


@dataclass(frozen=True, slots=True)
class ServerComparison:
    """A server, its last run, and its breaks that stand; `kinds` are the open ones by kind, most first."""

    server: TradingServer
    last: ReconciliationRun | None
    open: int
    accepted: int
    kinds: tuple[tuple[str, int], ...]
    is_followed: bool

    @property
    def is_compared(self) -> bool:
        """Whether the last run came to its end."""
        return self.last is not None and self.last.state == ReconciliationRun.State.DONE

    @property
    def label(self) -> str:
        """The state in two words."""
        if self.last is None:
            return "Not compared yet"
        if self.last.state == ReconciliationRun.State.RUNNING:
            return "Running"
        if self.last.state == ReconciliationRun.State.FAILED:
            return "Failed"
        return f"{self.open:,} open" if self.open else "Agrees"

    @property
    def tone(self) -> str:
        """How it looks."""
        if self.last is None:
            return "quiet"
        if self.last.state == ReconciliationRun.State.RUNNING:
            return "info"
        return "bad" if self.last.state == ReconciliationRun.State.FAILED or self.open else "good"


def server_comparisons(*, actor: Actor) -> list[ServerComparison]:
    """The servers that can be compared, or were, by code."""
    servers = list(
        visible_to(TradingServer.objects.all(), actor).select_related("connection").order_by("code").distinct()
    )
    visible = [server.pk for server in servers]
    last: dict[int, ReconciliationRun] = {
        run.server_id: run
        for run in ReconciliationRun.objects.filter(server__in=visible)
        .order_by("server_id", "-id")
        .distinct("server_id")
    }
    counts: dict[int, list[tuple[str, str, int]]] = {}
    standing = ReconciliationBreak.objects.filter(server__in=visible).exclude(state=_State.RESOLVED)
    for row in standing.order_by().values("server", "state", "kind").annotate(count=Count("pk")):
        counts.setdefault(row["server"], []).append((row["state"], row["kind"], row["count"]))
    found: list[ServerComparison] = []
    for server in servers:
        connection = getattr(server, "connection", None)
        if connection is None and server.pk not in last:
            continue
        rows = counts.get(server.pk, [])
        opened = sorted(((kind, count) for state, kind, count in rows if state == _State.OPEN), key=lambda one: -one[1])
        found.append(
            ServerComparison(
                server=server,
                last=last.get(server.pk),
                open=sum(count for _, count in opened),
                accepted=sum(count for state, _, count in rows if state == _State.ACCEPTED),
                kinds=tuple(opened),
                is_followed=connection is not None and connection.is_enabled,
            )
        )
    return found
