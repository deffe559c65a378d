"""Under which brand a request comes: a brand may have a host of its own, on which nothing of any other is shown.

Staff work on the house's host: on a brand's host there is no desk, no API and no report. A login of the portal is let in
on the host of the brand that it belongs to; rooms that know who belongs where say so with `register_belonging`.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.http.request import split_domain_port
from django.template.response import TemplateResponse

from backoffice.core.models import Brand, User
from backoffice.kernel.errors import Misconfigured

FRESH_SECONDS = 30.0
"""How long a process may go by what it read: a change of a brand shows on every process within that time."""
OPEN_PATHS = ("/portal/", "/account/", "/static/", "/files/", "/mail/", "/healthz", "/readyz")
"""What a brand's host serves."""
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_SIGN_OUT = ("/account/", "/static/", "/portal/brand", "/portal/apply/", "/portal/application/", "/portal/go/")

Belonging = Callable[[int], int | None]
GetResponse = Callable[[HttpRequest], HttpResponse]


@dataclass(frozen=True, slots=True)
class BrandLook:
    """What pages show of the brand of their host."""

    brand_id: int
    code: str
    name: str
    colour: str
    has_logo: bool
    support_email: str


class _Known:
    """Brands by host as this process read them last."""

    def __init__(self) -> None:
        self.brands: dict[str, BrandLook] = {}
        self.until = 0.0
        self.lock = threading.Lock()


_known = _Known()
_belongings: list[Belonging] = []


def register_belonging(find: Belonging) -> None:
    """Names who knows the brand that a login of the portal belongs to. Called once, when the process starts."""
    if _belongings and find not in _belongings:
        raise Misconfigured("Two rooms say which brand a login belongs to.")
    _belongings[:] = [find]


def brand_of_request(request: HttpRequest) -> BrandLook | None:
    """The brand whose own host was asked; None on the house's host."""
    domain, _ = split_domain_port(request.get_host())
    return brands_by_host().get(domain.lower())


def brands_by_host() -> dict[str, BrandLook]:
    """Every brand with a host of its own."""
    if time.monotonic() < _known.until:
        return _known.brands
    rows = Brand.objects.exclude(host="")
    found = {
        brand.host: BrandLook(
            brand_id=brand.pk,
            code=brand.code,
            name=brand.name,
            colour=brand.accent_colour if _COLOUR.fullmatch(brand.accent_colour) else "",
            has_logo=brand.logo_id is not None,
            support_email=brand.support_email,
        )
        for brand in rows
    }
    with _known.lock:
        _known.brands, _known.until = found, time.monotonic() + FRESH_SECONDS
    return found


def forget_brands() -> None:
    """Reads brands anew at the next request of this process."""
    _known.until = 0.0


class BrandHostMiddleware:
    """Keeps a brand's host to that brand. Stands after the middleware that knows who is logged in."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """See the module."""
        brand = brand_of_request(request)
        request.brand = brand  # type: ignore[attr-defined]
        if brand is not None and not self._may_see(request, brand):
            return TemplateResponse(request, "404.html", {"title": "Not found"}, status=404).render()
        return self.get_response(request)

    def _may_see(self, request: HttpRequest, brand: BrandLook) -> bool:
        if request.path != "/" and not request.path.startswith(OPEN_PATHS):
            return False
        user = getattr(request, "user", None)
        if not isinstance(user, User) or not user.is_authenticated or request.path.startswith(_SIGN_OUT):
            return True
        return not user.is_staff and any(find(user.pk) == brand.brand_id for find in _belongings)


def portal_brand(request: HttpRequest) -> dict[str, object]:
    """For templates: the name and look of the brand of the host."""
    brand: BrandLook | None = getattr(request, "brand", None)
    return {} if brand is None else {"portal_brand": brand.name, "portal_look": brand}
