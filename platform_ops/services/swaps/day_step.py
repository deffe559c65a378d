"""The swaps of a business day: every server's day that it takes in is computed, charged or proved."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from backoffice.core.types import Actor
from backoffice.kernel.errors import Conflict
from platform_ops.models import BusinessDay, SwapRun, SwapSetting
from platform_ops.rules.swaps import days_of
from platform_ops.services.swaps.charges import charge_day
from platform_ops.services.swaps.proof import open_breaks, reconcile_swaps
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.services.swaps.work import note_rollover

ACTOR = Actor.system("business_day")
CORRECTED_DAYS = 7
"""How far back each business day looks for what has changed since it was computed."""


def swaps_of_business_day(business_day: BusinessDay) -> dict[str, Any]:
    """Computes the days of a server that a business day takes in; figures for its record.

    Days of the last week are computed again, which books what has changed. Nothing happens on a server without a setting.
    Raises Conflict where breaks are open and the setting says that the day waits for them.
    """
    setting = SwapSetting.objects.filter(server_id=business_day.server_id).first()
    if setting is None:
        return {}
    days = days_of(business_day.day)
    earlier = [days[0] - timedelta(days=number) for number in range(CORRECTED_DAYS, 0, -1)]
    computed = set(
        SwapRun.objects.filter(server_id=business_day.server_id, day__in=earlier).values_list("day", flat=True)
    )
    positions = lines = charges = 0
    for day in [*(day for day in earlier if day in computed), *days]:
        if day < setting.starts_on:
            continue
        before = SwapRun.objects.filter(server_id=business_day.server_id, day=day).count()
        run = run_rollover(server_id=business_day.server_id, day=day, actor=ACTOR)
        lines += run.lines if run.number > before else 0
        positions += run.positions if day in days else 0
        charges += charge_day(run=run, actor=ACTOR)
    note_rollover(business_day.server)
    figures: dict[str, Any] = {"swap_positions": positions, "swap_lines": lines, "swap_charges": charges}
    if setting.mode == SwapSetting.Mode.PROVE:
        for day in days:
            if day >= setting.starts_on:
                proof = reconcile_swaps(server_id=business_day.server_id, day=day, actor=ACTOR)
                figures |= proof.figures()
        waiting = open_breaks(business_day.server_id)
        if waiting and setting.blocks_day:
            raise Conflict(
                f"{waiting} positions whose swap on the server is not what is due.", code="swap_breaks", breaks=waiting
            )
    return figures
