"""Pages of the portal that are for everybody: no login, no menu, bounded by address."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.views.generic import View

from backoffice.core import throttle
from backoffice.core.addresses import client_address
from backoffice.core.organisation.brands import BrandLook
from backoffice.kernel.errors import NotFound
from backoffice.ui.portal import PortalView

HOUR = 3600


class PublicView(PortalView):
    """A page that demands no login. What is not there is not found; who asks too often waits."""

    sent_in_an_hour = 30

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Lets everybody in; forms are taken from one address a limited number of times in an hour."""
        self.brand: BrandLook | None = getattr(request, "brand", None)
        self.address = client_address(request)
        if request.method == "POST":
            taken = throttle.take(
                f"form:{type(self).__name__}:{self.address}", limit=self.sent_in_an_hour, window_seconds=HOUR
            )
            if taken is not None and taken.is_exceeded:
                return self.public_page(
                    {"problem": "Too many forms came from here. Please try again in an hour."}, status=429
                )
        try:
            response = View.dispatch(self, request, *args, **kwargs)
        except NotFound as error:
            raise Http404(error.message) from error
        if isinstance(response, HttpResponse):
            # Secret addresses must not travel on, neither in a referrer nor in a search engine.
            response["Referrer-Policy"] = "same-origin"
            response["X-Robots-Tag"] = "noindex"
            response["Cache-Control"] = "private, no-store"
        return response

    def public_page(self, context: Mapping[str, Any], *, template: str = "", status: int = 200) -> TemplateResponse:
        """A response with the portal's frame and no menu."""
        name = template or self.template_name
        return TemplateResponse(self.request, name, {"title": self.title, "menu": None, **context}, status=status)
