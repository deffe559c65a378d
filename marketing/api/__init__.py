"""Campaigns over HTTP."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import MomentField, VisibleField, brand_field, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from marketing.models import Campaign
from marketing.services import campaigns


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    """Where clients come from."""

    entity = code_of("entity.code")
    brand = code_of("brand.code")

    class Meta:
        model = Campaign
        fields = ["code", "name", "entity", "brand", "channel", "starts_on", "ends_on", "created_at"]
        read_only_fields = fields


class NewCampaignSerializer(StrictSerializer):
    """A campaign under a code that no other has."""

    brand = brand_field()
    code = serializers.RegexField(r"^[A-Za-z0-9_-]+$", max_length=40)
    name = serializers.CharField(max_length=120)
    channel = serializers.CharField(max_length=40, allow_blank=True, default="")
    starts_on = serializers.DateField()
    ends_on = serializers.DateField(required=False, allow_null=True, default=None)


class AttributeSerializer(StrictSerializer):
    """Which account came by the campaign, from when on."""

    account = VisibleField(
        slug_field="public_id", queryset=apps.get_model("platform_ops", "TradingAccount")._default_manager.all()
    )
    valid_from = MomentField()
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class AttributionSerializer(serializers.Serializer[Any]):
    """The dated fact that the account now carries."""

    dimension = serializers.CharField()
    value = serializers.CharField()


class CampaignFilter(filters.FilterSet):
    """Which campaigns."""

    entity = filters.CharFilter(field_name="entity__code")
    brand = filters.CharFilter(field_name="brand__code")

    class Meta:
        model = Campaign
        fields = ["channel"]


class CampaignViewSet(ScopedReadOnlyViewSet):
    """Campaigns."""

    capability = "marketing.view_campaign"
    queryset = Campaign.objects.select_related("entity", "brand")
    serializer_class = CampaignSerializer
    lookup_field = "code"
    filterset_class = CampaignFilter

    @use_case(
        capability="marketing.create_campaign",
        input=NewCampaignSerializer,
        output=CampaignSerializer,
        status=201,
        operation_id="campaigns_create",
        description="Creates a campaign.",
    )
    def create(self, call: Call) -> Campaign:
        """The campaign."""
        given = dict(call.data)
        return campaigns.create_campaign(brand_id=given.pop("brand").pk, actor=call.actor, **given)

    @use_case(
        capability="marketing.attribute_account",
        input=AttributeSerializer,
        output=AttributionSerializer,
        route="attribute",
        operation_id="campaigns_attribute",
        description="Says that an account came by the campaign.",
    )
    def attribute(self, call: Call) -> Any:
        """The fact."""
        given = dict(call.data)
        return campaigns.attribute_account(
            campaign_id=call.target.pk, account_id=given.pop("account").pk, actor=call.actor, **given
        )


def register() -> None:
    """Puts the desk's endpoints on the API. Called once, when the process starts."""
    register_router("campaigns", CampaignViewSet, "campaign")
