"""Work items of swaps: breaks that nobody has explained, symbols without a rate, positions that should have been closed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet, Sum

from backoffice.core.models import Severity
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from backoffice.kernel.money import Money
from platform_ops.models import SwapBreak, SwapCharge, SwapLine, SwapRun, SwapTerm, TradingServer
from platform_ops.rules.swaps import Cause

SWAP_BREAK = "platform.swap_break"
NO_SWAP_RATE = "platform.no_swap_rate"
CLOSE_DUE = "platform.swap_free_close_due"
CHARGE_WAITS = "platform.swap_charge_waits"
CHARGE_MAY_WAIT = timedelta(minutes=30)
MAX_SEPARATE_ITEMS = 50
"""Above this many breaks on one server, one item stands for all of them."""
_ALL = "*"


def register() -> None:
    """Adds the kinds; called once when the application starts."""
    operations, administrator = Role.PLATFORM_OPERATIONS.value, Role.ADMINISTRATOR.value
    finance, dealing = Role.FINANCE.value, Role.DEALING.value
    for kind, label, hours, conditions, escalate in (
        (SWAP_BREAK, "Swap that does not agree", 8, swap_breaks, finance),
        (NO_SWAP_RATE, "Symbol without a swap rate", 8, symbols_without_rate, dealing),
        (CLOSE_DUE, "Swap-free position to be closed", 24, positions_to_close, dealing),
        (CHARGE_WAITS, "Swap charge that is not carried out", 8, waiting_charges, finance),
    ):
        register_work_kind(
            WorkKind(
                kind=kind,
                label=label,
                desk="platform_ops",
                roles=(operations, administrator),
                due_hours=hours,
                escalate_after_hours=24,
                escalate_to_roles=(escalate,),
                conditions=conditions,
                closes_by_hand=False,
            )
        )


def note_swap_breaks(server: TradingServer) -> None:
    """Brings the items of a server's breaks to those that are open."""
    _reconcile(SWAP_BREAK, server, lambda: _of_breaks(server), "The swaps agree, or the difference was accepted.")


def note_rollover(server: TradingServer) -> None:
    """Brings the items that follow from a server's last day to what it found."""
    _reconcile(NO_SWAP_RATE, server, lambda: _without_rate(server), "The symbol has a swap rate.")
    _reconcile(CLOSE_DUE, server, lambda: _to_close(server), "The positions are closed.")


def note_charges(server: TradingServer) -> None:
    """Brings the item of a server's charges to what waits."""
    _reconcile(CHARGE_WAITS, server, lambda: _of_charges(server), "Every charge was carried out.")


def swap_breaks(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every break that nobody has explained."""
    return [condition for server in _servers(group_keys) for condition in _of_breaks(server)]


def symbols_without_rate(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every symbol with open positions at the last rollover and no swap rate."""
    return [condition for server in _servers(group_keys) for condition in _without_rate(server)]


def positions_to_close(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Every account with swap-free positions that have stayed open longer than allowed."""
    return [condition for server in _servers(group_keys) for condition in _to_close(server)]


def waiting_charges(group_keys: list[str] | None) -> Iterable[WorkCondition]:
    """Servers with charges that wait for long, or that the server refused and nothing has taken the place of."""
    return [condition for server in _servers(group_keys) for condition in _of_charges(server)]


def _reconcile(kind: str, server: TradingServer, conditions: Any, reason: str) -> None:
    work_items.reconcile(kind=kind, prefix=f"{server.code}:", conditions=conditions, reason=reason)


def _servers(group_keys: list[str] | None) -> Iterable[TradingServer]:
    servers = TradingServer.objects.filter(swap_runs__isnull=False).distinct().order_by("code")
    if group_keys is None:
        return servers
    return servers.filter(code__in={key.partition(":")[0] for key in group_keys})


def _of_breaks(server: TradingServer) -> list[WorkCondition]:
    standing = SwapBreak.objects.filter(account__server=server, state=SwapBreak.State.OPEN)
    found = list(standing.select_related("account", "server_symbol").order_by("pk")[: MAX_SEPARATE_ITEMS + 1])
    if len(found) > MAX_SEPARATE_ITEMS:
        count = standing.count()
        return [
            WorkCondition(
                group_key=f"{server.code}:{_ALL}",
                title=f"{count:,} swaps on {server.code} do not agree",
                evidence={
                    "server": server.code,
                    "count": count,
                    "examples": [f"{row.account.login}/{row.position_ticket}" for row in found[:20]],
                },
                entity_id=server.entity_id,
                target=server,
                severity=Severity.HIGH,
            )
        ]
    return [
        WorkCondition(
            group_key=f"{server.code}:{row.account.login}:{row.position_ticket}",
            title=f"Swap of position {row.position_ticket} on {server.code}: {_money(row, row.theirs)} charged, {_money(row, row.ours)} due",
            evidence={
                "server": server.code,
                "login": row.account.login,
                "position": row.position_ticket,
                "symbol": row.server_symbol.name,
                "nights": f"{row.nights.normalize():f}",
                "charged_by_server": _money(row, row.theirs),
                "due_by_our_lines": _money(row, row.ours),
                "difference": _money(row, row.difference),
            },
            entity_id=server.entity_id,
            target=row,
        )
        for row in found
    ]


def _last_day(server: TradingServer) -> Any:
    return SwapRun.objects.filter(server=server).aggregate(day=Max("day"))["day"]


def _without_rate(server: TradingServer) -> list[WorkCondition]:
    run = SwapRun.objects.filter(server=server, day=_last_day(server)).order_by("-number").first()
    if run is None:
        return []
    names = (
        SwapTerm.objects.filter(run=run, cause=Cause.NO_RATE.value, symbol__isnull=False)
        .order_by("server_symbol__name")
        .values_list("server_symbol__name", flat=True)
        .distinct()
    )
    return [
        WorkCondition(
            group_key=f"{server.code}:{name}",
            title=f"{name} on {server.code} has no swap rate",
            evidence={
                "server": server.code,
                "symbol": name,
                "day": run.day.isoformat(),
                "consequence": "Its open positions are computed with no swap until a rate is set; then the rest is booked.",
            },
            entity_id=server.entity_id,
            target=run,
        )
        for name in names
    ]


def _to_close(server: TradingServer) -> list[WorkCondition]:
    day = _last_day(server)
    if day is None:
        return []
    rows = (
        SwapLine.objects.filter(day=day, account__server=server, cause=Cause.CLOSE_DUE.value)
        .values("account__login")
        .annotate(positions=Count("position_ticket"))
        .order_by("account__login")
    )
    return [
        WorkCondition(
            group_key=f"{server.code}:{row['account__login']}",
            title=f"{row['positions']} swap-free positions of {row['account__login']} on {server.code} are to be closed",
            evidence={
                "server": server.code,
                "login": row["account__login"],
                "positions": row["positions"],
                "day": day.isoformat(),
                "consequence": "They have been open longer than the policy allows; on abuse its swaps can be re-applied.",
            },
            entity_id=server.entity_id,
            target=server,
        )
        for row in rows
    ]


def unfinished_charges(server: TradingServer) -> QuerySet[SwapCharge]:
    """Charges that are due or under way, and refused ones whose account and day were charged nothing since."""
    since = SwapCharge.objects.filter(
        account=OuterRef("account"), day=OuterRef("day"), seq__gt=OuterRef("seq")
    ).exclude(state=SwapCharge.State.REFUSED)
    return SwapCharge.objects.filter(account__server=server).filter(
        Q(state__in=[SwapCharge.State.DUE, SwapCharge.State.SENDING])
        | (Q(state=SwapCharge.State.REFUSED) & ~Exists(since))
    )


def _of_charges(server: TradingServer) -> list[WorkCondition]:
    waiting = unfinished_charges(server).filter(
        Q(state=SwapCharge.State.REFUSED) | Q(created_at__lt=clock.now() - CHARGE_MAY_WAIT)
    )
    found = list(waiting.select_related("account", "operation").order_by("created_at", "pk")[:20])
    if not found:
        return []
    count = waiting.count()
    amounts = waiting.values("currency").annotate(total=Sum("amount")).order_by("currency")
    return [
        WorkCondition(
            group_key=f"{server.code}:{_ALL}",
            title=f"{count:,} swap charge{'' if count == 1 else 's'} on {server.code} not carried out",
            evidence={
                "server": server.code,
                "count": count,
                "amounts": [f"{row['total']:+,.2f} {row['currency']}" for row in amounts],
                "refused": waiting.filter(state=SwapCharge.State.REFUSED).count(),
                "examples": [
                    f"{row.reference} of {row.account.login}: {row.problem or row.get_state_display()}" for row in found
                ],
                "consequence": "The accounts' balances on the server lack these amounts. They are sent when the server "
                "takes them; a refused one is charged anew when its day's rollover is run again.",
            },
            entity_id=server.entity_id,
            target=server,
            since=found[0].created_at,
        )
    ]


def _money(row: SwapBreak, amount: Decimal) -> str:
    """An amount of a break in the places of its currency."""
    return str(Money.of(amount, row.currency).quantized().amount) + f" {row.currency}"
