"""The ledger over HTTP: accounts, entries, the trial balance, holds and closed days."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.ui.api_fields import AmountField, CurrencyField, code_of, entity_field
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import ApiView, Call, ReasonSerializer, ScopedReadOnlyViewSet, StrictSerializer, use_case
from funding.ledger import selectors
from funding.ledger.chart import AccountClass, AccountKind
from funding.ledger.models import ClosedDay, Hold, JournalEntry, LedgerAccount, Posting
from funding.ledger.services import accounts, entries, periods

VIEW = "funding.view_ledger"


class LedgerAccountSerializer(serializers.ModelSerializer[LedgerAccount]):
    """An account of the chart with its balance, in its normal side."""

    entity = code_of("entity.code")
    balance = AmountField(source="balance.balance", read_only=True)
    held = AmountField(source="balance.held", read_only=True)

    class Meta:
        model = LedgerAccount
        fields = [
            "id",
            "entity",
            "kind",
            "account_class",
            "currency",
            "owner_type",
            "owner_id",
            "name",
            "is_debit_normal",
            "is_frozen",
            "balance",
            "held",
            "created_at",
        ]
        read_only_fields = fields


class LedgerAccountFilter(filters.FilterSet):
    """Which accounts."""

    entity = filters.CharFilter(field_name="entity__code")
    owner_id = filters.NumberFilter(field_name="owner_id", max_value=2**63 - 1)

    class Meta:
        model = LedgerAccount
        fields = ["kind", "account_class", "currency", "owner_type", "is_frozen"]


class LedgerAccountViewSet(ScopedReadOnlyViewSet):
    """Accounts of the chart, with balances."""

    capability = VIEW
    queryset = LedgerAccount.objects.select_related("entity", "balance")
    serializer_class = LedgerAccountSerializer
    lookup_value_converter = "int"
    filterset_class = LedgerAccountFilter

    @use_case(
        capability="funding.freeze_account",
        input=ReasonSerializer,
        output=LedgerAccountSerializer,
        route="freeze",
        apart=True,
        operation_id="ledger_accounts_freeze",
        description="Stops every debit of the account until it is released.",
    )
    def freeze(self, call: Call) -> LedgerAccount:
        """The account, frozen."""
        accounts.freeze_account(account_id=call.target.pk, actor=call.actor, **call.data)
        return self.get_queryset().get(pk=call.target.pk)  # type: ignore[no-any-return]

    @use_case(
        capability="funding.freeze_account",
        input=ReasonSerializer,
        output=LedgerAccountSerializer,
        route="release",
        apart=True,
        operation_id="ledger_accounts_release",
        description="Lets a frozen account be debited again.",
    )
    def release(self, call: Call) -> LedgerAccount:
        """The account, released."""
        accounts.release_account(account_id=call.target.pk, actor=call.actor, **call.data)
        return self.get_queryset().get(pk=call.target.pk)  # type: ignore[no-any-return]


class PostingSerializer(serializers.ModelSerializer[Posting]):
    """One side of an entry on one account."""

    account_kind = serializers.ChoiceField(source="account.kind", choices=AccountKind.choices, read_only=True)

    class Meta:
        model = Posting
        fields = ["account", "account_kind", "side", "amount", "currency"]
        read_only_fields = fields


class EntrySerializer(serializers.ModelSerializer[JournalEntry]):
    """A balanced booking."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    number = serializers.IntegerField(source="pk", read_only=True)
    entity = code_of("entity.code")
    reverses = serializers.UUIDField(source="reverses.public_id", read_only=True, allow_null=True, default=None)
    reversed_by = serializers.UUIDField(source="reversal.public_id", read_only=True, allow_null=True, default=None)
    postings = PostingSerializer(many=True, read_only=True)

    class Meta:
        model = JournalEntry
        fields = [
            "id",
            "number",
            "entity",
            "kind",
            "business_day",
            "refers_to_day",
            "description",
            "reason",
            "actor",
            "source_type",
            "source_id",
            "reverses",
            "reversed_by",
            "created_at",
            "postings",
        ]
        read_only_fields = fields


class EntryFilter(filters.FilterSet):
    """Which entries."""

    entity = filters.CharFilter(field_name="entity__code")
    day_from = filters.DateFilter(field_name="business_day", lookup_expr="gte")
    day_until = filters.DateFilter(field_name="business_day", lookup_expr="lte")
    account = filters.NumberFilter(field_name="postings__account_id", max_value=2**63 - 1)

    class Meta:
        model = JournalEntry
        fields = ["kind", "source_type"]


class ReverseSerializer(ReasonSerializer):
    """Why an entry is reversed, and in which open day."""

    business_day = serializers.DateField(required=False, help_text="The first open day from today, if not given.")


class EntryViewSet(ScopedReadOnlyViewSet):
    """The journal, newest first."""

    capability = VIEW
    queryset = JournalEntry.objects.select_related("entity", "reverses", "reversed_by").prefetch_related(
        "postings__account"
    )
    serializer_class = EntrySerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_class = EntryFilter

    @use_case(
        capability="funding.reverse_entry",
        input=ReverseSerializer,
        output=EntrySerializer,
        route="reverse",
        needs_key=True,
        operation_id="journal_entries_reverse",
        description="Books the opposite of the entry. Repeating it with the same reason returns the same reversal.",
    )
    def reverse(self, call: Call) -> JournalEntry:
        """The reversal."""
        reversal = entries.reverse_entry(entry_id=call.target.pk, actor=call.actor, **call.data)
        return self.get_queryset().get(pk=reversal.pk)  # type: ignore[no-any-return]


class HoldSerializer(serializers.ModelSerializer[Hold]):
    """Money set aside."""

    id = serializers.UUIDField(source="public_id", read_only=True)
    currency = code_of("account.currency")
    entry = serializers.UUIDField(source="entry.public_id", read_only=True, allow_null=True, default=None)

    class Meta:
        model = Hold
        fields = ["id", "account", "amount", "currency", "state", "reason", "entry", "expires_at", "created_at"]
        read_only_fields = fields


class HoldViewSet(ScopedReadOnlyViewSet):
    """Holds on accounts."""

    capability = VIEW
    queryset = Hold.objects.select_related("account", "entry")
    serializer_class = HoldSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_fields = {"state": ["exact"]}


class ClosedDaySerializer(serializers.ModelSerializer[ClosedDay]):
    """A day through which an entity's books are closed."""

    entity = code_of("entity.code")

    class Meta:
        model = ClosedDay
        fields = ["id", "entity", "business_day", "closed_at", "closed_by"]
        read_only_fields = fields


class CloseDaySerializer(StrictSerializer):
    """Which books are closed through which day."""

    entity = entity_field()
    business_day = serializers.DateField()


class ClosedDayViewSet(ScopedReadOnlyViewSet):
    """Closed days."""

    capability = VIEW
    queryset = ClosedDay.objects.select_related("entity")
    serializer_class = ClosedDaySerializer
    lookup_value_converter = "int"
    filterset_fields = {"business_day": ["exact"]}

    @use_case(
        capability="funding.close_day",
        input=CloseDaySerializer,
        output=ClosedDaySerializer,
        status=201,
        needs_key=True,
        operation_id="closed_days_close",
        description="Closes the books of an entity through a day. Closing it again changes nothing.",
    )
    def create(self, call: Call) -> ClosedDay:
        """The closed day."""
        return periods.close_day(
            entity_id=call.data["entity"].pk, business_day=call.data["business_day"], actor=call.actor
        )


class TrialBalanceQuerySerializer(StrictSerializer):
    """Which trial balance."""

    entity = entity_field(required=False)
    as_of = serializers.DateField(required=False, help_text="What is dated up to this business day; default: all.")
    currency = CurrencyField(required=False)


class TrialBalanceRowSerializer(serializers.Serializer[Any]):
    """Turnover and balance of all accounts of one kind, in one currency of an entity."""

    entity = serializers.CharField(help_text="Name of the legal entity.")
    kind = serializers.ChoiceField(choices=AccountKind.choices)
    account_class = serializers.ChoiceField(choices=AccountClass.choices)
    currency = serializers.CharField()
    accounts = serializers.IntegerField()
    debits = AmountField(max_digits=40)
    credits = AmountField(max_digits=40)
    debit_balance = AmountField(max_digits=40)
    credit_balance = AmountField(max_digits=40)


class TrialBalanceTotalSerializer(serializers.Serializer[Any]):
    """The sums in one currency; debit and credit agree or the books are broken."""

    currency = serializers.CharField()
    debits = AmountField(max_digits=40)
    credits = AmountField(max_digits=40)
    debit_balance = AmountField(max_digits=40)
    credit_balance = AmountField(max_digits=40)
    agrees = serializers.BooleanField()


class TrialBalanceSerializer(serializers.Serializer[Any]):
    """The trial balance."""

    rows = TrialBalanceRowSerializer(many=True)
    totals = TrialBalanceTotalSerializer(many=True)


class TrialBalanceView(ApiView):
    """The trial balance of the caller's legal entities."""

    capability = "funding.view_trial_balance"
    query = TrialBalanceQuerySerializer

    @extend_schema(operation_id="trial_balance", responses=TrialBalanceSerializer)
    def get(self, request: Request) -> Response:
        """Rows in the order of the chart, and the sums."""
        wanted = self.parameters()
        entity = wanted.pop("entity", None)
        rows = selectors.trial_balance(actor=self.actor, entity_id=entity.pk if entity else None, **wanted)
        body = {"rows": rows, "totals": selectors.trial_balance_totals(rows)}
        return Response(TrialBalanceSerializer(body).data)


def register() -> None:
    """Puts the ledger on the API. Called once, when the process starts."""
    register_router("ledger-accounts", LedgerAccountViewSet, "ledger-account")
    register_router("journal-entries", EntryViewSet, "journal-entry")
    register_router("holds", HoldViewSet, "hold")
    register_router("closed-days", ClosedDayViewSet, "closed-day")
    register_endpoint("trial-balance/", TrialBalanceView, "trial-balance")
