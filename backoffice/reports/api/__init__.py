"""Reports over HTTP: what there is, what was issued, schedules."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.reports.models import IssuedReport, ReportSchedule
from backoffice.reports.registry import definitions
from backoffice.reports.selectors import signing_keys
from backoffice.reports.services import issue, schedules
from backoffice.ui.api import LoggedIn
from backoffice.ui.api_fields import MomentField, code_of, entity_field
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ScopedReadOnlyViewSet, StrictSerializer, use_case


class DefinitionSerializer(serializers.Serializer[Any]):
    """A report that can be issued."""

    code = serializers.CharField()
    title = serializers.CharField()


class DefinitionsView(ApiView):
    """The reports that there are."""

    capability = "reports.view_report"

    @extend_schema(operation_id="report_definitions", responses=DefinitionSerializer(many=True))
    def get(self, request: Request) -> Response:
        """All of them."""
        return Response(DefinitionSerializer(definitions(), many=True).data)


class IssuedReportSerializer(serializers.ModelSerializer[IssuedReport]):
    """A report as it was issued; digest and signature prove the bytes."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")

    class Meta:
        model = IssuedReport
        fields = [
            "id",
            "entity",
            "definition",
            "as_of",
            "recorded_until",
            "format",
            "file_name",
            "size_bytes",
            "sha256",
            "signing_key_id",
            "row_count",
            "rows_digest",
            "issued_at",
            "issued_by",
        ]
        read_only_fields = fields


class IssueReportSerializer(StrictSerializer):
    """Which report to issue."""

    definition = serializers.CharField(max_length=60)
    entity = entity_field()
    as_of = serializers.DateField()
    format = serializers.ChoiceField(choices=IssuedReport.Format.choices)
    recorded_until = MomentField(required=False, help_text="Leaves out what was recorded later.")


class DifferenceListSerializer(serializers.Serializer[Any]):
    """What comparing an issued report with a re-run found."""

    reproduces = serializers.BooleanField(help_text="Run as of then, the report is the same.")
    unchanged_since = serializers.BooleanField(help_text="Run with all that is recorded now, it is the same.")
    difference_count = serializers.IntegerField()


class IssuedReportFilter(filters.FilterSet):
    """Which reports."""

    entity = filters.CharFilter(field_name="entity__code")
    as_of_from = filters.DateFilter(field_name="as_of", lookup_expr="gte")
    as_of_until = filters.DateFilter(field_name="as_of", lookup_expr="lte")

    class Meta:
        model = IssuedReport
        fields = ["definition", "format", "sha256"]


_BYTES: dict[Any, Any] = {(200, "application/octet-stream"): OpenApiTypes.BINARY}


class IssuedReportViewSet(ScopedReadOnlyViewSet):
    """Issued reports."""

    capability = "reports.view_report"
    queryset = IssuedReport.objects.select_related("entity")
    serializer_class = IssuedReportSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = IssuedReportFilter

    @use_case(
        capability="reports.issue_report",
        input=IssueReportSerializer,
        output=IssuedReportSerializer,
        status=201,
        apart=True,
        operation_id="reports_issue",
        description="Builds a report, keeps its bytes and signs them.",
    )
    def create(self, call: Call) -> IssuedReport:
        """The issued report."""
        given = dict(call.data)
        return issue.issue_report(entity_id=given.pop("entity").pk, actor=call.actor, **given)

    @use_case(
        capability="reports.compare_report",
        output=DifferenceListSerializer,
        route="compare",
        apart=True,
        operation_id="reports_compare",
        description="Runs the report again, as of then and as of now, and compares.",
    )
    def compare(self, call: Call) -> Any:
        """What was found."""
        return issue.compare_report(report_id=call.target.pk, actor=call.actor)

    @extend_schema(responses=_BYTES, operation_id="reports_file")
    @action(detail=True, methods=["get"])
    def file(self, request: Request, public_id: Any = None) -> HttpResponse:
        """The bytes as they were issued; each handing out stands in the audit."""
        return self._bytes("file")

    @extend_schema(responses=_BYTES, operation_id="reports_signature")
    @action(detail=True, methods=["get"])
    def signature(self, request: Request, public_id: Any = None) -> HttpResponse:
        """The detached Ed25519 signature of the bytes."""
        return self._bytes("signature")

    file.capability = "reports.download_report"  # type: ignore[attr-defined]
    signature.capability = "reports.download_report"  # type: ignore[attr-defined]

    def _bytes(self, what: str) -> HttpResponse:
        issued, data = issue.download_report(report_id=self.get_object().pk, actor=self.actor, what=what)
        name = issued.file_name if what == "file" else f"{issued.file_name}.sig"
        response = HttpResponse(data, content_type="application/octet-stream")
        response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return response


class SigningKeySerializer(serializers.Serializer[Any]):
    """The public half of a key that signed reports."""

    key_id = serializers.CharField()
    public_key = serializers.SerializerMethodField(help_text="Raw Ed25519 key, hexadecimal.")
    first_used_at = serializers.DateTimeField()

    def get_public_key(self, key: Any) -> str:
        """Hexadecimal."""
        return bytes(key.public_key).hex()


class SigningKeysView(ApiView):
    """The keys with which issued reports can be checked."""

    permission_classes = [LoggedIn]

    @extend_schema(operation_id="report_signing_keys", responses=SigningKeySerializer(many=True))
    def get(self, request: Request) -> Response:
        """All of them, the newest first."""
        return Response(SigningKeySerializer(signing_keys(), many=True).data)


class ScheduleSerializer(serializers.ModelSerializer[ReportSchedule]):
    """That a report is issued after each business day."""

    entity = code_of("entity.code")

    class Meta:
        model = ReportSchedule
        fields = ["id", "entity", "definition", "format", "is_enabled", "last_business_day"]
        read_only_fields = fields


class SetScheduleSerializer(StrictSerializer):
    """Whether a report is issued after each business day of an entity."""

    entity = entity_field()
    definition = serializers.CharField(max_length=60)
    format = serializers.ChoiceField(choices=IssuedReport.Format.choices)
    is_enabled = serializers.BooleanField()


class ScheduleViewSet(ScopedReadOnlyViewSet):
    """Schedules."""

    capability = "reports.view_schedule"
    queryset = ReportSchedule.objects.select_related("entity")
    serializer_class = ScheduleSerializer
    lookup_value_converter = "int"
    filterset_fields = {"definition": ["exact"], "is_enabled": ["exact"]}

    @use_case(
        capability="reports.manage_schedule",
        input=SetScheduleSerializer,
        output=ScheduleSerializer,
        operation_id="report_schedules_set",
        description="Sets a schedule. Saying the same again changes nothing.",
    )
    def create(self, call: Call) -> ReportSchedule:
        """The schedule."""
        given = dict(call.data)
        return schedules.set_schedule(entity_id=given.pop("entity").pk, actor=call.actor, **given)


def register() -> None:
    """Puts reports on the API. Called once, when the process starts."""
    from backoffice.reports.api import topics

    topics.register()
    register_router("reports", IssuedReportViewSet, "report")
    register_router("report-schedules", ScheduleViewSet, "report-schedule")
    register_endpoint("report-definitions/", DefinitionsView, "report-definitions")
    register_endpoint("report-signing-keys/", SigningKeysView, "report-signing-keys")
