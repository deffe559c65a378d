"""The room of the data centre: its menu entry, pages of both fronts, endpoints, and the policy of names."""

from __future__ import annotations


def register() -> None:
    """Called once, when the process starts."""
    from backoffice.ui.navigation import register_page
    from ib.admin import data_centre as desk  # noqa: F401 - mounting the pages is what it is read for
    from ib.admin import name_policies as policies  # noqa: F401 - as above
    from ib.api import data_centre as endpoints
    from ib.portal import data_centre as portal
    from ib.services import name_policies

    name_policies.register()
    register_page("ib", "Data centre", "admin:ib_data_centre", "ib.view_commissions", 5, icon="monitoring")
    register_page(
        "ib", "Names partners read", "admin:ib_namepolicy_changelist", "ib.view_partners", 46, icon="visibility"
    )
    portal.register()
    endpoints.register()
