"""What every request passes on behalf of identity: the device's cookie, when a session was last used, and the door of
views as a client."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import messages
from django.contrib.auth import SESSION_KEY
from django.db import InternalError, connection, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from backoffice.core.actors import actor_of
from backoffice.core.identity.browsers import keep_device
from backoffice.core.identity.second_factor import has_authenticator, second_factor_url, session_passed_second_factor
from backoffice.core.models import User
from backoffice.core.refusals import refusal_response
from backoffice.core.services import client_views, sessions
from backoffice.kernel.errors import Denied

# Pages that add, show or take away what signing in needs: open only to who has shown what is there already.
SECOND_FACTOR_PAGES = frozenset(
    {
        "mfa_activate_totp",
        "mfa_deactivate_totp",
        "mfa_add_webauthn",
        "mfa_edit_webauthn",
        "mfa_remove_webauthn",
        "remove_passkey",
        "mfa_generate_recovery_codes",
        "mfa_view_recovery_codes",
        "mfa_download_recovery_codes",
    }
)
GetResponse = Callable[[HttpRequest], HttpResponse]
CLIENT_VIEW_KEY = "_client_view"
PORTAL_PREFIX = "/portal/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
READ_ONLY_SQLSTATE = "25006"


class IdentityMiddleware:
    """Gives new browsers their device number and notes that a session is in use.

    A request that has not looked at its session costs nothing here, and stays free of cookies.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """See the class."""
        response = self.get_response(request)
        keep_device(request, response)
        session = getattr(request, "session", None)
        if session is not None and session.accessed and SESSION_KEY in session:
            sessions.note_seen(request)
        return response

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """A password alone must not add a second factor beside one that it has not shown, nor read recovery codes."""
        match = request.resolver_match
        if match is None or match.url_name not in SECOND_FACTOR_PAGES or not isinstance(request.user, User):
            return None
        if session_passed_second_factor(request) or not has_authenticator(request.user.pk):
            return None
        return HttpResponseRedirect(second_factor_url(request, next_url=request.path))


class ClientViewMiddleware:
    """While a member of staff looks at the portal as a client: the portal's pages are the client's, and nothing else is.

    Whatever could change something is refused here, before any view runs, and by the database, which runs the page in a
    read-only transaction. Outside of the portal the session stays the member of staff's own.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """See the class."""
        if not request.path.startswith(PORTAL_PREFIX) or not (view_id := request.session.get(CLIENT_VIEW_KEY)):
            return self.get_response(request)
        staff_user, staff = request.user, actor_of(request)
        view = client_views.standing_view(view_id=view_id, actor=staff)
        if view is None:
            del request.session[CLIENT_VIEW_KEY]
            messages.info(request, "The view as a client has ended.")
            return HttpResponseRedirect(reverse("home"))
        if request.method not in SAFE_METHODS:
            client_views.note_page(view=view, actor=staff, path=request.path, is_refused=True)
            return refusal_response(request, _refusal())
        client_views.note_page(view=view, actor=staff, path=request.path)
        shown = client_views.actor_of_view(view=view, actor=staff)
        request.user, request._backoffice_actor = view.person, shown  # type: ignore[attr-defined]
        request.client_view = view  # type: ignore[attr-defined]  # the portal shows a banner
        try:
            with _reading_only():
                return self.get_response(request)
        finally:
            request.user, request._backoffice_actor = staff_user, staff  # type: ignore[attr-defined]

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """What the database refused because the transaction is read-only."""
        cause = getattr(exception.__cause__, "pgcode", None)
        if isinstance(exception, InternalError) and cause == READ_ONLY_SQLSTATE and hasattr(request, "client_view"):
            transaction.set_rollback(True)
            return refusal_response(request, _refusal())
        return None

    # Django asks each middleware for this attribute when it builds an asynchronous chain.
    async_capable: Any = False


def _refusal() -> Denied:
    return Denied("You are looking as a client: nothing can be changed here.", code="view_is_read_only")


@contextmanager
def _reading_only() -> Iterator[None]:
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
        yield
