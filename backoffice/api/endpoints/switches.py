"""Switches: what stands still, stopping a flow at once, and letting it go on."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.models import Switch, SwitchStop
from backoffice.core.services import switches
from backoffice.ui.api_fields import code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case

VIEW = "core.view_switches"


class StopSerializer(serializers.ModelSerializer[SwitchStop]):
    """A stop of a flow, of one legal entity or (null) of the whole broker; it stands until `resumed_at`."""

    switch = serializers.ChoiceField(choices=Switch.choices, read_only=True)
    entity = code_of("entity.code", allow_null=True, default=None)

    class Meta:
        model = SwitchStop
        fields = [
            "id",
            "switch",
            "entity",
            "reason",
            "stopped_by",
            "stopped_at",
            "resumed_at",
            "resumed_by",
            "resume_reason",
        ]
        read_only_fields = fields


class FlowSerializer(StrictSerializer):
    """Which flow, where and why. The whole broker is named with null, never by leaving the entity out."""

    switch = serializers.ChoiceField(choices=Switch.choices)
    entity = entity_field(allow_null=True)
    reason = serializers.CharField(max_length=switches.MAX_REASON_LENGTH)


class StoppedSerializer(serializers.Serializer[Any]):
    """The stop that stands now."""

    stop = StopSerializer()
    is_new = serializers.BooleanField(help_text="False: it stood already and was kept.")
    is_drained = serializers.BooleanField(
        help_text="Whether everything that had begun before the stop has ended; false: ask for the stop again."
    )


class StopFilter(filters.FilterSet):
    """Which stops."""

    switch = filters.ChoiceFilter(choices=Switch.choices)
    entity = filters.CharFilter(field_name="entity__code")
    is_standing = filters.BooleanFilter(field_name="resumed_at", lookup_expr="isnull")


class SwitchStopViewSet(ScopedReadOnlyViewSet):
    """Stops of the whole broker and of the caller's legal entities, the standing and the ended ones."""

    capability = VIEW
    queryset = SwitchStop.objects.select_related("entity")
    serializer_class = StopSerializer
    lookup_value_converter = "int"
    filterset_class = StopFilter

    @use_case(
        capability=VIEW,
        input=FlowSerializer,
        output=StoppedSerializer,
        apart=True,
        operation_id="switch_stops_stop",
        description=(
            "Stops a flow at once; one caller is enough. Needs the capability core.stop_<switch> as well. "
            "A stop that stands already is kept."
        ),
    )
    def create(self, call: Call) -> switches.Stopped:
        """The stop. It commits by itself before it waits for what is still under way."""
        return switches.stop(actor=call.actor, **_flow(call))

    @use_case(
        capability=VIEW,
        input=FlowSerializer,
        output=StopSerializer,
        route="resume",
        detail=False,
        operation_id="switch_stops_resume",
        description=(
            "Lets a flow go on. Needs the capability core.resume_<switch> as well; withdrawals and payouts are let go "
            "on by another person than the one who stopped them (403 second_person_needed). 409 not_stopped when "
            "nothing stands still there."
        ),
    )
    def resume(self, call: Call) -> SwitchStop:
        """The stop, ended."""
        return switches.resume(actor=call.actor, **_flow(call))


def _flow(call: Call) -> dict[str, Any]:
    entity = call.data["entity"]
    return {
        "switch": Switch(call.data["switch"]),
        "entity_id": entity.pk if entity else None,
        "reason": call.data["reason"],
    }


def register() -> None:
    """Puts the switches on the API."""
    register_router("switch-stops", SwitchStopViewSet, "switch-stop")
