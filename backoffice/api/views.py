"""Endpoints that belong to no desk."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.permissions import AllowAny, BasePermission
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.access import capabilities, holds
from backoffice.core.actors import actor_of
from backoffice.core.models import LegalEntity, User
from backoffice.core.types import Role
from backoffice.ui.api import LoggedIn
from backoffice.ui.api_views import ApiView


class StaffOnly(BasePermission):
    """Lets in staff."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """See the class."""
        return bool(request.user.is_authenticated) and actor_of(request).is_staff


class ApiDocs(SpectacularSwaggerSplitView):
    """The schema as a page, for staff; from our own files, without inline script or style."""

    url_name = "schema"
    template_name = "ui/api_docs.html"
    permission_classes = [StaffOnly]


class EntitySerializer(serializers.ModelSerializer[LegalEntity]):
    """A legal entity as a caller names it."""

    class Meta:
        model = LegalEntity
        fields = ["code", "name", "base_currency"]


class MeSerializer(serializers.Serializer[Any]):
    """The caller: who, in which roles, for which legal entities, with which capabilities."""

    id = serializers.UUIDField()
    email = serializers.EmailField()
    full_name = serializers.CharField()
    roles = serializers.ListField(child=serializers.ChoiceField(choices=Role.choices))
    entities = EntitySerializer(many=True)
    capabilities = serializers.ListField(child=serializers.CharField())


class MeView(ApiView):
    """Who I am and what I may do."""

    permission_classes = [LoggedIn]

    @extend_schema(operation_id="me", responses=MeSerializer)
    def get(self, request: Request) -> Response:
        """The caller's own record."""
        user = request.user
        assert isinstance(user, User), "LoggedIn lets in our users only"
        actor = actor_of(request)
        held = [name for name in capabilities() if holds(actor, name)]
        entities = LegalEntity.objects.filter(pk__in=actor.entity_ids)
        body = {
            "id": user.public_id,
            "email": user.email,
            "full_name": user.full_name,
            "roles": sorted(actor.roles),
            "entities": entities,
            "capabilities": held,
        }
        return Response(MeSerializer(body).data)


@extend_schema(exclude=True)
class UnknownEndpoint(ApiView):
    """Answers an unknown path under the API as a problem, not as a page."""

    permission_classes = [AllowAny]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """Refuses every method alike."""
        raise Http404
