"""The business day of a server: a record with gated steps, run by beat or by hand.

Desks register their step with an order number; a step starts only when the one before it is done, and only when nobody
holds the day. A step that cannot prove its input raises a `DomainError`: the day waits there, shows why, and is tried
again at the next run. Repeating a finished step or day is a no-op. Each step commits on its own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

from django.db import transaction

from backoffice.core.access import authorise
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import day_bounds, is_business_day
from backoffice.kernel.errors import Conflict, DomainError, InvalidInput, NotFound
from platform_ops.locks import lock_business_day
from platform_ops.models import BusinessDay, BusinessDayStep, TradingServer
from platform_ops.permissions import HOLD_BUSINESS_DAY, RUN_BUSINESS_DAY
from platform_ops.services import work

RunStep = Callable[[BusinessDay], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StepDefinition:
    """A registered step: its name, what people read, where it stands in the day, and what it does."""

    name: str
    title: str
    order: int
    run: RunStep


_steps: dict[str, StepDefinition] = {}


def register_step(name: str, order: int, run: RunStep, *, title: str = "") -> None:
    """Adds a step. *run* gets the business day, works in transactions of its own and returns figures for the record."""
    _steps[name] = StepDefinition(name=name, title=title or name.replace("_", " ").capitalize(), order=order, run=run)


def step_definitions() -> list[StepDefinition]:
    """All steps in the order in which a day goes through them."""
    return sorted(_steps.values(), key=lambda step: step.order)


def open_business_day(*, server_id: int, day: date) -> BusinessDay:
    """The record of a day, made with all its steps waiting if it did not exist."""
    if not is_business_day(day):
        raise InvalidInput(f"{day} is not a business day.", field="day", value=str(day))
    server = TradingServer.objects.filter(pk=server_id).first()
    if server is None:
        raise NotFound("No such trading server.", server_id=server_id)
    with transaction.atomic():
        business_day, _ = BusinessDay.objects.get_or_create(
            server=server, day=day, defaults={"entity_id": server.entity_id}
        )
        BusinessDayStep.objects.bulk_create(
            [
                BusinessDayStep(business_day=business_day, order=step.order, step=step.name)
                for step in step_definitions()
            ],
            ignore_conflicts=True,
        )
    return business_day


def run_business_day(*, server_id: int, day: date, actor: Actor) -> BusinessDay:
    """Runs the steps that are due, in order, and closes the day after the last. Stops at the first that does not prove.

    Raises `InvalidInput` for a day that is not over yet, `Conflict` while somebody holds it.
    """
    authorise(actor, RUN_BUSINESS_DAY)
    if day_bounds(day)[1] > clock.now():
        raise InvalidInput(f"The business day {day} is not over before 17:00 New York.", field="day", value=str(day))
    business_day = open_business_day(server_id=server_id, day=day)
    if business_day.state == BusinessDay.State.CLOSED:
        return business_day
    if business_day.is_held:
        raise Conflict(f"The business day {day} is held: {business_day.hold_reason}", code="day_held", day=str(day))
    for step in step_definitions():
        if not _run_step(business_day_id=business_day.pk, definition=step):
            break
    else:
        _close(business_day_id=business_day.pk, actor=actor)
    return BusinessDay.objects.select_related("server", "entity").get(pk=business_day.pk)


def hold_day(*, business_day_id: int, reason: str, actor: Actor) -> BusinessDay:
    """Stops a day before its next step until it is released."""
    return _set_hold(business_day_id=business_day_id, hold=True, reason=reason, actor=actor)


def release_day(*, business_day_id: int, reason: str, actor: Actor) -> BusinessDay:
    """Lets a held day go on at its next run."""
    return _set_hold(business_day_id=business_day_id, hold=False, reason=reason, actor=actor)


def _run_step(*, business_day_id: int, definition: StepDefinition) -> bool:
    """Runs one step unless it is done; whether the next may start."""
    step = BusinessDayStep.objects.get(business_day_id=business_day_id, step=definition.name)
    if step.state == BusinessDayStep.State.DONE:
        return True
    started_at = clock.now()
    business_day = BusinessDay.objects.select_related("server", "entity").get(pk=business_day_id)
    if business_day.is_held:
        return False
    try:
        outcome, problem, state = definition.run(business_day), "", BusinessDayStep.State.DONE
    except DomainError as error:
        outcome, problem, state = dict(error.details), error.message, BusinessDayStep.State.FAILED
    with transaction.atomic():
        lock_business_day(business_day_id)
        step.refresh_from_db()
        if step.state != BusinessDayStep.State.DONE:
            step.state, step.outcome, step.problem = state, outcome, problem
            step.started_at, step.finished_at = started_at, clock.now()
            step.attempts += 1
            step.save()
            work.note_day(business_day_id=business_day_id)
            topic = "platform.day_step_done" if state == BusinessDayStep.State.DONE else "platform.day_step_failed"
            outbox.publish(
                topic=topic,
                payload={"business_day_id": business_day_id, "step": definition.name, "problem": problem},
                shard_key=f"server:{business_day.server_id}",
            )
    return step.state == BusinessDayStep.State.DONE


@transaction.atomic
def _close(*, business_day_id: int, actor: Actor) -> None:
    business_day = lock_business_day(business_day_id)
    if business_day.state == BusinessDay.State.CLOSED:
        return
    business_day.state, business_day.closed_at = BusinessDay.State.CLOSED, clock.now()
    business_day.save(update_fields=["state", "closed_at"])
    work.note_day(business_day_id=business_day_id)
    audit.record(actor=actor, action="platform.close_day", target=business_day, entity_id=business_day.entity_id)
    outbox.publish(
        topic="platform.day_closed",
        payload={"business_day_id": business_day.pk, "day": str(business_day.day), "server_id": business_day.server_id},
        shard_key=f"server:{business_day.server_id}",
    )


@transaction.atomic(durable=True)
def _set_hold(*, business_day_id: int, hold: bool, reason: str, actor: Actor) -> BusinessDay:
    authorise(actor, HOLD_BUSINESS_DAY)
    if not reason.strip():
        raise InvalidInput("Say why.", field="reason")
    business_day = lock_business_day(business_day_id)
    if business_day.state == BusinessDay.State.CLOSED:
        raise Conflict("The day is closed already.", code="day_closed")
    if business_day.is_held == hold:
        return business_day
    business_day.is_held, business_day.hold_reason = hold, reason if hold else ""
    business_day.held_by_id = actor.user_id if hold else None
    business_day.save(update_fields=["is_held", "hold_reason", "held_by"])
    audit.record(
        actor=actor,
        action="platform.hold_day" if hold else "platform.release_day",
        target=business_day,
        reason=reason,
        entity_id=business_day.entity_id,
    )
    return business_day
