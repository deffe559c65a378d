"""The first page: figures of the days, each leading to the list behind it, broken down by what is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from backoffice.kernel.currency import Currency
from backoffice.ui.charts import bar_chart, line_chart
from backoffice.ui.columns import Column, computed, money, money_html, number, text
from ib.data_centre_pages.base import DataCentrePage, month_bounds
from ib.models.periods import PeriodLineKind
from ib.models.plans import Basis
from ib.selectors.data_centre import figures as reads
from ib.selectors.data_centre.figures import EarnedPart, Figures
from ib.selectors.data_centre.people import Show
from ib.selectors.data_centre.viewpoint import Dimension
from ib.statement_rules import PART_TITLES

DIMENSIONS = {
    Dimension.LEVEL: "Level",
    Dimension.COUNTRY: "Country",
    Dimension.CAMPAIGN: "Campaign",
    Dimension.SYMBOL_GROUP: "Symbols",
    Dimension.PARTNER: "Partner",
    Dimension.DAY: "Day",
    Dimension.MONTH: "Month",
}
CHART_DAYS = 92
"""A longer span is drawn by month."""
BARS = 12


def figure_columns(currency: str) -> tuple[Column, ...]:
    """The figures of a row, all their money in one currency that the heading names."""

    def amount(path: str, title: str) -> Column:
        return money(path, fixed_currency=currency, title=title)

    return (
        amount("commission", "Commission"),
        number("traders", title="Traders", digits=0),
        number("trades", title="Trades", digits=0),
        number("lots", title="Lots", digits=2),
        number("notional", title="Notional", digits=0),
        number("registered", title="Registered", digits=0),
        number("accounts", title="Accounts", digits=0),
        number("verified", title="Verified", digits=0),
        number("first_deposits", title="First deposits", digits=0),
        amount("deposits", "Deposits"),
        amount("withdrawals", "Withdrawals"),
        amount("returned", "Returned"),
    )


EXPORT_COLUMNS = (
    text("label", title="Of"),
    *figure_columns("")[1:],
    number("on_trades", title="Commission on trades"),
    number("by_period", title="Rewards and shares"),
    number("goodwill", title="Goodwill"),
    number("commission", title="Commission"),
    text("currency", title="Currency"),
)


class OverviewPage(DataCentrePage):
    """Figures, a chart, a breakdown, and what the commission is made of."""

    tab, body, export_name = "centre", "ib/data_centre/overview.html", "data-centre"

    @property
    def by(self) -> Dimension:
        """By what it is broken down."""
        asked = self.request.GET.get("by", "")
        return Dimension(asked) if asked in DIMENSIONS else Dimension.LEVEL

    def kept_names(self) -> Sequence[str]:
        """By what stays."""
        return ("by",)

    def content(self) -> Mapping[str, Any]:
        """Everything, by one set of statements."""
        found = reads.figures(self.view, self.filters, self.by)
        columns = (computed(self._row_link, title=DIMENSIONS[self.by]), *figure_columns(self.view.currency))
        return {
            "tiles": self._tiles(found.total),
            "chart": self._chart(),
            "dimensions": [
                (self.link("centre", by=by.value), label, by is self.by) for by, label in DIMENSIONS.items()
            ],
            "columns": columns,
            "rows": [[(column, column.html(row)) for column in columns] for row in found.rows],
            "total_cells": [(column, column.html(found.total)) for column in columns],
            "unvalued": found.total.unvalued,
            "parts": self._parts(),
            "booked": [
                (part.title, money_html(part.amount, part.currency))
                for part in reads.booked(self.view, self.filters.from_day, self.filters.to_day)
            ],
            "is_empty": not (found.total.trades or found.total.registered or found.total.commission),
        }

    def export_columns(self) -> Sequence[Column]:
        """The breakdown's."""
        return EXPORT_COLUMNS

    def export_rows(self) -> Sequence[Figures]:
        """The rows and the whole."""
        found = reads.figures(self.view, self.filters, self.by)
        return [*found.rows, found.total]

    def _row_link(self, row: Figures) -> SafeString:
        """A row's name, leading to the same figures of that row alone, where there is such a filter."""
        changes: dict[str, Any] = {}
        if not row.key:
            return format_html("{}", row.label)
        if self.by in {Dimension.LEVEL, Dimension.COUNTRY, Dimension.CAMPAIGN, Dimension.SYMBOL_GROUP}:
            changes[self.by.value] = row.key
        elif self.by is Dimension.DAY:
            changes = {"from_day": row.key, "to_day": row.key}
        elif self.by is Dimension.MONTH:
            first, last = month_bounds(row.key)
            changes = {"from_day": max(first, self.filters.from_day), "to_day": min(last, self.filters.to_day)}
        elif self.view.is_own:
            return format_html("{}", row.label)
        else:
            changes["partner"] = row.label.partition(" ")[0]
        return format_html('<a class="bo-link" href="{}">{}</a>', self.link("centre", **changes), row.label)

    def _tiles(self, total: Figures) -> list[tuple[str, SafeString | str, str]]:
        """Label, figure, and the list behind it."""

        def count(value: int | Decimal | None, digits: int = 0) -> str:
            return "—" if value is None else f"{value:,.{digits}f}"

        def amount(value: Decimal | None) -> SafeString | str:
            return "—" if value is None else money_html(value, total.currency)

        return [
            ("Registered", count(total.registered), self.link("clients", show=Show.REGISTERED.value)),
            ("Accounts opened", count(total.accounts), self.link("clients", show=Show.OPENED.value)),
            ("Verified", count(total.verified), self.link("clients", show=Show.VERIFIED.value)),
            ("First deposits", count(total.first_deposits), self.link("clients", show=Show.FIRST_DEPOSIT.value)),
            ("Deposits", amount(total.deposits), self.link("payments", kind="deposit")),
            ("Withdrawals", amount(total.withdrawals), self.link("payments", kind="withdrawal")),
            ("Net deposits", amount(total.net_deposits), self.link("payments")),
            ("Active traders", count(total.traders), self.link("clients", show=Show.ACTIVE.value)),
            ("Trades", count(total.trades), self.link("trades")),
            ("Lots", count(total.lots, 2), self.link("trades")),
            (f"Notional, {total.currency}", count(total.notional), self.link("trades")),
            ("Commission", amount(total.commission), self.lines_url()),
        ]

    def lines_url(self) -> str:
        """The lines behind the commission."""
        days = f"from_day={self.filters.from_day}&to_day={self.filters.to_day}"
        if self.view.is_own:
            return f"{reverse('portal:ib_lines')}?{days}"
        search = f"&search={self.view.partner.reference}" if self.view.partner is not None else ""
        return f"{reverse('admin:ib_lines')}?{days}{search}"

    def _chart(self) -> SafeString:
        days = reads.commission_by_day(self.view, self.filters)
        options: dict[str, Any] = {"unit": self.view.currency, "digits": Currency.of(self.view.currency).digits}
        if (self.filters.to_day - self.filters.from_day).days <= CHART_DAYS:
            return line_chart(days, title="Commission by business day", **options)
        months: dict[str, Decimal] = {}
        for day, amount in days:
            months[day[:7]] = months.get(day[:7], Decimal(0)) + amount
        return bar_chart(sorted(months.items())[-BARS:], title="Commission by month", **options)

    def _parts(self) -> list[tuple[str, str, int, SafeString]]:
        found = reads.earned_by_kind(self.view, self.filters)
        return [
            (
                PART_TITLES.get(part.source, part.source),
                kind_words(part),
                part.count,
                money_html(part.amount, part.currency),
            )
            for part in found
        ]


def kind_words(part: EarnedPart) -> str:
    """What a kind of commission is called: the component of the plan and what it measures, or the kind of period line."""
    if part.source == "ib.period_settlement":
        return str(PeriodLineKind(part.kind).label)
    component, _, basis = part.kind.rpartition(" ")
    if not basis:
        return "Given by hand" if part.source == "ib.adjustment" else "Taken back"
    words = str(Basis(basis).label) if basis in Basis.values else basis.replace("_", " ")
    return words if component in {"", "main"} else f"{words} ({component})"
