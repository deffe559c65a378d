"""Symbols, their specifications, prices and reference rates; the queue of names that no symbol matches yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse

from backoffice.core.types import Actor
from backoffice.kernel import clock
from backoffice.ui.admin import DeskModelAdmin, DeskTabularInline
from backoffice.ui.columns import link_column, moment_column, number_column, state_column, text_column
from backoffice.ui.views import DeskActionView
from platform_ops.admin.term_forms import form_values, term_facts, term_fieldsets, term_form_field
from platform_ops.models import DailyPrice, FxReferenceRate, Quote, ServerSymbol, Symbol, SymbolGroup, SymbolSpec, Trade
from platform_ops.permissions import MANAGE_CATALOGUE, MAP_SYMBOLS, VIEW_PLATFORM
from platform_ops.rules.specifications import (
    FIELDS,
    LABELS,
    TERMS,
    differences,
    specification_terms,
    value_in_words,
)
from platform_ops.services.catalogue import Specification
from platform_ops.services.specifications import request_specification, specification_at
from platform_ops.services.symbols import map_server_symbol


class MapSymbolForm(forms.Form):
    """Which canonical symbol a server's name means."""

    symbol = forms.ModelChoiceField(Symbol.objects.order_by("code"), label="Symbol")
    reason = forms.CharField(
        max_length=400, required=False, label="Reason", help_text="Needed when a mapping that stands changes."
    )


class MapSymbol(DeskActionView):
    """Says what a server's name means."""

    slug, title, capability = "map", "Map to a symbol", MAP_SYMBOLS
    form_class = MapSymbolForm
    success_message = "Mapped. The trades in this symbol are settled now."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """What stands."""
        return {"symbol": self.target.symbol_id}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """How many trades it concerns."""
        trades = Trade.objects.filter(server_symbol=self.target).count()
        before = str(self.target.symbol) if self.target.symbol else "not mapped"
        return [
            ("Name on the server", str(self.target)),
            ("Symbol", f"{before} → {data['symbol']}"),
            ("Closed trades in it", f"{trades:,}"),
            ("What happens", "Exposure counts them at once; commissions are settled for every day they closed on."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Maps it."""
        return map_server_symbol(
            server_symbol_id=self.target.pk, symbol_id=data["symbol"].pk, actor=actor, reason=data["reason"]
        )


class UnmappedFilter(admin.SimpleListFilter):
    """Names that wait for a symbol."""

    title = "mapping"
    parameter_name = "mapping"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Two kinds."""
        return [("waiting", "Waiting for a symbol"), ("mapped", "Mapped")]

    def queryset(self, request: Any, queryset: Any) -> Any:
        """Filters."""
        if self.value() in {"waiting", "mapped"}:
            return queryset.filter(symbol__isnull=self.value() == "waiting")
        return queryset


@admin.register(ServerSymbol)
class ServerSymbolAdmin(DeskModelAdmin):
    """What each server calls what; unmatched names first in their filter."""

    view_capability = VIEW_PLATFORM
    list_display = ("name", "server_shown", "symbol_shown", "state_shown", "first_seen_shown")
    list_select_related = ("server", "symbol")
    list_filter = (UnmappedFilter, "server")
    search_fields = ("name", "symbol__code")
    object_actions = (MapSymbol,)
    empty_text = "No server has named a symbol yet."

    server_shown = text_column("server", title="Server")
    symbol_shown = link_column("symbol", title="Symbol", order="symbol__code")
    state_shown = state_column(
        lambda row: "Mapped" if row.symbol_id else "Waiting", title="State", tones={"Mapped": "good", "Waiting": "warn"}
    )
    first_seen_shown = moment_column("first_seen_at", title="First seen", order="first_seen_at")


class SpecificationForm(forms.Form):
    """How a symbol is traded from a moment on: a field for each term."""

    valid_from = forms.DateTimeField(
        label="From (UTC)",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
    )
    reason = forms.CharField(widget=forms.Textarea(attrs={"rows": 2}), max_length=500)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for term in TERMS:
            self.fields[term.name] = term_form_field(term)
        self.order_fields(["valid_from", *FIELDS, "reason"])

    def clean_valid_from(self) -> Any:
        """In UTC."""
        return self.cleaned_data["valid_from"].replace(tzinfo=UTC)


class SpecifySymbol(DeskActionView):
    """Asks for another specification."""

    slug, title, button, capability = "specify", "Change the specification", "Change specification", MANAGE_CATALOGUE
    form_class = SpecificationForm
    success_message = "Drafted. Look at what it changes, and hand it in: another person, or a policy, approves it."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """The specification that counts now, from the next full hour on."""
        soon = (clock.now() + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0)
        standing = specification_at(symbol_id=self.target.pk, moment=soon)
        return {"valid_from": soon, **(form_values(specification_terms(standing)) if standing else {})}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What becomes of what."""
        standing = specification_at(symbol_id=self.target.pk, moment=data["valid_from"])
        old = specification_terms(standing) if standing else {}
        new = specification_terms(self._specification(data))
        return [
            ("Symbol", str(self.target)),
            ("From", f"{data['valid_from']:%Y-%m-%d %H:%M} UTC, until further notice"),
            *(
                (LABELS[name], f"{value_in_words(name, was)} → {value_in_words(name, now)}")
                for name, was, now in differences(old, new)
            ),
            ("What happens", "A change request is drafted, with a preview of the open positions. Nothing changes yet."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Drafts the change request."""
        return request_specification(
            symbol_id=self.target.pk,
            specification=self._specification(data),
            valid_from=data["valid_from"],
            actor=actor,
            reason=data["reason"],
            submit=False,
        )

    def success_url(self, result: Any) -> str:
        """To the request, with its diff and its impact."""
        return reverse("admin:core_changerequest_change", args=[result.pk])

    @staticmethod
    def _specification(data: Mapping[str, Any]) -> Specification:
        return Specification(**{name: data[name] for name in FIELDS})


class SpecificationInline(DeskTabularInline):
    """The specifications of a symbol over time."""

    model = SymbolSpec
    verbose_name_plural = "Specifications over time"
    fields = readonly_fields = (
        "from_shown", "until_shown", "digits", "contract", "pip", "calculation_mode", "spread", "swap_mode", "long", "short",
        "leverage_maximum",
    )  # fmt: skip

    from_shown = moment_column("validity__lower", title="From")
    until_shown = moment_column("validity__upper", title="Until")
    contract = number_column("contract_size", title="Contract size")
    pip = number_column("pip_size", title="Pip size")
    spread = number_column("spread_points", title="Spread, points")
    long = number_column("swap_long", title="Swap long")
    short = number_column("swap_short", title="Swap short")


@admin.register(Symbol)
class SymbolAdmin(DeskModelAdmin):
    """The canonical symbols of the house."""

    view_capability = VIEW_PLATFORM
    is_reference_data = True
    list_display = ("code", "name", "asset_class", "group_shown", "base_asset", "profit_currency")
    list_select_related = ("group",)
    list_filter = ("asset_class", "group", "profit_currency")
    search_fields = ("code", "name")
    inlines = (SpecificationInline,)
    object_actions = (SpecifySymbol,)
    empty_text = "No symbol yet. Import specifications, and they come with them."

    group_shown = text_column("group", title="Group", order="group__code")


@admin.register(SymbolGroup)
class SymbolGroupAdmin(DeskModelAdmin):
    """Families of symbols."""

    view_capability = VIEW_PLATFORM
    is_reference_data = True
    list_display = ("code", "name")
    search_fields = ("code", "name")


@admin.register(SymbolSpec)
class SymbolSpecAdmin(term_facts(), DeskModelAdmin):  # type: ignore[misc] # made from the table of terms
    """How each symbol is traded, and since when."""

    view_capability = VIEW_PLATFORM
    is_reference_data = True
    list_display = (
        "symbol_shown", "from_shown", "until_shown", "digits", "contract", "pip", "calculation_mode", "leverage_maximum",
        "swap_long", "swap_short",
    )  # fmt: skip
    list_select_related = ("symbol",)
    list_filter = ("symbol__group", "calculation_mode", "swap_mode", "trade_mode")
    search_fields = ("symbol__code",)

    fieldsets = ((None, {"fields": ("symbol", "validity")}), *term_fieldsets())

    symbol_shown = link_column("symbol", title="Symbol", order="symbol__code")
    from_shown = moment_column("validity__lower", title="From", order="validity")
    until_shown = moment_column("validity__upper", title="Until")
    contract = number_column("contract_size", title="Contract size")
    pip = number_column("pip_size", title="Pip size")


@admin.register(Quote)
class QuoteAdmin(DeskModelAdmin):
    """The latest price of each symbol."""

    view_capability = VIEW_PLATFORM
    is_reference_data = True
    list_display = ("symbol_shown", "bid_shown", "ask_shown", "at_shown", "source")
    list_select_related = ("symbol",)
    search_fields = ("symbol__code",)
    ordering = ("symbol__code",)

    symbol_shown = link_column("symbol", title="Symbol", order="symbol__code")
    bid_shown = number_column("bid", title="Bid")
    ask_shown = number_column("ask", title="Ask")
    at_shown = moment_column("at", title="As of", order="at")


@admin.register(DailyPrice)
class DailyPriceAdmin(DeskModelAdmin):
    """Closing prices, fixed by the business day."""

    view_capability = VIEW_PLATFORM
    is_reference_data = True
    list_display = ("business_day", "symbol_shown", "bid_shown", "ask_shown", "source")
    list_select_related = ("symbol",)
    list_filter = ("source",)
    search_fields = ("symbol__code",)
    date_hierarchy = "business_day"

    symbol_shown = link_column("symbol", title="Symbol", order="symbol__code")
    bid_shown = number_column("bid", title="Bid")
    ask_shown = number_column("ask", title="Ask")


@admin.register(FxReferenceRate)
class FxReferenceRateAdmin(DeskModelAdmin):
    """Reference rates per euro."""

    view_capability = VIEW_PLATFORM
    is_reference_data = True
    list_display = ("date", "currency", "rate_shown", "source")
    list_filter = ("source", "currency")
    search_fields = ("=currency",)
    date_hierarchy = "date"

    rate_shown = number_column("per_euro", title="Per euro")
