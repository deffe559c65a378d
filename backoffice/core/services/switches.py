"""Switches: one person stops a flow at once, for a legal entity or for the whole broker; the use cases ask before they act.

`require_open` is called inside the transaction of the use case. It takes a lock that it shares with every other use
case of the switch and then reads the stops; `stop` commits the stop first and then waits, for a bounded time, for that
lock alone. So a use case that starts after a stop is refused, and when `stop` returns drained, none that passed the
question earlier is still under way. The lock is an advisory one: nothing is written on the path of the use cases, and
they never wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import IntegrityError, OperationalError, connection, models, transaction
from django.db.models import Q

from backoffice.core.access import authorise, holds
from backoffice.core.locks import advisory_key
from backoffice.core.models import Switch, SwitchStop
from backoffice.core.models.switches import NEEDS_SECOND_PERSON
from backoffice.core.organisation.scope import require_stands_for, stands_for
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import Conflict, Denied, InvalidInput, Retryable
from backoffice.kernel.registry import Registry

__all__ = [
    "NEEDS_SECOND_PERSON",
    "Guard",
    "Stopped",
    "Switch",
    "SwitchedOff",
    "guarded_use_cases",
    "is_stopped",
    "may_resume",
    "may_stop",
    "register_guard",
    "require_open",
    "resume",
    "standing_stops",
    "stop",
]

MAX_REASON_LENGTH = 500
DRAIN_MILLISECONDS = 3_000
_LOCK_NOT_AVAILABLE = "55P03"


class SwitchedOff(Conflict):
    """The flow was stopped by a person; details name the `switch`, `since` and the `entity_id` (None: the whole broker)."""

    default_code = "switched_off"


@dataclass(frozen=True, slots=True)
class Stopped:
    """A stop, and whether every use case that had passed the question before it has ended (`is_drained`)."""

    stop: SwitchStop
    is_drained: bool
    is_new: bool


@dataclass(frozen=True, slots=True)
class Guard:
    """A use case that asks a switch; `path` is where it is (`funding.services.deposits.pay_withdrawal`)."""

    switch: Switch
    path: str


_guards: Registry[Guard] = Registry("guarded use cases")


def register_guard(path: str, switch: Switch) -> None:
    """Writes down that the use case at *path* asks *switch*; a test proves for each that it refuses."""
    guard = Guard(switch=Switch(switch), path=path)
    _guards.register(f"{guard.switch.value} {path}", guard)


def guarded_use_cases() -> list[Guard]:
    """Every use case that says it asks a switch, in the order of registration."""
    return [guard for _, guard in _guards.items()]


def require_open(switch: Switch, *, entity_id: int | None = None) -> None:
    """Raises `SwitchedOff` when the flow is stopped for the whole broker or for the legal entity.

    Call it inside the transaction that acts: until that ends, a stop waits for it. Outside of a transaction it is a
    question only.
    """
    switch = Switch(switch)
    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(%s)", [_key(switch)])
    standing = _standing(switch, entity_id).order_by("stopped_at").first()
    if standing is not None:
        raise SwitchedOff(
            f"{switch.label} are stopped since {standing.stopped_at:%Y-%m-%d %H:%M} UTC.",
            switch=switch.value,
            since=standing.stopped_at.isoformat(),
            entity_id=standing.entity_id,
        )


def is_stopped(switch: Switch, *, entity_id: int | None = None) -> bool:
    """Whether the flow is stopped for the whole broker or for the legal entity. For screens; use cases require."""
    return _standing(Switch(switch), entity_id).exists()


def standing_stops(*, actor: Actor | None = None) -> list[SwitchStop]:
    """The stops that stand, of the whole broker and of the actor's legal entities; all of them without an actor."""
    stops = SwitchStop.objects.filter(resumed_at__isnull=True).select_related("entity").order_by("stopped_at")
    if actor is not None and not actor.is_system:
        stops = stops.filter(Q(entity__isnull=True) | Q(entity__in=actor.entity_ids))
    return list(stops)


def may_stop(actor: Actor, switch: Switch, *, entity_id: int | None) -> bool:
    """Whether the actor may stop the flow of the entity, or (None) of the whole broker."""
    return holds(actor, f"core.stop_{Switch(switch).value}") and stands_for(actor, entity_id)


def may_resume(actor: Actor, stop: SwitchStop) -> bool:
    """Whether the actor may let the flow go on: the verb, the entity, and not their own stop of client money."""
    return (
        holds(actor, f"core.resume_{stop.switch}")
        and stands_for(actor, stop.entity_id)
        and _is_second_person(actor, stop)
    )


def stop(*, switch: Switch, actor: Actor, reason: str, entity_id: int | None = None) -> Stopped:
    """Stops a flow at once, for one legal entity or (None) for the whole broker. One person is enough.

    A stop that stands already is kept as it is. Raises Denied, InvalidInput without a reason, NotFound for an entity
    that the actor does not see.
    """
    switch = Switch(switch)
    authorise(actor, f"core.stop_{switch.value}")
    require_stands_for(actor, entity_id)
    why = _reason(reason)
    made, is_new = _make(switch=switch, entity_id=entity_id, actor=actor, reason=why)
    return Stopped(stop=made, is_drained=_drain(switch), is_new=is_new)


@transaction.atomic
def resume(*, switch: Switch, actor: Actor, reason: str, entity_id: int | None = None) -> SwitchStop:
    """Ends the standing stop of the entity, or (None) of the whole broker; another stop of the flow keeps standing.

    Withdrawals and payouts are let go on by another person than the one who stopped them. Raises Denied, InvalidInput
    without a reason, Conflict when nothing is stopped there.
    """
    switch = Switch(switch)
    authorise(actor, f"core.resume_{switch.value}")
    require_stands_for(actor, entity_id)
    why = _reason(reason)
    standing = (
        SwitchStop.objects.select_for_update(of=("self",))
        .filter(switch=switch, entity_id=entity_id, resumed_at__isnull=True)
        .first()
    )
    if standing is None:
        raise Conflict(f"{switch.label} are not stopped there.", code="not_stopped", switch=switch.value)
    if not _is_second_person(actor, standing):
        raise Denied(
            f"{switch.label} are let go on by another person than the one who stopped them.",
            code="second_person_needed",
            switch=switch.value,
        )
    standing.resumed_at, standing.resumed_by = max(clock.now(), standing.stopped_at), actor.label
    standing.resumed_by_user_id, standing.resume_reason = actor.user_id, why
    standing.save(update_fields=["resumed_at", "resumed_by", "resumed_by_user", "resume_reason"])
    audit.record(
        actor=actor,
        action="core.resume_switch",
        target=standing,
        reason=why,
        changes={"switch": switch.value, "stopped_by": standing.stopped_by, "stopped_at": standing.stopped_at},
        entity_id=entity_id,
    )
    _tell("core.switch_resumed", standing, at=standing.resumed_at)
    return standing


@transaction.atomic
def _make(*, switch: Switch, entity_id: int | None, actor: Actor, reason: str) -> tuple[SwitchStop, bool]:
    """The stop that stands now, and whether it is a new one. Of two people who press at once, the first is kept."""
    new = SwitchStop(
        switch=switch,
        entity_id=entity_id,
        reason=reason,
        stopped_by=actor.label,
        stopped_by_user_id=actor.user_id,
        stopped_at=clock.now(),
    )
    try:
        with transaction.atomic():
            new.save(force_insert=True)
    except IntegrityError:
        standing = SwitchStop.objects.filter(switch=switch, entity_id=entity_id, resumed_at__isnull=True).first()
        if standing is None:
            raise Retryable(
                f"{switch.label} were let go on in this moment: press again.", switch=switch.value
            ) from None
        return standing, False
    audit.record(
        actor=actor,
        action="core.stop_switch",
        target=new,
        reason=reason,
        changes={"switch": switch.value, "stopped": [False, True]},
        entity_id=entity_id,
    )
    _tell("core.switch_stopped", new, at=new.stopped_at)
    return new, True


def _drain(switch: Switch) -> bool:
    """Waits, at most three seconds, until no use case that passed the question is still under way."""
    try:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, TRUE)", [f"{DRAIN_MILLISECONDS}ms"])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_key(switch)])
    except OperationalError as error:
        if getattr(error.__cause__, "pgcode", "") != _LOCK_NOT_AVAILABLE:
            raise
        return False
    return True


def _standing(switch: Switch, entity_id: int | None) -> models.QuerySet[SwitchStop]:
    scope = Q(entity__isnull=True) if entity_id is None else Q(entity__isnull=True) | Q(entity_id=entity_id)
    return SwitchStop.objects.filter(scope, switch=switch, resumed_at__isnull=True)


def _key(switch: Switch) -> int:
    return advisory_key("core", "switch", switch.value)


def _tell(topic: str, stop: SwitchStop, *, at: datetime) -> None:
    outbox.publish(
        topic=topic,
        payload={"stop_id": stop.pk, "switch": stop.switch, "entity_id": stop.entity_id, "at": at.isoformat()},
        shard_key=f"switch:{stop.switch}",
    )


def _is_second_person(actor: Actor, stop: SwitchStop) -> bool:
    if stop.switch not in NEEDS_SECOND_PERSON or stop.stopped_by_user_id is None:
        return True
    return actor.user_id is not None and actor.user_id != stop.stopped_by_user_id


def _reason(reason: str) -> str:
    """The reason as it is kept."""
    text = reason.strip()
    if not text:
        raise InvalidInput("Say why.", field="reason")
    if len(text) > MAX_REASON_LENGTH:
        raise InvalidInput(f"The reason has at most {MAX_REASON_LENGTH} letters.", field="reason")
    return text
