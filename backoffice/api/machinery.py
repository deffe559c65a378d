"""The machinery: jobs, scheduled runs, and the events of the house with those that were given up."""

from __future__ import annotations

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.models import Job, JobRun, OutboxEvent
from backoffice.core.services import outbox
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, use_case

VIEW = "core.view_work"


class JobSerializer(serializers.ModelSerializer[Job]):
    """A shard of work."""

    class Meta:
        model = Job
        fields = ["id", "kind", "key", "state", "run_after", "attempts", "created_at", "finished_at", "last_error"]
        read_only_fields = fields


class JobViewSet(ScopedReadOnlyViewSet):
    """Jobs, newest first."""

    capability = VIEW
    queryset = Job.objects.all()
    serializer_class = JobSerializer
    lookup_value_converter = "int"
    filterset_fields = {"kind": ["exact"], "state": ["exact"]}


class JobRunSerializer(serializers.ModelSerializer[JobRun]):
    """A scheduled run."""

    class Meta:
        model = JobRun
        fields = ["id", "job", "slot", "started_at", "run_after", "attempts", "finished_at", "error"]
        read_only_fields = fields


class JobRunViewSet(ScopedReadOnlyViewSet):
    """What the schedule started."""

    capability = VIEW
    queryset = JobRun.objects.all()
    serializer_class = JobRunSerializer
    lookup_value_converter = "int"
    filterset_fields = {"job": ["exact"]}


class OutboxEventSerializer(serializers.ModelSerializer[OutboxEvent]):
    """Something that happened, on its way to its subscribers in the house."""

    id = serializers.UUIDField(source="public_id", read_only=True)

    class Meta:
        model = OutboxEvent
        fields = ["id", "topic", "created_at", "run_after", "attempts", "delivered_at", "dead_at", "last_error"]
        read_only_fields = fields


class OutboxFilter(filters.FilterSet):
    """Dead, delivered, or of one topic."""

    is_dead = filters.BooleanFilter(field_name="dead_at", lookup_expr="isnull", exclude=True)
    is_delivered = filters.BooleanFilter(field_name="delivered_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = OutboxEvent
        fields = ["topic"]


class OutboxViewSet(ScopedReadOnlyViewSet):
    """Events of the house, newest first."""

    capability = VIEW
    queryset = OutboxEvent.objects.all()
    serializer_class = OutboxEventSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = OutboxFilter

    @use_case(
        capability="core.retry_work",
        input=ReasonSerializer,
        output=OutboxEventSerializer,
        route="retry",
        operation_id="outbox_retry",
        description="Brings an event that was given up back for another full round of attempts.",
    )
    def retry(self, call: Call) -> OutboxEvent:
        """The event, on its way again."""
        outbox.retry_dead_event(event_id=call.target.pk, actor=call.actor, **call.data)
        call.target.refresh_from_db()
        return call.target  # type: ignore[no-any-return]


def register() -> None:
    """Puts the machinery on the API."""
    register_router("jobs", JobViewSet, "job")
    register_router("job-runs", JobRunViewSet, "job-run")
    register_router("outbox-events", OutboxViewSet, "outbox-event")
