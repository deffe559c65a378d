"""Messages as they went out, the texts they are made of, and addresses that are not written to."""

from __future__ import annotations

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.models import Message, MessageTemplateVersion, Suppression
from backoffice.core.sealing.fields import blind_lookup
from backoffice.core.services import consents, messages
from backoffice.ui.api_fields import code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case

VIEW, MANAGE = "core.view_messages", "core.manage_messages"
VIEW_TEMPLATES = "core.view_templates"
VIEW_SUPPRESSIONS, MANAGE_SUPPRESSIONS = "core.view_suppressions", "core.manage_suppressions"


class MessageSerializer(serializers.ModelSerializer[Message]):
    """A message to one address. What was filled into its text is sealed and not told."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code", allow_null=True, default=None)
    brand = code_of("brand.code", allow_null=True, default=None)
    address = serializers.CharField(read_only=True)

    class Meta:
        model = Message
        fields = [
            "id",
            "template",
            "category",
            "entity",
            "brand",
            "language",
            "channel",
            "address",
            "state",
            "attempts",
            "queued_at",
            "finished_at",
            "outcome",
        ]
        read_only_fields = fields


class MessageFilter(filters.FilterSet):
    """Which messages."""

    entity = filters.CharFilter(field_name="entity__code")
    queued_from = filters.IsoDateTimeFilter(field_name="queued_at", lookup_expr="gte")
    queued_until = filters.IsoDateTimeFilter(field_name="queued_at", lookup_expr="lt")

    class Meta:
        model = Message
        fields = ["template", "category", "state"]


class MessageViewSet(ScopedReadOnlyViewSet):
    """Messages of the caller's legal entities, newest first."""

    capability = VIEW
    queryset = Message.objects.select_related("entity", "brand")
    serializer_class = MessageSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = MessageFilter

    @use_case(
        capability=MANAGE,
        input=ReasonSerializer,
        output=MessageSerializer,
        route="send-again",
        operation_id="messages_send_again",
        description="Tries a message that failed once more.",
    )
    def send_again(self, call: Call) -> Message:
        """The message, queued."""
        messages.send_again(message_id=call.target.pk, actor=call.actor, **call.data)
        return self.get_queryset().get(pk=call.target.pk)  # type: ignore[no-any-return]


class TemplateVersionSerializer(serializers.ModelSerializer[MessageTemplateVersion]):
    """The text of a template for a brand and a language; null and empty mean any."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    brand = code_of("brand.code", allow_null=True, default=None)

    class Meta:
        model = MessageTemplateVersion
        fields = [
            "id",
            "code",
            "brand",
            "language",
            "number",
            "state",
            "subject",
            "mjml",
            "note",
            "written_at",
            "published_at",
        ]
        read_only_fields = fields


class TemplateVersionFilter(filters.FilterSet):
    """Which texts."""

    brand = filters.CharFilter(field_name="brand__code")

    class Meta:
        model = MessageTemplateVersion
        fields = ["code", "language", "state"]


class TemplateVersionViewSet(ScopedReadOnlyViewSet):
    """Versions of the broker's own texts, of the caller's brands and of every brand. They are written at the desk."""

    capability = VIEW_TEMPLATES
    queryset = MessageTemplateVersion.objects.select_related("brand")
    serializer_class = TemplateVersionSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = TemplateVersionFilter


class SuppressionSerializer(serializers.ModelSerializer[Suppression]):
    """That an address is not to be written to, or (`is_lifted`) may be again; the last entry of a scope counts."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")
    address = serializers.CharField(read_only=True)

    class Meta:
        model = Suppression
        fields = ["id", "entity", "address", "scope", "is_lifted", "source", "reason", "actor", "at"]
        read_only_fields = fields


class NewSuppressionSerializer(StrictSerializer):
    """An address not to write to."""

    entity = entity_field()
    address = serializers.EmailField(max_length=254)
    scope = serializers.ChoiceField(choices=Suppression.Scope.choices)
    reason = serializers.CharField(max_length=300)


class LiftSerializer(StrictSerializer):
    """Why it may be written to again."""

    reason = serializers.CharField(max_length=300)


class SuppressionFilter(filters.FilterSet):
    """Which entries; an address is found by the whole of it."""

    entity = filters.CharFilter(field_name="entity__code")
    address = filters.CharFilter(method="of_address")

    class Meta:
        model = Suppression
        fields = ["scope", "source", "is_lifted"]

    def of_address(self, rows: QuerySet[Suppression], name: str, value: str) -> QuerySet[Suppression]:
        """By the blind index, for the address itself is sealed."""
        return rows.filter(**blind_lookup(Suppression, "address_index", value))


class SuppressionViewSet(ScopedReadOnlyViewSet):
    """Addresses that are not written to, with everything that was said about them, newest first."""

    capability = VIEW_SUPPRESSIONS
    queryset = Suppression.objects.select_related("entity")
    serializer_class = SuppressionSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = SuppressionFilter

    @use_case(
        capability=MANAGE_SUPPRESSIONS,
        input=NewSuppressionSerializer,
        output=SuppressionSerializer,
        operation_id="suppressions_add",
        description="Stops messages of a scope to an address. One that is stopped already stays as it is.",
    )
    def create(self, call: Call) -> Suppression:
        """The entry that stands."""
        given = dict(call.data)
        return consents.suppress_address(entity_id=given.pop("entity").pk, actor=call.actor, **given)

    @use_case(
        capability=MANAGE_SUPPRESSIONS,
        input=LiftSerializer,
        output=SuppressionSerializer,
        route="lift",
        operation_id="suppressions_lift",
        description="Lets messages go to the address again; consent is not given by it. 409 not_suppressed if none stands.",
    )
    def lift(self, call: Call) -> Suppression:
        """The further entry."""
        return consents.lift_suppression(suppression_id=call.target.pk, actor=call.actor, **call.data)


def register() -> None:
    """Puts messages on the API."""
    register_router("messages", MessageViewSet, "message")
    register_router("message-template-versions", TemplateVersionViewSet, "message-template-version")
    register_router("suppressions", SuppressionViewSet, "suppression")
