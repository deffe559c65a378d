"""Payouts, payment files and ways to be paid over HTTP: for finance systems, and a partner's own."""

from __future__ import annotations

import base64
from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.access import get_visible, visible_to
from backoffice.core.models import EntityBankAccount
from backoffice.ui.api_fields import AmountField, IdField
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import (
    ApiView,
    Call,
    ReasonSerializer,
    ScopedReadOnlyViewSet,
    StrictSerializer,
    use_case,
)
from ib import selectors
from ib.api.partners import PartnerField
from ib.models import PaymentFile, Payout, PayoutMethod, StatementPaper
from ib.models.payouts import PayoutKind
from ib.permissions import CHOOSE_METHOD, CONFIRM_METHODS, EXPORT_PAYMENTS, MAKE_PAYOUTS, READ_PAPERS, VIEW_PAYOUTS
from ib.services import payment_files, payout_methods, payouts, statement_papers

OWN = "ib.view_own_commissions"
MOST_OWN = 1_000


class PayoutSerializer(serializers.ModelSerializer[Payout]):
    """One payment of a statement, or of a part of it."""

    partner = serializers.CharField(source="partner.reference", read_only=True)
    statement = serializers.IntegerField(source="statement_id", read_only=True)
    kind = serializers.ChoiceField(choices=PayoutKind.choices, read_only=True)
    state = serializers.ChoiceField(choices=Payout.State.choices, read_only=True)
    operation = serializers.CharField(source="operation.reference", read_only=True, default=None)
    file = serializers.CharField(source="file.reference", read_only=True, default=None)

    class Meta:
        model = Payout
        fields = [
            "id", "public_id", "partner", "statement", "number", "kind", "amount", "currency", "state", "operation", "file",
            "bank_reference", "value_date", "requested_by", "requested_at", "paid_by", "paid_at", "ended_at", "problem",
        ]  # fmt: skip
        read_only_fields = fields


class OwnPayoutSerializer(serializers.ModelSerializer[Payout]):
    """A payout as its partner sees it."""

    statement = serializers.IntegerField(source="statement.number", read_only=True)
    kind = serializers.ChoiceField(choices=PayoutKind.choices, read_only=True)
    state = serializers.ChoiceField(choices=Payout.State.choices, read_only=True)

    class Meta:
        model = Payout
        fields = [
            "public_id", "statement", "number", "kind", "amount", "currency", "state", "bank_reference", "value_date",
            "requested_at", "paid_at",
        ]  # fmt: skip
        read_only_fields = fields


class PayoutMethodSerializer(serializers.ModelSerializer[PayoutMethod]):
    """A way to be paid; of a bank account the last four characters."""

    partner = serializers.CharField(source="partner.reference", read_only=True)
    kind = serializers.ChoiceField(choices=PayoutKind.choices, read_only=True)
    state = serializers.ChoiceField(choices=PayoutMethod.State.choices, read_only=True)
    login = serializers.CharField(source="account.login", read_only=True, default=None)

    class Meta:
        model = PayoutMethod
        fields = [
            "id", "public_id", "partner", "kind", "state", "login", "holder", "bank_name", "bic", "number_tail",
            "requested_by", "requested_at", "cools_until", "decided_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewPayoutSerializer(StrictSerializer):
    """A statement to pay; without an amount everything that is left of it."""

    statement = IdField()
    amount = AmountField(allow_null=True, default=None)


class SettledSerializer(StrictSerializer):
    """What the bank said."""

    bank_reference = serializers.CharField(max_length=100)
    value_date = serializers.DateField()


class NewMethodSerializer(StrictSerializer):
    """A way to be paid: for a trading account its number, for a bank account all of it."""

    kind = serializers.ChoiceField(choices=PayoutKind.choices)
    account = IdField(allow_null=True, default=None)
    holder = serializers.CharField(max_length=70, default="", allow_blank=True)
    bank_name = serializers.CharField(max_length=120, default="", allow_blank=True)
    account_number = serializers.CharField(max_length=50, default="", allow_blank=True, write_only=True)
    bic = serializers.CharField(max_length=11, default="", allow_blank=True)
    is_iban = serializers.BooleanField(default=True)


class MethodForPartnerSerializer(NewMethodSerializer):
    """The same, asked for by staff."""

    partner = PartnerField()
    reason = serializers.CharField(max_length=500)


class PayoutFilter(filters.FilterSet):
    """Which payouts."""

    partner = filters.CharFilter(field_name="partner__reference")
    state = filters.ChoiceFilter(choices=Payout.State.choices)
    kind = filters.ChoiceFilter(choices=PayoutKind.choices)
    statement = filters.NumberFilter(field_name="statement_id")


class PayoutViewSet(ScopedReadOnlyViewSet):
    """Payouts, and how they end."""

    capability = VIEW_PAYOUTS
    queryset = Payout.objects.select_related("partner", "operation", "file")
    serializer_class = PayoutSerializer
    lookup_value_converter = "int"
    filterset_class = PayoutFilter

    @use_case(
        capability=MAKE_PAYOUTS,
        input=ReasonSerializer,
        output=PayoutSerializer,
        route="give-up",
        operation_id="payouts_give_up",
        description="Ends a payment that did not leave the house; its money is payable again.",
    )
    def give_up(self, call: Call) -> Payout:
        """The payout, not paid."""
        return payouts.give_up_payout(payout_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=EXPORT_PAYMENTS,
        input=SettledSerializer,
        output=PayoutSerializer,
        route="mark-paid",
        operation_id="payouts_mark_paid",
        description="Says that the bank made one payment of a file; not for who exported it.",
    )
    def mark_paid(self, call: Call) -> Payout:
        """The paid payout."""
        return payment_files.mark_payment_paid(payout_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=EXPORT_PAYMENTS,
        input=ReasonSerializer,
        output=PayoutSerializer,
        route="return",
        operation_id="payouts_return",
        description="Books a payment that the bank sent back; its money is payable again.",
    )
    def return_payment(self, call: Call) -> Payout:
        """The returned payout."""
        return payment_files.return_payment(payout_id=call.target.pk, actor=call.actor, **call.data)


class PayView(ApiView):
    """Paying a statement."""

    @use_case(
        capability=MAKE_PAYOUTS,
        input=NewPayoutSerializer,
        output=PayoutSerializer,
        status=201,
        operation_id="payouts_pay_statement",
        description="Begins to pay what is left of an approved statement, to where its partner wants it. Once for its key.",
    )
    def post(self, call: Call) -> Payout:
        """The payout."""
        return payouts.pay_statement(
            statement_id=call.data["statement"],
            amount=call.data["amount"],
            actor=call.actor,
            idempotency_key=f"api:{call.actor.label}:{call.idempotency_key}"[:160],
        )


class ManyStatementsSerializer(StrictSerializer):
    """Statements to pay."""

    statements = serializers.ListField(child=IdField(), min_length=1, max_length=payouts.MOST_AT_ONCE)


class BulkPayoutSerializer(serializers.Serializer[Any]):
    """What a bulk payout did."""

    made = PayoutSerializer(many=True)
    problems = serializers.DictField(child=serializers.CharField())


class PayManyView(ApiView):
    """Paying many statements, each by itself."""

    @use_case(
        capability=MAKE_PAYOUTS,
        input=ManyStatementsSerializer,
        output=BulkPayoutSerializer,
        operation_id="payouts_pay_statements",
        description="Pays each of the statements by itself; one that cannot be paid keeps no other waiting.",
    )
    def post(self, call: Call) -> Any:
        """The payouts, and why others wait."""
        return payouts.pay_statements(
            statement_ids=call.data["statements"],
            actor=call.actor,
            idempotency_key=f"api:{call.actor.label}:{call.idempotency_key}"[:130],
        )


class PaymentFileSerializer(serializers.ModelSerializer[PaymentFile]):
    """A file for a bank, without its bytes."""

    class Meta:
        model = PaymentFile
        fields = [
            "id", "public_id", "reference", "currency", "payments", "total", "execution_day", "xml_digest", "csv_digest",
            "exported_by", "exported_at",
        ]  # fmt: skip
        read_only_fields = fields


class FormatSerializer(StrictSerializer):
    """Which of the two forms."""

    file_format = serializers.ChoiceField(choices=["xml", "csv"])


class FileTextSerializer(serializers.Serializer[Any]):
    """The file as it was exported."""

    name = serializers.CharField()
    text = serializers.CharField()


class PaymentFileViewSet(ScopedReadOnlyViewSet):
    """Files for a bank."""

    capability = VIEW_PAYOUTS
    queryset = PaymentFile.objects.all()
    serializer_class = PaymentFileSerializer
    lookup_value_converter = "int"

    @use_case(
        capability=EXPORT_PAYMENTS,
        input=FormatSerializer,
        output=FileTextSerializer,
        route="read",
        operation_id="payment_files_read",
        description="Hands an exported file out again, the same bytes as ever; the audit says to whom.",
    )
    def read(self, call: Call) -> Any:
        """Name and text."""
        name, data = payment_files.read_payment_file(file_id=call.target.pk, actor=call.actor, **call.data)
        return {"name": name, "text": data.decode()}

    @use_case(
        capability=EXPORT_PAYMENTS,
        input=SettledSerializer,
        output=PaymentFileSerializer,
        route="mark-paid",
        operation_id="payment_files_mark_paid",
        description="Says that the bank made every payment of the file that is still under way; not for who exported it.",
    )
    def mark_paid(self, call: Call) -> PaymentFile:
        """The file."""
        return payment_files.mark_file_paid(file_id=call.target.pk, actor=call.actor, **call.data)


class ExportSerializer(StrictSerializer):
    """From which account, on which day."""

    bank_account = IdField()
    execution_day = serializers.DateField()


class ExportPaymentsView(ApiView):
    """Making a file for a bank."""

    @use_case(
        capability=EXPORT_PAYMENTS,
        input=ExportSerializer,
        output=PaymentFileSerializer,
        status=201,
        operation_id="payment_files_export",
        description="Puts every waiting payment of a bank account's currency into one file. A payment is in one file, ever.",
    )
    def post(self, call: Call) -> PaymentFile:
        """The file."""
        account = get_visible(EntityBankAccount.objects.all(), call.actor, pk=call.data["bank_account"])
        return payment_files.export_payments(
            bank_account_id=account.pk, execution_day=call.data["execution_day"], actor=call.actor
        )


class PayoutMethodViewSet(ScopedReadOnlyViewSet):
    """Ways to be paid, and what is decided about them."""

    capability = VIEW_PAYOUTS
    queryset = PayoutMethod.objects.select_related("partner", "account")
    serializer_class = PayoutMethodSerializer
    lookup_value_converter = "int"

    @use_case(
        capability=CONFIRM_METHODS,
        input=ReasonSerializer,
        output=PayoutMethodSerializer,
        route="confirm",
        operation_id="payout_methods_confirm",
        description="Lets a way to be paid come into force when it has cooled; not for who asked for it.",
    )
    def confirm(self, call: Call) -> PayoutMethod:
        """The confirmed way."""
        return payout_methods.confirm_payout_method(method_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=CONFIRM_METHODS,
        input=ReasonSerializer,
        output=PayoutMethodSerializer,
        route="refuse",
        operation_id="payout_methods_refuse",
        description="Turns a way to be paid down; what was in force stays.",
    )
    def refuse(self, call: Call) -> PayoutMethod:
        """The refused way."""
        return payout_methods.refuse_payout_method(method_id=call.target.pk, actor=call.actor, **call.data)


class RequestMethodView(ApiView):
    """Another way to be paid, asked for by staff."""

    @use_case(
        capability=CONFIRM_METHODS,
        input=MethodForPartnerSerializer,
        output=PayoutMethodSerializer,
        status=201,
        operation_id="payout_methods_request",
        description="Asks for another way to be paid for a partner; another person confirms it, and it cools for two days.",
    )
    def post(self, call: Call) -> PayoutMethod:
        """What was asked for."""
        given = dict(call.data)
        partner, reason = given.pop("partner"), given.pop("reason")
        return _request(partner.pk, given, call, reason=reason)


class OwnMethodView(ApiView):
    """The caller's own ways to be paid."""

    capability = OWN

    @extend_schema(operation_id="own_payout_methods", responses=PayoutMethodSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest first."""
        partner = selectors.own_partner(actor=self.actor)
        own = visible_to(PayoutMethod.objects.filter(partner=partner), self.actor).select_related("partner", "account")
        return Response(PayoutMethodSerializer(own[:MOST_OWN], many=True).data)

    @use_case(
        capability=CHOOSE_METHOD,
        input=NewMethodSerializer,
        output=PayoutMethodSerializer,
        status=201,
        operation_id="own_payout_methods_request",
        description="Asks for another way to be paid; staff confirm it, and it cools for two days.",
    )
    def post(self, call: Call) -> PayoutMethod:
        """What was asked for."""
        return _request(selectors.own_partner(actor=call.actor).pk, dict(call.data), call)


class OwnPayoutsView(ApiView):
    """The caller's own payouts."""

    capability = OWN

    @extend_schema(operation_id="own_payouts", responses=OwnPayoutSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest first."""
        partner = selectors.own_partner(actor=self.actor)
        own = visible_to(Payout.objects.filter(partner=partner), self.actor).select_related("statement")
        return Response(OwnPayoutSerializer(own.order_by("-pk")[:MOST_OWN], many=True).data)


class StatementPaperSerializer(serializers.ModelSerializer[StatementPaper]):
    """A paper about a paid statement."""

    statement = serializers.IntegerField(source="statement.number", read_only=True)
    partner = serializers.CharField(source="statement.partner.reference", read_only=True)
    kind = serializers.ChoiceField(choices=StatementPaper.Kind.choices, read_only=True)

    class Meta:
        model = StatementPaper
        fields = ["id", "public_id", "partner", "statement", "kind", "reference", "issued_at", "digest"]
        read_only_fields = fields


class PaperBytesSerializer(serializers.Serializer[Any]):
    """The paper as it was issued."""

    name = serializers.CharField()
    content_base64 = serializers.CharField()


class StatementPaperViewSet(ScopedReadOnlyViewSet):
    """Papers: staff see those of their entities, a partner the own ones."""

    capability = READ_PAPERS
    queryset = StatementPaper.objects.select_related("statement__partner")
    serializer_class = StatementPaperSerializer
    lookup_value_converter = "int"

    @use_case(
        capability=READ_PAPERS,
        output=PaperBytesSerializer,
        route="read",
        operation_id="statement_papers_read",
        description="The PDF as it was issued, in base 64; the audit says who took it.",
    )
    def read(self, call: Call) -> Any:
        """Name and bytes."""
        paper, data = statement_papers.read_paper(paper_id=call.target.pk, actor=call.actor)
        return {"name": f"{paper.reference}.pdf", "content_base64": base64.b64encode(data).decode()}


def _request(partner_id: int, given: dict[str, Any], call: Call, *, reason: str = "") -> PayoutMethod:
    kind, account_id = given.pop("kind"), given.pop("account")
    bank = payout_methods.BankDetails(**given) if kind == PayoutKind.BANK else None
    return payout_methods.request_payout_method(
        partner_id=partner_id, kind=kind, account_id=account_id, bank=bank, actor=call.actor, reason=reason
    )


def register() -> None:
    """Puts payouts on the API."""
    register_endpoint("payouts/pay/", PayView, "payouts-pay")
    register_endpoint("payouts/pay-many/", PayManyView, "payouts-pay-many")
    register_endpoint("payment-files/export/", ExportPaymentsView, "payment-files-export")
    register_endpoint("payout-methods/request/", RequestMethodView, "payout-methods-request")
    register_endpoint("own/payout-methods/", OwnMethodView, "own-payout-methods")
    register_endpoint("own/payouts/", OwnPayoutsView, "own-payouts")
    register_router("payouts", PayoutViewSet, "payout")
    register_router("payment-files", PaymentFileViewSet, "payment-file")
    register_router("payout-methods", PayoutMethodViewSet, "payout-method")
    register_router("statement-papers", StatementPaperViewSet, "statement-paper")
