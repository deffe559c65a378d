"""What a server is asked once a day beside its comparison."""

from __future__ import annotations

from datetime import timedelta

import pytest

from backoffice.core.models import Job
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, previous_business_day
from platform_ops.models import ServerSymbol, ServerSymbolTerms, SwapObservation, TradingServer
from platform_ops.services.reconciliation import runs
from platform_ops.services.sync import follow_once
from tests.platform_ops.sync.conftest import connect
from tests.trading_server import HEDGING_LOGIN, RunningServer

pytestmark = pytest.mark.django_db


def compared(server: TradingServer, days_back: int = 1) -> dict[str, object]:
    """The nightly comparison of a day, as a worker carries it out."""
    day = business_day_of(clock.now())
    for _ in range(days_back):
        day = previous_business_day(day)
    return runs.run_job(Job(kind=runs.JOB_KIND, payload={"server_id": server.pk, "day": day.isoformat()}), "worker")


def test_after_the_comparison_open_positions_and_symbols_are_looked_at(
    server: TradingServer, simulated: RunningServer
) -> None:
    # Given a server with an open position, followed
    simulated.order(HEDGING_LOGIN, "EURUSD", "buy", "0.10")
    follow_once(server_id=server.pk)
    # When the last day is compared
    outcome = compared(server)
    # Then what has accrued is kept for that day, and what the server states of its symbols
    assert outcome["state"] == "done"
    assert outcome["positions_observed"] == 1
    kept = SwapObservation.objects.get()
    assert (kept.server, kept.day, kept.accrued) == (server, previous_business_day(business_day_of(clock.now())), 0)
    assert ServerSymbolTerms.objects.count() == ServerSymbol.objects.filter(server=server).count() == outcome["symbols"]


def test_an_earlier_day_observes_nothing_for_later_nights_are_in_it(
    server: TradingServer, simulated: RunningServer
) -> None:
    simulated.order(HEDGING_LOGIN, "EURUSD", "buy", "0.10")
    follow_once(server_id=server.pk)
    connect(server, simulated, started_at=clock.now() - timedelta(days=10))
    assert "positions_observed" not in compared(server, days_back=2)
    assert not SwapObservation.objects.exists()


def test_a_server_that_goes_away_after_the_comparison_leaves_the_comparison_standing(
    server: TradingServer, simulated: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow_once(server_id=server.pk)
    real = runs.reconcile_server

    def then_gone(**asked: object) -> object:
        run = real(**asked)  # type: ignore[arg-type]
        simulated.fault("drop_before")
        return run

    monkeypatch.setattr(runs, "reconcile_server", then_gone)
    outcome = compared(server)
    assert outcome["state"] == "done"
    assert outcome["problem"]
    assert not ServerSymbolTerms.objects.exists()
