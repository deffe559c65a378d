"""What desks add to the API root, /api/v1/.

    register_router("clients", ClientViewSet, basename="client")       # → /api/v1/clients/
    register_endpoint("commission-totals/", CommissionTotalsView, "commission-totals")

Called from `AppConfig.ready()`. Viewsets name a `capability` and read through the access door.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backoffice.kernel.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class RegisteredViewSet:
    """A viewset under a prefix."""

    prefix: str
    viewset: Any
    basename: str


@dataclass(frozen=True, slots=True)
class RegisteredEndpoint:
    """A single view."""

    route: str
    view: Any
    name: str


_viewsets: dict[str, RegisteredViewSet] = {}
_endpoints: dict[str, RegisteredEndpoint] = {}


def register_router(prefix: str, viewset: Any, basename: str) -> None:
    """Adds a viewset under /api/v1/<prefix>/."""
    item = RegisteredViewSet(prefix, viewset, basename)
    if _viewsets.setdefault(prefix, item) != item:
        raise Misconfigured(f"The API prefix {prefix} is registered twice.", prefix=prefix)


def register_endpoint(route: str, view: Any, name: str) -> None:
    """Adds a view class under /api/v1/<route>."""
    item = RegisteredEndpoint(route, view, name)
    if _endpoints.setdefault(route, item) != item:
        raise Misconfigured(f"The API route {route} is registered twice.", route=route)


def viewsets() -> list[RegisteredViewSet]:
    """Every registered viewset."""
    return list(_viewsets.values())


def endpoints() -> list[RegisteredEndpoint]:
    """Every registered view."""
    return list(_endpoints.values())
