"""GET /api/v1/clients: clients that the caller may see."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from backoffice.ui.api_views import ScopedReadOnlyViewSet
from crm.models import Client


class ClientSerializer(serializers.ModelSerializer[Client]):
    """A client; ids are public, legal entity, brand and owner are named by code and address."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(slug_field="code", read_only=True)
    brand: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(slug_field="code", read_only=True)
    owner: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(
        slug_field="email", read_only=True, allow_null=True
    )
    stage = serializers.ChoiceField(choices=Client.Stage.choices, read_only=True)

    class Meta:
        model = Client
        fields = [
            "id",
            "reference",
            "full_name",
            "email",
            "phone",
            "country",
            "language",
            "stage",
            "entity",
            "brand",
            "owner",
            "registered_at",
        ]
        read_only_fields = fields


class ClientViewSet(ScopedReadOnlyViewSet):
    """Clients that the caller may see, newest first."""

    capability = "crm.view_clients"
    queryset = Client.objects.select_related("entity", "brand", "owner")
    serializer_class = ClientSerializer
    lookup_field = "public_id"
    filterset_fields = {"stage": ["exact"], "country": ["exact"], "entity__code": ["exact"], "reference": ["exact"]}
