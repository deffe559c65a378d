"""What a legal entity has: bank accounts (masked), terms, and the numbers of its documents."""

from __future__ import annotations

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.models import DocumentNumber, EntityBankAccount, TermsVersion
from backoffice.core.organisation.permissions import VIEW_NUMBERS
from backoffice.ui.api_fields import code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import ScopedReadOnlyViewSet


class BankAccountSerializer(serializers.ModelSerializer[EntityBankAccount]):
    """An account of the entity at a bank; of its number only the last four characters are told."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")

    class Meta:
        model = EntityBankAccount
        fields = [
            "id",
            "entity",
            "name",
            "purpose",
            "currency",
            "bank_name",
            "bic",
            "number_tail",
            "is_iban",
            "opened_at",
            "closed_at",
        ]
        read_only_fields = fields


class BankAccountFilter(filters.FilterSet):
    """Which accounts."""

    entity = filters.CharFilter(field_name="entity__code")

    class Meta:
        model = EntityBankAccount
        fields = ["purpose", "currency"]


class BankAccountViewSet(ScopedReadOnlyViewSet):
    """Bank accounts of the caller's legal entities. Whole numbers are shown at the desk, on record."""

    capability = "core.view_bank_accounts"
    queryset = EntityBankAccount.objects.select_related("entity").defer("account_number", "account_number_index")
    serializer_class = BankAccountSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = BankAccountFilter


class TermsSerializer(serializers.ModelSerializer[TermsVersion]):
    """A version of a document that is agreed to; from a day until (without it) the day before the next one's."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")
    valid_from = serializers.DateField(source="validity.lower", read_only=True, allow_null=True, default=None)
    valid_to = serializers.DateField(source="validity.upper", read_only=True, allow_null=True, default=None)

    class Meta:
        model = TermsVersion
        fields = [
            "id",
            "entity",
            "kind",
            "language",
            "number",
            "title",
            "body",
            "sha256",
            "valid_from",
            "valid_to",
            "published_at",
            "published_by",
        ]
        read_only_fields = fields


class TermsFilter(filters.FilterSet):
    """Which versions."""

    entity = filters.CharFilter(field_name="entity__code")
    is_published = filters.BooleanFilter(field_name="published_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = TermsVersion
        fields = ["kind", "language"]


class TermsViewSet(ScopedReadOnlyViewSet):
    """Terms of the caller's legal entities, drafts among them."""

    capability = "core.view_terms"
    queryset = TermsVersion.objects.select_related("entity")
    serializer_class = TermsSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = TermsFilter


class DocumentNumberSerializer(serializers.ModelSerializer[DocumentNumber]):
    """A number that was given to a document."""

    entity = code_of("entity.code")

    class Meta:
        model = DocumentNumber
        fields = ["id", "entity", "kind", "number", "reference", "subject", "issued_at", "issued_by"]
        read_only_fields = fields


class DocumentNumberFilter(filters.FilterSet):
    """Which numbers."""

    entity = filters.CharFilter(field_name="entity__code")

    class Meta:
        model = DocumentNumber
        fields = ["kind", "reference"]


class DocumentNumberViewSet(ScopedReadOnlyViewSet):
    """Numbers of documents of the caller's legal entities, newest first."""

    capability = VIEW_NUMBERS
    queryset = DocumentNumber.objects.select_related("entity")
    serializer_class = DocumentNumberSerializer
    lookup_value_converter = "int"
    filterset_class = DocumentNumberFilter


def register() -> None:
    """Puts what an entity has on the API."""
    register_router("entity-bank-accounts", BankAccountViewSet, "entity-bank-account")
    register_router("terms-versions", TermsViewSet, "terms-version")
    register_router("document-numbers", DocumentNumberViewSet, "document-number")
