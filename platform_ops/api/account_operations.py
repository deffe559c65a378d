"""Operations on servers and price complaints, for the broker's own systems."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.account_permissions import (
    CHANGE_ACCOUNTS,
    HANDLE_COMPLAINTS,
    MOVE_MONEY,
    OPEN_ACCOUNTS,
)
from platform_ops.api.accounts import ClientField
from platform_ops.models import AccountGroup, AccountOffer, PriceComplaint, ServerOperation, Trade, TradingAccount
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.complaints import Cause, Decision, Disputed
from platform_ops.rules.operations import MONEY_KINDS
from platform_ops.services import account_operations as operations
from platform_ops.services import complaints
from platform_ops.types import DealKind

_MONEY_NAMES = sorted(kind.name.lower() for kind in MONEY_KINDS)


class ServerOperationSerializer(serializers.ModelSerializer[ServerOperation]):
    """An operation with where it stands. Done and found took effect; uncertain is looked up before it is sent again."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    server = code_of("server.code")
    account = serializers.UUIDField(source="account.public_id", read_only=True, allow_null=True, default=None)
    client = serializers.UUIDField(source="client.public_id", read_only=True, allow_null=True, default=None)
    kind = serializers.CharField(read_only=True, help_text="open_account, move_money, change_group, …")
    deal_kind = serializers.CharField(source="get_deal_kind_display", read_only=True, allow_null=True)
    state = serializers.CharField(
        read_only=True, help_text="requested, sending, uncertain, not_found, done, found, refused, cancelled."
    )

    class Meta:
        model = ServerOperation
        fields = [
            "id", "reference", "server", "account", "login", "client", "kind", "deal_kind", "amount", "currency", "state",
            "attempts", "deal_ticket", "server_code", "problem", "reason", "made_by", "requested_at", "sent_at",
            "finished_at", "recognised_at",
        ]  # fmt: skip
        read_only_fields = fields


class OpeningSerializer(StrictSerializer):
    """An account to be opened; passwords are never in an answer: one is made in the portal or on the desk."""

    client = ClientField()
    offer = VisibleField(slug_field="id", queryset=AccountOffer.objects.all())
    is_demo = serializers.BooleanField(default=False)
    leverage = serializers.IntegerField(min_value=1, max_value=3000)
    reason = serializers.CharField(max_length=400)


class MoneySerializer(StrictSerializer):
    """Money to be moved, signed from the client's side, in the account's currency."""

    account = VisibleField(slug_field="public_id", queryset=TradingAccount.objects.all())
    operation = serializers.ChoiceField(choices=_MONEY_NAMES)
    amount = serializers.DecimalField(max_digits=20, decimal_places=8)
    comment = serializers.CharField(max_length=16, required=False, allow_blank=True, default="")
    reason = serializers.CharField(max_length=400)


class AccountChangeSerializer(StrictSerializer):
    """One change of an account: its group, its leverage, or what it may do."""

    account = VisibleField(slug_field="public_id", queryset=TradingAccount.objects.all())
    group = VisibleField(slug_field="id", queryset=AccountGroup.objects.all(), required=False)
    leverage = serializers.IntegerField(min_value=1, max_value=3000, required=False)
    access = serializers.ChoiceField(choices=["active", "read_only", "closed"], required=False)
    reason = serializers.CharField(max_length=400)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Exactly one."""
        if sum(name in attrs for name in ("group", "leverage", "access")) != 1:
            raise serializers.ValidationError("Give one of group, leverage and access.")
        return attrs


class OperationFilter(filters.FilterSet):
    """Which operations."""

    server = filters.CharFilter(field_name="server__code")
    account = filters.UUIDFilter(field_name="account__public_id")
    client = filters.UUIDFilter(field_name="client__public_id")
    is_finished = filters.BooleanFilter(field_name="finished_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = ServerOperation
        fields = ["kind", "state", "reference", "currency"]


class ServerOperationViewSet(ScopedReadOnlyViewSet):
    """Operations on servers. A request answers at once with its reference; what became of it is read here."""

    capability = VIEW_PLATFORM
    queryset = ServerOperation.objects.select_related("server", "account", "client")
    serializer_class = ServerOperationSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = OperationFilter

    @use_case(
        capability=OPEN_ACCOUNTS, input=OpeningSerializer, output=ServerOperationSerializer, status=201, route="open-account", detail=False,
        needs_key=True,
        operation_id="account_operations_open", description="Asks for an account to be opened on its server.",
    )  # fmt: skip
    def open_account(self, call: Call) -> ServerOperation:
        """The operation."""
        given = dict(call.data)
        return operations.request_account_opening(
            client_id=given.pop("client").pk, offer_id=given.pop("offer").pk, actor=call.actor,
            idempotency_key=_key(call), **given,
        )  # fmt: skip

    @use_case(
        capability=MOVE_MONEY, input=MoneySerializer, output=ServerOperationSerializer, status=201, route="move-money", detail=False,
        needs_key=True,
        operation_id="account_operations_move_money",
        description="Asks for money to be moved. Above what one person may move alone it is refused (approval_needed).",
    )  # fmt: skip
    def move_money(self, call: Call) -> ServerOperation:
        """The operation."""
        given = dict(call.data)
        return operations.request_balance_operation(
            account_id=given.pop("account").pk, kind=DealKind[given.pop("operation").upper()], actor=call.actor,
            idempotency_key=_key(call), **given,
        )  # fmt: skip

    @use_case(
        capability=CHANGE_ACCOUNTS, input=AccountChangeSerializer, output=ServerOperationSerializer, status=201, route="change-account", detail=False,
        needs_key=True,
        operation_id="account_operations_change", description="Asks for a change of an account on its server.",
    )  # fmt: skip
    def change_account(self, call: Call) -> ServerOperation:
        """The operation."""
        given = dict(call.data)
        shared = {
            "account_id": given["account"].pk, "actor": call.actor, "reason": given["reason"],
            "idempotency_key": _key(call),
        }  # fmt: skip
        if "group" in given:
            return operations.request_group_change(group_id=given["group"].pk, **shared)
        if "leverage" in given:
            return operations.request_leverage_change(leverage=given["leverage"], **shared)
        return operations.request_access_change(access=given["access"], **shared)


def _key(call: Call) -> str:
    """The caller's key, under the caller: two systems may use the same."""
    return f"api:{call.actor.user_id}:{call.idempotency_key}"[:200]


class OfferSerializer(serializers.ModelSerializer[AccountOffer]):
    """An account type in one currency."""

    account_type = code_of("account_type.code")
    name = code_of("account_type.name")
    kind = code_of("account_type.kind")
    is_swap_free = serializers.BooleanField(source="account_type.is_swap_free", read_only=True)
    is_offered = serializers.BooleanField(source="account_type.is_offered", read_only=True)
    leverage_choices = serializers.ListField(
        source="account_type.leverage_choices", child=serializers.IntegerField(), read_only=True
    )
    live_group = code_of("live_group.name", allow_null=True)
    demo_group = code_of("demo_group.name", allow_null=True)

    class Meta:
        model = AccountOffer
        fields = [
            "id", "account_type", "name", "kind", "currency", "is_swap_free", "is_offered", "leverage_choices", "live_group",
            "demo_group", "minimum_deposit", "demo_balance",
        ]  # fmt: skip
        read_only_fields = fields


class OfferViewSet(ScopedReadOnlyViewSet):
    """What the catalogue offers."""

    capability = VIEW_PLATFORM
    queryset = AccountOffer.objects.select_related("account_type", "live_group", "demo_group")
    serializer_class = OfferSerializer
    lookup_value_converter = "int"


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


def register() -> None:
    """Puts them on the API."""
    register_router("account-operations", ServerOperationViewSet, "account-operation")
    register_router("account-offers", OfferViewSet, "account-offer")
    register_router("price-complaints", ComplaintViewSet, "price-complaint")
