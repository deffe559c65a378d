"""Revaluations on the desk: what each found, and revaluing a day by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.business_day import previous_business_day
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import link_column, moment, moment_column, money, number, text
from backoffice.ui.formats import format_amount
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from funding.admin.parts import EntityForm, panel_table
from funding.models import RevaluationLine, RevaluationRun
from funding.permissions import VIEW_REVALUATIONS
from funding.services import revaluation

PANEL_LINES = 500


class RevalueForm(EntityForm):
    """Which books, which day."""

    business_day = forms.DateField(label="Business day", widget=forms.DateInput)


class RevalueBooks(DeskActionView):
    """Revalues a day by hand."""

    slug, title, capability = "revalue", "Revalue a day", revaluation.REVALUE
    explanation = "Balances in other currencies are compared with the day's reference rates; only what is not booked yet is booked."
    success_message = "The day is revalued."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Entities are those of the actor."""
        return RevalueForm(data, files, initial=self.initial(actor), actor=actor)

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The last day that is over."""
        return {"business_day": previous_business_day(clock.today_business_day())}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What would be booked."""
        entity = data["entity"]
        lines = revaluation.plan_revaluation(entity_id=entity.pk, business_day=data["business_day"])
        moving = [line for line in lines if line.amount]
        gain = sum((line.amount for line in moving), Decimal(0))
        return [
            ("Legal entity", entity.name),
            ("Business day", data["business_day"].isoformat()),
            ("Balances in other currencies", str(len(lines))),
            ("Not at the day's rate", str(len(moving))),
            ("Gain to book", format_amount(gain, entity.base_currency)),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Books it."""
        return revaluation.revalue_books(entity_id=data["entity"].pk, business_day=data["business_day"], actor=actor)


@admin.register(RevaluationRun)
class RevaluationRunAdmin(DeskModelAdmin):
    """Revaluations, the latest first."""

    view_capability = VIEW_REVALUATIONS
    list_display = ("business_day", "entity_shown", "base_currency", "entry_shown", "actor", "made_shown")
    list_select_related = ("entity", "entry")
    list_filter = (("entity", admin.RelatedOnlyFieldListFilter), "business_day")
    list_actions = (RevalueBooks,)
    empty_text = "Nothing was revalued yet. It happens when a day closes, or by hand."
    fieldsets = (
        (None, {"fields": (("business_day", "entity_shown"), ("base_currency", "entry_shown"))}),
        ("Record", {"fields": (("actor", "made_shown"),)}),
    )
    entity_shown = link_column("entity", title="Legal entity", label="code", order="entity__code")
    entry_shown = link_column("entry", title="Entry", label="description")
    made_shown = moment_column("made_at", title="Made (UTC)", order="id")


_LINES = (
    text("position", title="Balance"),
    text("position__currency", title="Currency"),
    money("balance", currency="position__currency", title="Amount"),
    number("rate", title="Rate", digits=6),
    moment("rate_day", title="Rate of"),
    text("rate_source", title="Source"),
    money("cost", currency="run__base_currency", title="Cost"),
    money("value", currency="run__base_currency", title="Value"),
    money("target", currency="run__base_currency", title="Gain by then"),
    money("booked_before", currency="run__base_currency", title="Booked before"),
    money("amount", currency="run__base_currency", title="Booked now"),
)


def lines_panel(run: RevaluationRun, actor: Actor) -> str:
    """Every balance: cost, value, target minus booked."""
    lines = RevaluationLine.objects.filter(run=run).select_related("position__account", "run")
    return panel_table(_LINES, list(lines[:PANEL_LINES]), "Balances")


register_panel("funding.RevaluationRun", "lines", "Balances", lines_panel, order=10, capability=VIEW_REVALUATIONS)
