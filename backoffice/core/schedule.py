"""What beat sends out, and how often. Desks add their own ticks; the database decides what is due.

A tick is a cheap question ("is anything due?"), sent often. A tick that finds no worker within its own period expires,
so that a stopped worker does not come back to a queue of stale questions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from backoffice.kernel.errors import Misconfigured
from backoffice.kernel.registry import Registry

MIN_EXPIRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Periodic:
    """A task sent every *seconds*, by its Celery name, with keyword arguments."""

    task: str
    seconds: float
    kwargs: dict[str, Any] = field(default_factory=dict)


_periodics: Registry[Periodic] = Registry("periodic tasks")


def register_periodic(name: str, task: str, seconds: float, kwargs: dict[str, Any] | None = None) -> None:
    """Has beat send the Celery task named *task* (`"ib.tasks.settle_due"`) every *seconds*. *name* is unique."""
    if seconds <= 0:
        raise Misconfigured(f"The period of {name} must be positive.", name=name, seconds=seconds)
    _periodics.register(name, Periodic(task=task, seconds=seconds, kwargs=kwargs or {}))


def beat_schedule() -> dict[str, dict[str, Any]]:
    """The registered ticks as Celery's beat reads them."""
    return {
        name: {
            "task": periodic.task,
            "schedule": periodic.seconds,
            "kwargs": periodic.kwargs,
            "options": {"expires": max(periodic.seconds, MIN_EXPIRY_SECONDS)},
        }
        for name, periodic in _periodics.items()
    }


def register_own() -> None:
    """The ticks of the ground itself."""
    register_periodic("core.heartbeat", "backoffice.core.tasks.beat_heartbeat", 5)
    register_periodic("core.outbox", "backoffice.core.tasks.deliver_outbox", 1)
    register_periodic("core.jobs", "backoffice.core.tasks.dispatch_ready_jobs", 1)
    register_periodic("core.reaper", "backoffice.core.tasks.reap_expired_jobs", 1)
    register_periodic("core.audit_seal", "backoffice.core.tasks.seal_audit_trail", 10)
    register_periodic("core.work_items", "backoffice.core.tasks.sweep_work_items", 30)
    register_periodic("core.delivered_events", "backoffice.core.tasks.forget_delivered_events", 3600)
    register_periodic("core.verify_books", "backoffice.core.tasks.prove_books", 300)
    register_periodic("core.done_jobs", "backoffice.core.tasks.forget_done_jobs", 3600)
    register_periodic("core.expired_sessions", "backoffice.core.tasks.clear_expired_sessions", 3600)
    register_periodic("core.sign_ins", "backoffice.core.tasks.tidy_sign_ins", 300)
