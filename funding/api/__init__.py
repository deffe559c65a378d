"""Money in and out over HTTP, and the trading results in the books."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django_filters import rest_framework as filters
from rest_framework import serializers

from backoffice.core.types import Actor
from backoffice.ui.api_fields import AmountField, CurrencyField, VisibleField, code_of
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from funding.ledger.api import EntrySerializer
from funding.ledger.models import JournalEntry
from funding.ledger.selectors import visible_entries
from funding.models import TradingResultLine
from funding.permissions import PAY_WITHDRAWAL, POST_RESULTS, RECEIVE_DEPOSIT, VIEW_RESULTS
from funding.services import deposits, trading_results


def _rows_of(app: str, model: str) -> Any:
    """Models of other desks are reached by name."""
    return apps.get_model(app, model)._default_manager.all()


class MovementSerializer(StrictSerializer):
    """Money that came or went, of a trading account or of a client whose account is not known."""

    account = VisibleField(
        slug_field="public_id", queryset=_rows_of("platform_ops", "TradingAccount"), required=False, allow_null=True
    )
    client = VisibleField(slug_field="public_id", queryset=_rows_of("crm", "Client"), required=False, allow_null=True)
    amount = AmountField(help_text="Above zero, with no more decimals than the currency has.")
    currency = CurrencyField()
    method = serializers.ChoiceField(choices=[(method.value, method.value) for method in deposits.Method])
    reference = serializers.CharField(
        max_length=deposits.MAXIMUM_REFERENCE, help_text="The bank's or the provider's own."
    )
    business_day = serializers.DateField(required=False, help_text="Day of arrival; today, if not given.")


def _movement(call: Call) -> dict[str, Any]:
    given = dict(call.data)
    account, client = given.pop("account", None), given.pop("client", None)
    return given | {
        "account_id": account.pk if account else None,
        "client_id": client.pk if client else None,
        "actor": call.actor,
        "idempotency_key": call.idempotency_key,
    }


def _shown(entry: JournalEntry, actor: Actor) -> JournalEntry:
    """The entry with what the answer shows of it."""
    return visible_entries(actor).prefetch_related("postings__account").get(pk=entry.pk)


class DepositsView(ApiView):
    """Money that arrived."""

    @use_case(
        capability=RECEIVE_DEPOSIT,
        input=MovementSerializer,
        output=EntrySerializer,
        status=201,
        needs_key=True,
        apart=True,
        operation_id="deposits_receive",
        description="Books money that arrived, against suspense, until the trading server credits it.",
    )
    def post(self, call: Call) -> JournalEntry:
        """The entry."""
        return _shown(deposits.receive_deposit(**_movement(call)), call.actor)


class WithdrawalsView(ApiView):
    """Money that was paid out."""

    @use_case(
        capability=PAY_WITHDRAWAL,
        input=MovementSerializer,
        output=EntrySerializer,
        status=201,
        needs_key=True,
        apart=True,
        operation_id="withdrawals_pay",
        description="Books money that was paid out, against suspense, until the trading server debits it.",
    )
    def post(self, call: Call) -> JournalEntry:
        """The entry."""
        return _shown(deposits.pay_withdrawal(**_movement(call)), call.actor)


class ResultLineSerializer(serializers.ModelSerializer[TradingResultLine]):
    """What was booked of an account's trading day; signed from the client's side."""

    account = serializers.UUIDField(source="account.public_id", read_only=True)
    login = code_of("account.login")
    entry = serializers.UUIDField(source="entry.public_id", read_only=True, allow_null=True, default=None)

    class Meta:
        model = TradingResultLine
        fields = [
            "id",
            "account",
            "login",
            "business_day",
            "component",
            "book",
            "seq",
            "amount",
            "currency",
            "entry",
            "created_at",
        ]
        read_only_fields = fields


class ResultLineFilter(filters.FilterSet):
    """Which lines."""

    account = filters.UUIDFilter(field_name="account__public_id")
    day_from = filters.DateFilter(field_name="business_day", lookup_expr="gte")
    day_until = filters.DateFilter(field_name="business_day", lookup_expr="lte")

    class Meta:
        model = TradingResultLine
        fields = ["component", "book", "currency"]


class ResultLineViewSet(ScopedReadOnlyViewSet):
    """Trading results in the books."""

    capability = VIEW_RESULTS
    queryset = TradingResultLine.objects.select_related("account", "entry")
    serializer_class = ResultLineSerializer
    lookup_value_converter = "int"
    filterset_class = ResultLineFilter


class PostResultsSerializer(StrictSerializer):
    """The results of which server, through which day."""

    server = VisibleField(slug_field="code", queryset=_rows_of("platform_ops", "TradingServer"))
    business_day = serializers.DateField()


class PostedResultsSerializer(serializers.Serializer[Any]):
    """Figures of the posting."""

    figures = serializers.DictField()


class PostResultsView(ApiView):
    """Posting of trading results."""

    @use_case(
        capability=POST_RESULTS,
        input=PostResultsSerializer,
        output=PostedResultsSerializer,
        needs_key=True,
        apart=True,
        operation_id="trading_results_post",
        description="Books target minus booked of a server's results through a day; a second run books nothing.",
    )
    def post(self, call: Call) -> dict[str, Any]:
        """The figures."""
        figures = trading_results.post_trading_results(
            business_day=call.data["business_day"], server_id=call.data["server"].pk, actor=call.actor
        )
        return {"figures": figures}


def register() -> None:
    """Puts the desk's endpoints on the API. Called once, when the process starts."""
    from funding.api import finance, topics

    topics.register()
    finance.register()
    register_endpoint("deposits/", DepositsView, "deposits")
    register_endpoint("withdrawals/", WithdrawalsView, "withdrawals")
    register_endpoint("trading-results/post/", PostResultsView, "post-trading-results")
    register_router("trading-results", ResultLineViewSet, "trading-result")
