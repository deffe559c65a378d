"""Runs a scenario in the database that Django is connected to: set-up, the steps in their order, and what must stand then."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from datetime import date
from typing import Any

from django.apps import apps

from backoffice.conformance import scenario as form
from backoffice.conformance import world as worlds
from backoffice.conformance.books import compare
from backoffice.conformance.types import Result, Row
from backoffice.conformance.world import ACTOR, World, told_at
from backoffice.core.services import jobs, outbox
from backoffice.kernel.errors import DomainError
from ib.services.client_events import ClientFact, record_client_event, reverse_client_event
from ib.services.ranks import evaluate_ranks
from ib.services.settlement import settle_range
from ib.services.statements import run_statements

SOURCE = "scenario"
ROUNDS = 20
"""Jobs may enqueue further ones; more rounds than this would be a circle."""


def run_scenario(scenario: form.Scenario, *, file: str = "") -> Result:
    """Runs the scenario. What the services refuse unexpectedly is the result's error; a fault of the code is raised."""
    result = Result(scenario.scenario, scenario.title, file=file, note=scenario.note)
    started = time.monotonic()
    try:
        result.rows = _run(scenario)
    except DomainError as error:
        place = error.details.get("place", "")
        result.error = f"{error.code}: {place}: {error.message}" if place else f"{error.code}: {error.message}"
    result.seconds = round(time.monotonic() - started, 3)
    return result


def _run(scenario: form.Scenario) -> list[Row]:
    world = worlds.build(scenario)
    held_back = {ticket for step in scenario.steps for ticket in step.arrive or ()}
    with told_at("trades and operations"):
        worlds.arrive(
            world, [trade for trade in scenario.trades if trade.ticket not in held_back], operations=scenario.operations
        )
    for number, event in enumerate(scenario.events):
        with told_at(f"events[{number}]"):
            _tell(world, event)
    rows: list[Row] = []
    for number, step in enumerate(scenario.steps, start=1):
        rows += _step(world, step, f"step {number}")
    if not any(step.settle is not None for step in scenario.steps):
        _settle(world, form.Settle())
    if scenario.expect is not None:
        rows += compare(world, scenario.expect, step="end")
    return rows + _given_up()


def _given_up() -> list[Row]:
    """A row for each job that ended in an error: right figures do not make up for work that failed on the way."""
    failed = apps.get_model("core", "Job")._default_manager.exclude(last_error="").order_by("pk")
    return [Row("end", "work", f"{job.kind} {job.key}", "done", job.last_error[:200], False) for job in failed]


def _step(world: World, step: form.Step, name: str) -> list[Row]:
    rows = []
    action = next(
        (item.name for item in fields(step) if item.name in _ACTIONS and getattr(step, item.name) is not None), ""
    )
    refused = ""
    if action:
        try:
            with told_at(f"{name}, {action}"):
                _ACTIONS[action](world, getattr(step, action))
        except DomainError as error:
            refused = error.code
            if not step.refused:
                raise
    if step.refused:
        rows.append(Row(name, "refused", action, step.refused, refused or "nothing", refused == step.refused))
    if step.expect is not None:
        rows += compare(world, step.expect, step=name)
    return rows


def _arrive(world: World, tickets: tuple[int, ...]) -> None:
    stated = {trade.ticket: trade for trade in world.scenario.trades}
    worlds.arrive(world, [stated[ticket] for ticket in tickets])


def _settle(world: World, settle: form.Settle) -> None:
    """Delivers events, settles the days, and works off what that enqueued: what a broker's workers do all the time."""
    _work()
    trades = apps.get_model("platform_ops", "Trade")._default_manager
    days = set(trades.values_list("business_day", flat=True).distinct())
    lines = apps.get_model("ib", "CommissionLine")._default_manager
    days |= set(lines.values_list("day", flat=True).distinct())
    first = settle.from_day or min(days, default=None)
    last = settle.to_day or max(days, default=None)
    if first is not None and last is not None:
        settle_range(from_day=first, to_day=last, actor=ACTOR)
    _work()


def _settle_periods(world: World, _: bool) -> None:
    from ib.services.periods import settle_due

    _work()
    settle_due(actor=ACTOR)


def _decide_ranks(world: World, period: date) -> None:
    _work()
    evaluate_ranks(period=period, actor=ACTOR)


def _close_statements(world: World, _: bool) -> None:
    run_statements(actor=ACTOR)


def _work() -> None:
    for _ in range(ROUNDS):
        delivered = outbox.deliver_due()
        done = sum(jobs.run_ready(kind=kind, owner="conformance") for kind in jobs.ready_kinds())
        if not delivered and not done:
            return


def _tell(world: World, event: form.Event) -> None:
    fact = ClientFact(
        client_id=world.clients[event.client],
        kind=event.kind,
        at=event.at,
        source=SOURCE,
        reference=event.reference,
        amount=event.amount,
        currency=event.currency,
        disputed_from=event.disputed_from,
    )
    record_client_event(fact=fact, actor=ACTOR)


def _reverse(world: World, reference: str) -> None:
    events = apps.get_model("ib", "ClientEvent")._default_manager
    event_id = events.values_list("pk", flat=True).get(source=SOURCE, reference=reference)
    reverse_client_event(
        event_id=event_id, reference=f"{reference} taken back", reason="As the scenario says.", actor=ACTOR
    )


_ACTIONS: dict[str, Callable[[World, Any], None]] = {
    "arrive": _arrive,
    "settle": _settle,
    "settle_periods": _settle_periods,
    "decide_ranks": _decide_ranks,
    "correct": worlds.correct,
    "cancel": worlds.cancel,
    "move": lambda world, item: worlds.place(world, item.partner, item.parent, item.valid_from),
    "refer": lambda world, item: worlds.refer(world, item.client, item.partner, item.valid_from),
    "rank": lambda world, item: worlds.rank(world, item.partner, item.rank, item.valid_from),
    "negotiate": lambda world, item: worlds.negotiate(world, item.partner, item),
    "sign": lambda world, item: worlds.sign(world, item.partner, item.plan, item.valid_from),
    "publish": lambda world, item: worlds.publish(world, item.plan, item.version),
    "event": _tell,
    "reverse_event": _reverse,
    "rates": lambda world, item: worlds.load_rates(item),
    "close_statements": _close_statements,
}
