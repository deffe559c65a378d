"""Commission lines: search, filter, export, and the explanation of one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.types import Actor
from backoffice.ui.columns import computed, moment, money, money_html, number, text
from backoffice.ui.views import DeskPage, DeskTablePage, register_desk_page
from ib import selectors
from ib.admin.forms import day_field
from ib.models import CommissionLine
from ib.selectors.disputes import open_dispute_about

DAYS_SHOWN_AT_FIRST = 7


class LineFilter(forms.Form):
    """Which lines."""

    search = forms.CharField(required=False, label="Partner or ticket", max_length=60)
    from_day = day_field("From", required=False)
    to_day = day_field("To", required=False)
    batch = forms.IntegerField(required=False, label="Settlement")


def _reference(line: CommissionLine) -> Any:
    return format_html(
        '<a class="bo-link" href="{}">{}</a>', reverse("admin:ib_line", args=[line.reference]), line.reference
    )


@register_desk_page
class LinesPage(DeskTablePage):
    """Commission lines, the newest day first."""

    desk, slug, title, capability = "ib", "lines", "Commission lines", "ib.view_commissions"
    subtitle = "Without a filter, the last week that was settled."
    filter_form = LineFilter
    columns = (
        computed(_reference, title="Line"),
        moment("day", title="Business day"),
        text("partner_reference", title="Partner"),
        text("partner_name", title="Name"),
        text("trade_ticket", title="Trade"),
        number("level", title="Level", digits=0),
        number("quantity", title="Measured", digits=2),
        number("rate", title="Rate"),
        text("rate_currency", title="In"),
        money("amount", currency="currency", title="Booked"),
        moment("booked_day", title="In the books of"),
        text("batch_id", title="Settlement"),
    )
    empty_text = "No line matches."

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> QuerySet[Any]:
        """What the filter names; without one, the last week."""
        from_day, batch = filters.get("from_day"), filters.get("batch")
        if from_day is None and batch is None and not filters.get("search"):
            last = filters.get("to_day") or selectors.latest_day(actor=actor)
            from_day = last - timedelta(days=DAYS_SHOWN_AT_FIRST) if last else None
        return selectors.staff_lines(
            actor=actor,
            from_day=from_day,
            to_day=filters.get("to_day"),
            search=filters.get("search") or "",
            batch_id=batch,
        )


@register_desk_page
class LinePage(DeskPage):
    """How a line came about, step by step."""

    desk, slug, title, capability = "ib", "line", "Commission line", "ib.view_commissions"
    route = "line/<str:reference>/"
    template_name = "ib/line.html"

    def context(self, actor: Actor) -> dict[str, Any]:
        """The explanation."""
        facts, explanation = selectors.explain_line(actor=actor, reference=self.kwargs["reference"])
        return {
            "title": f"Commission line {facts.reference}",
            "facts": facts,
            "amount": money_html(facts.amount, facts.currency),
            "explanation": explanation,
            "steps": explanation.steps,
            "dispute": open_dispute_about(actor=actor, reference=facts.reference),
        }

    def breadcrumbs(self) -> list[tuple[str, str]]:
        """Through the list."""
        return [*super().breadcrumbs(), ("Commission lines", reverse("admin:ib_lines"))]
