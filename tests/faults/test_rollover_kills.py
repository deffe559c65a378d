"""A rollover killed with -9 half way has not happened; the next one computes the day once, whatever opened meanwhile."""

from __future__ import annotations

import signal
from decimal import Decimal

import pytest

from platform_ops.models import BalanceOperation, SwapCharge, SwapLine, SwapRun, SwapTerm
from platform_ops.services.swaps.charges import charge_day
from platform_ops.services.swaps.rollover import run_rollover
from platform_ops.services.swaps.settings import set_swap_setting
from tests.factories import platform
from tests.faults.harness import run_child
from tests.platform_ops.swaps.ground import SYSTEM, TUESDAY, at, deal, ingest, rate, server, symbol

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.faults]


@pytest.mark.parametrize(
    "point", ["platform.rollover.after_terms", "platform.rollover.after_lines", "platform.swap_charges.after_rows"]
)
def test_a_killed_rollover_is_repeated_and_charges_once(point: str) -> None:
    live, eurusd = server(), symbol()
    account = platform.make_account(live)
    rate(eurusd, "-10")
    set_swap_setting(
        server_id=live.pk, mode="post", cut="server_midnight", channel="books", starts_on=TUESDAY, actor=SYSTEM,
        reason="test",
    )  # fmt: skip
    ingest(live, [deal(account, number, at(TUESDAY, 9)) for number in range(1, 6)])

    def roll() -> None:
        charge_day(run=run_rollover(server_id=live.pk, day=TUESDAY, actor=SYSTEM), actor=SYSTEM)

    assert run_child(roll, crash_at=point) == -signal.SIGKILL
    if point.startswith("platform.rollover"):
        assert not SwapLine.objects.exists()
        assert not SwapTerm.objects.exists()
        assert not SwapRun.objects.exists()
    assert not BalanceOperation.objects.exists()

    ingest(live, [deal(account, 99, at(TUESDAY, 22))])
    assert run_child(roll) == 0
    assert run_child(roll) == 0

    assert SwapLine.objects.count() == 5
    assert SwapRun.objects.count() == 1
    assert SwapCharge.objects.get().amount == BalanceOperation.objects.get().amount == Decimal(-50)
