"""Links and codes of partners over HTTP."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.ui.api_fields import code_of
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from ib import selectors
from ib.api.partners import PartnerField
from ib.models import PartnerLink
from ib.permissions import KEEP_LINKS
from ib.selectors.links import figures_of_links
from ib.services import links

OWN = "ib.view_own_commissions"


class PartnerLinkSerializer(serializers.ModelSerializer[PartnerLink]):
    """A code by which clients come to a partner."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    partner = code_of("partner.reference")

    class Meta:
        model = PartnerLink
        fields = ["id", "partner", "code", "campaign", "landing_path", "created_at", "ended_at"]
        read_only_fields = fields


class NewLinkSerializer(StrictSerializer):
    """A further link; without a code one is drawn."""

    campaign = serializers.CharField(max_length=80)
    landing_path = serializers.CharField(max_length=200, default="/")
    code = serializers.RegexField(r"^([A-Za-z0-9-]{4,32})?$", default="", allow_blank=True)


class NewLinkForPartnerSerializer(NewLinkSerializer):
    """The same for a partner."""

    partner = PartnerField()


class PartnerLinkViewSet(ScopedReadOnlyViewSet):
    """Links of the partners that the caller sees."""

    capability = "ib.view_partners"
    queryset = PartnerLink.objects.select_related("partner")
    serializer_class = PartnerLinkSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_fields = ["code", "campaign"]

    @use_case(
        capability=KEEP_LINKS,
        input=NewLinkForPartnerSerializer,
        output=PartnerLinkSerializer,
        status=201,
        operation_id="partner_links_create",
        description="Makes a link for a partner.",
    )
    def create(self, call: Call) -> PartnerLink:
        """The link."""
        given = dict(call.data)
        return links.create_link(partner_id=given.pop("partner").pk, actor=call.actor, **given)

    @use_case(
        capability=KEEP_LINKS,
        input=ReasonSerializer,
        output=PartnerLinkSerializer,
        route="end",
        operation_id="partner_links_end",
        description="Ends a link; its code counts no more and is never given to anybody else.",
    )
    def end(self, call: Call) -> PartnerLink:
        """The ended link."""
        return links.end_link(link_id=call.target.pk, actor=call.actor, **call.data)


class OwnLinkSerializer(serializers.Serializer[Any]):
    """An own link and what came of it."""

    code = serializers.CharField(source="link.code")
    campaign = serializers.CharField(source="link.campaign")
    landing_path = serializers.CharField(source="link.landing_path")
    is_active = serializers.BooleanField(source="link.is_active")
    clicks = serializers.IntegerField()
    visitors = serializers.IntegerField()
    clients = serializers.IntegerField()


class OwnLinksView(ApiView):
    """The caller's own links."""

    capability = OWN

    @extend_schema(operation_id="own_links", responses=OwnLinkSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest first, with their figures."""
        partner = selectors.own_partner(actor=self.actor)
        return Response(OwnLinkSerializer(figures_of_links(actor=self.actor, partner=partner), many=True).data)

    @use_case(
        capability=KEEP_LINKS,
        input=NewLinkSerializer,
        output=PartnerLinkSerializer,
        status=201,
        operation_id="own_links_create",
        description="Makes a further own link.",
    )
    def post(self, call: Call) -> PartnerLink:
        """The link."""
        partner = selectors.own_partner(actor=call.actor)
        return links.create_link(partner_id=partner.pk, actor=call.actor, **call.data)


def register() -> None:
    """Puts links on the API."""
    register_router("partner-links", PartnerLinkViewSet, "partner-link")
    register_endpoint("own/links/", OwnLinksView, "own-links")
