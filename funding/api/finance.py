"""Finance's own over HTTP: manual journals handed in and booked, closed months, revaluations, balances stated outside."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from backoffice.core.models import LegalEntity
from backoffice.ui.api_fields import AmountField, CurrencyField, VisibleField, code_of
from backoffice.ui.api_registry import register_router
from backoffice.ui.api_views import Call, ScopedReadOnlyViewSet, StrictSerializer, use_case
from funding.ledger.models import ClosedMonth, PeriodReopening
from funding.models import BalanceStatement, ExternalAccount, ManualJournal, RevaluationRun
from funding.permissions import VIEW_BALANCES, VIEW_JOURNALS, VIEW_PERIODS, VIEW_REVALUATIONS
from funding.services import external_balances, manual_journals


class ManualJournalSerializer(serializers.ModelSerializer[ManualJournal]):
    """A journal that was approved and booked."""

    entity = code_of("entity.code")
    entry = serializers.UUIDField(source="entry.public_id", read_only=True)
    reverses = serializers.UUIDField(source="reverses.public_id", read_only=True, allow_null=True, default=None)

    class Meta:
        model = ManualJournal
        fields = [
            "public_id",
            "reference",
            "entity",
            "business_day",
            "description",
            "reason",
            "entry",
            "reverses",
            "made_by",
            "approved_by",
            "booked_at",
        ]
        read_only_fields = fields


class JournalLineSerializer(StrictSerializer):
    """One line."""

    account = serializers.IntegerField(min_value=1, max_value=2**63 - 1, help_text="The ledger account's id.")
    side = serializers.ChoiceField(choices=[("D", "Debit"), ("C", "Credit")])
    amount = AmountField(help_text="Above zero, with no more decimals than the currency has.")
    currency = CurrencyField()


class NewJournalSerializer(StrictSerializer):
    """A journal to hand in; each currency balances by itself."""

    entity = VisibleField(slug_field="code", queryset=LegalEntity.objects.all())
    business_day = serializers.DateField()
    description = serializers.CharField(max_length=200)
    reason = serializers.CharField(max_length=500)
    lines = JournalLineSerializer(many=True, min_length=2, max_length=500)  # type: ignore[call-arg]  # of the list


class ProposedSerializer(serializers.Serializer[Any]):
    """The change request that waits for another person."""

    reference = serializers.CharField()
    state = serializers.CharField()


class ManualJournalViewSet(ScopedReadOnlyViewSet):
    """Manual journals."""

    capability = VIEW_JOURNALS
    queryset = ManualJournal.objects.select_related("entity", "entry", "reverses")
    serializer_class = ManualJournalSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_fields = {"business_day": ["exact", "gte", "lte"], "reference": ["exact"]}

    @use_case(
        capability=manual_journals.PROPOSE,
        input=NewJournalSerializer,
        output=ProposedSerializer,
        status=201,
        needs_key=True,
        description="Hands a journal in. Nothing is booked until another person approves it on the desk.",
    )
    def create(self, call: Call) -> Any:
        """The request."""
        given = call.data
        return manual_journals.propose_journal(
            entity_id=given["entity"].pk,
            business_day=given["business_day"],
            description=given["description"],
            reason=given["reason"],
            lines=[
                manual_journals.JournalLine(line["account"], line["side"], line["amount"], line["currency"])
                for line in given["lines"]
            ],
            actor=call.actor,
            idempotency_key=call.idempotency_key,
        )


class ClosedMonthSerializer(serializers.ModelSerializer[ClosedMonth]):
    """A month as it was closed."""

    entity = code_of("entity.code")
    is_reopened = serializers.SerializerMethodField()

    class Meta:
        model = ClosedMonth
        fields = ["id", "entity", "month", "through_day", "figures_sha256", "closed_by", "closed_at", "is_reopened"]
        read_only_fields = fields

    def get_is_reopened(self, month: ClosedMonth) -> bool:
        """Whether a re-opening ended it."""
        return month.reopened_by_id is not None


class ClosedMonthViewSet(ScopedReadOnlyViewSet):
    """Closed months."""

    capability = VIEW_PERIODS
    queryset = ClosedMonth.objects.select_related("entity")
    serializer_class = ClosedMonthSerializer
    lookup_value_converter = "int"
    filterset_fields = {"month": ["exact", "gte", "lte"]}


class ReopeningSerializer(serializers.ModelSerializer[PeriodReopening]):
    """Closed days that were opened again."""

    entity = code_of("entity.code")

    class Meta:
        model = PeriodReopening
        fields = [
            "id",
            "entity",
            "from_day",
            "through_day",
            "reason",
            "requested_by",
            "approved_by",
            "opened_at",
            "reclosed_at",
        ]
        read_only_fields = fields


class ReopeningViewSet(ScopedReadOnlyViewSet):
    """Days opened again."""

    capability = VIEW_PERIODS
    queryset = PeriodReopening.objects.select_related("entity")
    serializer_class = ReopeningSerializer
    lookup_value_converter = "int"


class RevaluationSerializer(serializers.ModelSerializer[RevaluationRun]):
    """A revaluation of a day."""

    entity = code_of("entity.code")
    entry = serializers.UUIDField(source="entry.public_id", read_only=True, allow_null=True, default=None)

    class Meta:
        model = RevaluationRun
        fields = ["id", "entity", "business_day", "base_currency", "entry", "actor", "made_at"]
        read_only_fields = fields


class RevaluationViewSet(ScopedReadOnlyViewSet):
    """Revaluations."""

    capability = VIEW_REVALUATIONS
    queryset = RevaluationRun.objects.select_related("entity", "entry")
    serializer_class = RevaluationSerializer
    lookup_value_converter = "int"
    filterset_fields = {"business_day": ["exact", "gte", "lte"]}


class ExternalAccountSerializer(serializers.ModelSerializer[ExternalAccount]):
    """An account at a bank or provider."""

    entity = code_of("entity.code")

    class Meta:
        model = ExternalAccount
        fields = ["public_id", "entity", "kind", "name", "currency", "watched_from", "closed_on"]
        read_only_fields = fields


class StatementSerializer(serializers.ModelSerializer[BalanceStatement]):
    """What an account held at the end of a day, as stated."""

    account = serializers.UUIDField(source="account.public_id", read_only=True)
    currency = code_of("account.currency")

    class Meta:
        model = BalanceStatement
        fields = ["id", "account", "currency", "business_day", "revision", "amount", "source", "note", "entered_at"]
        read_only_fields = fields


class NewStatementSerializer(StrictSerializer):
    """A balance to enter."""

    business_day = serializers.DateField()
    amount = AmountField(help_text="May be negative; no more decimals than the currency has.")
    note = serializers.CharField(max_length=255, required=False, default="", allow_blank=True)


class ExternalAccountViewSet(ScopedReadOnlyViewSet):
    """Accounts outside the house."""

    capability = VIEW_BALANCES
    queryset = ExternalAccount.objects.select_related("entity")
    serializer_class = ExternalAccountSerializer
    lookup_field = "public_id"
    lookup_value_converter = "uuid"
    filterset_fields = {"kind": ["exact"], "currency": ["exact"]}

    @use_case(
        capability=external_balances.ENTER,
        input=NewStatementSerializer,
        output=StatementSerializer,
        status=201,
        route="balances",
        description="Enters the balance that the bank or provider states for the end of a business day.",
    )
    def enter_balance(self, call: Call) -> BalanceStatement:
        """The stated balance."""
        return external_balances.enter_balance(
            account_id=call.target.pk, source=BalanceStatement.Source.API, actor=call.actor, **call.data
        )


class StatementViewSet(ScopedReadOnlyViewSet):
    """Stated balances."""

    capability = VIEW_BALANCES
    queryset = BalanceStatement.objects.select_related("account")
    serializer_class = StatementSerializer
    lookup_value_converter = "int"
    filterset_fields = {"business_day": ["exact", "gte", "lte"]}


def register() -> None:
    """Puts finance's own endpoints on the API."""
    register_router("manual-journals", ManualJournalViewSet, "manual-journal")
    register_router("closed-months", ClosedMonthViewSet, "closed-month")
    register_router("period-reopenings", ReopeningViewSet, "period-reopening")
    register_router("revaluations", RevaluationViewSet, "revaluation")
    register_router("external-accounts", ExternalAccountViewSet, "external-account")
    register_router("stated-balances", StatementViewSet, "stated-balance")
