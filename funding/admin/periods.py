"""Periods on the desk: the checklist of a month, closed months, and closed days that open again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed_column, link_column, moment_column, state, state_column, text
from backoffice.ui.forms import ReasonForm
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page
from funding.admin.parts import EntityForm, change_url, panel_table
from funding.change_kinds import propose_reopening
from funding.ledger.models import ClosedMonth, PeriodReopening
from funding.ledger.services.periods import close_days_again, closed_through
from funding.permissions import VIEW_PERIODS
from funding.services import month_end

TONES = {"done": "good", "to do": "bad", "explain": "warn"}


def _previous_month() -> date:
    return (clock.today_business_day().replace(day=1) - timedelta(days=1)).replace(day=1)


def month_of(value: str) -> date:
    """The first day of a month written as 2026-03. Raises InvalidInput."""
    try:
        return date.fromisoformat(f"{value.strip()}-01")
    except ValueError as error:
        raise InvalidInput("A month is written as 2026-03.", field="month", value=value) from error


class MonthField(forms.CharField):
    """A month, as browsers write it."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=7,
            label="Month",
            widget=forms.TextInput(attrs={"type": "month", "pattern": r"\d{4}-\d{2}", "placeholder": "2026-03"}),
            **kwargs,
        )

    def clean(self, value: Any) -> Any:
        """The first day of the month; None where none is asked for."""
        text_value = super().clean(value)
        if not text_value:
            return None
        try:
            return month_of(text_value)
        except InvalidInput as error:
            raise forms.ValidationError(error.message) from error


class CloseMonthForm(EntityForm):
    """Which month, and what explains suspense."""

    month = MonthField()
    suspense = forms.CharField(
        max_length=500,
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        label="What is in suspense",
        help_text="Only where suspense is not empty at the end of the month.",
    )
    reason = forms.CharField(max_length=500, required=False, label="Note")


@register_desk_page
class CloseMonth(DeskActionView):
    """Closes a month whose checklist is done."""

    desk, slug, title, capability = "funding", "close_month", "Close a month", month_end.CLOSE_MONTH
    explanation = (
        "The checklist is computed from the books. What is left to do is named, and nothing closes until it is done."
    )
    success_message = "The month is closed."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Entities are those of the actor."""
        return CloseMonthForm(data, files, initial=self.initial(actor), actor=actor)

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The month before this one."""
        return {"month": f"{_previous_month():%Y-%m}", "entity": self.request.GET.get("entity")}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """The checklist."""
        items = month_end.checklist(entity_id=data["entity"].pk, month=data["month"], actor=actor)
        return [
            ("Month", f"{data['month']:%B %Y}, {data['entity'].name}"),
            *((item.title, f"{'Done' if item.is_done else 'To do'}: {item.detail}") for item in items),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Closes it."""
        notes = {"suspense": data["suspense"]} if data["suspense"] else {}
        return month_end.close_month(
            entity_id=data["entity"].pk, month=data["month"], notes=notes, actor=actor, reason=data["reason"]
        )

    def success_url(self, result: Any) -> str:
        """The closed month."""
        return reverse("admin:ledger_closedmonth_change", args=[result.pk])


class ChecklistFilter(forms.Form):
    """Which books, which month."""

    entity = forms.TypedChoiceField(coerce=int, empty_value=None, required=False, label="Legal entity")
    month = MonthField(required=False)


@register_desk_page
class MonthEndPage(DeskTablePage):
    """What is left to do before a month closes."""

    desk, slug, title, capability = "funding", "month_end", "Month end", VIEW_PERIODS
    columns = (
        text("title", title="What must hold"),
        state(
            lambda item: "done" if item.is_done else "explain" if item.may_be_explained else "to do",
            title="State",
            tones=TONES,
        ),
        text("detail", title="As things stand"),
    )
    empty_text = "No legal entity is yours to see."
    actions = (CloseMonth,)

    def setup(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        """Offers only the actor's entities."""
        super().setup(request, *args, **kwargs)
        self.entities = list(visible_to(LegalEntity.objects.order_by("code"), self.actor))
        choices = [("", self.entities[0].name if self.entities else "")]
        choices += [(str(entity.pk), entity.name) for entity in self.entities[1:]]

        class Filter(ChecklistFilter):
            def __init__(self, *form_args: Any, **form_kwargs: Any) -> None:
                super().__init__(*form_args, **form_kwargs)
                self.fields["entity"].choices = choices  # type: ignore[attr-defined]

        self.filter_form = Filter  # type: ignore[misc]

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[Any]:
        """The checklist of the chosen month; of the month before this one, of the first entity, by default."""
        if not self.entities:
            return []
        return month_end.checklist(
            entity_id=filters.get("entity") or self.entities[0].pk,
            month=filters.get("month") or _previous_month(),
            actor=actor,
        )

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """Which month is shown, and how far the books are closed."""
        if not self.entities:
            return {}
        chosen = filters.get("entity") or self.entities[0].pk
        name = next((entity.name for entity in self.entities if entity.pk == chosen), "")
        through = closed_through(entity_id=chosen) if name else None
        return {
            "summary": [
                ("Month", f"{filters.get('month') or _previous_month():%B %Y}"),
                ("Legal entity", name),
                ("Books closed through", str(through or "no day yet")),
            ]
        }


@admin.register(ClosedMonth)
class ClosedMonthAdmin(DeskModelAdmin):
    """Months with their checklists and figures as they were closed."""

    view_capability = VIEW_PERIODS
    list_display = ("month_shown", "entity_shown", "state_shown", "through_day", "closed_by", "closed_shown")
    list_select_related = ("entity", "reopened_by")
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter),)
    empty_text = "No month is closed yet. Month end shows what is left to do."
    fieldsets = (
        (None, {"fields": (("month_shown", "entity_shown"), ("state_shown", "through_day"))}),
        ("Closed", {"fields": (("closed_by", "closed_shown"), ("figures_sha256", "reopened_shown"))}),
    )
    month_shown = computed_column(str, title="Month", order="month")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    closed_shown = moment_column("closed_at", title="Closed (UTC)", order="closed_at")
    reopened_shown = link_column("reopened_by", title="Opened again by")
    state_shown = state_column(
        lambda month: "Closed" if month.reopened_by_id is None else "Opened again",
        title="State",
        tones={"Closed": "good", "Opened again": "warn"},
    )


class ReopenForm(EntityForm):
    """Which closed days, and why."""

    from_day = forms.DateField(label="First day", widget=forms.DateInput)
    through_day = forms.DateField(label="Last day", widget=forms.DateInput)
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 3}), label="Reason")


class ProposeReopening(DeskActionView):
    """Asks for closed days to be opened again."""

    slug, title, capability = "propose", "Open closed days again", "funding.propose_reopening"
    tone = "danger"
    explanation = "Another person approves. Entries booked in these days carry a mark, and the months open with them."
    success_message = "The request waits for another person's approval."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Entities are those of the actor."""
        return ReopenForm(data, files, initial=self.initial(actor), actor=actor)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What opens."""
        return [
            ("Legal entity", data["entity"].name),
            ("Days", f"{data['from_day']} to {data['through_day']}"),
            (
                "What happens",
                "Once approved, entries dated in these days are possible until somebody closes them again.",
            ),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Asks."""
        return propose_reopening(
            entity_id=data["entity"].pk,
            from_day=data["from_day"],
            through_day=data["through_day"],
            reason=data["reason"],
            actor=actor,
        )

    def success_url(self, result: Any) -> str:
        """The change request."""
        return change_url(result)


class CloseAgain(DeskActionView):
    """Closes days that were open again."""

    slug, title, capability = "close", "Close the days again", "funding.close_day"
    form_class = ReasonForm
    success_message = "The days are closed again."

    @classmethod
    def is_offered(cls, target: PeriodReopening, actor: Actor) -> bool:
        """While they are open."""
        return target.is_open

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What closes."""
        return [
            ("Days", str(self.target)),
            ("Entries booked meanwhile", str(self.target.entries.count())),
            ("What happens", "They take no entries any more. Their months are closed again from Month end."),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Closes them."""
        return close_days_again(reopening_id=self.target.pk, actor=actor, reason=data["reason"])


@admin.register(PeriodReopening)
class PeriodReopeningAdmin(DeskModelAdmin):
    """Closed days that were opened again, by whom, why, and whether they are closed by now."""

    view_capability = VIEW_PERIODS
    list_display = (
        "days_shown",
        "entity_shown",
        "state_shown",
        "requested_by",
        "approved_by",
        "opened_shown",
        "reclosed_shown",
    )
    list_select_related = ("entity",)
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter),)
    list_actions = (ProposeReopening,)
    object_actions = (CloseAgain,)
    empty_text = "No closed day was ever opened again."
    fieldsets = (
        (None, {"fields": (("days_shown", "entity_shown"), ("state_shown", "change_request_id"), "reason")}),
        (
            "Four eyes",
            {"fields": (("requested_by", "approved_by"), ("opened_shown", "reclosed_shown"), "reclosed_by")},
        ),
    )
    days_shown = computed_column(str, title="Days", order="from_day")
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    opened_shown = moment_column("opened_at", title="Opened (UTC)", order="opened_at")
    reclosed_shown = moment_column("reclosed_at", title="Closed again (UTC)", order="reclosed_at")
    state_shown = state_column(
        lambda reopening: "Open" if reopening.is_open else "Closed again",
        title="State",
        tones={"Open": "warn", "Closed again": "good"},
    )


_CHECKLIST = (
    text("title", title="What must hold"),
    state(lambda item: "done" if item["is_done"] else "explained", title="State", tones={"done": "good"}),
    text("detail", title="As it stood"),
    text("note", title="Explanation"),
)
_FIGURES = (
    text("kind", title="Account"),
    text("currency", title="Currency"),
    text("debits", title="Debits"),
    text("credits", title="Credits"),
)


def checklist_panel(month: ClosedMonth, actor: Actor) -> str:
    """The checklist as it was done."""
    return panel_table(_CHECKLIST, month.checklist, "Checklist")


def figures_panel(month: ClosedMonth, actor: Actor) -> str:
    """What moved in the month."""
    return panel_table(_FIGURES, month.figures, "Figures")


register_panel("ledger.ClosedMonth", "checklist", "Checklist", checklist_panel, order=10, capability=VIEW_PERIODS)
register_panel("ledger.ClosedMonth", "figures", "What moved", figures_panel, order=20, capability=VIEW_PERIODS)
