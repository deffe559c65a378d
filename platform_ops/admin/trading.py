"""What happened on the servers: deals, trades, open positions, balance operations, ingest batches. All read-only."""

from __future__ import annotations

from django.contrib import admin

from backoffice.ui.admin import DeskModelAdmin
from backoffice.ui.columns import badge_column, link_column, moment_column, money_column, number_column, text_column
from platform_ops.admin.complaints import Complain
from platform_ops.models import BalanceOperation, CurrentDeal, IngestBatch, Position, Trade
from platform_ops.permissions import VIEW_PLATFORM

SIDE_TONES = {1: "info", -1: "quiet"}


@admin.register(Trade)
class TradeAdmin(DeskModelAdmin):
    """Closed round trips, the newest first."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "ticket", "account_shown", "symbol_shown", "side_shown", "lots", "opened_shown", "closed_shown", "open_shown",
        "close_shown", "profit_shown", "swap_shown", "commission_shown",
    )  # fmt: skip
    list_select_related = ("account", "server", "server_symbol__symbol")
    list_filter = ("server", "side", "currency", "is_cancelled", "server_symbol__symbol__group")
    search_fields = ("=ticket", "account__login", "server_symbol__name")
    date_hierarchy = "business_day"
    object_actions = (Complain,)
    empty_text = (
        "No closed trade yet. Trades appear here as soon as a statement is imported or a server is synchronised."
    )

    account_shown = link_column("account", title="Account", order="account__login")
    symbol_shown = text_column("server_symbol__name", title="Symbol", order="server_symbol__name")
    side_shown = badge_column("side", title="Side", tones=SIDE_TONES)
    lots = number_column("volume_lots", title="Lots", digits=2, order="volume_lots")
    opened_shown = moment_column("opened_at", title="Opened")
    closed_shown = moment_column("closed_at", title="Closed", order="closed_at")
    open_shown = number_column("open_price", title="Open")
    close_shown = number_column("close_price", title="Close")
    profit_shown = money_column("profit", currency="currency", title="Profit", order="profit")
    swap_shown = money_column("swap", currency="currency", title="Swap")
    commission_shown = money_column("commission", currency="currency", title="Commission")


@admin.register(CurrentDeal)
class CurrentDealAdmin(DeskModelAdmin):
    """The latest revision of every deal."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "ticket", "leg", "revision", "account_shown", "kind_shown", "entry_shown", "symbol_shown", "lots", "price_shown",
        "at_shown", "profit_shown", "swap_shown", "commission_shown", "comment",
    )  # fmt: skip
    list_select_related = ("account", "server_symbol")
    list_filter = ("server", "kind", "entry")
    search_fields = ("=ticket", "=position_ticket", "account__login")
    # By the order of recording, which has an index: by time, every deal there is would be sorted for one page.
    ordering = ("-id",)
    empty_text = "No deal yet."

    account_shown = link_column("account", title="Account")
    kind_shown = badge_column("kind", title="Kind")
    entry_shown = badge_column("entry", title="Entry")
    symbol_shown = text_column("server_symbol__name", title="Symbol")
    lots = number_column("volume_lots", title="Lots", digits=2)
    price_shown = number_column("price", title="Price")
    at_shown = moment_column("at", title="Time", order="at")
    profit_shown = money_column("profit", currency="account__currency", title="Profit")
    swap_shown = money_column("swap", currency="account__currency", title="Swap")
    commission_shown = money_column("commission", currency="account__currency", title="Commission")


@admin.register(Position)
class PositionAdmin(DeskModelAdmin):
    """What is open now."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "position_ticket",
        "account_shown",
        "symbol_shown",
        "side_shown",
        "lots",
        "price_shown",
        "opened_shown",
    )
    list_select_related = ("account", "server_symbol")
    list_filter = ("account__server", "side", "server_symbol__symbol__group")
    search_fields = ("=position_ticket", "account__login", "server_symbol__name")
    empty_text = "Nothing is open."

    account_shown = link_column("account", title="Account", order="account__login")
    symbol_shown = text_column("server_symbol__name", title="Symbol", order="server_symbol__name")
    side_shown = badge_column("side", title="Side", tones=SIDE_TONES)
    lots = number_column("volume_lots", title="Lots", digits=2, order="volume_lots")
    price_shown = number_column("open_price", title="Open price")
    opened_shown = moment_column("opened_at", title="Opened", order="opened_at")


@admin.register(BalanceOperation)
class BalanceOperationAdmin(DeskModelAdmin):
    """Money on accounts that no trade made."""

    view_capability = VIEW_PLATFORM
    list_display = (
        "ticket",
        "account_shown",
        "kind_shown",
        "at_shown",
        "amount_shown",
        "is_opening",
        "is_cancelled",
        "comment",
    )
    list_select_related = ("account",)
    list_filter = ("server", "kind", "currency", "is_opening", "is_cancelled")
    search_fields = ("=ticket", "account__login", "comment")
    date_hierarchy = "business_day"
    empty_text = "No balance operation yet."

    account_shown = link_column("account", title="Account", order="account__login")
    kind_shown = badge_column("kind", title="Kind")
    at_shown = moment_column("at", title="Time", order="at")
    amount_shown = money_column("amount", currency="currency", title="Amount", order="amount")


@admin.register(IngestBatch)
class IngestBatchAdmin(DeskModelAdmin):
    """Rows that were committed together."""

    view_capability = VIEW_PLATFORM
    list_display = ("id", "server_shown", "source", "new_deals", "corrected_deals", "changed_trades", "created_shown")
    list_select_related = ("server",)
    list_filter = ("server", "source")
    search_fields = ("=id", "source")
    empty_text = "Nothing has been ingested yet."

    server_shown = text_column("server", title="Server")
    created_shown = moment_column("created_at", title="Committed", order="id")
