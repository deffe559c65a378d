"""Registers the platform desk's menu and cards; called when the application starts."""

from __future__ import annotations

from django.urls import reverse

from backoffice.core.access import visible_to
from backoffice.core.types import Actor, Role
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.navigation import register_page, register_section
from platform_ops.models import ServerSymbol, TradingAccount
from platform_ops.permissions import VIEW_PLATFORM

DESK = "platform_ops"
PAGES = (
    ("Trading accounts", "tradingaccount", 20, "account_balance_wallet"),
    ("Open positions", "position", 30, "trending_up"),
    ("Trades", "trade", 40, "swap_horiz"),
    ("Deals", "currentdeal", 50, "receipt_long"),
    ("Balance operations", "balanceoperation", 60, "payments"),
    ("Symbols", "symbol", 70, "category"),
    ("Names on servers", "serversymbol", 75, "label"),
    ("Specifications", "symbolspec", 80, "tune"),
    ("Quotes", "quote", 85, "bolt"),
    ("Closing prices", "dailyprice", 90, "event_available"),
    ("Reference rates", "fxreferencerate", 95, "currency_exchange"),
    ("Servers", "tradingserver", 100, "dns"),
    ("Ingest batches", "ingestbatch", 110, "inventory_2"),
)


def register() -> None:
    """Menu entries and the card of the queues."""
    from platform_ops.admin import days

    register_section(DESK, "Platform operations", "dns", 20)
    for title, model, order, icon in PAGES:
        register_page(DESK, title, f"admin:platform_ops_{model}_changelist", VIEW_PLATFORM, order, icon=icon)
    register_card("platform.queues", (Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR), queues_card, order=10)
    days.register()


def queues_card(actor: Actor) -> Card | None:
    """What waits for somebody: accounts without a client, names without a symbol."""
    accounts = visible_to(TradingAccount.objects.filter(client__isnull=True), actor).count()
    symbols = visible_to(ServerSymbol.objects.filter(symbol__isnull=True), actor).count()
    return Card(
        title="Waiting for somebody",
        figure=str(accounts + symbols),
        rows=(("Accounts without a client", f"{accounts:,}"), ("Names without a symbol", f"{symbols:,}")),
        url=reverse("admin:platform_ops_tradingaccount_changelist") + "?owner=nobody",
        tone="warn" if accounts + symbols else "good",
    )
