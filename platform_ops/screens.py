"""Registers the platform desk's menu and cards; called when the application starts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db.models import Count, Sum
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from backoffice.core.access import visible_to
from backoffice.core.types import Actor, Role
from backoffice.ui.columns import money_html, object_link
from backoffice.ui.dashboards import Card, register_card
from backoffice.ui.formats import format_decimal, format_time
from backoffice.ui.navigation import register_page, register_section
from backoffice.ui.panels import register_panel
from platform_ops import menu
from platform_ops.models import Position, ServerSymbol, Trade, TradingAccount
from platform_ops.permissions import VIEW_PLATFORM

DESK = "platform_ops"
PANEL_ROWS = 20
PAGES = (
    ("Trading accounts", "tradingaccount", 20, "account_balance_wallet"),
    ("Account types", "accounttype", 24, "category"),
    ("Account groups", "accountgroup", 25, "groups"),
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
    from platform_ops.admin import (
        account_operations,
        complaints,
        days,
        deal_markets,
        execution,
        imports,
        liquidity,
        reconciliation,
        servers,
        swap_markup,
    )

    register_section(DESK, "Platform operations", "dns", 20)
    menu.register()
    for title, model, order, icon in PAGES:
        register_page(DESK, title, f"admin:platform_ops_{model}_changelist", VIEW_PLATFORM, order, icon=icon)
    register_card("platform.queues", (Role.PLATFORM_OPERATIONS, Role.ADMINISTRATOR), queues_card, order=10)
    register_panel(
        "crm.Client", "trading_accounts", "Trading accounts", accounts_panel, order=20, capability=VIEW_PLATFORM
    )
    register_panel("platform_ops.TradingAccount", "open", "Open positions", positions_panel, order=20)
    register_panel("platform_ops.TradingAccount", "trades", "Last trades", trades_panel, order=30)
    days.register()
    deal_markets.register()
    execution.register()
    account_operations.register()
    complaints.register()
    swap_markup.register()
    servers.register()
    imports.register()
    reconciliation.register()
    liquidity.register()


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


def accounts_panel(client: Any, actor: Actor) -> SafeString | str:
    """The client's accounts with what they earned: net of swap, commission and fees, by account."""
    accounts = visible_to(TradingAccount.objects.filter(client=client), actor).select_related("server", "account_type")
    results = {
        row["account_id"]: row
        for row in Trade.objects.filter(account__in=accounts, is_cancelled=False)
        .values("account_id")
        .annotate(
            trades=Count("pk"),
            net=Sum("profit") + Sum("swap") + Sum("commission") + Sum("fee"),
            lots=Sum("volume_lots"),
        )
        .order_by()
    }
    rows = [
        (
            object_link(account, account.login),
            account.server.code,
            str(account.account_type or ""),
            f"{results[account.pk]['trades']:,}" if account.pk in results else "0",
            format_decimal(results[account.pk]["lots"], 2) if account.pk in results else "0.00",
            money_html(results[account.pk]["net"] if account.pk in results else Decimal(0), account.currency),
        )
        for account in accounts[:PANEL_ROWS]
    ]
    return _table(("Account", "Server", "Type", "Trades", "Lots", "Net result"), rows, numeric_from=3)


def positions_panel(account: Any, actor: Actor) -> SafeString | str:
    """What is open on the account."""
    positions = visible_to(Position.objects.filter(account=account), actor).select_related("server_symbol")
    rows = [
        (
            str(position.position_ticket),
            position.server_symbol.name,
            position.get_side_display(),
            format_time(position.opened_at),
            format_decimal(position.volume_lots, 2),
            format_decimal(position.open_price),
        )
        for position in positions.order_by("-opened_at")[:PANEL_ROWS]
    ]
    return _table(("Position", "Symbol", "Side", "Opened", "Lots", "Open price"), rows, numeric_from=4)


def trades_panel(account: Any, actor: Actor) -> SafeString | str:
    """The last trades closed on the account."""
    trades = visible_to(Trade.objects.filter(account=account), actor).select_related("server_symbol")
    rows = [
        (
            str(trade.ticket),
            trade.server_symbol.name,
            trade.get_side_display(),
            format_time(trade.closed_at),
            format_decimal(trade.volume_lots, 2),
            money_html(trade.profit + trade.swap + trade.commission + trade.fee, trade.currency),
        )
        for trade in trades[:PANEL_ROWS]
    ]
    return _table(("Ticket", "Symbol", "Side", "Closed", "Lots", "Net result"), rows, numeric_from=4)


def _table(headings: tuple[str, ...], rows: list[tuple[Any, ...]], *, numeric_from: int) -> SafeString | str:
    """A small table, or nothing; the columns from *numeric_from* on are figures."""
    if not rows:
        return ""
    head = format_html_join(
        "", "<th scope='col'{}>{}</th>", ((_numeric(i, numeric_from), h) for i, h in enumerate(headings))
    )
    body = format_html_join(
        "",
        "<tr>{}</tr>",
        (
            (format_html_join("", "<td{}>{}</td>", ((_numeric(i, numeric_from), cell) for i, cell in enumerate(row))),)
            for row in rows
        ),
    )
    return format_html('<table class="bo-table"><thead><tr>{}</tr></thead><tbody>{}</tbody></table>', head, body)


def _numeric(index: int, numeric_from: int) -> SafeString | str:
    return format_html(' class="{}"', "bo-num") if index >= numeric_from else ""
