"""Disputes at the desk: what waits, everything about one, the acts that decide it, and how they end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from backoffice.core.access import get_visible, visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    computed_column,
    link_column,
    moment_column,
    money_column,
    number,
    state_column,
    text,
    text_column,
)
from backoffice.ui.formats import format_amount
from backoffice.ui.views import DeskActionView, DeskPage, DeskTablePage, register_desk_page
from ib.admin.dispute_acts import (
    AnswerForPartner,
    AskPartner,
    CorrectDispute,
    GiveGoodwill,
    NoteDispute,
    RejectDispute,
    TakeDispute,
    TakeIn,
    WithdrawDispute,
    WriteToPartner,
)
from ib.admin.forms import day_field
from ib.dispute_rules import DisputeDecision, DisputeState
from ib.models import CommissionAdjustment, Dispute, GoodwillLimit
from ib.portal.disputes import evidence_response
from ib.selectors import disputes as selectors
from ib.selectors.disputes import DisputeStatistics, StatisticsBy
from ib.services import disputes
from ib.services.disputes.goodwill import LIMIT_MAKER

VIEW = selectors.VIEW
TONES = {
    "Received": "warn",
    "Appeal received": "warn",
    "In work": "info",
    "Overdue": "bad",
    "Waits for the partner": "quiet",
    "Being corrected": "info",
    "Goodwill waits for approval": "info",
    "The amount stands": "quiet",
    "Corrected": "good",
    "Goodwill": "good",
    "Withdrawn": "quiet",
}


def state_of(dispute: Dispute) -> str:
    """The state in words; what is late says so first."""
    if dispute.state == DisputeState.CLOSED:
        return str(dispute.get_decision_display())
    if dispute.state in {DisputeState.RECEIVED, DisputeState.IN_WORK} and dispute.due_at < clock.now():
        return "Overdue"
    if dispute.state == DisputeState.RECEIVED and dispute.appealed_at:
        return "Appeal received"
    if dispute.state == DisputeState.CORRECTING and dispute.decision == DisputeDecision.GOODWILL:
        return "Goodwill waits for approval"
    return str(dispute.get_state_display())


class StateFilter(admin.SimpleListFilter):
    """Where a dispute stands."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """What is open first."""
        return [("open", "Open"), ("overdue", "Overdue"), ("appeal", "Appeals"), *DisputeState.choices]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """By state."""
        match self.value():
            case None:
                return queryset
            case "open":
                return queryset.exclude(state=DisputeState.CLOSED)
            case "overdue":
                waiting = Q(state__in=[DisputeState.RECEIVED, DisputeState.IN_WORK])
                return queryset.filter(waiting, due_at__lt=clock.now())
            case "appeal":
                return queryset.filter(appealed_at__isnull=False)
            case state:
                return queryset.filter(state=state)


@admin.register(Dispute)
class DisputeAdmin(DeskModelAdmin):
    """What partners doubt, and what became of it."""

    class Media:
        css = {"all": ("ib/disputes.css",)}

    view_capability = VIEW
    list_display = (
        "reference",
        "partner_number",
        "line_shown",
        "cause",
        "state_shown",
        "due_moment",
        "owner_shown",
        "amount_shown",
        "delta_shown",
    )
    fields = (
        "reference",
        "partner_shown",
        "subject",
        "line_shown",
        "ticket",
        "cause",
        "state_shown",
        "due_shown",
        "owner_shown",
        "amount_shown",
        "claimed_shown",
        "held_shown",
        "opened_shown",
    )
    list_select_related = ("partner", "owner")
    list_filter = (StateFilter, "cause", "decision", "subject", "plan", "opened_at")
    search_fields = ("reference", "partner__reference", "partner__name", "subject_reference", "=ticket")
    ordering = ("state", "due_at")
    object_actions = (
        TakeDispute,
        AskPartner,
        AnswerForPartner,
        CorrectDispute,
        GiveGoodwill,
        RejectDispute,
        WriteToPartner,
        NoteDispute,
        WithdrawDispute,
    )
    list_actions = (TakeIn,)
    empty_text = "No partner disputes anything. A dispute begins at a commission line in the partner's portal."

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Sequence[Any]:
        """What was decided stands there once it was."""
        decided = ("decision_reason", "decided_by", "correction_shown", "change_shown", "delta_shown")
        return (*self.fields, *decided) if obj is not None and obj.decision else self.fields

    partner_number = text_column("partner__reference", title="Partner", order="partner__reference")
    line_shown = text_column("subject_reference", title="Line")
    due_moment = moment_column("due_at", title="Due", order="due_at")
    partner_shown = link_column("partner", title="Partner", order="partner__reference")
    state_shown = state_column(state_of, title="State", tones=TONES, order="state")
    due_shown = computed_column(
        lambda row: (
            ""
            if row.state == DisputeState.CLOSED
            else f"stands still until {row.answer_until:%Y-%m-%d}"
            if row.answer_until
            else f"{row.due_at:%Y-%m-%d %H:%M} UTC"
        ),
        title="Due",
        order="due_at",
    )
    owner_shown = computed_column(lambda row: str(row.owner) if row.owner else "nobody yet", title="Owner")
    amount_shown = money_column("amount", currency="currency", title="Amount", order="amount")
    claimed_shown = money_column("claimed_amount", currency="currency", title="Expected", order="claimed_amount")
    delta_shown = money_column("delta", currency="currency", title="Booked", order="delta")
    opened_shown = moment_column("opened_at", title="Opened", order="opened_at")
    correction_shown = computed_column(lambda row: row.get_correction_display(), title="Corrected in")
    change_shown = link_column("change_request", title="Change request")
    held_shown = computed_column(
        lambda row: (
            format_amount(row.hold.amount, row.hold.currency)
            if row.hold is not None and row.hold.released_at is None
            else "nothing"
        ),
        title="Held until decided",
    )


class GoodwillLimitForm(forms.Form):
    """How much goodwill an entity gives."""

    entity: forms.ModelChoiceField[Any] = forms.ModelChoiceField(None, label="Legal entity")
    currency = forms.CharField(max_length=5, initial="USD")
    valid_from = day_field("From")
    per_case = forms.DecimalField(label="For one case", min_value=Decimal(0), max_digits=24, decimal_places=8)
    per_month = forms.DecimalField(label="In a calendar month", min_value=Decimal(0), max_digits=24, decimal_places=8)
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 2}))


class ProposeLimit(DeskActionView):
    """Asks for a limit of goodwill."""

    slug, title, button, capability = "propose", "Propose a limit", "Propose", LIMIT_MAKER
    explanation = "Another person approves it; until then what is in force stays."
    success_message = "Handed in for approval."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the entities that the actor sees."""
        form = GoodwillLimitForm(data)
        form.fields["entity"].queryset = visible_to(LegalEntity.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is proposed."""
        return [
            ("Legal entity", str(data["entity"])),
            ("From", str(data["valid_from"])),
            ("For one case", format_amount(data["per_case"], data["currency"].upper())),
            ("In a calendar month", format_amount(data["per_month"], data["currency"].upper())),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Hands the change request in."""
        return disputes.request_goodwill_limit(
            entity_id=data["entity"].pk,
            currency=data["currency"].upper(),
            valid_from=data["valid_from"],
            per_case=data["per_case"],
            per_month=data["per_month"],
            actor=actor,
            reason=data["reason"],
        )


@admin.register(GoodwillLimit)
class GoodwillLimitAdmin(DeskModelAdmin):
    """How much goodwill each legal entity gives, by currency."""

    view_capability = VIEW
    list_display = ("entity", "currency", "from_shown", "until_shown", "case_shown", "month_shown", "approved_by")
    list_select_related = ("entity",)
    list_filter = ("entity", "currency")
    search_fields = ("entity__name", "currency")
    list_actions = (ProposeLimit,)
    empty_text = "No goodwill is given: propose a limit for a legal entity and a currency first."

    from_shown = text_column("validity__lower", title="From")
    until_shown = text_column("validity__upper", title="Until")
    case_shown = money_column("per_case", currency="currency", title="For one case", order="per_case")
    month_shown = money_column("per_month", currency="currency", title="In a month", order="per_month")


@admin.register(CommissionAdjustment)
class CommissionAdjustmentAdmin(DeskModelAdmin):
    """Goodwill that was booked, and what was taken back."""

    view_capability = VIEW
    list_display = (
        "reference_shown",
        "partner_number",
        "amount_shown",
        "dispute_shown",
        "booked_shown",
        "made_by",
        "approved_by",
    )
    list_select_related = ("partner", "dispute")
    list_filter = ("currency", "booked_day")
    search_fields = ("partner__reference", "partner__name", "dispute__reference")
    empty_text = "No goodwill was given yet. It is proposed from a dispute."

    reference_shown = text_column("reference", title="Adjustment")
    partner_number = text_column("partner__reference", title="Partner", order="partner__reference")
    amount_shown = money_column("amount", currency="currency", title="Amount", order="amount")
    dispute_shown = link_column("dispute", title="Dispute")
    booked_shown = moment_column("booked_day", title="In the books of", order="booked_day")


class StatisticsFilter(forms.Form):
    """By what, and of which days."""

    by = forms.ChoiceField(
        required=False, label="By", choices=[(item.value, item.value.capitalize()) for item in StatisticsBy]
    )
    from_day = day_field("Opened from", required=False)
    to_day = day_field("Opened until", required=False)


@register_desk_page
class DisputeStatisticsPage(DeskTablePage):
    """How disputes end: by cause, plan and person."""

    desk, slug, title, capability = "ib", "dispute_statistics", "Dispute statistics", VIEW
    subtitle = "Hours are those of the desk: while a partner is asked, the clock stands still."
    filter_form = StatisticsFilter
    columns = (
        text("key", title="Group"),
        number("disputes", title="Disputes", digits=0),
        number("open", title="Open", digits=0),
        number("decided", title="Decided", digits=0),
        number("upheld", title="Upheld", digits=0),
        number("share_upheld", title="Upheld, percent", digits=1),
        number("rejected", title="Rejected", digits=0),
        number("withdrawn", title="Withdrawn", digits=0),
        number("appealed", title="Appealed", digits=0),
        number("late", title="Late", digits=0),
        number("hours", title="Hours to decide", digits=1),
    )
    empty_text = "No dispute was opened in these days."

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[DisputeStatistics]:
        """The most frequent group first."""
        return selectors.statistics(
            actor=actor,
            by=StatisticsBy(filters.get("by") or StatisticsBy.CAUSE),
            from_day=filters.get("from_day"),
            to_day=filters.get("to_day"),
        )


@register_desk_page
class DisputeEvidencePage(DeskPage):
    """A kept pack of evidence, as JSON."""

    desk, slug, title, capability = "ib", "dispute_evidence", "Evidence", VIEW
    route = "disputes/<int:dispute_id>/evidence/<int:number>/<str:audience>/"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The bytes of the digest."""
        dispute = get_visible(Dispute.objects.all(), self.actor, pk=self.kwargs["dispute_id"])
        return evidence_response(dispute, self.actor, self.kwargs["number"], audience=self.kwargs["audience"])
