"""How the rollover of each server is done, and changing that."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise, get_visible
from backoffice.core.services import audit
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from platform_ops.models import SwapSetting, TradingServer
from platform_ops.permissions import MANAGE_SWAPS

_FIELDS = ("mode", "cut", "channel", "starts_on", "tolerance", "rounds_point_value_first", "blocks_day")


def setting_of(server: TradingServer) -> SwapSetting:
    """The server's setting; without one, proving from the first day on, unsaved."""
    return SwapSetting.objects.filter(server=server).first() or SwapSetting(server=server, starts_on=date.min)


@transaction.atomic(durable=True)
def set_swap_setting(
    *,
    server_id: int,
    mode: str,
    cut: str,
    channel: str,
    starts_on: date,
    actor: Actor,
    reason: str,
    tolerance: Decimal = Decimal(0),
    rounds_point_value_first: bool = True,
    blocks_day: bool = False,
) -> SwapSetting:
    """Sets how a server's swaps are computed and whether they are charged by us or only proved. Needs a reason."""
    authorise(actor, MANAGE_SWAPS)
    server = get_visible(TradingServer.objects.all(), actor, pk=server_id)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    for name, value, allowed in (
        ("mode", mode, SwapSetting.Mode.values),
        ("cut", cut, SwapSetting.Cut.values),
        ("channel", channel, SwapSetting.Channel.values),
    ):
        if value not in allowed:
            raise InvalidInput(f"{value!r} is none of {', '.join(allowed)}.", field=name, value=value)
    if not tolerance.is_finite() or tolerance < 0:
        raise InvalidInput("A tolerance is not below zero.", field="tolerance", value=str(tolerance))
    before = SwapSetting.objects.filter(server=server).first()
    values: dict[str, Any] = {
        "mode": mode,
        "cut": cut,
        "channel": channel,
        "starts_on": starts_on,
        "tolerance": tolerance,
        "rounds_point_value_first": rounds_point_value_first,
        "blocks_day": blocks_day,
    }
    setting, _ = SwapSetting.objects.update_or_create(server=server, defaults=values)
    audit.record(
        actor=actor,
        action="platform.set_swap_setting",
        target=server,
        reason=reason,
        changes={
            "before": {name: str(getattr(before, name)) for name in _FIELDS} if before else None,
            "after": {name: str(value) for name, value in values.items()},
        },
        entity_id=server.entity_id,
    )
    return setting
