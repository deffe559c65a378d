"""Specifications of symbols over HTTP: what counts and counted, a change drafted, a file of them read and proposed from."""

from __future__ import annotations

from typing import Any, ClassVar

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from backoffice.ui.api_fields import MomentField, ValiditySerializer, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.catalogue import SpecificationSerializer
from platform_ops.api.shared import SUBMIT_HELP, DraftedChangeSerializer, TakesFiles
from platform_ops.models import SpecificationImport, Symbol, SymbolSpec, TradingServer
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.rules.specifications import FIELDS
from platform_ops.services import specification_imports, specifications


class SymbolSpecSerializer(serializers.ModelSerializer[SymbolSpec]):
    """How a symbol is traded, in one span of time."""

    symbol = code_of("symbol.code")
    validity = serializers.SerializerMethodField()

    class Meta:
        model = SymbolSpec
        fields = [
            "id",
            "symbol",
            "validity",
            "profit_mode",
            *FIELDS,
        ]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, spec: SymbolSpec) -> Any:
        """From when to when it holds."""
        return ValiditySerializer().to_representation(spec.validity)


class SymbolCodeFilter(filters.FilterSet):
    """Of one symbol."""

    symbol = filters.CharFilter(field_name="symbol__code")


class SpecificationRequestSerializer(StrictSerializer):
    """A whole specification of a symbol from a moment on, until further notice."""

    symbol = VisibleField(slug_field="code", queryset=Symbol.objects.all())
    specification = SpecificationSerializer()
    valid_from = MomentField()
    reason = serializers.CharField(max_length=500)
    apply_at = MomentField(required=False, allow_null=True, default=None, help_text="Null: once it is approved.")
    submit = serializers.BooleanField(default=True, help_text=SUBMIT_HELP)


class SymbolSpecViewSet(ScopedReadOnlyViewSet):
    """Specifications of symbols, past and planned ones too."""

    capability = VIEW_PLATFORM
    queryset = SymbolSpec.objects.select_related("symbol")
    serializer_class = SymbolSpecSerializer
    lookup_value_converter = "int"
    filterset_class = SymbolCodeFilter

    @use_case(
        capability=MANAGE_CATALOGUE, input=SpecificationRequestSerializer, output=DraftedChangeSerializer, status=201,
        operation_id="symbol_specifications_request",
        description="Asks for a specification from a moment on; another person approves it, after a look at open positions.",
    )  # fmt: skip
    def create(self, call: Call) -> Any:
        """The change request."""
        given = dict(call.data)
        return specifications.request_specification(
            symbol_id=given.pop("symbol").pk,
            specification=specifications.read_specification(given.pop("specification")),
            actor=call.actor,
            **given,
        )


class SpecificationRowSerializer(serializers.Serializer[Any]):
    """A symbol of a file. `changes`: field to [approved, stated]; `problem`: why nothing can be proposed from it."""

    row = serializers.IntegerField()
    name = serializers.CharField()
    description = serializers.CharField(allow_blank=True)
    symbol = serializers.CharField(source="code", allow_blank=True)
    changes = serializers.DictField(child=serializers.ListField())
    problem = serializers.CharField(allow_blank=True)
    field = serializers.CharField(allow_blank=True)


class SpecificationImportSerializer(serializers.ModelSerializer[SpecificationImport]):
    """A file as it was read; it changes nothing."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    sha256 = serializers.CharField(source="digest", read_only=True)
    symbols = serializers.SerializerMethodField()
    problems = serializers.SerializerMethodField()

    class Meta:
        model = SpecificationImport
        fields = ["id", "format", "file_name", "sha256", "symbols", "problems", "imported_by", "imported_at"]
        read_only_fields = fields

    def get_symbols(self, kept: SpecificationImport) -> int:
        """How many symbols it states."""
        return len(kept.rows)

    def get_problems(self, kept: SpecificationImport) -> int:
        """How many of them cannot be taken."""
        return sum(bool(row["problem"]) for row in kept.rows)


class SpecificationFileSerializer(SpecificationImportSerializer):
    """A file with its rows."""

    rows = SpecificationRowSerializer(many=True, read_only=True)

    class Meta(SpecificationImportSerializer.Meta):
        fields = [*SpecificationImportSerializer.Meta.fields, "rows"]
        read_only_fields = fields


class NewSpecificationFileSerializer(StrictSerializer):
    """A file, and whose naming rules read its names."""

    file = serializers.FileField(
        max_length=255, help_text="MetaTrader 4 or 5 (JSON), Dukascopy (JSON) or OANDA (CSV); at most 5 MB."
    )
    server = VisibleField(
        slug_field="code", queryset=TradingServer.objects.all(), required=False, help_text="Else the house's own rules."
    )


class ProposeRowsSerializer(StrictSerializer):
    """Rows by their number, and why."""

    rows = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=2**31 - 1),
        min_length=1,
        max_length=specification_imports.MAX_PROPOSED,
    )
    reason = serializers.CharField(max_length=300)


class RefusedRowSerializer(serializers.Serializer[Any]):
    """A row that nothing could be asked of."""

    name = serializers.CharField()
    reason = serializers.CharField()


class ProposedRowsSerializer(serializers.Serializer[Any]):
    """The drafts, to be looked at and handed in one by one, and what was refused."""

    drafted = DraftedChangeSerializer(many=True)
    refused = RefusedRowSerializer(many=True)


class SpecificationImportViewSet(TakesFiles, ScopedReadOnlyViewSet):
    """Files of specifications."""

    capability = MANAGE_CATALOGUE
    queryset = SpecificationImport.objects.all()
    serializer_class = SpecificationImportSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_fields = ("format",)
    file_actions: ClassVar[frozenset[str]] = frozenset({"create"})

    def get_serializer_class(self) -> Any:
        """One file comes with its rows."""
        return SpecificationFileSerializer if self.action == "retrieve" else SpecificationImportSerializer

    @use_case(
        capability=MANAGE_CATALOGUE, input=NewSpecificationFileSerializer, output=SpecificationFileSerializer, status=201,
        operation_id="specification_imports_read",
        description="Reads a file and compares it with what is approved. Nothing changes; propose what is to change.",
    )  # fmt: skip
    def create(self, call: Call) -> SpecificationImport:
        """What was read."""
        upload, server = call.data["file"], call.data.get("server")
        return specification_imports.import_specifications(
            data=upload.read(specification_imports.MAX_READ), file_name=upload.name, actor=call.actor,
            server_id=server.pk if server else None,
        )  # fmt: skip

    @use_case(
        capability=MANAGE_CATALOGUE, input=ProposeRowsSerializer, output=ProposedRowsSerializer, status=201, route="propose",
        operation_id="specification_imports_propose", description="Drafts a change request for each chosen row.",
    )  # fmt: skip
    def propose(self, call: Call) -> dict[str, Any]:
        """The drafts."""
        drafted, refused = specification_imports.propose(import_id=call.target.pk, actor=call.actor, **call.data)
        return {"drafted": drafted, "refused": [{"name": name, "reason": why} for name, why in refused]}


def register() -> None:
    """Puts specifications on the API."""
    register_router("symbol-specifications", SymbolSpecViewSet, "symbol-specification")
    register_router("specification-imports", SpecificationImportViewSet, "specification-import")
