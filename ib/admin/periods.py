"""What is earned by the period: lines, why each is what it is, rewards on the way, carried losses, facts about clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    computed,
    computed_column,
    link_column,
    moment,
    moment_column,
    money,
    money_column,
    money_html,
    state_column,
    text,
)
from backoffice.ui.views import DeskActionView, DeskPage, DeskTablePage, register_desk_page
from ib.admin.forms import day_field
from ib.models import CarryBalance, ClientEvent, CpaClaim, Partner, PeriodLine
from ib.models.client_events import MONEY_KINDS, ClientEventKind
from ib.models.periods import PeriodLineKind
from ib.selectors import period_lines as selectors
from ib.selectors.disputes import open_dispute_about
from ib.services import client_events, periods, rewards

VIEW = "ib.view_commissions"
STATE_TONES = {"Waiting": "quiet", "Qualified": "good", "Expired": "quiet", "Declined": "bad", "Taken back": "bad"}


class PeriodLineFilter(forms.Form):
    """Which lines."""

    search = forms.CharField(required=False, label="Partner or client", max_length=60)
    period = day_field("Any day of the month", required=False)
    kind = forms.ChoiceField(required=False, choices=[("", "Every kind"), *PeriodLineKind.choices])


def reference_link(line: PeriodLine) -> Any:
    """The line's number, leading to its explanation."""
    return format_html(
        '<a class="bo-link" href="{}">{}</a>', reverse("admin:ib_period_line", args=[line.reference]), line.reference
    )


@register_desk_page
class PeriodLinesPage(DeskTablePage):
    """Lines by the period, the newest first."""

    desk, slug, title, capability = "ib", "period_lines", "Commissions by the period", VIEW
    subtitle = (
        "Shares of net revenue, rewards for clients, amounts for active clients, overrides, carried losses and what was "
        "taken back. Shares are booked when the month is over, rewards and clawbacks at once."
    )
    filter_form = PeriodLineFilter
    columns = (
        computed(reference_link, title="Line"),
        computed(lambda line: f"{line.period:%Y-%m}", title="Month"),
        computed(lambda line: line.get_kind_display(), title="For"),
        text("partner__reference", title="Partner"),
        text("partner__name", title="Name"),
        text("client_reference", title="Client"),
        money("target", currency="currency", title="Due"),
        money("amount", currency="currency", title="Booked"),
        moment("booked_day", title="In the books of"),
    )
    empty_text = "No line matches. Shares of net revenue are booked when the month is over."

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> QuerySet[Any]:
        """What the filter names."""
        return selectors.staff_period_lines(
            actor=actor,
            period=filters.get("period"),
            kind=filters.get("kind") or "",
            search=filters.get("search") or "",
        )


@register_desk_page
class PeriodLinePage(DeskPage):
    """How a line came about, step by step."""

    desk, slug, title, capability = "ib", "period_line", "Commission by the period", VIEW
    route = "period-line/<str:reference>/"
    template_name = "ib/period_line.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """The explanation, rebuilt just now."""
        line, explanation = selectors.explain_period_line(actor=actor, reference=self.kwargs["reference"])
        return {
            "title": f"{line.get_kind_display()}, {line.period:%B %Y}",
            "line": line,
            "amount": money_html(line.amount, line.currency),
            "explanation": explanation,
            "steps": explanation.steps,
            "dispute": open_dispute_about(actor=actor, reference=line.reference),
        }

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the list."""
        return [*super().breadcrumbs(), ("Commissions by the period", reverse("admin:ib_period_lines"))]


class SettlePeriodsForm(forms.Form):
    """Whose periods, from which month on."""

    partner: forms.ModelChoiceField[Any] = forms.ModelChoiceField(Partner.objects.none())
    from_day = day_field("From the month of")

    @classmethod
    def for_actor(cls, actor: Actor, data: Any) -> SettlePeriodsForm:
        """With the partners that the actor sees."""
        form = cls(data)
        form.fields["partner"].queryset = visible_to(Partner.objects.all(), actor)  # type: ignore[attr-defined]
        return form


@register_desk_page
class SettlePeriods(DeskActionView):
    """Settles a partner's periods by hand."""

    desk, slug, title, capability = "ib", "settle_periods", "Settle a partner's periods", "ib.settle_commissions"
    form_class = SettlePeriodsForm
    button = "Settle"
    explanation = (
        "Books the difference between what every period since then is worth to the partner and what was booked. It happens "
        "by itself after every change; doing it again books nothing."
    )

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the partners that the actor sees."""
        return SettlePeriodsForm.for_actor(actor, data)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Settles."""
        return periods.settle_partner(
            partner_id=data["partner"].pk, from_day=data["from_day"], cause="asked", actor=actor
        )

    def success_text(self, result: Any) -> str:
        """What was booked, or why it waits."""
        if result.waiting:
            return f"It waits: {result.waiting}"
        booked = ", ".join(f"{amount} {currency}" for currency, amount in result.booked.items()) or "nothing"
        return f"{result.lines:,} new lines, booked: {booked}."

    def success_url(self, result: Any) -> str:
        """To the lines."""
        return reverse("admin:ib_period_lines")


class ReasonForm(forms.Form):
    """Why."""

    reason = forms.CharField(label="Reason", max_length=300, widget=forms.Textarea(attrs={"rows": 2}))


class DeclineReward(DeskActionView):
    """Refuses a reward."""

    slug, title, button, capability = "decline", "Decline the reward", "Decline", rewards.DECIDE
    form_class = ReasonForm
    explanation = "What was booked for it is taken back at the next settlement. The partner reads the reason."
    success_message = "The reward is declined."

    @classmethod
    def is_offered(cls, target: CpaClaim, actor: Actor) -> bool:
        """While it is not declined or expired."""
        return target.declined_at is None and target.state != CpaClaim.State.EXPIRED

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Which reward."""
        claim: CpaClaim = self.target
        return [
            ("Client", claim.client.reference),
            ("Partner", str(claim.partner)),
            ("Reward", f"{claim.reward.normalize():f} {claim.currency}"),
            ("What happens", self.explanation),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press finds it declined and is refused."""
        return rewards.decline_reward(claim_id=self.target.pk, reason=data["reason"], actor=actor)


class RestoreReward(DeskActionView):
    """Takes a refusal back."""

    slug, title, button, capability = "restore", "Take the refusal back", "Take back", rewards.DECIDE
    form_class = ReasonForm
    explanation = "The rules of the plan decide again."
    success_message = "The refusal is taken back."

    @classmethod
    def is_offered(cls, target: CpaClaim, actor: Actor) -> bool:
        """Only what a person declined."""
        return target.declined_at is not None

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """A second press is refused."""
        return rewards.restore_reward(claim_id=self.target.pk, reason=data["reason"], actor=actor)


@admin.register(CpaClaim)
class CpaClaimAdmin(DeskModelAdmin):
    """Who is about to qualify, who did, and who lost the reward."""

    view_capability = VIEW
    list_display = (
        "client_shown", "partner_shown", "state_shown", "missing_shown", "first_deposit_shown", "qualified_shown",
        "expires_shown", "reward_shown",
    )  # fmt: skip
    list_select_related = ("client", "partner")
    list_filter = ("state", "level")
    search_fields = ("client__reference", "partner__reference", "partner__name")
    object_actions = (DeclineReward, RestoreReward)
    empty_text = "No client with a first deposit has been promised a reward yet."

    client_shown = computed_column(lambda claim: claim.client.reference, title="Client", order="client__reference")
    partner_shown = link_column("partner", title="Partner")
    state_shown = state_column(lambda claim: claim.get_state_display(), title="State", tones=STATE_TONES)
    missing_shown = computed_column(
        lambda claim: "; ".join(claim.missing) or claim.reason or claim.declined_reason, title="Waits for, or why"
    )
    first_deposit_shown = money_column("first_deposit", currency="currency", title="First deposit")
    qualified_shown = moment_column("qualified_at", title="Qualified", order="qualified_at")
    expires_shown = moment_column("expires_at", title="Until", order="expires_at")
    reward_shown = money_column("reward", currency="currency", title="Reward")


@admin.register(CarryBalance)
class CarryBalanceAdmin(DeskModelAdmin):
    """Losses that are carried from month to month."""

    view_capability = VIEW
    list_display = (
        "partner_shown", "period_shown", "scope_shown", "opening_shown", "lapsed_shown", "result_shown", "set_off_shown",
        "closing_shown",
    )  # fmt: skip
    list_select_related = ("partner", "plan")
    list_filter = ("scope", "period")
    search_fields = ("partner__reference", "partner__name")
    empty_text = "No loss is carried."

    partner_shown = link_column("partner", title="Partner")
    period_shown = computed_column(lambda row: f"{row.period:%Y-%m}", title="Month", order="period")
    scope_shown = computed_column(lambda row: selectors.SCOPE_WORDS.get(row.scope, row.scope), title="What")
    opening_shown = money_column("opening", currency="currency", title="Opens with")
    lapsed_shown = money_column("lapsed", currency="currency", title="Lapsed")
    result_shown = money_column("result", currency="currency", title="Result")
    set_off_shown = money_column("set_off", currency="currency", title="Set off")
    closing_shown = money_column("closing", currency="currency", title="Carried on")


class EventForm(forms.Form):
    """A fact about a client."""

    client_reference = forms.CharField(max_length=20, label="Client", help_text="The reference, such as C-000123.")
    kind = forms.ChoiceField(choices=ClientEventKind.choices)
    day = day_field("Day", help_text="When it happened (noon UTC); for fraud, from when on.")
    amount = forms.DecimalField(required=False, max_digits=24, decimal_places=8)
    currency = forms.CharField(required=False, max_length=5, initial="USD")
    reference = forms.CharField(max_length=120, help_text="Your own number of it; the same number counts once.")
    disputed_from = day_field("Disputed since", required=False, help_text="Only for a chargeback.")
    note = forms.CharField(required=False, max_length=300)


@register_desk_page
class RecordEvent(DeskActionView):
    """Records a fact by hand, where no system tells it."""

    desk, slug, title, capability = "ib", "record_event", "Record a fact about a client", client_events.RECORD
    form_class = EventForm
    button = "Record"
    explanation = "A fact is never changed; what was wrong is taken out by another one. Commissions follow at once."
    success_message = "It is written down."

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """The same number with the same content counts once."""
        client = selectors.client_of_reference(actor=actor, reference=data["client_reference"])
        is_money = data["kind"] in MONEY_KINDS
        return client_events.record_client_event(
            fact=client_events.ClientFact(
                client_id=client.pk,
                kind=data["kind"],
                at=_noon(data["day"]),
                source="desk",
                reference=data["reference"],
                amount=data["amount"] if is_money else None,
                currency=data["currency"] if is_money else "",
                disputed_from=_noon(data["disputed_from"]) if data["disputed_from"] else None,
                note=data["note"],
            ),
            actor=actor,
        )

    def success_url(self, result: Any) -> str:
        """To the list."""
        return reverse("admin:ib_clientevent_changelist")


class TakeOutEvent(DeskActionView):
    """Takes a fact out."""

    slug, title, button, capability = "take_out", "Take it out", "Take out", client_events.RECORD
    form_class = ReasonForm
    explanation = "It counts as if it had never happened; every commission that rests on it is settled again."
    success_message = "It is taken out."

    @classmethod
    def is_offered(cls, target: ClientEvent, actor: Actor) -> bool:
        """Only a fact that stands."""
        return target.reverses_id is None and not ClientEvent.objects.filter(reverses=target).exists()

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Repeating it is harmless."""
        return client_events.reverse_client_event(
            event_id=self.target.pk, reference=f"out of {self.target.public_id}", reason=data["reason"], actor=actor
        )


@admin.register(ClientEvent)
class ClientEventAdmin(DeskModelAdmin):
    """Facts about clients that commissions rest on."""

    view_capability = "ib.view_client_events"
    list_display = ("at_shown", "client_shown", "kind_shown", "amount_shown", "source", "reference", "state_shown")
    list_select_related = ("client", "reversed_by")
    list_filter = ("kind", "source")
    search_fields = ("reference", "client__reference")
    object_actions = (TakeOutEvent,)
    list_actions = (RecordEvent,)
    empty_text = "No desk and no system has told anything about a client yet."

    at_shown = moment_column("at", title="When", order="at")
    client_shown = computed_column(lambda event: event.client.reference, title="Client", order="client__reference")
    kind_shown = computed_column(lambda event: event.get_kind_display(), title="What", order="kind")
    amount_shown = money_column("amount", currency="currency", title="Amount")
    state_shown = state_column(
        lambda event: "Takes out another" if event.reverses_id else "Taken out" if _is_out(event) else "Counts",
        title="State",
        tones={"Counts": "good", "Taken out": "quiet", "Takes out another": "quiet"},
    )


def _is_out(event: ClientEvent) -> bool:
    return getattr(event, "reversed_by", None) is not None


def _noon(day: date | None) -> datetime:
    if day is None:
        raise InvalidInput("Say which day.", field="day")
    return datetime.combine(day, time(12), tzinfo=UTC)
