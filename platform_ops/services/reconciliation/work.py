"""Work items of the comparison: one for each break, one for all of a server where there are very many, one for a run
that could not be made."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from platform_ops.models import ReconciliationBreak, ReconciliationRun, TradingServer

BREAK = "platform.reconciliation_break"
NOT_RECONCILED = "platform.not_reconciled"
MAX_SEPARATE_ITEMS = 50
"""Above this many open breaks on a server, one item stands for all of them."""

FAILED_MATTERS_FOR = timedelta(days=7)
_ALL = "*"
_MONEY = frozenset({"balance", "credit", "account_gone", "account_unknown"})


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    operations, administrator = Role.PLATFORM_OPERATIONS.value, Role.ADMINISTRATOR.value
    finance, compliance = Role.FINANCE.value, Role.COMPLIANCE.value
    register_work_kind(
        WorkKind(
            kind=BREAK,
            label="Difference to a server",
            desk="platform_ops",
            roles=(operations, finance, administrator),
            due_hours=8,
            severity=Severity.HIGH,
            escalate_after_hours=16,
            escalate_to_roles=(compliance,),
            action_slug="accept",
            action_label="Accept with a reason",
            conditions=open_breaks,
            closes_by_hand=False,
        )
    )
    register_work_kind(
        WorkKind(
            kind=NOT_RECONCILED,
            label="Server that was not compared",
            desk="platform_ops",
            roles=(operations, administrator),
            due_hours=4,
            severity=Severity.HIGH,
            escalate_after_hours=8,
            escalate_to_roles=(finance,),
            action_label="Open the comparison",
            conditions=failed_runs,
            closes_by_hand=False,
        )
    )


def note_breaks(*, server_id: int) -> None:
    """Brings a server's items to its open breaks, and closes what says that it could not be compared."""
    server = TradingServer.objects.get(pk=server_id)
    work_items.reconcile(
        kind=BREAK,
        prefix=f"{server.code}:",
        conditions=lambda: _conditions(server),
        reason="The difference is gone, or somebody accepted it.",
    )
    note_runs(server)


def note_failed(run: ReconciliationRun) -> None:
    """Opens the item of a server that could not be compared."""
    note_runs(run.server)


def note_runs(server: TradingServer) -> None:
    """Brings the item about runs to how the last one ended."""
    work_items.reconcile(
        kind=NOT_RECONCILED,
        prefix=f"{server.code}:",
        conditions=lambda: _failed([server]),
        reason="The server was compared.",
    )


def open_breaks(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every open break."""
    found = ReconciliationBreak.objects.filter(state=ReconciliationBreak.State.OPEN).order_by().values("server")
    servers = TradingServer.objects.filter(pk__in=found)
    if group_keys is not None:
        servers = servers.filter(code__in={key.partition(":")[0] for key in group_keys})
    return [condition for server in servers for condition in _conditions(server)]


def failed_runs(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Servers whose last comparison failed."""
    servers = TradingServer.objects.filter(connection__is_enabled=True)
    if group_keys is not None:
        servers = servers.filter(code__in={key.partition(":")[0] for key in group_keys})
    return _failed(servers)


def group_key(one: ReconciliationBreak) -> str:
    """What names a break's item."""
    return f"{one.server.code}:{one.kind}:{one.login}:{one.ticket}:{one.leg}"


def _conditions(server: TradingServer) -> list[WorkCondition]:
    waiting = (
        ReconciliationBreak.objects.filter(server=server, state=ReconciliationBreak.State.OPEN)
        .select_related("server")
        .order_by("kind", "login", "ticket", "leg")
    )
    found = list(waiting[: MAX_SEPARATE_ITEMS + 1])
    if len(found) > MAX_SEPARATE_ITEMS:
        return [_of_many(server, waiting.count(), found)]
    return [_condition(one) for one in found]


def _condition(one: ReconciliationBreak) -> WorkCondition:
    where = f"account {one.login}" + (f", ticket {one.ticket}" if one.ticket else "")
    return WorkCondition(
        group_key=group_key(one),
        title=f"{one.get_kind_display()}: {where} on {one.server.code}",
        evidence={
            "server": one.server.code,
            "login": one.login,
            "ticket": one.ticket or None,
            "fields": one.fields_differing,
            "here": one.ours,
            "on_the_server": one.theirs,
            "difference": None if one.amount is None else f"{one.amount.normalize():f} {one.currency}".strip(),
            "what_the_figures_say": one.cause,
            "seen_since": one.first_seen_at.isoformat(),
            "consequence": "The business day of this server does not close while the difference is open.",
        },
        entity_id=one.server.entity_id,
        target=one,
        severity=Severity.HIGH if one.kind in _MONEY else None,
    )


def _of_many(server: TradingServer, count: int, examples: list[ReconciliationBreak]) -> WorkCondition:
    return WorkCondition(
        group_key=f"{server.code}:{_ALL}",
        title=f"{count:,} differences between {server.code} and the books",
        evidence={
            "server": server.code,
            "count": count,
            "examples": [str(one) for one in examples[:20]],
            "consequence": "So many at once have one cause: look at the connection, its start and the last import first.",
        },
        entity_id=server.entity_id,
        target=server,
        severity=Severity.HIGH,
    )


def _failed(servers: Iterable[TradingServer]) -> list[WorkCondition]:
    conditions = []
    for server in servers:
        last = ReconciliationRun.objects.filter(server=server).exclude(state=ReconciliationRun.State.RUNNING).first()
        if last is None or last.state != ReconciliationRun.State.FAILED:
            continue
        if last.started_at < clock.now() - FAILED_MATTERS_FOR:
            continue
        conditions.append(
            WorkCondition(
                group_key=f"{server.code}:last",
                title=f"{server.code} could not be compared with the books",
                evidence=_failure(server, last),
                entity_id=server.entity_id,
                target=last,
            )
        )
    return conditions


def _failure(server: TradingServer, last: ReconciliationRun) -> dict[str, Any]:
    return {
        "server": server.code,
        "day": None if last.business_day is None else last.business_day.isoformat(),
        "problem": last.problem,
        "at": last.started_at.isoformat(),
        "consequence": "The business day of this server waits until it was compared.",
    }
