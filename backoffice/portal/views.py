"""The portal's first page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from backoffice.core.types import PORTAL_ROLES, Actor
from backoffice.ui.portal import PortalView, home_panels_for


class PortalHome(PortalView):
    """What a trader or introducing broker sees first: the panels that desks registered for the role."""

    roles = tuple(sorted(PORTAL_ROLES))
    title = "Overview"
    template_name = "portal/home.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The panels that have something to show."""
        return {"panels": home_panels_for(actor)}
