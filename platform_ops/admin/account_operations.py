"""Operations on servers: the queue with its states and steps; the limits of one person; the offers of the catalogue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.models import LegalEntity
from backoffice.core.types import Actor, Role
from backoffice.kernel.currency import Currency
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    badge_html,
    computed_column,
    link_column,
    moment_column,
    money_column,
    text_column,
)
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import format_time
from backoffice.ui.navigation import register_page
from backoffice.ui.panels import register_panel
from backoffice.ui.views import DeskActionView
from platform_ops.account_permissions import SET_OPERATION_LIMITS
from platform_ops.admin.account_actions import reason_field
from platform_ops.admin.account_catalogue import AddOffer, EditOffer
from platform_ops.models import AccountOffer, OperationLimit, ServerOperation
from platform_ops.permissions import VIEW_PLATFORM
from platform_ops.rules.operations import OperationKind, OperationState
from platform_ops.services import account_operations as operations

STATE_TONES = {
    "requested": "info", "sending": "info", "uncertain": "warn", "not_found": "warn", "done": "good", "found": "good",
    "refused": "bad", "cancelled": "quiet",
}  # fmt: skip
PANEL_ROWS = 12


class LookUp(DeskActionView):
    """Asks the server now what became of the operation."""

    slug, title, button, capability = "look-up", "Ask the server now", "Ask the server now", VIEW_PLATFORM
    needs_confirmation = False
    explanation = (
        "The server is asked for the operation's reference. Only where it does not know it, although it had its time, is the "
        "operation sent again, under the same reference."
    )

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """While it is not finished."""
        return not OperationState(target.state).is_final

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Looked up."""
        return operations.carry_out(operation_id=self.target.pk, actor=actor, is_forced=True)

    def success_text(self, result: Any) -> str:
        """Where it stands."""
        return str(result.text)


class CancelForm(forms.Form):
    """Why."""

    reason = reason_field()


class GiveUp(DeskActionView):
    """Gives an operation up that did not happen."""

    slug, title, button, tone, capability = "give-up", "Give the operation up", "Give up", "danger", VIEW_PLATFORM
    form_class = CancelForm
    success_message = "Given up. It will not be sent."

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Not while it may have happened."""
        return target.state in (OperationState.REQUESTED.value, OperationState.NOT_FOUND.value)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """What follows."""
        return [
            ("Operation", str(self.target)),
            ("What happens", "It is never sent. Ask anew if it is needed after all."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Given up."""
        return operations.cancel_operation(operation_id=self.target.pk, actor=actor, reason=data["reason"])


class OpenFilter(admin.SimpleListFilter):
    """What is under way."""

    title, parameter_name = "progress", "progress"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Two kinds, and those whose deal has not come back."""
        return [("open", "Under way"), ("finished", "Finished"), ("unseen", "Deal not back yet")]

    def queryset(self, request: Any, queryset: Any) -> Any:
        """Filters."""
        if self.value() in ("open", "finished"):
            return queryset.filter(finished_at__isnull=self.value() == "open")
        if self.value() == "unseen":
            return queryset.filter(
                kind=OperationKind.MOVE_MONEY.value, state__in=["done", "found"], recognised_at__isnull=True
            )
        return queryset


@admin.register(ServerOperation)
class ServerOperationAdmin(DeskModelAdmin):
    """Every operation with where it stands."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "reference", "kind_shown", "account_shown", "client_shown", "amount_shown", "state_shown", "deal_ticket", "attempts",
        "made_by", "requested_shown",
    )  # fmt: skip
    list_select_related = ("server", "account", "client")
    list_filter = (OpenFilter, "kind", "state", "server", "currency", "is_bulk")
    search_fields = ("reference", "login", "=deal_ticket", "client__reference", "client__full_name")
    object_actions = (LookUp, GiveUp)
    empty_text = "No operation yet. Accounts are opened, changed and credited from the list of trading accounts."
    fieldsets = (
        (None, {"fields": ("reference", "kind_shown", "state_shown", "problem", "server_code")}),
        ("What", {"fields": ("server", "account", "login", "client", "amount_shown", "group", "request", "reason")}),
        ("Who and when", {"fields": ("made_by", "change_request", "requested_shown", "first_sent_at", "sent_at",
                                     "next_try_at", "attempts", "finished_at", "deal_ticket", "recognised_at")}),
    )  # fmt: skip

    kind_shown = badge_column("kind", title="Operation")
    account_shown = link_column("account", title="Account", order="login")
    client_shown = link_column("client", title="Client")
    amount_shown = money_column("amount", currency="currency", title="Amount", order="amount")
    state_shown = badge_column("state", title="State", tones=STATE_TONES)
    requested_shown = moment_column("requested_at", title="Requested", order="id")


class LimitForm(forms.Form):
    """How much one person moves alone."""

    entity = forms.ModelChoiceField(LegalEntity.objects.none(), label="Legal entity")
    currency = forms.CharField(max_length=5, label="Currency")
    alone_up_to = forms.DecimalField(min_value=0, max_digits=16, decimal_places=2, label="At a time")
    alone_per_day = forms.DecimalField(min_value=0, max_digits=16, decimal_places=2, label="In a business day")
    reason = reason_field()


class SetLimit(DeskActionView):
    """Sets a limit."""

    slug, title, button, capability = "set", "Set a limit", "Set a limit", SET_OPERATION_LIMITS
    form_class = LimitForm
    success_message = "The limit counts from now on."

    def make_form(self, actor: Actor, data: Any = None, files: Any = None) -> forms.Form:
        """Of the actor's legal entities."""
        form = LimitForm(data, files)
        form.fields["entity"].queryset = visible_to(LegalEntity.objects.all(), actor)  # type: ignore[attr-defined]
        return form

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """From what to what."""
        code = Currency.of(data["currency"]).code
        before = operations.limit_of(entity_id=data["entity"].pk, currency=code)
        return [
            ("Legal entity", str(data["entity"])),
            (f"At a time, {code}", f"{before[0]:,.2f} → {data['alone_up_to']:,.2f}"),
            (f"In a day, {code}", f"{before[1]:,.2f} → {data['alone_per_day']:,.2f}"),
            ("What happens", "What is above needs a second person from now on."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Set."""
        return operations.set_operation_limit(
            entity_id=data["entity"].pk, currency=data["currency"], alone_up_to=data["alone_up_to"],
            alone_per_day=data["alone_per_day"], actor=actor, reason=data["reason"],
        )  # fmt: skip


@admin.register(OperationLimit)
class OperationLimitAdmin(DeskModelAdmin):
    """How much one person may move alone."""

    view_capability = VIEW_PLATFORM
    list_display = ("entity_shown", "currency", "once_shown", "day_shown")
    list_select_related = ("entity",)
    list_filter = ("currency",)
    search_fields = ("entity__code", "currency")
    list_actions = (SetLimit,)
    empty_text = "No limit yet: every amount needs a second person."

    entity_shown = text_column("entity", title="Legal entity")
    once_shown = money_column("alone_up_to", currency="currency", title="At a time")
    day_shown = money_column("alone_per_day", currency="currency", title="In a business day")


@admin.register(AccountOffer)
class AccountOfferAdmin(DeskModelAdmin):
    """The account types by currency."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "type_shown", "kind_shown", "currency", "live_shown", "demo_shown", "minimum_shown", "leverages", "swap_shown",
        "offered_shown", "costs_shown",
    )  # fmt: skip
    list_select_related = ("account_type", "live_group", "demo_group")
    list_filter = ("account_type__kind", "currency", "account_type__is_offered")
    search_fields = ("account_type__code", "account_type__name", "currency")
    fieldsets = (
        ("Offer", {"fields": ("account_type", "currency", "live_group", "demo_group", "minimum_deposit", "demo_balance")}),
        ("Terms of the account type", {"fields": ("kind_shown", "leverages", "swap_shown", "offered_shown", "costs_shown")}),
    )  # fmt: skip
    object_actions = (EditOffer,)
    list_actions = (AddOffer,)
    empty_text = "Nothing is offered yet. Add an account type, then offer it in a currency."

    type_shown = text_column("account_type__name", title="Account type")
    kind_shown = badge_column("account_type__kind", title="Kind")
    live_shown = text_column("live_group__name", title="Live group")
    demo_shown = text_column("demo_group__name", title="Demo group")
    minimum_shown = money_column("minimum_deposit", currency="currency", title="First deposit from")
    leverages = computed_column(
        lambda offer: ", ".join(f"1:{value}" for value in offer.account_type.leverage_choices), title="Leverage"
    )
    swap_shown = computed_column(
        lambda offer: "Swap-free" if offer.account_type.is_swap_free else "Swaps", title="Swaps"
    )
    offered_shown = computed_column(lambda offer: "Yes" if offer.account_type.is_offered else "No", title="Offered")
    costs_shown = computed_column(
        lambda offer: " · ".join(
            part for part in (offer.account_type.commission_text, offer.account_type.mark_up_text) if part
        ),
        title="Costs",
    )


def register() -> None:
    """Menu, card and panels."""
    pages = (
        ("Account operations", "serveroperation", 21, "published_with_changes"),
        ("Account catalogue", "accountoffer", 22, "storefront"),
        ("Operation limits", "operationlimit", 23, "rule"),
    )
    for title, model, order, icon in pages:
        register_page("platform_ops", title, f"admin:platform_ops_{model}_changelist", VIEW_PLATFORM, order, icon=icon)
    register_card(
        "platform.operations", (Role.PLATFORM_OPERATIONS, Role.FINANCE, Role.ADMINISTRATOR), operations_card, order=15
    )
    register_panel("platform_ops.ServerOperation", "steps", "Steps", steps_panel, order=10)
    register_panel("platform_ops.TradingAccount", "operations", "Operations on the server", operations_panel, order=15)


def operations_card(actor: Actor) -> Card | None:
    """What is under way."""
    open_ones = visible_to(ServerOperation.objects.filter(finished_at__isnull=True), actor)
    uncertain = open_ones.filter(state="uncertain").count()
    total = open_ones.count()
    return Card(
        title="Operations on servers",
        figure=str(total),
        rows=(("Waiting to be sent", f"{total - uncertain:,}"), ("Answer lost, looked up", f"{uncertain:,}")),
        url=reverse("admin:platform_ops_serveroperation_changelist") + "?progress=open",
        tone="bad" if uncertain else "good",
    )


def steps_panel(operation: ServerOperation, actor: Actor) -> SafeString | str:
    """Every step with its time."""
    rows = [
        (
            format_time(step.at),
            badge_html(step.state.replace("_", " ").capitalize(), STATE_TONES[step.state]),
            step.note,
            step.actor,
        )
        for step in operation.events.order_by("id")[:100]
    ]
    return _table(("Time (UTC)", "State", "What", "By"), rows)


def operations_panel(account: Any, actor: Actor) -> SafeString | str:
    """The last operations of the account."""
    rows = [
        (
            format_html(
                '<a class="bo-link" href="{}">{}</a>',
                reverse("admin:platform_ops_serveroperation_change", args=[operation.pk]),
                operation.reference,
            ),
            operation.get_kind_display(),
            "" if operation.amount is None else f"{operation.amount:+,.2f} {operation.currency}",
            badge_html(operation.get_state_display(), STATE_TONES[operation.state]),
            format_time(operation.requested_at),
            operation.made_by,
        )
        for operation in visible_to(ServerOperation.objects.filter(account=account), actor)[:PANEL_ROWS]
    ]
    return _table(("Reference", "Operation", "Amount", "State", "Requested (UTC)", "By"), rows) if rows else ""


def _table(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> SafeString:
    head = format_html_join("", '<th scope="col">{}</th>', ((heading,) for heading in headings))
    body = format_html_join(
        "", "<tr>{}</tr>", ((format_html_join("", "<td>{}</td>", ((cell,) for cell in row)),) for row in rows)
    )
    return format_html(
        '<div class="bo-table-wrap"><table class="bo-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>',
        head,
        body,
    )
