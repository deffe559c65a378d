"""What a server is asked once a day beside its comparison."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from backoffice.core.models import ChangeRequest, Job, LegalEntity, WorkItem
from backoffice.core.services import changes, jobs
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.business_day import business_day_of, previous_business_day
from backoffice.kernel.errors import Denied
from platform_ops.gateways.types import SymbolTerms
from platform_ops.models import ServerSymbol, ServerSymbolTerms, SwapObservation, SymbolDrift, TradingServer
from platform_ops.rules.specifications import SERVER_FIELDS
from platform_ops.selectors.symbol_terms import terms_in_force
from platform_ops.services import symbol_drift
from platform_ops.services.connections import open_gateway
from platform_ops.services.reconciliation import runs
from platform_ops.services.sync import follow_once
from tests.factories.changes import make_person
from tests.factories.platform import make_spec, make_symbol
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


@pytest.fixture
def approved(server: TradingServer, simulated: RunningServer) -> ServerSymbol:
    """EURUSD is approved as the server states it, and looked at: nothing drifts."""
    with open_gateway(server_id=server.pk) as gateway:
        (stated,) = (symbol for symbol in gateway.symbols() if symbol.name == "EURUSD")
    symbol = make_symbol("EURUSD")
    fields = {name: getattr(stated.terms, name) for name in SERVER_FIELDS}
    make_spec(
        symbol, **fields | {"swap_multipliers": list(stated.terms.swap_multipliers), "sessions_zone": server.zone}
    )
    follow_once(server_id=server.pk)
    assert compared(server)["drifting"] == 0
    return ServerSymbol.objects.get(server=server, name="EURUSD")


def behind_our_back(simulated: RunningServer, **values: str) -> None:
    """Somebody changes the symbol on the server itself."""
    with simulated.terminal() as terminal:
        record = terminal.ask("SYMBOL_GET", SYMBOL="EURUSD")[1]
        terminal.ask("SYMBOL_ADD", {**record, **values})


def open_items() -> list[str]:
    return list(
        WorkItem.objects.filter(kind=symbol_drift.DRIFT_ITEM)
        .exclude(state=WorkItem.State.CLOSED)
        .values_list("title", flat=True)
    )


def people() -> tuple[Actor, Actor]:
    everywhere = list(LegalEntity.objects.all())
    return make_person(Role.PLATFORM_OPERATIONS, entities=everywhere), make_person(Role.DEALING, entities=everywhere)


def stated_now(server: TradingServer) -> SymbolTerms:
    with open_gateway(server_id=server.pk) as gateway:
        return next(symbol.terms for symbol in gateway.symbols() if symbol.name == "EURUSD")


def test_a_symbol_that_somebody_changed_on_the_server_is_found_at_night_and_put_right_over_the_wire(
    server: TradingServer, simulated: RunningServer, approved: ServerSymbol
) -> None:
    before = stated_now(server)
    behind_our_back(simulated, SwapLong="-72.00000000", ContractSize="10000.00000000")
    # The next night finds it, by itself, and says so once
    assert compared(server)["drifting"] == 1
    assert compared(server)["drifting"] == 1
    assert open_items() == ["EURUSD on " + server.code + ": contract size, swap long"]
    # Put right by a change request that another person approves; nothing is told to the server before
    maker, checker = people()
    change = symbol_drift.request_repair(server_symbol_id=approved.pk, actor=maker, reason="Somebody's hand")
    with pytest.raises(Denied):
        changes.approve_change(change_id=change.pk, actor=maker, reason="mine")
    changes.approve_change(change_id=change.pk, actor=checker, reason="right")
    changes.apply_change(change_id=change.pk, actor=checker)
    assert stated_now(server).contract_size == Decimal(10_000)
    # The command is lost, and the second time its answer: what the server states decides
    for fault in ("drop_before", "drop_after"):
        simulated.fault(fault, commands="SYMBOL_ADD", times=1)
        Job.objects.filter(kind=symbol_drift.REPAIR_JOB).update(run_after=clock.now())
        jobs.run_ready(kind=symbol_drift.REPAIR_JOB, owner="worker")
    assert stated_now(server) == before
    assert ChangeRequest.objects.get(pk=change.pk).state == "verified"
    assert open_items() == []
    assert not SymbolDrift.objects.filter(state=SymbolDrift.State.OPEN).exists()
    assert compared(server)["drifting"] == 0


def test_what_the_server_states_can_be_adopted_and_nothing_is_told_to_it(
    server: TradingServer, simulated: RunningServer, approved: ServerSymbol
) -> None:
    behind_our_back(simulated, SwapLong="-7.90000000", VolumeMax="500000")
    stated = stated_now(server)
    assert compared(server)["drifting"] == 1
    maker, checker = people()
    change = symbol_drift.request_adoption(server_symbol_id=approved.pk, actor=maker, reason="The server is right")
    changes.approve_change(change_id=change.pk, actor=checker, reason="right")
    assert changes.apply_change(change_id=change.pk, actor=checker).state == "verified"
    terms = terms_in_force(symbol_id=approved.symbol_id, at=clock.now())
    assert (terms.swap_long, terms.lots_maximum) == (Decimal("-7.9"), stated.lots_maximum)
    assert compared(server)["drifting"] == 0
    assert open_items() == []
    assert stated_now(server) == stated
