"""Statement files: given, looked at, confirmed, handed out again; and the batches that their rows came in."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from django.core.files.storage import default_storage
from django.http import FileResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request

from backoffice.ui.api_fields import VisibleField, code_of
from backoffice.ui.api_parsers import StrictJSONParser
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.models import IngestBatch, StatementImport, TradingServer
from platform_ops.permissions import DOWNLOAD_STATEMENTS, IMPORT_STATEMENTS, VIEW_PLATFORM
from platform_ops.services import uploads


class ImportSerializer(serializers.ModelSerializer[StatementImport]):
    """A statement file: previewed, queued, running, then stored, or refused with the reason."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    server = code_of("server.code")
    account = serializers.UUIDField(source="account.public_id", read_only=True, allow_null=True, default=None)
    figures = serializers.DictField(read_only=True)
    differences = serializers.ListField(read_only=True)
    error = serializers.DictField(read_only=True, help_text="code, message, row and field; empty unless refused.")

    class Meta:
        model = StatementImport
        fields = [
            "id",
            "server",
            "account",
            "file_name",
            "sha256",
            "size_bytes",
            "format",
            "state",
            "as_of",
            "rows_total",
            "new_deals",
            "corrected_deals",
            "stale_deals",
            "matches_statement",
            "figures",
            "differences",
            "error",
            "created_at",
            "finished_at",
        ]
        read_only_fields = fields


class NewImportSerializer(StrictSerializer):
    """A file to look at."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())
    statement = serializers.FileField(max_length=255, help_text="MT4 or MT5 report, or deals as CSV.")


class ImportFilter(filters.FilterSet):
    """Which files."""

    server = filters.CharFilter(field_name="server__code")

    class Meta:
        model = StatementImport
        fields = ["state", "format", "sha256"]


class ImportViewSet(ScopedReadOnlyViewSet):
    """Statement files. POST one to have it looked at, then confirm it to have it booked."""

    capability = VIEW_PLATFORM
    queryset = StatementImport.objects.select_related("server", "account")
    serializer_class = ImportSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = ImportFilter

    def get_parsers(self) -> list[Any]:
        """A file comes as a form; everything else speaks JSON."""
        is_upload = self.request is not None and self.action_map.get((self.request.method or "").lower()) == "create"
        return [MultiPartParser()] if is_upload or getattr(self, "action", "") == "create" else [StrictJSONParser()]

    @use_case(
        capability=IMPORT_STATEMENTS,
        input=NewImportSerializer,
        output=ImportSerializer,
        status=201,
        operation_id="statement_imports_preview",
        description="Reads a file and keeps it, booking nothing. A file that cannot be read is kept as refused.",
    )
    def create(self, call: Call) -> StatementImport:
        """The preview."""
        upload = call.data["statement"]
        return uploads.preview_upload(
            server_code=call.data["server"].code, data=upload.read(), file_name=upload.name, actor=call.actor
        )

    @use_case(
        capability=IMPORT_STATEMENTS,
        output=ImportSerializer,
        route="confirm",
        apart=True,
        operation_id="statement_imports_confirm",
        description="Queues a previewed file to be booked. One that is queued or done already is left alone.",
    )
    def confirm(self, call: Call) -> StatementImport:
        """The file, queued."""
        (queued,) = uploads.confirm_uploads(import_ids=[call.target.pk], actor=call.actor)
        return queued

    @use_case(
        capability=IMPORT_STATEMENTS,
        apart=True,
        operation_id="statement_imports_discard",
        description="Forgets a preview that nobody wants to import.",
    )
    def destroy(self, call: Call) -> None:
        """Nothing is answered."""
        uploads.discard_upload(import_id=call.target.pk, actor=call.actor)

    @extend_schema(
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY}, operation_id="statement_imports_original"
    )
    @action(detail=True, methods=["get"])
    def original(self, request: Request, public_id: Any = None) -> FileResponse:
        """The bytes as they were given; each handing out stands in the audit."""
        name, path = uploads.take_original(import_id=self.get_object().pk, actor=self.actor)
        return FileResponse(
            default_storage.open(path, "rb"),
            as_attachment=True,
            filename=PurePosixPath(name).name,
            content_type="application/octet-stream",
        )

    original.capability = DOWNLOAD_STATEMENTS  # type: ignore[attr-defined]


class BatchSerializer(serializers.ModelSerializer[IngestBatch]):
    """Rows that were booked together."""

    server = code_of("server.code")
    statement = serializers.UUIDField(source="statement.public_id", read_only=True, allow_null=True, default=None)

    class Meta:
        model = IngestBatch
        fields = [
            "id",
            "server",
            "statement",
            "source",
            "new_deals",
            "corrected_deals",
            "stale_deals",
            "changed_trades",
            "changed_positions",
            "changed_operations",
            "created_at",
        ]
        read_only_fields = fields


class BatchFilter(filters.FilterSet):
    """Of one server or source."""

    server = filters.CharFilter(field_name="server__code")

    class Meta:
        model = IngestBatch
        fields = ["source"]


class BatchViewSet(ScopedReadOnlyViewSet):
    """Ingest batches: the unit in which trades arrive and commissions are settled."""

    capability = VIEW_PLATFORM
    queryset = IngestBatch.objects.select_related("server", "statement")
    serializer_class = BatchSerializer
    lookup_value_converter = "int"
    filterset_class = BatchFilter


def register() -> None:
    """Puts imports on the API."""
    register_router("statement-imports", ImportViewSet, "statement-import")
    register_router("ingest-batches", BatchViewSet, "ingest-batch")
