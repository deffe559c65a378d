"""What a partner reads of their own: balances, commissions, lines, the tree below, the clients they introduced."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.ui.api_fields import AmountField
from backoffice.ui.api_registry import register_endpoint
from backoffice.ui.api_views import ApiView
from ib import selectors
from ib.api.commissions import DaysSerializer, check_days
from ib.api.partners import PartnerBalancesSerializer, PartnerSerializer, TreeNodeSerializer, tree_rows
from ib.types import Grouping

OWN = "ib.view_own_commissions"
MAX_OWN_LINES = 1000


class OwnPartnerSerializer(serializers.Serializer[Any]):
    """The partner that the caller's login belongs to, and what it holds."""

    partner = PartnerSerializer()
    balances = PartnerBalancesSerializer()


class OwnPartnerView(ApiView):
    """The caller's own partner."""

    capability = OWN

    @extend_schema(operation_id="own_partner", responses=OwnPartnerSerializer)
    def get(self, request: Request) -> Response:
        """The partner and its balances."""
        partner = selectors.own_partner(actor=self.actor)
        balances = selectors.balances_of(actor=self.actor, partner=partner)
        return Response(OwnPartnerSerializer({"partner": partner, "balances": balances}).data)


class OwnTreeView(ApiView):
    """The partners below."""

    capability = OWN

    @extend_schema(operation_id="own_tree", responses=TreeNodeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The caller's partner and everybody below, parents before children."""
        partner = selectors.own_partner(actor=self.actor)
        nodes = selectors.subtree(actor=self.actor, partner=partner)
        return Response(TreeNodeSerializer(tree_rows(nodes), many=True).data)


class OwnLineSerializer(serializers.Serializer[Any]):
    """A commission line as its partner sees it."""

    reference = serializers.CharField()
    day = serializers.DateField()
    closed_at = serializers.DateTimeField()
    ticket = serializers.IntegerField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field of that name
    symbol = serializers.CharField()
    symbol_group = serializers.CharField()
    level = serializers.IntegerField()
    lots = AmountField()
    amount = AmountField()
    currency = serializers.CharField()


class OwnLinesView(ApiView):
    """The caller's own commission lines."""

    capability = OWN
    query = DaysSerializer

    @extend_schema(operation_id="own_commission_lines", responses=OwnLineSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest first, at most a thousand; ask for fewer days to see the others."""
        partner = selectors.own_partner(actor=self.actor)
        wanted = check_days(self.parameters())
        lines = selectors.own_lines(actor=self.actor, partner=partner, limit=MAX_OWN_LINES, **wanted)
        return Response(OwnLineSerializer(lines, many=True).data)


class OwnSumsQuerySerializer(DaysSerializer):
    """Which days, summed by what."""

    by = serializers.ChoiceField(choices=[(item.value, item.value) for item in Grouping], default=Grouping.DAY.value)


class CommissionSumSerializer(serializers.Serializer[Any]):
    """What was earned from one day, client, level or symbol group."""

    key = serializers.CharField()
    currency = serializers.CharField()
    amount = AmountField(max_digits=40)
    lots = AmountField(max_digits=40)
    trades = serializers.IntegerField()


class OwnSumsView(ApiView):
    """The caller's own commissions, summed."""

    capability = OWN
    query = OwnSumsQuerySerializer

    @extend_schema(operation_id="own_commissions", responses=CommissionSumSerializer(many=True))
    def get(self, request: Request) -> Response:
        """By day, source, level or symbol group."""
        partner = selectors.own_partner(actor=self.actor)
        wanted = check_days(self.parameters())
        grouping = Grouping(wanted.pop("by"))
        sums = selectors.commission_by(actor=self.actor, partner=partner, grouping=grouping, **wanted)
        return Response(CommissionSumSerializer(sums, many=True).data)


class OwnClientSerializer(serializers.Serializer[Any]):
    """A client of the partner's, named as the house's policy says."""

    reference = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    email = serializers.CharField(allow_blank=True)
    country = serializers.CharField(allow_blank=True)
    since = serializers.DateField(allow_null=True)
    trades = serializers.IntegerField()
    lots = AmountField(max_digits=40)
    last_trade = serializers.DateField(allow_null=True)


class OwnClientsView(ApiView):
    """The clients whom the caller's partner introduced."""

    capability = OWN
    query = DaysSerializer

    @extend_schema(operation_id="own_clients", responses=OwnClientSerializer(many=True))
    def get(self, request: Request) -> Response:
        """With what they traded in the days."""
        partner = selectors.own_partner(actor=self.actor)
        wanted = check_days(self.parameters())
        clients = selectors.clients_of(actor=self.actor, partner=partner, **wanted)
        return Response(OwnClientSerializer(clients, many=True).data)


def register() -> None:
    """Puts a partner's own views on the API."""
    register_endpoint("own/partner/", OwnPartnerView, "own-partner")
    register_endpoint("own/tree/", OwnTreeView, "own-tree")
    register_endpoint("own/commission-lines/", OwnLinesView, "own-commission-lines")
    register_endpoint("own/commissions/", OwnSumsView, "own-commissions")
    register_endpoint("own/clients/", OwnClientsView, "own-clients")
