"""Public events to read along, and the endpoints that are told of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.models import WebhookDelivery, WebhookEndpoint
from backoffice.core.services import public_events, webhooks
from backoffice.core.services.webhook_delivery import message_of
from backoffice.core.webhooks.topics import public_topics
from backoffice.ui.api_fields import MomentField, code_of, entity_field
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case

VIEW = "core.view_webhooks"
DEFAULT_EVENTS = 100
MAX_EVENTS = 1000


class TopicSerializer(serializers.Serializer[Any]):
    """A topic of which events are told; `schema` is the JSON schema of an event's `data`."""

    topic = serializers.CharField()
    version = serializers.IntegerField()
    title = serializers.CharField()
    capability = serializers.CharField(help_text="What a reader must hold.")
    schema = serializers.DictField()


class TopicsView(ApiView):
    """The topics that there are."""

    capability = public_events.READ_EVENTS

    @extend_schema(operation_id="event_topics", responses=TopicSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Those that the caller may hear of."""
        readable = set(public_events.readable_topics(self.actor))
        topics = [topic for topic in public_topics() if topic.topic in readable]
        return Response(TopicSerializer(topics, many=True).data)


class EventSerializer(serializers.Serializer[Any]):
    """An event, as webhooks carry it too."""

    id = serializers.UUIDField(help_text="The same at every delivery: tell repetitions by it.")
    type = serializers.CharField()
    version = serializers.IntegerField()
    timestamp = serializers.DateTimeField()
    entity = serializers.CharField(allow_null=True)
    data = serializers.DictField()  # type: ignore[assignment]  # a field of that name


class EventListSerializer(serializers.Serializer[Any]):
    """The next events. Ask again with `after=<cursor>` until `has_more` is false, and from then on for what is new."""

    events = EventSerializer(many=True)
    cursor = serializers.UUIDField(allow_null=True, help_text="Id of the last event here; null if there is none.")
    has_more = serializers.BooleanField()


class EventQuerySerializer(StrictSerializer):
    """From where to read."""

    after = serializers.UUIDField(required=False, help_text="Id of the last event that was read.")
    since = MomentField(required=False, help_text="Or: everything that came to be from this time on.")
    type = serializers.CharField(required=False, max_length=80, help_text="Only this topic.")
    limit = serializers.IntegerField(required=False, min_value=1, max_value=MAX_EVENTS, default=DEFAULT_EVENTS)

    def to_internal_value(self, data: Any) -> Any:
        """Either one or the other."""
        found = super().to_internal_value(data)
        if "after" in found and "since" in found:
            raise serializers.ValidationError({"after": ["Give after or since, not both."]})
        return found


class EventsView(ApiView):
    """Public events of the caller's legal entities, the oldest first, in one order in which nothing is missed."""

    capability = public_events.READ_EVENTS
    query = EventQuerySerializer

    @extend_schema(operation_id="events_list", responses=EventListSerializer)
    def get(self, request: Request) -> Response:
        """The next events after a cursor, or since a time. They are kept for ninety days."""
        wanted = self.parameters()
        topics = [wanted["type"]] if "type" in wanted else []
        found, has_more = public_events.events_after(
            actor=self.actor,
            after=wanted.get("after"),
            since=wanted.get("since"),
            topics=topics,
            limit=wanted["limit"],
        )
        cursor = found[-1].event_id if found else wanted.get("after")
        body = {"events": [message_of(event) for event in found], "cursor": cursor, "has_more": has_more}
        return Response(EventListSerializer(body).data)


class EndpointSerializer(serializers.ModelSerializer[WebhookEndpoint]):
    """An address that is told of topics of a legal entity."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id",
            "entity",
            "url",
            "description",
            "topics",
            "state",
            "disabled_reason",
            "failing_since",
            "last_success_at",
            "previous_secret_until",
            "created_at",
        ]
        read_only_fields = fields


class EndpointWithSecretSerializer(serializers.Serializer[Any]):
    """An endpoint with the secret that signs its deliveries. It is shown here only."""

    endpoint = EndpointSerializer()
    secret = serializers.CharField()


class EndpointSettingsSerializer(StrictSerializer):
    """Where, and of what."""

    url = serializers.CharField(max_length=500, help_text="https only.")
    topics = serializers.ListField(child=serializers.CharField(max_length=80), min_length=1, max_length=100)
    description = serializers.CharField(max_length=120, allow_blank=True, default="")


class NewEndpointSerializer(EndpointSettingsSerializer):
    """An endpoint to register."""

    entity = entity_field()


class RotateSecretSerializer(ReasonSerializer):
    """For how long both secrets sign."""

    overlap_hours = serializers.IntegerField(min_value=0, max_value=168)


class ReplaySerializer(StrictSerializer):
    """From where to replay."""

    after = serializers.UUIDField(required=False, help_text="Id of the last event that the receiver has.")
    since = MomentField(required=False)


class ReplayedSerializer(serializers.Serializer[Any]):
    """How many events are on their way; `go_on_after` is set when there are more: replay again after it."""

    events = serializers.IntegerField()
    go_on_after = serializers.UUIDField(allow_null=True)


class EndpointFilter(filters.FilterSet):
    """Of which entity and state."""

    entity = filters.CharFilter(field_name="entity__code")

    class Meta:
        model = WebhookEndpoint
        fields = ["state"]


class EndpointViewSet(ScopedReadOnlyViewSet):
    """Webhook endpoints."""

    capability = VIEW
    queryset = WebhookEndpoint.objects.select_related("entity")
    serializer_class = EndpointSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = EndpointFilter

    @use_case(
        capability=webhooks.MANAGE,
        input=NewEndpointSerializer,
        output=EndpointWithSecretSerializer,
        status=201,
        answers_secret=True,
        operation_id="webhook_endpoints_register",
        description="Registers an endpoint. The secret is answered once.",
    )
    def create(self, call: Call) -> webhooks.EndpointWithSecret:
        """The endpoint and its secret."""
        given = dict(call.data)
        return webhooks.register_endpoint(entity_id=given.pop("entity").pk, actor=call.actor, **given)

    @use_case(
        capability=webhooks.MANAGE,
        input=EndpointSettingsSerializer,
        output=EndpointSerializer,
        operation_id="webhook_endpoints_change",
        description="Another address, other topics.",
    )
    def update(self, call: Call) -> WebhookEndpoint:
        """The endpoint as it then is."""
        return webhooks.change_endpoint(endpoint_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=webhooks.MANAGE,
        operation_id="webhook_endpoints_remove",
        description="Forgets the endpoint and the record of its deliveries.",
    )
    def destroy(self, call: Call) -> None:
        """Nothing is answered."""
        webhooks.remove_endpoint(endpoint_id=call.target.pk, actor=call.actor, reason="")

    @use_case(
        capability=webhooks.MANAGE,
        input=RotateSecretSerializer,
        output=EndpointWithSecretSerializer,
        route="rotate-secret",
        answers_secret=True,
        operation_id="webhook_endpoints_rotate_secret",
        description="A new secret; the old one signs as well for the given hours.",
    )
    def rotate_secret(self, call: Call) -> webhooks.EndpointWithSecret:
        """The endpoint and its new secret."""
        overlap = timedelta(hours=call.data["overlap_hours"])
        return webhooks.rotate_secret(
            endpoint_id=call.target.pk, overlap=overlap, actor=call.actor, reason=call.data["reason"]
        )

    @use_case(
        capability=webhooks.MANAGE,
        input=ReasonSerializer,
        output=EndpointSerializer,
        route="disable",
        operation_id="webhook_endpoints_disable",
        description="Nothing is sent any more.",
    )
    def disable(self, call: Call) -> WebhookEndpoint:
        """The endpoint, disabled."""
        return webhooks.disable_endpoint(endpoint_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=webhooks.MANAGE,
        input=ReasonSerializer,
        output=EndpointSerializer,
        route="enable",
        operation_id="webhook_endpoints_enable",
        description="Events are sent again from now on.",
    )
    def enable(self, call: Call) -> WebhookEndpoint:
        """The endpoint, enabled."""
        return webhooks.enable_endpoint(endpoint_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=webhooks.MANAGE,
        input=ReplaySerializer,
        output=ReplayedSerializer,
        route="replay",
        operation_id="webhook_endpoints_replay",
        description="Sends again every event after a cursor or since a time.",
    )
    def replay(self, call: Call) -> dict[str, Any]:
        """How many."""
        events, go_on = webhooks.replay(endpoint_id=call.target.pk, actor=call.actor, **call.data)
        return {"events": events, "go_on_after": go_on}


class DeliverySerializer(serializers.ModelSerializer[WebhookDelivery]):
    """One event on its way to one endpoint."""

    endpoint = serializers.UUIDField(source="endpoint.public_id", read_only=True)
    event = serializers.UUIDField(source="event.event_id", read_only=True)
    topic = code_of("event.topic")

    class Meta:
        model = WebhookDelivery
        fields = [
            "id",
            "endpoint",
            "event",
            "topic",
            "state",
            "attempts",
            "next_attempt_at",
            "last_attempt_at",
            "duration_ms",
            "status_code",
            "response_excerpt",
            "error",
            "created_at",
            "delivered_at",
        ]
        read_only_fields = fields


class DeliveryFilter(filters.FilterSet):
    """Of which endpoint, event and state."""

    endpoint = filters.UUIDFilter(field_name="endpoint__public_id")
    event = filters.UUIDFilter(field_name="event__event_id")

    class Meta:
        model = WebhookDelivery
        fields = ["state"]


class DeliveryViewSet(ScopedReadOnlyViewSet):
    """Deliveries; the dead ones wait for a person."""

    capability = VIEW
    queryset = WebhookDelivery.objects.select_related("endpoint", "event")
    serializer_class = DeliverySerializer
    lookup_value_converter = "int"
    filterset_class = DeliveryFilter

    @use_case(
        capability=webhooks.MANAGE,
        output=DeliverySerializer,
        route="retry",
        operation_id="webhook_deliveries_retry",
        description="Brings a dead delivery back for another full round of attempts.",
    )
    def retry(self, call: Call) -> WebhookDelivery:
        """The delivery, on its way again."""
        delivery = webhooks.retry_delivery(delivery_id=call.target.pk, actor=call.actor)
        return self.get_queryset().get(pk=delivery.pk)  # type: ignore[no-any-return]


def register() -> None:
    """Puts events and webhooks on the API."""
    register_endpoint("events/", EventsView, "events")
    register_endpoint("event-topics/", TopicsView, "event-topics")
    register_router("webhook-endpoints", EndpointViewSet, "webhook-endpoint")
    register_router("webhook-deliveries", DeliveryViewSet, "webhook-delivery")
