"""Execution quality on the desk: the board by server, symbol, hour, day or group, and the orders behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.charts import bar_chart
from backoffice.ui.columns import (
    badge_column,
    link_column,
    moment_column,
    number,
    number_column,
    text,
    text_column,
)
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import EMPTY, format_decimal
from backoffice.ui.navigation import register_page
from backoffice.ui.views import DeskTablePage, register_desk_page
from platform_ops.gateways.types import OrderState
from platform_ops.models import OrderExecution, Symbol, TradingServer
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.selectors.execution import (
    DEFAULT_DAYS,
    GROUPINGS,
    ExecutionFilter,
    ExecutionRow,
    execution_rows,
    execution_totals,
    reject_reasons,
    slippage_distribution,
)

STATE_TONES = {OrderState.FILLED.value: "good", OrderState.REJECTED.value: "bad", OrderState.PARTIAL.value: "warn"}
SLOW_MILLISECONDS = 250
MANY_REJECTS_PERCENT = Decimal(2)


class ExecutionForm(forms.Form):
    """Which orders, and by what."""

    group_by = forms.ChoiceField(choices=list(GROUPINGS.items()), required=False, label="By")
    from_day = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    to_day = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))
    server = forms.ModelChoiceField(
        TradingServer.objects.none(), required=False, to_field_name="code", empty_label="All servers"
    )
    symbol = forms.ModelChoiceField(
        Symbol.objects.order_by("code"), required=False, to_field_name="code", empty_label="All symbols"
    )

    def clean(self) -> dict[str, Any]:
        """A time that runs forward and is not longer than the board looks."""
        cleaned = super().clean() or {}
        try:
            filters_of(cleaned)
        except InvalidInput as error:
            field = "to_day" if error.details.get("field") == "to" else "from_day"
            raise forms.ValidationError({field: error.message}) from error
        return cleaned


def filters_of(cleaned: Mapping[str, Any]) -> ExecutionFilter:
    """The filter that a form means; whole days, the last one included. Raises InvalidInput."""
    from_day, to_day = cleaned.get("from_day"), cleaned.get("to_day")
    end = _midnight(to_day + timedelta(days=1)) if to_day else None
    start = _midnight(from_day) if from_day else None
    server, symbol = cleaned.get("server"), cleaned.get("symbol")
    return ExecutionFilter.of(
        start=start, end=end, server_code=server.code if server else "", symbol_code=symbol.code if symbol else ""
    )


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


@register_desk_page
class ExecutionQualityPage(DeskTablePage):
    """Fill time, slippage, rejects and requotes of clients' orders."""

    desk, slug, title, capability = "platform_ops", "execution_quality", "Execution quality", VIEW_PLATFORM
    subtitle = (
        f"Clients' orders as the servers tell them; the last {DEFAULT_DAYS} days without a filter. "
        "Slippage is points in the client's favour: below zero the client got a worse price than asked for."
    )
    template_name = "platform_ops/execution_quality.html"
    empty_text = (
        "No order in this time. Orders come from servers that are followed with “ended orders” switched on; "
        "choose another time, or look at the connections."
    )
    filter_form = ExecutionForm
    columns = (
        text("key", title="Group"),
        number("orders", title="Orders", digits=0),
        number("lots", title="Lots", digits=2),
        number("fill_p50", title="p50, ms", digits=0),
        number("fill_p95", title="p95, ms", digits=0),
        number("fill_p99", title="p99, ms", digits=0),
        number("slippage_average", title="Slippage", digits=2, is_signed=True),
        number("slippage_worst", title="Worst 5 %", digits=1, is_signed=True),
        number("better", title="Better", digits=0),
        number("exact", title="Exact", digits=0),
        number("worse", title="Worse", digits=0),
        number("asymmetry", title="Asymmetry %", digits=1, is_signed=True),
        number("reject_percent", title="Rejected %", digits=2),
        number("requote_percent", title="Requoted %", digits=2),
    )

    def _filter(self) -> forms.Form | None:
        form = super()._filter()
        if form is not None:
            servers = visible_to(TradingServer.objects.all(), self.actor).order_by("code")
            form.fields["server"].queryset = servers  # type: ignore[attr-defined]
        return form

    def rows(self, actor: Actor, filters: Mapping[str, Any]) -> Sequence[ExecutionRow]:
        """The board; an unusable filter shows nothing, its field says why."""
        if self._is_wrong():
            return []
        group_by = filters.get("group_by") or "server"
        return execution_rows(actor=actor, filters=filters_of(filters), group_by=group_by)

    def totals(self, actor: Actor, filters: Mapping[str, Any]) -> ExecutionRow | None:
        """All of it in one line."""
        if self._is_wrong():
            return None
        totals = execution_totals(actor=actor, filters=filters_of(filters))
        return totals if totals.orders else None

    def above(self, actor: Actor, filters: Mapping[str, Any]) -> dict[str, Any]:
        """The figures at a glance, the distribution of slippage, and why orders were turned down."""
        if self._is_wrong():
            return {}
        chosen = filters_of(filters)
        totals = execution_totals(actor=actor, filters=chosen)
        if not totals.orders:
            return {}
        bars = [(title, Decimal(count)) for title, count in slippage_distribution(actor=actor, filters=chosen)]
        hours = execution_rows(actor=actor, filters=chosen, group_by="hour")
        fills = [(row.key, Decimal(row.fill_p95)) for row in hours if row.fill_p95 is not None]
        return {
            "summary": _summary(totals),
            "charts": [
                (title, bar_chart(points, title=title, unit=unit, digits=0))
                for title, points, unit in (
                    ("Fills by slippage in points, the worst for the client first", bars, "fills"),
                    ("Fill time of 95 % by hour of the day (UTC), ms", fills, "ms"),
                )
            ],
            "reasons": _reasons(reject_reasons(actor=actor, filters=chosen)),
        }

    def _is_wrong(self) -> bool:
        form = self._filter()
        return form is not None and form.is_bound and not form.is_valid()


def _summary(totals: ExecutionRow) -> list[tuple[str, SafeString]]:
    def shown(value: Any, unit: str, digits: int = 0) -> SafeString:
        return format_html("{} {}", EMPTY if value is None else format_decimal(Decimal(value), digits), unit)

    return [
        ("Orders", shown(totals.orders, "")),
        ("Median fill", shown(totals.fill_p50, "ms")),
        ("95 % within", shown(totals.fill_p95, "ms")),
        ("99 % within", shown(totals.fill_p99, "ms")),
        ("Average slippage", shown(totals.slippage_average, "points", 2)),
        ("Asymmetry", shown(totals.asymmetry, "%", 1)),
        ("Rejected", shown(totals.reject_percent, "%", 2)),
        ("Requoted", shown(totals.requote_percent, "%", 2)),
    ]


def _reasons(reasons: Sequence[tuple[str, int]]) -> SafeString | str:
    if not reasons:
        return ""
    rows = format_html_join(
        "", '<tr><td>{}</td><td class="bo-num">{}</td></tr>', ((reason, f"{orders:,}") for reason, orders in reasons)
    )
    return format_html(
        '<table class="bo-table"><thead><tr><th scope="col">Reason</th><th scope="col" class="bo-num">Orders</th></tr>'
        "</thead><tbody>{}</tbody></table>",
        rows,
    )


@admin.register(OrderExecution)
class OrderExecutionAdmin(DeskModelAdmin):
    """The orders behind the board, the last one first."""

    view_capability = VIEW_PLATFORM
    visible_through = "account"
    list_display = (
        "ticket",
        "server_shown",
        "account_shown",
        "symbol_shown",
        "side_shown",
        "state_shown",
        "lots_shown",
        "asked",
        "got",
        "slippage",
        "fill_time",
        "done_shown",
    )
    list_select_related = ("server", "account", "account__server", "server_symbol")
    list_filter = ("state", "side", "server", "reason")
    search_fields = ("=order_ticket", "account__login", "symbol", "reject_reason")
    date_hierarchy = "done_at"
    empty_text = "No ended order has been read from a server yet."

    ticket = text_column("order_ticket", title="Order", order="order_ticket")
    server_shown = text_column("server", title="Server", order="server__code")
    account_shown = link_column("account", title="Account", label="login")
    symbol_shown = text_column("symbol", title="Symbol", order="symbol")
    side_shown = badge_column("side", title="Side", tones={1: "info", -1: "quiet"})
    state_shown = badge_column("state", title="State", tones=STATE_TONES)
    lots_shown = number_column("volume_lots", title="Lots", digits=2)
    asked = number_column("requested_price", title="Asked")
    got = number_column("filled_price", title="Filled")
    slippage = number_column("slippage_points", title="Slippage", digits=1, is_signed=True, order="slippage_points")
    fill_time = number_column("fill_milliseconds", title="Fill, ms", digits=0, order="fill_milliseconds")
    done_shown = moment_column("done_at", title="Done", order="done_at")


def execution_card(actor: Actor) -> Card | None:
    """Yesterday and today in one figure: how fast nineteen of twenty orders were filled."""
    now = clock.now()
    totals = execution_totals(actor=actor, filters=ExecutionFilter.of(start=now - timedelta(days=3), end=now))
    if not totals.orders or totals.fill_p95 is None:
        return None
    is_bad = totals.fill_p95 > SLOW_MILLISECONDS or totals.reject_percent > MANY_REJECTS_PERCENT
    return Card(
        title="Execution, last three days",
        figure=f"{totals.fill_p95:,} ms",
        note="95 % of the orders were filled within",
        rows=(
            ("Orders", f"{totals.orders:,}"),
            ("Rejected", f"{totals.reject_percent} %"),
            ("Average slippage", f"{totals.slippage_average or 0} points"),
        ),
        url=reverse("admin:platform_ops_execution_quality"),
        tone="warn" if is_bad else "good",
    )


def register() -> None:
    """Menu entries and the card; called when the application starts."""
    register_page(
        "platform_ops", "Execution quality", "admin:platform_ops_execution_quality", VIEW_PLATFORM, 17, icon="speed"
    )
    register_page(
        "platform_ops",
        "Orders",
        "admin:platform_ops_orderexecution_changelist",
        VIEW_PLATFORM,
        45,
        icon="assignment_turned_in",
    )
    register_card(
        "platform.execution",
        (Role.PLATFORM_OPERATIONS, Role.DEALING, Role.ADMINISTRATOR),
        execution_card,
        order=30,
    )
