"""Who signed in, from where, who may do what, and who leaves."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.models import ApiKey, LeaverRecord, LoginEvent, User, UserSession
from backoffice.core.services import access_review, leavers, sessions
from backoffice.kernel.errors import Denied
from backoffice.ui.api import LoggedIn
from backoffice.ui.api_fields import VisibleField
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ScopedReadOnlyViewSet, StrictSerializer, use_case

RUN_LEAVER = "core.run_leaver"
PERSON_ONLY = "In a person's own session only: an API key is answered 403 person_needed."


class SessionSerializer(serializers.ModelSerializer[UserSession]):
    """An open session, as its person recognises it."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    is_current = serializers.SerializerMethodField(help_text="The one that asks.")

    class Meta:
        model = UserSession
        fields = ["id", "started_at", "last_seen_at", "address", "country", "user_agent", "is_current"]
        read_only_fields = fields

    def get_is_current(self, session: UserSession) -> bool:
        """See the field."""
        return session.session_key == self.context["current_key"]


def _current_key(request: Any) -> str | None:
    """The session that asks. Raises Denied for an API key: what a person's browsers do is the person's own business."""
    if isinstance(request.auth, ApiKey):
        raise Denied("A person looks after their sessions, in one of them.", code="person_needed")
    key: str | None = request._request.session.session_key
    return key


class SessionsView(ApiView):
    """The caller's own open sessions."""

    permission_classes = [LoggedIn]

    @extend_schema(
        operation_id="sessions_list",
        responses=SessionSerializer(many=True),
        description=f"The last used first. {PERSON_ONLY}",
    )
    def get(self, request: Request) -> Response:
        """The last used first."""
        context = {"current_key": _current_key(request)}
        return Response(SessionSerializer(sessions.own_sessions(actor=self.actor), many=True, context=context).data)


class EndSessionView(ApiView):
    """Ending one of the caller's other sessions."""

    permission_classes = [LoggedIn]

    @use_case(
        capability="", operation_id="sessions_end", description=f"Ends another session of one's own. {PERSON_ONLY}"
    )
    def post(self, call: Call) -> None:
        """Nothing is answered."""
        current = _current_key(call.request)
        sessions.end_own_session(public_id=call.kwargs["public_id"], actor=call.actor, current_key=current)


class LoginEventSerializer(serializers.ModelSerializer[LoginEvent]):
    """Something that happened at the front door; `user` is null where the address is nobody's login."""

    user = serializers.UUIDField(source="user.public_id", read_only=True, allow_null=True, default=None)

    class Meta:
        model = LoginEvent
        fields = ["id", "user", "email", "kind", "method", "at", "address", "country", "device", "user_agent"]
        read_only_fields = fields


class LoginEventFilter(filters.FilterSet):
    """Which events."""

    user = filters.UUIDFilter(field_name="user__public_id")
    at_from = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    at_until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = LoginEvent
        fields = ["kind", "device"]


class LoginEventViewSet(ScopedReadOnlyViewSet):
    """Sign-ins of the people that the caller looks after, newest first."""

    capability = "core.view_login_events"
    queryset = LoginEvent.objects.select_related("user")
    serializer_class = LoginEventSerializer
    lookup_value_converter = "int"
    filterset_class = LoginEventFilter


class AccessRowSerializer(serializers.Serializer[Any]):
    """One login: what it may do, whose data it sees, how it is protected, and whether it is used."""

    email = serializers.CharField()
    full_name = serializers.CharField()
    kind = serializers.CharField()
    is_open = serializers.BooleanField()
    roles = serializers.CharField()
    entities = serializers.CharField()
    teams = serializers.CharField()
    exceptions = serializers.IntegerField()
    api_keys = serializers.IntegerField()
    second_factor = serializers.CharField()
    last_login = serializers.CharField()
    is_dormant = serializers.BooleanField()
    remark = serializers.CharField()


class AccessReviewSerializer(serializers.Serializer[Any]):
    """The rows that stand now, and their digest, which a reviewer signs at the desk."""

    digest = serializers.CharField()
    rows = AccessRowSerializer(many=True)


class AccessReviewView(ApiView):
    """Who may do what."""

    capability = "core.review_access"

    @extend_schema(operation_id="access_review", responses=AccessReviewSerializer)
    def get(self, request: Request) -> Response:
        """People of the caller's legal entities."""
        rows = access_review.review_rows(actor=self.actor)
        return Response(AccessReviewSerializer({"digest": access_review.digest_of(rows), "rows": rows}).data)


class LeaverPreviewSerializer(StrictSerializer):
    """Who leaves, and who takes over."""

    user = VisibleField(slug_field="public_id", queryset=User.objects.all())
    successor = VisibleField(
        slug_field="public_id", queryset=User.objects.all(), allow_null=True, required=False, default=None
    )


class NewLeaverSerializer(LeaverPreviewSerializer):
    """And why."""

    reason = serializers.CharField(max_length=500)


class LeaverStepSerializer(serializers.Serializer[Any]):
    """What would be done to how many things."""

    key = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    count = serializers.IntegerField()
    needs_successor = serializers.BooleanField()


class LeaverRecordSerializer(serializers.ModelSerializer[LeaverRecord]):
    """That somebody left, and what was done."""

    user = serializers.UUIDField(source="user.public_id", read_only=True)
    successor = serializers.UUIDField(source="successor.public_id", read_only=True, allow_null=True, default=None)
    evidence = serializers.DictField(read_only=True)

    class Meta:
        model = LeaverRecord
        fields = ["id", "user", "successor", "done_by", "done_at", "reason", "evidence"]
        read_only_fields = fields


class LeaverViewSet(ScopedReadOnlyViewSet):
    """Departures of people that the caller looks after."""

    capability = "core.view_leavers"
    queryset = LeaverRecord.objects.select_related("user", "successor")
    serializer_class = LeaverRecordSerializer
    lookup_value_converter = "int"
    filterset_fields: dict[str, list[str]] = {}

    @use_case(
        capability=RUN_LEAVER,
        input=LeaverPreviewSerializer,
        output=LeaverStepSerializer,
        many=True,
        route="preview",
        detail=False,
        operation_id="leavers_preview",
        description="What a departure would do, step by step; nothing is changed.",
    )
    def preview(self, call: Call) -> list[leavers.LeaverStep]:
        """The steps."""
        return leavers.preview_leaver(actor=call.actor, **_people(call))

    @use_case(
        capability=RUN_LEAVER,
        input=NewLeaverSerializer,
        output=LeaverRecordSerializer,
        status=201,
        operation_id="leavers_record",
        description="Closes the login, ends sessions, revokes keys, hands work over. 409 already_left, last_administrator.",
    )
    def create(self, call: Call) -> LeaverRecord:
        """The record."""
        return leavers.record_leaver(actor=call.actor, reason=call.data["reason"], **_people(call))


def _people(call: Call) -> dict[str, Any]:
    successor = call.data["successor"]
    return {"user_id": call.data["user"].pk, "successor_id": successor.pk if successor else None}


def register() -> None:
    """Puts identity on the API."""
    register_endpoint("sessions/", SessionsView, "sessions")
    register_endpoint("sessions/<uuid:public_id>/end/", EndSessionView, "session-end")
    register_endpoint("access-review/", AccessReviewView, "access-review")
    register_router("login-events", LoginEventViewSet, "login-event")
    register_router("leavers", LeaverViewSet, "leaver")
