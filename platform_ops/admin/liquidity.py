"""Liquidity providers on the desk: what they filled, what they call things, the messages as they came."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    badge_html,
    computed_column,
    moment_column,
    number_column,
    state_column,
    text_column,
)
from backoffice.ui.formats import EMPTY, format_decimal, format_time
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from platform_ops.models import (
    CurrentFill,
    LiquidityFill,
    LiquidityMessage,
    LiquidityOrderProblem,
    LiquidityProvider,
    LiquiditySymbol,
    Symbol,
)
from platform_ops.outer_permissions import MANAGE_LIQUIDITY, VIEW_LIQUIDITY
from platform_ops.services.liquidity import FileIntake, import_fix_log, map_provider_symbol, save_provider

MAX_LOG_BYTES = 30 * 1024 * 1024
PANEL_ROWS = 20
# Tags 35, 150 and 22 in words; what is not here is shown as it came.
MESSAGE_KINDS = {"8": "Execution report", "AE": "Trade capture report", "9": "Cancel rejected", "D": "New order"}
EXECUTION_TYPES = {
    "0": "New order", "4": "Cancelled", "5": "Replaced", "8": "Rejected", "A": "Pending", "C": "Expired", "D": "Restated",
    "F": "Execution", "G": "Execution corrected", "H": "Execution cancelled", "I": "Order status",
}  # fmt: skip
ID_SOURCES = {"1": "CUSIP", "2": "SEDOL", "4": "ISIN", "5": "RIC", "8": "Provider's own number"}
FILL_TONES = {"done": "good", "corrected": "warn", "busted": "bad"}


class ProviderForm(forms.Form):
    """A provider."""

    entity = forms.ModelChoiceField(LegalEntity.objects.none(), label="Legal entity")
    code = forms.SlugField(max_length=40)
    name = forms.CharField(max_length=160)
    comp_id = forms.CharField(max_length=64, label="Sender (tag 49)", help_text="As which it sends its messages.")
    units_per_quantity = forms.DecimalField(
        min_value=Decimal("0.00000001"),
        max_digits=20,
        decimal_places=8,
        initial=1,
        label="Units per quantity",
        help_text="1, or what one contract is worth: 10 000 at LMAX.",
    )


class LogForm(forms.Form):
    """A log."""

    log = forms.FileField(label="FIX log", help_text="A session log or capture, FIX 4.4, at most 30 MB.")


class MapForm(forms.Form):
    """What a name means."""

    symbol = forms.ModelChoiceField(Symbol.objects.all(), required=False)
    units_per_quantity = forms.DecimalField(
        required=False,
        min_value=Decimal("0.00000001"),
        max_digits=20,
        decimal_places=8,
        label="Units per quantity",
        help_text="Empty: as the provider counts everywhere.",
    )
    reason = forms.CharField(max_length=400, widget=forms.Textarea(attrs={"rows": 2}))


class AddProvider(DeskActionView):
    """A new provider."""

    slug, title, capability = "new", "Add a provider", MANAGE_LIQUIDITY
    needs_confirmation = False
    success_message = "Added. Its logs can be taken in now."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Only entities that the actor sees."""
        form = ProviderForm(data)
        form.fields["entity"].queryset = visible_to(LegalEntity.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Adds it."""
        values = {name: data[name] for name in ("code", "name", "comp_id", "units_per_quantity")}
        return save_provider(**values, entity_id=data["entity"].pk, actor=actor)


class TakeLog(DeskActionView):
    """Takes in a log of a provider."""

    slug, title, capability = "log", "Take in a FIX log", MANAGE_LIQUIDITY
    needs_confirmation = False
    form_class = LogForm

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """With the file."""
        return LogForm(data, files)

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Reads it whole."""
        if data["log"].size > MAX_LOG_BYTES:
            raise InvalidInput(f"The log is larger than {MAX_LOG_BYTES // 2**20} MB.", field="log")
        return import_fix_log(
            provider_id=self.target.pk, data=data["log"].read(), file_name=data["log"].name, actor=actor
        )

    def success_text(self, result: FileIntake) -> str:
        """What came of it."""
        damage = f" {result.refused:,} could not be read; see the work item." if result.refused else ""
        return f"{result.messages:,} messages, {result.new:,} new, {result.fills:,} executions.{damage}"


class MapName(DeskActionView):
    """Says what a provider's name means."""

    slug, title, capability = "map-name", "Map to a symbol", MANAGE_LIQUIDITY
    form_class = MapForm
    success_message = "Mapped. Its executions follow."

    def initial(self, actor: Actor) -> dict[str, Any]:
        """As it stands."""
        return {"symbol": self.target.symbol_id, "units_per_quantity": self.target.units_per_quantity}

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What is counted anew."""
        count = CurrentFill.objects.filter(lp_symbol=self.target).count()
        units = data["units_per_quantity"] or self.target.provider.units_per_quantity
        return [
            ("Name", str(self.target)),
            ("Symbol", str(data["symbol"] or EMPTY)),
            ("One quantity is", f"{format_decimal(units)} units"),
            ("What happens", f"{count:,} executions are brought to it as new revisions."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Maps it."""
        symbol = data["symbol"]
        return map_provider_symbol(
            name_id=self.target.pk,
            symbol_id=None if symbol is None else symbol.pk,
            units_per_quantity=data["units_per_quantity"],
            actor=actor,
            reason=data["reason"],
        )


class LiquidityAdmin(DeskModelAdmin):
    """What the lists have in common: read, never typed in."""

    view_capability = VIEW_LIQUIDITY

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """Everything."""
        return self.fields


@admin.register(LiquidityProvider)
class LiquidityProviderAdmin(LiquidityAdmin):
    """Providers."""

    list_display = ("code", "name", "comp_id", "units_shown", "is_active", "created_shown")
    list_select_related = ("entity",)
    list_filter = ("entity", "is_active")
    search_fields = ("code", "name", "comp_id")
    list_actions = (AddProvider,)
    object_actions = (TakeLog,)
    empty_text = "No liquidity provider yet. Add one, then take in its FIX drop copy."
    fields: ClassVar[tuple[str, ...]] = (
        "code",
        "name",
        "entity",
        "comp_id",
        "units_per_quantity",
        "is_active",
        "created_at",
    )

    units_shown = number_column("units_per_quantity", title="Units per quantity")
    created_shown = moment_column("created_at", title="Added", order="created_at")


@admin.register(LiquiditySymbol)
class LiquiditySymbolAdmin(LiquidityAdmin):
    """What providers call things."""

    list_display = ("name", "provider_shown", "source_shown", "symbol_shown", "units_shown", "seen_shown")
    list_select_related = ("provider", "symbol")
    list_filter = ("provider", ("symbol", admin.EmptyFieldListFilter))
    search_fields = ("name", "symbol__code")
    object_actions = (MapName,)
    empty_text = "No provider has named an instrument yet."
    fields: ClassVar[tuple[str, ...]] = (
        "name",
        "provider",
        "source_shown",
        "symbol",
        "units_per_quantity",
        "first_seen_at",
    )

    provider_shown = text_column("provider", title="Provider", order="provider__code")
    source_shown = computed_column(
        lambda name: ID_SOURCES.get(name.id_source, name.id_source) or "Symbol in words", title="Kind of name"
    )
    symbol_shown = state_column(
        lambda name: name.symbol.code if name.symbol else "Not mapped", title="Symbol", tones={"Not mapped": "bad"}
    )
    units_shown = number_column("units_per_quantity", title="Units per quantity")
    seen_shown = moment_column("first_seen_at", title="First seen", order="first_seen_at")


@admin.register(CurrentFill)
class CurrentFillAdmin(LiquidityAdmin):
    """What was really executed: each once, as it stands now."""

    list_display = (
        "executed_shown",
        "provider_shown",
        "symbol_shown",
        "side_shown",
        "units_shown",
        "price_shown",
        "state_shown",
        "order_id",
        "reports",
    )
    list_select_related = ("provider", "symbol", "lp_symbol")
    list_filter = ("provider", "side", "state", "executed_at")
    search_fields = ("order_id", "client_order_id", "exec_id", "account", "symbol__code", "lp_symbol__name")
    empty_text = "No execution yet. They appear when a provider's drop copy is taken in."
    fields: ClassVar[tuple[str, ...]] = (
        "provider", "order_id", "number", "client_order_id", "exec_id", "account", "lp_symbol", "symbol", "side", "quantity",
        "units", "price", "is_price_derived", "cumulative", "currency", "executed_at", "trade_date", "settlement_date",
        "state", "revision", "reports",
    )  # fmt: skip

    executed_shown = moment_column("executed_at", title="Executed", order="executed_at")
    provider_shown = text_column("provider", title="Provider", order="provider__code")
    symbol_shown = computed_column(
        lambda fill: fill.symbol.code if fill.symbol else fill.lp_symbol.name, title="Symbol"
    )
    side_shown = badge_column("side", title="Side", tones={1: "info", -1: "quiet"})
    units_shown = number_column("units", title="Units", order="units")
    price_shown = number_column("price", title="Price", order="price")
    state_shown = badge_column("state", title="State", tones=FILL_TONES)


@admin.register(LiquidityMessage)
class LiquidityMessageAdmin(LiquidityAdmin):
    """Messages as they came; names of persons are blanked."""

    list_display = ("sent_shown", "provider_shown", "kind_shown", "says_shown", "order_id", "exec_id", "number_shown")
    list_select_related = ("provider",)
    list_filter = ("provider", "kind", "exec_type", "sent_at")
    search_fields = ("client_order_id", "exec_id", "order_id", "symbol")
    empty_text = "No message has been taken in yet."
    fields: ClassVar[tuple[str, ...]] = (
        "provider", "kind_shown", "says_shown", "sequence", "sent_at", "received_at", "order_id", "exec_id", "text",
    )  # fmt: skip

    kind_shown = computed_column(
        lambda message: MESSAGE_KINDS.get(message.kind, message.kind), title="Message", order="kind"
    )
    says_shown = computed_column(
        lambda message: EXECUTION_TYPES.get(message.exec_type, message.exec_type), title="Says", order="exec_type"
    )
    number_shown = text_column("sequence", title="Number in session", order="sequence")
    sent_shown = moment_column("sent_at", title="Sent", order="id")
    provider_shown = text_column("provider", title="Provider", order="provider__code")


def revisions_panel(fill: CurrentFill, actor: Actor) -> SafeString | str:
    """How the execution became what it is."""
    rows = LiquidityFill.objects.filter(provider=fill.provider_id, order_id=fill.order_id, number=fill.number).order_by(
        "-revision"
    )
    return _table(
        ("Revision", "State", "Quantity", "Units", "Price", "Recorded"),
        [
            (
                str(row.revision),
                badge_html(row.get_state_display(), FILL_TONES[row.state]),
                format_decimal(row.quantity),
                format_decimal(row.units),
                format_decimal(row.price),
                format_time(row.recorded_at),
            )
            for row in rows[:PANEL_ROWS]
        ],
    )


def problems_panel(provider: LiquidityProvider, actor: Actor) -> SafeString | str:
    """Orders that do not add up."""
    rows = LiquidityOrderProblem.objects.filter(provider=provider, settled_at__isnull=True)[:PANEL_ROWS]
    return _table(
        ("Order", "What does not add up", "Since"),
        [(row.order_id, row.problem, format_time(row.found_at)) for row in rows],
    )


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> SafeString | str:
    if not rows:
        return ""
    head = format_html_join("", '<th scope="col">{}</th>', ((heading,) for heading in headings))
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows)
    )
    return format_html('<table class="bo-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, body)


def register() -> None:
    """Menu entries and panels; called from the desk's screens."""
    for title, model, order, icon in (
        ("LP executions", "currentfill", 62, "sync_alt"),
        ("Liquidity providers", "liquidityprovider", 64, "account_tree"),
        ("Names at providers", "liquiditysymbol", 66, "sell"),
        ("FIX messages", "liquiditymessage", 68, "mail"),
    ):
        register_page("platform_ops", title, f"admin:platform_ops_{model}_changelist", VIEW_LIQUIDITY, order, icon=icon)
    register_panel("platform_ops.CurrentFill", "revisions", "Revisions", revisions_panel, order=10)
    register_panel("platform_ops.LiquidityProvider", "problems", "Orders that do not add up", problems_panel, order=10)
