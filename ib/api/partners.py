"""Partners, the tree they stand in, the clients they introduced."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.models import User
from backoffice.ui.api_fields import (
    AmountField,
    CurrencyField,
    MomentField,
    ValiditySerializer,
    VisibleField,
    brand_field,
    code_of,
    entity_field,
)
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from ib import selectors
from ib.models import Agreement, ClientReferral, NegotiatedRate, Partner, PartnerRank, Plan
from ib.services import agreed_rates, partners, plans, referrals

VIEW = "ib.view_partners"
MANAGE = "ib.manage_partners"


class PartnerField(VisibleField):
    """A partner that the caller may see, by reference."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"slug_field": "reference", "queryset": Partner.objects.all()} | options))


class ClientField(VisibleField):
    """A client that the caller may see, by public id; the model belongs to another desk."""

    def __init__(self, **options: Any) -> None:
        clients = apps.get_model("crm", "Client")._default_manager.all()
        super().__init__(**({"slug_field": "public_id", "queryset": clients} | options))


class PartnerSerializer(serializers.ModelSerializer[Partner]):
    """An introducing broker."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")
    brand = code_of("brand.code")
    login = code_of("user.email", allow_null=True, default=None)
    email = serializers.CharField(read_only=True, help_text="Empty where it is not known.")

    class Meta:
        model = Partner
        fields = [
            "id",
            "reference",
            "entity",
            "brand",
            "name",
            "email",
            "country",
            "currency",
            "status",
            "kind",
            "login",
            "created_at",
        ]
        read_only_fields = fields


class NewPartnerSerializer(StrictSerializer):
    """A partner to register."""

    entity = entity_field()
    brand = brand_field()
    name = serializers.CharField(max_length=160)
    currency = CurrencyField(help_text="Currency in which commissions are booked and paid.")
    email = serializers.EmailField(max_length=254, required=False, allow_blank=True, default="")
    country = serializers.RegexField(r"^([A-Z]{2})?$", required=False, allow_blank=True, default="")


class PartnerStatusSerializer(ReasonSerializer):
    """The status that a partner gets."""

    status = serializers.ChoiceField(choices=Partner.Status.choices)


class PartnerLoginSerializer(StrictSerializer):
    """The login that gets the partner's portal."""

    user = VisibleField(slug_field="email", queryset=User.objects.all())


class SignAgreementSerializer(StrictSerializer):
    """The plan that binds a partner from a moment on."""

    plan = VisibleField(slug_field="id", queryset=Plan.objects.all())
    valid_from = MomentField()
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class GiveRankSerializer(ReasonSerializer):
    """The rank that a partner holds from a moment on, until an end if there is one."""

    rank = serializers.SlugField(max_length=40)
    valid_from = MomentField()
    until = MomentField(allow_null=True, default=None)


class RankSerializer(serializers.ModelSerializer[PartnerRank]):
    """A rank that a partner holds, in a span of time."""

    partner = code_of("partner.reference")
    validity = serializers.SerializerMethodField()

    class Meta:
        model = PartnerRank
        fields = ["id", "partner", "rank", "validity", "source", "reason"]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, row: PartnerRank) -> Any:
        """From when to when."""
        return ValiditySerializer().to_representation(row.validity)


class AgreedRateSerializer(serializers.ModelSerializer[NegotiatedRate]):
    """A rate agreed on, in a span of time."""

    partner = code_of("partner.reference")
    validity = serializers.SerializerMethodField()

    class Meta:
        model = NegotiatedRate
        fields = ["id", "partner", "component", "rate", "allocation_percent", "validity"]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, row: NegotiatedRate) -> Any:
        """From when to when."""
        return ValiditySerializer().to_representation(row.validity)


class GrantRebateSerializer(StrictSerializer):
    """A client of the partner gets percent of what the partner earns on its trades."""

    client = VisibleField(slug_field="reference", queryset=apps.get_model("crm", "Client")._default_manager.all())
    percent = AmountField()
    component = serializers.SlugField(max_length=40, default="main")
    valid_from = MomentField()
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class PartnerBalancesSerializer(serializers.Serializer[Any]):
    """What a partner's three ledger accounts hold."""

    accrued = AmountField()
    payable = AmountField()
    wallet = AmountField()
    currency = serializers.CharField()


class AgreementSerializer(serializers.ModelSerializer[Agreement]):
    """That a plan binds a partner, in a span of time."""

    partner = code_of("partner.reference")
    plan = code_of("plan.code")
    validity = serializers.SerializerMethodField()

    class Meta:
        model = Agreement
        fields = ["id", "partner", "plan", "validity"]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, agreement: Agreement) -> Any:
        """From when to when it binds."""
        return ValiditySerializer().to_representation(agreement.validity)


class PartnerFilter(filters.FilterSet):
    """Which partners."""

    entity = filters.CharFilter(field_name="entity__code")

    class Meta:
        model = Partner
        fields = ["status", "currency", "country"]


class PartnerViewSet(ScopedReadOnlyViewSet):
    """Partners."""

    capability = VIEW
    queryset = Partner.objects.select_related("entity", "brand", "user")
    serializer_class = PartnerSerializer
    lookup_field = "reference"
    filterset_class = PartnerFilter

    @use_case(
        capability=MANAGE,
        input=NewPartnerSerializer,
        output=PartnerSerializer,
        status=201,
        operation_id="partners_register",
        description="Registers a partner with its three ledger accounts.",
    )
    def create(self, call: Call) -> Partner:
        """The partner."""
        given = dict(call.data)
        return partners.register_partner(
            entity_id=given.pop("entity").pk, brand_id=given.pop("brand").pk, actor=call.actor, **given
        )

    @use_case(
        capability=MANAGE,
        input=PartnerStatusSerializer,
        output=PartnerSerializer,
        route="status",
        operation_id="partners_set_status",
        description="Suspends, closes or reactivates the partner.",
    )
    def set_status(self, call: Call) -> Partner:
        """The partner as it then is."""
        return partners.set_partner_status(partner_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=MANAGE,
        input=PartnerLoginSerializer,
        output=PartnerSerializer,
        route="link-login",
        operation_id="partners_link_login",
        description="Gives a login the partner's portal.",
    )
    def link_login(self, call: Call) -> Partner:
        """The partner with its login."""
        return partners.link_partner_login(partner_id=call.target.pk, user_id=call.data["user"].pk, actor=call.actor)

    @use_case(
        capability=MANAGE,
        input=GiveRankSerializer,
        output=RankSerializer,
        status=201,
        route="rank",
        operation_id="partners_give_rank",
        description="The partner holds a rank by hand from a moment on; for a time that has begun, ask for it instead.",
    )
    def give_rank(self, call: Call) -> PartnerRank | None:
        """The rank."""
        return agreed_rates.give_rank(partner_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=MANAGE,
        input=GrantRebateSerializer,
        output=PartnerSerializer,
        status=201,
        route="rebates",
        operation_id="partners_grant_rebate",
        description="A client of the partner gets a part of what the partner earns on its trades, from a moment on.",
    )
    def grant_rebate(self, call: Call) -> Partner:
        """The node of the client."""
        given = dict(call.data)
        client = given.pop("client")
        return agreed_rates.grant_rebate(client_id=client.pk, introducer_id=call.target.pk, actor=call.actor, **given)

    @use_case(
        capability=MANAGE,
        input=SignAgreementSerializer,
        output=AgreementSerializer,
        status=201,
        route="sign",
        operation_id="partners_sign_agreement",
        description="Binds the partner to a plan from a moment on.",
    )
    def sign(self, call: Call) -> Agreement:
        """The agreement."""
        given = dict(call.data)
        return plans.sign_agreement(partner_id=call.target.pk, plan_id=given.pop("plan").pk, actor=call.actor, **given)

    @extend_schema(responses=PartnerBalancesSerializer, operation_id="partners_balances")
    @action(detail=True, methods=["get"])
    def balances(self, request: Request, reference: str = "") -> Response:
        """What the partner's three ledger accounts hold."""
        found = selectors.balances_of(actor=self.actor, partner=self.get_object())
        return Response(PartnerBalancesSerializer(found).data)


class TreeNodeSerializer(serializers.Serializer[Any]):
    """A partner in the tree as it stands now; depth 0 is a root of what is shown."""

    reference = serializers.CharField()
    parent = serializers.CharField(allow_null=True, help_text="Reference of the partner above, if shown.")  # type: ignore[assignment]  # a field of that name
    depth = serializers.IntegerField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=Partner.Status.choices)
    currency = serializers.CharField()
    clients = serializers.IntegerField()
    plan = serializers.CharField(allow_blank=True)


def tree_rows(nodes: Any) -> list[dict[str, Any]]:
    """Nodes with their parents named by reference."""
    references = {node.partner_id: node.reference for node in nodes}
    return [
        {
            "reference": node.reference,
            "parent": references.get(node.parent_id),
            "depth": node.depth,
            "name": node.name,
            "status": node.status,
            "currency": node.currency,
            "clients": node.clients,
            "plan": node.plan,
        }
        for node in nodes
    ]


class PartnerTreeView(ApiView):
    """The tree of partners."""

    capability = VIEW

    @extend_schema(operation_id="partner_tree", responses=TreeNodeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """Parents before children, as the tree stands now."""
        return Response(TreeNodeSerializer(tree_rows(selectors.tree_of_entities(actor=self.actor)), many=True).data)


class ReferralSerializer(serializers.ModelSerializer[ClientReferral]):
    """That a partner counts as a client's introducer, in a span of time."""

    client = serializers.UUIDField(source="client.public_id", read_only=True)
    partner = code_of("partner.reference")
    validity = serializers.SerializerMethodField()

    class Meta:
        model = ClientReferral
        fields = ["id", "client", "partner", "validity"]
        read_only_fields = fields

    @extend_schema_field(ValiditySerializer)
    def get_validity(self, referral: ClientReferral) -> Any:
        """From when to when it counts."""
        return ValiditySerializer().to_representation(referral.validity)


class ReferSerializer(StrictSerializer):
    """Who introduced a client, from when on."""

    client = ClientField()
    partner = PartnerField()
    valid_from = MomentField()
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")


class EndReferralSerializer(ReasonSerializer):
    """From when on nobody counts as the client's introducer."""

    client = ClientField()
    valid_from = MomentField()


class ReferralFilter(filters.FilterSet):
    """Of which client or partner."""

    client = filters.UUIDFilter(field_name="client__public_id")
    partner = filters.CharFilter(field_name="partner__reference")


class ReferralViewSet(ScopedReadOnlyViewSet):
    """Who introduced whom."""

    capability = VIEW
    queryset = ClientReferral.objects.select_related("client", "partner")
    serializer_class = ReferralSerializer
    lookup_value_converter = "int"
    filterset_class = ReferralFilter

    @use_case(
        capability=MANAGE,
        input=ReferSerializer,
        output=ReferralSerializer,
        status=201,
        operation_id="referrals_refer",
        description="The partner counts as the client's introducer from a moment on; an earlier one ends then.",
    )
    def create(self, call: Call) -> ClientReferral:
        """The referral."""
        given = dict(call.data)
        return referrals.refer_client(
            client_id=given.pop("client").pk, partner_id=given.pop("partner").pk, actor=call.actor, **given
        )

    @use_case(
        capability=MANAGE,
        input=EndReferralSerializer,
        route="end",
        detail=False,
        operation_id="referrals_end",
        description="Nobody counts as the client's introducer from a moment on.",
    )
    def end(self, call: Call) -> None:
        """Nothing is answered."""
        given = dict(call.data)
        referrals.end_referral(client_id=given.pop("client").pk, actor=call.actor, **given)


class OfPartnerFilter(filters.FilterSet):
    """Of which partner."""

    partner = filters.CharFilter(field_name="partner__reference")
    plan = filters.CharFilter(field_name="plan__code")


class AgreementViewSet(ScopedReadOnlyViewSet):
    """Agreements, past and planned ones too."""

    capability = VIEW
    queryset = Agreement.objects.select_related("partner", "plan")
    serializer_class = AgreementSerializer
    lookup_value_converter = "int"
    filterset_class = OfPartnerFilter


def register() -> None:
    """Puts partners on the API."""
    register_router("partners", PartnerViewSet, "partner")
    register_router("referrals", ReferralViewSet, "referral")
    register_router("agreements", AgreementViewSet, "agreement")
    register_endpoint("partner-tree/", PartnerTreeView, "partner-tree")
