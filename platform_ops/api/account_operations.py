"""Operations on servers, for the broker's own systems: accounts opened and changed, money moved, limits on one person."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.ui.api_fields import AmountField, CurrencyField, VisibleField, code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.account_permissions import CHANGE_ACCOUNTS, MOVE_MONEY, OPEN_ACCOUNTS, SET_OPERATION_LIMITS
from platform_ops.api.accounts import ClientField
from platform_ops.api.shared import DraftedChangeSerializer
from platform_ops.models import (
    AccountGroup,
    AccountOffer,
    OperationLimit,
    ServerOperation,
    TradingAccount,
    TradingServer,
)
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.operations import MONEY_KINDS
from platform_ops.services import account_operations as operations
from platform_ops.services.account_operations import bulk
from platform_ops.types import DealKind

MAX_BULK_KEY = 180
"""Room is left for the account of each line."""
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
    """An account to be opened; passwords are never in its answer: ask for a new one, or the client does in the portal."""

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


class PasswordSerializer(StrictSerializer):
    """Which password of which account is made anew."""

    account = VisibleField(slug_field="public_id", queryset=TradingAccount.objects.all())
    which = serializers.ChoiceField(choices=["main", "investor"], default="main")
    reason = serializers.CharField(max_length=400)


class NewPasswordSerializer(serializers.Serializer[Any]):
    """The new password, once; null while the server has not answered: then ask for another when it is done."""

    operation = ServerOperationSerializer()
    password = serializers.CharField(allow_null=True)


class BulkLineSerializer(StrictSerializer):
    """An account by its login, and an amount signed from the client's side, in the account's currency."""

    login = serializers.CharField(max_length=32)
    amount = serializers.DecimalField(max_digits=20, decimal_places=8)


class BulkSerializer(StrictSerializer):
    """The same operation on many accounts of a server. A line that is wrong refuses them all."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())
    operation = serializers.ChoiceField(choices=_MONEY_NAMES)
    lines = serializers.ListField(child=BulkLineSerializer(), min_length=1, max_length=bulk.MAX_BULK_LINES)
    reason = serializers.CharField(max_length=400)


class BulkReferenceSerializer(serializers.Serializer[Any]):
    """Under which reference a line goes on: of an operation (BO-…) or of a change request (CR-…)."""

    login = serializers.CharField()
    reference = serializers.CharField()


class BulkProblemSerializer(serializers.Serializer[Any]):
    """Why a line was refused."""

    login = serializers.CharField()
    problem = serializers.CharField()


class BulkSummarySerializer(serializers.Serializer[Any]):
    """What became of the lines; each stands and falls by itself."""

    done = serializers.IntegerField()
    waiting = serializers.IntegerField(help_text="Will be sent in a moment.")
    proposed = serializers.IntegerField(help_text="Wait for another person.")
    refused = serializers.IntegerField()
    references = BulkReferenceSerializer(many=True)
    problems = BulkProblemSerializer(many=True)


class OperationFilter(filters.FilterSet):
    """Which operations."""

    server = filters.CharFilter(field_name="server__code")
    account = filters.UUIDFilter(field_name="account__public_id")
    client = filters.UUIDFilter(field_name="client__public_id")
    is_finished = filters.BooleanFilter(field_name="finished_at", lookup_expr="isnull", exclude=True)

    class Meta:
        model = ServerOperation
        fields = ["kind", "state", "reference", "currency", "is_bulk"]


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

    @use_case(
        capability=CHANGE_ACCOUNTS, input=PasswordSerializer, output=NewPasswordSerializer, route="new-password",
        detail=False, apart=True, answers_secret=True, operation_id="account_operations_new_password",
        description=(
            "Makes a new password on the server and answers it once. It is kept nowhere, unless an Idempotency-Key is sent: "
            "then the answer is kept sealed for a week, so that a repetition gets the same."
        ),
    )  # fmt: skip
    def new_password(self, call: Call) -> dict[str, Any]:
        """The operation with what it made."""
        is_investor = call.data["which"] == "investor"
        operation = operations.request_new_password(
            account_id=call.data["account"].pk, is_investor=is_investor, actor=call.actor, reason=call.data["reason"],
            idempotency_key=_key(call),
        )  # fmt: skip
        outcome = operations.carry_out(operation_id=operation.pk, actor=call.actor)
        made = outcome.credentials
        shown = (made.investor_password if is_investor else made.main_password) if made is not None else ""
        return {"operation": outcome.operation, "password": shown or None}

    @use_case(
        capability=MOVE_MONEY, input=MoneySerializer, output=DraftedChangeSerializer, status=201, route="propose-money",
        detail=False, needs_key=True, operation_id="account_operations_propose_money",
        description="Hands a movement of money in for approval by another person; nothing is sent before.",
    )  # fmt: skip
    def propose_money(self, call: Call) -> Any:
        """The change request."""
        given = dict(call.data)
        return operations.propose_balance_operation(
            account_id=given.pop("account").pk, kind=DealKind[given.pop("operation").upper()], actor=call.actor,
            idempotency_key=_key(call), **given,
        )  # fmt: skip

    @use_case(
        capability=MOVE_MONEY, input=BulkSerializer, output=BulkSummarySerializer, route="move-money-in-bulk", detail=False,
        needs_key=True, apart=True, operation_id="account_operations_move_money_in_bulk",
        description="Asks for money to be moved on many accounts. What one person may not move alone is proposed.",
    )  # fmt: skip
    def move_money_in_bulk(self, call: Call) -> dict[str, Any]:
        """What became of each line."""
        kind = DealKind[call.data["operation"].upper()]
        lines = bulk.find_lines(
            server_code=call.data["server"].code,
            moves=[(line["login"], line["amount"]) for line in call.data["lines"]],
            actor=call.actor,
        )
        made = bulk.run_bulk(
            moves=[(line.account, kind, line.amount) for line in lines], actor=call.actor, reason=call.data["reason"],
            idempotency_key=_key(call)[:MAX_BULK_KEY], sent_at_once=0,
        )  # fmt: skip
        return {
            "done": made.done, "waiting": made.waiting, "proposed": made.proposed, "refused": made.refused,
            "references": [{"login": login, "reference": reference} for login, reference in made.references],
            "problems": [{"login": login, "problem": problem} for login, problem in made.problems],
        }  # fmt: skip

    @use_case(
        capability=VIEW_PLATFORM, output=ServerOperationSerializer, route="look-up", apart=True,
        operation_id="account_operations_look_up",
        description="Asks the server now what became of an operation. Who may ask for its kind may look it up.",
    )  # fmt: skip
    def look_up(self, call: Call) -> ServerOperation:
        """The operation as it stands."""
        return operations.carry_out(operation_id=call.target.pk, actor=call.actor, is_forced=True).operation

    @use_case(
        capability=VIEW_PLATFORM, input=ReasonSerializer, output=ServerOperationSerializer, route="cancel",
        operation_id="account_operations_cancel",
        description=(
            "Gives an operation up that was not sent, or that the server does not know. Who may ask for its kind may."
        ),
    )  # fmt: skip
    def cancel(self, call: Call) -> ServerOperation:
        """The operation, given up."""
        return operations.cancel_operation(operation_id=call.target.pk, actor=call.actor, **call.data)


def _key(call: Call) -> str:
    """The caller's key, under the caller: two systems may use the same."""
    return f"api:{call.actor.user_id}:{call.idempotency_key}"[:200]


class LimitSerializer(serializers.ModelSerializer[OperationLimit]):
    """How much one person may move alone on accounts of an entity in a currency, at a time and in a business day."""

    entity = code_of("entity.code")

    class Meta:
        model = OperationLimit
        fields = ["id", "entity", "currency", "alone_up_to", "alone_per_day"]
        read_only_fields = fields


class NewLimitSerializer(StrictSerializer):
    """A limit; without one every amount needs a second person."""

    entity = entity_field()
    currency = CurrencyField()
    alone_up_to = AmountField(min_value=0)
    alone_per_day = AmountField(min_value=0)
    reason = serializers.CharField(max_length=400)


class LimitFilter(filters.FilterSet):
    """Of which entity and currency."""

    entity = filters.CharFilter(field_name="entity__code")

    class Meta:
        model = OperationLimit
        fields = ["currency"]


class LimitViewSet(ScopedReadOnlyViewSet):
    """Limits on what one person moves alone."""

    capability = VIEW_PLATFORM
    queryset = OperationLimit.objects.select_related("entity")
    serializer_class = LimitSerializer
    lookup_value_converter = "int"
    filterset_class = LimitFilter

    @use_case(
        capability=SET_OPERATION_LIMITS, input=NewLimitSerializer, output=LimitSerializer, status=201,
        operation_id="operation_limits_set", description="Sets the limit of an entity in a currency, or changes it.",
    )  # fmt: skip
    def create(self, call: Call) -> OperationLimit:
        """The limit."""
        given = dict(call.data)
        return operations.set_operation_limit(entity_id=given.pop("entity").pk, actor=call.actor, **given)


def register() -> None:
    """Puts operations on the API."""
    register_router("account-operations", ServerOperationViewSet, "account-operation")
    register_router("operation-limits", LimitViewSet, "operation-limit")
