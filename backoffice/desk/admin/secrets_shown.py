"""Actions whose result is a secret that is shown once, on the page that answers, and never again."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from backoffice.ui.views import DeskActionView


class ShowsSecretOnce(DeskActionView):
    """A subclass calls `show(title, secret, hint)` in `perform`; the answer is a page with the secret, kept by nobody."""

    shown: dict[str, str] | None = None

    def show(self, *, title: str, secret: str, hint: str) -> None:
        """What the answering page says."""
        self.shown = {"secret_title": title, "secret": secret, "secret_hint": hint}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """The page with the secret instead of going back to the object."""
        response = super().post(request, *args, **kwargs)
        if self.shown is None:
            return response
        page = self.page({**self.shown, "back_url": self.breadcrumbs()[-1][1]}, template="desk/secret_once.html")
        page.headers["Cache-Control"] = "no-store"
        return page
