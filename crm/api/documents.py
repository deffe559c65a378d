"""A client's papers and word on marketing: listed, given, handed out."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.access import get_visible
from backoffice.core.files.views import file_response
from backoffice.core.models import Consent, StoredFile
from backoffice.core.services import consents, files
from backoffice.core.types import Actor
from backoffice.kernel.errors import NotFound
from backoffice.ui.api_parsers import StrictJSONParser
from backoffice.ui.api_registry import register_endpoint
from backoffice.ui.api_views import ApiView, Call, StrictSerializer, use_case
from crm.documents import PURPOSE, UPLOAD, VIEW
from crm.models import Client


def _client_of(kwargs: Any, actor: Actor) -> Client:
    """The client in the address. Raises NotFound for one whom the actor does not see."""
    return get_visible(Client.objects.all(), actor, public_id=kwargs["public_id"])


class DocumentSerializer(serializers.ModelSerializer[StoredFile]):
    """A paper. Only a `clean` one is handed out; `reason` tells why one was refused."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    uploaded_by = serializers.CharField(source="uploaded_by.email", read_only=True, allow_null=True, default=None)

    class Meta:
        model = StoredFile
        fields = [
            "id",
            "original_name",
            "state",
            "reason_code",
            "reason",
            "content_type",
            "given_sha256",
            "given_size",
            "sha256",
            "size_bytes",
            "uploaded_by",
            "created_at",
            "checked_at",
            "keep_until",
        ]
        read_only_fields = fields


class NewDocumentSerializer(StrictSerializer):
    """A paper of the client's."""

    document = serializers.FileField(
        max_length=255, help_text="PDF, JPEG, PNG or WebP, or a table as CSV or XLSX; at most 15 MB."
    )


class ClientDocumentsView(ApiView):
    """The papers of a client."""

    capability = VIEW

    def get_parsers(self) -> list[Any]:
        """A paper comes as a form."""
        is_upload = self.request is None or self.request.method == "POST"
        return [MultiPartParser()] if is_upload else [StrictJSONParser()]

    @extend_schema(operation_id="client_documents_list", responses=DocumentSerializer(many=True))
    def get(self, request: Request, public_id: Any) -> Response:
        """The newest first, at most 200."""
        client = _client_of({"public_id": public_id}, self.actor)
        found = files.files_of(owner=client, actor=self.actor, purposes=[PURPOSE])[: files.MAX_LISTED]
        return Response(DocumentSerializer(found, many=True).data)

    @use_case(
        capability=UPLOAD,
        input=NewDocumentSerializer,
        output=DocumentSerializer,
        status=201,
        operation_id="client_documents_upload",
        description=(
            "Keeps a paper and checks it. Look at `state`: a refused one is kept apart with its reason and never handed "
            "out, a quarantined one waits for the virus scanner."
        ),
    )
    def post(self, call: Call) -> StoredFile:
        """The paper as it was found."""
        client, upload = _client_of(call.kwargs, call.actor), call.data["document"]
        return files.store_file(
            purpose=PURPOSE,
            data=files.read_upload(upload, purpose=PURPOSE),
            file_name=upload.name,
            actor=call.actor,
            entity_id=client.entity_id,
            owner=client,
        )


class ClientDocumentContentView(ApiView):
    """The bytes of a paper."""

    capability = VIEW

    @extend_schema(
        responses={(200, "application/octet-stream"): OpenApiTypes.BINARY}, operation_id="client_documents_content"
    )
    def get(self, request: Request, public_id: Any) -> HttpResponse:
        """As they are kept; each handing out stands in the audit. 409 file_not_clean while it was not found clean."""
        if files.find_file(file_id=public_id, actor=self.actor).purpose != PURPOSE:
            raise NotFound("No such file, or it is not yours to see.", code="file_not_found")
        return file_response(*files.read_file(file_id=public_id, actor=self.actor))


class ConsentSerializer(serializers.ModelSerializer[Consent]):
    """What the client said; the newest entry counts."""

    class Meta:
        model = Consent
        fields = ["category", "channel", "is_given", "evidence", "actor", "at"]
        read_only_fields = fields


class NewConsentSerializer(StrictSerializer):
    """The client's will, and how it is known."""

    is_given = serializers.BooleanField(help_text="False: the client takes the consent back.")
    evidence = serializers.CharField(max_length=300)


class ClientConsentsView(ApiView):
    """What a client said about marketing by mail."""

    capability = "crm.view_clients"

    @extend_schema(operation_id="client_consents_list", responses=ConsentSerializer(many=True))
    def get(self, request: Request, public_id: Any) -> Response:
        """The newest first, at most 50."""
        client = _client_of({"public_id": public_id}, self.actor)
        return Response(ConsentSerializer(consents.consents_of(person=client, actor=self.actor), many=True).data)

    @use_case(
        capability="core.record_consent",
        input=NewConsentSerializer,
        output=ConsentSerializer,
        operation_id="client_consents_record",
        description="Writes down that the client agreed to marketing by mail, or took it back. The same again is one entry.",
    )
    def post(self, call: Call) -> Consent:
        """The entry that counts now."""
        client = _client_of(call.kwargs, call.actor)
        return consents.record_consent(person=client, category="marketing", actor=call.actor, **call.data)


def register() -> None:
    """Puts papers and consents on the API."""
    register_endpoint("clients/<uuid:public_id>/documents/", ClientDocumentsView, "client-documents")
    register_endpoint(
        "client-documents/<uuid:public_id>/content/", ClientDocumentContentView, "client-document-content"
    )
    register_endpoint("clients/<uuid:public_id>/consents/", ClientConsentsView, "client-consents")
