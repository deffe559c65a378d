"""The catalogue of accounts over HTTP: groups on the servers, account types, and what is offered in which currency."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from backoffice.ui.api_fields import AmountField, CurrencyField, VisibleField, code_of, entity_field
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from platform_ops.api.catalogue import ServerCodeFilter
from platform_ops.models import AccountGroup, AccountOffer, AccountType, TradingServer
from platform_ops.permissions import MANAGE_CATALOGUE, VIEW_PLATFORM
from platform_ops.services import account_catalogue, catalogue
from platform_ops.services.account_catalogue import LARGEST_LEVERAGE, TypeTerms


class LeverageField(serializers.IntegerField):
    """So many to one."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**({"min_value": 1, "max_value": LARGEST_LEVERAGE} | options))


class AccountGroupSerializer(serializers.ModelSerializer[AccountGroup]):
    """A group on a server."""

    server = code_of("server.code")
    account_type = code_of("account_type.code", allow_null=True)

    class Meta:
        model = AccountGroup
        fields = ["id", "server", "name", "account_type", "currency"]
        read_only_fields = fields


class NewGroupSerializer(StrictSerializer):
    """A group with its account type; both are made if they do not stand yet."""

    server = VisibleField(slug_field="code", queryset=TradingServer.objects.all())
    name = serializers.CharField(max_length=120)
    currency = CurrencyField()
    account_type_code = serializers.RegexField(r"^[A-Za-z0-9_-]+$", max_length=40)
    account_type_name = serializers.CharField(max_length=80)


class DemoGroupSerializer(StrictSerializer):
    """Demo or live."""

    is_demo = serializers.BooleanField()


class AccountGroupViewSet(ScopedReadOnlyViewSet):
    """Groups on the servers."""

    capability = VIEW_PLATFORM
    queryset = AccountGroup.objects.select_related("server", "account_type")
    serializer_class = AccountGroupSerializer
    lookup_value_converter = "int"
    filterset_class = ServerCodeFilter

    @use_case(
        capability=MANAGE_CATALOGUE,
        input=NewGroupSerializer,
        output=AccountGroupSerializer,
        status=201,
        operation_id="account_groups_register",
        description="Registers a group.",
    )
    def create(self, call: Call) -> AccountGroup:
        """The group."""
        given = dict(call.data)
        return catalogue.register_account_group(server_id=given.pop("server").pk, actor=call.actor, **given)

    @use_case(
        capability=MANAGE_CATALOGUE, input=DemoGroupSerializer, output=AccountGroupSerializer, route="mark-demo",
        operation_id="account_groups_mark_demo",
        description="Says whether a group holds demo accounts; 409 group_in_use where accounts of the other side are in it.",
    )  # fmt: skip
    def mark_demo(self, call: Call) -> AccountGroup:
        """The group."""
        return account_catalogue.mark_demo_group(group_id=call.target.pk, actor=call.actor, **call.data)


class AccountTypeSerializer(serializers.ModelSerializer[AccountType]):
    """An offer of the catalogue."""

    entity = code_of("entity.code")
    leverage_choices = serializers.ListField(child=serializers.IntegerField(), read_only=True)
    leverage_by_class = serializers.DictField(child=serializers.IntegerField(), read_only=True)
    client_classes = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = AccountType
        fields = [
            "id", "entity", "code", "name", "kind", "is_swap_free", "leverage_choices", "leverage_by_class", "client_classes",
            "commission_text", "mark_up_text", "is_offered",
        ]  # fmt: skip
        read_only_fields = fields


class NewAccountTypeSerializer(StrictSerializer):
    """An account type as it is to be. Accounts that exist keep their leverage."""

    entity = entity_field()
    code = serializers.SlugField(max_length=40)
    name = serializers.CharField(max_length=80)
    kind = serializers.ChoiceField(choices=AccountType.Kind.choices)
    leverage_choices = serializers.ListField(child=LeverageField(), max_length=50)
    leverage_by_class = serializers.DictField(
        child=LeverageField(), default=dict, help_text="Highest leverage by class of client, such as retail."
    )
    client_classes = serializers.ListField(
        child=serializers.CharField(max_length=40), max_length=20, default=list, help_text="None: open to every class."
    )
    is_swap_free = serializers.BooleanField(default=False)
    commission_text = serializers.CharField(max_length=200, allow_blank=True, default="")
    mark_up_text = serializers.CharField(max_length=200, allow_blank=True, default="")
    is_offered = serializers.BooleanField(default=True)


class AccountTypeViewSet(ScopedReadOnlyViewSet):
    """Account types."""

    capability = VIEW_PLATFORM
    queryset = AccountType.objects.select_related("entity")
    serializer_class = AccountTypeSerializer
    lookup_value_converter = "int"

    @use_case(
        capability=MANAGE_CATALOGUE, input=NewAccountTypeSerializer, output=AccountTypeSerializer, status=201,
        operation_id="account_types_define", description="Makes a type, or brings the one of this code to these terms.",
    )  # fmt: skip
    def create(self, call: Call) -> AccountType:
        """The type."""
        given = dict(call.data)
        return account_catalogue.define_account_type(
            entity_id=given.pop("entity").pk, code=given.pop("code"), terms=TypeTerms(**given), actor=call.actor
        )


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


class NewOfferSerializer(StrictSerializer):
    """A type in a currency, by the groups in which its accounts are opened; at least one of them."""

    account_type = VisibleField(slug_field="id", queryset=AccountType.objects.all())
    currency = CurrencyField()
    live_group = VisibleField(slug_field="id", queryset=AccountGroup.objects.all(), required=False)
    demo_group = VisibleField(slug_field="id", queryset=AccountGroup.objects.all(), required=False)
    minimum_deposit = AmountField(min_value=0, default=Decimal(0))
    demo_balance = AmountField(min_value=0, default=Decimal(0))


class OfferViewSet(ScopedReadOnlyViewSet):
    """What the catalogue offers."""

    capability = VIEW_PLATFORM
    queryset = AccountOffer.objects.select_related("account_type", "live_group", "demo_group")
    serializer_class = OfferSerializer
    lookup_value_converter = "int"

    @use_case(
        capability=MANAGE_CATALOGUE, input=NewOfferSerializer, output=OfferSerializer, status=201,
        operation_id="account_offers_define",
        description="Offers a type in a currency, or brings the offer to these terms: what is left out is then not offered.",
    )  # fmt: skip
    def create(self, call: Call) -> AccountOffer:
        """The offer."""
        given = dict(call.data)
        live, demo = given.pop("live_group", None), given.pop("demo_group", None)
        return account_catalogue.define_offer(
            account_type_id=given.pop("account_type").pk, live_group_id=live.pk if live else None,
            demo_group_id=demo.pk if demo else None, actor=call.actor, **given,
        )  # fmt: skip


def register() -> None:
    """Puts the catalogue of accounts on the API."""
    register_router("account-groups", AccountGroupViewSet, "account-group")
    register_router("account-types", AccountTypeViewSet, "account-type")
    register_router("account-offers", OfferViewSet, "account-offer")
