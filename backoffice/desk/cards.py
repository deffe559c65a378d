"""Cards that belong to no desk: whether the machinery runs and the trail is sealed."""

from __future__ import annotations

from django.db.models import Count
from django.urls import reverse

from backoffice.core.models import Job, ProcessHeartbeat
from backoffice.core.services import audit, outbox
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.ui.columns import badge_html
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import format_age, format_decimal

MACHINERY_ROLES = (Role.ADMINISTRATOR.value, Role.PLATFORM_OPERATIONS.value)
TRAIL_ROLES = (Role.ADMINISTRATOR.value, Role.AUDITOR.value, Role.COMPLIANCE.value)
SILENCE_SECONDS = 120


def register() -> None:
    """Adds the cards."""
    register_card("desk.processes", MACHINERY_ROLES, processes_card, order=900)
    register_card("desk.work", MACHINERY_ROLES, work_card, order=910)
    register_card("desk.audit", TRAIL_ROLES, audit_card, order=920)


def processes_card(actor: Actor) -> Card | None:
    """Which processes said lately that they live."""
    now = clock.now()
    rows, silent = [], 0
    for beat in ProcessHeartbeat.objects.all():
        age = int((now - beat.beat_at).total_seconds())
        silent += age > SILENCE_SECONDS
        rows.append((beat.name, badge_html(f"{format_age(age)} ago", "bad" if age > SILENCE_SECONDS else "good")))
    if not rows:
        return None
    return Card(
        title="Processes",
        figure=f"{len(rows) - silent} of {len(rows)} alive",
        rows=rows,
        url=reverse("admin:core_processheartbeat_changelist"),
        tone="bad" if silent else "",
    )


def work_card(actor: Actor) -> Card:
    """What waits, runs and failed."""
    counts = dict(Job.objects.exclude(state=Job.State.DONE).values_list("state").annotate(Count("id")))
    failed, dead = counts.get(Job.State.FAILED, 0), outbox.dead_count()
    return Card(
        title="Work in the queues",
        figure=format_decimal(counts.get(Job.State.READY, 0) + counts.get(Job.State.LEASED, 0)),
        rows=(
            ("Failed jobs", format_decimal(failed)),
            ("Events given up", format_decimal(dead)),
            ("Outbox lag", format_age(int(outbox.lag().total_seconds()))),
        ),
        url=reverse("admin:core_job_changelist"),
        tone="bad" if failed or dead else "",
    )


def audit_card(actor: Actor) -> Card:
    """How much of the trail waits for the sealer."""
    return Card(
        title="Audit trail",
        figure=format_decimal(audit.unsealed_count()),
        note="records wait for the next seal",
        url=reverse("admin:core_auditrecord_changelist"),
    )
