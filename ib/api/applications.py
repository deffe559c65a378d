"""Applications, agreements and tax data of partners over HTTP: for the broker's own systems, and a partner's own."""

from __future__ import annotations

import base64
import binascii
from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.models import Brand
from backoffice.core.services.files import shown_name
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.api_fields import (
    AmountField,
    CurrencyField,
    IdField,
    MomentField,
    VisibleField,
    brand_field,
    code_of,
)
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import (
    ApiView,
    Call,
    NoInputSerializer,
    ReasonSerializer,
    ScopedReadOnlyViewSet,
    StrictSerializer,
    use_case,
)
from ib import selectors
from ib.api.partners import ClientField, PartnerField
from ib.models import PartnerApplication, PartnerTaxData, Plan, TermsAcceptance, WhiteLabel
from ib.models.applications import APPLIED_KINDS
from ib.permissions import (
    ACCEPT_AGREEMENT,
    CONFIRM_TAX_DATA,
    DECIDE_APPLICATIONS,
    ENTER_APPLICATIONS,
    ENTER_TAX_DATA,
    VIEW_APPLICATIONS,
)
from ib.services import application_decisions, applications, terms, white_labels
from ib.types import ApplicationDetails

MOST_ENCODED = 14_000_000
"""Letters of a document in base64: ten megabytes."""
OWN = "ib.view_own_commissions"
MOST_OWN = 200


class PartnerApplicationSerializer(serializers.ModelSerializer[PartnerApplication]):
    """Somebody who wants to become a partner."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    entity = code_of("entity.code")
    brand = code_of("brand.code")
    state = serializers.ChoiceField(choices=PartnerApplication.State.choices, read_only=True)
    applicant = serializers.ChoiceField(choices=PartnerApplication.Applicant.choices, read_only=True)
    identity = serializers.ChoiceField(choices=PartnerApplication.Identity.choices, read_only=True)
    parent = code_of("parent.reference", allow_null=True, default=None)
    partner = code_of("partner.reference", allow_null=True, default=None)
    promised_lots = AmountField(read_only=True)
    website = serializers.CharField(read_only=True, help_text="Its address, or empty.")

    class Meta:
        model = PartnerApplication
        fields = [
            "id", "reference", "entity", "brand", "state", "applicant", "name", "contact_name", "company_number", "email",
            "phone", "country", "language", "website", "kind", "currency", "promised_clients", "promised_lots",
            "promotion", "parent", "identity", "identity_reason", "question", "answer", "entered_by", "created_at",
            "submitted_at", "decided_at", "decided_by", "partner",
        ]  # fmt: skip
        read_only_fields = fields


class ApplicantSerializer(StrictSerializer):
    """What the applicant says. A country is two letters; promises are for a month."""

    applicant = serializers.ChoiceField(choices=PartnerApplication.Applicant.choices)
    name = serializers.CharField(max_length=160)
    email = serializers.EmailField(max_length=254)
    country = serializers.RegexField(r"^[A-Z]{2}$")
    kind = serializers.ChoiceField(choices=APPLIED_KINDS)
    currency = CurrencyField(default="USD")
    contact_name = serializers.CharField(max_length=160, default="", allow_blank=True)
    company_number = serializers.CharField(max_length=60, default="", allow_blank=True)
    phone = serializers.CharField(max_length=32, default="", allow_blank=True)
    language = serializers.RegexField(r"^[a-z]{2}$", default="en")
    website = serializers.URLField(max_length=300, default="", allow_blank=True)
    promised_clients = serializers.IntegerField(min_value=0, max_value=1_000_000, default=0)
    promised_lots = AmountField(min_value=Decimal(0), default=Decimal(0))
    promotion = serializers.CharField(max_length=2000, default="", allow_blank=True)
    client = ClientField(allow_null=True, default=None)


class NewApplicationSerializer(ApplicantSerializer):
    """The same with the brand, and a key: the same key again is the same application."""

    brand = brand_field()
    form_key = serializers.UUIDField()
    code = serializers.RegexField(r"^([A-Za-z0-9-]{4,32})?$", default="", allow_blank=True)


class AgreedSerializer(StrictSerializer):
    """The agreement as it was read: number of the version, digest of its text, from where."""

    terms_id = IdField()
    sha256 = serializers.RegexField(r"^[0-9a-f]{64}$")
    address = serializers.IPAddressField(default="", allow_blank=True)


class ApplicationDocumentSerializer(StrictSerializer):
    """A document in base64."""

    file_name = serializers.CharField(max_length=255)
    content = serializers.CharField(max_length=MOST_ENCODED, write_only=True)


class GivenDocumentSerializer(serializers.Serializer[Any]):
    """A document that was kept, or refused."""

    id = serializers.UUIDField(source="public_id")
    file_name = serializers.CharField(source="original_name")
    outcome = serializers.CharField(source="state")
    reason = serializers.CharField()


class WantedInformationSerializer(StrictSerializer):
    """What is wanted."""

    question = serializers.CharField(max_length=2000)


class ReplySerializer(StrictSerializer):
    """What the applicant answers."""

    answer = serializers.CharField(max_length=2000)


class IdentitySerializer(StrictSerializer):
    """Whether it is known who this is, and by what."""

    is_verified = serializers.BooleanField()
    reason = serializers.CharField(max_length=300)


class ApprovalSerializer(ReasonSerializer):
    """The plan of the new partner."""

    plan = VisibleField(slug_field="id", queryset=Plan.objects.all())
    valid_from = MomentField(allow_null=True, default=None)
    under_parent = serializers.BooleanField(default=True)


class RefusalSerializer(ReasonSerializer):
    """Why, for the desk; and the letter."""

    letter = serializers.CharField(max_length=2000)


class DuplicateSerializer(serializers.Serializer[Any]):
    """Somebody with the same mail address or company number."""

    who = serializers.CharField(source="label")
    why = serializers.CharField()
    standing = serializers.CharField(source="state")


class PartnerApplicationViewSet(ScopedReadOnlyViewSet):
    """Applications, newest first, and every step of them."""

    capability = VIEW_APPLICATIONS
    queryset = PartnerApplication.objects.select_related("entity", "brand", "parent", "partner")
    serializer_class = PartnerApplicationSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_fields = ["state", "kind", "country", "applicant", "reference", "email"]

    @use_case(
        capability=ENTER_APPLICATIONS,
        input=NewApplicationSerializer,
        output=PartnerApplicationSerializer,
        status=201,
        operation_id="partner_applications_open",
        description="Begins an application; the applicant gets the link to it by mail. A colleague decides it.",
    )
    def create(self, call: Call) -> PartnerApplication:
        """The draft."""
        given = dict(call.data)
        brand: Brand = given.pop("brand")
        return applications.open_application(
            entity_id=brand.entity_id,
            brand_id=brand.pk,
            form_key=given.pop("form_key"),
            code=given.pop("code"),
            details=_details(given),
            actor=call.actor,
        )

    @use_case(
        capability=ENTER_APPLICATIONS,
        input=ApplicantSerializer,
        output=PartnerApplicationSerializer,
        route="change",
        operation_id="partner_applications_change",
        description="Changes what the applicant says, while it is a draft or more information is wanted.",
    )
    def change(self, call: Call) -> PartnerApplication:
        """The changed application."""
        return applications.change_application(
            application_id=call.target.pk, details=_details(dict(call.data)), actor=call.actor
        )

    @use_case(
        capability=ENTER_APPLICATIONS,
        input=ApplicationDocumentSerializer,
        output=GivenDocumentSerializer,
        route="documents",
        operation_id="partner_applications_give_document",
        description="Keeps and checks a document of the applicant.",
    )
    def documents(self, call: Call) -> Any:
        """The document."""
        try:
            data = base64.b64decode(call.data["content"], validate=True)
        except binascii.Error:
            raise InvalidInput("This is no base64.", field="content") from None
        return applications.give_document(
            application_id=call.target.pk,
            data=data,
            file_name=shown_name(call.data["file_name"]),
            actor=call.actor,
        )

    @use_case(
        capability=ENTER_APPLICATIONS,
        input=AgreedSerializer,
        output=PartnerApplicationSerializer,
        route="submit",
        operation_id="partner_applications_submit",
        description="Hands it in with the agreement that the applicant read. Again is harmless.",
    )
    def submit(self, call: Call) -> PartnerApplication:
        """The submitted application."""
        return applications.submit_application(application_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=ENTER_APPLICATIONS,
        input=AgreedSerializer,
        output=PartnerApplicationSerializer,
        route="accept-agreement",
        operation_id="partner_applications_accept_agreement",
        description="Says that the applicant agreed to a newer version of the agreement.",
    )
    def accept_agreement(self, call: Call) -> PartnerApplication:
        """The application."""
        return applications.accept_for_applicant(application_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=DECIDE_APPLICATIONS,
        input=NoInputSerializer,
        output=PartnerApplicationSerializer,
        route="take",
        operation_id="partner_applications_take",
        description="Makes the caller the one who looks at it.",
    )
    def take(self, call: Call) -> PartnerApplication:
        """In review."""
        return applications.take_application(application_id=call.target.pk, actor=call.actor)

    @use_case(
        capability=DECIDE_APPLICATIONS,
        input=WantedInformationSerializer,
        output=PartnerApplicationSerializer,
        route="ask",
        operation_id="partner_applications_ask",
        description="Asks the applicant for more; the application waits for the answer.",
    )
    def ask(self, call: Call) -> PartnerApplication:
        """Waiting."""
        return applications.want_information(application_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=ENTER_APPLICATIONS,
        input=ReplySerializer,
        output=PartnerApplicationSerializer,
        route="answer",
        operation_id="partner_applications_answer",
        description="The applicant's answer; the application is in review again.",
    )
    def answer(self, call: Call) -> PartnerApplication:
        """In review."""
        return applications.answer_application(application_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=DECIDE_APPLICATIONS,
        input=IdentitySerializer,
        output=PartnerApplicationSerializer,
        route="identity",
        operation_id="partner_applications_decide_identity",
        description="Says whether it is known who the applicant is; not for who entered the application.",
    )
    def identity(self, call: Call) -> PartnerApplication:
        """The application."""
        return applications.decide_identity(application_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=DECIDE_APPLICATIONS,
        input=ApprovalSerializer,
        output=PartnerApplicationSerializer,
        route="approve",
        operation_id="partner_applications_approve",
        description="Makes a partner with a login, an agreement and a first link of the applicant; not for who entered it.",
    )
    def approve(self, call: Call) -> PartnerApplication:
        """Approved."""
        given = dict(call.data)
        return application_decisions.approve_application(
            application_id=call.target.pk, plan_id=given.pop("plan").pk, actor=call.actor, **given
        )

    @use_case(
        capability=DECIDE_APPLICATIONS,
        input=RefusalSerializer,
        output=PartnerApplicationSerializer,
        route="refuse",
        operation_id="partner_applications_refuse",
        description="Refuses the applicant with a letter.",
    )
    def refuse(self, call: Call) -> PartnerApplication:
        """Refused."""
        return application_decisions.refuse_application(application_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=ENTER_APPLICATIONS,
        input=ReasonSerializer,
        output=PartnerApplicationSerializer,
        route="withdraw",
        operation_id="partner_applications_withdraw",
        description="Ends it on the applicant's wish.",
    )
    def withdraw(self, call: Call) -> PartnerApplication:
        """Withdrawn."""
        return applications.withdraw_application(application_id=call.target.pk, actor=call.actor, **call.data)


def _details(given: dict[str, Any]) -> ApplicationDetails:
    client = given.pop("client")
    return ApplicationDetails(**given, client_id=client.pk if client is not None else None)


class TaxDataSerializer(serializers.ModelSerializer[PartnerTaxData]):
    """What invoices to a partner say, from a day until another one (not included; null: further notice)."""

    partner = code_of("partner.reference")
    state = serializers.ChoiceField(choices=PartnerTaxData.State.choices, read_only=True)
    valid_from = serializers.DateField(source="validity.lower", read_only=True)
    valid_until = serializers.DateField(source="validity.upper", read_only=True, allow_null=True)

    class Meta:
        model = PartnerTaxData
        fields = [
            "id", "public_id", "partner", "state", "legal_name", "address", "country", "vat_number", "vat_percent",
            "vat_note", "self_billing_on", "valid_from", "valid_until", "entered_by", "entered_at", "decided_by",
        ]  # fmt: skip
        read_only_fields = fields


class TaxEntrySerializer(StrictSerializer):
    """Tax data from a day on."""

    legal_name = serializers.CharField(max_length=160)
    address = serializers.CharField(max_length=500)
    country = serializers.RegexField(r"^[A-Z]{2}$")
    vat_number = serializers.CharField(max_length=30, default="", allow_blank=True)
    valid_from = serializers.DateField()
    self_billing_on = serializers.DateField(allow_null=True, default=None)


class TaxEntryForPartnerSerializer(TaxEntrySerializer):
    """The same, entered by staff."""

    partner = PartnerField()


class TaxConfirmationSerializer(ReasonSerializer):
    """What invoices state, and how it was checked."""

    reason = serializers.CharField(max_length=300)
    vat_percent = serializers.DecimalField(
        max_digits=5, decimal_places=2, min_value=Decimal(0), max_value=Decimal("99.99"), default=Decimal(0)
    )
    vat_note = serializers.CharField(max_length=200, default="", allow_blank=True)


class TaxDataViewSet(ScopedReadOnlyViewSet):
    """Tax data of partners, and what is decided about them."""

    capability = "ib.view_partners"
    queryset = PartnerTaxData.objects.select_related("partner")
    serializer_class = TaxDataSerializer
    lookup_value_converter = "int"
    filterset_fields = ["state", "country"]

    @use_case(
        capability=ENTER_TAX_DATA,
        input=TaxEntryForPartnerSerializer,
        output=TaxDataSerializer,
        status=201,
        operation_id="partner_tax_data_enter",
        description="Enters tax data for a partner; another person confirms them.",
    )
    def create(self, call: Call) -> PartnerTaxData:
        """What waits."""
        given = dict(call.data)
        partner = given.pop("partner")
        return terms.enter_tax_data(partner_id=partner.pk, entry=terms.TaxEntry(**given), actor=call.actor)

    @use_case(
        capability=CONFIRM_TAX_DATA,
        input=TaxConfirmationSerializer,
        output=TaxDataSerializer,
        route="confirm",
        operation_id="partner_tax_data_confirm",
        description="Lets tax data count from their day on; not for who entered them.",
    )
    def confirm(self, call: Call) -> PartnerTaxData:
        """What counts."""
        return terms.confirm_tax_data(tax_data_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=CONFIRM_TAX_DATA,
        input=ReasonSerializer,
        output=TaxDataSerializer,
        route="refuse",
        operation_id="partner_tax_data_refuse",
        description="Turns tax data down.",
    )
    def refuse(self, call: Call) -> PartnerTaxData:
        """What was refused."""
        return terms.refuse_tax_data(tax_data_id=call.target.pk, actor=call.actor, **call.data)


class OwnTaxDataView(ApiView):
    """The caller's own tax data."""

    capability = OWN

    @extend_schema(operation_id="own_tax_data", responses=TaxDataSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest first."""
        partner = selectors.own_partner(actor=self.actor)
        rows = PartnerTaxData.objects.filter(partner=partner).select_related("partner")
        return Response(TaxDataSerializer(rows.visible_to(self.actor)[:MOST_OWN], many=True).data)

    @use_case(
        capability=ENTER_TAX_DATA,
        input=TaxEntrySerializer,
        output=TaxDataSerializer,
        status=201,
        operation_id="own_tax_data_enter",
        description="Enters the own tax data; staff confirm them.",
    )
    def post(self, call: Call) -> PartnerTaxData:
        """What waits."""
        partner = selectors.own_partner(actor=call.actor)
        return terms.enter_tax_data(partner_id=partner.pk, entry=terms.TaxEntry(**call.data), actor=call.actor)


class AgreementTextSerializer(serializers.Serializer[Any]):
    """The agreement that counts, and whether it was accepted."""

    terms_id = serializers.IntegerField()
    number = serializers.IntegerField()
    title = serializers.CharField()
    text = serializers.CharField()
    sha256 = serializers.CharField()
    is_accepted = serializers.BooleanField()


class AcceptanceSerializer(serializers.ModelSerializer[TermsAcceptance]):
    """What was agreed to, and when."""

    document = serializers.CharField(source="terms.__str__", read_only=True)

    class Meta:
        model = TermsAcceptance
        fields = ["public_id", "document", "sha256", "accepted_at", "accepted_by", "address"]
        read_only_fields = fields


class OwnAgreementView(ApiView):
    """The agreement of the caller's partner."""

    capability = OWN

    @extend_schema(operation_id="own_agreement", responses=AgreementTextSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The version that counts today; nothing where none is published."""
        partner = selectors.own_partner(actor=self.actor)
        language = partner.user.language if partner.user is not None else "en"
        found = terms.agreement_in_force(entity_id=partner.entity_id, language=language)
        if found is None:
            return Response([])
        shown = {
            "terms_id": found.pk,
            "number": found.number,
            "title": found.title,
            "text": found.body,
            "sha256": found.sha256,
            "is_accepted": terms.has_accepted(partner, found),
        }
        return Response(AgreementTextSerializer([shown], many=True).data)

    @use_case(
        capability=ACCEPT_AGREEMENT,
        input=AgreedSerializer,
        output=AcceptanceSerializer,
        status=201,
        operation_id="own_agreement_accept",
        description="Agrees to the version that was read. Again is harmless.",
    )
    def post(self, call: Call) -> TermsAcceptance:
        """What was agreed to."""
        return terms.accept_agreement(actor=call.actor, **call.data)


class WhiteLabelSerializer(serializers.ModelSerializer[WhiteLabel]):
    """A brand that belongs to a partner."""

    partner = code_of("partner.reference")
    brand = code_of("brand.code")
    host = code_of("brand.host")

    class Meta:
        model = WhiteLabel
        fields = ["partner", "brand", "host", "since"]
        read_only_fields = fields


class GiveBrandSerializer(ReasonSerializer):
    """Which brand whose."""

    partner = PartnerField()
    brand = brand_field()


class WhiteLabelViewSet(ScopedReadOnlyViewSet):
    """Brands of partners."""

    capability = "ib.view_partners"
    queryset = WhiteLabel.objects.select_related("partner", "brand")
    serializer_class = WhiteLabelSerializer
    lookup_value_converter = "int"

    @use_case(
        capability="ib.manage_partners",
        input=GiveBrandSerializer,
        output=WhiteLabelSerializer,
        status=201,
        operation_id="white_labels_give_brand",
        description="Gives a brand to a white-label partner: everybody below sees it on its host.",
    )
    def create(self, call: Call) -> WhiteLabel:
        """The white label."""
        given = dict(call.data)
        return white_labels.give_brand(
            partner_id=given.pop("partner").pk, brand_id=given.pop("brand").pk, actor=call.actor, **given
        )


def register() -> None:
    """Puts applications, agreements and tax data on the API."""
    register_router("partner-applications", PartnerApplicationViewSet, "partner-application")
    register_router("partner-tax-data", TaxDataViewSet, "partner-tax-data")
    register_router("white-labels", WhiteLabelViewSet, "white-label")
    register_endpoint("own/tax-data/", OwnTaxDataView, "own-tax-data")
    register_endpoint("own/agreement/", OwnAgreementView, "own-agreement")
