"""The staff site. Nobody enters without a staff role and a second factor."""

from __future__ import annotations

from unfold.sites import UnfoldAdminSite


class DeskSite(UnfoldAdminSite):
    """The desk's admin site."""

    site_title = "Back office"
    site_header = "Broker back office"
    index_title = "Today"
