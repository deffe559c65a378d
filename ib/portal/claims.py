"""A trader who forgot the code at the registration says who brought them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse

from backoffice.core.types import Actor, Role
from backoffice.kernel import clock
from backoffice.kernel.errors import DomainError
from backoffice.ui.portal import Panel, PortalView, register_home_panel, register_portal_page
from ib.models import ClientClaim
from ib.rules.claims import CLIENT_STATEMENT
from ib.services import claims

ROLES = (Role.TRADER.value,)


class CodeForm(forms.Form):
    """The forgotten code."""

    code = forms.CharField(label="Code of who brought you", max_length=32, help_text="Such as ALPHA234.")


class IntroducerPage(PortalView):
    """The form, within thirty days of the registration."""

    roles, title, template_name = ROLES, "Who brought you", "ib/portal/introducer.html"

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """How it stands."""
        return self.page(self._context(CodeForm()))

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Says it."""
        form = CodeForm(request.POST)
        if not form.is_valid():
            return self.page(self._context(form), status=400)
        try:
            claims.name_introducer(code=form.cleaned_data["code"], actor=self.actor)
        except DomainError as error:
            form.add_error("code", error.message)
            return self.page(self._context(form), status=error.http_status)
        messages.success(request, "Thank you. It counts from now on.")
        return HttpResponseRedirect(reverse("portal:ib_introducer"))

    def _context(self, form: CodeForm) -> Mapping[str, Any]:
        client = claims.claimable_client(self.actor)
        is_said = client is not None and _has_said(client.pk)
        is_open = client is not None and not is_said and clock.now() <= claims.statement_until(client)
        return {"form": form, "is_open": is_open, "is_said": is_said, "days": claims.STATEMENT_DAYS}


def introducer_panel(actor: Actor) -> Panel | None:
    """A word about it on the first page, while it is possible."""
    client = claims.claimable_client(actor)
    if client is None or clock.now() > claims.statement_until(client) or _has_said(client.pk):
        return None
    return Panel(
        title="Did somebody bring you to us?",
        note=f"If you forgot the code at the registration, name it until {claims.statement_until(client):%Y-%m-%d}.",
        url=reverse("portal:ib_introducer"),
        url_label="Name the code",
    )


def _has_said(client_id: int) -> bool:
    return ClientClaim.objects.filter(client_id=client_id, evidence__kind=CLIENT_STATEMENT).exists()


def register() -> None:
    """Adds the page and the panel. Without roles the page stands in no menu; it asks for the role itself."""
    register_portal_page(
        "ib.introducer", "Who brought you", "portal:ib_introducer", (), 70, route="introducer/", view=IntroducerPage
    )
    register_home_panel("ib.introducer", ROLES, introducer_panel, 60)
