"""/api/v1/clients/: clients that the caller may see, and what staff do with them."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.models import Team, User
from backoffice.ui.api_fields import MomentField, VisibleField, brand_field, code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from crm import selectors
from crm.models import Client
from crm.services import clients


class ClientSerializer(serializers.ModelSerializer[Client]):
    """A client; ids are public, legal entity, brand and owner are named by code and address."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")
    brand = code_of("brand.code")
    owner = code_of("owner.email", allow_null=True)
    team = code_of("team.name", allow_null=True)
    stage = serializers.ChoiceField(choices=Client.Stage.choices, read_only=True)
    email = serializers.CharField(read_only=True, help_text="Empty where it is not known.")

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
            "team",
            "registered_at",
        ]
        read_only_fields = fields


class NewClientSerializer(StrictSerializer):
    """A client to register."""

    entity = entity_field()
    brand = brand_field()
    full_name = serializers.CharField(max_length=160)
    email = serializers.EmailField(max_length=254)
    country = serializers.RegexField(r"^[A-Z]{2}$", help_text="ISO 3166, such as CY.")
    language = serializers.RegexField(r"^[a-z]{2}(-[A-Za-z]{2,4})?$", default="en")
    stage = serializers.ChoiceField(choices=Client.Stage.choices, default=Client.Stage.REGISTERED)
    registered_at = MomentField(required=False)
    referral_code = serializers.RegexField(
        r"^([A-Za-z0-9-]{4,32})?$", default="", allow_blank=True, help_text="The partner's code that they came with."
    )


class AssignClientSerializer(StrictSerializer):
    """Whom the client is given to; null: nobody."""

    owner = VisibleField(slug_field="email", queryset=User.objects.all(), allow_null=True)
    team = VisibleField(slug_field="id", queryset=Team.objects.all(), allow_null=True)
    reason = serializers.CharField(max_length=500)


class ExceptionSerializer(ReasonSerializer):
    """To whom a client is opened."""

    user = VisibleField(slug_field="email", queryset=User.objects.all())


class FactsSerializer(serializers.Serializer[Any]):
    """What the desks know of a client, by the name of the fact."""

    facts = serializers.DictField()


class ClientFilter(filters.FilterSet):
    """Which clients."""

    entity = filters.CharFilter(field_name="entity__code")
    registered_from = filters.IsoDateTimeFilter(field_name="registered_at", lookup_expr="gte")
    registered_until = filters.IsoDateTimeFilter(field_name="registered_at", lookup_expr="lt")

    class Meta:
        model = Client
        fields = ["stage", "country", "reference", "email"]


class ClientViewSet(ScopedReadOnlyViewSet):
    """Clients that the caller may see, newest first."""

    capability = "crm.view_clients"
    queryset = Client.objects.select_related("entity", "brand", "owner", "team")
    serializer_class = ClientSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = ClientFilter

    @use_case(
        capability="crm.register_client",
        input=NewClientSerializer,
        output=ClientSerializer,
        status=201,
        operation_id="clients_register",
        description="Registers a client.",
    )
    def create(self, call: Call) -> Client:
        """The new client."""
        given = dict(call.data)
        return clients.register_client(
            entity_id=given.pop("entity").pk, brand_id=given.pop("brand").pk, actor=call.actor, **given
        )

    @use_case(
        capability="crm.assign_client",
        input=AssignClientSerializer,
        output=ClientSerializer,
        route="assign",
        operation_id="clients_assign",
        description="Gives the client to a member of staff and a team.",
    )
    def assign(self, call: Call) -> Client:
        """The client as it then is."""
        owner, team = call.data["owner"], call.data["team"]
        return clients.assign_client(
            client_id=call.target.pk,
            owner_id=owner.pk if owner else None,
            team_id=team.pk if team else None,
            actor=call.actor,
            reason=call.data["reason"],
        )

    @use_case(
        capability="crm.grant_client_exception",
        input=ExceptionSerializer,
        route="open-to",
        operation_id="clients_open_to",
        description="Opens the client to one member of staff, beside what roles and teams give.",
    )
    def open_to(self, call: Call) -> None:
        """Nothing is answered."""
        clients.grant_client_exception(
            client_id=call.target.pk, user_id=call.data["user"].pk, actor=call.actor, reason=call.data["reason"]
        )

    @use_case(
        capability="crm.grant_client_exception",
        input=ExceptionSerializer,
        route="close-to",
        operation_id="clients_close_to",
        description="Takes back what open-to gave.",
    )
    def close_to(self, call: Call) -> None:
        """Nothing is answered."""
        clients.revoke_client_exception(
            client_id=call.target.pk, user_id=call.data["user"].pk, actor=call.actor, reason=call.data["reason"]
        )

    @extend_schema(responses=FactsSerializer, operation_id="clients_facts")
    @action(detail=True, methods=["get"])
    def facts(self, request: Request, public_id: Any = None) -> Response:
        """What the desks wrote down of the client."""
        client = self.get_object()
        facts = selectors.facts_of(actor=self.actor, client_id=client.pk)
        return Response(FactsSerializer({"facts": facts}).data)


def register() -> None:
    """Puts the desk's endpoints on the API."""
    register_router("clients", ClientViewSet, "client")
