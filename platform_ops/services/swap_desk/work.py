"""What waits for a person at the swap desk: servers that do not have the rates that are in force here."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta

from django.db.models import Count, Min, Q
from django.urls import reverse

from backoffice.core.models import ChangeRequest
from backoffice.core.models.work import Severity
from backoffice.core.types import Role
from backoffice.core.work.kinds import WorkCondition, WorkKind, register_work_kind
from backoffice.kernel import clock
from platform_ops.models import SwapPush

UNPUSHED_SWAPS = "platform.unpushed_swaps"
WAITS_FOR = timedelta(minutes=10)
"""A server may be away for a moment; after this a person should know."""


def register() -> None:
    """Registers the kind of work; called once when the application starts."""
    register_work_kind(
        WorkKind(
            kind=UNPUSHED_SWAPS,
            label="Swap rates not on a server",
            desk="platform_ops",
            roles=(Role.PLATFORM_OPERATIONS.value, Role.ADMINISTRATOR.value),
            due_hours=2,
            severity=Severity.HIGH,
            escalate_after_hours=4,
            escalate_to_roles=(Role.DEALING.value,),
            action_label="Open the pushes",
            conditions=unpushed_swaps,
            closes_by_hand=False,
        )
    )


def unpushed_swaps(group_keys: Collection[str] | None = None) -> Iterator[WorkCondition]:
    """One condition per change and server that lacks something of it."""
    waited = clock.now() - WAITS_FOR
    stuck = Q(state__in=[*SwapPush.FAILED_STATES, SwapPush.State.BY_HAND]) | Q(
        state__in=SwapPush.OPEN_STATES, due_at__lt=waited
    )
    found = (
        SwapPush.objects.filter(stuck)
        .values("change_id", "change__reference", "server_id", "server__code", "server__entity_id")
        .annotate(symbols=Count("pk"), since=Min("due_at"), first=Min("server_symbol__name"))
        .order_by("change_id", "server_id")
    )
    for row in found:
        key = f"{row['change_id']}:{row['server_id']}"
        if group_keys is not None and key not in group_keys:
            continue
        more = f" and {row['symbols'] - 1:,} more" if row["symbols"] > 1 else ""
        yield WorkCondition(
            group_key=key,
            title=f"{row['server__code']} lacks swaps of {row['first']}{more} ({row['change__reference']})"[:200],
            evidence={"server": row["server__code"], "symbols": row["symbols"], "request": row["change__reference"]},
            entity_id=row["server__entity_id"],
            target=ChangeRequest(pk=row["change_id"], reference=row["change__reference"]),
            url=f"{reverse('admin:platform_ops_swap_pushes')}?change={row['change_id']}",
            since=row["since"] + WAITS_FOR,
        )
