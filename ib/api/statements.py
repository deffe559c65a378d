"""Commission statements over HTTP: for finance systems, and a partner's own."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.access import visible_to
from backoffice.ui.api_fields import AmountField, entity_field
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from ib import selectors
from ib.api.partners import PartnerField
from ib.api.payouts import ManyStatementsSerializer
from ib.api.requests import ChangeSerializer
from ib.models import CommissionStatement
from ib.models.statements import StatementPeriod
from ib.services import payout_terms, statement_approvals, statements

VIEW = "ib.view_statements"
APPROVE = "ib.approve_statements"
OWN = "ib.view_own_commissions"
MOST_OWN = 1_000


class CommissionStatementSerializer(serializers.ModelSerializer[CommissionStatement]):
    """What a partner earned in a period: total = carried in + earned − held + released."""

    partner = serializers.CharField(source="partner.reference", read_only=True)
    state = serializers.ChoiceField(choices=CommissionStatement.State.choices, read_only=True)
    parts = serializers.ListField(child=serializers.ListField(child=serializers.CharField()), read_only=True)

    class Meta:
        model = CommissionStatement
        fields = [
            "id",
            "partner",
            "number",
            "from_day",
            "to_day",
            "state",
            "currency",
            "carried_in",
            "earned",
            "parts",
            "held",
            "released",
            "total",
            "payable",
            "payable_from",
            "review_until",
            "is_withheld",
            "confirmed_by",
            "approved_by",
            "approved_at",
            "digest",
        ]
        read_only_fields = fields


class OwnCommissionStatementSerializer(serializers.ModelSerializer[CommissionStatement]):
    """A statement as its partner sees it: without who looked at it."""

    state = serializers.ChoiceField(choices=CommissionStatement.State.choices, read_only=True)

    class Meta:
        model = CommissionStatement
        fields = [
            "number",
            "from_day",
            "to_day",
            "state",
            "currency",
            "carried_in",
            "earned",
            "held",
            "released",
            "total",
            "payable",
            "payable_from",
            "digest",
        ]
        read_only_fields = fields


class StatementFilter(filters.FilterSet):
    """Which statements."""

    partner = filters.CharFilter(field_name="partner__reference")
    state = filters.ChoiceFilter(choices=CommissionStatement.State.choices)
    to_day_from = filters.DateFilter(field_name="to_day", lookup_expr="gte")
    to_day_until = filters.DateFilter(field_name="to_day", lookup_expr="lte")


class StatementViewSet(ScopedReadOnlyViewSet):
    """Statements, and what is decided about them."""

    capability = VIEW
    queryset = CommissionStatement.objects.select_related("partner")
    serializer_class = CommissionStatementSerializer
    lookup_value_converter = "int"
    filterset_class = StatementFilter

    @use_case(
        capability=APPROVE,
        output=CommissionStatementSerializer,
        route="approve",
        operation_id="commission_statements_approve",
        description="Confirms a statement; approves it when another person confirmed it, or its terms need one only.",
    )
    def approve(self, call: Call) -> CommissionStatement:
        """The statement after the step."""
        return statements.approve_statement(statement_id=call.target.pk, actor=call.actor)

    @use_case(
        capability=APPROVE,
        input=ReasonSerializer,
        output=CommissionStatementSerializer,
        route="withhold",
        operation_id="commission_statements_withhold",
        description="Keeps a statement from being approved until it is let go.",
    )
    def withhold(self, call: Call) -> CommissionStatement:
        """The withheld statement."""
        return statements.withhold_statement(statement_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=APPROVE,
        input=ReasonSerializer,
        output=CommissionStatementSerializer,
        route="let-go",
        operation_id="commission_statements_let_go",
        description="Lets a withheld statement wait for approval again.",
    )
    def let_go(self, call: Call) -> CommissionStatement:
        """The statement."""
        return statements.let_go_statement(statement_id=call.target.pk, actor=call.actor, **call.data)


class StatementRunSerializer(serializers.Serializer[Any]):
    """What a run did."""

    closed = serializers.ListField(child=serializers.CharField())
    approved = serializers.ListField(child=serializers.CharField())
    problems = serializers.DictField(child=serializers.CharField())


class RunStatementsView(ApiView):
    """Closing and approving what is due."""

    @use_case(
        capability="ib.settle_commissions",
        output=StatementRunSerializer,
        operation_id="commission_statements_run",
        description="Closes the statements whose books are closed and approves what the terms approve. Harmless to repeat.",
    )
    def post(self, call: Call) -> Any:
        """What was done."""
        found = statements.run_statements(actor=call.actor)
        problems = {**found["closed"].problems, **found["approved"].problems}
        return {"closed": found["closed"].done, "approved": found["approved"].done, "problems": problems}


class BulkApprovalSerializer(serializers.Serializer[Any]):
    """What a step over many statements did."""

    approved = CommissionStatementSerializer(many=True)
    confirmed = CommissionStatementSerializer(many=True)
    problems = serializers.DictField(child=serializers.CharField())


class ApproveManyView(ApiView):
    """One step for many statements, each by itself."""

    @use_case(
        capability=APPROVE,
        input=ManyStatementsSerializer,
        output=BulkApprovalSerializer,
        operation_id="commission_statements_approve_many",
        description="Confirms or approves each of the statements by itself; one that cannot be keeps no other waiting.",
    )
    def post(self, call: Call) -> Any:
        """What was approved, what waits for another person, and why others wait."""
        return statement_approvals.approve_statements(statement_ids=call.data["statements"], actor=call.actor)


class NewTermsSerializer(StrictSerializer):
    """Payout terms of an entity, or of one partner of it."""

    entity = entity_field()
    partner = PartnerField(allow_null=True, default=None)
    valid_from = serializers.DateField()
    period = serializers.ChoiceField(choices=StatementPeriod.choices)
    review_days = serializers.IntegerField(min_value=0, max_value=366)
    hold_days = serializers.IntegerField(min_value=0, max_value=366)
    minimum_payout = AmountField()
    automatic_up_to = AmountField(allow_null=True, default=None)
    allows_partial = serializers.BooleanField(default=False)
    reason = serializers.CharField(max_length=500)


class RequestTermsView(ApiView):
    """Asking for payout terms."""

    @use_case(
        capability=payout_terms.MAKER,
        input=NewTermsSerializer,
        output=ChangeSerializer,
        status=201,
        operation_id="payout_terms_request",
        description="Asks for payout terms from a day on; another person approves them at the desk.",
    )
    def post(self, call: Call) -> Any:
        """The request."""
        given = dict(call.data)
        entity, partner = given.pop("entity"), given.pop("partner")
        return payout_terms.request_payout_terms(
            entity_id=entity.pk, partner_id=partner.pk if partner else None, actor=call.actor, **given
        )


class OwnStatementsView(ApiView):
    """The caller's own statements."""

    capability = OWN

    @extend_schema(operation_id="own_commission_statements", responses=OwnCommissionStatementSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest first."""
        partner = selectors.own_partner(actor=self.actor)
        own = visible_to(CommissionStatement.objects.filter(partner=partner), self.actor)
        return Response(OwnCommissionStatementSerializer(own.order_by("-number")[:MOST_OWN], many=True).data)


def register() -> None:
    """Puts statements on the API."""
    register_endpoint("commission-statements/approve-many/", ApproveManyView, "commission-statements-approve-many")
    register_endpoint("commission-statements/run/", RunStatementsView, "commission-statements-run")
    register_endpoint("payout-terms/request/", RequestTermsView, "payout-terms-request")
    register_endpoint("own/commission-statements/", OwnStatementsView, "own-commission-statements")
    register_router("commission-statements", StatementViewSet, "commission-statement")
