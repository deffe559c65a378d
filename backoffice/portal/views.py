"""The portal's first page, and the way in: staff to the desk, everybody else to the portal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponseRedirect
from django.urls import reverse

from backoffice.core.actors import actor_of
from backoffice.core.types import PORTAL_ROLES, Actor
from backoffice.ui.portal import PortalView, home_panels_for


@login_required
def home(request: HttpRequest) -> HttpResponseRedirect:
    """Where a person goes after login."""
    return HttpResponseRedirect(reverse("admin:index" if actor_of(request).is_staff else "portal:home"))


class PortalHome(PortalView):
    """What a trader or introducing broker sees first: the panels that desks registered for the role."""

    roles = tuple(sorted(PORTAL_ROLES))
    title = "Overview"
    template_name = "portal/home.html"

    def context(self, actor: Actor) -> Mapping[str, Any]:
        """The panels that have something to show."""
        return {"panels": home_panels_for(actor)}
