"""Bases of the HTTP API: who calls, what they may, how often, and every error as problem+json.

Views stand in `ui.api_views`, pages and filters in `ui.api_pages`, registration in `ui.api_registry`.
"""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import PermissionDenied as DjangoPermissionDenied
from django.db import OperationalError
from django.http import Http404
from rest_framework import exceptions, status
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from backoffice.core import throttle
from backoffice.core.access import holds
from backoffice.core.actors import actor_of
from backoffice.core.addresses import client_address
from backoffice.core.identity.second_factor import session_passed_second_factor
from backoffice.core.models import ApiKey, User
from backoffice.core.services import api_keys
from backoffice.kernel.errors import DomainError, Retryable
from backoffice.ui.api_problems import PROBLEM_TYPE, plain, problem_body

RETRY_AFTER_SECONDS = 2
WINDOW_SECONDS = 60


class ApiKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer bo_…`: the caller is the key's owner within the key's bounds. A session is then ignored."""

    scheme = "Bearer"

    def authenticate(self, request: Request) -> tuple[User, ApiKey] | None:
        """See the class. One sentence for every key that opens nothing: the reason is nobody's business."""
        given = request.headers.get("Authorization")
        if given is None:
            return None
        scheme, _, text = given.strip().partition(" ")
        found = None
        if scheme.lower() == self.scheme.lower():
            found = api_keys.caller_of(text=text.strip(), address=client_address(request._request))
        if found is None:
            raise exceptions.AuthenticationFailed("This key opens nothing here.", code="key_refused")
        key, actor = found
        request._request._backoffice_actor = actor  # type: ignore[attr-defined]
        return key.owner, key

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing or wrong key a 401, as the schema says."""
        return self.scheme


class SecondFactorSessionAuthentication(SessionAuthentication):
    """The session of a browser; a member of staff is let in only if it has passed the second factor."""

    def authenticate(self, request: Request) -> Any:
        """See the class."""
        found = super().authenticate(request)
        if found is None:
            return None
        if found[0].is_service:
            raise exceptions.PermissionDenied("A service login calls with an API key.", code="service_login")
        if found[0].is_staff and not session_passed_second_factor(request._request):
            raise exceptions.PermissionDenied("Give your one-time code first.", code="second_factor_required")
        return found

    def authenticate_header(self, request: Request) -> str:
        """Makes a missing login a 401, as the schema says."""
        return "Session"


def capability_of(view: Any, method: str) -> str | None:
    """The capability of the verb that is called: the use case's own, else the view's."""
    name = getattr(view, "action", None) or method.lower()
    own = getattr(getattr(view, name, None), "capability", None)
    return own or getattr(view, "capability", None) or None


class CapabilityPermission(BasePermission):
    """Lets in an actor who holds the capability of the verb; a view that names none lets nobody in."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """See the class."""
        capability = capability_of(view, request.method or "")
        return capability is not None and request.user.is_authenticated and holds(actor_of(request), capability)


class LoggedIn(BasePermission):
    """Lets in everybody who is logged in; for what concerns only the caller."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """See the class."""
        return bool(request.user and request.user.is_authenticated)


class CallerThrottle(BaseThrottle):
    """So many calls a minute for each key, and for each person; the answer's headers tell what is left."""

    def allow_request(self, request: Request, view: Any) -> bool:
        """See the class. Who is not authenticated is counted by address, before this."""
        if isinstance(request.auth, ApiKey):
            name = f"key:{request.auth.pk}"
        elif request.user and request.user.is_authenticated:
            name = f"user:{request.user.pk}"
        else:
            return True
        allowance = throttle.take(name, limit=settings.API_CALLS_PER_MINUTE, window_seconds=WINDOW_SECONDS)
        request._request.api_allowance = allowance  # type: ignore[attr-defined]
        self._wait = allowance.reset_seconds if allowance else 0
        return allowance is None or not allowance.is_exceeded

    def wait(self) -> float:
        """Seconds until the window ends."""
        return float(self._wait)


def problem_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """Every expected error as application/problem+json with a stable code; an unexpected one stays a server error."""
    if isinstance(exc, DomainError):
        return _refusal(exc)
    if isinstance(exc, Http404):
        return _problem(status.HTTP_404_NOT_FOUND, "There is no such thing, or it is not yours to see.", "not_found")
    if isinstance(exc, DjangoPermissionDenied):
        return _problem(status.HTTP_403_FORBIDDEN, str(exc) or "Your role does not allow this.", "denied")
    if isinstance(exc, exceptions.ValidationError):
        fields = plain(exc.detail)
        first = next(iter(fields), None) if isinstance(fields, dict) else None
        fields = fields if isinstance(fields, dict) else {"non_field_errors": fields}
        return _problem(exc.status_code, _sentence_of(fields), "invalid_input", {"fields": fields, "field": first})
    if isinstance(exc, exceptions.APIException):
        response = _problem(exc.status_code, str(exc.detail), _code_of(exc))
        if header := getattr(exc, "auth_header", None):
            response.headers["WWW-Authenticate"] = header
        if wait := getattr(exc, "wait", None):
            response.headers["Retry-After"] = str(int(wait))
        return response
    if isinstance(exc, OperationalError):
        # A lock that was not free in time, a deadlock, a database that restarts: the same call may come again.
        structlog.get_logger(__name__).error("api_database_busy", error=type(exc).__name__)
        return _refusal(Retryable("The books are busy; try again."))
    return None


def _refusal(error: DomainError) -> Response:
    if error.http_status >= 500 and not isinstance(error, Retryable):
        # What is wrong with the installation is for the log, not for callers.
        structlog.get_logger(__name__).error("api_misconfigured", code=error.code, error=error.message)
        return _problem(error.http_status, "The installation is not set up for this.", error.code)
    response = _problem(error.http_status, error.message, error.code, error.details)
    wait = error.details.get("retry_after", RETRY_AFTER_SECONDS if isinstance(error, Retryable) else None)
    if wait is not None:
        response.headers["Retry-After"] = str(int(wait))
    return response


def _sentence_of(fields: dict[str, Any]) -> str:
    """The first refusal in words, with its field."""
    for name, found in fields.items():
        while isinstance(found, list | dict) and found:
            found = found[0] if isinstance(found, list) else next(iter(found.values()))
        return f"{name}: {found}" if name != "non_field_errors" else str(found)
    return "The request is not valid."


def _code_of(exc: exceptions.APIException) -> str:
    codes = exc.get_codes()
    return codes if isinstance(codes, str) else exc.default_code


def _problem(http_status: int, title: str, code: str, details: Any = None) -> Response:
    return Response(problem_body(http_status, title, code, details), http_status, content_type=PROBLEM_TYPE)
