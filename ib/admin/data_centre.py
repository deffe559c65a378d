"""The data centre at the desk: the whole house, or any partner of it, by the same reads as the partner's own pages."""

from __future__ import annotations

from backoffice.ui.views import DeskPage, register_desk_page
from ib.data_centre_pages import lists, overview, partners
from ib.data_centre_pages.base import StaffSide
from ib.selectors.data_centre.viewpoint import VIEW


class _Front(StaffSide):
    """The desk's frame and capability."""

    desk, capability = "ib", VIEW
    template_name = "ib/data_centre/desk.html"


@register_desk_page
class StaffOverview(_Front, overview.OverviewPage, DeskPage):
    """Figures of the house or of a partner."""

    slug, title, route = "data_centre", "Data centre", "data-centre/"


@register_desk_page
class StaffFunnel(_Front, lists.FunnelPage, DeskPage):
    """How far clients came."""

    slug, title, route = "data_funnel", "Funnel and cohorts", "data-centre/funnel/"


@register_desk_page
class StaffClients(_Front, lists.ClientsPage, DeskPage):
    """Introduced clients."""

    slug, title, route = "data_clients", "Clients in the data centre", "data-centre/clients/"


@register_desk_page
class StaffClient(_Front, lists.ClientPage, DeskPage):
    """One client."""

    slug, title, route = "data_client", "Client in the data centre", "data-centre/clients/<str:reference>/"


@register_desk_page
class StaffTrades(_Front, lists.TradesPage, DeskPage):
    """Trades."""

    slug, title, route = "data_trades", "Trades of introduced clients", "data-centre/trades/"


@register_desk_page
class StaffTrade(_Front, lists.TradePage, DeskPage):
    """One trade."""

    slug, title, route = "data_trade", "Trade in the data centre", "data-centre/trades/<int:trade_id>/"


@register_desk_page
class StaffPayments(_Front, lists.PaymentsPage, DeskPage):
    """Payments."""

    slug, title, route = "data_payments", "Payments of introduced clients", "data-centre/payments/"


@register_desk_page
class StaffLeague(_Front, partners.LeaguePage, DeskPage):
    """The league of partners."""

    slug, title, route = "data_league", "League of partners", "data-centre/partners/"


@register_desk_page
class StaffTree(_Front, partners.TreePage, DeskPage):
    """The tree with its volumes."""

    slug, title, route = "data_tree", "Tree of partners by volume", "data-centre/tree/"


@register_desk_page
class StaffBranch(_Front, partners.BranchPage, DeskPage):
    """A piece of the tree."""

    slug, title, route = "data_branch", "Branch of the tree", "data-centre/tree/<int:partner_id>/"


@register_desk_page
class StaffExpected(_Front, partners.ExpectedPage, DeskPage):
    """The open month of a partner."""

    slug, title, route = "data_expected", "Expected against booked", "data-centre/expected/"
