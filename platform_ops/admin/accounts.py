"""Trading servers and accounts; the queue of accounts that no client owns yet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.apps import apps
from django.contrib import admin
from django.db.models import Count, Q

from backoffice.core.access import visible_to
from backoffice.core.types import Actor
from backoffice.kernel.errors import InvalidInput
from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import (
    badge_column,
    computed_column,
    link_column,
    moment_column,
    number_column,
    state_column,
    text_column,
)
from backoffice.ui.views import DeskActionView
from platform_ops.admin.account_actions import ACCOUNT_ACTIONS, LIST_ACTIONS
from platform_ops.admin.account_catalogue import AddType, EditType
from platform_ops.models import AccountDimension, AccountGroup, AccountType, Trade, TradingAccount, TradingServer
from platform_ops.permissions import ASSIGN_ACCOUNTS, VIEW_PLATFORM
from platform_ops.services.accounts import assign_account


class AssignAccountForm(forms.Form):
    """To whom an account belongs."""

    client_reference = forms.CharField(
        max_length=20, label="Client", help_text="The client's reference, such as C-000123."
    )
    reason = forms.CharField(
        max_length=400, required=False, label="Reason", help_text="Needed when the account changes hands."
    )


class AssignAccount(DeskActionView):
    """Gives an account to a client."""

    slug, title, capability = "assign", "Assign to a client", ASSIGN_ACCOUNTS
    form_class = AssignAccountForm
    success_message = "Assigned. Commissions of its closed trades are settled now."

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Who gets it, and how many trades come with it."""
        client = self._client(actor, data)
        trades = Trade.objects.filter(account=self.target, is_cancelled=False).count()
        return [
            ("Account", str(self.target)),
            ("Client", f"{self.target.client or 'nobody'} → {client}"),
            ("Closed trades", f"{trades:,}"),
            ("What happens", "The trades count as the client's; commissions are settled for every day they closed on."),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> Any:
        """Assigns it."""
        return assign_account(
            account_id=self.target.pk, client_id=self._client(actor, data).pk, actor=actor, reason=data["reason"]
        )

    def _client(self, actor: Actor, data: Mapping[str, Any]) -> Any:
        clients = apps.get_model("crm", "Client")._default_manager.all()
        client = visible_to(clients, actor).filter(reference__iexact=data["client_reference"].strip()).first()
        if client is None:
            raise InvalidInput("No client that you see has this reference.", field="client_reference")
        return client


class OwnerFilter(admin.SimpleListFilter):
    """Accounts that wait for a client."""

    title = "client"
    parameter_name = "owner"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, str]]:
        """Two kinds."""
        return [("nobody", "Waiting for a client"), ("client", "Assigned")]

    def queryset(self, request: Any, queryset: Any) -> Any:
        """Filters."""
        if self.value() in {"nobody", "client"}:
            return queryset.filter(client__isnull=self.value() == "nobody")
        return queryset


@admin.register(TradingAccount)
class TradingAccountAdmin(DeskModelAdmin):
    """Accounts on the servers."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "login",
        "server_shown",
        "client_shown",
        "owner_state",
        "group_shown",
        "currency",
        "leverage",
        "status_shown",
        "opened_shown",
    )
    list_select_related = ("server", "client", "group", "account_type")
    list_filter = (OwnerFilter, "server", "currency", "account_type", "status", "is_demo")
    search_fields = ("login", "name", "client__reference", "client__full_name")
    object_actions = (*ACCOUNT_ACTIONS, AssignAccount)
    list_actions = LIST_ACTIONS
    empty_text = "No trading account yet. Importing a statement registers its account."

    server_shown = text_column("server", title="Server", order="server__code")
    client_shown = link_column("client", title="Client", order="client__reference")
    owner_state = state_column(
        lambda account: "Assigned" if account.client_id else "Waiting",
        title="Owner",
        tones={"Assigned": "good", "Waiting": "warn"},
    )
    group_shown = text_column("group__name", title="Group")
    status_shown = badge_column(
        "status", title="Status", tones={"active": "good", "read_only": "warn", "closed": "quiet"}
    )
    opened_shown = moment_column("opened_at", title="Opened", order="opened_at")


@admin.register(TradingServer)
class TradingServerAdmin(DeskModelAdmin):
    """Trading servers and how many accounts stand on them."""

    view_capability = VIEW_PLATFORM
    list_display = ("code", "name", "platform", "zone", "entity_shown", "accounts", "waiting")
    list_select_related = ("entity",)
    list_filter = ("platform",)
    search_fields = ("code", "name")

    entity_shown = text_column("entity", title="Legal entity")
    accounts = number_column("account_count", title="Accounts", digits=0)
    waiting = number_column("waiting_count", title="Without client", digits=0)

    def get_queryset(self, request: Any) -> Any:
        """With the counts."""
        return (
            super()
            .get_queryset(request)
            .annotate(
                account_count=Count("accounts"),
                waiting_count=Count("accounts", filter=Q(accounts__client__isnull=True)),
            )
        )


@admin.register(AccountGroup)
class AccountGroupAdmin(DeskModelAdmin):
    """Groups on servers."""

    view_capability = VIEW_PLATFORM
    list_display = ("name", "server_shown", "type_shown", "currency", "side_shown", "mode_shown")
    list_select_related = ("server", "account_type")
    list_filter = ("server", "currency", "account_type", "is_demo", "position_mode")
    search_fields = ("name", "server__code")
    empty_text = "No group yet. Groups come with accounts that are imported or followed."

    server_shown = link_column("server", title="Server", order="server__code")
    type_shown = link_column("account_type", title="Account type", order="account_type__code")
    side_shown = state_column(
        lambda row: "Demo" if row.is_demo else "Live", title="Accounts", tones={"Live": "info"}, order="is_demo"
    )
    mode_shown = text_column("get_position_mode_display", title="Positions")


@admin.register(AccountType)
class AccountTypeAdmin(DeskModelAdmin):
    """The offers of the catalogue."""

    view_capability = VIEW_PLATFORM
    list_display = ("name", "code", "kind_shown", "entity_shown", "leverages", "swap_shown", "offered_shown")
    list_select_related = ("entity",)
    list_filter = ("entity", "kind", "is_offered", "is_swap_free")
    search_fields = ("code", "name")
    object_actions = (EditType,)
    list_actions = (AddType,)
    empty_text = "No account type yet."

    kind_shown = badge_column("kind", title="Kind")
    entity_shown = text_column("entity", title="Legal entity")
    leverages = computed_column(lambda row: ", ".join(f"1:{value}" for value in row.leverage_choices), title="Leverage")
    swap_shown = computed_column(lambda row: "Swap-free" if row.is_swap_free else "Swaps", title="Swaps")
    offered_shown = state_column(
        lambda row: "Offered" if row.is_offered else "Not offered", title="Offered", tones={"Offered": "good"}
    )


@admin.register(AccountDimension)
class AccountDimensionAdmin(DeskModelAdmin):
    """Dated facts on accounts, written by the desks that own them."""

    view_capability = VIEW_PLATFORM
    list_display = ("account_shown", "dimension", "value", "from_shown", "until_shown")
    list_select_related = ("account",)
    list_filter = ("dimension",)
    search_fields = ("account__login", "value")

    account_shown = link_column("account", title="Account", order="account__login")
    from_shown = moment_column("validity__lower", title="From", order="validity")
    until_shown = moment_column("validity__upper", title="Until")
