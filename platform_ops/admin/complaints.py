"""Price complaints on the desk: the queue, the evidence with its ticks, the decision, and statistics by cause."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    badge_html,
    link_column,
    moment_column,
    money,
    money_column,
    number,
    text,
    text_column,
)
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page
from platform_ops.account_permissions import HANDLE_COMPLAINTS
from platform_ops.admin.account_actions import reason_field
from platform_ops.models import PriceComplaint
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.complaints import Cause, ComplaintState, Disputed
from platform_ops.selectors.complaints import CauseRow, complaints_by_cause
from platform_ops.services import complaints

STATE_TONES = {"open": "warn", "investigated": "info", "proposed": "info", "approved": "info", "closed": "good"}
DECISION_TONES = {"reject": "quiet", "compensate": "warn", "cancel": "bad"}
SHOWN_TICKS = 60
CAUSES = [(cause.value, cause.value.replace("_", " ").capitalize()) for cause in Cause]


class ComplainForm(forms.Form):
    """What the client says."""

    disputed = forms.ChoiceField(
        choices=[("closing", "Closing price"), ("opening", "Opening price")], label="Disputed price"
    )
    claimed_price = forms.DecimalField(
        required=False, max_digits=20, decimal_places=10, label="Price the client claims", help_text="If one was named."
    )
    claim = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 4}), label="In the client's words")


class Complain(DeskActionView):
    """Takes a complaint about the trade in."""

    slug, title, button, capability = "complain", "Price complaint", "Price complaint", HANDLE_COMPLAINTS
    form_class = ComplainForm
    needs_confirmation = False
    explanation = "The complaint gets a number and a due date; the evidence is collected next."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Not for cancelled trades."""
        return not target.is_cancelled

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Taken in."""
        return complaints.open_complaint(
            trade_id=self.target.pk, disputed=data["disputed"], claim=data["claim"],
            claimed_price=data["claimed_price"], actor=actor,
        )  # fmt: skip

    def success_url(self, result: Any) -> str:
        """The complaint."""
        return reverse("admin:platform_ops_pricecomplaint_change", args=[result.pk])

    def success_text(self, result: Any) -> str:
        """Its number."""
        return f"{result.reference} was taken in."


class CollectEvidence(DeskActionView):
    """Gathers ticks, the provider's price and terms."""

    slug, title, button, capability = "evidence", "Collect the evidence", "Collect the evidence", HANDLE_COMPLAINTS
    needs_confirmation = False
    explanation = "Reads the kept ticks around the moment, and asks the server for the deal and the provider's price."
    success_message = "The evidence was collected."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Until a decision is proposed."""
        return target.state in (ComplaintState.OPEN.value, ComplaintState.INVESTIGATED.value)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Collected."""
        return complaints.collect_evidence(complaint_id=self.target.pk, actor=actor)


class DecisionForm(forms.Form):
    """What is proposed."""

    decision = forms.ChoiceField(
        choices=[("compensate", "Compensate: the trade stays, the difference is credited"),
                 ("cancel", "Cancel the trade: its money is undone, its commissions are taken back"),
                 ("reject", "Reject: the price was right")],
        label="Decision",
    )  # fmt: skip
    cause = forms.ChoiceField(choices=CAUSES, label="Cause")
    correct_price = forms.DecimalField(
        required=False, max_digits=20, decimal_places=10, label="Right price",
        help_text="Empty: the price in force by the evidence.",
    )  # fmt: skip
    amount = forms.DecimalField(
        required=False, max_digits=16, decimal_places=8, label="Amount",
        help_text="Empty: by the rule, what the trade had made at the right price minus what it made.",
    )  # fmt: skip
    reasoning = forms.CharField(
        max_length=2000, widget=forms.Textarea(attrs={"rows": 5}), label="Reasons", help_text="The letter says them."
    )


class ProposeDecision(DeskActionView):
    """Proposes the decision to another person."""

    slug, title, button, capability = "decide", "Propose a decision", "Propose a decision", HANDLE_COMPLAINTS
    form_class = DecisionForm
    needs_confirmation = False
    explanation = "Another person approves it with the evidence before them. Nothing is booked before."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """With the evidence at hand."""
        return bool(target.state == ComplaintState.INVESTIGATED.value)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Proposed."""
        return complaints.propose_decision(
            complaint_id=self.target.pk, decision=data["decision"], cause=data["cause"], reasoning=data["reasoning"],
            correct_price=data["correct_price"], amount=data["amount"], actor=actor,
        )  # fmt: skip

    def success_url(self, result: Any) -> str:
        """The request that another person approves."""
        return reverse("admin:core_changerequest_change", args=[result.pk])

    def success_text(self, result: Any) -> str:
        """Its number."""
        return f"{result.reference} waits for another person."


class AgainForm(forms.Form):
    """Why."""

    reason = reason_field()


class SendAgain(DeskActionView):
    """Sends the money of a decision once more."""

    slug, title, button, capability = "send-again", "Send the money again", "Send the money again", HANDLE_COMPLAINTS
    form_class = AgainForm
    success_message = "It is sent again under a new reference."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Where the server refused it."""
        operation = target.operation
        return bool(
            target.state == ComplaintState.APPROVED.value
            and operation is not None
            and operation.state in ("refused", "cancelled")
        )

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Asked for anew."""
        return complaints.send_money_again(complaint_id=self.target.pk, actor=actor, reason=data["reason"])


class DueFilter(admin.SimpleListFilter):
    """What is late."""

    title, parameter_name = "due", "due"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Two kinds."""
        return [("waiting", "Not answered yet"), ("late", "Late")]

    def queryset(self, request: Any, queryset: Any) -> Any:
        """Filters."""
        waiting = queryset.exclude(state=ComplaintState.CLOSED.value)
        if self.value() == "waiting":
            return waiting
        return waiting.filter(due_at__lt=clock.now()) if self.value() == "late" else queryset


@admin.register(PriceComplaint)
class PriceComplaintAdmin(DeskModelAdmin):
    """Complaints, the newest first."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "reference", "account_shown", "client_shown", "trade_shown", "state_shown", "decision_shown", "amount_shown", "due_shown",
    )  # fmt: skip
    list_select_related = ("account", "client", "trade", "entity")
    list_filter = (DueFilter, "state", "decision", "cause", "disputed", "account__server")
    search_fields = ("reference", "account__login", "client__reference", "client__full_name", "=trade__ticket")
    object_actions = (CollectEvidence, ProposeDecision, SendAgain)
    empty_text = "No price complaint. One is taken in from the page of a trade, or by the client in the portal."
    fieldsets = (
        (None, {"fields": ("reference", "state_shown", "account", "client", "trade", "disputed", "claim", "claimed_price")}),
        ("Decision", {"fields": ("decision", "cause", "correct_price", "amount_shown", "reasoning", "change_request",
                                 "operation", "letter")}),
        ("Who and when", {"fields": ("opened_by", "opened_at", "due_at", "investigated_by", "evidence_at", "decided_by",
                                     "decided_at", "closed_at")}),
    )  # fmt: skip

    account_shown = link_column("account", title="Account", order="account__login")
    client_shown = link_column("client", title="Client")
    trade_shown = link_column("trade", title="Trade")
    disputed_shown = badge_column("disputed", title="Price")
    state_shown = badge_column("state", title="State", tones=STATE_TONES)
    decision_shown = badge_column("decision", title="Decision", tones=DECISION_TONES)
    cause_shown = text_column("get_cause_display", title="Cause")
    amount_shown = money_column("amount", currency="currency", title="Amount", order="amount")
    opened_shown = moment_column("opened_at", title="Opened", order="id")
    due_shown = moment_column("due_at", title="Answer by", order="due_at")


class PeriodForm(forms.Form):
    """Which days."""

    opened_from = forms.DateField(required=False, label="Opened from", widget=forms.DateInput(attrs={"type": "date"}))
    opened_until = forms.DateField(required=False, label="Until", widget=forms.DateInput(attrs={"type": "date"}))


@register_desk_page
class ComplaintStatistics(DeskTablePage):
    """What lay behind the complaints, and what they cost."""

    desk, slug, title, capability = "platform_ops", "complaint_causes", "Complaints by cause", VIEW_PLATFORM
    subtitle = "Answered complaints by cause and currency: how many were right, what they cost, how long they took."
    filter_form = PeriodForm
    columns = (
        text("cause", title="Cause"),
        text("currency", title="Currency"),
        number("complaints", title="Complaints", digits=0),
        number("rejected", title="Rejected", digits=0),
        number("compensated", title="Compensated", digits=0),
        number("cancelled", title="Cancelled", digits=0),
        money("paid", currency="currency", title="Paid to clients"),
        number("median_hours", title="Median hours to the answer", digits=1),
    )
    empty_text = "No complaint was answered in these days."

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[CauseRow]:
        """By cause."""
        return complaints_by_cause(
            actor=actor, opened_from=filters.get("opened_from"), opened_until=filters.get("opened_until")
        )


def register() -> None:
    """Menu, card and panels."""
    register_page(
        "platform_ops", "Price complaints", "admin:platform_ops_pricecomplaint_changelist", VIEW_PLATFORM, 45,
        icon="gavel",
    )  # fmt: skip
    register_page(
        "platform_ops", "Complaints by cause", ComplaintStatistics.url_name(), VIEW_PLATFORM, 46, icon="monitoring"
    )
    register_card(
        "platform.complaints", (Role.DEALING, Role.COMPLIANCE, Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR),
        complaints_card, order=30,
    )  # fmt: skip
    register_panel("platform_ops.PriceComplaint", "evidence", "Evidence", evidence_panel, order=10)
    register_panel("platform_ops.PriceComplaint", "ticks", "Ticks around the moment", ticks_panel, order=20)


def complaints_card(actor: Actor) -> Card | None:
    """What waits for an answer."""
    waiting = visible_to(PriceComplaint.objects.exclude(state=ComplaintState.CLOSED.value), actor)
    late = waiting.filter(due_at__lt=clock.now()).count()
    count = waiting.count()
    return Card(
        title="Price complaints",
        figure=str(count),
        rows=(("Late", f"{late:,}"), ("Wait for a decision", f"{waiting.filter(state='proposed').count():,}")),
        url=reverse("admin:platform_ops_pricecomplaint_changelist") + "?due=waiting",
        tone="bad" if late else "warn" if count else "good",
    )


def evidence_panel(complaint: PriceComplaint, actor: Actor) -> SafeString | str:
    """The figures that decide."""
    evidence = complaint.evidence
    if not evidence:
        return format_html('<p class="bo-empty">{}</p>', "The evidence was not collected yet.")
    provider, proposal = evidence.get("provider", {}), evidence.get("proposal") or {}
    side = "Ask" if evidence.get("client_buys") else "Bid"
    facts = [
        ("Moment", f"{datetime.fromisoformat(evidence['at']):%Y-%m-%d %H:%M:%S.%f}"[:23] + " UTC"),
        ("Executed at", evidence.get("executed_price") or "unknown"),
        (f"{side} in force", evidence.get("price_in_force") or "none within half a minute"),
        ("Provider's price", provider.get("provider_price") or "not told"),
        ("Market when executed", _pair(provider.get("market_bid"), provider.get("market_ask"))),
        ("Spread seen, points", evidence.get("spread_points_seen") or "unknown"),
        ("Spread by the terms, points", evidence.get("terms", {}).get("spread_points", "unknown")),
        (
            "By the rule",
            f"{proposal.get('amount') or 'unknown'} {complaint.currency}" if proposal else "nothing to propose",
        ),
        ("Digest", evidence.get("digest", "")[:16]),
    ]
    if provider.get("touched_by_staff"):
        facts.append(("Audit finding", "The deal was changed by staff on the server."))
    rows = format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", facts)
    problems = format_html_join(
        "", '<p class="bo-note">{}</p>', ((problem,) for problem in evidence.get("problems", []))
    )
    return format_html('<dl class="bo-facts">{}</dl>{}', rows, problems)


def ticks_panel(complaint: PriceComplaint, actor: Actor) -> SafeString | str:
    """The ticks nearest to the moment, with their verdicts."""
    ticks = complaint.evidence.get("ticks", [])
    if not ticks:
        return ""
    at = complaint.evidence["at"]
    middle = sum(1 for tick in ticks if tick["at"] <= at)
    shown = ticks[max(0, middle - SHOWN_TICKS // 2) : middle + SHOWN_TICKS // 2]
    rows = []
    marked = False
    for tick in shown:
        if tick["at"] > at and not marked:
            rows.append(_mark(at, complaint))
            marked = True
        rows.append(
            format_html(
                '<tr><td>{}</td><td>{}</td><td class="bo-num">{}</td><td class="bo-num">{}</td><td>{}</td></tr>',
                _time(tick["at"]),
                tick["source"],
                tick["bid"] or "",
                tick["ask"] or "",
                badge_html(tick["reason"], "good" if tick["is_accepted"] else "bad"),
            )
        )
    if not marked:
        rows.append(_mark(at, complaint))
    head = format_html_join("", "<th scope='col'{}>{}</th>", (
        ("", "Time (UTC)"), ("", "Source"), (SafeString(' class="bo-num"'), "Bid"), (SafeString(' class="bo-num"'), "Ask"),
        ("", "Verdict"),
    ))  # fmt: skip
    return format_html(
        '<div class="bo-table-wrap"><table class="bo-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head, SafeString("").join(rows),
    )  # fmt: skip


def _mark(at: str, complaint: PriceComplaint) -> SafeString:
    words = (
        f"Deal at {complaint.evidence.get('executed_price')}: the disputed {Disputed(complaint.disputed).value} price"
    )
    return format_html(
        '<tr class="bo-row-mark"><td>{}</td><td colspan="4"><strong>{}</strong></td></tr>', _time(at), words
    )


def _time(moment: str) -> str:
    """A moment's time of day to the millisecond."""
    return f"{datetime.fromisoformat(moment):%H:%M:%S.%f}"[:12]


def _pair(bid: str | None, ask: str | None) -> str:
    return f"{bid} / {ask}" if bid and ask else "not told"
