"""What a second person must approve: publishing a plan, moving a partner. The API asks; people decide at the desk."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from backoffice.ui.api_fields import MomentField
from backoffice.ui.api_registry import register_endpoint
from backoffice.ui.api_views import ApiView, Call, StrictSerializer, use_case
from ib.api.partners import MANAGE as MANAGE_PARTNERS
from ib.api.partners import PartnerField
from ib.api.plans import MANAGE as MANAGE_PLANS
from ib.services import requests


class ChangeSerializer(serializers.Serializer[Any]):
    """A change request as it stands after it was handed in."""

    id = serializers.UUIDField(source="public_id")
    reference = serializers.CharField()
    kind = serializers.CharField()
    title = serializers.CharField()
    state = serializers.CharField()


class PublicationSerializer(StrictSerializer):
    """Which draft is to pay, from when on, and why."""

    version = serializers.IntegerField(min_value=1, max_value=2**63 - 1)
    valid_from = MomentField()
    reason = serializers.CharField(max_length=500)


class MoveSerializer(StrictSerializer):
    """Who is to stand below whom (null: at the top), from when on, and why."""

    partner = PartnerField()
    parent = PartnerField(allow_null=True)  # type: ignore[assignment]  # a field of that name
    valid_from = MomentField()
    reason = serializers.CharField(max_length=500)


class RequestPublicationView(ApiView):
    """Asking for a publication."""

    @use_case(
        capability=MANAGE_PLANS,
        input=PublicationSerializer,
        output=ChangeSerializer,
        status=201,
        operation_id="plan_publications_request",
        description="Asks that a draft be published; another person approves it at the desk.",
    )
    def post(self, call: Call) -> Any:
        """The request."""
        given = dict(call.data)
        return requests.request_publication(version_id=given.pop("version"), actor=call.actor, **given)


class RequestMoveView(ApiView):
    """Asking for a move in the tree."""

    @use_case(
        capability=MANAGE_PARTNERS,
        input=MoveSerializer,
        output=ChangeSerializer,
        status=201,
        operation_id="partner_moves_request",
        description="Asks that a partner, with everybody below, stand under another; another person approves it.",
    )
    def post(self, call: Call) -> Any:
        """The request."""
        given = dict(call.data)
        partner, parent = given.pop("partner"), given.pop("parent")
        return requests.request_move(
            partner_id=partner.pk, parent_id=parent.pk if parent else None, actor=call.actor, **given
        )


def register() -> None:
    """Puts the requests on the API."""
    register_endpoint("plan-publications/request/", RequestPublicationView, "plan-publications-request")
    register_endpoint("partner-moves/request/", RequestMoveView, "partner-moves-request")
