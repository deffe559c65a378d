"""The button that lets a member of staff look at the portal as a client does; desks put it on what is a client to them.

class ClientAdmin(DeskModelAdmin):
    object_actions = (..., ViewAsClient)       # the object has a `user`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.urls import reverse

from backoffice.core.identity.middleware import CLIENT_VIEW_KEY
from backoffice.core.models import ClientView, User
from backoffice.core.services import client_views
from backoffice.core.types import Actor
from backoffice.kernel.errors import NotFound
from backoffice.ui.views import DeskActionView


class ViewReasonForm(forms.Form):
    """Why somebody looks."""

    reason = forms.CharField(
        widget=forms.Textarea(attrs={"rows": 2}),
        max_length=500,
        help_text="Kept in the audit, with every page you see.",
    )


class ViewAsClient(DeskActionView):
    """Begins a read-only view of the portal as this client."""

    slug, title, button = "view-as-client", "View the portal as this client", "View as client"
    capability = client_views.VIEW_AS_CLIENT
    form_class = ViewReasonForm
    explanation = "You see the portal as the client does, for 15 minutes at most. Nothing can be changed."
    success_message = "You are looking as the client."

    @classmethod
    def person_of(cls, target: Any) -> User | None:
        """The login of the object; None when it has none."""
        return getattr(target, "user", None)

    @classmethod
    def is_offered(cls, target: Any, actor: Actor) -> bool:
        """Only where there is a login that this actor may look at."""
        person = cls.person_of(target)
        return person is not None and client_views.may_view(actor=actor, person=person)

    def describe(self, actor: Actor, data: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
        """Whom, how long, and what is kept of it."""
        person = self.person_of(self.target)
        return [
            ("Client", str(person or self.target)),
            ("For", f"{int(client_views.LONGEST_VIEW.total_seconds() // 60)} minutes at most"),
            ("Kept", "that you looked, why, and every page"),
            ("Reason", data["reason"]),
        ]

    def perform(self, actor: Actor, data: Mapping[str, Any], idempotency_key: str) -> ClientView:
        """Begins the view and remembers it in this session alone."""
        person = self.person_of(self.target)
        if person is None:
            raise NotFound("This client has no login.")
        view = client_views.start_client_view(user_id=person.pk, actor=actor, reason=data["reason"])
        self.request.session[CLIENT_VIEW_KEY] = view.pk
        return view

    def success_url(self, result: Any) -> str:
        """The client's own first page."""
        return reverse("portal:home")
