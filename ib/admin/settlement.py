"""Settlement: the batches that were booked, the act of settling a range, and what became of every trade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import computed, computed_column, moment, moment_column, number, number_column, state, text
from backoffice.ui.views import DeskActionView, DeskTablePage, register_desk_page
from ib import selectors
from ib.admin.forms import RangeForm, day_field
from ib.models import SettlementBatch
from ib.rules import cause_text
from ib.services.settlement import days_to_settle, settle_range
from ib.types import EXCLUSION_TEXTS, Coverage, CoverageRow, Exclusion

MAXIMUM_DAYS_BY_HAND = 92
"""Days that a page settles while somebody waits; longer ranges are for the command."""
COVERAGE_DAYS = 7
COVERAGE_TONES = {"Paid": "good", "Excluded": "quiet", "Unmatched": "bad"}


@register_desk_page
class SettleRange(DeskActionView):
    """Settles a range of days by hand."""

    desk, slug, title, capability = "ib", "settle", "Settle commissions", "ib.settle_commissions"
    form_class = RangeForm
    button = "Settle"
    explanation = (
        "Books the difference between what every closed trade is worth to each partner and what was booked. "
        "Settling twice books nothing the second time."
    )

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The last two weeks."""
        today = clock.today_business_day()
        return {"from_day": today - timedelta(days=14), "to_day": today}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How many days."""
        days = self._days(data)
        return [
            ("Range", f"{data['from_day']} to {data['to_day']}"),
            ("Days with trades", str(len(days))),
            ("What happens", self.explanation),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Settles."""
        self._days(data)
        return settle_range(from_day=data["from_day"], to_day=data["to_day"], actor=actor)

    def success_text(self, result: Any) -> str:
        """What was booked."""
        booked = ", ".join(f"{amount} {currency}" for currency, amount in result.booked.items()) or "nothing"
        return f"{result.trades:,} trades, {result.lines:,} new lines, booked: {booked}. It took {result.seconds} s."

    def success_url(self, result: Any) -> str:
        """To the batches."""
        return reverse("admin:ib_settlementbatch_changelist")

    @staticmethod
    def _days(data: Mapping[str, Any]) -> list[date]:
        if (data["to_day"] - data["from_day"]).days >= MAXIMUM_DAYS_BY_HAND:
            raise InvalidInput(f"At most {MAXIMUM_DAYS_BY_HAND} days at once here.", field="to_day")
        return days_to_settle(from_day=data["from_day"], to_day=data["to_day"])


@admin.register(SettlementBatch)
class SettlementBatchAdmin(DeskModelAdmin):
    """What was settled, when, why and by whom, with its control totals."""

    view_capability = "ib.view_commissions"
    list_display = (
        "id",
        "created_shown",
        "purpose",
        "day",
        "cause_shown",
        "trades_shown",
        "lines_shown",
        "booked_shown",
        "actor",
        "open_lines",
    )
    list_filter = ("purpose", "day")
    search_fields = ("id", "cause", "actor")
    empty_text = "Nothing was settled yet."

    created_shown = moment_column("created_at", title="Settled at", order="created_at")
    cause_shown = computed_column(lambda batch: cause_text(batch.cause), title="Why", order="cause")
    trades_shown = number_column("trades", title="Trades", digits=0, order="trades")
    lines_shown = number_column("lines", title="Lines", digits=0, order="lines")
    booked_shown = computed_column(
        lambda batch: ", ".join(f"{amount} {currency}" for currency, amount in batch.booked.items()) or "nothing",
        title="Booked",
    )
    open_lines = computed_column(
        lambda batch: format_html(
            '<a class="bo-link" href="{}?batch={}">lines</a>', reverse("admin:ib_lines"), batch.pk
        ),
        title="",
    )


class CoverageFilter(forms.Form):
    """Which days."""

    from_day = day_field("From", required=False)
    to_day = day_field("To", required=False)


@register_desk_page
class CoveragePage(DeskTablePage):
    """What became of every closed trade."""

    desk, slug, title, capability = "ib", "coverage", "Coverage of trades", "ib.view_commissions"
    subtitle = (
        "Every closed trade is paid, excluded with a reason, or unmatched. Unmatched means that booked and due differ: "
        "settle the day, and if it stays, look at the trade."
    )
    filter_form = CoverageFilter
    columns = (
        moment("day", title="Business day"),
        state(lambda row: row.status.value.capitalize(), title="Trades are", tones=COVERAGE_TONES),
        text("text", title="Because"),
        number("trades", title="Trades", digits=0),
        computed(lambda row: _link_to_trades(row), title=""),
    )
    empty_text = "No trade was closed on these days."

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[CoverageRow]:
        """By day, the latest first."""
        to_day = filters.get("to_day") or clock.today_business_day()
        from_day = filters.get("from_day") or to_day - timedelta(days=COVERAGE_DAYS)
        if not 0 <= (to_day - from_day).days <= MAXIMUM_DAYS_BY_HAND:
            return []
        found = selectors.coverage(actor=actor, from_day=from_day, to_day=to_day)
        return sorted(found, key=lambda row: (row.day, row.status is Coverage.UNMATCHED, row.trades), reverse=True)


class UncoveredFilter(forms.Form):
    """Which day, and for which reason."""

    day = day_field("Business day")
    reason = forms.ChoiceField(
        required=False,
        choices=[("", "Every reason"), *((reason.value, words) for reason, words in EXCLUSION_TEXTS.items())],
    )


@register_desk_page
class UncoveredPage(DeskTablePage):
    """The trades of a day that nobody is paid for."""

    desk, slug, title, capability = "ib", "uncovered", "Trades without commission", "ib.view_commissions"
    filter_form = UncoveredFilter
    columns = (
        text("ticket", title="Ticket"),
        moment("day", title="Business day"),
        state(lambda row: row.status.value.capitalize(), title="State", tones=COVERAGE_TONES),
        computed(lambda row: EXCLUSION_TEXTS[row.reason] if row.reason else "booked and due differ", title="Because"),
    )
    empty_text = "Choose a day; or every trade of it is paid."

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[Any]:
        """Unmatched ones first."""
        if not filters.get("day"):
            return []
        reason = Exclusion(filters["reason"]) if filters.get("reason") else None
        return selectors.uncovered_trades(actor=actor, day=filters["day"], reason=reason)


def _link_to_trades(row: CoverageRow) -> Any:
    if row.status is Coverage.PAID:
        return ""
    reason = row.reason.value if row.reason else ""
    return format_html(
        '<a class="bo-link" href="{}?day={}&amp;reason={}">show</a>', reverse("admin:ib_uncovered"), row.day, reason
    )
