"""The data centre in the portal: a partner looks at the own clients, sub-partners and commission."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from backoffice.core.types import Role
from backoffice.ui.portal import PortalView, register_portal_page
from ib.data_centre_pages import lists, overview, partners
from ib.data_centre_pages.base import OwnSide

ROLES = (Role.IB.value,)


class _Front(OwnSide):
    """Who may come in, and the frame."""

    roles: ClassVar[Sequence[str]] = ROLES
    template_name = "ib/data_centre/portal.html"


class OwnOverview(_Front, overview.OverviewPage, PortalView):
    """Figures of the own programme."""


class OwnFunnel(_Front, lists.FunnelPage, PortalView):
    """How far clients came."""


class OwnClients(_Front, lists.ClientsPage, PortalView):
    """Own clients."""


class OwnClient(_Front, lists.ClientPage, PortalView):
    """One client."""


class OwnTrades(_Front, lists.TradesPage, PortalView):
    """Trades."""


class OwnTrade(_Front, lists.TradePage, PortalView):
    """One trade."""


class OwnPayments(_Front, lists.PaymentsPage, PortalView):
    """Payments."""


class OwnLeague(_Front, partners.LeaguePage, PortalView):
    """Sub-partners."""


class OwnTree(_Front, partners.TreePage, PortalView):
    """The tree below."""


class OwnBranch(_Front, partners.BranchPage, PortalView):
    """A piece of the tree."""


class OwnExpected(_Front, partners.ExpectedPage, PortalView):
    """The open month."""


# Without roles a page stands in no menu; its view asks for the role itself.
_PAGES = (
    ("data_funnel", "funnel/", OwnFunnel),
    ("data_clients", "clients/", OwnClients),
    ("data_client", "clients/<str:reference>/", OwnClient),
    ("data_trades", "trades/", OwnTrades),
    ("data_trade", "trades/<int:trade_id>/", OwnTrade),
    ("data_payments", "payments/", OwnPayments),
    ("data_league", "partners/", OwnLeague),
    ("data_tree", "tree/", OwnTree),
    ("data_branch", "tree/<int:partner_id>/", OwnBranch),
    ("data_expected", "expected/", OwnExpected),
)


def register() -> None:
    """Adds the pages; one entry of the menu leads to all of them."""
    register_portal_page(
        "ib.data_centre", "Data centre", "portal:ib_data_centre", ROLES, 15, route="data-centre/", view=OwnOverview
    )
    for order, (name, route, view) in enumerate(_PAGES):
        register_portal_page(
            f"ib.{name}", view.__name__, f"portal:ib_{name}", (), 700 + order, route=f"data-centre/{route}", view=view
        )
