"""A trader's pages: own accounts with their balances, open positions, closed trades."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from backoffice.core.types import Actor, Role
from backoffice.ui.columns import badge, computed, moment, money, number, text
from backoffice.ui.portal import Panel, PortalTablePage, register_home_panel, register_portal_page
from platform_ops.selectors import own_accounts

ROLES = (Role.TRADER.value,)
RECENT_TRADES = 5

ACCOUNT_COLUMNS = (
    text("login", title="Account"),
    text("type", title="Type"),
    text("server", title="Server"),
    badge("status", title="Status", tones={"Active": "good", "Read only": "warn", "Closed": "bad"}),
    number("open_positions", title="Open positions"),
    money("credit", currency="currency", title="Credit"),
    money("balance", currency="currency", title="Balance"),
)


def _side(row: Any) -> str:
    return "Buy" if row.side > 0 else "Sell"


TRADE_COLUMNS = (
    moment("closed_at", title="Closed (UTC)"),
    text("account__login", title="Account"),
    text("server_symbol__name", title="Symbol"),
    computed(_side, title="Side"),
    number("volume_lots", title="Lots"),
    number("open_price", title="Open price"),
    number("close_price", title="Close price"),
    money("swap", currency="currency", title="Swap"),
    money("profit", currency="currency", title="Profit"),
)

POSITION_COLUMNS = (
    moment("opened_at", title="Opened (UTC)"),
    text("account__login", title="Account"),
    text("server_symbol__name", title="Symbol"),
    computed(_side, title="Side"),
    number("volume_lots", title="Lots"),
    number("open_price", title="Open price"),
)


class TradesPage(PortalTablePage):
    """Closed trades."""

    roles = ROLES
    title = "Trades"
    columns = TRADE_COLUMNS
    empty_text = "No trade has been closed yet."

    def rows(self, actor: Actor) -> QuerySet[Any] | Sequence[Any]:
        """Own, the newest first."""
        return own_accounts.closed_trades(actor=actor)


class PositionsPage(PortalTablePage):
    """Open positions."""

    roles = ROLES
    title = "Open positions"
    columns = POSITION_COLUMNS
    empty_text = "Nothing is open."

    def rows(self, actor: Actor) -> QuerySet[Any] | Sequence[Any]:
        """Own, the newest first."""
        return own_accounts.open_positions(actor=actor)


def accounts_panel(actor: Actor) -> Panel:
    """The accounts with their balances."""
    return Panel(
        title="Your accounts",
        columns=ACCOUNT_COLUMNS,
        rows=own_accounts.account_states(actor=actor),
        empty_text="No account has been opened for you yet.",
        note="Balances are realised money; the result of open positions is not in them.",
    )


def recent_trades_panel(actor: Actor) -> Panel:
    """The last closed trades."""
    return Panel(
        title="Last trades",
        columns=TRADE_COLUMNS,
        rows=list(own_accounts.closed_trades(actor=actor)[:RECENT_TRADES]),
        url=reverse("portal:trades"),
        empty_text="No trade has been closed yet.",
    )


def register() -> None:
    """Adds the pages and panels."""
    register_home_panel("trader.accounts", ROLES, accounts_panel, 10)
    register_home_panel("trader.trades", ROLES, recent_trades_panel, 20)
    register_portal_page("trader.trades", "Trades", "portal:trades", ROLES, 20, route="trades/", view=TradesPage)
    register_portal_page(
        "trader.positions", "Open positions", "portal:positions", ROLES, 30, route="positions/", view=PositionsPage
    )
