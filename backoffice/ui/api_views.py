"""Bases of API views.

class ClientViewSet(ScopedReadOnlyViewSet):
    capability = "crm.view_client"
    queryset = Client.objects.select_related("entity")
    serializer_class = ClientSerializer
    lookup_field = "public_id"
"""

from __future__ import annotations

from typing import Any

from rest_framework import mixins
from rest_framework.viewsets import GenericViewSet

from backoffice.core.access import visible_to
from backoffice.core.actors import actor_of
from backoffice.core.types import Actor


class ScopedReadOnlyViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet):
    """Lists and shows rows of `queryset` that the caller may see through the access door."""

    capability: str = ""

    @property
    def actor(self) -> Actor:
        """Who calls."""
        return actor_of(self.request)

    def get_queryset(self) -> Any:
        """Through the door; while the schema is generated, nothing."""
        rows = super().get_queryset()
        return rows.none() if getattr(self, "swagger_fake_view", False) else visible_to(rows, self.actor)
