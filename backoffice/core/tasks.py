"""Celery's way into the ground: each task calls one use case. Work and its state live in the database."""

from __future__ import annotations

import os
import socket

from celery import shared_task
from django.core.management import call_command

from backoffice.core.schedule import MIN_EXPIRY_SECONDS
from backoffice.core.services import (
    book_checks,
    changes,
    client_views,
    file_sweep,
    heartbeats,
    idempotency,
    job_runs,
    jobs,
    login_events,
    message_delivery,
    outbox,
    public_events,
    sessions,
    webhook_delivery,
    work_sweep,
)
from backoffice.core.services.audit import seal_audit

MAX_SEALS_PER_TASK = 20
MAX_JOBS_PER_TASK = 200


def process_name() -> str:
    """This process, unique among all that can hold a lease."""
    return f"{socket.gethostname()}:{os.getpid()}"


@shared_task
def beat_heartbeat() -> None:
    """Proves that a worker takes up what beat sends."""
    heartbeats.beat("worker", {"process": process_name()})


@shared_task
def deliver_outbox() -> None:
    """Delivers the events that are due."""
    outbox.deliver_due()


@shared_task
def reap_expired_jobs() -> None:
    """Frees the jobs of dead workers."""
    jobs.reap_expired()


@shared_task
def dispatch_ready_jobs() -> None:
    """Starts a worker on each kind of job that has something due."""
    for kind in jobs.ready_kinds():
        run_ready_jobs.apply_async(kwargs={"kind": kind}, queue=jobs.queue_of(kind), expires=MIN_EXPIRY_SECONDS)


@shared_task
def run_ready_jobs(kind: str) -> None:
    """Works off due jobs of one kind; what is left over is taken up at the next tick."""
    jobs.run_ready(kind=kind, owner=process_name(), limit=MAX_JOBS_PER_TASK)


@shared_task
def seal_audit_trail() -> None:
    """Seals the audit records that were committed since the last seal."""
    for _ in range(MAX_SEALS_PER_TASK):
        if seal_audit() is None:
            break


@shared_task
def apply_due_changes() -> None:
    """Carries out the approved change requests whose time has come."""
    changes.apply_due_changes()


@shared_task
def sweep_work_items() -> None:
    """Closes, delivers and escalates what is due, and brings the inbox to what really stands."""
    work_sweep.sweep()


@shared_task
def forget_delivered_events() -> None:
    """Keeps the outbox from growing for ever."""
    outbox.forget_delivered()


@shared_task
def tidy_sign_ins() -> None:
    """Closes what has run out and forgets sign-ins whose retention is over."""
    sessions.tidy_sessions()
    client_views.end_expired_views()
    login_events.forget_old_events()


@shared_task
def prove_books() -> None:
    """Proves the books once in each four hours."""
    book_checks.prove_when_due()


@shared_task
def forget_done_jobs() -> None:
    """Keeps the jobs and the runs of the clock from growing for ever."""
    jobs.forget_done()
    job_runs.forget_old()


@shared_task
def clear_expired_sessions() -> None:
    """Forgets the sessions that have ended."""
    call_command("clearsessions")


@shared_task
def sweep_files() -> None:
    """Erases files whose time is over, removes bytes that no row needs."""
    file_sweep.tidy()


@shared_task
def settle_messages() -> None:
    """Lets held messages go once their switch is open; ends those whose job was given up."""
    message_delivery.release_held()
    message_delivery.fail_abandoned()


@shared_task
def keep_webhooks_up() -> None:
    """Starts stranded deliveries again, disables endpoints that only fail, forgets old events."""
    webhook_delivery.requeue_stranded()
    webhook_delivery.disable_failing()
    public_events.forget_old()


@shared_task
def forget_api_answers() -> None:
    """Forgets the answers that were kept for repetitions of a call."""
    idempotency.forget_old(scope_prefix=idempotency.API_SCOPE, older_than=idempotency.KEEP_ANSWERS)
