"""The machinery: jobs, scheduled runs, the outbox, and the processes that say they live."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from backoffice.core.models import Job, JobRun, OutboxEvent, ProcessHeartbeat
from backoffice.core.services import outbox
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, computed_column, moment_column, number_column, state_column
from backoffice.ui.formats import format_age
from backoffice.ui.forms import ReasonForm
from backoffice.ui.views import DeskActionView

ERROR_PREVIEW = 90


def _first_line(text: str) -> str:
    return text.strip().splitlines()[-1][:ERROR_PREVIEW] if text.strip() else ""


@admin.register(Job)
class JobAdmin(DeskModelAdmin):
    """Shards of work."""

    view_capability = "core.view_work"
    list_display = ("kind", "key", "state_shown", "attempts_shown", "run_after_shown", "finished_shown", "error_shown")
    list_filter = ("state", "kind")
    search_fields = ("kind", "key")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": (("kind", "key"), ("state_shown", "attempts_shown"), "payload")}),
        ("Lease", {"fields": (("lease_owner", "lease_shown"),)}),
        ("Outcome", {"fields": (("run_after_shown", "finished_shown"), "result", "last_error")}),
    )
    state_shown = badge_column(
        "state", title="State", tones={"done": "good", "failed": "bad", "leased": "info"}, order="state"
    )
    attempts_shown = number_column("attempts", title="Attempts")
    run_after_shown = moment_column("run_after", title="Due (UTC)", order="run_after")
    lease_shown = moment_column("lease_until", title="Lease until (UTC)")
    finished_shown = moment_column("finished_at", title="Finished (UTC)", order="finished_at")
    error_shown = computed_column(lambda job: _first_line(job.last_error), title="Last error")
    empty_text = "No work was ever queued."


def _run_state(run: JobRun) -> str:
    if run.finished_at and not run.error:
        return "Done"
    return "Failed" if run.error else "Running"


@admin.register(JobRun)
class JobRunAdmin(DeskModelAdmin):
    """What the schedule started."""

    view_capability = "core.view_work"
    list_display = ("job", "slot", "state_shown", "attempts_shown", "started_shown", "finished_shown", "error_shown")
    list_filter = ("job",)
    search_fields = ("job", "slot")
    fieldsets = (
        (None, {"fields": (("job", "slot"), ("state_shown", "attempts_shown"), ("started_shown", "finished_shown"))}),
        ("Outcome", {"fields": ("outcome", "error")}),
    )
    state_shown = state_column(_run_state, title="State", tones={"Done": "good", "Failed": "bad", "Running": "info"})
    attempts_shown = number_column("attempts", title="Attempts")
    started_shown = moment_column("started_at", title="Started (UTC)", order="started_at")
    finished_shown = moment_column("finished_at", title="Finished (UTC)", order="finished_at")
    error_shown = computed_column(lambda run: _first_line(run.error), title="Error")
    empty_text = "The schedule has not started anything yet."


class RetryEvent(DeskActionView):
    """Brings a dead event back."""

    slug, title, button, capability = "retry", "Deliver again", "Deliver again", "core.retry_work"
    form_class = ReasonForm
    explanation = "The event is delivered again at once, with a full round of attempts, to who has not handled it yet."
    success_message = "The event is on its way again."

    @classmethod
    def is_offered(cls, target: OutboxEvent, actor: Actor) -> bool:
        """Only what was given up."""
        return target.dead_at is not None and target.delivered_at is None

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which event, and why it died."""
        return [
            ("Event", str(self.target)),
            ("Last error", self.target.last_error[:400]),
            ("What happens", self.explanation),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds the event alive and is refused."""
        return outbox.retry_dead_event(event_id=self.target.pk, actor=actor, reason=data["reason"])


class DeliveryFilter(admin.SimpleListFilter):
    """Where an event stands."""

    title = "delivery"
    parameter_name = "delivery"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Sequence[tuple[str, str]]:
        """The three places."""
        return [("waiting", "Waiting"), ("delivered", "Delivered"), ("dead", "Given up")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[OutboxEvent]) -> QuerySet[OutboxEvent]:
        """Those that stand there."""
        if self.value() == "waiting":
            return queryset.filter(delivered_at__isnull=True, dead_at__isnull=True)
        if self.value() == "delivered":
            return queryset.filter(delivered_at__isnull=False)
        if self.value() == "dead":
            return queryset.filter(dead_at__isnull=False, delivered_at__isnull=True)
        return queryset


def _delivery(event: OutboxEvent) -> str:
    if event.delivered_at:
        return "Delivered"
    return "Given up" if event.dead_at else "Waiting"


@admin.register(OutboxEvent)
class OutboxEventAdmin(DeskModelAdmin):
    """What happened and must be told."""

    view_capability = "core.view_work"
    list_display = ("public_id", "topic", "shard_key", "state_shown", "attempts_shown", "created_shown", "error_shown")
    list_filter = (DeliveryFilter, "topic")
    search_fields = ("topic", "shard_key", "public_id")
    ordering = ("-id",)
    object_actions = (RetryEvent,)
    fieldsets = (
        (None, {"fields": (("topic", "public_id"), ("shard_key", "state_shown"), "payload")}),
        ("Delivery", {"fields": (("created_shown", "due_shown"), ("attempts_shown", "handled_shown"), "last_error")}),
    )
    state_shown = state_column(
        _delivery, title="Delivery", tones={"Delivered": "good", "Given up": "bad", "Waiting": "info"}
    )
    attempts_shown = number_column("attempts", title="Attempts")
    created_shown = moment_column("created_at", title="Written (UTC)", order="id")
    due_shown = moment_column("run_after", title="Due (UTC)")
    handled_shown = computed_column(lambda event: ", ".join(event.handled_by), title="Handled by")
    error_shown = computed_column(lambda event: _first_line(event.last_error), title="Last error")
    empty_text = "Nothing happened yet."


@admin.register(ProcessHeartbeat)
class ProcessHeartbeatAdmin(DeskModelAdmin):
    """Processes and when they last said that they live."""

    view_capability = "core.view_work"
    list_display = ("name", "beat_shown", "age_shown")
    search_fields = ("name",)
    exports = False
    fieldsets = ((None, {"fields": ("name", "beat_shown", "detail")}),)
    beat_shown = moment_column("beat_at", title="Last beat (UTC)", order="beat_at")
    age_shown = computed_column(
        lambda beat: format_age(int((clock.now() - beat.beat_at).total_seconds())), title="Age", is_numeric=True
    )
    empty_text = "No process has said that it lives."
