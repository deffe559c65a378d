"""Commission disputes over HTTP: for a broker's own desk systems, and for a partner's own eyes."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from backoffice.core.models import StoredFile
from backoffice.core.services.files import read_upload
from backoffice.ui.api_fields import AmountField, entity_field
from backoffice.ui.api_parsers import StrictJSONParser
from backoffice.ui.api_registry import register_endpoint, register_router
from backoffice.ui.api_views import (
    ApiView,
    Call,
    NoInputSerializer,
    ReasonSerializer,
    ScopedReadOnlyViewSet,
    StrictSerializer,
    use_case,
)
from ib import selectors
from ib.api.partners import PartnerField
from ib.api.requests import ChangeSerializer
from ib.dispute_rules import Correction, DisputeCause, DisputeDecision, DisputeState, DisputeSubject
from ib.models import Dispute
from ib.selectors import disputes as dispute_selectors
from ib.selectors.disputes import StatisticsBy
from ib.services import disputes
from ib.services.disputes.common import HANDLE, MAX_TEXT, OPEN
from ib.services.disputes.goodwill import LIMIT_MAKER, PROPOSE
from ib.services.disputes.letters import FILE_PURPOSE

VIEW = dispute_selectors.VIEW
OWN = "ib.view_own_commissions"
MOST_OWN = 1_000


class DisputeEventSerializer(serializers.Serializer[Any]):
    """A step of a dispute."""

    at = serializers.DateTimeField()
    step = serializers.CharField()
    text = serializers.CharField(allow_blank=True)
    is_by_partner = serializers.BooleanField()


class DisputeSerializer(serializers.ModelSerializer[Dispute]):
    """A dispute as the desk sees it."""

    partner = serializers.CharField(source="partner.reference", read_only=True)
    subject = serializers.ChoiceField(choices=DisputeSubject.choices, read_only=True)
    cause = serializers.ChoiceField(choices=DisputeCause.choices, read_only=True)
    state = serializers.ChoiceField(choices=DisputeState.choices, read_only=True)
    decision = serializers.ChoiceField(choices=DisputeDecision.choices, read_only=True, allow_blank=True)
    correction = serializers.ChoiceField(choices=Correction.choices, read_only=True, allow_blank=True)
    change_request = serializers.CharField(source="change_request.reference", read_only=True, default=None)
    delta_lines = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Dispute
        fields = [
            "id", "public_id", "reference", "partner", "subject", "subject_reference", "ticket", "cause", "claim",
            "claimed_amount", "amount", "currency", "booked_before", "state", "opened_at", "due_at", "answer_until",
            "decision", "decision_reason", "decided_at", "decided_by", "correction", "change_request", "delta",
            "delta_lines", "closed_at", "appealed_at", "first_decision",
        ]  # fmt: skip
        read_only_fields = fields


class OwnDisputeSerializer(serializers.ModelSerializer[Dispute]):
    """A dispute as its partner sees it: without who looked at it, with what happened."""

    subject = serializers.ChoiceField(choices=DisputeSubject.choices, read_only=True)
    cause = serializers.ChoiceField(choices=DisputeCause.choices, read_only=True)
    state = serializers.ChoiceField(choices=DisputeState.choices, read_only=True)
    decision = serializers.ChoiceField(choices=DisputeDecision.choices, read_only=True, allow_blank=True)
    delta_lines = serializers.ListField(child=serializers.CharField(), read_only=True)

    class Meta:
        model = Dispute
        fields = [
            "public_id", "reference", "subject", "subject_reference", "ticket", "cause", "claim", "claimed_amount",
            "amount", "currency", "state", "opened_at", "due_at", "answer_until", "decision", "decided_at", "delta",
            "delta_lines", "closed_at", "appealed_at",
        ]  # fmt: skip
        read_only_fields = fields


class OwnDisputeDetailSerializer(serializers.Serializer[Any]):
    """A dispute with its timeline and the digests of its evidence."""

    dispute = OwnDisputeSerializer()
    events = DisputeEventSerializer(many=True)
    evidence = serializers.ListField(child=serializers.CharField(), help_text="SHA-256 of each kept pack.")


class DisputeFilter(filters.FilterSet):
    """Which disputes."""

    partner = filters.CharFilter(field_name="partner__reference")
    state = filters.ChoiceFilter(choices=DisputeState.choices)
    cause = filters.ChoiceFilter(choices=DisputeCause.choices)
    decision = filters.ChoiceFilter(choices=DisputeDecision.choices)
    due_before = filters.IsoDateTimeFilter(field_name="due_at", lookup_expr="lt")
    opened_from = filters.IsoDateTimeFilter(field_name="opened_at", lookup_expr="gte")


class NewOwnDisputeSerializer(StrictSerializer):
    """What is doubted, and why."""

    subject = serializers.CharField(max_length=60, help_text="A line's reference, or T- and a trade that paid nothing.")
    cause = serializers.ChoiceField(choices=DisputeCause.choices)
    claim = serializers.CharField(max_length=MAX_TEXT)
    claimed_amount = AmountField(allow_null=True, default=None)


class NewDisputeSerializer(NewOwnDisputeSerializer):
    """The same, for a partner."""

    partner = PartnerField()


class QuestionSerializer(StrictSerializer):
    """What is asked."""

    question = serializers.CharField(max_length=MAX_TEXT)


class AnswerSerializer(StrictSerializer):
    """What is answered."""

    answer = serializers.CharField(max_length=MAX_TEXT)


class TextSerializer(StrictSerializer):
    """What is said."""

    text = serializers.CharField(max_length=MAX_TEXT)


class NoteSerializer(StrictSerializer):
    """What the desk tells itself."""

    note = serializers.CharField(max_length=MAX_TEXT)


class DisputeDecisionSerializer(StrictSerializer):
    """Why the amount stands; the partner reads it."""

    reason = serializers.CharField(max_length=MAX_TEXT)


class DisputeCorrectionSerializer(DisputeDecisionSerializer):
    """Where the mistake is corrected."""

    correction = serializers.ChoiceField(choices=Correction.choices)
    change_reference = serializers.CharField(max_length=20, allow_blank=True, default="")


class GoodwillSerializer(DisputeDecisionSerializer):
    """How much is given."""

    amount = AmountField()


class DisputeViewSet(ScopedReadOnlyViewSet):
    """Disputes, and what is decided about them."""

    capability = VIEW
    queryset = Dispute.objects.select_related("partner", "change_request")
    serializer_class = DisputeSerializer
    lookup_value_converter = "int"
    filterset_class = DisputeFilter

    @use_case(
        capability=HANDLE,
        input=NewDisputeSerializer,
        output=DisputeSerializer,
        status=201,
        operation_id="commission_disputes_create",
        description="Takes a dispute in for a partner: the line's amount is held, the evidence kept, and the clock runs.",
    )
    def create(self, call: Call) -> Dispute:
        """The dispute."""
        given = dict(call.data)
        partner = given.pop("partner")
        return disputes.open_dispute(actor=call.actor, partner_id=partner.pk, **given)

    @use_case(
        capability=HANDLE,
        output=DisputeSerializer,
        route="take",
        operation_id="commission_disputes_take",
        description="Makes the caller the one who looks into it.",
    )
    def take(self, call: Call) -> Dispute:
        """In work."""
        return disputes.take_dispute(dispute_id=call.target.pk, actor=call.actor)

    @use_case(
        capability=HANDLE,
        input=QuestionSerializer,
        output=DisputeSerializer,
        route="ask",
        operation_id="commission_disputes_ask",
        description="Asks the partner; the clock stands still until the answer.",
    )
    def ask(self, call: Call) -> Dispute:
        """Asked."""
        return disputes.ask_partner(dispute_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=HANDLE,
        input=TextSerializer,
        output=DisputeSerializer,
        route="write",
        operation_id="commission_disputes_write",
        description="A message to the partner.",
    )
    def write(self, call: Call) -> Dispute:
        """Written."""
        return disputes.write_message(dispute_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=HANDLE,
        input=NoteSerializer,
        output=DisputeSerializer,
        route="note",
        operation_id="commission_disputes_note",
        description="A note that the partner never sees.",
    )
    def note(self, call: Call) -> Dispute:
        """Noted."""
        return disputes.note_dispute(dispute_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=HANDLE,
        input=DisputeDecisionSerializer,
        output=DisputeSerializer,
        route="reject",
        operation_id="commission_disputes_reject",
        description="Decides that the amount stands; it is free again.",
    )
    def reject(self, call: Call) -> Dispute:
        """Closed."""
        return disputes.reject_dispute(dispute_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=HANDLE,
        input=DisputeCorrectionSerializer,
        output=DisputeSerializer,
        route="correct",
        operation_id="commission_disputes_correct",
        description="Decides to correct; the dispute closes when the difference is posted.",
    )
    def correct(self, call: Call) -> Dispute:
        """Being corrected."""
        return disputes.correct_dispute(dispute_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=PROPOSE,
        input=GoodwillSerializer,
        output=DisputeSerializer,
        route="goodwill",
        needs_key=True,
        operation_id="commission_disputes_goodwill",
        description="Proposes goodwill; another person approves it at the desk, then it is booked.",
    )
    def goodwill(self, call: Call) -> Dispute:
        """Waiting for approval."""
        return disputes.propose_goodwill(dispute_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=HANDLE,
        input=AnswerSerializer,
        output=DisputeSerializer,
        route="answer",
        operation_id="commission_disputes_answer",
        description="Writes down what the partner answered; the clock goes on.",
    )
    def answer(self, call: Call) -> Dispute:
        """In work again."""
        return disputes.answer_question(dispute_id=call.target.pk, actor=call.actor, **call.data)

    @use_case(
        capability=HANDLE,
        input=ReasonSerializer,
        output=DisputeSerializer,
        route="withdraw",
        operation_id="commission_disputes_withdraw",
        description="Takes the dispute back for the partner.",
    )
    def withdraw(self, call: Call) -> Dispute:
        """Withdrawn."""
        return disputes.withdraw_dispute(dispute_id=call.target.pk, actor=call.actor, **call.data)


class DisputeStatisticsQuerySerializer(StrictSerializer):
    """By what, and of which days."""

    by = serializers.ChoiceField(choices=[(item.value, item.value) for item in StatisticsBy], default="cause")
    from_day = serializers.DateField(required=False)
    to_day = serializers.DateField(required=False)


class DisputeStatisticsSerializer(serializers.Serializer[Any]):
    """How the disputes of a group ended."""

    key = serializers.CharField()
    disputes = serializers.IntegerField()
    open = serializers.IntegerField()
    decided = serializers.IntegerField()
    upheld = serializers.IntegerField()
    share_upheld = serializers.DecimalField(max_digits=9, decimal_places=4, allow_null=True)
    rejected = serializers.IntegerField()
    withdrawn = serializers.IntegerField()
    appealed = serializers.IntegerField()
    late = serializers.IntegerField()
    hours = serializers.DecimalField(max_digits=12, decimal_places=2, allow_null=True)


class DisputeStatisticsView(ApiView):
    """How disputes end."""

    capability = VIEW
    query = DisputeStatisticsQuerySerializer

    @extend_schema(
        operation_id="commission_dispute_statistics",
        parameters=[DisputeStatisticsQuerySerializer],
        responses=DisputeStatisticsSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        """The most frequent group first."""
        wanted = self.parameters()
        by = StatisticsBy(wanted.pop("by"))
        return Response(
            DisputeStatisticsSerializer(dispute_selectors.statistics(actor=self.actor, by=by, **wanted), many=True).data
        )


class NewGoodwillLimitSerializer(StrictSerializer):
    """How much goodwill an entity gives in a currency."""

    entity = entity_field()
    currency = serializers.CharField(max_length=5)
    valid_from = serializers.DateField()
    per_case = AmountField()
    per_month = AmountField()
    reason = serializers.CharField(max_length=500)


class RequestLimitView(ApiView):
    """Asking for a limit of goodwill."""

    @use_case(
        capability=LIMIT_MAKER,
        input=NewGoodwillLimitSerializer,
        output=ChangeSerializer,
        status=201,
        operation_id="goodwill_limits_request",
        description="Asks for a limit of goodwill; another person approves it at the desk.",
    )
    def post(self, call: Call) -> Any:
        """The request."""
        given = dict(call.data)
        entity = given.pop("entity")
        return disputes.request_goodwill_limit(entity_id=entity.pk, actor=call.actor, **given)


class OwnDisputesView(ApiView):
    """The caller's own disputes."""

    capability = OWN

    @extend_schema(operation_id="own_commission_disputes", responses=OwnDisputeSerializer(many=True))
    def get(self, request: Request) -> Response:
        """The newest first."""
        partner = selectors.own_partner(actor=self.actor)
        mine = dispute_selectors.own_disputes(actor=self.actor, partner=partner)[:MOST_OWN]
        return Response(OwnDisputeSerializer(mine, many=True).data)

    @use_case(
        capability=OPEN,
        input=NewOwnDisputeSerializer,
        output=OwnDisputeSerializer,
        status=201,
        operation_id="own_commission_disputes_open",
        description="Disputes one of the caller's own lines, or a trade that paid nothing. The line's amount is held.",
    )
    def post(self, call: Call) -> Dispute:
        """The dispute."""
        return disputes.open_dispute(actor=call.actor, **call.data)


class OwnDisputeView(ApiView):
    """One of the caller's own disputes."""

    capability = OWN

    @extend_schema(operation_id="own_commission_dispute", responses=OwnDisputeDetailSerializer)
    def get(self, request: Request, public_id: Any) -> Response:
        """With what happened."""
        dispute = dispute_selectors.find_dispute(actor=self.actor, public_id=public_id)
        evidence = dispute_selectors.evidence_of(actor=self.actor, dispute=dispute)
        return Response(
            OwnDisputeDetailSerializer(
                {
                    "dispute": dispute,
                    "events": dispute_selectors.timeline(actor=self.actor, dispute=dispute),
                    "evidence": [item.digest for item in evidence],
                }
            ).data
        )


def _own(call: Call) -> int:
    return dispute_selectors.find_dispute(actor=call.actor, public_id=call.kwargs["public_id"]).pk


class OwnAnswerView(ApiView):
    """Answering a question of the desk."""

    @use_case(
        capability=OPEN,
        input=AnswerSerializer,
        output=OwnDisputeSerializer,
        operation_id="own_commission_disputes_answer",
        description="Answers the question of the desk; the clock goes on.",
    )
    def post(self, call: Call) -> Dispute:
        """In work again."""
        return disputes.answer_question(dispute_id=_own(call), actor=call.actor, **call.data)


class OwnWriteView(ApiView):
    """Writing to the desk."""

    @use_case(
        capability=OPEN,
        input=TextSerializer,
        output=OwnDisputeSerializer,
        operation_id="own_commission_disputes_write",
        description="A message to the desk.",
    )
    def post(self, call: Call) -> Dispute:
        """Written."""
        return disputes.write_message(dispute_id=_own(call), actor=call.actor, **call.data)


class OwnWithdrawView(ApiView):
    """Taking a dispute back."""

    @use_case(
        capability=OPEN,
        input=NoInputSerializer,
        output=OwnDisputeSerializer,
        operation_id="own_commission_disputes_withdraw",
        description="Takes the dispute back; the amount is free again.",
    )
    def post(self, call: Call) -> Dispute:
        """Withdrawn."""
        return disputes.withdraw_dispute(dispute_id=_own(call), actor=call.actor)


class OwnAppealView(ApiView):
    """Appealing against a decision."""

    @use_case(
        capability=OPEN,
        input=TextSerializer,
        output=OwnDisputeSerializer,
        operation_id="own_commission_disputes_appeal",
        description="Appeals, once; somebody else decides.",
    )
    def post(self, call: Call) -> Dispute:
        """Received again."""
        return disputes.appeal_dispute(dispute_id=_own(call), actor=call.actor, **call.data)


class DisputeFileSerializer(serializers.ModelSerializer[StoredFile]):
    """A file of a dispute."""

    state = serializers.ChoiceField(choices=StoredFile.State.choices, read_only=True)

    class Meta:
        model = StoredFile
        fields = ["public_id", "original_name", "content_type", "state", "reason", "sha256", "size_bytes", "created_at"]
        read_only_fields = fields


class NewDisputeFileSerializer(StrictSerializer):
    """What proves the claim."""

    file = serializers.FileField(max_length=255, help_text="PDF, JPEG, PNG or WebP, at most 10 MB.")


class DisputeFilesView(ApiView):
    """Files of a dispute: a partner's own, or one that the desk sees."""

    capability = "ib.read_dispute_files"

    def get_parsers(self) -> list[Any]:
        """A file comes as a form."""
        is_upload = self.request is None or self.request.method == "POST"
        return [MultiPartParser()] if is_upload else [StrictJSONParser()]

    @extend_schema(operation_id="commission_dispute_files", responses=DisputeFileSerializer(many=True))
    def get(self, request: Request, public_id: Any) -> Response:
        """The newest first."""
        dispute = dispute_selectors.find_dispute(actor=self.actor, public_id=public_id)
        found = dispute_selectors.files_of(actor=self.actor, dispute=dispute)
        return Response(DisputeFileSerializer(found, many=True).data)

    @use_case(
        capability="ib.give_dispute_files",
        input=NewDisputeFileSerializer,
        output=DisputeFileSerializer,
        status=201,
        operation_id="commission_dispute_files_upload",
        description="Keeps a file with an open dispute and checks it; look at `state`.",
    )
    def post(self, call: Call) -> StoredFile:
        """The file as it was found."""
        upload = call.data["file"]
        return disputes.add_file(
            dispute_id=_own(call),
            data=read_upload(upload, purpose=FILE_PURPOSE),
            file_name=upload.name,
            actor=call.actor,
        )


class DisputeEvidenceSerializer(serializers.Serializer[Any]):
    """A kept pack of evidence: its text is what the digest is of."""

    number = serializers.IntegerField()
    audience = serializers.CharField()
    digest = serializers.CharField()
    taken_at = serializers.DateTimeField()
    body = serializers.CharField()


class DisputeEvidenceView(ApiView):
    """What was kept when the dispute, or its appeal, came; for each side what it may see."""

    capability = "ib.read_dispute_files"

    @extend_schema(operation_id="commission_dispute_evidence", responses=DisputeEvidenceSerializer(many=True))
    def get(self, request: Request, public_id: Any) -> Response:
        """Every pack."""
        dispute = dispute_selectors.find_dispute(actor=self.actor, public_id=public_id)
        found = dispute_selectors.evidence_of(actor=self.actor, dispute=dispute)
        return Response(DisputeEvidenceSerializer(found, many=True).data)


def register() -> None:
    """Puts disputes on the API."""
    register_endpoint("commission-disputes/<uuid:public_id>/files/", DisputeFilesView, "commission-dispute-files")
    register_endpoint(
        "commission-disputes/<uuid:public_id>/evidence/", DisputeEvidenceView, "commission-dispute-evidence"
    )
    register_endpoint("commission-disputes/statistics/", DisputeStatisticsView, "commission-dispute-statistics")
    register_endpoint("goodwill-limits/request/", RequestLimitView, "goodwill-limits-request")
    register_endpoint("own/commission-disputes/", OwnDisputesView, "own-commission-disputes")
    register_endpoint("own/commission-disputes/<uuid:public_id>/", OwnDisputeView, "own-commission-dispute")
    for name, view in (
        ("answer", OwnAnswerView),
        ("write", OwnWriteView),
        ("withdraw", OwnWithdrawView),
        ("appeal", OwnAppealView),
    ):
        route = f"own/commission-disputes/<uuid:public_id>/{name}/"
        register_endpoint(route, view, f"own-commission-disputes-{name}")
    register_router("commission-disputes", DisputeViewSet, "commission-dispute")
