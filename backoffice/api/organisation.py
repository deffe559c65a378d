"""Who the broker is and who works there: legal entities, brands, teams, logins, the audit trail, API keys."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.models import ApiKey, AuditRecord, Brand, LegalEntity, Team, User
from backoffice.core.services import api_keys
from backoffice.core.types import Role
from backoffice.ui.api_fields import code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, use_case

VIEW_ORGANISATION = "core.view_organisation"


class LegalEntitySerializer(serializers.ModelSerializer[LegalEntity]):
    """A licensed company."""

    currencies = serializers.ListField(
        child=serializers.CharField(), read_only=True, help_text="In which accounts may be opened; empty: not limited."
    )

    class Meta:
        model = LegalEntity
        fields = [
            "code",
            "name",
            "country",
            "regulator",
            "licence_number",
            "base_currency",
            "currencies",
            "created_at",
        ]
        read_only_fields = fields


class LegalEntityViewSet(ScopedReadOnlyViewSet):
    """The caller's legal entities."""

    capability = VIEW_ORGANISATION
    queryset = LegalEntity.objects.all()
    serializer_class = LegalEntitySerializer
    lookup_field = "code"


class BrandSerializer(serializers.ModelSerializer[Brand]):
    """A name under which an entity meets its clients."""

    entity = code_of("entity.code")
    support_email = serializers.CharField(read_only=True, help_text="Empty where there is none.")

    class Meta:
        model = Brand
        fields = ["code", "name", "entity", "accent_colour", "support_email"]
        read_only_fields = fields


class BrandFilter(filters.FilterSet):
    """Of which entity."""

    entity = filters.CharFilter(field_name="entity__code")


class BrandViewSet(ScopedReadOnlyViewSet):
    """Brands."""

    capability = VIEW_ORGANISATION
    queryset = Brand.objects.select_related("entity")
    serializer_class = BrandSerializer
    lookup_field = "code"
    filterset_class = BrandFilter


class TeamSerializer(serializers.ModelSerializer[Team]):
    """A group of staff."""

    entity = code_of("entity.code")

    class Meta:
        model = Team
        fields = ["id", "entity", "name"]
        read_only_fields = fields


class TeamViewSet(ScopedReadOnlyViewSet):
    """Teams."""

    capability = VIEW_ORGANISATION
    queryset = Team.objects.select_related("entity")
    serializer_class = TeamSerializer
    lookup_value_converter = "int"
    filterset_class = BrandFilter


class UserSerializer(serializers.ModelSerializer[User]):
    """A login: who, in which roles, for which legal entities."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    roles = serializers.ListField(child=serializers.ChoiceField(choices=Role.choices), read_only=True)
    entities: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(
        slug_field="code", many=True, read_only=True
    )

    class Meta:
        model = User
        fields = [
            "id",
            "email",
            "full_name",
            "roles",
            "entities",
            "is_active",
            "is_service",
            "last_login",
            "created_at",
        ]
        read_only_fields = fields


class UserFilter(filters.FilterSet):
    """Which logins."""

    class Meta:
        model = User
        fields = ["email", "is_active", "is_service"]


class UserViewSet(ScopedReadOnlyViewSet):
    """Logins of the caller's legal entities. They are made and changed by people at the desk."""

    capability = "core.view_users"
    queryset = User.objects.prefetch_related("entities")
    serializer_class = UserSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = UserFilter


class AuditRecordSerializer(serializers.ModelSerializer[AuditRecord]):
    """One privileged act."""

    entity = code_of("entity.code", allow_null=True, default=None)
    changes = serializers.DictField(read_only=True)

    class Meta:
        model = AuditRecord
        fields = [
            "id",
            "at",
            "actor",
            "entity",
            "action",
            "object_type",
            "object_id",
            "object_label",
            "reason",
            "changes",
            "trace_id",
        ]
        read_only_fields = fields


class AuditFilter(filters.FilterSet):
    """Which acts."""

    at_from = filters.IsoDateTimeFilter(field_name="at", lookup_expr="gte")
    at_until = filters.IsoDateTimeFilter(field_name="at", lookup_expr="lt")

    class Meta:
        model = AuditRecord
        fields = ["action", "object_type", "object_id", "trace_id"]


class AuditViewSet(ScopedReadOnlyViewSet):
    """The audit trail, newest first."""

    capability = "core.view_audit"
    queryset = AuditRecord.objects.select_related("entity")
    serializer_class = AuditRecordSerializer
    lookup_value_converter = "int"
    filterset_class = AuditFilter


class ApiKeySerializer(serializers.ModelSerializer[ApiKey]):
    """An API key, without its secret."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    owner = code_of("owner.email")
    state = serializers.ChoiceField(choices=["active", "expired", "revoked"], read_only=True)
    entities: serializers.SlugRelatedField[Any] = serializers.SlugRelatedField(
        slug_field="code", many=True, read_only=True
    )

    class Meta:
        model = ApiKey
        fields = [
            "id",
            "name",
            "prefix",
            "owner",
            "scopes",
            "entities",
            "addresses",
            "state",
            "expires_at",
            "created_at",
            "revoked_at",
            "last_used_at",
            "last_used_address",
        ]
        read_only_fields = fields


class ApiKeyViewSet(ScopedReadOnlyViewSet):
    """API keys. They are issued and rotated by people at the desk; a leaked one can be revoked from here at once."""

    capability = "core.view_api_keys"
    queryset = ApiKey.objects.select_related("owner").prefetch_related("entities")
    serializer_class = ApiKeySerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"

    @use_case(
        capability=api_keys.MANAGE_KEYS,
        input=ReasonSerializer,
        output=ApiKeySerializer,
        route="revoke",
        operation_id="api_keys_revoke",
        description="Ends the key at once.",
    )
    def revoke(self, call: Call) -> ApiKey:
        """The key, revoked."""
        return api_keys.revoke_key(key_id=call.target.pk, actor=call.actor, **call.data)


def register() -> None:
    """Puts the organisation on the API."""
    register_router("entities", LegalEntityViewSet, "entity")
    register_router("brands", BrandViewSet, "brand")
    register_router("teams", TeamViewSet, "team")
    register_router("users", UserViewSet, "user")
    register_router("audit-records", AuditViewSet, "audit-record")
    register_router("api-keys", ApiKeyViewSet, "api-key")
