"""Price complaints over HTTP: taken in, with evidence, a decision proposed, their money sent again."""

from __future__ import annotations

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.account_permissions import HANDLE_COMPLAINTS
from platform_ops.models import PriceComplaint, Trade
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.complaints import Cause, Decision, Disputed
from platform_ops.services import complaints


class ComplaintSerializer(serializers.ModelSerializer[PriceComplaint]):
    """A price complaint with its evidence and decision."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    account = serializers.UUIDField(source="account.public_id", read_only=True)
    login = code_of("account.login")
    trade = serializers.IntegerField(source="trade.pk", read_only=True)
    operation = code_of("operation.reference", allow_null=True)
    change_request = code_of("change_request.reference", allow_null=True)
    disputed = serializers.CharField(read_only=True)
    state = serializers.CharField(read_only=True, help_text="open, investigated, proposed, approved, closed.")
    decision = serializers.CharField(read_only=True)
    cause = serializers.CharField(read_only=True)
    evidence = serializers.JSONField(read_only=True)

    class Meta:
        model = PriceComplaint
        fields = [
            "id", "reference", "account", "login", "trade", "disputed", "claim", "claimed_price", "state", "evidence",
            "decision", "cause", "correct_price", "amount", "currency", "reasoning", "operation", "change_request",
            "opened_at", "due_at", "decided_at", "closed_at",
        ]  # fmt: skip
        read_only_fields = fields


class NewComplaintSerializer(StrictSerializer):
    """A complaint about one price of a trade."""

    trade = VisibleField(slug_field="id", queryset=Trade.objects.all())
    disputed = serializers.ChoiceField(choices=[item.value for item in Disputed])
    claim = serializers.CharField(max_length=2000)
    claimed_price = serializers.DecimalField(
        max_digits=24, decimal_places=10, required=False, allow_null=True, default=None
    )


class DecisionSerializer(StrictSerializer):
    """A decision for another person to approve."""

    decision = serializers.ChoiceField(choices=[item.value for item in Decision])
    cause = serializers.ChoiceField(choices=[item.value for item in Cause])
    reasoning = serializers.CharField(max_length=2000)
    correct_price = serializers.DecimalField(
        max_digits=24, decimal_places=10, required=False, allow_null=True, default=None
    )
    amount = serializers.DecimalField(max_digits=20, decimal_places=8, required=False, allow_null=True, default=None)


class ComplaintFilter(filters.FilterSet):
    """Which complaints."""

    account = filters.UUIDFilter(field_name="account__public_id")

    class Meta:
        model = PriceComplaint
        fields = ["state", "decision", "cause", "reference"]


class ComplaintViewSet(ScopedReadOnlyViewSet):
    """Price complaints."""

    capability = VIEW_PLATFORM
    queryset = PriceComplaint.objects.select_related("account", "trade", "operation", "change_request")
    serializer_class = ComplaintSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = ComplaintFilter

    @use_case(
        capability=HANDLE_COMPLAINTS, input=NewComplaintSerializer, output=ComplaintSerializer, status=201,
        operation_id="price_complaints_open", description="Takes a complaint in.",
    )  # fmt: skip
    def create(self, call: Call) -> PriceComplaint:
        """The complaint."""
        given = dict(call.data)
        return complaints.open_complaint(trade_id=given.pop("trade").pk, actor=call.actor, **given)

    @use_case(
        capability=HANDLE_COMPLAINTS, output=ComplaintSerializer, route="evidence", apart=True,
        operation_id="price_complaints_evidence", description="Collects the evidence: ticks, provider's price, terms.",
    )  # fmt: skip
    def evidence(self, call: Call) -> PriceComplaint:
        """With the evidence."""
        return complaints.collect_evidence(complaint_id=call.target.pk, actor=call.actor)

    @use_case(
        capability=HANDLE_COMPLAINTS, input=DecisionSerializer, output=ComplaintSerializer, route="propose-decision",
        operation_id="price_complaints_propose", description="Proposes a decision; another person approves it.",
    )  # fmt: skip
    def propose(self, call: Call) -> PriceComplaint:
        """With the request that waits."""
        complaints.propose_decision(complaint_id=call.target.pk, actor=call.actor, **call.data)
        return PriceComplaint.objects.get(pk=call.target.pk)

    @use_case(
        capability=HANDLE_COMPLAINTS, input=ReasonSerializer, output=ComplaintSerializer, route="send-money-again",
        needs_key=True, operation_id="price_complaints_send_money_again",
        description="Writes the money of a decided complaint down once more, after the server refused it.",
    )  # fmt: skip
    def send_money_again(self, call: Call) -> PriceComplaint:
        """With the new operation."""
        return complaints.send_money_again(complaint_id=call.target.pk, actor=call.actor, **call.data)


def register() -> None:
    """Puts complaints on the API."""
    register_router("price-complaints", ComplaintViewSet, "price-complaint")
