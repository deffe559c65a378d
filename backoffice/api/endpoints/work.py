"""Work items as the inbox shows them: read, taken, given, discussed and closed; and what is muted."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.models import Severity, User, WorkDelivery, WorkItem, WorkItemEvent, WorkItemMute
from backoffice.core.services import work_items
from backoffice.core.types import Role
from backoffice.core.work.inbox import Tab, items_for
from backoffice.core.work.kinds import MAX_GROUP_KEY_LENGTH
from backoffice.core.work.rules import MAX_TEXT_LENGTH
from backoffice.kernel import clock
from backoffice.ui.api_fields import MomentField, code_of, entity_field
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case

VIEW = "core.view_inbox"
ACT = "core.work_on_items"


class WorkItemSerializer(serializers.ModelSerializer[WorkItem]):
    """Something that waits for a person. `severity`: 1 low, 2 normal, 3 high, 4 critical."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code", allow_null=True, default=None)
    owner = serializers.UUIDField(source="owner.public_id", read_only=True, allow_null=True, default=None)
    severity = serializers.IntegerField(read_only=True)
    evidence = serializers.DictField(read_only=True)
    is_muted = serializers.BooleanField(read_only=True)
    escalated_roles = serializers.ListField(child=serializers.ChoiceField(choices=Role.choices), read_only=True)

    class Meta:
        model = WorkItem
        fields = [
            "id",
            "kind",
            "group_key",
            "title",
            "severity",
            "state",
            "entity",
            "owner",
            "evidence",
            "url",
            "occurrences",
            "is_muted",
            "escalated_roles",
            "opened_at",
            "last_seen_at",
            "due_at",
            "clears_at",
            "closed_at",
            "closed_by",
            "resolution",
        ]
        read_only_fields = fields


class WorkEventSerializer(serializers.ModelSerializer[WorkItemEvent]):
    """Something that happened to an item."""

    data = serializers.DictField(read_only=True)  # type: ignore[assignment]  # a field of that name

    class Meta:
        model = WorkItemEvent
        fields = ["at", "kind", "actor", "text", "data"]
        read_only_fields = fields


class WorkItemDetailSerializer(WorkItemSerializer):
    """An item with its timeline, the oldest first."""

    events = WorkEventSerializer(many=True, read_only=True)

    class Meta(WorkItemSerializer.Meta):
        fields = [*WorkItemSerializer.Meta.fields, "events"]
        read_only_fields = fields


class AssignItemSerializer(StrictSerializer):
    """To whom: a person who sees the item and may work on it."""

    owner = serializers.UUIDField(help_text="The login's id.")
    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class PutBackSerializer(StrictSerializer):
    """Why, if there is something to say."""

    reason = serializers.CharField(max_length=500, required=False, allow_blank=True, default="")


class CommentSerializer(StrictSerializer):
    """What the caller found out."""

    text = serializers.CharField(max_length=MAX_TEXT_LENGTH)


class ResolutionSerializer(StrictSerializer):
    """What was done."""

    resolution = serializers.CharField(max_length=MAX_TEXT_LENGTH)


class WorkItemFilter(filters.FilterSet):
    """Which items. `view`: mine and desks hold what is not closed, all (if nothing is said) the closed ones as well."""

    view = filters.ChoiceFilter(choices=[(tab.value, tab.value) for tab in Tab], method="of_view")
    entity = filters.CharFilter(field_name="entity__code")
    severity_from = filters.ChoiceFilter(
        field_name="severity", lookup_expr="gte", choices=[(str(level.value), level.label) for level in Severity]
    )
    is_overdue = filters.BooleanFilter(method="overdue")

    class Meta:
        model = WorkItem
        fields = ["kind", "state", "group_key"]

    def of_view(self, rows: QuerySet[WorkItem], name: str, value: str) -> QuerySet[WorkItem]:
        """The rows that a tab of the inbox shows."""
        return rows.filter(pk__in=items_for(self.request.parser_context["view"].actor, Tab(value)).values("pk"))

    def overdue(self, rows: QuerySet[WorkItem], name: str, value: bool) -> QuerySet[WorkItem]:
        """Open and late, or not."""
        late = {"due_at__lt": clock.now(), "closed_at__isnull": True}
        return rows.filter(**late) if value else rows.exclude(**late)


class WorkItemViewSet(ScopedReadOnlyViewSet):
    """Items of the kinds that the caller's roles look after, of the caller's legal entities."""

    capability = VIEW
    queryset = WorkItem.objects.all()
    serializer_class = WorkItemSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = WorkItemFilter

    def get_queryset(self) -> Any:
        """As the inbox reads them."""
        if getattr(self, "swagger_fake_view", False):
            return WorkItem.objects.none()
        items = items_for(self.actor, Tab.ALL)
        return items if self.action == "list" else items.prefetch_related("events")

    def get_serializer_class(self) -> Any:
        """One item comes with its timeline."""
        return WorkItemDetailSerializer if self.action == "retrieve" else WorkItemSerializer

    def _again(self, call: Call) -> WorkItem:
        return self.get_queryset().get(pk=call.target.pk)  # type: ignore[no-any-return]

    @use_case(
        capability=ACT,
        output=WorkItemSerializer,
        route="take",
        operation_id="work_items_take",
        description="Makes the caller the owner; 409 already_taken when somebody else is.",
    )
    def take(self, call: Call) -> WorkItem:
        """The item, taken."""
        work_items.take_item(item_id=call.target.pk, actor=call.actor)
        return self._again(call)

    @use_case(
        capability=ACT,
        input=AssignItemSerializer,
        output=WorkItemSerializer,
        route="assign",
        operation_id="work_items_assign",
        description="Gives the item to a person who sees it and may work on it.",
    )
    def assign(self, call: Call) -> WorkItem:
        """The item with its owner. A person who does not exist is refused like one who may not own it."""
        owner = User.objects.filter(public_id=call.data["owner"]).values_list("pk", flat=True).first()
        reason = call.data["reason"]
        work_items.assign_item(item_id=call.target.pk, user_id=owner or 0, reason=reason, actor=call.actor)
        return self._again(call)

    @use_case(
        capability=ACT,
        input=PutBackSerializer,
        output=WorkItemSerializer,
        route="put-back",
        operation_id="work_items_put_back",
        description="Leaves a taken item to the desk again.",
    )
    def put_back(self, call: Call) -> WorkItem:
        """The item without an owner."""
        work_items.put_back_item(item_id=call.target.pk, reason=call.data["reason"], actor=call.actor)
        return self._again(call)

    @use_case(
        capability=ACT,
        input=CommentSerializer,
        output=WorkEventSerializer,
        status=201,
        route="comment",
        operation_id="work_items_comment",
        description="Adds to the timeline, also of a closed item.",
    )
    def comment(self, call: Call) -> WorkItemEvent:
        """What was added."""
        return work_items.comment_item(item_id=call.target.pk, text=call.data["text"], actor=call.actor)

    @use_case(
        capability=ACT,
        input=ResolutionSerializer,
        output=WorkItemSerializer,
        route="close",
        operation_id="work_items_close",
        description="Closes the item; 409 condition_stands while what it tells of still stands and would come back.",
    )
    def close(self, call: Call) -> WorkItem:
        """The item, closed."""
        work_items.close_item(item_id=call.target.pk, resolution=call.data["resolution"], actor=call.actor)
        return self._again(call)

    @use_case(
        capability=ACT,
        input=ReasonSerializer,
        output=WorkItemSerializer,
        route="reopen",
        operation_id="work_items_reopen",
        description="Opens a closed item again; 409 newer_item_open when the same thing is open already.",
    )
    def reopen(self, call: Call) -> WorkItem:
        """The item, open, with a new due time."""
        work_items.reopen_item(item_id=call.target.pk, reason=call.data["reason"], actor=call.actor)
        return self._again(call)


class MuteSerializer(serializers.ModelSerializer[WorkItemMute]):
    """Items of a kind (or of one group of it) that are recorded but not delivered until a moment."""

    entity = code_of("entity.code", allow_null=True, default=None)

    class Meta:
        model = WorkItemMute
        fields = ["id", "kind", "group_key", "entity", "reason", "muted_by", "muted_at", "until"]
        read_only_fields = fields


class NewMuteSerializer(StrictSerializer):
    """What to mute, and until when; no entity means every legal entity."""

    kind = serializers.CharField(max_length=60)
    group_key = serializers.CharField(
        max_length=MAX_GROUP_KEY_LENGTH, required=False, allow_blank=True, default="", help_text="Empty: all groups."
    )
    entity = entity_field(allow_null=True)
    until = MomentField(help_text="At most 92 days away.")
    reason = serializers.CharField(max_length=500)


class MuteFilter(filters.FilterSet):
    """Which mutes."""

    entity = filters.CharFilter(field_name="entity__code")
    until_from = filters.IsoDateTimeFilter(field_name="until", lookup_expr="gte")

    class Meta:
        model = WorkItemMute
        fields = ["kind", "group_key"]


class MuteViewSet(ScopedReadOnlyViewSet):
    """Mutes of the kinds that the caller's roles look after."""

    capability = VIEW
    queryset = WorkItemMute.objects.select_related("entity")
    serializer_class = MuteSerializer
    lookup_value_converter = "int"
    filterset_class = MuteFilter

    @use_case(
        capability=ACT,
        input=NewMuteSerializer,
        output=MuteSerializer,
        status=201,
        operation_id="work_mutes_add",
        description="Keeps items from being delivered until a moment. They are still recorded.",
    )
    def create(self, call: Call) -> WorkItemMute:
        """The mute."""
        given = dict(call.data)
        entity = given.pop("entity")
        return work_items.mute_items(entity_id=entity.pk if entity else None, actor=call.actor, **given)

    @use_case(
        capability=ACT,
        input=ReasonSerializer,
        output=MuteSerializer,
        route="end",
        operation_id="work_mutes_end",
        description="Ends a mute now.",
    )
    def end(self, call: Call) -> WorkItemMute:
        """The mute, over."""
        return work_items.end_mute(mute_id=call.target.pk, reason=call.data["reason"], actor=call.actor)


class DeliverySettingsSerializer(StrictSerializer):
    """How the caller wants to hear of new items: with a sound, and by mail from a severity on (null: no mail)."""

    plays_sound = serializers.BooleanField()
    mail_from = serializers.IntegerField(
        allow_null=True, min_value=min(Severity.values), max_value=max(Severity.values), help_text="1 low … 4 critical."
    )


class DeliverySettingsView(ApiView):
    """How the caller is told."""

    capability = VIEW

    @use_case(
        capability=VIEW,
        input=DeliverySettingsSerializer,
        output=DeliverySettingsSerializer,
        operation_id="work_delivery_set",
        description="Says how the caller wants to hear of new items.",
    )
    def post(self, call: Call) -> WorkDelivery:
        """The caller's settings."""
        return work_items.set_delivery(actor=call.actor, **call.data)


def register() -> None:
    """Puts work items on the API."""
    register_router("work-items", WorkItemViewSet, "work-item")
    register_router("work-mutes", MuteViewSet, "work-mute")
    register_endpoint("work-delivery/", DeliverySettingsView, "work-delivery")
