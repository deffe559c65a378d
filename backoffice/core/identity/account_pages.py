"""A person's own pages beside those of the login library: sessions and sign-ins, passkeys, and leaving a client's view."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.views import RemoveWebAuthnView
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from backoffice.core.actors import actor_of_user
from backoffice.core.identity.middleware import CLIENT_VIEW_KEY
from backoffice.core.models import User
from backoffice.core.services import client_views, login_events, sessions
from backoffice.core.types import Actor

SHOWN_EVENTS = 25
SHOWN_SESSIONS = 50


def _own(request: HttpRequest) -> Actor:
    """The logged-in person on their own pages, which are open before the second factor is shown."""
    assert isinstance(request.user, User), "login_required"
    return actor_of_user(request.user)


@require_safe
@never_cache
@login_required
def own_sessions(request: HttpRequest) -> HttpResponse:
    """Where the person is signed in, and what happened with the login lately."""
    actor = _own(request)
    current = request.session.session_key
    held = list(sessions.own_sessions(actor=actor)[:SHOWN_SESSIONS])
    context = {
        "open_sessions": sorted(held, key=lambda each: each.session_key != current),
        "current_key": current,
        "events": login_events.own_events(actor=actor)[:SHOWN_EVENTS],
    }
    return TemplateResponse(request, "account/sessions.html", context)


@require_POST
@login_required
def end_session(request: HttpRequest, public_id: UUID) -> HttpResponse:
    """Ends one other session."""
    sessions.end_own_session(public_id=public_id, actor=_own(request), current_key=request.session.session_key)
    messages.success(request, "That session has ended.")
    return redirect("own_sessions")


@require_POST
@login_required
def end_other_sessions(request: HttpRequest) -> HttpResponse:
    """Ends every session but this one."""
    ended = sessions.end_own_other_sessions(actor=_own(request), current_key=request.session.session_key)
    messages.success(request, f"{ended} other session{'' if ended == 1 else 's'} ended.")
    return redirect("own_sessions")


@require_POST
@login_required
def end_client_view(request: HttpRequest) -> HttpResponse:
    """Leaves the view as a client."""
    view_id = request.session.pop(CLIENT_VIEW_KEY, None)
    if view_id:
        client_views.end_client_view(view_id=view_id, actor=_own(request))
        messages.success(request, "You no longer look as a client.")
    return redirect("home")


class RemovePasskey(RemoveWebAuthnView):
    """Removes a passkey, unless it is the last second factor of somebody who needs one."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """See the class."""
        if request.user.is_authenticated:
            passkey = Authenticator.objects.filter(
                user=request.user, pk=kwargs["pk"], type=Authenticator.Type.WEBAUTHN
            ).first()
            if passkey is not None and not get_adapter().can_delete_authenticator(passkey):
                raise PermissionDenied("Your work needs a second factor: set up another one first.")
        return super().dispatch(request, *args, **kwargs)  # type: ignore[no-any-return]


urlpatterns: list[URLPattern] = [
    path("sessions/", own_sessions, name="own_sessions"),
    path("sessions/end-others/", end_other_sessions, name="end_other_sessions"),
    path("sessions/<uuid:public_id>/end/", end_session, name="end_session"),
    path("client-view/end/", end_client_view, name="end_client_view"),
    path("2fa/webauthn/keys/<int:pk>/remove/", RemovePasskey.as_view(), name="remove_passkey"),
]
